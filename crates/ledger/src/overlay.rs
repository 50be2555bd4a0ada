//! What is accepted and not yet durable: laid over the store while the next records are judged, dropped whole if the write fails.

use std::collections::HashMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{RecordId, StreamKey};
use marrowline_rules::state::Stream;

use crate::store::IndexedValue;

/// One batch's worth of accepted records.
#[derive(Default)]
pub(crate) struct Overlay {
    /// Streams folded up to and with this batch.
    pub streams: HashMap<StreamKey, Arc<Stream>>,
    /// Length and signed hash of each extended stream.
    pub heads: HashMap<StreamKey, (u64, [u8; 32])>,
    /// Signed hash of each new link.
    pub links: HashMap<(StreamKey, u64), [u8; 32]>,
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
}
