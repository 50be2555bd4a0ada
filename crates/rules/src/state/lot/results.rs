//! Results of a lot's tests: reported, reviewed, invalidated, amended.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, KeyId, RecordId};
use marrowline_record::pb;
use marrowline_record::pb::record::Event;

use super::Lot;
use crate::index::id16;

/// A reported result.
#[derive(Clone, Debug, PartialEq)]
pub struct ReportedResult {
    /// The record.
    pub record_id: RecordId,
    /// When it was reported.
    pub reported_at_ms: i64,
    /// The sample.
    pub sample_id: Id16,
    /// The test's code.
    pub test_code: String,
    /// The result as reported.
    pub event: pb::TestResultReported,
    /// Who reported it, and who amended it.
    pub analysts: Vec<KeyId>,
    /// The review of this version with its decision.
    pub review: Option<(RecordId, pb::ReviewDecision)>,
    /// The record that found a laboratory cause: the result says nothing.
    pub invalidated: Option<RecordId>,
}

/// What one version of a result said. A valid failure stands even if the result was amended or voided since.
#[derive(Clone, Debug, PartialEq)]
pub struct ResultVersion {
    /// The record that reported the result.
    pub record_id: RecordId,
    /// What this version says.
    pub event: pb::TestResultReported,
    /// Who signed this version.
    pub analysts: Vec<KeyId>,
    /// The record that found a laboratory cause: this version says nothing.
    pub invalidated: Option<RecordId>,
}

pub(super) fn fold(lot: &mut Lot, entry: &Entry, event: &Event) {
    match event {
        Event::TestResultReported(e) => lot.results.push(ReportedResult {
            record_id: entry.record_id(),
            reported_at_ms: entry.occurred_at_ms(),
            sample_id: Id16(id16(&e.sample_id)),
            test_code: e.test_code.clone(),
            event: e.clone(),
            analysts: entry.signings.iter().map(|s| s.key_id).collect(),
            review: None,
            invalidated: None,
        }),
        Event::TestResultReviewed(e) => {
            let reported = id16(&e.reported_record_id);
            for result in lot.results.iter_mut().filter(|r| r.record_id.0 == reported) {
                result.review.get_or_insert((entry.record_id(), e.decision()));
            }
        }
        Event::ResultInvalidated(e) => {
            let reported = id16(&e.reported_record_id);
            for result in lot.results.iter_mut().filter(|r| r.record_id.0 == reported) {
                result.invalidated.get_or_insert(entry.record_id());
            }
            for version in lot.result_versions.iter_mut().filter(|v| v.record_id.0 == reported) {
                version.invalidated.get_or_insert(entry.record_id());
            }
        }
        Event::RecordAmended(e) => amended(lot, entry, e),
        _ => {}
    }
}

/// Whoever reviewed the result saw another version of it, and who amends a result says what was found.
fn amended(lot: &mut Lot, entry: &Entry, e: &pb::RecordAmended) {
    let Some(target) = e.target.as_ref().map(|target| RecordId(id16(&target.record_id))) else {
        return;
    };
    let amenders: Vec<KeyId> = entry.signings.iter().filter(|s| s.slot == 0).map(|s| s.key_id).collect();
    for result in lot.results.iter_mut().filter(|r| r.record_id == target) {
        result.review = None;
        result.analysts.extend(&amenders);
    }
    if let Ok(pb::Record { event: Some(Event::TestResultReported(event)), .. }) = marrowline_record::decode(&e.replacement) {
        keep(lot, target, event, amenders);
    }
}

/// The version of a result that was reported first, of one that counts otherwise now, or not at all.
pub(super) fn first_version(lot: &mut Lot, entry: &Entry, e: &pb::TestResultReported) {
    keep(lot, entry.record_id(), e.clone(), entry.signings.iter().map(|s| s.key_id).collect());
}

/// An invalidation is of the versions that were there: who established its cause has not seen a later one.
fn keep(lot: &mut Lot, record_id: RecordId, event: pb::TestResultReported, analysts: Vec<KeyId>) {
    lot.result_versions.push(ResultVersion { record_id, event, analysts, invalidated: None });
}
