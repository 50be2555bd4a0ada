//! The clauses' boundaries, each on both sides, on values put together by hand. Whole ways of a dose are in the histories.

use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, RecordId, StreamKey};
use marrowline_record::pb::{self, ConsentKind, DoseBand, ProtocolPublished, WeighingMethod};
use proptest::prelude::*;

use super::case::Case;
use super::exposure::{self, Addition};
use super::findings::Findings;
use super::{amount, preparation, weight};
use crate::family::subject::standing::{Standing, Stray};
use crate::finding::Finding;
use crate::index::IndexKey;
use crate::state::subject::{Consent, Dispensing, Dose, Infusion, InfusionEnd, Order, Portion, Weighing};
use crate::state::{Authority, Donor, Lot, Protocol, Specification, Subject};
use crate::view::View;

const HOUR_MS: i64 = 3_600_000;
const NOW_MS: i64 = 1_000 * HOUR_MS;

/// A ledger that shows nothing: these clauses get everything handed to them.
struct Blind;

impl View for Blind {
    fn authority(&self) -> Arc<Authority> {
        Arc::default()
    }
    fn protocol(&self, _: &Id16) -> Option<Arc<Protocol>> {
        None
    }
    fn specification(&self, _: &Id16) -> Option<Arc<Specification>> {
        None
    }
    fn donor(&self, _: &Id16) -> Option<Arc<Donor>> {
        None
    }
    fn lot(&self, _: &Id16) -> Option<Arc<Lot>> {
        None
    }
    fn subject(&self, _: &Id16) -> Option<Arc<Subject>> {
        None
    }
    fn facility(&self, _: &Id16) -> Option<Arc<crate::state::Facility>> {
        None
    }
    fn equipment(&self, _: &Id16) -> Option<Arc<crate::state::Equipment>> {
        None
    }
    fn head(&self, _: &StreamKey) -> Option<(u64, [u8; 32])> {
        None
    }
    fn hash_at(&self, _: &StreamKey, _: u64) -> Option<[u8; 32]> {
        None
    }
    fn entry(&self, _: &RecordId) -> Option<Arc<Entry>> {
        None
    }
    fn lookup(&self, _: &IndexKey) -> Option<[u8; 16]> {
        None
    }
}

fn trial() -> Arc<ProtocolPublished> {
    Arc::new(ProtocolPublished {
        dose_band: Some(DoseBand { min_viable_cells_per_kg: 1_000_000, max_viable_cells_per_kg: 2_000_000 }),
        max_viable_cells_per_kg_per_24h: 2_000_000,
        min_interval_seconds: Some(3_600),
        weighing_max_age_seconds: 24 * 3_600,
        weight_change_limit_basis_points: 1_000,
        consent_kinds: vec![ConsentKind::Self_.into(), ConsentKind::Deferred.into()],
        ..ProtocolPublished::default()
    })
}

fn weighing(number: u8, weighed_at_ms: i64, weight_grams: u32) -> Weighing {
    Weighing { record_id: RecordId([number; 16]), weighed_at_ms, weight_grams, method: WeighingMethod::Measured }
}

fn dose(number: u8, total_cells: u64, viability_basis_points: u32) -> Dose {
    Dose {
        id: Id16([number; 16]),
        code: number.to_string(),
        order_id: Id16([200; 16]),
        record_id: RecordId([number; 16]),
        digest: Digest([number; 32]),
        facility_id: Id16([9; 16]),
        prepared_at_ms: NOW_MS,
        prepared_by: Vec::new(),
        portions: vec![Portion { unit_id: Id16([100; 16]), total_cells, volume_microlitres: 10_000 }],
        total_cells,
        viability_basis_points,
        diluent: "saline".to_owned(),
        volume_microlitres: 10_000,
        dmso_milligrams: 0,
        expires_at_ms: NOW_MS + HOUR_MS,
        dispensed: None,
        checks: Vec::new(),
        infusion: None,
        rejection: None,
    }
}

fn infused(mut dose: Dose, started_at_ms: i64, volume_microlitres: u64) -> Dose {
    dose.infusion = Some(Infusion {
        record_id: RecordId([50; 16]),
        started_at_ms,
        end: Some(InfusionEnd {
            record_id: RecordId([51; 16]),
            ended_at_ms: started_at_ms,
            infused: vec![(Id16([100; 16]), volume_microlitres)],
            stopped_because: None,
        }),
    });
    dose
}

/// A subject of 70 kg with one order for it.
fn subject() -> Subject {
    let mut subject = Subject::new(Id16([1; 16]));
    subject.weighings.push(weighing(1, NOW_MS - HOUR_MS, 70_000));
    subject.orders.push(Order {
        id: Id16([200; 16]),
        record_id: RecordId([20; 16]),
        ordered_at_ms: NOW_MS,
        target_viable_cells_per_kg: 1_500_000,
        weighing_record_id: RecordId([1; 16]),
        planned_duration_seconds: 3_600,
        allocated: Vec::new(),
        dose_id: None,
        cancelled_by: None,
    });
    subject
}

fn standing(subject: &Subject) -> Standing<'_> {
    Standing { subject, trial: None, protocol: Some(trial()), unseen: false, namesake: None, strays: Vec::new() }
}

fn case<'a>(subject: &'a Subject, dose: &'a Dose, at_ms: i64) -> Case<'a> {
    Case {
        view: &Blind,
        at_ms,
        subject,
        standing: standing(subject),
        dose,
        order: subject.order(&dose.order_id),
        parts: Vec::new(),
    }
}

fn names(f: &Findings) -> Vec<&'static str> {
    f.0.iter().map(|finding| finding.code.name).collect()
}

fn band(total_cells: u64, viability_basis_points: u32) -> Vec<Finding> {
    let subject = subject();
    let dose = dose(1, total_cells, viability_basis_points);
    let mut f = Findings::default();
    amount::cells(&mut f, &case(&subject, &dose, NOW_MS));
    f.0
}

#[test]
fn the_band_is_inclusive_and_nothing_is_rounded() {
    for (cells, expected) in
        [(69_999_999, Some("DOSE_BELOW_BAND")), (70_000_000, None), (140_000_000, None), (140_000_001, Some("DOSE_ABOVE_BAND"))]
    {
        let found = band(cells, 10_000);
        assert_eq!(found.first().map(|f| f.code.name), expected, "{cells}");
    }
}

#[test]
fn a_dose_above_the_band_is_told_in_full() {
    let found = band(150_000_000, 9_800);
    assert_eq!(found[0].found, "2 100 000.0 viable cells/kg (150 000 000 cells × 98.00 % ÷ 70 000 g)");
    assert_eq!(found[0].allowed, "1 000 000 to 2 000 000 viable cells/kg: at most 142 857 142 cells at 98.00 % for 70 000 g");
    assert!(band(142_857_142, 9_800).is_empty());
    assert_eq!(band(142_857_143, 9_800)[0].code.name, "DOSE_ABOVE_BAND");
}

proptest! {
    /// The number of cells that a message names is lawful, and the next one is not.
    #[test]
    fn the_named_limits_are_the_limits(share in 1u32..=10_000) {
        let most = 2_000_000u64 * 70_000 * 10_000 / (u64::from(share) * 1_000);
        let fewest = (1_000_000u64 * 70_000 * 10_000).div_ceil(u64::from(share) * 1_000);
        prop_assert!(band(most, share).is_empty());
        prop_assert!(band(fewest, share).is_empty());
        prop_assert_eq!(band(most + 1, share)[0].code.name, "DOSE_ABOVE_BAND");
        prop_assert_eq!(band(fewest - 1, share)[0].code.name, "DOSE_BELOW_BAND");
    }

    /// What is counted as infused is never less than what was infused, and less than one cell more.
    #[test]
    fn infused_cells_are_rounded_up(cells in 0u64..1_000_000_000, share in 0u32..=10_000, volume in 0u64..=10_000) {
        let counted = infused(dose(1, cells, share), NOW_MS, volume).viable_cells_rounded_up();
        let exact = u128::from(cells) * u128::from(volume) * u128::from(share);
        prop_assert!(counted * 10_000 * 10_000 >= exact);
        prop_assert!(counted.saturating_sub(1) * 10_000 * 10_000 <= exact);
    }
}

#[test]
fn the_window_of_24_hours_is_open_at_its_beginning() {
    let added = dose(2, 1, 10_000);
    for (started_at_ms, expected) in [
        (NOW_MS - 24 * HOUR_MS, vec![]),
        (NOW_MS - 24 * HOUR_MS + 1, vec!["ABOVE_24_HOUR_CAP"]),
        (NOW_MS, vec!["ABOVE_24_HOUR_CAP"]),
        // Entered late: the window that ends with the infusion that is known already holds both.
        (NOW_MS + 1, vec!["ABOVE_24_HOUR_CAP"]),
        (NOW_MS + 24 * HOUR_MS - 1, vec!["ABOVE_24_HOUR_CAP"]),
        (NOW_MS + 24 * HOUR_MS, vec![]),
    ] {
        let mut subject = subject();
        subject.doses.push(infused(dose(1, 140_000_000, 10_000), started_at_ms, 10_000));
        let mut f = Findings::default();
        exposure::cap(&mut f, &standing(&subject), NOW_MS, Addition::dose(&added));
        assert_eq!(names(&f), expected, "{}", started_at_ms - NOW_MS);
    }
}

#[test]
fn only_what_was_infused_counts_and_a_running_infusion_counts_whole() {
    let added = dose(2, 70_000_000, 10_000);
    let cap_with = |earlier: Dose| {
        let mut subject = subject();
        subject.doses.push(earlier);
        let mut f = Findings::default();
        exposure::cap(&mut f, &standing(&subject), NOW_MS, Addition::dose(&added));
        f.0.len()
    };
    let half = infused(dose(1, 140_000_000, 10_000), NOW_MS - HOUR_MS, 5_000);
    assert_eq!(cap_with(half.clone()), 0);
    let more = infused(dose(1, 140_000_000, 10_000), NOW_MS - HOUR_MS, 5_001);
    assert_eq!(cap_with(more), 1);
    let mut running = half;
    if let Some(infusion) = &mut running.infusion {
        infusion.end = None;
    }
    assert_eq!(cap_with(running), 1);
}

#[test]
fn an_end_that_names_another_unit_says_nothing_of_how_much_went_in() {
    let mut earlier = infused(dose(1, 140_000_000, 10_000), NOW_MS - HOUR_MS, 5_000);
    assert_eq!(earlier.viable_cells_rounded_up(), 70_000_000);
    earlier.infusion.as_mut().unwrap().end.as_mut().unwrap().infused.push((Id16([101; 16]), 1));
    assert_eq!(earlier.viable_cells_rounded_up(), 140_000_000);
}

#[test]
fn cells_are_rounded_up_once_for_the_dose() {
    let mut halves = infused(dose(1, 6, 5_000), NOW_MS, 1);
    let portion = |unit: u8| Portion { unit_id: Id16([unit; 16]), total_cells: 3, volume_microlitres: 2 };
    halves.portions = vec![portion(100), portion(101)];
    halves.infusion.as_mut().unwrap().end.as_mut().unwrap().infused.push((Id16([101; 16]), 1));
    assert_eq!(halves.viable_cells_rounded_up(), 2, "twice three quarters of a cell");
    halves.portions[0].total_cells = u64::MAX;
    halves.portions[0].volume_microlitres = u64::MAX;
    halves.viability_basis_points = 10_000;
    assert_eq!(halves.viable_cells_rounded_up(), 3, "one and one and a half, and nothing overflows");
}

#[test]
fn a_dispensed_dose_keeps_the_interval_until_it_cannot_begin_any_more() {
    let expiry_ms = NOW_MS + HOUR_MS;
    for (at_ms, is_rejected, expected) in [
        (NOW_MS, false, vec!["INTERVAL_TOO_SHORT"]),
        (expiry_ms + HOUR_MS - 1, false, vec!["INTERVAL_TOO_SHORT"]),
        (expiry_ms + HOUR_MS, false, vec![]),
        (NOW_MS, true, vec![]),
    ] {
        let mut open = dose(1, 1, 1);
        open.dispensed = Some(Dispensing { record_id: RecordId([60; 16]), dispensed_at_ms: NOW_MS, facility_id: Id16([9; 16]) });
        open.rejection = is_rejected.then_some((RecordId([61; 16]), 0));
        let mut subject = subject();
        subject.doses.push(open);
        let found = |with_open| {
            let mut f = Findings::default();
            exposure::interval(&mut f, &standing(&subject), at_ms, None, with_open);
            names(&f)
        };
        assert_eq!(found(true), expected, "{}", at_ms - NOW_MS);
        assert!(found(false).is_empty(), "between infusions only their starts count");
    }
}

#[test]
fn a_dispensed_dose_counts_until_its_expiry_has_left_the_window() {
    let added = dose(2, 1, 10_000);
    for (expires_at_ms, findings) in [(NOW_MS - 24 * HOUR_MS, 0), (NOW_MS - 24 * HOUR_MS + 1, 1)] {
        let mut earlier = dose(1, 140_000_000, 10_000);
        earlier.expires_at_ms = expires_at_ms;
        let mut subject = subject();
        subject.doses.push(earlier.clone());
        let prepared = cap_findings(&subject, &added);
        assert_eq!(prepared, 0, "a dose that is only prepared does not count");
        earlier.dispensed =
            Some(Dispensing { record_id: RecordId([60; 16]), dispensed_at_ms: expires_at_ms, facility_id: Id16([9; 16]) });
        subject.doses = vec![earlier];
        assert_eq!(cap_findings(&subject, &added), findings);
    }
}

fn cap_findings(subject: &Subject, added: &Dose) -> usize {
    let mut f = Findings::default();
    exposure::cap(&mut f, &standing(subject), NOW_MS, Addition::dose(added));
    f.0.len()
}

#[test]
fn the_lowest_weight_of_the_window_counts() {
    let added = dose(2, 140_000_000, 10_000);
    let mut subject = subject();
    assert_eq!(cap_findings(&subject, &added), 0);
    subject.weighings.push(weighing(2, NOW_MS - 24 * HOUR_MS, 60_000));
    assert_eq!(cap_findings(&subject, &added), 0, "just outside the window");
    subject.weighings.push(weighing(3, NOW_MS - 24 * HOUR_MS + 1, 69_999));
    assert_eq!(cap_findings(&subject, &added), 1, "just inside the window");
}

#[test]
fn the_interval_is_inclusive() {
    for (gap_ms, expected) in [(HOUR_MS, vec![]), (HOUR_MS - 1, vec!["INTERVAL_TOO_SHORT"])] {
        let mut subject = subject();
        subject.doses.push(infused(dose(1, 1, 1), NOW_MS - gap_ms, 1));
        let mut f = Findings::default();
        exposure::interval(&mut f, &standing(&subject), NOW_MS, None, true);
        assert_eq!(names(&f), expected);
        let mut f = Findings::default();
        exposure::interval(&mut f, &standing(&subject), NOW_MS, Some(&Id16([1; 16])), true);
        assert!(f.0.is_empty(), "a dose keeps no distance from itself");
    }
}

fn stray(started_at_ms: i64, viable_cells: Option<u128>) -> Stray {
    let start = Infusion { record_id: RecordId([50; 16]), started_at_ms, end: None };
    Stray { dose_id: Id16([9; 16]), start, viable_cells }
}

#[test]
fn a_dose_of_another_subject_counts_for_the_one_who_was_given_it() {
    let (subject, added) = (subject(), dose(2, 40_000_000, 10_000));
    for (started_at_ms, viable_cells, expected) in [
        (NOW_MS - 24 * HOUR_MS, Some(100_000_001), vec![]),
        (NOW_MS - 24 * HOUR_MS + 1, Some(100_000_001), vec!["ABOVE_24_HOUR_CAP"]),
        (NOW_MS, Some(100_000_000), vec![]),
        (NOW_MS + 24 * HOUR_MS - 1, Some(100_000_001), vec!["ABOVE_24_HOUR_CAP"]),
        (NOW_MS + 24 * HOUR_MS, Some(100_000_001), vec![]),
        (NOW_MS - 24 * HOUR_MS, None, vec![]),
        (NOW_MS - 24 * HOUR_MS + 1, None, vec!["INFUSED_AMOUNT_UNKNOWN"]),
        (NOW_MS + 24 * HOUR_MS - 1, None, vec!["INFUSED_AMOUNT_UNKNOWN"]),
        (NOW_MS + 24 * HOUR_MS, None, vec![]),
    ] {
        let standing = Standing { strays: vec![stray(started_at_ms, viable_cells)], ..standing(&subject) };
        let mut f = Findings::default();
        exposure::cap(&mut f, &standing, NOW_MS, Addition::dose(&added));
        assert_eq!(names(&f), expected, "{} {viable_cells:?}", started_at_ms - NOW_MS);
    }
}

#[test]
fn infusions_keep_their_distance_from_one_of_another_subjects_dose() {
    let subject = subject();
    for (gap_ms, expected) in [(HOUR_MS, vec![]), (HOUR_MS - 1, vec!["INTERVAL_TOO_SHORT"])] {
        let standing = Standing { strays: vec![stray(NOW_MS - gap_ms, Some(1))], ..standing(&subject) };
        let mut f = Findings::default();
        exposure::interval(&mut f, &standing, NOW_MS, None, true);
        assert_eq!(names(&f), expected);
    }
}

#[test]
fn a_weighing_may_be_as_old_as_the_protocol_says() {
    for (age_ms, expected) in [(24 * HOUR_MS, vec![]), (24 * HOUR_MS + 1, vec!["WEIGHING_TOO_OLD"])] {
        let mut subject = subject();
        subject.weighings = vec![weighing(1, NOW_MS - age_ms, 70_000)];
        let mut f = Findings::default();
        weight::recent(&mut f, &standing(&subject), NOW_MS);
        assert_eq!(names(&f), expected);
    }
}

#[test]
fn a_tenth_of_the_weight_may_change() {
    for (grams, expected) in
        [(77_000, vec![]), (77_001, vec!["WEIGHT_CHANGED"]), (63_000, vec![]), (62_999, vec!["WEIGHT_CHANGED"])]
    {
        let mut subject = subject();
        subject.weighings.push(weighing(2, NOW_MS, grams));
        let mut f = Findings::default();
        weight::unchanged(&mut f, &standing(&subject), subject.weighing(&RecordId([1; 16])));
        assert_eq!(names(&f), expected, "{grams}");
    }
}

#[test]
fn a_dose_is_good_up_to_the_millisecond_of_its_expiry() {
    let subject = subject();
    let dose = dose(1, 1, 1);
    for (at_ms, expected) in
        [(dose.expires_at_ms - 1, vec![]), (dose.expires_at_ms, vec![]), (dose.expires_at_ms + 1, vec!["DOSE_EXPIRED"])]
    {
        let mut f = Findings::default();
        preparation::not_expired(&mut f, &case(&subject, &dose, at_ms));
        assert_eq!(names(&f), expected);
    }
}

#[test]
fn a_deferred_consent_holds_up_to_its_deadline() {
    let mut subject = subject();
    subject.consents.push(Consent {
        record_id: RecordId([70; 16]),
        consented_at_ms: NOW_MS,
        event: pb::SubjectConsented {
            protocol: Some(pb::VersionRef { id: vec![8; 16], version: 1 }),
            kind: ConsentKind::Deferred.into(),
            deferred_until: Some(pb::Instant { unix_ms: NOW_MS + HOUR_MS, offset_minutes: 0 }),
            ..pb::SubjectConsented::default()
        },
    });
    let at = |at_ms| names(&standing(&subject).consent_trial_and_holds(at_ms));
    assert!(at(NOW_MS + HOUR_MS).is_empty());
    assert_eq!(at(NOW_MS + HOUR_MS + 1), ["CONSENT_NOT_IN_FORCE"]);
}
