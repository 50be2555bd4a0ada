//! What each step should be told: the rules about units, as the domain, `docs/rules` and decision 0006 put them. Where ledger and contract
//! are known to disagree the step is left out, and a comment says so.

use std::collections::BTreeSet;

use super::steps::{Step, Who, Wrong};
use super::units::{Custody, Entry, Fact, History, State, UNITS, list, name};

/// Lowest viability after thawing, basis points.
const VIABLE: u64 = 7_000;
const FACILITIES: [&str; 3] = ["LAB", "WARD", "BANK"];
/// The racks that the facilities have.
const RACKS: [&str; 3] = ["R1", "W1", "B1"];
const ORDERS: [&str; 2] = ["ORDER", "O2"];

fn cryobank(facility: &str) -> &'static str {
    match facility {
        "LAB" => "cora/CRY@LAB",
        "WARD" => "cleo/CRY@WARD",
        _ => "basil/CRY@BANK",
    }
}

/// Operator and verifying operator.
fn operators(facility: &str) -> (&'static str, &'static str) {
    match facility {
        "LAB" => ("olga/OP@LAB", "pavel/VF@LAB"),
        "WARD" => ("hugo/OP@WARD", "hanna/VF@WARD"),
        _ => ("bert/OP@BANK", "bea/VF@BANK"),
    }
}

fn courier(facility: &str) -> &'static str {
    match facility {
        "LAB" => "curt/CUR@LAB",
        "WARD" => "curt/CUR@WARD",
        _ => "carl/CUR@BANK",
    }
}

pub type Codes = BTreeSet<&'static str>;

/// A row with the codes that it should be given.
pub struct Judged {
    pub what: String,
    pub codes: Codes,
    pub is_decision: bool,
    pub is_owed: bool,
    pub fact: Fact,
}

fn fact(what: String, codes: Codes, fact: Fact) -> Judged {
    Judged { what, codes, is_decision: false, is_owed: false, fact }
}

fn decision(what: String, codes: Codes, fact: Fact) -> Judged {
    Judged { what, codes, is_decision: true, is_owed: false, fact }
}

/// A fact that two people sign, unless the second does not.
fn signed(first: &str, second: &str, is_signed: bool, what: &str, mut codes: Codes, done: Fact) -> Judged {
    codes.extend((!is_signed).then_some("VERIFIER_MISSING"));
    let second = if is_signed { second } else { "-" };
    Judged { what: format!("{first} {second} | {what}"), codes, is_decision: false, is_owed: !is_signed, fact: done }
}

/// The model.
#[derive(Default)]
pub struct Model {
    pub history: History,
    /// Rows that were tried: new ids are made of their number.
    pub rows: usize,
}

impl Model {
    fn who(&self, by: Who, units: &[usize]) -> &'static str {
        let holder = || units.first().filter(|unit| **unit < UNITS).and_then(|unit| self.history.custody(*unit).holder());
        // Nobody registered NOWHERE, so nobody acts there.
        match by {
            Who::Holder => holder().unwrap_or("WARD"),
            Who::Facility(number) => FACILITIES[number],
        }
    }

    fn holder(&self, unit: usize) -> Option<&'static str> {
        self.history.custody(unit).holder()
    }

    /// Units that some lot has, in the order in which they are named.
    fn known(units: &[usize]) -> impl Iterator<Item = usize> {
        units.iter().copied().filter(|unit| *unit < UNITS)
    }

    /// The codes of what each unit is asked about, with that of a unit that no lot has.
    fn each(units: &[usize], unknown: &'static str, of: impl Fn(usize, &mut Codes)) -> Codes {
        let mut codes: Codes = units.iter().any(|unit| *unit >= UNITS).then_some(unknown).into_iter().collect();
        for unit in Self::known(units) {
            of(unit, &mut codes);
        }
        codes
    }

    /// What was destroyed takes part in nothing: that alone is said of it.
    fn each_existing(&self, units: &[usize], of: impl Fn(usize, &mut Codes)) -> Codes {
        Self::each(units, "UNIT_UNKNOWN", |unit, codes| {
            if self.history.is_destroyed(unit) {
                codes.insert("UNIT_DESTROYED");
            } else {
                of(unit, codes);
            }
        })
    }

    /// What stands in the way of giving a unit to somebody.
    fn fit_for_use(&self, unit: usize, codes: &mut Codes) {
        let h = &self.history;
        codes.extend(h.is_held(unit).then_some("UNIT_HELD"));
        codes.extend(h.is_owed(unit).then_some("UNIT_SIGNATURE_OWED"));
        codes.extend(self.holder(unit).is_none().then_some("UNIT_CUSTODY_OPEN"));
        codes.extend((h.is_lost(unit) || h.is_damaged(unit)).then_some("UNIT_CONTAINER_UNSOUND"));
        // A unit has one state: of what was sampled, returned and destroyed the last is said.
        codes.extend(match h.state(unit) {
            State::Destroyed => Some("UNIT_DESTROYED"),
            State::Returned => Some("UNIT_FOR_DESTRUCTION"),
            State::Sampled => Some("UNIT_USED_FOR_TESTING"),
            _ => None,
        });
    }

    /// What should come of a step; nothing if there is nothing to do it to, or the ledger and its contract are known to disagree.
    pub fn judge(&self, step: &Step) -> Option<Judged> {
        match step {
            Step::Move { by, places } => self.moves(*by, places),
            Step::HandOver { by, to, units, is_new } => self.hand_over(*by, *to, units, *is_new),
            Step::TakeOver { which, wrong } => self.take_over(*which, *wrong),
            Step::Refuse { which, wrong, seal } => Some(self.refuse(*which, *wrong, *seal)),
            Step::Container { by, kind, units } => Some(self.container(*by, kind, units)),
            Step::Return { to, is_for_storage, units, is_signed } => {
                Some(self.returns(FACILITIES[*to], *is_for_storage, units, *is_signed))
            }
            Step::Destroy { by, units, is_signed } => self.destroy(*by, units, *is_signed),
            Step::Sample { by, unit, is_new } => Some(self.sample(FACILITIES[*by], *unit, *is_new)),
            Step::Excursion { units, millicelsius, seconds } => self.excursion(units, *millicelsius, *seconds),
            Step::Lift { which, is_open } => self.lift(*which, *is_open),
            Step::Sign { which } => self.sign(*which),
            Step::Allocate { order, units } => Some(self.allocate(ORDERS[*order], units)),
            Step::Release { order, units } => self.release(ORDERS[*order], units),
            Step::OrderThaw { order, at, units } => match order {
                Some(order) => Some(self.order_thaw(ORDERS[*order], units)),
                None => self.order_test_thaw(FACILITIES[*at], units),
            },
            Step::Thaw { by, units, viability, is_signed } => self.thaw(*by, units, *viability, *is_signed),
        }
    }

    /// A destroyed unit that is put somewhere is flagged as a used one.
    fn moves(&self, by: Who, wanted: &[(usize, bool, usize)]) -> Option<Judged> {
        let units: Vec<usize> = wanted.iter().map(|(unit, ..)| *unit).collect();
        let by = self.who(by, &units);
        let rack = FACILITIES.iter().position(|facility| *facility == by).map(|number| RACKS[number])?;
        let placed = wanted.iter().map(|(_, is_rack_known, position)| {
            let rack = if *is_rack_known { rack } else { "X1" };
            format!("{by}/{rack}/P{position}")
        });
        let placed: Vec<String> = placed.collect();
        let mut codes = Self::each(&units, "UNIT_UNKNOWN", |unit, codes| {
            codes.extend((self.holder(unit) != Some(by)).then_some("MOVED_OUTSIDE_CUSTODY"));
            codes.extend((!self.history.state(unit).is_frozen()).then_some("THAWED_UNIT_STORED"));
        });
        codes.extend(wanted.iter().any(|(_, is_rack_known, _)| !is_rack_known).then_some("RACK_UNKNOWN"));
        for place in &placed {
            let together: Vec<usize> =
                units.iter().zip(&placed).filter(|(_, there)| *there == place).map(|(unit, _)| *unit).collect();
            let occupants = self.history.occupants(place);
            let is_taken = together.len() > 1 || occupants.iter().any(|occupant| !units.contains(occupant));
            // Left out: the ledger looks for the unit that was put there last, and misses one that is still there from before; and it does
            // not ask about the place of a unit that no lot has.
            if occupants.len() > 1 || occupants.iter().any(|occupant| self.history.last_put(place) != Some(*occupant)) {
                return None;
            }
            if is_taken && together.contains(&UNITS) {
                return None;
            }
            codes.extend(is_taken.then_some("LOCATION_TAKEN"));
        }
        let places: Vec<String> = units.iter().zip(&placed).map(|(unit, place)| format!("{}/{place}", name(*unit))).collect();
        let what = format!("{} | UnitsMoved on lot:L1 | places=[{}]", cryobank(by), places.join(","));
        Some(fact(what, codes, Fact::Moved { units, places: placed }))
    }

    /// A destroyed unit that is handed over is flagged as a used one. Left out: the id of a transfer that is over, which the ledger does not
    /// remember.
    fn hand_over(&self, by: Who, to: usize, units: &[usize], is_new: bool) -> Option<Judged> {
        let by = self.who(by, units);
        let to = FACILITIES.get(to).copied().unwrap_or("NOWHERE");
        if by == to {
            return None;
        }
        let transfer = match self.history.passages().first() {
            Some(((transfer, ..), _)) if !is_new => transfer.clone(),
            _ if !is_new => return None,
            _ => format!("T{}", self.rows),
        };
        let seal = format!("SEAL-{}", self.rows);
        let mut codes = Self::each(units, "UNIT_UNKNOWN", |unit, codes| {
            codes.extend((self.holder(unit) != Some(by)).then_some("RELINQUISHED_WITHOUT_CUSTODY"));
            codes.extend((!self.history.state(unit).is_frozen()).then_some("TRANSFER_OF_USED_UNIT"));
        });
        codes.extend((to == "NOWHERE").then_some("RECEIVER_UNKNOWN"));
        codes.extend((!is_new).then_some("TRANSFER_ID_REUSED"));
        let what = format!(
            "{} | CustodyRelinquished on lot:L1 | unit_ids=[{}] transfer_id={transfer} to_facility_id={to} seal={seal}",
            cryobank(by),
            list(units)
        );
        Some(fact(what, codes, Fact::HandedOver { by, to, transfer, seal, units: units.to_vec() }))
    }

    /// What is to be taken over, with something wrong about it. Nothing under way is as wrong as another transfer.
    fn passage(&self, which: usize, wrong: Wrong) -> (String, &'static str, String, Vec<usize>) {
        let passages = self.history.passages();
        let chosen = passages.get(which % passages.len().max(1)).cloned();
        let ((mut transfer, mut by, mut seal), mut units) =
            chosen.unwrap_or_else(|| (("T0".to_owned(), FACILITIES[which % 3], "SEAL-0".to_owned()), vec![which]));
        match wrong {
            Wrong::Seal => seal = "OTHER".to_owned(),
            Wrong::OneLess if units.len() > 1 => drop(units.pop()),
            Wrong::OneMore => units.extend((0..UNITS).find(|unit| !units.contains(unit))),
            Wrong::Transfer => transfer = "T0".to_owned(),
            Wrong::Receiver => by = if by == "LAB" { "BANK" } else { "LAB" },
            _ => {}
        }
        (transfer, if by == "NOWHERE" { "LAB" } else { by }, seal, units)
    }

    /// What was destroyed is expected by nobody. Left out: units that no lot has, of which the ledger says only that they were not sent.
    fn take_over(&self, which: usize, wrong: Wrong) -> Option<Judged> {
        let (transfer, by, seal, units) = self.passage(which, wrong);
        // Nothing is under way, and QA has enough to do.
        if self.history.passages().is_empty() && wrong != Wrong::Transfer {
            return None;
        }
        let sent = |unit: usize| {
            let custody = self.history.custody(unit);
            let (with, whom, sealed) = custody.awaited()?;
            (with == transfer && whom == by).then(|| (unit, sealed.to_owned(), matches!(custody, Custody::Disputed { .. })))
        };
        let mut sent: Vec<(usize, String, bool)> =
            (0..UNITS).filter(|unit| !self.history.is_destroyed(*unit)).filter_map(sent).collect();
        // What was refused at different times goes back under seals of its own, in a record of its own.
        if sent.iter().any(|(_, sealed, _)| *sealed == seal) {
            sent.retain(|(_, sealed, is_back)| *sealed == seal || !is_back);
        }
        let is_whole = wrong != Wrong::Broken;
        let mut codes = Codes::new();
        if sent.is_empty() {
            codes.insert("ACCEPTED_WITHOUT_TRANSFER");
        } else {
            let is_its_seal = sent.iter().all(|(_, sealed, _)| *sealed == seal);
            codes.extend((!is_its_seal || !is_whole).then_some("SEAL_DIFFERS"));
            let expected: BTreeSet<usize> = sent.iter().map(|(unit, ..)| *unit).collect();
            codes.extend((expected != units.iter().copied().collect()).then_some("COUNT_DIFFERS"));
        }
        let what = format!(
            "{} | CustodyAccepted on lot:L1 | unit_ids=[{}] transfer_id={transfer} seal={seal} seal_intact={}",
            cryobank(by),
            list(&units),
            if is_whole { "yes" } else { "no" }
        );
        Some(fact(what, codes, Fact::TakenOver { by, transfer, seal, is_whole, units }))
    }

    fn refuse(&self, which: usize, wrong: Wrong, seal: usize) -> Judged {
        let (transfer, by, _, mut units) = self.passage(which, wrong);
        units.extend((wrong == Wrong::Broken).then_some(UNITS));
        let codes = Self::each(&units, "UNIT_UNKNOWN", |unit, codes| {
            let is_sent_here = match self.history.custody(unit) {
                Custody::InTransit { transfer: with, to, .. } => with == transfer && to == by,
                _ => false,
            };
            codes.insert(if is_sent_here { "CUSTODY_REFUSED" } else { "REFUSED_WITHOUT_TRANSFER" });
        });
        let seal = format!("BACK-{seal}");
        let what = format!(
            "{} | CustodyRefused on lot:L1 | unit_ids=[{}] transfer_id={transfer} seal={seal}",
            cryobank(by),
            list(&units)
        );
        fact(what, codes, Fact::Refused { by, transfer, seal, units })
    }

    fn container(&self, by: usize, kind: &'static str, units: &[usize]) -> Judged {
        let codes = self.each_existing(units, |unit, codes| match kind {
            "LOST" => drop(codes.insert("UNIT_LOST")),
            "FOUND" => {
                codes.extend((!self.history.is_lost(unit)).then_some("FOUND_UNIT_NOT_LOST"));
                codes.insert("UNIT_FOUND_AGAIN");
            }
            _ => drop(codes.insert("CONTAINER_NOT_WHOLE")),
        });
        let by = ["cora/CRY", "nina/RN@WARD", "carl/CUR@BANK"][by];
        let what = format!("{by} | ContainerEvent on lot:L1 | unit_ids=[{}] kind={kind}", list(units));
        fact(what, codes, Fact::Happened { kind, units: units.to_vec() })
    }

    /// The ward alone has pharmacists. A courier who did not sign yet is one of the ward.
    fn returns(&self, to: &'static str, is_for_storage: bool, units: &[usize], is_signed: bool) -> Judged {
        let to = if is_signed { to } else { "WARD" };
        let codes = self.each_existing(units, |unit, codes| {
            codes.extend((self.holder(unit) != Some("WARD")).then_some("RETURNED_OUTSIDE_CUSTODY"));
            let is_frozen = self.history.state(unit).is_frozen();
            codes.extend(is_for_storage.then_some(if is_frozen { "RETURNED_UNIT_NOT_RELEASED" } else { "RETURNED_UNIT_THAWED" }));
        });
        let purpose = if is_for_storage { "STORAGE" } else { "DESTRUCTION" };
        let what = format!("UnitsReturned on lot:L1 | unit_ids=[{}] purpose={purpose}", list(units));
        let done = Fact::Returned { from: "WARD", to, is_for_storage, units: units.to_vec() };
        signed("paula/PHA@WARD", courier(to), is_signed, &what, codes, done)
    }

    /// Left out: what came back for destruction frozen and assigned, which the ledger forgets to tell the order of.
    fn destroy(&self, by: Who, units: &[usize], is_signed: bool) -> Option<Judged> {
        if Self::known(units).any(|unit| self.is_given_up_frozen(unit)) {
            return None;
        }
        let by = self.who(by, units);
        let codes = self.each_existing(units, |unit, codes| {
            codes.extend((self.holder(unit) != Some(by)).then_some("DESTROYED_OUTSIDE_CUSTODY"));
            codes.extend((self.history.state(unit) == State::Allocated).then_some("DESTROYED_UNIT_ALLOCATED"));
        });
        let what = format!("UnitsDestroyed on lot:L1 | unit_ids=[{}]", list(units));
        let (first, second) = operators(by);
        Some(signed(first, second, is_signed, &what, codes, Fact::Destroyed { by, units: units.to_vec() }))
    }

    /// Assigned, never thawed, and back for destruction.
    fn is_given_up_frozen(&self, unit: usize) -> bool {
        let h = &self.history;
        h.state(unit) == State::Returned && h.order_of(unit).is_some() && !h.is_thawed(unit)
    }

    fn sample(&self, by: &str, unit: usize, is_new: bool) -> Judged {
        let sample = if is_new { format!("S{}", self.rows) } else { "SAMPLE".to_owned() };
        let mut codes = Self::each(&[unit], "SAMPLE_SOURCE_UNKNOWN", |unit, codes| {
            codes.extend((self.history.state(unit) != State::Stored).then_some("SAMPLED_UNIT_NOT_FREE"));
        });
        // One with this id was taken before any of these histories.
        codes.extend((!is_new).then_some("CULTURE_ID_REUSED"));
        let what = format!(
            "{} | SampleTaken on lot:L1 | sample_id={sample} sample_code=C-{} source=UNIT source_id={}",
            operators(by).0,
            self.rows,
            name(unit)
        );
        fact(what, codes, Fact::Sampled { unit })
    }

    /// Warmer than -150 degrees, and for longer than ten minutes. Left out: what was destroyed, of which the ledger says nothing.
    fn excursion(&self, units: &[usize], millicelsius: i64, seconds: u64) -> Option<Judged> {
        if units.iter().any(|unit| self.history.is_destroyed(*unit)) {
            return None;
        }
        let is_flagged = millicelsius > -150_000 && seconds > 600;
        let codes = is_flagged.then_some("TEMPERATURE_ABOVE_LIMIT").into_iter().collect();
        let what = format!(
            "cora/CRY | TemperatureExcursion on equipment:FRZ lot:L1 | unit_ids=[{}] peak_millicelsius={millicelsius} \
             seconds_above_limit={seconds}",
            list(units)
        );
        Some(fact(what, codes, Fact::Warm(units.to_vec())))
    }

    /// Left out: the end of a disputed take-over of a unit that was destroyed meanwhile, of which the ledger changes the custody.
    fn lift(&self, which: usize, is_open: bool) -> Option<Judged> {
        let holds: Vec<_> = self.history.holds().into_iter().filter(|(.., is_lifted)| *is_lifted != is_open).collect();
        let (of, code, is_lifted) = *holds.get(which % holds.len().max(1))?;
        let is_settled_late = |unit: usize| {
            let is_of_it = matches!(self.history.custody(unit), Custody::Disputed { entry, back: None, .. } if entry == of);
            is_of_it && self.history.is_destroyed(unit)
        };
        if matches!(self.history.0[of].fact, Fact::TakenOver { .. }) && (0..UNITS).any(is_settled_late) {
            return None;
        }
        let label = &self.history.0[of].label;
        let what = format!(
            "quinn/QA petra/QP | HoldLifted on lot:L1 citing {label} | hold_id=@hold:{label}/{code} resolution_record_id=@rec:{label}"
        );
        let codes = is_lifted.then_some("HOLD_ALREADY_LIFTED").into_iter().collect();
        Some(decision(what, codes, Fact::Lifted { of, code }))
    }

    fn sign(&self, which: usize) -> Option<Judged> {
        let owing = self.history.owing();
        let of = *owing.get(which % owing.len().max(1))?;
        let Entry { label, fact: owed, .. } = &self.history.0[of];
        let by = match owed {
            Fact::Returned { to, .. } => format!("{}:ACCEPTED", courier(to)),
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

    /// What is assigned already is said to be so, and not also that it is not in the store.
    fn allocate(&self, order: &'static str, units: &[usize]) -> Judged {
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            self.fit_for_use(unit, codes);
            if self.history.order_of(unit).is_some() {
                codes.insert("UNIT_ALREADY_ALLOCATED");
            } else if self.history.state(unit) != State::Stored {
                codes.insert("UNIT_NOT_STORED");
            }
        });
        codes.extend(Self::repeated(units));
        let what = format!(
            "paula/PHA@WARD piotr/PHA@WARD | UnitsAllocated on subject:S1 lot:L1 | order_id={order} unit_ids=[{}]",
            list(units)
        );
        decision(what, codes, Fact::Allocated { order, units: units.to_vec() })
    }

    /// Left out: assigned units that were never thawed and cannot go back into the store either (sampled, returned for destruction,
    /// destroyed). The ledger accepts their release, and they stay assigned.
    fn release(&self, order: &'static str, units: &[usize]) -> Option<Judged> {
        let h = &self.history;
        let is_stuck = |unit: usize| h.order_of(unit) == Some(order) && !h.state(unit).is_frozen() && !h.is_thawed(unit);
        if Self::known(units).any(is_stuck) {
            return None;
        }
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            codes.extend((h.order_of(unit) != Some(order)).then_some("UNIT_NOT_ALLOCATED"));
            codes.extend(h.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
        });
        codes.extend(Self::repeated(units));
        let what =
            format!("paula/PHA@WARD | AllocationReleased on subject:S1 lot:L1 | order_id={order} unit_ids=[{}]", list(units));
        Some(decision(what, codes, Fact::Released(units.to_vec())))
    }

    /// For a patient, by the ward's pharmacist.
    fn order_thaw(&self, order: &'static str, units: &[usize]) -> Judged {
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            self.fit_for_use(unit, codes);
            codes.extend((self.holder(unit) != Some("WARD")).then_some("UNIT_NOT_IN_CUSTODY"));
            codes.extend((self.history.order_of(unit) != Some(order)).then_some("UNIT_NOT_ALLOCATED"));
            codes.extend(self.history.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
        });
        codes.extend(Self::repeated(units));
        let what = format!("paula/PHA@WARD | ThawOrdered on lot:L1 | order_id={order} unit_ids=[{}]", list(units));
        decision(what, codes, Fact::ThawOrdered(units.to_vec()))
    }

    /// For quality control, which may test what nobody is given: held, broken, lost, sampled. Left out: what came back for destruction, which
    /// decision 0006 says is good for nothing else, and the ledger lets be tested.
    fn order_test_thaw(&self, at: &str, units: &[usize]) -> Option<Judged> {
        let h = &self.history;
        if Self::known(units).any(|unit| h.state(unit) == State::Returned) {
            return None;
        }
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            codes.extend(h.is_destroyed(unit).then_some("UNIT_DESTROYED"));
            codes.extend((self.holder(unit) != Some(at)).then_some("UNIT_NOT_IN_CUSTODY"));
            codes.extend(h.order_of(unit).is_some().then_some("UNIT_ALREADY_ALLOCATED"));
            codes.extend(h.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
        });
        codes.extend(Self::repeated(units));
        let what =
            format!("quinn/QA@{at} | ThawOrdered on lot:L1 | unit_ids=[{}] purpose=QUALITY_CONTROL order_id=none", list(units));
        Some(decision(what, codes, Fact::ThawOrdered(units.to_vec())))
    }

    /// Left out for the same reason: the thaw of what came back for destruction.
    fn thaw(&self, by: Who, units: &[usize], viability: u64, is_signed: bool) -> Option<Judged> {
        let h = &self.history;
        if Self::known(units).any(|unit| h.state(unit) == State::Returned) {
            return None;
        }
        let mut codes = Self::each(units, "UNIT_OF_NO_LOT", |unit, codes| {
            codes.extend(h.is_destroyed(unit).then_some("UNIT_DESTROYED"));
            codes.extend(h.is_thawed(unit).then_some("UNIT_ALREADY_THAWED"));
            codes.extend((!h.is_thaw_ordered(unit)).then_some("THAW_NOT_ORDERED"));
            codes.extend((viability < VIABLE).then_some("THAW_VIABILITY_LOW"));
        });
        codes.extend(Self::repeated(units));
        let by = self.who(by, units);
        let thawed: Vec<String> = units.iter().map(|unit| format!("{}/48M/{viability}", name(*unit))).collect();
        let what = format!("UnitsThawed on lot:L1 | units=[{}]", thawed.join(","));
        let (first, second) = operators(by);
        Some(signed(first, second, is_signed, &what, codes, Fact::Thawed { by, units: units.to_vec() }))
    }
}
