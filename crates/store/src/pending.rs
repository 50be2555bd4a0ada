//! Batches that are durable in the journal and not yet in sled: readers see them at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use marrowline_ledger::store::Batch;
use marrowline_merkle::Hash;
use marrowline_record::id::{RecordId, StreamKey};

/// One batch with its look-ups.
pub struct PendingBatch {
    pub batch: Batch,
    pub ids: HashMap<RecordId, u64>,
    pub links: HashMap<(StreamKey, u64), (u64, [u8; 32])>,
    pub heads: HashMap<StreamKey, (u64, [u8; 32])>,
    /// First value of each index key in this batch, and whether it gives way to an older one; then the last value.
    pub index: BTreeMap<Vec<u8>, ([u8; 16], bool)>,
}

impl PendingBatch {
    pub fn new(batch: Batch) -> PendingBatch {
        let mut pending =
            PendingBatch { ids: HashMap::new(), links: HashMap::new(), heads: HashMap::new(), index: BTreeMap::new(), batch };
        for record in &pending.batch.records {
            pending.ids.insert(record.record_id, record.index);
            for (key, seq) in &record.links {
                pending.links.insert((*key, *seq), (record.index, record.signed_hash));
                pending.heads.insert(*key, (*seq, record.signed_hash));
            }
            for write in &record.index_writes {
                if write.first_wins {
                    pending.index.entry(write.key.clone()).or_insert((write.value, true));
                } else {
                    pending.index.insert(write.key.clone(), (write.value, false));
                }
            }
        }
        pending
    }

    pub fn entry(&self, index: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let at = usize::try_from(index.checked_sub(self.batch.first)?).ok()?;
        let record = self.batch.records.get(at)?;
        Some((record.leaf.clone(), record.record.to_vec()))
    }

    pub fn tile(&self, level: u8, index: u64) -> Option<Vec<Hash>> {
        let tile = self.batch.tiles.iter().find(|t| t.level == level && t.index == index)?;
        Some(tile.hashes.clone())
    }
}

/// Batches in order, oldest first.
pub type Queue = VecDeque<Arc<PendingBatch>>;
