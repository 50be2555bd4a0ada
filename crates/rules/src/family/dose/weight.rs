//! Clauses about the weight that a dose rests on.

use crate::codes::dose as code;
use crate::family::dose::findings::{Findings, record};
use crate::family::dose::words::{duration, grouped, percent, seconds_to_ms};
use crate::family::subject::ago;
use crate::family::subject::standing::Standing;
use crate::state::subject::Weighing;

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
