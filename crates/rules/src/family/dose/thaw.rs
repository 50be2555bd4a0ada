//! Rules about thaws.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, Role, ThawPurpose};

use crate::codes::dose as code;
use crate::codes::lot::UNIT_USED_FOR_TESTING;
use crate::context::Context;
use crate::family::dose::case::{Sight, sights};
use crate::family::dose::findings::{Findings, field, record, thing};
use crate::family::dose::words::{grouped, moment, percent};
use crate::family::dose::{order, portions, weight};
use crate::family::subject::standing::Standing;
use crate::family::units;
use crate::index::id16;
use crate::state::lot::{Thaw, Unit};

pub(in crate::family) fn thaw_ordered(c: &mut Context<'_>, e: &pb::ThawOrdered) {
    let at_ms = c.judged_at_ms();
    let for_patient = e.purpose() == ThawPurpose::Patient;
    let order_id = e.order_id.as_deref().map(|order| Id16(id16(order)));
    let mut f = Findings::default();
    role_and_form(c, &mut f, e, for_patient);
    let sights = sights(c.view, &e.unit_ids);
    portions::known(&mut f, &sights);
    portions::named_once(&mut f, e.unit_ids.iter().map(|unit| Id16(id16(unit))));
    portions::lots_extended(c, &mut f, &sights);
    let facility = c.signers.first().map(|signer| signer.facility_id);
    let allocations = sights.iter().filter_map(Sight::seen).filter_map(|seen| seen.unit.allocation);
    // The record names no subject: it is the one whose order has the first of these units, and all of them are to be of that order.
    let subject_id = order_id.and_then(|order_id| allocations.into_iter().find(|a| a.order_id == order_id)).map(|a| a.subject_id);
    for seen in sights.iter().filter_map(Sight::seen) {
        portions::frozen(&mut f, &seen.unit);
        portions::unclaimed(&mut f, c.view, &seen.unit);
        if let Some(facility) = &facility {
            portions::held_by(&mut f, &seen.unit, facility);
        }
        match &order_id {
            Some(order_id) if for_patient => {
                let subject_id = subject_id.unwrap_or(Id16([0; 16]));
                portions::allocated_to(&mut f, &seen.unit, &subject_id, order_id);
                // A unit cannot be frozen again, so what would stop its dose stops the thaw.
                portions::fit_for_use(&mut f, c.view, seen, &subject_id, at_ms);
            }
            _ => {
                // What was sampled may be thawed for that test; what is broken, lost or given up is good for nothing.
                let of_container = units::container_findings(&seen.unit).into_iter();
                f.extend(of_container.filter(|finding| finding.code != &UNIT_USED_FOR_TESTING).collect());
                portions::unallocated(&mut f, c.view, &seen.unit, at_ms);
            }
        }
    }
    let subject = subject_id.filter(|_| for_patient).and_then(|id| c.view.subject(&id));
    if let (Some(subject), Some(order_id)) = (subject, &order_id) {
        let standing = Standing::of(c.view, &subject);
        f.0.extend(standing.everything(at_ms).0);
        let order = order::known_and_open(&mut f, &subject, order_id, None);
        weight::recent(&mut f, &standing, at_ms);
        weight::of_order(&mut f, &standing, order);
    }
    f.into_context(c);
}

fn role_and_form(c: &Context<'_>, f: &mut Findings, e: &pb::ThawOrdered, for_patient: bool) {
    let needed = if for_patient { Role::Pharmacist } else { Role::QualityAssurance };
    let word = |role: Role| match role {
        Role::Pharmacist => "a pharmacist",
        Role::QualityAssurance => "QA",
        _ => "another role",
    };
    let role = c.signers.first().map_or(Role::Unspecified, |signer| signer.role);
    f.demand(
        role == needed,
        &code::THAW_ROLE_WRONG,
        || format!("{} for {}", word(role), purpose_in_words(e.purpose())),
        || word(needed).to_owned(),
        || vec![field("thaw_ordered.purpose")],
    );
    f.demand(
        e.order_id.is_some() == for_patient,
        &code::THAW_ORDER_FORM_WRONG,
        || format!("{} {} order", purpose_in_words(e.purpose()), if e.order_id.is_some() { "with an" } else { "without an" }),
        || {
            if for_patient { "the patient's order".to_owned() } else { "no order".to_owned() }
        },
        || vec![field("thaw_ordered.order_id")],
    );
}

fn purpose_in_words(purpose: ThawPurpose) -> &'static str {
    match purpose {
        ThawPurpose::Unspecified => "a thaw for nothing",
        ThawPurpose::Patient => "a thaw for a patient",
        ThawPurpose::QualityControl => "a thaw for quality control",
        ThawPurpose::Stability => "a thaw for a stability study",
    }
}

pub(in crate::family) fn units_thawed(c: &mut Context<'_>, e: &pb::UnitsThawed) {
    let mut f = Findings::default();
    let sights = sights(c.view, e.units.iter().map(|unit| &unit.unit_id));
    portions::known(&mut f, &sights);
    portions::named_once(&mut f, e.units.iter().map(|unit| Id16(id16(&unit.unit_id))));
    portions::lots_extended(c, &mut f, &sights);
    let facility = c.signers.first().map(|signer| signer.facility_id);
    for (place, (thawed, sight)) in e.units.iter().zip(&sights).enumerate() {
        let Some(seen) = sight.seen() else { continue };
        portions::exists(&mut f, &seen.unit);
        portions::frozen(&mut f, &seen.unit);
        if let Some(facility) = &facility {
            portions::held_by(&mut f, &seen.unit, facility);
        }
        f.demand(
            seen.unit.thaw_order.is_some(),
            &code::THAW_NOT_ORDERED,
            || format!("unit `{}`, thawed without an order", seen.unit.code),
            || "a unit whose thaw was ordered".to_owned(),
            || vec![thing("unit", &seen.unit.id)],
        );
        portions::viable_after_thaw(&mut f, seen, thawed.viability_basis_points.unwrap_or(0));
        let said = Thaw {
            record_id: c.record_id(),
            thawed_at_ms: c.occurred_at_ms,
            total_cells: thawed.total_cells.unwrap_or(0),
            viability_basis_points: thawed.viability_basis_points.unwrap_or(0),
        };
        let before = e.units.iter().take(place).find(|before| before.unit_id == thawed.unit_id);
        let repeated = before.is_none_or(|before| {
            (before.total_cells, before.viability_basis_points) == (thawed.total_cells, thawed.viability_basis_points)
        });
        agrees(&mut f, &seen.unit, &said, repeated);
    }
    f.into_context(c);
}

/// Two records of one thaw say the same. `repeated` says so of what stands twice in this record.
fn agrees(f: &mut Findings, unit: &Unit, said: &Thaw, repeated: bool) {
    let what = |thaw: &Thaw| (thaw.thawed_at_ms, thaw.total_cells, thaw.viability_basis_points);
    let in_words = |thaw: &Thaw| {
        let (cells, share) = (grouped(thaw.total_cells), percent(thaw.viability_basis_points));
        format!("thawed {}, {cells} cells, {share} viable", moment(thaw.thawed_at_ms))
    };
    let known = unit.thaw;
    f.demand(
        repeated && known.is_none_or(|known| what(&known) == what(said)),
        &code::THAWS_CONTRADICT,
        || format!("unit `{}`: {}", unit.code, in_words(said)),
        || known.map_or_else(|| "one count of each unit".to_owned(), |known| in_words(&known)),
        || vec![thing("unit", &unit.id)].into_iter().chain(known.map(|known| record(known.record_id))).collect(),
    );
}
