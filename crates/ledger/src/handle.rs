//! The ledger's handle: what servers, tests and tools hold.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::Instant;

use lru::LruCache;
use marrowline_merkle::{Edge, Hash, SignedCheckpoint, TlogProof, TreeReader, VerifierKey, consistency_proof, inclusion_proof};
use marrowline_proof::Receipt;
use marrowline_record::OpenedRecord;
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::instant::MAX_UNIX_MS;
use marrowline_record::key::KeyRef;
use marrowline_record::leaf::Leaf;
use marrowline_record::origin::Origin;
use marrowline_record::pb::StreamKind;
use marrowline_record::pb::record::Event;
use marrowline_record::stream::{AUTHORITY_ID, stream_key};
use marrowline_rules::index::IndexKey;
use marrowline_rules::state::Stream;
use marrowline_rules::{At, Verdict, View};
use tokio::sync::{oneshot, watch};

use crate::clock::{Clock, Reading, TimeSource};
use crate::committer::{Committer, Order};
use crate::log_keys::{KnownLogKey, LogKeys, handover_note};
use crate::refusal::Refusal;
use crate::sequencer::{Job, Sequencer};
use crate::shared::{Appended, Committed, PublishedCheckpoint, Shared, StoredTiles, lock, read};
use crate::snapshot::Snapshot;
use crate::store::{NoteKind, Reader, Store, StoreError, Verbatim};

/// Requests that may wait for the sequencer.
const QUEUE: usize = 4_096;
/// Records that may wait for it. A request holds up to 256, so requests alone would not bound memory: these are at most 128 MiB.
const QUEUE_RECORDS: u64 = 16_384;

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many records are waiting; try again in {retry_after_ms} ms")]
pub struct Busy {
    /// When to try again.
    pub retry_after_ms: u64,
}

/// Why a ledger does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenFailure {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is stored does not lead to the checkpoint that was signed.
    #[error("the store has {size} records, the last checkpoint says {checkpoint}: {next}")]
    Behind {
        /// Size of the store.
        size: u64,
        /// Size of the checkpoint.
        checkpoint: u64,
        /// What to do.
        next: String,
    },
    /// The tree has another root than the checkpoint that was signed.
    #[error("the tree at size {size} has another root than the checkpoint that was signed: restore from a backup")]
    RootDiffers {
        /// The checkpoint's size.
        size: u64,
    },
    /// The key is not the one that the ledger was founded with.
    #[error("the checkpoint key is not the one that the ledger was founded with")]
    KeyDiffers,
    /// A checkpoint or an origin is malformed, or not signed by this key.
    #[error("{0}")]
    Malformed(String),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(std::io::Error),
}

/// A running ledger. Cheap to clone.
#[derive(Clone)]
pub struct Ledger {
    shared: Arc<Shared>,
    jobs: SyncSender<Job>,
    orders: SyncSender<Order>,
}

impl Ledger {
    /// Opens a ledger on a store, empty or not. The first record of an empty one founds it.
    pub fn open(
        mut store: Box<dyn Store>,
        log_keys: impl Into<LogKeys>,
        time: Box<dyn TimeSource>,
    ) -> Result<Ledger, OpenFailure> {
        let epoch = store.claim()?;
        let reader = store.reader();
        let size = reader.size();
        let edge = rebuild(reader.as_ref(), size)?;
        let founding = founding(reader.as_ref())?;
        let origin = founding.as_ref().map(|(origin, _)| origin.clone());
        let last_ms = last_recorded_ms(reader.as_ref(), size)?;
        let clock = match founding.as_ref().map(|(_, e)| e.training) {
            Some(true) => Clock::Simulated { now_ms: simulated_ms(reader.as_ref())?.max(last_ms) },
            _ => Clock::wall(time.as_ref(), last_ms),
        };
        let shared = Arc::new(Shared {
            reader,
            committed: RwLock::new(Committed {
                edge: edge.clone(),
                checkpoint: Arc::new(PublishedCheckpoint { size: 0, root: marrowline_merkle::empty_root(), note: String::new() }),
            }),
            streams: Shared::cache(),
            keyring: RwLock::new(Arc::new(HashMap::new())),
            clock: Mutex::new(clock),
            time,
            last_recorded_ms: AtomicI64::new(last_ms),
            stopped: Mutex::new(None),
            read_only: Mutex::new(None),
            continued: Mutex::new(LruCache::new(NonZeroUsize::new(1_024).unwrap_or(NonZeroUsize::MIN))),
            origin: RwLock::new(origin),
            log_keys: RwLock::new(log_keys.into()),
            waiting: AtomicU64::new(0),
            watch: watch::Sender::new(size),
        });
        if size > 0 {
            let checkpoint = sign_first(&shared, store.as_mut(), epoch, &edge)?;
            crate::shared::write(&shared.committed).checkpoint = Arc::new(checkpoint);
            check_published(&shared)?;
            if let Some(Stream::Authority(a)) = shared.stream(StreamKind::Authority, &Id16(AUTHORITY_ID), size)?.as_deref() {
                shared.renew_keyring(a);
            }
        }
        start(shared, store, epoch)
    }

    /// Hands records to the sequencer: all are appended in order, or none.
    pub fn submit(&self, records: Vec<OpenedRecord>) -> Result<oneshot::Receiver<Result<Vec<Appended>, Refusal>>, Busy> {
        let (reply, answer) = oneshot::channel();
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let waiting = self.shared.waiting.fetch_add(count, Ordering::Relaxed);
        let is_full = waiting > 0 && waiting.saturating_add(count) > QUEUE_RECORDS;
        let sent = if is_full { None } else { self.jobs.try_send(Job { records, reply }).ok() };
        if sent.is_some() {
            return Ok(answer);
        }
        self.shared.waiting.fetch_sub(count, Ordering::Relaxed);
        // About 10 000 records a second pass.
        let retry_after_ms = (waiting / 10).clamp(50, 5_000);
        Err(Busy { retry_after_ms })
    }

    /// What [`Ledger::submit`] would say now; nothing is kept.
    pub fn judge(&self, record: &OpenedRecord) -> Result<(Verdict, Reading), Refusal> {
        let view = self.snapshot();
        let last = self.shared.last_recorded_ms.load(Ordering::SeqCst);
        let at = At { index: self.size(), recorded_at_ms: view.now_ms().max(last) };
        let rule_set = marrowline_rules::rule_set_for(&view.authority(), record.event());
        let verdict = marrowline_rules::judge(rule_set, &view, at, record);
        match (view.failure(), verdict) {
            (None, Some(verdict)) => {
                if let (Verdict::Accepted { .. }, Some(event)) = (&verdict, record.event()) {
                    read(&self.shared.log_keys).check(event)?;
                }
                Ok((verdict, Reading { now_ms: at.recorded_at_ms, trusted: view.clock_trusted() }))
            }
            (failure, _) => {
                Err(Refusal::CannotJudge { reason: failure.unwrap_or_else(|| format!("rule set {rule_set} is unknown")) })
            }
        }
    }

    /// Committed state, as of the last checkpoint.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::committed(&self.shared)
    }

    /// The keys that may sign: those granted in a commit before.
    pub fn keyring(&self) -> Arc<HashMap<KeyId, KeyRef>> {
        Arc::clone(&read(&self.shared.keyring))
    }

    /// The last signed checkpoint. Its note is empty before the founding.
    pub fn checkpoint(&self) -> Arc<PublishedCheckpoint> {
        Arc::clone(&read(&self.shared.committed).checkpoint)
    }

    /// Number of records under the last checkpoint.
    pub fn size(&self) -> u64 {
        self.shared.size()
    }

    /// The receipt of a leaf at a checkpoint. Size, root and proof come from this one checkpoint.
    pub fn receipt(&self, index: u64, checkpoint: &PublishedCheckpoint) -> Result<Receipt, StoreError> {
        let edge = read(&self.shared.committed).edge.clone();
        let tiles = StoredTiles(self.shared.reader.as_ref());
        let mut reader = TreeReader::new(&edge, &tiles);
        let hashes = inclusion_proof(index, checkpoint.size, &mut reader).map_err(|e| StoreError::Failed(e.to_string()))?;
        self.receipt_with(index, hashes, checkpoint)
    }

    /// The receipt of a record that was just appended.
    pub fn receipt_of(&self, appended: &Appended) -> Result<Receipt, StoreError> {
        match &appended.inclusion {
            Some(hashes) => self.receipt_with(appended.index, hashes.clone(), &appended.checkpoint),
            None => self.receipt(appended.index, &appended.checkpoint),
        }
    }

    fn receipt_with(&self, index: u64, hashes: Vec<Hash>, checkpoint: &PublishedCheckpoint) -> Result<Receipt, StoreError> {
        let (leaf, record) = self.shared.reader.entry(index)?.ok_or_else(|| missing(index))?;
        let proof = TlogProof::new(index, hashes, &checkpoint.note).map_err(|e| StoreError::Failed(e.to_string()))?;
        Ok(Receipt { index, leaf, record, tlog_proof: proof.to_string() })
    }

    /// Root of the tree of the first `size` leaves.
    fn root_at(&self, size: u64) -> Result<Hash, StoreError> {
        let edge = read(&self.shared.committed).edge.clone();
        let tiles = StoredTiles(self.shared.reader.as_ref());
        TreeReader::new(&edge, &tiles).root_at(size).map_err(|e| StoreError::Failed(e.to_string()))
    }

    /// Hashes that prove that the tree of `new` leaves continues the one of `old`.
    pub fn consistency(&self, old: u64, new: u64) -> Result<Vec<Hash>, StoreError> {
        let edge = read(&self.shared.committed).edge.clone();
        let tiles = StoredTiles(self.shared.reader.as_ref());
        let mut reader = TreeReader::new(&edge, &tiles);
        consistency_proof(old, new, &mut reader).map_err(|e| StoreError::Failed(e.to_string()))
    }

    /// A committed record.
    pub fn entry(&self, index: u64) -> Result<Option<Entry>, StoreError> {
        if index >= self.size() {
            return Ok(None);
        }
        self.shared.entry(index)
    }

    /// Leaf and record of a committed record, verbatim.
    pub fn verbatim(&self, index: u64) -> Result<Option<Verbatim>, StoreError> {
        if index >= self.size() {
            return Ok(None);
        }
        self.shared.reader.entry(index)
    }

    /// Index of a record.
    pub fn index_of(&self, id: &RecordId) -> Result<Option<u64>, StoreError> {
        Ok(self.shared.reader.index_of(id)?.filter(|i| *i < self.size()))
    }

    /// Records of a stream from number `from_seq` (from 1) on, at most `limit`.
    pub fn stream_entries(&self, kind: StreamKind, id: &Id16, from_seq: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let key = stream_key(kind as u8, &id.0);
        let length = self.shared.length_at(&key, self.size())?;
        (from_seq.max(1)..=length).take(limit).map(|seq| self.shared.stream_entry(&key, seq)).collect()
    }

    /// Streams of a kind in the order of their ids, from this one on, at most `limit`.
    pub fn streams(&self, kind: StreamKind, from: Option<&Id16>, limit: usize) -> Result<Vec<Id16>, StoreError> {
        let kind = kind as u8;
        let first = from.map(|id| IndexKey::Stream { kind, id: id.0 }.to_bytes()).unwrap_or_default();
        let mut prefix = IndexKey::Stream { kind, id: [0; 16] }.to_bytes();
        prefix.truncate(2);
        let found = self.shared.reader.scan(&prefix, &first, limit)?;
        Ok(found.into_iter().map(|(_, id)| Id16(id)).collect())
    }

    /// Lots that a reagent lot or a device was used for.
    pub fn lots_made_with(&self, thing: &Id16) -> Result<Vec<Id16>, StoreError> {
        let mut prefix = IndexKey::Use { thing: thing.0, lot: [0; 16] }.to_bytes();
        prefix.truncate(prefix.len().saturating_sub(16));
        let found = self.shared.reader.scan(&prefix, &[], usize::MAX)?;
        Ok(found.into_iter().map(|(_, lot)| Id16(lot)).collect())
    }

    /// Records that name an evidence file.
    pub fn records_naming(&self, digest: &[u8; 32]) -> Result<Vec<RecordId>, StoreError> {
        let mut prefix = IndexKey::Evidence { digest: *digest, record: [0; 16] }.to_bytes();
        prefix.truncate(prefix.len().saturating_sub(16));
        let found = self.shared.reader.scan(&prefix, &[], usize::MAX)?;
        Ok(found.into_iter().map(|(_, record)| RecordId(record)).collect())
    }

    /// Evidence files that records name, from a digest on, each as often as records name it.
    pub fn evidence_named(&self, from: &[u8; 32]) -> Result<Vec<[u8; 32]>, StoreError> {
        let first = IndexKey::Evidence { digest: *from, record: [0; 16] }.to_bytes();
        let found = self.shared.reader.scan(first.get(..1).unwrap_or_default(), &first, usize::MAX)?;
        Ok(found.into_iter().filter_map(|(key, _)| key.get(1..33)?.try_into().ok()).collect())
    }

    /// Notified with the committed size after each commit.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.watch.subscribe()
    }

    /// The ledger's origin, once it is founded.
    pub fn origin(&self) -> Option<Origin> {
        read(&self.shared.origin).clone()
    }

    /// Whether the ledger is a TRAINING ledger.
    pub fn is_training(&self) -> bool {
        matches!(*lock(&self.shared.clock), Clock::Simulated { .. })
    }

    /// The key that verifies this log's checkpoints.
    pub fn verifier_key(&self) -> Option<VerifierKey> {
        VerifierKey::new(&self.origin()?.to_string(), read(&self.shared.log_keys).present.verifying_key()).ok()
    }

    /// Every key that has signed this log's checkpoints, with the checkpoint by which it took over; the present one last.
    pub fn log_keys(&self) -> Result<Vec<KnownLogKey>, StoreError> {
        self.shared.known_log_keys()
    }

    /// The ledger's time.
    pub fn reading(&self) -> Reading {
        self.shared.reading()
    }

    /// Moves the simulated clock of a TRAINING ledger forward; what it was moved to survives a restart. `None` for a ledger that is not
    /// TRAINING, a time before the current one, or one that no record can have.
    pub async fn advance_clock(&self, to_ms: i64) -> Result<Option<i64>, Refusal> {
        if !self.is_training() || to_ms < self.reading().now_ms || to_ms > MAX_UNIX_MS {
            return Ok(None);
        }
        self.note(vec![(NoteKind::Clock, to_ms.to_be_bytes().to_vec())]).await?;
        let mut clock = lock(&self.shared.clock);
        if let Clock::Simulated { now_ms } = &mut *clock {
            *now_ms = to_ms.max(*now_ms);
        }
        Ok(Some(to_ms))
    }

    /// Keeps entries in the second journal; returns when they are durable.
    pub async fn note(&self, notes: Vec<(NoteKind, Vec<u8>)>) -> Result<(), Refusal> {
        let stopped = || Refusal::Stopped { reason: "the ledger was shut down".to_owned() };
        let (reply, answer) = oneshot::channel();
        let orders = self.orders.clone();
        tokio::task::spawn_blocking(move || orders.send(Order::Note(notes, reply)))
            .await
            .map_err(|_| stopped())?
            .map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Entries of the second journal.
    pub fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.shared.reader.notes(kind, from, limit)
    }

    /// Tells the ledger which checkpoint a client holds. One that is validly signed and that this log does not continue makes the ledger
    /// read-only: its history was rolled back, whether or not it has grown since.
    pub fn seen_checkpoint(&self, note: &str) {
        let Some(log) = self.verifier_key() else {
            return;
        };
        // Clients send the same few notes again and again; what was found to be continued stays so.
        if note.is_empty() || lock(&self.shared.continued).get(note).is_some() {
            return;
        }
        let Ok(seen) = SignedCheckpoint::open(note, &log) else {
            return;
        };
        let own = self.checkpoint();
        let seen = seen.checkpoint();
        if seen.size() <= own.size {
            match self.root_at(seen.size()) {
                Ok(root) if root == *seen.root() => {
                    lock(&self.shared.continued).put(note.to_owned(), ());
                }
                Ok(_) => {
                    lock(&self.shared.read_only).get_or_insert_with(|| {
                        format!("a client holds a checkpoint of {} records that this log does not continue", seen.size())
                    });
                }
                // A store that cannot answer says so elsewhere; it proves nothing about the client's checkpoint.
                Err(_) => {}
            }
            return;
        }
        if seen.size() > own.size && seen.size() > self.shared.reader.size() {
            lock(&self.shared.read_only).get_or_insert_with(|| {
                format!("a client holds a checkpoint of {} records, this ledger has {}", seen.size(), own.size)
            });
        }
    }

    /// Why the ledger takes no records, if it does not.
    pub fn stopped(&self) -> Option<String> {
        lock(&self.shared.stopped).clone().or_else(|| lock(&self.shared.read_only).clone())
    }

    /// Finishes what is on its way and closes the store. Blocks.
    pub fn shutdown(&self) {
        // An empty job passes the queue like any other: when it is answered, everything before it was.
        if let Ok(answer) = self.submit(Vec::new()) {
            let _ = answer.blocking_recv();
        }
        let (reply, answer) = oneshot::channel();
        if self.orders.send(Order::Close(reply)).is_ok() {
            let _ = answer.blocking_recv();
        }
    }
}

/// The index changes that a stored record brings, for a store that rebuilds its indexes.
pub fn index_values(index: u64, leaf: &[u8], record: &[u8]) -> Result<Vec<crate::store::IndexedValue>, StoreError> {
    Ok(crate::sequencer::index_writes(&crate::shared::decode_entry(index, leaf, record)?))
}

fn missing(index: u64) -> StoreError {
    StoreError::Damaged {
        what: "the store".to_owned(),
        place: format!("record {index} is missing"),
        next: "run fsck; rebuild the projection".to_owned(),
    }
}

fn start(shared: Arc<Shared>, store: Box<dyn Store>, epoch: crate::store::Epoch) -> Result<Ledger, OpenFailure> {
    let (jobs, job_queue) = sync_channel(QUEUE);
    // One batch is written, one waits, one is judged.
    let (orders, order_queue) = sync_channel(1);
    let (done, done_queue) = channel();
    let sequencer = Sequencer::new(Arc::clone(&shared), job_queue, orders.clone(), done_queue);
    let published = shared.size();
    let committer = Committer {
        shared: Arc::clone(&shared),
        store,
        epoch,
        orders: order_queue,
        done,
        generation: 0,
        published: if published == 0 { 0 } else { u64::MAX },
        last_publish: Instant::now(),
    };
    thread::Builder::new().name("sequencer".to_owned()).spawn(move || sequencer.run()).map_err(OpenFailure::Thread)?;
    thread::Builder::new().name("committer".to_owned()).spawn(move || committer.run()).map_err(OpenFailure::Thread)?;
    Ok(Ledger { shared, jobs, orders })
}

fn rebuild(reader: &dyn Reader, size: u64) -> Result<Edge, OpenFailure> {
    let tiles = StoredTiles(reader);
    Edge::rebuild(
        size,
        |index| reader.leaf_hash(index)?.ok_or_else(|| missing(index)),
        |level, index| marrowline_merkle::TileSource::full_tile(&tiles, level, index),
    )
    .map_err(|e: marrowline_merkle::RebuildError<StoreError>| OpenFailure::Malformed(e.to_string()))
}

fn founding(reader: &dyn Reader) -> Result<Option<(Origin, marrowline_record::pb::LedgerFounded)>, OpenFailure> {
    let Some((leaf, record)) = reader.entry(0)? else {
        return Ok(None);
    };
    let entry = crate::shared::decode_entry(0, &leaf, &record)?;
    match entry.event() {
        Some(Event::LedgerFounded(e)) => {
            let origin = Origin::new(&e.name, &entry.digest).map_err(|e| OpenFailure::Malformed(e.to_string()))?;
            Ok(Some((origin, e.clone())))
        }
        _ => Err(OpenFailure::Malformed("the first record is not a founding".to_owned())),
    }
}

fn last_recorded_ms(reader: &dyn Reader, size: u64) -> Result<i64, OpenFailure> {
    let Some(last) = size.checked_sub(1) else {
        return Ok(0);
    };
    let (leaf, _) = reader.entry(last)?.ok_or_else(|| missing(last))?;
    Leaf::decode(&leaf).map(|l| l.recorded_at_ms).map_err(|e| OpenFailure::Malformed(e.to_string()))
}

/// Where the simulated clock was moved to last.
fn simulated_ms(reader: &dyn Reader) -> Result<i64, OpenFailure> {
    let mut from = 0;
    let mut now = 0;
    loop {
        let notes = reader.notes(NoteKind::Clock, from, 1_000)?;
        let Some((last, _)) = notes.last() else {
            return Ok(now);
        };
        from = last.saturating_add(1);
        for (_, bytes) in &notes {
            now = bytes.as_slice().try_into().map(i64::from_be_bytes).unwrap_or(0).clamp(now, MAX_UNIX_MS);
        }
    }
}

/// The checkpoint that a ledger starts with. If the record of a new log key is durable and its handover is not, the handover is made now.
fn sign_first(
    shared: &Shared,
    store: &mut dyn Store,
    epoch: crate::store::Epoch,
    edge: &Edge,
) -> Result<PublishedCheckpoint, OpenFailure> {
    let known = shared.log_key_history(edge.size())?;
    let in_force = known.last().ok_or_else(|| OpenFailure::Malformed("the log has no key".to_owned()))?;
    if shared.is_due(in_force) {
        let is_handed_over = |keys: Vec<KnownLogKey>| keys.last().is_some_and(|key| key.handover.is_some());
        // Nothing is committed yet as far as readers know: the history is asked at the stored size.
        crate::shared::write(&shared.committed).checkpoint =
            Arc::new(PublishedCheckpoint { size: edge.size(), root: edge.root(), note: String::new() });
        if !is_handed_over(shared.known_log_keys()?) {
            let handover = shared.sign_handover(edge).map_err(OpenFailure::Malformed)?;
            store.note(epoch, &[handover_note(in_force.since_index, &handover)])?;
        }
        shared.promote();
    }
    if *read(&shared.log_keys).present.verifying_key().as_bytes() != in_force.public_key {
        return Err(OpenFailure::KeyDiffers);
    }
    shared.sign(edge).map_err(OpenFailure::Malformed)
}

/// The last checkpoint that was signed must be a prefix of what is stored.
fn check_published(shared: &Shared) -> Result<(), OpenFailure> {
    let Some(note) = shared.reader.checkpoint()? else {
        return Ok(());
    };
    let size = shared.reader.size();
    let signed = shared.open_note(&note, size).map_err(|e| OpenFailure::Malformed(format!("the checkpoint file: {e}")))?;
    let published = signed.checkpoint();
    if published.size() > size {
        return Err(OpenFailure::Behind {
            size,
            checkpoint: published.size(),
            next: "records that were acknowledged are missing; restore from a backup".to_owned(),
        });
    }
    let edge = read(&shared.committed).edge.clone();
    let tiles = StoredTiles(shared.reader.as_ref());
    let root = TreeReader::new(&edge, &tiles).root_at(published.size()).map_err(|e| OpenFailure::Malformed(e.to_string()))?;
    if root != *published.root() {
        return Err(OpenFailure::RootDiffers { size: published.size() });
    }
    Ok(())
}
