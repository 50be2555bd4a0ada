//! Records that nobody meant well, signed by people who may sign: each is judged without a panic, and whatever is accepted can be folded.
//!
//! Records of every kind are put together at random and made nearly right: they extend streams that exist, at their heads, name things
//! that exist, and are signed in their slots. 4 000 in each run of the tests; `MARROWLINE_HOSTILE_CASES=1000000 cargo test --release -p
//! marrowline-rules --all-features --test hostile` for more.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::path::Path;

use marrowline_record::id::{Digest, Id16, StreamKey};
use marrowline_record::pb::{self, Role, StreamKind};
use marrowline_record::signing::{Signing, Statement, sign};
use marrowline_record::stream::stream_key;
use marrowline_record::testing::sample;
use marrowline_record::{EventKind, decode, digest, encode, open};
use marrowline_rules::Verdict;
use marrowline_rules::family::dose_check;
use marrowline_rules::table;
use marrowline_rules::testing::{MemoryView, Played, people};
use marrowline_rules::view::View as _;
use prost::Message as _;
use prost_reflect::{DynamicMessage, Value};

/// Records after which a ledger begins anew: streams would grow without end.
const RENEWED_AFTER: u64 = 1_000;

/// Numbers that look random and are the same every time (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn one_in(&mut self, most: u64) -> bool {
        self.next().is_multiple_of(most)
    }

    fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[usize::try_from(self.next() % items.len() as u64).unwrap()]
    }
}

fn cases() -> u64 {
    std::env::var("MARROWLINE_HOSTILE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000)
}

fn read(file: &str) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    std::fs::read_to_string(folder.join(file)).map_err(|e| format!("{file}: {e}"))
}

/// Whoever holds a role in the histories, and where.
fn holder(role: Role, noise: &mut Noise) -> (&'static str, &'static str) {
    match role {
        Role::KeyAdministrator => ("kira", "LAB"),
        Role::QualityAssurance => *noise.of(&[("quinn", "LAB"), ("quinn", "WARD"), ("quentin", "LAB")]),
        Role::QualifiedPerson => ("petra", "LAB"),
        Role::DonorPhysician => ("dora", "LAB"),
        Role::Collector => ("colin", "LAB"),
        Role::Operator => *noise.of(&[("olga", "LAB"), ("hugo", "WARD")]),
        Role::VerifyingOperator => *noise.of(&[("pavel", "LAB"), ("hanna", "WARD")]),
        Role::QcAnalyst => ("anna", "LAB"),
        Role::QcReviewer => ("rita", "LAB"),
        Role::Cryobank => ("cora", "LAB"),
        Role::Courier => ("curt", "LAB"),
        Role::Pharmacist => *noise.of(&[("paula", "WARD"), ("piotr", "WARD")]),
        Role::Investigator => ("ines", "WARD"),
        Role::Randomiser => ("rolf", "WARD"),
        _ => *noise.of(&[("nina", "WARD"), ("nora", "WARD")]),
    }
}

/// Names of things in the histories.
const THINGS: [&str; 20] = [
    "U1", "U2", "U3", "U4", "U5", "U6", "L1", "D1", "S1", "TRIAL", "PRODUCT", "DOSE", "ORDER", "SAMPLE", "P0", "P3", "LAB",
    "WARD", "FRZ", "FBS1",
];

fn stream_name(kind: StreamKind, noise: &mut Noise) -> &'static str {
    match kind {
        StreamKind::Donor => "D1",
        StreamKind::Lot => "L1",
        StreamKind::Subject => noise.of::<&str>(&["S1", "S2"]),
        StreamKind::Protocol => "TRIAL",
        StreamKind::Specification => "PRODUCT",
        StreamKind::Facility => "LAB",
        _ => "FRZ",
    }
}

struct Attacker<'a> {
    noise: Noise,
    origin: String,
    kinds: &'a [EventKind],
}

impl Attacker<'_> {
    /// A record that is nearly right.
    fn record(&mut self, view: &MemoryView, now_ms: i64) -> pb::Record {
        let seed = self.noise.next();
        let kind = *self.noise.of(self.kinds);
        let mut record = sample(kind, seed);
        record.origin.clone_from(&self.origin);
        let noise = &mut self.noise;
        record.occurred_at =
            Some(pb::Instant { unix_ms: now_ms - i64::try_from(noise.next() % 200_000).unwrap(), offset_minutes: 0 });
        record.cites.clear();
        self.name_things(&mut record, view);
        let noise = &mut self.noise;
        let event = record.event.as_ref().unwrap();
        let row = table::row_of(event);
        let kinds: Vec<StreamKind> = match row.streams {
            [] => vec![*noise.of(&[StreamKind::Lot, StreamKind::Subject, StreamKind::Donor])],
            rules => rules.iter().filter(|rule| rule.min > 0 || noise.one_in(2)).map(|rule| rule.kind).collect(),
        };
        record.streams = kinds.into_iter().map(|kind| extension(view, kind, noise)).collect();
        record.streams.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        let slots = row.slots.iter().map(|slot| {
            let role = *noise.of(slot.roles);
            let (_, place) = holder(role, noise);
            pb::SignatureSlot { role: role.into(), meaning: slot.meaning.into(), facility_id: people::id(place).0.to_vec() }
        });
        record.slots = slots.collect();
        record
    }

    /// Ids in the event become ids of things that exist, mostly.
    fn name_things(&mut self, record: &mut pb::Record, view: &MemoryView) {
        let descriptor = marrowline_record::testing::pool().get_message_by_name("marrowline.v1.Record").unwrap();
        let mut message = DynamicMessage::decode(descriptor, record.encode_to_vec().as_slice()).unwrap();
        let fields: Vec<_> =
            message.fields().map(|(field, _)| field).filter(|field| field.containing_oneof().is_some()).collect();
        for field in fields {
            if let Value::Message(event) = message.get_field_mut(&field) {
                self.rename(event, view);
            }
        }
        *record = pb::Record::decode(message.encode_to_vec().as_slice()).unwrap();
    }

    fn rename(&mut self, message: &mut DynamicMessage, view: &MemoryView) {
        let fields: Vec<_> = message.fields().map(|(field, _)| field).collect();
        for field in fields {
            match message.get_field_mut(&field) {
                Value::List(items) => items.iter_mut().for_each(|item| self.rename_value(item, view)),
                value => self.rename_value(value, view),
            }
        }
    }

    fn rename_value(&mut self, value: &mut Value, view: &MemoryView) {
        match value {
            Value::Message(inner) => self.rename(inner, view),
            Value::Bytes(bytes) if bytes.len() == 16 && !self.noise.one_in(8) => {
                let lot = view.lot(&people::id("L1"));
                let records: Vec<_> =
                    lot.iter().flat_map(|lot| lot.upkeep.signed.iter()).map(|signed| signed.record_id).collect();
                let id = if self.noise.one_in(4) && !records.is_empty() {
                    self.noise.of(&records).0
                } else {
                    people::id(self.noise.of::<&str>(&THINGS)).0
                };
                *bytes = id.to_vec().into();
            }
            Value::Bytes(bytes) if bytes.len() == 32 && self.noise.one_in(2) => {
                let lot = view.lot(&people::id("L1"));
                let holds: Vec<[u8; 32]> = lot.iter().flat_map(|lot| lot.upkeep.open_holds()).map(|hold| hold.id).collect();
                if !holds.is_empty() {
                    *bytes = self.noise.of(&holds).to_vec().into();
                }
            }
            _ => {}
        }
    }

    fn signings(&mut self, record: &pb::Record, of: Digest, now_ms: i64) -> Vec<Signing> {
        let mut signings = Vec::new();
        for (number, slot) in (0u8..).zip(&record.slots) {
            if self.noise.one_in(12) {
                continue;
            }
            let (who, _) = holder(slot.role(), &mut self.noise);
            let statement =
                Statement { slot: number, role: slot.role(), meaning: slot.meaning(), signed_at_ms: now_ms, offset_minutes: 0 };
            signings.push(sign(&people::signing_key(who), of, statement));
        }
        signings
    }
}

fn extension(view: &MemoryView, kind: StreamKind, noise: &mut Noise) -> pb::StreamExtension {
    let id = if kind == StreamKind::Authority { Id16([0; 16]) } else { people::id(stream_name(kind, noise)) };
    let key: StreamKey = stream_key(u8::try_from(i32::from(kind)).unwrap(), &id.0);
    let head = view.head(&key).map(|(seq, hash)| pb::Head { seq, hash: hash.to_vec() });
    pb::StreamExtension { kind: kind.into(), id: id.0.to_vec(), head: head.filter(|_| !noise.one_in(16)) }
}

/// The same bytes, spoiled somewhere.
fn spoil(noise: &mut Noise, bytes: &mut Vec<u8>) {
    let at = usize::try_from(noise.next() % bytes.len() as u64).unwrap();
    match noise.next() % 4 {
        0 => bytes.truncate(at),
        1 => bytes.insert(at, noise.next().to_le_bytes()[0]),
        2 => drop(bytes.remove(at)),
        _ => bytes[at] ^= 1 << (noise.next() % 8),
    }
}

#[test]
fn nothing_that_is_sent_makes_the_judge_panic() {
    let begin = Played::to_the_end_of("prepared_dose", &read).unwrap();
    let mut view = begin.view().clone();
    let founded = view.authority().founded.clone().unwrap();
    let origin = marrowline_record::origin::Origin::new(&founded.2.name, &founded.1).unwrap().to_string();
    let kinds: Vec<EventKind> = EventKind::all().iter().copied().filter(|kind| kind.name() != "LedgerFounded").collect();
    let mut attacker = Attacker { noise: Noise(0x6d61_7272_6f77_6c69), origin, kinds: &kinds };
    let start_ms = view.lot(&people::id("L1")).unwrap().upkeep.signed.last().unwrap().recorded_at_ms;
    let mut now_ms = start_ms;
    let (mut unread, mut refused, mut accepted) = (0u64, 0u64, 0u64);
    let mut codes = std::collections::BTreeSet::new();
    for case in 0..cases() {
        if case % RENEWED_AFTER == RENEWED_AFTER - 1 {
            view = begin.view().clone();
            now_ms = start_ms;
        }
        now_ms += 1_000;
        let record = attacker.record(&view, now_ms);
        let mut bytes = encode(&record);
        if attacker.noise.one_in(4) {
            spoil(&mut attacker.noise, &mut bytes);
        }
        let of = digest(&bytes);
        let signed = decode(&bytes).unwrap_or(record);
        let mut signings = attacker.signings(&signed, of, now_ms);
        if attacker.noise.one_in(16)
            && let Some(first) = signings.first_mut()
        {
            first.signature[usize::try_from(attacker.noise.next() % 64).unwrap()] ^= 1;
        }
        let Ok(opened) = open(bytes, signings, &view) else {
            unread += 1;
            continue;
        };
        match view.append(&opened, now_ms).unwrap() {
            Verdict::Accepted { flags } => {
                accepted += 1;
                codes.extend(flags.iter().map(|finding| finding.code.name));
            }
            Verdict::Refused { violations } => {
                refused += 1;
                codes.extend(violations.iter().map(|finding| finding.code.name));
            }
        }
        if case % 64 == 0 {
            let _ = dose_check::check(&view, &people::id("DOSE"), now_ms);
        }
    }
    println!("{unread} unread, {refused} refused, {accepted} accepted, {} different codes", codes.len());
    // Noise that reaches no rule would show nothing.
    assert!(unread > cases() / 10 && refused > cases() / 10 && accepted > cases() / 10, "{unread} {refused} {accepted}");
    assert!(codes.len() > 100, "only {} codes: {codes:?}", codes.len());
}

/// A new field that names an evidence file must not be forgotten by the index: attachments are read through it.
#[test]
fn every_evidence_digest_of_a_record_is_indexed() {
    use marrowline_rules::index::evidence;

    let mut with_evidence = 0;
    for kind in EventKind::all() {
        let record = sample(*kind, 7);
        let event = record.event.as_ref().unwrap();
        let descriptor = marrowline_record::testing::pool().get_message_by_name("marrowline.v1.Record").unwrap();
        let field = descriptor.get_field_by_name(kind.field_name()).unwrap();
        let names = ["document_digest", "evidence_digest", "certificate_digest"];
        let fields = field.kind().as_message().unwrap().clone();
        let is_evidence = names.iter().any(|name| fields.get_field_by_name(name).is_some());
        let optional = names.iter().any(|name| fields.get_field_by_name(name).is_some_and(|f| f.supports_presence()));
        assert!(evidence(event).is_some() == is_evidence || optional, "{kind}");
        with_evidence += usize::from(evidence(event).is_some());
    }
    assert!(with_evidence >= 4, "{with_evidence}");
}
