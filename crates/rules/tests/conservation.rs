//! Cells and units are conserved, whatever people record: random steps by random people, most of them wrong, on a real lot.
//!
//! Facts are never refused for what they say, so a ledger holds false facts. What must hold all the same: a unit never vanishes or
//! goes back, a destroyed one never comes back and a thawed one is never stored again, it has one custody and goes to one order and one
//! dose that may be given, and no dose that was dispensed has more cells
//! than were counted when its units were thawed. Of what nobody flagged, cells come out of a step that went into it, and no others.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use marrowline_record::id::Id16;
use marrowline_rules::state::custody::Custody;
use marrowline_rules::state::lot::{Processing, Thaw, Unit};
use marrowline_rules::testing::{MemoryView, Played, people};
use marrowline_rules::view::View as _;
use proptest::prelude::*;

fn read(file: &str) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    std::fs::read_to_string(folder.join(file)).map_err(|e| format!("{file}: {e}"))
}

const UNITS: &[&str] = &["U1", "U2", "U3", "U4"];

/// Two subjects' doses from allocation to infusion, their steps in order and interleaved, with anything else in between.
fn steps() -> impl Strategy<Value = Vec<String>> {
    let cells = || prop_oneof![12 => 38_000_000_u64..=46_000_000, 1 => 46_000_000_u64..=48_000_001];
    let volume = || 1_u64..10_002;
    let course = move |s: &'static str, u: &'static str, v: &'static str, dose: &'static str| {
        (cells(), cells(), cells(), volume(), 0_u64..12).prop_map(move |(counted, c, d, infused, odd)| {
            vec![
                allocated(s, u, v),
                thaw_ordered(s, u, v),
                thawed(u, v, counted.max(44_000_000), 9_000),
                prepared(s, (u, c), (v, d), c + d + u64::from(odd == 0), dose),
                dispensed(s, dose),
                infusion_started(s, dose),
                infusion_ended(s, dose, u, infused),
            ]
        })
    };
    let others = prop::collection::vec((0_usize..16, any_step()), 0..6);
    let turns = prop::collection::vec(any::<bool>(), 14);
    (course("S1", "U1", "U2", "A"), course("S2", "U3", "U4", "B"), turns, others).prop_map(|(first, second, turns, others)| {
        let (mut first, mut second) = (first.into_iter(), second.into_iter());
        let mut steps: Vec<String> =
            turns.into_iter().filter_map(|is_first| if is_first { first.next() } else { second.next() }).collect();
        steps.extend(first.chain(second));
        for (place, step) in others {
            steps.insert(place.min(steps.len()), step);
        }
        steps
    })
}

/// Anything, by anybody.
fn any_step() -> impl Strategy<Value = String> {
    let unit = || prop::sample::select(UNITS);
    let subject = || prop::sample::select(&["S1", "S2"][..]);
    let dose = || prop::sample::select(&["A", "B", "C"][..]);
    let cells = || prop_oneof![Just(40_000_000), Just(48_000_001), Just(1), Just(u64::MAX)];
    let place = || prop::sample::select(&["LAB/R1/P1", "LAB/R1/P2", "WARD/W1/P1", "WARD/W1/P2"][..]);
    let keeper = || prop::sample::select(&["cora/CRY", "cleo/CRY@WARD", "paula/PHA@WARD"][..]);
    let transfer = || prop::sample::select(&["T1", "T2", "TRANSFER"][..]);
    prop_oneof![
        (unit(), place(), keeper()).prop_map(|(u, p, who)| format!("{who} | UnitsMoved on lot:L1 | places=[{u}/{p}]")),
        (unit(), keeper(), transfer(), prop::sample::select(&["LAB", "WARD"][..])).prop_map(|(u, who, t, to)| {
            format!("{who} | CustodyRelinquished on lot:L1 | unit_ids=[{u}] transfer_id={t} to_facility_id={to}")
        }),
        (unit(), keeper(), transfer())
            .prop_map(|(u, who, t)| format!("{who} | CustodyAccepted on lot:L1 | unit_ids=[{u}] transfer_id={t}")),
        unit().prop_map(|u| {
            format!("olga/OP | SampleTaken on lot:L1 | sample_id=SAMPLE-{u} sample_code=S-{u} source=UNIT source_id={u}")
        }),
        (unit(), keeper(), transfer(), prop::sample::select(&["SEAL-1", "SEAL-9"][..])).prop_map(|(u, who, t, seal)| {
            format!("{who} | CustodyAccepted on lot:L1 | unit_ids=[{u}] transfer_id={t} seal={seal}")
        }),
        (unit(), keeper(), transfer())
            .prop_map(|(u, who, t)| format!("{who} | CustodyRefused on lot:L1 | unit_ids=[{u}] transfer_id={t}")),
        (unit(), prop::sample::select(&["BROKEN", "LEAKING", "LOST", "FOUND"][..]))
            .prop_map(|(u, what)| format!("nina/RN@WARD | ContainerEvent on lot:L1 | unit_ids=[{u}] kind={what}")),
        (
            unit(),
            prop::sample::select(&["curt/CUR", "curt/CUR@WARD", "-"][..]),
            prop::sample::select(&["STORAGE", "DESTRUCTION"][..])
        )
            .prop_map(|(u, who, what)| format!("paula/PHA@WARD {who} | UnitsReturned on lot:L1 | unit_ids=[{u}] purpose={what}")),
        (unit(), prop::sample::select(&["olga/OP pavel/VF", "hugo/OP@WARD hanna/VF@WARD", "olga/OP -"][..]))
            .prop_map(|(u, who)| format!("{who} | UnitsDestroyed on lot:L1 | unit_ids=[{u}]")),
        (subject(), unit(), unit()).prop_map(|(s, u, v)| allocated(s, u, v)),
        (subject(), unit(), unit()).prop_map(|(s, u, v)| thaw_ordered(s, u, v)),
        (unit(), unit(), cells(), prop::sample::select(&[9_000, 6_999][..])).prop_map(|(u, v, c, share)| thawed(u, v, c, share)),
        (subject(), unit(), unit(), cells(), cells(), dose(), 0_u64..2).prop_map(|(s, u, v, c, d, dose, extra)| prepared(
            s,
            (u, c),
            (v, d),
            c.saturating_add(d).saturating_add(extra),
            dose
        )),
        (subject(), dose()).prop_map(|(s, dose)| dispensed(s, dose)),
        (subject(), dose()).prop_map(|(s, dose)| infusion_started(s, dose)),
        (subject(), dose(), unit(), cells()).prop_map(|(s, dose, u, volume)| infusion_ended(s, dose, u, volume)),
    ]
}

fn allocated(s: &str, u: &str, v: &str) -> String {
    format!("paula/PHA@WARD piotr/PHA@WARD | UnitsAllocated on subject:{s} lot:L1 | unit_ids=[{u},{v}] order_id=ORDER-{s}")
}

fn thaw_ordered(s: &str, u: &str, v: &str) -> String {
    format!("paula/PHA@WARD | ThawOrdered on lot:L1 | unit_ids=[{u},{v}] order_id=ORDER-{s}")
}

fn thawed(u: &str, v: &str, cells: u64, share: u32) -> String {
    format!("hugo/OP@WARD hanna/VF@WARD | UnitsThawed on lot:L1 | units=[{u}/{cells}/{share},{v}/{cells}/{share}]")
}

fn prepared(s: &str, (u, c): (&str, u64), (v, d): (&str, u64), total: u64, dose: &str) -> String {
    let label = dose.as_bytes().first().map_or(0, |letter| letter % 10);
    format!(
        "hugo/OP@WARD hanna/VF@WARD | DosePrepared on subject:{s} lot:L1 | contributions=[{u}/{c}/10000,{v}/{d}/10000] \
         total_cells={total} dose_id={dose} dose_code=@label:700{label} order_id=ORDER-{s} expires_at=\"{{expiry}}\""
    )
}

fn dispensed(s: &str, dose: &str) -> String {
    format!("piotr/PHA@WARD | DoseDispensed on subject:{s} lot:L1 | dose_id={dose}")
}

fn infusion_started(s: &str, dose: &str) -> String {
    format!("nina/RN@WARD nora/RN@WARD | InfusionStarted on subject:{s} lot:L1 | dose_id={dose}")
}

fn infusion_ended(s: &str, dose: &str, u: &str, volume: u64) -> String {
    format!("nina/RN@WARD nora/RN@WARD | InfusionEnded on subject:{s} lot:L1 | dose_id={dose} infused=[{u}/{volume}]")
}

/// Two subjects with an order each, and everybody whom the steps name.
fn beginning() -> Played<'static> {
    let mut played = Played::to_the_end_of("ordered_dose", &read).unwrap();
    for line in [
        "d43 08:41 | kira/KEY quentin/QA | KeyGranted on authority | grant=@grant(cleo CRY@WARD) | *",
        "d43 08:41 | ines/INV@WARD | SubjectConsented on subject:S2 | subject_code=S-002 | *",
        "d43 08:42 | ines/INV@WARD | SubjectScreened on subject:S2 | onset_at=\"d43 06:00\" | *",
        "d43 08:43 | rolf/RND@WARD | SubjectRandomised on subject:S2 protocol:TRIAL | slot=1 salt=@salt:1 inclusion_proof=@proof:22122112/1 | *",
        "WEIGHED2: d43 08:44 | nina/RN@WARD | SubjectWeighed on subject:S2 | | *",
        "d43 08:45 | ines/INV@WARD | DoseOrdered on subject:S1 | weighing_record_id=@rec:WEIGHED order_id=ORDER-S1 | *",
        "d43 08:46 | ines/INV@WARD | DoseOrdered on subject:S2 | weighing_record_id=@rec:WEIGHED2 order_id=ORDER-S2 | *",
    ] {
        assert_eq!(played.row(line).unwrap(), "accepted", "{line}");
    }
    played
}

fn units(view: &MemoryView) -> BTreeMap<Id16, Unit> {
    view.lot(&people::id("L1")).unwrap().units.clone()
}

/// A facility comes to hold a unit by taking it over, on its way or on its way back, or by a return; nothing else.
fn custody_moved_on(before: &Unit, after: &Unit, line: &str) {
    let Custody::Held { facility_id } = &after.custody else { return };
    if before.custody == after.custody {
        return;
    }
    let is_expected =
        ["T1", "T2", "TRANSFER"].into_iter().any(|t| before.custody.expected_seal(&people::id(t), facility_id).is_some());
    let is_accepted = line.contains("CustodyAccepted") && is_expected;
    let is_returned = line.contains("UnitsReturned") && before.custody.holder().is_some();
    assert!(is_accepted || is_returned, "{facility_id} came to hold a unit that was {:?}: {line}", before.custody);
}

/// What may have changed of a unit by one record.
fn moved_on(before: &Unit, after: &Unit) {
    assert_eq!(
        (before.total_cells, before.volume_microlitres, before.filled_by),
        (after.total_cells, after.volume_microlitres, after.filled_by)
    );
    if before.processing >= Processing::Thawed {
        assert!(after.processing >= before.processing, "a unit went back from {:?} to {:?}", before.processing, after.processing);
    }
    if before.processing == Processing::Destroyed {
        assert_eq!(before, after, "a destroyed unit changed");
    }
    if before.container.damaged_by.is_some() {
        assert_eq!(before.container.damaged_by, after.container.damaged_by, "a broken container became whole");
    }
    if let Some(allocation) = &before.allocation {
        let order = after.allocation.as_ref().map(|a| a.order_id);
        // Only the return of a frozen unit into storage ends its assignment.
        let is_returned = before.is_frozen() && after.processing == Processing::Stored && order.is_none();
        assert!(is_returned || order == Some(allocation.order_id), "a unit changed its order");
    }
    if before.thaw.is_some() {
        assert!(!after.is_frozen(), "a thawed unit was stored again");
    }
    if let Some(thaw) = &before.thaw {
        // Another record of it may say that it was earlier, or found less.
        let is_no_better = |t: &Thaw| {
            t.thawed_at_ms <= thaw.thawed_at_ms
                && t.total_cells <= thaw.total_cells
                && t.viability_basis_points <= thaw.viability_basis_points
        };
        assert!(after.thaw.as_ref().is_some_and(is_no_better), "a unit was thawed again");
    }
}

/// No two doses that were dispensed share a unit, and none holds cells that were not there.
fn dispensed_doses_hold_real_cells(view: &MemoryView) {
    let units = units(view);
    let lot = view.lot(&people::id("L1")).unwrap();
    let mut given: BTreeSet<Id16> = BTreeSet::new();
    for subject in ["S1", "S2"] {
        let subject = view.subject(&people::id(subject)).unwrap();
        for dose in subject.doses.iter().filter(|dose| dose.dispensed.is_some()) {
            let mut sum = 0_u128;
            for portion in &dose.portions {
                assert!(given.insert(portion.unit_id), "a unit is in two dispensed doses");
                let unit = &units[&portion.unit_id];
                // A second record of the thaw may contradict what the dose was made and dispensed by: the unit is held then.
                let contradicted = lot.upkeep.holds.iter().any(|h| h.code == "THAWS_CONTRADICT" && h.unit_ids.contains(&unit.id));
                assert!(contradicted || portion.total_cells <= unit.thaw.as_ref().unwrap().total_cells);
                assert!(portion.volume_microlitres <= unit.volume_microlitres);
                assert_eq!(unit.allocation.as_ref().unwrap().subject_id, subject.id, "another subject's unit");
                sum += u128::from(portion.total_cells);
            }
            assert_eq!(sum, u128::from(dose.total_cells));
            let viable = sum * u128::from(dose.viability_basis_points) * 1_000;
            let grams = 70_000_u128 * 10_000;
            assert!((1_000_000 * grams..=2_000_000 * grams).contains(&viable), "{viable}");
        }
    }
}

/// A dose is dispensed of units that are whole, there, and meant to be used.
fn dispensed_of_sound_units(view: &MemoryView, before: &BTreeMap<Id16, Unit>, line: &str, answer: &str) {
    if !line.contains("DoseDispensed") || answer.starts_with("refused") {
        return;
    }
    // Another subject's dose may bear the same id; it was flagged and is not the one that is dispensed.
    let subjects = ["S1", "S2"].into_iter().filter(|subject| line.contains(&format!("subject:{subject}")));
    let doses: Vec<_> = subjects.map(|subject| view.subject(&people::id(subject)).unwrap().doses.clone()).collect();
    let named = |id: Id16| ["A", "B", "C"].iter().any(|dose| people::id(dose) == id && line.contains(&format!("dose_id={dose}")));
    for portion in doses.iter().flatten().filter(|dose| named(dose.id)).flat_map(|dose| &dose.portions) {
        let unit = &before[&portion.unit_id];
        assert_eq!((unit.container.damaged_by, unit.container.lost_by), (None, None), "{line}");
        assert!((Processing::Thawed..=Processing::Prepared).contains(&unit.processing), "{line}: {:?}", unit.processing);
        assert!(unit.custody.holder().is_some(), "{line}");
    }
}

/// A place holds one unit, or the record that put the second one there was flagged.
fn places(view: &MemoryView, flagged: &mut bool, answer: &str) {
    *flagged |= answer.contains("LOCATION_TAKEN");
    let units = units(view);
    let stored: Vec<_> = units.values().filter_map(|unit| unit.location.as_ref()).collect();
    let distinct: BTreeSet<String> = stored.iter().map(|place| format!("{place:?}")).collect();
    assert!(*flagged || distinct.len() == stored.len(), "two units in one place, and nobody said so");
}

thread_local! {
    static BEGINNING: Played<'static> = beginning();
    static HARVESTED: Played<'static> = Played::to_the_end_of("eligible_donor", &read).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn units_and_cells_are_conserved(steps in steps()) {
        let mut played = BEGINNING.with(Clone::clone);
        let mut before = units(played.view());
        let mut is_place_shared = false;
        // All in one minute, so that every thaw window ends two hours after it.
        for step in steps {
            let line = format!("d43 10:00 | {} | *", step.replace("{expiry}", "d43 12:00"));
            let answer = played.row(&line).unwrap();
            let after = units(played.view());
            prop_assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>(), "a unit appeared or vanished: {}", line);
            if answer.starts_with("refused") || answer.starts_with("unread") {
                prop_assert_eq!(&before, &after, "a refused record changed a unit: {}", line);
            }
            for (id, unit) in &before {
                moved_on(unit, &after[id]);
                custody_moved_on(unit, &after[id], &line);
            }
            dispensed_doses_hold_real_cells(played.view());
            dispensed_of_sound_units(played.view(), &before, &line, &answer);
            places(played.view(), &mut is_place_shared, &answer);
            before = after;
        }
    }

    #[test]
    fn no_cells_come_from_nothing(
        isolated in 0_u64..300, seedings in prop::collection::vec((1_u64..200, 0_u64..200, 0_u64..20, 0_u64..20), 1..5),
    ) {
        let mut played = HARVESTED.with(Clone::clone);
        let mut all_fine = true;
        let mut go = |line: String| {
            let answer = played.row(&line).unwrap();
            assert!(!answer.starts_with("refused") && !answer.starts_with("unread"), "a fact was refused: {line}: {answer}");
            // Doublings and viability are other rules' business; these are about how many cells there are.
            let cells = ["BALANCE_NOT_CLOSED", "BALANCE_OUTSIDE_TOLERANCE", "STEP_INPUT_DIFFERS", "CULTURE_ID_REUSED"];
            let fine = cells.iter().all(|code| !answer.contains(code));
            all_fine &= fine;
        };
        go("d2 10:00 | olga/OP pavel/VF | LotOpened on lot:L1 donor:D1 | | *".to_owned());
        go(format!("d2 11:00 | olga/OP pavel/VF | MncIsolated on lot:L1 | total_cells={isolated}M | *"));
        let (mut taken, mut seeded) = (0, 0);
        for (number, (cells_in, out, waste, sampled)) in seedings.iter().enumerate() {
            go(format!(
                "d2 12:0{number} | olga/OP pavel/VF | CultureSeeded on lot:L1 | culture_id=P0-{number} cells={cells_in}M/{out}M/{sampled}M/{waste}M/0 | *"
            ));
            taken += cells_in;
            seeded += out;
        }
        let lot = played.view().lot(&people::id("L1")).unwrap();
        prop_assert_eq!(lot.cultures.len(), seedings.len());
        if all_fine {
            prop_assert!(taken <= isolated, "{} M cells taken of {} M", taken, isolated);
            prop_assert!(seeded <= taken, "{} M cells seeded of {} M", seeded, taken);
        }
    }
}

/// The same proposition's other side: steps that add up are not flagged, so that the test above does not hold for want of cases.
#[test]
fn cells_that_add_up_are_not_flagged() {
    let mut played = Played::to_the_end_of("eligible_donor", &read).unwrap();
    for line in [
        "d2 10:00 | olga/OP pavel/VF | LotOpened on lot:L1 donor:D1 | | *",
        "d2 11:00 | olga/OP pavel/VF | MncIsolated on lot:L1 | total_cells=100M | *",
        "d2 12:00 | olga/OP pavel/VF | CultureSeeded on lot:L1 | culture_id=A cells=60M/55M/5M/0/0 | *",
        "d2 12:01 | olga/OP pavel/VF | CultureSeeded on lot:L1 | culture_id=B cells=40M/40M/0/0/0 | *",
    ] {
        assert_eq!(played.row(line).unwrap(), "accepted", "{line}");
    }
    let more = "d2 12:02 | olga/OP pavel/VF | CultureSeeded on lot:L1 | culture_id=C cells=1/1/0/0/0 | *";
    assert!(played.row(more).unwrap().contains("STEP_INPUT_DIFFERS"));
}

/// Careful people do get to the end; if they never did, the property would hold of nothing.
#[test]
fn a_dose_can_be_dispensed_by_these_steps() {
    let mut played = beginning();
    for step in [
        allocated("S2", "U3", "U4"),
        thaw_ordered("S2", "U3", "U4"),
        thawed("U3", "U4", 48_000_000, 9_000),
        prepared("S2", ("U3", 40_000_000), ("U4", 40_000_000), 80_000_000, "B"),
        dispensed("S2", "B"),
    ] {
        let line = format!("d43 10:00 | {} | *", step.replace("{expiry}", "d43 12:00"));
        assert_eq!(played.row(&line).unwrap(), "accepted", "{line}");
    }
    dispensed_doses_hold_real_cells(played.view());
}
