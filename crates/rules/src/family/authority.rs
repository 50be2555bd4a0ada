//! Founding, facilities, keys. (Signatures that are added later are judged by the frame.)

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, KeyId};
use marrowline_record::key::PublicKey;
use marrowline_record::log_key::succession;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Role};

use crate::codes::authority as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::judge::RULE_SETS;

fn field(path: impl Into<String>) -> Vec<Look> {
    vec![Look::Field(path.into())]
}

pub(super) fn founded(c: &mut Context<'_>, e: &pb::LedgerFounded) {
    let already = c.authority.founded.as_ref().map(|(record, _, _)| *record);
    if let Some(record) = already {
        c.find(&codes::LEDGER_ALREADY_FOUNDED, "a second founding record", "the first record alone", vec![Look::Record(record)]);
    }
    check_rule_set(c, e.rule_set, "ledger_founded.rule_set");
    let facility = e.first_facility.as_ref().map(|f| Id16(id16(&f.facility_id)));
    let mut people = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for (number, grant) in e.grants.iter().enumerate() {
        let path = format!("ledger_founded.grants[{number}]");
        check_grant(c, grant, &path, |id| Some(*id) == facility);
        people.insert(grant.person_id.clone());
        if !keys.insert(grant.public_key.clone()) {
            c.find(&codes::KEY_ALREADY_GRANTED, "the same key twice", "a key for each person", field(path));
        }
    }
    let holds = |role: Role| e.grants.iter().any(|g| g.roles.iter().any(|r| r.role() == role));
    c.demand(
        people.len() >= 2 && holds(Role::KeyAdministrator) && holds(Role::QualityAssurance),
        &codes::FOUNDERS_INCOMPLETE,
        || format!("{} people", people.len()),
        || "a key administrator and QA, two people or more".to_owned(),
        || field("ledger_founded.grants"),
    );
}

fn check_rule_set(c: &mut Context<'_>, rule_set: u32, path: &str) {
    c.demand(
        RULE_SETS.contains(&rule_set),
        &codes::RULE_SET_UNKNOWN,
        || format!("rule set {rule_set}"),
        || format!("rule set {} to {}", RULE_SETS.start(), RULE_SETS.end()),
        || field(path),
    );
}

/// A person's key, the log's key or the rule set is no longer what it was.
pub(super) fn replaced(c: &mut Context<'_>, event: &Event) {
    match event {
        Event::KeyRevoked(e) => key_revoked(c, e),
        Event::LogKeyRotated(e) => log_key_rotated(c, e),
        Event::RuleSetAdopted(e) => rule_set_adopted(c, e),
        _ => {}
    }
}

fn rule_set_adopted(c: &mut Context<'_>, e: &pb::RuleSetAdopted) {
    check_rule_set(c, e.rule_set, "rule_set_adopted.rule_set");
    let in_force = c.authority.rule_set;
    c.demand(
        e.rule_set > in_force,
        &codes::RULE_SET_NOT_LATER,
        || format!("rule set {}", e.rule_set),
        || format!("a rule set after {in_force}, which is in force"),
        || field("rule_set_adopted.rule_set"),
    );
}

fn log_key_rotated(c: &mut Context<'_>, e: &pb::LogKeyRotated) {
    let authority = c.authority.clone();
    let Ok(successor) = PublicKey::parse(&e.log_public_key) else {
        let found = "a public key that is not sound";
        let allowed = "an Ed25519 public key that is not of small order";
        return c.find(&codes::KEY_WEAK, found, allowed, field("log_key_rotated.log_public_key"));
    };
    let before = authority.log_keys.iter().find(|key| key.public_key == *successor.as_bytes()).map(|key| key.record_id);
    let holder = authority.key(&successor.id()).map(|key| key.granted_by);
    let used = before.or(holder);
    c.demand(
        used.is_none(),
        &codes::LOG_KEY_ALREADY_USED,
        || "a key that this ledger knows already".to_owned(),
        || "a new key".to_owned(),
        || used.map(Look::Record).into_iter().collect(),
    );
    let present = authority.log_keys.last().map_or([0; 32], |key| key.public_key);
    let statement = succession(successor.as_bytes(), &present, &c.record.origin);
    let possession: Option<[u8; 64]> = e.possession.as_slice().try_into().ok();
    c.demand(
        possession.is_some_and(|possession| successor.verifies(&statement, &possession)),
        &codes::LOG_KEY_NOT_POSSESSED,
        || "a signature that is not the successor's over this succession".to_owned(),
        || "the successor's signature over itself, the present key and the origin".to_owned(),
        || field("log_key_rotated.possession"),
    );
}

fn check_grant(c: &mut Context<'_>, grant: &pb::KeyGrant, path: &str, is_facility: impl Fn(&Id16) -> bool) {
    if PublicKey::parse(&grant.public_key).is_err() {
        c.find(
            &codes::KEY_WEAK,
            "a public key that is not sound",
            "an Ed25519 public key that is not of small order",
            field(format!("{path}.public_key")),
        );
    }
    for (number, role) in grant.roles.iter().enumerate() {
        let path = format!("{path}.roles[{number}]");
        let (from, until) = (role.valid_from.as_ref().map(|i| i.unix_ms), role.valid_until.as_ref().map(|i| i.unix_ms));
        c.demand(
            from < until,
            &codes::GRANT_PERIOD_WRONG,
            || "a period that ends before it begins".to_owned(),
            || "valid_from before valid_until".to_owned(),
            || field(path.clone()),
        );
        c.demand(
            role.role() != Role::VerifyingOperator,
            &codes::VERIFIER_ROLE_GRANTED,
            || "VERIFYING_OPERATOR".to_owned(),
            || "OPERATOR".to_owned(),
            || field(path.clone()),
        );
        let facility = Id16(id16(&role.facility_id));
        c.demand(
            is_facility(&facility),
            &codes::GRANT_FACILITY_UNKNOWN,
            || format!("facility {facility}"),
            || "a registered facility".to_owned(),
            || field(path.clone()),
        );
    }
}

/// A facility is registered once more when its racks are others. Code and name stay: signatures are printed with them.
pub(super) fn facility_registered(c: &mut Context<'_>, e: &pb::FacilityRegistered) {
    let Some(facility) = &e.facility else { return };
    let id = Id16(id16(&facility.facility_id));
    let authority = c.authority.clone();
    let is_same = |known: &pb::Facility| known.code == facility.code && known.name == facility.name;
    let taken = authority
        .facilities
        .iter()
        .find(|(other, known)| if **other == id { !is_same(known) } else { known.code == facility.code });
    if let Some((other, f)) = taken {
        c.find(
            &codes::FACILITY_CODE_TAKEN,
            format!("code {} or id {id}, which facility {} ({other}) has", facility.code, f.name),
            "a code and an id that no facility has, or id, code and name of the facility whose racks are others now",
            field("facility_registered.facility"),
        );
    }
}

pub(super) fn key_granted(c: &mut Context<'_>, e: &pb::KeyGranted) {
    let Some(grant) = &e.grant else { return };
    let authority = c.authority.clone();
    check_grant(c, grant, "key_granted.grant", |id| authority.facility(id).is_some());
    let person = Id16(id16(&grant.person_id));
    c.demand(
        !c.signed_by(&person),
        &codes::GRANTEE_SIGNS_OWN_GRANT,
        || format!("{} signs the grant of a key of their own", grant.printed_name),
        || "two other people".to_owned(),
        || field("key_granted.grant.person_id"),
    );
    let enrolled = grant.public_key.as_slice().try_into().ok().map(|k: [u8; 32]| KeyId::of(&k)).and_then(|id| authority.key(&id));
    // More roles may be granted to a key that lives; a revoked key is never granted again.
    if let Some(key) = enrolled.filter(|k| k.person_id != person || k.revocation.is_some()) {
        c.find(
            &codes::KEY_ALREADY_GRANTED,
            format!("the key of {}{}", key.printed_name, if key.revocation.is_some() { ", revoked" } else { "" }),
            "a key that nobody has, or a living key of this person",
            vec![Look::Record(key.granted_by)],
        );
    }
    if let Some(other) = authority.keys.values().find(|k| k.person_id == person && k.printed_name != grant.printed_name) {
        c.find(
            &codes::PERSON_NAME_DIFFERS,
            format!("`{}`", grant.printed_name),
            format!("`{}`", other.printed_name),
            vec![Look::Record(other.granted_by)],
        );
    }
}

fn key_revoked(c: &mut Context<'_>, e: &pb::KeyRevoked) {
    let authority = c.authority.clone();
    let key = e.key_id.as_slice().try_into().ok().map(KeyId).and_then(|id| authority.key(&id));
    let holder = key.map(|k| k.person_id);
    c.demand(
        key.is_some(),
        &codes::REVOKED_KEY_UNKNOWN,
        || "a key that was never granted".to_owned(),
        || "a granted key".to_owned(),
        || field("key_revoked.key_id"),
    );
    let entitled = c.signers.iter().any(|s| {
        matches!(s.role, Role::KeyAdministrator | Role::QualityAssurance) || s.person_id.is_some() && s.person_id == holder
    });
    c.demand(
        entitled,
        &codes::REVOKER_NOT_ENTITLED,
        || "a signature of someone else".to_owned(),
        || "a key administrator, QA, or the holder".to_owned(),
        || field("slots[0]"),
    );
    let effective = e.effective_at.as_ref().map(|i| i.unix_ms);
    let since = e.compromised_since.as_ref().map(|i| i.unix_ms);
    c.demand(
        since.is_none() || since <= effective,
        &codes::REVOCATION_TIMES_WRONG,
        || "compromised after it was revoked".to_owned(),
        || "compromised_since at or before effective_at".to_owned(),
        || field("key_revoked.compromised_since"),
    );
}

/// The frame has judged it: target, slot and person.
pub(super) fn signature_added(_: &mut Context<'_>, _: &pb::SignatureAdded) {}
