//! Reading the journals that nobody writes to, for `fsck`. Nothing is changed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marrowline_ledger::store::StoreError;

use crate::checkpoint;
use crate::disk::{Disk, RealDisk};
use crate::durable::place;
use crate::frame::Kind;
use crate::journal::SEGMENT_BYTES;
use crate::segment;

/// The end of a journal that was never written whole, cut off and kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment.
    pub segment: PathBuf,
    /// Where the torn frame began.
    pub offset: u64,
    /// How many bytes were cut off.
    pub bytes: u64,
    /// Where they are kept.
    pub kept: PathBuf,
}

/// One frame as `fsck` sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalFrame {
    /// Number of its first record.
    pub first: u64,
    /// Root that it states after its last record.
    pub root_after: [u8; 32],
    /// Leaves and records.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads every frame of a ledger's journal, in order, without changing anything. Stops with the offset at anything that is not whole.
/// Returns the number of records.
pub fn read_journal(folder: &Path, each: impl FnMut(JournalFrame)) -> Result<u64, StoreError> {
    journal_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), folder, SEGMENT_BYTES, each)
}

/// Reads every frame of a ledger's second journal and checks the chain of their hashes. Stops at anything that is not whole. Returns the
/// number of notes.
pub fn check_notes(folder: &Path) -> Result<u64, StoreError> {
    notes_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), folder, SEGMENT_BYTES)
}

/// The checkpoint file of a ledger's folder.
pub fn published_checkpoint(folder: &Path) -> Result<Option<String>, StoreError> {
    Ok(checkpoint::read(&RealDisk, folder)?.map(|(note, _)| note))
}

pub(crate) fn journal_on(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    segment_bytes: u64,
    mut each: impl FnMut(JournalFrame),
) -> Result<u64, StoreError> {
    let journal = place(disk, folder, Kind::Records, segment_bytes);
    segment::read(&journal, 0, &mut |frame, root_after| {
        each(JournalFrame { first: frame.first, root_after, entries: frame.items });
        Ok(true)
    })
    .map_err(advise)
}

pub(crate) fn notes_on(disk: &Arc<dyn Disk>, folder: &Path, segment_bytes: u64) -> Result<u64, StoreError> {
    segment::read(&place(disk, folder, Kind::Notes, segment_bytes), 0, &mut |_, _| Ok(true)).map_err(advise)
}

/// A ledger that was killed while it wrote has a torn end until it is started again.
fn advise(error: StoreError) -> StoreError {
    match error {
        StoreError::Damaged { what, place, .. } => StoreError::Damaged {
            what,
            place,
            next: "if the ledger was killed while it wrote, start it once: it cuts a torn end; otherwise restore from a backup"
                .to_owned(),
        },
        other => other,
    }
}
