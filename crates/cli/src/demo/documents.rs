//! The documents that the demo publishes: the RuMCeSS protocol (NCT01849237) as registered, and a synthetic specification with the
//! limits of the pharmacopoeia and of ISCT 2006. The laboratory's own values are invented and say so.

use marrowline_record::pb;
use marrowline_record::pb::{ConsentKind, CountAnalyte, CriterionKind, ReleaseStage, ResultKind, TestKind};

/// One slot of the randomisation list: arm and salt.
#[derive(Clone)]
pub struct Slot {
    /// The arm.
    pub arm: u32,
    /// The salt, 32 bytes.
    pub salt: [u8; 32],
}

/// SHA-256("marrowline/slot/v1\n", index, arm, salt): the data of a leaf of the committed list.
pub fn slot_data(index: u32, slot: &Slot) -> [u8; 32] {
    use sha2::{Digest as _, Sha256};
    let mut hasher = Sha256::new();
    hasher.update(b"marrowline/slot/v1\n");
    hasher.update(index.to_be_bytes());
    hasher.update([u8::try_from(slot.arm).unwrap_or(u8::MAX)]);
    hasher.update(slot.salt);
    hasher.finalize().into()
}

/// Arm 1 is standard therapy, arm 2 receives cells.
pub const STANDARD: u32 = 1;
/// See [`STANDARD`].
pub const CELLS: u32 = 2;

/// Registration number of the trial.
pub const REGISTRATION: &str = "NCT01849237";

/// The trial's protocol, as registered under NCT01849237.
pub fn protocol(slots: u32, root: [u8; 32]) -> pb::ProtocolPublished {
    pb::ProtocolPublished {
        version: 1,
        registration: REGISTRATION.to_owned(),
        title: "Russian clinical trial of mesenchymal cells in patients with septic shock and severe neutropenia (RuMCeSS)"
            .to_owned(),
        arms: vec![
            arm(STANDARD, "STANDARD", "standard therapy of septic shock", false),
            arm(CELLS, "MSC", "standard therapy and mesenchymal stromal cells intravenously", true),
        ],
        dose_band: Some(pb::DoseBand { min_viable_cells_per_kg: 1_000_000, max_viable_cells_per_kg: 2_000_000 }),
        max_viable_cells_per_kg_per_24h: 2_000_000,
        min_interval_seconds: Some(0),
        onset_window_seconds: 36_000,
        min_age_years: Some(17),
        max_age_years: 75,
        counts: vec![pb::CountCriterion { analyte: CountAnalyte::Leucocytes.into(), max_cells_per_microlitre: 1_000 }],
        exclusions: vec![
            exclusion("RESISTANT_DISEASE", "oncohaematological disease resistant to chemotherapy"),
            exclusion("PREGNANCY", "pregnancy"),
        ],
        consent_kinds: vec![ConsentKind::Self_.into(), ConsentKind::Representative.into()],
        weighing_max_age_seconds: 24 * 3_600,
        weight_change_limit_basis_points: 1_000,
        late_entry_limit_seconds: 24 * 3_600,
        override_codes: Vec::new(),
        follow_up_days: vec![1, 3, 7, 14, 28, 90],
        sample_size: 30,
        randomisation: Some(pb::RandomisationCommitment { slots, root: root.to_vec() }),
    }
}

fn arm(arm: u32, code: &str, name: &str, receives_cells: bool) -> pb::Arm {
    pb::Arm { arm, code: code.to_owned(), name: name.to_owned(), receives_cells }
}

fn exclusion(code: &str, description: &str) -> pb::Exclusion {
    pb::Exclusion { code: code.to_owned(), description: description.to_owned() }
}

/// Donor tests of EU directive 2006/17, annex I: code and name. All must be non-reactive.
pub const DONOR_PANEL: &[(&str, &str)] = &[
    ("HIV", "HIV 1 and 2 antibodies and nucleic acid"),
    ("HBV", "hepatitis B surface antigen and core antibodies"),
    ("HCV", "hepatitis C antibodies and nucleic acid"),
    ("SYPHILIS", "Treponema pallidum antibodies"),
    ("HTLV", "HTLV I and II antibodies"),
];

/// One test of a lot with the result that the demo's laboratory finds.
pub struct DemoTest {
    /// The specification's entry.
    pub test: pb::LotTest,
    /// The result.
    pub result: pb::TestResult,
}

/// The tests of the specification, each with the (synthetic) result of the demo's lot.
pub fn lot_tests() -> Vec<DemoTest> {
    let mut tests = vec![
        absent(
            "STERILITY_D7",
            "sterility, interim reading",
            "Ph. Eur. 2.6.27",
            TestKind::Sterility,
            ReleaseStage::Conditional,
            Some(7 * 86_400),
        ),
        absent("MYCOPLASMA", "mycoplasma", "Ph. Eur. 2.6.7", TestKind::Mycoplasma, ReleaseStage::Conditional, None),
        at_most("ENDOTOXIN", "bacterial endotoxin", "Ph. Eur. 2.6.14", TestKind::Endotoxin, "0.5", "[EU]/mL", "0.25"),
        absent("GRAM", "Gram stain", "microscopy", TestKind::Other, ReleaseStage::Conditional, None),
        at_least("VIABILITY", "viability before freezing", "trypan blue", TestKind::Viability, "80", "%", "94.2"),
    ];
    for (marker, found) in [("CD73", "99.1"), ("CD90", "98.7"), ("CD105", "97.9")] {
        tests.push(at_least(marker, "surface marker", "flow cytometry", TestKind::Identity, "95", "%", found));
    }
    for (marker, found) in [("CD34", "0.4"), ("CD45", "0.6"), ("CD11B", "0.3"), ("CD19", "0.2"), ("HLADR", "1.1")] {
        tests.push(at_most(marker, "surface marker", "flow cytometry", TestKind::Identity, "2", "%", found));
    }
    tests.push(at_least("POTENCY", "inhibition of PBMC proliferation", "co-culture", TestKind::Potency, "20", "%", "46"));
    tests.push(absent(
        "STERILITY_D14",
        "sterility, final reading",
        "Ph. Eur. 2.6.27",
        TestKind::Sterility,
        ReleaseStage::Final,
        Some(14 * 86_400),
    ));
    tests
}

fn absent(code: &str, name: &str, method: &str, kind: TestKind, stage: ReleaseStage, incubation: Option<u32>) -> DemoTest {
    DemoTest {
        test: pb::LotTest {
            code: code.to_owned(),
            name: name.to_owned(),
            method: method.to_owned(),
            kind: kind.into(),
            criterion: Some(pb::Criterion { kind: CriterionKind::Absent.into(), limit: None, unit_ucum: None }),
            stage: stage.into(),
            waivable: false,
            min_incubation_seconds: incubation,
        },
        result: pb::TestResult { kind: ResultKind::Absent.into(), value: None, unit_ucum: None, comparator: None },
    }
}

fn at_most(code: &str, name: &str, method: &str, kind: TestKind, limit: &str, unit: &str, found: &str) -> DemoTest {
    limited(CriterionKind::AtMost, [code, name, method, limit, unit, found], kind)
}

fn at_least(code: &str, name: &str, method: &str, kind: TestKind, limit: &str, unit: &str, found: &str) -> DemoTest {
    limited(CriterionKind::AtLeast, [code, name, method, limit, unit, found], kind)
}

fn limited(criterion: CriterionKind, words: [&str; 6], kind: TestKind) -> DemoTest {
    let [code, name, method, limit, unit, found] = words.map(str::to_owned);
    DemoTest {
        test: pb::LotTest {
            code,
            name,
            method,
            kind: kind.into(),
            criterion: Some(pb::Criterion { kind: criterion.into(), limit: Some(limit), unit_ucum: Some(unit.clone()) }),
            stage: ReleaseStage::Conditional.into(),
            waivable: false,
            min_incubation_seconds: None,
        },
        result: pb::TestResult {
            kind: ResultKind::Quantitative.into(),
            value: Some(found),
            unit_ucum: Some(unit),
            comparator: Some(pb::Comparator::Equal.into()),
        },
    }
}

/// The product's specification.
pub fn specification() -> pb::SpecificationPublished {
    pb::SpecificationPublished {
        version: 1,
        product_code: "BM-MSC".to_owned(),
        product_name: "allogeneic bone-marrow mesenchymal stromal cells, frozen (synthetic specification)".to_owned(),
        donor_panel: DONOR_PANEL
            .iter()
            .map(|(code, name)| pb::DonorPanelTest {
                code: (*code).to_owned(),
                name: (*name).to_owned(),
                required_result: ResultKind::Absent.into(),
            })
            .collect(),
        required_evidence: vec![pb::EvidenceKind::Reagents.into(), pb::EvidenceKind::Equipment.into()],
        tests: lot_tests().into_iter().map(|t| t.test).collect(),
        max_retests: Some(1),
        max_passage: 4,
        max_milli_doublings: 15_000,
        balance_tolerance_basis_points: Some(500),
        thaw_window_seconds: 7_200,
        storage: Some(pb::StorageLimit { max_millicelsius: -135_000, max_seconds_above: 600 }),
        shelf_life_seconds: 2 * 365 * 86_400,
        max_donors_per_dose: 1,
        min_isolation_viability_basis_points: 8_000,
        min_fill_viability_basis_points: 8_000,
        min_thaw_viability_basis_points: 7_000,
        min_cells_per_unit: 25_000_000,
        max_cells_per_unit: 100_000_000,
        min_dmso_basis_points: Some(500),
        max_dmso_basis_points: Some(1_000),
        max_dmso_milligrams_per_kg: 1_000,
        max_endotoxin_milli_eu_per_kg_per_hour: 5_000,
        late_entry_limit_seconds: 24 * 3_600,
    }
}
