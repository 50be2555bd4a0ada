//! Who signs: each signatory holds the role at the facility at the ledger's time, and each is another person.

use std::sync::Arc;

use marrowline_record::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Role};

use crate::codes::frame as codes;
use crate::context::{Context, Signer};
use crate::frame::{slot_field, words};
use crate::index::{IndexKey, id16};
use crate::state::Authority;
use crate::table::Category;

pub(super) fn check(c: &mut Context<'_>, event: &Event) {
    let founding = match event {
        Event::LedgerFounded(e) if c.authority.founded.is_none() => Some(founding_authority(c.record_id(), e)),
        _ => None,
    };
    let authority = founding.map_or_else(|| c.authority.clone(), Arc::new);
    let signers = c.signers.clone();
    let target = target_of(c, event);
    let step = Step::of(c, event, target.as_deref());
    let (held, lacking): (Vec<&Signer>, Vec<&Signer>) =
        signers.iter().partition(|signer| step.is_held_by(&authority, signer, c.recorded_at_ms));
    // Stopping takes one signature: one that does not count beside it stops nothing.
    let is_stopped = c.category == Category::Stop && !held.is_empty();
    let code = if is_stopped { &codes::STOP_SIGNED_IN_VAIN } else { &codes::SIGNER_WITHOUT_AUTHORITY };
    for signer in lacking {
        let found = describe(&authority, signer);
        c.find(code, found, "a key that holds the role at the facility at the ledger's time", vec![slot_field(signer.slot)]);
    }
    for (number, signer) in signers.iter().enumerate() {
        let earlier = signers.iter().take(number).find(|s| s.person_id.is_some() && s.person_id == signer.person_id);
        if let Some(earlier) = earlier {
            c.find(
                &codes::SIGNERS_NOT_DIFFERENT,
                format!("slots {} and {} signed by the same person", earlier.slot, signer.slot),
                "a different person in each slot",
                vec![slot_field(signer.slot)],
            );
        }
    }
}

fn describe(authority: &Authority, signer: &Signer) -> String {
    let name = authority.key(&signer.key_id).map_or_else(|| "unknown key".to_owned(), |k| k.printed_name.clone());
    let why = match authority.key(&signer.key_id).and_then(|k| k.revocation.as_ref()) {
        Some(revocation) => format!("; the key is revoked: {}", revocation.reason),
        None => String::new(),
    };
    let facility = authority.facility(&signer.facility_id).map_or_else(|| signer.facility_id.to_string(), |f| f.code.clone());
    format!("{name} ({}) as {} at {facility}{why}", signer.key_id, words(signer.role.as_str_name()))
}

/// The record that a signature is added to.
fn target_of(c: &Context<'_>, event: &Event) -> Option<Arc<Entry>> {
    let Event::SignatureAdded(e) = event else { return None };
    let digest: [u8; 32] = e.target_digest.as_slice().try_into().ok()?;
    c.view.lookup(&IndexKey::Digest(digest)).and_then(|id| c.view.entry(&RecordId(id)))
}

/// The authority that a founding record brings with it.
fn founding_authority(record_id: RecordId, e: &pb::LedgerFounded) -> Authority {
    let mut authority = Authority::default();
    for grant in &e.grants {
        if let Some(key) = crate::state::authority::key_of(record_id, grant) {
            authority.keys.insert(key.id, key);
        }
    }
    authority
}

/// What is signed for: a signature that is added later is one for its target.
struct Step<'a> {
    event: &'a Event,
    slots: &'a [pb::SignatureSlot],
}

impl<'a> Step<'a> {
    fn of(c: &Context<'a>, event: &'a Event, target: Option<&'a Entry>) -> Step<'a> {
        match target.and_then(|target| target.event().map(|event| (event, &target.record.slots))) {
            Some((event, slots)) => Step { event, slots },
            None => Step { event, slots: &c.record.slots },
        }
    }

    fn is_held_by(&self, authority: &Authority, signer: &Signer, at_ms: i64) -> bool {
        let holds = |role| authority.holds_role(&signer.key_id, role, &signer.facility_id, at_ms);
        match signer.role {
            // The verifying operator is any second operator of the facility where it is done; for a dose, also a second pharmacist.
            Role::VerifyingOperator => {
                let is_there = self.slots.first().is_some_and(|first| id16(&first.facility_id) == signer.facility_id.0);
                let is_dose = matches!(self.event, Event::DosePrepared(_));
                is_there && (holds(Role::Operator) || is_dose && holds(Role::Pharmacist))
            }
            role => holds(role) || self.is_own_key(authority, signer),
        }
    }

    /// The holder of a key ends it whatever role is left, as long as the key that says so is in force.
    fn is_own_key(&self, authority: &Authority, signer: &Signer) -> bool {
        let Event::KeyRevoked(e) = self.event else { return false };
        let person = |key: &KeyId| authority.person_of(key);
        let revoked: Option<Id16> = e.key_id.as_slice().try_into().ok().map(KeyId).and_then(|id| person(&id));
        let is_in_force = authority.key(&signer.key_id).is_some_and(|key| key.revocation.is_none());
        is_in_force && revoked.is_some() && signer.person_id == revoked
    }
}
