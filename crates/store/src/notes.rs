//! The second journal: what is the ledger's own and not a record. Each frame names the hash of the one before.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use marrowline_ledger::store::{NoteKind, StoreError};
use sha2::{Digest as _, Sha256};

use crate::disk::{Disk, DiskFile};
use crate::frame::{Frame, NOTES, NoFrame};
use crate::journal::failed;

/// The second journal's writing end, with everything in it.
pub struct Notes {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    offset: u64,
    last_hash: [u8; 32],
    next: u64,
}

fn kind(byte: u8) -> Option<NoteKind> {
    [NoteKind::Proposal, NoteKind::Refusal, NoteKind::Access, NoteKind::Cosignature, NoteKind::Clock]
        .into_iter()
        .find(|k| *k as u8 == byte)
}

/// A note with its number.
pub type Numbered = (u64, NoteKind, Vec<u8>);

impl Notes {
    /// Opens the second journal and reads it whole. A torn end is overwritten by the next note.
    pub fn open(disk: &Arc<dyn Disk>, folder: &Path) -> Result<(Notes, Vec<Numbered>), StoreError> {
        let path = folder.join("notes.mlj");
        let fail = |e: std::io::Error| failed("cannot open", &path, &e);
        disk.create_folder(folder).map_err(fail)?;
        let file = disk.open(&path, true).map_err(fail)?;
        disk.sync_folder(folder).map_err(fail)?;
        let bytes = file.read_all().map_err(fail)?;
        let mut notes = Notes { file, path: path.clone(), offset: 0, last_hash: [0; 32], next: 0 };
        let mut found = Vec::new();
        let mut at = 0usize;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match Frame::decode(NOTES, rest) {
                Ok((frame, length)) if frame.hash == notes.last_hash && frame.first == notes.next => {
                    notes.last_hash = Sha256::digest(rest.get(..length).unwrap_or_default()).into();
                    for (head, body) in frame.items {
                        if let Some(kind) = head.first().copied().and_then(kind) {
                            found.push((notes.next, kind, body));
                        }
                        notes.next = notes.next.saturating_add(1);
                    }
                    at = at.saturating_add(length);
                }
                Ok(_) => return Err(damaged(&path, at)),
                Err(NoFrame::Empty | NoFrame::Broken) => break,
            }
        }
        notes.offset = u64::try_from(at).unwrap_or(u64::MAX);
        // Whatever stands after the last whole frame was never acknowledged.
        notes.file.set_len(notes.offset).map_err(fail)?;
        Ok((notes, found))
    }

    /// Writes notes in one frame and makes them durable; returns the first one's number.
    pub fn append(&mut self, notes: &[(NoteKind, Vec<u8>)]) -> Result<u64, StoreError> {
        let first = self.next;
        let frame = Frame {
            first,
            hash: self.last_hash,
            items: notes.iter().map(|(kind, body)| (vec![*kind as u8], body.clone())).collect(),
        };
        let bytes = frame.encode(NOTES);
        self.file
            .write_all_at(&bytes, self.offset)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| failed("cannot write", &self.path, &e))?;
        self.last_hash = Sha256::digest(&bytes).into();
        self.offset = self.offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.next = self.next.saturating_add(u64::try_from(notes.len()).unwrap_or(u64::MAX));
        Ok(first)
    }
}

fn damaged(path: &Path, offset: usize) -> StoreError {
    StoreError::Damaged {
        what: format!("the second journal {}", path.display()),
        place: format!("offset {offset}: a frame that does not continue the one before"),
        next: "restore it from a backup".to_owned(),
    }
}
