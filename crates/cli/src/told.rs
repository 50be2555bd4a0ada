//! A record as people read it: its event, streams, time and every field. All of it is read from the bytes that are, or were, signed; from
//! the server come only the words beside ids.

use marrowline_client::v1::FieldInWords;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{Record, SignatureSlot, StreamKind};
use marrowline_record::{EventKind, instant};
use serde_json::Value;

use crate::names::Facilities;
use crate::{json, words};

/// The event's name.
pub fn event(record: &Record) -> &'static str {
    record.event.as_ref().map_or("?", |event| EventKind::of(event).name())
}

/// Streams, time, cited records, note and fields, one a line.
pub fn lines(record: &Record, fields: &[FieldInWords], streams: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for (number, extended) in record.streams.iter().enumerate() {
        let kind = words::lower(extended.kind().as_str_name(), "STREAM_KIND_");
        if extended.kind() == StreamKind::Authority {
            lines.push(format!("  on {kind}"));
        } else {
            let said = streams.get(number).and_then(|said| said.strip_prefix(&format!("{kind} ")));
            lines.push(format!("  on {kind} {}", words::with_code(&words::id(&extended.id), said)));
        }
    }
    if let Some(at) = &record.occurred_at {
        lines.push(format!("  at {}", instant::format(at.unix_ms, at.offset_minutes)));
    }
    lines.extend(record.cites.iter().map(|cite| format!("  cites {}", words::id(&cite.record_id))));
    lines.extend(record.note.iter().map(|note| format!("  note {note}")));
    for (path, value) in of_event(record, fields) {
        let said = words::with_code(&value, words::said(fields, &path));
        let share = value.parse().ok().filter(|_| path.ends_with("_basis_points")).map(|n| format!("  = {}", words::share(n)));
        lines.push(format!("  {path:32} {said}{}", share.unwrap_or_default()));
    }
    lines
}

/// Every field of the event with its path. An amendment is told as what the record says and what it is to say.
fn of_event(record: &Record, said: &[FieldInWords]) -> Vec<(String, String)> {
    let body = |record: &Record| {
        let name = EventKind::of(record.event.as_ref()?).field_name();
        json::record_to_json(record)?.get(name).cloned()
    };
    let mut fields = Vec::new();
    words::flatten("", &body(record).unwrap_or(Value::Null), &mut fields);
    if let Some(Event::RecordAmended(e)) = &record.event {
        fields.retain(|(path, _)| path != "replacement");
        let replacement = marrowline_record::decode(&e.replacement).ok();
        words::flatten("after", &replacement.as_ref().and_then(body).unwrap_or(Value::Null), &mut fields);
        // What it says now is the server's word; what is signed is what it is to say.
        let before = said.iter().filter(|field| field.path.starts_with("before."));
        fields.extend(before.map(|field| (field.path.clone(), field.value.clone())));
    }
    fields
}

/// Whom slots wait for: `awaits: pharmacist at HOSPITAL`.
pub fn awaits<'a>(slots: impl Iterator<Item = &'a SignatureSlot>, facilities: &Facilities) -> Option<String> {
    let each: Vec<String> =
        slots.map(|slot| format!("{} at {}", words::role(slot.role()), facilities.code(&slot.facility_id))).collect();
    (!each.is_empty()).then(|| format!("awaits: {}", each.join(" and ")))
}
