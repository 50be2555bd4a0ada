//! What was learned of a lot's reagents and devices after they were used: a status that comes late, an expiry that is amended, a release that
//! is voided. Such a record extends the stream of the facility or the device and moves no lot, so that whatever decides about a lot asks
//! again. What was known when the step was recorded has been flagged then; what was learned since is settled by a deviation of the lot that
//! was opened afterwards and closed by QA.

use std::sync::Arc;

use marrowline_record::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;

use crate::codes::{Code, lot as codes};
use crate::finding::{Finding, Look};
use crate::index::id16;
use crate::state::equipment::is_in_service;
use crate::state::lot::MaterialsUse;
use crate::state::{Lot, Upkeep};
use crate::view::View;

/// What is wrong with a material, and the record that says so now.
struct Unfit {
    code: &'static Code,
    thing: &'static str,
    id: Id16,
    record_id: RecordId,
    /// The leaf that it was learned with.
    learned_at: u64,
}

/// Steps of a lot that were done with what is known today not to have been fit.
pub(super) fn unfit_materials(view: &dyn View, lot: &Lot) -> Vec<Finding> {
    let of_use = |used: &MaterialsUse| {
        let Some(step) = view.entry(&used.record_id) else { return Vec::new() };
        let known = flags_of(view, lot, &step);
        let unfit = reagents(view, used, step.occurred_at_ms()).into_iter().chain(devices(view, used, step.occurred_at_ms()));
        unfit
            .filter(|unfit| !known.contains(&unfit.code.number) && !is_settled(view, lot, unfit.learned_at.max(step.index)))
            .map(|unfit| Finding {
                code: &codes::MATERIAL_UNFIT_AFTERWARDS,
                found: format!("{} with {} {}: {}", used.event, unfit.thing, unfit.id, unfit.code.name),
                allowed: "materials that were fit for use, or a closed deviation about what was learned".to_owned(),
                look_at: vec![Look::Record(unfit.record_id), Look::Record(used.record_id)],
            })
            .collect()
    };
    lot.materials.iter().flat_map(of_use).collect()
}

/// What was flagged when the step was recorded, or when it was amended.
fn flags_of(view: &dyn View, lot: &Lot, step: &Arc<Entry>) -> Vec<u16> {
    let version = lot.upkeep.amended.get(&step.record_id()).and_then(|version| view.entry(&version.record_id));
    step.flags.iter().chain(version.iter().flat_map(|version| version.flags.iter())).copied().collect()
}

fn is_settled(view: &dyn View, lot: &Lot, learned_at: u64) -> bool {
    let opened_after = |record_id: &RecordId| view.entry(record_id).is_some_and(|entry| entry.index > learned_at);
    lot.upkeep.deviations.iter().any(|deviation| deviation.closed_by.is_some() && opened_after(&deviation.record_id))
}

/// The leaf of a record, or that of its latest version.
fn learned_at(view: &dyn View, upkeep: &Upkeep, record_id: &RecordId) -> u64 {
    let latest = upkeep.amended.get(record_id).map_or(*record_id, |version| version.record_id);
    view.entry(&latest).map_or(0, |entry| entry.index)
}

/// Whether a record of a facility is about this reagent lot: what became of another one says nothing of it.
fn is_about(view: &dyn View, record_id: &RecordId, reagent: &Id16) -> bool {
    let Some(entry) = view.entry(record_id) else { return false };
    let named = match entry.event() {
        Some(Event::ReagentReceived(e)) => &e.reagent_lot_id,
        Some(Event::ReagentReleased(e)) => &e.reagent_lot_id,
        Some(Event::ReagentRecalled(e)) => &e.reagent_lot_id,
        _ => return false,
    };
    named[..] == reagent.0
}

fn reagents(view: &dyn View, used: &MaterialsUse, at_ms: i64) -> Vec<Unfit> {
    let Some(facility) = view.facility(&used.facility_id) else { return Vec::new() };
    // A receipt or release that was voided leaves nothing to look at but the voiding.
    let last_change = |id: &Id16| {
        let of_reagent = facility.upkeep.amended.iter().filter(|(target, _)| is_about(view, target, id));
        let changes = of_reagent.filter_map(|(_, version)| view.entry(&version.record_id));
        changes.map(|entry| (entry.index, entry.record_id())).max().unwrap_or((0, used.record_id))
    };
    let of_reagent = |id: Id16| {
        let (changed_at, changed_by) = last_change(&id);
        let Some(reagent) = facility.reagents.get(&id) else {
            return vec![(&codes::REAGENT_UNKNOWN, id, changed_by, changed_at)];
        };
        let received = (reagent.record_id, learned_at(view, &facility.upkeep, &reagent.record_id));
        let is_released = reagent.released.is_some_and(|(_, released_at_ms)| released_at_ms <= at_ms);
        let not_released =
            (!is_released).then_some((&codes::REAGENT_NOT_RELEASED, id, reagent.record_id, received.1.max(changed_at)));
        let expired = (at_ms >= reagent.expires_at_ms()).then_some((&codes::REAGENT_EXPIRED, id, received.0, received.1));
        not_released.into_iter().chain(expired).collect()
    };
    let ids = used.materials.reagent_lot_ids.iter().map(|id| Id16(id16(id)));
    let unfit = |(code, id, record_id, learned_at)| Unfit { code, thing: "reagent lot", id, record_id, learned_at };
    ids.flat_map(of_reagent).map(unfit).collect()
}

fn devices(view: &dyn View, used: &MaterialsUse, at_ms: i64) -> Vec<Unfit> {
    let of_device = |id: Id16| {
        let equipment = view.equipment(&id)?;
        let standing = equipment.at(at_ms)?;
        let due_ms = standing.event.calibration_due.as_ref().map(|due| due.unix_ms);
        let code = if !is_in_service(standing) {
            &codes::EQUIPMENT_NOT_IN_SERVICE
        } else if due_ms.is_some_and(|due_ms| at_ms > due_ms) {
            &codes::EQUIPMENT_CALIBRATION_OVERDUE
        } else {
            return None;
        };
        let learned_at = learned_at(view, &equipment.upkeep, &standing.record_id);
        Some(Unfit { code, thing: "device", id, record_id: standing.record_id, learned_at })
    };
    used.materials.equipment_ids.iter().map(|id| Id16(id16(id))).filter_map(of_device).collect()
}
