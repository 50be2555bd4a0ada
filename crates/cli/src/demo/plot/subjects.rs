//! The subjects of the demo: two of the cell arm, one of the standard arm.

use marrowline_record::pb;
use marrowline_record::pb::StreamKind::{Lot, Protocol, Subject};
use marrowline_record::pb::record::Event;

use super::super::DemoError;
use super::super::stage::{Stage, Step};
use super::{Story, endpoints, slot_hashes, version_1};

/// One subject of the cell arm.
pub(super) struct Case {
    pub(super) slot: u32,
    pub(super) day: i64,
    pub(super) weight_grams: u32,
    /// Places of the units in their lot.
    pub(super) units: [usize; 2],
    /// Cells that each unit contributes.
    pub(super) contribution: u64,
    pub(super) viability_basis_points: u32,
    pub(super) infused_at: (i64, i64),
    /// Target of an order that the ledger must refuse.
    pub(super) refused_target: Option<u64>,
    pub(super) flags: &'static [&'static str],
}

impl Case {
    pub(super) fn code(&self) -> String {
        subject_code(self.slot)
    }

    /// Code on the label of a dose: 7, the subject's number, the dose's, and their check digit.
    pub(super) fn dose_code(&self, number: u32) -> String {
        let digits = format!("7{:02}{number:02}", self.slot + 1);
        let check = marrowline_record::din::digit_check(&digits).unwrap_or('0');
        format!("{digits}{check}")
    }
}

/// Code of the subject that was given this slot.
pub(super) fn subject_code(slot: u32) -> String {
    format!("R-{:02}", slot + 1)
}

pub(super) const ON_TIME: Case = Case {
    slot: 0,
    day: 44,
    weight_grams: 70_000,
    units: [0, 1],
    contribution: 40_000_000,
    viability_basis_points: 8_750,
    infused_at: (13, 0),
    refused_target: Some(2_100_000),
    flags: &[],
};

pub(super) const LATE: Case = Case {
    slot: 1,
    day: 46,
    weight_grams: 60_000,
    units: [2, 3],
    contribution: 37_500_000,
    viability_basis_points: 8_000,
    infused_at: (18, 10),
    refused_target: None,
    flags: &["INFUSION_LATE"],
};

/// What a treated subject leaves for the questions at the end.
pub(super) struct Treated {
    pub(super) subject: [u8; 16],
    pub(super) dose_code: String,
}

pub(super) async fn enrol(stage: &mut Stage, story: &Story, slot: u32, day: i64) -> Result<[u8; 16], DemoError> {
    let code = subject_code(slot);
    stage.at(day, 8, 30).await?;
    let subject = stage.new_id();
    let on = |words: &str, event| Step::new(words, event).on(Subject, subject);
    let consented = Event::SubjectConsented(pb::SubjectConsented {
        subject_code: code.clone(),
        protocol: Some(version_1(story.protocol)),
        kind: pb::ConsentKind::Self_.into(),
        consent_version: "IC-3".to_owned(),
        document_digest: stage.document(&code),
        age_years: Some(41),
        birth_year: 1984,
        deferred_until: None,
    });
    stage.accept(on(&format!("subject {code} consented"), consented).by(&["inv"])).await?;
    let screened = Event::SubjectScreened(pb::SubjectScreened {
        counts: vec![pb::BloodCount { analyte: pb::CountAnalyte::Leucocytes.into(), cells_per_microlitre: Some(400) }],
        exclusions_present: Vec::new(),
        onset_at: Some(stage.instant(day, 8, 0)),
        stated_verdict: pb::ScreeningVerdict::Eligible.into(),
    });
    stage.accept(on("screened: septic shock since 08:00, leucocytes 400 per µL", screened).by(&["inv"])).await?;
    let revealed = story.slots.get(slot as usize);
    let proof = proof_of(&slot_hashes(&story.slots), slot as usize);
    let randomised = Event::SubjectRandomised(pb::SubjectRandomised {
        slot: Some(slot),
        arm: revealed.map_or(0, |s| s.arm),
        salt: revealed.map_or_else(Vec::new, |s| s.salt.to_vec()),
        inclusion_proof: proof,
    });
    stage.accept(on("randomised: next slot of the committed list", randomised).by(&["rnd"]).on(Protocol, story.protocol)).await?;
    endpoints::baseline(stage, slot, subject).await?;
    Ok(subject)
}

/// RFC 9162 inclusion proof, by the definition.
fn proof_of(hashes: &[marrowline_merkle::Hash], index: usize) -> Vec<Vec<u8>> {
    if hashes.len() <= 1 {
        return Vec::new();
    }
    let middle = hashes.len().next_power_of_two() / 2;
    let (left, right) = hashes.split_at(middle);
    let (mut proof, sibling) = if index < middle {
        (proof_of(left, index), marrowline_merkle::root_of(right))
    } else {
        (proof_of(right, index - middle), marrowline_merkle::root_of(left))
    };
    proof.push(sibling.to_vec());
    proof
}

pub(super) async fn treat(stage: &mut Stage, story: &Story, case: &Case) -> Result<Treated, DemoError> {
    stage.chapter(&format!("Subject {} (synthetic), cell arm", case.code()));
    let subject = enrol(stage, story, case.slot, case.day).await?;
    stage.at(case.day, 9, 0).await?;
    let weighing = weigh(stage, subject, case.weight_grams).await?;
    if let Some(target) = case.refused_target {
        let id = stage.new_id();
        let words = format!("dose of {}.{} million per kg ordered", target / 1_000_000, target / 100_000 % 10);
        let step = Step::new(&words, order(target, id, weighing)).by(&["inv"]).on(Subject, subject);
        stage.refuse(step, &["TARGET_OUTSIDE_BAND"]).await?;
    }
    let order_id = order_million_per_kg(stage, subject, weighing).await?;
    allocate(stage, story, case, subject, order_id).await?;
    let (hour, minute) = case.infused_at;
    stage.at(case.day, hour - 1, minute).await?;
    let mut dose = prepare(stage, story, case, (subject, order_id), &case.dose_code(1), [&[], &[]]).await?;
    infuse(stage, story, case, &mut dose).await?;
    Ok(Treated { subject, dose_code: dose.code })
}

/// A dose on its way.
pub(super) struct Made {
    pub(super) id: [u8; 16],
    pub(super) code: String,
    pub(super) subject: [u8; 16],
}

pub(super) async fn weigh(stage: &mut Stage, subject: [u8; 16], weight_grams: u32) -> Result<[u8; 16], DemoError> {
    let weighed = Event::SubjectWeighed(pb::SubjectWeighed { weight_grams, method: pb::WeighingMethod::Measured.into() });
    let words = format!("weighed: {} kg", weight_grams / 1_000);
    stage.accept(Step::new(&words, weighed).by(&["rn1"]).on(Subject, subject)).await
}

pub(super) fn order(target: u64, id: [u8; 16], weighing: [u8; 16]) -> Event {
    Event::DoseOrdered(pb::DoseOrdered {
        order_id: id.to_vec(),
        target_viable_cells_per_kg: target,
        weighing_record_id: weighing.to_vec(),
        planned_duration_seconds: 3_600,
    })
}

pub(super) async fn order_million_per_kg(
    stage: &mut Stage,
    subject: [u8; 16],
    weighing: [u8; 16],
) -> Result<[u8; 16], DemoError> {
    let id = stage.new_id();
    let step = Step::new("dose of 1 million per kg ordered", order(1_000_000, id, weighing)).by(&["inv"]).on(Subject, subject);
    stage.accept(step).await?;
    Ok(id)
}

fn units_of(story: &Story, case: &Case) -> Vec<Vec<u8>> {
    case.units.iter().filter_map(|n| story.units.get(*n)).map(|(_, id)| id.to_vec()).collect()
}

fn both(story: &Story, subject: [u8; 16], words: &str, event: Event) -> Step {
    Step::new(words, event).on(Subject, subject).on(Lot, story.lot)
}

pub(super) fn allocation(story: &Story, case: &Case, subject: [u8; 16], order_id: [u8; 16]) -> Step {
    let unit_ids = units_of(story, case);
    let allocated = Event::UnitsAllocated(pb::UnitsAllocated { order_id: order_id.to_vec(), unit_ids });
    both(story, subject, "2 units allocated", allocated).by(&["pha1", "pha2"])
}

pub(super) async fn allocate(
    stage: &mut Stage,
    story: &Story,
    case: &Case,
    subject: [u8; 16],
    order_id: [u8; 16],
) -> Result<(), DemoError> {
    stage.accept(allocation(story, case, subject, order_id)).await?;
    Ok(())
}

/// Thaws the units and prepares a dose of them; `flags` are those of the thaw and of the preparation.
pub(super) async fn prepare(
    stage: &mut Stage,
    story: &Story,
    case: &Case,
    (subject, order_id): ([u8; 16], [u8; 16]),
    code: &str,
    flags: [&[&str]; 2],
) -> Result<Made, DemoError> {
    let units = units_of(story, case);
    let ordered = Event::ThawOrdered(pb::ThawOrdered {
        purpose: pb::ThawPurpose::Patient.into(),
        unit_ids: units.clone(),
        order_id: Some(order_id.to_vec()),
    });
    stage.accept(Step::new("thaw ordered", ordered).by(&["pha1"]).on(Lot, story.lot)).await?;
    let thawed_at = stage.now();
    let thawed_unit = |id: &Vec<u8>| pb::ThawedUnit {
        unit_id: id.clone(),
        total_cells: Some(48_000_000),
        viability_basis_points: Some(case.viability_basis_points),
    };
    let thawed = Event::UnitsThawed(pb::UnitsThawed { units: units.iter().map(thawed_unit).collect() });
    let [of_thaw, of_preparation] = flags;
    let step = Step::new("thawed; the 2 h window runs", thawed).by(&["oph1", "oph2/VF"]).on(Lot, story.lot);
    stage.flagged(step, of_thaw).await?;
    stage.minutes(20).await?;
    let id = stage.new_id();
    let prepared = Event::DosePrepared(pb::DosePrepared {
        dose_id: id.to_vec(),
        dose_code: code.to_owned(),
        order_id: order_id.to_vec(),
        contributions: units
            .iter()
            .map(|id| pb::Contribution { unit_id: id.clone(), total_cells: case.contribution, volume_microlitres: 8_000 })
            .collect(),
        total_cells: case.contribution * 2,
        viability_basis_points: Some(case.viability_basis_points),
        diluent: "saline with 5 % human albumin".to_owned(),
        volume_microlitres: 50_000,
        dmso_milligrams: Some(1_760),
        expires_at: Some(pb::Instant { unix_ms: thawed_at.unix_ms + 7_200_000, offset_minutes: thawed_at.offset_minutes }),
        chain_of_identity: None,
    });
    let step = both(story, subject, "dose prepared: 1 million viable cells per kg", prepared).by(&["pha2", "pha1/VF"]);
    stage.flagged(step, of_preparation).await?;
    Ok(Made { id, code: code.to_owned(), subject })
}

pub(super) fn dispensing(story: &Story, dose: &Made) -> Step {
    let dispensed = Event::DoseDispensed(pb::DoseDispensed { dose_id: dose.id.to_vec() });
    both(story, dose.subject, "dose dispensed to the ward", dispensed).by(&["pha3"])
}

/// From the pharmacy's question to the end of the infusion.
pub(super) async fn infuse(stage: &mut Stage, story: &Story, case: &Case, made: &mut Made) -> Result<(), DemoError> {
    let (hour, minute) = case.infused_at;
    let dose = made.id.to_vec();
    stage.check(&made.code, true).await?;
    stage.accept(dispensing(story, made)).await?;
    let checked = Event::BedsideChecked(pb::BedsideChecked { dose_id: dose.clone(), result: pb::BedsideResult::Matched.into() });
    let words = "bedside check: wristband, label and order agree";
    stage.accept(Step::new(words, checked).by(&["rn1", "rn2"]).on(Subject, made.subject)).await?;
    stage.at(case.day, hour, minute).await?;
    let started = Event::InfusionStarted(pb::InfusionStarted { dose_id: dose.clone() });
    let step = both(story, made.subject, "infusion started", started).by(&["rn1", "rn2"]);
    stage.flagged(step, case.flags).await?;
    stage.minutes(60).await?;
    let ended = Event::InfusionEnded(pb::InfusionEnded {
        dose_id: dose,
        infused: units_of(story, case)
            .into_iter()
            .map(|unit_id| pb::InfusedVolume { unit_id, volume_microlitres: Some(8_000) })
            .collect(),
        stopped_because: None,
    });
    stage.accept(both(story, made.subject, "infusion ended, all infused", ended).by(&["rn1", "rn2"])).await?;
    Ok(())
}

pub(super) async fn control(stage: &mut Stage, story: &Story) -> Result<[u8; 16], DemoError> {
    stage.chapter("Subject R-03 (synthetic), standard therapy: no cells");
    let subject = enrol(stage, story, 2, 48).await?;
    weigh(stage, subject, 65_000).await?;
    let order_id = stage.new_id();
    let allocated = Event::UnitsAllocated(pb::UnitsAllocated {
        order_id: order_id.to_vec(),
        unit_ids: story.units.get(4).map(|(_, id)| id.to_vec()).into_iter().collect(),
    });
    stage
        .refuse(
            Step::new("a unit allocated to the standard arm", allocated)
                .by(&["pha1", "pha2"])
                .on(Subject, subject)
                .on(Lot, story.lot),
            &["ARM_WITHOUT_CELLS"],
        )
        .await?;
    Ok(subject)
}
