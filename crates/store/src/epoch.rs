//! The epoch file: how often the store was claimed, as a decimal number. A writer with an older number is fenced off.

use std::io::ErrorKind;
use std::path::Path;

use marrowline_ledger::store::StoreError;

use crate::disk::{Disk, replace};
use crate::failed;

const NAME: &str = "epoch";

/// Reads the newest epoch; 0 if the store was never claimed.
pub fn read(disk: &dyn Disk, folder: &Path) -> Result<u64, StoreError> {
    let path = folder.join(NAME);
    let bytes = match disk.read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(failed("cannot read", &path, &e)),
    };
    let number = std::str::from_utf8(&bytes).ok();
    number.and_then(|text| text.trim_end().parse().ok()).ok_or_else(|| StoreError::Damaged {
        what: format!("the epoch file {}", path.display()),
        place: "not a number".to_owned(),
        next: "write a number into it that is larger than the number of times the ledger was started".to_owned(),
    })
}

/// Replaces the epoch.
pub fn write(disk: &dyn Disk, folder: &Path, epoch: u64) -> Result<(), StoreError> {
    replace(disk, folder, NAME, format!("{epoch}\n").as_bytes()).map_err(|e| failed("cannot replace", &folder.join(NAME), &e))
}
