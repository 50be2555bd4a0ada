//! The ledger as the rules see it: committed streams as of one checkpoint, or with accepted records laid over them.

use std::cell::RefCell;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId, StreamKey};
use marrowline_record::pb::StreamKind;
use marrowline_record::stream::{AUTHORITY_ID, stream_key};
use marrowline_rules::View;
use marrowline_rules::index::IndexKey;
use marrowline_rules::state::{Authority, Donor, Equipment, Facility, Lot, Protocol, Specification, Stream, Subject};

use crate::clock::Reading;
use crate::overlay::{Known, Overlay, Recent};
use crate::shared::{PublishedCheckpoint, Shared};
use crate::store::StoreError;

/// A view of the ledger. If the store could not answer, [`Snapshot::failure`] says so and every verdict from here is worth nothing.
pub struct Snapshot {
    shared: Arc<Shared>,
    /// Accepted batches that are not durable yet, oldest first; empty for readers.
    overlays: Vec<Arc<Overlay>>,
    /// The sequencer's own memory; none for readers.
    recent: Option<Arc<Recent>>,
    /// Leaves that count; later ones are not seen.
    size: u64,
    checkpoint: Arc<PublishedCheckpoint>,
    reading: Reading,
    failure: RefCell<Option<String>>,
}

impl Snapshot {
    pub(crate) fn committed(shared: &Arc<Shared>) -> Snapshot {
        let checkpoint = Arc::clone(&crate::shared::read(&shared.committed).checkpoint);
        Snapshot {
            shared: Arc::clone(shared),
            overlays: Vec::new(),
            recent: None,
            size: checkpoint.size,
            checkpoint,
            reading: shared.reading(),
            failure: RefCell::new(None),
        }
    }

    pub(crate) fn speculative(shared: &Arc<Shared>, overlays: Vec<Arc<Overlay>>, recent: &Arc<Recent>) -> Snapshot {
        Snapshot { overlays, recent: Some(Arc::clone(recent)), size: u64::MAX, ..Snapshot::committed(shared) }
    }

    /// The checkpoint that answers rest on.
    pub fn checkpoint(&self) -> &Arc<PublishedCheckpoint> {
        &self.checkpoint
    }

    /// The ledger's time when the snapshot was taken, Unix ms.
    pub fn now_ms(&self) -> i64 {
        self.reading.now_ms
    }

    /// Whether the clock was trusted when the snapshot was taken.
    pub fn clock_trusted(&self) -> bool {
        self.reading.trusted
    }

    /// Why the snapshot could not answer everything, if so.
    pub fn failure(&self) -> Option<String> {
        self.failure.borrow().clone()
    }

    /// A folded stream of any kind.
    pub fn stream(&self, kind: StreamKind, id: &Id16) -> Option<Arc<Stream>> {
        let key = stream_key(kind as u8, &id.0);
        if let Some(stream) = self.overlays.iter().rev().find_map(|o| o.streams.get(&key)) {
            return Some(Arc::clone(stream));
        }
        if let Some(known) = self.recent.as_ref().and_then(|r| r.get(&key)) {
            return Some(known.state);
        }
        let state = self.or_fail(self.shared.stream(kind, id, self.size)).flatten()?;
        if let Some(recent) = &self.recent
            && let Some((length, hash)) = self.stored_head(&key)
        {
            recent.put(key, Known { length, hash, state: Arc::clone(&state) });
        }
        Some(state)
    }

    /// Record number `seq` of a stream, on its way or committed.
    pub(crate) fn stream_record(&self, key: &StreamKey, seq: u64) -> Option<Arc<Entry>> {
        match self.overlays.iter().rev().find_map(|o| o.links.get(&(*key, seq))) {
            Some((_, record_id)) => self.entry(record_id),
            None => self.or_fail(self.shared.stream_entry(key, seq)).map(Arc::new),
        }
    }

    fn stored_head(&self, key: &StreamKey) -> Option<(u64, [u8; 32])> {
        let length = self.or_fail(self.shared.length_at(key, self.size))?;
        let (_, hash) = self.or_fail(self.shared.reader.link(key, length))??;
        Some((length, hash))
    }

    fn or_fail<T>(&self, result: Result<T, StoreError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.failure.borrow_mut().get_or_insert(error.to_string());
                None
            }
        }
    }
}

macro_rules! stream_of {
    ($name:ident, $kind:ident, $state:ident) => {
        fn $name(&self, id: &Id16) -> Option<Arc<$state>> {
            match self.stream(StreamKind::$kind, id)?.as_ref() {
                Stream::$kind(state) => Some(Arc::clone(state)),
                _ => None,
            }
        }
    };
}

impl View for Snapshot {
    fn authority(&self) -> Arc<Authority> {
        match self.stream(StreamKind::Authority, &Id16(AUTHORITY_ID)).as_deref() {
            Some(Stream::Authority(state)) => Arc::clone(state),
            _ => Arc::new(Authority::default()),
        }
    }

    stream_of!(protocol, Protocol, Protocol);
    stream_of!(specification, Specification, Specification);
    stream_of!(donor, Donor, Donor);
    stream_of!(lot, Lot, Lot);
    stream_of!(subject, Subject, Subject);
    stream_of!(facility, Facility, Facility);
    stream_of!(equipment, Equipment, Equipment);

    fn head(&self, stream: &StreamKey) -> Option<(u64, [u8; 32])> {
        if let Some(head) = self.overlays.iter().rev().find_map(|o| o.heads.get(stream)) {
            return Some(*head);
        }
        if let Some(known) = self.recent.as_ref().and_then(|r| r.get(stream)) {
            return Some((known.length, known.hash));
        }
        self.stored_head(stream)
    }

    fn hash_at(&self, stream: &StreamKey, seq: u64) -> Option<[u8; 32]> {
        if let Some((hash, _)) = self.overlays.iter().rev().find_map(|o| o.links.get(&(*stream, seq))) {
            return Some(*hash);
        }
        if let Some(known) = self.recent.as_ref().and_then(|r| r.get(stream)).filter(|known| known.length == seq) {
            return Some(known.hash);
        }
        let (index, hash) = self.or_fail(self.shared.reader.link(stream, seq))??;
        (index < self.size).then_some(hash)
    }

    fn entry(&self, id: &RecordId) -> Option<Arc<Entry>> {
        if let Some(entry) = self.overlays.iter().rev().find_map(|o| o.entries.get(id)) {
            return Some(Arc::clone(entry));
        }
        let index = self.or_fail(self.shared.reader.index_of(id))??;
        if index >= self.size {
            return None;
        }
        self.or_fail(self.shared.entry(index))?.map(Arc::new)
    }

    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]> {
        let key = key.to_bytes();
        if let Some(value) = self.overlays.iter().rev().find_map(|o| o.index.get(&key)) {
            return Some(*value);
        }
        self.or_fail(self.shared.reader.lookup(&key))?
    }
}
