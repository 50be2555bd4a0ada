//! The naive model: a list of what was accepted, and a walk over all of it for each question.

use crate::steps::{Step, TARGETS, moment};

const MINUTE: i64 = 60_000;
const DAY: i64 = 86_400_000;
/// How far ahead of the ledger a death or a withdrawal may be dated and count.
const AHEAD: i64 = MINUTE;

/// The rules that the model knows.
pub const MODELLED: [&str; 24] = [
    "AUTHORISATION_BACKDATED",
    "CONSENT_NOT_IN_FORCE",
    "HEAD_MOVED",
    "HOLD_ALREADY_LIFTED",
    "ORDER_CANCELLED",
    "ORDER_ID_USED",
    "SIGNATURE_MISSING",
    "SUBJECT_DEAD",
    "SUBJECT_HELD",
    "SUBJECT_WITHDRAWN",
    "TARGET_OUTSIDE_BAND",
    "TRIAL_HALTED",
    "TRIAL_NOT_HALTED",
    "UNIT_ALREADY_ALLOCATED",
    "UNIT_HELD",
    "UNIT_NOT_ALLOCATED",
    "UNIT_REPEATED",
    "VITAL_STATUS_CONTRADICTS",
    "WEIGHING_MISSING",
    "WEIGHING_NOT_LATEST",
    "WEIGHING_TOO_OLD",
    "WEIGHT_CHANGED",
    "AMENDMENT_NOT_OF_THE_LATEST",
    "REPLACEMENT_WRONG",
];

/// What was accepted.
#[derive(Clone, Debug)]
enum Fact {
    Weighed {
        label: String,
        grams: u32,
        at: i64,
    },
    Amended {
        target: String,
        grams: Option<u32>,
        label: String,
    },
    Ordered {
        id: String,
        weighing: String,
    },
    Cancelled {
        id: String,
    },
    Allocated {
        order: String,
        units: Vec<usize>,
    },
    Released {
        order: String,
        unit: usize,
    },
    Vital {
        is_dead: bool,
        at: i64,
    },
    Withdrawn {
        at: i64,
    },
    Consented {
        at: i64,
    },
    ConsentWithdrawn {
        at: i64,
    },
    Halted,
    Resumed,
    Held {
        label: String,
        of_lot: bool,
        unit: Option<usize>,
    },
    /// A flag of the ledger's own held the subject, and the lot if it was extended.
    Fallen {
        with_lot: bool,
    },
    Lifted {
        label: String,
    },
}

/// What the ledger should answer.
pub struct Expected {
    /// Its modelled codes, in alphabetical order.
    pub codes: Vec<&'static str>,
    /// Whether it refuses.
    pub is_refused: bool,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    history: Vec<Fact>,
    now: i64,
    count: usize,
    /// What the step that was judged last adds if it is accepted.
    pending: Option<Fact>,
}

impl Default for Model {
    fn default() -> Model {
        // Where the history before ends: a weighing at 08:30, an order at 08:40.
        let start = 43 * DAY + 8 * 60 * MINUTE;
        let history = vec![
            Fact::Consented { at: start },
            Fact::Weighed { label: "WEIGHED".to_owned(), grams: 70_000, at: start + 30 * MINUTE },
            Fact::Ordered { id: "ORDER".to_owned(), weighing: "WEIGHED".to_owned() },
        ];
        Model { history, now: start + 45 * MINUTE, count: 0, pending: None }
    }
}

/// A weighing as it counts now.
struct Weight<'a> {
    label: &'a str,
    grams: u32,
    at: i64,
}

impl Model {
    fn versions<'a>(&'a self, target: &'a str) -> impl Iterator<Item = (Option<u32>, &'a str)> {
        self.history.iter().filter_map(move |fact| match fact {
            Fact::Amended { target: named, grams, label } if named == target => Some((*grams, label.as_str())),
            _ => None,
        })
    }

    fn weights(&self) -> Vec<Weight<'_>> {
        let weighings = self.history.iter().filter_map(|fact| match fact {
            Fact::Weighed { label, grams, at } => Some((label, *grams, *at)),
            _ => None,
        });
        weighings
            .filter_map(|(label, grams, at)| {
                let grams = self.versions(label).last().map_or(Some(grams), |(grams, _)| grams)?;
                Some(Weight { label, grams, at })
            })
            .collect()
    }

    /// The latest by its own time; of two at once the one that was recorded later.
    fn latest_weight(&self) -> Option<Weight<'_>> {
        let mut latest: Option<Weight<'_>> = None;
        for weight in self.weights() {
            if latest.as_ref().is_none_or(|known| known.at <= weight.at) {
                latest = Some(weight);
            }
        }
        latest
    }

    fn orders(&self) -> Vec<(&str, &str)> {
        let ordered = self.history.iter().filter_map(|fact| match fact {
            Fact::Ordered { id, weighing } => Some((id.as_str(), weighing.as_str())),
            _ => None,
        });
        ordered.collect()
    }

    fn is_cancelled(&self, order: &str) -> bool {
        self.history.iter().any(|fact| matches!(fact, Fact::Cancelled { id } if id == order))
    }

    /// The order that a unit is assigned to.
    fn order_of(&self, unit: usize) -> Option<&str> {
        let mut order = None;
        for fact in &self.history {
            match fact {
                Fact::Allocated { order: to, units } if units.contains(&unit) => order = Some(to.as_str()),
                Fact::Released { order: from, unit: freed } if *freed == unit && order == Some(from) => order = None,
                _ => {}
            }
        }
        order
    }

    fn is_lifted(&self, hold: &str) -> bool {
        self.history.iter().any(|fact| matches!(fact, Fact::Lifted { label } if label == hold))
    }

    fn is_subject_held(&self) -> bool {
        self.history.iter().any(|fact| match fact {
            Fact::Held { label, of_lot: false, .. } => !self.is_lifted(label),
            Fact::Fallen { .. } => true,
            _ => false,
        })
    }

    fn is_unit_held(&self, wanted: usize) -> bool {
        self.history.iter().any(|fact| match fact {
            Fact::Held { label, of_lot: true, unit } => unit.is_none_or(|unit| unit == wanted) && !self.is_lifted(label),
            Fact::Fallen { with_lot } => *with_lot,
            _ => false,
        })
    }

    /// What stands in the way of any decision about the subject.
    fn standing(&self) -> Vec<&'static str> {
        let mut codes = Vec::new();
        let by_now = |at: i64| at <= self.now + AHEAD;
        if self.is_dead() {
            codes.push("SUBJECT_DEAD");
        }
        if self
            .history
            .iter()
            .find_map(|fact| if let Fact::Withdrawn { at } = fact { Some(*at) } else { None })
            .is_some_and(by_now)
        {
            codes.push("SUBJECT_WITHDRAWN");
        }
        // Some withdrawal by now that no consent was given after, in whatever order they were entered.
        let is_over = |withdrawn: i64| {
            self.history.iter().any(|fact| matches!(fact, Fact::Consented { at } if *at > withdrawn && by_now(*at)))
        };
        if self.history.iter().any(|fact| matches!(fact, Fact::ConsentWithdrawn { at } if by_now(*at) && !is_over(*at))) {
            codes.push("CONSENT_NOT_IN_FORCE");
        }
        if self.is_halted() {
            codes.push("TRIAL_HALTED");
        }
        if self.is_subject_held() {
            codes.push("SUBJECT_HELD");
        }
        codes
    }

    fn is_dead(&self) -> bool {
        let death = self.history.iter().find_map(|fact| match fact {
            Fact::Vital { is_dead: true, at } => Some(*at),
            _ => None,
        });
        death.is_some_and(|at| at <= self.now + AHEAD)
    }

    fn is_halted(&self) -> bool {
        let last = self.history.iter().rev().find(|fact| matches!(fact, Fact::Halted | Fact::Resumed));
        matches!(last, Some(Fact::Halted))
    }

    fn label(&mut self, prefix: &str) -> String {
        self.count += 1;
        format!("{prefix}{}", self.count)
    }

    /// A row that is dated so long ago, received and signed now.
    fn row(&self, label: Option<&str>, ago: i64, options: &str, rest: &str) -> String {
        let now = moment(self.now);
        let label = label.map(|label| format!("{label}: ")).unwrap_or_default();
        format!("{label}{} recorded={now} signed={now} {options}| {rest} | ?", moment(self.now - ago))
    }

    /// The row of a step with the answer that it should get; nothing if there is nothing to do it to.
    pub fn judge(&mut self, step: &Step) -> Option<(String, Expected)> {
        self.now += if let Step::Wait(ms) = step { *ms } else { 1_000 };
        self.pending = None;
        let (row, mut codes, is_decision) = match step {
            Step::Wait(_) => return None,
            Step::Weigh { grams, ago } => {
                let label = self.label("W");
                let what = format!("nina/RN@WARD | SubjectWeighed on subject:S1 | weight_grams={grams}");
                let row = self.row(Some(&label), *ago, "", &what);
                self.pending = Some(Fact::Weighed { label, grams: *grams, at: self.now - ago });
                (row, Vec::new(), false)
            }
            Step::Amend { which, grams } => self.amend(*which, *grams)?,
            Step::Order { used, target, latest, ago } => self.order(*used, *target, *latest, *ago)?,
            Step::Cancel { which } => self.cancel(*which),
            Step::Allocate { order, units, is_signed, has_seen, ago } => {
                self.allocate(*order, units, (*is_signed, *has_seen), *ago)
            }
            Step::Release { order, unit } => self.release(*order, *unit),
            Step::ThawOrder { order, units } => self.thaw_order(*order, units),
            Step::Vital { is_dead, ago } => self.vital(*is_dead, *ago),
            Step::Withdraw { from_treatment } => {
                let scope = if *from_treatment { "TREATMENT" } else { "FOLLOW_UP" };
                let row = self.row(None, 0, "", &format!("ines/INV@WARD | SubjectWithdrawn on subject:S1 | scope=[{scope}]"));
                self.pending = from_treatment.then_some(Fact::Withdrawn { at: self.now });
                (row, Vec::new(), false)
            }
            Step::Consent { ago } => {
                self.pending = Some(Fact::Consented { at: self.now - ago });
                (self.row(None, *ago, "", "ines/INV@WARD | SubjectConsented on subject:S1 | "), Vec::new(), false)
            }
            Step::ConsentWithdrawn { ago } => {
                self.pending = Some(Fact::ConsentWithdrawn { at: self.now - ago });
                (self.row(None, *ago, "", "ines/INV@WARD | ConsentWithdrawn on subject:S1 | "), Vec::new(), false)
            }
            Step::Halt => {
                // A second halt during a halt changes nothing that the model could tell apart.
                if self.is_halted() {
                    return None;
                }
                self.pending = Some(Fact::Halted);
                (self.row(None, 0, "", "ines/INV@WARD | TrialHalted on protocol:TRIAL | "), Vec::new(), false)
            }
            Step::Resume => {
                let codes = if self.is_halted() { Vec::new() } else { vec!["TRIAL_NOT_HALTED"] };
                self.pending = Some(Fact::Resumed);
                (self.row(None, 0, "", "quinn/QA@WARD ines/INV@WARD | TrialResumed on protocol:TRIAL | "), codes, true)
            }
            Step::Hold { lot, unit } => {
                let label = self.label("H");
                let (stream, who) = if *lot { ("lot:L1", "quinn/QA") } else { ("subject:S1", "quinn/QA@WARD") };
                let fields = unit.map(|unit| format!("unit_ids=[U{}]", unit + 1)).unwrap_or_default();
                let row = self.row(Some(&label), 0, "", &format!("{who} | HoldSet on {stream} | {fields}"));
                self.pending = Some(Fact::Held { label, of_lot: *lot, unit: *unit });
                (row, Vec::new(), false)
            }
            Step::Lift { which } => self.lift(*which)?,
        };
        codes.sort_unstable();
        codes.dedup();
        let is_refused = is_decision && !codes.is_empty();
        Some((row, Expected { codes, is_refused }))
    }

    fn amend(&mut self, which: usize, grams: Option<u32>) -> Option<(String, Vec<&'static str>, bool)> {
        let weighings: Vec<(String, u32)> = self
            .history
            .iter()
            .filter_map(|fact| match fact {
                Fact::Weighed { label, grams, .. } => Some((label.clone(), *grams)),
                _ => None,
            })
            .collect();
        let (target, recorded) = weighings.get(which % weighings.len())?.clone();
        let last = self.versions(&target).last().map(|(grams, label)| (grams, label.to_owned()));
        let mut codes = Vec::new();
        if matches!(last, Some((None, _))) {
            codes.push("AMENDMENT_NOT_OF_THE_LATEST");
        }
        // An amendment says something else than the latest version of the record.
        let says = last.as_ref().and_then(|(grams, _)| *grams).unwrap_or(recorded);
        if grams == Some(says) {
            codes.push("REPLACEMENT_WRONG");
        }
        let latest = last.map_or_else(|| target.clone(), |(_, label)| label);
        let label = self.label("A");
        let named = format!("target=@rec:{target}/@digest:{target} replaces_record_id=@rec:{latest}");
        let what = match grams {
            Some(grams) => {
                format!("RecordAmended on subject:S1 | {named} replacement=\"@amended:{target}/weight_grams={grams}\"")
            }
            None => format!("RecordVoided on subject:S1 | {named}"),
        };
        let row = self.row(Some(&label), 0, "", &format!("nina/RN@WARD quinn/QA@WARD | {what}"));
        self.pending = Some(Fact::Amended { target, grams, label });
        Some((row, codes, true))
    }

    fn order(&mut self, used: bool, target: usize, latest: bool, ago: i64) -> Option<(String, Vec<&'static str>, bool)> {
        let mut codes = self.standing();
        let all: Vec<String> = self
            .history
            .iter()
            .filter_map(|fact| match fact {
                Fact::Weighed { label, .. } => Some(label.clone()),
                _ => None,
            })
            .collect();
        let newest = self.latest_weight().map(|weight| (weight.label.to_owned(), weight.at));
        let weighing = if latest { newest.clone().map(|(label, _)| label)? } else { all.first()?.clone() };
        if newest.as_ref().is_none_or(|(label, _)| *label != weighing) {
            codes.push("WEIGHING_NOT_LATEST");
        }
        if newest.is_some_and(|(_, at)| self.now - at > DAY) {
            codes.push("WEIGHING_TOO_OLD");
        }
        let id = if used { "ORDER".to_owned() } else { self.label("O") };
        if used {
            codes.push("ORDER_ID_USED");
        }
        let cells = TARGETS[target];
        if !(1_000_000..=2_000_000).contains(&cells) {
            codes.push("TARGET_OUTSIDE_BAND");
        }
        if ago > 5 * MINUTE {
            codes.push("AUTHORISATION_BACKDATED");
        }
        let fields = format!("order_id={id} weighing_record_id=@rec:{weighing} target_viable_cells_per_kg={cells}");
        let row = self.row(None, ago, "", &format!("ines/INV@WARD | DoseOrdered on subject:S1 | {fields}"));
        self.pending = Some(Fact::Ordered { id, weighing });
        Some((row, codes, true))
    }

    /// What stands in the way of an order's weight.
    fn weight_of(&self, order: &str) -> Option<&'static str> {
        let cited = self.orders().into_iter().find(|(id, _)| *id == order).map(|(_, weighing)| weighing);
        let Some(ordered) = self.weights().into_iter().find(|weight| cited == Some(weight.label)).map(|weight| weight.grams)
        else {
            return Some("WEIGHING_MISSING");
        };
        let latest = self.latest_weight()?.grams;
        (u64::from(latest.abs_diff(ordered)) * 10 > u64::from(ordered)).then_some("WEIGHT_CHANGED")
    }

    fn nth_order(&self, which: usize) -> String {
        let orders = self.orders();
        orders[which % orders.len()].0.to_owned()
    }

    fn cancel(&mut self, which: usize) -> (String, Vec<&'static str>, bool) {
        let id = self.nth_order(which);
        let codes = if self.is_cancelled(&id) { vec!["ORDER_CANCELLED"] } else { Vec::new() };
        let row = self.row(None, 0, "", &format!("ines/INV@WARD | OrderCancelled on subject:S1 | order_id={id}"));
        self.pending = Some(Fact::Cancelled { id });
        (row, codes, true)
    }

    fn allocate(
        &mut self,
        which: usize,
        units: &[usize],
        (is_signed, has_seen): (bool, bool),
        ago: i64,
    ) -> (String, Vec<&'static str>, bool) {
        let order = self.nth_order(which);
        let mut codes = self.standing();
        if self.is_cancelled(&order) {
            codes.push("ORDER_CANCELLED");
        }
        codes.extend(self.weight_of(&order));
        for (place, unit) in units.iter().enumerate() {
            if units[..place].contains(unit) {
                codes.push("UNIT_REPEATED");
            }
            // All units of this model are the one subject's, and frozen: its death frees them.
            if self.order_of(*unit).is_some() && !self.is_dead() {
                codes.push("UNIT_ALREADY_ALLOCATED");
            }
            if self.is_unit_held(*unit) {
                codes.push("UNIT_HELD");
            }
        }
        if !is_signed {
            codes.push("SIGNATURE_MISSING");
        }
        if !has_seen {
            codes.push("HEAD_MOVED");
        }
        if ago > 60 * MINUTE {
            codes.push("AUTHORISATION_BACKDATED");
        }
        let second = if is_signed { "piotr/PHA@WARD" } else { "-" };
        let names: Vec<String> = units.iter().map(|unit| format!("U{}", unit + 1)).collect();
        let what = format!(
            "paula/PHA@WARD {second} | UnitsAllocated on subject:S1 lot:L1 | order_id={order} unit_ids=[{}]",
            names.join(",")
        );
        let row = self.row(None, ago, if has_seen { "" } else { "seen=stale " }, &what);
        self.pending = Some(Fact::Allocated { order, units: units.to_vec() });
        (row, codes, true)
    }

    fn release(&mut self, which: usize, unit: usize) -> (String, Vec<&'static str>, bool) {
        let order = self.nth_order(which);
        let codes = if self.order_of(unit) == Some(&order) { Vec::new() } else { vec!["UNIT_NOT_ALLOCATED"] };
        let what =
            format!("paula/PHA@WARD | AllocationReleased on subject:S1 lot:L1 | order_id={order} unit_ids=[U{}]", unit + 1);
        let row = self.row(None, 0, "", &what);
        self.pending = Some(Fact::Released { order, unit });
        (row, codes, true)
    }

    /// Whose units they are decides whether the subject is asked about: of a unit that is assigned to another order nothing else is said.
    fn thaw_order(&mut self, which: usize, units: &[usize]) -> (String, Vec<&'static str>, bool) {
        let order = self.nth_order(which);
        let mut codes = Vec::new();
        for (place, unit) in units.iter().enumerate() {
            if units[..place].contains(unit) {
                codes.push("UNIT_REPEATED");
            }
            if self.order_of(*unit) == Some(&order) {
                codes.extend(self.standing());
                codes.extend(self.weight_of(&order));
                if self.latest_weight().is_some_and(|latest| self.now - latest.at > DAY) {
                    codes.push("WEIGHING_TOO_OLD");
                }
                if self.is_cancelled(&order) {
                    codes.push("ORDER_CANCELLED");
                }
            } else {
                codes.push("UNIT_NOT_ALLOCATED");
            }
            if self.is_unit_held(*unit) {
                codes.push("UNIT_HELD");
            }
        }
        let names: Vec<String> = units.iter().map(|unit| format!("U{}", unit + 1)).collect();
        let what = format!("paula/PHA@WARD | ThawOrdered on lot:L1 | order_id={order} unit_ids=[{}]", names.join(","));
        (self.row(None, 0, "", &what), codes, true)
    }

    fn vital(&mut self, is_dead: bool, ago: i64) -> (String, Vec<&'static str>, bool) {
        let at = self.now - ago;
        let contradicts = self.history.iter().any(|fact| match fact {
            Fact::Vital { is_dead: true, at: died } if is_dead => *died != at,
            Fact::Vital { is_dead: true, at: died } => *died <= at,
            Fact::Vital { is_dead: false, at: lived } => is_dead && *lived > at,
            _ => false,
        });
        let status = if is_dead { "DEAD" } else { "ALIVE" };
        let row = self.row(None, ago, "", &format!("ines/INV@WARD | VitalStatusRecorded on subject:S1 | status={status}"));
        self.pending = Some(Fact::Vital { is_dead, at });
        (row, if contradicts { vec!["VITAL_STATUS_CONTRADICTS"] } else { Vec::new() }, false)
    }

    fn lift(&mut self, which: usize) -> Option<(String, Vec<&'static str>, bool)> {
        let holds: Vec<(String, bool)> = self
            .history
            .iter()
            .filter_map(|fact| match fact {
                Fact::Held { label, of_lot, .. } => Some((label.clone(), *of_lot)),
                _ => None,
            })
            .collect();
        let (label, of_lot) = holds.get(which % holds.len().max(1))?.clone();
        let codes = if self.is_lifted(&label) { vec!["HOLD_ALREADY_LIFTED"] } else { Vec::new() };
        let (stream, who) = if of_lot { ("lot:L1", "quinn/QA petra/QP") } else { ("subject:S1", "quinn/QA@WARD paula/PHA@WARD") };
        let fields = format!("hold_id=@hold:{label}/HOLD_SET resolution_record_id=@rec:TRIAL");
        let row = self.row(None, 0, "", &format!("{who} | HoldLifted on {stream} citing TRIAL | {fields}"));
        self.pending = Some(Fact::Lifted { label });
        Some((row, codes, true))
    }

    /// The ledger's answer to the step that was judged last.
    pub fn happened(&mut self, step: &Step, is_accepted: bool, has_fallen: bool) {
        if !is_accepted {
            return;
        }
        self.history.extend(self.pending.take());
        if has_fallen {
            self.history.push(Fact::Fallen { with_lot: matches!(step, Step::Hold { lot: true, .. }) });
        }
    }
}
