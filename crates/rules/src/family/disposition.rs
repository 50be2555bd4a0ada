//! QA and the qualified person decide on a lot.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, Disposition, ReleaseStage, Severity};

use super::lot::{field, lot, specification};
use super::release_testing::{self, Outcome, accepted, criterion_in_words, describe, verdict};
use super::specification::is_never_waivable;
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::state::Lot;

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
        }
    }
    check_donor(c, &lot);
    check_upkeep(c, &lot);
    check_certifier(c, &lot);
}

fn check_tests(c: &mut Context<'_>, lot: &Lot, document: &pb::SpecificationPublished, e: &pb::LotDispositionDecided) {
    for (number, waiver) in e.waivers.iter().enumerate() {
        let test = document.tests.iter().find(|t| t.code == waiver.test_code);
        let performed =
            lot.results.iter().any(|r| r.test_code == waiver.test_code && r.invalidated.is_none() && says_something(r, test));
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
    for test in document.tests.iter().filter(|t| is_final || t.stage() == ReleaseStage::Conditional) {
        let waived = test.waivable && e.waivers.iter().any(|w| w.test_code == test.code);
        check_test(c, lot, test, waived);
    }
}

fn says_something(result: &crate::state::lot::ReportedResult, test: Option<&pb::LotTest>) -> bool {
    test.is_some_and(|t| verdict(&result.event, t) != Outcome::Indeterminate)
}

/// One test of the stage: a valid failure stands, however often it was repeated; otherwise one accepted result must satisfy.
fn check_test(c: &mut Context<'_>, lot: &Lot, test: &pb::LotTest, waived: bool) {
    // Not even a reviewer's rejection takes a failure away: that needs an assignable cause and two signatures.
    let of_test = || lot.results.iter().filter(|r| r.test_code == test.code && r.invalidated.is_none());
    if let Some(failed) = of_test().find(|r| verdict(&r.event, test) == Outcome::Failed) {
        c.find(&codes::TEST_FAILED, describe(&failed.event), criterion_in_words(test), vec![Look::Record(failed.record_id)]);
        return;
    }
    if waived {
        return;
    }
    if accepted(lot, &test.code).any(|r| verdict(&r.event, test) == Outcome::Satisfied) {
        return;
    }
    match accepted(lot, &test.code).find(|r| is_early_sterility(r, test)) {
        Some(early) => c.find(
            &codes::STERILITY_READ_EARLY,
            describe(&early.event),
            format!("read {} s or more after inoculation", test.min_incubation_seconds.unwrap_or(0)),
            vec![Look::Record(early.record_id)],
        ),
        None => report_absence(c, test, of_test().find(|r| r.review.is_none())),
    }
}

/// A final sterility reading without growth that came too early to say so.
fn is_early_sterility(result: &crate::state::lot::ReportedResult, test: &pb::LotTest) -> bool {
    let no_growth = |(result, criterion)| release_testing::outcome(result, criterion) == Outcome::Satisfied;
    test.kind() == pb::TestKind::Sterility
        && test.stage() == ReleaseStage::Final
        && result.event.result.as_ref().zip(test.criterion.as_ref()).is_some_and(no_growth)
        && !release_testing::is_incubated(&result.event, test.min_incubation_seconds)
}

fn report_absence(c: &mut Context<'_>, test: &pb::LotTest, open: Option<&crate::state::lot::ReportedResult>) {
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

fn check_certifier(c: &mut Context<'_>, lot: &Lot) {
    let workers: Vec<Id16> = lot
        .operated_by
        .iter()
        .map(|(key, _)| key)
        .chain(lot.results.iter().flat_map(|r| &r.analysts))
        .filter_map(|key| c.authority.person_of(key))
        .collect();
    let certifier = c.signers.iter().find(|s| s.meaning == pb::Meaning::Certified).and_then(|s| s.person_id);
    c.demand(
        certifier.is_none_or(|p| !workers.contains(&p)),
        &codes::CERTIFIER_WORKED_ON_LOT,
        || "the qualified person operated on the lot or tested it".to_owned(),
        || "a qualified person who did neither".to_owned(),
        || field("slots[1]"),
    );
}
