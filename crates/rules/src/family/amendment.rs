//! Amending and voiding facts. Nothing is refused for its consequences: what does not stand up any more is named and held.

use std::sync::Arc;

use marrowline_record::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Record};

use crate::codes::quality as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::frame::words;
use crate::index::{self, IndexKey, id16};
use crate::state::Upkeep;
use crate::{again, table};

/// What both say.
struct Change<'a> {
    name: &'static str,
    target: Option<&'a pb::AmendedRecord>,
    replaces: &'a [u8],
}

impl Change<'_> {
    fn field(&self, name: &str) -> Vec<Look> {
        vec![Look::Field(format!("{}.{name}", self.name))]
    }
}

pub(super) fn amended(c: &mut Context<'_>, e: &pb::RecordAmended) {
    let change = Change { name: "record_amended", target: e.target.as_ref(), replaces: &e.replaces_record_id };
    let Some(target) = target_of(c, &change) else { return };
    match replacement_of(c, &target, &e.replacement) {
        Ok(record) => again::after_change(c, &target, Some(&Arc::new(record))),
        Err((found, allowed)) => c.find(&codes::REPLACEMENT_WRONG, found, allowed, change.field("replacement")),
    }
}

pub(super) fn voided(c: &mut Context<'_>, e: &pb::RecordVoided) {
    let change = Change { name: "record_voided", target: e.target.as_ref(), replaces: &e.replaces_record_id };
    if let Some(target) = target_of(c, &change) {
        again::after_change(c, &target, None);
    }
}

/// The record that is amended, if it can be by these people.
fn target_of(c: &mut Context<'_>, change: &Change<'_>) -> Option<Arc<Entry>> {
    let named = change.target?;
    let id = RecordId(id16(&named.record_id));
    let same = |a: &pb::StreamExtension, b: &pb::StreamExtension| a.kind == b.kind && a.id == b.id;
    let streams = &c.record.streams;
    let is_named = |entry: &Arc<Entry>| {
        let of_target = &entry.record.streams;
        entry.digest.0[..] == named.digest[..]
            && of_target.len() == streams.len()
            && of_target.iter().zip(streams).all(|(a, b)| same(a, b))
    };
    let Some(target) = c.view.entry(&id).filter(is_named) else {
        c.find(
            &codes::AMENDMENT_TARGET_UNKNOWN,
            format!("record {id} with another digest or other streams, or none"),
            "id, digest and streams of a record in this ledger",
            change.field("target"),
        );
        return None;
    };
    if !target.event().is_some_and(table::is_amendable) {
        let what = target.event().map_or_else(String::new, |event| marrowline_record::EventKind::of(event).name().to_owned());
        c.find(&codes::AMENDMENT_NOT_OF_A_FACT, what, "a fact", vec![Look::Record(id)]);
        return None;
    }
    check_version(c, change, &target);
    check_signers(c, &target);
    Some(target)
}

fn check_version(c: &mut Context<'_>, change: &Change<'_>, target: &Entry) {
    let id = target.record_id();
    let version = upkeep_of(c, target).and_then(|upkeep| upkeep.amended.get(&id).copied());
    let latest = version.map_or(id, |version| version.record_id);
    let is_void = version.is_some_and(|version| version.is_void);
    c.demand(
        !is_void && latest.0[..] == *change.replaces,
        &codes::AMENDMENT_NOT_OF_THE_LATEST,
        || if is_void { "a void record".to_owned() } else { format!("version {}", RecordId(id16(change.replaces))) },
        || if is_void { "a record that counts".to_owned() } else { format!("version {latest}") },
        || vec![Look::Record(latest)],
    );
}

fn check_signers(c: &mut Context<'_>, target: &Entry) {
    let role = c.signers.iter().find(|signer| signer.slot == 0).map(|signer| (signer.role, signer.facility_id));
    let has_role = role.is_none_or(|(role, facility)| {
        target.record.slots.iter().any(|slot| slot.role() == role && slot.facility_id[..] == facility.0)
    });
    c.demand(
        has_role,
        &codes::AMENDMENT_BY_ANOTHER_ROLE,
        || role.map_or_else(String::new, |(role, _)| words(role.as_str_name())),
        || target.record.slots.iter().map(|slot| words(slot.role().as_str_name())).collect::<Vec<_>>().join(" or "),
        || vec![Look::Field("slots[0]".to_owned()), Look::Record(target.record_id())],
    );
    let added = upkeep_of(c, target).map(|upkeep| upkeep.added.clone()).unwrap_or_default();
    let keys = target
        .signings
        .iter()
        .map(|signing| signing.key_id)
        .chain(added.into_iter().filter(|(digest, _)| *digest == target.digest).flat_map(|(_, keys)| keys));
    // Who wrote a version is one of its authors; who approved it is not.
    let of_versions = versions(c, target).into_iter().flat_map(|version| version.signings.clone());
    let keys = keys.chain(of_versions.filter(|signing| signing.slot == 0).map(|signing| signing.key_id));
    let authors: Vec<Id16> = keys.filter_map(|key| c.authority.person_of(&key)).collect();
    let approver = c.signers.iter().find(|signer| signer.slot == 1).and_then(|signer| signer.person_id);
    c.demand(
        approver.is_none_or(|approver| !authors.contains(&approver)),
        &codes::AMENDMENT_APPROVED_BY_ITS_AUTHOR,
        || "somebody who signed the record".to_owned(),
        || "QA who did not sign it".to_owned(),
        || vec![Look::Field("slots[1]".to_owned()), Look::Record(target.record_id())],
    );
}

fn upkeep_of(c: &Context<'_>, target: &Entry) -> Option<Upkeep> {
    let first = target.record.streams.first()?;
    again::present(c.view, first.kind(), &Id16(id16(&first.id))).map(|stream| stream.upkeep().clone())
}

/// The amendments of a record, the latest first.
fn versions(c: &Context<'_>, target: &Entry) -> Vec<Arc<Entry>> {
    let mut next = upkeep_of(c, target).and_then(|upkeep| upkeep.amended.get(&target.record_id()).map(|v| v.record_id));
    let mut found: Vec<Arc<Entry>> = Vec::new();
    while let Some(version) = next.filter(|id| *id != target.record_id()).and_then(|id| c.view.entry(&id)) {
        next = match version.event() {
            Some(Event::RecordAmended(e)) => Some(RecordId(id16(&e.replaces_record_id))),
            _ => None,
        };
        // Each was recorded before the one that replaced it.
        next = next.filter(|id| c.view.entry(id).is_some_and(|before| before.index < version.index));
        found.push(version);
    }
    found
}

/// What the record says now.
fn latest_event(c: &Context<'_>, target: &Entry) -> Option<Event> {
    let latest = versions(c, target).into_iter().next();
    match latest.as_ref().and_then(|latest| latest.event()) {
        Some(Event::RecordAmended(e)) => marrowline_record::decode(&e.replacement).ok()?.event,
        _ => target.event().cloned(),
    }
}

/// The replacement, read; or what was found and what is allowed.
fn replacement_of(c: &Context<'_>, target: &Entry, bytes: &[u8]) -> Result<Record, (String, String)> {
    let record = marrowline_record::decode(bytes).map_err(|e| (format!("{e}"), "canonical bytes of a record".to_owned()))?;
    let wrong = |found: &str, allowed: &str| Err((found.to_owned(), allowed.to_owned()));
    let frame = |record: &Record| Record { event: None, ..record.clone() };
    if frame(&record) != frame(&target.record) {
        return wrong("another id, time, streams, slots or citations", "those of the record that is amended");
    }
    let kind = |record: &Record| record.event.as_ref().map(marrowline_record::EventKind::of);
    if kind(&record) != kind(&target.record) {
        return wrong("another kind of event", "the kind that was recorded");
    }
    if record.event == latest_event(c, target) {
        return wrong("what the record says already", "something else, or no amendment");
    }
    let amended = Entry { record: Arc::new(record.clone()), ..target.clone() };
    if names(&amended) != names(target) {
        return wrong("another id or code", "the ids and codes that the record gave to things");
    }
    Ok(record)
}

/// What the record gave a name to; names are looked up by it for ever.
fn names(entry: &Entry) -> Vec<IndexKey> {
    index::writes(entry).into_iter().filter(|write| write.key.is_name()).map(|write| write.key).collect()
}
