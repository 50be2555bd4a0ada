//! The questions that people ask about donors, lots, units, doses and subjects.

use std::collections::BTreeSet;
use std::sync::Arc;

use marrowline_api::errors;
use marrowline_api::v1::custody_service_server::CustodyService;
use marrowline_api::v1::trace_forward_request::From;
use marrowline_api::v1::{
    Answer, CheckDoseRequest, CheckDoseResponse, Finding, GetDonorRequest, GetDonorResponse, GetDoseRequest, GetDoseResponse,
    GetLotRequest, GetLotResponse, GetSubjectRequest, GetSubjectResponse, GetTrialReportRequest, GetTrialReportResponse,
    GetUnitRequest, GetUnitResponse, ListLotsRequest, ListLotsResponse, ListObligationsRequest, ListObligationsResponse,
    ListRefusalsRequest, ListRefusalsResponse, ListUnitsRequest, ListUnitsResponse, ListVersionsRequest, ListVersionsResponse,
    TraceBackRequest, TraceBackResponse, TraceForwardRequest, TraceForwardResponse, TraceStep,
};
use marrowline_ledger::store::NoteKind;
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{Role, StreamKind};
use marrowline_rules::View;
use marrowline_rules::family::dose_check::{self, DoseCheck};
use marrowline_rules::index::{self, CODE_DONOR, CODE_DOSE, CODE_LOT, CODE_SUBJECT, CODE_UNIT, IndexKey, lot_of_unit};
use marrowline_rules::state::subject::Dose;
use marrowline_rules::state::{Lot, Subject};
use tonic::{Request, Response, Status};

use crate::auth::{Auth, Person};
use crate::overview::{self, Start};
use crate::trace::Chain;
use crate::{materials, reading, refusals, trace, trial_report, versions, views};

/// The service.
pub struct Service {
    ledger: Ledger,
    auth: Auth,
}

/// Most records of one stream in a trace.
const MAX_TRACE: usize = 10_000;

fn store_failed(snapshot: &Snapshot) -> Result<(), Status> {
    match snapshot.failure() {
        Some(reason) => Err(Status::unavailable(reason)),
        None => Ok(()),
    }
}

/// A thing by its code or by its UUID.
fn resolve(snapshot: &Snapshot, kind: u8, word: &'static str, text: &str) -> Result<Id16, Status> {
    let by_code = snapshot.lookup(&IndexKey::Code { kind, code: text.to_owned() });
    let found = by_code.map(Id16).or_else(|| uuid::Uuid::parse_str(text).ok().map(|id| Id16(id.into_bytes())));
    store_failed(snapshot)?;
    found.ok_or_else(|| errors::not_found(word, text))
}

impl Service {
    /// Of this ledger.
    pub fn new(ledger: Ledger, auth: Auth) -> Service {
        Service { ledger, auth }
    }

    fn subject_of_dose(&self, snapshot: &Snapshot, text: &str) -> Result<(Id16, Arc<Subject>), Status> {
        let dose_id = resolve(snapshot, CODE_DOSE, "dose", text)?;
        let subject = index::subject_of_dose(snapshot, &dose_id).and_then(|id| snapshot.subject(&id));
        store_failed(snapshot)?;
        match subject {
            Some(subject) if subject.dose(&dose_id).is_some() => Ok((dose_id, subject)),
            _ => Err(errors::not_found("dose", text)),
        }
    }

    /// A dose is read by whoever has a role at a facility that took part in its lots or its subject.
    fn check_dose_reader(&self, person: &Person, snapshot: &Snapshot, subject: &Subject, dose_id: &Id16) -> Result<(), Status> {
        let lots = lots_of(snapshot, subject, dose_id);
        let may = reading::may_read(person, StreamKind::Lot, &subject.upkeep)
            || lots.iter().any(|lot| reading::may_read(person, StreamKind::Lot, &lot.upkeep));
        if may {
            return Ok(());
        }
        Err(errors::read_not_permitted(
            "this dose",
            "someone with a role at a facility that made, held or gave it, or an auditor",
        ))
    }

    async fn note_subject(&self, person: &Person, subject: &Id16, call: &'static str) {
        let note = serde_json::json!({
            "at_ms": self.ledger.reading().now_ms,
            "key": person.key_id.to_string(),
            "subject": subject.to_string(),
            "call": call,
        });
        let _ = self.ledger.note(vec![(NoteKind::Access, note.to_string().into_bytes())]).await;
    }

    /// The dose check on a fresh fold: the records that it rests on are read again and compared with their leaves.
    fn check(&self, snapshot: &Snapshot, dose_id: &Id16) -> Result<DoseCheck, String> {
        let check = dose_check::check(snapshot, dose_id, snapshot.now_ms());
        for record in &check.records {
            // Reading compares the record's digest with its leaf; a record that cannot be read makes the answer worth nothing.
            if snapshot.entry(record).is_none() {
                return Err(snapshot.failure().unwrap_or_else(|| format!("record {record} cannot be read")));
            }
        }
        match snapshot.failure() {
            Some(reason) => Err(reason),
            None => Ok(check),
        }
    }
}

fn lots_of(snapshot: &Snapshot, subject: &Subject, dose_id: &Id16) -> Vec<Arc<Lot>> {
    let units = subject.dose(dose_id).map(|d| d.portions.clone()).unwrap_or_default();
    let ids: BTreeSet<[u8; 16]> = units.iter().filter_map(|p| lot_of_unit(snapshot, &p.unit_id)).map(|lot| lot.0).collect();
    ids.into_iter().filter_map(|id| snapshot.lot(&Id16(id))).collect()
}

#[tonic::async_trait]
impl CustodyService for Service {
    async fn get_donor(&self, request: Request<GetDonorRequest>) -> Result<Response<GetDonorResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let snapshot = self.ledger.snapshot();
        let id = resolve(&snapshot, CODE_DONOR, "donor", &request.get_ref().donor)?;
        let donor = snapshot.donor(&id).ok_or_else(|| errors::not_found("donor", &request.get_ref().donor))?;
        reading::check(&person, StreamKind::Donor, &donor.upkeep)?;
        Ok(Response::new(GetDonorResponse {
            donor: Some(views::donor(&self.ledger, &snapshot, &donor)),
            checkpoint: snapshot.checkpoint().note.clone(),
        }))
    }

    async fn get_lot(&self, request: Request<GetLotRequest>) -> Result<Response<GetLotResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let snapshot = self.ledger.snapshot();
        let id = resolve(&snapshot, CODE_LOT, "lot", &request.get_ref().lot)?;
        let lot = snapshot.lot(&id).ok_or_else(|| errors::not_found("lot", &request.get_ref().lot))?;
        reading::check(&person, StreamKind::Lot, &lot.upkeep)?;
        Ok(Response::new(GetLotResponse {
            lot: Some(views::lot(&self.ledger, &snapshot, &lot)),
            checkpoint: snapshot.checkpoint().note.clone(),
        }))
    }

    async fn get_unit(&self, request: Request<GetUnitRequest>) -> Result<Response<GetUnitResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (shown, response) = {
            let snapshot = self.ledger.snapshot();
            let text = &request.get_ref().unit;
            let id = resolve(&snapshot, CODE_UNIT, "unit", text)?;
            let lot = lot_of_unit(&snapshot, &id).and_then(|lot| snapshot.lot(&lot));
            let lot = lot.ok_or_else(|| errors::not_found("unit", text))?;
            reading::check(&person, StreamKind::Lot, &lot.upkeep)?;
            let unit = lot.units.get(&id).ok_or_else(|| errors::not_found("unit", text))?;
            let subject = unit.allocation.and_then(|a| snapshot.subject(&a.subject_id));
            let subject = subject.filter(|s| reading::may_read(&person, StreamKind::Subject, &s.upkeep));
            let mut view = views::unit(&snapshot, &lot, unit, subject.is_some());
            view.deviations = views::deviations(&snapshot, &lot, &id);
            let response = GetUnitResponse { unit: Some(view), checkpoint: snapshot.checkpoint().note.clone() };
            (subject.map(|s| s.id), response)
        };
        if let Some(subject_id) = shown {
            self.note_subject(&person, &subject_id, "GetUnit").await;
        }
        Ok(Response::new(response))
    }

    async fn get_dose(&self, request: Request<GetDoseRequest>) -> Result<Response<GetDoseResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (subject, response) = {
            let snapshot = self.ledger.snapshot();
            let (id, subject) = self.subject_of_dose(&snapshot, &request.get_ref().dose)?;
            self.check_dose_reader(&person, &snapshot, &subject, &id)?;
            let dose = subject.dose(&id).map(|d| dose_with_standing(&snapshot, &person, &subject, d));
            let response = GetDoseResponse {
                dose: dose.map(|d| without_subject(d, &person, &subject)),
                checkpoint: snapshot.checkpoint().note.clone(),
            };
            (subject, response)
        };
        if reading::may_read(&person, StreamKind::Subject, &subject.upkeep) {
            self.note_subject(&person, &subject.id, "GetDose").await;
        }
        Ok(Response::new(response))
    }

    async fn get_subject(&self, request: Request<GetSubjectRequest>) -> Result<Response<GetSubjectResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (id, response) = {
            let snapshot = self.ledger.snapshot();
            let text = &request.get_ref().subject;
            let id = resolve(&snapshot, CODE_SUBJECT, "subject", text)?;
            let subject = snapshot.subject(&id).ok_or_else(|| errors::not_found("subject", text))?;
            reading::check(&person, StreamKind::Subject, &subject.upkeep)?;
            let response = GetSubjectResponse {
                subject: Some(views::subject(&self.ledger, &snapshot, &person, &subject)),
                checkpoint: snapshot.checkpoint().note.clone(),
            };
            (id, response)
        };
        self.note_subject(&person, &id, "GetSubject").await;
        Ok(Response::new(response))
    }

    async fn check_dose(&self, request: Request<CheckDoseRequest>) -> Result<Response<CheckDoseResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (subject_id, response) = {
            let snapshot = self.ledger.snapshot();
            let (id, subject) = self.subject_of_dose(&snapshot, &request.get_ref().dose)?;
            self.check_dose_reader(&person, &snapshot, &subject, &id)?;
            let mut checked = self.check(&snapshot, &id);
            let sees_subject = reading::may_read(&person, StreamKind::Subject, &subject.upkeep);
            if let Ok(check) = &mut checked
                && !sees_subject
            {
                reading::withhold(&mut check.findings, &[StreamKind::Subject]);
                check.records.retain(|r| snapshot.entry(r).is_some_and(|e| reading::may_read_entry(&person, &snapshot, &e)));
            }
            let answer = match &checked {
                Ok(check) if snapshot.clock_trusted() => match check.answer {
                    dose_check::Answer::Green => Answer::Green,
                    dose_check::Answer::Red => Answer::Red,
                    dose_check::Answer::NoAnswer => Answer::NoAnswer,
                },
                _ => Answer::NoAnswer,
            };
            let mut reasons: Vec<Finding> = checked.iter().flat_map(|c| &c.findings).map(Finding::from).collect();
            if !snapshot.clock_trusted() {
                reasons.push(plain("CLOCK_UNTRUSTED", "the ledger's clock is not trusted", "set the server's clock"));
            }
            if let Err(reason) = &checked {
                reasons.push(plain("CHAIN_NOT_READABLE", reason, "run fsck; do not release the dose"));
            }
            let dose = subject.dose(&id).map(|d| views::dose(&snapshot, &subject, d));
            let response = CheckDoseResponse {
                answer: answer.into(),
                reasons,
                dose: dose.map(|d| without_subject(d, &person, &subject)),
                record_ids: checked.iter().flat_map(|c| &c.records).map(|r| r.0.to_vec()).collect(),
                as_of_ms: snapshot.now_ms(),
                checkpoint: snapshot.checkpoint().note.clone(),
                training: self.ledger.is_training(),
            };
            (subject.id, response)
        };
        self.note_subject(&person, &subject_id, "CheckDose").await;
        Ok(Response::new(response))
    }

    async fn trace_back(&self, request: Request<TraceBackRequest>) -> Result<Response<TraceBackResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (subject_id, response) = {
            let snapshot = self.ledger.snapshot();
            let (id, subject) = self.subject_of_dose(&snapshot, &request.get_ref().dose)?;
            self.check_dose_reader(&person, &snapshot, &subject, &id)?;
            (subject.id, self.trace(&person, &snapshot, &subject, &id)?)
        };
        self.note_subject(&person, &subject_id, "TraceBack").await;
        Ok(Response::new(response))
    }

    async fn trace_forward(&self, request: Request<TraceForwardRequest>) -> Result<Response<TraceForwardResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let (response, subjects) = {
            let snapshot = self.ledger.snapshot();
            let lots = self.lots_from(&person, &snapshot, request.get_ref())?;
            overview::trace_forward(&snapshot, &person, &lots)?
        };
        for subject_id in &subjects {
            self.note_subject(&person, subject_id, "TraceForward").await;
        }
        Ok(Response::new(response))
    }

    async fn list_lots(&self, request: Request<ListLotsRequest>) -> Result<Response<ListLotsResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        overview::list_lots(&self.ledger, &person, request.get_ref()).map(Response::new)
    }

    async fn list_versions(&self, request: Request<ListVersionsRequest>) -> Result<Response<ListVersionsResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        versions::list(&self.ledger, &person, request.get_ref()).map(Response::new)
    }

    async fn list_units(&self, request: Request<ListUnitsRequest>) -> Result<Response<ListUnitsResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        overview::list_units(&self.ledger, &person, request.get_ref()).map(Response::new)
    }

    async fn list_obligations(
        &self,
        request: Request<ListObligationsRequest>,
    ) -> Result<Response<ListObligationsResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        overview::list_obligations(&self.ledger, &person, request.get_ref()).map(Response::new)
    }

    async fn list_refusals(&self, request: Request<ListRefusalsRequest>) -> Result<Response<ListRefusalsResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        refusals::list(&self.ledger, &person, request.get_ref()).map(Response::new)
    }

    async fn get_trial_report(
        &self,
        request: Request<GetTrialReportRequest>,
    ) -> Result<Response<GetTrialReportResponse>, Status> {
        let person = self.auth.person(request.metadata())?;
        let ledger = self.ledger.clone();
        let reader = person.clone();
        // Thousands of subjects are folded and their tests computed: that is not work for a thread that answers others.
        let made = tokio::task::spawn_blocking(move || trial_report::get(&ledger, &reader, request.get_ref())).await;
        let (report, subjects) = made.map_err(|error| Status::internal(error.to_string()))??;
        for subject_id in &subjects {
            self.note_subject(&person, subject_id, "GetTrialReport").await;
        }
        Ok(Response::new(report))
    }
}

impl Service {
    /// The lots, and of a single unit only that one, that a forward trace begins with.
    fn lots_from(&self, person: &Person, snapshot: &Snapshot, request: &TraceForwardRequest) -> Result<Start, Status> {
        let lot_of = |id: &Id16| snapshot.lot(id).ok_or_else(|| errors::not_found("lot", &id.to_string()));
        match &request.from {
            Some(From::Donor(text)) => {
                let id = resolve(snapshot, CODE_DONOR, "donor", text)?;
                let donor = snapshot.donor(&id).ok_or_else(|| errors::not_found("donor", text))?;
                reading::check(person, StreamKind::Donor, &donor.upkeep)?;
                let lots = donor.lots.iter().map(lot_of).collect::<Result<_, _>>()?;
                Ok(Start { lots, stream: Some((StreamKind::Donor, id)), unit_id: None })
            }
            Some(From::Lot(text)) => {
                let lot = lot_of(&resolve(snapshot, CODE_LOT, "lot", text)?)?;
                reading::check(person, StreamKind::Lot, &lot.upkeep)?;
                let stream = Some((StreamKind::Lot, lot.id));
                Ok(Start { lots: vec![lot], stream, unit_id: None })
            }
            Some(From::Unit(text)) => {
                let id = resolve(snapshot, CODE_UNIT, "unit", text)?;
                let lot = lot_of_unit(snapshot, &id).and_then(|lot| snapshot.lot(&lot));
                let lot = lot.ok_or_else(|| errors::not_found("unit", text))?;
                reading::check(person, StreamKind::Lot, &lot.upkeep)?;
                Ok(Start { lots: vec![lot], stream: None, unit_id: Some(id) })
            }
            Some(From::Material(text)) => materials::lots_made_with(&self.ledger, person, snapshot, text),
            None => Err(errors::bad_field("FIELD_MISSING", "from", "nothing", "a donor, a lot, a unit or a material")),
        }
    }

    fn trace(
        &self,
        person: &Person,
        snapshot: &Snapshot,
        subject: &Subject,
        dose_id: &Id16,
    ) -> Result<TraceBackResponse, Status> {
        let lots = lots_of(snapshot, subject, dose_id);
        let donors: BTreeSet<Id16> = lots.iter().filter_map(|l| l.donor_id).collect();
        let mut streams: Vec<(StreamKind, Id16, String)> = Vec::new();
        for donor in &donors {
            let code = snapshot.donor(donor).and_then(|d| d.registered.as_ref().map(|(_, e)| e.donor_code.clone()));
            streams.push((StreamKind::Donor, *donor, format!("donor {}", code.unwrap_or_default())));
        }
        for lot in &lots {
            let code = lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()).unwrap_or_default();
            streams.push((StreamKind::Lot, lot.id, format!("lot {code}")));
        }
        let sees_subject = reading::may_read(person, StreamKind::Subject, &subject.upkeep);
        if sees_subject {
            let code = subject.consents.first().map(|c| c.event.subject_code.clone()).unwrap_or_default();
            streams.push((StreamKind::Subject, subject.id, format!("subject {code}")));
        }
        let chain = Chain::of(subject, dose_id, sees_subject);
        let authority = snapshot.authority();
        let mut steps: Vec<(u64, TraceStep)> = Vec::new();
        let mut seen = BTreeSet::new();
        for (kind, id, name) in streams {
            let entries = self.ledger.stream_entries(kind, &id, 1, MAX_TRACE).map_err(|e| errors::store(&e))?;
            for entry in entries.iter().filter(|e| chain.holds(&e.record, &|named| trace::find(snapshot, named))) {
                if seen.insert(entry.index) {
                    let step = views::step(entry, &authority, views::version(snapshot, entry).as_ref());
                    steps.push((entry.index, TraceStep { stream: name.clone(), step: Some(step) }));
                }
            }
        }
        steps.sort_by_key(|(index, _)| *index);
        Ok(TraceBackResponse {
            steps: steps.into_iter().map(|(_, step)| step).collect(),
            donor_ids: donors.iter().map(|d| d.0.to_vec()).collect(),
            lot_ids: lots.iter().map(|l| l.id.0.to_vec()).collect(),
            subject_id: if sees_subject { subject.id.0.to_vec() } else { Vec::new() },
            checkpoint: snapshot.checkpoint().note.clone(),
        })
    }
}

/// A dose with what stands against it in its lots, their donors and, for who may see them, its subject's records.
fn dose_with_standing(snapshot: &Snapshot, person: &Person, subject: &Subject, dose: &Dose) -> marrowline_api::v1::DoseView {
    let mut view = views::dose(snapshot, subject, dose);
    let sees_subject = reading::may_read(person, StreamKind::Subject, &subject.upkeep);
    let chain = Chain::of(subject, &dose.id, sees_subject);
    let is_about = |record: &RecordId| {
        snapshot.entry(record).is_some_and(|entry| chain.holds(&entry.record, &|named| trace::find(snapshot, named)))
    };
    for lot in lots_of(snapshot, subject, &dose.id) {
        views::add_standing(&mut view, dose, &lot.upkeep, &is_about);
        let donor = lot.donor_id.and_then(|id| snapshot.donor(&id));
        if let Some(donor) = donor.filter(|donor| reading::may_read(person, StreamKind::Donor, &donor.upkeep)) {
            views::add_standing(&mut view, dose, &donor.upkeep, &is_about);
        }
    }
    if sees_subject {
        views::add_standing(&mut view, dose, &subject.upkeep, &is_about);
    }
    view
}

fn without_subject(mut dose: marrowline_api::v1::DoseView, person: &Person, subject: &Subject) -> marrowline_api::v1::DoseView {
    if !person.is(Role::Auditor) && !reading::may_read(person, StreamKind::Subject, &subject.upkeep) {
        dose.subject_id.clear();
        dose.order_id.clear();
        dose.subject_code.clear();
        dose.ordered_by.clear();
        dose.ordered_at_ms = 0;
        dose.dispensed_by.clear();
        dose.dispensed_at_ms = 0;
        // With the number of cells it would tell the subject's weight.
        dose.viable_cells_per_kg = 0;
    }
    dose
}

fn plain(code: &str, found: &str, next: &str) -> Finding {
    Finding { code: code.to_owned(), found: found.to_owned(), allowed: String::new(), look_at: Vec::new(), next: next.to_owned() }
}
