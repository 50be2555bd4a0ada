//! sled: every record, index and tile, for reading. Never the only copy.
//!
//! One tree with a prefix for each kind of key; the number of applied records is in the same batch as the records. `flush` is not
//! durable on Linux, so after each one the file is synced on a descriptor of our own, and its configuration once after creation.

use std::fs::{File, TryLockError};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use marrowline_ledger::store::{IndexEntry, NoteKind, StoreError, Verbatim};
use marrowline_merkle::Hash;
use marrowline_record::id::{RecordId, StreamKey};

use crate::codec;
use crate::pending::{PendingBatch, PendingNotes};
use crate::seal;

/// sled's own cache; what the ledger needs often it keeps folded itself.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// How long to wait for sled's own lock. The folder is locked by us, so only a store that this process just closed can hold it.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The projection.
pub struct Projection {
    db: sled::Db,
    folder: PathBuf,
}

/// Why a projection did not open.
pub enum NotOpen {
    /// It cannot be used; it is to be set aside and rebuilt.
    Unusable(String),
    /// It may be whole; nothing is to be set aside.
    Failed(StoreError),
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::Failed(format!("sled: {error}"))
}

/// Asks sled. It may panic on damaged files; a panic is an error here.
fn ask<T>(question: impl FnOnce() -> sled::Result<T>) -> Result<T, StoreError> {
    let answer = catch_unwind(AssertUnwindSafe(question));
    answer.map_err(|_| damaged("sled panicked".to_owned()))?.map_err(|error| match error {
        sled::Error::Corruption { .. } | sled::Error::ReportableBug(_) => damaged(error.to_string()),
        other => failed(other),
    })
}

fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![prefix];
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

fn link_key(stream: &StreamKey, seq: u64) -> Vec<u8> {
    key(b'S', &[&stream.0, &seq.to_be_bytes()])
}

fn tile_key(level: u8, index: u64) -> Vec<u8> {
    key(b'T', &[&[level], &index.to_be_bytes()])
}

fn note_key(kind: NoteKind, number: u64) -> Vec<u8> {
    key(b'N', &[&[kind as u8], &number.to_be_bytes()])
}

/// Which indexes are in. Raised whenever the rules write others (`marrowline_rules::index::writes`): a projection without them would answer
/// that things do not exist.
const INDEXES: u32 = 6;
const INDEXES_KEY: &[u8] = b"V";
const APPLIED: &[u8] = b"A";
const APPLIED_NOTES: &[u8] = b"B";

impl Projection {
    /// Opens the projection.
    pub fn open(folder: &Path) -> Result<Projection, NotOpen> {
        let existed = folder.exists();
        let is_as_left = seal::break_open(folder).map_err(|e| NotOpen::Failed(crate::failed("cannot check", folder, &e)))?;
        if !is_as_left {
            return Err(NotOpen::Unusable("its files are not as they were left when the store was closed".to_owned()));
        }
        let db = open_sled(folder)?;
        let projection = Projection { db, folder: folder.to_owned() };
        projection.check_indexes()?;
        if !existed {
            projection.sync_new().map_err(NotOpen::Failed)?;
        }
        Ok(projection)
    }

    /// An empty projection is marked with the indexes that it will have; one with others is rebuilt.
    fn check_indexes(&self) -> Result<(), NotOpen> {
        let unusable = |error: StoreError| NotOpen::Unusable(error.to_string());
        let is_empty = self.applied().map_err(unusable)?.0 == 0 && self.applied_notes().map_err(unusable)?.0 == 0;
        if is_empty {
            let mark = codec::encode(&INDEXES).map_err(NotOpen::Failed)?;
            return ask(|| self.db.insert(INDEXES_KEY, mark.as_slice())).map(|_| ()).map_err(NotOpen::Failed);
        }
        match self.value::<u32>(INDEXES_KEY).map_err(unusable)? {
            Some(INDEXES) => Ok(()),
            _ => Err(NotOpen::Unusable("it has the indexes of another version of this software".to_owned())),
        }
    }

    /// As an older version would have left it.
    #[cfg(test)]
    pub fn forget_indexes(&self) {
        assert!(self.db.remove(INDEXES_KEY).is_ok_and(|mark| mark.is_some()));
    }

    /// Puts a value under a key, whatever it is.
    #[cfg(test)]
    pub fn put(&self, key: &[u8], value: &[u8]) {
        assert!(self.db.insert(key, value).is_ok());
    }

    /// Closes the projection and seals its files.
    pub fn close(self) -> Result<(), StoreError> {
        self.flush()?;
        let Projection { db, folder } = self;
        drop(db);
        let sealed = released(&folder).and_then(|is_released| if is_released { seal::make(&folder) } else { Ok(()) });
        sealed.map_err(|e| crate::failed("cannot seal", &folder, &e))
    }

    /// Makes a projection's files durable that was just made.
    fn sync_new(&self) -> Result<(), StoreError> {
        self.flush()?;
        let sync = || {
            File::open(self.folder.join("conf"))?.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
            self.folder.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())
        };
        sync().map_err(|e| crate::failed("cannot sync", &self.folder, &e))
    }

    /// Number of records that are in, and the root over them.
    pub fn applied(&self) -> Result<(u64, Hash), StoreError> {
        Ok(self.value(APPLIED)?.unwrap_or((0, marrowline_merkle::empty_root())))
    }

    /// Number of notes that are in, and the hash of the second journal's frame that ends there.
    pub fn applied_notes(&self) -> Result<(u64, [u8; 32]), StoreError> {
        Ok(self.value(APPLIED_NOTES)?.unwrap_or((0, [0; 32])))
    }

    /// Puts a batch in, whole.
    pub fn apply(&self, pending: &PendingBatch) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for record in &pending.batch.records {
            let mut value = u32::try_from(record.leaf.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
            value.extend_from_slice(&record.leaf);
            value.extend_from_slice(&record.record);
            batch.insert(key(b'L', &[&record.index.to_be_bytes()]), value);
            batch.insert(key(b'R', &[&record.record_id.0]), codec::encode(&record.index)?);
        }
        for ((stream, seq), link) in &pending.links {
            batch.insert(link_key(stream, *seq), codec::encode(link)?);
        }
        for (stream, head) in &pending.heads {
            batch.insert(key(b'H', &[&stream.0]), codec::encode(head)?);
        }
        for (index_key, (value, gives_way)) in &pending.index {
            let index_key = key(b'I', &[index_key]);
            if !(*gives_way && ask(|| self.db.contains_key(&index_key))?) {
                batch.insert(index_key, value.to_vec());
            }
        }
        for tile in &pending.batch.tiles {
            batch.insert(tile_key(tile.level, tile.index), tile.hashes.concat());
        }
        batch.insert(APPLIED, codec::encode(&(pending.end(), pending.batch.root_after))?);
        ask(|| self.db.apply_batch(batch))
    }

    /// Puts notes in.
    pub fn apply_notes(&self, pending: &PendingNotes) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for (number, kind, body) in &pending.notes {
            batch.insert(note_key(*kind, *number), body.as_slice());
        }
        batch.insert(APPLIED_NOTES, codec::encode(&(pending.end, pending.link))?);
        ask(|| self.db.apply_batch(batch))
    }

    /// Makes what is in durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        ask(|| self.db.flush())?;
        let path = self.folder.join("db");
        File::open(&path).and_then(|file| file.sync_data()).map_err(|e| crate::failed("cannot sync", &path, &e))
    }

    pub fn entry(&self, index: u64) -> Result<Option<Verbatim>, StoreError> {
        let Some(value) = ask(|| self.db.get(key(b'L', &[&index.to_be_bytes()])))? else {
            return Ok(None);
        };
        let split = value.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        split.map(|(leaf, record)| Some((leaf.to_vec(), record.to_vec()))).ok_or_else(|| damaged(format!("record {index}")))
    }

    pub fn index_of(&self, id: &RecordId) -> Result<Option<u64>, StoreError> {
        self.value(&key(b'R', &[&id.0]))
    }

    pub fn head(&self, stream: &StreamKey) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.value(&key(b'H', &[&stream.0]))
    }

    pub fn link(&self, stream: &StreamKey, seq: u64) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.value(&link_key(stream, seq))
    }

    pub fn lookup(&self, index_key: &[u8]) -> Result<Option<[u8; 16]>, StoreError> {
        let Some(value) = ask(|| self.db.get(key(b'I', &[index_key])))? else {
            return Ok(None);
        };
        value.as_ref().try_into().map(Some).map_err(|_| damaged("an index value".to_owned()))
    }

    pub fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<IndexEntry>, StoreError> {
        let begins = key(b'I', &[prefix]);
        let is_in = |item: &sled::Result<(sled::IVec, sled::IVec)>| item.as_ref().map_or(true, |(k, _)| k.starts_with(&begins));
        let items: Vec<_> = ask(|| self.db.range(key(b'I', &[prefix.max(from)])..).take_while(is_in).take(limit).collect())?;
        let mut found = Vec::with_capacity(items.len());
        for (index_key, value) in items {
            let value = value.as_ref().try_into().map_err(|_| damaged("an index value".to_owned()))?;
            found.push((index_key.get(1..).unwrap_or_default().to_vec(), value));
        }
        Ok(found)
    }

    pub fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        let Some(value) = ask(|| self.db.get(tile_key(level, index)))? else {
            return Ok(None);
        };
        let (hashes, rest) = value.as_chunks::<32>();
        if hashes.len() != marrowline_merkle::TILE_WIDTH || !rest.is_empty() {
            return Err(damaged(format!("tile {level}/{index}")));
        }
        Ok(Some(hashes.to_vec()))
    }

    pub fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let range = note_key(kind, from)..=note_key(kind, u64::MAX);
        let items: Vec<_> = ask(|| self.db.range(range).take(limit).collect())?;
        let mut found = Vec::with_capacity(items.len());
        for (note_key, value) in items {
            let number = note_key.get(2..).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes);
            found.push((number.ok_or_else(|| damaged("a note's key".to_owned()))?, value.to_vec()));
        }
        Ok(found)
    }

    fn value<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        match ask(|| self.db.get(key))? {
            Some(bytes) => codec::decode(&bytes).map(Some),
            None => Ok(None),
        }
    }
}

fn open_sled(folder: &Path) -> Result<sled::Db, NotOpen> {
    let since = Instant::now();
    loop {
        let open = || sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None).open();
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(db)) => return Ok(db),
            Ok(Err(sled::Error::Io(error))) if error.to_string().contains("could not acquire lock") => {
                if since.elapsed() >= LOCK_PATIENCE {
                    return Err(NotOpen::Failed(crate::failed("cannot open", folder, &error)));
                }
                thread::sleep(Duration::from_millis(5));
            }
            Ok(Err(error)) => return Err(NotOpen::Unusable(format!("sled does not open it: {error}"))),
            Err(_) => return Err(NotOpen::Unusable("sled panicked while opening it".to_owned())),
        }
    }
}

/// Waits until sled's own threads have let go of its file.
fn released(folder: &Path) -> std::io::Result<bool> {
    let file = File::open(folder.join("db"))?;
    let since = Instant::now();
    while since.elapsed() < LOCK_PATIENCE {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(1)),
            Err(TryLockError::Error(e)) => return Err(e),
        }
    }
    Ok(false)
}

/// The error for a projection that is not as it was written.
pub fn damaged(place: String) -> StoreError {
    StoreError::Damaged {
        what: "the projection".to_owned(),
        place,
        next: "stop the ledger and move the folder `sled` away: it is rebuilt from the journals".to_owned(),
    }
}
