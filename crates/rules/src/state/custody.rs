//! Who holds a unit. Exactly one custody state at any instant.

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb;

use crate::index::id16;

/// Where a unit's custody lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Custody {
    /// A facility holds it.
    Held {
        /// The facility.
        facility_id: Id16,
    },
    /// Between two facilities.
    InTransit {
        /// The transfer.
        transfer_id: Id16,
        /// Who gave it away.
        from_facility_id: Id16,
        /// Who is to receive it.
        to_facility_id: Id16,
        /// Code of the seal.
        seal: String,
    },
    /// What the parties recorded does not agree; the unit is held until QA resolves it.
    Disputed {
        /// The facility that says it has it.
        facility_id: Id16,
        /// The record that does not agree.
        record_id: RecordId,
        /// After a refusal: how the facility named takes the unit back.
        taking_back: Option<TakingBack>,
    },
}

/// How a unit that was refused is taken back by the facility that handed it over: with the same transfer, under this seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakingBack {
    /// The transfer that was refused.
    pub transfer_id: Id16,
    /// Code of the seal that it waits or goes back under.
    pub seal: String,
}

impl Custody {
    /// The facility that undisputedly holds the unit.
    pub fn holder(&self) -> Option<&Id16> {
        match self {
            Custody::Held { facility_id } => Some(facility_id),
            Custody::InTransit { .. } | Custody::Disputed { .. } => None,
        }
    }

    /// The seal under which this facility is to take the unit over with this transfer: it is on its way there, or was refused and goes
    /// back there. `None` if the facility is to take over nothing with it.
    pub fn expected_seal(&self, transfer: &Id16, facility: &Id16) -> Option<&str> {
        match self {
            Custody::InTransit { transfer_id, to_facility_id, seal, .. } => {
                (transfer_id == transfer && to_facility_id == facility).then_some(seal.as_str())
            }
            Custody::Disputed { facility_id, taking_back: Some(back), .. } => {
                (back.transfer_id == *transfer && facility_id == facility).then_some(back.seal.as_str())
            }
            Custody::Held { .. } | Custody::Disputed { .. } => None,
        }
    }

    /// What a refusal makes of it: whoever gave the unit away takes it back. Nothing changes if the refuser itself is said to have the
    /// unit (it gives it back by handing it over), or if it was refused before.
    pub(crate) fn refused(&self, by: Option<&Id16>, back: TakingBack, record_id: RecordId) -> Custody {
        let facility_id = match self {
            Custody::Disputed { taking_back: Some(_), .. } => return self.clone(),
            Custody::Held { facility_id } | Custody::Disputed { facility_id, .. } if by == Some(facility_id) => {
                return self.clone();
            }
            Custody::Held { facility_id } | Custody::Disputed { facility_id, .. } => *facility_id,
            Custody::InTransit { from_facility_id, .. } => *from_facility_id,
        };
        Custody::Disputed { facility_id, record_id, taking_back: Some(back) }
    }
}

/// A take-over of units that nobody had handed over when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOver {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub at_ms: i64,
    /// The transfer.
    pub transfer_id: Id16,
    /// Who took them over.
    pub facility_id: Id16,
    /// Code of the seal, if it was whole.
    pub seal: Option<String>,
    /// The units that were counted.
    pub unit_ids: BTreeSet<Id16>,
}

impl TakeOver {
    /// Whether it is what a hand-over, entered later, says: of these units, under this seal, to this facility, and from before they came.
    pub fn is_of(&self, e: &pb::CustodyRelinquished, at_ms: i64) -> bool {
        at_ms < self.at_ms
            && self.transfer_id.0 == e.transfer_id[..]
            && self.facility_id.0 == e.to_facility_id[..]
            && self.seal.as_ref() == Some(&e.seal)
            && self.unit_ids == e.unit_ids.iter().map(|unit| Id16(id16(unit))).collect()
    }
}
