//! The one door to [`OpenedRecord`]: strict decoding, then every signature.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::codec::{decode, digest};
use crate::event::EventKind;
use crate::id::{Digest, KeyId, RecordId};
use crate::key::{KeyRef, Keyring, PublicKey};
use crate::leaf::Leaf;
use crate::malformed::Malformed;
use crate::pb::{self, record::Event};
use crate::signing::Signing;

/// A record whose bytes are well formed and whose signatures are genuine. Made by [`open`] and [`open_stored`] only.
///
/// It says nothing of whether the signers had the authority: that depends on the index and is the rules' business.
#[derive(Clone, Debug)]
pub struct OpenedRecord {
    bytes: Arc<[u8]>,
    digest: Digest,
    record: Arc<pb::Record>,
    record_id: RecordId,
    signings: Vec<Signing>,
}

impl OpenedRecord {
    /// The bytes that were signed.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes that were signed, shared.
    pub fn shared_bytes(&self) -> Arc<[u8]> {
        Arc::clone(&self.bytes)
    }

    /// The record's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The record's content.
    pub fn record(&self) -> &pb::Record {
        &self.record
    }

    /// The record's content, shared.
    pub fn shared_record(&self) -> Arc<pb::Record> {
        Arc::clone(&self.record)
    }

    /// The signings, by slot.
    pub fn signings(&self) -> &[Signing] {
        &self.signings
    }

    /// The record's id.
    pub fn record_id(&self) -> RecordId {
        self.record_id
    }

    /// What happened or was decided. Never absent: decoding refuses a record without an event.
    pub fn event(&self) -> Option<&Event> {
        self.record.event.as_ref()
    }

    /// The event's kind.
    pub fn kind(&self) -> Option<EventKind> {
        self.event().map(EventKind::of)
    }

    /// When it happened, by the signer's clock.
    pub fn occurred_at_ms(&self) -> i64 {
        self.record.occurred_at.as_ref().map_or(0, |instant| instant.unix_ms)
    }

    /// The hash that the next record of a stream links to.
    pub fn signed_hash(&self) -> [u8; 32] {
        crate::leaf::signed_hash(&self.digest, &self.signings)
    }
}

/// Why bytes and signings are not an opened record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The bytes are no record.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The leaf is about another record.
    #[error("the record is not the one that its leaf names")]
    DigestDiffers,
    /// Nobody signed.
    #[error("the record has no signing")]
    SigningMissing,
    /// A signing for a slot that the record does not have.
    #[error("the record has no slot {slot}")]
    SlotUnknown {
        /// The slot.
        slot: u8,
    },
    /// Signings not ascending by slot, each slot once.
    #[error("slot {slot} does not come after the one before it")]
    SlotsNotAscending {
        /// The slot.
        slot: u8,
    },
    /// One key in two slots.
    #[error("slot {slot} is signed with the key of another slot")]
    SlotKeyTwice {
        /// The later slot.
        slot: u8,
    },
    /// Signed in another role than the slot asks for.
    #[error("slot {slot} is signed in another role than it asks for")]
    RoleDiffers {
        /// The slot.
        slot: u8,
    },
    /// Signed with another meaning than the slot asks for.
    #[error("slot {slot} is signed with another meaning than it asks for")]
    MeaningDiffers {
        /// The slot.
        slot: u8,
    },
    /// Signed at no possible time.
    #[error("slot {slot} is signed at a time out of range")]
    SigningTimeOutOfRange {
        /// The slot.
        slot: u8,
    },
    /// Signed with a key that is not known.
    #[error("slot {slot} is signed with a key that is not known")]
    KeyUnknown {
        /// The slot.
        slot: u8,
    },
    /// A founding record that enrols bytes that are no public key, or a weak one.
    #[error("grant {grant} of the founding record carries no usable public key")]
    FoundingKeyWrong {
        /// Position of the grant, from 0.
        grant: usize,
    },
    /// The signature is not the key owner's over this record.
    #[error("the signature in slot {slot} is wrong")]
    SignatureWrong {
        /// The slot.
        slot: u8,
    },
}

impl OpenError {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            OpenError::Malformed(malformed) => malformed.code.as_str(),
            OpenError::DigestDiffers => "DIGEST_DIFFERS",
            OpenError::SigningMissing => "SIGNING_MISSING",
            OpenError::SlotUnknown { .. } => "SLOT_UNKNOWN",
            OpenError::SlotsNotAscending { .. } => "SLOTS_NOT_ASCENDING",
            OpenError::SlotKeyTwice { .. } => "SLOT_KEY_TWICE",
            OpenError::RoleDiffers { .. } => "ROLE_DIFFERS",
            OpenError::MeaningDiffers { .. } => "MEANING_DIFFERS",
            OpenError::SigningTimeOutOfRange { .. } => "SIGNING_TIME_OUT_OF_RANGE",
            OpenError::KeyUnknown { .. } => "KEY_UNKNOWN",
            OpenError::FoundingKeyWrong { .. } => "FOUNDING_KEY_WRONG",
            OpenError::SignatureWrong { .. } => "SIGNATURE_WRONG",
        }
    }

    /// The slot that it is about.
    pub fn slot(&self) -> Option<u8> {
        match self {
            OpenError::SlotUnknown { slot }
            | OpenError::SlotsNotAscending { slot }
            | OpenError::SlotKeyTwice { slot }
            | OpenError::RoleDiffers { slot }
            | OpenError::MeaningDiffers { slot }
            | OpenError::SigningTimeOutOfRange { slot }
            | OpenError::KeyUnknown { slot }
            | OpenError::SignatureWrong { slot } => Some(*slot),
            OpenError::Malformed(_)
            | OpenError::DigestDiffers
            | OpenError::SigningMissing
            | OpenError::FoundingKeyWrong { .. } => None,
        }
    }
}

/// Opens a record: decodes it strictly and verifies every signing. At least one is needed; which are owed is for the rules.
///
/// A founding record is verified with the keys that it carries; for all others `keys` is asked.
pub fn open(bytes: Vec<u8>, signings: Vec<Signing>, keys: &dyn Keyring) -> Result<OpenedRecord, OpenError> {
    let digest = digest(&bytes);
    open_digested(bytes, digest, signings, keys)
}

/// Opens a record beside its leaf: the leaf's digest must be the record's, and the leaf's signings are verified.
pub fn open_stored(bytes: Vec<u8>, leaf: &Leaf, keys: &dyn Keyring) -> Result<OpenedRecord, OpenError> {
    let digest = digest(&bytes);
    if digest != leaf.digest {
        return Err(OpenError::DigestDiffers);
    }
    open_digested(bytes, digest, leaf.signings.clone(), keys)
}

fn open_digested(bytes: Vec<u8>, digest: Digest, signings: Vec<Signing>, keys: &dyn Keyring) -> Result<OpenedRecord, OpenError> {
    let record = decode(&bytes)?;
    let record_id = RecordId::from_slice(&record.record_id).unwrap_or(RecordId([0; 16]));
    check_slots(&record, &signings)?;
    match &record.event {
        Some(Event::LedgerFounded(founded)) => verify(&digest, &signings, &founding_keys(founded)?)?,
        _ => verify(&digest, &signings, keys)?,
    }
    Ok(OpenedRecord { bytes: bytes.into(), digest, record: Arc::new(record), record_id, signings })
}

/// Everything about the signings that needs no key.
fn check_slots(record: &pb::Record, signings: &[Signing]) -> Result<(), OpenError> {
    if signings.is_empty() {
        return Err(OpenError::SigningMissing);
    }
    let mut before = None;
    for signing in signings {
        let slot = signing.slot;
        let asked = record.slots.get(usize::from(slot)).ok_or(OpenError::SlotUnknown { slot })?;
        if before.is_some_and(|before| before >= slot) {
            return Err(OpenError::SlotsNotAscending { slot });
        }
        before = Some(slot);
        if i32::from(signing.role) != asked.role {
            return Err(OpenError::RoleDiffers { slot });
        }
        if i32::from(signing.meaning) != asked.meaning {
            return Err(OpenError::MeaningDiffers { slot });
        }
        if !signing.has_valid_time() {
            return Err(OpenError::SigningTimeOutOfRange { slot });
        }
    }
    match first_repeated_key(signings) {
        Some(signing) => Err(OpenError::SlotKeyTwice { slot: signing.slot }),
        None => Ok(()),
    }
}

/// The first signing whose key an earlier one has used. At most eight: comparing each with each is cheapest.
pub(crate) fn first_repeated_key(signings: &[Signing]) -> Option<&Signing> {
    signings
        .iter()
        .enumerate()
        .find(|(position, signing)| signings.iter().take(*position).any(|s| s.key_id == signing.key_id))
        .map(|(_, signing)| signing)
}

fn verify(digest: &Digest, signings: &[Signing], keys: &dyn Keyring) -> Result<(), OpenError> {
    for signing in signings {
        let slot = signing.slot;
        let key = keys.public_key(&signing.key_id).ok_or(OpenError::KeyUnknown { slot })?;
        if key.id() != signing.key_id || !signing.is_signed_by(&key, digest) {
            return Err(OpenError::SignatureWrong { slot });
        }
    }
    Ok(())
}

fn founding_keys(founded: &pb::LedgerFounded) -> Result<BTreeMap<KeyId, KeyRef>, OpenError> {
    let grants = founded.grants.iter().enumerate();
    grants
        .map(|(grant, carried)| {
            let key = PublicKey::parse(&carried.public_key).map_err(|_| OpenError::FoundingKeyWrong { grant })?;
            Ok((key.id(), Arc::new(key)))
        })
        .collect()
}
