//! The local store: journal, projection and checkpoint file together.
//!
//! A commit returns when its journal frame is durable; readers see it at once, from memory until the projection has it. One applier
//! thread moves batches into sled. Opening catches the projection up, or sets it aside and rebuilds it.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use marrowline_ledger::index_values;
use marrowline_ledger::store::{Batch, Epoch, MAX_BATCH, NoteKind, Reader, StagedRecord, Store, StoreError};
use marrowline_merkle::{Edge, Hash, leaf_hash};
use marrowline_record::id::{RecordId, StreamKey};
use marrowline_record::leaf::Leaf;

use crate::checkpoint;
use crate::disk::{Disk, RealDisk};
use crate::frame::Frame;
use crate::journal::{Journal, SEGMENT_BYTES, failed};
use crate::notes::{Notes, Numbered};
use crate::pending::{PendingBatch, Queue};
use crate::projection::Projection;
use crate::verify::Torn;

/// How often sled is made durable.
const FLUSH_EVERY: Duration = Duration::from_secs(2);
/// Batches that may wait for sled before commits wait too.
const MAX_PENDING: usize = 64;
/// Space that must stay free beside what a commit needs.
const RESERVE_BYTES: u64 = SEGMENT_BYTES.saturating_mul(2);

/// What opening found and mended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Records that the projection was behind the journal and has caught up.
    pub caught_up: u64,
    /// Why the projection was set aside and rebuilt, if it was.
    pub rebuilt: Option<String>,
    /// The torn end of the journal that was cut off, if there was one.
    pub torn: Option<Torn>,
}

/// What the store and its readers share.
struct Inner {
    folder: PathBuf,
    projection: Projection,
    /// Durable and not yet in the projection.
    pending: Mutex<Queue>,
    /// Durable records.
    size: AtomicU64,
}

enum Work {
    Batch(Arc<PendingBatch>),
    Notes(Vec<Numbered>),
}

/// The store of one machine. Holds the folder's lock as long as it lives.
pub struct LocalStore {
    inner: Arc<Inner>,
    disk: Arc<dyn Disk>,
    journal: Journal,
    notes: Notes,
    work: Option<SyncSender<Work>>,
    applier: Option<JoinHandle<Result<(), StoreError>>>,
    epoch: u64,
    /// Why nothing more is accepted.
    poisoned: Option<String>,
    _lock: File,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LocalStore {
    /// Opens the store in a folder, which is made if it is not there. `progress` is told records done and records to do while the
    /// projection catches up.
    pub fn open(folder: &Path, progress: &mut dyn FnMut(u64, u64)) -> Result<(LocalStore, OpenReport), StoreError> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        disk.create_folder(folder).map_err(|e| failed("cannot create", folder, &e))?;
        let lock = lock_folder(folder)?;
        let published = match checkpoint::read(disk.as_ref(), folder)? {
            Some(note) => checkpoint::size(folder, &note)?,
            None => 0,
        };
        let mut report = OpenReport::default();
        let sled_folder = folder.join("sled");
        let mut projection = open_projection(&sled_folder, &mut report)?;
        let (applied, root) = projection.applied()?;
        let (mut journal, mut found) = Journal::open(Arc::clone(&disk), &folder.join("journal"), applied, published)?;
        report.torn = found.torn.take();
        if let Some(reason) = disagreement(&journal, &found.frames, applied, root) {
            drop(projection);
            set_aside(&sled_folder)?;
            report.rebuilt = Some(reason);
            projection = Projection::open(&sled_folder)?;
        }
        if report.rebuilt.is_some() {
            (journal, found) = Journal::open(Arc::clone(&disk), &folder.join("journal"), 0, published)?;
        }
        report.caught_up = catch_up(&projection, &found.frames, journal.size(), progress)?;
        let (notes, noted) = Notes::open(&disk, &folder.join("notes"))?;
        let applied_notes = projection.applied_notes()?;
        let missing: Vec<Numbered> = noted.into_iter().filter(|(n, _, _)| *n >= applied_notes).collect();
        projection.apply_notes(&missing)?;
        projection.flush()?;
        let inner = Arc::new(Inner {
            folder: folder.to_owned(),
            projection,
            pending: Mutex::new(VecDeque::new()),
            size: AtomicU64::new(journal.size()),
        });
        let (work, queue) = sync_channel(MAX_PENDING);
        let applier_inner = Arc::clone(&inner);
        let applier = thread::Builder::new()
            .name("applier".to_owned())
            .spawn(move || apply(&applier_inner, &queue))
            .map_err(|e| StoreError::Failed(format!("cannot start a thread: {e}")))?;
        let store = LocalStore {
            inner,
            disk,
            journal,
            notes,
            work: Some(work),
            applier: Some(applier),
            epoch: read_epoch(folder)?,
            poisoned: None,
            _lock: lock,
        };
        Ok((store, report))
    }

    fn check(&self, epoch: Epoch) -> Result<(), StoreError> {
        if let Some(reason) = &self.poisoned {
            return Err(StoreError::Failed(reason.clone()));
        }
        if epoch.0 != self.epoch {
            return Err(StoreError::Fenced { current: self.epoch, held: epoch.0 });
        }
        Ok(())
    }

    /// A failure after which what is on the disk is not known: nothing more is accepted on these descriptors.
    fn poison<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.poisoned.get_or_insert(error.to_string());
        }
        result
    }

    fn hand_over(&self, work: Work) -> Result<(), StoreError> {
        let stopped = || StoreError::Failed("the projection's thread has stopped".to_owned());
        self.work.as_ref().ok_or_else(stopped)?.send(work).map_err(|_| stopped())
    }
}

fn lock_folder(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let file =
        File::options().create(true).truncate(false).write(true).open(&path).map_err(|e| failed("cannot open", &path, &e))?;
    file.try_lock()
        .map_err(|_| StoreError::Failed(format!("the ledger in {} is in use by another process", folder.display())))?;
    Ok(file)
}

fn open_projection(folder: &Path, report: &mut OpenReport) -> Result<Projection, StoreError> {
    match Projection::open(folder).and_then(|p| p.applied().map(|_| p)) {
        Ok(projection) => Ok(projection),
        Err(error) => {
            set_aside(folder)?;
            report.rebuilt = Some(error.to_string());
            Projection::open(folder)
        }
    }
}

/// Moves a projection away that cannot be used; it is kept for a look.
fn set_aside(folder: &Path) -> Result<(), StoreError> {
    for number in 1..1_000u32 {
        let aside = folder.with_extension(format!("aside-{number}"));
        if !aside.exists() {
            return fs::rename(folder, &aside).map_err(|e| failed("cannot set aside", folder, &e));
        }
    }
    Err(StoreError::Failed(format!("too many projections set aside beside {}", folder.display())))
}

/// Why a projection is not one of this journal, if so.
fn disagreement(journal: &Journal, frames: &[Frame], applied: u64, root: Hash) -> Option<String> {
    if applied > journal.size() {
        return Some(format!("it has {applied} records, the journal {}", journal.size()));
    }
    let end = |frame: &Frame| frame.first.saturating_add(u64::try_from(frame.items.len()).unwrap_or(0));
    let expected = if applied == 0 {
        Some(marrowline_merkle::empty_root())
    } else {
        frames.iter().find(|f| end(f) == applied).map(|f| f.hash)
    };
    match expected {
        Some(expected) if expected == root => None,
        Some(_) => Some(format!("its root at {applied} records is not the journal's")),
        // The frame that ends there is in a segment before: sled and the journal agree on where a segment begins.
        None if frames.first().is_none_or(|f| f.first == applied) => None,
        None => Some(format!("the journal has no frame that ends at {applied} records")),
    }
}

/// Applies the frames that the projection does not have.
fn catch_up(projection: &Projection, frames: &[Frame], size: u64, progress: &mut dyn FnMut(u64, u64)) -> Result<u64, StoreError> {
    let (applied, _) = projection.applied()?;
    let todo = size.saturating_sub(applied);
    let mut edge = edge_of(projection, applied)?;
    for frame in frames.iter().filter(|f| f.first >= applied) {
        let pending = PendingBatch::new(batch_of(frame, &mut edge)?);
        projection.apply(&pending)?;
        progress(edge.size().saturating_sub(applied), todo);
    }
    Ok(todo)
}

fn edge_of(projection: &Projection, size: u64) -> Result<Edge, StoreError> {
    let missing = |what: String| StoreError::Failed(format!("the projection lacks {what}"));
    Edge::rebuild(
        size,
        |index| {
            let (leaf, _) = projection.entry(index)?.ok_or_else(|| missing(format!("record {index}")))?;
            Ok(leaf_hash(&leaf))
        },
        |level, index| projection.tile(level, index)?.ok_or_else(|| missing(format!("tile {level}/{index}"))),
    )
    .map_err(|e: marrowline_merkle::RebuildError<StoreError>| StoreError::Failed(e.to_string()))
}

/// A frame as the batch that it was.
fn batch_of(frame: &Frame, edge: &mut Edge) -> Result<Batch, StoreError> {
    let mut tiles = Vec::new();
    let mut records = Vec::with_capacity(frame.items.len());
    for (number, (leaf, record)) in (frame.first..).zip(&frame.items) {
        let damaged = |what: String| StoreError::Damaged {
            what: "a record of the journal".to_owned(),
            place: format!("record {number}: {what}"),
            next: "run fsck; restore from a backup".to_owned(),
        };
        let decoded = Leaf::decode(leaf).map_err(|e| damaged(e.to_string()))?;
        let content = marrowline_record::decode(record).map_err(|e| damaged(format!("{e:?}")))?;
        let record_id = RecordId::from_slice(&content.record_id).ok_or_else(|| damaged("no record id".to_owned()))?;
        edge.append(leaf_hash(leaf), &mut tiles);
        records.push(StagedRecord {
            index: number,
            leaf: leaf.clone(),
            record: record.as_slice().into(),
            record_id,
            links: decoded.links.iter().map(|l| (l.stream_key, l.seq)).collect(),
            signed_hash: decoded.signed_hash(),
            index_writes: index_values(number, leaf, record)?,
        });
    }
    if edge.root() != frame.hash {
        return Err(StoreError::Damaged {
            what: "the journal".to_owned(),
            place: format!("the frame of record {}: its records do not give its root", frame.first),
            next: "run fsck; restore from a backup".to_owned(),
        });
    }
    Ok(Batch { first: frame.first, records, root_after: frame.hash, tiles })
}

/// The applier: moves batches into sled, and makes sled durable now and then.
fn apply(inner: &Inner, queue: &Receiver<Work>) -> Result<(), StoreError> {
    let mut last_flush = Instant::now();
    let mut dirty = false;
    loop {
        match queue.recv_timeout(FLUSH_EVERY) {
            Ok(Work::Batch(pending)) => {
                inner.projection.apply(&pending)?;
                lock(&inner.pending).pop_front();
                dirty = true;
            }
            Ok(Work::Notes(notes)) => {
                inner.projection.apply_notes(&notes)?;
                dirty = true;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return inner.projection.flush(),
        }
        if dirty && last_flush.elapsed() >= FLUSH_EVERY {
            inner.projection.flush()?;
            last_flush = Instant::now();
            dirty = false;
        }
    }
}

fn read_epoch(folder: &Path) -> Result<u64, StoreError> {
    let path = folder.join("epoch");
    match fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map_err(|_| StoreError::Damaged {
            what: path.display().to_string(),
            place: "not a number".to_owned(),
            next: "write the number of times that the ledger was started, or any larger one".to_owned(),
        }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(failed("cannot read", &path, &e)),
    }
}

impl Store for LocalStore {
    fn claim(&mut self) -> Result<Epoch, StoreError> {
        let epoch = self.epoch.saturating_add(1);
        let (new, path) = (self.inner.folder.join("epoch.new"), self.inner.folder.join("epoch"));
        let write = || {
            let file = self.disk.open(&new, true)?;
            file.set_len(0)?;
            file.write_all_at(epoch.to_string().as_bytes(), 0)?;
            file.sync_data()?;
            self.disk.rename(&new, &path)?;
            self.disk.sync_folder(&self.inner.folder)
        };
        write().map_err(|e| failed("cannot write", &path, &e))?;
        self.epoch = epoch;
        Ok(Epoch(epoch))
    }

    fn commit(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError> {
        self.check(epoch)?;
        if batch.first != self.journal.size() {
            return Err(StoreError::OutOfOrder { first: batch.first, size: self.journal.size() });
        }
        if batch.records.is_empty() || batch.records.len() > MAX_BATCH {
            return Err(StoreError::Failed(format!("a batch of {} records", batch.records.len())));
        }
        let bytes: usize = batch.records.iter().map(|r| r.leaf.len().saturating_add(r.record.len())).sum();
        self.room_for(u64::try_from(bytes).unwrap_or(u64::MAX))?;
        let frame = Frame {
            first: batch.first,
            hash: batch.root_after,
            items: batch.records.iter().map(|r| (r.leaf.clone(), r.record.to_vec())).collect(),
        };
        let count = u64::try_from(batch.records.len()).unwrap_or(u64::MAX);
        let appended = self.journal.append(&frame, count);
        self.poison(appended)?;
        // Durable from here on. Readers see the batch before anyone is told of it.
        let pending = Arc::new(PendingBatch::new(batch.clone()));
        lock(&self.inner.pending).push_back(Arc::clone(&pending));
        self.inner.size.store(self.journal.size(), Ordering::SeqCst);
        let handed = self.hand_over(Work::Batch(pending));
        self.poison(handed)
    }

    fn note(&mut self, epoch: Epoch, notes: &[(NoteKind, Vec<u8>)]) -> Result<(), StoreError> {
        self.check(epoch)?;
        let appended = self.notes.append(notes);
        let first = self.poison(appended)?;
        let numbered = (first..).zip(notes).map(|(n, (kind, body))| (n, *kind, body.clone())).collect();
        let handed = self.hand_over(Work::Notes(numbered));
        self.poison(handed)
    }

    fn publish(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), StoreError> {
        self.check(epoch)?;
        let written = checkpoint::write(self.disk.as_ref(), &self.inner.folder, checkpoint);
        self.poison(written)
    }

    fn room_for(&self, bytes: u64) -> Result<(), StoreError> {
        let needed_bytes = bytes.saturating_add(RESERVE_BYTES);
        let free_bytes = self
            .disk
            .free_bytes(&self.inner.folder)
            .map_err(|e| failed("cannot ask for the space of", &self.inner.folder, &e))?;
        if free_bytes < needed_bytes {
            return Err(StoreError::Full { free_bytes, needed_bytes });
        }
        Ok(())
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.inner) as Arc<dyn Reader>
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.poisoned.get_or_insert("the store was closed".to_owned());
        self.work = None;
        match self.applier.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::Failed("the projection's thread panicked".to_owned())),
            None => Ok(()),
        }
    }
}

impl Inner {
    /// Asks the batches that are not in the projection yet, newest first.
    fn in_pending<T>(&self, ask: impl Fn(&PendingBatch) -> Option<T>) -> Option<T> {
        lock(&self.pending).iter().rev().find_map(|p| ask(p))
    }
}

impl Reader for Inner {
    fn size(&self) -> u64 {
        self.size.load(Ordering::SeqCst)
    }

    fn entry(&self, index: u64) -> Result<Option<(Vec<u8>, Vec<u8>)>, StoreError> {
        match self.in_pending(|p| p.entry(index)) {
            Some(entry) => Ok(Some(entry)),
            None => self.projection.entry(index),
        }
    }

    fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, StoreError> {
        Ok(self.entry(index)?.map(|(leaf, _)| leaf_hash(&leaf)))
    }

    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError> {
        match self.in_pending(|p| p.tile(level, index)) {
            Some(tile) => Ok(Some(tile)),
            None => self.projection.tile(level, index),
        }
    }

    fn index_of(&self, record_id: &RecordId) -> Result<Option<u64>, StoreError> {
        match self.in_pending(|p| p.ids.get(record_id).copied()) {
            Some(index) => Ok(Some(index)),
            None => self.projection.index_of(record_id),
        }
    }

    fn head(&self, stream: &StreamKey) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        match self.in_pending(|p| p.heads.get(stream).copied()) {
            Some(head) => Ok(Some(head)),
            None => self.projection.head(stream),
        }
    }

    fn link(&self, stream: &StreamKey, seq: u64) -> Result<Option<(u64, [u8; 32])>, StoreError> {
        match self.in_pending(|p| p.links.get(&(*stream, seq)).copied()) {
            Some(link) => Ok(Some(link)),
            None => self.projection.link(stream, seq),
        }
    }

    fn lookup(&self, key: &[u8]) -> Result<Option<[u8; 16]>, StoreError> {
        // The newest value wins, unless it gives way to an older one: then the oldest does.
        let pending = lock(&self.pending);
        let newest = pending.iter().rev().find_map(|p| p.index.get(key));
        match newest {
            Some((value, false)) => Ok(Some(*value)),
            Some((_, true)) => {
                let oldest = pending.iter().find_map(|p| p.index.get(key)).map(|(value, _)| *value);
                drop(pending);
                Ok(self.projection.lookup(key)?.or(oldest))
            }
            None => {
                drop(pending);
                self.projection.lookup(key)
            }
        }
    }

    fn scan(&self, prefix: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, [u8; 16])>, StoreError> {
        let mut found: std::collections::BTreeMap<_, _> = self.projection.scan(prefix, limit)?.into_iter().collect();
        for pending in lock(&self.pending).iter() {
            for (key, (value, gives_way)) in pending.index.range(prefix.to_vec()..).take_while(|(k, _)| k.starts_with(prefix)) {
                if !(*gives_way && found.contains_key(key)) {
                    found.insert(key.clone(), *value);
                }
            }
        }
        Ok(found.into_iter().take(limit).collect())
    }

    fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.projection.notes(kind, from, limit)
    }

    fn checkpoint(&self) -> Result<Option<String>, StoreError> {
        checkpoint::read(&RealDisk, &self.folder)
    }
}
