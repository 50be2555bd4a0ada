//! Who may read what: everyone the things of facilities where they hold a role; a subject only those who treat or watch over it.

use marrowline_api::errors;
use marrowline_ledger::Snapshot;
use marrowline_record::entry::Entry;
use marrowline_record::id::Id16;
use marrowline_record::pb::{self, Record, Role, StreamKind};
use marrowline_rules::Finding;
use marrowline_rules::state::Upkeep;
use tonic::Status;

use crate::auth::Person;

/// Roles that may read a subject's records.
const SUBJECT_ROLES: &[Role] = &[Role::Investigator, Role::Randomiser, Role::Nurse, Role::Pharmacist, Role::QualityAssurance];

/// Whether a person may read a stream of this kind in which these facilities took part.
pub fn may_read(person: &Person, kind: StreamKind, upkeep: &Upkeep) -> bool {
    if person.is(Role::Auditor) {
        return true;
    }
    let takes_part = |facility: &Id16| upkeep.facilities.contains(facility);
    match kind {
        StreamKind::Subject => person.roles.iter().any(|(role, facility)| SUBJECT_ROLES.contains(role) && takes_part(facility)),
        StreamKind::Donor | StreamKind::Lot | StreamKind::Facility | StreamKind::Equipment => {
            person.roles.iter().any(|(_, facility)| takes_part(facility))
        }
        _ => !person.roles.is_empty(),
    }
}

/// Refuses a person who may not read a stream.
pub fn check(person: &Person, kind: StreamKind, upkeep: &Upkeep) -> Result<(), Status> {
    if may_read(person, kind, upkeep) {
        return Ok(());
    }
    Err(match kind {
        StreamKind::Subject => errors::read_not_permitted(
            "this subject",
            "an investigator, randomiser, nurse, pharmacist or QA of the trial's sites, or an auditor",
        ),
        _ => errors::read_not_permitted("this", "someone with a role at a facility that took part, or an auditor"),
    })
}

/// Whether a person may read a record: every subject that it extends, and at least one of its streams.
pub fn may_read_entry(person: &Person, snapshot: &Snapshot, entry: &Entry) -> bool {
    if person.is(Role::Auditor) {
        return true;
    }
    let mut any = false;
    for extended in &entry.record.streams {
        let id = Id16(extended.id.as_slice().try_into().unwrap_or([0; 16]));
        let Some(stream) = snapshot.stream(extended.kind(), &id) else {
            return false;
        };
        let may = may_read(person, extended.kind(), stream.upkeep());
        if !may && extended.kind() == StreamKind::Subject {
            return false;
        }
        any |= may;
    }
    any
}

/// The kinds of streams that a record extends and this person may not read. A stream that the record opens has nothing to hide yet.
pub fn hidden_kinds(person: &Person, snapshot: &Snapshot, record: &Record) -> Vec<StreamKind> {
    let is_hidden = |kind: StreamKind, id: &[u8]| {
        let stream = snapshot.stream(kind, &Id16(id.try_into().unwrap_or([0; 16])));
        stream.is_some_and(|stream| stream.upkeep().length > 0 && !may_read(person, kind, stream.upkeep()))
    };
    record.streams.iter().filter(|s| is_hidden(s.kind(), &s.id)).map(pb::StreamExtension::kind).collect()
}

/// Takes out what rules read in streams of kinds that are hidden from the receiver: anybody who is enrolled may send a record, and must
/// not learn a subject's weight from the reasons why it was refused. Which rules they are, and what to do next, stays.
pub fn withhold(findings: &mut [Finding], hidden: &[StreamKind]) {
    for finding in findings.iter_mut().filter(|f| f.code.reads.iter().any(|kind| hidden.contains(kind))) {
        "something that you may not read".clone_into(&mut finding.found);
        format!("only this: {}", finding.code.demands).clone_into(&mut finding.allowed);
        finding.look_at.clear();
    }
}

/// Whether the record is about a subject.
pub fn is_about_subject(entry: &Entry) -> bool {
    entry.record.streams.iter().any(|s| s.kind() == StreamKind::Subject)
}
