//! Clauses about what a subject has received, or may still receive: the limit within 24 hours and the interval between infusions.
//!
//! The window is (t − 24 h, t]. Of an infusion that began in it counts what was infused, rounded up, or the whole dose while the
//! infusion has not ended. A dispensed dose that has not begun counts whole until its expiry has left the window: until then it may
//! have been given without the ledger knowing. All of it is held against the lowest weight of the window.

use std::borrow::Cow;

use marrowline_record::id::{Id16, RecordId};

use crate::codes::dose as code;
use crate::family::dose::findings::{Findings, record};
use crate::family::dose::words::{duration, grouped, moment, seconds_to_ms, tenths};
use crate::family::subject::standing::{Standing, Stray};
use crate::state::Subject;
use crate::state::subject::{Dose, Infusion};

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

/// What counts in a window, with the lowest weight in it.
struct Window<'a> {
    others: Vec<&'a Dose>,
    strays: Vec<&'a Stray>,
    end_ms: i64,
    weight_grams: u32,
    weighing: RecordId,
}

impl<'a> Window<'a> {
    fn of(standing: &'a Standing<'_>, end_ms: i64, except: Option<&'a Id16>) -> Option<Window<'a>> {
        let (weight_grams, weighing) = lowest_weight(standing.subject, end_ms)?;
        let others = others_in_window(standing.subject, end_ms, except).collect();
        let strays = standing.strays.iter().filter(|stray| is_in_window(stray.start.started_at_ms, end_ms)).collect();
        Some(Window { others, strays, end_ms, weight_grams, weighing })
    }

    fn earlier(&self) -> u128 {
        let own = self.others.iter().map(|dose| dose.viable_cells_rounded_up());
        let cells = own.chain(self.strays.iter().filter_map(|stray| stray.viable_cells));
        cells.fold(0, |sum: u128, cells| sum.saturating_add(cells))
    }

    fn sum(&self, addition: &Addition<'_>) -> u128 {
        self.earlier().saturating_mul(10_000).saturating_add(addition.ten_thousandths)
    }

    fn most(&self, cap: u64) -> u128 {
        u128::from(cap) * u128::from(self.weight_grams)
    }
}

/// With what was and may be infused in any window that holds this moment, the addition stays within the protocol's limit.
///
/// An infusion that is entered late may stand before others: the windows that end with them hold both. So does the window that ends
/// with an infusion whose clock is ahead of the ledger's.
pub(in crate::family) fn cap(f: &mut Findings, standing: &Standing<'_>, at_ms: i64, addition: Addition<'_>) {
    amounts_known(f, standing, at_ms);
    let Some(protocol) = &standing.protocol else {
        return;
    };
    let cap = protocol.max_viable_cells_per_kg_per_24h;
    let starts = standing.subject.doses.iter().filter(|dose| Some(&dose.id) != addition.dose_id);
    let starts = starts.filter_map(|dose| dose.infusion.as_ref()).chain(standing.strays.iter().map(|stray| &stray.start));
    let starts = starts.map(|infusion| infusion.started_at_ms);
    let later = starts.filter(|start_ms| *start_ms > at_ms && start_ms.saturating_sub(WINDOW_MS) < at_ms);
    let windows = std::iter::once(at_ms).chain(later).filter_map(|end| Window::of(standing, end, addition.dose_id));
    let is_over = |window: &Window<'_>| window.sum(&addition).saturating_mul(1_000) > window.most(cap).saturating_mul(10_000);
    let Some(window) = windows.into_iter().find(is_over) else {
        return;
    };
    f.demand(
        false,
        &code::ABOVE_24_HOUR_CAP,
        || {
            let up_to = if window.end_ms == at_ms { String::new() } else { format!(" up to {}", moment(window.end_ms)) };
            format!(
                "{} viable cells/kg within 24 hours{up_to} ({} given or dispensed + {} now, ÷ {} g)",
                tenths(window.sum(&addition).saturating_mul(1_000), u128::from(window.weight_grams) * 10_000),
                grouped(window.earlier()),
                tenths(addition.ten_thousandths, 10_000),
                grouped(window.weight_grams)
            )
        },
        || {
            let most = (window.most(cap) / 1_000).saturating_sub(window.earlier());
            format!("{} viable cells/kg: at most {} viable cells more", grouped(cap), grouped(most))
        },
        || window.others.iter().map(|dose| record(dose.record_id)).chain([record(window.weighing)]).collect(),
    );
}

/// Nobody can say whether the limit holds beside an infusion of cells that nobody counted. It is in a window with this moment if less than
/// 24 hours lie between them, whichever is first.
fn amounts_known(f: &mut Findings, standing: &Standing<'_>, at_ms: i64) {
    let is_near = |stray: &&Stray| stray.start.started_at_ms.abs_diff(at_ms) < WINDOW_MS.unsigned_abs();
    for stray in standing.strays.iter().filter(|stray| stray.viable_cells.is_none()).filter(is_near) {
        f.demand(
            false,
            &code::INFUSED_AMOUNT_UNKNOWN,
            || format!("the infusion of dose {} that began {}", stray.dose_id, moment(stray.start.started_at_ms)),
            || "infusions of doses whose preparation is recorded".to_owned(),
            || vec![record(stray.start.record_id)],
        );
    }
}

/// When another infusion of the subject began, or may begin.
struct Other<'a> {
    /// Code on its label; its id if it was not prepared for the subject.
    name: Cow<'a, str>,
    is_begun: bool,
    from_ms: i64,
    until_ms: i64,
    record_id: RecordId,
}

impl<'a> Other<'a> {
    /// An infusion that began; where it is asked for, a dose that is out and may begin any time until its expiry.
    fn of(dose: &'a Dose, with_open: bool) -> Option<Other<'a>> {
        if let Some(infusion) = &dose.infusion {
            return Some(Other::begun(Cow::Borrowed(&dose.code), infusion));
        }
        // What was rejected is not given any more; if it is all the same, its start counts.
        let dispensed = dose.dispensed.filter(|_| with_open && dose.rejection.is_none())?;
        let until_ms = dose.expires_at_ms.max(dispensed.dispensed_at_ms);
        let (from_ms, record_id) = (dispensed.dispensed_at_ms, dispensed.record_id);
        Some(Other { name: Cow::Borrowed(&dose.code), is_begun: false, from_ms, until_ms, record_id })
    }

    fn begun(name: Cow<'a, str>, infusion: &Infusion) -> Other<'a> {
        let at_ms = infusion.started_at_ms;
        Other { name, is_begun: true, from_ms: at_ms, until_ms: at_ms, record_id: infusion.record_id }
    }

    fn distance_ms(&self, at_ms: i64) -> u64 {
        if at_ms < self.from_ms {
            self.from_ms.abs_diff(at_ms)
        } else {
            at_ms.saturating_sub(self.until_ms).max(0).unsigned_abs()
        }
    }
}

/// Between the starts of two infusions lies the protocol's shortest time, inclusive. Before a dose is given (`with_open`), those that
/// were dispensed and have not begun are kept from it as well; of two that begin too close only the starts count.
pub(in crate::family) fn interval(
    f: &mut Findings,
    standing: &Standing<'_>,
    at_ms: i64,
    dose_id: Option<&Id16>,
    with_open: bool,
) {
    let Some(protocol) = &standing.protocol else {
        return;
    };
    let shortest_ms = seconds_to_ms(protocol.min_interval_seconds.unwrap_or(0));
    let others = standing.subject.doses.iter().filter(|dose| Some(&dose.id) != dose_id);
    let strays = standing.strays.iter().map(|stray| Other::begun(Cow::Owned(stray.dose_id.to_string()), &stray.start));
    let nearest = others.filter_map(|dose| Other::of(dose, with_open)).chain(strays).min_by_key(|other| other.distance_ms(at_ms));
    let Some(nearest) = nearest else { return };
    f.demand(
        nearest.distance_ms(at_ms) >= shortest_ms.unsigned_abs(),
        &code::INTERVAL_TOO_SHORT,
        || {
            if nearest.is_begun {
                let after = duration(at_ms.saturating_sub(nearest.from_ms));
                format!("{after} after the infusion that began {}", moment(nearest.from_ms))
            } else {
                format!("dose `{}` is dispensed and may begin until {}", nearest.name, moment(nearest.until_ms))
            }
        },
        || {
            let from = moment(nearest.until_ms.saturating_add(shortest_ms));
            let begun = if nearest.is_begun { "" } else { " after it begins" };
            format!("{} or more{begun}: from {from}", duration(shortest_ms))
        },
        || vec![record(nearest.record_id)],
    );
}

fn is_in_window(start_ms: i64, end_ms: i64) -> bool {
    start_ms > end_ms.saturating_sub(WINDOW_MS) && start_ms <= end_ms
}

fn others_in_window<'a>(subject: &'a Subject, at_ms: i64, except: Option<&'a Id16>) -> impl Iterator<Item = &'a Dose> {
    let after_ms = at_ms.saturating_sub(WINDOW_MS);
    subject.doses.iter().filter(move |dose| Some(&dose.id) != except).filter(move |dose| {
        match (&dose.infusion, &dose.dispensed) {
            (Some(infusion), _) => is_in_window(infusion.started_at_ms, at_ms),
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
