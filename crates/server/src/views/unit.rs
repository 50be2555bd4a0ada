//! A unit as people are shown it.

use marrowline_api::v1;
use marrowline_ledger::Snapshot;
use marrowline_record::entry::Entry;
use marrowline_record::id::Id16;
use marrowline_record::pb;
use marrowline_rules::View;
use marrowline_rules::state::Lot;
use marrowline_rules::state::custody::Custody;
use marrowline_rules::state::lot::{Processing, Thaw, Unit};

use super::{deviation, hold};
use crate::trace;

/// A unit; the subject that it is assigned to only if the reader may see it.
pub fn unit(snapshot: &Snapshot, lot: &Lot, unit: &Unit, shows_subject: bool) -> v1::UnitView {
    let (custody, facility) = match &unit.custody {
        Custody::Held { facility_id } => ("held", facility_id),
        Custody::InTransit { to_facility_id, .. } => ("in transit", to_facility_id),
        Custody::Disputed { facility_id, .. } => ("disputed", facility_id),
    };
    // What was assigned to a subject who died is free again.
    let allocation = marrowline_rules::family::units::allocation(snapshot, unit, snapshot.now_ms());
    let subject = allocation.filter(|_| shows_subject).map(|a| a.subject_id.0.to_vec());
    let state = match unit.processing {
        Processing::Allocated if allocation.is_none() => Processing::Stored,
        processing => processing,
    };
    v1::UnitView {
        unit_id: unit.id.0.to_vec(),
        unit_code: unit.code.clone(),
        lot_id: lot.id.0.to_vec(),
        lot_code: lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()).unwrap_or_default(),
        processing: processing(state).to_owned(),
        custody: custody.to_owned(),
        facility_id: facility.0.to_vec(),
        facility_code: snapshot.authority().facility(facility).map(|f| f.code.clone()).unwrap_or_default(),
        location: unit.location.clone(),
        total_cells: unit.total_cells,
        viability_basis_points: unit.fill_viability_basis_points,
        thaw: unit.thaw.as_ref().map(thaw),
        deviations: Vec::new(),
        subject_id: subject.unwrap_or_default(),
        dose_ids: marrowline_rules::family::dose::doses_of(snapshot, unit).iter().map(|(dose, _)| dose.0.to_vec()).collect(),
        holds: lot.upkeep.holds_on_unit(&unit.id).map(hold).collect(),
        container: container(unit).to_owned(),
        expires_at_ms: specification(snapshot, lot)
            .filter(|_| unit.thaw.is_none())
            .map_or(0, |s| marrowline_rules::family::units::expires_at_ms(unit, &s)),
    }
}

/// Every processing state.
pub const PROCESSING: [Processing; 10] = [
    Processing::Filled,
    Processing::Stored,
    Processing::Allocated,
    Processing::Thawed,
    Processing::Prepared,
    Processing::Dispensed,
    Processing::Infused,
    Processing::Sampled,
    Processing::Returned,
    Processing::Destroyed,
];

/// A processing state in a word.
pub fn processing(state: Processing) -> &'static str {
    match state {
        Processing::Filled => "filled",
        Processing::Stored => "stored",
        Processing::Allocated => "allocated",
        Processing::Thawed => "thawed",
        Processing::Prepared => "prepared",
        Processing::Dispensed => "dispensed",
        Processing::Infused => "infused",
        Processing::Sampled => "sampled",
        Processing::Returned => "returned",
        Processing::Destroyed => "destroyed",
    }
}

fn container(unit: &Unit) -> &'static str {
    match (unit.container.damaged_by.is_some(), unit.container.lost_by.is_some()) {
        (false, false) => "",
        (true, false) => "damaged",
        (false, true) => "lost",
        (true, true) => "damaged and lost",
    }
}

fn thaw(thaw: &Thaw) -> v1::ThawView {
    v1::ThawView {
        record_id: thaw.record_id.0.to_vec(),
        thawed_at_ms: thaw.thawed_at_ms,
        total_cells: thaw.total_cells,
        viability_basis_points: thaw.viability_basis_points,
    }
}

/// Open deviations of the lot's records that are about the unit.
pub fn deviations(snapshot: &Snapshot, lot: &Lot, unit: &Id16) -> Vec<v1::DeviationView> {
    let is_about = |entry: &Entry| trace::names_unit(snapshot, &entry.record, unit);
    let open = lot.upkeep.open_deviations();
    open.filter(|d| snapshot.entry(&d.record_id).is_some_and(|entry| is_about(&entry))).map(deviation).collect()
}

fn specification(snapshot: &Snapshot, lot: &Lot) -> Option<std::sync::Arc<pb::SpecificationPublished>> {
    let document = lot.specification()?;
    let id = Id16(document.id.as_slice().try_into().ok()?);
    snapshot.specification(&id)?.version(document.version).cloned()
}
