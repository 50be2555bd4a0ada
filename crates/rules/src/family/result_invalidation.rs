//! A result that says nothing, because something went wrong in the laboratory.

use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::pb::{self, Disposition, ReleaseStage, ResultKind, TestKind};

use super::lot::{field, lot, specification};
use super::release_testing::{Outcome, Reading, accepted, describe, is_within_retests, plain_outcome};
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::Lot;
use crate::state::lot::ReportedResult;

/// A result with all its versions: it is invalidated as a whole, amended or voided or not.
struct Named<'l> {
    record_id: RecordId,
    events: Vec<&'l pb::TestResultReported>,
    analysts: Vec<KeyId>,
    invalidated: Option<RecordId>,
}

impl<'l> Named<'l> {
    fn of(lot: &'l Lot, record_id: RecordId) -> Option<Named<'l>> {
        let result = lot.results.iter().find(|r| r.record_id == record_id);
        let versions: Vec<_> = lot.result_versions.iter().filter(|v| v.record_id == record_id).collect();
        let events = result.map(|r| &r.event).into_iter().chain(versions.iter().map(|v| &v.event)).collect::<Vec<_>>();
        let analysts =
            result.iter().flat_map(|r| &r.analysts).chain(versions.iter().flat_map(|v| &v.analysts)).copied().collect();
        // A version that was recorded after the invalidation is not invalidated yet.
        let has_later = versions.iter().any(|v| v.invalidated.is_none());
        let of_result = result.and_then(|r| r.invalidated).or_else(|| versions.iter().find_map(|v| v.invalidated));
        let invalidated = of_result.filter(|_| !has_later);
        (!events.is_empty()).then_some(Named { record_id, events, analysts, invalidated })
    }
}

pub(super) fn invalidated(c: &mut Context<'_>, e: &pb::ResultInvalidated) {
    let lot = lot(c);
    let id = RecordId(id16(&e.reported_record_id));
    let Some(named) = Named::of(&lot, id) else {
        c.find(
            &codes::RESULT_UNKNOWN,
            format!("record {id}"),
            "a result reported on this lot",
            field("result_invalidated.reported_record_id"),
        );
        return;
    };
    if let Some(record) = named.invalidated {
        c.find(&codes::RESULT_ALREADY_INVALIDATED, "a second invalidation", "one", vec![Look::Record(record)]);
    }
    let analysts: Vec<Id16> = named.analysts.iter().filter_map(|k| c.authority.person_of(k)).collect();
    let is_own = c.people().any(|p| analysts.contains(&p));
    c.demand(
        !is_own,
        &codes::ANALYST_INVALIDATES,
        || "the analyst's own result".to_owned(),
        || "another person's result".to_owned(),
        || vec![Look::Record(id)],
    );
    check_document(c, &lot, &named, e);
    if let Some(result) = lot.results.iter().find(|r| r.record_id == id) {
        check_release(c, &lot, result);
    }
}

/// The record that documents the cause is there, cited, and not the result itself; a positive sterility has one.
fn check_document(c: &mut Context<'_>, lot: &Lot, named: &Named<'_>, e: &pb::ResultInvalidated) {
    let documented = e.documenting_record_id.as_deref().map(|record| RecordId(id16(record)));
    let document = specification(c.view, lot);
    let holds = match documented {
        Some(record) => {
            let cited = c.record.cites.iter().any(|cite| cite.record_id[..] == record.0);
            cited && record != named.record_id && c.view.entry(&record).is_some()
        }
        None => !named.events.iter().any(|event| may_be_positive_sterility(document.as_deref(), event)),
    };
    c.demand(
        holds,
        &codes::LABORATORY_CAUSE_UNDOCUMENTED,
        || match documented {
            Some(record) => format!("record {record}, which is not cited, not in this ledger, or the result itself"),
            None => format!(
                "{} without a record of the cause",
                named.events.iter().map(|e| describe(e)).collect::<Vec<_>>().join(", ")
            ),
        },
        || "a record of this ledger that documents the cause and is cited".to_owned(),
        || field("result_invalidated.documenting_record_id"),
    );
}

/// A positive is taken for one of sterility unless the specification says that its test is another.
fn may_be_positive_sterility(document: Option<&pb::SpecificationPublished>, event: &pb::TestResultReported) -> bool {
    let test = document.and_then(|d| d.tests.iter().find(|t| t.code == event.test_code));
    let is_positive = event.result.as_ref().is_some_and(|r| r.kind() == ResultKind::Present);
    match test {
        Some(test) => test.kind() == TestKind::Sterility && plain_outcome(event, test) == Outcome::Failed,
        None => is_positive,
    }
}

/// The release still rests on a result of this test; otherwise the lot is held until somebody decides again.
fn check_release(c: &mut Context<'_>, lot: &Lot, result: &ReportedResult) {
    let Some((record, disposition @ (Disposition::Conditional | Disposition::Final))) = lot.disposition else {
        return;
    };
    let Some(document) = specification(c.view, lot) else {
        return;
    };
    let is_of_stage = |test: &&pb::LotTest| disposition == Disposition::Final || test.stage() == ReleaseStage::Conditional;
    let Some(test) = document.tests.iter().filter(is_of_stage).find(|t| t.code == result.test_code) else {
        return;
    };
    let satisfies =
        |r: &ReportedResult| Reading::of(lot, r).verdict(test) == Outcome::Satisfied && is_within_retests(lot, r, &document);
    // An amendment after the review left the release standing, so that its result counts here without another review.
    let is_amended = result.review.is_none() && lot.upkeep.amended.contains_key(&result.record_id);
    let is_rested_on = is_amended || accepted(lot, &test.code).any(|r| r.record_id == result.record_id);
    let had = is_rested_on && result.invalidated.is_none() && satisfies(result);
    let has = accepted(lot, &test.code).any(|r| r.record_id != result.record_id && satisfies(r));
    c.demand(
        has || !had,
        &codes::RELEASE_RESTED_ON_RESULT,
        || format!("{}, the only result of its test that counted", describe(&result.event)),
        || "another accepted result of the test".to_owned(),
        || vec![Look::Record(record)],
    );
}
