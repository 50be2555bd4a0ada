//! The row of each step, and what the ledger should answer to it.

use std::collections::BTreeSet;

use super::chance::{Document, Pick, Reading, Step};
use super::results::TESTS;
use super::{Content, Deed, Entry, Id, On, Release};
use crate::steps::moment;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How far ahead of the ledger an event may be dated.
const AHEAD: i64 = MINUTE;
/// Beyond this a fact is a late entry.
const LATE: i64 = DAY;
/// The sample's first inoculation, `d27 13:00`.
const INOCULATED: i64 = 27 * DAY + 13 * HOUR;
/// When the first sample was taken, `d27 12:30`.
const SAMPLED: i64 = 27 * DAY + 12 * HOUR + HOUR / 2;

/// People with keys; `anna~2` is the second key of anna.
const ANALYSTS: [&str; 2] = ["anna", "bea"];
const REVIEWERS: [&str; 4] = ["rita", "anna", "anna~2", "bea"];
const VERIFIERS: [&str; 3] = ["pavel", "frida", "-"];
/// Who takes a result back: a reviewer and QA.
const INVALIDATORS: [(&str, &str); 6] =
    [("rita", "quinn"), ("bea", "quinn"), ("anna", "quinn"), ("rita", "anna~2"), ("rita", "rita~2"), ("rita", "-")];
/// Who lifts a hold with quinn of QA.
const LIFTERS: [&str; 9] =
    ["rita/QR", "petra/QP", "bea/QC", "olga/OP:APPROVED", "frida/QP", "quinn~2/QC", "-", "logger/DEV", "abe/AUD"];
/// Who amends a result, and who approves that.
const AMENDERS: [(&str, &str); 6] = [
    ("anna/QC", "quinn"),
    ("bea/QC", "quinn"),
    ("anna/QC", "anna~3"),
    ("bea/QC", "anna~3"),
    ("rita/QR", "quinn"),
    ("bea/QC", "-"),
];
/// Who takes samples and prints labels.
const OPERATORS: [&str; 2] = ["olga", "frida"];
const SEVERITIES: [&str; 3] = ["MINOR", "MAJOR", "CRITICAL"];
/// Codes that refuse a fact too.
const REFUSING: [&str; 4] = ["EVENT_AHEAD", "SIGNATURE_TARGET_WRONG", "SIGNERS_NOT_DIFFERENT", "SLOTS_WRONG"];

/// The flags of decisions.
const FLAGS: [&str; 13] = [
    "RELEASE_RESTED_ON_RESULT",
    "DEPENDANT_FALLS",
    "DEPENDANT_DIFFERS",
    "TEST_NOT_IN_SPECIFICATION",
    "SAMPLE_UNKNOWN",
    "RESULT_INCOMPLETE",
    "RESULT_UNIT_DIFFERS",
    "RESULT_KIND_DIFFERS",
    "INCUBATION_INCOMPLETE",
    "INCUBATION_TIMES_IMPOSSIBLE",
    "OUT_OF_SPECIFICATION",
    "POSITIVE_AFTER_RELEASE",
    "RETESTS_EXCEEDED",
];

/// The person behind a key.
pub fn person(key: &str) -> &str {
    key.split(['~', '/']).next().unwrap_or_default()
}

/// Law 1: what happened and what stops is kept whatever is wrong with it; what is decided is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Law {
    Fact,
    Decision,
}

/// A row with the answer that it should get.
pub struct Expected {
    pub row: String,
    pub codes: BTreeSet<&'static str>,
    pub is_refused: bool,
}

/// The rest of a row, the codes of its signatures and age, and what it is to the model.
pub(super) struct Said {
    pub(super) what: String,
    pub(super) options: &'static str,
    pub(super) ago: i64,
    pub(super) law: Law,
    pub(super) codes: BTreeSet<&'static str>,
    pub(super) deed: Deed,
}

impl Said {
    pub(super) fn new(law: Law, what: String, deed: Deed) -> Said {
        Said { what, options: "", ago: 0, law, codes: BTreeSet::new(), deed }
    }
}

/// The codes whose condition holds.
pub fn found<const N: usize>(all: [(bool, &'static str); N]) -> BTreeSet<&'static str> {
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, code)| code).collect()
}

pub(super) fn pick<T: Clone>(which: Pick, all: &[T], is_open: impl Fn(&T) -> bool) -> Option<T> {
    let open: Vec<T> = all.iter().filter(|one| is_open(one)).cloned().collect();
    let (from, place) = match which {
        Pick::Open(place) => (open.as_slice(), place),
        Pick::Any(place) => (all, place),
        Pick::Unknown => return None,
    };
    from.iter().rev().nth(place % from.len().max(1)).cloned()
}

/// An id that nothing has: the sampling brought nothing about.
pub(super) fn strange(code: &'static str) -> Id {
    ("SAMPLED".to_owned(), code)
}

impl Release {
    /// The row of a step, and what the ledger should answer; nothing if there is nothing to do it to.
    pub fn judge(&mut self, step: &Step) -> Option<Expected> {
        self.now += 1_000;
        self.pending = None;
        let said = match step {
            Step::Wait(ms) => {
                self.now += ms;
                return None;
            }
            Step::Report { .. } => self.report(step)?,
            Step::Amend { .. } => self.amend(step)?,
            Step::Review { which, reviewer, is_confirmed, ago } => {
                self.review(*which, REVIEWERS[*reviewer], *is_confirmed, *ago)?
            }
            Step::Invalidate { which, people, document } => self.invalidate(*which, INVALIDATORS[*people], *document)?,
            Step::Sample { who, ago } => self.sample(OPERATORS[*who], *ago),
            Step::Print { who, verifier, ago } => self.print(OPERATORS[*who], VERIFIERS[*verifier], *ago)?,
            Step::Withdraw { which, by } => self.withdraw(*which, ["olga/OP", "frida/OP", "anna/QC"][*by])?,
            Step::Sign { verifier } => self.sign(VERIFIERS[*verifier])?,
            Step::Deviate { on_donor, severity, ago } => {
                let on = On::of(*on_donor);
                let what = format!("bea/QC | DeviationOpened on {} | severity={}", on.stream(), SEVERITIES[*severity]);
                let said = Said::new(Law::Fact, what, Deed::DeviationOpened { on, is_critical: *severity == 2 });
                // What is learned of the donor late is another model's matter.
                Said { ago: if *on_donor { 0 } else { *ago }, ..said }
            }
            Step::Close { on_donor, which } => self.close(On::of(*on_donor), *which)?,
            Step::Hold(held) => super::decisions::hold(*held),
            Step::Lift { on_donor, which, second, resolution } => {
                self.lift(On::of(*on_donor), *which, LIFTERS[*second], *resolution)?
            }
            Step::Recall { on_donor } => {
                let on = On::of(*on_donor);
                let event = if *on_donor { "LookBackOpened" } else { "RecallOpened" };
                Said::new(Law::Fact, format!("petra/QP | {event} on {} | ", on.stream()), Deed::RecallOpened(on))
            }
            Step::Trace { on_donor, which, is_complete } => self.trace(On::of(*on_donor), *which, *is_complete)?,
            Step::AmendPanel { test, by } => self.amend_panel(*test, ANALYSTS[*by]),
            Step::ReviewPanel { test, reviewer } => self.review_panel(*test, REVIEWERS[*reviewer]),
            Step::Determine { how, signed } => self.determine(*how, *signed),
            Step::Dispose { .. } => self.dispose(step)?,
            Step::Exempt { certifier, is_of_lot } => self.exempt(*certifier, *is_of_lot),
        };
        Some(self.row(said))
    }

    fn row(&mut self, said: Said) -> Expected {
        let Said { what, options, ago, law, mut codes, deed } = said;
        codes.extend((ago < -AHEAD).then_some("EVENT_AHEAD"));
        codes.extend((law == Law::Fact && ago > LATE).then_some("LATE_ENTRY"));
        // What does not even ask for the right signatures is not looked into.
        if !codes.contains("SLOTS_WRONG") {
            codes.extend(self.said_of(&deed));
        }
        let refuses = |code: &&str| if law == Law::Decision { !FLAGS.contains(code) } else { REFUSING.contains(code) };
        if let Deed::Amended { target, content, .. } = &deed {
            codes.extend(self.amendment_flags(target, content.as_ref()));
        }
        if let Deed::Withdrawn { target, .. } = &deed {
            codes.extend(self.fallen_without(target));
        }
        self.rows += 1;
        let (label, now, at) = (format!("R{}", self.rows), moment(self.now), self.now - ago);
        let row = format!("{label}: {} recorded={now} signed={now} {options}| {what} | ?", moment(at));
        let mut entry = Entry { label, at, recorded: self.now, is_decision: law == Law::Decision, deed, marks: codes.clone() };
        let says_something = matches!(
            entry.deed,
            Deed::Reported { .. } | Deed::Worked { .. } | Deed::Sampled { .. } | Deed::DeviationOpened { .. }
        );
        if says_something {
            codes.extend(self.fallen_beside(&entry));
        }
        let is_refused = codes.iter().any(refuses);
        if is_refused {
            // A flag is a mark on what was accepted.
            codes.retain(|code| refuses(code));
        }
        entry.marks.clone_from(&codes);
        self.pending = Some(entry);
        Expected { row, codes, is_refused }
    }

    /// Inoculation and reading, if they are said.
    fn times(&mut self, code: &str, incubation: i64, reading: Reading) -> Option<(i64, i64)> {
        match reading {
            Reading::Unsaid => None,
            Reading::Now => Some((INOCULATED, self.now)),
            Reading::Reversed => Some((self.now, self.now - 1)),
            Reading::BeforeSampling { by } => Some((SAMPLED - by, self.now)),
            Reading::Ahead { by } => Some((self.now - incubation, self.now + by)),
            Reading::Due { offset, is_anew } => {
                let is_same = |entry: &&Entry| matches!(&entry.deed, Deed::Reported { content, .. } if content.test == code);
                let last = self.history.iter().rev().find(is_same).map(|entry| entry.at);
                let inoculated = last.filter(|_| is_anew).unwrap_or(INOCULATED);
                let read = inoculated + incubation + offset;
                // Nobody reports what is read tomorrow.
                self.now = self.now.max(read);
                Some((inoculated, read))
            }
        }
    }

    fn report(&mut self, step: &Step) -> Option<Said> {
        let Step::Report { test, value, analyst, sample, reading, ago } = step else { return None };
        let (test, analyst) = (&TESTS[*test], ANALYSTS[*analyst]);
        let result = &test.results[value % test.results.len()];
        let times = test.incubation.and_then(|incubation| self.times(test.code, incubation, *reading));
        let samples = self.samples();
        let sample = samples.get(*sample).map_or_else(|| format!("SAMPLE{}", samples.len()), |(sample, _)| sample.clone());
        let content = Content {
            test: test.code,
            text: result.text,
            verdict: result.verdict,
            differs: result.differs,
            sample,
            times,
            at: self.now - ago,
        };
        // Left out: whether a decision falls beside a late result that is dated before another one of its test. Results are counted as they
        // were recorded, and this one was recorded last; the rules count it as if it had come first when they judge again.
        let is_before = |entry: &Entry| match &entry.deed {
            Deed::Reported { content: other, .. } => other.test == test.code && entry.at > content.at,
            _ => false,
        };
        if self.history.iter().any(is_before) && self.history.iter().any(|entry| entry.is_decision && entry.recorded > content.at)
        {
            return None;
        }
        let fields = said_times(&content, " ");
        let what = format!(
            "{analyst}/QC | TestResultReported on lot:L1 | test_code={} sample_id={} result={}{fields}",
            test.code, content.sample, result.text
        );
        Some(Said { ago: *ago, ..Said::new(Law::Fact, what, Deed::Reported { content, analyst }) })
    }

    /// A report is amended or voided; or something that is none.
    fn amend(&mut self, step: &Step) -> Option<Said> {
        let Step::Amend { which, value, reading, people, is_void, is_latest, is_digest } = step else { return None };
        let target = self.target(*which, |_| true)?;
        let (author, approver) = AMENDERS[*people];
        let first = self.report_of(&target).and_then(|report| report.versions.first().and_then(|v| v.content.cloned()));
        let (content, text) = match (&first, is_void) {
            (Some(first), false) => {
                let test = TESTS.iter().find(|test| test.code == first.test)?;
                let result = &test.results[value % test.results.len()];
                let times = match (test.incubation, reading) {
                    (Some(incubation), Some(reading)) => self.times(test.code, incubation, *reading),
                    _ => first.times,
                };
                let content =
                    Content { text: result.text, verdict: result.verdict, differs: result.differs, times, ..first.clone() };
                let mut text = format!("@amended:{target}/result={}", in_braces(result.text));
                if content.times != first.times {
                    text.push_str(&said_times(&content, ";"));
                    // Times that are not said any more.
                    text.push_str(if content.times.is_none() { ";inoculated_at=none;read_at=none" } else { "" });
                }
                (Some(content), text.replace('"', ""))
            }
            _ => (None, String::new()),
        };
        let is_amended = content.is_some();
        let replaces = if *is_latest { self.version_of(&target) } else { target.clone() };
        let (event, more) =
            if is_amended { ("RecordAmended", format!(" replacement=\"{text}\"")) } else { ("RecordVoided", String::new()) };
        let second = if approver == "-" { "-".to_owned() } else { format!("{approver}/QA") };
        let what = format!(
            "{author} {second} | {event} on lot:L1 | target=@rec:{target}/@digest:{} replaces_record_id=@rec:{replaces}{more}",
            if *is_digest { &target } else { "SAMPLED" }
        );
        let mut codes =
            found([(approver == "-", "SIGNATURE_MISSING"), (person(author) == person(approver), "SIGNERS_NOT_DIFFERENT")]);
        // An amendment says something else than the latest version.
        let says = self.report_of(&target).and_then(|report| report.last_said().cloned());
        codes.extend((is_amended && *is_digest && content == says).then_some("REPLACEMENT_WRONG"));
        let deed = Deed::Amended { target, replaces, content, author, approver, is_digest: *is_digest };
        Some(Said { codes, ..Said::new(Law::Decision, what, deed) })
    }

    /// A report that a step is about; of what is none, the record of the review of the first one.
    fn target(&self, which: Pick, is_open: impl Fn(&str) -> bool) -> Option<String> {
        let labels: Vec<String> = self.reports().map(|report| report.label.to_owned()).collect();
        let picked = pick(which, &labels, |label| is_open(label));
        let is_review = |entry: &&Entry| matches!(entry.deed, Deed::Reviewed { .. });
        let other = || self.history.iter().find(is_review).map(|entry| entry.label.clone());
        picked.or_else(|| if matches!(which, Pick::Unknown) { other() } else { None })
    }

    fn review(&self, which: Pick, reviewer: &'static str, is_confirmed: bool, ago: i64) -> Option<Said> {
        let is_open = |label: &str| self.report_of(label).is_some_and(|report| self.review_of(&report).is_none());
        let target = self.target(which, is_open)?;
        let decision = if is_confirmed { "ACCEPTED" } else { "REJECTED" };
        let what = format!("{reviewer}/QR | TestResultReviewed on lot:L1 | reported_record_id=@rec:{target} decision={decision}");
        let codes = found([(ago > 5 * MINUTE, "AUTHORISATION_BACKDATED")]);
        Some(Said { ago, codes, ..Said::new(Law::Decision, what, Deed::Reviewed { target, reviewer, is_confirmed }) })
    }

    fn invalidate(&self, which: Pick, (reviewer, assurance): (&'static str, &'static str), document: Document) -> Option<Said> {
        let is_open = |label: &str| self.report_of(label).is_some_and(|report| !self.is_settled(&report));
        let target = self.target(which, is_open)?;
        let (cites, named) = match document {
            Document::None => (String::new(), String::new()),
            Document::Cited => (" citing STORED".to_owned(), " documenting_record_id=@rec:STORED".to_owned()),
            Document::NamedOnly => (String::new(), " documenting_record_id=@rec:STORED".to_owned()),
            Document::Nowhere => (" citing STORED".to_owned(), " documenting_record_id=NOTHING".to_owned()),
            Document::Itself => (format!(" citing {target}"), format!(" documenting_record_id=@rec:{target}")),
        };
        let codes =
            found([(assurance == "-", "SIGNATURE_MISSING"), (person(reviewer) == person(assurance), "SIGNERS_NOT_DIFFERENT")]);
        let second = if assurance == "-" { "-".to_owned() } else { format!("{assurance}/QA") };
        let what =
            format!("{reviewer}/QR {second} | ResultInvalidated on lot:L1{cites} | reported_record_id=@rec:{target}{named}");
        let deed = Deed::Invalidated { target, reviewer, assurance, document };
        Some(Said { codes, ..Said::new(Law::Decision, what, deed) })
    }

    fn sample(&self, who: &'static str, ago: i64) -> Said {
        let sample = format!("SAMPLE{}", self.samples().len());
        let what = format!("{who}/OP | SampleTaken on lot:L1 | sample_id={sample} sample_code=S-{sample}");
        let deed = Deed::Sampled { sample, who, at: self.now - ago };
        Said { ago, ..Said::new(Law::Fact, what, deed) }
    }

    /// Labels are printed by one operator and verified by another.
    fn print(&self, who: &'static str, verifier: &'static str, ago: i64) -> Option<Said> {
        let second = if verifier == "-" { "-".to_owned() } else { format!("{verifier}/VF") };
        let what = format!("{who}/OP {second} | LabelsPrinted on lot:L1 | batch_id=BATCH{}", self.rows);
        let deed = Deed::Worked { who, second: verifier };
        (who != verifier).then(|| Said { ago, ..Said::new(Law::Fact, what, deed) })
    }

    /// A sample or a step was written down by mistake.
    fn withdraw(&self, which: Pick, author: &'static str) -> Option<Said> {
        let is_step = |entry: &&Entry| matches!(entry.deed, Deed::Worked { .. } | Deed::Sampled { .. });
        let labels: Vec<String> = self.history.iter().filter(is_step).map(|entry| entry.label.clone()).collect();
        let target = pick(which, &labels, |label| !self.is_gone(label))?;
        let what = format!(
            "{author} quinn/QA | RecordVoided on lot:L1 | target=@rec:{target}/@digest:{target} replaces_record_id=@rec:{target}"
        );
        Some(Said::new(Law::Decision, what, Deed::Withdrawn { target, author }))
    }

    /// The newest step that somebody still has to sign, or else the newest of all.
    fn sign(&self, who: &'static str) -> Option<Said> {
        let is_step = |entry: &&Entry| matches!(entry.deed, Deed::Worked { .. }) && !self.is_gone(&entry.label);
        let steps: Vec<&Entry> = self.history.iter().filter(is_step).collect();
        let owed = steps.iter().rev().find(|entry| self.is_owed(entry));
        let step = owed.or(steps.last())?;
        // Who did a step does not verify it.
        let is_own = matches!(step.deed, Deed::Worked { who: first, .. } if first == who);
        let target = step.label.clone();
        let what = format!("{who}/VF | SignatureAdded on lot:L1 | target_digest=@digest:{target}");
        let codes = found([(owed.is_none() || is_own, "SIGNATURE_TARGET_WRONG")]);
        Some(Said { codes, ..Said::new(Law::Fact, what, Deed::Signed { target, who }) })
    }
}

/// The times of a report as fields, each after a mark.
fn said_times(content: &Content, mark: &str) -> String {
    let Some((inoculated, read)) = content.times else { return String::new() };
    format!("{mark}inoculated_at=\"{}\"{mark}read_at=\"{}\"", moment(inoculated), moment(read))
}

/// A result by its fields: within quotes there are none.
fn in_braces(text: &str) -> String {
    let plain = text.trim_matches('"');
    if !plain.contains(' ') || plain.starts_with('{') {
        return plain.to_owned();
    }
    let starts = [("<", "LESS"), (">", "GREATER"), ("below ", "BELOW_QUANTIFICATION"), ("above ", "ABOVE_QUANTIFICATION")];
    let read = starts.iter().find_map(|(start, comparator)| Some((plain.strip_prefix(start)?, *comparator)));
    let (number, comparator) = read.unwrap_or((plain, "EQUAL"));
    let (value, unit) = number.split_once(' ').unwrap_or((number, ""));
    format!("{{kind=QUANTITATIVE value={value} unit_ucum={unit} comparator={comparator}}}")
}
