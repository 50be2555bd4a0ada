//! What lets a decision pass that would otherwise be refused: a release of units for one subject, and an override of listed gates.

use std::collections::BTreeSet;

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, Disposition, StreamKind};

use crate::codes::dose as codes;
use crate::codes::lot::{EXCEPTIONAL_LOT_REJECTED, EXCEPTIONAL_UNIT_UNKNOWN};
use crate::context::Context;
use crate::family::dose::words::moment;
use crate::family::protocol::may_be_overridden;
use crate::family::subject::standing::Standing;
use crate::finding::{Finding, Look};
use crate::index::id16;
use crate::state::subject::Override;
use crate::table::Category;

pub(super) fn released(c: &mut Context<'_>, e: &pb::ExceptionalRelease) {
    let lots: Vec<_> = c.stream_ids(StreamKind::Lot).filter_map(|id| c.view.lot(&id)).collect();
    let mut seen = BTreeSet::new();
    for (number, unit) in e.unit_ids.iter().enumerate() {
        let id = Id16(id16(unit));
        let is_theirs = lots.iter().any(|lot| lot.units.contains_key(&id));
        c.demand(
            is_theirs && seen.insert(id),
            &EXCEPTIONAL_UNIT_UNKNOWN,
            || format!("unit {id}{}", if is_theirs { " for the second time" } else { ", which the lots do not have" }),
            || "units of the lots, each once".to_owned(),
            || vec![Look::Field(format!("exceptional_release.unit_ids[{number}]"))],
        );
    }
    for lot in &lots {
        let rejected = lot.disposition.filter(|(_, disposition)| *disposition == Disposition::Rejected);
        c.demand(
            rejected.is_none(),
            &EXCEPTIONAL_LOT_REJECTED,
            || "a rejected lot".to_owned(),
            || "a lot that was not rejected".to_owned(),
            || rejected.map(|(record, _)| Look::Record(record)).into_iter().collect(),
        );
        super::disposition::check_certifier(c, lot);
    }
    if let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) {
        Standing::of(c.view, &subject).everything(c.judged_at_ms()).into_context(c);
    }
}

pub(super) fn overridden(c: &mut Context<'_>, e: &pb::EmergencyOverride) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let protocol = Standing::of(c.view, &subject).protocol;
    let version = protocol.as_ref().map_or_else(String::new, |protocol| format!(" version {}", protocol.version));
    let listed = protocol.map(|protocol| protocol.override_codes.clone()).unwrap_or_default();
    let others: Vec<&str> =
        e.codes.iter().filter(|name| !listed.contains(name) || !may_be_overridden(name)).map(String::as_str).collect();
    c.demand(
        others.is_empty(),
        &codes::OVERRIDE_NOT_LISTED,
        || others.join(", "),
        || match listed.as_slice() {
            [] => format!("no gate: the protocol{version}, which governs the subject, lists none"),
            listed => format!("{}, which the protocol{version} lists that governs the subject", listed.join(", ")),
        },
        || vec![Look::Field("emergency_override.codes".to_owned())],
    );
}

pub(super) fn ratified(c: &mut Context<'_>, e: &pb::OverrideRatified) {
    let id = RecordId(id16(&e.override_record_id));
    let subject = c.view.subject(&c.stream_id(StreamKind::Subject));
    let signed = subject.iter().flat_map(|s| &s.overrides).find(|signed| signed.record_id == id).cloned();
    c.demand(
        signed.as_ref().is_some_and(|signed| signed.ratified_by.is_none()),
        &codes::OVERRIDE_UNKNOWN,
        || {
            if signed.is_some() {
                "an override that is ratified".to_owned()
            } else {
                format!("record {id}, no override of this subject")
            }
        },
        || "an override of this subject that is not ratified".to_owned(),
        || vec![Look::Field("override_ratified.override_record_id".to_owned())],
    );
    let due_ms = signed.map(|signed| signed.signed_at_ms.saturating_add(Override::RATIFY_MS));
    let at_ms = c.judged_at_ms();
    c.demand(
        due_ms.is_none_or(|due_ms| at_ms <= due_ms),
        &codes::OVERRIDE_RATIFIED_LATE,
        || format!("ratified {}", moment(at_ms)),
        || format!("up to {}, that moment included", due_ms.map_or_else(String::new, moment)),
        || vec![Look::Record(id)],
    );
}

/// Gates that a cited override passes become flags of the decision; an override that is spent refuses it.
pub(crate) fn apply(c: &mut Context<'_>) {
    if c.category != Category::Authorisation || c.record.cites.is_empty() {
        return;
    }
    let subjects: Vec<_> = c.stream_ids(StreamKind::Subject).filter_map(|id| c.view.subject(&id)).collect();
    let is_cited = |signed: &&Override| c.record.cites.iter().any(|cite| cite.record_id[..] == signed.record_id.0);
    let cited: Vec<Override> = subjects.iter().flat_map(|subject| subject.overrides.iter().filter(is_cited)).cloned().collect();
    let at_ms = c.judged_at_ms();
    for signed in cited {
        if !signed.is_usable(at_ms) {
            let until = moment(signed.signed_at_ms.saturating_add(Override::LIFE_MS));
            let found = match signed.used_by {
                Some(record) => format!("an override that record {record} has used"),
                None => format!("an override that was good until {until}"),
            };
            c.find(
                &codes::OVERRIDE_SPENT,
                found,
                "an override that nothing has used, within an hour",
                vec![Look::Record(signed.record_id)],
            );
            continue;
        }
        let is_passed =
            |finding: &Finding| may_be_overridden(finding.code.name) && signed.codes.iter().any(|name| name == finding.code.name);
        let (passed, kept): (Vec<Finding>, Vec<Finding>) = std::mem::take(&mut c.findings).into_iter().partition(is_passed);
        c.findings = kept;
        for finding in passed {
            let found = format!("{}: {}", finding.code.name, finding.found);
            c.find(&codes::OVERRIDE_USED, found, finding.allowed, vec![Look::Record(signed.record_id)]);
        }
    }
}
