//! What must hold whenever something is decided about a subject: consent, trial, arm, no hold.
//!
//! Deaths and withdrawals are not among this version's records; when they are, they are asked for here and nowhere else, in
//! [`Standing::consent_trial_and_holds`].

use std::sync::Arc;

use marrowline_record::pb::{ConsentKind, ProtocolPublished};

use super::consent::{is_kind_allowed, kind_in_words, kinds_in_words};
use super::looks;
use crate::codes::subject as code;
use crate::family::dose::findings::{Findings, record};
use crate::family::dose::words::moment;
use crate::state::Subject;
use crate::view::View;

/// A subject with the protocol that governs it.
pub(in crate::family) struct Standing<'a> {
    pub(in crate::family) subject: &'a Subject,
    /// The version that the consent names, if it is published.
    pub(in crate::family) protocol: Option<Arc<ProtocolPublished>>,
    /// Whether the trial's stream could not be seen.
    pub(in crate::family) unseen: bool,
}

impl<'a> Standing<'a> {
    pub(in crate::family) fn of(view: &dyn View, subject: &'a Subject) -> Standing<'a> {
        let reference = subject.protocol();
        let stream = reference.and_then(|(id, _)| view.protocol(&id));
        let version = reference.map_or(0, |(_, version)| version);
        Standing { subject, unseen: stream.is_none(), protocol: stream.and_then(|stream| stream.version(version).cloned()) }
    }

    /// Consent in force, trial open, no hold on the subject.
    pub(in crate::family) fn consent_trial_and_holds(&self, at_ms: i64) -> Findings {
        let mut f = Findings::default();
        self.trial(&mut f);
        self.consent(&mut f, at_ms);
        self.holds(&mut f);
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

    /// Without the protocol nobody can say which kinds of consent are allowed; [`Self::trial`] has refused by then.
    fn consent(&self, f: &mut Findings, at_ms: i64) {
        let Some(protocol) = &self.protocol else {
            return;
        };
        let Some(consent) = self.subject.consent() else {
            return;
        };
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

    fn holds(&self, f: &mut Findings) {
        for hold in self.subject.upkeep.open_holds().filter(|hold| hold.dose_id.is_none()) {
            f.demand(
                false,
                &code::SUBJECT_HELD,
                || format!("{}: {}", hold.code, hold.reason),
                || "no hold".to_owned(),
                || vec![record(hold.record_id)],
            );
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
