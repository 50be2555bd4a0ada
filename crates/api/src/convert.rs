//! Values as they travel, and back.

use marrowline_proof::Receipt;
use marrowline_record::id::KeyId;
use marrowline_record::pb::Instant;
use marrowline_record::signing::Signing;
use marrowline_rules::{Finding, Look};

use crate::v1;

impl From<&Signing> for v1::Signing {
    fn from(signing: &Signing) -> Self {
        v1::Signing {
            slot: u32::from(signing.slot),
            key_id: signing.key_id.0.to_vec(),
            role: i32::from(signing.role),
            meaning: i32::from(signing.meaning),
            signed_at: Some(Instant { unix_ms: signing.signed_at_ms, offset_minutes: i32::from(signing.offset_minutes) }),
            signature: signing.signature.to_vec(),
        }
    }
}

impl v1::Signing {
    /// The signing, or the field that is malformed.
    pub fn to_signing(&self) -> Result<Signing, &'static str> {
        let signed_at = self.signed_at.as_ref().ok_or("signed_at")?;
        Ok(Signing {
            slot: u8::try_from(self.slot).map_err(|_| "slot")?,
            key_id: KeyId(self.key_id.as_slice().try_into().map_err(|_| "key_id")?),
            role: u8::try_from(self.role).map_err(|_| "role")?,
            meaning: u8::try_from(self.meaning).map_err(|_| "meaning")?,
            signed_at_ms: signed_at.unix_ms,
            offset_minutes: i16::try_from(signed_at.offset_minutes).map_err(|_| "signed_at.offset_minutes")?,
            signature: self.signature.as_slice().try_into().map_err(|_| "signature")?,
        })
    }
}

impl From<&Finding> for v1::Finding {
    fn from(finding: &Finding) -> Self {
        v1::Finding {
            code: finding.code.name.to_owned(),
            found: finding.found.clone(),
            allowed: finding.allowed.clone(),
            look_at: finding.look_at.iter().map(v1::Look::from).collect(),
            next: finding.code.next.to_owned(),
        }
    }
}

impl From<&Look> for v1::Look {
    fn from(look: &Look) -> Self {
        let (kind, id) = match look {
            Look::Field(path) => ("field", path.clone()),
            Look::Record(id) => ("record", id.to_string()),
            Look::Thing { kind, id } => (*kind, id.clone()),
        };
        v1::Look { kind: kind.to_owned(), id }
    }
}

impl From<Receipt> for v1::Receipt {
    fn from(receipt: Receipt) -> Self {
        v1::Receipt { index: receipt.index, leaf: receipt.leaf, record: receipt.record, tlog_proof: receipt.tlog_proof }
    }
}

impl From<v1::Receipt> for Receipt {
    fn from(receipt: v1::Receipt) -> Self {
        Receipt { index: receipt.index, leaf: receipt.leaf, record: receipt.record, tlog_proof: receipt.tlog_proof }
    }
}
