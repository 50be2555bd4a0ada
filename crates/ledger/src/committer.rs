//! The committer: one thread that owns the store's writing side.
//!
//! For each batch: durable first, then the signature on the checkpoint, then readers see it, then callers are answered. A failed write
//! stops the ledger; a full disk refuses and goes on.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use marrowline_merkle::{Edge, TreeReader, inclusion_proof};
use marrowline_record::origin::Origin;
use marrowline_record::stream::{AUTHORITY_ID, stream_key};
use marrowline_rules::Finding;
use marrowline_rules::state::Stream;

use crate::log_keys::handover_note;
use crate::overlay::Overlay;
use crate::refusal::Refusal;
use crate::sequencer::Reply;
use crate::shared::{Appended, Committed, PublishedCheckpoint, Shared, StoredTiles, lock, write};
use crate::store::{Batch, Epoch, NoteKind, Store, StoreError};

/// How often the checkpoint file is renewed.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);

/// What a caller is told when the batch is durable.
pub(crate) struct Answer {
    /// Of each record: index, flags, whether it was there before. Or why there are none.
    pub outcome: Result<Vec<(u64, Vec<Finding>, bool)>, Refusal>,
    pub reply: Reply,
}

/// A judged batch.
pub(crate) struct Staged {
    pub batch: Batch,
    pub edge: Edge,
    pub overlay: Arc<Overlay>,
    pub answers: Vec<Answer>,
    /// The ledger's origin, if this batch founds it.
    pub founded: Option<Origin>,
    pub generation: u64,
}

/// What the committer is asked to do.
pub(crate) enum Order {
    Commit(Box<Staged>),
    Note(Vec<(NoteKind, Vec<u8>)>, tokio::sync::oneshot::Sender<Result<(), Refusal>>),
    Close(tokio::sync::oneshot::Sender<()>),
}

/// What the committer tells the sequencer.
pub(crate) enum Done {
    Committed,
    Failed,
}

/// The committer's own state; only its thread touches it.
pub(crate) struct Committer {
    pub shared: Arc<Shared>,
    pub store: Box<dyn Store>,
    pub epoch: Epoch,
    pub orders: Receiver<Order>,
    pub done: Sender<Done>,
    /// Batches judged before this generation stand on something that was not written.
    pub generation: u64,
    pub published: u64,
    pub last_publish: Instant,
}

impl Committer {
    /// Runs until it is told to close, or nobody can order any more.
    pub fn run(mut self) {
        loop {
            match self.orders.recv_timeout(PUBLISH_EVERY) {
                Ok(Order::Commit(staged)) => self.commit(*staged),
                Ok(Order::Note(notes, reply)) => {
                    let result = self.store.note(self.epoch, &notes).map_err(|e| self.refusal(e));
                    let _ = reply.send(result);
                }
                Ok(Order::Close(reply)) => {
                    self.close();
                    let _ = reply.send(());
                    return;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.close();
                    return;
                }
            }
            if self.last_publish.elapsed() >= PUBLISH_EVERY {
                self.publish();
            }
        }
    }

    fn close(&mut self) {
        self.publish();
        lock(&self.shared.stopped).get_or_insert_with(|| "the ledger was shut down".to_owned());
        if let Err(error) = self.store.close() {
            tracing::error!(%error, "closing the store failed; it is durable without it");
        }
    }

    /// Renews the checkpoint file. Never ahead of what is durable: it is taken from what readers see.
    fn publish(&mut self) {
        self.last_publish = Instant::now();
        let checkpoint = Arc::clone(&crate::shared::read(&self.shared.committed).checkpoint);
        if checkpoint.size == self.published || checkpoint.size == 0 || lock(&self.shared.stopped).is_some() {
            return;
        }
        match self.store.publish(self.epoch, &checkpoint.note) {
            Ok(()) => self.published = checkpoint.size,
            Err(error) => {
                let _ = self.refusal(error);
            }
        }
    }

    fn commit(&mut self, staged: Staged) {
        if staged.generation != self.generation {
            return self.fail(
                staged,
                Refusal::Stopped { reason: "a batch before this one could not be written; send the record again".to_owned() },
            );
        }
        if staged.batch.records.is_empty() {
            let checkpoint = Arc::clone(&crate::shared::read(&self.shared.committed).checkpoint);
            let _ = self.done.send(Done::Committed);
            return self.answer(staged.answers, &staged.edge, &checkpoint);
        }
        let stopped = lock(&self.shared.stopped).clone();
        if let Some(reason) = stopped {
            return self.fail(staged, Refusal::Stopped { reason });
        }
        if let Err(error) = self.store.commit(self.epoch, &staged.batch) {
            let refusal = self.refusal(error);
            return self.fail(staged, refusal);
        }
        // Durable from here on.
        if let Some(origin) = &staged.founded {
            *write(&self.shared.origin) = Some(origin.clone());
        }
        match self.sign(&staged) {
            Ok(checkpoint) => self.show(staged, Arc::new(checkpoint)),
            Err(reason) => {
                *lock(&self.shared.stopped) = Some(format!("the checkpoint could not be signed: {reason}"));
                self.fail(staged, Refusal::Stopped { reason });
            }
        }
    }

    /// Signs the end of a batch; with the successor too, and from then on with it alone, if the batch brings a new log key.
    fn sign(&mut self, staged: &Staged) -> Result<PublishedCheckpoint, String> {
        let authority = staged.overlay.streams.get(&stream_key(1, &AUTHORITY_ID)).map(Arc::as_ref);
        let in_force = match authority {
            Some(Stream::Authority(authority)) => authority.log_keys.last().copied(),
            _ => None,
        };
        let Some(in_force) = in_force.filter(|key| self.shared.is_due(key)) else {
            return self.shared.sign(&staged.edge);
        };
        let handover = self.shared.sign_handover(&staged.edge)?;
        self.store.note(self.epoch, &[handover_note(in_force.since_index, &handover)]).map_err(|e| e.to_string())?;
        self.shared.promote();
        Ok(handover)
    }

    /// Lets readers see the batch, then answers.
    fn show(&mut self, staged: Staged, checkpoint: Arc<PublishedCheckpoint>) {
        *write(&self.shared.committed) = Committed { edge: staged.edge.clone(), checkpoint: Arc::clone(&checkpoint) };
        let mut authority_changed = None;
        {
            let mut streams = lock(&self.shared.streams);
            let authority_key = stream_key(1, &AUTHORITY_ID);
            for (key, state) in &staged.overlay.streams {
                streams.put(*key, (state.upkeep().length, Arc::clone(state)));
                if *key == authority_key {
                    authority_changed = Some(Arc::clone(state));
                }
            }
        }
        if let Some(Stream::Authority(authority)) = authority_changed.as_deref() {
            self.shared.renew_keyring(authority);
        }
        let _ = self.done.send(Done::Committed);
        self.shared.watch.send_replace(checkpoint.size);
        self.answer(staged.answers, &staged.edge, &checkpoint);
    }

    /// Answers with the proofs of the whole batch, made in one go: neighbours share almost all of their tiles.
    fn answer(&self, answers: Vec<Answer>, edge: &Edge, checkpoint: &Arc<PublishedCheckpoint>) {
        let tiles = StoredTiles(self.shared.reader.as_ref());
        let mut tree = TreeReader::new(edge, &tiles);
        for Answer { outcome, reply } in answers {
            let appended = outcome.map(|results| {
                let appended = results.into_iter().map(|(index, flags, duplicate)| Appended {
                    index,
                    flags,
                    checkpoint: Arc::clone(checkpoint),
                    duplicate,
                    inclusion: inclusion_proof(index, checkpoint.size, &mut tree).ok(),
                });
                appended.collect()
            });
            let _ = reply.send(appended);
        }
    }

    fn fail(&mut self, staged: Staged, refusal: Refusal) {
        if staged.generation == self.generation {
            self.generation = self.generation.saturating_add(1);
            let _ = self.done.send(Done::Failed);
        }
        for answer in staged.answers {
            let _ = answer.reply.send(Err(refusal.clone()));
        }
    }

    /// A failed write is fatal: the ledger stops, and recovers when it is opened again. A full disk is not.
    fn refusal(&self, error: StoreError) -> Refusal {
        match error {
            StoreError::Full { .. } => Refusal::StoreFull { detail: error.to_string() },
            other => {
                tracing::error!(error = %other, "the store failed; the ledger stops");
                let reason = other.to_string();
                lock(&self.shared.stopped).get_or_insert(reason.clone());
                Refusal::Stopped { reason }
            }
        }
    }
}
