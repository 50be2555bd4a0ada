//! The pages of `docs/rules`: for each code what it demands, its number and what follows from it, its source, the next step, and a row of a
//! history on each side. A person writes the order of the headings, what stands before the first, and the lines that begin with
//! `**Source:**`; all else is written from the codes and the histories that run as tests. `tidy` fails if a page says something else.

use std::collections::BTreeMap;
use std::fs;

use marrowline_record::pb::{Severity, StreamKind};
use marrowline_rules::codes::{self, Across, Class, Code};

use crate::ChoreError;
use crate::history::{self, Row};
use crate::tree;

/// Writes the pages, or with `is_check` complains of those that are not as they should be.
pub fn run(is_check: bool) -> Result<Vec<String>, ChoreError> {
    let rows = history::all()?;
    let mut complaints = Vec::new();
    for path in tree::files(&tree::root().join("docs/rules"), ".md")? {
        let short = tree::short(&path);
        let text = tree::read(&path)?;
        let (page, missing) = page(&text, &rows);
        complaints.extend(missing.into_iter().map(|what| format!("{short}: {what}")));
        if page == text {
            continue;
        }
        if is_check {
            complaints.push(format!("{short} is not what the codes and histories say: run `cargo xtask pages`"));
        } else {
            fs::write(&path, page).map_err(|source| ChoreError::Write { path: short, source })?;
        }
    }
    Ok(complaints)
}

/// A page written anew, and what it lacks.
fn page(text: &str, rows: &[Row]) -> (String, Vec<String>) {
    let mut sections = text.split("\n### ");
    let mut page = sections.next().unwrap_or_default().trim_end().to_owned();
    let mut missing = Vec::new();
    for section in sections {
        let name = section.lines().next().unwrap_or_default().trim();
        let Some(code) = codes::by_name(name) else { continue };
        match section.lines().find(|line| line.starts_with("**Source:**")) {
            Some(source) => page.push_str(&heading(code, source, rows, &mut missing)),
            None => missing.push(format!("{name} has no line that begins with **Source:**")),
        }
    }
    page.push('\n');
    (page, missing)
}

fn heading(code: &Code, source: &str, rows: &[Row], missing: &mut Vec<String>) -> String {
    let since = if code.since > 1 { format!(", since rule set {}", code.since) } else { String::new() };
    let mut text = format!(
        "\n\n### {}\n\n{}.\n\n**Number:** {}{since}. {}\\\n{}\\\n**Next:** {}.\n",
        code.name,
        capital(code.demands),
        code.number,
        consequences(code),
        source.trim_end().trim_end_matches('\\'),
        code.next
    );
    match both_sides(code.name, rows) {
        Some((within, beyond)) => {
            text.push_str(&format!("\n```text\n# {}\n{}\n", within.file, within.text));
            if beyond.file != within.file {
                text.push_str(&format!("# {}\n", beyond.file));
            }
            text.push_str(&format!("{}\n```", beyond.text));
        }
        None => missing.push(format!("{} stands in no history on both sides", code.name)),
    }
    text
}

/// The row that shows the rule best, and one of the same event that it does not touch, as like it as can be.
fn both_sides<'r>(code: &str, rows: &'r [Row]) -> Option<(&'r Row, &'r Row)> {
    let mut best: Option<(Rank, &Row, &Row)> = None;
    for beyond in rows.iter().filter(|row| row.names(code) && !is_standing(row)) {
        for within in rows.iter().filter(|row| row.event == beyond.event && !row.names(code)) {
            let rank = Rank::of(code, within, beyond);
            if best.as_ref().is_none_or(|(known, _, _)| rank < *known) {
                best = Some((rank, within, beyond));
            }
        }
    }
    best.map(|(_, within, beyond)| (within, beyond))
}

/// `holds of lot:L1` asks what stands, and is no record that a rule judges.
fn is_standing(row: &Row) -> bool {
    matches!(row.event.as_str(), "holds" | "deviations" | "owed")
}

/// How badly two rows show a rule: not the rule's own story, other codes, told apart, unlike each other.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    not_its_story: bool,
    not_clean: bool,
    told_apart: u8,
    other_codes: usize,
    differences: usize,
}

impl Rank {
    fn of(code: &str, within: &Row, beyond: &Row) -> Rank {
        let is_clean = matches!(within.answer.as_str(), "accepted" | "GREEN");
        Rank {
            not_its_story: history::words(title(beyond), code) == 0,
            not_clean: !is_clean,
            told_apart: match (within.file == beyond.file, within.story == beyond.story) {
                (true, true) => 0,
                (true, false) => 1,
                (false, _) => 2,
            },
            other_codes: beyond.answer.split_whitespace().count(),
            differences: differences(&within.text, &beyond.text),
        }
    }
}

/// The codes that a story's title begins with.
fn title(row: &Row) -> &str {
    row.story.split_once(':').map_or("", |(codes, _)| codes)
}

/// Words that stand in one row only.
fn differences(left: &str, right: &str) -> usize {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for word in left.split_whitespace() {
        *counts.entry(word).or_default() += 1;
    }
    for word in right.split_whitespace() {
        *counts.entry(word).or_default() -= 1;
    }
    counts.values().map(|count| usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX)).sum()
}

fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// What the code does to a record, and what a flag brings about.
fn consequences(code: &Code) -> String {
    let mut text = match code.class {
        Class::Refuses => "Refuses every record, facts too.",
        Class::Gate => "Refuses an authorisation; flags a fact or a stop.",
        Class::Flag => "Only flags.",
    }
    .to_owned();
    if let Some(severity) = code.effect.deviation {
        let severity = match severity {
            Severity::Unspecified => "of no severity",
            Severity::Minor => "minor",
            Severity::Major => "major",
            Severity::Critical => "critical",
        };
        text.push_str(&format!(" A flag opens a deviation ({severity})."));
    }
    let kinds: Vec<&str> = code.effect.holds.iter().map(|kind| stream(*kind)).collect();
    if code.effect.of_units {
        text.push_str(" A flag holds the units named.");
    } else if !kinds.is_empty() {
        text.push_str(&format!(" A flag holds the {}.", kinds.join(", ")));
    }
    match code.effect.across {
        Some(Across::Recall) => text.push_str(" A flag opens a recall."),
        Some(Across::LookBack) => text.push_str(" A flag opens a look-back."),
        None => {}
    }
    text
}

fn stream(kind: StreamKind) -> &'static str {
    match kind {
        StreamKind::Unspecified => "stream",
        StreamKind::Authority => "authority",
        StreamKind::Protocol => "protocol",
        StreamKind::Specification => "specification",
        StreamKind::Facility => "facility",
        StreamKind::Equipment => "equipment",
        StreamKind::Donor => "donor",
        StreamKind::Lot => "lot",
        StreamKind::Subject => "subject",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(story: &str, text: &str, answer: &str) -> Row {
        Row { file: "a.txt".into(), story: story.into(), text: text.into(), event: "Passaged".into(), answer: answer.into() }
    }

    #[test]
    fn a_rule_is_shown_by_its_own_story_and_the_row_most_like_it() {
        let rows = [
            row("", "Passaged far away", "accepted"),
            row("B: another", "Passaged b=1", "flagged A B"),
            row("A: what it demands", "Passaged limit=10", "accepted"),
            row("A: what it demands", "Passaged limit=10 on the way", "accepted"),
            row("A: what it demands", "Passaged limit=11", "flagged A"),
        ];
        let (within, beyond) = both_sides("A", &rows).unwrap();
        assert_eq!((within.text.as_str(), beyond.text.as_str()), ("Passaged limit=10", "Passaged limit=11"));
        assert!(both_sides("NOWHERE", &rows).is_none());
    }

    #[test]
    fn what_a_person_wrote_stays_and_a_changed_row_is_noticed() {
        let text = "# Lot\n\nAn introduction.\n\n### LOT_ALREADY_OPENED\n\nAnything.\n\n**Source:** a book.\n";
        let mut rows = vec![
            row("LOT_ALREADY_OPENED: once", "first", "accepted"),
            row("LOT_ALREADY_OPENED: once", "second", "flagged LOT_ALREADY_OPENED"),
        ];
        let (first, missing) = page(text, &rows);
        assert!(missing.is_empty(), "{missing:?}");
        assert!(first.starts_with("# Lot\n\nAn introduction.\n\n### LOT_ALREADY_OPENED\n\nA lot is opened once.\n"));
        assert!(first.contains("**Source:** a book.\\\n") && first.contains("# a.txt\nfirst\nsecond\n```"));
        assert_eq!(page(&first, &rows).0, first);
        rows[1].text = "third".into();
        assert_ne!(page(&first, &rows).0, first);
    }
}
