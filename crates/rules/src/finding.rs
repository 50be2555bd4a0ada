//! What a rule found: the facts in the user's words, and where to look.

use std::fmt;

use marrowline_record::id::RecordId;

use crate::codes::Code;

/// Where to look.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// A field of the record, as a path.
    Field(String),
    /// A record of the ledger.
    Record(RecordId),
    /// A thing by its kind and id, e.g. a unit or a hold.
    Thing {
        /// One word, e.g. `unit`.
        kind: &'static str,
        /// Its id as printed.
        id: String,
    },
}

impl fmt::Display for Look {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Look::Field(path) => write!(f, "field {path}"),
            Look::Record(id) => write!(f, "record {id}"),
            Look::Thing { kind, id } => write!(f, "{kind} {id}"),
        }
    }
}

/// One finding of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub code: &'static Code,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
    /// Where to look.
    pub look_at: Vec<Look>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: found {}; allowed {}", self.code.name, self.found, self.allowed)
    }
}
