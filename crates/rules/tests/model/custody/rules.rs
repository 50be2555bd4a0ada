//! What each step should be told: the rules about units, as the domain, `docs/rules` and decision 0006 put them. Where ledger and contract
//! are known to disagree the step is left out, and a comment says so.

use std::collections::BTreeSet;

use super::steps::{Placed, Step, Who, Wrong};
use super::units::{Custody, Fact, History, MINUTE, START, State, UNITS, Warm, list, name};

pub const FACILITIES: [&str; 3] = ["LAB", "WARD", "BANK"];
/// The racks that the facilities have, two of which are named alike.
const RACKS: [&str; 3] = ["R1", "W1", "W1"];
const DEVICES: [&str; 2] = ["FRZ", "FRZ2"];
/// The storage limit: how warm, and for how long if warmer.
const COLD_MILLICELSIUS: i64 = -150_000;
const WARM_SECONDS: u64 = 600;

fn cryobank(facility: &str) -> &'static str {
    match facility {
        "LAB" => "cora/CRY@LAB",
        "WARD" => "cleo/CRY@WARD",
        _ => "basil/CRY@BANK",
    }
}

/// Operator and verifying operator.
pub fn operators(facility: &str) -> (&'static str, &'static str) {
    match facility {
        "LAB" => ("olga/OP@LAB", "pavel/VF@LAB"),
        "WARD" => ("hugo/OP@WARD", "hanna/VF@WARD"),
        _ => ("bert/OP@BANK", "bea/VF@BANK"),
    }
}

pub fn courier(facility: &str) -> &'static str {
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
    /// When it happened, if that is not now.
    pub at: Option<i64>,
    pub codes: Codes,
    pub is_decision: bool,
    pub is_owed: bool,
    pub fact: Fact,
}

pub fn fact(what: String, codes: Codes, fact: Fact) -> Judged {
    Judged { what, at: None, codes, is_decision: false, is_owed: false, fact }
}

pub fn decision(what: String, codes: Codes, fact: Fact) -> Judged {
    Judged { what, at: None, codes, is_decision: true, is_owed: false, fact }
}

/// A fact that two people sign, unless the second does not.
pub fn signed(first: &str, second: &str, is_signed: bool, what: &str, mut codes: Codes, done: Fact) -> Judged {
    codes.extend((!is_signed).then_some("VERIFIER_MISSING"));
    let second = if is_signed { second } else { "-" };
    Judged { what: format!("{first} {second} | {what}"), at: None, codes, is_decision: false, is_owed: !is_signed, fact: done }
}

/// The model.
pub struct Model {
    pub history: History,
    pub now: i64,
    /// Rows that were tried: new ids are made of their number.
    pub rows: usize,
}

impl Default for Model {
    fn default() -> Model {
        Model { history: History::default(), now: START, rows: 0 }
    }
}

impl Model {
    pub fn who(&self, by: Who, units: &[usize]) -> &'static str {
        let holder = || units.first().filter(|unit| **unit < UNITS).and_then(|unit| self.history.custody(*unit).holder());
        // Nobody registered NOWHERE, so nobody acts there.
        match by {
            Who::Holder => holder().unwrap_or("WARD"),
            Who::Facility(number) => FACILITIES[number],
        }
    }

    pub fn holder(&self, unit: usize) -> Option<&'static str> {
        self.history.custody(unit).holder()
    }

    /// Units that some lot has, in the order in which they are named.
    pub fn known(units: &[usize]) -> impl Iterator<Item = usize> {
        units.iter().copied().filter(|unit| *unit < UNITS)
    }

    /// The codes of what each unit is asked about, with that of a unit that no lot has.
    pub fn each(units: &[usize], unknown: &'static str, of: impl Fn(usize, &mut Codes)) -> Codes {
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

    /// What should come of a step; nothing if there is nothing to do it to, or the ledger and its contract are known to disagree.
    pub fn judge(&mut self, step: &Step) -> Option<Judged> {
        self.rows += 1;
        self.now += if let Step::Wait(ms) = step { *ms } else { 5 * MINUTE };
        match step {
            Step::Wait(_) => None,
            Step::Move { by, places, ago } => self.moves(*by, places, self.now - ago),
            Step::HandOver { by, to, units, used } => self.hand_over(*by, *to, units, *used),
            Step::TakeOver { which, wrong } => self.take_over(*which, *wrong),
            Step::Refuse { which, wrong, seal } => Some(self.refuse(*which, *wrong, *seal)),
            Step::Container { by, kind, units } => Some(self.container(*by, kind, units)),
            Step::Return { to, is_for_storage, units, is_signed } => {
                Some(self.returns(FACILITIES[*to], *is_for_storage, units, *is_signed))
            }
            Step::Destroy { by, units, is_signed } => Some(self.destroy(*by, units, *is_signed)),
            Step::Sample { by, unit, is_new, is_new_code } => Some(self.sample(FACILITIES[*by], *unit, *is_new, *is_new_code)),
            Step::Excursion { device, is_on_lot, units, ago, millicelsius, seconds } => {
                self.excursion(DEVICES[*device], *is_on_lot, units, *ago, (*millicelsius, *seconds))
            }
            Step::OrderThaw { order: None, at, units } => Some(self.order_test_thaw(FACILITIES[*at], units)),
            Step::Thaw { by, units, counts, is_again, is_signed } => self.thaw(*by, units, *counts, *is_again, *is_signed),
            _ => self.decide(step),
        }
    }

    /// A destroyed unit that is put somewhere is flagged as a used one. A move is judged at its own time, and takes no place if the unit has
    /// left since. What falls by a move that is entered after a decision, or is dated before these histories, is left out.
    fn moves(&self, by: Who, wanted: &[Placed], at: i64) -> Option<Judged> {
        if at < self.now && (at < START || self.history.is_decided_after(at)) {
            return None;
        }
        let units: Vec<usize> = wanted.iter().map(|placed| placed.unit).collect();
        let by = self.who(by, &units);
        let own = FACILITIES.iter().position(|facility| *facility == by)?;
        let facilities: Vec<usize> = wanted.iter().map(|placed| placed.at.unwrap_or(own)).collect();
        let placed = wanted.iter().zip(&facilities).map(|(placed, at)| {
            let rack = if placed.is_rack_known { RACKS[*at] } else { "X1" };
            format!("{}/{rack}/P{}", FACILITIES[*at], placed.position)
        });
        let placed: Vec<String> = placed.collect();
        let devices: Vec<Option<&'static str>> =
            wanted.iter().map(|placed| placed.device.map(|device| DEVICES[device])).collect();
        let mut codes = Self::each(&units, "UNIT_UNKNOWN", |unit, codes| {
            codes.extend((!self.history.is_frozen_at(unit, at)).then_some("THAWED_UNIT_STORED"));
        });
        // Who holds a unit moves it, among the own places.
        let is_own = |(unit, place): (&usize, &usize)| self.history.holder_at(*unit, at) == Some(by) && FACILITIES[*place] == by;
        let mut known = units.iter().zip(&facilities).filter(|(unit, _)| **unit < UNITS);
        codes.extend((!known.all(is_own)).then_some("MOVED_OUTSIDE_CUSTODY"));
        codes.extend(wanted.iter().any(|placed| !placed.is_rack_known).then_some("RACK_UNKNOWN"));
        for place in &placed {
            let all = || units.iter().zip(&placed).filter(|(_, there)| *there == place).map(|(unit, _)| *unit);
            let together: Vec<usize> = all().filter(|unit| !self.history.is_moved_after(*unit, at)).collect();
            let is_occupied = self.history.occupants(place).iter().any(|occupant| !units.contains(occupant));
            let is_taken = together.len() > 1 || (is_occupied && !together.is_empty());
            // Left out: the ledger does not ask about the place of a unit that no lot has.
            if is_taken && together.contains(&UNITS) {
                return None;
            }
            codes.extend(is_taken.then_some("LOCATION_TAKEN"));
        }
        let names = units.iter().zip(&placed).zip(&devices).map(|((unit, place), device)| {
            let device = device.map(|device| format!("/{device}")).unwrap_or_default();
            format!("{}/{place}{device}", name(*unit))
        });
        let names: Vec<String> = names.collect();
        let what = format!("{} | UnitsMoved on lot:L1 | places=[{}]", cryobank(by), names.join(","));
        let moved = fact(what, codes, Fact::Moved { units, places: placed, devices });
        Some(Judged { at: (at < self.now).then_some(at), ..moved })
    }

    /// A destroyed unit that is handed over is flagged as a used one. The id may be one of an earlier transfer.
    fn hand_over(&self, by: Who, to: usize, units: &[usize], used: Option<usize>) -> Option<Judged> {
        let by = self.who(by, units);
        let to = FACILITIES.get(to).copied().unwrap_or("NOWHERE");
        if by == to {
            return None;
        }
        let transfers = self.history.transfers();
        let transfer = match used {
            Some(which) => transfers.get(which % transfers.len().max(1))?.clone(),
            None => format!("T{}", self.rows),
        };
        let seal = format!("SEAL-{}", self.rows);
        let mut codes = Self::each(units, "UNIT_UNKNOWN", |unit, codes| {
            codes.extend((self.holder(unit) != Some(by)).then_some("RELINQUISHED_WITHOUT_CUSTODY"));
            codes.extend((!self.history.state(unit).is_frozen()).then_some("TRANSFER_OF_USED_UNIT"));
        });
        codes.extend((to == "NOWHERE").then_some("RECEIVER_UNKNOWN"));
        codes.extend(used.is_some().then_some("TRANSFER_ID_REUSED"));
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
            Wrong::Unknown => units.push(UNITS),
            Wrong::Transfer => transfer = "T0".to_owned(),
            Wrong::Receiver => by = if by == "LAB" { "BANK" } else { "LAB" },
            _ => {}
        }
        (transfer, if by == "NOWHERE" { "LAB" } else { by }, seal, units)
    }

    /// What was destroyed is expected by nobody.
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
        let mut codes = Self::each(&units, "UNIT_UNKNOWN", |_, _| {});
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

    /// An order that is left without its frozen unit does not go unnoticed, wherever the unit is by then.
    fn destroy(&self, by: Who, units: &[usize], is_signed: bool) -> Judged {
        let by = self.who(by, units);
        let codes = self.each_existing(units, |unit, codes| {
            codes.extend((self.holder(unit) != Some(by)).then_some("DESTROYED_OUTSIDE_CUSTODY"));
            let is_waited_for = self.history.order_of(unit).is_some() && !self.history.is_thawed(unit);
            codes.extend(is_waited_for.then_some("DESTROYED_UNIT_ALLOCATED"));
        });
        let what = format!("UnitsDestroyed on lot:L1 | unit_ids=[{}]", list(units));
        let (first, second) = operators(by);
        signed(first, second, is_signed, &what, codes, Fact::Destroyed { by, units: units.to_vec() })
    }

    fn sample(&self, by: &str, unit: usize, is_new: bool, is_new_code: bool) -> Judged {
        // One with this id and this code was taken before any of these histories.
        let sample = if is_new { format!("S{}", self.rows) } else { "SAMPLE".to_owned() };
        let code = if is_new_code { format!("C-{}", self.rows) } else { "S-1".to_owned() };
        let mut codes = Self::each(&[unit], "SAMPLE_SOURCE_UNKNOWN", |unit, codes| {
            codes.extend((self.history.state(unit) != State::Stored).then_some("SAMPLED_UNIT_NOT_FREE"));
        });
        codes.extend((!is_new || !is_new_code).then_some("CULTURE_ID_REUSED"));
        let what = format!(
            "{} | SampleTaken on lot:L1 | sample_id={sample} sample_code={code} source=UNIT source_id={}",
            operators(by).0,
            name(unit)
        );
        fact(what, codes, Fact::Sampled { unit })
    }

    /// Left out: what was destroyed, of which the ledger says nothing.
    fn excursion(
        &self,
        device: &'static str,
        is_on_lot: bool,
        units: &[usize],
        ago: i64,
        (millicelsius, seconds): (i64, u64),
    ) -> Option<Judged> {
        if Self::known(units).any(|unit| self.history.is_destroyed(unit)) {
            return None;
        }
        let is_beyond = millicelsius > COLD_MILLICELSIUS && seconds > WARM_SECONDS;
        let is_unknown = |unit: &usize| *unit >= UNITS || !is_on_lot;
        let codes = [
            (units.iter().any(is_unknown), "UNIT_UNKNOWN"),
            (!is_on_lot, "EXCURSION_WITHOUT_LOT"),
            (is_on_lot && is_beyond, "TEMPERATURE_ABOVE_LIMIT"),
        ];
        let codes = codes.into_iter().filter(|(is_so, _)| *is_so).map(|(_, code)| code).collect();
        let what = format!(
            "cora/CRY | TemperatureExcursion on equipment:{device}{} | unit_ids=[{}] began_at=-{}s peak_millicelsius={millicelsius} \
             seconds_above_limit={seconds}",
            if is_on_lot { " lot:L1" } else { "" },
            list(units),
            ago / 1_000
        );
        let warm = Warm { device, from: self.now - ago, until: self.now, is_beyond, is_on_lot };
        Some(fact(what, codes, Fact::Warm { warm, units: units.to_vec() }))
    }
}
