//! The checkpoint file: the last checkpoint that was signed. New file, fsync, rename, fsync of the folder.

use std::path::Path;

use marrowline_ledger::store::StoreError;
use marrowline_merkle::{Checkpoint, Note};

use crate::disk::Disk;
use crate::journal::failed;

const NAME: &str = "checkpoint";

/// Reads the checkpoint file.
pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<String>, StoreError> {
    let path = folder.join(NAME);
    match disk.read(&path) {
        Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| damaged(&path)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(failed("cannot read", &path, &e)),
    }
}

/// Number of records that a checkpoint covers. Its signature is checked by the ledger, which has the key.
pub fn size(folder: &Path, note: &str) -> Result<u64, StoreError> {
    let parsed = Note::parse(note).ok().and_then(|n| Checkpoint::parse(n.text()).ok());
    parsed.map(|c| c.size()).ok_or_else(|| damaged(&folder.join(NAME)))
}

/// Replaces the checkpoint file.
pub fn write(disk: &dyn Disk, folder: &Path, note: &str) -> Result<(), StoreError> {
    let (new, path) = (folder.join("checkpoint.new"), folder.join(NAME));
    let replace = || {
        let file = disk.open(&new, true)?;
        file.set_len(0)?;
        file.write_all_at(note.as_bytes(), 0)?;
        file.sync_data()?;
        disk.rename(&new, &path)?;
        disk.sync_folder(folder)
    };
    replace().map_err(|e| failed("cannot replace", &path, &e))
}

fn damaged(path: &Path) -> StoreError {
    StoreError::Damaged {
        what: format!("the checkpoint file {}", path.display()),
        place: "not a signed checkpoint".to_owned(),
        next: "restore it from a backup; a client's or witness's last checkpoint says how far the log must reach".to_owned(),
    }
}
