//! Building and signing a record.

use std::time::{SystemTime, UNIX_EPOCH};

use ed25519_dalek::SigningKey;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::{self, Signing, Statement};
use marrowline_record::{digest, encode};

use crate::ClientError;

/// A record before it is encoded.
#[derive(Clone, Debug)]
pub struct Draft {
    record: pb::Record,
}

/// Without randomness nothing can be built: the salt would not hide a withheld record.
fn random_16() -> Result<[u8; 16], ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|e| ClientError::Randomness(e.to_string()))?;
    Ok(bytes)
}

/// A new UUIDv7.
pub fn new_id() -> [u8; 16] {
    *uuid::Uuid::now_v7().as_bytes()
}

/// The machine's time with this offset.
pub fn now(offset_minutes: i32) -> pb::Instant {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    pb::Instant { unix_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX), offset_minutes }
}

impl Draft {
    /// A record about an event, for the ledger of this origin (or name, for a founding).
    pub fn new(origin: &str, event: Event, occurred_at: pb::Instant) -> Result<Draft, ClientError> {
        Ok(Draft {
            record: pb::Record {
                origin: origin.to_owned(),
                record_id: new_id().to_vec(),
                salt: random_16()?.to_vec(),
                slots: Vec::new(),
                occurred_at: Some(occurred_at),
                streams: Vec::new(),
                cites: Vec::new(),
                note: None,
                event: Some(event),
            },
        })
    }

    /// Adds a signature slot.
    pub fn slot(mut self, role: Role, meaning: Meaning, facility_id: [u8; 16]) -> Draft {
        self.record.slots.push(pb::SignatureSlot {
            role: role.into(),
            meaning: meaning.into(),
            facility_id: facility_id.to_vec(),
        });
        self
    }

    /// Adds a stream with the head that was seen in it.
    pub fn stream(mut self, kind: StreamKind, id: [u8; 16], head: Option<pb::Head>) -> Draft {
        self.record.streams.push(pb::StreamExtension { kind: kind.into(), id: id.to_vec(), head });
        self.record.streams.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        self
    }

    /// Adds a reference to another record.
    pub fn cite(mut self, record_id: [u8; 16], digest: [u8; 32]) -> Draft {
        self.record.cites.push(pb::Cite { record_id: record_id.to_vec(), digest: digest.to_vec() });
        self
    }

    /// Sets the remark for people.
    pub fn note(mut self, note: &str) -> Draft {
        self.record.note = Some(note.to_owned());
        self
    }

    /// The record.
    pub fn record(&self) -> &pb::Record {
        &self.record
    }

    /// The bytes that are signed and stored.
    pub fn encode(&self) -> Vec<u8> {
        encode(&self.record)
    }

    /// Signs a slot of the encoded record.
    pub fn sign(&self, bytes: &[u8], slot: u8, key: &SigningKey, signed_at: &pb::Instant) -> Signing {
        sign(&self.record, bytes, slot, key, signed_at)
    }
}

/// Signs a slot of a record in its bytes.
pub fn sign(record: &pb::Record, bytes: &[u8], slot: u8, key: &SigningKey, signed_at: &pb::Instant) -> Signing {
    let asked = record.slots.get(usize::from(slot));
    let statement = Statement {
        slot,
        role: asked.map_or(Role::Unspecified, pb::SignatureSlot::role),
        meaning: asked.map_or(Meaning::Unspecified, pb::SignatureSlot::meaning),
        signed_at_ms: signed_at.unix_ms,
        offset_minutes: i16::try_from(signed_at.offset_minutes).unwrap_or(0),
    };
    signing::sign(key, digest(bytes), statement)
}
