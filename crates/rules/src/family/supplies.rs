//! Reagents, devices and temperatures: what a step was done with, and what happened where units are kept.

use marrowline_record::id::Id16;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, EvidenceKind, StreamKind};

use crate::codes::lot as codes;
use crate::context::Context;
use crate::family::dose::words::moment;
use crate::family::storage;
use crate::finding::{Finding, Look};
use crate::index::id16;
use crate::state::equipment::{is_in_service, readings_until};
use crate::state::lot::{MaterialsUse, Processing, fold};
use crate::state::{Facility, Lot};
use crate::view::View;

/// How many of its intervals a logger may be silent.
const INTERVALS: i64 = 2;

fn facility(c: &Context<'_>) -> Option<std::sync::Arc<Facility>> {
    c.view.facility(&c.stream_id(StreamKind::Facility))
}

fn thing(kind: &'static str, id: &Id16) -> Look {
    Look::Thing { kind, id: id.to_string() }
}

/// Reagent lots come, are released and recalled.
pub(super) fn reagent(c: &mut Context<'_>, event: &Event) {
    let facility_id = c.stream_id(StreamKind::Facility);
    let signed_for = super::custody::facility(c).unwrap_or(facility_id);
    c.demand(
        signed_for == facility_id,
        &codes::REAGENT_OF_ANOTHER_FACILITY,
        || format!("facility {facility_id}, signed for {signed_for}"),
        || "the facility that is signed for".to_owned(),
        || vec![Look::Field("slots[0].facility_id".to_owned()), thing("facility", &facility_id)],
    );
    match event {
        Event::ReagentReceived(e) => reagent_received(c, e),
        Event::ReagentReleased(e) => reagent_released(c, e),
        Event::ReagentRecalled(e) => reagent_recalled(c, e),
        _ => {}
    }
}

/// Devices, what they log, and where it was too warm.
pub(super) fn equipment(c: &mut Context<'_>, event: &Event) {
    match event {
        Event::ReadingsLogged(e) => readings_logged(c, e),
        Event::TemperatureExcursion(e) => excursion(c, e),
        _ => {}
    }
}

fn reagent_received(c: &mut Context<'_>, e: &pb::ReagentReceived) {
    let id = Id16(id16(&e.reagent_lot_id));
    let known = facility(c).and_then(|facility| facility.reagents.get(&id).map(|lot| lot.record_id));
    c.demand(
        known.is_none(),
        &codes::REAGENT_ID_USED,
        || format!("reagent lot {id} for the second time"),
        || "an id of its own".to_owned(),
        || known.map(Look::Record).into_iter().collect(),
    );
}

fn reagent_released(c: &mut Context<'_>, e: &pb::ReagentReleased) {
    let id = Id16(id16(&e.reagent_lot_id));
    let facility = facility(c);
    let lot = facility.as_ref().and_then(|facility| facility.reagents.get(&id));
    let recall = facility.as_ref().and_then(|facility| facility.recall(&id));
    let at_ms = c.judged_at_ms();
    let found = match (lot, recall) {
        (None, _) => format!("reagent lot {id}, which the facility has not received"),
        (Some(_), Some((_, at))) => format!("a reagent lot that was recalled {}", moment(at)),
        (Some(lot), None) if lot.expires_at_ms() <= at_ms => {
            format!("a reagent lot that expired {}", moment(lot.expires_at_ms()))
        }
        (Some(_), None) => return,
    };
    let look =
        lot.map(|lot| Look::Record(lot.record_id)).into_iter().chain(recall.map(|(record, _)| Look::Record(record))).collect();
    c.find(&codes::REAGENT_RELEASE_UNFOUNDED, found, "a reagent lot that was received, not expired and not recalled", look);
}

/// A recall counts whether or not anybody knows the reagent lot.
fn reagent_recalled(c: &mut Context<'_>, e: &pb::ReagentRecalled) {
    let id = Id16(id16(&e.reagent_lot_id));
    let is_known = facility(c).is_some_and(|facility| facility.reagents.contains_key(&id));
    c.demand(
        is_known,
        &codes::REAGENT_UNKNOWN,
        || format!("reagent lot {id}"),
        || "a reagent lot of this facility".to_owned(),
        || vec![Look::Field("reagent_recalled.reagent_lot_id".to_owned())],
    );
}

/// What a step of manufacture was done with was fit for it.
pub(super) fn check_materials(c: &mut Context<'_>, event: &Event) {
    let Some(Some(materials)) = fold::materials_of(event) else {
        return;
    };
    let facility_id = c.record.slots.first().map_or(Id16([0; 16]), |slot| Id16(id16(&slot.facility_id)));
    let facility = c.view.facility(&facility_id);
    let at_ms = c.occurred_at_ms;
    for reagent in &materials.reagent_lot_ids {
        let id = Id16(id16(reagent));
        let look = vec![thing("reagent lot", &id)];
        let lot = facility.as_ref().and_then(|facility| facility.reagents.get(&id));
        let Some(lot) = lot else {
            let found = format!("reagent lot {id}");
            c.find(&codes::REAGENT_UNKNOWN, found, "a reagent lot that the facility has received", look);
            continue;
        };
        let released = lot.released.is_some_and(|(_, released_at_ms)| released_at_ms <= at_ms);
        let name = || format!("{} {}", lot.event.name, lot.event.supplier_lot_code);
        c.demand(
            released,
            &codes::REAGENT_NOT_RELEASED,
            || format!("{}, not released by then", name()),
            || "a released reagent lot".to_owned(),
            || vec![Look::Record(lot.record_id)],
        );
        c.demand(
            at_ms < lot.expires_at_ms(),
            &codes::REAGENT_EXPIRED,
            || format!("{}, used {}", name(), moment(at_ms)),
            || format!("before {}", moment(lot.expires_at_ms())),
            || vec![Look::Record(lot.record_id)],
        );
        let recall = facility.as_ref().and_then(|facility| facility.recall(&id));
        c.demand(
            recall.is_none(),
            &codes::REAGENT_RECALLED,
            || format!("{}, recalled", name()),
            || "a reagent lot that was not recalled".to_owned(),
            || recall.map(|(record, _)| Look::Record(record)).into_iter().collect(),
        );
    }
    for device in &materials.equipment_ids {
        check_device(c, &Id16(id16(device)), at_ms);
    }
}

fn check_device(c: &mut Context<'_>, id: &Id16, at_ms: i64) {
    let equipment = c.view.equipment(id);
    let Some(standing) = equipment.as_ref().and_then(|equipment| equipment.at(at_ms)) else {
        let found = format!("device {id}, without a status by then");
        return c.find(&codes::EQUIPMENT_UNKNOWN, found, "a device with a status", vec![thing("equipment", id)]);
    };
    c.demand(
        is_in_service(standing),
        &codes::EQUIPMENT_NOT_IN_SERVICE,
        || format!("device `{}`, out of service", standing.event.code),
        || "a device in service".to_owned(),
        || vec![Look::Record(standing.record_id)],
    );
    let due_ms = standing.event.calibration_due.as_ref().map(|due| due.unix_ms);
    c.demand(
        due_ms.is_none_or(|due_ms| at_ms <= due_ms),
        &codes::EQUIPMENT_CALIBRATION_OVERDUE,
        || format!("device `{}`, used {}", standing.event.code, moment(at_ms)),
        || format!("up to {}, that moment included", due_ms.map_or_else(String::new, moment)),
        || vec![Look::Record(standing.record_id)],
    );
}

/// No reagent lot that a lot was made with has been recalled by a time.
pub(crate) fn recalled_reagents(view: &dyn View, lot: &Lot, at_ms: i64) -> Vec<Finding> {
    let of_use = |used: &MaterialsUse| {
        let facility = (!used.materials.reagent_lot_ids.is_empty()).then(|| view.facility(&used.facility_id)).flatten();
        let ids = used.materials.reagent_lot_ids.iter().map(|id| Id16(id16(id)));
        let recalled = ids.filter_map(|id| Some((id, facility.as_ref()?.recall_by(&id, at_ms)?)));
        let finding = |(id, record)| Finding {
            code: &codes::REAGENT_RECALLED,
            found: format!("{} with reagent lot {id}, which was recalled", used.event),
            allowed: "no recalled reagent lot".to_owned(),
            look_at: vec![Look::Record(record), Look::Record(used.record_id)],
        };
        recalled.map(finding).collect::<Vec<_>>()
    };
    lot.materials.iter().flat_map(of_use).collect()
}

/// Every step names its reagents or devices, where the specification asks for it; and no reagent lot was recalled.
pub(super) fn check_evidence(c: &mut Context<'_>, lot: &Lot, document: &pb::SpecificationPublished) {
    let at_ms = c.judged_at_ms();
    for finding in recalled_reagents(c.view, lot, at_ms) {
        c.find(finding.code, finding.found, finding.allowed, finding.look_at);
    }
    let kept = lot.units.values().filter(|unit| unit.processing != Processing::Destroyed);
    for finding in kept.flat_map(|unit| storage::findings(c.view, document, lot, unit, at_ms)) {
        c.find(finding.code, finding.found, finding.allowed, finding.look_at);
    }
    for kind in document.required_evidence() {
        for used in &lot.materials {
            let (named, what) = match kind {
                EvidenceKind::Reagents => (&used.materials.reagent_lot_ids, "reagent lots"),
                EvidenceKind::Equipment => (&used.materials.equipment_ids, "devices"),
                _ => break,
            };
            c.demand(
                !named.is_empty(),
                &codes::MATERIALS_MISSING,
                || format!("{} without {what}", used.event),
                || format!("the {what} that it was done with"),
                || vec![Look::Record(used.record_id)],
            );
        }
    }
}

fn readings_logged(c: &mut Context<'_>, e: &pb::ReadingsLogged) {
    let (coldest, warmest) = (e.millicelsius.iter().min().copied(), e.millicelsius.iter().max().copied());
    c.demand(
        (coldest, warmest) == (e.min_millicelsius, e.max_millicelsius),
        &codes::READINGS_INCONSISTENT,
        || format!("{} to {} m°C", e.min_millicelsius(), e.max_millicelsius()),
        || format!("{} to {} m°C", coldest.unwrap_or_default(), warmest.unwrap_or_default()),
        || vec![Look::Field("readings_logged.min_millicelsius".to_owned())],
    );
    let at_ms = c.occurred_at_ms;
    let taken = readings_until(e, at_ms);
    c.demand(
        taken == e.millicelsius.len(),
        &codes::READINGS_AFTER_RECORD,
        || format!("{} of {} readings after {}", e.millicelsius.len().saturating_sub(taken), e.millicelsius.len(), moment(at_ms)),
        || "readings up to the record's own time".to_owned(),
        || vec![Look::Field("readings_logged.first_at".to_owned())],
    );
    let equipment = c.view.equipment(&c.stream_id(StreamKind::Equipment));
    let before = equipment.and_then(|equipment| equipment.sensors.get(&e.sensor).copied());
    let first_ms = e.first_at.as_ref().map_or(0, |at| at.unix_ms);
    let longest_ms = i64::from(e.interval_seconds).saturating_mul(1_000).saturating_mul(INTERVALS);
    c.demand(
        before.is_none_or(|before| first_ms.saturating_sub(before.until_ms) <= longest_ms),
        &codes::LOGGER_GAP,
        || {
            format!(
                "sensor {}: nothing from {} to {}",
                e.sensor,
                before.map_or_else(String::new, |b| moment(b.until_ms)),
                moment(first_ms)
            )
        },
        || format!("at most {} s", longest_ms / 1_000),
        || before.map(|before| Look::Record(before.record_id)).into_iter().collect(),
    );
}

fn excursion(c: &mut Context<'_>, e: &pb::TemperatureExcursion) {
    let lots: Vec<_> = c.stream_ids(StreamKind::Lot).filter_map(|id| c.view.lot(&id)).collect();
    c.demand(
        !lots.is_empty(),
        &codes::EXCURSION_WITHOUT_LOT,
        || "an excursion of the device alone".to_owned(),
        || "the lots whose units it reached".to_owned(),
        || vec![Look::Field("streams".to_owned())],
    );
    for (number, unit) in e.unit_ids.iter().enumerate() {
        let id = Id16(id16(unit));
        c.demand(
            lots.iter().any(|lot| lot.units.contains_key(&id)),
            &codes::UNIT_UNKNOWN,
            || format!("unit {id}"),
            || "a unit of the lots that the record extends".to_owned(),
            || vec![Look::Field(format!("temperature_excursion.unit_ids[{number}]"))],
        );
    }
    for lot in lots {
        let Some(limit) = super::lot::specification(c.view, &lot).and_then(|document| document.storage) else {
            continue;
        };
        let is_within = e.peak_millicelsius() <= limit.max_millicelsius || e.seconds_above_limit() <= limit.max_seconds_above;
        c.demand(
            is_within,
            &codes::TEMPERATURE_ABOVE_LIMIT,
            || format!("{} m°C at the warmest, {} s above the limit", e.peak_millicelsius(), e.seconds_above_limit()),
            || format!("up to {} m°C, or above it for up to {} s", limit.max_millicelsius, limit.max_seconds_above),
            || vec![Look::Field("temperature_excursion".to_owned()), thing("lot", &lot.id)],
        );
    }
}
