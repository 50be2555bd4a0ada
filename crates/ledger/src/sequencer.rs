//! The sequencer: one thread that judges records in order and stages them for the committer.
//!
//! The order of things, which is what makes the ledger crash-safe:
//! 1. judge a batch against the committed state with everything on its way laid over it;
//! 2. stage: leaves, the tree's new end, stream links, indexes, folded streams;
//! 3. hand the batch to the committer and judge the next one meanwhile;
//! 4. the committer makes it durable, *then* signs the checkpoint, *then* shows it to readers, *then* answers.
//!
//! If a write fails, everything that was staged on top of it is dropped with it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::time::Duration;

use marrowline_merkle::Edge;
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, StreamKey};
use marrowline_record::leaf::{Leaf, Link};
use marrowline_record::origin::Origin;
use marrowline_record::pb::record::Event;
use marrowline_record::{EventKind, OpenedRecord, stream};
use marrowline_rules::state::Stream;
use marrowline_rules::{At, Finding, Verdict, View, index, judge, rule_set_for, table};
use tokio::sync::oneshot;

use crate::committer::{Answer, Done, Order, Staged};
use crate::overlay::{Overlay, Recent};
use crate::refusal::{Moved, Refusal};
use crate::shared::{Appended, Shared, lock, read};
use crate::snapshot::Snapshot;
use crate::store::{Batch, IndexedValue, MAX_BATCH, StagedRecord};

/// What a caller waits for.
pub(crate) type Reply = oneshot::Sender<Result<Vec<Appended>, Refusal>>;

/// One request: all records or none.
pub(crate) struct Job {
    pub records: Vec<OpenedRecord>,
    pub reply: Reply,
}

/// Most requests that are answered with one commit, so that refusals do not hold it up for ever.
const MAX_ANSWERS: usize = MAX_BATCH * 2;

/// How long the sequencer waits for work before it looks around.
const IDLE: Duration = Duration::from_millis(200);

/// The sequencer's own state; only its thread touches it.
pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    jobs: Receiver<Job>,
    orders: SyncSender<Order>,
    done: Receiver<Done>,
    /// Batches on their way to the disk, oldest first.
    in_flight: VecDeque<Arc<Overlay>>,
    /// The tree's end with everything that is on its way.
    edge: Edge,
    /// Streams as they stand with everything that is on its way.
    recent: Arc<Recent>,
    /// Raised when a write failed: batches of an older generation stand on something that does not exist.
    generation: u64,
}

/// A batch while it is being judged.
#[derive(Default)]
struct Building {
    overlay: Arc<Overlay>,
    records: Vec<StagedRecord>,
    tiles: Vec<marrowline_merkle::CompletedTile>,
    answers: Vec<Answer>,
    founded: Option<Origin>,
}

impl Sequencer {
    pub fn new(shared: Arc<Shared>, jobs: Receiver<Job>, orders: SyncSender<Order>, done: Receiver<Done>) -> Sequencer {
        let edge = read(&shared.committed).edge.clone();
        Sequencer { shared, jobs, orders, done, in_flight: VecDeque::new(), edge, recent: Arc::default(), generation: 0 }
    }

    /// Runs until the last handle is gone.
    pub fn run(mut self) {
        loop {
            let first = match self.jobs.recv_timeout(IDLE) {
                Ok(job) => job,
                Err(RecvTimeoutError::Timeout) => {
                    self.settle();
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.settle();
            self.batch(first);
        }
    }

    /// Takes note of what the committer has finished.
    fn settle(&mut self) {
        while let Ok(done) = self.done.try_recv() {
            match done {
                Done::Committed => {
                    self.in_flight.pop_front();
                }
                Done::Failed => {
                    self.in_flight.clear();
                    self.recent.clear();
                    self.edge = read(&self.shared.committed).edge.clone();
                    self.generation = self.generation.saturating_add(1);
                }
            }
        }
    }

    /// Judges jobs until the batch is full or nobody waits.
    fn batch(&mut self, first: Job) {
        let mut building = Building::default();
        let mut next = Some(first);
        while let Some(job) = next.take() {
            let count = job.records.len();
            self.shared.waiting.fetch_sub(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
            if building.records.len().saturating_add(count) > MAX_BATCH {
                self.hand_over(std::mem::take(&mut building));
                self.settle();
            }
            self.judge_job(&mut building, job);
            let full = building.records.len() >= MAX_BATCH || building.answers.len() >= MAX_ANSWERS;
            next = (if full { Err(TryRecvError::Empty) } else { self.jobs.try_recv() }).ok();
        }
        self.hand_over(building);
    }

    fn hand_over(&mut self, building: Building) {
        if building.answers.is_empty() {
            return;
        }
        let overlay = building.overlay;
        self.in_flight.push_back(Arc::clone(&overlay));
        let size = u64::try_from(building.records.len()).unwrap_or(u64::MAX);
        let staged = Staged {
            batch: Batch {
                first: self.edge.size().saturating_sub(size),
                records: building.records,
                root_after: self.edge.root(),
                tiles: building.tiles,
            },
            edge: self.edge.clone(),
            overlay,
            answers: building.answers,
            founded: building.founded,
            generation: self.generation,
        };
        // Blocks while one batch is being written and one waits: that is the pace of the disk.
        if self.orders.send(Order::Commit(Box::new(staged))).is_err() {
            self.in_flight.pop_back();
            self.recent.clear();
        }
    }

    /// Judges one job: all of its records are staged, or none.
    fn judge_job(&mut self, building: &mut Building, job: Job) {
        if let Some(refusal) = self.closed() {
            let _ = job.reply.send(Err(refusal));
            return;
        }
        let edge_before = self.edge.clone();
        let mut base: Vec<Arc<Overlay>> = self.in_flight.iter().cloned().collect();
        base.push(Arc::clone(&building.overlay));
        let mut attempt = Attempt { base, ..Attempt::default() };
        let outcome = job.records.iter().try_for_each(|record| self.judge_record(&mut attempt, record));
        let Attempt { base, own, records, tiles, results, founded } = attempt;
        drop(base);
        match outcome {
            Ok(()) => {
                for (key, known) in own.known() {
                    self.recent.put(key, known);
                }
                // Nobody else holds these: they are moved, not copied.
                Arc::make_mut(&mut building.overlay).absorb(Arc::unwrap_or_clone(own));
                building.records.extend(records);
                building.tiles.extend(tiles);
                building.founded = building.founded.take().or(founded);
                building.answers.push(Answer { outcome: Ok(results), reply: job.reply });
            }
            Err(refusal) => {
                self.edge = edge_before;
                let rests_on_nothing = self.in_flight.is_empty() && building.overlay.entries.is_empty();
                if rests_on_nothing {
                    let _ = job.reply.send(Err(refusal));
                } else {
                    // It may be refused because of a record that is not durable yet: nobody hears of that before it is.
                    building.answers.push(Answer { outcome: Err(refusal), reply: job.reply });
                }
            }
        }
    }

    fn closed(&self) -> Option<Refusal> {
        if let Some(reason) = lock(&self.shared.stopped).clone() {
            return Some(Refusal::Stopped { reason });
        }
        lock(&self.shared.read_only).clone().map(|reason| Refusal::ReadOnly { reason })
    }

    fn judge_record(&mut self, attempt: &mut Attempt, opened: &OpenedRecord) -> Result<(), Refusal> {
        let view = attempt.view(&self.shared, &self.recent);
        if let Some(result) = known(&view, opened)? {
            attempt.results.push(result);
            return Ok(());
        }
        let reading = self.shared.reading();
        let Some(event) = opened.event() else {
            return Err(Refusal::CannotJudge { reason: "a record without an event".to_owned() });
        };
        if !reading.trusted && table::category(event) == table::Category::Authorisation {
            return Err(Refusal::ClockUntrusted);
        }
        let recorded_at_ms = match event {
            // The founding record sets a simulated clock; a wall clock goes its own way.
            Event::LedgerFounded(e) if e.training => opened.occurred_at_ms(),
            _ => reading.now_ms,
        }
        .max(self.shared.last_recorded_ms.load(Ordering::SeqCst));
        let at = At { index: self.edge.size(), recorded_at_ms };
        let rule_set = rule_set_for(&view.authority(), Some(event));
        let verdict = judge(rule_set, &view, at, opened);
        if let Some(reason) = view.failure() {
            return Err(Refusal::CannotJudge { reason });
        }
        let verdict =
            verdict.ok_or_else(|| Refusal::CannotJudge { reason: format!("this software does not know rule set {rule_set}") })?;
        let numbers = verdict.flag_numbers();
        match verdict {
            Verdict::Refused { violations } => Err(Refusal::Violations { moved: moved(&view, opened, &violations), violations }),
            Verdict::Accepted { flags } => {
                read(&self.shared.log_keys).check(event)?;
                let result = self.stage(attempt, view, opened, (at, rule_set, numbers), flags)?;
                attempt.results.push(result);
                Ok(())
            }
        }
    }

    fn stage(
        &mut self,
        attempt: &mut Attempt,
        view: Snapshot,
        opened: &OpenedRecord,
        (at, rule_set, flags): (At, u32, Vec<u16>),
        findings: Vec<Finding>,
    ) -> Result<(u64, Vec<Finding>, bool), Refusal> {
        let cannot = |reason: String| Refusal::CannotJudge { reason };
        let keys = stream::stream_keys(opened.record());
        let mut links = Vec::with_capacity(keys.len());
        for key in &keys {
            let (length, prev) = view.head(key).unwrap_or((0, [0; 32]));
            links.push(Link { stream_key: *key, seq: length.saturating_add(1), prev });
        }
        links.sort_by_key(|l| l.stream_key);
        let leaf = Leaf {
            recorded_at_ms: at.recorded_at_ms,
            rule_set,
            flags,
            links: links.clone(),
            digest: opened.digest(),
            signings: opened.signings().to_vec(),
            map_root: None,
        };
        leaf.check().map_err(|e| cannot(e.to_string()))?;
        let bytes = leaf.encode();
        let signed_hash = leaf.signed_hash();
        let entry = Arc::new(Entry::new(at.index, &leaf, opened));
        let index_writes = index_writes(&entry);
        let folded =
            fold(&view, &entry).ok_or_else(|| cannot(view.failure().unwrap_or_else(|| "a record is missing".to_owned())))?;
        if let Some(reason) = view.failure() {
            return Err(cannot(reason));
        }
        drop(view);
        let existing: Vec<bool> = index_writes.iter().map(|w| attempt.has_index(&self.shared, &w.key)).collect();
        if let Some(Event::LedgerFounded(e)) = entry.event() {
            attempt.founded = Some(Origin::new(&e.name, &entry.digest).map_err(|e| cannot(e.to_string()))?);
        }
        self.edge.append(marrowline_merkle::leaf_hash(&bytes), &mut attempt.tiles);
        self.shared.last_recorded_ms.store(at.recorded_at_ms, Ordering::SeqCst);
        let own = Arc::make_mut(&mut attempt.own);
        for link in &links {
            own.heads.insert(link.stream_key, (link.seq, signed_hash));
            own.links.insert((link.stream_key, link.seq), (signed_hash, opened.record_id()));
        }
        own.streams.extend(folded);
        for (write, existing) in index_writes.iter().zip(existing) {
            own.set_index(write, existing);
        }
        own.entries.insert(opened.record_id(), entry);
        attempt.records.push(StagedRecord {
            index: at.index,
            leaf: bytes,
            record: opened.shared_bytes(),
            record_id: opened.record_id(),
            links: links.iter().map(|l| (l.stream_key, l.seq)).collect(),
            signed_hash,
            index_writes,
        });
        Ok((at.index, findings, false))
    }
}

/// One job on its way: what was accepted before it, and what it adds.
#[derive(Default)]
struct Attempt {
    base: Vec<Arc<Overlay>>,
    own: Arc<Overlay>,
    records: Vec<StagedRecord>,
    tiles: Vec<marrowline_merkle::CompletedTile>,
    results: Vec<(u64, Vec<Finding>, bool)>,
    founded: Option<Origin>,
}

impl Attempt {
    fn view(&self, shared: &Arc<Shared>, recent: &Arc<Recent>) -> Snapshot {
        let mut overlays = self.base.clone();
        if !self.own.entries.is_empty() {
            overlays.push(Arc::clone(&self.own));
        }
        Snapshot::speculative(shared, overlays, recent)
    }

    fn has_index(&self, shared: &Shared, key: &[u8]) -> bool {
        self.own.index.contains_key(key)
            || self.base.iter().any(|o| o.index.contains_key(key))
            || matches!(shared.reader.lookup(key), Ok(Some(_)))
    }
}

/// A record that is in the log, or on its way into it: its place, or why this one is another.
fn known(view: &Snapshot, opened: &OpenedRecord) -> Result<Option<(u64, Vec<Finding>, bool)>, Refusal> {
    let Some(entry) = view.entry(&opened.record_id()) else {
        return match view.failure() {
            Some(reason) => Err(Refusal::CannotJudge { reason }),
            None => Ok(None),
        };
    };
    let (record_id, index) = (opened.record_id(), entry.index);
    if entry.digest != opened.digest() {
        return Err(Refusal::AlreadyExistsDifferent { record_id, index });
    }
    if opened.signings().iter().any(|s| !entry.signings.contains(s)) {
        return Err(Refusal::SigningsDiffer { record_id, index });
    }
    Ok(Some((index, Vec::new(), true)))
}

/// The streams that a record extends, folded with it; `None` if one of their records cannot be read.
fn fold(view: &Snapshot, entry: &Arc<Entry>) -> Option<HashMap<StreamKey, Arc<Stream>>> {
    let mut folded = HashMap::with_capacity(entry.record.streams.len());
    for extended in &entry.record.streams {
        let id = Id16(extended.id.as_slice().try_into().unwrap_or([0; 16]));
        let key = stream::stream_key(extended.kind() as u8, &id.0);
        let mut state = view.stream(extended.kind(), &id).unwrap_or_else(|| Arc::new(Stream::new(extended.kind(), id)));
        Arc::make_mut(&mut state).add(entry, &|id| view.entry(id))?;
        folded.insert(key, state);
    }
    Some(folded)
}

/// The index changes of a record, as a store keeps them.
pub(crate) fn index_writes(entry: &Entry) -> Vec<IndexedValue> {
    index::writes(entry)
        .into_iter()
        .map(|w| IndexedValue { key: w.key.to_bytes(), value: w.value, first_wins: w.first_wins })
        .collect()
}

/// Most records of one stream that a refusal names: the newest.
const MOST_MOVED: u64 = 16;

/// What came after the heads that a record has seen.
fn moved(view: &Snapshot, opened: &OpenedRecord, violations: &[Finding]) -> Vec<Moved> {
    if !violations.iter().any(|f| f.code.name == "HEAD_MOVED") {
        return Vec::new();
    }
    let mut since = Vec::new();
    for extended in &opened.record().streams {
        let id: [u8; 16] = extended.id.as_slice().try_into().unwrap_or([0; 16]);
        let key = stream::stream_key(extended.kind() as u8, &id);
        let seen = extended.head.as_ref().map_or(0, |h| h.seq);
        let Some((length, _)) = view.head(&key) else {
            continue;
        };
        for seq in seen.max(length.saturating_sub(MOST_MOVED)).saturating_add(1)..=length {
            let Some(entry) = view.stream_record(&key, seq) else {
                continue;
            };
            since.push(Moved {
                seq,
                record_id: entry.record_id(),
                event: entry.event().map_or_else(String::new, |e| EventKind::of(e).name().to_owned()),
            });
        }
    }
    since
}
