//! Reading a journal that nobody writes to, for `fsck`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marrowline_ledger::store::StoreError;

use crate::checkpoint;
use crate::disk::{Disk, RealDisk};
use crate::frame::{Frame, NoFrame, RECORDS};
use crate::journal::failed;

/// The end of a journal that was written by halves, cut off and kept.
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
pub fn read_journal(folder: &Path, mut each: impl FnMut(JournalFrame)) -> Result<u64, StoreError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let journal = folder.join("journal");
    let paths = disk.list(&journal).map_err(|e| failed("cannot list", &journal, &e))?;
    let mut size = 0u64;
    for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "mlj")) {
        let bytes = disk.read(path).map_err(|e| failed("cannot read", path, &e))?;
        let mut offset = 0usize;
        loop {
            let rest = bytes.get(offset..).unwrap_or_default();
            let damaged = |what: &str| StoreError::Damaged {
                what: format!("the journal segment {}", path.display()),
                place: format!("offset {offset}: {what}"),
                next:
                    "if the ledger was killed while it wrote, starting it once cuts a torn end; otherwise restore from a backup"
                        .to_owned(),
            };
            match Frame::decode(RECORDS, rest) {
                Ok((frame, length)) if frame.first == size => {
                    size = size.saturating_add(u64::try_from(frame.items.len()).unwrap_or(0));
                    offset = offset.saturating_add(length);
                    each(JournalFrame { first: frame.first, root_after: frame.hash, entries: frame.items });
                }
                Ok(_) => return Err(damaged("a frame that does not continue the one before")),
                Err(NoFrame::Empty) if rest.iter().all(|b| *b == 0) => break,
                Err(_) => return Err(damaged("a damaged frame")),
            }
        }
    }
    Ok(size)
}

/// The checkpoint file of a ledger's folder.
pub fn published_checkpoint(folder: &Path) -> Result<Option<String>, StoreError> {
    checkpoint::read(&RealDisk, folder)
}
