//! The few file operations that durability rests on, as one narrow trait, so that tests can cut the power at each of them.
//!
//! Nothing here is durable before it is synced: a file's bytes by [`DiskFile::sync_data`], its name by [`Disk::sync_folder`].

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes all bytes at an offset.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Reads the whole file.
    fn read_all(&self) -> io::Result<Vec<u8>>;
    /// Makes the file at least this long, with its blocks reserved; new bytes are zeros.
    fn preallocate(&self, length: u64) -> io::Result<()>;
    /// Cuts the file to this length.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Makes the content durable, and as much of the file's own data as reading it needs.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes content and everything about the file durable, but not its name.
    fn sync_all(&self) -> io::Result<()>;
}

/// A disk.
pub trait Disk: Send + Sync {
    /// Opens a file for reading and writing; makes it if it is not there, keeps what is in it.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that is there for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Reads a file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Gives a file the name `to`, in place of what had it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a folder's entries durable.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes a folder, if it is not there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;
    /// Paths of what is in a folder, sorted; nothing if there is no such folder.
    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>>;
    /// Free bytes.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The machine's disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl DiskFile for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn read_all(&self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.metadata()?.len()).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    fn preallocate(&self, length: u64) -> io::Result<()> {
        if self.metadata()?.len() >= length {
            return Ok(());
        }
        match fs4::FileExt::allocate(self, length) {
            // Not every file system reserves blocks; then zeros are written when they are needed.
            Err(e) if e.kind() == io::ErrorKind::Unsupported => self.set_len(length),
            other => other,
        }
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn sync_all(&self) -> io::Result<()> {
        File::sync_all(self)
    }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        Ok(Arc::new(file))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        fs::read(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        if !path.exists() {
            return Ok(Vec::new());
        }
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        let mut paths = entries.collect::<io::Result<Vec<PathBuf>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        fs4::available_space(path)
    }
}

/// Replaces a small file so that after a power cut it is the old one or the new one: new file, sync, rename, sync of the folder.
pub fn replace(disk: &dyn Disk, folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let new = folder.join(format!("{name}.new"));
    let file = disk.create(&new)?;
    file.truncate(0)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    disk.rename(&new, &folder.join(name))?;
    disk.sync_folder(folder)
}
