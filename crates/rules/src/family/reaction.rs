//! Reports of adverse reactions: nothing refuses one; a report that shows that somebody was told too late is flagged.

use marrowline_record::pb::{self, StreamKind};

use crate::codes::subject as codes;
use crate::context::Context;
use crate::family::dose::words::moment;
use crate::finding::Look;
use crate::state::subject::Reaction;

pub(super) fn reported(c: &mut Context<'_>, e: &pb::AdverseReactionReported) {
    let subject = c.view.subject(&c.stream_id(StreamKind::Subject));
    let known = subject.iter().flat_map(|s| &s.reactions).find(|r| r.id.0[..] == e.reaction_id[..]);
    let reaction = known.map_or_else(|| Reaction::first(c.record_id(), e), |known| known.with(e));
    let field = |name: &str| vec![Look::Field(format!("adverse_reaction_reported.{name}"))];
    let told = reaction.sponsor_told_at_ms;
    let in_order = c.occurred_at_ms <= reaction.known_at_ms
        && told.is_none_or(|told| reaction.known_at_ms <= told)
        && reaction.authority_told_at_ms.is_none_or(|at| told.is_some_and(|told| told <= at));
    c.demand(
        in_order,
        &codes::REACTION_TIMES_WRONG,
        || "times that are not in this order".to_owned(),
        || "onset, known to the investigator, sponsor told, authorities told".to_owned(),
        || field("known_at"),
    );
    let judged_at_ms = c.recorded_at_ms;
    let mut in_time = |due: Option<i64>, told: Option<i64>, code, name| {
        // Who was not told yet is late from the moment on at which the ledger hears of it too late.
        let at = told.unwrap_or(judged_at_ms);
        let word = if told.is_some() { "told" } else { "not told until" };
        if let Some(due) = due {
            let allowed = format!("up to {}, that moment included", moment(due));
            c.demand(at <= due, code, || format!("{word} {}", moment(at)), || allowed, || field(name));
        }
    };
    in_time(reaction.sponsor_due_ms(), told, &codes::SPONSOR_TOLD_LATE, "sponsor_told_at");
    in_time(reaction.authority_due_ms(), reaction.authority_told_at_ms, &codes::AUTHORITY_TOLD_LATE, "authority_told_at");
}
