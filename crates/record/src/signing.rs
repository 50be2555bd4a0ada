//! A signing: one person's signed statement about a record.
//!
//! ```text
//! body = "MLS1" ‖ digest 32 ‖ slot u8 ‖ key_id 32 ‖ role u8 ‖ meaning u8 ‖ signed_at_ms u64be ‖ offset_minutes i16be   (81 bytes)
//! PAE  = "DSSEv1 37 application/vnd.marrowline.signing.v1 81 " ‖ body                                    (DSSE 1.0.2; 132 bytes)
//! ```
//!
//! The signature is pure Ed25519 over the PAE. In a leaf a signing takes [`SIGNING_BYTES`] bytes: the body without magic and digest,
//! then the signature.

use ed25519_dalek::{Signer as _, SigningKey};

use crate::id::{Digest, KeyId};
use crate::instant;
use crate::key::PublicKey;
use crate::pb::{Meaning, Role};

/// The type that the signature is bound to.
pub const PAYLOAD_TYPE: &str = "application/vnd.marrowline.signing.v1";

/// Length of a signing in a leaf.
pub const SIGNING_BYTES: usize = 109;

const MAGIC: &[u8; 4] = b"MLS1";

/// One person's signed statement about a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signing {
    /// The slot that it fills, from 0.
    pub slot: u8,
    /// The key that signed.
    pub key_id: KeyId,
    /// Number of the role.
    pub role: u8,
    /// Number of the meaning.
    pub meaning: u8,
    /// When it was signed, by the signer's clock.
    pub signed_at_ms: i64,
    /// The signer's offset from UTC.
    pub offset_minutes: i16,
    /// Ed25519 signature over the PAE.
    pub signature: [u8; 64],
}

/// What is being signed for: everything in a signing but the key and the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The slot to fill, from 0.
    pub slot: u8,
    /// Role of the slot.
    pub role: Role,
    /// Meaning of the slot.
    pub meaning: Meaning,
    /// When, by the signer's clock.
    pub signed_at_ms: i64,
    /// The signer's offset from UTC.
    pub offset_minutes: i16,
}

/// Signs a record's digest.
pub fn sign(key: &SigningKey, digest: Digest, statement: Statement) -> Signing {
    let mut signing = Signing {
        slot: statement.slot,
        key_id: KeyId::of(key.verifying_key().as_bytes()),
        role: number(statement.role.into()),
        meaning: number(statement.meaning.into()),
        signed_at_ms: statement.signed_at_ms,
        offset_minutes: statement.offset_minutes,
        signature: [0; 64],
    };
    signing.signature = key.sign(&pae(&signing.body(&digest))).to_bytes();
    signing
}

/// Number of a role or meaning; the proto's all fit.
fn number(value: i32) -> u8 {
    u8::try_from(value).unwrap_or(0)
}

impl Signing {
    /// The bytes that the statement consists of. A time before 1970 becomes 0, which nothing accepts.
    pub fn body(&self, digest: &Digest) -> [u8; 81] {
        let mut out = [0; 81];
        fill(&mut out, [MAGIC.as_slice(), &digest.0].into_iter().chain(self.parts().each()));
        out
    }

    /// Whether the key's owner signed this statement about this record.
    pub fn is_signed_by(&self, key: &PublicKey, digest: &Digest) -> bool {
        key.verifies(&pae(&self.body(digest)), &self.signature)
    }

    /// Whether its time and offset are within the bounds of an instant.
    pub fn has_valid_time(&self) -> bool {
        (instant::MIN_UNIX_MS..=instant::MAX_UNIX_MS).contains(&self.signed_at_ms)
            && instant::OFFSET_MINUTES.contains(&self.offset_minutes.into())
    }

    /// As it stands in a leaf.
    pub fn to_bytes(&self) -> [u8; SIGNING_BYTES] {
        let mut out = [0; SIGNING_BYTES];
        fill(&mut out, self.parts().each().chain([self.signature.as_slice()]));
        out
    }

    /// Reads what [`Signing::to_bytes`] wrote; bounds are the leaf's affair. Refuses a time beyond an `i64`.
    pub fn from_bytes(bytes: &[u8; SIGNING_BYTES]) -> Option<Signing> {
        let (&slot, rest) = bytes.split_first()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (&role, rest) = rest.split_first()?;
        let (&meaning, rest) = rest.split_first()?;
        let (time, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        Some(Signing {
            slot,
            key_id: KeyId(*key_id),
            role,
            meaning,
            signed_at_ms: i64::try_from(u64::from_be_bytes(*time)).ok()?,
            offset_minutes: i16::from_be_bytes(*offset),
            signature: rest.try_into().ok()?,
        })
    }

    fn parts(&self) -> Parts<'_> {
        Parts {
            slot: [self.slot],
            key_id: &self.key_id.0,
            role_and_meaning: [self.role, self.meaning],
            signed_at_ms: u64::try_from(self.signed_at_ms).unwrap_or(0).to_be_bytes(),
            offset_minutes: self.offset_minutes.to_be_bytes(),
        }
    }
}

/// The fields that the body and the leaf share, as bytes.
struct Parts<'a> {
    slot: [u8; 1],
    key_id: &'a [u8; 32],
    role_and_meaning: [u8; 2],
    signed_at_ms: [u8; 8],
    offset_minutes: [u8; 2],
}

impl Parts<'_> {
    fn each(&self) -> impl Iterator<Item = &[u8]> {
        [self.slot.as_slice(), self.key_id, &self.role_and_meaning, &self.signed_at_ms, &self.offset_minutes].into_iter()
    }
}

fn fill<'a>(out: &mut [u8], parts: impl Iterator<Item = &'a [u8]>) {
    for (to, from) in out.iter_mut().zip(parts.flatten()) {
        *to = *from;
    }
}

/// DSSE's pre-authentication encoding of a body: what is signed.
pub fn pae(body: &[u8]) -> Vec<u8> {
    let mut out = format!("DSSEv1 {} {PAYLOAD_TYPE} {} ", PAYLOAD_TYPE.len(), body.len()).into_bytes();
    out.extend_from_slice(body);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing() -> Signing {
        let statement = Statement {
            slot: 1,
            role: Role::Operator,
            meaning: Meaning::Verified,
            signed_at_ms: 1_700_000_000_000,
            offset_minutes: -210,
        };
        sign(&SigningKey::from_bytes(&[5; 32]), Digest([9; 32]), statement)
    }

    #[test]
    fn the_body_is_laid_out_as_specified() {
        let body = signing().body(&Digest([9; 32]));
        assert_eq!(&body[..4], b"MLS1");
        assert_eq!(&body[4..36], &[9; 32]);
        assert_eq!(body[36], 1);
        assert_eq!(&body[37..69], &signing().key_id.0);
        assert_eq!(&body[69..71], &[6, 2]);
        assert_eq!(&body[71..79], &1_700_000_000_000u64.to_be_bytes());
        assert_eq!(&body[79..], &(-210i16).to_be_bytes());
        let pae = pae(&body);
        assert!(pae.starts_with(b"DSSEv1 37 application/vnd.marrowline.signing.v1 81 MLS1"));
        assert_eq!(pae.len(), 132);
    }

    #[test]
    fn changing_anything_breaks_the_signature() {
        let key = PublicKey::parse(SigningKey::from_bytes(&[5; 32]).verifying_key().as_bytes()).unwrap();
        let good = signing();
        let digest = Digest([9; 32]);
        assert!(good.is_signed_by(&key, &digest));
        assert!(!good.is_signed_by(&key, &Digest([8; 32])));
        for changed in [
            Signing { slot: 0, ..good.clone() },
            Signing { key_id: KeyId([0; 32]), ..good.clone() },
            Signing { role: 7, ..good.clone() },
            Signing { meaning: 1, ..good.clone() },
            Signing { signed_at_ms: good.signed_at_ms + 1, ..good.clone() },
            Signing { offset_minutes: 0, ..good.clone() },
            Signing { signature: [0; 64], ..good.clone() },
        ] {
            assert!(!changed.is_signed_by(&key, &digest), "{changed:?}");
        }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        assert_eq!(Signing::from_bytes(&signing().to_bytes()), Some(signing()));
        let mut bytes = signing().to_bytes();
        bytes[35] = 0x80;
        assert_eq!(Signing::from_bytes(&bytes), None, "a time beyond an i64");
    }

    #[test]
    fn times_have_bounds_on_both_sides() {
        let at = |signed_at_ms, offset_minutes| Signing { signed_at_ms, offset_minutes, ..signing() }.has_valid_time();
        assert!(at(1, 1080) && at(instant::MAX_UNIX_MS, -1080));
        assert!(!at(0, 0) && !at(-1, 0) && !at(instant::MAX_UNIX_MS + 1, 0) && !at(1, 1081) && !at(1, -1081));
    }
}
