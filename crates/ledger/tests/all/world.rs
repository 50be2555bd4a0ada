//! A founded ledger on a [`Gate`], and records for it.

use std::sync::atomic::{AtomicU64, Ordering};

use ed25519_dalek::SigningKey;
use marrowline_ledger::{Appended, Ledger, LogKeys, OpenFailure, Refusal, TimeSource};
use marrowline_record::leaf::signed_hash;
use marrowline_record::log_key::possess;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::{Signing, Statement, sign};
use marrowline_record::stream::AUTHORITY_ID;
use marrowline_record::{OpenedRecord, digest, encode, open};
use tokio::sync::oneshot::Receiver;

use super::gate::Gate;

pub const NOW_MS: i64 = 1_764_000_000_000;
const DAY_MS: i64 = 86_400_000;
const LAB: [u8; 16] = [0x11; 16];

pub const KIRA: u8 = 1;
pub const QUINN: u8 = 2;
pub const DORA: u8 = 3;

pub type Answer = Result<Vec<Appended>, Refusal>;

struct StandingClock;

impl TimeSource for StandingClock {
    fn wall_ms(&self) -> i64 {
        NOW_MS
    }
    fn elapsed_ms(&self) -> i64 {
        0
    }
}

fn instant(unix_ms: i64) -> pb::Instant {
    pb::Instant { unix_ms, offset_minutes: 0 }
}

pub fn key(person: u8) -> SigningKey {
    SigningKey::from_bytes(&[person; 32])
}

/// A UUIDv7 of a number.
pub fn id(number: u64) -> [u8; 16] {
    let mut id = [0x70; 16];
    id[8..].copy_from_slice(&(number | 1 << 63).to_be_bytes());
    id
}

fn fresh() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub fn grant(person: u8, role: Role) -> pb::KeyGrant {
    pb::KeyGrant {
        person_id: id(1_000_000 + u64::from(person)).to_vec(),
        printed_name: format!("Person {person}"),
        public_key: key(person).verifying_key().to_bytes().to_vec(),
        roles: vec![pb::RoleGrant {
            role: role.into(),
            facility_id: LAB.to_vec(),
            valid_from: Some(instant(NOW_MS - DAY_MS)),
            valid_until: Some(instant(NOW_MS + DAY_MS)),
        }],
    }
}

/// A record with its signings, before it is opened.
#[derive(Clone)]
pub struct Signed {
    pub record: pb::Record,
    pub signers: Vec<u8>,
}

impl Signed {
    pub fn signings(&self) -> Vec<Signing> {
        let digest = digest(&encode(&self.record));
        let slots = (0u8..).zip(&self.record.slots).zip(&self.signers);
        slots
            .map(|((slot, asked), person)| {
                let (role, meaning) = (asked.role(), asked.meaning());
                sign(&key(*person), digest, Statement { slot, role, meaning, signed_at_ms: NOW_MS - 500, offset_minutes: 0 })
            })
            .collect()
    }

    /// The head of its streams when it is their record number `seq`.
    pub fn head(&self, seq: u64) -> pb::Head {
        pb::Head { seq, hash: signed_hash(&digest(&encode(&self.record)), &self.signings()).to_vec() }
    }
}

/// Opens or opens again what stands on a gate.
pub fn ledger(gate: &Gate) -> Ledger {
    opened_with(gate, key(9)).unwrap()
}

/// Opens what stands on a gate with these keys of the log.
pub fn opened_with(gate: &Gate, log_keys: impl Into<LogKeys>) -> Result<Ledger, OpenFailure> {
    Ledger::open(Box::new(gate.clone()), log_keys, Box::new(StandingClock))
}

pub fn founding(name: &str) -> Signed {
    let event = Event::LedgerFounded(pb::LedgerFounded {
        name: name.to_owned(),
        training: false,
        log_public_key: key(9).verifying_key().to_bytes().to_vec(),
        rule_set: 1,
        first_facility: Some(pb::Facility {
            facility_id: LAB.to_vec(),
            code: "LAB".to_owned(),
            name: "Laboratory".to_owned(),
            racks: Vec::new(),
        }),
        grants: vec![
            grant(KIRA, Role::KeyAdministrator),
            grant(QUINN, Role::QualityAssurance),
            grant(DORA, Role::DonorPhysician),
        ],
    });
    let slots = [(KIRA, Role::KeyAdministrator, Meaning::Approved), (QUINN, Role::QualityAssurance, Meaning::Approved)];
    signed(name, event, &slots, (StreamKind::Authority, AUTHORITY_ID), None)
}

fn signed(
    origin: &str,
    event: Event,
    slots: &[(u8, Role, Meaning)],
    stream: (StreamKind, [u8; 16]),
    head: Option<pb::Head>,
) -> Signed {
    let record = pb::Record {
        origin: origin.to_owned(),
        record_id: id(fresh()).to_vec(),
        salt: vec![5; 16],
        slots: slots
            .iter()
            .map(|(_, role, meaning)| pb::SignatureSlot {
                role: (*role).into(),
                meaning: (*meaning).into(),
                facility_id: LAB.to_vec(),
            })
            .collect(),
        occurred_at: Some(instant(NOW_MS - 1_000)),
        streams: vec![pb::StreamExtension { kind: stream.0.into(), id: stream.1.to_vec(), head }],
        cites: Vec::new(),
        note: None,
        event: Some(event),
    };
    Signed { record, signers: slots.iter().map(|(person, ..)| *person).collect() }
}

/// A founded ledger.
pub struct World {
    pub gate: Gate,
    pub ledger: Ledger,
    /// Head of the authority's stream after the founding.
    pub founded: pb::Head,
}

impl World {
    pub fn new() -> World {
        World::founded_by(&founding("example.org/lab"))
    }

    /// A ledger of this founding; two of the same one are copies of each other until they grow.
    pub fn founded_by(founding: &Signed) -> World {
        let gate = Gate::default();
        let ledger = ledger(&gate);
        let founded = founding.head(1);
        let world = World { gate, ledger, founded };
        accepted(world.answer(&[founding]));
        world
    }

    fn origin(&self) -> String {
        self.ledger.origin().unwrap().to_string()
    }

    /// Registers a donor: a fact.
    pub fn donor(&self, number: u64) -> Signed {
        let event = Event::DonorRegistered(pb::DonorRegistered { donor_code: format!("D-{number}"), birth_year: 1990 });
        let slots = [(DORA, Role::DonorPhysician, Meaning::Performed)];
        signed(&self.origin(), event, &slots, (StreamKind::Donor, id(2_000_000 + number)), None)
    }

    /// Enrols a person: an authorisation, which must have seen the head of the authority's stream.
    pub fn enrolment(&self, person: u8, head: &pb::Head) -> Signed {
        let event = Event::KeyGranted(pb::KeyGranted { grant: Some(grant(person, Role::Operator)) });
        let slots = [(KIRA, Role::KeyAdministrator, Meaning::Approved), (QUINN, Role::QualityAssurance, Meaning::Approved)];
        signed(&self.origin(), event, &slots, (StreamKind::Authority, AUTHORITY_ID), Some(head.clone()))
    }

    /// The log's key is followed by another.
    pub fn rotation(&self, successor: u8) -> Signed {
        let origin = self.origin();
        let event = Event::LogKeyRotated(pb::LogKeyRotated {
            log_public_key: key(successor).verifying_key().to_bytes().to_vec(),
            possession: possess(&key(successor), key(9).verifying_key().as_bytes(), &origin).to_vec(),
            reason: "it is time".to_owned(),
        });
        let slots = [(KIRA, Role::KeyAdministrator, Meaning::Approved), (QUINN, Role::QualityAssurance, Meaning::Approved)];
        signed(&origin, event, &slots, (StreamKind::Authority, AUTHORITY_ID), Some(self.founded.clone()))
    }

    pub fn opened(&self, signed: &Signed) -> OpenedRecord {
        self.opened_with(signed, signed.signings())
    }

    pub fn opened_with(&self, signed: &Signed, signings: Vec<Signing>) -> OpenedRecord {
        open(encode(&signed.record), signings, self.ledger.keyring().as_ref()).unwrap()
    }

    /// Submits records that are appended together or not at all.
    pub fn submit(&self, records: &[&Signed]) -> Receiver<Answer> {
        self.ledger.submit(records.iter().map(|r| self.opened(r)).collect()).unwrap()
    }

    pub fn answer(&self, records: &[&Signed]) -> Answer {
        self.submit(records).blocking_recv().unwrap()
    }

    /// Whether a record is nowhere to be seen.
    pub fn is_unknown(&self, signed: &Signed) -> bool {
        let record_id = marrowline_record::id::RecordId::from_slice(&signed.record.record_id).unwrap();
        self.ledger.index_of(&record_id).unwrap().is_none()
    }
}

/// The one record that was appended.
pub fn accepted(answer: Answer) -> Appended {
    let mut appended = answer.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    assert_eq!(appended.len(), 1);
    appended.remove(0)
}

/// Why nothing was appended.
pub fn refused(answer: Answer) -> Refusal {
    answer.expect_err("refused")
}
