//! The demo's thirty subjects, as somebody sees them who runs it.

use std::process::Command;

use crate::ledger::PROGRAM;

/// Lines that hold all of these.
fn count(printed: &str, words: &[&str]) -> usize {
    printed.lines().filter(|line| words.iter().all(|word| line.contains(word))).count()
}

/// Subjects whose story has such a line; each line of follow-up begins with the subject's code after the time.
fn followed(printed: &str, ends: impl Fn(i64, &str) -> bool) -> usize {
    let line = |line: &str| {
        let (_, rest) = line.split_once(", day ")?;
        let (day, rest) = rest.split_once(": ")?;
        Some((day.parse::<i64>().ok()?, rest.split_whitespace().next()?.to_owned()))
    };
    printed.lines().filter_map(line).filter(|(day, word)| ends(*day, word)).count()
}

#[test]
fn the_whole_trial_is_played_with_what_goes_wrong() {
    let owned = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = Command::new(PROGRAM).args(["demo", "--exit", "--data"]).arg(owned.path().join("d")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("all of it held"));
    assert_eq!(count(&printed, &["randomised: next slot", "leaf"]), 30);
    assert_eq!(count(&printed, &["infusion ended", "leaf"]), 15);
    assert_eq!(count(&printed, &["lot opened", "leaf"]), 4);
    assert_eq!(count(&printed, &["donor registered", "leaf"]), 3);
    let refusals = [
        "TARGET_OUTSIDE_BAND",
        "ARM_WITHOUT_CELLS",
        "ANALYST_IS_REVIEWER",
        "SIGNER_WITHOUT_AUTHORITY",
        "AUTHORISATION_BACKDATED",
        "ABOVE_24_HOUR_CAP",
        "UNIT_ALREADY_ALLOCATED",
        "DOSE_VIABILITY_LOW",
    ];
    for code in refusals {
        assert!(count(&printed, &[&format!("    {code} (")]) > 0, "nothing was refused for {code}");
    }
    for code in ["INFUSION_LATE", "THAW_VIABILITY_LOW", "OUT_OF_SPECIFICATION", "POSITIVE_AFTER_RELEASE"] {
        assert!(count(&printed, &["FLAGGED", code]) > 0, "nothing was flagged {code}");
    }
    // The contaminated lot is traced to the three who were given it.
    for subject in ["R-19", "R-21", "R-23"] {
        assert_eq!(count(&printed, &["lot L-2026-04", "infused", "POSITIVE_AFTER_RELEASE", &format!("subject {subject}")]), 2);
    }
    assert_eq!(count(&printed, &["recall closed", "leaf"]), 1);
    assert_eq!(count(&printed, &["weighing amended", "leaf"]), 1);
    // It ends with the report of all thirty, in every form.
    for line in ["randomised 30 of 30 planned", "log-rank test: chi-squared", "day 28: p = 0.0604 (12 of 15 dead, 6 of 15)"] {
        assert_eq!(count(&printed, &[line]), 1, "{line}");
    }
    for file in ["report.txt", "report.json", "report.csv", "report.svg"] {
        assert!(std::fs::read_to_string(owned.path().join("d").join(file)).unwrap().contains("NCT01849237"), "{file}");
    }
    // Nine and three of fifteen alive at day 28, four and three after three months.
    assert_eq!(followed(&printed, |day, word| day <= 28 && word == "died"), 6 + 12);
    assert_eq!(followed(&printed, |day, word| day == 28 && word == "alive"), 9 + 3);
    assert_eq!(followed(&printed, |day, word| day == 90 && word == "alive"), 4 + 3);
}
