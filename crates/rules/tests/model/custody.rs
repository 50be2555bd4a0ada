//! The life of units, against a naive model: places, hand-overs, refusals, containers, returns, destruction, samples, excursions and the holds
//! that they bring about, the decisions that rest on them (with the weight that an order rests on), and thaws. Written from the domain, `docs/rules` and decision 0006; for each question
//! it walks over everything that was accepted.
//!
//! Every answer must be the model's to the last code. After each row the ledger's custody, state, place, order and thaw of every unit, the
//! open holds and the open deviations must be the model's too, and what was destroyed must be what it was when it was destroyed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use marrowline_rules::View as _;
use marrowline_rules::state::custody::Custody as SeenCustody;
use marrowline_rules::state::lot::{Processing, Unit};
use marrowline_rules::testing::{Played, people};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};

mod decisions;
mod kept;
mod rules;
mod steps;
mod units;

use crate::steps::moment;
use rules::{FACILITIES, Model};
use steps::{Step, lives};
use units::{Custody, Entry, State, UNITS};

/// The rules that this model knows: all that these histories can meet.
const MODELLED: [&str; 54] = [
    "ACCEPTED_WITHOUT_TRANSFER",
    "CONTAINER_NOT_WHOLE",
    "COUNT_DIFFERS",
    "CULTURE_ID_REUSED",
    "CUSTODY_REFUSED",
    "DESTROYED_OUTSIDE_CUSTODY",
    "DESTROYED_UNIT_ALLOCATED",
    "EXCURSION_WITHOUT_LOT",
    "FOUND_UNIT_NOT_LOST",
    "HOLD_ALREADY_LIFTED",
    "LOCATION_TAKEN",
    "MOVED_OUTSIDE_CUSTODY",
    "ORDER_ID_USED",
    "ORDER_UNKNOWN",
    "RACK_UNKNOWN",
    "RECEIVER_UNKNOWN",
    "REFUSED_WITHOUT_TRANSFER",
    "RELINQUISHED_WITHOUT_CUSTODY",
    "RESOLUTION_RESOLVES_NOTHING",
    "RESOLUTION_UNKNOWN",
    "RETURNED_OUTSIDE_CUSTODY",
    "RETURNED_UNIT_NOT_RELEASED",
    "RETURNED_UNIT_THAWED",
    "SAMPLED_UNIT_NOT_FREE",
    "SAMPLE_SOURCE_UNKNOWN",
    "SEAL_DIFFERS",
    "TEMPERATURE_ABOVE_LIMIT",
    "THAWED_UNIT_STORED",
    "THAWS_CONTRADICT",
    "THAW_NOT_ORDERED",
    "THAW_VIABILITY_LOW",
    "TRANSFER_ID_REUSED",
    "TRANSFER_OF_USED_UNIT",
    "UNIT_ALREADY_ALLOCATED",
    "UNIT_ALREADY_THAWED",
    "UNIT_CONTAINER_UNSOUND",
    "UNIT_CUSTODY_OPEN",
    "UNIT_DESTROYED",
    "UNIT_FOR_DESTRUCTION",
    "UNIT_FOUND_AGAIN",
    "UNIT_HELD",
    "UNIT_KEPT_TOO_WARM",
    "UNIT_LOST",
    "UNIT_NOT_ALLOCATED",
    "UNIT_NOT_IN_CUSTODY",
    "UNIT_NOT_STORED",
    "UNIT_OF_NO_LOT",
    "UNIT_REPEATED",
    "UNIT_SIGNATURE_OWED",
    "UNIT_UNKNOWN",
    "UNIT_USED_FOR_TESTING",
    "VERIFIER_MISSING",
    "WEIGHING_TOO_OLD",
    "WEIGHT_CHANGED",
];

/// Where the days of the histories begin, 1 January 2026, Unix milliseconds.
const DAY_ZERO: i64 = 1_767_225_600_000;

/// What a third facility needs, a cryobank at the ward, a second order, and a second subject with an order.
const BEFORE: [&str; 12] = [
    "d43 08:41 | kira/KEY quentin/QA | FacilityRegistered on authority | facility={facility_id=BANK code=BANK name=Cryobank racks=[W1]} | ?",
    "d43 08:42 | kira/KEY quentin/QA | KeyGranted on authority | grant=@grant(cleo CRY@WARD) | ?",
    "d43 08:43 | kira/KEY quentin/QA | KeyGranted on authority | grant=@grant(basil CRY@BANK) | ?",
    "d43 08:44 | kira/KEY quentin/QA | KeyGranted on authority | grant=@grant(bert OP@BANK) | ?",
    "d43 08:45 | kira/KEY quentin/QA | KeyGranted on authority | grant=@grant(bea OP@BANK) | ?",
    "d43 08:46 | kira/KEY quentin/QA | KeyGranted on authority | grant=@grant(carl CUR@BANK) | ?",
    "d43 08:47 | ines/INV@WARD | DoseOrdered on subject:S1 | order_id=O2 weighing_record_id=@rec:WEIGHED | ?",
    "d43 08:48 | ines/INV@WARD | SubjectConsented on subject:S2 | subject_code=S-002 | ?",
    "d43 08:49 | ines/INV@WARD | SubjectScreened on subject:S2 | | ?",
    "d43 08:50 | rolf/RND@WARD | SubjectRandomised on subject:S2 protocol:TRIAL | slot=1 salt=@salt:1 inclusion_proof=@proof:22122112/1 | ?",
    "W2: d43 08:51 | nina/RN@WARD | SubjectWeighed on subject:S2 | | ?",
    "d43 08:52 | ines/INV@WARD | DoseOrdered on subject:S2 | order_id=O3 weighing_record_id=@rec:W2 | ?",
];

/// Whether the ledger has the unit where the model has it: held, in transit or disputed, with the same facilities, transfer and seal.
fn is_same_custody(model: &Custody, ledger: &SeenCustody) -> bool {
    match (model, ledger) {
        (Custody::Held(holder), SeenCustody::Held { facility_id }) => people::id(holder) == *facility_id,
        (
            Custody::InTransit { transfer, from, to, seal },
            SeenCustody::InTransit { transfer_id, from_facility_id, to_facility_id, seal: sealed },
        ) => {
            let ids = [people::id(transfer), people::id(from), people::id(to)];
            ids == [*transfer_id, *from_facility_id, *to_facility_id] && seal == sealed
        }
        (Custody::Disputed { at, back, .. }, SeenCustody::Disputed { facility_id, taking_back, .. }) => {
            let back = back.as_ref().map(|(transfer, seal)| (people::id(transfer), seal.as_str()));
            let seen = taking_back.as_ref().map(|back| (back.transfer_id, back.seal.as_str()));
            people::id(at) == *facility_id && back == seen
        }
        _ => false,
    }
}

fn is_same_state(model: State, ledger: Processing) -> bool {
    let seen = match ledger {
        Processing::Stored => State::Stored,
        Processing::Allocated => State::Allocated,
        Processing::Thawed => State::Thawed,
        Processing::Sampled => State::Sampled,
        Processing::Returned => State::Returned,
        Processing::Destroyed => State::Destroyed,
        Processing::Filled | Processing::Prepared | Processing::Dispensed | Processing::Infused => return false,
    };
    seen == model
}

/// A ledger and the model beside it.
struct Both<'a> {
    ledger: Played<'a>,
    model: Model,
    /// Units as they were when they were destroyed.
    ends: BTreeMap<usize, Unit>,
    rows: String,
}

impl Both<'_> {
    fn ask(&mut self, row: &str) -> Result<String, String> {
        self.ledger.row(row).map_err(|error| format!("{row}: {error}"))
    }

    /// Plays a step on both, and counts what was answered.
    fn step(&mut self, step: &Step, seen: &RefCell<BTreeMap<String, u64>>) -> Result<(), String> {
        let Some(judged) = self.model.judge(step) else { return Ok(()) };
        let now = moment(self.model.now);
        let label = format!("F{}", self.model.rows);
        let at = judged.at.unwrap_or(self.model.now);
        let when = if judged.at.is_some() { format!("{} recorded={now} signed={now}", moment(at)) } else { now.clone() };
        let row = format!("{label}: {when} | {} | ?", judged.what);
        let answer = self.ask(&row)?;
        self.rows.push_str(&format!("{row}\n    {answer}\n"));
        let word = match (judged.codes.is_empty(), judged.is_decision) {
            (true, _) => "accepted",
            (false, true) => "refused",
            (false, false) => "flagged",
        };
        let expected: Vec<&str> = std::iter::once(word).chain(judged.codes.iter().copied()).collect();
        if answer != expected.join(" ") {
            return Err(format!("the model expects {}", expected.join(" ")));
        }
        let kind = if judged.is_decision { "decision" } else { "fact" };
        for what in expected[1..].iter().map(|code| (*code).to_owned()).chain([format!("{kind} {word}")]) {
            *seen.borrow_mut().entry(what).or_default() += 1;
        }
        if word != "refused" {
            let flags = judged.codes.into_iter().collect();
            self.model.history.0.push(Entry { label, at, fact: judged.fact, flags, is_owed: judged.is_owed });
        }
        self.is_where_it_should_be(&now)
    }

    /// What the ledger knows of the lot and its units is what the model finds.
    fn is_where_it_should_be(&mut self, now: &str) -> Result<(), String> {
        let open = self.model.history.holds().into_iter().filter(|(.., is_lifted)| !is_lifted).map(|(_, code, _)| code);
        for (what, mut expected) in [("holds", open.collect::<Vec<_>>()), ("deviations", self.model.history.deviations())] {
            let found = self.ask(&format!("{now} | {what} of lot:L1 | ?"))?;
            let mut found: Vec<&str> = found.split_whitespace().filter(|word| *word != "none").collect();
            found.sort_unstable();
            expected.sort_unstable();
            if found != expected {
                return Err(format!("{what}: {found:?}, and the model expects {expected:?}"));
            }
        }
        let lot = self.ledger.view().lot(&people::id("L1")).ok_or("no lot")?;
        for number in 0..UNITS {
            let unit = lot.units.get(&people::id(&format!("U{}", number + 1))).ok_or("no unit")?;
            let history = &self.model.history;
            let (custody, state) = (history.custody(number), history.state(number));
            let place = history.place(number);
            let device = |name: &str| people::id(name).0.to_vec();
            let expected = place.map(|(place, named)| (place.to_owned(), named.map(device)));
            let seen = unit.location.as_ref().map(|there| {
                let facility = FACILITIES.iter().find(|name| people::id(name).0[..] == there.facility_id[..]);
                let place = format!("{}/{}/{}", facility.unwrap_or(&"?"), there.rack, there.position);
                (place, there.equipment_id.clone())
            });
            if !is_same_custody(&custody, &unit.custody) || !is_same_state(state, unit.processing) || seen != expected {
                return Err(format!("the model expects {custody:?}, {state:?}, {place:?} of {unit:#?}"));
            }
            let order = unit.allocation.map(|allocation| allocation.order_id);
            let thaw =
                unit.thaw.map(|t| (t.thawed_at_ms - DAY_ZERO, t.total_cells / 1_000_000, u64::from(t.viability_basis_points)));
            let (expected_order, expected_thaw) = (history.order_of(number), history.thaw(number));
            if order != expected_order.map(people::id) || thaw != expected_thaw {
                return Err(format!("the model expects {expected_order:?}, {expected_thaw:?} of {unit:#?}"));
            }
            if state == State::Destroyed && self.ends.entry(number).or_insert_with(|| unit.clone()) != unit {
                return Err(format!("it was destroyed, and changed into {unit:#?}"));
            }
        }
        Ok(())
    }
}

#[test]
fn the_life_of_units_and_a_naive_model_agree_on_every_row() {
    let cases = std::env::var("MARROWLINE_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let mut begin = Played::to_the_end_of("ordered_dose", &crate::read).unwrap();
    for row in BEFORE {
        assert_eq!(begin.row(row).unwrap(), "accepted", "{row}");
    }
    let seen = RefCell::new(BTreeMap::new());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[9; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&lives(), |steps| {
        let (ledger, model) = (begin.clone(), Model::default());
        let mut both = Both { ledger, model, ends: BTreeMap::new(), rows: String::new() };
        let mut play = || steps.iter().try_for_each(|step| both.step(step, &seen));
        play().map_err(|disagreement| TestCaseError::fail(format!("\n{}    {disagreement}", both.rows)))
    });
    if let Err(disagreement) = result {
        panic!("{disagreement}");
    }
    let seen = seen.into_inner();
    println!("{seen:?}");
    // A generator that never comes near a rule would agree about nothing.
    let missed: Vec<&&str> = MODELLED.iter().filter(|code| !seen.contains_key(**code)).collect();
    assert!(missed.is_empty(), "no history reached {missed:?}");
    let count = |what: &str| seen.get(what).copied().unwrap_or_default();
    assert_eq!(count("fact refused"), 0, "a fact is never refused");
    let (accepted, refused) = (count("decision accepted"), count("decision refused"));
    assert!(accepted * 3 > refused && refused * 5 > accepted, "{accepted} decisions accepted, {refused} refused");
    let (plain, flagged) = (count("fact accepted"), count("fact flagged"));
    assert!(plain * 5 > flagged && flagged * 5 > plain, "{plain} facts accepted, {flagged} flagged");
}
