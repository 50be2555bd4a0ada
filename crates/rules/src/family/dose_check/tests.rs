//! For each clause of the dose check: the thing behind it is spoiled in a ledger in which everything else holds, and the answer turns
//! RED with that clause's code.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, KeyId, RecordId, StreamKey};
use marrowline_record::pb;

use super::*;
use crate::state::authority::{Key, Revocation};
use crate::state::custody::Custody;
use crate::state::lot::{Allocation, Processing, ReportedResult, Thaw, Unit};
use crate::state::subject::{
    Consent, Dispensing, Dose, Infusion, Order, Portion, Randomisation, Screening, Weighing,
};
use crate::state::upkeep::{Hold, Owed, SignedRecord};
use crate::state::{Authority, Donor, Lot, Protocol, Specification, Subject, Upkeep};

const HOUR_MS: i64 = 3_600_000;
const NOW_MS: i64 = 10_000 * HOUR_MS;
const THAWED_MS: i64 = NOW_MS - HOUR_MS;
const EXPIRY_MS: i64 = THAWED_MS + 2 * HOUR_MS;

const PROTOCOL: Id16 = Id16([1; 16]);
const SPECIFICATION: Id16 = Id16([2; 16]);
const DONOR: Id16 = Id16([3; 16]);
const LOT: Id16 = Id16([4; 16]);
const SUBJECT: Id16 = Id16([5; 16]);
const UNIT: Id16 = Id16([6; 16]);
const ORDER: Id16 = Id16([7; 16]);
const DOSE: Id16 = Id16([8; 16]);
const HOSPITAL: Id16 = Id16([9; 16]);
const OTHER: Id16 = Id16([99; 16]);
const KEY: KeyId = KeyId([10; 32]);

/// A ledger with one dose that may be given. `None` is a stream that cannot be seen.
#[derive(Clone)]
struct World {
    authority: Authority,
    protocol: Option<Protocol>,
    trial: pb::ProtocolPublished,
    specification: Option<Specification>,
    product: pb::SpecificationPublished,
    donor: Option<Donor>,
    lot: Option<Lot>,
    subject: Option<Subject>,
    lookups: BTreeMap<IndexKey, [u8; 16]>,
}

impl View for World {
    fn authority(&self) -> Arc<Authority> {
        Arc::new(self.authority.clone())
    }
    fn protocol(&self, id: &Id16) -> Option<Arc<Protocol>> {
        let mut protocol = self.protocol.clone().filter(|p| p.id == *id)?;
        protocol.versions = BTreeMap::from([(1, (record_id(11), Arc::new(self.trial.clone())))]);
        Some(Arc::new(protocol))
    }
    fn specification(&self, id: &Id16) -> Option<Arc<Specification>> {
        let mut specification = self.specification.clone().filter(|s| s.id == *id)?;
        specification.versions =
            BTreeMap::from([(1, (record_id(12), Arc::new(self.product.clone())))]);
        Some(Arc::new(specification))
    }
    fn donor(&self, id: &Id16) -> Option<Arc<Donor>> {
        self.donor.clone().filter(|d| d.id == *id).map(Arc::new)
    }
    fn lot(&self, id: &Id16) -> Option<Arc<Lot>> {
        self.lot.clone().filter(|l| l.id == *id).map(Arc::new)
    }
    fn subject(&self, id: &Id16) -> Option<Arc<Subject>> {
        self.subject.clone().filter(|s| s.id == *id).map(Arc::new)
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
    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]> {
        self.lookups.get(key).copied()
    }
}

fn record_id(number: u8) -> RecordId {
    RecordId([number; 16])
}

fn version(id: Id16) -> Option<pb::VersionRef> {
    Some(pb::VersionRef {
        id: id.0.to_vec(),
        version: 1,
    })
}

fn trial() -> pb::ProtocolPublished {
    let arm = |arm, receives_cells| pb::Arm {
        arm,
        code: format!("A{arm}"),
        name: format!("arm {arm}"),
        receives_cells,
    };
    pb::ProtocolPublished {
        version: 1,
        arms: vec![arm(1, false), arm(2, true)],
        dose_band: Some(pb::DoseBand {
            min_viable_cells_per_kg: 1_000_000,
            max_viable_cells_per_kg: 2_000_000,
        }),
        max_viable_cells_per_kg_per_24h: 3_000_000,
        min_interval_seconds: Some(12 * 3_600),
        weighing_max_age_seconds: 24 * 3_600,
        weight_change_limit_basis_points: 1_000,
        consent_kinds: vec![pb::ConsentKind::Self_.into()],
        ..pb::ProtocolPublished::default()
    }
}

fn product() -> pb::SpecificationPublished {
    pb::SpecificationPublished {
        version: 1,
        tests: vec![pb::LotTest {
            code: "ENDO".to_owned(),
            kind: pb::TestKind::Endotoxin.into(),
            ..pb::LotTest::default()
        }],
        thaw_window_seconds: 2 * 3_600,
        shelf_life_seconds: 3_600 * 24,
        max_donors_per_dose: 1,
        min_thaw_viability_basis_points: 7_000,
        max_dmso_milligrams_per_kg: 25,
        max_endotoxin_milli_eu_per_kg_per_hour: 5_000,
        ..pb::SpecificationPublished::default()
    }
}

fn unit() -> Unit {
    Unit {
        id: UNIT,
        code: "10009".to_owned(),
        filled_by: record_id(20),
        filled_at_ms: NOW_MS - 24 * HOUR_MS,
        total_cells: 100_000_000,
        volume_microlitres: 10_000,
        fill_viability_basis_points: 9_500,
        dmso_basis_points: 1_000,
        processing: Processing::Prepared,
        custody: Custody::Held {
            facility_id: HOSPITAL,
        },
        location: None,
        allocation: Some(Allocation {
            record_id: record_id(21),
            order_id: ORDER,
            subject_id: SUBJECT,
        }),
        thaw_order: None,
        thaw: Some(Thaw {
            record_id: record_id(22),
            thawed_at_ms: THAWED_MS,
            total_cells: 100_000_000,
            viability_basis_points: 9_000,
        }),
        dose_id: Some(DOSE),
    }
}

fn endotoxin() -> ReportedResult {
    ReportedResult {
        record_id: record_id(24),
        sample_id: OTHER,
        test_code: "ENDO".to_owned(),
        event: pb::TestResultReported {
            result: Some(pb::TestResult {
                kind: pb::ResultKind::Quantitative.into(),
                value: Some("0.5".to_owned()),
                unit_ucum: Some("[EU]/mL".to_owned()),
                comparator: Some(pb::Comparator::Equal.into()),
            }),
            ..pb::TestResultReported::default()
        },
        analysts: Vec::new(),
        review: Some((record_id(25), pb::ReviewDecision::Accepted)),
    }
}

fn lot() -> Lot {
    let mut lot = Lot::new(LOT);
    lot.opened = Some((
        record_id(23),
        pb::LotOpened {
            specification: version(SPECIFICATION),
            ..pb::LotOpened::default()
        },
    ));
    lot.donor_id = Some(DONOR);
    lot.units.insert(UNIT, unit());
    lot.results.push(endotoxin());
    lot.disposition = Some((record_id(26), pb::Disposition::Conditional));
    lot
}

fn dose() -> Dose {
    Dose {
        id: DOSE,
        code: "70008".to_owned(),
        order_id: ORDER,
        record_id: record_id(30),
        digest: Digest([30; 32]),
        facility_id: HOSPITAL,
        prepared_at_ms: NOW_MS,
        prepared_by: Vec::new(),
        portions: vec![Portion {
            unit_id: UNIT,
            total_cells: 100_000_000,
            volume_microlitres: 10_000,
        }],
        total_cells: 100_000_000,
        viability_basis_points: 9_000,
        diluent: "saline".to_owned(),
        volume_microlitres: 100_000,
        dmso_milligrams: 1_000,
        expires_at_ms: EXPIRY_MS,
        dispensed: None,
        checks: Vec::new(),
        infusion: None,
    }
}

fn weighing(number: u8, weight_grams: u32) -> Weighing {
    Weighing {
        record_id: record_id(number),
        weighed_at_ms: NOW_MS - HOUR_MS,
        weight_grams,
        method: pb::WeighingMethod::Measured,
    }
}

fn subject() -> Subject {
    let mut subject = Subject::new(SUBJECT);
    subject.consents.push(Consent {
        record_id: record_id(31),
        consented_at_ms: NOW_MS - 3 * HOUR_MS,
        event: pb::SubjectConsented {
            protocol: version(PROTOCOL),
            kind: pb::ConsentKind::Self_.into(),
            ..pb::SubjectConsented::default()
        },
    });
    subject.screenings.push(Screening {
        record_id: record_id(32),
        screened_at_ms: NOW_MS - 3 * HOUR_MS,
        event: pb::SubjectScreened::default(),
    });
    subject.randomised = Some(Randomisation {
        record_id: record_id(33),
        recorded_at_ms: NOW_MS - 3 * HOUR_MS,
        slot: 0,
        arm: 2,
        screening: 0,
    });
    subject.weighings.push(weighing(34, 70_000));
    subject.orders.push(Order {
        id: ORDER,
        record_id: record_id(35),
        ordered_at_ms: NOW_MS - HOUR_MS,
        target_viable_cells_per_kg: 1_300_000,
        weighing_record_id: record_id(34),
        planned_duration_seconds: 1_800,
        allocated: vec![(UNIT, record_id(21))],
        dose_id: Some(DOSE),
    });
    subject.doses.push(dose());
    subject
}

fn world() -> World {
    let mut donor = Donor::new(DONOR);
    donor.eligibility = Some((record_id(40), pb::Eligibility::Eligible));
    World {
        authority: Authority::default(),
        protocol: Some(Protocol::new(PROTOCOL)),
        trial: trial(),
        specification: Some(Specification::new(SPECIFICATION)),
        product: product(),
        donor: Some(donor),
        lot: Some(lot()),
        subject: Some(subject()),
        lookups: BTreeMap::from([
            (IndexKey::Dose(DOSE.0), SUBJECT.0),
            (IndexKey::Unit(UNIT.0), LOT.0),
        ]),
    }
}

fn ask(world: &World, at_ms: i64) -> (Answer, Vec<&'static str>) {
    let check = check(world, &DOSE, at_ms);
    let mut names: Vec<_> = check.findings.iter().map(|f| f.code.name).collect();
    names.dedup();
    (check.answer, names)
}

fn hold(unit_ids: Vec<Id16>, dose_id: Option<Id16>) -> Hold {
    Hold {
        id: [0; 32],
        code: "HOLD_SET",
        reason: "bag looks torn".to_owned(),
        record_id: record_id(50),
        unit_ids,
        dose_id,
        lifted_by: None,
    }
}

fn doubted(world: &mut World, stream: fn(&mut World) -> &mut Upkeep) {
    world.authority.keys.insert(
        KEY,
        Key {
            id: KEY,
            person_id: OTHER,
            printed_name: "N. N.".to_owned(),
            public_key: [0; 32],
            grants: Vec::new(),
            granted_by: record_id(60),
            revocation: Some(Revocation {
                record_id: record_id(61),
                reason: "stolen".to_owned(),
                compromised_since_ms: Some(NOW_MS - HOUR_MS),
            }),
        },
    );
    Arc::make_mut(&mut stream(world).signed).push(SignedRecord {
        record_id: record_id(62),
        digest: Digest([62; 32]),
        recorded_at_ms: NOW_MS,
        key_ids: vec![KEY],
    });
}

impl World {
    fn subject(&mut self) -> &mut Subject {
        self.subject.as_mut().unwrap()
    }
    fn lot(&mut self) -> &mut Lot {
        self.lot.as_mut().unwrap()
    }
    fn unit(&mut self) -> &mut Unit {
        self.lot().units.get_mut(&UNIT).unwrap()
    }
    fn dose(&mut self) -> &mut Dose {
        &mut self.subject().doses[0]
    }
    fn earlier(&mut self, started_at_ms: i64, cells: u64) {
        let mut earlier = dose();
        earlier.id = OTHER;
        earlier.total_cells = cells;
        earlier.infusion = Some(Infusion {
            record_id: record_id(70),
            started_at_ms,
            end: None,
        });
        self.subject().doses.push(earlier);
    }
}

#[test]
fn everything_holds_is_green_and_says_what_it_rests_on() {
    let check = check(&world(), &DOSE, NOW_MS);
    assert_eq!(
        (check.answer, check.findings.as_slice()),
        (Answer::Green, &[][..])
    );
    assert_eq!(check.subject_id, Some(SUBJECT));
    assert_eq!(check.lots, [LOT]);
    assert_eq!(check.expires_at_ms, Some(EXPIRY_MS));
    assert_eq!(check.viable_cells_per_kg, Some(1_285_714));
    for number in [
        11, 12, 20, 21, 22, 23, 24, 25, 26, 30, 31, 32, 33, 34, 35, 40,
    ] {
        assert!(check.records.contains(&record_id(number)), "{number}");
    }
}

type Spoil = (&'static [&'static str], fn(&mut World));

const SPOILED: &[Spoil] = &[
    (&["TRIAL_NOT_OPEN"], |w| {
        w.subject().consents[0]
            .event
            .protocol
            .as_mut()
            .unwrap()
            .version = 2
    }),
    (&["CONSENT_NOT_IN_FORCE"], |w| {
        w.subject().consents[0].event.kind = pb::ConsentKind::Representative.into()
    }),
    (&["SUBJECT_HELD"], |w| {
        w.subject().upkeep.holds.push(hold(vec![], None))
    }),
    (&["NOT_RANDOMISED"], |w| w.subject().randomised = None),
    (&["ARM_WITHOUT_CELLS"], |w| {
        w.subject().randomised.as_mut().unwrap().arm = 1
    }),
    (&["DOSE_HELD"], |w| {
        w.subject().upkeep.holds.push(hold(vec![], Some(DOSE)))
    }),
    (&["DOSE_ALREADY_USED"], |w| {
        w.dose().infusion = Some(Infusion {
            record_id: record_id(71),
            started_at_ms: NOW_MS,
            end: None,
        });
    }),
    (&["DOSE_SIGNATURE_OWED"], |w| {
        w.subject().upkeep.owed.push(Owed {
            record_id: record_id(30),
            digest: Digest([30; 32]),
            slot: 1,
            role: pb::Role::VerifyingOperator,
            meaning: pb::Meaning::Verified,
            facility_id: HOSPITAL,
        });
    }),
    (&["ORDER_UNKNOWN"], |w| w.subject().orders.clear()),
    (&["ORDER_CLOSED"], |w| {
        w.subject().orders[0].dose_id = Some(OTHER)
    }),
    (&["WEIGHING_TOO_OLD"], |w| {
        w.subject().weighings[0].weighed_at_ms = NOW_MS - 25 * HOUR_MS
    }),
    (&["WEIGHT_CHANGED"], |w| {
        w.subject().weighings.push(weighing(36, 80_000))
    }),
    (&["UNIT_OF_NO_LOT"], |w| {
        w.lookups.remove(&IndexKey::Unit(UNIT.0));
    }),
    (&["UNIT_REPEATED"], |w| {
        let half = Portion {
            unit_id: UNIT,
            total_cells: 50_000_000,
            volume_microlitres: 5_000,
        };
        w.dose().portions = vec![half, half];
    }),
    (&["UNIT_NOT_ALLOCATED"], |w| {
        w.unit().allocation.as_mut().unwrap().order_id = OTHER
    }),
    (&["UNIT_NOT_THAWED"], |w| w.unit().thaw = None),
    (&["CONTRIBUTION_TOO_LARGE"], |w| {
        w.unit().thaw.as_mut().unwrap().total_cells = 99_999_999
    }),
    (&["CONTRIBUTION_TOO_LARGE"], |w| {
        w.unit().volume_microlitres = 9_999
    }),
    (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_id = Some(OTHER)),
    (&["UNIT_IN_OTHER_DOSE"], |w| w.unit().dose_id = None),
    (&["THAW_VIABILITY_LOW"], |w| {
        w.unit().thaw.as_mut().unwrap().viability_basis_points = 6_999
    }),
    (&["TOO_MANY_DONORS"], |w| w.product.max_donors_per_dose = 0),
    (&["CONTRIBUTIONS_DIFFER_FROM_TOTAL"], |w| {
        w.dose().total_cells = 99_999_999
    }),
    (&["DOSE_BELOW_BAND"], |w| {
        w.trial.dose_band.as_mut().unwrap().min_viable_cells_per_kg = 1_285_715
    }),
    (&["DOSE_ABOVE_BAND"], |w| {
        w.trial.dose_band.as_mut().unwrap().max_viable_cells_per_kg = 1_285_714
    }),
    (&["DOSE_VIABILITY_LOW"], |w| {
        w.trial.dose_band.as_mut().unwrap().min_viable_cells_per_kg = 1;
        w.dose().viability_basis_points = 6_999;
    }),
    (&["DMSO_TOO_HIGH"], |w| w.dose().dmso_milligrams = 1_751),
    (&["DOSE_EXPIRY_WRONG"], |w| {
        w.dose().expires_at_ms = EXPIRY_MS + 1
    }),
    (&["DOSE_EXPIRED"], |w| {
        w.unit().thaw.as_mut().unwrap().thawed_at_ms = NOW_MS - 2 * HOUR_MS - 1;
        w.dose().expires_at_ms = NOW_MS - 1;
    }),
    (&["ENDOTOXIN_UNKNOWN"], |w| w.lot().results[0].review = None),
    (&["ENDOTOXIN_TOO_HIGH"], |w| {
        w.lot().results[0].event.result.as_mut().unwrap().value = Some("1.7501".to_owned());
    }),
    (&["ABOVE_24_HOUR_CAP"], |w| {
        w.earlier(NOW_MS - 23 * HOUR_MS, 133_333_334)
    }),
    (&["INTERVAL_TOO_SHORT"], |w| {
        w.earlier(NOW_MS - 12 * HOUR_MS + 1, 1)
    }),
    (&["UNIT_NOT_IN_CUSTODY"], |w| {
        w.unit().custody = Custody::Held { facility_id: OTHER }
    }),
    (&["UNIT_CUSTODY_OPEN", "UNIT_NOT_IN_CUSTODY"], |w| {
        w.unit().custody = Custody::Disputed {
            facility_id: HOSPITAL,
            record_id: record_id(72),
        };
    }),
    (&["LOT_NOT_RELEASED"], |w| w.lot().disposition = None),
    (&["LOT_NOT_RELEASED"], |w| {
        w.lot().disposition = Some((record_id(26), pb::Disposition::Rejected))
    }),
    (&["UNIT_HELD"], |w| {
        w.lot().upkeep.holds.push(hold(vec![], None))
    }),
    (&["UNIT_HELD"], |w| {
        w.lot().upkeep.holds.push(hold(vec![UNIT], None))
    }),
    (&["UNIT_DONOR_NOT_ELIGIBLE"], |w| {
        w.donor.as_mut().unwrap().eligibility = Some((record_id(40), pb::Eligibility::Ineligible));
    }),
    (&["UNIT_DONOR_NOT_ELIGIBLE"], |w| {
        w.donor
            .as_mut()
            .unwrap()
            .upkeep
            .holds
            .push(hold(vec![], None))
    }),
    (&["UNIT_EXPIRED"], |w| {
        w.product.shelf_life_seconds = 3_600 * 24 - 1
    }),
    (&["UNIT_SPECIFICATION_UNKNOWN", "ENDOTOXIN_UNKNOWN"], |w| {
        w.lot()
            .opened
            .as_mut()
            .unwrap()
            .1
            .specification
            .as_mut()
            .unwrap()
            .version = 2;
    }),
    (&["RECORD_IN_DOUBT"], |w| {
        doubted(w, |w| &mut w.subject().upkeep)
    }),
    (&["RECORD_IN_DOUBT"], |w| {
        doubted(w, |w| &mut w.lot().upkeep)
    }),
    (&["RECORD_IN_DOUBT"], |w| {
        doubted(w, |w| &mut w.donor.as_mut().unwrap().upkeep)
    }),
    (&["RECORD_IN_DOUBT"], |w| {
        doubted(w, |w| &mut w.protocol.as_mut().unwrap().upkeep)
    }),
    (&["RECORD_IN_DOUBT"], |w| {
        doubted(w, |w| &mut w.specification.as_mut().unwrap().upkeep)
    }),
];

#[test]
fn each_spoiled_clause_turns_the_answer_red_with_its_code() {
    for (number, (expected, spoil)) in SPOILED.iter().enumerate() {
        let mut world = world();
        spoil(&mut world);
        assert_eq!(
            ask(&world, NOW_MS),
            (Answer::Red, expected.to_vec()),
            "spoiled number {number}"
        );
    }
}

#[test]
fn what_is_just_within_its_limit_stays_green() {
    let just: &[fn(&mut World)] = &[
        |w| w.subject().weighings[0].weighed_at_ms = NOW_MS - 24 * HOUR_MS,
        |w| w.subject().weighings.push(weighing(36, 77_000)),
        |w| w.unit().thaw.as_mut().unwrap().viability_basis_points = 7_000,
        |w| w.dose().dmso_milligrams = 1_750,
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
            w.dose().dispensed = Some(Dispensing {
                record_id: record_id(74),
                dispensed_at_ms: NOW_MS,
                facility_id: HOSPITAL,
            });
        },
    ];
    for (number, within) in just.iter().enumerate() {
        let mut world = world();
        within(&mut world);
        assert_eq!(
            ask(&world, NOW_MS),
            (Answer::Green, vec![]),
            "number {number}"
        );
    }
}

#[test]
fn the_answer_turns_at_the_millisecond_of_the_expiry() {
    let mut world = world();
    world.product.shelf_life_seconds = 3_600 * 48;
    for (at_ms, answer) in [
        (EXPIRY_MS - 1, Answer::Green),
        (EXPIRY_MS, Answer::Green),
        (EXPIRY_MS + 1, Answer::Red),
    ] {
        assert_eq!(ask(&world, at_ms).0, answer);
    }
}

#[test]
fn what_cannot_be_seen_is_no_answer() {
    let hidden: &[fn(&mut World)] = &[
        |w| {
            w.lookups.remove(&IndexKey::Dose(DOSE.0));
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
