//! What happens in the demo: one donor, one lot through P3, its release, its way to the hospital, three subjects.
//!
//! The trial is RuMCeSS (NCT01849237); donors, lots, subjects and laboratory values are synthetic. Every step goes through the client
//! crate to a real server; what is refused here is refused by the ledger, not by the demo.

use marrowline_record::pb;
use marrowline_record::pb::StreamKind::{Donor, Lot, Protocol, Specification};
use marrowline_record::pb::record::Event;

mod subjects;

use subjects::{LATE, ON_TIME, Treated, control, treat};

use super::DemoError;
use super::documents::{self, CELLS, STANDARD, Slot};
use super::stage::{Stage, Step};

/// Everything that the story names.
pub struct Story {
    lab: [u8; 16],
    hospital: [u8; 16],
    protocol: [u8; 16],
    specification: [u8; 16],
    donor: [u8; 16],
    lot: [u8; 16],
    units: Vec<(String, [u8; 16])>,
    slots: Vec<Slot>,
}

const DIN: &str = "G123498654321H";
const PASSAGES: &[(u64, u64, i32)] = &[
    // seeded at this passage, detached from it, cumulative remark for the reader
    (40_000_000, 12_000_000, 0),
    (10_000_000, 82_000_000, 3_036),
    (60_000_000, 300_000_000, 2_322),
    (150_000_000, 640_000_000, 2_093),
];

/// Plays the story.
pub async fn play(stage: &mut Stage) -> Result<(), DemoError> {
    let mut story = Story {
        lab: stage.lab(),
        hospital: stage.hospital(),
        protocol: stage.new_id(),
        specification: stage.new_id(),
        donor: stage.new_id(),
        lot: stage.new_id(),
        units: Vec::new(),
        slots: randomisation_list(stage)?,
    };
    publish(stage, &story).await?;
    donate(stage, &story).await?;
    expand(stage, &mut story).await?;
    release(stage, &story).await?;
    deliver(stage, &story).await?;
    let on_time = treat(stage, &story, &ON_TIME).await?;
    let late = treat(stage, &story, &LATE).await?;
    control(stage, &story).await?;
    show(stage, &on_time, &late).await
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
    stage.chapter("The donor (synthetic)");
    stage.at(0, 10, 0).await?;
    let on_donor = |words: &str, event| Step::new(words, event).on(Donor, story.donor);
    let registered = Event::DonorRegistered(pb::DonorRegistered { donor_code: "D-001".to_owned(), birth_year: 1994 });
    stage.accept(on_donor("donor registered", registered).by(&["phy"])).await?;
    let consented = Event::DonorConsented(pb::DonorConsented {
        consent_version: "DC-2".to_owned(),
        scope: vec![pb::DonorConsentScope::ClinicalUse.into()],
        document_digest: stage.document("donor consent D-001"),
        withdrawal_effect: pb::WithdrawalEffect::KeepUnits.into(),
    });
    stage.accept(on_donor("donor consented", consented).by(&["phy"])).await?;
    stage.at(1, 11, 0).await?;
    for (code, name) in documents::DONOR_PANEL {
        let reported = Event::DonorTestReported(pb::DonorTestReported {
            test_code: (*code).to_owned(),
            method: "screening".to_owned(),
            sampled_at: Some(stage.instant(0, 10, 30)),
            result: Some(pb::TestResult { kind: pb::ResultKind::Absent.into(), ..Default::default() }),
        });
        let id = stage.accept(on_donor(&format!("{name}: non-reactive"), reported).by(&["qc"])).await?;
        let reviewed = Event::DonorTestReviewed(pb::DonorTestReviewed {
            reported_record_id: id.to_vec(),
            decision: pb::ReviewDecision::Accepted.into(),
        });
        stage.accept(on_donor(&format!("{code} reviewed"), reviewed).by(&["qr"])).await?;
    }
    let eligible = Event::DonorEligibilityDetermined(pb::DonorEligibilityDetermined {
        eligibility: pb::Eligibility::Eligible.into(),
        specification: Some(version_1(story.specification)),
        reason: "complete panel, reviewed, non-reactive".to_owned(),
    });
    stage.accept(on_donor("donor eligible", eligible).by(&["phy", "qa"])).await?;
    stage.at(2, 8, 30).await?;
    let collected = Event::MarrowCollected(pb::MarrowCollected {
        din: DIN.to_owned(),
        aspirate_microlitres: Some(40_000),
        site: "posterior iliac crest".to_owned(),
        anticoagulant: "heparin".to_owned(),
    });
    stage.accept(on_donor("bone marrow collected, 40 mL", collected).by(&["col"])).await?;
    Ok(())
}

async fn expand(stage: &mut Stage, story: &mut Story) -> Result<(), DemoError> {
    stage.chapter("One lot, from the marrow to passage 3");
    stage.at(2, 11, 0).await?;
    let opened = Event::LotOpened(pb::LotOpened {
        lot_code: "L-2026-01".to_owned(),
        specification: Some(version_1(story.specification)),
        din: DIN.to_owned(),
    });
    stage.accept(Step::new("lot opened", opened).by(&["op1", "op2/VF"]).on(Lot, story.lot).on(Donor, story.donor)).await?;
    let isolated = Event::MncIsolated(pb::MncIsolated {
        din: DIN.to_owned(),
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
    let seeded_at_p0 = PASSAGES.first().map_or(0, |p| p.0);
    let seeded = Event::CultureSeeded(pb::CultureSeeded {
        culture_id: culture.to_vec(),
        vessels: vec![vessel("T175-1", 17_500), vessel("T175-2", 17_500)],
        cells: Some(balance(52_000_000, seeded_at_p0, 11_500_000, 0)),
    });
    stage.accept(step_on_lot(story, "passage 0 seeded", seeded)).await?;
    for (number, day) in (1u32..).zip([12, 17, 22]) {
        let (Some(parent), Some(next)) = (PASSAGES.get(number as usize - 1), PASSAGES.get(number as usize)) else {
            break;
        };
        stage.at(day, 10, 0).await?;
        let child = stage.new_id();
        let passaged = Event::Passaged(pb::Passaged {
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
    let Some(last) = PASSAGES.last() else {
        return Ok(harvest);
    };
    let harvested = Event::Harvested(pb::Harvested {
        parent_culture_id: culture.to_vec(),
        harvest_id: harvest.to_vec(),
        confluence_basis_points: Some(8_600),
        viability_basis_points: Some(9_600),
        cells: Some(balance(last.1, last.1 - 10_000_000, 0, 8_000_000)),
        milli_doublings: doublings(3, last),
    });
    stage.accept(step_on_lot(story, "harvested at passage 3", harvested)).await?;
    Ok(harvest)
}

/// log2(detached / seeded) in thousandths, from passage 1 on; passage 0 seeds mononuclear cells and has none.
fn doublings(passage: u32, (seeded, detached, _): &(u64, u64, i32)) -> Option<i32> {
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
    for number in 1..=12u32 {
        let digits = format!("26010{number:02}");
        let check = marrowline_record::din::digit_check(&digits).unwrap_or('0');
        story.units.push((format!("{digits}{check}"), stage.new_id()));
    }
    let filled = Event::UnitsFilled(pb::UnitsFilled {
        harvest_id: harvest.to_vec(),
        units: story
            .units
            .iter()
            .map(|(code, id)| pb::FilledUnit {
                unit_id: id.to_vec(),
                unit_code: code.clone(),
                total_cells: 50_000_000,
                volume_microlitres: 10_000,
            })
            .collect(),
        containers_taken: 14,
        containers_broken: Some(1),
        containers_returned: Some(1),
        cells: Some(balance(630_000_000, 600_000_000, 0, 18_000_000)),
        viability_basis_points: Some(9_420),
        dmso_basis_points: Some(1_000),
        freezer_run: "CRF-0412".to_owned(),
    });
    stage.accept(step_on_lot(story, "12 units of 50 million cells filled and frozen", filled)).await?;
    stage.at(27, 14, 0).await?;
    let moved = places(story, story.lab, "LN2-A", &story.units);
    stage.accept(Step::new("units stored below -150 °C", moved).by(&["cry"]).on(Lot, story.lot)).await?;
    Ok(())
}

fn places(_story: &Story, facility: [u8; 16], rack: &str, units: &[(String, [u8; 16])]) -> Event {
    Event::UnitsMoved(pb::UnitsMoved {
        places: (1u32..)
            .zip(units)
            .map(|(number, (_, id))| pb::UnitPlace {
                unit_id: id.to_vec(),
                location: Some(pb::Location {
                    facility_id: facility.to_vec(),
                    rack: rack.to_owned(),
                    position: format!("{number:02}"),
                }),
            })
            .collect(),
    })
}

async fn release(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    stage.chapter("Release testing");
    stage.at(27, 15, 0).await?;
    let sample = stage.new_id();
    let taken = Event::SampleTaken(pb::SampleTaken {
        sample_id: sample.to_vec(),
        sample_code: "S-2026-01".to_owned(),
        source: pb::SampleSource::Unit.into(),
        source_id: story.units.last().map(|(_, id)| id.to_vec()),
    });
    stage.accept(Step::new("one unit taken for testing", taken).by(&["op1"]).on(Lot, story.lot)).await?;
    let inoculated = stage.instant(27, 16, 0);
    stage.at(35, 10, 0).await?;
    for demo in documents::lot_tests().into_iter().filter(|t| t.test.stage() == pb::ReleaseStage::Conditional) {
        test(stage, story, sample, demo, inoculated).await?;
    }
    dispose(stage, story, pb::Disposition::Conditional, "conditional release").await?;
    stage.at(42, 10, 0).await?;
    for demo in documents::lot_tests().into_iter().filter(|t| t.test.stage() == pb::ReleaseStage::Final) {
        test(stage, story, sample, demo, inoculated).await?;
    }
    dispose(stage, story, pb::Disposition::Final, "final release").await
}

async fn test(
    stage: &mut Stage,
    story: &Story,
    sample: [u8; 16],
    demo: documents::DemoTest,
    inoculated: pb::Instant,
) -> Result<(), DemoError> {
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
    let id = stage.accept(Step::new(&words, reported).by(&["qc"]).on(Lot, story.lot)).await?;
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

async fn dispose(stage: &mut Stage, story: &Story, disposition: pb::Disposition, words: &str) -> Result<(), DemoError> {
    let decided = Event::LotDispositionDecided(pb::LotDispositionDecided {
        disposition: disposition.into(),
        waivers: Vec::new(),
        reason: "every test of this stage reviewed and passed".to_owned(),
    });
    stage.accept(Step::new(words, decided).by(&["qa", "qp"]).on(Lot, story.lot)).await?;
    Ok(())
}

async fn deliver(stage: &mut Stage, story: &Story) -> Result<(), DemoError> {
    stage.chapter("Custody: from the laboratory to the hospital");
    stage.at(43, 8, 0).await?;
    let travelling: Vec<_> = story.units.iter().take(6).cloned().collect();
    let ids: Vec<Vec<u8>> = travelling.iter().map(|(_, id)| id.to_vec()).collect();
    let transfer = stage.new_id();
    let relinquished = Event::CustodyRelinquished(pb::CustodyRelinquished {
        transfer_id: transfer.to_vec(),
        unit_ids: ids.clone(),
        to_facility_id: story.hospital.to_vec(),
        seal: "SEAL-7741".to_owned(),
        shipper: "DRY-SHIPPER-3".to_owned(),
        condition: "frozen, dry shipper charged".to_owned(),
    });
    stage.accept(Step::new("6 units handed over", relinquished).by(&["cry"]).on(Lot, story.lot)).await?;
    stage.at(43, 12, 0).await?;
    let accepted = Event::CustodyAccepted(pb::CustodyAccepted {
        transfer_id: transfer.to_vec(),
        unit_ids: ids,
        seal: "SEAL-7741".to_owned(),
        seal_intact: true,
        condition: "frozen".to_owned(),
    });
    stage.accept(Step::new("6 units taken over, seal whole", accepted).by(&["cryh"]).on(Lot, story.lot)).await?;
    let moved = places(story, story.hospital, "H-LN2", &travelling);
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
