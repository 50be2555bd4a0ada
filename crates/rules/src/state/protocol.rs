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

/// A halt of the trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Halt {
    /// The record.
    pub record_id: RecordId,
    /// When it was, by its own time; at the latest when the ledger recorded it. What happened from then on happened in a halted trial, whenever
    /// it is entered; a decision is taken at the ledger's time, at which the halt is known or not.
    pub from_ms: i64,
    /// When the ledger recorded that the trial goes on.
    pub until_ms: Option<i64>,
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
    /// Halts, in order.
    pub halts: Vec<Halt>,
    /// The record that closed the trial, and when the ledger recorded it.
    pub closed: Option<(RecordId, i64)>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Protocol {
    /// Before the first record.
    pub fn new(id: Id16) -> Protocol {
        Protocol {
            id,
            versions: BTreeMap::new(),
            slots: Vec::new(),
            halts: Vec::new(),
            closed: None,
            upkeep: Upkeep::new(StreamKind::Protocol),
        }
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

    /// The halt in force at a moment.
    pub fn halt_at(&self, at_ms: i64) -> Option<&Halt> {
        self.halts.iter().find(|halt| halt.from_ms <= at_ms && halt.until_ms.is_none_or(|until| at_ms < until))
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
            Some(Event::TrialHalted(_)) => {
                let from_ms = entry.occurred_at_ms().min(entry.recorded_at_ms());
                self.halts.push(Halt { record_id: entry.record_id(), from_ms, until_ms: None });
            }
            Some(Event::TrialResumed(_)) => {
                for halt in &mut self.halts {
                    halt.until_ms.get_or_insert(entry.recorded_at_ms());
                }
            }
            Some(Event::TrialClosed(_)) => {
                self.closed.get_or_insert((entry.record_id(), entry.recorded_at_ms()));
            }
            _ => {}
        }
    }
}
