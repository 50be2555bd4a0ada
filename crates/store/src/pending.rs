//! Batches and notes that are durable in a journal and not yet in sled: readers see them at once.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use marrowline_ledger::store::{Batch, NoteKind};
use marrowline_merkle::Hash;
use marrowline_record::id::{RecordId, StreamKey};

/// One batch with its look-ups.
pub struct PendingBatch {
    /// The batch.
    pub batch: Batch,
    /// Index of each record.
    pub ids: HashMap<RecordId, u64>,
    /// Index and signed hash of each new link.
    pub links: HashMap<(StreamKey, u64), (u64, [u8; 32])>,
    /// Length and signed hash of each extended stream.
    pub heads: HashMap<StreamKey, (u64, [u8; 32])>,
    /// What this batch leaves under each index key, and whether that gives way to an older value.
    pub index: BTreeMap<Vec<u8>, ([u8; 16], bool)>,
}

impl PendingBatch {
    /// Makes the look-ups of a batch.
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

    /// Number of records once this batch is in.
    pub fn end(&self) -> u64 {
        self.batch.first.saturating_add(u64::try_from(self.batch.records.len()).unwrap_or(u64::MAX))
    }

    /// Leaf and record at an index.
    pub fn entry(&self, index: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let at = usize::try_from(index.checked_sub(self.batch.first)?).ok()?;
        let record = self.batch.records.get(at)?;
        Some((record.leaf.clone(), record.record.to_vec()))
    }

    /// A tile that this batch filled.
    pub fn tile(&self, level: u8, index: u64) -> Option<Vec<Hash>> {
        let tile = self.batch.tiles.iter().find(|t| t.level == level && t.index == index)?;
        Some(tile.hashes.clone())
    }
}

/// The notes of one frame.
pub struct PendingNotes {
    /// The notes with their numbers.
    pub notes: Vec<(u64, NoteKind, Vec<u8>)>,
    /// Number of the note after the last.
    pub end: u64,
    /// SHA-256 of the frame.
    pub link: [u8; 32],
}

impl PendingNotes {
    /// The notes of a frame; a kind that is not known is left out, its number is not.
    pub fn new<'n>(first: u64, notes: impl Iterator<Item = (u8, &'n [u8])>, link: [u8; 32]) -> PendingNotes {
        let mut pending = PendingNotes { notes: Vec::new(), end: first, link };
        for (byte, body) in notes {
            if let Some(kind) = kind(byte) {
                pending.notes.push((pending.end, kind, body.to_vec()));
            }
            pending.end = pending.end.saturating_add(1);
        }
        pending
    }
}

fn kind(byte: u8) -> Option<NoteKind> {
    NoteKind::ALL.into_iter().find(|k| *k as u8 == byte)
}

/// What waits for sled, oldest first.
#[derive(Default)]
pub struct Queue {
    /// Batches.
    pub batches: VecDeque<Arc<PendingBatch>>,
    /// Notes.
    pub notes: VecDeque<Arc<PendingNotes>>,
}

impl Queue {
    /// What the batches say about an index key, and whether an older value outside of them would win.
    pub fn lookup(&self, key: &[u8]) -> (Option<[u8; 16]>, bool) {
        let mut value = None;
        for found in self.batches.iter().rev().filter_map(|p| p.index.get(key)) {
            match found {
                // Of values that give way, the oldest stays.
                (older, true) => value = Some(*older),
                // This one replaced what was before it, and everything newer gave way to it.
                (older, false) => return (Some(*older), false),
            }
        }
        (value, true)
    }
}

#[cfg(test)]
mod tests {
    use marrowline_ledger::store::{IndexedValue, StagedRecord};
    use proptest::prelude::*;

    use super::*;

    fn batch(writes: &[(u8, bool)]) -> Arc<PendingBatch> {
        let index_writes =
            writes.iter().map(|(v, first_wins)| IndexedValue { key: vec![1], value: [*v; 16], first_wins: *first_wins });
        let record = StagedRecord {
            index: 0,
            leaf: Vec::new(),
            record: [].into(),
            record_id: RecordId([0; 16]),
            links: Vec::new(),
            signed_hash: [0; 32],
            index_writes: index_writes.collect(),
        };
        Arc::new(PendingBatch::new(Batch { first: 0, records: vec![record], root_after: [0; 32], tiles: Vec::new() }))
    }

    proptest! {
        /// Whatever part of the writes is in sled already, the answer is that of all of them in order.
        #[test]
        fn a_look_up_over_batches_is_what_the_writes_in_order_give(
            batches in prop::collection::vec(prop::collection::vec((1..200u8, any::<bool>()), 0..3), 0..6),
            in_sled in 0..7usize,
        ) {
            let mut expected = None;
            let mut sled = None;
            for (number, writes) in batches.iter().enumerate() {
                for (value, first_wins) in writes {
                    if !(*first_wins && expected.is_some()) {
                        expected = Some([*value; 16]);
                    }
                }
                if number < in_sled {
                    sled = expected;
                }
            }
            // A batch leaves the queue after it is in sled: the last one that is in may still be waiting.
            for waiting_from in [in_sled, in_sled.saturating_sub(1)] {
                let mut queue = Queue::default();
                queue.batches.extend(batches.iter().skip(waiting_from).map(|w| batch(w)));
                let (value, older_wins) = queue.lookup(&[1]);
                let found = if older_wins { sled.or(value) } else { value };
                prop_assert_eq!(found, expected);
            }
        }
    }
}
