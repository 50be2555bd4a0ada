//! Who holds a unit. Exactly one custody state at any instant.

use marrowline_record::id::{Id16, RecordId};

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
    },
}

impl Custody {
    /// The facility that undisputedly holds the unit.
    pub fn holder(&self) -> Option<&Id16> {
        match self {
            Custody::Held { facility_id } => Some(facility_id),
            Custody::InTransit { .. } | Custody::Disputed { .. } => None,
        }
    }
}
