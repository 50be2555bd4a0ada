//! What people read: the same small trial in each form.

use marrowline_report::{
    Arm, Checkpoint, Dose, Moment, Observation, Remark, RemarkKind, Report, Subject, Trial, csv, json, svg, table,
};

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 1_772_427_600_000;

/// Noon in Moscow, some days after the trial began.
fn day(days: i64) -> Moment {
    Moment { unix_ms: START_MS + days * DAY_MS, offset_minutes: 180 }
}

fn arm(arm: u32, code: &str, name: &str) -> Arm {
    Arm { arm, code: code.to_owned(), name: name.to_owned(), receives_cells: arm == 2 }
}

fn subject(code: &str, arm: u32, died: Option<i64>, seen: i64, il6: &[(u32, f64)]) -> Subject {
    Subject {
        code: code.to_owned(),
        arm: Some(arm),
        screened_at: Some(day(0)),
        eligible: Some(true),
        randomised_at: Some(day(0)),
        onset_at: Some(day(0)),
        died_at: died.map(day),
        last_alive_at: Some(day(seen)),
        endpoints: il6
            .iter()
            .map(|(day, value)| Observation {
                scale: "interleukin 6".to_owned(),
                unit: "pg/mL".to_owned(),
                day: *day,
                value: *value,
            })
            .collect(),
        ..Subject::default()
    }
}

fn trial() -> Trial {
    let mut treated = subject("R-01", 2, None, 28, &[(0, 900.0), (7, 210.5)]);
    treated.doses.push(Dose {
        code: "=DOSE-1".to_owned(),
        started_at: day(0),
        viable_cells_per_kg: Some(1_000_000),
        seconds_from_onset: Some(36_001),
        stopped_because: Some("rigors, \"at once\"".to_owned()),
    });
    let remark = |kind, thing: &str, code: &str, is_open| Remark {
        kind,
        thing: thing.to_owned(),
        code: code.to_owned(),
        record: "0190-7".to_owned(),
        at: day(1),
        is_open,
    };
    Trial {
        registration: "NCT01849237".to_owned(),
        title: "Cells & <sepsis>".to_owned(),
        protocol_version: 2,
        is_training: true,
        arms: vec![
            arm(1, "STANDARD", "standard therapy"),
            arm(
                2,
                "MSC",
                "the same and mesenchymal stromal cells of one donor, expanded, frozen and thawed for one subject, within ten hours",
            ),
        ],
        follow_up_days: vec![7, 28],
        planned: 6,
        cut_off: day(30),
        checkpoint: Checkpoint { origin: "lab/0a".to_owned(), tree_size: 42, root: "ab".repeat(32) },
        subjects: vec![
            treated,
            subject("R-02", 1, Some(3), 1, &[(0, 1_000.0)]),
            subject("R-03", 1, None, 28, &[(0, 800.0), (7, 700.0)]),
            subject("R-04", 2, None, 5, &[(0, 850.0)]),
            Subject { code: "R-05".to_owned(), screened_at: Some(day(0)), eligible: Some(false), ..Subject::default() },
        ],
        remarks: vec![
            remark(RemarkKind::LateEntry, "subject R-02", "LATE_ENTRY", false),
            remark(RemarkKind::Deviation, "subject R-01", "INFUSION_LATE", true),
        ],
    }
}

#[test]
fn as_text() {
    insta::assert_snapshot!("table", table(&Report::of(&trial())));
}

#[test]
fn as_csv() {
    insta::assert_snapshot!("csv", csv(&Report::of(&trial())).unwrap());
}

#[test]
fn as_json() {
    insta::assert_snapshot!("json", json(&Report::of(&trial())).unwrap());
}

#[test]
fn as_a_drawing() {
    insta::assert_snapshot!("svg", svg(&Report::of(&trial())));
}

#[test]
fn a_trial_without_subjects_has_a_report_in_every_form() {
    let empty = Trial { subjects: Vec::new(), remarks: Vec::new(), ..trial() };
    let report = Report::of(&empty);
    assert!(table(&report).contains("not computable: an arm without subjects"), "{}", table(&report));
    assert!(json(&report).is_ok() && csv(&report).is_ok());
    assert!(svg(&report).contains("not computable"));
    let one_arm = Trial { arms: vec![arm(1, "STANDARD", "standard therapy")], ..trial() };
    assert!(table(&Report::of(&one_arm)).contains("the test compares two arms, this trial has 1"));
}

#[test]
fn no_subject_is_lost_and_none_is_counted_twice() {
    let report = Report::of(&trial());
    assert_eq!((report.flow.consented, report.flow.screened, report.flow.not_eligible, report.flow.randomised), (5, 5, 1, 4));
    for day in [7, 28] {
        let of_day: Vec<_> = report.survival.status.iter().filter(|row| row.day == day).collect();
        assert!(of_day.iter().all(|row| row.alive + row.dead + row.unknown == 2), "{of_day:?}");
    }
    // Whoever was not seen on a day makes the test of that day impossible, and is not silently left out.
    assert!(report.survival.fisher.iter().all(|row| row.fisher.value().is_none()));
}
