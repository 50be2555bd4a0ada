//! The local store: the durable part, and sled behind it.
//!
//! A commit returns when its journal frame is durable; readers see it at once, from memory until sled has it. One applier thread moves
//! batches into sled. Opening makes sure of the journals first, then catches sled up, or sets it aside and rebuilds it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use marrowline_ledger::store::{Batch, Epoch, MAX_BATCH, NoteKind, Reader, Store, StoreError};

use crate::disk::{Disk, RealDisk};
use crate::durable::Durable;
use crate::frame::Item;
use crate::journal::SEGMENT_BYTES;
use crate::lock::FolderLock;
use crate::pending::{PendingBatch, PendingNotes};
use crate::reading::Shelf;
use crate::recover::{self, Progress};
use crate::verify::Torn;

/// How often sled is made durable.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Batches that may wait for sled before commits wait too.
const MAX_PENDING: usize = 64;

/// What opening found and mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Records that the projection was behind the journal and has caught up.
    pub caught_up: u64,
    /// Why the projection was set aside and rebuilt, if it was.
    pub rebuilt: Option<String>,
    /// The torn end of the journal that was cut off, if there was one.
    pub torn: Option<Torn>,
    /// The torn end of the second journal that was cut off, if there was one.
    pub torn_notes: Option<Torn>,
    /// What else was put right, in words.
    pub healed: Vec<String>,
}

enum Work {
    Batch(Arc<PendingBatch>),
    Notes(Arc<PendingNotes>),
}

/// The store of one machine. Holds the folder's lock until it is closed or dropped.
pub struct LocalStore {
    shelf: Arc<Shelf>,
    durable: Durable,
    work: Option<SyncSender<Work>>,
    applier: Option<JoinHandle<Result<(), StoreError>>>,
    lock: Option<FolderLock>,
}

impl LocalStore {
    /// Opens the store in a folder, which is made if it is not there. `progress` is told records done and records to do while the
    /// projection catches up.
    pub fn open(folder: &Path, progress: &mut Progress<'_>) -> Result<(LocalStore, OpenReport), StoreError> {
        LocalStore::open_on(Arc::new(RealDisk), folder, SEGMENT_BYTES, progress)
    }

    /// Opens the store with its journals on some disk. Lock and sled are in the machine's folder of that name.
    pub(crate) fn open_on(
        disk: Arc<dyn Disk>,
        folder: &Path,
        segment_bytes: u64,
        progress: &mut Progress<'_>,
    ) -> Result<(LocalStore, OpenReport), StoreError> {
        let lock = FolderLock::take(folder)?;
        let mut durable = Durable::open(disk, folder, segment_bytes)?;
        let mut report = OpenReport::default();
        let projection = recover::projection(&mut durable, &folder.join("sled"), &mut report, progress)?;
        let checkpoint = durable.checkpoint().map(str::to_owned);
        let shelf = Arc::new(Shelf::new(projection, durable.journal().size(), checkpoint));
        let (work, queue) = sync_channel(MAX_PENDING);
        let applied_to = Arc::clone(&shelf);
        let applier = thread::Builder::new()
            .name("applier".to_owned())
            .spawn(move || apply(&applied_to, &queue))
            .map_err(|e| StoreError::Failed(format!("cannot start a thread: {e}")))?;
        Ok((LocalStore { shelf, durable, work: Some(work), applier: Some(applier), lock: Some(lock) }, report))
    }

    /// Gives work to the applier. It is durable and readers see it: without the applier nothing is lost, but nothing more is taken.
    fn hand_over(&mut self, work: Work) -> Result<(), StoreError> {
        let sent = self.work.as_ref().is_some_and(|queue| queue.send(work).is_ok());
        if sent {
            return Ok(());
        }
        let reason = "the thread that fills sled has stopped; restart the ledger".to_owned();
        self.durable.stop(&reason);
        Err(StoreError::Failed(reason))
    }
}

/// The applier: moves batches into sled, and makes sled durable now and then.
fn apply(shelf: &Shelf, queue: &Receiver<Work>) -> Result<(), StoreError> {
    let mut last_flush = Instant::now();
    let mut dirty = false;
    loop {
        match queue.recv_timeout(FLUSH_EVERY) {
            Ok(Work::Batch(batch)) => shelf.apply(&batch)?,
            Ok(Work::Notes(notes)) => shelf.apply_notes(&notes)?,
            Err(RecvTimeoutError::Timeout) if dirty => {}
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return shelf.flush(),
        }
        dirty = true;
        if last_flush.elapsed() >= FLUSH_EVERY {
            shelf.flush()?;
            last_flush = Instant::now();
            dirty = false;
        }
    }
}

impl Store for LocalStore {
    fn claim(&mut self) -> Result<Epoch, StoreError> {
        self.durable.claim()
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.durable.check(epoch)?;
        if batch.records.is_empty() || batch.records.len() > MAX_BATCH {
            return Err(StoreError::Failed(format!("a batch of {} records", batch.records.len())));
        }
        let items: Vec<Item<'_>> = batch.records.iter().map(|r| (r.leaf.as_slice(), r.record.as_ref())).collect();
        self.durable.commit(epoch, batch.first, batch.root_after, &items)?;
        // Durable from here on. Readers see the batch before anyone is told of it.
        let pending = Arc::new(PendingBatch::new(batch.clone()));
        self.shelf.show(Arc::clone(&pending));
        self.hand_over(Work::Batch(pending))
    }

    fn note(&mut self, epoch: Epoch, notes: &[(NoteKind, Vec<u8>)]) -> Result<(), StoreError> {
        let first = self.durable.note(epoch, notes)?;
        if notes.is_empty() {
            return Ok(());
        }
        let items = notes.iter().map(|(kind, body)| (*kind as u8, body.as_slice()));
        let pending = Arc::new(PendingNotes::new(first, items, self.durable.notes().link()));
        self.shelf.show_notes(Arc::clone(&pending));
        self.hand_over(Work::Notes(pending))
    }

    fn publish(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), StoreError> {
        self.durable.publish(epoch, checkpoint)?;
        self.shelf.show_checkpoint(checkpoint);
        Ok(())
    }

    fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        self.durable.room_for(bytes)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.shelf) as Arc<dyn Reader>
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.durable.stop("the store was closed");
        self.work = None;
        let applied = match self.applier.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::Failed("the thread that fills sled panicked".to_owned())),
            None => Ok(()),
        };
        let closed = self.shelf.close();
        self.lock = None;
        applied.and(closed)
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "closing the store failed; it is durable without it");
        }
    }
}
