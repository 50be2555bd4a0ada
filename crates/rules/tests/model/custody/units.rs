//! What became of each unit, found by walking over everything that was accepted, for every question anew.

use std::collections::BTreeMap;

/// The units are U1 to U6; the next number stands for one that no lot has.
pub const UNITS: usize = 6;

/// When the histories begin: the ninth hour of the 43rd day.
pub const START: i64 = 43 * 86_400_000 + 9 * HOUR;
pub const HOUR: i64 = 60 * MINUTE;
pub const MINUTE: i64 = 60_000;

pub fn name(unit: usize) -> String {
    if unit < UNITS { format!("U{}", unit + 1) } else { "U9".to_owned() }
}

pub fn list(units: &[usize]) -> String {
    units.iter().map(|unit| name(*unit)).collect::<Vec<_>>().join(",")
}

/// What a flag brings about, as `docs/rules` says.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    Nothing,
    Lot,
    Named,
}

/// The flags that have consequences: what they hold, and whether they open a deviation. What thaws bring about stands only in the list of
/// codes.
pub const EFFECTS: [(&str, Holds, bool); 35] = [
    ("ACCEPTED_WITHOUT_TRANSFER", Holds::Lot, true),
    ("CONTAINER_NOT_WHOLE", Holds::Named, true),
    ("COUNT_DIFFERS", Holds::Lot, true),
    ("CULTURE_ID_REUSED", Holds::Lot, true),
    ("CUSTODY_REFUSED", Holds::Named, true),
    ("DESTROYED_OUTSIDE_CUSTODY", Holds::Nothing, true),
    ("DESTROYED_UNIT_ALLOCATED", Holds::Nothing, true),
    ("FOUND_UNIT_NOT_LOST", Holds::Nothing, true),
    ("LOCATION_TAKEN", Holds::Nothing, true),
    ("MOVED_OUTSIDE_CUSTODY", Holds::Lot, true),
    ("RACK_UNKNOWN", Holds::Nothing, true),
    ("RECEIVER_UNKNOWN", Holds::Nothing, true),
    ("REFUSED_WITHOUT_TRANSFER", Holds::Named, true),
    ("RELINQUISHED_WITHOUT_CUSTODY", Holds::Lot, true),
    ("RETURNED_OUTSIDE_CUSTODY", Holds::Named, true),
    ("RETURNED_UNIT_NOT_RELEASED", Holds::Named, false),
    ("RETURNED_UNIT_THAWED", Holds::Named, true),
    ("SAMPLED_UNIT_NOT_FREE", Holds::Nothing, true),
    ("SAMPLE_SOURCE_UNKNOWN", Holds::Nothing, true),
    ("SEAL_DIFFERS", Holds::Lot, true),
    ("TEMPERATURE_ABOVE_LIMIT", Holds::Named, true),
    ("THAWED_UNIT_STORED", Holds::Lot, true),
    ("THAWS_CONTRADICT", Holds::Named, true),
    ("THAW_NOT_ORDERED", Holds::Nothing, true),
    ("THAW_VIABILITY_LOW", Holds::Nothing, true),
    ("TRANSFER_ID_REUSED", Holds::Lot, true),
    ("TRANSFER_OF_USED_UNIT", Holds::Nothing, true),
    ("UNIT_ALREADY_THAWED", Holds::Nothing, true),
    ("UNIT_DESTROYED", Holds::Named, true),
    ("UNIT_FOUND_AGAIN", Holds::Named, false),
    ("UNIT_LOST", Holds::Named, true),
    ("UNIT_NOT_IN_CUSTODY", Holds::Named, true),
    ("UNIT_OF_NO_LOT", Holds::Nothing, true),
    ("UNIT_REPEATED", Holds::Nothing, true),
    ("UNIT_UNKNOWN", Holds::Nothing, true),
];

fn effect(code: &str) -> (Holds, bool) {
    EFFECTS.iter().find(|(name, ..)| *name == code).map_or((Holds::Nothing, false), |(_, holds, deviation)| (*holds, *deviation))
}

/// What one record says of one unit's thaw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub unit: usize,
    pub millions: u64,
    pub viability: u64,
}

/// A time in which a device was warm.
#[derive(Clone, Copy, Debug)]
pub struct Warm {
    pub device: &'static str,
    pub from: i64,
    pub until: i64,
    /// Beyond the specification's limit, and for longer than it allows.
    pub is_beyond: bool,
    /// The record extends the lot, and not the device alone.
    pub is_on_lot: bool,
}

/// What was accepted. Facilities, orders and places are named as in the rows.
#[derive(Clone, Debug)]
pub enum Fact {
    Moved { units: Vec<usize>, places: Vec<String>, devices: Vec<Option<&'static str>> },
    HandedOver { by: &'static str, to: &'static str, transfer: String, seal: String, units: Vec<usize> },
    TakenOver { by: &'static str, transfer: String, seal: String, is_whole: bool, units: Vec<usize> },
    Refused { by: &'static str, transfer: String, seal: String, units: Vec<usize> },
    Happened { kind: &'static str, units: Vec<usize> },
    Returned { from: &'static str, to: &'static str, is_for_storage: bool, units: Vec<usize> },
    Destroyed { by: &'static str, units: Vec<usize> },
    Sampled { unit: usize },
    Warm { warm: Warm, units: Vec<usize> },
    Lifted { of: usize, code: &'static str },
    Signed { of: usize },
    Allocated { order: &'static str, units: Vec<usize> },
    Released(Vec<usize>),
    ThawOrdered(Vec<usize>),
    Thawed { by: &'static str, units: Vec<usize>, counts: Vec<Count> },
    Weighed { subject: &'static str, grams: u64 },
    Ordered,
}

impl Fact {
    /// The units that it names.
    pub fn units(&self) -> &[usize] {
        match self {
            Fact::Moved { units, .. }
            | Fact::HandedOver { units, .. }
            | Fact::TakenOver { units, .. }
            | Fact::Refused { units, .. }
            | Fact::Happened { units, .. }
            | Fact::Returned { units, .. }
            | Fact::Destroyed { units, .. }
            | Fact::Allocated { units, .. }
            | Fact::Thawed { units, .. }
            | Fact::Warm { units, .. }
            | Fact::Released(units)
            | Fact::ThawOrdered(units) => units,
            Fact::Sampled { unit } => std::slice::from_ref(unit),
            Fact::Lifted { .. } | Fact::Signed { .. } | Fact::Weighed { .. } | Fact::Ordered => &[],
        }
    }

    fn names(&self, unit: usize) -> bool {
        self.units().contains(&unit)
    }
}

/// An accepted row.
#[derive(Clone, Debug)]
pub struct Entry {
    pub label: String,
    /// When it happened, as the record says.
    pub at: i64,
    pub fact: Fact,
    pub flags: Vec<&'static str>,
    /// The second signature is missing.
    pub is_owed: bool,
}

/// What was done with a unit, in the order in which nothing goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    Stored,
    Allocated,
    Thawed,
    Sampled,
    /// Came back for destruction.
    Returned,
    Destroyed,
}

impl State {
    pub fn is_frozen(self) -> bool {
        self <= State::Allocated
    }
}

/// Who has a unit: always one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Custody {
    Held(&'static str),
    InTransit {
        transfer: String,
        from: &'static str,
        to: &'static str,
        seal: String,
    },
    /// The facility that says it has it, the entry that does not agree, and after a refusal transfer and seal for taking it back.
    Disputed {
        at: &'static str,
        entry: usize,
        back: Option<(String, String)>,
    },
}

impl Custody {
    pub fn holder(&self) -> Option<&'static str> {
        if let Custody::Held(facility) = self { Some(facility) } else { None }
    }

    /// With which transfer, by whom and under which seal the unit is to be taken over next.
    pub fn awaited(&self) -> Option<(&str, &'static str, &str)> {
        match self {
            Custody::InTransit { transfer, to, seal, .. } => Some((transfer, to, seal)),
            Custody::Disputed { at, back: Some((transfer, seal)), .. } => Some((transfer, at, seal)),
            _ => None,
        }
    }

    /// A dispute; but what was refused waits for the one who takes it back, whatever else is recorded.
    fn disputed(self, at: &'static str, entry: usize) -> Custody {
        if matches!(self, Custody::Disputed { back: Some(_), .. }) { self } else { Custody::Disputed { at, entry, back: None } }
    }

    /// Who gave a unit away takes back what is refused. Who has it themselves cannot refuse it, and once is enough. The transfer to take
    /// it back with is the one that the refusal names, even if it was on its way with another.
    fn refused(self, by: &str, back: (String, String), entry: usize) -> Custody {
        let at = match &self {
            Custody::Disputed { back: Some(_), .. } => return self,
            Custody::Held(at) | Custody::Disputed { at, .. } if *at == by => return self,
            Custody::Held(at) | Custody::Disputed { at, .. } => *at,
            Custody::InTransit { from, .. } => *from,
        };
        Custody::Disputed { at, entry, back: Some(back) }
    }
}

/// A group of units that is to be taken over together: transfer, receiver, seal.
pub type Passage = (String, &'static str, String);

/// Everything that was accepted.
#[derive(Clone, Default)]
pub struct History(pub Vec<Entry>);

impl History {
    /// What happened to a unit up to its destruction, which nothing changes afterwards, with the number of each entry.
    pub fn life(&self, unit: usize) -> impl Iterator<Item = (usize, &Entry)> {
        let is_end = move |entry: &Entry| matches!(entry.fact, Fact::Destroyed { .. }) && entry.fact.names(unit);
        let end = self.0.iter().position(is_end).map_or(self.0.len(), |end| end + 1);
        self.0.iter().enumerate().take(end)
    }

    pub fn told(&self, unit: usize) -> impl Iterator<Item = (usize, &Fact)> {
        self.life(unit).map(|(number, entry)| (number, &entry.fact)).filter(move |(_, fact)| fact.names(unit))
    }

    pub fn state(&self, unit: usize) -> State {
        self.state_before(unit, self.0.len())
    }

    fn state_before(&self, unit: usize, end: usize) -> State {
        let mut state = State::Stored;
        for (_, fact) in self.told(unit).take_while(|(number, _)| *number < end) {
            state = match fact {
                Fact::Released(_) | Fact::Returned { is_for_storage: true, .. } if state.is_frozen() => State::Stored,
                Fact::Allocated { .. } => state.max(State::Allocated),
                Fact::Thawed { .. } => state.max(State::Thawed),
                Fact::Sampled { .. } => state.max(State::Sampled),
                // Whatever the return was meant for: a thawed or used unit comes back for destruction only.
                Fact::Returned { .. } => state.max(State::Returned),
                Fact::Destroyed { .. } => State::Destroyed,
                _ => state,
            };
        }
        state
    }

    /// Whether a unit was not yet thawed nor used up at a moment.
    pub fn is_frozen_at(&self, unit: usize, at: i64) -> bool {
        let uses = |number: usize, entry: &Entry| match entry.fact {
            Fact::Returned { is_for_storage: true, .. } => !self.state_before(unit, number).is_frozen(),
            Fact::Thawed { .. } | Fact::Sampled { .. } | Fact::Returned { .. } | Fact::Destroyed { .. } => true,
            _ => false,
        };
        !self.life(unit).any(|(number, entry)| entry.at <= at && entry.fact.names(unit) && uses(number, entry))
    }

    /// Who held a unit at a moment. Whoever settles a dispute says who has held it since it began.
    pub fn holder_at(&self, unit: usize, at: i64) -> Option<&'static str> {
        let mut held = vec![(i64::MIN, Custody::Held("WARD"))];
        for (number, entry) in self.life(unit) {
            let custody = self.custody_until(unit, number + 1);
            let (from, known) = held.last_mut().unwrap();
            if custody == *known {
                continue;
            }
            if matches!(entry.fact, Fact::Lifted { .. }) {
                *known = custody;
            } else {
                let from = entry.at.max(*from);
                held.push((from, custody));
            }
        }
        held.iter().rfind(|(from, _)| *from <= at).and_then(|(_, custody)| custody.holder())
    }

    /// Whether QA or a pharmacist decided something after a moment.
    pub fn is_decided_after(&self, at: i64) -> bool {
        let is_decision = |fact: &Fact| {
            matches!(
                fact,
                Fact::Lifted { .. } | Fact::Allocated { .. } | Fact::Released(_) | Fact::ThawOrdered(_) | Fact::Ordered
            )
        };
        self.0.iter().any(|entry| entry.at > at && is_decision(&entry.fact))
    }

    pub fn is_destroyed(&self, unit: usize) -> bool {
        self.state(unit) == State::Destroyed
    }

    pub fn is_thawed(&self, unit: usize) -> bool {
        self.told(unit).any(|(_, fact)| matches!(fact, Fact::Thawed { .. }))
    }

    /// Whether an entry ends what was decided about the unit before: its release, and its way back to the store.
    fn is_free_again(&self, unit: usize, number: usize, fact: &Fact) -> bool {
        match fact {
            Fact::Released(_) => true,
            Fact::Returned { is_for_storage: true, .. } => self.state_before(unit, number).is_frozen(),
            _ => false,
        }
    }

    /// What counts of a unit's thaws: the earliest time, the fewest cells and the lowest viability of all that was said.
    pub fn thaw(&self, unit: usize) -> Option<(i64, u64, u64)> {
        let told = |(_, entry): (usize, &'_ Entry)| match &entry.fact {
            Fact::Thawed { counts, .. } => counts.iter().map(|count| (entry.at, *count)).collect(),
            _ => Vec::new(),
        };
        let all: Vec<(i64, Count)> = self.life(unit).flat_map(told).filter(|(_, count)| count.unit == unit).collect();
        let cells = all.iter().map(|(_, count)| count.millions).min()?;
        let viability = all.iter().map(|(_, count)| count.viability).min()?;
        Some((all.iter().map(|(at, _)| *at).min()?, cells, viability))
    }

    /// The order that a unit is assigned to.
    pub fn order_of(&self, unit: usize) -> Option<&'static str> {
        let mut of = None;
        for (number, fact) in self.told(unit) {
            match fact {
                Fact::Allocated { order, .. } => of = Some(*order),
                fact if self.is_free_again(unit, number, fact) => of = None,
                _ => {}
            }
        }
        of
    }

    /// Whether the thaw of a unit is ordered. An order to thaw is for whoever the unit was for then.
    pub fn is_thaw_ordered(&self, unit: usize) -> bool {
        let mut is_ordered = false;
        for (number, fact) in self.told(unit) {
            match fact {
                Fact::ThawOrdered(_) => is_ordered = true,
                Fact::Allocated { .. } => is_ordered = false,
                fact if self.is_free_again(unit, number, fact) => is_ordered = false,
                _ => {}
            }
        }
        is_ordered
    }

    fn happened(&self, unit: usize, kinds: &[&str]) -> Option<&str> {
        let kind = |fact| if let &Fact::Happened { kind, .. } = fact { Some(kind) } else { None };
        self.told(unit).filter_map(|(_, fact)| kind(fact)).filter(|kind| kinds.contains(kind)).last()
    }

    pub fn is_lost(&self, unit: usize) -> bool {
        self.happened(unit, &["LOST", "FOUND"]) == Some("LOST")
    }

    /// A broken bag does not heal.
    pub fn is_damaged(&self, unit: usize) -> bool {
        self.happened(unit, &["BROKEN", "LEAKING"]).is_some()
    }

    pub fn custody(&self, unit: usize) -> Custody {
        self.custody_until(unit, self.0.len())
    }

    fn custody_until(&self, unit: usize, end: usize) -> Custody {
        let mut custody = Custody::Held("WARD");
        for (number, entry) in self.life(unit).take_while(|(number, _)| *number < end) {
            let is_named = entry.fact.names(unit);
            custody = match (&entry.fact, custody) {
                (Fact::HandedOver { by, to, transfer, seal, .. }, Custody::Held(holder)) if is_named && holder == *by => {
                    Custody::InTransit { transfer: transfer.clone(), from: by, to, seal: seal.clone() }
                }
                (Fact::HandedOver { by, .. }, custody) if is_named => custody.disputed(by, number),
                (Fact::TakenOver { by, transfer, seal, is_whole, .. }, custody) => {
                    let awaited = custody.awaited().filter(|(with, whom, _)| with == transfer && whom == by);
                    match awaited.map(|(_, _, sealed)| sealed == seal && *is_whole) {
                        // The histories of refused units say that a wrong count leaves those alone that did arrive under their seal.
                        Some(true) if is_named => Custody::Held(by),
                        None if !is_named => custody,
                        _ => custody.disputed(by, number),
                    }
                }
                (Fact::Refused { by, transfer, seal, .. }, custody) if is_named => {
                    custody.refused(by, (transfer.clone(), seal.clone()), number)
                }
                (Fact::Returned { from, to, .. }, custody) if is_named => {
                    if custody.holder() == Some(from) {
                        Custody::Held(to)
                    } else {
                        custody.disputed(to, number)
                    }
                }
                // Also for a unit that was not counted: it was handed over to nobody else, and QA has looked into it.
                (Fact::Lifted { of, .. }, Custody::Disputed { at, entry, back: None })
                    if *of == entry && matches!(self.0[entry].fact, Fact::TakenOver { .. }) && self.is_settled(entry, number) =>
                {
                    Custody::Held(at)
                }
                (_, custody) => custody,
            };
        }
        custody
    }

    /// Whether every hold that an entry brought about was lifted up to another.
    fn is_settled(&self, of: usize, end: usize) -> bool {
        let is_lifted = |code: &str| {
            let lifts =
                |entry: &Entry| matches!(entry.fact, Fact::Lifted { of: hold, code: lifted } if hold == of && lifted == code);
            self.0[..=end].iter().any(lifts)
        };
        self.0[of].flags.iter().filter(|code| effect(code).0 != Holds::Nothing).all(|code| is_lifted(code))
    }

    /// All holds, with the entry that brought them about and whether they were lifted.
    pub fn holds(&self) -> Vec<(usize, &'static str, bool)> {
        let of = |(number, entry): (usize, &Entry)| entry.flags.iter().map(|code| (number, *code)).collect::<Vec<_>>();
        let set = self.0.iter().enumerate().flat_map(of).filter(|(_, code)| effect(code).0 != Holds::Nothing);
        let is_lifted = |number: usize, code: &str| {
            self.0.iter().any(|entry| matches!(entry.fact, Fact::Lifted { of, code: lifted } if of == number && lifted == code))
        };
        set.map(|(number, code)| (number, code, is_lifted(number, code))).collect()
    }

    pub fn is_held(&self, unit: usize) -> bool {
        self.holds().into_iter().filter(|(.., is_lifted)| !is_lifted).any(|(number, code, _)| {
            let named = self.0[number].fact.units();
            // An excursion that names no unit reached all of them; one that names a unit of no lot may have reached any.
            let is_warm = matches!(self.0[number].fact, Fact::Warm { .. });
            let is_of_all = is_warm && (named.is_empty() || named.contains(&UNITS));
            effect(code).0 == Holds::Lot || is_of_all || named.contains(&unit)
        })
    }

    /// Deviations of the lot, none of which these histories close.
    pub fn deviations(&self) -> Vec<&'static str> {
        let is_elsewhere = |entry: &Entry| matches!(entry.fact, Fact::Warm { warm: Warm { is_on_lot: false, .. }, .. });
        self.0
            .iter()
            .filter(|entry| !is_elsewhere(entry))
            .flat_map(|entry| entry.flags.iter().copied())
            .filter(|code| effect(code).1)
            .collect()
    }

    /// Entries whose second signature is still missing.
    pub fn owing(&self) -> Vec<usize> {
        let is_signed = |number: usize| self.0.iter().any(|entry| matches!(entry.fact, Fact::Signed { of } if of == number));
        (0..self.0.len()).filter(|number| self.0[*number].is_owed && !is_signed(*number)).collect()
    }

    pub fn is_owed(&self, unit: usize) -> bool {
        self.owing().into_iter().any(|number| self.0[number].fact.names(unit))
    }

    /// The ids of all transfers that were begun.
    pub fn transfers(&self) -> Vec<String> {
        let id = |entry: &Entry| if let Fact::HandedOver { transfer, .. } = &entry.fact { Some(transfer.clone()) } else { None };
        self.0.iter().filter_map(id).collect()
    }

    /// What is under way, and which units go with it.
    pub fn passages(&self) -> Vec<(Passage, Vec<usize>)> {
        let mut passages: BTreeMap<Passage, Vec<usize>> = BTreeMap::new();
        for unit in (0..UNITS).filter(|unit| !self.is_destroyed(*unit)) {
            if let Some((transfer, whom, seal)) = self.custody(unit).awaited() {
                passages.entry((transfer.to_owned(), whom, seal.to_owned())).or_default().push(unit);
            }
        }
        passages.into_iter().collect()
    }
}
