//! For tests: a ledger put together by hand, with one dose that may be given, and a record judged in it.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Digest, Id16, KeyId, RecordId, StreamKey};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, StreamKind};

use crate::context::{Context, Signer};
use crate::index::IndexKey;
use crate::state::authority::{Key, Revocation};
use crate::state::custody::Custody;
use crate::state::lot::{Allocation, Processing, ReportedResult, Thaw, Unit};
use crate::state::subject::{Consent, Dose, Infusion, Order, Portion, Randomisation, Screening, Weighing};
use crate::state::upkeep::{Hold, SignedRecord};
use crate::state::{Authority, Donor, Lot, Protocol, Specification, Subject, Upkeep};
use crate::table;
use crate::view::View;

pub(in crate::family) const HOUR_MS: i64 = 3_600_000;
pub(in crate::family) const NOW_MS: i64 = 10_000 * HOUR_MS;
pub(in crate::family) const THAWED_MS: i64 = NOW_MS - HOUR_MS;
pub(in crate::family) const EXPIRY_MS: i64 = THAWED_MS + 2 * HOUR_MS;

pub(in crate::family) const PROTOCOL: Id16 = Id16([1; 16]);
pub(in crate::family) const SPECIFICATION: Id16 = Id16([2; 16]);
pub(in crate::family) const DONOR: Id16 = Id16([3; 16]);
pub(in crate::family) const LOT: Id16 = Id16([4; 16]);
pub(in crate::family) const SUBJECT: Id16 = Id16([5; 16]);
pub(in crate::family) const UNIT: Id16 = Id16([6; 16]);
pub(in crate::family) const ORDER: Id16 = Id16([7; 16]);
pub(in crate::family) const DOSE: Id16 = Id16([8; 16]);
pub(in crate::family) const HOSPITAL: Id16 = Id16([9; 16]);
pub(in crate::family) const OTHER: Id16 = Id16([99; 16]);
pub(in crate::family) const KEY: KeyId = KeyId([10; 32]);

/// A ledger with one dose that may be given. `None` is a stream that cannot be seen.
#[derive(Clone)]
pub(in crate::family) struct World {
    pub(in crate::family) authority: Authority,
    pub(in crate::family) protocol: Option<Protocol>,
    pub(in crate::family) trial: pb::ProtocolPublished,
    pub(in crate::family) specification: Option<Specification>,
    pub(in crate::family) product: pb::SpecificationPublished,
    pub(in crate::family) donor: Option<Donor>,
    pub(in crate::family) lot: Option<Lot>,
    pub(in crate::family) subject: Option<Subject>,
    pub(in crate::family) lookups: BTreeMap<IndexKey, [u8; 16]>,
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
        specification.versions = BTreeMap::from([(1, (record_id(12), Arc::new(self.product.clone())))]);
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
    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]> {
        self.lookups.get(key).copied()
    }
}

pub(in crate::family) fn record_id(number: u8) -> RecordId {
    RecordId([number; 16])
}

pub(in crate::family) fn version(id: Id16) -> Option<pb::VersionRef> {
    Some(pb::VersionRef { id: id.0.to_vec(), version: 1 })
}

pub(in crate::family) fn trial() -> pb::ProtocolPublished {
    let arm = |arm, receives_cells| pb::Arm { arm, code: format!("A{arm}"), name: format!("arm {arm}"), receives_cells };
    pb::ProtocolPublished {
        version: 1,
        arms: vec![arm(1, false), arm(2, true)],
        dose_band: Some(pb::DoseBand { min_viable_cells_per_kg: 1_000_000, max_viable_cells_per_kg: 2_000_000 }),
        max_viable_cells_per_kg_per_24h: 3_000_000,
        min_interval_seconds: Some(12 * 3_600),
        weighing_max_age_seconds: 24 * 3_600,
        weight_change_limit_basis_points: 1_000,
        consent_kinds: vec![pb::ConsentKind::Self_.into()],
        ..pb::ProtocolPublished::default()
    }
}

pub(in crate::family) fn product() -> pb::SpecificationPublished {
    pb::SpecificationPublished {
        version: 1,
        tests: vec![pb::LotTest { code: "ENDO".to_owned(), kind: pb::TestKind::Endotoxin.into(), ..pb::LotTest::default() }],
        thaw_window_seconds: 2 * 3_600,
        shelf_life_seconds: 3_600 * 24,
        max_donors_per_dose: 1,
        min_thaw_viability_basis_points: 7_000,
        max_dmso_milligrams_per_kg: 25,
        max_endotoxin_milli_eu_per_kg_per_hour: 5_000,
        ..pb::SpecificationPublished::default()
    }
}

pub(in crate::family) fn unit() -> Unit {
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
        custody: Custody::Held { facility_id: HOSPITAL },
        location: None,
        stays: Vec::new(),
        places: Vec::new(),
        holders: Vec::new(),
        used_at_ms: None,
        allocation: Some(Allocation { record_id: record_id(21), order_id: ORDER, subject_id: SUBJECT }),
        thaw_order: None,
        thaw: Some(Thaw {
            record_id: record_id(22),
            thawed_at_ms: THAWED_MS,
            total_cells: 100_000_000,
            viability_basis_points: 9_000,
        }),
        dose_ids: vec![DOSE],
        container: crate::state::lot::container::Container::default(),
    }
}

pub(in crate::family) fn endotoxin() -> ReportedResult {
    ReportedResult {
        record_id: record_id(24),
        reported_at_ms: 0,
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
        invalidated: None,
    }
}

pub(in crate::family) fn lot() -> Lot {
    let mut lot = Lot::new(LOT);
    lot.opened = Some((record_id(23), pb::LotOpened { specification: version(SPECIFICATION), ..pb::LotOpened::default() }));
    lot.donor_id = Some(DONOR);
    lot.units.insert(UNIT, unit());
    lot.results.push(endotoxin());
    lot.disposition = Some((record_id(26), pb::Disposition::Conditional));
    lot
}

pub(in crate::family) fn dose() -> Dose {
    Dose {
        id: DOSE,
        code: "70008".to_owned(),
        order_id: ORDER,
        record_id: record_id(30),
        digest: Digest([30; 32]),
        facility_id: HOSPITAL,
        prepared_at_ms: NOW_MS,
        prepared_by: Vec::new(),
        portions: vec![Portion { unit_id: UNIT, total_cells: 100_000_000, volume_microlitres: 10_000 }],
        total_cells: 100_000_000,
        viability_basis_points: 9_000,
        diluent: "saline".to_owned(),
        volume_microlitres: 100_000,
        dmso_milligrams: 1_100,
        expires_at_ms: EXPIRY_MS,
        dispensed: None,
        checks: Vec::new(),
        infusion: None,
        rejection: None,
    }
}

pub(in crate::family) fn weighing(number: u8, weight_grams: u32) -> Weighing {
    Weighing { record_id: record_id(number), weighed_at_ms: NOW_MS - HOUR_MS, weight_grams, method: pb::WeighingMethod::Measured }
}

pub(in crate::family) fn subject() -> Subject {
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
    subject.randomised =
        Some(Randomisation { record_id: record_id(33), recorded_at_ms: NOW_MS - 3 * HOUR_MS, slot: 0, arm: 2, screening: 0 });
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
        cancelled_by: None,
    });
    subject.doses.push(dose());
    subject
}

pub(in crate::family) fn world() -> World {
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
        lookups: BTreeMap::from([(IndexKey::Dose(DOSE.0), SUBJECT.0), (IndexKey::Unit(UNIT.0), LOT.0)]),
    }
}

pub(in crate::family) fn hold(unit_ids: Vec<Id16>, dose_id: Option<Id16>) -> Hold {
    Hold {
        id: [0; 32],
        code: "HOLD_SET",
        reason: "bag looks torn".to_owned(),
        record_id: record_id(50),
        set_at_ms: 0,
        unit_ids,
        dose_id,
        lifted_by: None,
    }
}

pub(in crate::family) fn doubted(world: &mut World, stream: fn(&mut World) -> &mut Upkeep) {
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
    pub(in crate::family) fn subject(&mut self) -> &mut Subject {
        self.subject.as_mut().unwrap()
    }
    pub(in crate::family) fn lot(&mut self) -> &mut Lot {
        self.lot.as_mut().unwrap()
    }
    pub(in crate::family) fn unit(&mut self) -> &mut Unit {
        self.lot().units.get_mut(&UNIT).unwrap()
    }
    pub(in crate::family) fn dose(&mut self) -> &mut Dose {
        &mut self.subject().doses[0]
    }
    pub(in crate::family) fn earlier(&mut self, started_at_ms: i64, cells: u64) {
        let mut earlier = dose();
        earlier.id = OTHER;
        earlier.total_cells = cells;
        earlier.infusion = Some(Infusion { record_id: record_id(70), started_at_ms, end: None });
        self.subject().doses.push(earlier);
    }
}

/// The codes that are expected, and what is spoiled for them.
pub(in crate::family) type Spoil<T> = (&'static [&'static str], fn(&mut T));

/// Codes that a record of this event earns at a moment, ascending. Its one signatory is this person in this role for the hospital.
pub(in crate::family) fn judged(
    world: &World,
    at_ms: i64,
    (role, person): (pb::Role, Id16),
    streams: &[(StreamKind, Id16)],
    event: Event,
) -> Vec<&'static str> {
    let record = pb::Record {
        record_id: vec![80; 16],
        occurred_at: Some(pb::Instant { unix_ms: at_ms, offset_minutes: 0 }),
        streams: streams
            .iter()
            .map(|(kind, id)| pb::StreamExtension { kind: (*kind).into(), id: id.0.to_vec(), head: None })
            .collect(),
        event: Some(event.clone()),
        ..pb::Record::default()
    };
    let mut c = Context {
        view: world,
        rule_set: crate::NEWEST_RULE_SET,
        authority: world.authority(),
        record: &record,
        digest: Digest([80; 32]),
        signings: &[],
        category: table::category(&event),
        recorded_at_ms: at_ms,
        occurred_at_ms: at_ms,
        signers: vec![Signer {
            slot: 0,
            key_id: KEY,
            person_id: Some(person),
            role,
            meaning: pb::Meaning::Approved,
            facility_id: HOSPITAL,
            signed_at_ms: at_ms,
        }],
        findings: Vec::new(),
    };
    crate::family::judge(&mut c);
    let mut codes: Vec<_> = c.findings.iter().map(|f| (f.code.number, f.code.name)).collect();
    codes.sort_unstable();
    codes.dedup();
    codes.into_iter().map(|(_, name)| name).collect()
}
