//! Consent, screening, randomisation and protocols: nothing is found where everything holds, and each rule finds its own.

use marrowline_merkle::{leaf_hash, root_of};
use marrowline_record::id::Id16;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, ConsentKind, Role, ScreeningVerdict, StreamKind};

use super::slot_commitment;
use crate::family::dose::world::*;
use crate::index::{CODE_SUBJECT, CODE_TRIAL, IndexKey};
use crate::state::protocol::RevealedSlot;
use crate::state::{Protocol, Subject};

/// 2026-11-23 00:00 UTC.
const TODAY_MS: i64 = 1_795_392_000_000;

fn fresh() -> World {
    let mut world = world();
    *world.subject() = Subject::new(SUBJECT);
    world.trial.min_age_years = Some(17);
    world.trial.max_age_years = 75;
    world.trial.exclusions = vec![pb::Exclusion { code: "PREGNANCY".to_owned(), description: "pregnancy".to_owned() }];
    world.trial.counts =
        vec![pb::CountCriterion { analyte: pb::CountAnalyte::Leucocytes.into(), max_cells_per_microlitre: 1_000 }];
    world
}

fn consent() -> pb::SubjectConsented {
    pb::SubjectConsented {
        subject_code: "S01".to_owned(),
        protocol: version(PROTOCOL),
        kind: ConsentKind::Self_.into(),
        age_years: Some(40),
        birth_year: 1986,
        ..pb::SubjectConsented::default()
    }
}

fn consented(world: &World, e: pb::SubjectConsented) -> Vec<&'static str> {
    let streams = &[(StreamKind::Subject, SUBJECT)];
    judged(world, TODAY_MS, (Role::Investigator, OTHER), streams, Event::SubjectConsented(e))
}

#[test]
fn a_consent_is_flagged_for_each_reason() {
    let mut world = fresh();
    assert!(consented(&world, consent()).is_empty());
    let until = |unix_ms| Some(pb::Instant { unix_ms, offset_minutes: 0 });
    let spoiled: &[Spoil<pb::SubjectConsented>] = &[
        (&["SUBJECT_PROTOCOL_UNKNOWN"], |e| e.protocol.as_mut().unwrap().version = 2),
        (&["CONSENT_KIND_NOT_ALLOWED"], |e| e.kind = ConsentKind::Representative.into()),
        (&["CONSENT_KIND_NOT_ALLOWED", "CONSENT_DEADLINE_WRONG"], |e| e.kind = ConsentKind::Deferred.into()),
        (&["AGE_AND_BIRTH_YEAR_DIFFER"], |e| e.age_years = Some(41)),
        (&[], |e| e.age_years = Some(39)),
        (&["AGE_AND_BIRTH_YEAR_DIFFER"], |e| e.age_years = Some(38)),
    ];
    for (expected, spoil) in spoiled {
        let mut e = consent();
        spoil(&mut e);
        assert_eq!(consented(&world, e), *expected);
    }
    world.trial.consent_kinds.push(ConsentKind::Deferred.into());
    for (deadline, expected) in
        [(until(TODAY_MS + 1), vec![]), (until(TODAY_MS), vec!["CONSENT_DEADLINE_WRONG"]), (None, vec!["CONSENT_DEADLINE_WRONG"])]
    {
        let e = pb::SubjectConsented { kind: ConsentKind::Deferred.into(), deferred_until: deadline, ..consent() };
        assert_eq!(consented(&world, e), expected);
    }
    let e = pb::SubjectConsented { deferred_until: until(TODAY_MS + 1), ..consent() };
    assert_eq!(consented(&world, e), ["CONSENT_DEADLINE_WRONG"], "a deadline for a consent that is not deferred");
}

#[test]
fn a_code_belongs_to_one_subject_and_a_subject_to_one_trial() {
    let mut world = fresh();
    let key = IndexKey::Code { kind: CODE_SUBJECT, code: "S01".to_owned() };
    world.lookups.insert(key.clone(), SUBJECT.0);
    assert!(consented(&world, consent()).is_empty());
    world.lookups.insert(key, OTHER.0);
    assert_eq!(consented(&world, consent()), ["SUBJECT_CODE_TAKEN"]);
    let mut world = fresh();
    world.subject().consents = subject().consents;
    assert_eq!(consented(&world, consent()), ["SUBJECT_TRIAL_CHANGED"], "the first consent had no code");
    world.subject().consents[0].event.subject_code = "S01".to_owned();
    assert!(consented(&world, consent()).is_empty());
}

fn screening(age: u32) -> (World, pb::SubjectScreened) {
    let mut world = fresh();
    world.subject().consents = subject().consents;
    world.subject().consents[0].event.age_years = Some(age);
    let e = pb::SubjectScreened {
        counts: vec![pb::BloodCount { analyte: pb::CountAnalyte::Leucocytes.into(), cells_per_microlitre: Some(1_000) }],
        exclusions_present: Vec::new(),
        onset_at: Some(pb::Instant { unix_ms: NOW_MS, offset_minutes: 0 }),
        stated_verdict: ScreeningVerdict::Eligible.into(),
    };
    (world, e)
}

fn screened(world: &World, e: pb::SubjectScreened) -> Vec<&'static str> {
    let streams = &[(StreamKind::Subject, SUBJECT)];
    judged(world, NOW_MS, (Role::Investigator, OTHER), streams, Event::SubjectScreened(e))
}

#[test]
fn the_verdict_of_a_screening_is_computed() {
    for (age, expected) in
        [(16, vec!["SCREENING_VERDICT_DIFFERS"]), (17, vec![]), (75, vec![]), (76, vec!["SCREENING_VERDICT_DIFFERS"])]
    {
        let (world, e) = screening(age);
        assert_eq!(screened(&world, e.clone()), expected, "{age}");
        let e = pb::SubjectScreened { stated_verdict: ScreeningVerdict::Ineligible.into(), ..e };
        assert_eq!(screened(&world, e).is_empty(), !expected.is_empty(), "{age}");
    }
    let (world, mut e) = screening(40);
    e.counts[0].cells_per_microlitre = Some(1_001);
    assert_eq!(screened(&world, e), ["SCREENING_VERDICT_DIFFERS"]);
    let (world, mut e) = screening(40);
    e.onset_at.as_mut().unwrap().unix_ms = NOW_MS + 1;
    assert_eq!(screened(&world, e), ["ONSET_AFTER_SCREENING"]);
    let (world, mut e) = screening(40);
    e.exclusions_present = vec!["PREGNANCY".to_owned()];
    assert_eq!(screened(&world, e.clone()), ["SCREENING_VERDICT_DIFFERS"]);
    e.stated_verdict = ScreeningVerdict::Ineligible.into();
    assert!(screened(&world, e.clone()).is_empty());
    e.exclusions_present = vec!["GRAVIDITY".to_owned()];
    assert_eq!(screened(&world, e), ["SCREENING_EXCLUSION_UNKNOWN"]);
}

const SALTS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

/// An eligible subject, and a committed list of two slots: arm 2, then arm 1.
fn before_randomisation() -> (World, pb::SubjectRandomised) {
    let (mut world, screening) = screening(40);
    world.subject().screenings = subject().screenings;
    world.subject().screenings[0].event = screening;
    let leaves = [leaf_hash(&slot_commitment(0, 2, &SALTS[0])), leaf_hash(&slot_commitment(1, 1, &SALTS[1]))];
    world.trial.randomisation = Some(pb::RandomisationCommitment { slots: 2, root: root_of(&leaves).to_vec() });
    let e = pb::SubjectRandomised { slot: Some(0), arm: 2, salt: SALTS[0].to_vec(), inclusion_proof: vec![leaves[1].to_vec()] };
    (world, e)
}

fn randomised(world: &World, protocol: Id16, e: pb::SubjectRandomised) -> Vec<&'static str> {
    let streams = &[(StreamKind::Protocol, protocol), (StreamKind::Subject, SUBJECT)];
    judged(world, NOW_MS, (Role::Randomiser, OTHER), streams, Event::SubjectRandomised(e))
}

#[test]
fn a_subject_is_given_the_next_committed_slot() {
    let (world, e) = before_randomisation();
    assert!(randomised(&world, PROTOCOL, e.clone()).is_empty());
    let wrong: &[Spoil<pb::SubjectRandomised>] = &[
        (&["SLOT_NOT_COMMITTED"], |e| e.arm = 1),
        (&["SLOT_NOT_COMMITTED"], |e| e.salt = vec![3; 32]),
        (&["SLOT_NOT_COMMITTED"], |e| e.inclusion_proof.clear()),
        (&["SLOT_NOT_COMMITTED", "ARM_UNKNOWN"], |e| e.arm = 3),
        (&["SLOT_NOT_NEXT", "SLOT_NOT_COMMITTED"], |e| e.slot = Some(1)),
    ];
    for (expected, spoil) in wrong {
        let mut e = e.clone();
        spoil(&mut e);
        assert_eq!(randomised(&world, PROTOCOL, e), *expected);
    }
    let mut after_first = world.clone();
    after_first.protocol.as_mut().unwrap().slots.push(RevealedSlot {
        slot: 0,
        arm: 2,
        subject_id: OTHER,
        record_id: record_id(46),
    });
    assert_eq!(randomised(&after_first, PROTOCOL, e), ["SLOT_NOT_NEXT"], "slot 0 for the second time");
}

#[test]
fn a_randomisation_is_refused_for_each_reason() {
    let spoiled: &[Spoil<World>] = &[
        (&["SUBJECT_NOT_ELIGIBLE"], |w| w.subject().consents[0].event.age_years = Some(76)),
        (&["SUBJECT_NOT_ELIGIBLE"], |w| w.subject().screenings.clear()),
        (&["CONSENT_NOT_IN_FORCE"], |w| {
            w.subject().consents[0].event.kind = ConsentKind::Representative.into();
        }),
        (&["TRIAL_NOT_OPEN"], |w| {
            w.subject().consents[0].event.protocol.as_mut().unwrap().version = 2;
        }),
        (&["SUBJECT_HELD"], |w| w.subject().upkeep.holds.push(hold(vec![], None))),
        (&["ALREADY_RANDOMISED"], |w| w.subject().randomised = subject().randomised),
        (&["RANDOMISER_IS_INVESTIGATOR"], |w| {
            doubted(w, |w| &mut w.subject().upkeep);
            w.subject().investigated_by = vec![(KEY, record_id(31))];
        }),
    ];
    for (expected, spoil) in spoiled {
        let (mut world, e) = before_randomisation();
        spoil(&mut world);
        assert_eq!(randomised(&world, PROTOCOL, e), *expected);
    }
    let (world, e) = before_randomisation();
    assert_eq!(randomised(&world, OTHER, e), ["TRIAL_DIFFERS"]);
}

fn protocol() -> pb::ProtocolPublished {
    pb::ProtocolPublished {
        version: 2,
        registration: "NCT01849237".to_owned(),
        sample_size: 30,
        randomisation: Some(pb::RandomisationCommitment { slots: 30, root: vec![7; 32] }),
        ..fresh().trial
    }
}

fn published(world: &World, e: pb::ProtocolPublished) -> Vec<&'static str> {
    let streams = &[(StreamKind::Protocol, PROTOCOL)];
    judged(world, NOW_MS, (Role::QualityAssurance, OTHER), streams, Event::ProtocolPublished(e))
}

#[test]
fn a_protocol_is_refused_for_each_reason() {
    assert!(published(&world(), protocol()).is_empty());
    let band = |e: &mut pb::ProtocolPublished, (min, max, cap): (u64, u64, u64)| {
        e.dose_band = Some(pb::DoseBand { min_viable_cells_per_kg: min, max_viable_cells_per_kg: max });
        e.max_viable_cells_per_kg_per_24h = cap;
    };
    for (limits, expected) in
        [((1, 1, 1), vec![]), ((2, 1, 1), vec!["PROTOCOL_BAND_WRONG"]), ((1, 2, 1), vec!["PROTOCOL_BAND_WRONG"])]
    {
        let mut e = protocol();
        band(&mut e, limits);
        assert_eq!(published(&world(), e), expected);
    }
    let spoiled: &[Spoil<pb::ProtocolPublished>] = &[
        (&["PROTOCOL_VERSION_NOT_NEXT"], |e| e.version = 3),
        (&["PROTOCOL_VERSION_NOT_NEXT"], |e| e.version = 1),
        (&["PROTOCOL_ARM_REPEATED"], |e| e.arms[0].arm = 2),
        (&["PROTOCOL_ARM_REPEATED"], |e| e.arms[0].code = "A2".to_owned()),
        (&["PROTOCOL_WITHOUT_CELL_ARM"], |e| e.arms[1].receives_cells = false),
        (&["PROTOCOL_AGES_WRONG"], |e| e.min_age_years = Some(76)),
        (&[], |e| e.min_age_years = Some(75)),
        (&["PROTOCOL_ITEM_REPEATED"], |e| e.exclusions.push(e.exclusions[0].clone())),
        (&["PROTOCOL_ITEM_REPEATED"], |e| e.follow_up_days = vec![28, 28]),
        (&["PROTOCOL_SLOTS_TOO_FEW"], |e| e.sample_size = 31),
        (&[], |e| e.override_codes = vec!["WEIGHING_TOO_OLD".to_owned()]),
        (&["PROTOCOL_OVERRIDE_FORBIDDEN"], |e| e.override_codes = vec!["CONSENT_NOT_IN_FORCE".to_owned()]),
        (&["PROTOCOL_OVERRIDE_FORBIDDEN"], |e| e.override_codes = vec!["SIGNATURE_MISSING".to_owned()]),
        (&["PROTOCOL_OVERRIDE_NOT_A_GATE"], |e| e.override_codes = vec!["INFUSION_LATE".to_owned()]),
        (&["PROTOCOL_OVERRIDE_NOT_A_GATE"], |e| e.override_codes = vec!["NO_SUCH_RULE".to_owned()]),
    ];
    for (number, (expected, spoil)) in spoiled.iter().enumerate() {
        let mut e = protocol();
        spoil(&mut e);
        assert_eq!(published(&world(), e), *expected, "number {number}");
    }
}

#[test]
fn a_registration_number_belongs_to_one_protocol() {
    let mut world = world();
    let key = IndexKey::Code { kind: CODE_TRIAL, code: "NCT01849237".to_owned() };
    world.lookups.insert(key.clone(), PROTOCOL.0);
    assert!(published(&world, protocol()).is_empty());
    world.lookups.insert(key, OTHER.0);
    assert_eq!(published(&world, protocol()), ["PROTOCOL_REGISTRATION_TAKEN"]);
}

#[test]
fn a_list_stays_once_a_slot_was_given() {
    let mut world = world();
    world.protocol = Some(Protocol {
        slots: vec![RevealedSlot { slot: 0, arm: 2, subject_id: SUBJECT, record_id: record_id(46) }],
        ..Protocol::new(PROTOCOL)
    });
    assert_eq!(published(&world, protocol()), ["PROTOCOL_LIST_CHANGED"]);
    world.trial.randomisation = protocol().randomisation;
    assert!(published(&world, protocol()).is_empty());
}
