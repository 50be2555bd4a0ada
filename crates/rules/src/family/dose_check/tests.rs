//! For each clause of the dose check: the thing behind it is spoiled in a ledger in which everything else holds, and the answer turns
//! RED with that clause's code.

use marrowline_record::id::Digest;
use marrowline_record::pb;

use super::*;
use crate::family::dose::world::*;
use crate::state::custody::Custody;
use crate::state::subject::{Dispensing, Infusion, Portion};
use crate::state::upkeep::Owed;

fn ask(world: &World, at_ms: i64) -> (Answer, Vec<&'static str>) {
    let check = check(world, &DOSE, at_ms);
    let mut names: Vec<_> = check.findings.iter().map(|f| f.code.name).collect();
    names.dedup();
    (check.answer, names)
}

#[test]
fn everything_holds_is_green_and_says_what_it_rests_on() {
    let check = check(&world(), &DOSE, NOW_MS);
    assert_eq!((check.answer, check.findings.as_slice()), (Answer::Green, &[][..]));
    assert_eq!(check.subject_id, Some(SUBJECT));
    assert_eq!(check.lots, [LOT]);
    assert_eq!(check.expires_at_ms, Some(EXPIRY_MS));
    assert_eq!(check.viable_cells_per_kg, Some(1_285_714));
    for number in [11, 12, 20, 21, 22, 23, 24, 25, 26, 30, 31, 32, 33, 34, 35, 40] {
        assert!(check.records.contains(&record_id(number)), "{number}");
    }
}

#[test]
fn a_dose_is_returned_or_destroyed_with_its_last_unit() {
    let state = |processing, begun: bool| {
        let mut world = world();
        world.unit().processing = processing;
        if begun {
            world.dose().infusion = Some(Infusion { record_id: record_id(71), started_at_ms: NOW_MS, end: None });
        }
        let dose = world.dose().clone();
        state_of(&world, &dose)
    };
    assert_eq!(state(Processing::Prepared, false), DoseState::Prepared);
    assert_eq!(state(Processing::Sampled, false), DoseState::Prepared);
    assert_eq!(state(Processing::Returned, false), DoseState::Returned);
    assert_eq!(state(Processing::Destroyed, false), DoseState::Destroyed);
    assert_eq!(state(Processing::Destroyed, true), DoseState::Started, "an empty bag is destroyed after its infusion");
    let dose = world().dose().clone();
    assert_eq!(dose.state_with(&[Processing::Destroyed, Processing::Prepared]), DoseState::Prepared, "one unit is left");
    assert_eq!(dose.state_with(&[Processing::Destroyed, Processing::Returned]), DoseState::Returned);
}

const SPOILED: &[Spoil<World>] = &[
    (&["UNIT_CONTAINER_UNSOUND"], |w| w.unit().container.damaged_by = Some(record_id(73))),
    (&["UNIT_CONTAINER_UNSOUND"], |w| w.unit().container.lost_by = Some(record_id(73))),
    (&["UNIT_DESTROYED"], |w| w.unit().processing = Processing::Destroyed),
    (&["UNIT_FOR_DESTRUCTION"], |w| w.unit().processing = Processing::Returned),
    (&["UNIT_USED_FOR_TESTING"], |w| w.unit().processing = Processing::Sampled),
    (&["DOSE_ALREADY_USED"], |w| w.unit().processing = Processing::Infused),
    (&["ENDOTOXIN_UNKNOWN"], |w| w.lot().results[0].invalidated = Some(record_id(74))),
    (&["TRIAL_NOT_OPEN"], |w| w.subject().consents[0].event.protocol.as_mut().unwrap().version = 2),
    (&["CONSENT_NOT_IN_FORCE"], |w| w.subject().consents[0].event.kind = pb::ConsentKind::Representative.into()),
    (&["SUBJECT_HELD"], |w| w.subject().upkeep.holds.push(hold(vec![], None))),
    (&["NOT_RANDOMISED"], |w| w.subject().randomised = None),
    (&["ARM_WITHOUT_CELLS"], |w| w.subject().randomised.as_mut().unwrap().arm = 1),
    (&["DOSE_HELD"], |w| w.subject().upkeep.holds.push(hold(vec![], Some(DOSE)))),
    (&["DOSE_ALREADY_USED"], |w| {
        w.dose().infusion = Some(Infusion { record_id: record_id(71), started_at_ms: NOW_MS, end: None });
    }),
    (&["DOSE_SIGNATURE_OWED"], |w| {
        w.subject().upkeep.owed.push(Owed {
            record_id: record_id(30),
            digest: Digest([30; 32]),
            slot: 1,
            role: pb::Role::VerifyingOperator,
            meaning: pb::Meaning::Verified,
            facility_id: HOSPITAL,
            unit_ids: Vec::new(),
        });
    }),
    (&["ORDER_UNKNOWN"], |w| w.subject().orders.clear()),
    (&["ORDER_CLOSED"], |w| w.subject().orders[0].dose_id = Some(OTHER)),
    (&["WEIGHING_TOO_OLD"], |w| w.subject().weighings[0].weighed_at_ms = NOW_MS - 25 * HOUR_MS),
    (&["WEIGHT_CHANGED"], |w| w.subject().weighings.push(weighing(36, 80_000))),
    (&["WEIGHING_MISSING"], |w| w.subject().weighings[0].record_id = record_id(36)),
    (&["WEIGHING_MISSING"], |w| w.subject().weighings.clear()),
    (&["DOSE_ABOVE_BAND"], |w| w.trial.dose_band = None),
    (&["UNIT_OF_NO_LOT"], |w| {
        w.lookups.remove(&crate::index::IndexKey::Unit(UNIT.0));
    }),
    (&["UNIT_REPEATED"], |w| {
        let half = Portion { unit_id: UNIT, total_cells: 50_000_000, volume_microlitres: 5_000 };
        w.dose().portions = vec![half, half];
    }),
    (&["UNIT_NOT_ALLOCATED"], |w| w.unit().allocation.as_mut().unwrap().order_id = OTHER),
    (&["UNIT_NOT_THAWED"], |w| w.unit().thaw = None),
    (&["PREPARED_BEFORE_THAW"], |w| w.dose().prepared_at_ms = THAWED_MS - 1),
    (&["CONTRIBUTION_TOO_LARGE"], |w| w.unit().thaw.as_mut().unwrap().total_cells = 99_999_999),
    (&["CONTRIBUTION_TOO_LARGE"], |w| w.unit().volume_microlitres = 9_999),
    (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_ids = vec![OTHER]),
    // Whichever of the two says so later: one of them is wrong, and nobody knows which.
    (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_ids = vec![OTHER, DOSE]),
    (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_ids = vec![DOSE, OTHER]),
    (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_ids = Vec::new()),
    (&["THAW_VIABILITY_LOW", "DOSE_BELOW_BAND"], |w| w.unit().thaw.as_mut().unwrap().viability_basis_points = 6_999),
    (&["TOO_MANY_DONORS"], |w| w.product.max_donors_per_dose = 0),
    (&["CONTRIBUTIONS_DIFFER_FROM_TOTAL"], |w| w.dose().total_cells = 99_999_999),
    (&["DOSE_BELOW_BAND"], |w| w.trial.dose_band.as_mut().unwrap().min_viable_cells_per_kg = 1_285_715),
    (&["DOSE_ABOVE_BAND"], |w| w.trial.dose_band.as_mut().unwrap().max_viable_cells_per_kg = 1_285_714),
    (&["DOSE_VIABILITY_LOW"], |w| {
        w.trial.dose_band.as_mut().unwrap().min_viable_cells_per_kg = 1;
        w.dose().viability_basis_points = 6_999;
    }),
    (&["DMSO_TOO_HIGH"], |w| w.dose().dmso_milligrams = 1_751),
    (&["DOSE_EXPIRY_WRONG"], |w| w.dose().expires_at_ms = EXPIRY_MS + 1),
    (&["DOSE_EXPIRED"], |w| {
        w.unit().thaw.as_mut().unwrap().thawed_at_ms = NOW_MS - 2 * HOUR_MS - 1;
        w.dose().expires_at_ms = NOW_MS - 1;
    }),
    (&["ENDOTOXIN_UNKNOWN"], |w| w.lot().results[0].review = None),
    (&["ENDOTOXIN_TOO_HIGH"], |w| {
        w.lot().results[0].event.result.as_mut().unwrap().value = Some("1.7501".to_owned());
    }),
    (&["ABOVE_24_HOUR_CAP"], |w| w.earlier(NOW_MS - 23 * HOUR_MS, 133_333_334)),
    (&["INTERVAL_TOO_SHORT"], |w| w.earlier(NOW_MS - 12 * HOUR_MS + 1, 1)),
    (&["UNIT_NOT_IN_CUSTODY"], |w| w.unit().custody = Custody::Held { facility_id: OTHER }),
    (&["UNIT_CUSTODY_OPEN", "UNIT_NOT_IN_CUSTODY"], |w| {
        w.unit().custody = Custody::Disputed { facility_id: HOSPITAL, record_id: record_id(72), taking_back: None };
    }),
    (&["LOT_NOT_RELEASED"], |w| w.lot().disposition = None),
    (&["LOT_NOT_RELEASED"], |w| w.lot().disposition = Some((record_id(26), pb::Disposition::Rejected))),
    (&["UNIT_HELD"], |w| w.lot().upkeep.holds.push(hold(vec![], None))),
    (&["UNIT_HELD"], |w| w.lot().upkeep.holds.push(hold(vec![UNIT], None))),
    (&["UNIT_DONOR_NOT_ELIGIBLE"], |w| {
        w.donor.as_mut().unwrap().eligibility = Some((record_id(40), pb::Eligibility::Ineligible));
    }),
    (&["UNIT_DONOR_NOT_ELIGIBLE"], |w| w.donor.as_mut().unwrap().upkeep.holds.push(hold(vec![], None))),
    (&["UNIT_EXPIRED"], |w| w.product.shelf_life_seconds = 3_600 * 24 - 1),
    (&["UNIT_SPECIFICATION_UNKNOWN", "ENDOTOXIN_UNKNOWN"], |w| {
        w.lot().opened.as_mut().unwrap().1.specification.as_mut().unwrap().version = 2;
    }),
    (&["RECORD_IN_DOUBT"], |w| doubted(w, |w| &mut w.subject().upkeep)),
    (&["RECORD_IN_DOUBT"], |w| doubted(w, |w| &mut w.lot().upkeep)),
    (&["RECORD_IN_DOUBT"], |w| doubted(w, |w| &mut w.donor.as_mut().unwrap().upkeep)),
    (&["RECORD_IN_DOUBT"], |w| doubted(w, |w| &mut w.protocol.as_mut().unwrap().upkeep)),
    (&["RECORD_IN_DOUBT"], |w| doubted(w, |w| &mut w.specification.as_mut().unwrap().upkeep)),
];

#[test]
fn each_spoiled_clause_turns_the_answer_red_with_its_code() {
    for (number, (expected, spoil)) in SPOILED.iter().enumerate() {
        let mut world = world();
        spoil(&mut world);
        assert_eq!(ask(&world, NOW_MS), (Answer::Red, expected.to_vec()), "spoiled number {number}");
    }
}

#[test]
fn what_is_just_within_its_limit_stays_green() {
    let just: &[fn(&mut World)] = &[
        |w| w.subject().weighings[0].weighed_at_ms = NOW_MS - 24 * HOUR_MS,
        |w| w.subject().weighings.push(weighing(36, 77_000)),
        |w| {
            w.trial.dose_band.as_mut().unwrap().min_viable_cells_per_kg = 1;
            w.unit().thaw.as_mut().unwrap().viability_basis_points = 7_000;
            w.dose().viability_basis_points = 7_000;
        },
        |w| w.dose().dmso_milligrams = 1_750,
        |w| w.dose().prepared_at_ms = THAWED_MS,
        |w| w.trial.dose_band.as_mut().unwrap().min_viable_cells_per_kg = 1_285_714,
        |w| w.trial.dose_band.as_mut().unwrap().max_viable_cells_per_kg = 1_285_715,
        |w| w.lot().results[0].event.result.as_mut().unwrap().value = Some("1.75".to_owned()),
        |w| w.earlier(NOW_MS - 23 * HOUR_MS, 133_333_333),
        |w| w.earlier(NOW_MS - 12 * HOUR_MS, 1),
        |w| w.subject().upkeep.holds.push(hold(vec![], Some(OTHER))),
        |w| w.lot().upkeep.holds.push(hold(vec![OTHER], None)),
        |w| {
            let mut lifted = hold(vec![], None);
            lifted.lifted_by = Some(record_id(73));
            w.subject().upkeep.holds.push(lifted);
        },
        |w| {
            w.dose().dispensed = Some(Dispensing { record_id: record_id(74), dispensed_at_ms: NOW_MS, facility_id: HOSPITAL });
        },
    ];
    for (number, within) in just.iter().enumerate() {
        let mut world = world();
        within(&mut world);
        assert_eq!(ask(&world, NOW_MS), (Answer::Green, vec![]), "number {number}");
    }
}

#[test]
fn the_answer_turns_at_the_millisecond_of_the_expiry() {
    let mut world = world();
    world.product.shelf_life_seconds = 3_600 * 48;
    for (at_ms, answer) in [(EXPIRY_MS - 1, Answer::Green), (EXPIRY_MS, Answer::Green), (EXPIRY_MS + 1, Answer::Red)] {
        assert_eq!(ask(&world, at_ms).0, answer);
    }
}

#[test]
fn what_cannot_be_seen_is_no_answer() {
    let hidden: &[fn(&mut World)] = &[
        |w| {
            w.lookups.remove(&crate::index::IndexKey::Dose(DOSE.0));
        },
        |w| w.subject = None,
        |w| w.subject().doses.clear(),
        |w| w.lot = None,
        |w| w.donor = None,
        |w| w.protocol = None,
        |w| w.specification = None,
    ];
    for (number, hide) in hidden.iter().enumerate() {
        let mut world = world();
        hide(&mut world);
        assert_eq!(ask(&world, NOW_MS).0, Answer::NoAnswer, "number {number}");
    }
}
