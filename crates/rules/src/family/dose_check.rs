//! The dose check: whether this dose may be given to its subject, now.

use marrowline_record::id::{Id16, RecordId};

use crate::finding::Finding;
use crate::view::View;

/// The answer of a dose check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Everything holds.
    Green,
    /// Something does not hold.
    Red,
    /// The ledger cannot know.
    NoAnswer,
}

/// The answer with its reasons and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoseCheck {
    /// The answer.
    pub answer: Answer,
    /// Every reason for RED.
    pub findings: Vec<Finding>,
    /// The subject of the dose, if the dose is known.
    pub subject_id: Option<Id16>,
    /// Lots of the dose's units.
    pub lots: Vec<Id16>,
    /// Records that the answer rests on, each once.
    pub records: Vec<RecordId>,
    /// Last moment of use, inclusive.
    pub expires_at_ms: Option<i64>,
    /// Viable cells per kg, rounded down, for showing; never compared.
    pub viable_cells_per_kg: Option<u64>,
}

/// Checks a dose at a moment of the ledger's time.
pub fn check(_view: &dyn View, _dose_id: &Id16, _at_ms: i64) -> DoseCheck {
    DoseCheck {
        answer: Answer::NoAnswer,
        findings: Vec::new(),
        subject_id: None,
        lots: Vec::new(),
        records: Vec::new(),
        expires_at_ms: None,
        viable_cells_per_kg: None,
    }
}
