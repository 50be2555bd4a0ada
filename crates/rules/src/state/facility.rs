//! A facility's reagent lots.

use std::collections::BTreeMap;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, StreamKind};

use crate::frame::AHEAD_LIMIT_MS;
use crate::index::id16;
use crate::state::Upkeep;

/// A reagent lot.
#[derive(Clone, Debug, PartialEq)]
pub struct ReagentLot {
    /// The record of its receipt.
    pub record_id: RecordId,
    /// What was recorded.
    pub event: pb::ReagentReceived,
    /// The release, and when the ledger recorded it.
    pub released: Option<(RecordId, i64)>,
}

impl ReagentLot {
    /// From this moment on it is expired.
    pub fn expires_at_ms(&self) -> i64 {
        self.event.expires_at.as_ref().map_or(0, |at| at.unix_ms)
    }
}

/// The facility stream.
#[derive(Clone, Debug)]
pub struct Facility {
    /// The facility.
    pub id: Id16,
    /// Reagent lots that were received.
    pub reagents: BTreeMap<Id16, ReagentLot>,
    /// Recalls, of whatever was received or not: lot, record, when.
    pub recalls: Vec<(Id16, RecordId, i64)>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Facility {
    /// Before the first record.
    pub fn new(id: Id16) -> Facility {
        Facility { id, reagents: BTreeMap::new(), recalls: Vec::new(), upkeep: Upkeep::new(StreamKind::Facility) }
    }

    /// The recall of a reagent lot.
    pub fn recall(&self, reagent: &Id16) -> Option<(RecordId, i64)> {
        self.recalls.iter().find(|(id, _, _)| id == reagent).map(|(_, record, at)| (*record, *at))
    }

    /// The recall of a reagent lot, by a time.
    pub fn recall_by(&self, reagent: &Id16, at_ms: i64) -> Option<RecordId> {
        let is_by_then = |(id, _, recalled_at_ms): &&(Id16, RecordId, i64)| {
            id == reagent && *recalled_at_ms <= at_ms.saturating_add(AHEAD_LIMIT_MS)
        };
        self.recalls.iter().find(is_by_then).map(|(_, record, _)| *record)
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        match entry.event() {
            Some(Event::ReagentReceived(e)) => {
                let lot = ReagentLot { record_id: entry.record_id(), event: e.clone(), released: None };
                self.reagents.entry(Id16(id16(&e.reagent_lot_id))).or_insert(lot);
            }
            Some(Event::ReagentReleased(e)) => {
                if let Some(lot) = self.reagents.get_mut(&Id16(id16(&e.reagent_lot_id))) {
                    lot.released.get_or_insert((entry.record_id(), entry.recorded_at_ms()));
                }
            }
            Some(Event::ReagentRecalled(e)) => {
                self.recalls.push((Id16(id16(&e.reagent_lot_id)), entry.record_id(), entry.occurred_at_ms()));
            }
            _ => {}
        }
    }
}
