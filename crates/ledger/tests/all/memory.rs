//! The store in memory does what every store must do.

use marrowline_ledger::conformance;
use marrowline_ledger::memory::MemoryStore;

#[test]
fn the_store_in_memory_does_what_every_store_must() {
    conformance::all(|| {
        let store = MemoryStore::default();
        Box::new(move || Box::new(store.clone()))
    });
}
