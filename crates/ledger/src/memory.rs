//! A store in memory, for tests of what stands on a store. Nothing in it survives the process.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use marrowline_merkle::{Hash, leaf_hash};
use marrowline_record::id::{RecordId, StreamKey};

use crate::store::{Batch, Epoch, MAX_BATCH, NoteKind, Reader, Store, StoreError};

/// Stored state, shared by the store and its readers.
#[derive(Default)]
struct State {
    epoch: u64,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
    ids: HashMap<RecordId, u64>,
    links: HashMap<(StreamKey, u64), (u64, [u8; 32])>,
    heads: HashMap<StreamKey, (u64, [u8; 32])>,
    index: BTreeMap<Vec<u8>, [u8; 16]>,
    tiles: HashMap<(u8, u64), Vec<Hash>>,
    notes: Vec<(NoteKind, Vec<u8>)>,
    checkpoint: Option<String>,
}

/// A store in memory. Clones share what is stored, so that a test can open it again.
#[derive(Clone, Default)]
pub struct MemoryStore(Arc<RwLock<State>>);

impl MemoryStore {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, epoch: Option<Epoch>) -> Result<RwLockWriteGuard<'_, State>, StoreError> {
        let state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        match epoch {
            Some(Epoch(held)) if held != state.epoch => Err(StoreError::Fenced { current: state.epoch, held }),
            _ => Ok(state),
        }
    }
}

impl Store for MemoryStore {
    fn claim(&mut self) -> Result<Epoch, StoreError> {
        let mut state = self.write(None)?;
        state.epoch = state.epoch.saturating_add(1);
        Ok(Epoch(state.epoch))
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        let mut state = self.write(Some(epoch))?;
        let size = u64::try_from(state.entries.len()).unwrap_or(u64::MAX);
        if batch.first != size {
            return Err(StoreError::OutOfOrder { first: batch.first, size });
        }
        if batch.records.is_empty() || batch.records.len() > MAX_BATCH {
            return Err(StoreError::Failed(format!("a batch of {} records", batch.records.len())));
        }
        for record in &batch.records {
            state.entries.push((record.leaf.clone(), record.record.to_vec()));
            state.ids.insert(record.record_id, record.index);
            for (key, seq) in &record.links {
                state.links.insert((*key, *seq), (record.index, record.signed_hash));
                state.heads.insert(*key, (*seq, record.signed_hash));
            }
            for write in &record.index_writes {
                if !(write.first_wins && state.index.contains_key(&write.key)) {
                    state.index.insert(write.key.clone(), write.value);
                }
            }
        }
        for tile in &batch.tiles {
            state.tiles.insert((tile.level, tile.index), tile.hashes.clone());
        }
        Ok(())
    }

    fn note(&mut self, epoch: Epoch, notes: &[(NoteKind, Vec<u8>)]) -> Result<(), StoreError> {
        self.write(Some(epoch))?.notes.extend_from_slice(notes);
        Ok(())
    }

    fn publish(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), StoreError> {
        self.write(Some(epoch))?.checkpoint = Some(checkpoint.to_owned());
        Ok(())
    }

    fn room_for(&self, _bytes: u64) -> Result<(), StoreError> {
        Ok(())
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Reader for MemoryStore {
    fn size(&self) -> u64 {
        u64::try_from(self.read().entries.len()).unwrap_or(u64::MAX)
    }

    fn entry(&self, index: u64) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(self.read().entries.get(index).cloned())
    }

    fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, StoreError> {
        Ok(self.entry(index)?.map(|(leaf, _)| leaf_hash(&leaf)))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        Ok(self.read().tiles.get(&(level, index)).cloned())
    }

    fn index_of(&self, record_id: &RecordId) -> Result<Option<u64>, StoreError> {
        Ok(self.read().ids.get(record_id).copied())
    }

    fn head(&self, stream: &StreamKey) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        Ok(self.read().heads.get(stream).copied())
    }

    fn link(&self, stream: &StreamKey, seq: u64) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        Ok(self.read().links.get(&(*stream, seq)).copied())
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<[u8; 16]>, StoreError> {
        Ok(self.read().index.get(key).copied())
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, [u8; 16])>, StoreError> {
        Ok(self
            .read()
            .index
            .range(prefix.max(from).to_vec()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, value)| (key.clone(), *value))
            .collect())
    }

    fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        Ok((0u64..)
            .zip(&self.read().notes)
            .filter(|(number, (k, _))| *number >= from && *k == kind)
            .take(limit)
            .map(|(number, (_, bytes))| (number, bytes.clone()))
            .collect())
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        Ok(self.read().checkpoint.clone())
    }
}
