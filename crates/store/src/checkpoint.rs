//! The checkpoint file: the last checkpoint that was signed. A store that does not reach as far is not served.
//!
//! It is replaced as a whole: new file, sync, rename, sync of the folder. The store reads size and root from it; that the log's key
//! signed it is checked by the ledger, which has the key.

use std::io::ErrorKind;
use std::path::Path;

use marrowline_ledger::store::StoreError;
use marrowline_merkle::{Checkpoint, Note};

use crate::disk::{Disk, replace};
use crate::failed;

const NAME: &str = "checkpoint";

/// Reads the checkpoint file.
pub fn read(disk: &dyn Disk, folder: &Path) -> Result<Option<(String, Checkpoint)>, StoreError> {
    let path = folder.join(NAME);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed("cannot read", &path, &e)),
    };
    let note = String::from_utf8(bytes).ok();
    let parsed = note.and_then(|note| parse(&note).map(|checkpoint| (note, checkpoint)));
    parsed.map(Some).ok_or_else(|| StoreError::Damaged {
        what: format!("the checkpoint file {}", path.display()),
        place: "not a signed checkpoint".to_owned(),
        next: "restore it from a backup; a client's or witness's last checkpoint says how far the log must reach".to_owned(),
    })
}

/// Size and root that a checkpoint's note states.
pub fn parse(note: &str) -> Option<Checkpoint> {
    Checkpoint::parse(Note::parse(note).ok()?.text()).ok()
}

/// Replaces the checkpoint file.
pub fn write(disk: &dyn Disk, folder: &Path, note: &str) -> Result<(), StoreError> {
    replace(disk, folder, NAME, note.as_bytes()).map_err(|e| failed("cannot replace", &folder.join(NAME), &e))
}
