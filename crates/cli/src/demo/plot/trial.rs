//! The rest of the trial: two more donors, three more lots, the subjects from the fourth on, and what goes wrong on the way.
//!
//! How many lived is as published (Int J Blood Res Disord 2018;5:033): nine of fifteen with cells and three of fifteen without at day
//! 28, four and three after three months. When each of them died was not published and is invented, as everything else is.

use marrowline_record::pb;
use marrowline_record::pb::StreamKind::{Authority, Donor, Lot, Subject};
use marrowline_record::pb::record::Event;
use marrowline_record::stream::AUTHORITY_ID;

use super::super::DemoError;
use super::super::documents::CELLS;
use super::super::stage::{Stage, Step};
use super::subjects::{
    Case, allocate, allocation, dispensing, enrol, infuse, order, order_million_per_kg, prepare, subject_code, weigh,
};
use super::{
    Batch, Samples, Story, collect, conditional_release, consent_of_donor, deliver, dispose, donate, donor_test, endpoints,
    expand, final_release, sample, test, tests_of, version_1,
};

const SECOND: Batch =
    Batch { number: 2, donor_code: "D-003", din: "A999925000001P", last_passage: (220_000_000, 890_000_000), units: 17 };
/// The lot that fails a marker.
const THIRD: Batch = Batch { number: 3, din: "W000026000001F", ..SECOND };
/// The lot that is found contaminated after it was given.
const FOURTH: Batch = Batch { number: 4, din: "G1234260000022", ..SECOND };
const INELIGIBLE: Batch = Batch { number: 0, donor_code: "D-002", din: "", ..SECOND };

/// Days of the story on which the work for each lot begins, and on which its first subject is enrolled.
const SECOND_BEGINS: i64 = 52;
const SECOND_GIVEN: i64 = 96;
const THIRD_BEGINS: i64 = 112;
const FOURTH_BEGINS: i64 = 148;
const FOURTH_GIVEN: i64 = 185;

/// Slots whose subjects are treated from the second lot, from the fourth, and from what the first one has left.
/// Whose weighing is amended.
const MISWEIGHED: u32 = 3;
const FROM_SECOND: std::ops::Range<u32> = 3..18;
const FROM_FOURTH: std::ops::Range<u32> = 18..23;
const FROM_FIRST: std::ops::Range<u32> = 23..30;

/// The subject whose first thaw is below the specification's viability.
const POOR_THAW: u32 = 8;
/// The subject with whose dose the ledger is tried.
const TRIED: u32 = 6;

/// Day of death after randomisation, in the order of the arm's slots; none: alive after three months.
const DEATHS_WITH_CELLS: [Option<i64>; 15] = [
    None,
    Some(5),
    Some(45),
    Some(11),
    None,
    Some(62),
    Some(2),
    Some(38),
    None,
    Some(19),
    Some(71),
    Some(8),
    None,
    Some(26),
    Some(54),
];
const DEATHS_WITHOUT: [Option<i64>; 15] = [
    Some(3),
    Some(1),
    None,
    Some(6),
    Some(9),
    Some(2),
    Some(14),
    None,
    Some(4),
    Some(21),
    Some(7),
    None,
    Some(12),
    Some(17),
    Some(25),
];

/// The days on which a subject's life is asked after; the protocol's follow-up has more, which the demo leaves out.
const FOLLOW_UP: [i64; 2] = [28, 90];

/// Plays the trial up to this many subjects; the first three were enrolled before.
pub(super) async fn play(stage: &mut Stage, first_lot: &Story, subjects: u32, enrolled: [[u8; 16]; 3]) -> Result<(), DemoError> {
    for (slot, (subject, day)) in (0u32..).zip(enrolled.into_iter().zip([44, 46, 48])) {
        follow_up(stage, first_lot, slot, subject, day);
    }
    stage.chapter("A donor (synthetic) who is not eligible");
    stage.count_from(SECOND_BEGINS - 2);
    ineligible_donor(stage, first_lot).await?;
    stage.chapter("A third donor (synthetic)");
    let mut lot = next_lot(stage, first_lot, SECOND);
    lot.donor = stage.new_id();
    stage.count_from(SECOND_BEGINS - 1);
    donate(stage, &lot).await?;
    manufacture(stage, &mut lot, SECOND_BEGINS).await?;
    let samples = sample(stage, &lot).await?;
    own_result(stage, &lot, &samples).await?;
    conditional_release(stage, &lot, &samples).await?;
    final_release(stage, &lot, &samples).await?;
    stage.at(43, 8, 0).await?;
    deliver(stage, &lot, 0..16).await?;
    let mut shelf = Shelf::new(&lot, 0..16);
    enrol_all(stage, &mut shelf, FROM_SECOND, SECOND_GIVEN, subjects).await?;
    if subjects <= FROM_SECOND.end {
        return end(stage).await;
    }
    let mut failed = next_lot(stage, &lot, THIRD);
    failing_lot(stage, &mut failed).await?;
    let mut contaminated = next_lot(stage, &lot, FOURTH);
    contaminated_lot(stage, &mut contaminated, subjects).await?;
    stage.count_from(0);
    stage.at(FOURTH_GIVEN + 6, 8, 0).await?;
    deliver(stage, first_lot, 6..10).await?;
    enrol_all(stage, &mut Shelf::new(first_lot, 4..10), FROM_FIRST, FOURTH_GIVEN + 7, subjects).await?;
    end(stage).await
}

/// A lot of the same donor.
fn next_lot(stage: &mut Stage, like: &Story, batch: Batch) -> Story {
    Story { lot: stage.new_id(), batch, units: Vec::new(), ..like.clone() }
}

/// From here to the last follow-up nothing but time passes.
async fn end(stage: &mut Stage) -> Result<(), DemoError> {
    stage.chapter("Follow-up to three months");
    stage.count_from(0);
    stage.at(FOURTH_GIVEN + 110, 8, 0).await
}

async fn ineligible_donor(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    let donor = Story { donor: stage.new_id(), batch: INELIGIBLE, ..story.clone() };
    consent_of_donor(stage, &donor).await?;
    stage.at(1, 10, 0).await?;
    donor_test(stage, &donor, ("HBV", "hepatitis B surface antigen and core antibodies"), pb::ResultKind::Present).await?;
    let ineligible = Event::DonorEligibilityDetermined(pb::DonorEligibilityDetermined {
        eligibility: pb::Eligibility::Ineligible.into(),
        specification: Some(version_1(story.specification)),
        reason: "hepatitis B surface antigen reactive".to_owned(),
    });
    stage.accept(Step::new("donor not eligible", ineligible).by(&["phy", "qa"]).on(Donor, donor.donor)).await?;
    Ok(())
}

/// Marrow to units in the freezer, with days counted from this one.
async fn manufacture(stage: &mut Stage, lot: &mut Story, begins: i64) -> Result<(), DemoError> {
    stage.count_from(begins);
    collect(stage, lot).await?;
    expand(stage, lot).await
}

/// Somebody who may analyse and review tries to review a result of their own; another reviews it.
async fn own_result(stage: &mut Stage, lot: &Story, samples: &Samples) -> Result<(), DemoError> {
    stage.at(28, 9, 0).await?;
    let Some(demo) = tests_of(pb::ReleaseStage::Conditional).find(|t| t.test.code == "POTENCY") else {
        return Ok(());
    };
    let reported = Event::TestResultReported(pb::TestResultReported {
        sample_id: samples.sample.to_vec(),
        test_code: demo.test.code,
        method: demo.test.method,
        result: Some(demo.result),
        inoculated_at: None,
        read_at: None,
        evidence_digest: Some(stage.document("potency, first run")),
    });
    let id = stage.accept(Step::new("POTENCY: 46 %", reported).by(&["qcr"]).on(Lot, lot.lot)).await?;
    let review = |words: &str| {
        let reviewed = Event::TestResultReviewed(pb::TestResultReviewed {
            reported_record_id: id.to_vec(),
            decision: pb::ReviewDecision::Accepted.into(),
        });
        Step::new(words, reviewed).on(Lot, lot.lot)
    };
    stage.refuse(review("their own result reviewed").by(&["qcr"]), &["ANALYST_IS_REVIEWER"]).await?;
    stage.accept(review("reviewed by somebody else").by(&["qr"])).await?;
    Ok(())
}

/// A pharmacist leaves; what is signed with her key from then on is refused.
async fn revoke_key(stage: &mut Stage) -> Result<(), DemoError> {
    let revoked = Event::KeyRevoked(pb::KeyRevoked {
        key_id: stage.key_id("pha4")?,
        reason: "left the hospital".to_owned(),
        effective_at: Some(stage.now()),
        compromised_since: None,
    });
    stage.accept(Step::new("key of Zoya Krylova revoked", revoked).by(&["key"]).on(Authority, AUTHORITY_ID)).await?;
    Ok(())
}

/// Units of a lot at the hospital that nobody has used.
struct Shelf<'a> {
    story: &'a Story,
    units: std::ops::Range<usize>,
}

impl<'a> Shelf<'a> {
    fn new(story: &'a Story, units: std::ops::Range<usize>) -> Shelf<'a> {
        Shelf { story, units }
    }

    /// The next two.
    fn take(&mut self) -> [usize; 2] {
        [self.units.next().unwrap_or(usize::MAX), self.units.next().unwrap_or(usize::MAX)]
    }
}

/// Enrols and, in the cell arm, treats the subjects of these slots, one a day.
async fn enrol_all(
    stage: &mut Stage,
    shelf: &mut Shelf<'_>,
    slots: std::ops::Range<u32>,
    first_day: i64,
    subjects: u32,
) -> Result<(), DemoError> {
    stage.count_from(0);
    for (slot, day) in slots.zip(first_day..).take_while(|(slot, _)| *slot < subjects) {
        let receives_cells = shelf.story.slots.get(slot as usize).is_some_and(|s| s.arm == CELLS);
        let arm = if receives_cells { "cell arm" } else { "standard therapy" };
        stage.chapter(&format!("Subject {} (synthetic), {arm}", subject_code(slot)));
        let subject = enrol(stage, shelf.story, slot, day).await?;
        follow_up(stage, shelf.story, slot, subject, day);
        let weight_grams = 52_000 + (slot * 7 % 24) * 1_000;
        stage.at(day, 9, 0).await?;
        let weighing = weigh(stage, subject, weight_grams).await?;
        if slot == MISWEIGHED {
            amend_weighing(stage, subject, weighing, weight_grams + 3_000).await?;
        }
        if receives_cells {
            give(stage, shelf, (slot, day, weight_grams), (subject, weighing)).await?;
        }
    }
    Ok(())
}

/// A nurse finds that a weighing was read wrongly; QA signs with her. The first version stays in the log.
async fn amend_weighing(stage: &mut Stage, subject: [u8; 16], weighing: [u8; 16], weight_grams: u32) -> Result<(), DemoError> {
    let (record, digest) = stage.recorded(&weighing)?;
    let event = Event::SubjectWeighed(pb::SubjectWeighed { weight_grams, method: pb::WeighingMethod::Measured.into() });
    let amended = Event::RecordAmended(pb::RecordAmended {
        target: Some(pb::AmendedRecord { record_id: weighing.to_vec(), digest: digest.to_vec() }),
        replaces_record_id: weighing.to_vec(),
        replacement: marrowline_record::encode(&pb::Record { event: Some(event), ..record }),
        reason: "the scales' tare was left in; read again from their memory".to_owned(),
    });
    let words = format!("weighing amended: {} kg", weight_grams / 1_000);
    stage.accept(Step::new(&words, amended).by(&["rn1", "qa@hospital"]).on(Subject, subject)).await?;
    Ok(())
}

/// From the order to the end of the infusion: exactly a million viable cells per kg, from two units.
async fn give(
    stage: &mut Stage,
    shelf: &mut Shelf<'_>,
    (slot, day, weight_grams): (u32, i64, u32),
    (subject, weighing): ([u8; 16], [u8; 16]),
) -> Result<(), DemoError> {
    let mut case = Case {
        slot,
        day,
        weight_grams,
        units: shelf.take(),
        contribution: u64::from(weight_grams) * 625,
        viability_basis_points: 8_000,
        infused_at: (13, 0),
        refused_target: None,
        flags: &[],
    };
    let story = shelf.story;
    if slot == POOR_THAW {
        poor_thaw(stage, story, &case, (subject, weighing)).await?;
        case.units = shelf.take();
    }
    let order_id = order_million_per_kg(stage, subject, weighing).await?;
    if slot == TRIED {
        revoke_key(stage).await?;
        let step = allocation(story, &case, subject, order_id).by(&["pha1", "pha4"]);
        stage.refuse(step, &["SIGNER_WITHOUT_AUTHORITY"]).await?;
    }
    allocate(stage, story, &case, subject, order_id).await?;
    stage.at(day, 12, 0).await?;
    let code = case.dose_code(1);
    let mut dose = prepare(stage, story, &case, (subject, order_id), &code, [&[], &[]]).await?;
    if slot == TRIED {
        let step = dispensing(story, &dose).dated_back(30);
        stage.refuse(step, &["AUTHORISATION_BACKDATED"]).await?;
    }
    infuse(stage, story, &case, &mut dose).await?;
    if slot == TRIED {
        try_more(stage, story, &case, (subject, weighing)).await?;
    }
    Ok(())
}

/// A second dose that would lift 24 hours over the protocol's limit, and units that are somebody else's already.
async fn try_more(
    stage: &mut Stage,
    story: &Story,
    case: &Case,
    (subject, weighing): ([u8; 16], [u8; 16]),
) -> Result<(), DemoError> {
    let id = stage.new_id();
    let step = Step::new("1.5 million per kg more ordered the same day", order(1_500_000, id, weighing));
    stage.refuse(step.by(&["inv"]).on(Subject, subject), &["ABOVE_24_HOUR_CAP"]).await?;
    let second = order_million_per_kg(stage, subject, weighing).await?;
    stage.refuse(allocation(story, case, subject, second), &["UNIT_ALREADY_ALLOCATED"]).await?;
    let cancelled =
        Event::OrderCancelled(pb::OrderCancelled { order_id: second.to_vec(), reason: "no unit is left for it".to_owned() });
    stage.accept(Step::new("the second order cancelled", cancelled).by(&["inv"]).on(Subject, subject)).await?;
    Ok(())
}

/// A thaw below the specification's viability: recorded, and the dose made of it is not dispensed.
async fn poor_thaw(
    stage: &mut Stage,
    story: &Story,
    case: &Case,
    (subject, weighing): ([u8; 16], [u8; 16]),
) -> Result<(), DemoError> {
    let viability = 6_500u32;
    let contribution = (u64::from(case.weight_grams) * 1_000 * 10_000).div_ceil(u64::from(viability) * 2);
    let poor = Case { viability_basis_points: viability, contribution, ..*case };
    let order_id = order_million_per_kg(stage, subject, weighing).await?;
    allocate(stage, story, &poor, subject, order_id).await?;
    stage.at(case.day, 9, 30).await?;
    let code = case.dose_code(2);
    let flags: [&[&str]; 2] = [&["THAW_VIABILITY_LOW"], &["THAW_VIABILITY_LOW", "DOSE_VIABILITY_LOW"]];
    let dose = prepare(stage, story, &poor, (subject, order_id), &code, flags).await?;
    stage.check(&code, false).await?;
    stage.refuse(dispensing(story, &dose), &["DOSE_VIABILITY_LOW"]).await?;
    let rejected = Event::DoseRejected(pb::DoseRejected {
        dose_id: dose.id.to_vec(),
        reason: "viability after thawing below the specification".to_owned(),
    });
    let step = Step::new("the dose rejected", rejected).by(&["pha1"]).on(Subject, subject).on(Lot, story.lot);
    stage.accept(step).await?;
    Ok(())
}

/// A lot that fails a marker is rejected.
async fn failing_lot(stage: &mut Stage, lot: &mut Story) -> Result<(), DemoError> {
    manufacture(stage, lot, THIRD_BEGINS).await?;
    let samples = sample(stage, lot).await?;
    stage.at(35, 10, 0).await?;
    for mut demo in tests_of(pb::ReleaseStage::Conditional) {
        let fails = demo.test.code == "HLADR";
        if fails {
            demo.result.value = Some("3.4".to_owned());
        }
        test(stage, lot, &samples, demo, if fails { &["OUT_OF_SPECIFICATION"] } else { &[] }).await?;
    }
    dispose(stage, lot, pb::Disposition::Rejected, "lot rejected", "HLA-DR 3.4 % where at most 2 % is allowed").await
}

/// A lot released conditionally and given; then its sterility test turns positive at day 14.
async fn contaminated_lot(stage: &mut Stage, lot: &mut Story, subjects: u32) -> Result<(), DemoError> {
    manufacture(stage, lot, FOURTH_BEGINS).await?;
    let samples = sample(stage, lot).await?;
    conditional_release(stage, lot, &samples).await?;
    stage.at(36, 8, 0).await?;
    deliver(stage, lot, 0..16).await?;
    let mut shelf = Shelf::new(lot, 0..16);
    enrol_all(stage, &mut shelf, FROM_FOURTH, FOURTH_GIVEN, subjects).await?;
    let left = shelf.units;
    stage.chapter(&format!("Sterility of {} at day 14: growth", lot.lot_code()));
    stage.count_from(FOURTH_BEGINS);
    stage.at(42, 10, 0).await?;
    for mut demo in tests_of(pb::ReleaseStage::Final) {
        demo.result.kind = pb::ResultKind::Present.into();
        test(stage, lot, &samples, demo, &["OUT_OF_SPECIFICATION", "POSITIVE_AFTER_RELEASE"]).await?;
    }
    take_back(stage, lot, left).await?;
    let closing = stage.trace_forward(&lot.lot_code()).await?;
    stage.at(42, 15, 0).await?;
    let words = format!("recall closed: {} units, doses and subjects", closing.affected_count());
    stage.accept(Step::new(&words, Event::RecallClosed(closing)).by(&["qa", "qp"]).on(Lot, lot.lot)).await?;
    Ok(())
}

/// What of a recalled lot nobody was given goes back with the courier, and is destroyed.
async fn take_back(stage: &mut Stage, lot: &Story, left: std::ops::Range<usize>) -> Result<(), DemoError> {
    let unit_ids: Vec<Vec<u8>> = lot.units.get(left).unwrap_or_default().iter().map(|(_, id)| id.to_vec()).collect();
    if unit_ids.is_empty() {
        return Ok(());
    }
    let returned = Event::UnitsReturned(pb::UnitsReturned {
        unit_ids: unit_ids.clone(),
        purpose: pb::ReturnPurpose::Destruction.into(),
        reason: "recalled".to_owned(),
        condition: "frozen".to_owned(),
    });
    let words = format!("{} units that nobody was given go back with the courier", unit_ids.len());
    stage.accept(Step::new(&words, returned).by(&["pha1", "cur"]).on(Lot, lot.lot)).await?;
    stage.minutes(240).await?;
    let method = "autoclaved".to_owned();
    let destroyed = Event::UnitsDestroyed(pb::UnitsDestroyed { unit_ids, reason: "recalled".to_owned(), method });
    stage.accept(Step::new("and are destroyed by two operators", destroyed).by(&["op1", "op2/VF"]).on(Lot, lot.lot)).await?;
    Ok(())
}

/// What is heard of a subject's life later, put into the calendar.
fn follow_up(stage: &mut Stage, story: &Story, slot: u32, subject: [u8; 16], day: i64) {
    let arm_of = |n: usize| story.slots.get(n).map(|s| s.arm);
    let arm = arm_of(slot as usize);
    let before = (0..slot as usize).filter(|n| arm_of(*n) == arm).count();
    let deaths = if arm == Some(CELLS) { DEATHS_WITH_CELLS } else { DEATHS_WITHOUT };
    let death = deaths.get(before).copied().flatten();
    stage.count_from(0);
    for visit in endpoints::VISITS.into_iter().filter(|visit| death.is_none_or(|death| death > *visit)) {
        for step in endpoints::steps(slot, subject, visit, arm == Some(CELLS)) {
            let at = stage.instant(day + visit, 6, 30);
            stage.later(&at, step);
        }
    }
    let mut record = |days: i64, status: pb::VitalStatus, words: &str| {
        let at = stage.instant(day + days, 7, 0);
        let event = Event::VitalStatusRecorded(pb::VitalStatusRecorded { status: status.into() });
        let words = format!("{}, day {days}: {words}", subject_code(slot));
        stage.later(&at, Step::new(&words, event).by(&["inv"]).on(Subject, subject));
    };
    for days in FOLLOW_UP.into_iter().filter(|days| death.is_none_or(|death| death > *days)) {
        record(days, pb::VitalStatus::Alive, "alive");
    }
    if let Some(death) = death {
        record(death, pb::VitalStatus::Dead, "died");
    }
}
