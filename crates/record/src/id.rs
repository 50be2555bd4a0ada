//! Identifiers: 16-byte ids print as UUIDs, 32-byte hashes as hex. Both are read back from what they print.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Text that is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct IdError {
    text: String,
    wanted: &'static str,
}

impl IdError {
    fn new(text: &str, wanted: &'static str) -> IdError {
        IdError { text: text.chars().take(80).collect(), wanted }
    }
}

const UUID: &str = "a UUID such as 01928c5e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";
const HASH: &str = "64 hexadecimal digits";

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal, $show:ident, $read:ident, $wanted:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $show(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                $read(text).and_then(|bytes| Self::from_slice(&bytes)).ok_or_else(|| IdError::new(text, $wanted))
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }
    };
}

macro_rules! from_any_slice {
    ($($name:ident),*) => {
        $(impl $name {
            /// The identifier with these bytes, if there are as many as it needs.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
        })*
    };
}

identifier! {
    /// Id of a record: a UUIDv7, which is also the idempotency key.
    RecordId, 16, show_uuid, read_uuid, UUID
}
identifier! {
    /// Id of anything else: a person, a facility, a lot, a unit.
    Id16, 16, show_uuid, read_uuid, UUID
}
identifier! {
    /// Id of a public key: SHA-256 over 0x01 and the key's 32 bytes.
    KeyId, 32, show_hex, read_hex32, HASH
}
identifier! {
    /// SHA-256 over `marrowline/record/v1`, a line feed and a record's bytes.
    Digest, 32, show_hex, read_hex32, HASH
}
identifier! {
    /// SHA-256 over `marrowline/stream/v1`, a line feed, a stream's kind and id.
    StreamKey, 32, show_hex, read_hex32, HASH
}

from_any_slice!(Id16, KeyId, Digest, StreamKey);

impl RecordId {
    /// The id with these bytes, if they are a UUIDv7 (RFC 9562: version 7, variant 10).
    pub fn from_slice(bytes: &[u8]) -> Option<RecordId> {
        let bytes: [u8; 16] = bytes.try_into().ok()?;
        let [_, _, _, _, _, _, version, _, variant, ..] = bytes;
        (version >> 4 == 7 && variant >> 6 == 0b10).then_some(RecordId(bytes))
    }

    /// Milliseconds since 1970 that the id's maker wrote into it. Says nothing that anyone has checked.
    pub fn unix_ms(&self) -> i64 {
        let [a, b, c, d, e, f, ..] = self.0;
        i64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

impl KeyId {
    /// Id of this Ed25519 public key.
    pub fn of(public_key: &[u8; 32]) -> KeyId {
        KeyId(Sha256::new().chain_update([1]).chain_update(public_key).finalize().into())
    }
}

fn show_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn show_uuid(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (position, byte) in bytes.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// Reads hexadecimal digits of either case, nothing between them.
pub(crate) fn read_hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    pairs.iter().map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?)).collect()
}

fn read_hex32(text: &str) -> Option<Vec<u8>> {
    read_hex(text).filter(|bytes| bytes.len() == 32)
}

fn read_uuid(text: &str) -> Option<Vec<u8>> {
    let groups: Vec<&str> = text.split('-').collect();
    let lengths: Vec<usize> = groups.iter().map(|g| g.len()).collect();
    if lengths != [8, 4, 4, 4, 12] {
        return None;
    }
    read_hex(&groups.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    const V7: &str = "01928c5e-7b1a-7c3d-9e4f-5a6b7c8d9e0f";

    #[test]
    fn a_uuid_prints_as_it_is_read() {
        assert_eq!(V7.parse::<RecordId>().unwrap().to_string(), V7);
        assert_eq!(V7.to_uppercase().parse::<Id16>().unwrap().to_string(), V7);
        for bad in [
            "",
            "01928c5e7b1a7c3d9e4f5a6b7c8d9e0f",
            "01928c5e-7b1a-7c3d-9e4f-5a6b7c8d9e0",
            "01928c5e-7b1a-7c3d-9e4f-5a6b7c8d9e0g",
        ] {
            assert!(bad.parse::<Id16>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_record_id_is_version_7_and_variant_10() {
        for (text, good) in [
            ("01928c5e-7b1a-7c3d-9e4f-5a6b7c8d9e0f", true),
            ("01928c5e-7b1a-7c3d-be4f-5a6b7c8d9e0f", true),
            ("01928c5e-7b1a-4c3d-9e4f-5a6b7c8d9e0f", false),
            ("01928c5e-7b1a-8c3d-9e4f-5a6b7c8d9e0f", false),
            ("01928c5e-7b1a-7c3d-7e4f-5a6b7c8d9e0f", false),
            ("01928c5e-7b1a-7c3d-ce4f-5a6b7c8d9e0f", false),
        ] {
            assert_eq!(text.parse::<RecordId>().is_ok(), good, "{text}");
        }
        assert_eq!(V7.parse::<RecordId>().unwrap().unix_ms(), 0x0192_8c5e_7b1a);
    }

    #[test]
    fn hashes_are_64_hex_digits() {
        let text = "00ff".repeat(16);
        assert_eq!(text.parse::<Digest>().unwrap().to_string(), text);
        assert!("00ff".parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }

    #[test]
    fn a_key_id_is_a_hash_over_one_and_the_key() {
        let expected: [u8; 32] = Sha256::digest([[1].as_slice(), &[7; 32]].concat()).into();
        assert_eq!(KeyId::of(&[7; 32]).0, expected);
    }
}
