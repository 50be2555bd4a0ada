//! What must hold whenever something is decided about a subject: consent, trial, arm, no hold.
//!
//! An authorisation asks at the ledger's time, a fact at its own: an infusion before a death is none to a dead subject.

use std::sync::Arc;

use marrowline_record::id::Id16;
use marrowline_record::pb::{ConsentKind, ProtocolPublished};

use super::consent::{is_kind_allowed, kind_in_words, kinds_in_words};
use super::looks;
use crate::codes::subject as code;
use crate::family::dose::findings::{Findings, record, thing};
use crate::family::dose::words::moment;
use crate::index::{CODE_SUBJECT, IndexKey, subject_of_dose};
use crate::state::subject::Infusion;
use crate::state::{Protocol, Subject};
use crate::view::View;

/// How far a death's own clock may be ahead of the ledger's when it is accepted.
const AHEAD_MS: i64 = 60_000;

/// Whether a subject has died by a time.
pub(in crate::family) fn is_dead(subject: &Subject, at_ms: i64) -> bool {
    subject.death().is_some_and(|death| death.at_ms <= at_ms.saturating_add(AHEAD_MS))
}

/// A subject with the protocol that governs it.
pub(in crate::family) struct Standing<'a> {
    pub(in crate::family) subject: &'a Subject,
    /// The trial's stream.
    pub(in crate::family) trial: Option<Arc<Protocol>>,
    /// The version that the consent names, if it is published.
    pub(in crate::family) protocol: Option<Arc<ProtocolPublished>>,
    /// Whether the trial's stream could not be seen.
    pub(in crate::family) unseen: bool,
    /// Another subject that was given the subject's code, until that is resolved.
    pub(in crate::family) namesake: Option<Id16>,
    /// Infusions of doses that were not prepared for the subject.
    pub(in crate::family) strays: Vec<Stray>,
}

/// An infusion of the subject whose dose was not prepared for it, or not prepared at all.
pub(in crate::family) struct Stray {
    pub(in crate::family) dose_id: Id16,
    pub(in crate::family) start: Infusion,
    /// Viable cells in the whole dose, rounded up; `None` if no preparation says how many.
    pub(in crate::family) viable_cells: Option<u128>,
}

impl Stray {
    fn of(view: &dyn View, dose_id: Id16, start: Infusion) -> Stray {
        let owner = subject_of_dose(view, &dose_id).and_then(|owner| view.subject(&owner));
        let viable_cells = owner.and_then(|owner| owner.dose(&dose_id).map(|dose| dose.whole_rounded_up()));
        Stray { dose_id, start, viable_cells }
    }
}

/// Who was given a code that another subject had is held by a flag. Who had it first may as well be taken for the other, and is held by what
/// the index says: until the other's consent is void or the other's hold is lifted.
fn namesake(view: &dyn View, subject: &Subject) -> Option<Id16> {
    let code = &subject.consents.first()?.event.subject_code;
    let is_unresolved = |other: &Subject| {
        other.consents.iter().any(|consent| consent.event.subject_code == *code)
            && other.upkeep.open_holds().any(|hold| hold.code == code::SUBJECT_CODE_TAKEN.name)
    };
    [false, true]
        .into_iter()
        .filter_map(|last| view.lookup(&IndexKey::Again { kind: CODE_SUBJECT, code: code.clone(), last }).map(Id16))
        .find(|other| *other != subject.id && view.subject(other).is_none_or(|other| is_unresolved(&other)))
}

impl<'a> Standing<'a> {
    pub(in crate::family) fn of(view: &dyn View, subject: &'a Subject) -> Standing<'a> {
        let reference = subject.protocol();
        let stream = reference.and_then(|(id, _)| view.protocol(&id));
        let version = reference.map_or(0, |(_, version)| version);
        let protocol = stream.as_ref().and_then(|stream| stream.version(version).cloned());
        let strays = subject.strays().into_iter().map(|(dose_id, start)| Stray::of(view, dose_id, start)).collect();
        Standing { subject, unseen: stream.is_none(), protocol, trial: stream, namesake: namesake(view, subject), strays }
    }

    /// Consent in force, trial open, no hold on the subject.
    pub(in crate::family) fn consent_trial_and_holds(&self, at_ms: i64) -> Findings {
        let mut f = Findings::default();
        self.trial(&mut f);
        self.trial_goes_on(&mut f, at_ms);
        self.lives_and_stays(&mut f, at_ms);
        self.consent(&mut f, at_ms);
        self.holds(&mut f, at_ms);
        f
    }

    /// The same, and an arm that receives cells.
    pub(in crate::family) fn everything(&self, at_ms: i64) -> Findings {
        let mut f = self.consent_trial_and_holds(at_ms);
        self.arm(&mut f);
        f
    }

    fn trial(&self, f: &mut Findings) {
        let version = self.subject.protocol().map_or(0, |(_, version)| version);
        f.demand(
            self.protocol.is_some(),
            &code::TRIAL_NOT_OPEN,
            || format!("version {version} of the protocol, which is not published"),
            || "a published version".to_owned(),
            || looks(self.subject),
        );
    }

    /// Neither halted nor closed.
    pub(in crate::family) fn trial_goes_on(&self, f: &mut Findings, at_ms: i64) {
        let Some(trial) = &self.trial else {
            return;
        };
        let halt = trial.halt_at(at_ms);
        f.demand(
            halt.is_none(),
            &code::TRIAL_HALTED,
            || format!("halted since {}", halt.map_or_else(String::new, |halt| moment(halt.from_ms))),
            || "a trial that goes on".to_owned(),
            || halt.map(|halt| record(halt.record_id)).into_iter().collect(),
        );
        let closed = trial.closed.filter(|(_, closed_at_ms)| *closed_at_ms <= at_ms);
        f.demand(
            closed.is_none(),
            &code::TRIAL_CLOSED,
            || format!("closed since {}", closed.map_or_else(String::new, |(_, at)| moment(at))),
            || "a trial that is open".to_owned(),
            || closed.map(|(id, _)| record(id)).into_iter().collect(),
        );
    }

    /// The subject lives and has not withdrawn from treatment.
    fn lives_and_stays(&self, f: &mut Findings, at_ms: i64) {
        let death = self.subject.death().filter(|_| is_dead(self.subject, at_ms));
        f.demand(
            death.is_none(),
            &code::SUBJECT_DEAD,
            || format!("died {}", death.map_or_else(String::new, |death| moment(death.at_ms))),
            || "a living subject".to_owned(),
            || death.map(|death| record(death.record_id)).into_iter().collect(),
        );
        let withdrawn = self.subject.withdrawn.filter(|(_, at)| *at <= at_ms.saturating_add(AHEAD_MS));
        f.demand(
            withdrawn.is_none(),
            &code::SUBJECT_WITHDRAWN,
            || format!("withdrawn from treatment {}", withdrawn.map_or_else(String::new, |(_, at)| moment(at))),
            || "a subject who takes part".to_owned(),
            || withdrawn.map(|(id, _)| record(id)).into_iter().collect(),
        );
    }

    /// Without the protocol nobody can say which kinds of consent are allowed; [`Self::trial`] has refused by then.
    fn consent(&self, f: &mut Findings, at_ms: i64) {
        let Some(protocol) = &self.protocol else {
            return;
        };
        let Some(consent) = self.subject.consent() else {
            return;
        };
        let withdrawn = self.subject.consent_withdrawal_at(at_ms.saturating_add(AHEAD_MS));
        if let Some((record_id, at)) = withdrawn {
            let found = || format!("consent withdrawn {}", moment(at));
            f.demand(false, &code::CONSENT_NOT_IN_FORCE, found, || kinds_in_words(protocol), || vec![record(record_id)]);
            return;
        }
        let kind = consent.event.kind();
        let until = consent.event.deferred_until.as_ref().map(|until| until.unix_ms);
        let in_time = kind != ConsentKind::Deferred || until.is_some_and(|until| at_ms <= until);
        f.demand(
            is_kind_allowed(protocol, kind) && in_time,
            &code::CONSENT_NOT_IN_FORCE,
            || match (kind, until) {
                (ConsentKind::Deferred, Some(until)) => {
                    format!("deferred consent until {}, now {}", moment(until), moment(at_ms))
                }
                (ConsentKind::Deferred, None) => "deferred consent without a deadline".to_owned(),
                _ => kind_in_words(kind).to_owned(),
            },
            || kinds_in_words(protocol),
            || vec![record(consent.record_id)],
        );
    }

    fn holds(&self, f: &mut Findings, at_ms: i64) {
        let holds = self.subject.upkeep.open_holds().filter(|hold| hold.dose_id.is_none() && hold.stood_at(at_ms));
        let mut reasons: Vec<_> =
            holds.map(|hold| (format!("{}: {}", hold.code, hold.reason), vec![record(hold.record_id)])).collect();
        reasons.extend(self.namesake.map(|other| {
            let found = format!("{}: another subject was given this subject's code", code::SUBJECT_CODE_TAKEN.name);
            (found, vec![thing("subject", &other)])
        }));
        for (found, look_at) in reasons {
            f.demand(false, &code::SUBJECT_HELD, || found, || "no hold".to_owned(), || look_at);
        }
    }

    /// An arm of this subject, and one that receives cells.
    pub(in crate::family) fn arm(&self, f: &mut Findings) {
        let Some(randomised) = &self.subject.randomised else {
            f.demand(
                false,
                &code::NOT_RANDOMISED,
                || "a subject without an arm".to_owned(),
                || "a randomised subject".to_owned(),
                || looks(self.subject),
            );
            return;
        };
        let Some(protocol) = &self.protocol else {
            return;
        };
        let arm = protocol.arms.iter().find(|arm| arm.arm == randomised.arm);
        f.demand(
            arm.is_some_and(|arm| arm.receives_cells),
            &code::ARM_WITHOUT_CELLS,
            || match arm {
                Some(arm) => format!("arm {} `{}` ({})", arm.arm, arm.code, arm.name),
                None => format!("arm {}", randomised.arm),
            },
            || {
                let arms = protocol.arms.iter().filter(|arm| arm.receives_cells);
                let arms: Vec<String> = arms.map(|arm| format!("arm {} `{}`", arm.arm, arm.code)).collect();
                arms.join(" or ")
            },
            || vec![record(randomised.record_id)],
        );
    }
}
