//! Random histories against a naive model of the rules, written from their demands: it keeps the whole list of what was accepted and walks
//! over all of it for every question, without folds, caches or indexes. Ledger and model must agree on every verdict.
//!
//! Modelled is what decides about a subject and its orders: life, withdrawal, consent, halts, holds on subject, lot and units, weighings
//! with their amendments, orders, assignments and releases, and the frame (signatures, age, heads). 300 histories in each run of the tests;
//! `MARROWLINE_MODEL_CASES=10000` for more. `course` does the same for doses from their thaw to the end of their infusion, the dose check
//! above all; `release` for what is tested of a lot and decided about it; `custody` for where units are and what becomes of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;

use marrowline_rules::testing::Played;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRng, TestRunner};

mod course;
mod custody;
mod naive;
mod release;
mod steps;

use course::Course;
use naive::{MODELLED, Model};
use steps::{Step, steps};

fn read(file: &str) -> Result<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("histories");
    std::fs::read_to_string(folder.join(file)).map_err(|e| format!("{file}: {e}"))
}

/// The codes of an answer such as `refused A B`, and whether it refuses.
fn codes(answer: &str) -> (bool, Vec<&str>) {
    let mut words = answer.split_whitespace();
    let verdict = words.next().unwrap_or_default();
    (verdict == "refused", words.collect())
}

/// Plays one history on both; the rows so far, if they disagree.
fn play(begin: &Played<'_>, steps: &[Step], seen: &RefCell<BTreeMap<String, u64>>) -> Result<(), String> {
    let (mut ledger, mut model, mut rows) = (begin.clone(), Model::default(), String::new());
    for step in steps {
        let Some((row, expected)) = model.judge(step) else { continue };
        let answer = ledger.row(&row).map_err(|e| format!("{row}: {e}"))?;
        rows.push_str(&format!("{row}\n    {answer}\n"));
        let (is_refused, found) = codes(&answer);
        let modelled: Vec<&str> = found.iter().copied().filter(|code| MODELLED.contains(code)).collect();
        if modelled != expected.codes {
            return Err(format!("{rows}    the model expects {:?}", expected.codes));
        }
        // A code that is not modelled may refuse or not; without one the verdict follows.
        if modelled.len() == found.len() && is_refused != expected.is_refused {
            return Err(format!("{rows}    the model expects refused = {}", expected.is_refused));
        }
        for code in &found {
            *seen.borrow_mut().entry((*code).to_owned()).or_default() += 1;
        }
        *seen.borrow_mut().entry(if is_refused { "refused" } else { "accepted" }.to_owned()).or_default() += 1;
        model.happened(step, !is_refused, found.contains(&"DEPENDANT_FALLS"));
    }
    Ok(())
}

#[test]
fn the_ledger_and_a_naive_model_agree_on_every_verdict() {
    let cases = std::env::var("MARROWLINE_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let begin = Played::to_the_end_of("ordered_dose", &read).unwrap();
    let seen = RefCell::new(BTreeMap::new());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&steps(), |steps| play(&begin, &steps, &seen).map_err(TestCaseError::fail));
    if let Err(disagreement) = result {
        panic!("{disagreement}");
    }
    let seen = seen.into_inner();
    println!("{seen:?}");
    // A generator that never comes near a rule would agree about nothing.
    let missed: Vec<&&str> = MODELLED.iter().filter(|code| !seen.contains_key(**code)).collect();
    assert!(missed.is_empty(), "no history reached {missed:?}");
    let (accepted, refused) = (seen["accepted"], seen["refused"]);
    assert!(accepted * 3 > refused && refused * 5 > accepted, "{accepted} accepted, {refused} refused");
}

/// Plays the course of some doses on both; the rows so far, if they disagree.
fn play_course(begin: &Played<'_>, steps: &[course::Step], seen: &RefCell<BTreeMap<String, u64>>) -> Result<(), String> {
    let (mut ledger, mut model, mut rows) = (begin.clone(), Course::default(), String::new());
    for step in steps {
        let Some((row, expected)) = model.judge(step) else { continue };
        let answer = ledger.row(&row).map_err(|e| format!("{row}: {e}"))?;
        rows.push_str(&format!("{row}\n    {answer}\n"));
        let (is_refused, found) = codes(&answer);
        let modelled: Vec<&str> = found.iter().copied().filter(|code| course::MODELLED.contains(code)).collect();
        if Course::is_foreseen(step) {
            if modelled != expected.iter().copied().collect::<Vec<_>>() {
                return Err(format!("{rows}    the model expects {expected:?}"));
            }
            if matches!(step, course::Step::Check(_)) && answer.starts_with("GREEN") != found.is_empty() {
                return Err(format!("{rows}    GREEN is no reason, and no reason is GREEN"));
            }
            // Facts and stops are never refused; a decision is, for every reason that there is, and for nothing else.
            if is_refused != (Course::is_decision(step) && !found.is_empty()) {
                return Err(format!("{rows}    the model expects refused = {}", !is_refused));
            }
        }
        for code in &found {
            *seen.borrow_mut().entry((*code).to_owned()).or_default() += 1;
        }
        *seen.borrow_mut().entry(answer.split_whitespace().next().unwrap_or_default().to_owned()).or_default() += 1;
        if !is_refused {
            model.happened();
        }
    }
    Ok(())
}

#[test]
fn the_dose_check_and_a_naive_model_agree_on_every_dose() {
    let cases = std::env::var("MARROWLINE_MODEL_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(300);
    let begin = Played::to_the_end_of("ordered_dose", &read).unwrap();
    let seen = RefCell::new(BTreeMap::new());
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let rng = TestRng::from_seed(proptest::test_runner::RngAlgorithm::ChaCha, &[8; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&course::courses(), |steps| play_course(&begin, &steps, &seen).map_err(TestCaseError::fail));
    if let Err(disagreement) = result {
        panic!("{disagreement}");
    }
    let seen = seen.into_inner();
    println!("{seen:?}");
    let missed: Vec<&&str> = course::MODELLED.iter().filter(|code| !seen.contains_key(**code)).collect();
    assert!(missed.is_empty(), "no course reached {missed:?}");
    assert!(seen["GREEN"] * 30 > seen["RED"], "{} green, {} red", seen["GREEN"], seen["RED"]);
}

/// A model that is wrong somewhere is found out: the comparison is no formality.
#[test]
fn a_model_that_forgets_a_rule_is_found_out() {
    let begin = Played::to_the_end_of("ordered_dose", &read).unwrap();
    let seen = RefCell::new(BTreeMap::new());
    let steps = [Step::Vital { is_dead: true, ago: 0 }, Step::Order { used: false, target: 1, latest: true, ago: 0 }];
    assert_eq!(play(&begin, &steps, &seen), Ok(()));
    let mut forgetful = begin.clone();
    let mut model = Model::default();
    let (row, _) = model.judge(&steps[0]).unwrap();
    forgetful.row(&row).unwrap();
    // The model did not hear of the death.
    let (row, expected) = model.judge(&steps[1]).unwrap();
    assert_ne!(codes(&forgetful.row(&row).unwrap()).1, expected.codes);
}

/// A ledger that knows more than the model is found out by the comparison itself.
#[test]
fn a_ledger_that_heard_of_something_else_is_found_out() {
    let mut begin = Played::to_the_end_of("ordered_dose", &read).unwrap();
    begin.row("d43 08:44 | ines/INV@WARD | VitalStatusRecorded on subject:S1 | status=DEAD | ?").unwrap();
    let seen = RefCell::new(BTreeMap::new());
    let order = [Step::Order { used: false, target: 1, latest: true, ago: 0 }];
    assert!(play(&begin, &order, &seen).is_err_and(|rows| rows.contains("SUBJECT_DEAD")));
    let thaw = [course::Step::Thaw { units: vec![0], viability: 9_000 }, course::Step::Cancel(0)];
    assert_eq!(play_course(&begin, &thaw, &seen), Ok(()));
    let prepare = course::Step::Prepare { order: 0, units: vec![0, 1], cells: 40_000_000, viability: 9_000, is_verified: true };
    let dispense = [prepare, course::Step::Dispense(0)];
    assert!(play_course(&begin, &dispense, &seen).is_err_and(|rows| rows.contains("SUBJECT_DEAD")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1, failure_persistence: None, ..ProptestConfig::default() })]
    /// Times are written as the histories read them.
    #[test]
    fn moments_are_written_to_the_millisecond(_ in 0u8..1) {
        prop_assert_eq!(steps::moment(43 * 86_400_000 + 8 * 3_600_000 + 45 * 60_000 + 1_002), "d43 08:45:01.002");
    }
}
