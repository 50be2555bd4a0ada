//! The store of one machine: a journal that is the truth, sled behind it with every record and index, and the last signed checkpoint.
//!
//! A commit is durable when its journal frame is on the disk (one `fdatasync`). sled follows in its own time and can be thrown away:
//! its `flush` is no fsync on Linux, and after a crash it catches up from the journal or is rebuilt from it. `docs/format-store.md`
//! specifies every byte.

mod checkpoint;
mod codec;
mod disk;
mod durable;
mod epoch;
mod frame;
mod journal;
mod local;
mod lock;
mod pending;
mod projection;
mod reading;
mod recover;
mod seal;
mod segment;
#[cfg(test)]
mod tests;
mod verify;

pub use local::{LocalStore, OpenReport};
pub use verify::{JournalFrame, Torn, check_notes, published_checkpoint, read_journal};

use std::io;
use std::path::Path;

use marrowline_ledger::store::StoreError;

/// A file operation that failed.
fn failed(what: &str, path: &Path, error: &io::Error) -> StoreError {
    StoreError::Failed(format!("{what} {}: {error}", path.display()))
}
