//! What each decision about units should be told, and each thaw, which rests on them.

use super::rules::{Codes, Judged, Model, decision, fact, operators, signed};
use super::steps::{Resolution, Step, Who};
use super::units::{Count, Entry, Fact, HOUR, MINUTE, START, State, list, name};

/// Lowest viability after thawing, basis points.
const VIABLE: u64 = 7_000;
/// How long a weighing counts.
const WEIGHED_FOR: i64 = 24 * HOUR;
/// Each order with its subject.
const ORDERS: [(&str, &str); 3] = [("ORDER", "S1"), ("O2", "S1"), ("O3", "S2")];
/// The weight that each of them rests on.
const ORDERED_GRAMS: u64 = 70_000;
const SUBJECTS: [&str; 2] = ["S1", "S2"];

fn subject_of(order: &str) -> &'static str {
    ORDERS.iter().find(|(id, _)| *id == order).map_or("S1", |(_, subject)| subject)
}

/// A weighing that counts: the row that it is in, when, and how many grams.
struct Weighing {
    label: String,
    at: i64,
    grams: u64,
}

impl Model {
    pub fn decide(&self, step: &Step) -> Option<Judged> {
        match step {
            Step::Lift { which, is_open, resolution } => self.lift(*which, *is_open, *resolution),
            Step::Sign { which } => self.sign(*which),
            Step::Allocate { order, is_of_other, units } => Some(self.allocate(ORDERS[*order], *is_of_other, units)),
            Step::Release { order, is_of_other, units } => Some(self.release(ORDERS[*order], *is_of_other, units)),
            Step::OrderThaw { order: Some(order), units, .. } => Some(self.order_thaw(ORDERS[*order].0, units)),
            Step::Weigh { subject, grams } => Some(Self::weigh(SUBJECTS[*subject], *grams)),
            Step::Order { subject, used } => Some(self.order(SUBJECTS[*subject], *used)),
            _ => None,
        }
    }

    /// What stands in the way of giving a unit to somebody.
    fn fit_for_use(&self, unit: usize, codes: &mut Codes) {
        let h = &self.history;
        codes.extend(h.is_held(unit).then_some("UNIT_HELD"));
        codes.extend(h.is_owed(unit).then_some("UNIT_SIGNATURE_OWED"));
        codes.extend(self.holder(unit).is_none().then_some("UNIT_CUSTODY_OPEN"));
        codes.extend(h.is_kept_too_warm(unit, self.now).then_some("UNIT_KEPT_TOO_WARM"));
        codes.extend((h.is_lost(unit) || h.is_damaged(unit)).then_some("UNIT_CONTAINER_UNSOUND"));
        // A unit has one state: of what was sampled, returned and destroyed the last is said.
        codes.extend(match h.state(unit) {
            State::Destroyed => Some("UNIT_DESTROYED"),
            State::Returned => Some("UNIT_FOR_DESTRUCTION"),
            State::Sampled => Some("UNIT_USED_FOR_TESTING"),
            _ => None,
        });
    }

    fn latest_weighing(&self, subject: &str) -> Weighing {
        let weighed = |entry: &Entry| match &entry.fact {
            Fact::Weighed { subject: of, grams } if *of == subject => {
                Some(Weighing { label: entry.label.clone(), at: entry.at, grams: *grams })
            }
            _ => None,
        };
        let first = || {
            let (label, at) = if subject == "S1" { ("WEIGHED", START - 30 * MINUTE) } else { ("W2", START - 9 * MINUTE) };
            Weighing { label: label.to_owned(), at, grams: ORDERED_GRAMS }
        };
        self.history.0.iter().rev().find_map(weighed).unwrap_or_else(first)
    }

    /// All orders of these histories rest on the same weight. More than a tenth asks for another order.
    fn weight_changed(&self, subject: &str) -> Option<&'static str> {
        let latest = self.latest_weighing(subject).grams;
        (latest.abs_diff(ORDERED_GRAMS) * 10 > ORDERED_GRAMS).then_some("WEIGHT_CHANGED")
    }

    fn is_weighed_long_ago(&self, subject: &str) -> Option<&'static str> {
        (self.now - self.latest_weighing(subject).at > WEIGHED_FOR).then_some("WEIGHING_TOO_OLD")
    }

    fn weigh(subject: &'static str, grams: u64) -> Judged {
        let what = format!("nina/RN@WARD | SubjectWeighed on subject:{subject} | weight_grams={grams}");
        fact(what, Codes::new(), Fact::Weighed { subject, grams })
    }

    /// An order's id is nobody else's, whichever subject had it first. What is ordered anew stays without units here.
    fn order(&self, subject: &'static str, used: Option<usize>) -> Judged {
        let id = used.map_or_else(|| format!("N{}", self.rows), |which| ORDERS[which].0.to_owned());
        let weighing = self.latest_weighing(subject).label;
        let mut codes: Codes = self.is_weighed_long_ago(subject).into_iter().collect();
        codes.extend(used.map(|_| "ORDER_ID_USED"));
        let what = format!("ines/INV@WARD | DoseOrdered on subject:{subject} | order_id={id} weighing_record_id=@rec:{weighing}");
        decision(what, codes, Fact::Ordered)
    }

    /// A hold is lifted with another record that says how it was resolved: not its own, nor the founding, and a cited one.
    fn lift(&self, which: usize, is_open: bool, resolution: Resolution) -> Option<Judged> {
        let holds: Vec<_> = self.history.holds().into_iter().filter(|(.., is_lifted)| *is_lifted != is_open).collect();
        let (of, code, is_lifted) = *holds.get(which % holds.len().max(1))?;
        let label = &self.history.0[of].label;
        let (citing, resolved) = match resolution {
            Resolution::Other => ("citing STORED", "STORED"),
            Resolution::Own => (&*format!("citing {label}"), label.as_str()),
            Resolution::Founding => ("citing FOUND", "FOUND"),
            Resolution::NotCited => ("", "STORED"),
        };
        let what = format!(
            "quinn/QA petra/QP | HoldLifted on lot:L1 {citing} | hold_id=@hold:{label}/{code} resolution_record_id=@rec:{resolved}"
        );
        let mut codes: Codes = is_lifted.then_some("HOLD_ALREADY_LIFTED").into_iter().collect();
        codes.extend(match resolution {
            Resolution::Other => None,
            Resolution::Own | Resolution::Founding => Some("RESOLUTION_RESOLVES_NOTHING"),
            Resolution::NotCited => Some("RESOLUTION_UNKNOWN"),
        });
        Some(decision(what, codes, Fact::Lifted { of, code }))
    }

    fn sign(&self, which: usize) -> Option<Judged> {
        let owing = self.history.owing();
        let of = *owing.get(which % owing.len().max(1))?;
        let Entry { label, fact: owed, .. } = &self.history.0[of];
        let by = match owed {
            Fact::Returned { to, .. } => format!("{}:ACCEPTED", super::rules::courier(to)),
            Fact::Destroyed { by, .. } | Fact::Thawed { by, .. } => operators(by).1.to_owned(),
            _ => return None,
        };
        let what = format!("{by} | SignatureAdded on lot:L1 | target_digest=@digest:{label}");
        Some(fact(what, Codes::new(), Fact::Signed { of }))
    }

    fn repeated(units: &[usize]) -> Option<&'static str> {
        let is_repeated = units.iter().enumerate().any(|(place, unit)| units[..place].contains(unit));
        is_repeated.then_some("UNIT_REPEATED")
    }

    /// The subject of an order, or the other one.
    fn subject((_, subject): (&str, &'static str), is_of_other: bool) -> &'static str {
        if !is_of_other {
            subject
        } else if subject == "S1" {
            "S2"
        } else {
            "S1"
        }
    }

    /// What is assigned already is said to be so, and not also that it is not in the store.
    fn allocate(&self, order: (&'static str, &'static str), is_of_other: bool, units: &[usize]) -> Judged {
        let subject = Self::subject(order, is_of_other);
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            self.fit_for_use(unit, codes);
            if self.history.order_of(unit).is_some() {
                codes.insert("UNIT_ALREADY_ALLOCATED");
            } else if self.history.state(unit) != State::Stored {
                codes.insert("UNIT_NOT_STORED");
            }
        });
        codes.extend(Self::repeated(units));
        codes.extend(if is_of_other { Some("ORDER_UNKNOWN") } else { self.weight_changed(subject) });
        let what = format!(
            "paula/PHA@WARD piotr/PHA@WARD | UnitsAllocated on subject:{subject} lot:L1 | order_id={} unit_ids=[{}]",
            order.0,
            list(units)
        );
        decision(what, codes, Fact::Allocated { order: order.0, units: units.to_vec() })
    }

    /// Also what was sampled or came back for destruction is released; what was thawed is not, and of a destroyed unit nothing is decided.
    fn release(&self, order: (&'static str, &'static str), is_of_other: bool, units: &[usize]) -> Judged {
        let h = &self.history;
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            codes.extend((is_of_other || h.order_of(unit) != Some(order.0)).then_some("UNIT_NOT_ALLOCATED"));
            codes.extend(h.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
            codes.extend(h.is_destroyed(unit).then_some("UNIT_DESTROYED"));
        });
        codes.extend(Self::repeated(units));
        let what = format!(
            "paula/PHA@WARD | AllocationReleased on subject:{} lot:L1 | order_id={} unit_ids=[{}]",
            Self::subject(order, is_of_other),
            order.0,
            list(units)
        );
        decision(what, codes, Fact::Released(units.to_vec()))
    }

    /// For a patient, by the ward's pharmacist. Whose units they are decides whether the subject's weight is asked about: of a unit that is
    /// assigned to another order nothing else is said.
    fn order_thaw(&self, order: &'static str, units: &[usize]) -> Judged {
        let subject = subject_of(order);
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            self.fit_for_use(unit, codes);
            codes.extend((self.holder(unit) != Some("WARD")).then_some("UNIT_NOT_IN_CUSTODY"));
            codes.extend(self.history.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
            if self.history.order_of(unit) == Some(order) {
                codes.extend(self.weight_changed(subject));
                codes.extend(self.is_weighed_long_ago(subject));
            } else {
                codes.insert("UNIT_NOT_ALLOCATED");
            }
        });
        codes.extend(Self::repeated(units));
        let what = format!("paula/PHA@WARD | ThawOrdered on lot:L1 | order_id={order} unit_ids=[{}]", list(units));
        decision(what, codes, Fact::ThawOrdered(units.to_vec()))
    }

    /// For quality control, which may test what nobody is given: held, warm, sampled. What is broken, lost or given up is good for nothing.
    pub fn order_test_thaw(&self, at: &str, units: &[usize]) -> Judged {
        let h = &self.history;
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            codes.extend(match h.state(unit) {
                State::Destroyed => Some("UNIT_DESTROYED"),
                State::Returned => Some("UNIT_FOR_DESTRUCTION"),
                _ => None,
            });
            codes.extend((h.is_lost(unit) || h.is_damaged(unit)).then_some("UNIT_CONTAINER_UNSOUND"));
            codes.extend((self.holder(unit) != Some(at)).then_some("UNIT_NOT_IN_CUSTODY"));
            codes.extend(h.order_of(unit).is_some().then_some("UNIT_ALREADY_ALLOCATED"));
            codes.extend(h.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
        });
        codes.extend(Self::repeated(units));
        let what =
            format!("quinn/QA@{at} | ThawOrdered on lot:L1 | unit_ids=[{}] purpose=QUALITY_CONTROL order_id=none", list(units));
        decision(what, codes, Fact::ThawOrdered(units.to_vec()))
    }

    /// A thaw, or once more the one that was recorded last, at the time that was said then. The last unit that is named may be counted
    /// otherwise than the others. Left out: what came back for destruction, of which the ledger says nothing.
    pub fn thaw(&self, by: Who, units: &[usize], counts: [(u64, u64); 2], is_again: bool, is_signed: bool) -> Option<Judged> {
        let h = &self.history;
        let last = h.0.last().filter(|_| is_again);
        let (units, at) = match last.map(|entry| (&entry.fact, entry.at)) {
            Some((Fact::Thawed { units, .. }, at)) if self.now - at < HOUR => (&units[..], Some(at)),
            Some(_) => return None,
            None => (units, None),
        };
        if Self::known(units).any(|unit| h.state(unit) == State::Returned) {
            return None;
        }
        let count = |(number, unit): (usize, &usize)| {
            let (millions, viability) = counts[usize::from(number + 1 == units.len())];
            Count { unit: *unit, millions, viability }
        };
        let told: Vec<Count> = units.iter().enumerate().map(count).collect();
        let when = at.unwrap_or(self.now);
        let by = self.who(by, units);
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            codes.extend(h.is_destroyed(unit).then_some("UNIT_DESTROYED"));
            codes.extend(h.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
            codes.extend((!h.is_thaw_ordered(unit)).then_some("THAW_NOT_ORDERED"));
            codes.extend((self.holder(unit) != Some(by)).then_some("UNIT_NOT_IN_CUSTODY"));
            let of_unit: Vec<&Count> = told.iter().filter(|count| count.unit == unit).collect();
            let counts = h.thaw(unit).unwrap_or((when, of_unit[0].millions, of_unit[0].viability));
            let says_else = |count: &&&Count| (when, count.millions, count.viability) != counts;
            codes.extend(of_unit.iter().find(says_else).map(|_| "THAWS_CONTRADICT"));
            codes.extend(of_unit.iter().any(|count| count.viability < VIABLE).then_some("THAW_VIABILITY_LOW"));
        });
        codes.extend(Self::repeated(units));
        let thawed = told.iter().map(|count| format!("{}/{}M/{}", name(count.unit), count.millions, count.viability));
        let what = format!("UnitsThawed on lot:L1 | units=[{}]", thawed.collect::<Vec<_>>().join(","));
        let (first, second) = operators(by);
        let thawed = Fact::Thawed { by, units: units.to_vec(), counts: told };
        Some(Judged { at, ..signed(first, second, is_signed, &what, codes, thawed) })
    }
}
