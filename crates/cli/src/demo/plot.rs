//! What happens in the demo: a donor, a lot through P3, its release, its way to the hospital, three subjects; then the rest of the
//! trial, in `trial`.
//!
//! The trial is RuMCeSS (NCT01849237); donors, lots, subjects and laboratory values are synthetic. Every step goes through the client
//! crate to a real server; what is refused here is refused by the ledger, not by the demo.

use marrowline_record::pb;
use marrowline_record::pb::StreamKind::{Donor, Equipment, Facility, Lot, Protocol, Specification};
use marrowline_record::pb::record::Event;

mod endpoints;
mod subjects;
mod trial;

use subjects::{LATE, ON_TIME, Treated, control, treat};

use super::DemoError;
use super::documents::{self, CELLS, STANDARD, Slot};
use super::stage::{Stage, Step};

/// Everything that the story names.
#[derive(Clone)]
pub struct Story {
    lab: [u8; 16],
    hospital: [u8; 16],
    protocol: [u8; 16],
    specification: [u8; 16],
    donor: [u8; 16],
    lot: [u8; 16],
    /// What tells this lot from the others on paper.
    batch: Batch,
    units: Vec<(String, [u8; 16])>,
    slots: Vec<Slot>,
    /// What every step is done with.
    materials: pb::Materials,
}

/// A lot of the story.
#[derive(Clone, Copy)]
struct Batch {
    /// Number of the lot in its year: part of its code, its sample's and its units'.
    number: u32,
    donor_code: &'static str,
    din: &'static str,
    /// Cells seeded at the last passage and detached from it.
    last_passage: (u64, u64),
    units: u32,
}

const FIRST: Batch =
    Batch { number: 1, donor_code: "D-001", din: "G123498654321H", last_passage: (150_000_000, 640_000_000), units: 12 };

impl Batch {
    /// Cells seeded at each passage and detached from it.
    fn passages(&self) -> [(u64, u64); 4] {
        [(40_000_000, 12_000_000), (10_000_000, 82_000_000), (60_000_000, 300_000_000), self.last_passage]
    }
}

/// Cells of each unit.
const CELLS_PER_UNIT: u64 = 50_000_000;

/// Plays the story with this many subjects; three is the fewest.
pub async fn play(stage: &mut Stage, subjects: u32) -> Result<(), DemoError> {
    let mut story = Story {
        lab: stage.lab(),
        hospital: stage.hospital(),
        protocol: stage.new_id(),
        specification: stage.new_id(),
        donor: stage.new_id(),
        lot: stage.new_id(),
        batch: FIRST,
        units: Vec::new(),
        slots: randomisation_list(stage)?,
        materials: pb::Materials::default(),
    };
    publish(stage, &story).await?;
    supply(stage, &mut story).await?;
    stage.chapter("The donor (synthetic)");
    donate(stage, &story).await?;
    collect(stage, &story).await?;
    expand(stage, &mut story).await?;
    let samples = sample(stage, &story).await?;
    conditional_release(stage, &story, &samples).await?;
    final_release(stage, &story, &samples).await?;
    stage.chapter("Custody: from the laboratory to the hospital");
    stage.at(43, 8, 0).await?;
    deliver(stage, &story, 0..6).await?;
    let on_time = treat(stage, &story, &ON_TIME).await?;
    let late = treat(stage, &story, &LATE).await?;
    let standard = control(stage, &story).await?;
    show(stage, &on_time, &late).await?;
    if subjects > 3 {
        trial::play(stage, &story, subjects, [on_time.subject, late.subject, standard]).await?;
    }
    stage.chapter("The report of the trial");
    stage.report(documents::REGISTRATION).await
}

/// Medium and serum arrive and are released; the safety cabinet is calibrated.
async fn supply(stage: &mut Stage, story: &mut Story) -> Result<(), DemoError> {
    stage.chapter("Reagents and equipment");
    for (name, supplier_lot_code) in [("alpha-MEM", "M-2251"), ("human platelet lysate", "PL-0087")] {
        let id = stage.new_id();
        let received = Event::ReagentReceived(pb::ReagentReceived {
            reagent_lot_id: id.to_vec(),
            name: name.to_owned(),
            supplier: "synthetic".to_owned(),
            supplier_lot_code: supplier_lot_code.to_owned(),
            expires_at: Some(stage.instant(400, 0, 0)),
            certificate_digest: stage.document(supplier_lot_code),
        });
        let words = format!("{name} {supplier_lot_code} received");
        stage.accept(Step::new(&words, received).by(&["op1"]).on(Facility, story.lab)).await?;
        let released = Event::ReagentReleased(pb::ReagentReleased { reagent_lot_id: id.to_vec() });
        stage.accept(Step::new(&format!("{name} released"), released).by(&["qa"]).on(Facility, story.lab)).await?;
        story.materials.reagent_lot_ids.push(id.to_vec());
    }
    let cabinet = stage.new_id();
    let status = Event::EquipmentStatusRecorded(pb::EquipmentStatusRecorded {
        code: "CAB-1".to_owned(),
        name: "safety cabinet".to_owned(),
        status: pb::EquipmentStatus::InService.into(),
        calibration_due: Some(stage.instant(365, 0, 0)),
    });
    stage.accept(Step::new("safety cabinet in service", status).by(&["op1"]).on(Equipment, cabinet)).await?;
    story.materials.equipment_ids.push(cabinet.to_vec());
    Ok(())
}

fn randomisation_list(stage: &mut Stage) -> Result<Vec<Slot>, DemoError> {
    let mut slots = Vec::with_capacity(30);
    for number in 0..30u32 {
        // The story needs cells, cells, standard; the rest keeps the trial's fifteen to fifteen.
        let arm = match number {
            0 | 1 => CELLS,
            2 => STANDARD,
            n if n % 2 == 0 => CELLS,
            _ => STANDARD,
        };
        slots.push(Slot { arm, salt: stage.random_32()? });
    }
    Ok(slots)
}

fn slot_hashes(slots: &[Slot]) -> Vec<marrowline_merkle::Hash> {
    (0u32..).zip(slots).map(|(n, slot)| marrowline_merkle::leaf_hash(&documents::slot_data(n, slot))).collect()
}

async fn publish(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    stage.chapter("The trial and the product are data");
    stage.at(0, 9, 30).await?;
    let root = marrowline_merkle::root_of(&slot_hashes(&story.slots));
    let slots = u32::try_from(story.slots.len()).unwrap_or(0);
    let protocol = documents::protocol(slots, root);
    stage
        .accept(
            Step::new("protocol of RuMCeSS published", Event::ProtocolPublished(protocol))
                .by(&["qa@hospital", "inv"])
                .on(Protocol, story.protocol),
        )
        .await?;
    stage
        .accept(
            Step::new("specification of the product published", Event::SpecificationPublished(documents::specification()))
                .by(&["qa", "qp"])
                .on(Specification, story.specification),
        )
        .await?;
    Ok(())
}

async fn donate(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    consent_of_donor(stage, story).await?;
    let on_donor = |words: &str, event| Step::new(words, event).on(Donor, story.donor);
    stage.at(1, 11, 0).await?;
    for (code, name) in documents::DONOR_PANEL {
        donor_test(stage, story, (code, name), pb::ResultKind::Absent).await?;
    }
    let eligible = Event::DonorEligibilityDetermined(pb::DonorEligibilityDetermined {
        eligibility: pb::Eligibility::Eligible.into(),
        specification: Some(version_1(story.specification)),
        reason: "complete panel, reviewed, non-reactive".to_owned(),
    });
    stage.accept(on_donor("donor eligible", eligible).by(&["phy", "qa"])).await?;
    Ok(())
}

async fn consent_of_donor(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    stage.at(0, 10, 0).await?;
    let on_donor = |words: &str, event| Step::new(words, event).on(Donor, story.donor);
    let code = story.batch.donor_code;
    let registered = Event::DonorRegistered(pb::DonorRegistered { donor_code: code.to_owned(), birth_year: 1994 });
    stage.accept(on_donor("donor registered", registered).by(&["phy"])).await?;
    let consented = Event::DonorConsented(pb::DonorConsented {
        consent_version: "DC-2".to_owned(),
        scope: vec![pb::DonorConsentScope::ClinicalUse.into()],
        document_digest: stage.document(&format!("donor consent {code}")),
        withdrawal_effect: pb::WithdrawalEffect::KeepUnits.into(),
    });
    stage.accept(on_donor("donor consented", consented).by(&["phy"])).await?;
    Ok(())
}

/// One test of the donor, reported and reviewed.
async fn donor_test(
    stage: &mut Stage,
    story: &Story,
    (code, name): (&str, &str),
    result: pb::ResultKind,
) -> Result<(), DemoError> {
    let on_donor = |words: &str, event| Step::new(words, event).on(Donor, story.donor);
    let reported = Event::DonorTestReported(pb::DonorTestReported {
        test_code: code.to_owned(),
        method: "screening".to_owned(),
        sampled_at: Some(stage.instant(0, 10, 30)),
        result: Some(pb::TestResult { kind: result.into(), ..Default::default() }),
    });
    let (found, flags): (_, &[&str]) = match result {
        pb::ResultKind::Present => ("REACTIVE", &["DONOR_TEST_OUT_OF_REQUIREMENT"]),
        _ => ("non-reactive", &[]),
    };
    let id = stage.flagged(on_donor(&format!("{name}: {found}"), reported).by(&["qc"]), flags).await?;
    let reviewed = Event::DonorTestReviewed(pb::DonorTestReviewed {
        reported_record_id: id.to_vec(),
        decision: pb::ReviewDecision::Accepted.into(),
    });
    stage.accept(on_donor(&format!("{code} reviewed"), reviewed).by(&["qr"])).await?;
    Ok(())
}

async fn collect(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    stage.at(2, 8, 30).await?;
    let collected = Event::MarrowCollected(pb::MarrowCollected {
        din: story.batch.din.to_owned(),
        aspirate_microlitres: Some(40_000),
        site: "posterior iliac crest".to_owned(),
        anticoagulant: "heparin".to_owned(),
        chain_of_identity: None,
    });
    stage.accept(Step::new("bone marrow collected, 40 mL", collected).by(&["col"]).on(Donor, story.donor)).await?;
    Ok(())
}

async fn expand(stage: &mut Stage, story: &mut Story) -> Result<(), DemoError> {
    stage.chapter(&format!("Lot {}, from the marrow to passage 3", story.lot_code()));
    stage.at(2, 11, 0).await?;
    let opened = Event::LotOpened(pb::LotOpened {
        lot_code: story.lot_code(),
        specification: Some(version_1(story.specification)),
        din: story.batch.din.to_owned(),
    });
    stage.accept(Step::new("lot opened", opened).by(&["op1", "op2/VF"]).on(Lot, story.lot).on(Donor, story.donor)).await?;
    let isolated = Event::MncIsolated(pb::MncIsolated {
        materials: Some(story.materials.clone()),
        din: story.batch.din.to_owned(),
        aspirate: Some(pb::VolumeBalance {
            microlitres_in: 40_000,
            microlitres_out: Some(38_500),
            microlitres_sampled: Some(1_000),
            microlitres_discarded: Some(0),
            microlitres_unaccounted: Some(500),
        }),
        total_cells: Some(52_000_000),
        viability_basis_points: Some(9_410),
    });
    stage.accept(step_on_lot(story, "mononuclear cells isolated", isolated)).await?;
    let last = passages(stage, story).await?;
    fill(stage, story, last).await
}

fn step_on_lot(story: &Story, words: &str, event: Event) -> Step {
    Step::new(words, event).by(&["op1", "op2/VF"]).on(Lot, story.lot)
}

/// Seeds P0, passages to P3, harvests; returns the harvest.
async fn passages(stage: &mut Stage, story: &Story) -> Result<[u8; 16], DemoError> {
    let mut culture = stage.new_id();
    let [(seeded_at_p0, _), .., last] = story.batch.passages();
    let seeded = Event::CultureSeeded(pb::CultureSeeded {
        materials: Some(story.materials.clone()),
        culture_id: culture.to_vec(),
        vessels: vec![vessel("T175-1", 17_500), vessel("T175-2", 17_500)],
        cells: Some(balance(52_000_000, seeded_at_p0, 11_500_000, 0)),
    });
    stage.accept(step_on_lot(story, "passage 0 seeded", seeded)).await?;
    for (number, day) in (1u32..).zip([12, 17, 22]) {
        let passages = story.batch.passages();
        let (Some(parent), Some(next)) = (passages.get(number as usize - 1), passages.get(number as usize)) else {
            break;
        };
        stage.at(day, 10, 0).await?;
        let child = stage.new_id();
        let passaged = Event::Passaged(pb::Passaged {
            materials: Some(story.materials.clone()),
            parent_culture_id: culture.to_vec(),
            culture_id: child.to_vec(),
            passage: number,
            confluence_basis_points: Some(8_200),
            viability_basis_points: Some(9_500),
            cells: Some(balance(parent.1, next.0, parent.1 - next.0 - parent.1 / 100, 0)),
            vessels: vec![vessel("CF-1", 632_000), vessel("CF-2", 632_000)],
            milli_doublings: doublings(number - 1, parent),
        });
        stage.accept(step_on_lot(story, &format!("passage {number}"), passaged)).await?;
        culture = child;
    }
    stage.at(27, 9, 0).await?;
    let harvest = stage.new_id();
    let harvested = Event::Harvested(pb::Harvested {
        materials: Some(story.materials.clone()),
        parent_culture_id: culture.to_vec(),
        harvest_id: harvest.to_vec(),
        confluence_basis_points: Some(8_600),
        viability_basis_points: Some(9_600),
        cells: Some(balance(last.1, last.1 - 10_000_000, 0, 8_000_000)),
        milli_doublings: doublings(3, &last),
    });
    stage.accept(step_on_lot(story, "harvested at passage 3", harvested)).await?;
    Ok(harvest)
}

/// log2(detached / seeded) in thousandths, from passage 1 on; passage 0 seeds mononuclear cells and has none.
fn doublings(passage: u32, (seeded, detached): &(u64, u64)) -> Option<i32> {
    if passage == 0 {
        return None;
    }
    marrowline_record::milli::log2_milli(*detached, *seeded)
}

/// A closed balance: what is neither passed on, discarded nor sampled is unaccounted, and signed as such.
fn balance(cells_in: u64, cells_out: u64, discarded: u64, sampled: u64) -> pb::CellBalance {
    let unaccounted = i128::from(cells_in) - i128::from(cells_out) - i128::from(discarded) - i128::from(sampled);
    pb::CellBalance {
        cells_in: Some(cells_in),
        cells_out: Some(cells_out),
        cells_sampled: Some(sampled),
        cells_discarded: Some(discarded),
        cells_unaccounted: Some(i64::try_from(unaccounted).unwrap_or(0)),
    }
}

fn vessel(code: &str, area_square_millimetres: u64) -> pb::Vessel {
    pb::Vessel { code: code.to_owned(), area_square_millimetres }
}

async fn fill(stage: &mut Stage, story: &mut Story, harvest: [u8; 16]) -> Result<(), DemoError> {
    stage.at(27, 11, 0).await?;
    let batch = story.batch;
    for number in 1..=batch.units {
        let digits = format!("26{:02}0{number:02}", batch.number);
        let check = marrowline_record::din::digit_check(&digits).unwrap_or('0');
        story.units.push((format!("{digits}{check}"), stage.new_id()));
    }
    let filled = Event::UnitsFilled(pb::UnitsFilled {
        materials: Some(story.materials.clone()),
        harvest_id: harvest.to_vec(),
        units: story
            .units
            .iter()
            .map(|(code, id)| pb::FilledUnit {
                unit_id: id.to_vec(),
                unit_code: code.clone(),
                total_cells: CELLS_PER_UNIT,
                volume_microlitres: 10_000,
                single_european_code: None,
            })
            .collect(),
        containers_taken: batch.units + 2,
        containers_broken: Some(1),
        containers_returned: Some(1),
        cells: Some(balance(batch.last_passage.1 - 10_000_000, u64::from(batch.units) * CELLS_PER_UNIT, 0, 18_000_000)),
        viability_basis_points: Some(9_420),
        dmso_basis_points: Some(1_000),
        freezer_run: format!("CRF-04{:02}", 11 + batch.number),
    });
    let words = format!("{} units of 50 million cells filled and frozen", batch.units);
    stage.accept(step_on_lot(story, &words, filled)).await?;
    stage.at(27, 14, 0).await?;
    let moved = places(story.lab, story.rack(), &story.units);
    stage.accept(Step::new("units stored below -150 °C", moved).by(&["cry"]).on(Lot, story.lot)).await?;
    Ok(())
}

/// Each unit at the place that bears its code's last digits, so that no two lots meet in one.
fn places(facility: [u8; 16], rack: &str, units: &[(String, [u8; 16])]) -> Event {
    Event::UnitsMoved(pb::UnitsMoved {
        places: units
            .iter()
            .map(|(code, id)| pb::UnitPlace {
                unit_id: id.to_vec(),
                location: Some(pb::Location {
                    facility_id: facility.to_vec(),
                    rack: rack.to_owned(),
                    position: code.chars().skip(2).take(5).collect(),
                    equipment_id: None,
                }),
            })
            .collect(),
    })
}

impl Story {
    fn lot_code(&self) -> String {
        format!("L-2026-{:02}", self.batch.number)
    }

    fn rack(&self) -> &'static str {
        if self.batch.number.is_multiple_of(2) { "LN2-B" } else { "LN2-A" }
    }
}

/// A sample and when its sterility tests were inoculated.
struct Samples {
    sample: [u8; 16],
    inoculated: pb::Instant,
}

async fn sample(stage: &mut Stage, story: &Story) -> Result<Samples, DemoError> {
    stage.chapter(&format!("Release testing of {}", story.lot_code()));
    stage.at(27, 15, 0).await?;
    let sample = stage.new_id();
    let taken = Event::SampleTaken(pb::SampleTaken {
        sample_id: sample.to_vec(),
        sample_code: format!("S-2026-{:02}", story.batch.number),
        source: pb::SampleSource::Unit.into(),
        source_id: story.units.last().map(|(_, id)| id.to_vec()),
    });
    stage.accept(Step::new("one unit taken for testing", taken).by(&["op1"]).on(Lot, story.lot)).await?;
    Ok(Samples { sample, inoculated: stage.instant(27, 16, 0) })
}

/// The tests of a stage.
fn tests_of(stage: pb::ReleaseStage) -> impl Iterator<Item = documents::DemoTest> {
    documents::lot_tests().into_iter().filter(move |t| t.test.stage() == stage)
}

async fn conditional_release(stage: &mut Stage, story: &Story, samples: &Samples) -> Result<(), DemoError> {
    stage.at(35, 10, 0).await?;
    for demo in tests_of(pb::ReleaseStage::Conditional) {
        test(stage, story, samples, demo, &[]).await?;
    }
    dispose(stage, story, pb::Disposition::Conditional, "conditional release", TESTED).await
}

async fn final_release(stage: &mut Stage, story: &Story, samples: &Samples) -> Result<(), DemoError> {
    stage.at(42, 10, 0).await?;
    for demo in tests_of(pb::ReleaseStage::Final) {
        test(stage, story, samples, demo, &[]).await?;
    }
    dispose(stage, story, pb::Disposition::Final, "final release", TESTED).await
}

const TESTED: &str = "every test of this stage reviewed and passed";

async fn test(
    stage: &mut Stage,
    story: &Story,
    samples: &Samples,
    demo: documents::DemoTest,
    flags: &[&str],
) -> Result<(), DemoError> {
    let Samples { sample, inoculated } = *samples;
    let words = format!("{}: {}", demo.test.code, in_words(&demo.result));
    let incubated = demo.test.min_incubation_seconds;
    let reported = Event::TestResultReported(pb::TestResultReported {
        sample_id: sample.to_vec(),
        test_code: demo.test.code.clone(),
        method: demo.test.method,
        result: Some(demo.result),
        inoculated_at: incubated.map(|_| inoculated),
        read_at: incubated.map(|seconds| pb::Instant {
            unix_ms: inoculated.unix_ms + i64::from(seconds) * 1_000,
            offset_minutes: inoculated.offset_minutes,
        }),
        evidence_digest: Some(stage.document(&demo.test.code)),
    });
    let id = stage.flagged(Step::new(&words, reported).by(&["qc"]).on(Lot, story.lot), flags).await?;
    let reviewed = Event::TestResultReviewed(pb::TestResultReviewed {
        reported_record_id: id.to_vec(),
        decision: pb::ReviewDecision::Accepted.into(),
    });
    let words = format!("{} reviewed", demo.test.code);
    stage.accept(Step::new(&words, reviewed).by(&["qr"]).on(Lot, story.lot)).await?;
    Ok(())
}

fn in_words(result: &pb::TestResult) -> String {
    match result.kind() {
        pb::ResultKind::Absent => "absent".to_owned(),
        pb::ResultKind::Present => "PRESENT".to_owned(),
        pb::ResultKind::Invalid | pb::ResultKind::Unspecified => "invalid".to_owned(),
        pb::ResultKind::Quantitative => {
            format!("{} {}", result.value.as_deref().unwrap_or("?"), result.unit_ucum.as_deref().unwrap_or("?"))
        }
    }
}

async fn dispose(
    stage: &mut Stage,
    story: &Story,
    disposition: pb::Disposition,
    words: &str,
    reason: &str,
) -> Result<(), DemoError> {
    let decided = Event::LotDispositionDecided(pb::LotDispositionDecided {
        disposition: disposition.into(),
        waivers: Vec::new(),
        reason: reason.to_owned(),
    });
    stage.accept(Step::new(words, decided).by(&["qa", "qp"]).on(Lot, story.lot)).await?;
    Ok(())
}

/// Hands these units of the lot to the hospital, where they are stored four hours later.
async fn deliver(stage: &mut Stage, story: &Story, which: std::ops::Range<usize>) -> Result<(), DemoError> {
    let travelling = story.units.get(which).unwrap_or_default();
    let ids: Vec<Vec<u8>> = travelling.iter().map(|(_, id)| id.to_vec()).collect();
    let transfer = stage.new_id();
    let seal = format!("SEAL-77{:02}{:02}", story.batch.number, travelling.len());
    let relinquished = Event::CustodyRelinquished(pb::CustodyRelinquished {
        transfer_id: transfer.to_vec(),
        unit_ids: ids.clone(),
        to_facility_id: story.hospital.to_vec(),
        seal: seal.clone(),
        shipper: "DRY-SHIPPER-3".to_owned(),
        condition: "frozen, dry shipper charged".to_owned(),
    });
    let count = travelling.len();
    stage.accept(Step::new(&format!("{count} units handed over"), relinquished).by(&["cry"]).on(Lot, story.lot)).await?;
    stage.minutes(240).await?;
    let accepted = Event::CustodyAccepted(pb::CustodyAccepted {
        transfer_id: transfer.to_vec(),
        unit_ids: ids,
        seal,
        seal_intact: true,
        condition: "frozen".to_owned(),
    });
    let words = format!("{count} units taken over, seal whole");
    stage.accept(Step::new(&words, accepted).by(&["cryh"]).on(Lot, story.lot)).await?;
    let moved = places(story.hospital, "H-LN2", travelling);
    stage.accept(Step::new("units stored at the hospital", moved).by(&["cryh"]).on(Lot, story.lot)).await?;
    Ok(())
}

async fn show(stage: &mut Stage, on_time: &Treated, late: &Treated) -> Result<(), DemoError> {
    stage.chapter("The chain of the dose, back to its donor");
    stage.trace_back(&on_time.dose_code).await?;
    stage.chapter("The same question after the infusion: no dose is released twice");
    stage.check(&on_time.dose_code, false).await?;
    stage.check(&late.dose_code, false).await
}

fn version_1(id: [u8; 16]) -> pb::VersionRef {
    pb::VersionRef { id: id.to_vec(), version: 1 }
}
