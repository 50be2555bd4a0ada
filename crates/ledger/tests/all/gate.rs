//! A store in memory whose commits can be held up and made to fail.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use marrowline_ledger::memory::MemoryStore;
use marrowline_ledger::store::{Batch, Epoch, NoteKind, Reader, Store, StoreError};

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
    fates: VecDeque<Fate>,
    /// Number of records of each commit that was asked for.
    asked: Vec<usize>,
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

    /// Waits until this many commits were asked for, since the beginning.
    pub fn wait_for_commits(&self, count: usize) {
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |s| s.asked.len() < count).unwrap());
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
        self.store.note(epoch, notes)
    }

    fn publish(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), StoreError> {
        self.store.publish(epoch, checkpoint)
    }

    fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        self.store.room_for(bytes)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.store.reader()
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.store.close()
    }
}
