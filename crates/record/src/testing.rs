//! Valid sample records for tests, generated from the proto files and their shapes. Never in a released binary.
//!
//! Samples are well formed, not plausible: they pass [`decode`](crate::decode), and the rules would refuse most of them. The same kind
//! and seed always give the same record.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use ed25519_dalek::SigningKey;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage, Value};

use crate::descriptor::FILE_DESCRIPTOR_SET;
use crate::id::{Digest, KeyId};
use crate::key::{KeyRef, PublicKey};
use crate::pb::{self, StreamKind, record::Event};
use crate::signing::{Signing, Statement, sign};
use crate::{EventKind, MAX_RECORD_BYTES, din};

mod noise;

pub use noise::{Noise, cases};

/// The record's schema, for reflection.
pub fn pool() -> DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap_or_default()).clone()
}

/// A key for tests; `number` is all there is to know about it.
pub fn signing_key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

/// The public halves of [`signing_key`] 1 to 16.
pub fn keyring() -> BTreeMap<KeyId, KeyRef> {
    (1..=16)
        .filter_map(|number| PublicKey::parse(signing_key(number).verifying_key().as_bytes()).ok())
        .map(|key| (key.id(), Arc::new(key)))
        .collect()
}

/// Signings for every slot of a record with this digest: slot 0 with [`signing_key`] 1, slot 1 with 2, and so on.
pub fn sign_every_slot(record: &pb::Record, digest: Digest) -> Vec<Signing> {
    let slots = (0u8..).zip(&record.slots);
    slots
        .map(|(slot, asked)| {
            let statement = Statement {
                slot,
                role: asked.role(),
                meaning: asked.meaning(),
                signed_at_ms: record.occurred_at.as_ref().map_or(1, |at| at.unix_ms),
                offset_minutes: 60,
            };
            sign(&signing_key(slot + 1), digest, statement)
        })
        .collect()
}

/// A valid record with an event of this kind.
pub fn sample(kind: EventKind, seed: u64) -> pb::Record {
    let mut random = Noise(seed ^ u64::from(kind.number()) << 32);
    loop {
        let record = attempt(kind, &mut random);
        if record.encoded_len() <= MAX_RECORD_BYTES {
            return record;
        }
    }
}

fn attempt(kind: EventKind, random: &mut Noise) -> pb::Record {
    let Some(descriptor) = pool().get_message_by_name("marrowline.v1.Record") else {
        return pb::Record::default();
    };
    let generated = message(&descriptor, Some(kind), random);
    let mut record = pb::Record::decode(generated.encode_to_vec().as_slice()).unwrap_or_default();
    settle(&mut record, random);
    record
}

/// What no single field's shape can say: ids, origins, streams, check digits.
fn settle(record: &mut pb::Record, random: &mut Noise) {
    if let Some(version) = record.record_id.get_mut(6) {
        *version = 0x70 | *version & 0x0f;
    }
    if let Some(variant) = record.record_id.get_mut(8) {
        *variant = 0x80 | *variant & 0x3f;
    }
    for stream in &mut record.streams {
        if stream.kind() == StreamKind::Authority {
            stream.id = vec![0; 16];
        }
    }
    record.streams.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
    record.streams.dedup_by(|a, b| (a.kind, &a.id) == (b.kind, &b.id));
    record.origin = format!("example.org/ledger/{}", "0a".repeat(16));
    match &mut record.event {
        Some(Event::LedgerFounded(founded)) => {
            founded.name = "example.org/ledger".to_owned();
            record.origin.clone_from(&founded.name);
            for (number, grant) in (1u8..).zip(&mut founded.grants) {
                grant.public_key = signing_key(number).verifying_key().to_bytes().to_vec();
            }
        }
        Some(Event::UnitsFilled(filled)) => {
            for unit in &mut filled.units {
                unit.unit_code = label_code(random);
            }
        }
        Some(Event::DosePrepared(prepared)) => prepared.dose_code = label_code(random),
        _ => {}
    }
}

fn label_code(random: &mut Noise) -> String {
    let mut code = digits(random, 10);
    code.extend(din::digit_check(&code));
    code
}

fn digits(random: &mut Noise, count: usize) -> String {
    (0..count).filter_map(|_| char::from_digit(random.below(10) as u32, 10)).collect()
}

fn message(descriptor: &MessageDescriptor, event: Option<EventKind>, random: &mut Noise) -> DynamicMessage {
    let mut out = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        let shape = Shape::of(&field);
        let is_optional = field.field_descriptor_proto().proto3_optional();
        if field.containing_oneof().is_some() && !is_optional {
            if event.is_some_and(|kind| kind.number() == field.number()) {
                let value = item(&field, &shape, random);
                out.set_field(&field, value);
            }
        } else if field.is_list() {
            let least = shape.number("min_items").unwrap_or(0);
            let most = shape.number("max_items").unwrap_or(64).min(least + 3);
            let count = least + random.below((most - least + 1).unsigned_abs() as usize) as i64;
            let items = (0..count).map(|_| item(&field, &shape, random)).collect();
            out.set_field(&field, Value::List(items));
        } else if !is_optional || shape.is_required() || random.below(2) == 0 {
            let value = item(&field, &shape, random);
            out.set_field(&field, value);
        }
    }
    out
}

fn item(field: &FieldDescriptor, shape: &Shape, random: &mut Noise) -> Value {
    let is_plain = !field.field_descriptor_proto().proto3_optional();
    let exact = shape.number("exact_bytes");
    let max_bytes = |default| exact.or(shape.number("max_bytes")).unwrap_or(default).unsigned_abs() as usize;
    match field.kind() {
        Kind::Bool => Value::Bool(random.below(2) == 1),
        Kind::Uint32 => Value::U32(number(shape, is_plain.into(), u32::MAX.into(), random) as u32),
        Kind::Uint64 => Value::U64(number(shape, is_plain.into(), i64::MAX, random).unsigned_abs()),
        Kind::Int64 | Kind::Sint64 => Value::I64(number(shape, i64::MIN, i64::MAX, random)),
        Kind::Int32 | Kind::Sint32 => Value::I32(number(shape, i32::MIN.into(), i32::MAX.into(), random) as i32),
        Kind::Enum(e) => {
            let numbers: Vec<i32> = e.values().map(|v| v.number()).filter(|n| *n != 0).collect();
            Value::EnumNumber(numbers.get(random.below(numbers.len())).copied().unwrap_or(1))
        }
        Kind::String => Value::String(text(shape.number("text").unwrap_or(0), max_bytes(200), random)),
        Kind::Bytes => {
            let length = exact.map_or_else(|| 1 + random.below(64), |n| n.unsigned_abs() as usize);
            Value::Bytes((0..length).map(|_| random.number() as u8).collect::<Vec<u8>>().into())
        }
        Kind::Message(inner) => Value::Message(message(&inner, None, random)),
        _ => Value::Bool(false),
    }
}

/// A number within its bounds; often one of the bounds.
fn number(shape: &Shape, type_min: i64, type_max: i64, random: &mut Noise) -> i64 {
    let min = shape.number("min").unwrap_or(type_min);
    let max = shape.number("max").unwrap_or(type_max);
    match random.below(6) {
        0 => min,
        1 => max,
        2 => 127.clamp(min, max),
        3 => 128.clamp(min, max),
        _ => {
            let width = max.abs_diff(min) >> random.below(60);
            let some = random.below(width.saturating_add(1) as usize) as u64;
            if min >= 0 { min.saturating_add_unsigned(some).min(max) } else { (some as i64).clamp(min, max) }
        }
    }
}

fn text(kind: i64, max_bytes: usize, random: &mut Noise) -> String {
    const LINES: &[&str] = &["x", "Größe der Flasche, 5 µl", "posterior iliac crest", "第二批 ✓", "Żółć"];
    const DECIMALS: &[&str] = &["0", "-1", "0.50", "12.345", "1000000", "-0.001"];
    let pick = |from: &[&str], random: &mut Noise| from.get(random.below(from.len())).copied().unwrap_or("x").to_owned();
    match kind {
        1 => {
            let length = 1 + random.below(max_bytes.min(20));
            (0..length).map(|_| char::from(0x21 + random.below(0x5e) as u8)).collect()
        }
        2 => format!("{}\n{}", pick(LINES, random), pick(LINES, random)),
        3 => {
            let mut code = format!("G{}", digits(random, 12));
            code.extend(din::check_character(&code));
            code
        }
        4 => pick(DECIMALS, random),
        5 => format!("DE{}A{}{}", digits(random, 19), digits(random, 10), pick(&["00000000", "20271231"], random)),
        _ if random.below(8) == 0 => "n".repeat(max_bytes),
        _ => pick(LINES, random),
    }
}

/// The (shape) option of a field.
struct Shape(Option<DynamicMessage>);

impl Shape {
    fn of(field: &FieldDescriptor) -> Shape {
        let options = field.options();
        let extension = options.descriptor().parent_pool().get_extension_by_name("marrowline.v1.shape");
        Shape(extension.and_then(|e| options.has_extension(&e).then(|| options.get_extension(&e).as_message().cloned())?))
    }

    fn number(&self, name: &str) -> Option<i64> {
        let message = self.0.as_ref()?;
        let value = message.has_field_by_name(name).then(|| message.get_field_by_name(name))??;
        value.as_i64().or_else(|| value.as_u32().map(i64::from)).or_else(|| value.as_enum_number().map(i64::from))
    }

    fn is_required(&self) -> bool {
        self.0.as_ref().and_then(|m| m.get_field_by_name("required")?.as_bool()) == Some(true)
    }
}
