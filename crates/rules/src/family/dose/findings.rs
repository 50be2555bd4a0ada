//! A list of findings, for rules that are asked by the dose check as well as by records.

use marrowline_record::id::{Id16, RecordId};

use crate::codes::Code;
use crate::context::Context;
use crate::finding::{Finding, Look};

/// What was found so far.
#[derive(Default)]
pub(in crate::family) struct Findings(pub(in crate::family) Vec<Finding>);

impl Findings {
    /// Adds a finding unless `holds`.
    pub(in crate::family) fn demand(
        &mut self,
        holds: bool,
        code: &'static Code,
        found: impl FnOnce() -> String,
        allowed: impl FnOnce() -> String,
        look_at: impl FnOnce() -> Vec<Look>,
    ) {
        #[cfg(feature = "testing")]
        let holds = holds || crate::testing::is_disabled(code);
        if !holds {
            self.0.push(Finding { code, found: found(), allowed: allowed(), look_at: look_at() });
        }
    }

    /// Adds what another family found.
    pub(in crate::family) fn extend(&mut self, findings: Vec<Finding>) {
        #[cfg(feature = "testing")]
        let findings = findings.into_iter().filter(|finding| !crate::testing::is_disabled(finding.code));
        self.0.extend(findings);
    }

    /// Hands the findings to the record that is judged.
    pub(in crate::family) fn into_context(self, c: &mut Context<'_>) {
        c.findings.extend(self.0);
    }
}

/// Look at a record.
pub(in crate::family) fn record(id: RecordId) -> Look {
    Look::Record(id)
}

/// Look at a thing.
pub(in crate::family) fn thing(kind: &'static str, id: &Id16) -> Look {
    Look::Thing { kind, id: id.to_string() }
}

/// Look at a field of the record.
pub(in crate::family) fn field(path: impl Into<String>) -> Look {
    Look::Field(path.into())
}
