//! Record bytes: the digest over them, encoding, and the strict decoder.

use prost::Message as _;
use sha2::{Digest as _, Sha256};

use crate::id::{Digest, RecordId};
use crate::malformed::{Malformed, MalformedCode as Code};
use crate::origin::Origin;
use crate::pb::record::Event;
use crate::pb::{self, StreamKind};
use crate::{din, origin, shape, stream};

/// The most bytes of an encoded record. Larger evidence goes by its SHA-256 digest.
pub const MAX_RECORD_BYTES: usize = 8192;

const DOMAIN: &[u8] = b"marrowline/record/v1\n";

/// `SHA256("marrowline/record/v1\n" ‖ bytes)`: what people sign.
pub fn digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update(DOMAIN).chain_update(bytes).finalize().into())
}

/// The record's bytes. Canonical, but not checked: what [`decode`] refuses can be encoded.
pub fn encode(record: &pb::Record) -> Vec<u8> {
    record.encode_to_vec()
}

/// Reads a record strictly: within its size and its shape, in its only encoding, with a UUIDv7, ordered streams and a true origin.
///
/// What this accepts encodes to the same bytes again.
pub fn decode(bytes: &[u8]) -> Result<pb::Record, Malformed> {
    if bytes.len() > MAX_RECORD_BYTES {
        return Err(Malformed::new(
            Code::RecordTooLarge,
            "",
            format!("{} bytes", bytes.len()),
            format!("at most {MAX_RECORD_BYTES} bytes"),
        ));
    }
    shape::check(bytes)?;
    let record = pb::Record::decode(bytes)
        .map_err(|e| Malformed::new(Code::NotCanonical, "", format!("not read by the decoder: {e}"), "canonical bytes"))?;
    if encode(&record) != bytes {
        return Err(Malformed::new(Code::NotCanonical, "", "not what its content encodes to", "canonical bytes"));
    }
    check_record_id(&record)?;
    check_streams(&record)?;
    check_origin(&record)?;
    check_label_codes(&record)?;
    Ok(record)
}

fn check_record_id(record: &pb::Record) -> Result<(), Malformed> {
    match RecordId::from_slice(&record.record_id) {
        Some(_) => Ok(()),
        None => Err(Malformed::new(Code::RecordIdNotUuidv7, "record_id", "another kind of id", "a UUIDv7")),
    }
}

fn check_streams(record: &pb::Record) -> Result<(), Malformed> {
    let keys = || record.streams.iter().map(|s| (s.kind, s.id.as_slice()));
    for (position, (this, next)) in keys().zip(keys().skip(1)).enumerate() {
        if this >= next {
            return Err(Malformed::new(
                Code::StreamsNotAscending,
                format!("streams[{}]", position + 1),
                "not after the one before it",
                "streams ascending by kind and id, each once",
            ));
        }
    }
    for (position, extension) in record.streams.iter().enumerate() {
        let is_authority = extension.kind() == StreamKind::Authority;
        if is_authority != (extension.id == stream::AUTHORITY_ID) {
            return Err(Malformed::new(
                Code::StreamIdWrong,
                format!("streams[{position}].id"),
                if is_authority { "not zero" } else { "zero" },
                "16 zero bytes for the authority stream and for no other",
            ));
        }
    }
    Ok(())
}

fn check_origin(record: &pb::Record) -> Result<(), Malformed> {
    let malformed =
        |path: &str, found: &str, allowed: &str| Err(Malformed::new(Code::OriginMalformed, path, format!("`{found}`"), allowed));
    match &record.event {
        Some(Event::LedgerFounded(founded)) => {
            if !origin::is_name(&founded.name) {
                return malformed("ledger_founded.name", &founded.name, origin::NAME_RULE);
            }
            if record.origin != founded.name {
                return malformed("origin", &record.origin, "for a founding record its ledger's name");
            }
            Ok(())
        }
        _ if record.origin.parse::<Origin>().is_ok() => Ok(()),
        _ => malformed("origin", &record.origin, "`<name>/<32 hexadecimal digits>`"),
    }
}

/// Codes on labels: what a scanner types through a wrong keyboard layout is not read as another unit or dose.
fn check_label_codes(record: &pb::Record) -> Result<(), Malformed> {
    match &record.event {
        Some(Event::UnitsFilled(filled)) => filled.units.iter().enumerate().try_for_each(|(position, unit)| {
            let path = format!("units_filled.units[{position}].unit_code");
            check_label_code(Code::UnitCodeCheckDigitWrong, path, &unit.unit_code)
        }),
        Some(Event::DosePrepared(prepared)) => {
            check_label_code(Code::DoseCodeCheckDigitWrong, "dose_prepared.dose_code".to_owned(), &prepared.dose_code)
        }
        _ => Ok(()),
    }
}

fn check_label_code(code: Code, path: String, label: &str) -> Result<(), Malformed> {
    if din::has_valid_check_digit(label) {
        return Ok(());
    }
    Err(Malformed::new(code, path, format!("`{label}`"), "digits, the last one their ISO 7064 MOD 11-10 check digit"))
}
