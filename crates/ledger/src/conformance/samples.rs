//! Batches of sample records for tests of stores, and what a store must answer after them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use ed25519_dalek::SigningKey;
use marrowline_merkle::{Checkpoint, CompletedTile, Edge, Hash, leaf_hash};
use marrowline_record::id::{RecordId, StreamKey};
use marrowline_record::leaf::{Leaf, Link};
use marrowline_record::pb::{self, record::Event};
use marrowline_record::stream::stream_keys;
use marrowline_record::testing::{sample, sign_every_slot};
use marrowline_record::{EventKind, digest, encode};

use crate::handle::index_values;
use crate::store::{Batch, Reader, StagedRecord, StoreError, Verbatim};

/// Kinds that write indexes, and some that do not.
const KINDS: [EventKind; 7] = [
    EventKind::MarrowCollected,
    EventKind::UnitsMoved,
    EventKind::LotOpened,
    EventKind::DonorRegistered,
    EventKind::UnitsFilled,
    EventKind::CultureSeeded,
    EventKind::MncIsolated,
];

/// One sample of each kind and seed; making them takes long, so they are made once and changed a little for each record.
fn templates() -> &'static [pb::Record] {
    static TEMPLATES: OnceLock<Vec<pb::Record>> = OnceLock::new();
    TEMPLATES.get_or_init(|| KINDS.iter().flat_map(|kind| (1..=2).map(|seed| sample(*kind, seed))).collect())
}

/// Makes batches, each of which continues the one before. The records are well formed and nobody has judged them.
#[derive(Clone, Default)]
pub struct Samples {
    edge: Edge,
    heads: HashMap<StreamKey, (u64, [u8; 32])>,
}

impl Samples {
    /// The next batch.
    pub fn batch(&mut self, count: u64) -> Batch {
        let first = self.edge.size();
        let mut tiles = Vec::new();
        let records = (first..first.saturating_add(count)).map(|index| self.record(index, &mut tiles)).collect();
        Batch { first, records, root_after: self.edge.root(), tiles }
    }

    /// A checkpoint of everything so far, signed with a key for tests.
    pub fn checkpoint(&self) -> String {
        let checkpoint = Checkpoint::new("example.org/ledger/0a", self.edge.size(), self.edge.root()).unwrap();
        checkpoint.sign(&SigningKey::from_bytes(&[7; 32])).unwrap()
    }

    fn record(&mut self, index: u64, tiles: &mut Vec<CompletedTile>) -> StagedRecord {
        let templates = templates();
        let mut record = templates[usize::try_from(index).unwrap() % templates.len()].clone();
        record.record_id[8..].copy_from_slice(&(index | 1 << 63).to_be_bytes());
        match &mut record.event {
            // Two donors under one number, and places that change hands: indexes where the first or the last value counts.
            Some(Event::MarrowCollected(e)) => {
                if let Some(Event::MarrowCollected(first)) = &templates[0].event {
                    e.din.clone_from(&first.din);
                }
            }
            Some(Event::UnitsMoved(e)) => {
                for place in &mut e.places {
                    place.unit_id[..8].copy_from_slice(&index.to_be_bytes());
                }
            }
            _ => {}
        }
        let bytes = encode(&record);
        let digest = digest(&bytes);
        let mut links: Vec<Link> = stream_keys(&record).into_iter().map(|stream_key| self.link(stream_key)).collect();
        links.sort_by_key(|l| l.stream_key);
        let leaf = Leaf {
            recorded_at_ms: 1_760_000_000_000 + i64::try_from(index).unwrap(),
            rule_set: 1,
            flags: Vec::new(),
            links: links.clone(),
            digest,
            signings: sign_every_slot(&record, digest),
            map_root: None,
        };
        leaf.check().unwrap();
        let (leaf_bytes, signed_hash) = (leaf.encode(), leaf.signed_hash());
        for link in &links {
            self.heads.insert(link.stream_key, (link.seq, signed_hash));
        }
        self.edge.append(leaf_hash(&leaf_bytes), tiles);
        StagedRecord {
            index,
            record_id: RecordId::from_slice(&record.record_id).unwrap(),
            links: links.iter().map(|l| (l.stream_key, l.seq)).collect(),
            signed_hash,
            index_writes: index_values(index, &leaf_bytes, &bytes).unwrap(),
            leaf: leaf_bytes,
            record: bytes.into(),
        }
    }

    fn link(&self, stream_key: StreamKey) -> Link {
        let (length, prev) = self.heads.get(&stream_key).copied().unwrap_or((0, [0; 32]));
        Link { stream_key, seq: length + 1, prev }
    }
}

/// What a store must answer after some batches.
#[derive(Clone, Default)]
pub struct Expected {
    entries: Vec<Verbatim>,
    ids: HashMap<RecordId, u64>,
    heads: BTreeMap<StreamKey, (u64, [u8; 32])>,
    links: BTreeMap<(StreamKey, u64), (u64, [u8; 32])>,
    index: BTreeMap<Vec<u8>, [u8; 16]>,
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl Expected {
    /// Adds a batch.
    pub fn add(&mut self, batch: &Batch) {
        for record in &batch.records {
            self.entries.push((record.leaf.clone(), record.record.to_vec()));
            self.ids.insert(record.record_id, record.index);
            for (stream, seq) in &record.links {
                self.links.insert((*stream, *seq), (record.index, record.signed_hash));
                self.heads.insert(*stream, (*seq, record.signed_hash));
            }
            for write in &record.index_writes {
                let entry = self.index.entry(write.key.clone()).or_insert(write.value);
                if !write.first_wins {
                    *entry = write.value;
                }
            }
        }
        for tile in &batch.tiles {
            self.tiles.insert((tile.level, tile.index), tile.hashes.clone());
        }
    }

    /// Number of records.
    pub fn size(&self) -> u64 {
        u64::try_from(self.entries.len()).unwrap()
    }

    /// Leaf and record at an index.
    pub fn entry(&self, index: u64) -> Option<&Verbatim> {
        self.entries.get(usize::try_from(index).ok()?)
    }

    /// Everything that the reader answers wrongly. An error of the reader is an error here.
    pub fn differences(&self, reader: &dyn Reader) -> Result<Vec<String>, StoreError> {
        let mut wrong = Vec::new();
        let mut compare = |what: String, is_right: bool| {
            if !is_right {
                wrong.push(what);
            }
        };
        let size = self.size();
        compare(format!("size {} for {size}", reader.size()), reader.size() == size);
        for (index, entry) in (0u64..).zip(&self.entries) {
            compare(format!("entry {index}"), reader.entry(index)?.as_ref() == Some(entry));
            compare(format!("leaf hash {index}"), reader.leaf_hash(index)? == Some(leaf_hash(&entry.0)));
        }
        for index in [size, size + 1, u64::MAX] {
            compare(
                format!("entry {index} that is not there"),
                reader.entry(index)?.is_none() && reader.leaf_hash(index)?.is_none(),
            );
        }
        for (id, index) in &self.ids {
            compare(format!("index of record {index}"), reader.index_of(id)? == Some(*index));
        }
        compare("an id that is not there".to_owned(), reader.index_of(&RecordId([0xee; 16]))?.is_none());
        for (stream, head) in &self.heads {
            compare(format!("head of {stream}"), reader.head(stream)? == Some(*head));
            let beyond = reader.link(stream, head.0 + 1)?.or(reader.link(stream, 0)?);
            compare(format!("a link of {stream} that is not there"), beyond.is_none());
        }
        let nowhere = StreamKey([0xee; 32]);
        compare("a stream that is not there".to_owned(), reader.head(&nowhere)?.is_none() && reader.link(&nowhere, 1)?.is_none());
        for ((stream, seq), link) in &self.links {
            compare(format!("link {seq} of {stream}"), reader.link(stream, *seq)? == Some(*link));
        }
        for (key, value) in &self.index {
            compare(format!("index {key:02x?}"), reader.lookup(key)? == Some(*value));
        }
        compare("an index key that is not there".to_owned(), reader.lookup(&[0xee; 9])?.is_none());
        for ((level, index), hashes) in &self.tiles {
            compare(format!("tile {level}/{index}"), reader.tile(*level, *index)?.as_ref() == Some(hashes));
        }
        let next_tile = size / 256;
        compare("a tile that is not full".to_owned(), reader.tile(0, next_tile)?.is_none() && reader.tile(9, 0)?.is_none());
        wrong.extend(self.scan_differences(reader)?);
        Ok(wrong)
    }

    fn scan_differences(&self, reader: &dyn Reader) -> Result<Vec<String>, StoreError> {
        let mut wrong = Vec::new();
        let prefixes: BTreeSet<&[u8]> =
            self.index.keys().flat_map(|key| [&key[..0], &key[..1], &key[..key.len().min(3)]]).collect();
        for prefix in prefixes.into_iter().chain([[0xee; 2].as_slice()]) {
            let all: Vec<_> = self.index.iter().filter(|(k, _)| k.starts_with(prefix)).map(|(k, v)| (k.clone(), *v)).collect();
            for limit in [0, 1, 3, all.len().saturating_sub(1), all.len(), all.len() + 1, usize::MAX] {
                let page = &all[..limit.min(all.len())];
                if reader.scan(prefix, &[], limit)? != page {
                    wrong.push(format!("scan of {prefix:02x?}, at most {limit}"));
                }
            }
        }
        Ok(wrong)
    }

    /// Panics if the reader answers anything wrongly.
    pub fn check(&self, reader: &dyn Reader) {
        let wrong = self.differences(reader).unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
