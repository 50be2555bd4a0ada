//! Samples, results, reviews; and what a result says about its criterion.

use std::cmp::Ordering;

use marrowline_record::decimal::Decimal;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, Comparator, CriterionKind, ResultKind, ReviewDecision, SampleSource};

use super::lot::{field, lot, specification};
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::frame::AHEAD_LIMIT_MS;
use crate::index::id16;
use crate::state::Lot;
use crate::state::lot::{Processing, ReportedResult};

/// What a result says about its criterion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The criterion is met.
    Satisfied,
    /// The criterion is not met: out of specification.
    Failed,
    /// The result does not say; the test counts as not performed.
    Indeterminate,
}

/// What a result says about a criterion. `<1.0` against at most 0.5 says nothing; `<0.5` satisfies it; a wrong unit says nothing.
pub fn outcome(result: &pb::TestResult, criterion: &pb::Criterion) -> Outcome {
    use Outcome::{Failed, Indeterminate, Satisfied};
    if !super::donor::is_complete(result) {
        return Indeterminate;
    }
    match (criterion.kind(), result.kind()) {
        (_, ResultKind::Invalid | ResultKind::Unspecified) => Indeterminate,
        (CriterionKind::Reported, _) => Satisfied,
        (CriterionKind::Absent, ResultKind::Absent) | (CriterionKind::Present, ResultKind::Present) => Satisfied,
        (CriterionKind::Absent, ResultKind::Present) | (CriterionKind::Present, ResultKind::Absent) => Failed,
        // A count of what has to be absent: more than none is growth, and none is for the analyst to call absent.
        (CriterionKind::Absent, ResultKind::Quantitative) if is_more_than_none(result) => Failed,
        (CriterionKind::AtLeast | CriterionKind::AtMost, ResultKind::Quantitative) => quantitative(result, criterion),
        _ => Indeterminate,
    }
}

fn is_more_than_none(result: &pb::TestResult) -> bool {
    let zero = Decimal::parse("0");
    let order = result.value.as_deref().and_then(Decimal::parse).zip(zero).map(|(value, zero)| value.cmp(&zero));
    match result.comparator() {
        Comparator::Equal => order == Some(Ordering::Greater),
        Comparator::Greater | Comparator::AboveQuantification => order.is_some_and(|order| order != Ordering::Less),
        _ => false,
    }
}

/// Whether a result is of the kind that its criterion asks for. What is invalid fits every criterion.
fn fits(result: ResultKind, criterion: CriterionKind) -> bool {
    let is_number = result == ResultKind::Quantitative;
    match criterion {
        _ if matches!(result, ResultKind::Invalid | ResultKind::Unspecified) => true,
        CriterionKind::Absent | CriterionKind::Present => !is_number,
        CriterionKind::AtLeast | CriterionKind::AtMost => is_number,
        CriterionKind::Reported | CriterionKind::Unspecified => true,
    }
}

fn quantitative(result: &pb::TestResult, criterion: &pb::Criterion) -> Outcome {
    if result.unit_ucum != criterion.unit_ucum {
        return Outcome::Indeterminate;
    }
    let parse = |text: &Option<String>| text.as_deref().and_then(Decimal::parse);
    let (Some(value), Some(limit)) = (parse(&result.value), parse(&criterion.limit)) else {
        return Outcome::Indeterminate;
    };
    let order = value.cmp(&limit);
    match criterion.kind() {
        CriterionKind::AtMost => at_most(result.comparator(), order),
        CriterionKind::AtLeast => at_most(mirrored(result.comparator()), order.reverse()),
        _ => Outcome::Indeterminate,
    }
}

fn mirrored(comparator: Comparator) -> Comparator {
    match comparator {
        Comparator::Less => Comparator::Greater,
        Comparator::Greater => Comparator::Less,
        Comparator::BelowQuantification => Comparator::AboveQuantification,
        Comparator::AboveQuantification => Comparator::BelowQuantification,
        other => other,
    }
}

/// `order` is the stated value's against the limit.
fn at_most(comparator: Comparator, order: Ordering) -> Outcome {
    use Outcome::{Failed, Indeterminate, Satisfied};
    match comparator {
        Comparator::Equal if order == Ordering::Greater => Failed,
        Comparator::Equal => Satisfied,
        // Less than something that is itself within the limit.
        Comparator::Less | Comparator::BelowQuantification if order != Ordering::Greater => Satisfied,
        // More than something that is at the limit or beyond.
        Comparator::Greater | Comparator::AboveQuantification if order != Ordering::Less => Failed,
        _ => Indeterminate,
    }
}

/// A report beside what the lot knows of its sample.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    /// What was reported.
    report: &'a pb::TestResultReported,
    /// When.
    reported_at_ms: i64,
    /// When its sample was taken; `None` if the lot has no such sample.
    sampled_at_ms: Option<i64>,
}

impl<'a> Reading<'a> {
    fn new(lot: &Lot, report: &'a pb::TestResultReported, reported_at_ms: i64) -> Reading<'a> {
        let sampled_at_ms = lot.samples.get(&Id16(id16(&report.sample_id))).map(|sample| sample.taken_at_ms);
        Reading { report, reported_at_ms, sampled_at_ms }
    }

    /// Of a result that the lot has.
    pub(crate) fn of(lot: &Lot, result: &'a ReportedResult) -> Reading<'a> {
        Reading::new(lot, &result.event, result.reported_at_ms)
    }

    /// Whether inoculation and reading are at least the incubation apart. Tests without incubation always are.
    pub(crate) fn is_incubated(&self, test: &pb::LotTest) -> bool {
        let Some(min) = test.min_incubation_seconds else { return true };
        match (&self.report.inoculated_at, &self.report.read_at) {
            (Some(inoculated), Some(read)) => {
                read.unix_ms.saturating_sub(inoculated.unix_ms) >= i64::from(min).saturating_mul(1_000)
            }
            _ => false,
        }
    }

    /// Whether the times of an incubation are possible: two moments far enough apart say nothing if one of them lies before the sample
    /// was taken, or had not come when the reading was reported.
    fn is_in_order(&self, test: &pb::LotTest) -> bool {
        let latest = self.reported_at_ms.saturating_add(AHEAD_LIMIT_MS);
        match (&self.report.inoculated_at, &self.report.read_at) {
            (Some(inoculated), Some(read)) if test.min_incubation_seconds.is_some() => {
                let is_after_sample = self.sampled_at_ms.is_none_or(|taken| taken <= inoculated.unix_ms);
                is_after_sample && inoculated.unix_ms <= read.unix_ms && read.unix_ms <= latest
            }
            _ => true,
        }
    }

    /// What the report says about its test. A positive is a positive however early it was read and whatever it was read from; a negative
    /// needs its incubation and a sample of the lot.
    pub(crate) fn verdict(&self, test: &pb::LotTest) -> Outcome {
        let counts = self.sampled_at_ms.is_some() && self.is_incubated(test) && self.is_in_order(test);
        match plain_outcome(self.report, test) {
            Outcome::Satisfied if !counts => Outcome::Indeterminate,
            other => other,
        }
    }
}

/// What a report says about its criterion, whatever its sample and its incubation.
pub(crate) fn plain_outcome(report: &pb::TestResultReported, test: &pb::LotTest) -> Outcome {
    match (&report.result, &test.criterion) {
        (Some(result), Some(criterion)) => outcome(result, criterion),
        _ => Outcome::Indeterminate,
    }
}

/// Whether a result is one of the first of its test, as many as the specification allows. A failure stands beyond them as well.
pub(crate) fn is_within_retests(lot: &Lot, result: &ReportedResult, document: &pb::SpecificationPublished) -> bool {
    let Some(test) = document.tests.iter().find(|test| test.code == result.test_code) else { return true };
    let place = performed(lot, test).position(|r| r.record_id == result.record_id);
    place.is_none_or(|place| place <= retests(document))
}

/// The results of a test that say something, in order. What is invalid or may be either was not performed, and uses up no repetition; a
/// failure was, whatever its record says now.
fn performed<'l>(lot: &'l Lot, test: &'l pb::LotTest) -> impl Iterator<Item = &'l ReportedResult> {
    let has_failed = |result: &ReportedResult| {
        let mut versions = lot.result_versions.iter().filter(|version| version.record_id == result.record_id);
        versions.any(|version| plain_outcome(&version.event, test) == Outcome::Failed)
    };
    let says =
        move |result: &&ReportedResult| Reading::of(lot, result).verdict(test) != Outcome::Indeterminate || has_failed(result);
    lot.results.iter().filter(|result| result.test_code == test.code).filter(says)
}

fn retests(document: &pb::SpecificationPublished) -> usize {
    usize::try_from(document.max_retests.unwrap_or(0)).unwrap_or(usize::MAX)
}

pub(super) fn sample_taken(c: &mut Context<'_>, e: &pb::SampleTaken) {
    let lot = lot(c);
    let id = Id16(id16(&e.sample_id));
    let is_coded = lot.samples.values().any(|sample| sample.code == e.sample_code);
    c.demand(
        !lot.samples.contains_key(&id) && !is_coded,
        &codes::CULTURE_ID_REUSED,
        || format!("sample {} ({id}), which exists", e.sample_code),
        || "a new id and a new code".to_owned(),
        || field("sample_taken.sample_id"),
    );
    let source = e.source_id.as_deref().map(|s| Id16(id16(s)));
    let known = match (e.source(), source) {
        (SampleSource::Isolation, None) => lot.isolation.is_some(),
        (SampleSource::Culture, Some(id)) => lot.cultures.contains_key(&id),
        (SampleSource::Harvest, Some(id)) => lot.harvests.contains_key(&id),
        (SampleSource::Unit, Some(id)) => lot.units.contains_key(&id),
        _ => false,
    };
    c.demand(
        known,
        &codes::SAMPLE_SOURCE_UNKNOWN,
        || source.map_or_else(|| "no source".to_owned(), |id| id.to_string()),
        || "the isolation, a culture, a harvest or a unit of the lot".to_owned(),
        || field("sample_taken.source_id"),
    );
    if let Some(unit) = source.filter(|_| e.source() == SampleSource::Unit).and_then(|id| lot.units.get(&id)) {
        c.demand(
            matches!(unit.processing, Processing::Filled | Processing::Stored),
            &codes::SAMPLED_UNIT_NOT_FREE,
            || format!("unit {} is {:?}", unit.code, unit.processing).to_lowercase(),
            || "a unit that is filled or stored".to_owned(),
            || field("sample_taken.source_id"),
        );
    }
}

pub(super) fn reported(c: &mut Context<'_>, e: &pb::TestResultReported) {
    let lot = lot(c);
    let Some(result) = &e.result else { return };
    let sample = Id16(id16(&e.sample_id));
    c.demand(
        lot.samples.contains_key(&sample),
        &codes::SAMPLE_UNKNOWN,
        || format!("sample {sample}"),
        || "a sample of the lot".to_owned(),
        || field("test_result_reported.sample_id"),
    );
    c.demand(
        super::donor::is_complete(result),
        &codes::RESULT_INCOMPLETE,
        || "value, unit or comparator missing or too many".to_owned(),
        || "all three for a number, none otherwise".to_owned(),
        || field("test_result_reported.result"),
    );
    let Some(document) = specification(c.view, &lot) else {
        return;
    };
    let Some(test) = document.tests.iter().find(|t| t.code == e.test_code) else {
        c.find(
            &codes::TEST_NOT_IN_SPECIFICATION,
            e.test_code.clone(),
            "a test of the specification",
            field("test_result_reported.test_code"),
        );
        return;
    };
    check_unit(c, result, test);
    check_kind(c, result, test);
    check_incubation(c, &lot, e, test);
    check_outcome(c, &lot, e, test);
    let repeated = performed(&lot, test).count();
    let allowed = retests(&document);
    let says = Reading::new(&lot, e, c.occurred_at_ms).verdict(test) != Outcome::Indeterminate;
    c.demand(
        !says || repeated <= allowed,
        &codes::RETESTS_EXCEEDED,
        || format!("{} repetitions", repeated),
        || format!("at most {allowed}"),
        || field("test_result_reported.test_code"),
    );
}

fn check_unit(c: &mut Context<'_>, result: &pb::TestResult, test: &pb::LotTest) {
    let wanted = test.criterion.as_ref().and_then(|k| k.unit_ucum.clone());
    let differs = result.kind() == ResultKind::Quantitative && wanted.is_some() && result.unit_ucum != wanted;
    c.demand(
        !differs,
        &codes::RESULT_UNIT_DIFFERS,
        || result.unit_ucum.clone().unwrap_or_default(),
        || wanted.clone().unwrap_or_default(),
        || field("test_result_reported.result.unit_ucum"),
    );
}

fn check_kind(c: &mut Context<'_>, result: &pb::TestResult, test: &pb::LotTest) {
    let wanted = test.criterion.as_ref().map_or(CriterionKind::Unspecified, |k| k.kind());
    c.demand(
        fits(result.kind(), wanted),
        &codes::RESULT_KIND_DIFFERS,
        || if result.kind() == ResultKind::Quantitative { "a number".to_owned() } else { "no number".to_owned() },
        || criterion_in_words(test),
        || field("test_result_reported.result.kind"),
    );
}

fn check_incubation(c: &mut Context<'_>, lot: &Lot, e: &pb::TestResultReported, test: &pb::LotTest) {
    let is_invalid = e.result.as_ref().is_some_and(|result| result.kind() == ResultKind::Invalid);
    let reading = Reading::new(lot, e, c.occurred_at_ms);
    c.demand(
        is_invalid || reading.is_incubated(test),
        &codes::INCUBATION_INCOMPLETE,
        || "inoculation and reading missing or too close".to_owned(),
        || format!("{} s apart or more", test.min_incubation_seconds.unwrap_or(0)),
        || field("test_result_reported.read_at"),
    );
    c.demand(
        is_invalid || reading.is_in_order(test),
        &codes::INCUBATION_TIMES_IMPOSSIBLE,
        || "an inoculation before the sample was taken, or a reading that was not made yet".to_owned(),
        || "sampling, inoculation, reading and report in this order".to_owned(),
        || field("test_result_reported.inoculated_at"),
    );
}

fn check_outcome(c: &mut Context<'_>, lot: &Lot, e: &pb::TestResultReported, test: &pb::LotTest) {
    if plain_outcome(e, test) != Outcome::Failed {
        return;
    }
    let found = describe(e);
    let allowed = criterion_in_words(test);
    c.find(&codes::OUT_OF_SPECIFICATION, found.clone(), allowed.clone(), field("test_result_reported.result"));
    if let Some(record) = lot.went_out() {
        c.find(&codes::POSITIVE_AFTER_RELEASE, found, allowed, vec![Look::Record(record)]);
    }
}

/// A report in words.
pub(crate) fn describe(e: &pb::TestResultReported) -> String {
    let result = e.result.clone().unwrap_or_default();
    let text = match result.kind() {
        ResultKind::Quantitative => {
            let sign = match result.comparator() {
                Comparator::Less | Comparator::BelowQuantification => "<",
                Comparator::Greater | Comparator::AboveQuantification => ">",
                Comparator::Equal | Comparator::Unspecified => "",
            };
            format!("{sign}{} {}", result.value.unwrap_or_default(), result.unit_ucum.unwrap_or_default())
        }
        kind => crate::frame::words(kind.as_str_name()).replace("KIND_", "").to_lowercase(),
    };
    format!("{}: {text}", e.test_code)
}

/// A criterion in words.
pub(crate) fn criterion_in_words(test: &pb::LotTest) -> String {
    let criterion = test.criterion.clone().unwrap_or_default();
    let limit = format!("{} {}", criterion.limit.clone().unwrap_or_default(), criterion.unit_ucum.clone().unwrap_or_default());
    match criterion.kind() {
        CriterionKind::AtLeast => format!("{limit} or more"),
        CriterionKind::AtMost => format!("{limit} or less"),
        CriterionKind::Absent => "absent".to_owned(),
        CriterionKind::Present => "present".to_owned(),
        CriterionKind::Reported | CriterionKind::Unspecified => "any valid result".to_owned(),
    }
}

pub(super) fn reviewed(c: &mut Context<'_>, e: &pb::TestResultReviewed) {
    let lot = lot(c);
    let id = RecordId(id16(&e.reported_record_id));
    let Some(result) = lot.results.iter().find(|r| r.record_id == id) else {
        c.find(
            &codes::RESULT_UNKNOWN,
            format!("record {id}"),
            "a result reported on this lot",
            field("test_result_reviewed.reported_record_id"),
        );
        return;
    };
    if let Some((record, _)) = &result.review {
        c.find(&codes::RESULT_ALREADY_REVIEWED, "a second review", "one", vec![Look::Record(*record)]);
    }
    let analysts: Vec<Id16> = result.analysts.iter().filter_map(|k| c.authority.person_of(k)).collect();
    let reviews_own = c.people().any(|p| analysts.contains(&p));
    c.demand(
        !reviews_own,
        &codes::ANALYST_IS_REVIEWER,
        || "the analyst's own result".to_owned(),
        || "another person's result".to_owned(),
        || vec![Look::Record(id)],
    );
}

/// Results of a test that were reviewed and accepted, and not invalidated.
pub(crate) fn accepted<'l>(lot: &'l Lot, code: &'l str) -> impl Iterator<Item = &'l ReportedResult> {
    let counts = |r: &ReportedResult| r.invalidated.is_none() && matches!(r.review, Some((_, ReviewDecision::Accepted)));
    lot.results.iter().filter(move |r| r.test_code == code && counts(r))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(comparator: Comparator, value: &str) -> pb::TestResult {
        pb::TestResult {
            kind: ResultKind::Quantitative.into(),
            value: Some(value.to_owned()),
            unit_ucum: Some("%".to_owned()),
            comparator: Some(comparator.into()),
        }
    }

    fn limit(kind: CriterionKind, value: &str) -> pb::Criterion {
        pb::Criterion { kind: kind.into(), limit: Some(value.to_owned()), unit_ucum: Some("%".to_owned()) }
    }

    #[test]
    fn numbers_against_at_most() {
        use Comparator::{AboveQuantification, BelowQuantification, Equal, Greater, Less};
        let criterion = limit(CriterionKind::AtMost, "0.5");
        for (comparator, value, expected) in [
            (Equal, "0.5", Outcome::Satisfied),
            (Equal, "0.50", Outcome::Satisfied),
            (Equal, "0.51", Outcome::Failed),
            (Less, "0.5", Outcome::Satisfied),
            (Less, "1.0", Outcome::Indeterminate),
            (BelowQuantification, "0.05", Outcome::Satisfied),
            (BelowQuantification, "1", Outcome::Indeterminate),
            (Greater, "0.5", Outcome::Failed),
            (Greater, "0.4", Outcome::Indeterminate),
            (AboveQuantification, "10", Outcome::Failed),
        ] {
            assert_eq!(outcome(&number(comparator, value), &criterion), expected, "{comparator:?} {value}");
        }
    }

    #[test]
    fn numbers_against_at_least() {
        use Comparator::{Equal, Greater, Less};
        let criterion = limit(CriterionKind::AtLeast, "95");
        for (comparator, value, expected) in [
            (Equal, "95.0", Outcome::Satisfied),
            (Equal, "94.9", Outcome::Failed),
            (Greater, "95", Outcome::Satisfied),
            (Greater, "90", Outcome::Indeterminate),
            (Less, "95", Outcome::Failed),
            (Less, "99", Outcome::Indeterminate),
        ] {
            assert_eq!(outcome(&number(comparator, value), &criterion), expected, "{comparator:?} {value}");
        }
    }

    #[test]
    fn a_count_of_what_has_to_be_absent() {
        use Comparator::{AboveQuantification, BelowQuantification, Equal, Greater, Less};
        let absent = pb::Criterion { kind: CriterionKind::Absent.into(), limit: None, unit_ucum: None };
        for (comparator, value, expected) in [
            (Equal, "0", Outcome::Indeterminate),
            (Equal, "0.0", Outcome::Indeterminate),
            (Equal, "1", Outcome::Failed),
            (Less, "1", Outcome::Indeterminate),
            (BelowQuantification, "1", Outcome::Indeterminate),
            (Greater, "0", Outcome::Failed),
            (AboveQuantification, "300", Outcome::Failed),
        ] {
            assert_eq!(outcome(&number(comparator, value), &absent), expected, "{comparator:?} {value}");
        }
        let present = pb::Criterion { kind: CriterionKind::Present.into(), ..absent };
        assert_eq!(outcome(&number(Equal, "1"), &present), Outcome::Indeterminate);
    }

    #[test]
    fn another_unit_or_an_invalid_result_says_nothing() {
        let mut result = number(Comparator::Equal, "1");
        result.unit_ucum = Some("mg/L".to_owned());
        assert_eq!(outcome(&result, &limit(CriterionKind::AtMost, "5")), Outcome::Indeterminate);
        let invalid = pb::TestResult { kind: ResultKind::Invalid.into(), ..Default::default() };
        assert_eq!(outcome(&invalid, &limit(CriterionKind::AtMost, "5")), Outcome::Indeterminate);
    }
}
