//! Units: filling, places, and whether one may be used.

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb;

use super::lot::{check_cells, field, lot, percent, specification};
use super::subject::standing::is_dead;
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::{Finding, Look};
use crate::index::{CODE_UNIT, IndexKey, id16, is_unit, lot_of_unit};
use crate::state::Lot;
use crate::state::lot::{Allocation, Processing, Unit};
use crate::view::View;

pub(super) fn filled(c: &mut Context<'_>, e: &pb::UnitsFilled) {
    let lot = lot(c);
    let harvest_id = Id16(id16(&e.harvest_id));
    match lot.harvests.get(&harvest_id) {
        None => c.find(
            &codes::HARVEST_UNKNOWN,
            format!("harvest {harvest_id}"),
            "a harvest of the lot",
            field("units_filled.harvest_id"),
        ),
        Some(harvest) => {
            if let Some(record) = harvest.consumed_by {
                c.find(
                    &codes::HARVEST_ALREADY_FILLED,
                    "a harvest that was filled",
                    "a harvest that was not",
                    vec![Look::Record(record)],
                );
            }
            let taken = e.cells.as_ref().map_or(0, |b| b.cells_in());
            c.demand(
                taken == harvest.total_cells,
                &codes::STEP_INPUT_DIFFERS,
                || format!("{taken} cells"),
                || format!("{} cells, as harvested", harvest.total_cells),
                || vec![Look::Field("units_filled.cells.cells_in".to_owned()), Look::Record(harvest.record_id)],
            );
        }
    }
    check_containers(c, e);
    check_new_units(c, &lot, e);
    if let Some(cells) = &e.cells {
        check_cells(c, &lot, cells, "units_filled.cells");
        let sum: u128 = e.units.iter().map(|u| u128::from(u.total_cells)).sum();
        c.demand(
            sum == u128::from(cells.cells_out.unwrap_or(0)),
            &codes::UNIT_SUM_DIFFERS,
            || format!("{sum} cells in the units"),
            || format!("{} cells, as the balance passes on", cells.cells_out.unwrap_or(0)),
            || field("units_filled.units"),
        );
    }
    check_fill_limits(c, &lot, e);
}

fn check_containers(c: &mut Context<'_>, e: &pb::UnitsFilled) {
    let filled = u64::try_from(e.units.len()).unwrap_or(u64::MAX);
    let broken = u64::from(e.containers_broken.unwrap_or(0));
    let returned = u64::from(e.containers_returned.unwrap_or(0));
    c.demand(
        filled.saturating_add(broken).saturating_add(returned) == u64::from(e.containers_taken),
        &codes::CONTAINERS_NOT_CONSERVED,
        || format!("{filled} filled + {broken} broken + {returned} returned"),
        || format!("{} taken", e.containers_taken),
        || field("units_filled.containers_taken"),
    );
}

fn check_new_units(c: &mut Context<'_>, lot: &Lot, e: &pb::UnitsFilled) {
    let mut seen = BTreeSet::new();
    for (number, unit) in e.units.iter().enumerate() {
        let id = Id16(id16(&unit.unit_id));
        let code_holder = c.view.lookup(&IndexKey::Code { kind: CODE_UNIT, code: unit.unit_code.clone() }).map(Id16);
        let is_new = seen.insert(unit.unit_id.clone())
            && seen.insert(unit.unit_code.clone().into_bytes())
            && !lot.units.contains_key(&id)
            && !is_unit(c.view, &id)
            && !code_holder.is_some_and(|holder| is_unit(c.view, &holder));
        c.demand(
            is_new,
            &codes::CULTURE_ID_REUSED,
            || format!("unit {} ({id}), which exists", unit.unit_code),
            || "a new id and a new code".to_owned(),
            || field(format!("units_filled.units[{number}]")),
        );
    }
}

fn check_fill_limits(c: &mut Context<'_>, lot: &Lot, e: &pb::UnitsFilled) {
    let Some(document) = specification(c.view, lot) else {
        return;
    };
    for (number, unit) in e.units.iter().enumerate() {
        c.demand(
            (document.min_cells_per_unit..=document.max_cells_per_unit).contains(&unit.total_cells),
            &codes::UNIT_CELLS_OUTSIDE_BAND,
            || format!("{} cells in unit {}", unit.total_cells, unit.unit_code),
            || format!("{} to {} cells", document.min_cells_per_unit, document.max_cells_per_unit),
            || field(format!("units_filled.units[{number}].total_cells")),
        );
    }
    let dmso = e.dmso_basis_points.unwrap_or(0);
    let (min, max) = (document.min_dmso_basis_points.unwrap_or(0), document.max_dmso_basis_points.unwrap_or(0));
    c.demand(
        (min..=max).contains(&dmso),
        &codes::DMSO_OUTSIDE_BAND,
        || percent(dmso),
        || format!("{} to {}", percent(min), percent(max)),
        || field("units_filled.dmso_basis_points"),
    );
    let viability = e.viability_basis_points.unwrap_or(0);
    c.demand(
        viability >= document.min_fill_viability_basis_points,
        &codes::FILL_VIABILITY_LOW,
        || percent(viability),
        || format!("{} or more", percent(document.min_fill_viability_basis_points)),
        || field("units_filled.viability_basis_points"),
    );
}

pub(super) fn moved(c: &mut Context<'_>, e: &pb::UnitsMoved) {
    let lot = lot(c);
    let mover = super::custody::facility(c);
    let mut places = BTreeSet::new();
    for (number, place) in e.places.iter().enumerate() {
        let path = format!("units_moved.places[{number}]");
        let Some(location) = &place.location else {
            continue;
        };
        let facility = Id16(id16(&location.facility_id));
        let known_rack = c.authority.facility(&facility).is_some_and(|f| f.racks.contains(&location.rack));
        c.demand(
            known_rack,
            &codes::RACK_UNKNOWN,
            || format!("rack {} of facility {facility}", location.rack),
            || "a rack of the facility's list".to_owned(),
            || field(format!("{path}.location")),
        );
        let id = Id16(id16(&place.unit_id));
        let Some(unit) = lot.units.get(&id) else {
            c.find(&codes::UNIT_UNKNOWN, format!("unit {id}"), "a unit of the lot", field(path));
            continue;
        };
        c.demand(
            unit.holder_at(c.occurred_at_ms) == Some(&facility) && mover.is_none_or(|mover| mover == facility),
            &codes::MOVED_OUTSIDE_CUSTODY,
            || format!("unit {} moved at {facility} by {}", unit.code, mover.unwrap_or(facility)),
            || "the facility that holds it, and its own people".to_owned(),
            || field(format!("{path}.location.facility_id")),
        );
        c.demand(
            unit.is_frozen_at(c.occurred_at_ms),
            &codes::THAWED_UNIT_STORED,
            || format!("unit {} is {:?}", unit.code, unit.processing).to_lowercase(),
            || "a frozen unit".to_owned(),
            || field(path.clone()),
        );
        // It was there and has left: what is in the place now says nothing of that.
        if unit.is_moved_after(c.occurred_at_ms) {
            continue;
        }
        let twice = !places.insert(IndexKey::of_place(location, false));
        if let Some(other) = occupant(c.view, &lot, &e.places, location, &id) {
            taken(c, &other, &path);
        } else if twice {
            taken(c, "another unit of this record", &path);
        }
    }
}

fn taken(c: &mut Context<'_>, other: &str, path: &str) {
    c.find(&codes::LOCATION_TAKEN, format!("a place that {other} is in"), "a free place", field(format!("{path}.location")));
}

/// A unit that is in a place now, unless this record moves it away: one of the same lot, or of those of other lots the one that was put there
/// last, or the one that had the place before a second unit was put there.
fn occupant(view: &dyn View, lot: &Lot, moving: &[pb::UnitPlace], location: &pb::Location, unit: &Id16) -> Option<String> {
    let key = IndexKey::of_place(location, false);
    let is_moving = |other: &Id16| other == unit || moving.iter().any(|p| p.unit_id[..] == other.0);
    // A unit that was moved on, thawed or handed over has left its place.
    let is_there = |other: &Unit| other.location.as_ref().is_some_and(|place| IndexKey::of_place(place, false) == key);
    let told = |other: &Unit| format!("unit {}", other.code);
    if let Some(other) = lot.units.values().find(|other| !is_moving(&other.id) && is_there(other)) {
        return Some(told(other));
    }
    let known = [false, true].map(|free| view.lookup(&IndexKey::of_place(location, free)).map(Id16));
    known.into_iter().flatten().filter(|other| !is_moving(other)).find_map(|other| {
        let lot = view.lot(&lot_of_unit(view, &other)?)?;
        lot.units.get(&other).filter(|other| is_there(other)).map(told)
    })
}

/// Whether a unit may be used at a time: its lot released and not held, its donor eligible and not held, within its shelf life, made to
/// a known specification, its lot's steps all signed, and in one facility's undisputed custody. Empty if so. Used for allocation, thaw
/// orders, dispensing and the dose check.
pub fn unit_findings(view: &dyn View, lot: &Lot, unit: &Unit, subject_id: &Id16, at_ms: i64) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut readings = Vec::new();
    let mut find = |code, found_text: String, allowed: &str, look_at: Vec<Look>| {
        found.push(Finding { code, found: found_text, allowed: allowed.to_owned(), look_at });
    };
    let thing = Look::Thing { kind: "unit", id: unit.code.clone() };
    match lot.disposition {
        Some((_, pb::Disposition::Conditional | pb::Disposition::Final)) => {}
        Some((_, pb::Disposition::Rejected)) if lot.is_rejected_after(at_ms) => {}
        None if lot.exceptional.iter().any(|(released, subject, _)| *released == unit.id && subject == subject_id) => {}
        other => find(
            &codes::LOT_NOT_RELEASED,
            format!("unit {}: lot {}", unit.code, if other.is_some() { "rejected" } else { "without disposition" }),
            "a lot released conditionally or finally",
            other.map_or_else(|| vec![thing.clone()], |(record, _)| vec![Look::Record(record)]),
        ),
    }
    for hold in lot.upkeep.holds_on_unit(&unit.id).filter(|hold| hold.stood_at(at_ms)) {
        find(
            &codes::UNIT_HELD,
            format!("unit {}: {} ({})", unit.code, hold.reason, hold.code),
            "no open hold",
            vec![Look::Record(hold.record_id)],
        );
    }
    for owed in lot.upkeep.owed_on_unit(&unit.id) {
        find(
            &codes::UNIT_SIGNATURE_OWED,
            format!("unit {}: slot {} of a step is not signed", unit.code, owed.slot),
            "every signature",
            vec![Look::Record(owed.record_id)],
        );
    }
    match specification(view, lot) {
        None => find(
            &codes::UNIT_SPECIFICATION_UNKNOWN,
            format!("unit {}: no published specification", unit.code),
            "a published specification",
            vec![thing.clone()],
        ),
        Some(document) => {
            readings = super::storage::findings(view, &document, lot, unit, at_ms);
            let expires_at_ms = expires_at_ms(unit, &document);
            if at_ms > expires_at_ms {
                find(
                    &codes::UNIT_EXPIRED,
                    format!("unit {} expired at {}", unit.code, marrowline_record::instant::format(expires_at_ms, 0)),
                    "use within the shelf life",
                    vec![Look::Record(unit.filled_by)],
                );
            }
        }
    }
    if unit.custody.holder().is_none() {
        find(
            &codes::UNIT_CUSTODY_OPEN,
            format!("unit {}: in transit or disputed", unit.code),
            "undisputed custody of one facility",
            vec![thing.clone()],
        );
    }
    found.extend(readings);
    found.extend(container_findings(unit));
    found.extend(super::supplies::recalled_reagents(view, lot, at_ms));
    found.extend(super::hindsight::unfit_materials(view, lot));
    found.extend(donor_findings(view, lot, unit, at_ms));
    found.extend(consent_findings(view, lot, unit, at_ms));
    found
}

/// Whole, there, not given up for destruction. No hold is needed for these to be true, and lifting one does not make them false.
pub(super) fn container_findings(unit: &Unit) -> Vec<Finding> {
    let thing = Look::Thing { kind: "unit", id: unit.code.clone() };
    let mut found = Vec::new();
    let mut find = |code, text: String, allowed: &str, record: Option<RecordId>| {
        let look_at = std::iter::once(thing.clone()).chain(record.map(Look::Record)).collect();
        found.push(Finding { code, found: text, allowed: allowed.to_owned(), look_at });
    };
    let container = unit.container;
    for (record, what) in [(container.damaged_by, "broken or leaking"), (container.lost_by, "lost")] {
        if record.is_some() {
            let text = format!("unit {}: {what}", unit.code);
            find(&codes::UNIT_CONTAINER_UNSOUND, text, "a whole container that is where it should be", record);
        }
    }
    match unit.processing {
        Processing::Destroyed => {
            find(&codes::UNIT_DESTROYED, format!("unit {}, destroyed", unit.code), "a unit that was not destroyed", None);
        }
        Processing::Returned => {
            let text = format!("unit {}, returned for destruction", unit.code);
            find(&codes::UNIT_FOR_DESTRUCTION, text, "a unit that was not returned for destruction", None);
        }
        Processing::Sampled => {
            let text = format!("unit {}, used up for testing", unit.code);
            find(&codes::UNIT_USED_FOR_TESTING, text, "a unit that no sample was taken of", None);
        }
        _ => {}
    }
    found
}

/// The assignment of a unit that counts at a time. That of a subject who died lapses while the unit is frozen: nothing more is thawed for
/// the dead, and the cells may serve another.
pub fn allocation(view: &dyn View, unit: &Unit, at_ms: i64) -> Option<Allocation> {
    let allocation = unit.allocation?;
    let died = || view.subject(&allocation.subject_id).is_some_and(|subject| is_dead(&subject, at_ms));
    (!unit.is_frozen() || !died()).then_some(allocation)
}

/// Last moment of a unit's shelf life, inclusive.
pub fn expires_at_ms(unit: &Unit, document: &pb::SpecificationPublished) -> i64 {
    unit.filled_at_ms.saturating_add(i64::from(document.shelf_life_seconds).saturating_mul(1_000))
}

/// A donor who withdraws and wants frozen units destroyed ends their use; one who leaves them ends only new assignments.
fn consent_findings(view: &dyn View, lot: &Lot, unit: &Unit, at_ms: i64) -> Option<Finding> {
    let donor = lot.donor_id.and_then(|id| view.donor(&id))?;
    let (record_id, when_ms) = donor.withdrawal_at(at_ms)?;
    // What was withdrawn says what becomes of the units.
    let withdrawn = donor.consent_at(when_ms).or(donor.consent())?;
    (withdrawn.event.withdrawal_effect() == pb::WithdrawalEffect::DestroyUnits).then(|| Finding {
        code: &crate::codes::donor::DONOR_CONSENT_WITHDRAWN,
        found: format!(
            "unit {}: its donor withdrew {} and wants the units destroyed",
            unit.code,
            marrowline_record::instant::format(when_ms, 0)
        ),
        allowed: "a donor whose consent is in force".to_owned(),
        look_at: vec![Look::Record(record_id)],
    })
}

fn donor_findings(view: &dyn View, lot: &Lot, unit: &Unit, at_ms: i64) -> Vec<Finding> {
    let donor = lot.donor_id.and_then(|id| view.donor(&id));
    let mut found = Vec::new();
    let mut find = |text: String, look_at: Vec<Look>| {
        found.push(Finding {
            code: &codes::UNIT_DONOR_NOT_ELIGIBLE,
            found: format!("unit {}: {text}", unit.code),
            allowed: "an eligible donor without open hold".to_owned(),
            look_at,
        });
    };
    let Some(donor) = donor else {
        find("no donor".to_owned(), Vec::new());
        return found;
    };
    if !super::donor::is_still_eligible(&donor, at_ms) {
        let look = donor.eligibility.iter().map(|(record, _)| Look::Record(*record)).collect();
        find("a donor who is not eligible".to_owned(), look);
    }
    for hold in donor.upkeep.open_holds().filter(|hold| hold.stood_at(at_ms)) {
        find(format!("donor held: {}", hold.reason), vec![Look::Record(hold.record_id)]);
    }
    for (text, look) in super::donor::confusions(view, &donor) {
        find(text, look);
    }
    found
}
