//! Clauses about what a subject has received, or may still receive: the limit within 24 hours and the interval between infusions.
//!
//! The window is (t − 24 h, t]. Of an infusion that began in it counts what was infused, rounded up, or the whole dose while the
//! infusion has not ended. A dispensed dose that has not begun counts whole until its expiry has left the window: until then it may
//! have been given without the ledger knowing. All of it is held against the lowest weight of the window.

use marrowline_record::id::{Id16, RecordId};

use crate::codes::dose as code;
use crate::family::dose::findings::{Findings, record};
use crate::family::dose::words::{duration, grouped, moment, seconds_to_ms, tenths};
use crate::family::subject::standing::Standing;
use crate::state::Subject;
use crate::state::subject::Dose;

const WINDOW_MS: i64 = 24 * 60 * 60 * 1000;

/// What is to be added to the window: viable cells, in ten-thousandths of a cell so that nothing is rounded.
#[derive(Clone, Copy)]
pub(in crate::family) struct Addition<'a> {
    pub(in crate::family) ten_thousandths: u128,
    /// The dose itself, which does not count twice.
    pub(in crate::family) dose_id: Option<&'a Id16>,
}

impl<'a> Addition<'a> {
    /// A dose.
    pub(in crate::family) fn dose(dose: &'a Dose) -> Addition<'a> {
        Addition {
            ten_thousandths: u128::from(dose.total_cells) * u128::from(dose.viability_basis_points),
            dose_id: Some(&dose.id),
        }
    }

    /// A target for a weight: cells/kg × g ÷ 1000 × 10⁴.
    pub(in crate::family) fn target(viable_cells_per_kg: u64, weight_grams: u32) -> Addition<'static> {
        Addition { ten_thousandths: u128::from(viable_cells_per_kg) * u128::from(weight_grams) * 10, dose_id: None }
    }
}

/// What was and may be infused within 24 hours, with the addition, stays within the protocol's limit.
pub(in crate::family) fn cap(f: &mut Findings, standing: &Standing<'_>, at_ms: i64, addition: Addition<'_>) {
    let Some(protocol) = &standing.protocol else {
        return;
    };
    let Some((weight_grams, weighing)) = lowest_weight(standing.subject, at_ms) else {
        return;
    };
    let others: Vec<&Dose> = others_in_window(standing.subject, at_ms, addition.dose_id).collect();
    let earlier: u128 = others.iter().map(|dose| dose.viable_cells_rounded_up()).sum();
    let sum = earlier.saturating_mul(10_000).saturating_add(addition.ten_thousandths);
    let cap = protocol.max_viable_cells_per_kg_per_24h;
    f.demand(
        sum.saturating_mul(1_000) <= u128::from(cap) * u128::from(weight_grams) * 10_000,
        &code::ABOVE_24_HOUR_CAP,
        || {
            format!(
                "{} viable cells/kg within 24 hours ({} given or dispensed + {} now, ÷ {} g)",
                tenths(sum.saturating_mul(1_000), u128::from(weight_grams) * 10_000),
                grouped(earlier),
                tenths(addition.ten_thousandths, 10_000),
                grouped(weight_grams)
            )
        },
        || {
            let most = u128::from(cap) * u128::from(weight_grams) / 1_000;
            format!("{} viable cells/kg: at most {} viable cells more", grouped(cap), grouped(most.saturating_sub(earlier)))
        },
        || others.iter().map(|dose| record(dose.record_id)).chain([record(weighing)]).collect(),
    );
}

/// Between the starts of two infusions lies the protocol's shortest time, inclusive.
pub(in crate::family) fn interval(f: &mut Findings, standing: &Standing<'_>, at_ms: i64, dose_id: Option<&Id16>) {
    let Some(protocol) = &standing.protocol else {
        return;
    };
    let shortest_ms = seconds_to_ms(protocol.min_interval_seconds.unwrap_or(0));
    let starts = standing.subject.doses.iter().filter(|dose| Some(&dose.id) != dose_id);
    let nearest = starts.filter_map(|dose| dose.infusion.as_ref()).min_by_key(|infusion| at_ms.abs_diff(infusion.started_at_ms));
    let Some(nearest) = nearest else { return };
    f.demand(
        at_ms.abs_diff(nearest.started_at_ms) >= shortest_ms.unsigned_abs(),
        &code::INTERVAL_TOO_SHORT,
        || format!("{} after the infusion that began {}", duration(at_ms - nearest.started_at_ms), moment(nearest.started_at_ms)),
        || format!("{} or more: from {}", duration(shortest_ms), moment(nearest.started_at_ms.saturating_add(shortest_ms))),
        || vec![record(nearest.record_id)],
    );
}

fn others_in_window<'a>(subject: &'a Subject, at_ms: i64, except: Option<&'a Id16>) -> impl Iterator<Item = &'a Dose> {
    let after_ms = at_ms.saturating_sub(WINDOW_MS);
    subject.doses.iter().filter(move |dose| Some(&dose.id) != except).filter(move |dose| {
        match (&dose.infusion, &dose.dispensed) {
            (Some(infusion), _) => infusion.started_at_ms > after_ms && infusion.started_at_ms <= at_ms,
            (None, Some(_)) => dose.expires_at_ms > after_ms,
            (None, None) => false,
        }
    })
}

/// The lowest weight of the window; the latest one if there is none in it.
fn lowest_weight(subject: &Subject, at_ms: i64) -> Option<(u32, RecordId)> {
    let after_ms = at_ms.saturating_sub(WINDOW_MS);
    subject
        .weighings
        .iter()
        .filter(|weighing| weighing.weighed_at_ms > after_ms && weighing.weighed_at_ms <= at_ms)
        .min_by_key(|weighing| weighing.weight_grams)
        .or_else(|| subject.latest_weighing())
        .map(|weighing| (weighing.weight_grams, weighing.record_id))
}
