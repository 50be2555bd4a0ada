//! What is there and what is owed: lots, units and obligations in pages, and the trace from a donor, lot or unit to every subject.
//!
//! A page looks at a number of streams, not of answers, so that a question that hardly anything fits ends in time; its token says where
//! the next page begins.

use std::collections::BTreeSet;
use std::sync::Arc;

use marrowline_api::errors;
use marrowline_api::v1::{
    DoseView, ListLotsRequest, ListLotsResponse, ListObligationsRequest, ListObligationsResponse, ListUnitsRequest,
    ListUnitsResponse, Obligation, ObligationKind, TraceForwardResponse, TracedUnit,
};
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::EventKind;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{Disposition, Role, StreamKind};
use marrowline_rules::View as _;
use marrowline_rules::family::recall::{self, Affected};
use marrowline_rules::state::subject::{Override, Reaction};
use marrowline_rules::state::{Lot, Stream, Subject, Upkeep};
use tonic::Status;

use crate::auth::Person;
use crate::mask::Mask;
use crate::{asked, page_token, reading, views};

/// Where a forward trace begins.
pub struct Start {
    /// The lots.
    pub lots: Vec<Arc<Lot>>,
    /// The lot or donor that it begins at, if it does not at a unit.
    pub stream: Option<(StreamKind, Id16)>,
    /// Only this unit, if one was asked for.
    pub unit_id: Option<Id16>,
}

fn answered(snapshot: &Snapshot) -> Result<String, Status> {
    match snapshot.failure() {
        Some(reason) => Err(Status::unavailable(reason)),
        None => Ok(snapshot.checkpoint().note.clone()),
    }
}

/// Every unit of the lots with its dose and its subject; and the subjects that the reader was told of.
pub fn trace_forward(
    snapshot: &Snapshot,
    person: &Person,
    start: &Start,
) -> Result<(TraceForwardResponse, BTreeSet<Id16>), Status> {
    let (mut answer, mut subjects) = (TraceForwardResponse::default(), BTreeSet::new());
    for lot in &start.lots {
        if !reading::may_read(person, StreamKind::Lot, &lot.upkeep) {
            answer.incomplete = true;
            continue;
        }
        answer.lots.push(views::lot_summary(snapshot, lot));
        // Nobody knows which unit it was: only a trace of the whole lot can tell.
        let given = if start.unit_id.is_none() { recall::given_of_no_unit(snapshot, lot) } else { BTreeSet::new() };
        for (dose_id, subject) in given.iter().filter_map(|(dose, id)| Some((dose, snapshot.subject(id)?))) {
            if reading::may_read(person, StreamKind::Subject, &subject.upkeep) {
                subjects.insert(subject.id);
                let dose = Some(unknown_dose(dose_id));
                answer.units.push(TracedUnit { unit: None, dose, subject_code: code_of(&subject) });
            }
        }
        for unit in lot.units.values().filter(|unit| start.unit_id.is_none_or(|wanted| wanted == unit.id)) {
            for (subject_id, dose_id) in recall::destinations(snapshot, lot, unit) {
                let subject = subject_id.and_then(|id| snapshot.subject(&id));
                let subject = subject.filter(|subject| reading::may_read(person, StreamKind::Subject, &subject.upkeep));
                subjects.extend(subject.iter().map(|subject| subject.id));
                // A dose that the subject's own records do not know, or that is nobody's, is told by its id alone.
                let may_tell = subject.is_some() || subject_id.is_none();
                let dose = dose_id.filter(|_| may_tell).map(|id| {
                    let known = subject.iter().find_map(|subject| Some(views::dose(snapshot, subject, subject.dose(&id)?)));
                    known.unwrap_or_else(|| unknown_dose(&id))
                });
                answer.units.push(TracedUnit {
                    unit: Some(views::unit(snapshot, lot, unit, subject.is_some())),
                    dose,
                    subject_code: subject.as_deref().map(code_of).unwrap_or_default(),
                });
            }
        }
    }
    if let Some((kind, id)) = &start.stream {
        let affected = Affected::of(snapshot, *kind, id);
        answer.affected_count = u32::try_from(affected.count()).unwrap_or(u32::MAX);
        answer.affected_digest = affected.digest().to_vec();
    }
    answer.checkpoint = answered(snapshot)?;
    Ok((answer, subjects))
}

fn unknown_dose(id: &Id16) -> DoseView {
    DoseView { dose_id: id.0.to_vec(), ..DoseView::default() }
}

/// The subject's code; its id, if nothing but what was given to it is recorded.
fn code_of(subject: &Subject) -> String {
    subject.consents.first().map_or_else(|| subject.id.to_string(), |consent| consent.event.subject_code.clone())
}

/// How many streams a page looks at.
pub fn size(asked: u32, usual: usize, most: usize) -> Result<usize, Status> {
    match usize::try_from(asked).unwrap_or(usize::MAX) {
        0 => Ok(usual),
        n if n <= most => Ok(n),
        n => Err(errors::bad_field("NUMBER_OUT_OF_RANGE", "page_size", &n.to_string(), &format!("1 to {most}"))),
    }
}

/// The next streams of a kind, and the token of the one after them.
fn page(ledger: &Ledger, kind: StreamKind, token: &str, size: usize) -> Result<(Vec<Id16>, String), Status> {
    let from = page_token::stream(token)?;
    let mut ids = ledger.streams(kind, from.as_ref(), size.saturating_add(1)).map_err(|e| errors::store(&e))?;
    let next = if ids.len() > size { ids.pop().map(|id| id.to_string()).unwrap_or_default() } else { String::new() };
    Ok((ids, next))
}

fn readable_lots(snapshot: &Snapshot, person: &Person, ids: &[Id16]) -> Vec<Arc<Lot>> {
    let lots = ids.iter().filter_map(|id| snapshot.lot(id));
    lots.filter(|lot| reading::may_read(person, StreamKind::Lot, &lot.upkeep)).collect()
}

/// A page of lots.
pub fn list_lots(ledger: &Ledger, person: &Person, request: &ListLotsRequest) -> Result<ListLotsResponse, Status> {
    let (ids, next_page_token) = page(ledger, StreamKind::Lot, &request.page_token, size(request.page_size, 100, 500)?)?;
    let snapshot = ledger.snapshot();
    let disposition: Disposition = asked::known(request.disposition, "disposition", "Disposition")?;
    let fits = |lot: &&Arc<Lot>| {
        (disposition == Disposition::Unspecified || lot.disposition() == Some(disposition))
            && (!request.held || lot.upkeep.open_holds().next().is_some())
    };
    let mask = Mask::new("LotSummary", &request.fields)?;
    let lots = readable_lots(&snapshot, person, &ids)
        .iter()
        .filter(fits)
        .map(|lot| mask.apply(views::lot_summary(&snapshot, lot)))
        .collect();
    Ok(ListLotsResponse { lots, next_page_token, checkpoint: answered(&snapshot)? })
}

/// A page of units.
pub fn list_units(ledger: &Ledger, person: &Person, request: &ListUnitsRequest) -> Result<ListUnitsResponse, Status> {
    let (ids, next_page_token) = page(ledger, StreamKind::Lot, &request.page_token, size(request.page_size, 20, 100)?)?;
    asked::word(&request.processing, "processing", &views::PROCESSING.map(views::processing))?;
    let facility_id = asked::id(&request.facility_id, "facility_id")?;
    let snapshot = ledger.snapshot();
    let lots = readable_lots(&snapshot, person, &ids);
    let units = lots.iter().flat_map(|lot| lot.units.values().map(|unit| views::unit(&snapshot, lot, unit, false)));
    let units = units.filter(|unit| {
        (request.processing.is_empty() || unit.processing == request.processing)
            && facility_id.is_none_or(|wanted| unit.facility_id == wanted)
            && (!request.held || !unit.holds.is_empty())
    });
    let mask = Mask::new("UnitView", &request.fields)?;
    Ok(ListUnitsResponse {
        units: units.map(|unit| mask.apply(unit)).collect(),
        next_page_token,
        checkpoint: answered(&snapshot)?,
    })
}

/// Kinds of streams in the order in which obligations are listed.
const KINDS: [StreamKind; 8] = [
    StreamKind::Authority,
    StreamKind::Protocol,
    StreamKind::Specification,
    StreamKind::Facility,
    StreamKind::Equipment,
    StreamKind::Donor,
    StreamKind::Lot,
    StreamKind::Subject,
];

/// A page of what is owed.
pub fn list_obligations(
    ledger: &Ledger,
    person: &Person,
    request: &ListObligationsRequest,
) -> Result<ListObligationsResponse, Status> {
    let mut left = size(request.page_size, 100, 500)?;
    let role: Role = asked::known(request.role, "role", "Role")?;
    let wanted: ObligationKind = asked::known(request.kind, "kind", "ObligationKind")?;
    let (mut place, mut token) = page_token::place(&request.page_token, KINDS.len())?;
    let snapshot = ledger.snapshot();
    let (mut obligations, mut next_page_token) = (Vec::new(), String::new());
    while let Some(kind) = KINDS.get(place) {
        let (ids, next) = page(ledger, *kind, &token, left)?;
        left = left.saturating_sub(ids.len());
        for id in ids {
            if let Some(stream) = snapshot.stream(*kind, &id).filter(|s| reading::may_read(person, *kind, s.upkeep())) {
                obligations.extend(owed(&snapshot, *kind, &id, &stream));
            }
        }
        if !next.is_empty() {
            next_page_token = format!("{place}:{next}");
            break;
        }
        (place, token) = (place + 1, String::new());
        if left == 0 && place < KINDS.len() {
            next_page_token = format!("{place}:");
            break;
        }
    }
    let due_by_ms = request.due_by_ms;
    obligations.retain(|o| {
        (role == Role::Unspecified || o.role() == role)
            && (wanted == ObligationKind::Unspecified || o.kind() == wanted)
            && (due_by_ms == 0 || o.due_at_ms != 0 && o.due_at_ms <= due_by_ms)
    });
    let mask = Mask::new("Obligation", &request.fields)?;
    let obligations = obligations.into_iter().map(|obligation| mask.apply(obligation)).collect();
    Ok(ListObligationsResponse { obligations, next_page_token, checkpoint: answered(&snapshot)? })
}

fn owed(snapshot: &Snapshot, kind: StreamKind, id: &Id16, stream: &Stream) -> Vec<Obligation> {
    let of =
        Obligation { stream_kind: kind.into(), stream_id: id.0.to_vec(), thing: name(kind, id, stream), ..Obligation::default() };
    let mut all = upkeep(snapshot, &of, stream.upkeep());
    if let Stream::Lot(lot) = stream {
        all.extend(incubated_tests(snapshot, &of, lot));
    }
    if let Stream::Subject(subject) = stream {
        all.extend(subject.overrides.iter().filter(|signed| signed.ratified_by.is_none()).map(|signed| Obligation {
            kind: ObligationKind::Ratification.into(),
            record_id: signed.record_id.0.to_vec(),
            role: Role::QualityAssurance.into(),
            what: signed.codes.join(", "),
            due_at_ms: signed.signed_at_ms.saturating_add(Override::RATIFY_MS),
            is_deadline: true,
            ..of.clone()
        }));
        all.extend(subject.reactions.iter().filter_map(|reaction| safety_report(&of, reaction)));
    }
    for owed in &mut all {
        let entry = RecordId::from_slice(&owed.record_id).and_then(|id| snapshot.entry(&id));
        owed.event = entry.and_then(|e| e.event().map(|event| EventKind::of(event).name().to_owned())).unwrap_or_default();
    }
    all
}

fn name(kind: StreamKind, id: &Id16, stream: &Stream) -> String {
    let code = match stream {
        Stream::Lot(lot) => lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()),
        Stream::Donor(donor) => donor.registered.as_ref().map(|(_, e)| e.donor_code.clone()),
        Stream::Subject(subject) => subject.consents.first().map(|c| c.event.subject_code.clone()),
        _ => None,
    };
    let word = kind.as_str_name().trim_start_matches("STREAM_KIND_").to_lowercase();
    format!("{word} {}", code.unwrap_or_else(|| id.to_string()))
}

/// A record that extends several streams owes its signature once: on its lot, which those who make and handle it may read.
fn is_home(snapshot: &Snapshot, of: &Obligation, record_id: &RecordId) -> bool {
    let Some(entry) = snapshot.entry(record_id) else {
        return true;
    };
    let streams = &entry.record.streams;
    let home = streams.iter().find(|s| s.kind() == StreamKind::Lot).or_else(|| streams.first());
    home.is_none_or(|home| (home.kind, &home.id) == (of.stream_kind, &of.stream_id))
}

fn upkeep(snapshot: &Snapshot, of: &Obligation, upkeep: &Upkeep) -> Vec<Obligation> {
    let owed = upkeep.owed.iter().filter(|owed| is_home(snapshot, of, &owed.record_id));
    let signatures = owed.map(|owed| Obligation {
        kind: ObligationKind::Signature.into(),
        record_id: owed.record_id.0.to_vec(),
        role: owed.role.into(),
        facility_id: owed.facility_id.0.to_vec(),
        what: format!("slot {}", owed.slot),
        ..of.clone()
    });
    let by_quality = |kind: ObligationKind, record_id: &[u8; 16], what: &str| Obligation {
        kind: kind.into(),
        record_id: record_id.to_vec(),
        role: Role::QualityAssurance.into(),
        what: what.to_owned(),
        ..of.clone()
    };
    let deviations = upkeep.open_deviations().map(|d| by_quality(ObligationKind::Deviation, &d.record_id.0, d.code));
    let holds = upkeep.open_holds().map(|h| by_quality(ObligationKind::Hold, &h.record_id.0, h.code));
    let recalls = upkeep.open_recalls().map(|r| by_quality(ObligationKind::Recall, &r.record_id.0, r.code));
    let authority = snapshot.authority();
    let doubts = marrowline_rules::records_in_doubt(&authority, upkeep);
    let doubts = doubts.into_iter().filter(|record| is_home(snapshot, of, &record.record_id));
    let doubts = doubts.map(|record| by_quality(ObligationKind::Doubt, &record.record_id.0, "RECORD_IN_DOUBT"));
    signatures.chain(deviations).chain(holds).chain(recalls).chain(doubts).collect()
}

/// Who is to be told next of a reaction.
fn safety_report(of: &Obligation, reaction: &Reaction) -> Option<Obligation> {
    let (role, what, due_at_ms) = match (reaction.sponsor_told_at_ms, reaction.authority_told_at_ms) {
        (None, _) => (Role::Investigator, "tell the sponsor of a serious reaction", reaction.sponsor_due_ms()?),
        (Some(_), None) => (Role::QualityAssurance, "tell the authorities of a SUSAR", reaction.authority_due_ms()?),
        (Some(_), Some(_)) => return None,
    };
    Some(Obligation {
        kind: ObligationKind::SafetyReport.into(),
        record_id: reaction.record_id.0.to_vec(),
        role: role.into(),
        what: what.to_owned(),
        due_at_ms,
        is_deadline: true,
        ..of.clone()
    })
}

/// Tests with an incubation of a lot that is not rejected, which have no reviewed result yet: due from the first sample's incubation on.
fn incubated_tests(snapshot: &Snapshot, of: &Obligation, lot: &Lot) -> Vec<Obligation> {
    let sampled = lot.samples.values().min_by_key(|sample| sample.taken_at_ms);
    let (Some(sample), false) = (sampled, lot.disposition() == Some(Disposition::Rejected)) else {
        return Vec::new();
    };
    let document = lot.specification().and_then(|reference| {
        let id = Id16(reference.id.as_slice().try_into().ok()?);
        snapshot.specification(&id)?.version(reference.version).cloned()
    });
    let has_result =
        |code: &str| lot.results.iter().any(|r| r.test_code == code && r.review.is_some() && r.invalidated.is_none());
    let tests = document.into_iter().flat_map(|document| document.tests.clone());
    tests
        .filter_map(|test| Some((test.min_incubation_seconds.filter(|s| *s > 0)?, test.code)))
        .filter(|(_, code)| !has_result(code))
        .map(|(seconds, code)| Obligation {
            kind: ObligationKind::IncubatedTest.into(),
            record_id: sample.record_id.0.to_vec(),
            role: Role::QcAnalyst.into(),
            facility_id: lot.facility_id.map(|id| id.0.to_vec()).unwrap_or_default(),
            what: code,
            due_at_ms: sample.taken_at_ms.saturating_add(i64::from(seconds).saturating_mul(1_000)),
            ..of.clone()
        })
        .collect()
}
