//! Events as JSON that a person can read and write.
//!
//! Names are those of the proto. UUIDs are written with hyphens, other bytes as lower-case hex, enum values without their prefix
//! (`ELIGIBLE`), instants as `2026-11-23 09:10:00 +03:00`, 64-bit numbers as numbers. Reading takes the same forms, `new` for a UUID
//! that is to be made, and numbers and yes or no as text, since options are text.

use std::sync::OnceLock;

use marrowline_record::instant;
use marrowline_record::pb;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _,
    Value,
};
use serde_json::{Map, Value as Json};

use crate::{names, write};

/// A field that does not say what it should.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("field {path}: found {found}; allowed {allowed}")]
pub struct JsonError {
    /// Path of the field.
    pub path: String,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
}

/// The descriptors of all records.
pub fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| DescriptorPool::decode(marrowline_record::descriptor::FILE_DESCRIPTOR_SET).unwrap_or_default())
}

/// The record as JSON.
pub fn record_to_json(record: &pb::Record) -> Option<Json> {
    let descriptor = pool().get_message_by_name("marrowline.v1.Record")?;
    let message = DynamicMessage::decode(descriptor, record.encode_to_vec().as_slice()).ok()?;
    Some(message_to_json(&message))
}

/// A record with only its event, from JSON such as `{"culture_seeded": {…}}`.
pub fn event_from_json(json: &Json, new_id: &mut dyn FnMut() -> [u8; 16]) -> Result<pb::record::Event, JsonError> {
    let wrong = |found: String, allowed: &str| JsonError { path: "event".to_owned(), found, allowed: allowed.to_owned() };
    let descriptor = pool()
        .get_message_by_name("marrowline.v1.Record")
        .ok_or_else(|| wrong("no descriptor".to_owned(), "the record's descriptor"))?;
    let object = json.as_object().filter(|o| o.len() == 1);
    let Some((name, body)) = object.and_then(|o| o.iter().next()) else {
        return Err(wrong(short(json), "an object with one field, the event's name"));
    };
    let field = descriptor
        .get_field_by_name(name)
        .filter(|f| f.containing_oneof().is_some())
        .ok_or_else(|| wrong(format!("`{name}`"), "an event's name; `marrowline append --template` lists them"))?;
    let mut record = DynamicMessage::new(descriptor.clone());
    let value = field_from_json(&field, body, name, new_id)?;
    record.set_field(&field, value);
    pb::Record::decode(record.encode_to_vec().as_slice())
        .ok()
        .and_then(|r| r.event)
        .ok_or_else(|| wrong(format!("`{name}`"), "an event"))
}

/// A JSON object that names every field of an event, with a word about each value.
pub fn template(event: &str) -> Option<Json> {
    let record = pool().get_message_by_name("marrowline.v1.Record")?;
    let field = record.get_field_by_name(event).filter(|f| f.containing_oneof().is_some())?;
    let Kind::Message(message) = field.kind() else {
        return None;
    };
    let mut object = Map::new();
    object.insert(event.to_owned(), message_template(&message));
    Some(Json::Object(object))
}

fn message_template(message: &MessageDescriptor) -> Json {
    if message.full_name() == "marrowline.v1.Instant" {
        return Json::from("2026-11-23 09:10:00 +03:00");
    }
    let mut object = Map::new();
    for field in message.fields() {
        let value = match field.kind() {
            Kind::Message(inner) => message_template(&inner),
            Kind::Enum(values) => Json::from(enum_names(&values).join("|")),
            Kind::Bytes if ["hold_id", "deviation_id", "recall_id", "look_back_id"].contains(&field.name()) => {
                Json::from("32 bytes, hex")
            }
            Kind::Bytes => Json::from(if field.name().contains("digest") || field.name().contains("key") {
                "64 hex digits"
            } else if field.name().ends_with("_id") || field.name().ends_with("_ids") {
                if names::named_thing(field.name()).is_some() { "UUID or new or code" } else { "UUID or new" }
            } else {
                "hex"
            }),
            // Nothing that could be recorded by mistake.
            Kind::String => Json::from(""),
            Kind::Bool => Json::from(false),
            _ => Json::from(0),
        };
        let value = if field.cardinality() == Cardinality::Repeated { Json::Array(vec![value]) } else { value };
        object.insert(field.name().to_owned(), value);
    }
    Json::Object(object)
}

/// A message as JSON; absent fields are left out.
pub fn message_to_json(message: &DynamicMessage) -> Json {
    let mut object = Map::new();
    for (field, value) in message.fields() {
        object.insert(field.name().to_owned(), value_to_json(&field, value));
    }
    Json::Object(object)
}

fn value_to_json(field: &FieldDescriptor, value: &Value) -> Json {
    match value {
        Value::List(items) => Json::Array(items.iter().map(|v| value_to_json(field, v)).collect()),
        Value::Message(message) if message.descriptor().full_name() == "marrowline.v1.Instant" => {
            message.transcode_to::<pb::Instant>().map_or(Json::Null, |i| Json::from(instant::format(i.unix_ms, i.offset_minutes)))
        }
        Value::Message(message) => message_to_json(message),
        Value::EnumNumber(number) => match field.kind() {
            Kind::Enum(values) => {
                values.get_value(*number).map_or_else(|| Json::from(*number), |v| Json::from(enum_name(&values, v.name())))
            }
            _ => Json::from(*number),
        },
        Value::Bytes(bytes) => Json::from(bytes_to_text(bytes)),
        Value::String(text) => Json::from(text.as_str()),
        Value::Bool(flag) => Json::from(*flag),
        Value::I32(n) => Json::from(*n),
        Value::I64(n) => Json::from(*n),
        Value::U32(n) => Json::from(*n),
        Value::U64(n) => Json::from(*n),
        Value::F32(_) | Value::F64(_) | Value::Map(_) => Json::Null,
    }
}

/// A UUID for 16 bytes, hex for anything else.
pub fn bytes_to_text(bytes: &[u8]) -> String {
    uuid::Uuid::from_slice(bytes).map_or_else(|_| hex::encode(bytes), |id| id.hyphenated().to_string())
}

fn field_from_json(
    field: &FieldDescriptor,
    json: &Json,
    path: &str,
    new_id: &mut dyn FnMut() -> [u8; 16],
) -> Result<Value, JsonError> {
    if field.cardinality() != Cardinality::Repeated {
        return value_from_json(field, json, path, new_id);
    }
    let items = json.as_array().ok_or_else(|| error(path, json, "a list"))?;
    let mut list = Vec::with_capacity(items.len());
    for (number, item) in items.iter().enumerate() {
        list.push(value_from_json(field, item, &format!("{path}[{number}]"), new_id)?);
    }
    Ok(Value::List(list))
}

fn value_from_json(
    field: &FieldDescriptor,
    json: &Json,
    path: &str,
    new_id: &mut dyn FnMut() -> [u8; 16],
) -> Result<Value, JsonError> {
    let text = json.as_str();
    match field.kind() {
        Kind::Message(message) if message.full_name() == "marrowline.v1.Instant" => {
            let parsed = text.and_then(write::time);
            let instant = parsed.ok_or_else(|| error(path, json, "a time with offset, such as 2026-11-23 09:10:00 +03:00"))?;
            let mut value = DynamicMessage::new(message);
            value.transcode_from(&instant).map_err(|_| error(path, json, "a time with offset"))?;
            Ok(Value::Message(value))
        }
        Kind::Message(message) => message_from_json(&message, json, path, new_id).map(Value::Message),
        Kind::Enum(values) => text
            .and_then(|t| values.values().find(|v| enum_name(&values, v.name()) == t || v.name() == t))
            .map(|v| Value::EnumNumber(v.number()))
            .ok_or_else(|| error(path, json, &enum_names(&values).join(", "))),
        Kind::Bytes => text
            .and_then(|t| bytes_from_text(t, new_id))
            .map(|b| Value::Bytes(b.into()))
            .ok_or_else(|| error(path, json, "a UUID, `new`, or hex")),
        Kind::String => text.map(|t| Value::String(t.to_owned())).ok_or_else(|| error(path, json, "text in quotes")),
        Kind::Bool => {
            json.as_bool().or_else(|| text?.parse().ok()).map(Value::Bool).ok_or_else(|| error(path, json, "true or false"))
        }
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => json
            .as_i64()
            .or_else(|| text?.replace('_', "").parse().ok())
            .and_then(|n| i32::try_from(n).ok())
            .map(Value::I32)
            .ok_or_else(|| error(path, json, "a whole number of 32 bits")),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => json
            .as_i64()
            .or_else(|| text?.replace('_', "").parse().ok())
            .map(Value::I64)
            .ok_or_else(|| error(path, json, "a whole number")),
        Kind::Uint32 | Kind::Fixed32 => json
            .as_u64()
            .or_else(|| text?.replace('_', "").parse().ok())
            .and_then(|n| u32::try_from(n).ok())
            .map(Value::U32)
            .ok_or_else(|| error(path, json, "a whole number from 0, of 32 bits")),
        Kind::Uint64 | Kind::Fixed64 => json
            .as_u64()
            .or_else(|| text?.replace('_', "").parse().ok())
            .map(Value::U64)
            .ok_or_else(|| error(path, json, "a whole number from 0")),
        Kind::Float | Kind::Double => Err(error(path, json, "no floating point in records")),
    }
}

fn message_from_json(
    descriptor: &MessageDescriptor,
    json: &Json,
    path: &str,
    new_id: &mut dyn FnMut() -> [u8; 16],
) -> Result<DynamicMessage, JsonError> {
    let object = json.as_object().ok_or_else(|| error(path, json, "an object"))?;
    let mut message = DynamicMessage::new(descriptor.clone());
    for (name, value) in object {
        let below = format!("{path}.{name}");
        let field = descriptor.get_field_by_name(name).ok_or_else(|| {
            let names: Vec<_> = descriptor.fields().map(|f| f.name().to_owned()).collect();
            error(&below, value, &names.join(", "))
        })?;
        message.set_field(&field, field_from_json(&field, value, &below, new_id)?);
    }
    Ok(message)
}

fn bytes_from_text(text: &str, new_id: &mut dyn FnMut() -> [u8; 16]) -> Option<Vec<u8>> {
    if text == "new" {
        return Some(new_id().to_vec());
    }
    if text.contains('-') {
        return uuid::Uuid::parse_str(text).ok().map(|id| id.as_bytes().to_vec());
    }
    hex::decode(text).ok()
}

/// `ELIGIBILITY_ELIGIBLE` of `Eligibility` is `ELIGIBLE`.
fn enum_name(values: &EnumDescriptor, name: &str) -> String {
    let mut prefix = String::new();
    for (number, letter) in values.name().chars().enumerate() {
        if letter.is_uppercase() && number > 0 {
            prefix.push('_');
        }
        prefix.extend(letter.to_uppercase());
    }
    prefix.push('_');
    name.strip_prefix(&prefix).unwrap_or(name).to_owned()
}

fn enum_names(values: &EnumDescriptor) -> Vec<String> {
    values.values().filter(|v| v.number() != 0).map(|v| enum_name(values, v.name())).collect()
}

fn error(path: &str, found: &Json, allowed: &str) -> JsonError {
    JsonError { path: path.to_owned(), found: short(found), allowed: allowed.to_owned() }
}

fn short(json: &Json) -> String {
    let text: String = json.to_string().chars().take(60).collect();
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use marrowline_record::EventKind;

    #[test]
    fn every_event_goes_to_json_and_back_unchanged() {
        for kind in EventKind::all() {
            for seed in 0..4 {
                let record = marrowline_record::testing::sample(*kind, seed);
                let json = record_to_json(&record).unwrap();
                let name = kind.field_name();
                let mut object = Map::new();
                object.insert(name.to_owned(), json.get(name).unwrap().clone());
                let mut never = || panic!("no id is to be made");
                let event = event_from_json(&Json::Object(object), &mut never).unwrap();
                assert_eq!(Some(event), record.event, "{name}");
            }
        }
    }

    #[test]
    fn every_event_has_a_template() {
        for kind in EventKind::all() {
            assert!(template(kind.field_name()).is_some(), "{}", kind.field_name());
        }
        assert!(template("nothing").is_none());
        let moved = template("custody_relinquished").unwrap();
        assert_eq!(moved.pointer("/custody_relinquished/unit_ids/0"), Some(&Json::from("UUID or new or code")));
        assert_eq!(
            template("hold_set").unwrap().pointer("/hold_set/reason"),
            Some(&Json::from("")),
            "nobody records a placeholder"
        );
        // What is no UUID must not be made anew.
        assert_eq!(template("hold_lifted").unwrap().pointer("/hold_lifted/hold_id"), Some(&Json::from("32 bytes, hex")));
        assert_eq!(
            template("deviation_closed").unwrap().pointer("/deviation_closed/deviation_id"),
            Some(&Json::from("32 bytes, hex"))
        );
    }

    #[test]
    fn a_wrong_field_is_named() {
        let json = serde_json::json!({"subject_weighed": {"weight_grams": "70kg", "method": "MEASURED"}});
        let error = event_from_json(&json, &mut || [0; 16]).unwrap_err();
        assert_eq!(error.path, "subject_weighed.weight_grams");
        let json = serde_json::json!({"subject_weighed": {"weight": 1}});
        assert_eq!(event_from_json(&json, &mut || [0; 16]).unwrap_err().path, "subject_weighed.weight");
    }
}
