//! Everything computed again from leaves and records alone: tree, signatures, stream links, rules.
//!
//! The work of `fsck`. It uses no index and no projection: only what is verbatim, in order.

use std::collections::HashMap;
use std::sync::Arc;

use marrowline_merkle::{Edge, Hash, leaf_hash};
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId, StreamKey};
use marrowline_record::key::{KeyRef, PublicKey};
use marrowline_record::leaf::Leaf;
use marrowline_record::pb::StreamKind;
use marrowline_record::stream::{AUTHORITY_ID, stream_key, stream_keys};
use marrowline_record::{OpenedRecord, open_stored};
use marrowline_rules::index::{IndexKey, writes};
use marrowline_rules::state::{Authority, Donor, Equipment, Facility, Lot, Protocol, Specification, Stream, Subject};
use marrowline_rules::{At, Verdict, View, judge, rule_set_for};

/// Something that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The leaf.
    pub index: u64,
    /// A stable code.
    pub code: &'static str,
    /// What was found.
    pub what: String,
}

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Records looked at.
    pub records: u64,
    /// Signatures verified.
    pub signatures: u64,
    /// Everything that does not hold.
    pub problems: Vec<Problem>,
}

/// An audit under way: leaves and records go in, in order.
#[derive(Default)]
pub struct Audit {
    edge: Edge,
    report: Report,
    view: Folded,
    keys: HashMap<KeyId, KeyRef>,
    last_ms: i64,
}

impl Audit {
    /// Before the first record.
    pub fn new() -> Audit {
        Audit::default()
    }

    /// Looks at the next leaf and its record.
    pub fn next(&mut self, leaf_bytes: &[u8], record_bytes: &[u8]) {
        let index = self.edge.size();
        let mut completed = Vec::new();
        self.edge.append(leaf_hash(leaf_bytes), &mut completed);
        self.report.records = self.report.records.saturating_add(1);
        let leaf = match Leaf::decode(leaf_bytes) {
            Ok(leaf) => leaf,
            Err(error) => return self.problem(index, "LEAF_MALFORMED", error.to_string()),
        };
        let opened = match open_stored(record_bytes.to_vec(), &leaf, &self.keys) {
            Ok(opened) => opened,
            Err(error) => return self.problem(index, error.code(), error.to_string()),
        };
        if opened.digest() != leaf.digest {
            return self.problem(index, "DIGEST_DIFFERS", "the record is not the one that the leaf names".to_owned());
        }
        self.report.signatures = self.report.signatures.saturating_add(u64::try_from(leaf.signings.len()).unwrap_or(0));
        self.check_time(index, &leaf);
        self.check_links(index, &leaf, &opened);
        self.check_rules(index, &leaf, &opened);
        self.fold(index, &leaf, &opened);
    }

    /// The root over everything so far.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Number of leaves so far.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The public keys of the log so far, the present one last.
    pub fn log_keys(&self) -> Vec<[u8; 32]> {
        self.view.authority().log_keys.iter().map(|key| key.public_key).collect()
    }

    /// What was found.
    pub fn finish(self) -> Report {
        self.report
    }

    fn problem(&mut self, index: u64, code: &'static str, what: String) {
        self.report.problems.push(Problem { index, code, what });
    }

    fn check_time(&mut self, index: u64, leaf: &Leaf) {
        if leaf.recorded_at_ms < self.last_ms {
            self.problem(index, "TIME_WENT_BACK", format!("{} after {}", leaf.recorded_at_ms, self.last_ms));
        }
        self.last_ms = self.last_ms.max(leaf.recorded_at_ms);
    }

    /// Each link continues its stream, and the leaf links exactly the streams that the record names.
    fn check_links(&mut self, index: u64, leaf: &Leaf, opened: &OpenedRecord) {
        let mut named = stream_keys(opened.record());
        named.sort_unstable();
        let linked: Vec<StreamKey> = leaf.links.iter().map(|l| l.stream_key).collect();
        if named != linked {
            self.problem(index, "LINKS_DIFFER", "the leaf links other streams than the record names".to_owned());
        }
        for link in &leaf.links {
            let (length, head) = self.view.heads.get(&link.stream_key).copied().unwrap_or((0, [0; 32]));
            if link.seq != length.saturating_add(1) || link.prev != head {
                let what = format!("stream {}: record {} after {length}", link.stream_key, link.seq);
                self.problem(index, "STREAM_BROKEN", what);
            }
        }
    }

    fn check_rules(&mut self, index: u64, leaf: &Leaf, opened: &OpenedRecord) {
        let at = At { index, recorded_at_ms: leaf.recorded_at_ms };
        let in_force = rule_set_for(&self.view.authority(), opened.event());
        if leaf.rule_set != in_force {
            self.problem(index, "RULE_SET_DIFFERS", format!("rule set {}, and {in_force} was in force", leaf.rule_set));
        }
        match judge(leaf.rule_set, &self.view, at, opened) {
            None => self.problem(index, "RULE_SET_UNKNOWN", format!("rule set {}", leaf.rule_set)),
            Some(Verdict::Refused { violations }) => {
                let codes: Vec<_> = violations.iter().map(|f| f.code.name).collect();
                self.problem(index, "RULE_BROKEN", codes.join(", "));
            }
            Some(verdict) => {
                let flags = verdict.flag_numbers();
                if flags != leaf.flags {
                    self.problem(index, "FLAGS_DIFFER", format!("the leaf has {:?}, the rules give {flags:?}", leaf.flags));
                }
            }
        }
    }

    fn fold(&mut self, index: u64, leaf: &Leaf, opened: &OpenedRecord) {
        let entry = Arc::new(Entry::new(index, leaf, opened));
        let hash = leaf.signed_hash();
        for link in &leaf.links {
            self.view.heads.insert(link.stream_key, (link.seq, hash));
            self.view.hashes.insert((link.stream_key, link.seq), hash);
        }
        for extended in &entry.record.streams {
            let id = Id16(extended.id.as_slice().try_into().unwrap_or([0; 16]));
            let key = stream_key(extended.kind() as u8, &id.0);
            let entries = &self.view.entries;
            let stream = self.view.streams.entry(key).or_insert_with(|| Stream::new(extended.kind(), id));
            // Every record before this one is in memory.
            let _ = stream.add(&entry, &|id| entries.get(id).cloned());
        }
        for write in writes(&entry) {
            let key = write.key.to_bytes();
            if !(write.first_wins && self.view.index.contains_key(&key)) {
                self.view.index.insert(key, write.value);
            }
        }
        for key in self.view.authority().keys.values() {
            if let std::collections::hash_map::Entry::Vacant(slot) = self.keys.entry(key.id)
                && let Ok(parsed) = PublicKey::parse(&key.public_key)
            {
                slot.insert(Arc::new(parsed));
            }
        }
        self.view.entries.insert(entry.record_id(), entry);
    }
}

/// Every stream folded, in memory.
#[derive(Default)]
struct Folded {
    streams: HashMap<StreamKey, Stream>,
    heads: HashMap<StreamKey, (u64, [u8; 32])>,
    hashes: HashMap<(StreamKey, u64), [u8; 32]>,
    entries: HashMap<RecordId, Arc<Entry>>,
    index: HashMap<Vec<u8>, [u8; 16]>,
}

impl Folded {
    fn stream(&self, kind: StreamKind, id: &Id16) -> Option<&Stream> {
        self.streams.get(&stream_key(kind as u8, &id.0))
    }
}

macro_rules! stream_of {
    ($name:ident, $kind:ident, $state:ident) => {
        fn $name(&self, id: &Id16) -> Option<Arc<$state>> {
            match self.stream(StreamKind::$kind, id)? {
                Stream::$kind(state) => Some(Arc::clone(state)),
                _ => None,
            }
        }
    };
}

impl View for Folded {
    fn authority(&self) -> Arc<Authority> {
        match self.stream(StreamKind::Authority, &Id16(AUTHORITY_ID)) {
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
        self.heads.get(stream).copied()
    }

    fn hash_at(&self, stream: &StreamKey, seq: u64) -> Option<[u8; 32]> {
        self.hashes.get(&(*stream, seq)).copied()
    }

    fn entry(&self, id: &RecordId) -> Option<Arc<Entry>> {
        self.entries.get(id).cloned()
    }

    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]> {
        self.index.get(&key.to_bytes()).copied()
    }
}
