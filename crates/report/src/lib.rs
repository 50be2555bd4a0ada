//! The report of a trial: from its facts to tables, curves and tests.
//!
//! [`Trial`] holds the facts as they were recorded, [`Report::of`] computes, and [`table`], [`csv`], [`svg`] and [`json`] write. Nothing
//! here reads a file, a clock or the network: the same facts give the same report, byte for byte.
//!
//! Floating point is allowed in this crate and in no other that judges or signs: a probability, a median and a place on a drawing are
//! not facts, nobody signs them, and no rule reads them. What goes in stays whole: days, cells per kg and seconds are integers.
//!
//! What cannot be computed is said in words ([`Computed`]) and never shown as a number.

mod computed;
mod csv;
mod describe;
mod fisher;
mod input;
mod number;
mod report;
mod survival;
mod svg;
mod table;

pub use computed::Computed;
pub use csv::{CsvError, csv};
pub use describe::Summary;
pub use fisher::{Fisher, TwoByTwo, fisher};
pub use input::{Arm, Checkpoint, Dose, Moment, Observation, Remark, RemarkKind, Subject, Trial};
pub use report::{ArmFlow, DoseRow, DoseSummary, EndpointRow, Flow, RemarkRow, Report, StatusRow, Survival, TestRow};
pub use survival::{Curve, Followed, LogRank, Point, curve, log_rank};
pub use svg::svg;
pub use table::table;

/// The report as JSON, with two spaces of indentation.
///
/// # Errors
///
/// Never, for a report that [`Report::of`] made: all its keys are text and all its numbers finite.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}
