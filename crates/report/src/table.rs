//! The report as text, for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::describe::Summary;
use crate::fisher::Fisher;
use crate::number::{fixed, grouped, hours, p_value, share, short};
use crate::report::{RemarkRow, Report};

/// Most things that are named beside a remark.
const MOST_NAMED: usize = 6;

/// The report as text.
pub fn table(report: &Report) -> String {
    let mut text = head(report);
    subjects(&mut text, report);
    doses(&mut text, report);
    remarks(&mut text, report);
    endpoints(&mut text, report);
    survival(&mut text, report);
    text
}

/// Writing to a text never fails.
macro_rules! line {
    ($text:expr, $($words:tt)*) => {{
        let _ = writeln!($text, $($words)*);
    }};
}

fn head(report: &Report) -> String {
    let mut text = String::new();
    line!(text, "Trial report {}, protocol version {}", report.registration, report.protocol_version);
    line!(text, "{}", report.title);
    if report.training {
        line!(text, "TRAINING ledger: nothing in it is real");
    }
    line!(text, "data cut-off {}", report.basis.cut_off);
    line!(text, "checkpoint   {}, tree size {}", report.basis.origin, report.basis.tree_size);
    line!(text, "             root {}", report.basis.root);
    text
}

fn subjects(text: &mut String, report: &Report) {
    let flow = &report.flow;
    line!(text, "\nSubjects");
    line!(
        text,
        "  consented {}, screened {}, eligible {}, not eligible {}, randomised {} of {} planned",
        flow.consented,
        flow.screened,
        flow.eligible,
        flow.not_eligible,
        flow.randomised,
        flow.planned
    );
    let mut grid = vec![cells(["arm", "randomised", "infused", "infusions", "died", "withdrew"])];
    for arm in &flow.arms {
        let counts = [arm.randomised, arm.infused, arm.infusions, arm.died, arm.withdrawn];
        grid.push(std::iter::once(format!("{} ({})", arm.arm, arm.name)).chain(counts.map(|n| n.to_string())).collect());
    }
    write_grid(text, &grid, 1);
}

fn doses(text: &mut String, report: &Report) {
    line!(text, "\nDoses: viable cells per kg, hours from onset");
    if report.doses.is_empty() {
        line!(text, "  no infusion was begun");
    } else {
        let mut grid = vec![cells(["subject", "arm", "dose", "begun", "cells/kg", "hours"])];
        for dose in &report.doses {
            let unknown = || "unknown".to_owned();
            grid.push(vec![
                dose.subject.clone(),
                dose.arm.clone(),
                dose.dose.clone(),
                dose.started_at.clone(),
                dose.viable_cells_per_kg.map_or_else(unknown, grouped),
                dose.seconds_from_onset.map_or_else(unknown, hours),
            ]);
        }
        write_grid(text, &grid, 4);
    }
    for dose in report.doses.iter().filter_map(|dose| Some((&dose.dose, dose.stopped_because.as_ref()?))) {
        line!(text, "  {} was stopped: {}", dose.0, dose.1);
    }
    for arm in &report.dose_summaries {
        line!(text, "  {}, cells/kg: {}", arm.arm, arm.viable_cells_per_kg.in_words(|s| in_words(s, |v| fixed(v, 0))));
        line!(
            text,
            "  {}, hours to the first infusion: {}",
            arm.arm,
            arm.hours_from_onset.in_words(|s| in_words(s, |v| fixed(v, 2)))
        );
    }
}

fn in_words(summary: &Summary, say: impl Fn(f64) -> String) -> String {
    let Summary { n, mean, min, lower_quartile, median, upper_quartile, max } = *summary;
    format!(
        "n {n}, median {} (quartiles {} to {}), mean {}, range {} to {}",
        say(median),
        say(lower_quartile),
        say(upper_quartile),
        say(mean),
        say(min),
        say(max)
    )
}

fn remarks(text: &mut String, report: &Report) {
    let of = |kind: &str| report.remarks.iter().filter(|remark| remark.kind == kind).count();
    let open = report.remarks.iter().filter(|remark| remark.open).count();
    line!(text, "\nDeviations {}, overrides {}, late entries {}; {open} open", of("deviation"), of("override"), of("late entry"));
    let mut by_code: BTreeMap<(&str, &str), Vec<&RemarkRow>> = BTreeMap::new();
    for remark in &report.remarks {
        by_code.entry((remark.kind, &remark.code)).or_default().push(remark);
    }
    let mut grid = Vec::new();
    for ((kind, code), remarks) in by_code {
        let mut things: Vec<&str> = remarks.iter().map(|remark| remark.thing.as_str()).collect();
        things.sort_unstable();
        things.dedup();
        let more = things.len().saturating_sub(MOST_NAMED);
        let named = things.into_iter().take(MOST_NAMED).collect::<Vec<_>>().join(", ");
        let named = if more > 0 { format!("{named} and {more} more") } else { named };
        grid.push(vec![kind.to_owned(), code.to_owned(), remarks.len().to_string(), named]);
    }
    write_grid(text, &grid, 9);
}

fn endpoints(text: &mut String, report: &Report) {
    line!(text, "\nEndpoints, day 0 is the baseline");
    if report.endpoints.is_empty() {
        line!(text, "  none was recorded");
        return;
    }
    let mut grid = vec![cells(["scale", "unit", "day", "arm", "n", "median", "quartiles", "mean"])];
    for row in &report.endpoints {
        let mut line = cells([&row.scale, &row.unit, &row.day.to_string(), &row.arm]);
        match row.values.value() {
            Some(s) => line.extend([
                s.n.to_string(),
                short(s.median),
                format!("{} to {}", short(s.lower_quartile), short(s.upper_quartile)),
                short(s.mean),
            ]),
            None => line.extend(cells(["0", "", "", ""])),
        }
        grid.push(line);
    }
    write_grid(text, &grid, 4);
}

fn survival(text: &mut String, report: &Report) {
    let survival = &report.survival;
    line!(text, "\nSurvival: Kaplan-Meier, days since randomisation, 95 % interval (Greenwood, log-log)");
    let mut grid = vec![cells(["arm", "day", "at risk", "alive", "dead", "unknown", "survival", "interval"])];
    for row in &survival.status {
        let counts = [row.at_risk, row.alive, row.dead, row.unknown].map(|n| n.to_string());
        let point = survival.curves.iter().find(|c| c.arm == row.arm).and_then(|c| c.curve.value()?.at(row.day).copied());
        let interval = point.filter(|_| row.survival.value().is_some()).and_then(|p| Some((p.lower?, p.upper?)));
        let mut line = vec![row.arm.clone(), row.day.to_string()];
        line.extend(counts);
        line.push(row.survival.value().map_or_else(|| "not computable".to_owned(), |s| share(*s)));
        line.push(interval.map_or_else(String::new, |(lower, upper)| format!("{} to {}", share(lower), share(upper))));
        grid.push(line);
    }
    // Arm by arm, so that a column can be read downwards.
    let heading = grid.drain(..1).collect::<Vec<_>>();
    let order = |row: &Vec<String>| survival.curves.iter().position(|c| row.first() == Some(&c.arm));
    grid.sort_by_key(order);
    write_grid(text, &[heading, grid].concat(), 1);
    for arm in &survival.curves {
        let words = arm.curve.in_words(|curve| match curve.median_day {
            Some(day) => format!("day {day}"),
            None => "not reached".to_owned(),
        });
        line!(text, "  median of {}: {words}", arm.arm);
    }
    let log_rank = survival.log_rank.in_words(|test| {
        let expected = fixed(test.expected, 2);
        format!(
            "chi-squared {}, {} (first arm: {} deaths, {expected} expected)",
            fixed(test.chi_squared, 2),
            p_value(test.p_value),
            test.observed
        )
    });
    line!(text, "  log-rank test: {log_rank}");
    for test in &survival.fisher {
        line!(text, "  Fisher's exact test, day {}: {}", test.day, test.fisher.in_words(fisher_in_words));
    }
    if survival.fisher.len() > 1 {
        line!(text, "  the tests are two-sided and not adjusted for the number of days");
    }
}

fn fisher_in_words(test: &Fisher) -> String {
    let c = test.counts;
    format!(
        "{} ({} of {} dead, {} of {})",
        p_value(test.p_value),
        c.first_with,
        c.first_with + c.first_without,
        c.second_with,
        c.second_with + c.second_without
    )
}

fn cells<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

/// Columns in line, two spaces apart; those from `numbers` on stand to the right, except a last one of words.
fn write_grid(text: &mut String, grid: &[Vec<String>], numbers: usize) {
    let columns = grid.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| grid.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in grid {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            let placed = if column >= numbers { format!("{gap}{cell}") } else { format!("{cell}{gap}") };
            line.push_str("  ");
            line.push_str(&placed);
        }
        line!(text, "{}", line.trim_end());
    }
}
