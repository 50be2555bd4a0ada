//! Rules about a subject's consent.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, ConsentKind, ProtocolPublished, StreamKind};

use crate::codes::subject as code;
use crate::context::Context;
use crate::family::dose::findings::{field, record, thing};
use crate::family::dose::words::moment;
use crate::index::{CODE_SUBJECT, Holder, holder, id16};
use crate::state::Subject;

/// Days from 1970-01-01 to the first day of a year are counted in 400-year cycles of this many days.
const DAYS_IN_400_YEARS: i64 = 146_097;
const DAY_MS: i64 = 86_400_000;

pub(in crate::family) fn consented(c: &mut Context<'_>, e: &pb::SubjectConsented) {
    let Some(reference) = &e.protocol else { return };
    let protocol_id = Id16(id16(&reference.id));
    let protocol = c.view.protocol(&protocol_id);
    let published = protocol.as_ref().and_then(|p| p.version(reference.version));
    c.demand(
        published.is_some(),
        &code::SUBJECT_PROTOCOL_UNKNOWN,
        || format!("version {} of protocol {protocol_id}", reference.version),
        || match protocol.as_ref().map_or(0, |p| p.last_version()) {
            0 => "a published protocol; this one has no version".to_owned(),
            last => format!("version 1 to {last}"),
        },
        || vec![field("subject_consented.protocol"), thing("protocol", &protocol_id)],
    );
    if let Some(published) = published {
        c.demand(
            is_kind_allowed(published, e.kind()),
            &code::CONSENT_KIND_NOT_ALLOWED,
            || kind_in_words(e.kind()).to_owned(),
            || kinds_in_words(published),
            || vec![field("subject_consented.kind")],
        );
    }
    code_and_trial(c, e, &protocol_id);
    deadline(c, e);
    age(c, e);
}

/// Whose consents with the code are void has it no more, and of a subject that has it the first consent told.
fn code_is_new(c: &mut Context<'_>, this: &Id16, subject_code: &str) {
    let has_it = |subject: &Subject| subject.consents.iter().any(|consent| consent.event.subject_code == subject_code);
    if c.view.subject(this).is_some_and(|subject| has_it(&subject)) {
        return;
    }
    let is_other = |id: &Id16| c.view.subject(id).is_none_or(|other| has_it(&other));
    let (code, found, look_at) = match holder(c.view, CODE_SUBJECT, subject_code, this, is_other) {
        Some(Holder::Has(other)) => {
            (&code::SUBJECT_CODE_TAKEN, format!("`{subject_code}`, which another subject has"), thing("subject", &other))
        }
        Some(Holder::Had) => {
            let found = format!("`{subject_code}`, which another subject had until its consent was voided");
            (&code::SUBJECT_CODE_REUSED, found, field("subject_consented.subject_code"))
        }
        None => return,
    };
    c.find(code, found, "a code of this subject alone", vec![look_at]);
}

fn code_and_trial(c: &mut Context<'_>, e: &pb::SubjectConsented, protocol_id: &Id16) {
    let this = c.stream_id(StreamKind::Subject);
    code_is_new(c, &this, &e.subject_code);
    let Some(subject) = c.view.subject(&this) else {
        return;
    };
    let Some(first) = subject.consents.first() else {
        return;
    };
    let trial = subject.protocol_id().unwrap_or(*protocol_id);
    c.demand(
        trial == *protocol_id && first.event.subject_code == e.subject_code,
        &code::SUBJECT_TRIAL_CHANGED,
        || format!("subject `{}` of protocol {protocol_id}", e.subject_code),
        || format!("subject `{}` of protocol {trial}", first.event.subject_code),
        || vec![record(first.record_id)],
    );
}

fn deadline(c: &mut Context<'_>, e: &pb::SubjectConsented) {
    let until = e.deferred_until.as_ref().map(|until| until.unix_ms);
    let given = c.occurred_at_ms;
    let right = match (e.kind(), until) {
        (ConsentKind::Deferred, Some(until)) => until > given,
        (ConsentKind::Deferred, None) => false,
        (_, until) => until.is_none(),
    };
    c.demand(
        right,
        &code::CONSENT_DEADLINE_WRONG,
        || match until {
            Some(until) => format!("deadline {} of {}, given {}", moment(until), kind_in_words(e.kind()), moment(given)),
            None => "a deferred consent without a deadline".to_owned(),
        },
        || match e.kind() {
            ConsentKind::Deferred => "a deadline after the consent was given".to_owned(),
            _ => "no deadline".to_owned(),
        },
        || vec![field("subject_consented.deferred_until")],
    );
}

fn age(c: &mut Context<'_>, e: &pb::SubjectConsented) {
    let age = i64::from(e.age_years.unwrap_or(0));
    let born = i64::from(e.birth_year);
    let offset_ms = c.record.occurred_at.as_ref().map_or(0, |at| i64::from(at.offset_minutes) * 60_000);
    let year = civil_year(c.occurred_at_ms.saturating_add(offset_ms));
    // Somebody born in the year b has completed y − b years, or one less before the birthday.
    c.demand(
        (year - born - 1..=year - born).contains(&age),
        &code::AGE_AND_BIRTH_YEAR_DIFFER,
        || format!("{age} completed years in {year}, born in {born}"),
        || format!("{} or {} completed years", (year - born - 1).max(0), (year - born).max(0)),
        || vec![field("subject_consented.age_years"), field("subject_consented.birth_year")],
    );
}

pub(super) fn is_kind_allowed(protocol: &ProtocolPublished, kind: ConsentKind) -> bool {
    protocol.consent_kinds().any(|allowed| allowed == kind)
}

pub(super) fn kinds_in_words(protocol: &ProtocolPublished) -> String {
    protocol.consent_kinds().map(kind_in_words).collect::<Vec<_>>().join(", ")
}

pub(super) fn kind_in_words(kind: ConsentKind) -> &'static str {
    match kind {
        ConsentKind::Unspecified => "no consent",
        ConsentKind::Self_ => "consent by the subject",
        ConsentKind::GuardianWithAssent => "consent by a guardian with the subject's assent",
        ConsentKind::Representative => "consent by a legal representative",
        ConsentKind::Deferred => "deferred consent",
    }
}

/// The calendar year of a moment given in local milliseconds since 1970.
fn civil_year(local_ms: i64) -> i64 {
    // Days since 0000-03-01, so that the leap day ends a year.
    let days = local_ms.div_euclid(DAY_MS) + 719_468;
    let cycle = days.div_euclid(DAYS_IN_400_YEARS);
    let day = days.rem_euclid(DAYS_IN_400_YEARS);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // January and February (days 306 and on) belong to the next civil year.
    cycle * 400 + year + i64::from(day_of_year >= 306)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_year_turns_at_midnight_of_the_first_of_january() {
        for (text, year) in [
            ("1970-01-01 00:00:01 +00:00", 1970),
            ("1999-12-31 23:59:59 +00:00", 1999),
            ("2000-02-29 12:00:00 +00:00", 2000),
            ("2026-01-01 00:00:00 +00:00", 2026),
            ("2026-02-28 00:00:00 +00:00", 2026),
            ("2026-12-31 23:59:59 +00:00", 2026),
            ("2100-03-01 00:00:00 +00:00", 2100),
        ] {
            let at = marrowline_record::instant::parse(text).expect(text);
            assert_eq!(civil_year(at.unix_ms), year, "{text}");
        }
    }
}
