//! Clauses about the weight that a dose rests on.

use crate::codes::dose as code;
use crate::family::dose::findings::{Findings, record};
use crate::family::dose::words::{duration, grouped, percent, seconds_to_ms};
use crate::family::subject::ago;
use crate::family::subject::standing::Standing;
use crate::state::subject::{Order, Weighing};

/// The latest weighing is not older than the protocol allows, inclusive.
pub(in crate::family) fn recent(f: &mut Findings, standing: &Standing<'_>, at_ms: i64) {
    let (Some(protocol), Some(latest)) = (&standing.protocol, standing.subject.latest_weighing()) else {
        return;
    };
    let limit_ms = seconds_to_ms(protocol.weighing_max_age_seconds);
    f.demand(
        at_ms.saturating_sub(latest.weighed_at_ms) <= limit_ms,
        &code::WEIGHING_TOO_OLD,
        || format!("{} g, weighed {} ago", grouped(latest.weight_grams), ago(at_ms, latest.weighed_at_ms)),
        || format!("a weighing not older than {}", duration(limit_ms)),
        || vec![record(latest.record_id)],
    );
}

/// The weighing that an order rests on still counts, and the weight has not changed since by more than the protocol allows.
pub(in crate::family) fn of_order(f: &mut Findings, standing: &Standing<'_>, order: Option<&Order>) {
    counts(f, standing, order);
    unchanged(f, standing, order.and_then(|order| standing.subject.weighing(&order.weighing_record_id)));
}

/// Limits per kg are held against the order's weighing: without it nothing can be said of band, DMSO or endotoxin.
pub(in crate::family) fn counts(f: &mut Findings, standing: &Standing<'_>, order: Option<&Order>) {
    // An order that the subject does not have is a finding of its own.
    let Some(order) = order else {
        return;
    };
    f.demand(
        standing.subject.weighing(&order.weighing_record_id).is_some(),
        &code::WEIGHING_MISSING,
        || format!("order {}, whose weighing {} does not count", order.id, order.weighing_record_id),
        || match standing.subject.latest_weighing() {
            Some(latest) => format!("an order that rests on a weighing of the subject; the latest one is {}", latest.record_id),
            None => "a weighing, and an order that rests on it; the subject has none".to_owned(),
        },
        || vec![record(order.record_id), record(order.weighing_record_id)],
    );
}

/// The weight has not changed since the order's weighing by more than the protocol allows.
pub(in crate::family) fn unchanged(f: &mut Findings, standing: &Standing<'_>, ordered: Option<&Weighing>) {
    let (Some(protocol), Some(latest), Some(ordered)) = (&standing.protocol, standing.subject.latest_weighing(), ordered) else {
        return;
    };
    let limit = protocol.weight_change_limit_basis_points;
    let change = u128::from(latest.weight_grams.abs_diff(ordered.weight_grams));
    f.demand(
        change * 10_000 <= u128::from(limit) * u128::from(ordered.weight_grams),
        &code::WEIGHT_CHANGED,
        || {
            format!(
                "{} g, ordered for {} g: a change of {} g",
                grouped(latest.weight_grams),
                grouped(ordered.weight_grams),
                grouped(change)
            )
        },
        || format!("at most {} of {} g", percent(limit), grouped(ordered.weight_grams)),
        || vec![record(latest.record_id), record(ordered.record_id)],
    );
}
