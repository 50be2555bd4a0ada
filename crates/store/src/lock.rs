//! One process per folder.

use std::fs::{self, File, TryLockError};
use std::path::Path;

use marrowline_ledger::store::StoreError;

use crate::failed;

/// The lock of a store's folder, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of a folder, which is made if it is not there; or says which folder is in use.
    pub fn take(folder: &Path) -> Result<FolderLock, StoreError> {
        let path = folder.join("lock");
        fs::create_dir_all(folder).map_err(|e| failed("cannot create", folder, &e))?;
        let file =
            File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| failed("cannot open", &path, &e))?;
        match file.try_lock() {
            Ok(()) => Ok(FolderLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Failed(format!(
                "the ledger in {} is in use by another process: stop that one first",
                folder.display()
            ))),
            Err(TryLockError::Error(e)) => Err(failed("cannot lock", &path, &e)),
        }
    }
}
