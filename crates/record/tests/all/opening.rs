//! The one door: what opens, and every reason why something does not.

use std::sync::Arc;

use marrowline_record::id::KeyId;
use marrowline_record::leaf::{Leaf, Link};
use marrowline_record::pb::record::Event;
use marrowline_record::signing::{Signing, Statement, sign};
use marrowline_record::testing::{keyring, sample, sign_every_slot, signing_key};
use marrowline_record::{Entry, EventKind, OpenError, digest, encode, open, open_stored, pb, stream};

use crate::bytes::weighing;

/// A record with two slots, its bytes and genuine signings.
fn two_slots() -> (pb::Record, Vec<u8>, Vec<Signing>) {
    let mut record = weighing();
    record.slots.push(pb::SignatureSlot { role: 13, meaning: 2, facility_id: vec![9; 16] });
    let bytes = encode(&record);
    let signings = sign_every_slot(&record, digest(&bytes));
    (record, bytes, signings)
}

fn refusal(change: impl FnOnce(&mut Vec<Signing>)) -> OpenError {
    let (_, bytes, mut signings) = two_slots();
    change(&mut signings);
    open(bytes, signings, &keyring()).expect_err("refused")
}

fn resigned(slot: u8, key: u8, change: impl FnOnce(&mut Statement)) -> Signing {
    let (record, bytes, _) = two_slots();
    let asked = &record.slots[usize::from(slot)];
    let mut statement = Statement { slot, role: asked.role(), meaning: asked.meaning(), signed_at_ms: 5, offset_minutes: 0 };
    change(&mut statement);
    sign(&signing_key(key), digest(&bytes), statement)
}

#[test]
fn genuine_signings_open_the_record() {
    let (record, bytes, signings) = two_slots();
    let opened = open(bytes.clone(), signings.clone(), &keyring()).unwrap();
    assert_eq!(opened.bytes(), bytes);
    assert_eq!(opened.digest(), digest(&bytes));
    assert_eq!(opened.record(), &record);
    assert_eq!(opened.signings(), signings);
    assert_eq!(opened.record_id().as_bytes().as_slice(), record.record_id);
    assert_eq!(opened.kind(), Some(EventKind::SubjectWeighed));
}

#[test]
fn either_signing_alone_is_enough_to_open() {
    for slot in 0..2 {
        let (_, bytes, signings) = two_slots();
        assert!(open(bytes, vec![signings[slot].clone()], &keyring()).is_ok());
    }
}

#[test]
fn every_refusal_names_its_slot() {
    let refusals = [
        (refusal(Vec::clear), "SIGNING_MISSING", None),
        (refusal(|s| s[1].slot = 2), "SLOT_UNKNOWN", Some(2)),
        (refusal(|s| s.swap(0, 1)), "SLOTS_NOT_ASCENDING", Some(0)),
        (refusal(|s| s[1] = s[0].clone()), "SLOTS_NOT_ASCENDING", Some(0)),
        (refusal(|s| s[1] = resigned(1, 1, |_| ())), "SLOT_KEY_TWICE", Some(1)),
        (refusal(|s| s[1] = resigned(1, 2, |s| s.role = pb::Role::Nurse)), "ROLE_DIFFERS", Some(1)),
        (refusal(|s| s[0] = resigned(0, 1, |s| s.meaning = pb::Meaning::Approved)), "MEANING_DIFFERS", Some(0)),
        (refusal(|s| s[1] = resigned(1, 2, |s| s.signed_at_ms = -1)), "SIGNING_TIME_OUT_OF_RANGE", Some(1)),
        (refusal(|s| s[1] = resigned(1, 2, |s| s.offset_minutes = 1081)), "SIGNING_TIME_OUT_OF_RANGE", Some(1)),
        (refusal(|s| s[1] = resigned(1, 99, |_| ())), "KEY_UNKNOWN", Some(1)),
        (refusal(|s| s[1].signature[0] ^= 1), "SIGNATURE_WRONG", Some(1)),
        (refusal(|s| s[0].signed_at_ms += 1), "SIGNATURE_WRONG", Some(0)),
    ];
    for (refusal, code, slot) in refusals {
        assert_eq!((refusal.code(), refusal.slot()), (code, slot), "{refusal}");
    }
}

#[test]
fn another_record_with_the_same_signings_is_refused() {
    let (mut record, _, signings) = two_slots();
    record.salt[0] ^= 1;
    let refused = open(encode(&record), signings, &keyring()).unwrap_err();
    assert_eq!(refused, OpenError::SignatureWrong { slot: 0 });
}

#[test]
fn malformed_bytes_are_refused_with_their_own_code() {
    let (_, _, signings) = two_slots();
    let refused = open(Vec::new(), signings, &keyring()).unwrap_err();
    assert_eq!((refused.code(), refused.slot()), ("FIELD_MISSING", None));
}

#[test]
fn a_keyring_that_answers_with_another_key_is_not_believed() {
    let (_, bytes, signings) = two_slots();
    let mut ring = keyring();
    let other = Arc::clone(&ring[&KeyId::of(signing_key(7).verifying_key().as_bytes())]);
    ring.insert(signings[0].key_id, other);
    assert_eq!(open(bytes, signings, &ring).unwrap_err(), OpenError::SignatureWrong { slot: 0 });
}

fn founding() -> pb::Record {
    let mut record = sample(EventKind::LedgerFounded, 3);
    let slot = |role| pb::SignatureSlot { role, meaning: 4, facility_id: vec![1; 16] };
    record.slots = vec![slot(1), slot(2)];
    record
}

fn grants(record: &mut pb::Record) -> &mut Vec<pb::KeyGrant> {
    match &mut record.event {
        Some(Event::LedgerFounded(founded)) => &mut founded.grants,
        _ => unreachable!(),
    }
}

fn open_founding(record: &pb::Record) -> Result<(), OpenError> {
    let bytes = encode(record);
    let signings = sign_every_slot(record, digest(&bytes));
    // The keyring knows every key and must not be asked.
    open(bytes, signings, &keyring()).map(|_| ())
}

#[test]
fn a_founding_record_opens_with_the_keys_that_it_carries_and_no_others() {
    assert_eq!(open_founding(&founding()), Ok(()));
    let mut stranger = founding();
    grants(&mut stranger)[1].public_key = signing_key(9).verifying_key().to_bytes().to_vec();
    assert_eq!(open_founding(&stranger), Err(OpenError::KeyUnknown { slot: 1 }));
    let mut weak = founding();
    grants(&mut weak)[1].public_key = vec![0; 32];
    assert_eq!(open_founding(&weak), Err(OpenError::FoundingKeyWrong { grant: 1 }));
}

#[test]
fn a_stored_record_opens_beside_its_own_leaf_only() {
    let (record, bytes, signings) = two_slots();
    let leaf = Leaf {
        recorded_at_ms: 77,
        rule_set: 1,
        flags: vec![3, 9],
        links: stream::stream_keys(&record).into_iter().map(|stream_key| Link { stream_key, seq: 1, prev: [0; 32] }).collect(),
        digest: digest(&bytes),
        signings,
        map_root: None,
    };
    let opened = open_stored(bytes.clone(), &leaf, &keyring()).unwrap();
    assert_eq!(opened.signed_hash(), leaf.signed_hash());
    let entry = Entry::new(5, &leaf, &opened);
    assert_eq!((entry.index, entry.recorded_at_ms(), entry.flags()), (5, 77, [3, 9].as_slice()));
    assert_eq!((entry.occurred_at_ms(), entry.record_id()), (1_795_414_200_000, opened.record_id()));
    assert_eq!(entry.stream_id(pb::StreamKind::Subject), [0x33; 16]);
    assert_eq!(entry.stream_id(pb::StreamKind::Lot), [0; 16]);

    let other = Leaf { digest: digest(b"x"), ..leaf };
    assert_eq!(open_stored(bytes, &other, &keyring()).unwrap_err(), OpenError::DigestDiffers);
}
