//! What may happen to a lot between its filling and its release, and how often.

use proptest::prelude::*;
use proptest::sample::select;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Which of several things a step is about, counted from the newest.
#[derive(Clone, Copy, Debug)]
pub enum Pick {
    /// One that nothing was done about yet.
    Open(usize),
    /// Any of them.
    Any(usize),
    /// Something that is none of them.
    Unknown,
}

/// When a test with an incubation was read.
#[derive(Clone, Copy, Debug)]
pub enum Reading {
    /// So long after the moment at which the incubation is complete, ms; of a culture of the sample, or inoculated anew for a repetition.
    Due { offset: i64, is_anew: bool },
    /// When it is reported.
    Now,
    /// When it is reported, and inoculated afterwards.
    Reversed,
    /// So long before the first sample was taken, and read when it is reported.
    BeforeSampling { by: i64 },
    /// So long after it is reported.
    Ahead { by: i64 },
    /// Nobody said when.
    Unsaid,
}

/// What documents a laboratory cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    None,
    Cited,
    NamedOnly,
    Nowhere,
    Itself,
}

/// What resolves a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    Stored,
    Uncited,
    /// What brought it about.
    Itself,
    Founding,
}

/// What a hold is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    Lot,
    Unit,
    StrangeUnit,
    Donor,
}

/// A decision on the lot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    Conditional,
    Final,
    Rejected,
}

/// Which of the two signatures of a decision are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signed {
    Both,
    /// One signature is there, the other is asked for and missing.
    FirstOnly,
    SecondOnly,
    /// The record asks for one signature alone.
    FirstAlone,
    SecondAlone,
}

/// A step. Tests, results and people are numbers in the tables of `deeds`.
#[derive(Clone, Debug)]
pub enum Step {
    Wait(i64),
    Sample {
        who: usize,
        ago: i64,
    },
    Print {
        who: usize,
        verifier: usize,
        ago: i64,
    },
    Withdraw {
        which: Pick,
        by: usize,
    },
    Sign {
        verifier: usize,
    },
    Report {
        test: usize,
        value: usize,
        analyst: usize,
        sample: usize,
        reading: Reading,
        ago: i64,
    },
    Amend {
        which: Pick,
        value: usize,
        /// Other times as well.
        reading: Option<Reading>,
        people: usize,
        is_void: bool,
        is_latest: bool,
        /// The digest is the target's.
        is_digest: bool,
    },
    Review {
        which: Pick,
        reviewer: usize,
        is_confirmed: bool,
        ago: i64,
    },
    Invalidate {
        which: Pick,
        people: usize,
        document: Document,
    },
    Deviate {
        on_donor: bool,
        severity: usize,
        ago: i64,
    },
    Close {
        on_donor: bool,
        which: Pick,
    },
    Hold(Held),
    Lift {
        on_donor: bool,
        which: Pick,
        second: usize,
        resolution: Resolution,
    },
    Recall {
        on_donor: bool,
    },
    Trace {
        on_donor: bool,
        which: Pick,
        is_complete: bool,
    },
    AmendPanel {
        test: usize,
        by: usize,
    },
    ReviewPanel {
        test: usize,
        reviewer: usize,
    },
    Determine {
        how: usize,
        signed: Signed,
    },
    Dispose {
        how: Disposition,
        assurance: usize,
        certifier: usize,
        signed: Signed,
        waivers: Vec<usize>,
        ago: i64,
        has_seen: bool,
    },
    Exempt {
        certifier: usize,
        is_of_lot: bool,
    },
}

/// Mostly the first of these.
fn mostly<T: Clone + std::fmt::Debug + 'static>(first: T, share: u32, others: Vec<T>) -> impl Strategy<Value = T> {
    prop_oneof![share => Just(first), 1 => select(others)]
}

fn pick() -> impl Strategy<Value = Pick> {
    prop_oneof![
        12 => (0..3usize).prop_map(Pick::Open),
        7 => (0..8usize).prop_map(Pick::Any),
        1 => Just(Pick::Unknown),
    ]
}

fn reading() -> impl Strategy<Value = Reading> {
    prop_oneof![
        12 => (select(&[0, 0, 0, 1, DAY, -1, -DAY, -30 * DAY][..]), prop::bool::weighted(0.3))
            .prop_map(|(offset, is_anew)| Reading::Due { offset, is_anew }),
        2 => Just(Reading::Now),
        1 => Just(Reading::Reversed),
        1 => select(&[0, 1][..]).prop_map(|by| Reading::BeforeSampling { by }),
        1 => select(&[MINUTE, MINUTE + 1, DAY][..]).prop_map(|by| Reading::Ahead { by }),
        1 => Just(Reading::Unsaid),
    ]
}

fn report(test: impl Strategy<Value = usize> + 'static, passing: u32) -> BoxedStrategy<Step> {
    let value = mostly(0, passing, (0..16).collect());
    let ago = mostly(0, 6, vec![-MINUTE, -MINUTE - 1, 10_000, HOUR, DAY, DAY + 1, DAY + 1]);
    (test, value, 0..2usize, mostly(0, 8, vec![1, 2, 9]), reading(), ago)
        .prop_map(|(test, value, analyst, sample, reading, ago)| Step::Report { test, value, analyst, sample, reading, ago })
        .boxed()
}

/// When something happened, beside when it is recorded.
fn ago() -> impl Strategy<Value = i64> {
    mostly(0, 2, vec![10_000, HOUR, DAY, DAY + 1])
}

fn amend() -> BoxedStrategy<Step> {
    let value = prop_oneof![3 => Just(0), 2 => Just(1), 4 => 0..16usize];
    let people = mostly(0, 4, vec![1, 1, 1, 2, 3, 4, 5]);
    let is_latest = prop::bool::weighted(0.95);
    (
        pick(),
        value,
        prop::option::weighted(0.3, reading()),
        people,
        prop::bool::weighted(0.3),
        is_latest,
        prop::bool::weighted(0.97),
    )
        .prop_map(|(which, value, reading, people, is_void, is_latest, is_digest)| Step::Amend {
            which,
            value,
            reading,
            people,
            is_void,
            is_latest,
            is_digest,
        })
        .boxed()
}

fn exempt() -> BoxedStrategy<Step> {
    (mostly(0, 3, vec![1, 2, 3, 4]), prop::bool::weighted(0.8))
        .prop_map(|(certifier, is_of_lot)| Step::Exempt { certifier, is_of_lot })
        .boxed()
}

fn review_panel() -> BoxedStrategy<Step> {
    (0..3usize, mostly(0, 4, vec![1, 2, 3])).prop_map(|(test, reviewer)| Step::ReviewPanel { test, reviewer }).boxed()
}

fn review() -> BoxedStrategy<Step> {
    let ago = mostly(0, 8, vec![5 * MINUTE, 5 * MINUTE + 1]);
    (pick(), mostly(0, 4, vec![1, 2, 3]), prop::bool::weighted(0.9), ago)
        .prop_map(|(which, reviewer, is_confirmed, ago)| Step::Review { which, reviewer, is_confirmed, ago })
        .boxed()
}

fn invalidate() -> BoxedStrategy<Step> {
    let documents = vec![Document::None, Document::None, Document::NamedOnly, Document::Nowhere, Document::Itself];
    (pick(), mostly(0, 2, vec![1, 2, 3, 4, 5]), mostly(Document::Cited, 1, documents))
        .prop_map(|(which, people, document)| Step::Invalidate { which, people, document })
        .boxed()
}

/// QA deals with what stands open.
fn repair() -> BoxedStrategy<Step> {
    let on_donor = || prop::bool::weighted(0.3);
    let resolution = mostly(Resolution::Stored, 8, vec![Resolution::Uncited, Resolution::Itself, Resolution::Founding]);
    let lift = (on_donor(), pick(), mostly(0, 2, vec![1, 2, 3, 3, 3, 4, 4, 5, 6, 7, 8]), resolution)
        .prop_map(|(on_donor, which, second, resolution)| Step::Lift { on_donor, which, second, resolution });
    prop_oneof![
        6 => lift,
        5 => (on_donor(), pick()).prop_map(|(on_donor, which)| Step::Close { on_donor, which }),
        6 => (prop::bool::weighted(0.4), pick(), prop::bool::weighted(0.85))
            .prop_map(|(on_donor, which, is_complete)| Step::Trace { on_donor, which, is_complete }),
        2 => invalidate(),
        2 => review(),
        2 => determine(0),
        2 => review_panel(),
        2 => (0..2usize).prop_map(|verifier| Step::Sign { verifier }),
    ]
    .boxed()
}

fn determine(how: usize) -> BoxedStrategy<Step> {
    let signed = mostly(Signed::Both, 3, vec![Signed::FirstOnly, Signed::SecondOnly, Signed::FirstAlone, Signed::SecondAlone]);
    signed.prop_map(move |signed| Step::Determine { how, signed }).boxed()
}

fn dispose(how: impl Strategy<Value = Disposition> + 'static) -> BoxedStrategy<Step> {
    let signed = mostly(Signed::Both, 10, vec![Signed::FirstOnly, Signed::SecondOnly, Signed::FirstAlone, Signed::SecondAlone]);
    let waivers = mostly(vec![], 10, vec![vec![5], vec![5], vec![4], vec![5, 6]]);
    let ago = mostly(0, 10, vec![HOUR, HOUR + 1]);
    (how, mostly(0, 6, vec![1, 2]), mostly(0, 5, vec![1, 2, 3, 4]), signed, waivers, ago, prop::bool::weighted(0.97))
        .prop_map(|(how, assurance, certifier, signed, waivers, ago, has_seen)| Step::Dispose {
            how,
            assurance,
            certifier,
            signed,
            waivers,
            ago,
            has_seen,
        })
        .boxed()
}

fn rejected() -> BoxedStrategy<Step> {
    dispose(Just(Disposition::Rejected))
        .prop_flat_map(|step| {
            let signed =
                select(vec![Signed::Both, Signed::FirstOnly, Signed::SecondOnly, Signed::FirstAlone, Signed::SecondAlone]);
            (signed, prop::bool::weighted(0.8)).prop_map(move |(now, seen)| {
                let mut step = step.clone();
                if let Step::Dispose { signed, has_seen, .. } = &mut step {
                    (*signed, *has_seen) = (now, seen);
                }
                step
            })
        })
        .boxed()
}

fn disturbance() -> BoxedStrategy<Step> {
    prop_oneof![
        2 => select(&[1_000, HOUR, DAY, DAY + 1, 7 * DAY][..]).prop_map(Step::Wait),
        8 => report(0..7usize, 1),
        4 => review(),
        4 => invalidate(),
        5 => amend(),
        2 => (prop::bool::weighted(0.2), 0..3usize, ago())
            .prop_map(|(on_donor, severity, ago)| Step::Deviate { on_donor, severity, ago }),
        2 => select(vec![Held::Lot, Held::Unit, Held::StrangeUnit, Held::Donor]).prop_map(Step::Hold),
        1 => determine(1),
        1 => determine(2),
        2 => prop::bool::weighted(0.3).prop_map(|on_donor| Step::Recall { on_donor }),
        1 => (0..2usize, ago()).prop_map(|(who, ago)| Step::Sample { who, ago }),
        2 => (0..2usize, 0..3usize, ago()).prop_map(|(who, verifier, ago)| Step::Print { who, verifier, ago }),
        1 => (0..2usize, 0..2usize).prop_map(|(test, by)| Step::AmendPanel { test, by }),
        1 => exempt(),
        1 => (pick(), mostly(0, 4, vec![1, 2])).prop_map(|(which, by)| Step::Withdraw { which, by }),
        1 => (0..2usize).prop_map(|verifier| Step::Sign { verifier }),
        3 => repair(),
    ]
    .boxed()
}

/// A test that is performed and reviewed, seldom not quite.
fn performed(test: usize) -> BoxedStrategy<Vec<Step>> {
    let confirmed = Step::Review { which: Pick::Open(0), reviewer: 0, is_confirmed: true, ago: 0 };
    let due = Reading::Due { offset: 0, is_anew: false };
    let plain = Step::Report { test, value: 0, analyst: 0, sample: 0, reading: due, ago: 0 };
    let reported = prop_oneof![6 => Just(plain), 1 => report(Just(test), 12)];
    let reviewed = prop_oneof![12 => Just(confirmed.clone()), 1 => review()];
    // What said nothing comes before: one repetition counts, a second one does not.
    let void = Step::Report { test, value: 2, analyst: 0, sample: 0, reading: due, ago: 0 };
    let before = [void.clone(), confirmed.clone(), void, confirmed];
    let repeated = prop_oneof![16 => Just(0usize), 1 => Just(2), 1 => Just(4)];
    (repeated, reported, reviewed, prop::bool::weighted(0.97), prop::bool::weighted(0.97))
        .prop_map(move |(repeated, reported, reviewed, is_reported, is_reviewed)| {
            let before = before.iter().take(repeated).cloned();
            before.chain(is_reported.then_some(reported)).chain(is_reviewed.then_some(reviewed)).collect()
        })
        .boxed()
}

/// Steps with others woven in.
fn woven(steps: impl Strategy<Value = Vec<Step>> + 'static, most: usize) -> BoxedStrategy<Vec<Step>> {
    (steps, prop::collection::vec((any::<prop::sample::Index>(), disturbance()), 0..most))
        .prop_map(|(mut steps, between)| {
            for (place, step) in between {
                let at = place.index(steps.len() + 1);
                steps.insert(at, step);
            }
            steps
        })
        .boxed()
}

/// A decision, what QA does after it, and the decision again.
fn decided(how: Disposition) -> BoxedStrategy<Vec<Step>> {
    let again = (prop::collection::vec(repair(), 0..7), dispose(Just(how)));
    (dispose(Just(how)), prop::collection::vec(again, 0..3))
        .prop_map(|(first, again)| {
            let again = again.into_iter().flat_map(|(mut repairs, decision)| {
                repairs.push(decision);
                repairs
            });
            std::iter::once(first).chain(again).collect()
        })
        .boxed()
}

/// From the first result to the last decision.
pub fn releases() -> BoxedStrategy<Vec<Step>> {
    let conditional = (performed(2), performed(3), performed(4), performed(5), performed(0))
        .prop_map(|(a, b, c, d, e)| [a, b, c, d, e].concat());
    let any = select(vec![Disposition::Conditional, Disposition::Final]);
    let end = (
        prop::option::weighted(0.25, rejected()),
        prop::collection::vec(prop_oneof![2 => dispose(any), 1 => exempt()], 0..3),
        rejected(),
    );
    let end = end.prop_map(|(stop, decisions, again)| match stop {
        Some(stop) => std::iter::once(stop).chain(decisions).chain([again]).collect(),
        None => decisions,
    });
    (
        woven(conditional, 3),
        decided(Disposition::Conditional),
        woven(performed(1), 4),
        decided(Disposition::Final),
        woven(prop::collection::vec(disturbance(), 0..10), 3),
        woven(end, 3),
    )
        .prop_map(|(a, b, c, d, e, f)| [a, b, c, d, e, f].concat())
        .boxed()
}
