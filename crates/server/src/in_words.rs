//! Records in words, for people who are asked to sign them: every field with its path, ids with the codes that people know.

use std::sync::{Arc, OnceLock};

use marrowline_api::v1::FieldInWords;
use marrowline_ledger::Snapshot;
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Record, StreamKind};
use marrowline_record::{EventKind, instant};
use marrowline_rules::View as _;
use marrowline_rules::index::{IndexKey, lot_of_unit, subject_of_dose};
use marrowline_rules::state::{Donor, Lot, Stream, Subject};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, Kind, ReflectMessage as _, Value};

use crate::auth::Person;
use crate::{reading, views};

fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(marrowline_record::descriptor::FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// Every field of the record's event.
pub fn fields(snapshot: &Snapshot, person: &Person, record: &Record) -> Vec<FieldInWords> {
    let event = Record { event: record.event.clone(), ..Record::default() };
    let descriptor = pool().get_message_by_name("marrowline.v1.Record");
    let message = descriptor.and_then(|d| DynamicMessage::decode(d, event.encode_to_vec().as_slice()).ok());
    let mut words = Words { snapshot, person, record, fields: Vec::new() };
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
        fields.extend(amended(snapshot, person, e));
    }
    fields
}

/// What a record says now, and what it is to say: nobody signs an amendment as a row of hexadecimal digits.
fn amended(snapshot: &Snapshot, person: &Person, e: &pb::RecordAmended) -> Vec<FieldInWords> {
    let target = e.target.as_ref().and_then(|target| RecordId::from_slice(&target.record_id)).and_then(|id| snapshot.entry(&id));
    let before = target.map(|entry| fields(snapshot, person, &entry.record)).unwrap_or_default();
    let after = marrowline_record::decode(&e.replacement).map(|record| fields(snapshot, person, &record)).unwrap_or_default();
    let under = |name: &str, fields: Vec<FieldInWords>| {
        let prefixed = |field: FieldInWords| FieldInWords { path: format!("{name}.{}", field.path), value: field.value };
        fields.into_iter().map(prefixed).collect::<Vec<_>>()
    };
    [under("before", before), under("after", after)].concat()
}

/// The streams that it extends.
pub fn streams(snapshot: &Snapshot, record: &Record) -> Vec<String> {
    record.streams.iter().map(|extended| stream_in_words(snapshot, extended, true)).collect()
}

fn stream_in_words(snapshot: &Snapshot, extended: &pb::StreamExtension, with_id: bool) -> String {
    let word = extended.kind().as_str_name().trim_start_matches("STREAM_KIND_").to_lowercase();
    if extended.kind() == StreamKind::Authority {
        return word;
    }
    let uuid = uuid::Uuid::from_slice(&extended.id).unwrap_or_default();
    match (code_of(snapshot, &Id16(uuid.into_bytes())), with_id) {
        (Some(code), true) => format!("{word} {code} ({uuid})"),
        (Some(code), false) => format!("{word} {code}"),
        (None, _) => format!("{word} {uuid}"),
    }
}

struct Words<'a> {
    snapshot: &'a Snapshot,
    person: &'a Person,
    record: &'a Record,
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
            Value::Bytes(bytes) => id_in_words(self.snapshot, self.person, self.record, bytes),
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

/// What people know a thing by, with its id; the id alone, or any other bytes, otherwise.
fn id_in_words(snapshot: &Snapshot, person: &Person, record: &Record, bytes: &[u8]) -> String {
    if let Ok(id) = <[u8; 16]>::try_from(bytes) {
        let uuid = uuid::Uuid::from_bytes(id);
        let said = code_of(snapshot, &Id16(id))
            .or_else(|| order(snapshot, person, record, &Id16(id)))
            .or_else(|| supply(snapshot, person, record, &Id16(id)))
            .or_else(|| logged(snapshot, person, &RecordId(id)));
        return said.map_or_else(|| uuid.to_string(), |said| format!("{said} ({uuid})"));
    }
    let digits = hex::encode(bytes);
    let named = <[u8; 32]>::try_from(bytes).ok().and_then(|id| {
        kept(snapshot, person, record, &id).or_else(|| {
            let record = snapshot.lookup(&IndexKey::Digest(id))?;
            logged(snapshot, person, &RecordId(record))
        })
    });
    named.map_or_else(|| digits.clone(), |said| format!("{said} ({digits})"))
}

/// A record in the log, as far as the reader may see it: its event and its time.
fn logged(snapshot: &Snapshot, person: &Person, id: &RecordId) -> Option<String> {
    let entry = snapshot.entry(id).filter(|entry| reading::may_read_entry(person, snapshot, entry))?;
    Some(format!("{} of {}", EventKind::of(entry.event()?).name(), at(&entry)))
}

fn at(entry: &Entry) -> String {
    entry.record.occurred_at.map(|at| instant::format(at.unix_ms, at.offset_minutes)).unwrap_or_default()
}

fn streams_of(snapshot: &Snapshot, person: &Person, record: &Record) -> Vec<(String, Arc<Stream>)> {
    let readable = |extended: &pb::StreamExtension| {
        let kind = extended.kind();
        let stream = snapshot.stream(kind, &Id16(extended.id.as_slice().try_into().ok()?))?;
        reading::may_read(person, kind, stream.upkeep()).then(|| (stream_in_words(snapshot, extended, false), stream))
    };
    record.streams.iter().filter_map(readable).collect()
}

/// An order of a subject that the record is about: when it was given, and by whom.
fn order(snapshot: &Snapshot, person: &Person, record: &Record, id: &Id16) -> Option<String> {
    let subjects = streams_of(snapshot, person, record);
    let found = subjects.iter().find_map(|(_, stream)| match stream.as_ref() {
        Stream::Subject(subject) => subject.orders.iter().find(|order| order.id == *id).map(|order| order.record_id),
        _ => None,
    })?;
    let entry = snapshot.entry(&found)?;
    let authority = snapshot.authority();
    let people: Vec<String> = entry.signings.iter().map(|s| views::signature(s, &authority).printed_name).collect();
    Some(format!("order of {} by {}", at(&entry), people.join(" and ")))
}

/// A reagent lot of a facility for which the record is signed, a device, or a sample of a lot that it is about.
fn supply(snapshot: &Snapshot, person: &Person, record: &Record, id: &Id16) -> Option<String> {
    let facilities =
        record.slots.iter().filter_map(|slot| snapshot.facility(&Id16(slot.facility_id.as_slice().try_into().ok()?)));
    let mut readable = facilities.filter(|facility| reading::may_read(person, StreamKind::Facility, &facility.upkeep));
    let reagent = readable.find_map(|facility| {
        let event = &facility.reagents.get(id)?.event;
        Some(format!("{} {}", event.supplier_lot_code, event.name))
    });
    let device = || {
        let device = snapshot.equipment(id).filter(|device| reading::may_read(person, StreamKind::Equipment, &device.upkeep))?;
        device.standings.last().map(|standing| format!("{} {}", standing.event.code, standing.event.name))
    };
    let sample = || {
        streams_of(snapshot, person, record).iter().find_map(|(_, stream)| match stream.as_ref() {
            Stream::Lot(lot) => lot.samples.get(id).map(|sample| format!("sample {}", sample.code)),
            _ => None,
        })
    };
    reagent.or_else(device).or_else(sample)
}

/// A hold, deviation, recall or look-back on a stream that the record is about: its code, on what, since when and by which record.
fn kept(snapshot: &Snapshot, person: &Person, record: &Record, id: &[u8; 32]) -> Option<String> {
    let since = |record_id: &RecordId| {
        let entry = snapshot.entry(record_id);
        let (event, when) =
            entry.map(|e| (e.event().map_or("", |event| EventKind::of(event).name()), at(&e))).unwrap_or_default();
        format!("since {when} by {event} {record_id}")
    };
    streams_of(snapshot, person, record).iter().find_map(|(thing, stream)| {
        let upkeep = stream.upkeep();
        if let Some(hold) = upkeep.holds.iter().find(|hold| hold.id == *id) {
            let codes =
                hold.unit_ids.iter().chain(&hold.dose_id).map(|id| code_of(snapshot, id).unwrap_or_else(|| id.to_string()));
            let what: Vec<String> = codes.collect();
            let on = if what.is_empty() { thing.clone() } else { format!("{thing}: {}", what.join(", ")) };
            return Some(format!("hold {} on {on}, {}", hold.code, since(&hold.record_id)));
        }
        let deviation = upkeep.deviations.iter().find(|deviation| deviation.id == *id);
        let deviation = deviation.map(|d| format!("deviation {} on {thing}, {}", d.code, since(&d.record_id)));
        deviation.or_else(|| {
            let recall = upkeep.recalls.iter().find(|recall| recall.id == *id)?;
            Some(format!("{} on {thing}, {}", recall.code, since(&recall.record_id)))
        })
    })
}

fn code_of(snapshot: &Snapshot, id: &Id16) -> Option<String> {
    if let Some(facility) = snapshot.authority().facility(id) {
        return Some(facility.code.clone());
    }
    if let Some(lot) = lot_of_unit(snapshot, id).and_then(|lot| snapshot.lot(&lot)) {
        return lot.units.get(id).map(|unit| unit.code.clone());
    }
    if let Some(subject) = subject_of_dose(snapshot, id).and_then(|subject| snapshot.subject(&subject)) {
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
