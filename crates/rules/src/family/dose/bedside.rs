//! Rules from the pharmacy's counter to the end of the infusion.

use std::collections::BTreeSet;

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, BedsideResult, StreamKind};

use crate::codes::dose as code;
use crate::context::Context;
use crate::family::dose::case::Case;
use crate::family::dose::exposure::{self, Addition};
use crate::family::dose::findings::{Findings, field, record, thing};
use crate::family::dose::preparation::not_expired;
use crate::family::dose::words::{duration, grouped, moment, seconds_to_ms};
use crate::family::dose::{claims, portions, weight};
use crate::family::dose_check::{self, Asker};
use crate::frame::AHEAD_LIMIT_MS;
use crate::index::id16;
use crate::state::Subject;
use crate::state::subject::{Dose, InfusionEnd};

pub(in crate::family) fn dispensed(c: &mut Context<'_>, e: &pb::DoseDispensed) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let mut f = Findings::default();
    if let Some(dose) = of_subject(&mut f, &subject, &e.dose_id) {
        let case = Case::of(c.view, &subject, dose, c.judged_at_ms());
        portions::lots_extended(c, &mut f, case.parts.iter().map(|(_, sight)| sight));
        let facility = c.signers.first().map_or(dose.facility_id, |signer| signer.facility_id);
        let people: BTreeSet<Id16> = c.people().collect();
        let asker = Asker::Dispensing { facility_id: facility, people: &people };
        f.0.extend(dose_check::clauses(&case, &asker).0);
    }
    f.into_context(c);
}

/// The dose, if the subject has it.
fn of_subject<'a>(f: &mut Findings, subject: &'a Subject, dose_id: &[u8]) -> Option<&'a Dose> {
    let dose_id = Id16(id16(dose_id));
    let dose = subject.dose(&dose_id);
    f.demand(
        dose.is_some(),
        &code::DOSE_UNKNOWN,
        || format!("dose {dose_id}, which is not of subject {}", subject.id),
        || match subject.doses.last() {
            Some(last) => format!("a dose of this subject; the last one is {}", last.id),
            None => "a dose of this subject; it has none".to_owned(),
        },
        || vec![thing("dose", &dose_id), thing("subject", &subject.id)],
    );
    dose
}

/// The dose was dispensed by then: whatever is recorded first, it is the event's time that counts.
fn is_dispensed(f: &mut Findings, dose: &Dose, at_ms: i64) {
    let dispensed = dose.dispensed;
    f.demand(
        dispensed.is_some_and(|dispensed| dispensed.dispensed_at_ms <= at_ms),
        &code::DOSE_NOT_DISPENSED,
        || match dispensed {
            Some(later) => format!("dose `{}`, which was dispensed only {}", dose.code, moment(later.dispensed_at_ms)),
            None => format!("dose `{}`, which was not dispensed", dose.code),
        },
        || "a dispensed dose".to_owned(),
        || vec![record(dose.record_id)].into_iter().chain(dispensed.map(|d| record(d.record_id))).collect(),
    );
}

/// No hold is in force on the dose. A hold on the whole subject is the subject's own finding.
pub(in crate::family) fn not_held(f: &mut Findings, case: &Case<'_>) {
    let holds = case.subject.upkeep.holds_on_dose(&case.dose.id);
    for hold in holds.filter(|hold| hold.dose_id.is_some() && hold.stood_at(case.at_ms)) {
        f.demand(
            false,
            &code::DOSE_HELD,
            || format!("{}: {}", hold.code, hold.reason),
            || "no hold".to_owned(),
            || vec![record(hold.record_id)],
        );
    }
}

pub(in crate::family) fn bedside_checked(c: &mut Context<'_>, e: &pb::BedsideChecked) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let mut f = Findings::default();
    if let Some(dose) = of_subject(&mut f, &subject, &e.dose_id) {
        is_dispensed(&mut f, dose, c.occurred_at_ms);
    }
    f.demand(
        e.result() == BedsideResult::Matched,
        &code::BEDSIDE_MISMATCHED,
        || "wristband, label and order do not agree".to_owned(),
        || "agreement".to_owned(),
        || vec![field("bedside_checked.result")],
    );
    f.into_context(c);
}

/// A stop: it counts whatever else is wrong; a dose that the subject does not have is only flagged.
pub(in crate::family) fn rejected(c: &mut Context<'_>, e: &pb::DoseRejected) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let mut f = Findings::default();
    of_subject(&mut f, &subject, &e.dose_id);
    f.into_context(c);
}

/// The dose was not rejected by then.
pub(in crate::family) fn not_rejected(f: &mut Findings, dose: &Dose, at_ms: i64) {
    let rejection = dose.rejection.filter(|(_, rejected_at_ms)| *rejected_at_ms <= at_ms.saturating_add(AHEAD_LIMIT_MS));
    f.demand(
        rejection.is_none(),
        &code::DOSE_REJECTED,
        || format!("dose `{}`, which was rejected", dose.code),
        || "a dose that was not rejected".to_owned(),
        || rejection.map(|(record_id, _)| record(record_id)).into_iter().collect(),
    );
}

pub(in crate::family) fn infusion_started(c: &mut Context<'_>, e: &pb::InfusionStarted) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let mut f = Findings::default();
    if let Some(dose) = of_subject(&mut f, &subject, &e.dose_id) {
        let case = Case::of(c.view, &subject, dose, c.occurred_at_ms);
        portions::lots_extended(c, &mut f, case.parts.iter().map(|(_, sight)| sight));
        is_dispensed(&mut f, dose, case.at_ms);
        checked(&mut f, dose, case.at_ms);
        started_once(&mut f, dose);
        f.0.extend(case.standing.everything(case.at_ms).0);
        not_held(&mut f, &case);
        claims::one_of_its_name(&mut f, &case);
        not_rejected(&mut f, dose, case.at_ms);
        for (_, seen) in case.seen() {
            portions::fit_for_use(&mut f, case.view, seen, &case.subject.id, case.at_ms);
        }
        not_expired(&mut f, &case);
        weight::counts(&mut f, &case.standing, case.order);
        exposure::cap(&mut f, &case.standing, case.at_ms, Addition::dose(dose));
        exposure::interval(&mut f, &case.standing, case.at_ms, Some(&dose.id), false);
        in_time_after_onset(&mut f, &case);
    }
    f.into_context(c);
}

/// The last bedside check before the infusion, by its own time and not by when it was entered, found agreement.
fn checked(f: &mut Findings, dose: &Dose, at_ms: i64) {
    let before = dose.checks.iter().filter(|check| check.checked_at_ms <= at_ms);
    let last = before.max_by_key(|check| check.checked_at_ms);
    f.demand(
        last.is_some(),
        &code::INFUSION_UNCHECKED,
        || format!("dose `{}` without a bedside check", dose.code),
        || "a bedside check that found agreement".to_owned(),
        || dose.dispensed.iter().map(|dispensed| record(dispensed.record_id)).collect(),
    );
    f.demand(
        last.is_none_or(|check| check.matched),
        &code::INFUSION_AFTER_MISMATCH,
        || format!("dose `{}`, whose last bedside check found disagreement", dose.code),
        || "a bedside check that found agreement".to_owned(),
        || last.map(|check| record(check.record_id)).into_iter().collect(),
    );
}

fn started_once(f: &mut Findings, dose: &Dose) {
    let first = dose.infusion.as_ref();
    f.demand(
        first.is_none(),
        &code::INFUSION_STARTED_TWICE,
        || format!("dose `{}` begun {}", dose.code, first.map_or_else(String::new, |i| moment(i.started_at_ms))),
        || "one start".to_owned(),
        || first.map(|infusion| record(infusion.record_id)).into_iter().collect(),
    );
}

/// The subject's first infusion begins within the protocol's time after onset, inclusive.
fn in_time_after_onset(f: &mut Findings, case: &Case<'_>) {
    let Some(protocol) = &case.standing.protocol else {
        return;
    };
    let Some(screening) = case.subject.screening() else {
        return;
    };
    let Some(onset_ms) = screening.onset_at_ms() else {
        return;
    };
    let infusions = case.subject.doses.iter().filter_map(|dose| dose.infusion.as_ref());
    if infusions.into_iter().any(|infusion| infusion.started_at_ms <= case.at_ms) {
        return;
    }
    let window_ms = seconds_to_ms(protocol.onset_window_seconds);
    let after_ms = case.at_ms.saturating_sub(onset_ms);
    f.demand(
        after_ms <= window_ms,
        &code::INFUSION_LATE,
        || format!("{} after onset ({})", duration(after_ms), moment(onset_ms)),
        || format!("at most {}", duration(window_ms)),
        || vec![record(screening.record_id)],
    );
}

pub(in crate::family) fn infusion_ended(c: &mut Context<'_>, e: &pb::InfusionEnded) {
    let Some(subject) = c.view.subject(&c.stream_id(StreamKind::Subject)) else {
        return;
    };
    let mut f = Findings::default();
    if let Some(dose) = of_subject(&mut f, &subject, &e.dose_id) {
        let case = Case::of(c.view, &subject, dose, c.occurred_at_ms);
        portions::lots_extended(c, &mut f, case.parts.iter().map(|(_, sight)| sight));
        began_and_goes_on(&mut f, dose, c.occurred_at_ms);
        let end = InfusionEnd::recorded(c.record_id(), c.occurred_at_ms, e);
        volumes(&mut f, dose, &end);
    }
    f.into_context(c);
}

fn began_and_goes_on(f: &mut Findings, dose: &Dose, at_ms: i64) {
    let infusion = dose.infusion.as_ref();
    f.demand(
        infusion.is_some_and(|infusion| infusion.started_at_ms <= at_ms),
        &code::INFUSION_NOT_STARTED,
        || match infusion {
            Some(infusion) => format!("ended {}, begun {}", moment(at_ms), moment(infusion.started_at_ms)),
            None => format!("dose `{}`, whose start is not recorded", dose.code),
        },
        || "an end after the start".to_owned(),
        || vec![record(infusion.map_or(dose.record_id, |infusion| infusion.record_id))],
    );
    let end = infusion.and_then(|infusion| infusion.end.as_ref());
    f.demand(
        end.is_none(),
        &code::INFUSION_ENDED_TWICE,
        || format!("dose `{}` ended {}", dose.code, end.map_or_else(String::new, |end| moment(end.ended_at_ms))),
        || "one end".to_owned(),
        || end.map(|end| record(end.record_id)).into_iter().collect(),
    );
}

fn volumes(f: &mut Findings, dose: &Dose, end: &InfusionEnd) {
    let mut named = BTreeSet::new();
    for (unit_id, volume) in &end.infused {
        let portion = dose.portions.iter().find(|portion| portion.unit_id == *unit_id);
        f.demand(
            named.insert(*unit_id) && portion.is_some(),
            &code::INFUSED_UNIT_NOT_IN_DOSE,
            || format!("unit {unit_id}"),
            || {
                let units: Vec<String> = dose.portions.iter().map(|portion| portion.unit_id.to_string()).collect();
                format!("units {}, each once", units.join(", "))
            },
            || vec![record(dose.record_id), thing("unit", unit_id)],
        );
        let Some(portion) = portion else { continue };
        f.demand(
            *volume <= portion.volume_microlitres,
            &code::INFUSED_TOO_MUCH,
            || format!("{} µL of unit {unit_id}", grouped(*volume)),
            || format!("at most {} µL", grouped(portion.volume_microlitres)),
            || vec![record(dose.record_id)],
        );
    }
    let whole = dose.is_whole(end);
    f.demand(
        whole == end.stopped_because.is_none(),
        &code::INFUSION_REASON_WRONG,
        || {
            if whole { "a reason, and all was infused".to_owned() } else { "no reason, and less than all was infused".to_owned() }
        },
        || {
            if whole { "no reason".to_owned() } else { "a reason".to_owned() }
        },
        || vec![field("infusion_ended.stopped_because")],
    );
}
