//! The seal on sled's files: their lengths and checksums, written when the store is closed and checked when it is opened.
//!
//! sled checks its own bytes, but a bit that flips in the middle of its log can cost it single keys without a word (measured). So files
//! that are not as they were left are not used. A store that was killed leaves no seal; then only sled's own checks are made, and those
//! of `fsck`.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// With more than this in the folder no seal is made: reading it all would keep the ledger from starting.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

fn path(folder: &Path) -> PathBuf {
    folder.with_extension("seal")
}

/// One line for each file: its name, its length, its CRC-32C. Nothing if it would take too long.
fn describe(folder: &Path) -> io::Result<Option<String>> {
    let mut paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<PathBuf>>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let mut left = MAX_BYTES;
    let mut text = String::new();
    let mut buffer = vec![0; 1024 * 1024];
    for path in paths {
        let mut file = File::open(&path)?;
        let length = file.metadata()?.len();
        let Some(rest) = left.checked_sub(length) else {
            return Ok(None);
        };
        left = rest;
        let mut checksum = 0;
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            checksum = crc32c::crc32c_append(checksum, buffer.get(..count).unwrap_or_default());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let _ = writeln!(text, "{name} {length} {checksum:08x}");
    }
    Ok(Some(text))
}

/// Seals a folder that nobody writes to any more.
pub fn make(folder: &Path) -> io::Result<()> {
    let Some(text) = describe(folder)? else {
        return Ok(());
    };
    let mut file = File::create(path(folder))?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Breaks the seal, if there is one; says whether the files are as they were sealed. Without a seal nothing is known, which is fine.
pub fn break_open(folder: &Path) -> io::Result<bool> {
    let path = path(folder);
    let sealed = match fs::read(&path) {
        Ok(sealed) => sealed,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(e),
    };
    let is_same = match folder.exists() {
        true => describe(folder)?.is_none_or(|text| text.as_bytes() == sealed),
        // Somebody moved it away so that it is made anew.
        false => true,
    };
    // Before sled writes the first byte the seal is gone, also after a power cut.
    fs::remove_file(&path)?;
    folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
    Ok(is_same)
}
