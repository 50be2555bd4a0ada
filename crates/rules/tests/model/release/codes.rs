//! What is to be said of a deed, beside its signatures and its age, by the walks over what was accepted before.

use std::collections::BTreeSet;

use super::chance::{Disposition, Document, Resolution};
use super::deeds::{found, person};
use super::results::{TESTS, Test, Verdict, stage};
use super::{Content, Deed, Id, On, Release, Report};

/// How far ahead of its record anything may be dated.
const AHEAD: i64 = 60_000;
/// A test is performed once, and as often again as the specification allows: once.
const PERFORMED: usize = 2;

impl Release {
    /// The codes of a deed beside those of its frame.
    pub(super) fn said_of(&self, deed: &Deed) -> BTreeSet<&'static str> {
        match deed {
            Deed::Reported { content, .. } => self.report_codes(content),
            Deed::Reviewed { target, reviewer, .. } => self.review_codes(target, reviewer),
            Deed::Invalidated { target, reviewer, assurance, document } => {
                self.invalidation_codes(target, [reviewer, assurance], *document)
            }
            Deed::Amended { is_digest: false, .. } => found([(true, "AMENDMENT_TARGET_UNKNOWN")]),
            Deed::Amended { target, replaces, author, approver, .. } => self.amendment_codes(target, replaces, author, approver),
            Deed::Worked { second, .. } => found([(*second == "-", "VERIFIER_MISSING")]),
            Deed::DeviationClosed { on, id } => {
                let is_known = self.deviations(*on).iter().any(|(of, _)| of == id);
                found([(!is_known, "DEVIATION_UNKNOWN"), (self.is_closed(id), "DEVIATION_ALREADY_CLOSED")])
            }
            Deed::HoldSet { is_strange, .. } => found([(*is_strange, "HELD_THING_UNKNOWN")]),
            Deed::HoldLifted { on, id, second, resolution } => self.lift_codes(*on, id, second, *resolution),
            Deed::Traced { on, id, is_complete } => found([
                (!self.recalls(*on).contains(id), "RECALL_UNKNOWN"),
                (self.is_traced(id), "RECALL_ALREADY_CLOSED"),
                (!is_complete, "RECALL_LIST_DIFFERS"),
            ]),
            Deed::PanelReviewed { test, reviewer } => self.panel_codes(*test, reviewer),
            Deed::Determined(word) => self.eligibility_codes(word),
            Deed::Disposed { how, certifier, waivers } => {
                let is_release = *how != Disposition::Rejected;
                let mut codes =
                    if is_release { self.release_codes(*how == Disposition::Final, waivers) } else { BTreeSet::new() };
                let is_worker = certifier.is_some_and(|who| self.has_worked(person(who)));
                codes.extend((is_release && is_worker).then_some("CERTIFIER_WORKED_ON_LOT"));
                codes
            }
            Deed::Exempted { certifier, is_of_lot } => found([
                (!is_of_lot, "EXCEPTIONAL_UNIT_UNKNOWN"),
                (self.is_rejected(), "EXCEPTIONAL_LOT_REJECTED"),
                (self.has_worked(person(certifier)), "CERTIFIER_WORKED_ON_LOT"),
            ]),
            Deed::Withdrawn { target, author } => found([
                (self.is_gone(target), "AMENDMENT_NOT_OF_THE_LATEST"),
                (!author.ends_with("/OP"), "AMENDMENT_BY_ANOTHER_ROLE"),
            ]),
            Deed::Sampled { .. }
            | Deed::Signed { .. }
            | Deed::DeviationOpened { .. }
            | Deed::RecallOpened(_)
            | Deed::PanelAmended { .. } => BTreeSet::new(),
        }
    }

    /// What a report is flagged with that says this here.
    pub(super) fn report_codes(&self, content: &Content) -> BTreeSet<&'static str> {
        let is_known = content.test().is_some();
        // Neither void reports nor those that say nothing are counted.
        let earlier = self.reports().filter(|report| report.test == content.test && self.was_performed(report)).count();
        let says = content.verdict != Verdict::Nothing || content.differs;
        found([
            (!is_known, "TEST_NOT_IN_SPECIFICATION"),
            (self.taken_at(content).is_none(), "SAMPLE_UNKNOWN"),
            (content.verdict == Verdict::Incomplete, "RESULT_INCOMPLETE"),
            (content.verdict == Verdict::OtherUnit, "RESULT_UNIT_DIFFERS"),
            (content.differs && is_known, "RESULT_KIND_DIFFERS"),
            // What is invalid was not performed, and not incubated for long enough either.
            (says && content.is_early(), "INCUBATION_INCOMPLETE"),
            (says && self.is_impossible(content), "INCUBATION_TIMES_IMPOSSIBLE"),
            (content.fails(), "OUT_OF_SPECIFICATION"),
            (content.fails() && self.is_out(), "POSITIVE_AFTER_RELEASE"),
            (is_known && self.decides(content) && earlier >= PERFORMED, "RETESTS_EXCEEDED"),
        ])
    }

    /// When the sample of a report was taken; nothing if the lot has no such sample.
    fn taken_at(&self, content: &Content) -> Option<i64> {
        self.samples().into_iter().find(|(sample, _)| *sample == content.sample).map(|(_, at)| at)
    }

    /// Sampled, inoculated, read and reported are in this order.
    fn is_impossible(&self, content: &Content) -> bool {
        let Some((inoculated, read)) = content.times else { return false };
        self.taken_at(content).is_some_and(|taken| taken > inoculated) || inoculated > read || read > content.at + AHEAD
    }

    /// Whether a report passes its test, if it is reviewed.
    fn is_valid_pass(&self, report: &Report<'_>) -> bool {
        let passes = |content: &Content| content.verdict == Verdict::Passes && self.decides(content);
        report.latest().is_some_and(passes) && !self.is_invalidated(report)
    }

    /// Whether what a report says decides its test: a failure however it was come by, a pass only if it may count.
    fn decides(&self, content: &Content) -> bool {
        let is_sound = !content.is_early() && !self.is_impossible(content) && self.taken_at(content).is_some();
        content.fails() || (content.verdict == Verdict::Passes && is_sound)
    }

    /// Whether a report uses up a performance of its test. What failed once did, whatever is said of it now.
    fn was_performed(&self, report: &Report<'_>) -> bool {
        let has_failed = report.versions.iter().any(|version| version.content.is_some_and(Content::fails));
        report.latest().is_some_and(|content| has_failed || self.decides(content))
    }

    /// Whether it was repeated more often than the specification allows: counted as they were recorded, without those that say nothing.
    fn is_beyond(&self, report: &Report<'_>) -> bool {
        let is_before = |other: &Report<'_>| other.test == report.test && other.place < report.place;
        self.was_performed(report)
            && self.reports().filter(|other| is_before(other) && self.was_performed(other)).count() >= PERFORMED
    }

    /// Whether a result counts: it passes, and a reviewer says so of what it says now.
    fn counts(&self, report: &Report<'_>) -> bool {
        self.is_valid_pass(report) && !self.is_beyond(report) && self.review_of(report) == Some(true)
    }

    fn review_codes(&self, target: &str, reviewer: &str) -> BTreeSet<&'static str> {
        let report = self.report_of(target).filter(|report| !report.is_void());
        found([
            (report.is_none(), "RESULT_UNKNOWN"),
            (report.as_ref().is_some_and(|report| self.review_of(report).is_some()), "RESULT_ALREADY_REVIEWED"),
            (report.as_ref().is_some_and(|report| report.is_analyst(reviewer)), "ANALYST_IS_REVIEWER"),
        ])
    }

    /// Whether nobody is to invalidate a result any more: an invalidation is of the versions that were there. A void says nothing that could be
    /// invalidated.
    pub(super) fn is_settled(&self, report: &Report<'_>) -> bool {
        report
            .versions
            .iter()
            .rfind(|version| version.author != "-")
            .is_some_and(|version| self.is_invalidated_after(report.label, version.place))
    }

    fn invalidation_codes(&self, target: &str, people: [&str; 2], document: Document) -> BTreeSet<&'static str> {
        let report = self.report_of(target);
        let is_own = report.as_ref().is_some_and(|report| people.iter().any(|who| report.is_analyst(who)));
        let is_of_sterility = |test: &str| ["STER7", "STER14", "GRAM"].contains(&test);
        // A positive of a test that the specification does not know may be one of sterility; a number means nothing without a criterion. A
        // failure outlives its version.
        let is_positive = report.as_ref().is_some_and(|report| {
            let fails = |content: &Content| content.fails() || (content.verdict == Verdict::Fails && !content.differs);
            is_of_sterility(report.test) && report.versions.iter().any(|version| version.content.is_some_and(fails))
        });
        let is_documented = match document {
            Document::Cited => true,
            Document::None => !is_positive,
            Document::NamedOnly | Document::Nowhere | Document::Itself => false,
        };
        let mut codes = found([
            (report.is_none(), "RESULT_UNKNOWN"),
            (report.as_ref().is_some_and(|report| self.is_settled(report)), "RESULT_ALREADY_INVALIDATED"),
            (is_own, "ANALYST_INVALIDATES"),
            (report.is_some() && !is_documented, "LABORATORY_CAUSE_UNDOCUMENTED"),
        ]);
        codes.extend(self.rests_on(target).then_some("RELEASE_RESTED_ON_RESULT"));
        codes
    }

    /// Whether a released lot loses the only result of a test of its stage if this one is taken back. A test that was waived and performed
    /// later is one of these: the lot has a result, and loses it.
    fn rests_on(&self, label: &str) -> bool {
        let Some(how) = self.decisions().next() else { return false };
        let Some(test) = self.report_of(label).map(|report| report.test) else { return false };
        let is_asked = stage(how == Disposition::Final).any(|asked| asked.code == test);
        let of_test = || self.reports().filter(|report| report.test == test);
        // An amended result that nobody reviewed again is still what the release rests on; none can be taken in its place.
        let is_rested_on = |report: &Report<'_>| {
            let amends = |deed: &Deed| matches!(deed, Deed::Amended { target, .. } if target == report.label);
            let is_amended = self.any(amends) && self.review_of(report).is_none();
            self.counts(report) || (is_amended && self.is_valid_pass(report) && !self.is_beyond(report))
        };
        let loses = of_test().any(|report| report.label == label && is_rested_on(&report));
        let keeps = of_test().any(|report| report.label != label && self.counts(&report));
        how != Disposition::Rejected && is_asked && loses && !keeps
    }

    fn amendment_codes(&self, target: &str, replaces: &str, author: &str, approver: &str) -> BTreeSet<&'static str> {
        let named = self.history.iter().find(|entry| entry.label == target);
        let is_report = matches!(named.map(|entry| &entry.deed), Some(Deed::Reported { .. }));
        if !is_report {
            // Of what is no fact nothing else is asked.
            return found([(true, "AMENDMENT_NOT_OF_A_FACT")]);
        }
        // Who wrote a version, voiding it included; who approved one did not write it.
        let wrote = |deed: &Deed| matches!(deed, Deed::Amended { target: of, author, .. } if of == target && person(author) == person(approver));
        let is_own = self.report_of(target).is_some_and(|report| report.is_analyst(approver)) || self.any(wrote);
        let is_void = self.report_of(target).is_some_and(|report| report.is_void());
        found([
            (is_void || self.version_of(target) != replaces, "AMENDMENT_NOT_OF_THE_LATEST"),
            (!author.ends_with("/QC"), "AMENDMENT_BY_ANOTHER_ROLE"),
            (is_own, "AMENDMENT_APPROVED_BY_ITS_AUTHOR"),
        ])
    }

    /// The label of the last version of a report.
    pub(super) fn version_of(&self, target: &str) -> String {
        let is_version = |deed: &Deed| matches!(deed, Deed::Amended { target: of, .. } if of == target);
        let last = self.history.iter().rev().find(|entry| is_version(&entry.deed));
        last.map_or(target, |entry| &entry.label).to_owned()
    }

    fn lift_codes(&self, on: On, id: &Id, second: &str, resolution: Resolution) -> BTreeSet<&'static str> {
        let is_known = self.holds(on).iter().any(|(of, _)| of == id);
        found([
            (!is_known, "HOLD_UNKNOWN"),
            (self.is_lifted(id), "HOLD_ALREADY_LIFTED"),
            (on == On::Lot && self.is_operator(person(second)), "HOLD_LIFTED_BY_OPERATOR"),
            (resolution == Resolution::Uncited, "RESOLUTION_UNKNOWN"),
            ((is_known && resolution == Resolution::Itself) || resolution == Resolution::Founding, "RESOLUTION_RESOLVES_NOTHING"),
            (self.recalls(on).contains(id) && !self.is_traced(id), "HOLD_OF_OPEN_RECALL"),
        ])
    }

    fn panel_codes(&self, test: Option<usize>, reviewer: &str) -> BTreeSet<&'static str> {
        let Some(test) = test else { return found([(true, "DONOR_RESULT_UNKNOWN")]) };
        let amended = |deed: &Deed| match deed {
            Deed::PanelAmended { test: of, author } => *of == test && person(author) == person(reviewer),
            _ => false,
        };
        found([
            (self.is_panel_reviewed(test), "DONOR_RESULT_ALREADY_REVIEWED"),
            (person(reviewer) == "anna" || self.any(amended), "DONOR_ANALYST_IS_REVIEWER"),
        ])
    }

    fn eligibility_codes(&self, word: &str) -> BTreeSet<&'static str> {
        let is_held = self.holds(On::Donor).iter().any(|(id, _)| !self.is_lifted(id));
        // Late ineligibility opens a look-back by itself. Of a donor who was not eligible before, an open one traces all of it.
        let is_looked_back_on = self.recalls(On::Donor).iter().any(|id| !self.is_traced(id));
        let was_eligible = self.eligibility() == "ELIGIBLE";
        let is_revised = match word {
            "INELIGIBLE" => was_eligible || !is_looked_back_on,
            "DEFERRED" => was_eligible,
            _ => false,
        };
        found([
            (word == "ELIGIBLE" && is_held, "DONOR_HELD"),
            (word == "ELIGIBLE" && !self.is_panel_complete(), "DONOR_PANEL_INCOMPLETE"),
            (is_revised, "ELIGIBILITY_REVISED_AFTER_USE"),
        ])
    }

    /// What stands in the way of a release, whoever signs it.
    fn release_codes(&self, is_final: bool, waivers: &[&str]) -> BTreeSet<&'static str> {
        let mut codes: BTreeSet<&'static str> = stage(is_final).filter_map(|test| self.test_code(test, waivers)).collect();
        for waived in waivers {
            let test = TESTS.iter().find(|test| test.code == *waived && test.is_waivable);
            if test.is_none_or(|test| self.is_performed(test)) {
                codes.insert("WAIVER_NOT_ALLOWED");
            }
        }
        let is_donor_held = self.holds(On::Donor).iter().any(|(id, _)| !self.is_lifted(id));
        codes.extend(found([
            // What is known is not unknown, whatever the stage asks for.
            (self.reports().any(|report| self.has_failed(&report)), "TEST_FAILED"),
            (self.eligibility() != "ELIGIBLE" || is_donor_held, "DISPOSITION_DONOR_NOT_ELIGIBLE"),
            // Of a donor who is not eligible no panel is asked.
            (self.eligibility() == "ELIGIBLE" && !self.is_panel_complete(), "LOT_DONOR_PANEL_INCOMPLETE"),
            (self.holds(On::Lot).iter().any(|(id, is_whole)| *is_whole && !self.is_lifted(id)), "LOT_HELD"),
            (
                self.deviations(On::Lot).iter().any(|(id, is_critical)| *is_critical && !self.is_closed(id)),
                "CRITICAL_DEVIATION_OPEN",
            ),
            (self.history.iter().any(|entry| self.is_owed(entry)), "LOT_SIGNATURE_OWED"),
            (self.is_rejected(), "LOT_REJECTED"),
        ]));
        codes
    }

    /// Whether a test has a valid result: a failure however it was come by, a pass only if it may count.
    fn is_performed(&self, test: &Test) -> bool {
        let is_valid = |report: &Report<'_>| self.has_failed(report) || (self.is_valid_pass(report) && !self.is_beyond(report));
        self.reports().filter(|report| report.test == test.code).any(|report| is_valid(&report))
    }

    /// What is said of a test that did not fail: the worst. Only reviewed results count, so one that nobody reviewed yet stands in the way only
    /// where no other one counts; a waiver answers for whatever is not there, and is refused by itself where something is.
    fn test_code(&self, test: &Test, waivers: &[&str]) -> Option<&'static str> {
        let standing: Vec<Report<'_>> = self
            .reports()
            .filter(|report| report.test == test.code && !report.is_void() && !self.is_invalidated(report))
            .collect();
        let is_confirmed = |report: &&Report<'_>| self.review_of(report) == Some(true);
        let is_early_pass = |report: &Report<'_>| {
            !self.is_beyond(report)
                && report.latest().is_some_and(|content| content.verdict == Verdict::Passes && content.is_early())
        };
        let of_test = |report: &Report<'_>| report.test == test.code;
        if self.reports().any(|report| of_test(&report) && self.has_failed(&report)) {
            Some("TEST_FAILED")
        } else if (test.is_waivable && waivers.contains(&test.code)) || standing.iter().any(|report| self.counts(report)) {
            None
        } else if test.code == "STER14" && standing.iter().filter(is_confirmed).any(is_early_pass) {
            Some("STERILITY_READ_EARLY")
        } else if standing.iter().any(|report| self.review_of(report).is_none() && !self.is_beyond(report)) {
            Some("TEST_NOT_REVIEWED")
        } else if standing.iter().filter(is_confirmed).any(|report| self.is_valid_pass(report)) {
            Some("RETEST_DOES_NOT_COUNT")
        } else {
            Some("TEST_MISSING")
        }
    }
}
