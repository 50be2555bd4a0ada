//! The Kaplan–Meier curves as a drawing (SVG 1.1).
//!
//! Arms differ by dashes and by words, never by colour alone; a title and a description say the same for who does not see the drawing.
//! Upright marks stand where a subject was last seen alive; the numbers at risk stand below the axis. Colours contrast with white by more
//! than 4.5 to 1.

use std::fmt::Write as _;

use crate::number::{fixed, p_value, share};
use crate::report::{ArmCurve, Report};
use crate::survival::Curve;

const WIDTH: u32 = 800;
const LEFT: f64 = 190.0;
const RIGHT: f64 = 770.0;
const TOP: f64 = 70.0;
const BOTTOM: f64 = 370.0;
/// Days closer to each other than this are not both written below the axis.
const CLOSEST: f64 = 28.0;
const RISK_TOP: u32 = 450;
const RISK_ROW: u32 = 22;
const LEGEND_ROW: u32 = 20;
/// Characters of a row of the legend: what fits beside its stroke in the widest of the common fonts.
const LEGEND_LETTERS: usize = 84;

/// Colour and dashes of the arms, in turn.
const STROKES: [(&str, &str); 8] = [
    ("#0b4f8a", ""),
    ("#a03c00", "9 5"),
    ("#3d6b21", "2 4"),
    ("#6b2d7a", "12 4 2 4"),
    ("#333333", "16 6"),
    ("#0b6b6b", "5 2"),
    ("#8a1538", "1 6"),
    ("#5c4a00", "8 3 1 3 1 3"),
];

/// Writing to a text never fails.
macro_rules! line {
    ($text:expr, $($words:tt)*) => {{
        let _ = writeln!($text, $($words)*);
    }};
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// The drawing.
pub fn svg(report: &Report) -> String {
    let axis = Axis::of(report);
    let arms = u32::try_from(report.survival.curves.len()).unwrap_or(0);
    let legend_top = RISK_TOP + RISK_ROW * (arms + 1);
    let rows: usize = report.survival.curves.iter().map(|arm| legend_words(arm).len()).sum();
    let height = legend_top + LEGEND_ROW * u32::try_from(rows).unwrap_or(0) + 50;
    let mut text = String::new();
    line!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-labelledby=\"title description\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1a1a1a\">"
    );
    line!(text, "<title id=\"title\">{}</title>", escaped(&title(report)));
    line!(text, "<desc id=\"description\">{}</desc>", escaped(&description(report)));
    line!(text, "<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>");
    line!(text, "<text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"bold\">{}</text>", escaped(&title(report)));
    let test = report.survival.log_rank.in_words(|test| p_value(test.p_value));
    line!(text, "<text x=\"16\" y=\"48\">{}</text>", escaped(&format!("log-rank test: {test}")));
    axes(&mut text, &axis);
    for (arm, (colour, dashes)) in report.survival.curves.iter().zip(STROKES.iter().cycle()) {
        if let Some(curve) = arm.curve.value() {
            draw(&mut text, &axis, curve, colour, dashes);
        }
    }
    legend(&mut text, report, legend_top);
    at_risk(&mut text, &axis, report);
    let basis = &report.basis;
    line!(
        text,
        "<text x=\"16\" y=\"{}\" font-size=\"11\">{}</text>",
        height - 26,
        escaped(&format!("data cut-off {}, {}, tree size {}", basis.cut_off, basis.origin, basis.tree_size))
    );
    line!(text, "<text x=\"16\" y=\"{}\" font-size=\"11\">{}</text>", height - 10, escaped(&format!("root {}", basis.root)));
    line!(text, "</svg>");
    text
}

fn title(report: &Report) -> String {
    let training = if report.training { " (TRAINING: nothing here is real)" } else { "" };
    format!("{}: survival by arm{training}", report.registration)
}

fn description(report: &Report) -> String {
    let mut words = "Kaplan–Meier curves over the days since randomisation.".to_owned();
    for arm in &report.survival.curves {
        let said = arm.curve.in_words(|curve| {
            let last = curve.points.last().map_or_else(String::new, |p| format!(", {} on day {}", share(p.survival), p.day));
            format!("{} subjects, survival 1 at first{last}", arm.subjects)
        });
        let _ = write!(words, " {} ({}): {said}.", arm.arm, arm.name);
    }
    words
}

/// Days below, shares to the left.
struct Axis {
    last_day: u32,
    ticks: Vec<u32>,
}

impl Axis {
    fn of(report: &Report) -> Axis {
        let survival = &report.survival;
        let seen = survival.curves.iter().filter_map(|arm| arm.curve.value()?.points.last()).map(|point| point.day);
        let last_day = seen.chain(survival.days.iter().copied()).max().unwrap_or(0).max(1);
        let mut axis = Axis { last_day, ticks: Vec::new() };
        // From the last day backwards, as the late ones matter more; then day 0.
        let mut free = f64::INFINITY;
        for day in survival.days.iter().rev().copied() {
            if day > 0 && free - axis.x(day) >= CLOSEST && axis.x(day) - LEFT >= CLOSEST {
                free = axis.x(day);
                axis.ticks.push(day);
            }
        }
        axis.ticks.push(0);
        axis.ticks.reverse();
        axis
    }

    fn x(&self, day: u32) -> f64 {
        LEFT + (RIGHT - LEFT) * f64::from(day) / f64::from(self.last_day)
    }
}

fn y(share: f64) -> f64 {
    BOTTOM - (BOTTOM - TOP) * share
}

fn place(value: f64) -> String {
    fixed(value, 1)
}

fn axes(text: &mut String, axis: &Axis) {
    line!(text, "<g stroke=\"#1a1a1a\" fill=\"none\">");
    let [left, right, top, bottom] = [LEFT, RIGHT, TOP, BOTTOM].map(place);
    line!(text, "<path d=\"M{left} {top}V{bottom}H{right}\"/>");
    for quarter in 0..=4_u32 {
        line!(text, "<path d=\"M{left} {}h-6\"/>", place(y(f64::from(quarter) / 4.0)));
    }
    for day in &axis.ticks {
        line!(text, "<path d=\"M{} {bottom}v6\"/>", place(axis.x(*day)));
    }
    line!(text, "</g>");
    for quarter in 0..=4_u32 {
        let height = place(y(f64::from(quarter) / 4.0) + 4.0);
        line!(text, "<text x=\"{}\" y=\"{height}\" text-anchor=\"end\">{} %</text>", place(LEFT - 10.0), quarter * 25);
    }
    for day in &axis.ticks {
        line!(text, "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{day}</text>", place(axis.x(*day)), place(BOTTOM + 22.0));
    }
    line!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">days since randomisation</text>",
        place(f64::midpoint(LEFT, RIGHT)),
        place(BOTTOM + 44.0)
    );
    let (x, middle) = (place(LEFT - 60.0), place(f64::midpoint(TOP, BOTTOM)));
    line!(text, "<text x=\"{x}\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {middle})\">alive</text>");
}

fn draw(text: &mut String, axis: &Axis, curve: &Curve, colour: &str, dashes: &str) {
    let mut path = format!("M{} {}", place(LEFT), place(y(1.0)));
    for point in &curve.points {
        let _ = write!(path, "H{}V{}", place(axis.x(point.day)), place(y(point.survival)));
    }
    let dashed = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
    line!(text, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2.5\"{dashed}/>");
    for point in curve.points.iter().filter(|point| point.censored > 0) {
        line!(
            text,
            "<path d=\"M{} {}v12\" stroke=\"{colour}\" stroke-width=\"2\"/>",
            place(axis.x(point.day)),
            place(y(point.survival) - 6.0)
        );
    }
}

/// Which stroke is which arm, below the numbers at risk, where there is room for the whole name.
fn legend(text: &mut String, report: &Report, top: u32) {
    let mut height = top;
    for (arm, (colour, dashes)) in report.survival.curves.iter().zip(STROKES.iter().cycle()) {
        let dashed = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        line!(text, "<path d=\"M16 {}h50\" stroke=\"{colour}\" stroke-width=\"2.5\"{dashed}/>", height - 4);
        for words in legend_words(arm) {
            line!(text, "<text x=\"76\" y=\"{height}\">{}</text>", escaped(&words));
            height += LEGEND_ROW;
        }
    }
}

fn legend_words(arm: &ArmCurve) -> Vec<String> {
    let words = match arm.curve.value() {
        Some(_) => format!("{}: {}", arm.arm, arm.name),
        None => format!("{}: {} ({})", arm.arm, arm.name, arm.curve.in_words(|_| String::new())),
    };
    wrapped(&words, LEGEND_LETTERS)
}

/// A text in rows of whole words; a word that is longer than a row is told whole over several.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(most) {
            let piece: String = piece.iter().collect();
            match rows.last_mut() {
                Some(row) if row.chars().count() + 1 + piece.chars().count() <= most => {
                    row.push(' ');
                    row.push_str(&piece);
                }
                _ => rows.push(piece),
            }
        }
    }
    rows
}

fn clipped(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

fn at_risk(text: &mut String, axis: &Axis, report: &Report) {
    let top = RISK_TOP;
    line!(text, "<text x=\"16\" y=\"{top}\" font-weight=\"bold\">at risk</text>");
    for ((row, arm), (colour, _)) in (1_u32..).zip(&report.survival.curves).zip(STROKES.iter().cycle()) {
        let height = top + row * RISK_ROW;
        line!(text, "<text x=\"16\" y=\"{height}\" fill=\"{colour}\">{}</text>", escaped(&clipped(&arm.arm, 20)));
        for day in &axis.ticks {
            let number = arm.curve.value().map_or(0, |curve| curve.at_risk(*day));
            line!(text, "<text x=\"{}\" y=\"{height}\" text-anchor=\"middle\">{number}</text>", place(axis.x(*day)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_end_between_words_and_nothing_is_left_out() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("one", 7), ["one"]);
        assert_eq!(wrapped("a abcdefghij b", 4), ["a", "abcd", "efgh", "ij b"]);
        assert!(wrapped("", 7).is_empty());
    }
}
