//! One row of a history: when, who signs, what happened, and what the ledger answers.

use marrowline_record::pb::{Meaning, Role, StreamKind};

use super::values::split;

/// d0 00:00 of every history: 2026-01-01T00:00:00Z.
pub(super) const FIRST_DAY_MS: i64 = 1_767_225_600_000;

/// Who fills a slot, as written: `anna/PHY@LAB`; `-` leaves the slot open.
#[derive(Clone, Debug)]
pub(super) struct Signatory {
    pub(super) key: String,
    pub(super) role: Role,
    pub(super) facility: String,
    pub(super) meaning: Option<Meaning>,
}

/// What follows the signatories.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// A record is sent.
    Record {
        signatories: Vec<Option<Signatory>>,
        /// Only the slots that are named, for stops that one person signs.
        alone: bool,
        event: String,
        streams: Vec<(StreamKind, String)>,
        cites: Vec<String>,
        fields: String,
    },
    /// A question about a dose.
    Check { dose: String },
    /// A question about a stream: its open `holds`, open `deviations`, or signatures `owed`.
    Standing { what: String, stream: (StreamKind, String) },
}

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) label: Option<String>,
    pub(super) at_ms: i64,
    /// `recorded=`, `signed=`, `seen=`, `origin=`, as written.
    pub(super) options: Vec<(String, String)>,
    pub(super) deed: Deed,
    pub(super) verdict: String,
}

impl Row {
    /// Reads a row.
    pub(super) fn parse(text: &str) -> Result<Row, String> {
        let cells: Vec<&str> = split(text, |c| c == '|', usize::MAX).into_iter().map(str::trim).collect();
        let (first, rest) = cells.split_first().ok_or("an empty row")?;
        let (label, at_ms, options) = when(first)?;
        let (deed, verdict) = match rest {
            [question, verdict] => (parse_question(question)?, verdict),
            [people, what, fields, verdict] => (parse_record(people, what, fields)?, verdict),
            _ => return Err(format!("{} cells; 3 or 5 are read", cells.len())),
        };
        Ok(Row { label, at_ms, options, deed, verdict: (*verdict).to_owned() })
    }

    pub(super) fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

type When = (Option<String>, i64, Vec<(String, String)>);

fn when(cell: &str) -> Result<When, String> {
    let (label, rest) = match cell.split_once(char::is_whitespace) {
        Some((label, rest)) if label.ends_with(':') => (Some(label.trim_end_matches(':').to_owned()), rest.trim()),
        _ => (None, cell),
    };
    let mut words = rest.splitn(3, char::is_whitespace);
    let (day, time) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let options = super::values::assignments(words.next().unwrap_or_default())?;
    Ok((label, moment(&format!("{day} {time}"), 0)?, options))
}

/// `d3 10:00`, `d3 10:00:30.001`; or `+65s`, `-2h`, `+14d`, `-1ms` from a moment.
pub(super) fn moment(text: &str, from_ms: i64) -> Result<i64, String> {
    let wrong = || format!("`{text}` is no moment, such as `d3 10:00` or `-2h`");
    if let Some(rest) = text.strip_prefix(['+', '-']) {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let scale = match rest.get(digits.len()..) {
            Some("ms") => 1,
            Some("s") => 1_000,
            Some("m") => 60_000,
            Some("h") => 3_600_000,
            Some("d") => 86_400_000,
            _ => return Err(wrong()),
        };
        let distance = digits.parse::<i64>().map_err(|_| wrong())?.checked_mul(scale).ok_or_else(wrong)?;
        return Ok(if text.starts_with('-') { from_ms - distance } else { from_ms + distance });
    }
    let (day, time) = text.split_once(' ').ok_or_else(wrong)?;
    let day: i64 = day.strip_prefix('d').and_then(|d| d.parse().ok()).ok_or_else(wrong)?;
    let (clock, thousandths) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = clock.split(':').map(str::parse::<i64>);
    let mut part = || parts.next().unwrap_or(Ok(0)).map_err(|_| wrong());
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    let thousandths: i64 = thousandths.parse().map_err(|_| wrong())?;
    Ok(FIRST_DAY_MS + (((day * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000 + thousandths)
}

fn parse_question(text: &str) -> Result<Deed, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        ["check", "DOSE", dose] => Ok(Deed::Check { dose: (*dose).to_owned() }),
        [what @ ("holds" | "deviations" | "owed"), "of", stream] => {
            Ok(Deed::Standing { what: (*what).to_owned(), stream: parse_stream(stream)? })
        }
        _ => Err(format!("`{text}` is no question; `check DOSE X1`, `holds of lot:L1`, `deviations of …`, `owed of …` are")),
    }
}

fn parse_record(people: &str, what: &str, fields: &str) -> Result<Deed, String> {
    let mut signatories = Vec::new();
    let mut alone = false;
    for word in people.split_whitespace() {
        match word {
            "alone" => alone = true,
            "-" => signatories.push(None),
            _ => signatories.push(Some(signatory(word)?)),
        }
    }
    let (event, rest) = what.split_once(" on ").ok_or_else(|| format!("`{what}` is not of the form EVENT on STREAM"))?;
    let (streams, cites) = rest.split_once(" citing ").unwrap_or((rest, ""));
    Ok(Deed::Record {
        signatories,
        alone,
        event: event.trim().to_owned(),
        streams: streams.split_whitespace().map(parse_stream).collect::<Result<_, _>>()?,
        cites: cites.split_whitespace().map(str::to_owned).collect(),
        fields: fields.to_owned(),
    })
}

/// `anna/PHY@LAB`, or with a meaning of one's own `anna/PHY@LAB:REVIEWED`. Without a facility it is LAB.
fn signatory(word: &str) -> Result<Signatory, String> {
    let (word, meaning) = match word.split_once(':') {
        Some((word, meaning)) => (word, Meaning::from_str_name(&format!("MEANING_{meaning}"))),
        None => (word, None),
    };
    let (key, role) = word.split_once('/').ok_or_else(|| format!("`{word}` is not of the form NAME/ROLE@FACILITY"))?;
    let (role, facility) = role.split_once('@').unwrap_or((role, "LAB"));
    let role = role_name(role).and_then(|r| Role::from_str_name(&format!("ROLE_{r}")));
    Ok(Signatory {
        key: key.to_owned(),
        role: role.ok_or_else(|| format!("`{word}` names no role"))?,
        facility: facility.to_owned(),
        meaning,
    })
}

/// Short forms of the roles, as the domain's people use them.
const ROLES: [(&str, &str); 17] = [
    ("KEY", "KEY_ADMINISTRATOR"),
    ("QA", "QUALITY_ASSURANCE"),
    ("QP", "QUALIFIED_PERSON"),
    ("PHY", "DONOR_PHYSICIAN"),
    ("COL", "COLLECTOR"),
    ("OP", "OPERATOR"),
    ("VF", "VERIFYING_OPERATOR"),
    ("QC", "QC_ANALYST"),
    ("QR", "QC_REVIEWER"),
    ("CRY", "CRYOBANK"),
    ("CUR", "COURIER"),
    ("PHA", "PHARMACIST"),
    ("INV", "INVESTIGATOR"),
    ("RND", "RANDOMISER"),
    ("RN", "NURSE"),
    ("AUD", "AUDITOR"),
    ("DEV", "DEVICE"),
];

/// The proto's name of a role's short form.
pub(super) fn role_name(short: &str) -> Option<&'static str> {
    ROLES.iter().find(|(s, _)| *s == short).map(|(_, name)| *name)
}

/// The short form of a role.
pub(super) fn short_role(role: Role) -> &'static str {
    let long = role.as_str_name().trim_start_matches("ROLE_");
    ROLES.iter().find(|(_, name)| *name == long).map_or("?", |(short, _)| short)
}

/// `donor:D1`; `authority` has no name.
fn parse_stream(word: &str) -> Result<(StreamKind, String), String> {
    let (kind, name) = word.split_once(':').unwrap_or((word, ""));
    let kind = StreamKind::from_str_name(&format!("STREAM_KIND_{}", kind.to_uppercase()));
    Ok((kind.ok_or_else(|| format!("`{word}` is no stream"))?, name.to_owned()))
}
