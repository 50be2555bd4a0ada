//! What may happen next to units. Who acts, with which transfer and under which seal, follows from where the units are by then; a step says
//! what is wrong about it.

use proptest::prelude::*;

use super::units::UNITS;

/// What is wrong about taking units over, or refusing them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    Seal,
    Broken,
    OneLess,
    OneMore,
    Transfer,
    Receiver,
}

/// Who acts on units: the facility that has the first of them, or one by its number.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Holder,
    Facility(usize),
}

/// A step. Units are named by their numbers, transfers, holds and missing signatures by theirs among those that there are.
#[derive(Clone, Debug)]
pub enum Step {
    Move { by: Who, places: Vec<(usize, bool, usize)> },
    HandOver { by: Who, to: usize, units: Vec<usize>, is_new: bool },
    TakeOver { which: usize, wrong: Wrong },
    Refuse { which: usize, wrong: Wrong, seal: usize },
    Container { by: usize, kind: &'static str, units: Vec<usize> },
    Return { to: usize, is_for_storage: bool, units: Vec<usize>, is_signed: bool },
    Destroy { by: Who, units: Vec<usize>, is_signed: bool },
    Sample { by: usize, unit: usize, is_new: bool },
    Excursion { units: Vec<usize>, millicelsius: i64, seconds: u64 },
    Lift { which: usize, is_open: bool },
    Sign { which: usize },
    Allocate { order: usize, units: Vec<usize> },
    Release { order: usize, units: Vec<usize> },
    OrderThaw { order: Option<usize>, at: usize, units: Vec<usize> },
    Thaw { by: Who, units: Vec<usize>, viability: u64, is_signed: bool },
}

fn some_units() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set(0..UNITS, 1..4).prop_map(|units| units.into_iter().collect())
}

/// Now and then one that no lot has.
fn units() -> impl Strategy<Value = Vec<usize>> {
    (some_units(), prop::bool::weighted(0.04)).prop_map(|(mut units, is_odd)| {
        units.extend(is_odd.then_some(UNITS));
        units
    })
}

/// Now and then one of them twice.
fn repeated() -> impl Strategy<Value = Vec<usize>> {
    (units(), prop::bool::weighted(0.04)).prop_map(|(mut units, is_twice)| {
        units.extend(units.first().copied().filter(|_| is_twice));
        units
    })
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![9 => Just(Who::Holder), 1 => (0..3usize).prop_map(Who::Facility)]
}

fn wrong() -> impl Strategy<Value = Wrong> {
    let wrong = [Wrong::Seal, Wrong::Broken, Wrong::OneLess, Wrong::OneMore, Wrong::Transfer, Wrong::Receiver];
    prop_oneof![4 => Just(Wrong::Nothing), 1 => prop::sample::select(wrong.to_vec())]
}

fn hand_over() -> impl Strategy<Value = Step> {
    // The last number stands for a facility that nobody registered.
    let to = prop_oneof![12 => 0..3usize, 1 => Just(3usize)];
    (who(), to, units(), prop::bool::weighted(0.95)).prop_map(|(by, to, units, is_new)| Step::HandOver { by, to, units, is_new })
}

fn take_over() -> impl Strategy<Value = Step> {
    (0..6usize, wrong()).prop_map(|(which, wrong)| Step::TakeOver { which, wrong })
}

fn refuse() -> impl Strategy<Value = Step> {
    (0..6usize, wrong(), 0..2usize).prop_map(|(which, wrong, seal)| Step::Refuse { which, wrong, seal })
}

fn lift() -> impl Strategy<Value = Step> {
    (0..12usize, prop::bool::weighted(0.97)).prop_map(|(which, is_open)| Step::Lift { which, is_open })
}

/// Units go somewhere, and are taken over or back.
fn journey() -> impl Strategy<Value = Vec<Step>> {
    (hand_over(), prop::option::weighted(0.25, refuse()), prop::collection::vec(take_over(), 0..3))
        .prop_map(|(gone, refused, taken)| [gone].into_iter().chain(refused).chain(taken).collect())
}

/// Units are assigned, and sometimes thawed, with steps left out here and there.
fn treatment() -> impl Strategy<Value = Vec<Step>> {
    let kept = [0.9, 0.8, 0.4].map(prop::bool::weighted);
    (repeated(), 0..2usize, kept, prop::option::weighted(0.2, repeated()), thaw()).prop_map(
        |(units, order, kept, others, thaw)| {
            let thaw = match thaw {
                Step::Thaw { by, viability, is_signed, .. } => Step::Thaw { by, units: units.clone(), viability, is_signed },
                other => other,
            };
            let steps = [
                Step::Allocate { order, units: units.clone() },
                Step::OrderThaw { order: Some(order), at: 1, units: others.unwrap_or(units) },
                thaw,
            ];
            steps.into_iter().zip(kept).filter(|(_, is_kept)| *is_kept).map(|(step, _)| step).collect()
        },
    )
}

fn thaw() -> impl Strategy<Value = Step> {
    (who(), repeated(), prop::sample::select(&[9_000, 9_000, 7_000, 6_999][..]), prop::bool::weighted(0.9))
        .prop_map(|(by, units, viability, is_signed)| Step::Thaw { by, units, viability, is_signed })
}

fn moves() -> impl Strategy<Value = Step> {
    let placed = (prop::bool::weighted(0.93), 0..4usize);
    (who(), units(), prop::collection::vec(placed, 4)).prop_map(|(by, units, placed)| {
        let places = units.into_iter().zip(placed).map(|(unit, (is_rack_known, position))| (unit, is_rack_known, position));
        Step::Move { by, places: places.collect() }
    })
}

/// Something else, which is mostly about few units.
fn disturbance() -> impl Strategy<Value = Step> {
    let few = || prop_oneof![3 => (0..=UNITS).prop_map(|unit| vec![unit]), 1 => units()];
    let kind = prop::sample::select(&["BROKEN", "LEAKING", "LOST", "LOST", "LOST", "FOUND", "FOUND", "FOUND", "FOUND"][..]);
    let signed = || prop::bool::weighted(0.85);
    let warm = prop::sample::select(&[(-150_000, 601), (-149_999, 600), (-149_999, 601), (-120_000, 9_000)][..]);
    prop_oneof![
        5 => moves(),
        3 => take_over(),
        2 => refuse(),
        3 => (0..3usize, kind, few()).prop_map(|(by, kind, units)| Step::Container { by, kind, units }),
        3 => (0..3usize, prop::bool::weighted(0.7), few(), signed())
            .prop_map(|(to, is_for_storage, units, is_signed)| Step::Return { to, is_for_storage, units, is_signed }),
        2 => (who(), few(), signed()).prop_map(|(by, units, is_signed)| Step::Destroy { by, units, is_signed }),
        2 => (0..2usize, 0..=UNITS, prop::bool::weighted(0.8))
            .prop_map(|(by, unit, is_new)| Step::Sample { by, unit, is_new }),
        1 => (prop_oneof![3 => some_units(), 1 => Just(Vec::new())], warm)
            .prop_map(|(units, (millicelsius, seconds))| Step::Excursion { units, millicelsius, seconds }),
        2 => (0..4usize).prop_map(|which| Step::Sign { which }),
        4 => (0..2usize, repeated()).prop_map(|(order, units)| Step::Allocate { order, units }),
        3 => (0..2usize, few()).prop_map(|(order, units)| Step::Release { order, units }),
        3 => (prop::option::weighted(0.5, 0..2usize), 0..2usize, few())
            .prop_map(|(order, at, units)| Step::OrderThaw { order, at, units }),
        1 => thaw(),
    ]
}

/// Histories: QA lifts holds again and again, or the first of them would be the end of every decision.
pub fn lives() -> impl Strategy<Value = Vec<Step>> {
    let part = prop_oneof![
        4 => journey(),
        2 => treatment(),
        3 => prop::collection::vec(disturbance(), 1..4),
    ];
    let part = (part, prop::collection::vec(lift(), 0..4));
    prop::collection::vec(part, 7..13)
        .prop_map(|parts| parts.into_iter().flat_map(|(steps, lifts)| steps.into_iter().chain(lifts)).collect())
}
