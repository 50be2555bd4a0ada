//! The one door: frame first (time, signatures, streams, heads), then the rules of the event's family.

use std::ops::RangeInclusive;

use marrowline_record::id::{Digest, Id16};
use marrowline_record::pb::Record;
use marrowline_record::pb::record::Event;
use marrowline_record::signing::Signing;
use marrowline_record::{Entry, OpenedRecord};

use crate::context::{Context, Signer, refuses};
use crate::finding::Finding;
use crate::state::Authority;
use crate::view::View;
use crate::{again, family, frame, table};

/// The rule sets that this software judges by. Released rule sets stay compiled for ever: each rule names the first one that has it, and a
/// rule that changed looks at the context's. Rule set 2 judges readings as evidence of how a unit was kept.
pub const RULE_SETS: RangeInclusive<u32> = 1..=2;

/// The rule set that a ledger is founded with.
pub const NEWEST_RULE_SET: u32 = *RULE_SETS.end();

/// The rule set that judges the next record: the one in force, or the one that a founding asks for.
pub fn rule_set_for(authority: &Authority, event: Option<&Event>) -> u32 {
    match (authority.rule_set, event) {
        (0, Some(Event::LedgerFounded(e))) if RULE_SETS.contains(&e.rule_set) => e.rule_set,
        // Refused, whatever it is: the founding asks for an unknown rule set, or there is none.
        (0, _) => NEWEST_RULE_SET,
        (in_force, _) => in_force,
    }
}

/// Where and when in the log a record is judged.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// The leaf's number.
    pub index: u64,
    /// The ledger's time, Unix ms.
    pub recorded_at_ms: i64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The record is appended; the flags go into its leaf.
    Accepted {
        /// What was found, ascending by the code's number.
        flags: Vec<Finding>,
    },
    /// The record is not appended.
    Refused {
        /// Every failed rule, not only the first.
        violations: Vec<Finding>,
    },
}

impl Verdict {
    /// Flag numbers for the leaf, ascending, each once.
    pub fn flag_numbers(&self) -> Vec<u16> {
        let mut numbers: Vec<u16> = match self {
            Verdict::Accepted { flags } => flags.iter().map(|f| f.code.number).collect(),
            Verdict::Refused { .. } => Vec::new(),
        };
        numbers.dedup();
        numbers
    }
}

/// Judges a record under a rule set. `None` if this software does not know the rule set.
pub fn judge(rule_set: u32, view: &dyn View, at: At, opened: &OpenedRecord) -> Option<Verdict> {
    if !RULE_SETS.contains(&rule_set) {
        return None;
    }
    let mut context = context(view, rule_set, at.recorded_at_ms, opened.record(), opened.digest(), opened.signings())?;
    let category = context.category;
    frame::judge(&mut context, at);
    // A record whose streams or signatures are not of its event's form gives the family's rules nothing to stand on.
    if !context.is_refused() || category == table::Category::Authorisation && frame::is_well_formed(&context) {
        family::judge(&mut context);
        again::after_late_fact(&mut context);
        family::emergency::apply(&mut context);
    }
    let mut findings = context.findings;
    findings.retain(|finding| finding.code.since <= rule_set);
    findings.sort_by(|a, b| a.code.number.cmp(&b.code.number).then_with(|| a.look_at.cmp(&b.look_at)));
    let (violations, flags): (Vec<Finding>, Vec<Finding>) = findings.into_iter().partition(|f| refuses(f.code, category));
    Some(if violations.is_empty() { Verdict::Accepted { flags } } else { Verdict::Refused { violations } })
}

/// What the rules of its family alone find about a record that the ledger accepted at this time.
pub(crate) fn family_findings(view: &dyn View, recorded_at_ms: i64, entry: &Entry) -> Vec<Finding> {
    let Some(mut context) = context(view, entry.rule_set, recorded_at_ms, &entry.record, entry.digest, &entry.signings) else {
        return Vec::new();
    };
    family::judge(&mut context);
    context.findings.retain(|finding| finding.code.since <= entry.rule_set);
    context.findings
}

fn context<'a>(
    view: &'a dyn View,
    rule_set: u32,
    recorded_at_ms: i64,
    record: &'a Record,
    digest: Digest,
    signings: &'a [Signing],
) -> Option<Context<'a>> {
    let event = record.event.as_ref()?;
    let authority = view.authority();
    let signers = signings
        .iter()
        .filter_map(|signing| {
            let slot = record.slots.get(usize::from(signing.slot))?;
            Some(Signer {
                slot: signing.slot,
                key_id: signing.key_id,
                person_id: authority
                    .person_of(&signing.key_id)
                    .or_else(|| crate::state::authority::founding_person(event, &signing.key_id)),
                role: slot.role(),
                meaning: slot.meaning(),
                facility_id: Id16(crate::index::id16(&slot.facility_id)),
                signed_at_ms: signing.signed_at_ms,
            })
        })
        .collect();
    Some(Context {
        view,
        rule_set,
        authority,
        record,
        digest,
        signings,
        category: table::category(event),
        recorded_at_ms,
        occurred_at_ms: record.occurred_at.as_ref().map_or(0, |i| i.unix_ms),
        signers,
        findings: Vec::new(),
    })
}
