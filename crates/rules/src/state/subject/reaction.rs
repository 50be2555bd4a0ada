//! Adverse reactions: what is known of each from all of its reports, and who must be told by when.
//!
//! Times run as in Regulation (EU) 536/2014, articles 41 and 42: the sponsor within 24 hours of the investigator's knowledge of a serious
//! reaction; the authorities within 7 days of the sponsor's knowledge if it is suspected, unexpected and fatal or life-threatening, within
//! 15 days if it is otherwise serious.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, ReactionSeriousness};

use crate::index::id16;

/// 24 hours.
const SPONSOR_MS: i64 = 24 * 3_600_000;
/// 7 days.
const AUTHORITY_SOON_MS: i64 = 7 * 24 * 3_600_000;
/// 15 days.
const AUTHORITY_MS: i64 = 15 * 24 * 3_600_000;

/// A reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// The reaction.
    pub id: Id16,
    /// Its first report.
    pub record_id: RecordId,
    /// As the latest report says.
    pub seriousness: ReactionSeriousness,
    /// As the latest report says.
    pub suspected: bool,
    /// As the latest report says.
    pub expected: bool,
    /// When the investigator came to know of it: the earliest time that a report names.
    pub known_at_ms: i64,
    /// When the sponsor was told: the first report that says so.
    pub sponsor_told_at_ms: Option<i64>,
    /// When the authorities were told: the first report that says so.
    pub authority_told_at_ms: Option<i64>,
}

impl Reaction {
    /// A reaction from its first report.
    pub fn first(record_id: RecordId, e: &pb::AdverseReactionReported) -> Reaction {
        Reaction {
            id: Id16(id16(&e.reaction_id)),
            record_id,
            seriousness: e.seriousness(),
            suspected: e.suspected,
            expected: e.expected,
            known_at_ms: e.known_at.as_ref().map_or(0, |at| at.unix_ms),
            sponsor_told_at_ms: e.sponsor_told_at.as_ref().map(|at| at.unix_ms),
            authority_told_at_ms: e.authority_told_at.as_ref().map(|at| at.unix_ms),
        }
    }

    /// What is known with one more report.
    pub fn with(self, e: &pb::AdverseReactionReported) -> Reaction {
        let more = Reaction::first(self.record_id, e);
        Reaction {
            known_at_ms: self.known_at_ms.min(more.known_at_ms),
            sponsor_told_at_ms: self.sponsor_told_at_ms.or(more.sponsor_told_at_ms),
            authority_told_at_ms: self.authority_told_at_ms.or(more.authority_told_at_ms),
            ..more
        }
    }

    /// Whether it is serious.
    pub fn is_serious(&self) -> bool {
        self.seriousness != ReactionSeriousness::NotSerious
    }

    /// Last moment to tell the sponsor, inclusive; none if nobody needs to.
    pub fn sponsor_due_ms(&self) -> Option<i64> {
        self.is_serious().then(|| self.known_at_ms.saturating_add(SPONSOR_MS))
    }

    /// Last moment to tell the authorities, inclusive, once the sponsor knows; none if nobody needs to.
    pub fn authority_due_ms(&self) -> Option<i64> {
        let is_susar = self.is_serious() && self.suspected && !self.expected;
        let within = match self.seriousness {
            ReactionSeriousness::Fatal | ReactionSeriousness::LifeThreatening => AUTHORITY_SOON_MS,
            _ => AUTHORITY_MS,
        };
        self.sponsor_told_at_ms.filter(|_| is_susar).map(|told| told.saturating_add(within))
    }
}

/// Adds a report.
pub(super) fn fold(reactions: &mut Vec<Reaction>, record_id: RecordId, e: &pb::AdverseReactionReported) {
    match reactions.iter_mut().find(|reaction| reaction.id.0[..] == e.reaction_id[..]) {
        Some(known) => *known = known.with(e),
        None => reactions.push(Reaction::first(record_id, e)),
    }
}
