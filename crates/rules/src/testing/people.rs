//! People, things and their ids, all made from names: the same name always gives the same key and the same id.

use ed25519_dalek::SigningKey;
use marrowline_record::id::{Id16, KeyId, RecordId};
use sha2::{Digest as _, Sha256};

/// SHA-256 of a name.
pub fn hash(name: &str) -> [u8; 32] {
    Sha256::digest(name.as_bytes()).into()
}

/// The id of a thing or person: the first 16 bytes of SHA-256, in the form of a UUIDv7.
pub fn id(name: &str) -> Id16 {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, ..] = hash(name);
    Id16([a, b, c, d, e, f, 0x70 | g & 0x0f, h, 0x80 | i & 0x3f, j, k, l, m, n, o, p])
}

/// A record's id.
pub fn record_id(name: &str) -> RecordId {
    RecordId(id(name).0)
}

/// The key of a name. `anna~2` is the second key of the person `anna`.
pub fn signing_key(name: &str) -> SigningKey {
    SigningKey::from_bytes(&hash(&format!("key of {name}")))
}

/// The public half.
pub fn public_key(name: &str) -> [u8; 32] {
    signing_key(name).verifying_key().to_bytes()
}

/// The id of a key.
pub fn key_id(name: &str) -> KeyId {
    KeyId::of(&public_key(name))
}

/// The person behind the name of a key: `anna~2` is `anna`.
pub fn person(name: &str) -> &str {
    name.split_once('~').map_or(name, |(person, _)| person)
}

/// The name as printed: `anna` is `Anna`.
pub fn printed_name(name: &str) -> String {
    let mut letters = person(name).chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
