//! What is accepted and not yet durable: laid over the store while the next records are judged, dropped whole if the write fails.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lru::LruCache;
use marrowline_record::entry::Entry;
use marrowline_record::id::{RecordId, StreamKey};
use marrowline_rules::state::Stream;

use crate::shared::lock;
use crate::store::IndexedValue;

/// Streams that the sequencer keeps at hand.
const RECENT_STREAMS: usize = 8_192;

/// A stream as it stands after everything that was accepted.
#[derive(Clone)]
pub(crate) struct Known {
    /// Number of records.
    pub length: u64,
    /// Signed hash of the last one.
    pub hash: [u8; 32],
    /// Folded.
    pub state: Arc<Stream>,
}

/// The newest state of the streams that were used last. Only the sequencer extends streams, so what it remembers is the truth until a
/// write fails; then all of it is forgotten.
pub(crate) struct Recent(Mutex<LruCache<StreamKey, Known>>);

impl Default for Recent {
    fn default() -> Recent {
        Recent(Mutex::new(LruCache::new(NonZeroUsize::new(RECENT_STREAMS).unwrap_or(NonZeroUsize::MIN))))
    }
}

impl Recent {
    /// A stream, if it is at hand.
    pub fn get(&self, key: &StreamKey) -> Option<Known> {
        lock(&self.0).get(key).cloned()
    }

    /// Remembers a stream.
    pub fn put(&self, key: StreamKey, known: Known) {
        lock(&self.0).put(key, known);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        lock(&self.0).clear();
    }
}

/// One batch's worth of accepted records.
#[derive(Clone, Default)]
pub(crate) struct Overlay {
    /// Streams folded up to and with this batch.
    pub streams: HashMap<StreamKey, Arc<Stream>>,
    /// Length and signed hash of each extended stream.
    pub heads: HashMap<StreamKey, (u64, [u8; 32])>,
    /// Signed hash and record of each new link.
    pub links: HashMap<(StreamKey, u64), ([u8; 32], RecordId)>,
    /// The records.
    pub entries: HashMap<RecordId, Arc<Entry>>,
    /// Index values.
    pub index: HashMap<Vec<u8>, [u8; 16]>,
}

impl Overlay {
    /// Sets an index value, unless the first one stays and there is one already (`existing`, in here or below).
    pub fn set_index(&mut self, write: &IndexedValue, existing: bool) {
        if !(write.first_wins && existing) {
            self.index.insert(write.key.clone(), write.value);
        }
    }

    /// Takes over what another overlay adds on top of this one.
    pub fn absorb(&mut self, other: Overlay) {
        self.streams.extend(other.streams);
        self.heads.extend(other.heads);
        self.links.extend(other.links);
        self.entries.extend(other.entries);
        self.index.extend(other.index);
    }

    /// The streams as this overlay leaves them.
    pub fn known(&self) -> impl Iterator<Item = (StreamKey, Known)> + '_ {
        self.streams.iter().filter_map(|(key, state)| {
            let (length, hash) = *self.heads.get(key)?;
            Some((*key, Known { length, hash, state: Arc::clone(state) }))
        })
    }
}
