//! The local store does what every store must do, also when the process ends between two batches.

use std::path::Path;
use std::sync::Arc;

use marrowline_ledger::conformance;
use marrowline_ledger::store::Store;

use crate::disk::RealDisk;
use crate::local::LocalStore;

fn open(folder: &Path) -> Box<dyn Store> {
    let (store, report) = LocalStore::open_on(Arc::new(RealDisk), folder, 16_384, &mut |_, _| {}).unwrap();
    assert_eq!((report.rebuilt, report.torn, report.torn_notes, report.healed), (None, None, None, Vec::new()));
    Box::new(store)
}

#[test]
fn the_local_store_does_what_every_store_must() {
    conformance::all(|| {
        let folder = tempfile::tempdir().unwrap();
        Box::new(move || open(&folder.path().join("store")))
    });
}
