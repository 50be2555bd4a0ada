//! sled: every record, index and tile, for reading. Never the only copy.
//!
//! One tree with a prefix for each kind of key; the number of applied records is in the same batch as the records. `flush` is not
//! durable on Linux, so after each one the file is synced on a descriptor of our own, and its configuration once after creation.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use marrowline_ledger::store::{IndexEntry, NoteKind, StoreError, Verbatim};
use marrowline_merkle::Hash;
use marrowline_record::id::{RecordId, StreamKey};

use crate::codec;
use crate::notes::Numbered;
use crate::pending::PendingBatch;

/// sled's own cache; what the ledger needs often it keeps folded itself.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// The projection.
pub struct Projection {
    db: sled::Db,
    folder: PathBuf,
}

fn failed(error: sled::Error) -> StoreError {
    StoreError::Failed(format!("sled: {error}"))
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

const APPLIED: &[u8] = b"A";
const APPLIED_NOTES: &[u8] = b"B";

impl Projection {
    /// Opens the projection. sled may panic on damaged files; a panic is an error here.
    pub fn open(folder: &Path) -> Result<Projection, StoreError> {
        let existed = folder.exists();
        let opened = catch_unwind(AssertUnwindSafe(|| {
            sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None).open()
        }));
        let db = opened.map_err(|_| StoreError::Failed("sled panicked while opening".to_owned()))?.map_err(failed)?;
        let projection = Projection { db, folder: folder.to_owned() };
        if !existed {
            projection.flush()?;
            let sync = || {
                File::open(folder.join("conf"))?.sync_all()?;
                File::open(folder)?.sync_all()
            };
            sync().map_err(|e| StoreError::Failed(format!("cannot sync {}: {e}", folder.display())))?;
        }
        Ok(projection)
    }

    /// Number of records that are in, and the root over them.
    pub fn applied(&self) -> Result<(u64, Hash), StoreError> {
        match self.db.get(APPLIED).map_err(failed)? {
            Some(bytes) => codec::decode(&bytes),
            None => Ok((0, marrowline_merkle::empty_root())),
        }
    }

    /// Number of notes that are in.
    pub fn applied_notes(&self) -> Result<u64, StoreError> {
        match self.db.get(APPLIED_NOTES).map_err(failed)? {
            Some(bytes) => codec::decode(&bytes),
            None => Ok(0),
        }
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
            if !(*gives_way && self.db.contains_key(&index_key).map_err(failed)?) {
                batch.insert(index_key, value.to_vec());
            }
        }
        for tile in &pending.batch.tiles {
            batch.insert(tile_key(tile.level, tile.index), tile.hashes.concat());
        }
        let size = pending.batch.first.saturating_add(u64::try_from(pending.batch.records.len()).unwrap_or(0));
        batch.insert(APPLIED, codec::encode(&(size, pending.batch.root_after))?);
        self.db.apply_batch(batch).map_err(failed)
    }

    /// Puts notes in.
    pub fn apply_notes(&self, notes: &[Numbered]) -> Result<(), StoreError> {
        let Some((last, _, _)) = notes.last() else {
            return Ok(());
        };
        let mut batch = sled::Batch::default();
        for (number, kind, body) in notes {
            batch.insert(note_key(*kind, *number), body.as_slice());
        }
        batch.insert(APPLIED_NOTES, codec::encode(&last.saturating_add(1))?);
        self.db.apply_batch(batch).map_err(failed)
    }

    /// Makes what is in durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.db.flush().map_err(failed)?;
        let path = self.folder.join("db");
        File::open(&path)
            .and_then(|file| file.sync_data())
            .map_err(|e| StoreError::Failed(format!("cannot sync {}: {e}", path.display())))
    }

    pub fn entry(&self, index: u64) -> Result<Option<Verbatim>, StoreError> {
        let Some(value) = self.db.get(key(b'L', &[&index.to_be_bytes()])).map_err(failed)? else {
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
        let Some(value) = self.db.get(key(b'I', &[index_key])).map_err(failed)? else {
            return Ok(None);
        };
        value.as_ref().try_into().map(Some).map_err(|_| damaged("an index value".to_owned()))
    }

    pub fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<IndexEntry>, StoreError> {
        let mut found = Vec::new();
        for item in self.db.scan_prefix(key(b'I', &[prefix])).take(limit) {
            let (index_key, value) = item.map_err(failed)?;
            let value = value.as_ref().try_into().map_err(|_| damaged("an index value".to_owned()))?;
            found.push((index_key.get(1..).unwrap_or_default().to_vec(), value));
        }
        Ok(found)
    }

    pub fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        let Some(value) = self.db.get(tile_key(level, index)).map_err(failed)? else {
            return Ok(None);
        };
        let (hashes, rest) = value.as_chunks::<32>();
        if hashes.len() != marrowline_merkle::TILE_WIDTH || !rest.is_empty() {
            return Err(damaged(format!("tile {level}/{index}")));
        }
        Ok(Some(hashes.to_vec()))
    }

    pub fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let mut found = Vec::new();
        let range = note_key(kind, from)..=note_key(kind, u64::MAX);
        for item in self.db.range(range).take(limit) {
            let (note_key, value) = item.map_err(failed)?;
            let number = note_key.get(2..).and_then(|n| n.try_into().ok()).map(u64::from_be_bytes);
            found.push((number.ok_or_else(|| damaged("a note's key".to_owned()))?, value.to_vec()));
        }
        Ok(found)
    }

    fn value<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        match self.db.get(key).map_err(failed)? {
            Some(bytes) => codec::decode(&bytes).map(Some),
            None => Ok(None),
        }
    }
}

fn damaged(place: String) -> StoreError {
    StoreError::Damaged {
        what: "the projection".to_owned(),
        place,
        next: "move the folder `sled` away; it is rebuilt from the journal".to_owned(),
    }
}
