//! The course of doses from assignment to infusion, against a naive model of the dose check: for each question it walks over everything that
//! was accepted. What the pharmacy asks and what dispensing, preparation, bedside check and infusion are found to be must agree.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::steps::moment;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// From the thaw to the expiry.
const THAW_WINDOW: i64 = 2 * HOUR;
/// From onset, at 06:00, to the last moment of the first infusion.
const ONSET: i64 = 43 * DAY + 6 * HOUR;
const ONSET_WINDOW: i64 = 10 * HOUR;
/// Lowest viability after thawing, basis points.
const VIABLE: u64 = 7_000;

/// The rules that this model knows.
pub const MODELLED: [&str; 32] = [
    "ABOVE_24_HOUR_CAP",
    "BEDSIDE_MISMATCHED",
    "CONTRIBUTION_TOO_LARGE",
    "DOSE_ABOVE_BAND",
    "DOSE_ALREADY_DISPENSED",
    "DOSE_ALREADY_USED",
    "DOSE_BELOW_BAND",
    "DOSE_EXPIRED",
    "DOSE_HELD",
    "DOSE_NOT_DISPENSED",
    "DOSE_REJECTED",
    "DOSE_SIGNATURE_OWED",
    "DOSE_VIABILITY_ABOVE_UNITS",
    "DOSE_VIABILITY_LOW",
    "INFUSION_AFTER_MISMATCH",
    "INFUSION_LATE",
    "INFUSION_NOT_STARTED",
    "INFUSION_STARTED_TWICE",
    "INFUSION_UNCHECKED",
    "ORDER_CANCELLED",
    "ORDER_CLOSED",
    "SUBJECT_DEAD",
    "SUBJECT_HELD",
    "THAWS_CONTRADICT",
    "THAW_VIABILITY_LOW",
    "TRIAL_HALTED",
    "UNIT_HELD",
    "UNIT_IN_OTHER_DOSE",
    "UNIT_NOT_ALLOCATED",
    "UNIT_NOT_THAWED",
    "WEIGHING_TOO_OLD",
    "WEIGHT_CHANGED",
];

/// A step of a course.
#[derive(Clone, Debug)]
pub enum Step {
    Wait(i64),
    Weigh(u32),
    Order,
    Cancel(usize),
    Allocate { order: usize, units: Vec<usize> },
    OrderThaw { order: usize, units: Vec<usize> },
    Thaw { units: Vec<usize>, viability: u64 },
    Prepare { order: usize, units: Vec<usize>, cells: u64, viability: u64, is_verified: bool },
    Check(usize),
    Dispense(usize),
    Bedside { dose: usize, is_matched: bool },
    Start(usize),
    End { dose: usize, is_whole: bool },
    Reject(usize),
    Dies,
    Hold,
    HoldUnit(usize),
    Halt,
}

/// What was accepted, with its time.
#[derive(Clone, Debug)]
enum Fact {
    Weighed {
        grams: u64,
        at: i64,
    },
    Ordered {
        id: String,
        grams: u64,
    },
    Cancelled(String),
    Allocated {
        order: String,
        units: Vec<usize>,
    },
    /// `again` if one of the units had been thawed before, at another time: all that the record names are held.
    Thawed {
        units: Vec<usize>,
        viability: u64,
        at: i64,
        again: bool,
    },
    Prepared {
        dose: usize,
        order: String,
        units: Vec<usize>,
        cells: u64,
        viability: u64,
        expires: i64,
        is_verified: bool,
    },
    Dispensed(usize),
    Bedside {
        dose: usize,
        is_matched: bool,
    },
    Started {
        dose: usize,
        at: i64,
    },
    Ended {
        dose: usize,
        is_whole: bool,
    },
    Rejected(usize),
    Died,
    Held,
    HeldUnit(usize),
    Halted,
}

/// A dose as it was prepared.
struct Dose<'a> {
    number: usize,
    order: &'a str,
    units: &'a [usize],
    cells: u64,
    viability: u64,
    expires: i64,
    is_verified: bool,
}

/// The model.
pub struct Course {
    history: Vec<Fact>,
    now: i64,
    doses: usize,
    orders: usize,
    pending: Option<Fact>,
}

impl Default for Course {
    fn default() -> Course {
        let start = 43 * DAY + 8 * HOUR;
        let history = vec![
            Fact::Weighed { grams: 70_000, at: start + 30 * MINUTE },
            Fact::Ordered { id: "ORDER".to_owned(), grams: 70_000 },
        ];
        Course { history, now: start + 45 * MINUTE, doses: 0, orders: 0, pending: None }
    }
}

impl Course {
    fn dose(&self, wanted: usize) -> Option<Dose<'_>> {
        self.history.iter().find_map(|fact| match fact {
            Fact::Prepared { dose, order, units, cells, viability, expires, is_verified } if *dose == wanted => Some(Dose {
                number: *dose,
                order,
                units,
                cells: *cells,
                viability: *viability,
                expires: *expires,
                is_verified: *is_verified,
            }),
            _ => None,
        })
    }

    fn any(&self, holds: impl Fn(&Fact) -> bool) -> bool {
        self.history.iter().any(holds)
    }

    fn order(&self, which: usize) -> (String, u64) {
        let orders: Vec<(String, u64)> = self
            .history
            .iter()
            .filter_map(|fact| match fact {
                Fact::Ordered { id, grams } => Some((id.clone(), *grams)),
                _ => None,
            })
            .collect();
        orders[which.min(orders.len() - 1)].clone()
    }

    fn grams_ordered(&self, order: &str) -> u64 {
        let grams = self.history.iter().find_map(|fact| match fact {
            Fact::Ordered { id, grams } if id == order => Some(*grams),
            _ => None,
        });
        grams.unwrap()
    }

    fn weights(&self) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.history.iter().filter_map(|fact| match fact {
            Fact::Weighed { grams, at } => Some((*grams, *at)),
            _ => None,
        })
    }

    /// What stands in the way of anything for the subject.
    fn standing(&self) -> BTreeSet<&'static str> {
        let mut codes = BTreeSet::new();
        if self.any(|fact| matches!(fact, Fact::Died)) {
            codes.insert("SUBJECT_DEAD");
        }
        if self.any(|fact| matches!(fact, Fact::Held)) {
            codes.insert("SUBJECT_HELD");
        }
        if self.any(|fact| matches!(fact, Fact::Halted)) {
            codes.insert("TRIAL_HALTED");
        }
        codes
    }

    fn started(&self, wanted: usize) -> Option<i64> {
        self.history.iter().find_map(|fact| match fact {
            Fact::Started { dose, at } if *dose == wanted => Some(*at),
            _ => None,
        })
    }

    fn is_given(&self, wanted: usize) -> bool {
        self.any(|fact| matches!(fact, Fact::Started { dose, .. } | Fact::Ended { dose, .. } if *dose == wanted))
    }

    /// The doses that a unit was said to be in.
    fn doses_of(&self, unit: usize) -> impl Iterator<Item = usize> + '_ {
        self.history.iter().filter_map(move |fact| match fact {
            Fact::Prepared { dose, units, .. } if units.contains(&unit) => Some(*dose),
            _ => None,
        })
    }

    /// Viable cells that a dose counts in the window, rounded up.
    fn counts(&self, dose: &Dose<'_>) -> u64 {
        let cells = dose.cells * dose.units.len() as u64;
        // An end without a start says nothing of how much went in: from its start on the dose counts whole until an end is recorded.
        let start = self.history.iter().position(|fact| matches!(fact, Fact::Started { dose: d, .. } if *d == dose.number));
        let after = start.map_or(&[][..], |place| &self.history[place..]);
        let end = after.iter().find_map(|fact| match fact {
            Fact::Ended { dose: d, is_whole } if *d == dose.number => Some(*is_whole),
            _ => None,
        });
        match end {
            None | Some(true) => (cells * dose.viability).div_ceil(10_000),
            // Half of each unit's volume went in.
            Some(false) => (cells * dose.viability).div_ceil(20_000),
        }
    }

    fn is_over_the_cap(&self, dose: &Dose<'_>) -> bool {
        let after = self.now - DAY;
        let mut cells = 0;
        for other in (0..self.doses).filter(|other| *other != dose.number).filter_map(|other| self.dose(other)) {
            let dispensed = self.any(|fact| matches!(fact, Fact::Dispensed(d) if *d == other.number));
            let in_window = match self.started(other.number) {
                Some(at) => after < at && at <= self.now,
                None => dispensed && other.expires > after,
            };
            if in_window {
                cells += self.counts(&other);
            }
        }
        let own = u128::from(dose.cells) * dose.units.len() as u128 * u128::from(dose.viability);
        let recent = self.weights().filter(|(_, at)| after < *at && *at <= self.now).map(|(grams, _)| grams).min();
        let grams = recent.or_else(|| self.weights().last().map(|(grams, _)| grams)).unwrap();
        (u128::from(cells) * 10_000 + own) * 1_000 > 2_000_000 * u128::from(grams) * 10_000
    }

    /// Units, amounts and time of a dose.
    fn made_of(&self, dose: &Dose<'_>) -> BTreeSet<&'static str> {
        let mut codes = BTreeSet::new();
        for unit in dose.units {
            let order = self.history.iter().rev().find_map(|fact| match fact {
                Fact::Allocated { order, units } if units.contains(unit) => Some(order.as_str()),
                _ => None,
            });
            if order != Some(dose.order) {
                codes.insert("UNIT_NOT_ALLOCATED");
            }
            // The worst of its thaws counts, and each gives 48 million cells.
            let thaws = self.thaws_of(*unit).map(|(viability, _)| viability);
            match thaws.min() {
                None => {
                    codes.insert("UNIT_NOT_THAWED");
                }
                Some(viability) => {
                    if viability < VIABLE {
                        codes.insert("THAW_VIABILITY_LOW");
                    }
                    if dose.cells > 48_000_000 {
                        codes.insert("CONTRIBUTION_TOO_LARGE");
                    }
                }
            }
            if self.doses_of(*unit).any(|other| other != dose.number) {
                codes.insert("UNIT_IN_OTHER_DOSE");
            }
        }
        // The smallest dose is of cells that were viable after the thaw, the largest of those that are said to be.
        let viable = |share: u64| u128::from(dose.cells) * dose.units.len() as u128 * u128::from(share) * 1_000;
        let grams = u128::from(self.grams_ordered(dose.order)) * 10_000;
        if viable(self.best_of(dose).map_or(dose.viability, |best| best.min(dose.viability))) < 1_000_000 * grams {
            codes.insert("DOSE_BELOW_BAND");
        }
        if viable(dose.viability) > 2_000_000 * grams {
            codes.insert("DOSE_ABOVE_BAND");
        }
        if dose.viability < VIABLE {
            codes.insert("DOSE_VIABILITY_LOW");
        }
        if self.now > dose.expires {
            codes.insert("DOSE_EXPIRED");
        }
        codes
    }

    /// How viable the most viable unit of a dose was after its thaw.
    fn best_of(&self, dose: &Dose<'_>) -> Option<u64> {
        dose.units.iter().filter_map(|unit| self.thaws_of(*unit).map(|(viability, _)| viability).min()).max()
    }

    /// What was recorded of a unit's thaw, with its time.
    fn thaws_of(&self, unit: usize) -> impl Iterator<Item = (u64, i64)> + '_ {
        self.history.iter().filter_map(move |fact| match fact {
            Fact::Thawed { units, viability, at, .. } if units.contains(&unit) => Some((*viability, *at)),
            _ => None,
        })
    }

    fn order_is(&self, order: &str, dose: usize) -> BTreeSet<&'static str> {
        let mut codes = BTreeSet::new();
        if self.any(|fact| matches!(fact, Fact::Cancelled(id) if id == order)) {
            codes.insert("ORDER_CANCELLED");
        }
        let first = self.history.iter().find_map(|fact| match fact {
            Fact::Prepared { dose, order: of, .. } if of == order => Some(*dose),
            _ => None,
        });
        if first.is_some_and(|first| first != dose) {
            codes.insert("ORDER_CLOSED");
        }
        codes
    }

    /// What blocks a dose whoever asks, before it is given and when it is.
    fn blocks(&self, dose: &Dose<'_>) -> BTreeSet<&'static str> {
        let mut codes = self.standing();
        if self.any(|fact| matches!(fact, Fact::Bedside { dose: d, is_matched: false } if *d == dose.number)) {
            codes.insert("DOSE_HELD");
        }
        if self.any(|fact| matches!(fact, Fact::Rejected(d) if *d == dose.number)) {
            codes.insert("DOSE_REJECTED");
        }
        let holds = |fact: &Fact, unit: &usize| match fact {
            Fact::HeldUnit(held) => held == unit,
            Fact::Thawed { units, again, .. } => *again && units.contains(unit),
            _ => false,
        };
        if dose.units.iter().any(|unit| self.any(|fact| holds(fact, unit))) {
            codes.insert("UNIT_HELD");
        }
        if self.is_over_the_cap(dose) {
            codes.insert("ABOVE_24_HOUR_CAP");
        }
        codes
    }

    /// The pharmacy's question.
    fn check(&self, dose: &Dose<'_>) -> BTreeSet<&'static str> {
        let mut codes = self.blocks(dose);
        codes.extend(self.made_of(dose));
        codes.extend(self.order_is(dose.order, dose.number));
        if !dose.is_verified {
            codes.insert("DOSE_SIGNATURE_OWED");
        }
        let ordered = self.grams_ordered(dose.order);
        let (latest, weighed) = self.weights().last().unwrap();
        if self.now - weighed > DAY {
            codes.insert("WEIGHING_TOO_OLD");
        }
        if latest.abs_diff(ordered) * 10 > ordered {
            codes.insert("WEIGHT_CHANGED");
        }
        // Cells that are in somebody are in no bag, whichever dose they were said to be given as.
        if dose.units.iter().any(|unit| self.doses_of(*unit).any(|number| self.is_given(number))) {
            codes.insert("DOSE_ALREADY_USED");
        }
        codes
    }

    fn row(&self, rest: &str) -> String {
        format!("{} | {rest} | ?", moment(self.now))
    }

    /// The row of a step with the codes that it should be given; nothing if there is nothing to do it to.
    pub fn judge(&mut self, step: &Step) -> Option<(String, BTreeSet<&'static str>)> {
        self.now += if let Step::Wait(ms) = step { *ms } else { 1_000 };
        self.pending = None;
        let named = |units: &[usize]| units.iter().map(|unit| format!("U{}", unit + 1)).collect::<Vec<_>>().join(",");
        let (what, codes, fact) = match step {
            Step::Wait(_) => return None,
            Step::Weigh(grams) => (
                format!("nina/RN@WARD | SubjectWeighed on subject:S1 | weight_grams={grams}"),
                BTreeSet::new(),
                Fact::Weighed { grams: u64::from(*grams), at: self.now },
            ),
            Step::Cancel(which) => {
                let (order, _) = self.order(*which);
                if self.any(|fact| matches!(fact, Fact::Cancelled(id) if *id == order)) {
                    return None;
                }
                let what = format!("ines/INV@WARD | OrderCancelled on subject:S1 | order_id={order}");
                let has_dose = self.any(|fact| matches!(fact, Fact::Prepared { order: of, .. } if *of == order));
                (what, has_dose.then_some("ORDER_CLOSED").into_iter().collect(), Fact::Cancelled(order))
            }
            Step::Thaw { units, viability } => {
                let list: Vec<String> = units.iter().map(|unit| format!("U{}/48M/{viability}", unit + 1)).collect();
                let what = format!("hugo/OP@WARD hanna/VF@WARD | UnitsThawed on lot:L1 | units=[{}]", list.join(","));
                let low = (*viability < VIABLE).then_some("THAW_VIABILITY_LOW");
                let again = units.iter().any(|unit| self.thaws_of(*unit).next().is_some());
                let fact = Fact::Thawed { units: units.clone(), viability: *viability, at: self.now, again };
                (what, low.into_iter().chain(again.then_some("THAWS_CONTRADICT")).collect(), fact)
            }
            Step::Prepare { .. } => self.prepare(step)?,
            Step::Check(_) | Step::Dispense(_) | Step::Bedside { .. } | Step::Start(_) | Step::End { .. } | Step::Reject(_) => {
                return self.of_a_dose(step);
            }
            Step::Dies => {
                if self.any(|fact| matches!(fact, Fact::Died)) {
                    return None;
                }
                let what = "ines/INV@WARD | VitalStatusRecorded on subject:S1 | status=DEAD".to_owned();
                (what, BTreeSet::new(), Fact::Died)
            }
            Step::Hold => ("quinn/QA@WARD | HoldSet on subject:S1 | ".to_owned(), BTreeSet::new(), Fact::Held),
            Step::HoldUnit(unit) => {
                let what = format!("quinn/QA | HoldSet on lot:L1 | unit_ids=[U{}]", unit + 1);
                (what, BTreeSet::new(), Fact::HeldUnit(*unit))
            }
            Step::Halt => ("ines/INV@WARD | TrialHalted on protocol:TRIAL | ".to_owned(), BTreeSet::new(), Fact::Halted),
            // Decisions that the other model judges; here only what came of them counts.
            Step::Order => {
                self.orders += 1;
                let (id, grams) = (format!("O{}", self.orders), self.weights().last()?.0);
                let weighing = self.weights().count() - 1;
                let weighing = if weighing == 0 { "WEIGHED".to_owned() } else { format!("W{weighing}") };
                let what =
                    format!("ines/INV@WARD | DoseOrdered on subject:S1 | order_id={id} weighing_record_id=@rec:{weighing}");
                self.pending = Some(Fact::Ordered { id, grams });
                return Some((self.row(&what), BTreeSet::new()));
            }
            Step::Allocate { order, units } => {
                let (order, _) = self.order(*order);
                let list = named(units);
                let what = format!(
                    "paula/PHA@WARD piotr/PHA@WARD | UnitsAllocated on subject:S1 lot:L1 | order_id={order} unit_ids=[{list}]"
                );
                self.pending = Some(Fact::Allocated { order, units: units.clone() });
                return Some((self.row(&what), BTreeSet::new()));
            }
            Step::OrderThaw { order, units } => {
                let (order, _) = self.order(*order);
                let list = named(units);
                let what = format!("paula/PHA@WARD | ThawOrdered on lot:L1 | order_id={order} unit_ids=[{list}]");
                return Some((self.row(&what), BTreeSet::new()));
            }
        };
        let row = match step {
            Step::Weigh(_) => format!("W{}: {}", self.weights().count(), self.row(&what)),
            _ => self.row(&what),
        };
        self.pending = Some(fact);
        Some((row, codes))
    }

    /// Whether a step is a decision, which is refused where a rule does not hold.
    pub fn is_decision(step: &Step) -> bool {
        matches!(step, Step::Dispense(_) | Step::Cancel(_))
    }

    /// Whether the row's whole verdict follows from what is modelled.
    pub fn is_foreseen(step: &Step) -> bool {
        !matches!(step, Step::Order | Step::Allocate { .. } | Step::OrderThaw { .. })
    }

    fn prepare(&mut self, step: &Step) -> Option<(String, BTreeSet<&'static str>, Fact)> {
        let Step::Prepare { order, units, cells, viability, is_verified } = step else { return None };
        let (order, _) = self.order(*order);
        // The earliest of all thaws; of a dose without any the hour that its preparer makes up.
        let expires = units
            .iter()
            .flat_map(|unit| self.thaws_of(*unit))
            .map(|(_, at)| at)
            .min()
            .map_or(self.now + HOUR, |at| at + THAW_WINDOW);
        let number = self.doses;
        self.doses += 1;
        let parts: Vec<String> = units.iter().map(|unit| format!("U{}/{cells}/10000", unit + 1)).collect();
        let second = if *is_verified { "hanna/VF@WARD" } else { "-" };
        let what = format!(
            "hugo/OP@WARD {second} | DosePrepared on subject:S1 lot:L1 | dose_id=D{number} dose_code=@label:7{number:03} order_id={order} \
             contributions=[{}] total_cells={} dmso_milligrams={} viability_basis_points={viability} expires_at=\"{}\"",
            parts.join(","),
            cells * units.len() as u64,
            1_100 * units.len(),
            moment(expires)
        );
        let fact = Fact::Prepared {
            dose: number,
            order: order.clone(),
            units: units.clone(),
            cells: *cells,
            viability: *viability,
            expires,
            is_verified: *is_verified,
        };
        let dose =
            Dose { number, order: &order, units, cells: *cells, viability: *viability, expires, is_verified: *is_verified };
        let mut codes = self.made_of(&dose);
        // Two counts differ: it is said of the preparation, and keeps no dose back.
        codes.extend(self.best_of(&dose).is_some_and(|best| dose.viability > best).then_some("DOSE_VIABILITY_ABOVE_UNITS"));
        codes.extend(self.order_is(&order, number));
        Some((what, codes, fact))
    }

    fn of_a_dose(&mut self, step: &Step) -> Option<(String, BTreeSet<&'static str>)> {
        let which = match step {
            Step::Check(dose) | Step::Dispense(dose) | Step::Start(dose) | Step::Reject(dose) => *dose,
            Step::Bedside { dose, .. } | Step::End { dose, .. } => *dose,
            _ => return None,
        };
        let number = which.min(self.doses.checked_sub(1)?);
        let dose = self.dose(number)?;
        let dispensed = self.any(|fact| matches!(fact, Fact::Dispensed(d) if *d == number));
        let name = format!("dose_id=D{number}");
        let (what, codes, fact) = match step {
            Step::Check(_) => {
                let row = format!("{} | check DOSE D{number} | ?", moment(self.now));
                return Some((row, self.check(&dose)));
            }
            Step::Dispense(_) => {
                let mut codes = self.check(&dose);
                codes.extend(dispensed.then_some("DOSE_ALREADY_DISPENSED"));
                (format!("piotr/PHA@WARD | DoseDispensed on subject:S1 lot:L1 | {name}"), codes, Fact::Dispensed(number))
            }
            Step::Bedside { is_matched, .. } => {
                let mut codes = BTreeSet::new();
                codes.extend((!dispensed).then_some("DOSE_NOT_DISPENSED"));
                codes.extend((!is_matched).then_some("BEDSIDE_MISMATCHED"));
                let result = if *is_matched { "MATCHED" } else { "MISMATCHED" };
                let what = format!("nina/RN@WARD nora/RN@WARD | BedsideChecked on subject:S1 | {name} result={result}");
                (what, codes, Fact::Bedside { dose: number, is_matched: *is_matched })
            }
            Step::Start(_) => {
                let mut codes = self.blocks(&dose);
                codes.extend((!dispensed).then_some("DOSE_NOT_DISPENSED"));
                let last = self.history.iter().rev().find_map(|fact| match fact {
                    Fact::Bedside { dose, is_matched } if *dose == number => Some(*is_matched),
                    _ => None,
                });
                codes.extend(last.is_none().then_some("INFUSION_UNCHECKED"));
                codes.extend((last == Some(false)).then_some("INFUSION_AFTER_MISMATCH"));
                codes.extend(self.started(number).is_some().then_some("INFUSION_STARTED_TWICE"));
                codes.extend((self.now > dose.expires).then_some("DOSE_EXPIRED"));
                let is_first = !self.any(|fact| matches!(fact, Fact::Started { .. }));
                codes.extend((is_first && self.now > ONSET + ONSET_WINDOW).then_some("INFUSION_LATE"));
                let what = format!("nina/RN@WARD nora/RN@WARD | InfusionStarted on subject:S1 lot:L1 | {name}");
                (what, codes, Fact::Started { dose: number, at: self.now })
            }
            Step::End { is_whole, .. } => {
                let volume = if *is_whole { 10_000 } else { 5_000 };
                let parts: Vec<String> = dose.units.iter().map(|unit| format!("U{}/{volume}", unit + 1)).collect();
                let reason = if *is_whole { "" } else { " stopped_because=shivering" };
                let what = format!(
                    "nina/RN@WARD nora/RN@WARD | InfusionEnded on subject:S1 lot:L1 | {name} infused=[{}]{reason}",
                    parts.join(",")
                );
                let codes = self.started(number).is_none().then_some("INFUSION_NOT_STARTED").into_iter().collect();
                (what, codes, Fact::Ended { dose: number, is_whole: *is_whole })
            }
            _ => {
                let what = format!("paula/PHA@WARD | DoseRejected on subject:S1 lot:L1 | {name}");
                (what, BTreeSet::new(), Fact::Rejected(number))
            }
        };
        self.pending = Some(fact);
        Some((self.row(&what), codes))
    }

    /// The ledger took the step that was judged last.
    pub fn happened(&mut self) {
        self.history.extend(self.pending.take());
    }
}

fn units() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::btree_set(0..6usize, 2..4).prop_map(|units| units.into_iter().collect())
}

fn viability() -> impl Strategy<Value = u64> {
    prop::sample::select(&[9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 9_000, 7_000, 6_999][..])
}

fn waits() -> impl Strategy<Value = i64> {
    prop::sample::select(&[1_000, MINUTE, 20 * MINUTE, HOUR, 5 * HOUR, 12 * HOUR, DAY][..])
}

/// A dose from its order to its end, with steps left out here and there.
fn pipeline() -> impl Strategy<Value = Vec<Step>> {
    let amounts = (
        prop::sample::select(&[40_000_000, 40_000_000, 40_000_000, 24_000_000, 48_000_000, 48_000_001][..]),
        viability(),
        viability(),
    );
    let kept = prop::collection::vec(prop::bool::weighted(0.98), 12);
    (
        units(),
        amounts,
        prop::bool::weighted(0.95),
        prop::bool::weighted(0.95),
        prop::bool::weighted(0.8),
        kept,
        prop::sample::select(&[usize::MAX, usize::MAX, usize::MAX, usize::MAX, 0, 1][..]),
    )
        .prop_map(|(units, (cells, after_thaw, viability), is_verified, is_matched, is_whole, kept, order)| {
            // Orders and doses are counted from the newest, which the last number stands for.
            let newest = usize::MAX;
            let all = [
                Step::Order,
                Step::Allocate { order, units: units.clone() },
                Step::OrderThaw { order, units: units.clone() },
                Step::Thaw { units: units.clone(), viability: after_thaw },
                Step::Prepare { order, units, cells, viability, is_verified },
                Step::Check(newest),
                Step::Dispense(newest),
                Step::Bedside { dose: newest, is_matched },
                Step::Start(newest),
                Step::Check(newest),
                Step::End { dose: newest, is_whole },
                Step::Check(newest),
            ];
            all.into_iter().zip(kept).filter(|(_, is_kept)| *is_kept).map(|(step, _)| step).collect()
        })
}

fn disturbance() -> impl Strategy<Value = Step> {
    let dose = || 0..3usize;
    prop_oneof![
        8 => waits().prop_map(Step::Wait),
        3 => prop::sample::select(&[70_000, 63_000, 62_999, 77_000, 77_001][..]).prop_map(Step::Weigh),
        1 => (0..3usize).prop_map(Step::Cancel),
        4 => dose().prop_map(Step::Check),
        2 => dose().prop_map(Step::Dispense),
        2 => (dose(), any::<bool>()).prop_map(|(dose, is_matched)| Step::Bedside { dose, is_matched }),
        2 => dose().prop_map(Step::Start),
        1 => (dose(), any::<bool>()).prop_map(|(dose, is_whole)| Step::End { dose, is_whole }),
        1 => dose().prop_map(Step::Reject),
        1 => (0..6usize).prop_map(Step::HoldUnit),
    ]
}

/// Stops after which nothing is green any more: seldom, and late.
fn stop() -> impl Strategy<Value = Vec<Step>> {
    prop::option::weighted(0.4, prop_oneof![Just(Step::Dies), Just(Step::Hold), Just(Step::Halt)])
        .prop_map(|stop| stop.into_iter().chain((0..3).map(Step::Check)).chain((0..3).map(Step::Start)).collect())
}

/// Courses: doses one after the other, and what comes between.
pub fn courses() -> impl Strategy<Value = Vec<Step>> {
    let part = (pipeline(), prop::collection::vec((any::<prop::sample::Index>(), disturbance()), 0..4));
    let woven = part.prop_map(|(mut steps, between)| {
        for (place, step) in between {
            let at = place.index(steps.len() + 1);
            steps.insert(at, step);
        }
        steps
    });
    (prop::collection::vec(woven, 1..4), stop()).prop_map(|(parts, stop)| parts.into_iter().flatten().chain(stop).collect())
}
