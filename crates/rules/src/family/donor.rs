//! The donor: registration, consent, panel, eligibility, collection.

use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, DonorConsentScope, Eligibility, ResultKind, ReviewDecision, StreamKind};

use crate::codes::{Across, donor as codes};
use crate::context::Context;
use crate::family::dose::words::moment;
use crate::finding::Look;
use crate::frame::AHEAD_LIMIT_MS;
use crate::index::{CODE_DONATION, CODE_DONOR, Holder, IndexKey, holder, id16};
use crate::state::Donor;
use crate::view::View;

fn field(path: &str) -> Vec<Look> {
    vec![Look::Field(path.to_owned())]
}

fn donor(c: &Context<'_>) -> Donor {
    let id = c.stream_id(StreamKind::Donor);
    c.view.donor(&id).map_or_else(|| Donor::new(id), |d| (*d).clone())
}

pub(super) fn registered(c: &mut Context<'_>, e: &pb::DonorRegistered) {
    let donor = donor(c);
    if let Some((record, _)) = &donor.registered {
        c.find(&codes::DONOR_ALREADY_REGISTERED, "a second registration", "one", vec![Look::Record(*record)]);
    }
    // Whose registration is void has the code no more, and of a donor who has it the first registration told.
    let has_it = |donor: &Donor| donor.registered.as_ref().is_some_and(|(_, registered)| registered.donor_code == e.donor_code);
    let is_other = |id: &Id16| c.view.donor(id).is_none_or(|other| has_it(&other));
    let (code, found) = match holder(c.view, CODE_DONOR, &e.donor_code, &donor.id, is_other).filter(|_| !has_it(&donor)) {
        Some(Holder::Has(other)) => (&codes::DONOR_CODE_TAKEN, format!("code {} of donor {other}", e.donor_code)),
        Some(Holder::Had) => (&codes::DONOR_CODE_REUSED, format!("code {} of a void registration", e.donor_code)),
        None => return,
    };
    c.find(code, found, "a code of its own", field("donor_registered.donor_code"));
}

fn is_clinical(consent: &pb::DonorConsented) -> bool {
    consent.scope().any(|s| s == DonorConsentScope::ClinicalUse)
}

pub(super) fn consented(c: &mut Context<'_>, e: &pb::DonorConsented) {
    c.demand(
        is_clinical(e),
        &codes::DONOR_CONSENT_NOT_CLINICAL,
        || "a scope without clinical use".to_owned(),
        || "CLINICAL_USE".to_owned(),
        || field("donor_consented.scope"),
    );
}

/// Whether a result is whole: value, unit and comparator exactly for a number.
pub(crate) fn is_complete(result: &pb::TestResult) -> bool {
    let given = [result.value.is_some(), result.unit_ucum.is_some(), result.comparator.is_some()];
    given == [result.kind() == ResultKind::Quantitative; 3]
}

/// What the panels of all published specifications that the donor's lots cite, or the one named, require of a test.
fn requirement(view: &dyn View, specification: &pb::VersionRef, test_code: &str) -> Option<ResultKind> {
    let document = view.specification(&Id16(id16(&specification.id)))?;
    let version = document.version(specification.version)?;
    version.donor_panel.iter().find(|t| t.code == test_code).map(pb::DonorPanelTest::required_result)
}

pub(super) fn test_reported(c: &mut Context<'_>, e: &pb::DonorTestReported) {
    if let Some(result) = &e.result {
        c.demand(
            is_complete(result),
            &codes::DONOR_RESULT_INCOMPLETE,
            || "value, unit or comparator missing or too many".to_owned(),
            || "all three for a number, none otherwise".to_owned(),
            || field("donor_test_reported.result"),
        );
    }
    let lots: Vec<_> = donor(c).lots.iter().filter_map(|lot| c.view.lot(lot)).collect();
    let required: Vec<ResultKind> = lots
        .iter()
        .filter_map(|lot| lot.opened.as_ref()?.1.specification.clone())
        .filter_map(|document| requirement(c.view, &document, &e.test_code))
        .collect();
    let kind = e.result.as_ref().map_or(ResultKind::Invalid, pb::TestResult::kind);
    // Before a lot is made no specification governs the donor; infection markers are then taken by what they say.
    let departs = if lots.is_empty() {
        kind == ResultKind::Present
    } else {
        kind != ResultKind::Invalid && required.iter().any(|r| *r != kind)
    };
    c.demand(
        !departs,
        &codes::DONOR_TEST_OUT_OF_REQUIREMENT,
        || format!("{} {}", e.test_code, crate::frame::words(kind.as_str_name()).replace("KIND_", "")),
        || required.first().map_or("ABSENT".to_owned(), |r| crate::frame::words(r.as_str_name()).replace("KIND_", "")),
        || field("donor_test_reported.result"),
    );
    c.demand(
        lots.is_empty() || !required.is_empty(),
        &codes::DONOR_TEST_NOT_IN_PANEL,
        || e.test_code.clone(),
        || "a code of the panel".to_owned(),
        || field("donor_test_reported.test_code"),
    );
}

pub(super) fn test_reviewed(c: &mut Context<'_>, e: &pb::DonorTestReviewed) {
    let donor = donor(c);
    let id = RecordId(id16(&e.reported_record_id));
    let Some(result) = donor.results.iter().find(|r| r.record_id == id) else {
        c.find(
            &codes::DONOR_RESULT_UNKNOWN,
            format!("record {id}"),
            "a result reported on this donor",
            field("donor_test_reviewed.reported_record_id"),
        );
        return;
    };
    if let Some((record, _)) = &result.review {
        c.find(&codes::DONOR_RESULT_ALREADY_REVIEWED, "a second review", "one", vec![Look::Record(*record)]);
    }
    let analysts: Vec<Id16> = result.analysts.iter().filter_map(|k| c.authority.person_of(k)).collect();
    let reviews_own = c.people().any(|p| analysts.contains(&p));
    c.demand(
        !reviews_own,
        &codes::DONOR_ANALYST_IS_REVIEWER,
        || "the analyst's own result".to_owned(),
        || "another person's result".to_owned(),
        || vec![Look::Record(id)],
    );
}

pub(super) fn eligibility_determined(c: &mut Context<'_>, e: &pb::DonorEligibilityDetermined) {
    let donor = donor(c);
    let document = e.specification.as_ref().and_then(|s| c.view.specification(&Id16(id16(&s.id)))?.version(s.version).cloned());
    if e.eligibility() != Eligibility::Eligible {
        // A donor who was deferred, or never eligible, may have given lots all the same.
        let is_looked_back_on = donor.upkeep.open_recalls().any(|recall| recall.across == Across::LookBack);
        let is_found = e.eligibility() == Eligibility::Ineligible && !is_looked_back_on;
        c.demand(
            donor.lots.is_empty() || !donor.is_eligible() && !is_found,
            &codes::ELIGIBILITY_REVISED_AFTER_USE,
            || format!("{} lots were made from this donor", donor.lots.len()),
            || "a determination before lots are made".to_owned(),
            || donor.eligibility.iter().map(|(record, _)| Look::Record(*record)).collect(),
        );
        return;
    }
    let Some(document) = document else {
        c.find(
            &codes::DONOR_SPECIFICATION_UNKNOWN,
            "a specification that is not published",
            "a published version",
            field("donor_eligibility_determined.specification"),
        );
        return;
    };
    c.demand(
        donor.consent().is_some_and(|consent| is_clinical(&consent.event)),
        &codes::DONOR_CONSENT_MISSING,
        || "no consent to clinical use".to_owned(),
        || "consent to clinical use".to_owned(),
        || donor.consent().map(|consent| Look::Record(consent.record_id)).into_iter().collect(),
    );
    not_withdrawn(c, &donor);
    for hold in donor.upkeep.open_holds() {
        c.find(&codes::DONOR_HELD, format!("held: {}", hold.reason), "no open hold", vec![Look::Record(hold.record_id)]);
    }
    for test in &document.donor_panel {
        if let Err((found, look)) = panel_test_is_met(&donor, test) {
            c.find(
                &codes::DONOR_PANEL_INCOMPLETE,
                format!("{}: {found}", test.code),
                format!("reviewed, {}", crate::frame::words(test.required_result().as_str_name()).replace("KIND_", "")),
                look,
            );
        }
    }
}

/// The donor of a lot meets the panel of the lot's own specification, whatever document the eligibility was determined against.
pub(crate) fn panel_of_lot(c: &mut Context<'_>, donor: &Donor, document: &pb::SpecificationPublished) {
    // Who is not eligible is refused for that, and the missing tests are told when the eligibility is determined.
    if !donor.is_eligible() {
        return;
    }
    for test in &document.donor_panel {
        if let Err((found, look)) = panel_test_is_met(donor, test) {
            c.find(
                &codes::LOT_DONOR_PANEL_INCOMPLETE,
                format!("{}: {found}", test.code),
                format!("reviewed, {}", crate::frame::words(test.required_result().as_str_name()).replace("KIND_", "")),
                look,
            );
        }
    }
}

/// A test is met if a reviewed, accepted result is as required and no reviewed valid one is not.
fn panel_test_is_met(donor: &Donor, test: &pb::DonorPanelTest) -> Result<(), (String, Vec<Look>)> {
    let kind = |r: &crate::state::donor::PanelResult| r.event.result.as_ref().map_or(ResultKind::Invalid, pb::TestResult::kind);
    let of_test: Vec<_> = donor.results.iter().filter(|r| r.event.test_code == test.code).collect();
    let accepted = |r: &&&crate::state::donor::PanelResult| matches!(r.review, Some((_, ReviewDecision::Accepted)));
    if let Some(failed) =
        of_test.iter().filter(accepted).find(|r| kind(r) != ResultKind::Invalid && kind(r) != test.required_result())
    {
        let found = crate::frame::words(kind(failed).as_str_name()).replace("KIND_", "");
        return Err((found, vec![Look::Record(failed.record_id)]));
    }
    if of_test.iter().filter(accepted).any(|r| kind(r) == test.required_result()) {
        return Ok(());
    }
    match of_test.iter().find(|r| r.review.is_none()) {
        Some(open) => Err(("not reviewed".to_owned(), vec![Look::Record(open.record_id)])),
        None => Err(("not reported".to_owned(), Vec::new())),
    }
}

/// Whether the donor was eligible at a time, by the determinations known now.
pub(crate) fn was_eligible(donor: &Donor, at_ms: i64) -> bool {
    donor
        .determinations
        .iter()
        .rfind(|(from, _, _)| *from <= at_ms)
        .is_some_and(|(_, eligibility, _)| *eligibility == Eligibility::Eligible)
}

/// Whether the last determination says eligible; one that is dated after a time says nothing of what was done by then.
pub(crate) fn is_still_eligible(donor: &Donor, at_ms: i64) -> bool {
    let is_later = |(from_ms, _, record): &(i64, Eligibility, RecordId)| {
        *from_ms > at_ms.saturating_add(AHEAD_LIMIT_MS) && donor.eligibility.is_some_and(|(last, _)| last == *record)
    };
    donor.is_eligible() || donor.determinations.iter().any(is_later) && was_eligible(donor, at_ms)
}

/// Nothing new begins with a donor who has withdrawn.
pub(crate) fn not_withdrawn(c: &mut Context<'_>, donor: &Donor) {
    let withdrawn = donor.withdrawal_at(c.judged_at_ms());
    c.demand(
        withdrawn.is_none(),
        &codes::DONOR_CONSENT_WITHDRAWN,
        || format!("a donor who withdrew {}", withdrawn.map_or_else(String::new, |(_, at)| moment(at))),
        || "a donor whose consent is in force".to_owned(),
        || withdrawn.map(|(record_id, _)| Look::Record(record_id)).into_iter().collect(),
    );
}

pub(super) fn marrow_collected(c: &mut Context<'_>, e: &pb::MarrowCollected) {
    let donor = donor(c);
    not_withdrawn(c, &donor);
    let at = c.judged_at_ms();
    let consent = donor.consent_at(at).filter(|_| donor.withdrawal_at(at).is_none());
    c.demand(
        consent.is_some_and(|consent| is_clinical(&consent.event)),
        &codes::COLLECTED_WITHOUT_CONSENT,
        || "no consent to clinical use in force by then".to_owned(),
        || "consent before collection".to_owned(),
        || donor.consent().map(|consent| Look::Record(consent.record_id)).into_iter().collect(),
    );
    c.demand(
        was_eligible(&donor, at),
        &codes::COLLECTED_FROM_INELIGIBLE,
        || "a donor who was not determined eligible by then".to_owned(),
        || "an eligible donor".to_owned(),
        || donor.eligibility.iter().map(|(record, _)| Look::Record(*record)).collect(),
    );
    let user = users_of(c.view, &e.din).next();
    c.demand(
        user.is_none(),
        &codes::DIN_USED_BEFORE,
        || format!("{}, used for donor {}", e.din, user.unwrap_or(donor.id)),
        || "a donation number that was not used".to_owned(),
        || field("marrow_collected.din"),
    );
}

/// Donors with a collection of this number that counts, of those who were given it first, second and last. A donor who cannot be seen counts.
fn users_of<'v>(view: &'v dyn View, din: &'v str) -> impl Iterator<Item = Id16> + 'v {
    let counts = move |user: &Id16| view.donor(user).is_none_or(|donor| donor.collections.iter().any(|k| k.event.din == *din));
    [
        IndexKey::Din(din.to_owned()),
        IndexKey::Again { kind: CODE_DONATION, code: din.to_owned(), last: false },
        IndexKey::DinLast(din.to_owned()),
    ]
    .into_iter()
    .filter_map(|key| view.lookup(&key).map(Id16))
    .filter(counts)
}

/// What makes it uncertain whose marrow a lot is of: a donation number or a code that another donor was given too. Who was given it later is
/// held by a flag; who had it is as much in danger of being taken for the other, and no record of theirs says so.
pub(crate) fn confusions(view: &dyn View, donor: &Donor) -> Vec<(String, Vec<Look>)> {
    let mut found = Vec::new();
    for collection in &donor.collections {
        let din = &collection.event.din;
        if users_of(view, din).any(|user| user != donor.id) {
            let text = format!("donation number {din} belongs to another donor too");
            found.push((text, vec![Look::Record(collection.record_id)]));
        }
    }
    if let Some((record, registered)) = &donor.registered
        && let Some(other) = namesake(view, donor, &registered.donor_code)
    {
        let text = format!("code {} was given to another donor too", registered.donor_code);
        found.push((text, vec![Look::Record(*record), Look::Thing { kind: "donor", id: other.to_string() }]));
    }
    found
}

/// Another donor who was given this donor's code: until that registration is void or the hold for it is lifted.
fn namesake(view: &dyn View, donor: &Donor, code: &str) -> Option<Id16> {
    let is_unresolved = |other: &Donor| {
        other.registered.as_ref().is_some_and(|(_, registered)| registered.donor_code == code)
            && other.upkeep.open_holds().any(|hold| hold.code == codes::DONOR_CODE_TAKEN.name)
    };
    [false, true]
        .into_iter()
        .filter_map(|last| view.lookup(&IndexKey::Again { kind: CODE_DONOR, code: code.to_owned(), last }).map(Id16))
        .find(|other| *other != donor.id && view.donor(other).is_none_or(|other| is_unresolved(&other)))
}
