//! A trial's protocol with all its versions, and the randomisation slots that were revealed.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{ProtocolPublished, StreamKind};

use crate::state::Upkeep;

/// A slot of the randomisation list that was given to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevealedSlot {
    /// The slot, from 0.
    pub slot: u32,
    /// Its arm.
    pub arm: u32,
    /// The subject.
    pub subject_id: Id16,
    /// The record.
    pub record_id: RecordId,
}

/// The protocol stream.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// The protocol.
    pub id: Id16,
    /// Every version with the record that published it.
    pub versions: BTreeMap<u32, (RecordId, Arc<ProtocolPublished>)>,
    /// Slots that were given to subjects, in order.
    pub slots: Vec<RevealedSlot>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Protocol {
    /// Before the first record.
    pub fn new(id: Id16) -> Protocol {
        Protocol { id, versions: BTreeMap::new(), slots: Vec::new(), upkeep: Upkeep::new(StreamKind::Protocol) }
    }

    /// A published version.
    pub fn version(&self, version: u32) -> Option<&Arc<ProtocolPublished>> {
        self.versions.get(&version).map(|(_, published)| published)
    }

    /// The last version's number; 0 before the first.
    pub fn last_version(&self) -> u32 {
        self.versions.keys().next_back().copied().unwrap_or(0)
    }

    /// The slot that the next subject is given.
    pub fn next_slot(&self) -> u32 {
        self.slots.last().map_or(0, |last| last.slot.saturating_add(1))
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        match &entry.record.event {
            Some(Event::ProtocolPublished(e)) => {
                self.versions.entry(e.version).or_insert_with(|| (entry.record_id(), Arc::new(e.clone())));
            }
            Some(Event::SubjectRandomised(e)) => self.slots.push(RevealedSlot {
                slot: e.slot.unwrap_or(0),
                arm: e.arm,
                subject_id: Id16(entry.stream_id(StreamKind::Subject)),
                record_id: entry.record_id(),
            }),
            _ => {}
        }
    }
}
