//! What may happen next. Times are said by how long ago, things by their number among those that there are.

use proptest::prelude::*;

/// A step of a history.
#[derive(Clone, Debug)]
pub enum Step {
    /// Time passes, ms.
    Wait(i64),
    /// The subject is weighed, so long ago.
    Weigh { grams: u32, ago: i64 },
    /// A weighing is amended, or voided.
    Amend { which: usize, grams: Option<u32> },
    /// A dose is ordered.
    Order { used: bool, target: usize, latest: bool, ago: i64 },
    /// An order is cancelled.
    Cancel { which: usize },
    /// Units are assigned to an order.
    Allocate { order: usize, units: Vec<usize>, is_signed: bool, has_seen: bool, ago: i64 },
    /// Units are released from an order.
    Release { order: usize, unit: usize },
    /// The thaw of units is ordered.
    ThawOrder { order: usize, units: Vec<usize> },
    /// The subject lives, or died.
    Vital { is_dead: bool, ago: i64 },
    /// The subject withdraws from treatment, or from follow-up alone.
    Withdraw { from_treatment: bool },
    /// The subject consents again, so long ago.
    Consent { ago: i64 },
    /// The subject withdraws its consent, so long ago.
    ConsentWithdrawn { ago: i64 },
    /// The trial is halted.
    Halt,
    /// The trial goes on.
    Resume,
    /// Something is held: nothing named is the subject, no unit the whole lot.
    Hold { lot: bool, unit: Option<usize> },
    /// A hold is lifted.
    Lift { which: usize },
}

/// Targets around the band, viable cells per kg.
pub const TARGETS: [u64; 5] = [999_999, 1_000_000, 1_400_000, 2_000_000, 2_000_001];
const WEIGHTS: [u32; 6] = [70_000, 69_000, 77_000, 77_001, 63_000, 62_999];
const HOUR: i64 = 3_600_000;

fn step() -> impl Strategy<Value = Step> {
    let grams = || prop::sample::select(&WEIGHTS[..]);
    let ago = || prop::sample::select(&[0, 0, 0, 60_000, 300_000, 300_001, HOUR, HOUR + 1, 24 * HOUR][..]);
    let waits = prop::sample::select(&[1_000, 60_000, 600_000, 5 * HOUR, 23 * HOUR][..]);
    prop_oneof![
        3 => waits.prop_map(Step::Wait),
        4 => (grams(), ago()).prop_map(|(grams, ago)| Step::Weigh { grams, ago }),
        2 => (0..4usize, prop::option::weighted(0.7, grams())).prop_map(|(which, grams)| Step::Amend { which, grams }),
        6 => (prop::bool::weighted(0.1), 0..TARGETS.len(), prop::bool::weighted(0.8), ago())
            .prop_map(|(used, target, latest, ago)| Step::Order { used, target, latest, ago }),
        1 => (0..4usize).prop_map(|which| Step::Cancel { which }),
        8 => (0..4usize, prop::collection::vec(0..6usize, 1..3), prop::bool::weighted(0.9), prop::bool::weighted(0.9), ago())
            .prop_map(|(order, units, is_signed, has_seen, ago)| Step::Allocate { order, units, is_signed, has_seen, ago }),
        3 => (0..4usize, 0..6usize).prop_map(|(order, unit)| Step::Release { order, unit }),
        4 => (0..4usize, prop::collection::vec(0..6usize, 1..3)).prop_map(|(order, units)| Step::ThawOrder { order, units }),
        1 => (prop::bool::weighted(0.3), ago()).prop_map(|(is_dead, ago)| Step::Vital { is_dead, ago }),
        1 => prop::bool::weighted(0.3).prop_map(|from_treatment| Step::Withdraw { from_treatment }),
        1 => ago().prop_map(|ago| Step::Consent { ago }),
        1 => ago().prop_map(|ago| Step::ConsentWithdrawn { ago }),
        1 => Just(Step::Halt),
        2 => Just(Step::Resume),
        1 => (any::<bool>(), prop::option::of(0..6usize)).prop_map(|(lot, unit)| Step::Hold { lot, unit: unit.filter(|_| lot) }),
        2 => (0..4usize).prop_map(|which| Step::Lift { which }),
    ]
}

/// Histories.
pub fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 20..40)
}

/// A moment as the histories write it.
pub fn moment(ms: i64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (hours, minutes, seconds) = (rest / HOUR, rest / 60_000 % 60, rest / 1_000 % 60);
    format!("d{days} {hours:02}:{minutes:02}:{seconds:02}.{:03}", rest % 1_000)
}
