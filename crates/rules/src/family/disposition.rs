//! QA and the qualified person decide on a lot.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, Disposition, ReleaseStage, Severity};

use super::lot::{field, lot, specification};
use super::release_testing::{Outcome, Reading, accepted, criterion_in_words, describe, is_within_retests, plain_outcome};
use super::specification::is_never_waivable;
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::state::Lot;
use crate::state::lot::ReportedResult;

pub(super) fn decided(c: &mut Context<'_>, e: &pb::LotDispositionDecided) {
    // Rejecting is a stop: nothing stands in its way.
    if e.disposition() == Disposition::Rejected {
        return;
    }
    let lot = lot(c);
    if let Some((record, Disposition::Rejected)) = lot.disposition {
        c.find(&codes::LOT_REJECTED, "a rejected lot", "a lot that was not rejected", vec![Look::Record(record)]);
    }
    c.demand(!lot.units.is_empty(), &codes::LOT_HAS_NO_UNITS, || "no units".to_owned(), || "filled units".to_owned(), Vec::new);
    match specification(c.view, &lot) {
        None => c.find(
            &codes::DISPOSITION_SPECIFICATION_UNKNOWN,
            "a specification that is not published",
            "a published version",
            lot.opened.iter().map(|(record, _)| Look::Record(*record)).collect(),
        ),
        Some(document) => {
            check_tests(c, &lot, &document, e);
            super::labels::check_evidence(c, &lot, &document);
            super::supplies::check_evidence(c, &lot, &document);
            for finding in super::hindsight::unfit_materials(c.view, &lot) {
                c.find(finding.code, finding.found, finding.allowed, finding.look_at);
            }
        }
    }
    check_donor(c, &lot);
    check_upkeep(c, &lot);
    check_certifier(c, &lot);
}

fn check_tests(c: &mut Context<'_>, lot: &Lot, document: &pb::SpecificationPublished, e: &pb::LotDispositionDecided) {
    for (number, waiver) in e.waivers.iter().enumerate() {
        let test = document.tests.iter().find(|t| t.code == waiver.test_code);
        let performed = test.is_some_and(|test| is_performed(lot, document, test));
        let allowed = test.is_some_and(|t| t.waivable && !is_never_waivable(t.kind())) && !performed;
        c.demand(
            allowed,
            &codes::WAIVER_NOT_ALLOWED,
            || format!("{}{}", waiver.test_code, if performed { ", which was performed" } else { "" }),
            || "a waivable test that was not performed".to_owned(),
            || field(format!("lot_disposition_decided.waivers[{number}]")),
        );
    }
    let is_final = e.disposition() == Disposition::Final;
    // What has failed is known, whichever stage asks for it.
    let is_asked = |t: &&pb::LotTest| is_final || t.stage() == ReleaseStage::Conditional || failure(lot, t).is_some();
    for test in document.tests.iter().filter(is_asked) {
        let waived = test.waivable && e.waivers.iter().any(|w| w.test_code == test.code);
        check_test(c, lot, document, test, waived);
    }
}

/// Whether a result says something about the test, and counts.
fn is_performed(lot: &Lot, document: &pb::SpecificationPublished, test: &pb::LotTest) -> bool {
    let says_something = |r: &ReportedResult| {
        r.test_code == test.code && r.invalidated.is_none() && Reading::of(lot, r).verdict(test) != Outcome::Indeterminate
    };
    failure(lot, test).is_some() || lot.results.iter().any(|r| says_something(r) && is_within_retests(lot, r, document))
}

/// A valid failure of the test: in words, and its record. Neither a reviewer's rejection nor an amendment or a void takes it away: that
/// needs an assignable cause, established by two people who did not report it.
fn failure(lot: &Lot, test: &pb::LotTest) -> Option<(String, RecordId)> {
    let fails = |event: &pb::TestResultReported| event.test_code == test.code && plain_outcome(event, test) == Outcome::Failed;
    let result = lot.results.iter().find(|r| r.invalidated.is_none() && fails(&r.event));
    let version = || lot.result_versions.iter().find(|v| v.invalidated.is_none() && fails(&v.event));
    let of_version = || version().map(|v| (format!("{}, as another version says", describe(&v.event)), v.record_id));
    result.map(|r| (describe(&r.event), r.record_id)).or_else(of_version)
}

/// One test of the stage: a valid failure stands, however often it was repeated; otherwise one accepted result must satisfy.
fn check_test(c: &mut Context<'_>, lot: &Lot, document: &pb::SpecificationPublished, test: &pb::LotTest, waived: bool) {
    if let Some((found, record)) = failure(lot, test) {
        c.find(&codes::TEST_FAILED, found, criterion_in_words(test), vec![Look::Record(record)]);
        return;
    }
    if waived {
        return;
    }
    let satisfies = |r: &&ReportedResult| Reading::of(lot, r).verdict(test) == Outcome::Satisfied;
    let (counting, beyond): (Vec<_>, Vec<_>) = accepted(lot, &test.code).partition(|r| is_within_retests(lot, r, document));
    if counting.iter().any(satisfies) {
        return;
    }
    let of_test = |r: &&ReportedResult| r.test_code == test.code && r.invalidated.is_none();
    let open = lot.results.iter().filter(of_test).find(|r| r.review.is_none() && is_within_retests(lot, r, document));
    if let Some(early) = counting.iter().find(|r| is_early_sterility(lot, r, test)) {
        c.find(
            &codes::STERILITY_READ_EARLY,
            describe(&early.event),
            format!("read {} s or more after inoculation", test.min_incubation_seconds.unwrap_or(0)),
            vec![Look::Record(early.record_id)],
        );
    } else if let Some(late) = beyond.iter().find(|r| satisfies(r)).filter(|_| open.is_none()) {
        c.find(
            &codes::RETEST_DOES_NOT_COUNT,
            format!("{}, repeated more often than allowed", describe(&late.event)),
            format!("the first result and {} repetitions", document.max_retests.unwrap_or(0)),
            vec![Look::Record(late.record_id)],
        );
    } else {
        report_absence(c, test, open);
    }
}

/// A final sterility reading without growth that came too early to say so.
fn is_early_sterility(lot: &Lot, result: &ReportedResult, test: &pb::LotTest) -> bool {
    test.kind() == pb::TestKind::Sterility
        && test.stage() == ReleaseStage::Final
        && plain_outcome(&result.event, test) == Outcome::Satisfied
        && !Reading::of(lot, result).is_incubated(test)
}

fn report_absence(c: &mut Context<'_>, test: &pb::LotTest, open: Option<&ReportedResult>) {
    match open {
        Some(result) => c.find(
            &codes::TEST_NOT_REVIEWED,
            format!("{} is not reviewed", describe(&result.event)),
            "a reviewed result",
            vec![Look::Record(result.record_id)],
        ),
        None => c.find(
            &codes::TEST_MISSING,
            format!("no result of {} that counts", test.code),
            criterion_in_words(test),
            vec![Look::Thing { kind: "test", id: test.code.clone() }],
        ),
    }
}

fn check_donor(c: &mut Context<'_>, lot: &Lot) {
    let donor = lot.donor_id.and_then(|id| c.view.donor(&id));
    let mut reasons = Vec::new();
    if !donor.as_ref().is_some_and(|d| d.is_eligible()) {
        let look = donor.iter().filter_map(|d| d.eligibility).map(|(record, _)| Look::Record(record)).collect();
        reasons.push(("a donor who is not eligible".to_owned(), look));
    }
    if let Some(donor) = &donor {
        let holds = donor.upkeep.open_holds();
        reasons.extend(holds.map(|hold| (format!("donor held: {}", hold.reason), vec![Look::Record(hold.record_id)])));
        reasons.extend(super::donor::confusions(c.view, donor));
    }
    for (found, look) in reasons {
        c.find(&codes::DISPOSITION_DONOR_NOT_ELIGIBLE, found, "an eligible donor without open hold", look);
    }
    if let (Some(donor), Some(document)) = (&donor, specification(c.view, lot)) {
        super::donor::panel_of_lot(c, donor, &document);
    }
}

fn check_upkeep(c: &mut Context<'_>, lot: &Lot) {
    // A hold on named units does not stop the lot; those units stay held.
    for hold in lot.upkeep.open_holds().filter(|h| h.unit_ids.is_empty()) {
        c.find(&codes::LOT_HELD, format!("{} ({})", hold.reason, hold.code), "no open hold", vec![Look::Record(hold.record_id)]);
    }
    for deviation in lot.upkeep.open_deviations().filter(|d| d.severity == Severity::Critical) {
        c.find(
            &codes::CRITICAL_DEVIATION_OPEN,
            format!("{} ({})", deviation.description, deviation.code),
            "no open critical deviation",
            vec![Look::Record(deviation.record_id)],
        );
    }
    for owed in lot.upkeep.owed_in_manufacture() {
        c.find(
            &codes::LOT_SIGNATURE_OWED,
            format!("slot {} of a step is not signed", owed.slot),
            "every signature",
            vec![Look::Record(owed.record_id)],
        );
    }
}

/// Whoever certifies neither operated on the lot nor tested it, in whatever version.
pub(super) fn check_certifier(c: &mut Context<'_>, lot: &Lot) {
    let workers: Vec<Id16> = lot
        .operated_by
        .iter()
        .map(|(key, _)| key)
        .chain(lot.results.iter().flat_map(|r| &r.analysts))
        .chain(lot.result_versions.iter().flat_map(|v| &v.analysts))
        .filter_map(|key| c.authority.person_of(key))
        .collect();
    let certifier = c.signers.iter().find(|s| s.meaning == pb::Meaning::Certified).cloned();
    let worked = certifier.filter(|s| s.person_id.is_some_and(|p| workers.contains(&p)));
    if let Some(certifier) = worked {
        c.find(
            &codes::CERTIFIER_WORKED_ON_LOT,
            "the qualified person operated on the lot or tested it",
            "a qualified person who did neither",
            field(format!("slots[{}]", certifier.slot)),
        );
    }
}
