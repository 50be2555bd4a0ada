//! Why the ledger does not append a record.

use marrowline_record::id::RecordId;
use marrowline_rules::Finding;

/// A record that was added to a stream after the head that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Its sequence number in the stream.
    pub seq: u64,
    /// Its id.
    pub record_id: RecordId,
    /// The event's name.
    pub event: String,
}

/// Why the ledger does not append a record. Each has a stable code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Rules refuse it.
    #[error("{} rules refuse the record", violations.len())]
    Violations {
        /// Every failed rule.
        violations: Vec<Finding>,
        /// What came after the heads that were seen, if that is one of the reasons.
        moved: Vec<Moved>,
    },
    /// A record with this id and other content is in the log.
    #[error("record {record_id} is in the log with other content, at index {index}")]
    AlreadyExistsDifferent {
        /// The id.
        record_id: RecordId,
        /// Its leaf.
        index: u64,
    },
    /// The record is in the log, without one of the signatures that were sent.
    #[error("record {record_id} is in the log at index {index} without one of these signatures; add it with SignatureAdded")]
    SigningsDiffer {
        /// The id.
        record_id: RecordId,
        /// Its leaf.
        index: u64,
    },
    /// The ledger's clock cannot be trusted; authorisations wait, facts go on.
    #[error("the ledger's clock is not trusted")]
    ClockUntrusted,
    /// A client holds a newer checkpoint than the ledger: its history may have been rolled back.
    #[error("the ledger is read-only: {reason}")]
    ReadOnly {
        /// Why.
        reason: String,
    },
    /// There is no room on the disk; reads go on.
    #[error("no space left: {detail}")]
    StoreFull {
        /// How much is free and needed.
        detail: String,
    },
    /// The ledger has stopped accepting records.
    #[error("the ledger has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The private half of the log key's successor is not beside the present one.
    #[error("the server does not hold the key that is to follow the log's")]
    SuccessorNotHeld,
    /// The store could not answer a question that the verdict needs.
    #[error("the ledger cannot judge now: {reason}")]
    CannotJudge {
        /// Why.
        reason: String,
    },
}

impl Refusal {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Violations { violations, .. } => violations.first().map_or("REFUSED", |f| f.code.name),
            Refusal::AlreadyExistsDifferent { .. } => "RECORD_ID_TAKEN",
            Refusal::SigningsDiffer { .. } => "SIGNINGS_DIFFER",
            Refusal::ClockUntrusted => "CLOCK_UNTRUSTED",
            Refusal::ReadOnly { .. } => "ROLLED_BACK",
            Refusal::StoreFull { .. } => "STORE_FULL",
            Refusal::Stopped { .. } => "LEDGER_STOPPED",
            Refusal::SuccessorNotHeld => "SUCCESSOR_NOT_HELD",
            Refusal::CannotJudge { .. } => "CANNOT_JUDGE",
        }
    }
}
