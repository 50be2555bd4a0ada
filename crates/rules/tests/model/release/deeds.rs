//! The row of each step, and what the ledger should answer to it.

use std::collections::BTreeSet;

use super::chance::{Disposition, Document, Held, Pick, Reading, Signed, Step};
use super::results::{TESTS, Verdict};
use super::{Deed, Entry, Id, On, Release};
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

/// People with keys; `anna~2` is the second key of anna.
const ANALYSTS: [&str; 2] = ["anna", "bea"];
const REVIEWERS: [&str; 4] = ["rita", "anna", "anna~2", "bea"];
const VERIFIERS: [&str; 3] = ["pavel", "frida", "-"];
/// Who takes a result back: a reviewer and QA.
const INVALIDATORS: [(&str, &str); 6] =
    [("rita", "quinn"), ("bea", "quinn"), ("anna", "quinn"), ("rita", "anna~2"), ("rita", "rita~2"), ("rita", "-")];
/// Who lifts a hold with quinn of QA.
const LIFTERS: [&str; 7] = ["rita/QR", "petra/QP", "bea/QC", "olga/OP:APPROVED", "frida/QP", "quinn~2/QC", "-"];
const ASSURANCE: [&str; 3] = ["quinn", "quentin", "anna~3"];
const CERTIFIERS: [&str; 5] = ["petra", "bea", "anna~2", "olga~2", "frida"];
const SEVERITIES: [&str; 3] = ["MINOR", "MAJOR", "CRITICAL"];
/// Codes that refuse a fact too.
const REFUSING: [&str; 4] = ["EVENT_AHEAD", "SIGNATURE_TARGET_WRONG", "SIGNERS_NOT_DIFFERENT", "SLOTS_WRONG"];

/// The one flag of a decision.
const REST: &str = "RELEASE_RESTED_ON_RESULT";

/// The person behind a key.
pub fn person(key: &str) -> &str {
    key.split(['~', '/']).next().unwrap_or_default()
}

/// Law 1: what happened and what stops is kept whatever is wrong with it; what is decided is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Law {
    Fact,
    Decision,
}

/// A row with the answer that it should get.
pub struct Expected {
    pub row: String,
    pub codes: BTreeSet<&'static str>,
    pub is_refused: bool,
}

/// The rest of a row, and what it is to the model.
struct Said {
    what: String,
    options: &'static str,
    ago: i64,
    law: Law,
    codes: BTreeSet<&'static str>,
    deed: Deed,
}

impl Said {
    fn new(law: Law, what: String, codes: BTreeSet<&'static str>, deed: Deed) -> Said {
        Said { what, options: "", ago: 0, law, codes, deed }
    }
}

/// The codes whose condition holds.
fn found<const N: usize>(all: [(bool, &'static str); N]) -> BTreeSet<&'static str> {
    all.into_iter().filter(|(holds, _)| *holds).map(|(_, code)| code).collect()
}

fn pick<T: Clone>(which: Pick, all: &[T], is_open: impl Fn(&T) -> bool) -> Option<T> {
    let open: Vec<T> = all.iter().filter(|one| is_open(one)).cloned().collect();
    let (from, place) = match which {
        Pick::Open(place) => (open.as_slice(), place),
        Pick::Any(place) => (all, place),
        Pick::Unknown => return None,
    };
    from.iter().rev().nth(place % from.len().max(1)).cloned()
}

/// An id that nothing has: the sampling brought nothing about.
fn strange(code: &'static str) -> Id {
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
            Step::Review { which, reviewer, is_confirmed, ago } => {
                self.review(*which, REVIEWERS[*reviewer], *is_confirmed, *ago)?
            }
            Step::Invalidate { which, people, document } => self.invalidate(*which, INVALIDATORS[*people], *document)?,
            Step::Sample => self.sample(),
            Step::Print { verifier } => self.print(VERIFIERS[*verifier]),
            Step::Sign { verifier } => self.sign(VERIFIERS[*verifier])?,
            Step::Deviate { on_donor, severity } => {
                let on = On::of(*on_donor);
                let what = format!("bea/QC | DeviationOpened on {} | severity={}", on.stream(), SEVERITIES[*severity]);
                Said::new(Law::Fact, what, BTreeSet::new(), Deed::DeviationOpened { on, is_critical: *severity == 2 })
            }
            Step::Close { on_donor, which } => self.close(On::of(*on_donor), *which)?,
            Step::Hold(held) => hold(*held),
            Step::Lift { on_donor, which, second, is_cited } => {
                self.lift(On::of(*on_donor), *which, LIFTERS[*second], *is_cited)?
            }
            Step::Recall { on_donor } => {
                let on = On::of(*on_donor);
                let event = if *on_donor { "LookBackOpened" } else { "RecallOpened" };
                Said::new(Law::Fact, format!("petra/QP | {event} on {} | ", on.stream()), BTreeSet::new(), Deed::RecallOpened(on))
            }
            Step::Trace { on_donor, which, is_complete } => self.trace(On::of(*on_donor), *which, *is_complete)?,
            Step::Determine { how, signed } => self.determine(*how, *signed)?,
            Step::Dispose { .. } => self.dispose(step)?,
        };
        Some(self.row(said))
    }

    fn row(&mut self, said: Said) -> Expected {
        let Said { what, options, ago, law, mut codes, deed } = said;
        codes.extend((ago < -AHEAD).then_some("EVENT_AHEAD"));
        codes.extend((law == Law::Fact && ago > LATE).then_some("LATE_ENTRY"));
        let refuses = |code: &&str| if law == Law::Decision { *code != REST } else { REFUSING.contains(code) };
        let is_refused = codes.iter().any(refuses);
        if is_refused {
            // A flag is a mark on what was accepted.
            codes.retain(|code| refuses(code));
        }
        self.rows += 1;
        let (label, now, at) = (format!("R{}", self.rows), moment(self.now), self.now - ago);
        let row = format!("{label}: {} recorded={now} signed={now} {options}| {what} | ?", moment(at));
        self.pending = Some(Entry { label, at, is_decision: law == Law::Decision, deed, marks: codes.clone() });
        Expected { row, codes, is_refused }
    }

    /// Inoculation and reading, if they are said.
    fn times(&mut self, code: &str, incubation: i64, reading: Reading) -> Option<(i64, i64)> {
        match reading {
            Reading::Unsaid => None,
            Reading::Now => Some((INOCULATED, self.now)),
            Reading::Due { offset, is_anew } => {
                let last = self.reports().filter(|report| report.test == code).last().map(|report| report.at);
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
        let (text, meant) = test.results[value % test.results.len()];
        let mut fields = String::new();
        let mut is_early = false;
        if let Some(incubation) = test.incubation {
            let times = self.times(test.code, incubation, *reading);
            is_early = times.is_none_or(|(inoculated, read)| read - inoculated < incubation);
            if let Some((inoculated, read)) = times {
                fields = format!(" inoculated_at=\"{}\" read_at=\"{}\"", moment(inoculated), moment(read));
            }
        }
        // A fact that comes after a decision and is dated before it is another model's matter.
        let is_before_a_decision = self.history.iter().any(|entry| entry.is_decision && entry.at > self.now - ago);
        let ago = if is_before_a_decision { 0 } else { *ago };
        let samples = self.samples();
        let sample = samples.get(*sample).cloned().unwrap_or_else(|| "STRANGE".to_owned());
        let earlier = self.reports().filter(|report| report.test == test.code).count();
        let is_known = test.code != "GRAM";
        let fails = is_known && meant == Verdict::Fails;
        // Left out: whether a positive opens a recall of a lot that was released and rejected since.
        if fails && self.is_released() && self.is_rejected() {
            return None;
        }
        let codes = found([
            (!is_known, "TEST_NOT_IN_SPECIFICATION"),
            (sample == "STRANGE", "SAMPLE_UNKNOWN"),
            (meant == Verdict::Incomplete, "RESULT_INCOMPLETE"),
            (meant == Verdict::OtherUnit, "RESULT_UNIT_DIFFERS"),
            // What is invalid was not performed, and not incubated for long enough either.
            (is_early && meant != Verdict::Nothing, "INCUBATION_INCOMPLETE"),
            (fails, "OUT_OF_SPECIFICATION"),
            (fails && self.is_released(), "POSITIVE_AFTER_RELEASE"),
            // Once, and as often again as the specification allows: once.
            (is_known && earlier > 1, "RETESTS_EXCEEDED"),
        ]);
        let what = format!(
            "{analyst}/QC | TestResultReported on lot:L1 | test_code={} sample_id={sample} result={text}{fields}",
            test.code
        );
        let deed = Deed::Reported { test: test.code, verdict: meant, is_early, analyst };
        Some(Said { ago, ..Said::new(Law::Fact, what, codes, deed) })
    }

    /// A report that a step is about; of what is none, the record of the sampling.
    fn target(&self, which: Pick, is_open: impl Fn(&str) -> bool) -> Option<String> {
        let labels: Vec<String> = self.reports().map(|report| report.label.to_owned()).collect();
        let picked = pick(which, &labels, |label| is_open(label));
        picked.or_else(|| matches!(which, Pick::Unknown).then(|| "SAMPLED".to_owned()))
    }

    fn review(&self, which: Pick, reviewer: &'static str, is_confirmed: bool, ago: i64) -> Option<Said> {
        let target = self.target(which, |label| self.review_of(label).is_none())?;
        let report = self.reports().find(|report| report.label == target);
        let codes = found([
            (report.is_none(), "RESULT_UNKNOWN"),
            (self.review_of(&target).is_some(), "RESULT_ALREADY_REVIEWED"),
            (report.is_some_and(|report| person(report.analyst) == person(reviewer)), "ANALYST_IS_REVIEWER"),
            (ago > 5 * MINUTE, "AUTHORISATION_BACKDATED"),
        ]);
        let decision = if is_confirmed { "ACCEPTED" } else { "REJECTED" };
        let what = format!("{reviewer}/QR | TestResultReviewed on lot:L1 | reported_record_id=@rec:{target} decision={decision}");
        Some(Said { ago, ..Said::new(Law::Decision, what, codes, Deed::Reviewed { target, is_confirmed }) })
    }

    fn invalidate(&self, which: Pick, (reviewer, assurance): (&str, &str), document: Document) -> Option<Said> {
        let target = self.target(which, |label| !self.is_invalidated(label))?;
        let report = self.reports().find(|report| report.label == target);
        let is_own = report.as_ref().is_some_and(|report| [reviewer, assurance].iter().any(|who| person(who) == report.analyst));
        // A positive of a test that the specification does not know may be one of sterility.
        let is_of_sterility = |test: &str| ["STER7", "STER14", "GRAM"].contains(&test);
        let is_positive = report.as_ref().is_some_and(|report| report.verdict == Verdict::Fails && is_of_sterility(report.test));
        let is_documented = match document {
            Document::Cited => true,
            Document::None => !is_positive,
            Document::NamedOnly | Document::Nowhere | Document::Itself => false,
        };
        let (cites, named) = match document {
            Document::None => (String::new(), String::new()),
            Document::Cited => (" citing STORED".to_owned(), " documenting_record_id=@rec:STORED".to_owned()),
            Document::NamedOnly => (String::new(), " documenting_record_id=@rec:STORED".to_owned()),
            Document::Nowhere => (" citing STORED".to_owned(), " documenting_record_id=NOTHING".to_owned()),
            Document::Itself => (format!(" citing {target}"), format!(" documenting_record_id=@rec:{target}")),
        };
        let mut codes = found([
            (report.is_none(), "RESULT_UNKNOWN"),
            (self.is_invalidated(&target), "RESULT_ALREADY_INVALIDATED"),
            (is_own, "ANALYST_INVALIDATES"),
            (report.is_some() && !is_documented, "LABORATORY_CAUSE_UNDOCUMENTED"),
            (assurance == "-", "SIGNATURE_MISSING"),
            (person(reviewer) == person(assurance), "SIGNERS_NOT_DIFFERENT"),
        ]);
        codes.extend(self.rests_on(&target).then_some(REST));
        let assurance = if assurance == "-" { "-".to_owned() } else { format!("{assurance}/QA") };
        let what =
            format!("{reviewer}/QR {assurance} | ResultInvalidated on lot:L1{cites} | reported_record_id=@rec:{target}{named}");
        Some(Said::new(Law::Decision, what, codes, Deed::Invalidated { target }))
    }

    /// Left out: whether somebody who did nothing but take a sample operated on the lot. Olga did in any case.
    fn sample(&self) -> Said {
        let sample = format!("SAMPLE{}", self.samples().len());
        let what = format!("olga/OP | SampleTaken on lot:L1 | sample_id={sample} sample_code=S-{sample}");
        Said::new(Law::Fact, what, BTreeSet::new(), Deed::Sampled(sample))
    }

    /// Labels are printed by one operator and verified by another.
    fn print(&self, verifier: &'static str) -> Said {
        let second = if verifier == "-" { "-".to_owned() } else { format!("{verifier}/VF") };
        let what = format!("olga/OP {second} | LabelsPrinted on lot:L1 | batch_id=BATCH{}", self.rows);
        let deed = Deed::Worked { who: "olga", second: verifier };
        Said::new(Law::Fact, what, found([(verifier == "-", "VERIFIER_MISSING")]), deed)
    }

    /// The newest step that somebody still has to sign, or else the newest of all.
    fn sign(&self, who: &'static str) -> Option<Said> {
        let steps: Vec<&Entry> = self.history.iter().filter(|entry| matches!(entry.deed, Deed::Worked { .. })).collect();
        let owed = steps.iter().rev().find(|entry| self.is_owed(entry));
        let target = owed.or(steps.last())?.label.clone();
        let what = format!("{who}/VF | SignatureAdded on lot:L1 | target_digest=@digest:{target}");
        let codes = found([(owed.is_none(), "SIGNATURE_TARGET_WRONG")]);
        Some(Said::new(Law::Fact, what, codes, Deed::Signed { target, who }))
    }

    fn close(&self, on: On, which: Pick) -> Option<Said> {
        let all: Vec<Id> = self.deviations(on).into_iter().map(|(id, _)| id).collect();
        let is_closed = |id: &Id| self.any(|deed| matches!(deed, Deed::DeviationClosed { id: closed } if closed == id));
        let picked = pick(which, &all, |id| !is_closed(id));
        let id = picked.clone().or_else(|| matches!(which, Pick::Unknown).then(|| strange("DEVIATION_OPENED")))?;
        let codes = found([(picked.is_none(), "DEVIATION_UNKNOWN"), (is_closed(&id), "DEVIATION_ALREADY_CLOSED")]);
        let what = format!("quinn/QA | DeviationClosed on {} | deviation_id=@deviation:{}/{}", on.stream(), id.0, id.1);
        Some(Said::new(Law::Decision, what, codes, Deed::DeviationClosed { id }))
    }

    fn lift(&self, on: On, which: Pick, second: &str, is_cited: bool) -> Option<Said> {
        let all: Vec<Id> = self.holds(on).into_iter().map(|(id, _)| id).collect();
        let picked = pick(which, &all, |id| !self.is_lifted(id));
        let id = picked.clone().or_else(|| matches!(which, Pick::Unknown).then(|| strange("HOLD_SET")))?;
        let codes = found([
            (picked.is_none(), "HOLD_UNKNOWN"),
            (self.is_lifted(&id), "HOLD_ALREADY_LIFTED"),
            (on == On::Lot && self.is_operator(person(second)), "HOLD_LIFTED_BY_OPERATOR"),
            (!is_cited, "RESOLUTION_UNKNOWN"),
            (self.recalls(on).contains(&id) && !self.is_traced(&id), "HOLD_OF_OPEN_RECALL"),
            (second == "-", "SIGNATURE_MISSING"),
            (person(second) == "quinn", "SIGNERS_NOT_DIFFERENT"),
        ]);
        let cites = if is_cited { " citing STORED" } else { "" };
        let what = format!(
            "quinn/QA {second} | HoldLifted on {}{cites} | hold_id=@hold:{}/{} resolution_record_id=@rec:STORED",
            on.stream(),
            id.0,
            id.1
        );
        Some(Said::new(Law::Decision, what, codes, Deed::HoldLifted { id }))
    }

    /// A recall or look-back is closed with the list of what it reaches: six units, which nobody was given.
    fn trace(&self, on: On, which: Pick, is_complete: bool) -> Option<Said> {
        let (all, code) = (self.recalls(on), if on == On::Lot { "RECALL_OPENED" } else { "LOOK_BACK_OPENED" });
        let picked = pick(which, &all, |id| !self.is_traced(id));
        let id = picked.clone().or_else(|| matches!(which, Pick::Unknown).then(|| strange(code)))?;
        let codes = found([
            (picked.is_none(), "RECALL_UNKNOWN"),
            (self.is_traced(&id), "RECALL_ALREADY_CLOSED"),
            (!is_complete, "RECALL_LIST_DIFFERS"),
        ]);
        let (event, field, digest) = match on {
            On::Lot => ("RecallClosed", "recall_id", "lot/L1"),
            On::Donor => ("LookBackClosed", "look_back_id", "donor/D1"),
        };
        let what = format!(
            "quinn/QA petra/QP | {event} on {} | {field}=@hold:{}/{} affected_count={} affected_digest=@affected:{digest}",
            on.stream(),
            id.0,
            id.1,
            if is_complete { 6 } else { 5 }
        );
        Some(Said::new(Law::Decision, what, codes, Deed::Traced { id }))
    }

    /// The donor is found eligible, ineligible or deferred.
    fn determine(&self, how: usize, signed: Signed) -> Option<Said> {
        let word = ["ELIGIBLE", "INELIGIBLE", "DEFERRED"][how];
        let before = self.eligibility();
        // Left out: whether the ineligibility of a donor who was deferred opens a look-back of its own.
        if word == "INELIGIBLE" && before == "DEFERRED" {
            return None;
        }
        let (law, people) = (if how == 0 { Law::Decision } else { Law::Fact }, signatures("dora/PHY", "quinn/QA", signed));
        let mut codes = signature_codes(law, signed);
        let is_judged = !codes.contains("SLOTS_WRONG");
        codes.extend(found([
            (how == 0 && is_judged && self.holds(On::Donor).iter().any(|(id, _)| !self.is_lifted(id)), "DONOR_HELD"),
            (how != 0 && before == "ELIGIBLE", "ELIGIBILITY_REVISED_AFTER_USE"),
        ]));
        let what = format!("{people} | DonorEligibilityDetermined on donor:D1 | eligibility={word}");
        Some(Said::new(law, what, codes, Deed::Determined(word)))
    }

    fn dispose(&self, step: &Step) -> Option<Said> {
        let Step::Dispose { how, assurance, certifier, signed, waivers, ago, has_seen } = step else { return None };
        let (qa, qp) = (ASSURANCE[*assurance], CERTIFIERS[*certifier]);
        let law = if *how == Disposition::Rejected { Law::Fact } else { Law::Decision };
        let mut codes = signature_codes(law, *signed);
        let waivers: Vec<&'static str> =
            if law == Law::Fact { Vec::new() } else { waivers.iter().map(|place| TESTS[*place].code).collect() };
        if law == Law::Decision {
            // What does not even ask for the right signatures is not looked into.
            let is_judged = !codes.contains("SLOTS_WRONG");
            if is_judged {
                codes.extend(self.release_codes(*how == Disposition::Final, &waivers));
            }
            // One signature travels at once, two take up to an hour.
            let limit = if is_judged { HOUR } else { 5 * MINUTE };
            codes.extend(found([(*ago > limit, "AUTHORISATION_BACKDATED"), (!has_seen, "HEAD_MOVED")]));
            let certifies = is_judged && *signed != Signed::FirstOnly;
            codes.extend(found([(certifies && self.has_worked(person(qp)), "CERTIFIER_WORKED_ON_LOT")]));
        } else {
            codes.extend(found([(!has_seen, "HEAD_ADVANCED")]));
        }
        codes.extend(found([(*signed == Signed::Both && person(qa) == person(qp), "SIGNERS_NOT_DIFFERENT")]));
        let word = match how {
            Disposition::Conditional => "CONDITIONAL",
            Disposition::Final => "FINAL",
            Disposition::Rejected => "REJECTED",
        };
        let list: Vec<String> = waivers.iter().map(|code| format!("{code}/\"no cells left\"")).collect();
        let list = if list.is_empty() { String::new() } else { format!(" waivers=[{}]", list.join(",")) };
        let people = signatures(&format!("{qa}/QA"), &format!("{qp}/QP"), *signed);
        let what = format!("{people} | LotDispositionDecided on lot:L1 | disposition={word}{list}");
        let options = if *has_seen { "" } else { "seen=stale " };
        Some(Said { ago: *ago, options, ..Said::new(law, what, codes, Deed::Disposed(*how)) })
    }
}

/// The people of a row.
fn signatures(first: &str, second: &str, signed: Signed) -> String {
    match signed {
        Signed::Both => format!("{first} {second}"),
        Signed::FirstOnly => format!("{first} -"),
        Signed::SecondOnly => format!("- {second}"),
        Signed::FirstAlone => format!("{first} alone"),
        Signed::SecondAlone => format!("{second} alone"),
    }
}

/// Stopping takes one signature, of either, however many are asked for; a decision asks for both and has both.
fn signature_codes(law: Law, signed: Signed) -> BTreeSet<&'static str> {
    let is_missing = matches!(signed, Signed::FirstOnly | Signed::SecondOnly);
    let is_alone = matches!(signed, Signed::FirstAlone | Signed::SecondAlone);
    found([(law == Law::Decision && is_missing, "SIGNATURE_MISSING"), (law == Law::Decision && is_alone, "SLOTS_WRONG")])
}

fn hold(held: Held) -> Said {
    let (on, units) = match held {
        Held::Lot => (On::Lot, ""),
        Held::Unit => (On::Lot, "unit_ids=[U1]"),
        Held::StrangeUnit => (On::Lot, "unit_ids=[U9]"),
        Held::Donor => (On::Donor, ""),
    };
    let codes = found([(held == Held::StrangeUnit, "HELD_THING_UNKNOWN")]);
    let what = format!("olga/OP:APPROVED | HoldSet on {} | {units}", on.stream());
    Said::new(Law::Fact, what, codes, Deed::HoldSet { on, is_whole: units.is_empty() })
}
