//! What the store and its readers share: sled, and what is durable and not in sled yet.
//!
//! A batch is in the queue before anyone is told of it, and leaves it after it is in sled. So whoever asks the queue first and sled
//! second misses nothing; what both have is the same.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use marrowline_ledger::store::{IndexEntry, NoteKind, Reader, StoreError, Verbatim};
use marrowline_merkle::{Hash, leaf_hash};
use marrowline_record::id::{RecordId, StreamKey};

use crate::pending::{PendingBatch, PendingNotes, Queue};
use crate::projection::{Projection, damaged};

/// What the store and its readers share.
pub struct Shelf {
    /// None once the store is closed.
    projection: RwLock<Option<Projection>>,
    pending: Mutex<Queue>,
    /// Durable records.
    size: AtomicU64,
    checkpoint: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shelf {
    /// A shelf with everything in the projection.
    pub fn new(projection: Projection, size: u64, checkpoint: Option<String>) -> Shelf {
        Shelf {
            projection: RwLock::new(Some(projection)),
            pending: Mutex::default(),
            size: AtomicU64::new(size),
            checkpoint: Mutex::new(checkpoint),
        }
    }

    /// Shows a durable batch to readers.
    pub fn show(&self, batch: Arc<PendingBatch>) {
        let size = batch.end();
        lock(&self.pending).batches.push_back(batch);
        self.size.store(size, Ordering::SeqCst);
    }

    /// Shows durable notes to readers.
    pub fn show_notes(&self, notes: Arc<PendingNotes>) {
        lock(&self.pending).notes.push_back(notes);
    }

    /// Shows a checkpoint to readers.
    pub fn show_checkpoint(&self, checkpoint: &str) {
        *lock(&self.checkpoint) = Some(checkpoint.to_owned());
    }

    /// Puts the oldest batch into the projection, then takes it off the queue.
    pub fn apply(&self, batch: &PendingBatch) -> Result<(), StoreError> {
        self.with(|p| p.apply(batch))?;
        lock(&self.pending).batches.pop_front();
        Ok(())
    }

    /// Puts the oldest notes into the projection, then takes them off the queue.
    pub fn apply_notes(&self, notes: &PendingNotes) -> Result<(), StoreError> {
        self.with(|p| p.apply_notes(notes))?;
        lock(&self.pending).notes.pop_front();
        Ok(())
    }

    /// Makes the projection durable.
    pub fn flush(&self) -> Result<(), StoreError> {
        self.with(Projection::flush)
    }

    /// Closes the projection; readers get an error from now on.
    pub fn close(&self) -> Result<(), StoreError> {
        let projection = self.projection.write().unwrap_or_else(PoisonError::into_inner).take();
        projection.map_or(Ok(()), Projection::close)
    }

    fn with<T>(&self, ask: impl FnOnce(&Projection) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let projection = self.projection.read().unwrap_or_else(PoisonError::into_inner);
        projection.as_ref().map_or_else(|| Err(StoreError::Failed("the store was closed".to_owned())), ask)
    }

    /// Asks the batches that are not in the projection yet, newest first; then the projection.
    fn first<T>(
        &self,
        pending: impl Fn(&PendingBatch) -> Option<T>,
        projection: impl FnOnce(&Projection) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let found = lock(&self.pending).batches.iter().rev().find_map(|p| pending(p));
        if found.is_some() { Ok(found) } else { self.with(projection) }
    }
}

impl Reader for Shelf {
    fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    fn entry(&self, index: u64) -> Result<Option<Verbatim>, StoreError> {
        let is_there = index < self.size();
        let found = self.first(|p| p.entry(index), |p| p.entry(index))?;
        if found.is_none() && is_there { Err(damaged(format!("record {index} is missing"))) } else { Ok(found) }
    }

    fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, StoreError> {
        Ok(self.entry(index)?.map(|(leaf, _)| leaf_hash(&leaf)))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        let last_leaf = 256u64
            .checked_pow(u32::from(level).saturating_add(1))
            .and_then(|leaves| index.checked_add(1)?.checked_mul(leaves))
            .unwrap_or(u64::MAX);
        let is_there = last_leaf <= self.size();
        let found = self.first(|p| p.tile(level, index), |p| p.tile(level, index))?;
        if found.is_none() && is_there { Err(damaged(format!("tile {level}/{index} is missing"))) } else { Ok(found) }
    }

    fn index_of(&self, record_id: &RecordId) -> Result<Option<u64>, StoreError> {
        self.first(|p| p.ids.get(record_id).copied(), |p| p.index_of(record_id))
    }

    fn head(&self, stream: &StreamKey) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.first(|p| p.heads.get(stream).copied(), |p| p.head(stream))
    }

    fn link(&self, stream: &StreamKey, seq: u64) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.first(|p| p.links.get(&(*stream, seq)).copied(), |p| p.link(stream, seq))
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<[u8; 16]>, StoreError> {
        let (value, older_wins) = lock(&self.pending).lookup(key);
        if older_wins { Ok(self.with(|p| p.lookup(key))?.or(value)) } else { Ok(value) }
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<IndexEntry>, StoreError> {
        let waiting: Vec<Arc<PendingBatch>> = lock(&self.pending).batches.iter().cloned().collect();
        let mut found: BTreeMap<Vec<u8>, [u8; 16]> = self.with(|p| p.scan(prefix, from, limit))?.into_iter().collect();
        for batch in waiting {
            for (key, (value, gives_way)) in
                batch.index.range(prefix.max(from).to_vec()..).take_while(|(k, _)| k.starts_with(prefix))
            {
                if !(*gives_way && found.contains_key(key)) {
                    found.insert(key.clone(), *value);
                }
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }

    fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let waiting: Vec<Arc<PendingNotes>> = lock(&self.pending).notes.iter().cloned().collect();
        let mut found: BTreeMap<u64, Vec<u8>> = self.with(|p| p.notes(kind, from, limit))?.into_iter().collect();
        let asked = waiting.iter().flat_map(|w| &w.notes).filter(|(number, k, _)| *k == kind && *number >= from);
        for (number, _, body) in asked.take(limit) {
            found.entry(*number).or_insert_with(|| body.clone());
        }
        Ok(found.into_iter().take(limit).collect())
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(lock(&self.checkpoint).clone())
    }
}
