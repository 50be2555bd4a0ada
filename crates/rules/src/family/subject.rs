//! Rules about a subject's consent, screening, randomisation and weighing.

use std::collections::BTreeSet;

use marrowline_merkle::{Hash, leaf_hash, verify_inclusion};
use marrowline_record::id::RecordId;
use marrowline_record::pb::{self, ProtocolPublished, ScreeningVerdict, StreamKind};
use sha2::{Digest as _, Sha256};

use crate::codes::subject as code;
use crate::context::Context;
use crate::family::dose::findings::{Findings, field, record};
use crate::family::dose::words::{duration, grouped, moment};
use crate::finding::Look;
use crate::state::Subject;

pub(in crate::family) mod consent;
#[cfg(test)]
mod record_tests;
pub(in crate::family) mod standing;

pub(super) use consent::consented;

use standing::Standing;

pub(super) fn screened(c: &mut Context<'_>, e: &pb::SubjectScreened) {
    let onset = e.onset_at.as_ref().map_or(0, |onset| onset.unix_ms);
    let at = c.occurred_at_ms;
    c.demand(
        onset <= at,
        &code::ONSET_AFTER_SCREENING,
        || format!("onset {}, screened {}", moment(onset), moment(at)),
        || "an onset that is not after the screening".to_owned(),
        || vec![field("subject_screened.onset_at")],
    );
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let standing = Standing::of(c.view, &subject);
    let mut f = Findings::default();
    standing.trial_goes_on(&mut f, at);
    f.into_context(c);
    let (Some(protocol), Some(consent)) = (&standing.protocol, subject.consent()) else {
        return;
    };
    let known: BTreeSet<&str> = protocol.exclusions.iter().map(|x| x.code.as_str()).collect();
    let unknown: Vec<&str> = e.exclusions_present.iter().map(String::as_str).filter(|code| !known.contains(code)).collect();
    c.demand(
        unknown.is_empty(),
        &code::SCREENING_EXCLUSION_UNKNOWN,
        || unknown.join(", "),
        || known.iter().copied().collect::<Vec<_>>().join(", "),
        || vec![field("subject_screened.exclusions_present")],
    );
    let reasons = reasons_against(protocol, consent.event.age_years.unwrap_or(0), e);
    let computed = if reasons.is_empty() { ScreeningVerdict::Eligible } else { ScreeningVerdict::Ineligible };
    c.demand(
        e.stated_verdict() == computed,
        &code::SCREENING_VERDICT_DIFFERS,
        || verdict_in_words(e.stated_verdict()).to_owned(),
        || match reasons.as_slice() {
            [] => verdict_in_words(computed).to_owned(),
            reasons => format!("{}: {}", verdict_in_words(computed), reasons.join("; ")),
        },
        || vec![field("subject_screened.stated_verdict"), record(consent.record_id)],
    );
}

/// A subject dies once, and does not live afterwards.
pub(super) fn vital_status_recorded(c: &mut Context<'_>, e: &pb::VitalStatusRecorded) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let at = c.occurred_at_ms;
    let is_dead = e.status() == pb::VitalStatus::Dead;
    let other = subject.vitals.iter().find(|known| match (is_dead, known.is_dead) {
        (true, true) => known.at_ms != at,
        (true, false) => known.at_ms > at,
        (false, true) => known.at_ms <= at,
        (false, false) => false,
    });
    let word = |is_dead: bool, at_ms: i64| format!("{} {}", if is_dead { "died" } else { "alive" }, moment(at_ms));
    c.demand(
        other.is_none(),
        &code::VITAL_STATUS_CONTRADICTS,
        || word(is_dead, at),
        || format!("what agrees with: {}", other.map_or_else(String::new, |known| word(known.is_dead, known.at_ms))),
        || other.map(|known| record(known.record_id)).into_iter().collect(),
    );
}

/// Whether a screened subject may take part, by the protocol; nothing before its screening.
pub fn is_eligible(protocol: &ProtocolPublished, subject: &crate::state::Subject) -> Option<bool> {
    let (consent, screening) = (subject.consent()?, subject.screening()?);
    Some(reasons_against(protocol, consent.event.age_years.unwrap_or(0), &screening.event).is_empty())
}

/// Why somebody may not take part, by the protocol; nothing if they may.
pub fn reasons_against(protocol: &ProtocolPublished, age_years: u32, screening: &pb::SubjectScreened) -> Vec<String> {
    let mut reasons = Vec::new();
    let youngest = protocol.min_age_years.unwrap_or(0);
    if age_years < youngest || age_years > protocol.max_age_years {
        reasons.push(format!("{age_years} completed years, allowed {youngest} to {}", protocol.max_age_years));
    }
    for criterion in &protocol.counts {
        let analyte = analyte_in_words(criterion.analyte());
        let limit = criterion.max_cells_per_microlitre;
        let mut counts = screening
            .counts
            .iter()
            .filter(|count| count.analyte() == criterion.analyte())
            .map(|count| count.cells_per_microlitre.unwrap_or(u32::MAX))
            .peekable();
        if counts.peek().is_none() {
            reasons.push(format!("no {analyte} count, allowed at most {} per µL", grouped(limit)));
        }
        for count in counts.filter(|count| *count > limit) {
            reasons.push(format!("{analyte} {} per µL, allowed at most {}", grouped(count), grouped(limit)));
        }
    }
    reasons.extend(screening.exclusions_present.iter().map(|code| format!("excluded by `{code}`")));
    reasons
}

pub(super) fn randomised(c: &mut Context<'_>, e: &pb::SubjectRandomised) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let at_ms = c.judged_at_ms();
    let standing = Standing::of(c.view, &subject);
    standing.consent_trial_and_holds(at_ms).into_context(c);
    if let Some(first) = &subject.randomised {
        c.find(
            &code::ALREADY_RANDOMISED,
            format!("arm {} since {}", first.arm, moment(first.recorded_at_ms)),
            "one randomisation",
            vec![record(first.record_id)],
        );
    }
    eligible(c, &subject, standing.protocol.as_deref());
    randomiser(c, &subject);
    trial(c, &subject);
    slot(c, e, standing.protocol.as_deref());
}

fn eligible(c: &mut Context<'_>, subject: &Subject, protocol: Option<&ProtocolPublished>) {
    let (Some(protocol), Some(consent)) = (protocol, subject.consent()) else {
        return;
    };
    let (reasons, look_at) = match subject.latest_screening() {
        None => (vec!["not screened".to_owned()], vec![record(consent.record_id)]),
        Some((_, screening)) => (
            reasons_against(protocol, consent.event.age_years.unwrap_or(0), &screening.event),
            vec![record(screening.record_id), record(consent.record_id)],
        ),
    };
    c.demand(
        reasons.is_empty(),
        &code::SUBJECT_NOT_ELIGIBLE,
        || reasons.join("; "),
        || "eligible by the protocol".to_owned(),
        || look_at,
    );
}

fn randomiser(c: &mut Context<'_>, subject: &Subject) {
    let records: Vec<RecordId> = subject
        .investigated_by
        .iter()
        .filter(|(key, _)| c.authority.person_of(key).is_some_and(|person| c.signed_by(&person)))
        .map(|(_, record)| *record)
        .collect();
    c.demand(
        records.is_empty(),
        &code::RANDOMISER_IS_INVESTIGATOR,
        || "a randomiser who took the consent or screened".to_owned(),
        || "somebody else".to_owned(),
        || records.iter().copied().map(record).collect(),
    );
}

fn trial(c: &mut Context<'_>, subject: &Subject) {
    let extended = c.stream_id(StreamKind::Protocol);
    let Some(consented) = subject.protocol_id() else {
        return;
    };
    c.demand(
        extended == consented,
        &code::TRIAL_DIFFERS,
        || format!("protocol {extended}"),
        || format!("protocol {consented}"),
        || subject.consents.first().map(|first| record(first.record_id)).into_iter().collect(),
    );
}

fn slot(c: &mut Context<'_>, e: &pb::SubjectRandomised, protocol: Option<&ProtocolPublished>) {
    let slot = e.slot.unwrap_or(0);
    if let Some(state) = c.view.protocol(&c.stream_id(StreamKind::Protocol)) {
        let next = state.next_slot();
        c.demand(
            slot == next,
            &code::SLOT_NOT_NEXT,
            || format!("slot {slot}"),
            || format!("slot {next}"),
            || state.slots.last().map(|last| record(last.record_id)).into_iter().collect(),
        );
    }
    let Some(protocol) = protocol else { return };
    c.demand(
        protocol.arms.iter().any(|arm| arm.arm == e.arm),
        &code::ARM_UNKNOWN,
        || format!("arm {}", e.arm),
        || {
            let arms: Vec<String> = protocol.arms.iter().map(|arm| format!("{} `{}`", arm.arm, arm.code)).collect();
            format!("arm {}", arms.join(" or "))
        },
        || vec![field("subject_randomised.arm")],
    );
    c.demand(
        is_committed(protocol, slot, e),
        &code::SLOT_NOT_COMMITTED,
        || format!("slot {slot}, arm {}, whose salt and proof do not lead to the committed root", e.arm),
        || match &protocol.randomisation {
            Some(list) => format!("a slot of the {} under root {}", list.slots, hex(&list.root)),
            None => "a committed list".to_owned(),
        },
        || vec![field("subject_randomised.inclusion_proof")],
    );
}

/// SHA-256("marrowline/slot/v1\n" ‖ index u32be ‖ arm u8 ‖ salt 32): what the committed list holds for each slot. The list's root is
/// the RFC 9162 root whose leaf *data* are these 32 bytes, so a leaf's hash is SHA-256(0x00 ‖ them).
pub fn slot_commitment(slot: u32, arm: u8, salt: &[u8; 32]) -> Hash {
    Sha256::new()
        .chain_update(b"marrowline/slot/v1\n")
        .chain_update(slot.to_be_bytes())
        .chain_update([arm])
        .chain_update(salt)
        .finalize()
        .into()
}

fn is_committed(protocol: &ProtocolPublished, slot: u32, e: &pb::SubjectRandomised) -> bool {
    let Some(list) = &protocol.randomisation else {
        return false;
    };
    let (Ok(arm), Ok(salt), Ok(root)) = (u8::try_from(e.arm), e.salt[..].try_into(), list.root[..].try_into()) else {
        return false;
    };
    let Ok(proof) = e.inclusion_proof.iter().map(|hash| hash[..].try_into()).collect::<Result<Vec<Hash>, _>>() else {
        return false;
    };
    let leaf = leaf_hash(&slot_commitment(slot, arm, &salt));
    verify_inclusion(u64::from(slot), u64::from(list.slots), &leaf, &proof, &root).is_ok()
}

/// A weighing is never wrong in itself: how old it is, and what it changes, is asked by orders and dispensing.
pub(super) fn weighed(_c: &mut Context<'_>, _e: &pb::SubjectWeighed) {}

fn verdict_in_words(verdict: ScreeningVerdict) -> &'static str {
    match verdict {
        ScreeningVerdict::Unspecified => "no verdict",
        ScreeningVerdict::Eligible => "eligible",
        ScreeningVerdict::Ineligible => "ineligible",
    }
}

fn analyte_in_words(analyte: pb::CountAnalyte) -> &'static str {
    match analyte {
        pb::CountAnalyte::Unspecified => "cells",
        pb::CountAnalyte::Leucocytes => "leucocytes",
        pb::CountAnalyte::Neutrophils => "neutrophils",
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How long ago, in words, for a message about age.
pub(in crate::family) fn ago(at_ms: i64, then_ms: i64) -> String {
    duration(at_ms.saturating_sub(then_ms))
}

/// Looks at the consent and the randomisation.
pub(in crate::family) fn looks(subject: &Subject) -> Vec<Look> {
    subject
        .consent()
        .map(|consent| consent.record_id)
        .into_iter()
        .chain(subject.randomised.map(|randomised| randomised.record_id))
        .map(record)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_committed_as_documented() {
        let mut bytes = b"marrowline/slot/v1\n".to_vec();
        bytes.extend_from_slice(&[0, 0, 1, 2, 7]);
        bytes.extend_from_slice(&[9; 32]);
        let expected: Hash = Sha256::digest(&bytes).into();
        assert_eq!(slot_commitment(258, 7, &[9; 32]), expected);
    }

    fn trial() -> ProtocolPublished {
        ProtocolPublished {
            min_age_years: Some(17),
            max_age_years: 75,
            counts: vec![pb::CountCriterion { analyte: pb::CountAnalyte::Leucocytes.into(), max_cells_per_microlitre: 1000 }],
            ..ProtocolPublished::default()
        }
    }

    fn leucocytes(counts: &[u32]) -> pb::SubjectScreened {
        pb::SubjectScreened {
            counts: counts
                .iter()
                .map(|count| pb::BloodCount { analyte: pb::CountAnalyte::Leucocytes.into(), cells_per_microlitre: Some(*count) })
                .collect(),
            ..pb::SubjectScreened::default()
        }
    }

    #[test]
    fn ages_and_counts_are_inclusive() {
        for (age, eligible) in [(16, false), (17, true), (75, true), (76, false)] {
            assert_eq!(reasons_against(&trial(), age, &leucocytes(&[1000])).is_empty(), eligible, "{age}");
        }
        for (counts, eligible) in [(&[1000][..], true), (&[1001], false), (&[], false), (&[0, 1001], false), (&[0], true)] {
            assert_eq!(reasons_against(&trial(), 40, &leucocytes(counts)).is_empty(), eligible, "{counts:?}");
        }
    }
}
