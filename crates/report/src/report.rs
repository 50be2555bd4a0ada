//! The report: what is computed from the facts, ready to be written in any form.
//!
//! Time is counted in calendar days of the place since the day of randomisation, as trials do. Everybody who was randomised counts in the
//! arm that they were given, whatever they received. A subject with a recorded death has died on that day; anybody else is followed until
//! the last day on which they are recorded to live.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::computed::Computed;
use crate::describe::Summary;
use crate::fisher::{Fisher, TwoByTwo, fisher};
use crate::input::{Arm, RemarkKind, Subject, Trial};
use crate::survival::{Curve, Followed, LogRank, curve, log_rank};

/// The state of the ledger that the report rests on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Basis {
    /// The ledger's time, in words.
    pub cut_off: String,
    /// The ledger's time, Unix ms.
    pub cut_off_ms: i64,
    /// The log.
    pub origin: String,
    /// Leaves in the log.
    pub tree_size: u64,
    /// Root of the log, hexadecimal.
    pub root: String,
}

/// One arm's subjects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmFlow {
    /// Its code.
    pub arm: String,
    /// Its name.
    pub name: String,
    /// Whether it receives cells.
    pub receives_cells: bool,
    /// Subjects that were given this arm.
    pub randomised: usize,
    /// Those of them in whom an infusion was begun.
    pub infused: usize,
    /// Infusions that were begun.
    pub infusions: usize,
    /// Recorded deaths.
    pub died: usize,
    /// Withdrawn from treatment.
    pub withdrawn: usize,
}

/// From consent to arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Flow {
    /// Subjects planned.
    pub planned: u32,
    /// Consented.
    pub consented: usize,
    /// Screened.
    pub screened: usize,
    /// Of those: may take part by the protocol.
    pub eligible: usize,
    /// Of those: may not.
    pub not_eligible: usize,
    /// Randomised.
    pub randomised: usize,
    /// Each arm.
    pub arms: Vec<ArmFlow>,
}

/// One subject in one line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SubjectRow {
    /// Its code.
    pub subject: String,
    /// Code of its arm.
    pub arm: Option<String>,
    /// When it was screened.
    pub screened_at: Option<String>,
    /// Whether it may take part.
    pub eligible: Option<bool>,
    /// When it was randomised.
    pub randomised_at: Option<String>,
    /// Onset of the condition.
    pub onset_at: Option<String>,
    /// Day since randomisation on which it died or was last known to live.
    pub followed_days: Option<u32>,
    /// Whether it died on that day.
    pub died: bool,
}

/// An infusion that was begun.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoseRow {
    /// The subject's code.
    pub subject: String,
    /// Code of its arm.
    pub arm: String,
    /// Code on the label.
    pub dose: String,
    /// When it began.
    pub started_at: String,
    /// Viable cells per kg.
    pub viable_cells_per_kg: Option<u64>,
    /// From the onset to its beginning.
    pub seconds_from_onset: Option<i64>,
    /// Why it was stopped before its end.
    pub stopped_because: Option<String>,
}

/// The infusions of an arm, described.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DoseSummary {
    /// Code of the arm.
    pub arm: String,
    /// Viable cells per kg of each infusion.
    pub viable_cells_per_kg: Computed<Summary>,
    /// Hours from the onset to each subject's first infusion.
    pub hours_from_onset: Computed<Summary>,
}

/// A deviation, an override or a late entry.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RemarkRow {
    /// `deviation`, `override` or `late entry`.
    pub kind: &'static str,
    /// The rule.
    pub code: String,
    /// What it is about.
    pub thing: String,
    /// The record.
    pub record: String,
    /// When.
    pub at: String,
    /// Whether it still awaits its end.
    pub open: bool,
}

/// An endpoint of one arm on one day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointRow {
    /// The scale or analyte.
    pub scale: String,
    /// Its unit.
    pub unit: String,
    /// The day; 0 is the baseline.
    pub day: u32,
    /// Code of the arm.
    pub arm: String,
    /// The values, one for each subject.
    pub values: Computed<Summary>,
}

/// How an arm stands on a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusRow {
    /// The day.
    pub day: u32,
    /// Code of the arm.
    pub arm: String,
    /// Known to live on that day.
    pub alive: u64,
    /// Dead by the end of that day.
    pub dead: u64,
    /// Neither is known.
    pub unknown: u64,
    /// At risk on that day.
    pub at_risk: u64,
    /// Kaplan–Meier estimate.
    pub survival: Computed<f64>,
}

/// Fisher's test of the dead and the living on a day.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TestRow {
    /// The day.
    pub day: u32,
    /// The result.
    pub fisher: Computed<Fisher>,
}

/// The curve of an arm.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmCurve {
    /// Code of the arm.
    pub arm: String,
    /// Its name.
    pub name: String,
    /// Subjects in it.
    pub subjects: usize,
    /// The curve.
    pub curve: Computed<Curve>,
}

/// Who lives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Survival {
    /// Days that are reported: that of randomisation and those of the protocol.
    pub days: Vec<u32>,
    /// Each arm's curve.
    pub curves: Vec<ArmCurve>,
    /// Each day and arm.
    pub status: Vec<StatusRow>,
    /// The arms' curves compared.
    pub log_rank: Computed<LogRank>,
    /// The arms compared on each follow-up day; not adjusted for how many days there are.
    pub fisher: Vec<TestRow>,
}

/// The report of a trial.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Registration number.
    pub registration: String,
    /// Title.
    pub title: String,
    /// Version of the protocol.
    pub protocol_version: u32,
    /// Whether the ledger is a TRAINING ledger.
    pub training: bool,
    /// What it rests on.
    pub basis: Basis,
    /// From consent to arm.
    pub flow: Flow,
    /// Every subject.
    pub subjects: Vec<SubjectRow>,
    /// Every infusion.
    pub doses: Vec<DoseRow>,
    /// The infusions of each arm that receives cells or in which one was begun.
    pub dose_summaries: Vec<DoseSummary>,
    /// Deviations, overrides and late entries.
    pub remarks: Vec<RemarkRow>,
    /// Endpoints by scale, day and arm.
    pub endpoints: Vec<EndpointRow>,
    /// Who lives.
    pub survival: Survival,
}

impl Report {
    /// Computes the report.
    pub fn of(trial: &Trial) -> Report {
        Report {
            registration: trial.registration.clone(),
            title: trial.title.clone(),
            protocol_version: trial.protocol_version,
            training: trial.is_training,
            basis: Basis {
                cut_off: trial.cut_off.in_words(),
                cut_off_ms: trial.cut_off.unix_ms,
                origin: trial.checkpoint.origin.clone(),
                tree_size: trial.checkpoint.tree_size,
                root: trial.checkpoint.root.clone(),
            },
            flow: flow(trial),
            subjects: trial.subjects.iter().map(|subject| subject_row(trial, subject)).collect(),
            doses: doses(trial),
            dose_summaries: trial.arms.iter().filter_map(|arm| dose_summary(trial, arm)).collect(),
            remarks: remarks(trial),
            endpoints: endpoints(trial),
            survival: survival(trial),
        }
    }
}

fn in_arm<'a>(trial: &'a Trial, arm: &'a Arm) -> impl Iterator<Item = &'a Subject> {
    trial.subjects.iter().filter(move |subject| subject.arm == Some(arm.arm))
}

fn arm_code(trial: &Trial, subject: &Subject) -> Option<String> {
    let number = subject.arm?;
    let known = trial.arms.iter().find(|arm| arm.arm == number).map(|arm| arm.code.clone());
    Some(known.unwrap_or_else(|| number.to_string()))
}

fn flow(trial: &Trial) -> Flow {
    let count = |holds: &dyn Fn(&Subject) -> bool| trial.subjects.iter().filter(|subject| holds(subject)).count();
    let arm_flow = |arm: &Arm| {
        let of = |holds: &dyn Fn(&Subject) -> bool| in_arm(trial, arm).filter(|subject| holds(subject)).count();
        ArmFlow {
            arm: arm.code.clone(),
            name: arm.name.clone(),
            receives_cells: arm.receives_cells,
            randomised: of(&|_| true),
            infused: of(&|s| !s.doses.is_empty()),
            infusions: in_arm(trial, arm).map(|s| s.doses.len()).sum(),
            died: of(&|s| s.died_at.is_some()),
            withdrawn: of(&|s| s.withdrawn_at.is_some()),
        }
    };
    Flow {
        planned: trial.planned,
        consented: trial.subjects.len(),
        screened: count(&|s| s.screened_at.is_some()),
        eligible: count(&|s| s.screened_at.is_some() && s.eligible == Some(true)),
        not_eligible: count(&|s| s.screened_at.is_some() && s.eligible == Some(false)),
        randomised: count(&|s| s.arm.is_some()),
        arms: trial.arms.iter().map(arm_flow).collect(),
    }
}

fn followed(subject: &Subject) -> Option<Followed> {
    let start = subject.randomised_at?;
    Some(match (subject.died_at, subject.last_alive_at) {
        (Some(death), _) => Followed { day: death.days_since(&start), died: true },
        (None, Some(seen)) => Followed { day: seen.days_since(&start), died: false },
        (None, None) => Followed { day: 0, died: false },
    })
}

fn subject_row(trial: &Trial, subject: &Subject) -> SubjectRow {
    let followed = followed(subject);
    SubjectRow {
        subject: subject.code.clone(),
        arm: arm_code(trial, subject),
        screened_at: subject.screened_at.map(|at| at.in_words()),
        eligible: subject.eligible,
        randomised_at: subject.randomised_at.map(|at| at.in_words()),
        onset_at: subject.onset_at.map(|at| at.in_words()),
        followed_days: followed.map(|f| f.day),
        died: subject.died_at.is_some(),
    }
}

fn doses(trial: &Trial) -> Vec<DoseRow> {
    let of = |subject: &Subject| {
        let arm = arm_code(trial, subject).unwrap_or_default();
        let rows = subject.doses.iter().map(|dose| DoseRow {
            subject: subject.code.clone(),
            arm: arm.clone(),
            dose: dose.code.clone(),
            started_at: dose.started_at.in_words(),
            viable_cells_per_kg: dose.viable_cells_per_kg,
            seconds_from_onset: dose.seconds_from_onset,
            stopped_because: dose.stopped_because.clone(),
        });
        rows.collect::<Vec<_>>()
    };
    trial.subjects.iter().flat_map(of).collect()
}

fn described(values: &[f64], nothing: &str) -> Computed<Summary> {
    Summary::of(values).map_or_else(|| Computed::not(nothing), Computed::Value)
}

fn dose_summary(trial: &Trial, arm: &Arm) -> Option<DoseSummary> {
    let infusions = || in_arm(trial, arm).flat_map(|subject| &subject.doses);
    if !arm.receives_cells && infusions().next().is_none() {
        return None;
    }
    let cells: Vec<f64> = infusions().filter_map(|dose| dose.viable_cells_per_kg).map(|cells| cells as f64).collect();
    let firsts = in_arm(trial, arm).filter_map(|subject| subject.doses.first()?.seconds_from_onset);
    let hours: Vec<f64> = firsts.map(|seconds| seconds as f64 / 3_600.0).collect();
    Some(DoseSummary {
        arm: arm.code.clone(),
        viable_cells_per_kg: described(&cells, "no infusion of a weighed subject"),
        hours_from_onset: described(&hours, "no infusion after a recorded onset"),
    })
}

fn remarks(trial: &Trial) -> Vec<RemarkRow> {
    let mut sorted: Vec<_> = trial.remarks.iter().collect();
    sorted.sort_by_key(|remark| (remark.kind, remark.at.unix_ms));
    let row = |remark: &crate::input::Remark| RemarkRow {
        kind: match remark.kind {
            RemarkKind::Deviation => "deviation",
            RemarkKind::Override => "override",
            RemarkKind::LateEntry => "late entry",
        },
        code: remark.code.clone(),
        thing: remark.thing.clone(),
        record: remark.record.clone(),
        at: remark.at.in_words(),
        open: remark.is_open,
    };
    sorted.into_iter().map(row).collect()
}

/// Scale, unit and day.
type Visit<'a> = (&'a str, &'a str, u32);

/// One value for each subject, scale and day: the one that was recorded last.
fn endpoints(trial: &Trial) -> Vec<EndpointRow> {
    let mut visits: BTreeMap<Visit<'_>, BTreeMap<(u32, &str), f64>> = BTreeMap::new();
    for subject in &trial.subjects {
        let Some(arm) = subject.arm else { continue };
        for seen in &subject.endpoints {
            let values = visits.entry((&seen.scale, &seen.unit, seen.day)).or_default();
            values.insert((arm, &subject.code), seen.value);
        }
    }
    let rows = visits.into_iter().flat_map(|((scale, unit, day), values)| {
        let row = move |arm: &Arm| {
            let of_arm: Vec<f64> = values.iter().filter(|((number, _), _)| *number == arm.arm).map(|(_, value)| *value).collect();
            EndpointRow {
                scale: scale.to_owned(),
                unit: unit.to_owned(),
                day,
                arm: arm.code.clone(),
                values: described(&of_arm, "nobody was observed"),
            }
        };
        trial.arms.iter().map(row)
    });
    rows.collect()
}

fn survival(trial: &Trial) -> Survival {
    let arms: Vec<Vec<Followed>> = trial.arms.iter().map(|arm| in_arm(trial, arm).filter_map(followed).collect()).collect();
    let mut days: Vec<u32> = std::iter::once(0).chain(trial.follow_up_days.iter().copied()).collect();
    days.sort_unstable();
    days.dedup();
    let status = |day: u32, arm: &Arm, followed: &[Followed]| {
        let (alive, dead, unknown) = standing(followed, day);
        let curve = curve(followed);
        let reason = if followed.is_empty() { "an arm without subjects" } else { "nobody is followed that long" };
        StatusRow {
            day,
            arm: arm.code.clone(),
            alive,
            dead,
            unknown,
            at_risk: curve.at_risk(day),
            survival: curve.survival(day).map_or_else(|| Computed::not(reason), Computed::Value),
        }
    };
    let curves = trial.arms.iter().zip(&arms).map(|(arm, followed)| ArmCurve {
        arm: arm.code.clone(),
        name: arm.name.clone(),
        subjects: followed.len(),
        curve: if followed.is_empty() { Computed::not("an arm without subjects") } else { Computed::Value(curve(followed)) },
    });
    let compared = |day: u32| match arms.as_slice() {
        [first, second] => deaths_by(day, first, second),
        arms => Computed::NotComputable(not_two(arms.len())),
    };
    let days_compared = days.iter().filter(|day| **day > 0);
    Survival {
        curves: curves.collect(),
        status: days.iter().flat_map(|day| trial.arms.iter().zip(&arms).map(|(arm, of)| status(*day, arm, of))).collect(),
        log_rank: match arms.as_slice() {
            [first, second] => log_rank(first, second),
            arms => Computed::NotComputable(not_two(arms.len())),
        },
        fisher: days_compared.map(|day| TestRow { day: *day, fisher: compared(*day) }).collect(),
        days,
    }
}

fn not_two(arms: usize) -> String {
    format!("the test compares two arms, this trial has {arms}")
}

/// Alive, dead and unknown on a day.
fn standing(followed: &[Followed], day: u32) -> (u64, u64, u64) {
    followed.iter().fold((0, 0, 0), |(alive, dead, unknown), subject| {
        if subject.died && subject.day <= day {
            (alive, dead + 1, unknown)
        } else if subject.day >= day {
            (alive + 1, dead, unknown)
        } else {
            (alive, dead, unknown + 1)
        }
    })
}

/// Fisher's test needs to know of everybody: a death is heard of sooner than a life, so leaving out the unknown would favour neither arm
/// only by chance.
fn deaths_by(day: u32, first: &[Followed], second: &[Followed]) -> Computed<Fisher> {
    let ((first_without, first_with, u1), (second_without, second_with, u2)) = (standing(first, day), standing(second, day));
    match u1 + u2 {
        0 => fisher(TwoByTwo { first_with, first_without, second_with, second_without }),
        1 => Computed::not(format!("of 1 subject it is not known whether it lives on day {day}")),
        n => Computed::not(format!("of {n} subjects it is not known whether they live on day {day}")),
    }
}
