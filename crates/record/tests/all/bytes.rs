//! Records put together byte by byte, to hold what no encoder would write.

use marrowline_record::pb;
use marrowline_record::pb::record::Event;

/// A small valid record: a subject is weighed.
pub fn weighing() -> pb::Record {
    pb::Record {
        origin: format!("example.org/ledger/{}", "0a".repeat(16)),
        record_id: hex::decode("01928c5e7b1a7c3d9e4f5a6b7c8d9e0f").unwrap(),
        salt: (0x10..0x20).collect(),
        slots: vec![pb::SignatureSlot {
            role: pb::Role::Nurse.into(),
            meaning: pb::Meaning::Performed.into(),
            facility_id: vec![0x22; 16],
        }],
        occurred_at: Some(pb::Instant { unix_ms: 1_795_414_200_000, offset_minutes: 180 }),
        streams: vec![pb::StreamExtension {
            kind: pb::StreamKind::Subject.into(),
            id: vec![0x33; 16],
            head: Some(pb::Head { seq: 4, hash: vec![0x44; 32] }),
        }],
        cites: Vec::new(),
        note: None,
        event: Some(Event::SubjectWeighed(pb::SubjectWeighed {
            weight_grams: 70_000,
            method: pb::WeighingMethod::Measured.into(),
        })),
    }
}

/// The same frame around another event.
pub fn with_event(event: Event) -> pb::Record {
    pb::Record { event: Some(event), ..weighing() }
}

/// A variable-length integer.
pub fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A field with a number.
pub fn number(tag: u64, value: u64) -> Vec<u8> {
    [varint(tag << 3), varint(value)].concat()
}

/// A field with bytes, a text or a message.
pub fn delimited(tag: u64, value: &[u8]) -> Vec<u8> {
    [varint(tag << 3 | 2), varint(value.len() as u64), value.to_vec()].concat()
}

/// The valid record's fields as they stand on the wire, with their tags.
pub fn fields() -> Vec<(u64, Vec<u8>)> {
    use prost::Message as _;
    let record = weighing();
    let Some(Event::SubjectWeighed(weighed)) = &record.event else { unreachable!() };
    vec![
        (1, delimited(1, record.origin.as_bytes())),
        (2, delimited(2, &record.record_id)),
        (3, delimited(3, &record.salt)),
        (4, delimited(4, &record.slots[0].encode_to_vec())),
        (5, delimited(5, &record.occurred_at.unwrap().encode_to_vec())),
        (6, delimited(6, &record.streams[0].encode_to_vec())),
        (233, delimited(233, &weighed.encode_to_vec())),
    ]
}

/// The valid record with one field's bytes replaced.
pub fn replaced(tag: u64, bytes: Vec<u8>) -> Vec<u8> {
    fields().into_iter().flat_map(|(t, field)| if t == tag { bytes.clone() } else { field }).collect()
}

/// The valid record with bytes between two fields: after the field `tag`.
pub fn with_after(tag: u64, bytes: Vec<u8>) -> Vec<u8> {
    fields().into_iter().flat_map(|(t, field)| if t == tag { [field, bytes.clone()].concat() } else { field }).collect()
}

/// The frame around an event given as bytes.
pub fn with_event_bytes(tag: u64, event: &[u8]) -> Vec<u8> {
    replaced(233, delimited(tag, event))
}
