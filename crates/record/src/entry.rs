//! A record as the ledger accepted it: what folds and rules see.

use std::sync::Arc;

use crate::id::{Digest, RecordId};
use crate::leaf::Leaf;
use crate::open::OpenedRecord;
use crate::pb::{self, StreamKind, record::Event};
use crate::signing::Signing;

/// An accepted record with what its leaf says about it. A plain value: its authenticity is the opener's job.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Number of its leaf, from 0.
    pub index: u64,
    /// When the ledger accepted it.
    pub recorded_at_ms: i64,
    /// The rule set that judged it.
    pub rule_set: u32,
    /// Numbers of its flags, ascending.
    pub flags: Vec<u16>,
    /// Its digest.
    pub digest: Digest,
    /// Its content.
    pub record: Arc<pb::Record>,
    /// Its signings, by slot.
    pub signings: Vec<Signing>,
}

impl Entry {
    /// The entry of this leaf and its opened record.
    pub fn new(index: u64, leaf: &Leaf, opened: &OpenedRecord) -> Entry {
        Entry {
            index,
            recorded_at_ms: leaf.recorded_at_ms,
            rule_set: leaf.rule_set,
            flags: leaf.flags.clone(),
            digest: opened.digest(),
            record: opened.shared_record(),
            signings: opened.signings().to_vec(),
        }
    }

    /// Its content.
    pub fn record(&self) -> &pb::Record {
        &self.record
    }

    /// Its digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Its id; zeros if the value was put together without one.
    pub fn record_id(&self) -> RecordId {
        RecordId(bytes16(&self.record.record_id))
    }

    /// What happened or was decided. A decoded record always has an event.
    pub fn event(&self) -> Option<&Event> {
        self.record.event.as_ref()
    }

    /// When the ledger accepted it.
    pub fn recorded_at_ms(&self) -> i64 {
        self.recorded_at_ms
    }

    /// When it happened, by the signer's clock.
    pub fn occurred_at_ms(&self) -> i64 {
        self.record.occurred_at.as_ref().map_or(0, |instant| instant.unix_ms)
    }

    /// Numbers of its flags, ascending.
    pub fn flags(&self) -> &[u16] {
        &self.flags
    }

    /// Id of the first stream of this kind that it extends; zeros if there is none.
    pub fn stream_id(&self, kind: StreamKind) -> [u8; 16] {
        let found = self.record.streams.iter().find(|s| s.kind() == kind);
        found.map_or([0; 16], |s| bytes16(&s.id))
    }
}

fn bytes16(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap_or([0; 16])
}
