//! The dose check: whether this dose may be given to its subject, at a moment of the ledger's time.
//!
//! GREEN only if every clause holds; RED with every reason; NO ANSWER if something that it rests on cannot be seen. Dispensing is
//! gated by the very same clauses. That the clock is trusted and the chain intact is for the server to add: rules see neither.

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;

use crate::codes::dose as code;
use crate::codes::frame::RECORD_IN_DOUBT;
use crate::family::dose::case::{Case, SeenUnit, Sight};
use crate::family::dose::exposure::{self, Addition};
use crate::family::dose::findings::{Findings, record, thing};
use crate::family::dose::preparation::made_of;
use crate::family::dose::words::moment;
use crate::family::dose::{amount, bedside, claims, order, portions, weight};
use crate::finding::Finding;
use crate::frame::doubt::Doubt;
use crate::index::{id16, subject_of_dose};
use crate::state::Subject;
use crate::state::lot::Processing;
use crate::state::subject::{Dose, DoseState};
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
    /// Every reason for RED, ascending by the code's number. With NO ANSWER: what is known to be wrong all the same.
    pub findings: Vec<Finding>,
    /// The subject of the dose, if the dose is known.
    pub subject_id: Option<Id16>,
    /// Lots of the dose's units, ascending.
    pub lots: Vec<Id16>,
    /// Records that the answer rests on, each once.
    pub records: Vec<RecordId>,
    /// Last moment of use, inclusive.
    pub expires_at_ms: Option<i64>,
    /// Viable cells per kg of the order's weight, rounded down: for showing, never for comparing.
    pub viable_cells_per_kg: Option<u64>,
}

/// Who asks.
pub(in crate::family) enum Asker<'a> {
    /// A pharmacist who is about to dispense the dose.
    Dispensing {
        /// For which facility.
        facility_id: Id16,
        /// The signatories.
        people: &'a BTreeSet<Id16>,
    },
    /// Anybody, before the dose is given.
    Check,
}

/// Checks a dose at a moment of the ledger's time.
pub fn check(view: &dyn View, dose_id: &Id16, at_ms: i64) -> DoseCheck {
    let mut check = DoseCheck {
        answer: Answer::NoAnswer,
        findings: Vec::new(),
        subject_id: None,
        lots: Vec::new(),
        records: Vec::new(),
        expires_at_ms: None,
        viable_cells_per_kg: None,
    };
    let Some(subject_id) = subject_of_dose(view, dose_id) else {
        return check;
    };
    check.subject_id = Some(subject_id);
    let Some(subject) = view.subject(&subject_id) else {
        return check;
    };
    let Some(dose) = subject.dose(dose_id) else {
        return check;
    };
    let case = Case::of(view, &subject, dose, at_ms);
    check.findings = clauses(&case, &Asker::Check).0;
    check.findings.sort_by(|a, b| a.code.number.cmp(&b.code.number).then_with(|| a.look_at.cmp(&b.look_at)));
    check.lots = case.seen().map(|(_, seen)| seen.lot.id).collect::<BTreeSet<_>>().into_iter().collect();
    check.records = records(&case).into_iter().collect();
    check.expires_at_ms = Some(case.expires_at_ms());
    check.viable_cells_per_kg = viable_cells_per_kg(case.subject, case.dose);
    check.answer = if is_unseen(&case) {
        Answer::NoAnswer
    } else if check.findings.is_empty() {
        Answer::Green
    } else {
        Answer::Red
    };
    check
}

/// What became of a dose, its units' return and destruction included.
pub fn state_of(view: &dyn View, dose: &Dose) -> DoseState {
    let sights = dose.portions.iter().map(|portion| Sight::of(view, portion.unit_id));
    let units: Option<Vec<Processing>> = sights.map(|sight| sight.seen().map(|seen| seen.unit.processing)).collect();
    dose.state_with(&units.unwrap_or_default())
}

/// Every clause.
pub(in crate::family) fn clauses(case: &Case<'_>, asker: &Asker<'_>) -> Findings {
    let mut f = case.standing.everything(case.at_ms);
    bedside::not_held(&mut f, case);
    bedside::not_rejected(&mut f, case.dose, case.at_ms);
    state(&mut f, case, asker);
    signatures(&mut f, case, asker);
    claims::one_of_its_name(&mut f, case);
    order::known_and_open(&mut f, case.subject, &case.dose.order_id, Some(&case.dose.id));
    weight::recent(&mut f, &case.standing, case.at_ms);
    weight::unchanged(&mut f, &case.standing, case.order_weighing());
    made_of(&mut f, case, true);
    let facility_id = match asker {
        Asker::Dispensing { facility_id, .. } => *facility_id,
        Asker::Check => case.dose.dispensed.map_or(case.dose.facility_id, |dispensed| dispensed.facility_id),
    };
    for (_, seen) in case.seen() {
        portions::fit_for_use(&mut f, case.view, seen, &case.subject.id, case.at_ms);
        portions::held_by(&mut f, &seen.unit, &facility_id);
    }
    amount::endotoxin(&mut f, case);
    exposure::cap(&mut f, &case.standing, case.at_ms, Addition::dose(case.dose));
    exposure::interval(&mut f, &case.standing, case.at_ms, Some(&case.dose.id), true);
    doubt(&mut f, case, asker);
    f
}

/// Nothing that the answer rests on was signed with a key that was compromised by then. Of a record the frame asks the same about the
/// streams that it extends; the check extends none.
fn doubt(f: &mut Findings, case: &Case<'_>, asker: &Asker<'_>) {
    if let Asker::Dispensing { .. } = asker {
        return;
    }
    let authority = case.view.authority();
    if !authority.has_doubt() {
        return;
    }
    let mut doubt = Doubt::new(case.view, &authority);
    doubt.subject(case.subject);
    for (_, seen) in case.seen() {
        doubt.lot(&seen.lot);
    }
    let doubted = doubt.into_records();
    f.demand(
        doubted.is_empty(),
        &RECORD_IN_DOUBT,
        || format!("{} records that were signed with a key after it was compromised, or granted with one", doubted.len()),
        || "no record in doubt".to_owned(),
        || doubted.iter().copied().map(record).collect(),
    );
}

/// Not given yet; when it is dispensed, not dispensed yet either.
fn state(f: &mut Findings, case: &Case<'_>, asker: &Asker<'_>) {
    let dose = case.dose;
    let infusion = dose.infusion.as_ref();
    f.demand(
        infusion.is_none(),
        &code::DOSE_ALREADY_USED,
        || {
            let word = match dose.state() {
                DoseState::Ended => "infused",
                DoseState::Stopped => "infused in part",
                _ => "being infused",
            };
            format!("dose `{}`, {word} since {}", dose.code, infusion.map_or_else(String::new, |i| moment(i.started_at_ms)))
        },
        || "a dose that was not begun".to_owned(),
        || infusion.map(|infusion| record(infusion.record_id)).into_iter().collect(),
    );
    // An end without a start, or a start of another dose that the unit was said to be in: the cells are in somebody all the same.
    for (_, seen) in case.seen().filter(|(_, seen)| infusion.is_none() && seen.unit.processing == Processing::Infused) {
        f.demand(
            false,
            &code::DOSE_ALREADY_USED,
            || format!("unit `{}`, whose infusion is recorded", seen.unit.code),
            || "units that were not infused".to_owned(),
            || vec![thing("unit", &seen.unit.id)],
        );
    }
    if let Asker::Dispensing { .. } = asker {
        let dispensed = dose.dispensed.as_ref();
        f.demand(
            dispensed.is_none(),
            &code::DOSE_ALREADY_DISPENSED,
            || format!("dose `{}`, dispensed {}", dose.code, dispensed.map_or_else(String::new, |d| moment(d.dispensed_at_ms))),
            || "a dose that was not dispensed".to_owned(),
            || dispensed.map(|dispensed| record(dispensed.record_id)).into_iter().collect(),
        );
    }
}

/// The preparation has all its signatures, and none of them is the dispenser's.
fn signatures(f: &mut Findings, case: &Case<'_>, asker: &Asker<'_>) {
    let dose = case.dose;
    let owed: Vec<String> = case
        .subject
        .upkeep
        .owed
        .iter()
        .filter(|owed| owed.digest == dose.digest)
        .map(|owed| format!("slot {} ({})", owed.slot, owed.role.as_str_name()))
        .collect();
    f.demand(
        owed.is_empty(),
        &code::DOSE_SIGNATURE_OWED,
        || format!("preparation of dose `{}` without {}", dose.code, owed.join(", ")),
        || "all signatures".to_owned(),
        || vec![record(dose.record_id)],
    );
    if let Asker::Dispensing { people, .. } = asker {
        let authority = case.view.authority();
        let prepared_it = |key: &KeyId| authority.person_of(key).is_some_and(|person| people.contains(&person));
        f.demand(
            !dose.prepared_by.iter().copied().chain(amended_by(case)).any(|key| prepared_it(&key)),
            &code::DISPENSER_PREPARED_IT,
            || format!("a pharmacist who signed the preparation of dose `{}` or an amendment of it", dose.code),
            || "somebody else".to_owned(),
            || vec![record(dose.record_id)],
        );
    }
}

/// Keys that signed an amendment of the preparation: whose numbers they are has had a part in it.
fn amended_by(case: &Case<'_>) -> Vec<KeyId> {
    let original = case.dose.record_id;
    let mut keys = Vec::new();
    let mut next = case.subject.upkeep.amended.get(&original).map(|version| version.record_id);
    // Each amendment names the version that it replaces, down to the record itself; there are no more of them than records.
    for _ in 0..case.subject.upkeep.length {
        let Some(entry) = next.filter(|id| *id != original).and_then(|id| case.view.entry(&id)) else {
            break;
        };
        keys.extend(entry.signings.iter().map(|signing| signing.key_id));
        next = match entry.event() {
            Some(Event::RecordAmended(e)) => Some(RecordId(id16(&e.replaces_record_id))),
            _ => None,
        };
    }
    keys
}

/// Whether something that the answer rests on cannot be seen.
fn is_unseen(case: &Case<'_>) -> bool {
    let donor_unseen = |seen: &SeenUnit| seen.lot.donor_id.is_none_or(|donor| case.view.donor(&donor).is_none());
    case.standing.unseen
        || case.parts.iter().any(|(_, sight)| match sight {
            Sight::Seen(seen) => seen.specification_unseen || donor_unseen(seen),
            Sight::Unseen => true,
            Sight::Unknown(_) => false,
        })
}

/// Viable cells per kg of the weight that the dose was ordered with, rounded down.
pub fn viable_cells_per_kg(subject: &Subject, dose: &Dose) -> Option<u64> {
    let weighing = subject.weighing(&subject.order(&dose.order_id)?.weighing_record_id)?;
    let weight = u128::from(weighing.weight_grams) * 10_000;
    let viable = u128::from(dose.total_cells) * u128::from(dose.viability_basis_points) * 1_000;
    u64::try_from(viable.checked_div(weight)?).ok()
}

/// The records that the answer rests on.
fn records(case: &Case<'_>) -> BTreeSet<RecordId> {
    let subject = case.subject;
    let mut records = BTreeSet::from([case.dose.record_id]);
    records.extend(subject.consent().map(|consent| consent.record_id));
    records.extend(subject.screening().map(|screening| screening.record_id));
    records.extend(subject.randomised.map(|randomised| randomised.record_id));
    records.extend(subject.latest_weighing().map(|weighing| weighing.record_id));
    records.extend(case.order.map(|order| order.record_id));
    records.extend(case.order_weighing().map(|weighing| weighing.record_id));
    records.extend(case.dose.dispensed.map(|dispensed| dispensed.record_id));
    if let Some((protocol_id, version)) = subject.protocol() {
        let protocol = case.view.protocol(&protocol_id);
        records.extend(protocol.and_then(|p| p.versions.get(&version).map(|(record, _)| *record)));
    }
    for (_, seen) in case.seen() {
        let unit = &seen.unit;
        records.insert(unit.filled_by);
        records.extend(unit.allocation.map(|allocation| allocation.record_id));
        records.extend(unit.thaw_order.as_ref().map(|thaw_order| thaw_order.record_id));
        records.extend(unit.thaw.map(|thaw| thaw.record_id));
        records.extend(seen.specification_record);
        records.extend(seen.lot.opened.iter().map(|(record, _)| *record));
        records.extend(seen.lot.disposition.iter().map(|(record, _)| *record));
        records.extend(seen.lot.results.iter().flat_map(|r| {
            let decided = r.review.map(|(review, _)| review).into_iter().chain(r.invalidated);
            decided.chain([r.record_id])
        }));
        let donor = seen.lot.donor_id.and_then(|donor| case.view.donor(&donor));
        if let Some(donor) = donor {
            records.extend(donor.consent().map(|consent| consent.record_id));
            records.extend(donor.eligibility.iter().map(|(record, _)| *record));
        }
    }
    records
}

#[cfg(test)]
mod tests;
