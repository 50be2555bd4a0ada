//! A store in memory whose commits can be held up and made to fail, and that says what it was asked for.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Condvar, Mutex};

use marrowline_ledger::memory::MemoryStore;
use marrowline_ledger::store::{Batch, Epoch, IndexEntry, NoteKind, Reader, Store, StoreError, Verbatim};
use marrowline_merkle::Hash;
use marrowline_record::id::{RecordId, StreamKey};

use super::world::Signed;

/// What becomes of a commit.
#[derive(Clone, Copy, Debug)]
pub enum Fate {
    Passes,
    /// There is no room.
    Full,
    /// The write failed.
    Fails,
}

#[derive(Default)]
struct State {
    is_shut: bool,
    notes_fail: bool,
    fates: VecDeque<Fate>,
    /// Number of records of each commit that was asked for.
    asked: Vec<usize>,
    /// Ids that were looked up.
    looked_up: HashSet<RecordId>,
}

/// The store, and the handle that steers it.
#[derive(Clone, Default)]
pub struct Gate {
    pub store: MemoryStore,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Gate {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (state, changed) = &*self.state;
        let answer = change(&mut state.lock().unwrap());
        changed.notify_all();
        answer
    }

    /// Commits wait from now on.
    pub fn shut(&self) {
        self.with(|s| s.is_shut = true);
    }

    /// Commits go on. The next ones, in order, meet these fates; those after them pass.
    pub fn open(&self, fates: &[Fate]) {
        self.with(|s| {
            s.is_shut = false;
            s.fates.extend(fates);
        });
    }

    /// Notes cannot be written any more, or again.
    pub fn fail_notes(&self, fail: bool) {
        self.with(|s| s.notes_fail = fail);
    }

    /// Waits until this many commits were asked for, since the beginning.
    pub fn wait_for_commits(&self, count: usize) {
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |s| s.asked.len() < count).unwrap());
    }

    /// Waits until the sequencer judges a record: it looks up its id first. Everything submitted before it was judged by then.
    pub fn wait_until_judged(&self, record: &Signed) {
        let id = RecordId::from_slice(&record.record.record_id).unwrap();
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |s| !s.looked_up.contains(&id)).unwrap());
    }

    /// Number of records of each commit that was asked for.
    pub fn asked(&self) -> Vec<usize> {
        self.with(|s| s.asked.clone())
    }
}

impl Store for Gate {
    fn claim(&mut self) -> Result<Epoch, StoreError> {
        self.store.claim()
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.with(|s| s.asked.push(batch.records.len()));
        let (state, changed) = &*self.state;
        let fate = changed.wait_while(state.lock().unwrap(), |s| s.is_shut).unwrap().fates.pop_front();
        match fate.unwrap_or(Fate::Passes) {
            Fate::Passes => self.store.commit(epoch, batch),
            Fate::Full => Err(StoreError::Full { free_bytes: 1, needed_bytes: 2 }),
            Fate::Fails => Err(StoreError::Failed("the disk is gone".to_owned())),
        }
    }

    fn note(&mut self, epoch: Epoch, notes: &[(NoteKind, Vec<u8>)]) -> Result<(), StoreError> {
        if self.with(|s| s.notes_fail) {
            return Err(StoreError::Failed("the disk is gone".to_owned()));
        }
        self.store.note(epoch, notes)
    }

    fn publish(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), StoreError> {
        self.store.publish(epoch, checkpoint)
    }

    fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        self.store.room_for(bytes)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.store.close()
    }
}

impl Reader for Gate {
    fn size(&self) -> u64 {
        self.store.size()
    }

    fn entry(&self, index: u64) -> Result<Option<Verbatim>, StoreError> {
        self.store.entry(index)
    }

    fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, StoreError> {
        self.store.leaf_hash(index)
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        self.store.tile(level, index)
    }

    fn index_of(&self, record_id: &RecordId) -> Result<Option<u64>, StoreError> {
        self.with(|s| s.looked_up.insert(*record_id));
        self.store.index_of(record_id)
    }

    fn head(&self, stream: &StreamKey) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.store.head(stream)
    }

    fn link(&self, stream: &StreamKey, seq: u64) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        self.store.link(stream, seq)
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<[u8; 16]>, StoreError> {
        self.store.lookup(key)
    }

    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<IndexEntry>, StoreError> {
        self.store.scan(prefix, from, limit)
    }

    fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.store.notes(kind, from, limit)
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        self.store.checkpoint()
    }
}
