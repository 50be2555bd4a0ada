//! What may happen next to units. Who acts, with which transfer and under which seal, follows from where the units are by then; a step says
//! what is wrong about it.

use proptest::prelude::*;

use super::units::{HOUR, MINUTE, UNITS};

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
    Unknown,
}

/// With which record a hold is lifted.
#[derive(Clone, Copy, Debug)]
pub enum Resolution {
    Other,
    Own,
    Founding,
    NotCited,
}

/// A unit with the place that it is put into: at its mover's facility, unless another is said.
#[derive(Clone, Debug)]
pub struct Placed {
    pub unit: usize,
    pub at: Option<usize>,
    pub is_rack_known: bool,
    pub position: usize,
    pub device: Option<usize>,
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
    Move {
        by: Who,
        places: Vec<Placed>,
        ago: i64,
    },
    HandOver {
        by: Who,
        to: usize,
        units: Vec<usize>,
        used: Option<usize>,
    },
    TakeOver {
        which: usize,
        wrong: Wrong,
    },
    Refuse {
        which: usize,
        wrong: Wrong,
        seal: usize,
    },
    Container {
        by: usize,
        kind: &'static str,
        units: Vec<usize>,
    },
    Return {
        to: usize,
        is_for_storage: bool,
        units: Vec<usize>,
        is_signed: bool,
    },
    Destroy {
        by: Who,
        units: Vec<usize>,
        is_signed: bool,
    },
    Sample {
        by: usize,
        unit: usize,
        is_new: bool,
        is_new_code: bool,
    },
    Excursion {
        device: usize,
        is_on_lot: bool,
        units: Vec<usize>,
        ago: i64,
        millicelsius: i64,
        seconds: u64,
    },
    Lift {
        which: usize,
        is_open: bool,
        resolution: Resolution,
    },
    Sign {
        which: usize,
    },
    Allocate {
        order: usize,
        is_of_other: bool,
        units: Vec<usize>,
    },
    Release {
        order: usize,
        is_of_other: bool,
        units: Vec<usize>,
    },
    OrderThaw {
        order: Option<usize>,
        at: usize,
        units: Vec<usize>,
    },
    /// The units but the last, and the last one, with millions of cells and viability; once more what was thawed a moment ago.
    Thaw {
        by: Who,
        units: Vec<usize>,
        counts: [(u64, u64); 2],
        is_again: bool,
        is_signed: bool,
    },
    Weigh {
        subject: usize,
        grams: u64,
    },
    Order {
        subject: usize,
        used: Option<usize>,
    },
    Wait(i64),
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
    let wrong = [Wrong::Seal, Wrong::Broken, Wrong::OneLess, Wrong::OneMore, Wrong::Transfer, Wrong::Receiver, Wrong::Unknown];
    prop_oneof![4 => Just(Wrong::Nothing), 1 => prop::sample::select(wrong.to_vec())]
}

fn hand_over() -> impl Strategy<Value = Step> {
    // The last number stands for a facility that nobody registered.
    let to = prop_oneof![12 => 0..3usize, 1 => Just(3usize)];
    (who(), to, units(), prop::option::weighted(0.05, 0..9usize)).prop_map(|(by, to, units, used)| Step::HandOver {
        by,
        to,
        units,
        used,
    })
}

fn take_over() -> impl Strategy<Value = Step> {
    (0..6usize, wrong()).prop_map(|(which, wrong)| Step::TakeOver { which, wrong })
}

fn refuse() -> impl Strategy<Value = Step> {
    (0..6usize, wrong(), 0..2usize).prop_map(|(which, wrong, seal)| Step::Refuse { which, wrong, seal })
}

fn lift() -> impl Strategy<Value = Step> {
    let resolution = prop_oneof![30 => Just(Resolution::Other), 1 => Just(Resolution::Own), 1 => Just(Resolution::Founding), 1 => Just(Resolution::NotCited)];
    (0..12usize, prop::bool::weighted(0.97), resolution).prop_map(|(which, is_open, resolution)| Step::Lift {
        which,
        is_open,
        resolution,
    })
}

/// Units go somewhere, and are taken over or back.
fn journey() -> impl Strategy<Value = Vec<Step>> {
    (hand_over(), prop::option::weighted(0.25, refuse()), prop::collection::vec(take_over(), 0..3))
        .prop_map(|(gone, refused, taken)| [gone].into_iter().chain(refused).chain(taken).collect())
}

/// Units are assigned, and sometimes thawed, with steps left out here and there; now and then the thaw is recorded twice.
fn treatment() -> impl Strategy<Value = Vec<Step>> {
    let kept = [0.9, 0.8, 0.4, 0.4].map(prop::bool::weighted);
    (repeated(), 0..3usize, kept, prop::option::weighted(0.2, repeated()), thaw(), thaw()).prop_map(
        |(all, order, kept, others, thaw, second)| {
            let (mut thaw, mut second) = (thaw, second);
            if let (Step::Thaw { units, is_again, .. }, Step::Thaw { is_again: is_second, .. }) = (&mut thaw, &mut second) {
                (*units, *is_again, *is_second) = (all.clone(), false, true);
            }
            let steps = [
                Step::Allocate { order, is_of_other: false, units: all.clone() },
                Step::OrderThaw { order: Some(order), at: 1, units: others.unwrap_or(all) },
                thaw,
                second,
            ];
            steps.into_iter().zip(kept).filter(|(_, is_kept)| *is_kept).map(|(step, _)| step).collect()
        },
    )
}

/// Mostly the same counts, so that a second record can say what the first one did.
fn thaw() -> impl Strategy<Value = Step> {
    let count = prop_oneof![6 => Just((48, 9_000)), 1 => Just((47, 9_000)), 1 => Just((48, 7_000)), 1 => Just((48, 6_999))];
    let counts = (count, prop::option::weighted(0.1, Just((48, 8_999))));
    let counts = counts.prop_map(|(count, last)| [count, last.unwrap_or(count)]);
    (who(), repeated(), counts, prop::bool::weighted(0.3), prop::bool::weighted(0.9))
        .prop_map(|(by, units, counts, is_again, is_signed)| Step::Thaw { by, units, counts, is_again, is_signed })
}

fn moves() -> impl Strategy<Value = Step> {
    let placed =
        (prop::option::weighted(0.05, 0..3usize), prop::bool::weighted(0.95), 0..4usize, prop::option::weighted(0.6, 0..2usize));
    let ago = prop_oneof![6 => Just(0), 1 => prop::sample::select(&[5 * MINUTE, 7 * MINUTE, 13 * MINUTE, HOUR][..])];
    (who(), units(), prop::collection::vec(placed, 4), ago).prop_map(|(by, units, placed, ago)| {
        let places = units.into_iter().zip(placed).map(|(unit, (at, is_rack_known, position, device))| Placed {
            unit,
            at,
            is_rack_known,
            position,
            device,
        });
        Step::Move { by, places: places.collect(), ago }
    })
}

/// A device was warm: mostly not warmer than allowed, or not longer, or recorded on the lot, for all or for some of its units.
fn excursion() -> impl Strategy<Value = Step> {
    let named = prop_oneof![2 => units(), 1 => (0..=UNITS).prop_map(|unit| vec![unit]), 2 => Just(Vec::new())];
    let ago = prop::sample::select(&[11 * MINUTE, 20 * MINUTE, HOUR, 3 * HOUR, 24 * HOUR][..]);
    let warm = prop::sample::select(&[(-150_000, 601), (-149_999, 600), (-149_999, 601), (-120_000, 9_000)][..]);
    (0..2usize, prop::bool::weighted(0.6), named, ago, warm).prop_map(
        |(device, is_on_lot, units, ago, (millicelsius, seconds))| Step::Excursion {
            device,
            is_on_lot,
            units,
            ago,
            millicelsius,
            seconds,
        },
    )
}

/// Units are put into the freezer, which was warm or not, and are given to somebody.
fn storage() -> impl Strategy<Value = Vec<Step>> {
    let given = prop_oneof![
        2 => (0..3usize, repeated()).prop_map(|(order, units)| Step::Allocate { order, is_of_other: false, units }),
        1 => (0..3usize, units()).prop_map(|(order, units)| Step::OrderThaw { order: Some(order), at: 1, units }),
    ];
    (moves(), prop::option::of(moves()), prop::collection::vec(excursion(), 0..3), given)
        .prop_map(|(first, second, warm, given)| [first].into_iter().chain(second).chain(warm).chain([given]).collect())
}

/// Something else, which is mostly about few units.
fn disturbance() -> impl Strategy<Value = Step> {
    let few = || prop_oneof![3 => (0..=UNITS).prop_map(|unit| vec![unit]), 1 => units()];
    let kind = prop::sample::select(&["BROKEN", "LEAKING", "LOST", "LOST", "LOST", "FOUND", "FOUND", "FOUND", "FOUND"][..]);
    let signed = || prop::bool::weighted(0.85);
    let grams = prop::sample::select(&[70_000, 70_000, 72_000, 77_000, 63_000, 77_001, 62_999][..]);
    let other = || prop::bool::weighted(0.08);
    prop_oneof![
        5 => moves(),
        3 => take_over(),
        2 => refuse(),
        3 => (0..3usize, kind, few()).prop_map(|(by, kind, units)| Step::Container { by, kind, units }),
        3 => (0..3usize, prop::bool::weighted(0.7), few(), signed())
            .prop_map(|(to, is_for_storage, units, is_signed)| Step::Return { to, is_for_storage, units, is_signed }),
        2 => (who(), few(), signed()).prop_map(|(by, units, is_signed)| Step::Destroy { by, units, is_signed }),
        2 => (0..2usize, 0..=UNITS, prop::bool::weighted(0.8), prop::bool::weighted(0.9))
            .prop_map(|(by, unit, is_new, is_new_code)| Step::Sample { by, unit, is_new, is_new_code }),
        1 => excursion(),
        2 => (0..4usize).prop_map(|which| Step::Sign { which }),
        4 => (0..3usize, other(), repeated())
            .prop_map(|(order, is_of_other, units)| Step::Allocate { order, is_of_other, units }),
        3 => (0..3usize, other(), few()).prop_map(|(order, is_of_other, units)| Step::Release { order, is_of_other, units }),
        2 => (0..2usize, grams).prop_map(|(subject, grams)| Step::Weigh { subject, grams }),
        1 => (0..2usize, prop::option::of(0..3usize)).prop_map(|(subject, used)| Step::Order { subject, used }),
        1 => prop::sample::select(&[HOUR, 23 * HOUR][..]).prop_map(Step::Wait),
        3 => (prop::option::weighted(0.5, 0..3usize), 0..2usize, few())
            .prop_map(|(order, at, units)| Step::OrderThaw { order, at, units }),
        1 => thaw(),
    ]
}

/// Histories: QA lifts holds again and again, or the first of them would be the end of every decision.
pub fn lives() -> impl Strategy<Value = Vec<Step>> {
    let part = prop_oneof![
        4 => journey(),
        2 => treatment(),
        2 => storage(),
        3 => prop::collection::vec(disturbance(), 1..4),
    ];
    let part = (part, prop::collection::vec(lift(), 0..4));
    prop::collection::vec(part, 7..13)
        .prop_map(|parts| parts.into_iter().flat_map(|(steps, lifts)| steps.into_iter().chain(lifts)).collect())
}
