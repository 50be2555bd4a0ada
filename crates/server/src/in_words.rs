//! Records in words, for people who are asked to sign them: every field with its path, ids with the codes that people know.

use std::sync::OnceLock;

use marrowline_api::v1::FieldInWords;
use marrowline_ledger::Snapshot;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::instant;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Record, StreamKind};
use marrowline_rules::View as _;
use marrowline_rules::index::IndexKey;
use marrowline_rules::state::{Donor, Lot, Subject};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(marrowline_record::descriptor::FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// Every field of the record's event.
pub fn fields(snapshot: &Snapshot, record: &Record) -> Vec<FieldInWords> {
    let event = Record { event: record.event.clone(), ..Record::default() };
    let descriptor = pool().get_message_by_name("marrowline.v1.Record");
    let message = descriptor.and_then(|d| DynamicMessage::decode(d, event.encode_to_vec().as_slice()).ok());
    let mut words = Words { snapshot, fields: Vec::new() };
    let events: Vec<Value> =
        message.iter().flat_map(|m| m.fields().map(|(_, value)| value.clone()).collect::<Vec<_>>()).collect();
    for value in &events {
        if let Value::Message(inner) = value {
            words.message("", inner);
        }
    }
    let mut fields = words.fields;
    if let Some(Event::RecordAmended(e)) = &record.event {
        fields.retain(|field| field.path != "replacement");
        fields.extend(amended(snapshot, e));
    }
    fields
}

/// What a record says now, and what it is to say: nobody signs an amendment as a row of hexadecimal digits.
fn amended(snapshot: &Snapshot, e: &pb::RecordAmended) -> Vec<FieldInWords> {
    let target = e.target.as_ref().and_then(|target| RecordId::from_slice(&target.record_id)).and_then(|id| snapshot.entry(&id));
    let before = target.map(|entry| fields(snapshot, &entry.record)).unwrap_or_default();
    let after = marrowline_record::decode(&e.replacement).map(|record| fields(snapshot, &record)).unwrap_or_default();
    let under = |name: &str, fields: Vec<FieldInWords>| {
        let prefixed = |field: FieldInWords| FieldInWords { path: format!("{name}.{}", field.path), value: field.value };
        fields.into_iter().map(prefixed).collect::<Vec<_>>()
    };
    [under("before", before), under("after", after)].concat()
}

/// The streams that it extends.
pub fn streams(snapshot: &Snapshot, record: &Record) -> Vec<String> {
    let named = |extended: &pb::StreamExtension| {
        let word = extended.kind().as_str_name().trim_start_matches("STREAM_KIND_").to_lowercase();
        if extended.kind() == StreamKind::Authority { word } else { format!("{word} {}", id_in_words(snapshot, &extended.id)) }
    };
    record.streams.iter().map(named).collect()
}

struct Words<'a> {
    snapshot: &'a Snapshot,
    fields: Vec<FieldInWords>,
}

impl Words<'_> {
    fn message(&mut self, path: &str, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            let path = if path.is_empty() { field.name().to_owned() } else { format!("{path}.{}", field.name()) };
            match value {
                Value::List(items) => {
                    for (number, item) in items.iter().enumerate() {
                        self.value(&format!("{path}[{number}]"), &field, item);
                    }
                }
                value => self.value(&path, &field, value),
            }
        }
    }

    fn value(&mut self, path: &str, field: &FieldDescriptor, value: &Value) {
        let text = match value {
            Value::Message(inner) if inner.descriptor().name() == "Instant" => inner
                .transcode_to::<pb::Instant>()
                .map_or_else(|_| "unreadable".to_owned(), |at| instant::format(at.unix_ms, at.offset_minutes)),
            Value::Message(inner) => return self.message(path, inner),
            Value::EnumNumber(number) => enum_in_words(field, *number),
            Value::Bytes(bytes) => id_in_words(self.snapshot, bytes),
            Value::String(text) => text.clone(),
            Value::Bool(flag) => if *flag { "yes" } else { "no" }.to_owned(),
            Value::I32(n) => n.to_string(),
            Value::I64(n) => n.to_string(),
            Value::U32(n) => n.to_string(),
            Value::U64(n) => n.to_string(),
            Value::F32(_) | Value::F64(_) | Value::Map(_) | Value::List(_) => return,
        };
        self.fields.push(FieldInWords { path: path.to_owned(), value: text });
    }
}

fn enum_in_words(field: &FieldDescriptor, number: i32) -> String {
    let Kind::Enum(values) = field.kind() else {
        return number.to_string();
    };
    let name = values.get_value(number).map(|value| value.name().to_owned());
    let zero = values.default_value().name().trim_end_matches("UNSPECIFIED").to_owned();
    name.map_or_else(|| number.to_string(), |name| name.strip_prefix(&zero).unwrap_or(&name).to_owned())
}

/// The code that people know a thing by, with its id; the id alone, or any other bytes, otherwise.
fn id_in_words(snapshot: &Snapshot, bytes: &[u8]) -> String {
    let Ok(id) = <[u8; 16]>::try_from(bytes) else {
        return hex::encode(bytes);
    };
    let uuid = uuid::Uuid::from_bytes(id);
    code_of(snapshot, &Id16(id)).map_or_else(|| uuid.to_string(), |code| format!("{code} ({uuid})"))
}

fn code_of(snapshot: &Snapshot, id: &Id16) -> Option<String> {
    if let Some(facility) = snapshot.authority().facility(id) {
        return Some(facility.code.clone());
    }
    if let Some(lot) = snapshot.lookup(&IndexKey::Unit(id.0)).and_then(|lot| snapshot.lot(&Id16(lot))) {
        return lot.units.get(id).map(|unit| unit.code.clone());
    }
    if let Some(subject) = snapshot.lookup(&IndexKey::Dose(id.0)).and_then(|subject| snapshot.subject(&Id16(subject))) {
        return subject.dose(id).map(|dose| dose.code.clone());
    }
    let lot = |lot: &Lot| lot.opened.as_ref().map(|(_, e)| e.lot_code.clone());
    let subject = |subject: &Subject| subject.consents.first().map(|consent| consent.event.subject_code.clone());
    let donor = |donor: &Donor| donor.registered.as_ref().map(|(_, e)| e.donor_code.clone());
    snapshot
        .lot(id)
        .and_then(|found| lot(&found))
        .or_else(|| snapshot.subject(id).and_then(|found| subject(&found)))
        .or_else(|| snapshot.donor(id).and_then(|found| donor(&found)))
}
