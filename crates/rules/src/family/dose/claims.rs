//! Which preparations claim a thing: an id, the code on a label, a unit.
//!
//! A preparation is recorded whatever is wrong with it. It may repeat another dose's name, or extend lots that are not those of its units,
//! so that neither the other dose nor the lots learn of it in their own streams. The look-ups find it all the same.

use std::sync::Arc;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb;
use marrowline_record::pb::record::Event;

use crate::codes::dose as code;
use crate::family::dose::case::Case;
use crate::family::dose::findings::{Findings, record};
use crate::index::{IndexKey, id16, subject_of_dose};
use crate::state::Subject;
use crate::state::lot::Unit;
use crate::view::View;

/// A preparation that was not voided.
struct Preparation {
    record_id: RecordId,
    subject: Arc<Subject>,
    event: pb::DosePrepared,
}

impl Preparation {
    fn at(view: &dyn View, key: &IndexKey) -> Option<Preparation> {
        let record_id = RecordId(view.lookup(key)?);
        let entry = view.entry(&record_id)?;
        let Some(Event::DosePrepared(event)) = entry.event() else {
            return None;
        };
        let subject = view.subject(&Id16(entry.stream_id(pb::StreamKind::Subject)))?;
        let is_void = subject.upkeep.amended.get(&record_id).is_some_and(|version| version.is_void);
        (!is_void).then(|| Preparation { record_id, event: event.clone(), subject })
    }

    fn dose_id(&self) -> Id16 {
        Id16(id16(&self.event.dose_id))
    }

    /// Whether it names the unit: its latest version does, or nothing is known of a later one.
    fn is_of(&self, unit_id: &Id16) -> bool {
        match self.subject.doses.iter().find(|dose| dose.record_id == self.record_id) {
            Some(dose) => dose.portions.iter().any(|portion| portion.unit_id == *unit_id),
            None => self.event.contributions.iter().any(|part| part.unit_id[..] == unit_id.0),
        }
    }
}

/// Every dose that a unit is said to be in, with its subject: as its lot knows, and as the first and the last preparation say that name
/// it, whichever lots they extend.
pub fn doses_of(view: &dyn View, unit: &Unit) -> Vec<(Id16, Option<Id16>)> {
    let subject_of = |dose: &Id16| subject_of_dose(view, dose);
    let mut found: Vec<_> = unit.dose_ids.iter().map(|dose| (*dose, subject_of(dose))).collect();
    for claim in claims_on(view, &unit.id) {
        let claimed = (claim.dose_id(), Some(claim.subject.id));
        if !found.contains(&claimed) {
            found.push(claimed);
        }
    }
    found
}

fn claims_on(view: &dyn View, unit_id: &Id16) -> impl Iterator<Item = Preparation> {
    let keys = [IndexKey::Preparation(unit_id.0), IndexKey::PreparationLast(unit_id.0)];
    keys.into_iter().filter_map(|key| Preparation::at(view, &key)).filter(|claim| claim.is_of(unit_id))
}

/// A dose that a unit is said to be in although its lot does not know.
pub(in crate::family) fn unknown_to_its_lot(view: &dyn View, unit: &Unit) -> Option<Id16> {
    claims_on(view, &unit.id).map(|claim| claim.dose_id()).find(|dose| !unit.dose_ids.contains(dose))
}

/// No other dose has the dose's id, or the code on its label until QA and another person have lifted the hold of that.
pub(in crate::family) fn one_of_its_name(f: &mut Findings, case: &Case<'_>) {
    let twin = same_id(case).or_else(|| same_code(case));
    f.demand(
        twin.is_none(),
        &code::DOSE_AMBIGUOUS,
        || format!("dose `{}`, whose id or label another preparation has as well", case.dose.code),
        || "a dose of its own name".to_owned(),
        || vec![record(case.dose.record_id)].into_iter().chain(twin.map(record)).collect(),
    );
}

/// The preparation of another subject's dose with this id.
fn same_id(case: &Case<'_>) -> Option<RecordId> {
    let (dose_id, subject) = (case.dose.id, case.subject);
    let owner = subject_of_dose(case.view, &dose_id).filter(|owner| *owner != subject.id);
    let first =
        owner.and_then(|owner| case.view.subject(&owner)).and_then(|owner| owner.dose(&dose_id).map(|dose| dose.record_id));
    let last = Preparation::at(case.view, &IndexKey::DoseLast(dose_id.0)).filter(|last| last.subject.id != subject.id);
    first.or_else(|| last.map(|last| last.record_id))
}

/// The preparation of another dose with this code, held because of it. A dose that had its code second is held itself.
fn same_code(case: &Case<'_>) -> Option<RecordId> {
    let last = Preparation::at(case.view, &IndexKey::DoseCodeLast(case.dose.code.clone()))?;
    let mut holds = last.subject.upkeep.open_holds();
    let is_held = holds.any(|hold| hold.record_id == last.record_id && hold.code == code::DOSE_CODE_USED.name);
    (is_held && last.dose_id() != case.dose.id).then_some(last.record_id)
}
