//! A ledger in memory: judges a record and, if it is accepted, folds it into every stream that it extends.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId, StreamKey};
use marrowline_record::pb::StreamKind;
use marrowline_record::stream::stream_key;
use marrowline_record::{KeyRef, Keyring, OpenedRecord, PublicKey};

use crate::index::{IndexKey, id16, writes};
use crate::state::{Authority, Donor, Equipment, Facility, Lot, Protocol, Specification, Stream, Subject, Upkeep};
use crate::view::View;
use crate::{At, Verdict, judge, rule_set_for};

/// A ledger in memory.
#[derive(Clone, Default)]
pub struct MemoryView {
    streams: BTreeMap<StreamKey, Stream>,
    heads: BTreeMap<StreamKey, Vec<[u8; 32]>>,
    entries: BTreeMap<RecordId, Arc<Entry>>,
    lookups: BTreeMap<IndexKey, [u8; 16]>,
    keys: BTreeMap<KeyId, KeyRef>,
    length: u64,
}

impl MemoryView {
    /// Judges a record at a time of the ledger, and keeps it if it is accepted.
    pub fn append(&mut self, opened: &OpenedRecord, recorded_at_ms: i64) -> Option<Verdict> {
        let at = At { index: self.length, recorded_at_ms };
        let rule_set = rule_set_for(&self.authority(), opened.event());
        let verdict = judge(rule_set, self, at, opened)?;
        if let Verdict::Accepted { .. } = &verdict {
            self.keep(Entry {
                index: self.length,
                recorded_at_ms,
                rule_set,
                flags: verdict.flag_numbers(),
                digest: opened.digest(),
                record: opened.shared_record(),
                signings: opened.signings().to_vec(),
            });
            for stream in &opened.record().streams {
                let key = key(stream.kind(), &Id16(id16(&stream.id)));
                self.heads.entry(key).or_default().push(opened.signed_hash());
            }
        }
        Some(verdict)
    }

    fn keep(&mut self, entry: Entry) {
        let entry = Arc::new(entry);
        for extended in &entry.record.streams {
            let id = Id16(id16(&extended.id));
            let stream = self.streams.entry(key(extended.kind(), &id)).or_insert_with(|| Stream::new(extended.kind(), id));
            // Every record of a stream in memory can be read.
            let _ = stream.add(&entry, &|id| self.entries.get(id).cloned());
        }
        for write in writes(&entry) {
            if write.first_wins {
                self.lookups.entry(write.key).or_insert(write.value);
            } else {
                self.lookups.insert(write.key, write.value);
            }
        }
        for granted in self.authority().keys.values() {
            if let Ok(parsed) = PublicKey::parse(&granted.public_key) {
                self.keys.entry(granted.id).or_insert_with(|| Arc::new(parsed));
            }
        }
        self.entries.insert(entry.record_id(), entry);
        self.length += 1;
    }

    /// What a stream keeps: holds, deviations, signatures owed.
    pub fn upkeep(&self, kind: StreamKind, id: &Id16) -> Option<&Upkeep> {
        self.streams.get(&key(kind, id)).map(Stream::upkeep)
    }

    fn stream(&self, kind: StreamKind, id: &Id16) -> Option<&Stream> {
        self.streams.get(&key(kind, id))
    }
}

fn key(kind: StreamKind, id: &Id16) -> StreamKey {
    stream_key(u8::try_from(i32::from(kind)).unwrap_or(0), &id.0)
}

impl Keyring for MemoryView {
    fn public_key(&self, id: &KeyId) -> Option<KeyRef> {
        self.keys.get(id).cloned()
    }
}

impl View for MemoryView {
    fn authority(&self) -> Arc<Authority> {
        match self.stream(StreamKind::Authority, &Id16([0; 16])) {
            Some(Stream::Authority(state)) => state.clone(),
            _ => Arc::default(),
        }
    }
    fn protocol(&self, id: &Id16) -> Option<Arc<Protocol>> {
        match self.stream(StreamKind::Protocol, id)? {
            Stream::Protocol(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn specification(&self, id: &Id16) -> Option<Arc<Specification>> {
        match self.stream(StreamKind::Specification, id)? {
            Stream::Specification(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn donor(&self, id: &Id16) -> Option<Arc<Donor>> {
        match self.stream(StreamKind::Donor, id)? {
            Stream::Donor(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn lot(&self, id: &Id16) -> Option<Arc<Lot>> {
        match self.stream(StreamKind::Lot, id)? {
            Stream::Lot(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn subject(&self, id: &Id16) -> Option<Arc<Subject>> {
        match self.stream(StreamKind::Subject, id)? {
            Stream::Subject(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn facility(&self, id: &Id16) -> Option<Arc<Facility>> {
        match self.stream(StreamKind::Facility, id)? {
            Stream::Facility(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn equipment(&self, id: &Id16) -> Option<Arc<Equipment>> {
        match self.stream(StreamKind::Equipment, id)? {
            Stream::Equipment(state) => Some(state.clone()),
            _ => None,
        }
    }
    fn head(&self, stream: &StreamKey) -> Option<(u64, [u8; 32])> {
        let hashes = self.heads.get(stream)?;
        Some((u64::try_from(hashes.len()).ok()?, *hashes.last()?))
    }
    fn hash_at(&self, stream: &StreamKey, seq: u64) -> Option<[u8; 32]> {
        let place = usize::try_from(seq.checked_sub(1)?).ok()?;
        self.heads.get(stream)?.get(place).copied()
    }
    fn entry(&self, id: &RecordId) -> Option<Arc<Entry>> {
        self.entries.get(id).cloned()
    }
    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]> {
        self.lookups.get(key).copied()
    }
}
