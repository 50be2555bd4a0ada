//! A result that says nothing, because something went wrong in the laboratory.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, Disposition, ReleaseStage, ResultKind, TestKind};

use super::lot::{field, lot, specification};
use super::release_testing::{Outcome, accepted, describe, verdict};
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::Lot;
use crate::state::lot::ReportedResult;

pub(super) fn invalidated(c: &mut Context<'_>, e: &pb::ResultInvalidated) {
    let lot = lot(c);
    let id = RecordId(id16(&e.reported_record_id));
    let Some(result) = lot.results.iter().find(|r| r.record_id == id) else {
        c.find(
            &codes::RESULT_UNKNOWN,
            format!("record {id}"),
            "a result reported on this lot",
            field("result_invalidated.reported_record_id"),
        );
        return;
    };
    if let Some(record) = result.invalidated {
        c.find(&codes::RESULT_ALREADY_INVALIDATED, "a second invalidation", "one", vec![Look::Record(record)]);
    }
    let analysts: Vec<Id16> = result.analysts.iter().filter_map(|k| c.authority.person_of(k)).collect();
    let is_own = c.people().any(|p| analysts.contains(&p));
    c.demand(
        !is_own,
        &codes::ANALYST_INVALIDATES,
        || "the analyst's own result".to_owned(),
        || "another person's result".to_owned(),
        || vec![Look::Record(id)],
    );
    check_document(c, &lot, result, e);
    check_release(c, &lot, result);
}

/// The record that documents the cause is there, cited, and not the result itself; a positive sterility has one.
fn check_document(c: &mut Context<'_>, lot: &Lot, result: &ReportedResult, e: &pb::ResultInvalidated) {
    let documented = e.documenting_record_id.as_deref().map(|record| RecordId(id16(record)));
    let holds = match documented {
        Some(record) => {
            let cited = c.record.cites.iter().any(|cite| cite.record_id[..] == record.0);
            cited && record != result.record_id && c.view.entry(&record).is_some()
        }
        None => !may_be_positive_sterility(c, lot, result),
    };
    c.demand(
        holds,
        &codes::LABORATORY_CAUSE_UNDOCUMENTED,
        || match documented {
            Some(record) => format!("record {record}, which is not cited, not in this ledger, or the result itself"),
            None => format!("{} without a record of the cause", describe(&result.event)),
        },
        || "a record of this ledger that documents the cause and is cited".to_owned(),
        || field("result_invalidated.documenting_record_id"),
    );
}

/// A positive is taken for one of sterility unless the specification says that its test is another.
fn may_be_positive_sterility(c: &Context<'_>, lot: &Lot, result: &ReportedResult) -> bool {
    let document = specification(c.view, lot);
    let test = document.as_ref().and_then(|d| d.tests.iter().find(|t| t.code == result.test_code));
    let is_positive = result.event.result.as_ref().is_some_and(|r| r.kind() == ResultKind::Present);
    match test {
        Some(test) => test.kind() == TestKind::Sterility && verdict(&result.event, test) == Outcome::Failed,
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
    let satisfies = |r: &ReportedResult| verdict(&r.event, test) == Outcome::Satisfied;
    let had = accepted(lot, &test.code).any(satisfies);
    let has = accepted(lot, &test.code).any(|r| r.record_id != result.record_id && satisfies(r));
    c.demand(
        has || !had,
        &codes::RELEASE_RESTED_ON_RESULT,
        || format!("{}, the only result of its test that counted", describe(&result.event)),
        || "another accepted result of the test".to_owned(),
        || vec![Look::Record(record)],
    );
}
