//! Each record from the order to the end of the infusion: nothing is found where everything holds, and each rule finds its own.

use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Role, StreamKind};

use super::world::*;
use crate::index::{CODE_DOSE, IndexKey};
use crate::state::lot::{Processing, ThawOrder};
use crate::state::subject::{BedsideCheck, Dispensing, Infusion, InfusionEnd};

const SUBJECT_LOT: &[(StreamKind, marrowline_record::id::Id16)] = &[(StreamKind::Lot, LOT), (StreamKind::Subject, SUBJECT)];
const SUBJECT_ONLY: &[(StreamKind, marrowline_record::id::Id16)] = &[(StreamKind::Subject, SUBJECT)];
const LOT_ONLY: &[(StreamKind, marrowline_record::id::Id16)] = &[(StreamKind::Lot, LOT)];

/// The subject's first order is still to come.
fn before_order() -> World {
    let mut world = before_allocation();
    world.subject().orders.clear();
    world
}

/// Ordered, and the unit still in its place.
fn before_allocation() -> World {
    let mut world = before_preparation();
    world.subject().orders[0].allocated.clear();
    let unit = world.unit();
    unit.allocation = None;
    unit.thaw = None;
    unit.processing = Processing::Stored;
    world
}

/// Allocated, its thaw not yet ordered.
fn before_thaw() -> World {
    let mut world = before_preparation();
    let unit = world.unit();
    unit.thaw = None;
    unit.processing = Processing::Allocated;
    world
}

/// Thawed, and nothing prepared.
fn before_preparation() -> World {
    let mut world = world();
    world.subject().doses.clear();
    world.subject().orders[0].dose_id = None;
    world.unit().dose_ids = Vec::new();
    world.unit().processing = Processing::Thawed;
    world.lookups.remove(&IndexKey::Dose(DOSE.0));
    world
}

/// Dispensed and matched at the bedside; onset as late as the first infusion may be.
fn before_infusion() -> World {
    let mut world = world();
    world.trial.onset_window_seconds = 36_000;
    world.subject().screenings[0].event.onset_at = Some(pb::Instant { unix_ms: NOW_MS - 36_000_000, offset_minutes: 0 });
    world.dose().dispensed = Some(Dispensing { record_id: record_id(41), dispensed_at_ms: NOW_MS - 1, facility_id: HOSPITAL });
    world.dose().checks.push(BedsideCheck { record_id: record_id(42), checked_at_ms: NOW_MS - 1, matched: true });
    world
}

/// Being infused.
fn before_end() -> World {
    let mut world = before_infusion();
    world.dose().infusion = Some(Infusion { record_id: record_id(43), started_at_ms: NOW_MS - 1, end: None });
    world
}

fn order() -> pb::DoseOrdered {
    pb::DoseOrdered {
        order_id: ORDER.0.to_vec(),
        target_viable_cells_per_kg: 1_300_000,
        weighing_record_id: record_id(34).0.to_vec(),
        planned_duration_seconds: 1_800,
    }
}

fn ordered(world: &World, e: pb::DoseOrdered) -> Vec<&'static str> {
    judged(world, NOW_MS, (Role::Investigator, OTHER), SUBJECT_ONLY, Event::DoseOrdered(e))
}

#[test]
fn an_order_that_holds_in_every_way_is_accepted() {
    assert!(ordered(&before_order(), order()).is_empty());
}

#[test]
fn targets_are_inclusive() {
    for (target, expected) in [
        (999_999, vec!["TARGET_OUTSIDE_BAND"]),
        (1_000_000, vec![]),
        (2_000_000, vec![]),
        (2_000_001, vec!["TARGET_OUTSIDE_BAND"]),
    ] {
        let e = pb::DoseOrdered { target_viable_cells_per_kg: target, ..order() };
        assert_eq!(ordered(&before_order(), e), expected, "{target}");
    }
}

#[test]
fn an_order_is_refused_for_each_reason() {
    let spoiled: &[Spoil<World>] = &[
        (&["ORDER_ID_USED"], |w| w.subject().orders = subject().orders),
        (&["ORDER_ID_USED"], |w| {
            w.lookups.insert(IndexKey::Order(ORDER.0), OTHER.0);
        }),
        (&["WEIGHING_NOT_LATEST"], |w| w.subject().weighings.push(weighing(36, 70_000))),
        (&["WEIGHING_TOO_OLD"], |w| w.subject().weighings[0].weighed_at_ms = NOW_MS - 24 * HOUR_MS - 1),
        (&["ABOVE_24_HOUR_CAP"], |w| w.earlier(NOW_MS - 23 * HOUR_MS, 132_222_223)),
        (&["ARM_WITHOUT_CELLS"], |w| w.subject().randomised.as_mut().unwrap().arm = 1),
        (&["NOT_RANDOMISED"], |w| w.subject().randomised = None),
        (&["CONSENT_NOT_IN_FORCE"], |w| {
            w.subject().consents[0].event.kind = pb::ConsentKind::Representative.into();
        }),
        (&["SUBJECT_HELD"], |w| w.subject().upkeep.holds.push(hold(vec![], None))),
        (&["TRIAL_NOT_OPEN"], |w| {
            w.subject().consents[0].event.protocol.as_mut().unwrap().version = 2;
        }),
    ];
    for (expected, spoil) in spoiled {
        let mut world = before_order();
        spoil(&mut world);
        assert_eq!(ordered(&world, order()), *expected);
    }
    let mut world = before_order();
    world.earlier(NOW_MS - 23 * HOUR_MS, 132_222_222);
    assert!(ordered(&world, order()).is_empty(), "91 000 000 and 119 000 000 cells are 3 000 000 per kg");
}

fn allocated(world: &World, streams: &[(StreamKind, marrowline_record::id::Id16)], units: &[[u8; 16]]) -> Vec<&'static str> {
    let e = pb::UnitsAllocated { order_id: ORDER.0.to_vec(), unit_ids: units.iter().map(|unit| unit.to_vec()).collect() };
    judged(world, NOW_MS, (Role::Pharmacist, OTHER), streams, Event::UnitsAllocated(e))
}

#[test]
fn a_free_unit_is_allocated_once() {
    let mut world = before_allocation();
    assert!(allocated(&world, SUBJECT_LOT, &[UNIT.0]).is_empty());
    assert_eq!(allocated(&world, SUBJECT_ONLY, &[UNIT.0]), ["LOTS_DIFFER"]);
    assert_eq!(allocated(&world, SUBJECT_LOT, &[UNIT.0, UNIT.0]), ["UNIT_REPEATED"]);
    assert_eq!(allocated(&world, SUBJECT_LOT, &[OTHER.0]), ["UNIT_OF_NO_LOT"]);
    world.unit().allocation = unit().allocation;
    assert_eq!(allocated(&world, SUBJECT_LOT, &[UNIT.0]), ["UNIT_ALREADY_ALLOCATED"]);
}

#[test]
fn an_allocation_is_refused_for_each_reason() {
    let spoiled: &[Spoil<World>] = &[
        (&["ORDER_UNKNOWN"], |w| w.subject().orders.clear()),
        (&["ORDER_CLOSED"], |w| w.subject().orders[0].dose_id = Some(DOSE)),
        (&["WEIGHT_CHANGED"], |w| w.subject().weighings.push(weighing(36, 77_001))),
        (&["WEIGHING_MISSING"], |w| w.subject().weighings.clear()),
        (&["ARM_WITHOUT_CELLS"], |w| w.subject().randomised.as_mut().unwrap().arm = 1),
        (&["UNIT_NOT_STORED"], |w| w.unit().processing = Processing::Filled),
        (&["UNIT_USED_FOR_TESTING", "UNIT_NOT_STORED"], |w| w.unit().processing = Processing::Sampled),
        (&["LOT_NOT_RELEASED"], |w| w.lot().disposition = None),
        (&["UNIT_HELD"], |w| w.lot().upkeep.holds.push(hold(vec![UNIT], None))),
        (&["TOO_MANY_DONORS"], |w| w.product.max_donors_per_dose = 0),
    ];
    for (expected, spoil) in spoiled {
        let mut world = before_allocation();
        spoil(&mut world);
        assert_eq!(allocated(&world, SUBJECT_LOT, &[UNIT.0]), *expected);
    }
}

fn thaw(world: &World, role: Role, purpose: pb::ThawPurpose, with_order: bool) -> Vec<&'static str> {
    let e = pb::ThawOrdered {
        purpose: purpose.into(),
        unit_ids: vec![UNIT.0.to_vec()],
        order_id: with_order.then(|| ORDER.0.to_vec()),
    };
    judged(world, NOW_MS, (role, OTHER), LOT_ONLY, Event::ThawOrdered(e))
}

#[test]
fn a_thaw_is_ordered_by_whom_it_concerns() {
    use pb::ThawPurpose::{Patient, QualityControl};
    let allocated = before_thaw();
    let mut free = before_thaw();
    free.unit().allocation = None;
    assert!(thaw(&allocated, Role::Pharmacist, Patient, true).is_empty());
    assert!(thaw(&free, Role::QualityAssurance, QualityControl, false).is_empty());
    assert_eq!(thaw(&allocated, Role::QualityAssurance, Patient, true), ["THAW_ROLE_WRONG"]);
    assert_eq!(thaw(&free, Role::Pharmacist, QualityControl, false), ["THAW_ROLE_WRONG"]);
    assert_eq!(thaw(&free, Role::QualityAssurance, QualityControl, true), ["THAW_ORDER_FORM_WRONG"]);
    assert_eq!(thaw(&free, Role::Pharmacist, Patient, true), ["UNIT_NOT_ALLOCATED"]);
    assert_eq!(thaw(&allocated, Role::QualityAssurance, QualityControl, false), ["UNIT_ALREADY_ALLOCATED"]);
    let mut elsewhere = before_thaw();
    elsewhere.unit().custody = crate::state::custody::Custody::Held { facility_id: OTHER };
    assert_eq!(thaw(&elsewhere, Role::Pharmacist, Patient, true), ["UNIT_NOT_IN_CUSTODY"]);
    assert_eq!(thaw(&before_preparation(), Role::Pharmacist, Patient, true), ["UNIT_ALREADY_THAWED"]);
    let mut heavier = before_thaw();
    heavier.subject().weighings.push(weighing(36, 77_001));
    assert_eq!(thaw(&heavier, Role::Pharmacist, Patient, true), ["WEIGHT_CHANGED"]);
    let mut unweighed = before_thaw();
    unweighed.subject().weighings.clear();
    assert_eq!(thaw(&unweighed, Role::Pharmacist, Patient, true), ["WEIGHING_MISSING"]);
}

#[test]
fn a_thaw_is_flagged_for_each_reason() {
    let mut world = before_thaw();
    let thawed = |world: &World, viability| {
        let e = pb::UnitsThawed {
            units: vec![pb::ThawedUnit {
                unit_id: UNIT.0.to_vec(),
                total_cells: Some(1),
                viability_basis_points: Some(viability),
            }],
        };
        judged(world, NOW_MS, (Role::Operator, OTHER), LOT_ONLY, Event::UnitsThawed(e))
    };
    assert_eq!(thawed(&world, 7_000), ["THAW_NOT_ORDERED"]);
    world.unit().thaw_order =
        Some(ThawOrder { record_id: record_id(44), purpose: pb::ThawPurpose::Patient, order_id: Some(ORDER) });
    assert!(thawed(&world, 7_000).is_empty());
    assert_eq!(thawed(&world, 6_999), ["THAW_VIABILITY_LOW"]);
    world.unit().thaw = unit().thaw;
    assert_eq!(thawed(&world, 7_000), ["UNIT_ALREADY_THAWED", "THAWS_CONTRADICT"]);
    let known = world.unit().thaw.as_mut().unwrap();
    (known.thawed_at_ms, known.total_cells, known.viability_basis_points) = (NOW_MS, 1, 7_000);
    assert_eq!(thawed(&world, 7_000), ["UNIT_ALREADY_THAWED"], "the same once more");
}

fn prepared(world: &World, at_ms: i64, total_cells: u64) -> Vec<&'static str> {
    let e = pb::DosePrepared {
        dose_id: DOSE.0.to_vec(),
        dose_code: "70008".to_owned(),
        order_id: ORDER.0.to_vec(),
        contributions: vec![pb::Contribution { unit_id: UNIT.0.to_vec(), total_cells: 100_000_000, volume_microlitres: 10_000 }],
        total_cells,
        viability_basis_points: Some(9_000),
        diluent: "saline".to_owned(),
        volume_microlitres: 100_000,
        dmso_milligrams: Some(1_100),
        expires_at: Some(pb::Instant { unix_ms: EXPIRY_MS, offset_minutes: 0 }),
        chain_of_identity: None,
    };
    judged(world, at_ms, (Role::Operator, OTHER), SUBJECT_LOT, Event::DosePrepared(e))
}

#[test]
fn a_preparation_is_flagged_for_each_reason() {
    let world = before_preparation();
    assert!(prepared(&world, NOW_MS, 100_000_000).is_empty());
    assert!(prepared(&world, EXPIRY_MS, 100_000_000).is_empty());
    assert_eq!(prepared(&world, EXPIRY_MS + 1, 100_000_000), ["DOSE_EXPIRED"]);
    assert_eq!(prepared(&world, NOW_MS, 99_999_999), ["CONTRIBUTIONS_DIFFER_FROM_TOTAL"]);
    let spoiled: &[Spoil<World>] = &[
        (&["DOSE_ID_USED"], |w| {
            w.lookups.insert(IndexKey::Dose(DOSE.0), OTHER.0);
        }),
        (&["DOSE_CODE_USED"], |w| {
            let key = IndexKey::Code { kind: CODE_DOSE, code: "70008".to_owned() };
            w.lookups.insert(IndexKey::Dose(OTHER.0), OTHER.0);
            w.lookups.insert(key, OTHER.0);
        }),
        (&["ORDER_UNKNOWN"], |w| w.subject().orders.clear()),
        (&["ORDER_CLOSED"], |w| w.subject().orders[0].dose_id = Some(OTHER)),
        (&["UNIT_NOT_ALLOCATED"], |w| w.unit().allocation = None),
        (&["UNIT_NOT_ALLOCATED"], |w| w.unit().allocation.as_mut().unwrap().subject_id = OTHER),
        (&["UNIT_NOT_THAWED"], |w| w.unit().thaw = None),
        (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_ids = vec![OTHER]),
        (&["DOSE_EXPIRY_WRONG"], |w| w.unit().thaw.as_mut().unwrap().thawed_at_ms += 1),
    ];
    for (expected, spoil) in spoiled {
        let mut world = before_preparation();
        spoil(&mut world);
        assert_eq!(prepared(&world, NOW_MS, 100_000_000), *expected);
    }
}

#[test]
fn a_dose_is_dispensed_once_and_not_by_its_preparer() {
    let dispensed = |world: &World, dose: [u8; 16]| {
        let e = pb::DoseDispensed { dose_id: dose.to_vec() };
        judged(world, NOW_MS, (Role::Pharmacist, OTHER), SUBJECT_LOT, Event::DoseDispensed(e))
    };
    assert!(dispensed(&world(), DOSE.0).is_empty());
    assert_eq!(dispensed(&world(), OTHER.0), ["DOSE_UNKNOWN"]);
    assert_eq!(dispensed(&before_infusion(), DOSE.0), ["DOSE_ALREADY_DISPENSED"]);
    let mut own = world();
    doubted(&mut own, |w| &mut w.subject().upkeep);
    own.subject().upkeep.signed = std::sync::Arc::default();
    own.dose().prepared_by = vec![KEY];
    assert_eq!(dispensed(&own, DOSE.0), ["DISPENSER_PREPARED_IT"]);
}

#[test]
fn the_bedside_check_is_recorded_whatever_it_finds() {
    use pb::BedsideResult::{Matched, Mismatched};
    let checked = |world: &World, dose: [u8; 16], result: pb::BedsideResult| {
        let e = pb::BedsideChecked { dose_id: dose.to_vec(), result: result.into() };
        judged(world, NOW_MS, (Role::Nurse, OTHER), SUBJECT_ONLY, Event::BedsideChecked(e))
    };
    assert!(checked(&before_infusion(), DOSE.0, Matched).is_empty());
    assert_eq!(checked(&before_infusion(), DOSE.0, Mismatched), ["BEDSIDE_MISMATCHED"]);
    assert_eq!(checked(&world(), DOSE.0, Matched), ["DOSE_NOT_DISPENSED"]);
    assert_eq!(checked(&world(), OTHER.0, Matched), ["DOSE_UNKNOWN"]);
}

fn started(world: &World) -> Vec<&'static str> {
    let e = pb::InfusionStarted { dose_id: DOSE.0.to_vec() };
    judged(world, NOW_MS, (Role::Nurse, OTHER), SUBJECT_LOT, Event::InfusionStarted(e))
}

#[test]
fn an_infusion_is_flagged_for_each_reason() {
    assert!(started(&before_infusion()).is_empty());
    let spoiled: &[Spoil<World>] = &[
        (&["DOSE_NOT_DISPENSED"], |w| w.dose().dispensed = None),
        (&["DOSE_NOT_DISPENSED"], |w| w.dose().dispensed.as_mut().unwrap().dispensed_at_ms = NOW_MS + 1),
        (&["INFUSION_UNCHECKED"], |w| w.dose().checks.clear()),
        (&["INFUSION_UNCHECKED"], |w| w.dose().checks[0].checked_at_ms = NOW_MS + 1),
        (&["INFUSION_AFTER_MISMATCH"], |w| {
            let earlier = BedsideCheck { record_id: record_id(46), checked_at_ms: NOW_MS - 2, matched: true };
            w.dose().checks[0].matched = false;
            w.dose().checks.push(earlier);
        }),
        (&["INFUSION_AFTER_MISMATCH"], |w| w.dose().checks[0].matched = false),
        (&["DOSE_HELD"], |w| w.subject().upkeep.holds.push(hold(vec![], Some(DOSE)))),
        (&["DOSE_EXPIRED"], |w| w.dose().expires_at_ms = NOW_MS - 1),
        (&["ABOVE_24_HOUR_CAP"], |w| w.earlier(NOW_MS - 23 * HOUR_MS, 133_333_334)),
        (&["INTERVAL_TOO_SHORT"], |w| w.earlier(NOW_MS - 11 * HOUR_MS, 1)),
        // Without any weight nobody can hold the limit of 24 hours.
        (&["WEIGHING_MISSING"], |w| w.subject().weighings.clear()),
        (&["ARM_WITHOUT_CELLS"], |w| w.subject().randomised.as_mut().unwrap().arm = 1),
        (&["INFUSION_STARTED_TWICE"], |w| *w = before_end()),
        (&["DOSE_UNKNOWN"], |w| w.subject().doses.clear()),
    ];
    for (expected, spoil) in spoiled {
        let mut world = before_infusion();
        spoil(&mut world);
        assert_eq!(started(&world), *expected);
    }
}

#[test]
fn what_happened_at_the_same_moment_was_there() {
    let mut world = before_infusion();
    world.dose().dispensed.as_mut().unwrap().dispensed_at_ms = NOW_MS;
    world.dose().checks[0].checked_at_ms = NOW_MS;
    assert!(started(&world).is_empty());
}

#[test]
fn only_the_first_infusion_has_to_begin_within_the_window_after_onset() {
    let mut world = before_infusion();
    assert!(started(&world).is_empty(), "36 000 s after onset");
    let onset = &mut world.subject().screenings[0].event.onset_at;
    onset.as_mut().unwrap().unix_ms -= 1_000;
    assert_eq!(started(&world), ["INFUSION_LATE"], "36 001 s after onset");
    world.earlier(NOW_MS - 12 * HOUR_MS, 1);
    assert!(started(&world).is_empty(), "a second infusion");
}

#[test]
fn an_end_is_flagged_for_each_reason() {
    let ended = |world: &World, infused: &[([u8; 16], u64)], reason: Option<&str>| {
        let e = pb::InfusionEnded {
            dose_id: DOSE.0.to_vec(),
            infused: infused
                .iter()
                .map(|(unit, volume)| pb::InfusedVolume { unit_id: unit.to_vec(), volume_microlitres: Some(*volume) })
                .collect(),
            stopped_because: reason.map(str::to_owned),
        };
        judged(world, NOW_MS, (Role::Nurse, OTHER), SUBJECT_LOT, Event::InfusionEnded(e))
    };
    let world = before_end();
    assert!(ended(&world, &[(UNIT.0, 10_000)], None).is_empty());
    assert!(ended(&world, &[(UNIT.0, 9_999)], Some("shivering")).is_empty());
    assert_eq!(ended(&world, &[(UNIT.0, 9_999)], None), ["INFUSION_REASON_WRONG"]);
    assert_eq!(ended(&world, &[(UNIT.0, 10_000)], Some("shivering")), ["INFUSION_REASON_WRONG"]);
    assert_eq!(ended(&world, &[(UNIT.0, 10_001)], None), ["INFUSED_TOO_MUCH"]);
    assert_eq!(ended(&world, &[(UNIT.0, 10_000), (OTHER.0, 1)], None), ["INFUSED_UNIT_NOT_IN_DOSE"]);
    assert_eq!(ended(&before_infusion(), &[(UNIT.0, 10_000)], None), ["INFUSION_NOT_STARTED"]);
    let mut twice = before_end();
    twice.dose().infusion.as_mut().unwrap().end =
        Some(InfusionEnd { record_id: record_id(45), ended_at_ms: NOW_MS, infused: vec![(UNIT, 10_000)], stopped_because: None });
    assert_eq!(ended(&twice, &[(UNIT.0, 10_000)], None), ["INFUSION_ENDED_TWICE"]);
}
