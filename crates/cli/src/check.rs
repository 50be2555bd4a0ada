//! `check`: may this dose be released, and once it is, may it be given?

use marrowline_client::v1::{Answer, CheckDoseRequest, CheckDoseResponse, DoseView, Finding};

use crate::args::{Check, Output};
use crate::ask::{connect, to_json};
use crate::exit::{Exit, say};
use crate::failure::Failure;
use crate::words;

/// `check`.
pub async fn run(check: Check, output: Output) -> Result<Exit, Failure> {
    let client = connect(&check.connection).await?;
    let response = client.custody().check_dose(CheckDoseRequest { dose: check.dose }).await?.into_inner();
    client.follow(&response.checkpoint).await?;
    match output {
        Output::Json => say!("{:#}", to_json("CheckDoseResponse", &response)?),
        Output::Table => say!("{}", answer(&response)),
    }
    Ok(match response.answer() {
        Answer::Green => Exit::Done,
        Answer::Red => Exit::Refused,
        Answer::NoAnswer | Answer::Unspecified => Exit::NoAnswer,
    })
}

/// Reasons that nothing can mend: they come first, so that nobody sets out to mend the others.
const TERMINAL: &[&str] =
    &["DOSE_ALREADY_USED", "DOSE_REJECTED", "DOSE_EXPIRED", "UNIT_DESTROYED", "SUBJECT_DEAD", "SUBJECT_WITHDRAWN"];

/// A dose check's answer on one screen.
pub fn answer(response: &CheckDoseResponse) -> String {
    let dose = response.dose.clone().unwrap_or_default();
    let word = match response.answer() {
        Answer::Green if dose.state == "prepared" => "GREEN: may be released".to_owned(),
        Answer::Green => format!("GREEN: may be given ({})", dispensed(&dose)),
        Answer::Red if dose.state == "prepared" => "RED: must not be released".to_owned(),
        Answer::Red => "RED: must not be given".to_owned(),
        Answer::NoAnswer | Answer::Unspecified => "NO ANSWER: treat as RED".to_owned(),
    };
    let training = if response.training { "  TRAINING" } else { "" };
    let per_kg = match dose.viable_cells_per_kg {
        0 => "cells per kg not shown".to_owned(),
        number => format!("{number} viable cells per kg"),
    };
    let mut lines = vec![format!("{word}{training}"), format!("  dose {}, {}, {per_kg}", dose.dose_code, dose.state)];
    lines.push(whose(&dose));
    lines.push(format!("  units {} of lot {}", dose.unit_codes.join(", "), dose.lot_codes.join(", ")));
    lines.push(format!("  expires {}, {}", words::moment(dose.expires_at_ms), left(dose.expires_at_ms, response.as_of_ms)));
    lines.push(format!("  as of {}, valid for 60 s", words::moment(response.as_of_ms)));
    let mut reasons: Vec<&Finding> = response.reasons.iter().collect();
    reasons.sort_by_key(|reason| !TERMINAL.contains(&reason.code.as_str()));
    lines.extend(reasons.into_iter().map(reason_line));
    lines.join("\n")
}

fn dispensed(dose: &DoseView) -> String {
    match (dose.dispensed_at_ms, dose.dispensed_by.as_slice()) {
        (0, _) => "dispensed".to_owned(),
        (at_ms, by) => format!("dispensed at {} by {}", words::moment(at_ms), by.join(" and ")),
    }
}

/// For whom it was made; nothing of it for a reader who may not see the subject.
fn whose(dose: &DoseView) -> String {
    if dose.order_id.is_empty() {
        return "  subject and order not shown".to_owned();
    }
    let (at, by) = (words::moment(dose.ordered_at_ms), dose.ordered_by.join(" and "));
    format!("  subject {}, order of {at} by {by} ({})", dose.subject_code, words::id(&dose.order_id))
}

/// Minutes that are left, rounded down: the last one is not promised.
fn left(expires_at_ms: i64, as_of_ms: i64) -> String {
    match expires_at_ms.saturating_sub(as_of_ms) {
        ms if ms < 0 => "EXPIRED".to_owned(),
        ms => format!("{} min left", ms / 60_000),
    }
}

fn reason_line(reason: &Finding) -> String {
    let look: Vec<String> = reason.look_at.iter().map(|l| format!("{} {}", l.kind, l.id)).collect();
    let see = if look.is_empty() { String::new() } else { format!("; see {}", look.join(", ")) };
    format!("  {}: found {}; allowed {}{see}; next: {}", reason.code, reason.found, reason.allowed, reason.next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(answer: Answer, state: &str, codes: &[&str]) -> CheckDoseResponse {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let (dispensed_at_ms, dispensed_by) = if state == "dispensed" { (60_000, texts(&["Igor"])) } else { (0, Vec::new()) };
        let dose = DoseView {
            dose_code: "701018".to_owned(),
            state: state.to_owned(),
            subject_code: "R-01".to_owned(),
            order_id: vec![1; 16],
            ordered_by: texts(&["Galina"]),
            unit_codes: texts(&["26010012", "26010020"]),
            lot_codes: texts(&["L-1"]),
            viable_cells_per_kg: 1_000_000,
            expires_at_ms: 7_259_000,
            dispensed_at_ms,
            dispensed_by,
            ..DoseView::default()
        };
        let reason = |code: &&str| Finding { code: (*code).to_owned(), ..Finding::default() };
        CheckDoseResponse {
            answer: answer.into(),
            dose: Some(dose),
            as_of_ms: 60_000,
            reasons: codes.iter().map(reason).collect(),
            ..CheckDoseResponse::default()
        }
    }

    #[test]
    fn an_answer_tells_whose_dose_it_is_and_how_long_it_lasts() {
        let lines = [
            "GREEN: may be released",
            "  dose 701018, prepared, 1000000 viable cells per kg",
            "  subject R-01, order of 1970-01-01 00:00:00 +00:00 by Galina (01010101-0101-0101-0101-010101010101)",
            "  units 26010012, 26010020 of lot L-1",
            "  expires 1970-01-01 02:00:59 +00:00, 119 min left",
            "  as of 1970-01-01 00:01:00 +00:00, valid for 60 s",
        ];
        assert_eq!(answer(&response(Answer::Green, "prepared", &[])), lines.join("\n"));
        let given = answer(&response(Answer::Green, "dispensed", &[]));
        assert!(given.starts_with("GREEN: may be given (dispensed at 1970-01-01 00:01:00 +00:00 by Igor)\n"), "{given}");
        assert!(!given.contains("released"), "{given}");
    }

    #[test]
    fn what_nothing_can_mend_comes_first() {
        let red =
            answer(&response(Answer::Red, "ended", &["WEIGHT_CHANGED", "TRIAL_HALTED", "DOSE_EXPIRED", "DOSE_ALREADY_USED"]));
        let codes: Vec<&str> = red.lines().skip(6).map(|line| line.trim().split(':').next().unwrap()).collect();
        assert_eq!(codes, ["DOSE_EXPIRED", "DOSE_ALREADY_USED", "WEIGHT_CHANGED", "TRIAL_HALTED"]);
        assert!(red.starts_with("RED: must not be given\n"), "{red}");
        assert_eq!(left(0, 1), "EXPIRED");
    }
}
