//! The report as CSV (RFC 4180) in long form: one value in each line, so that one header fits every part of the report.
//!
//! Columns: `section`, `arm`, `subject`, `day`, `item`, `measure`, `value`. Numbers are written in full, with a point. What is not
//! computable has the measure `not_computable` and the reason as its value. A text that a spreadsheet would take for a formula begins with
//! an apostrophe.

use crate::computed::Computed;
use crate::describe::Summary;
use crate::report::{Report, Survival};

/// The report could not be written as CSV.
#[derive(Debug, thiserror::Error)]
#[error("the report cannot be written as CSV: {0}")]
pub struct CsvError(String);

/// Where a value belongs.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    section: &'a str,
    arm: &'a str,
    subject: &'a str,
    day: Option<u32>,
    item: &'a str,
}

struct Lines {
    writer: csv::Writer<Vec<u8>>,
}

/// A text that no spreadsheet takes for a formula.
fn harmless(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{text}") } else { text.to_owned() }
}

impl Lines {
    fn raw(&mut self, place: Place<'_>, measure: &str, value: &str) -> Result<(), CsvError> {
        let day = place.day.map(|day| day.to_string()).unwrap_or_default();
        let texts = [place.section, place.arm, place.subject].map(harmless);
        let [section, arm, subject] = texts;
        self.writer
            .write_record([&section, &arm, &subject, &day, &harmless(place.item), measure, value])
            .map_err(|e| CsvError(e.to_string()))
    }

    fn text(&mut self, place: Place<'_>, measure: &str, value: &str) -> Result<(), CsvError> {
        self.raw(place, measure, &harmless(value))
    }

    fn number(&mut self, place: Place<'_>, measure: &str, value: impl ToString) -> Result<(), CsvError> {
        self.raw(place, measure, &value.to_string())
    }

    fn maybe(&mut self, place: Place<'_>, measure: &str, value: Option<impl ToString>) -> Result<(), CsvError> {
        value.map_or(Ok(()), |value| self.number(place, measure, value))
    }

    fn computed<T>(
        &mut self,
        place: Place<'_>,
        computed: &Computed<T>,
        write: impl FnOnce(&mut Lines, &T) -> Result<(), CsvError>,
    ) -> Result<(), CsvError> {
        match computed {
            Computed::Value(value) => write(self, value),
            Computed::NotComputable(reason) => self.text(place, "not_computable", reason),
        }
    }

    fn summary(&mut self, place: Place<'_>, computed: &Computed<Summary>) -> Result<(), CsvError> {
        self.computed(place, computed, |lines, s| {
            lines.number(place, "n", s.n)?;
            lines.number(place, "mean", s.mean)?;
            lines.number(place, "min", s.min)?;
            lines.number(place, "lower_quartile", s.lower_quartile)?;
            lines.number(place, "median", s.median)?;
            lines.number(place, "upper_quartile", s.upper_quartile)?;
            lines.number(place, "max", s.max)
        })
    }
}

/// The report as CSV.
///
/// # Errors
///
/// If a line cannot be written; into memory that does not happen.
pub fn csv(report: &Report) -> Result<String, CsvError> {
    let mut lines = Lines { writer: csv::Writer::from_writer(Vec::new()) };
    let header = ["section", "arm", "subject", "day", "item", "measure", "value"];
    lines.writer.write_record(header).map_err(|e| CsvError(e.to_string()))?;
    basis(&mut lines, report)?;
    flow(&mut lines, report)?;
    subjects(&mut lines, report)?;
    doses(&mut lines, report)?;
    remarks(&mut lines, report)?;
    for row in &report.endpoints {
        let item = if row.unit.is_empty() { row.scale.clone() } else { format!("{} ({})", row.scale, row.unit) };
        lines.summary(Place { section: "endpoint", arm: &row.arm, day: Some(row.day), item: &item, subject: "" }, &row.values)?;
    }
    survival(&mut lines, &report.survival)?;
    let bytes = lines.writer.into_inner().map_err(|e| CsvError(e.to_string()))?;
    String::from_utf8(bytes).map_err(|e| CsvError(e.to_string()))
}

fn basis(lines: &mut Lines, report: &Report) -> Result<(), CsvError> {
    let place = Place { section: "basis", ..Place::default() };
    lines.text(place, "registration", &report.registration)?;
    lines.text(place, "title", &report.title)?;
    lines.number(place, "protocol_version", report.protocol_version)?;
    lines.number(place, "training", report.training)?;
    lines.text(place, "cut_off", &report.basis.cut_off)?;
    lines.text(place, "log", &report.basis.origin)?;
    lines.number(place, "tree_size", report.basis.tree_size)?;
    lines.text(place, "root", &report.basis.root)
}

fn flow(lines: &mut Lines, report: &Report) -> Result<(), CsvError> {
    let (flow, place) = (&report.flow, Place { section: "flow", ..Place::default() });
    lines.number(place, "planned", flow.planned)?;
    lines.number(place, "consented", flow.consented)?;
    lines.number(place, "screened", flow.screened)?;
    lines.number(place, "eligible", flow.eligible)?;
    lines.number(place, "not_eligible", flow.not_eligible)?;
    lines.number(place, "randomised", flow.randomised)?;
    for arm in &flow.arms {
        let place = Place { arm: &arm.arm, ..place };
        lines.text(place, "name", &arm.name)?;
        lines.number(place, "receives_cells", arm.receives_cells)?;
        lines.number(place, "randomised", arm.randomised)?;
        lines.number(place, "infused", arm.infused)?;
        lines.number(place, "infusions", arm.infusions)?;
        lines.number(place, "died", arm.died)?;
        lines.number(place, "withdrawn", arm.withdrawn)?;
    }
    Ok(())
}

fn subjects(lines: &mut Lines, report: &Report) -> Result<(), CsvError> {
    for row in &report.subjects {
        let arm = row.arm.as_deref().unwrap_or_default();
        let place = Place { section: "subject", arm, subject: &row.subject, ..Place::default() };
        lines.maybe(place, "screened_at", row.screened_at.as_ref())?;
        lines.maybe(place, "eligible", row.eligible)?;
        lines.maybe(place, "randomised_at", row.randomised_at.as_ref())?;
        lines.maybe(place, "onset_at", row.onset_at.as_ref())?;
        lines.maybe(place, "followed_days", row.followed_days)?;
        lines.number(place, "died", row.died)?;
    }
    Ok(())
}

fn doses(lines: &mut Lines, report: &Report) -> Result<(), CsvError> {
    for row in &report.doses {
        let place = Place { section: "dose", arm: &row.arm, subject: &row.subject, item: &row.dose, day: None };
        lines.text(place, "started_at", &row.started_at)?;
        lines.maybe(place, "viable_cells_per_kg", row.viable_cells_per_kg)?;
        lines.maybe(place, "seconds_from_onset", row.seconds_from_onset)?;
        if let Some(reason) = &row.stopped_because {
            lines.text(place, "stopped_because", reason)?;
        }
    }
    for row in &report.dose_summaries {
        let of = |item| Place { section: "dose_summary", arm: &row.arm, item, ..Place::default() };
        lines.summary(of("viable_cells_per_kg"), &row.viable_cells_per_kg)?;
        lines.summary(of("hours_from_onset"), &row.hours_from_onset)?;
    }
    Ok(())
}

fn remarks(lines: &mut Lines, report: &Report) -> Result<(), CsvError> {
    for row in &report.remarks {
        let place = Place { section: row.kind, item: &row.record, ..Place::default() };
        lines.text(place, "code", &row.code)?;
        lines.text(place, "thing", &row.thing)?;
        lines.text(place, "at", &row.at)?;
        lines.number(place, "open", row.open)?;
    }
    Ok(())
}

fn survival(lines: &mut Lines, survival: &Survival) -> Result<(), CsvError> {
    for arm in &survival.curves {
        let place = Place { section: "kaplan_meier", arm: &arm.arm, ..Place::default() };
        lines.computed(place, &arm.curve, |lines, curve| {
            lines.maybe(place, "median_day", curve.median_day)?;
            for point in &curve.points {
                let place = Place { day: Some(point.day), ..place };
                lines.number(place, "at_risk", point.at_risk)?;
                lines.number(place, "deaths", point.deaths)?;
                lines.number(place, "censored", point.censored)?;
                lines.number(place, "survival", point.survival)?;
                lines.maybe(place, "lower", point.lower)?;
                lines.maybe(place, "upper", point.upper)?;
            }
            Ok(())
        })?;
    }
    for row in &survival.status {
        let place = Place { section: "status", arm: &row.arm, day: Some(row.day), ..Place::default() };
        lines.number(place, "at_risk", row.at_risk)?;
        lines.number(place, "alive", row.alive)?;
        lines.number(place, "dead", row.dead)?;
        lines.number(place, "unknown", row.unknown)?;
        lines.computed(place, &row.survival, |lines, share| lines.number(place, "survival", share))?;
    }
    let place = Place { section: "log_rank", ..Place::default() };
    lines.computed(place, &survival.log_rank, |lines, test| {
        lines.number(place, "observed", test.observed)?;
        lines.number(place, "expected", test.expected)?;
        lines.number(place, "chi_squared", test.chi_squared)?;
        lines.number(place, "p_value", test.p_value)
    })?;
    for row in &survival.fisher {
        let place = Place { section: "fisher", day: Some(row.day), ..Place::default() };
        lines.computed(place, &row.fisher, |lines, test| lines.number(place, "p_value", test.p_value))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn no_text_becomes_a_formula() {
        for text in ["=1+1", "+1", "-1", "@x", "\t=1"] {
            assert_eq!(harmless(text), format!("'{text}"));
        }
        assert_eq!([harmless("R-01"), harmless("")], ["R-01", ""]);
    }
}
