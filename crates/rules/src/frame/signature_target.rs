//! A signature that is added later: the record's only slot repeats a slot that the target still owes.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb;

use crate::again;
use crate::codes::frame as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::{IndexKey, id16};
use crate::state::{Stream, Upkeep};

pub(super) fn check(c: &mut Context<'_>, e: &pb::SignatureAdded) {
    if let Err((found, allowed)) = target_is_right(c, e) {
        c.find(&codes::SIGNATURE_TARGET_WRONG, found, allowed, vec![Look::Field("signature_added".to_owned())]);
    }
}

fn target_is_right(c: &Context<'_>, e: &pb::SignatureAdded) -> Result<(), (String, String)> {
    let wrong = |found: &str, allowed: &str| Err((found.to_owned(), allowed.to_owned()));
    let digest: [u8; 32] = e.target_digest.as_slice().try_into().unwrap_or([0; 32]);
    let target = c.view.lookup(&IndexKey::Digest(digest)).and_then(|id| c.view.entry(&RecordId(id)));
    let Some(target) = target else {
        return wrong("a target that this ledger does not hold", "the digest of a record that owes a signature");
    };
    let number = e.slot.and_then(|s| u8::try_from(s).ok()).unwrap_or(u8::MAX);
    let owed = owed_slot(c, &target, number);
    let Some(slot) = target.record.slots.get(usize::from(number)).filter(|_| owed) else {
        return wrong(&format!("slot {number}, which the target does not owe"), "a slot that the target still owes");
    };
    if c.record.slots != [slot.clone()] {
        return wrong("another role, meaning or facility", "one slot that repeats the target's");
    }
    let same = |a: &pb::StreamExtension, b: &pb::StreamExtension| a.kind == b.kind && a.id == b.id;
    let streams = &target.record.streams;
    if c.record.streams.len() != streams.len() || !c.record.streams.iter().zip(streams).all(|(a, b)| same(a, b)) {
        return wrong("other streams", "the streams that the target extends");
    }
    let signed_before = target
        .signings
        .iter()
        .filter_map(|s| c.authority.person_of(&s.key_id))
        .chain(added_before(c, &target))
        .any(|person| c.signed_by(&person));
    if signed_before {
        return wrong("someone who has signed the target already", "a different person");
    }
    Ok(())
}

fn owed_slot(c: &Context<'_>, target: &marrowline_record::entry::Entry, slot: u8) -> bool {
    let owes = |upkeep: &Upkeep| upkeep.owed.iter().any(|o| o.digest == target.digest && o.slot == slot);
    streams(c, target).any(|stream| owes(stream.upkeep()))
}

/// The streams that the target extends.
fn streams<'c>(c: &'c Context<'_>, target: &'c marrowline_record::entry::Entry) -> impl Iterator<Item = Stream> + 'c {
    target.record.streams.iter().filter_map(|s| again::present(c.view, s.kind(), &Id16(id16(&s.id))))
}

/// People who added a signature to the target before.
fn added_before(c: &Context<'_>, target: &marrowline_record::entry::Entry) -> Vec<Id16> {
    let upkeep = streams(c, target).next().map(|stream| stream.upkeep().clone());
    upkeep
        .iter()
        .flat_map(|u| u.added.iter())
        .filter(|(digest, _)| *digest == target.digest)
        .flat_map(|(_, keys)| keys.iter().filter_map(|k| c.authority.person_of(k)))
        .collect()
}
