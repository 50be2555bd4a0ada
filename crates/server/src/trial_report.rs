//! The report of a trial: its facts as this snapshot holds them, handed to the report crate.
//!
//! Only a reader who may see every subject of the trial gets it: a report that silently left subjects out would be a wrong one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use marrowline_api::errors;
use marrowline_api::v1::{GetTrialReportRequest, GetTrialReportResponse, ReportFormat};
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::{self, ProtocolPublished, ResultKind, StreamKind};
use marrowline_report as report;
use marrowline_report::{Checkpoint, Moment, Observation, Remark, RemarkKind, Report, Trial};
use marrowline_rules::View as _;
use marrowline_rules::codes::frame::LATE_ENTRY;
use marrowline_rules::family::{dose_check, endpoint, subject as eligibility};
use marrowline_rules::index::lot_of_unit;
use marrowline_rules::state::{Protocol, Subject, Upkeep};
use tonic::Status;

use crate::auth::Person;
use crate::{asked, reading};

/// Streams that are looked at in one go.
const PAGE: usize = 256;
/// Most subjects of a trial whose report is made while somebody waits.
const MAX_SUBJECTS: usize = 5_000;

/// Who gets a report.
const WHO_MAY: &str = "an investigator, randomiser, nurse, pharmacist or QA of all the trial's sites, or an auditor";

/// The report, and the subjects that it shows.
pub fn get(
    ledger: &Ledger,
    person: &Person,
    request: &GetTrialReportRequest,
) -> Result<(GetTrialReportResponse, Vec<Id16>), Status> {
    let format: ReportFormat = asked::known(request.format, "format", "ReportFormat")?;
    let snapshot = ledger.snapshot();
    let protocol = find(ledger, &snapshot, &request.registration)?;
    let subjects = subjects_of(ledger, &snapshot, &protocol.id)?;
    for subject in &subjects {
        if !reading::may_read(person, StreamKind::Subject, &subject.upkeep) {
            return Err(errors::read_not_permitted("every subject of this trial", WHO_MAY));
        }
    }
    let trial = trial(ledger, &snapshot, &protocol, &subjects)?;
    let report = Report::of(&trial);
    let (content_type, content) = written(format, &report)?;
    if let Some(reason) = snapshot.failure() {
        return Err(Status::unavailable(reason));
    }
    let answer = GetTrialReportResponse {
        content_type: content_type.to_owned(),
        content,
        cut_off_ms: snapshot.now_ms(),
        checkpoint: snapshot.checkpoint().note.clone(),
    };
    Ok((answer, subjects.iter().map(|subject| subject.id).collect()))
}

fn written(format: ReportFormat, made: &Report) -> Result<(&'static str, String), Status> {
    let failed = |error: &dyn std::fmt::Display| Status::internal(format!("the report cannot be written: {error}"));
    Ok(match format {
        ReportFormat::Unspecified | ReportFormat::Table => ("text/plain; charset=utf-8", report::table(made)),
        ReportFormat::Json => ("application/json", report::json(made).map_err(|e| failed(&e))?),
        ReportFormat::Csv => ("text/csv; charset=utf-8", report::csv(made).map_err(|e| failed(&e))?),
        ReportFormat::Svg => ("image/svg+xml", report::svg(made)),
    })
}

/// Every stream of a kind.
fn all(ledger: &Ledger, kind: StreamKind) -> Result<Vec<Id16>, Status> {
    let mut ids: Vec<Id16> = Vec::new();
    loop {
        let from = ids.pop();
        let page = ledger.streams(kind, from.as_ref(), PAGE).map_err(|e| errors::store(&e))?;
        let is_last = page.len() < PAGE;
        ids.extend(page);
        if is_last {
            return Ok(ids);
        }
    }
}

/// The protocol whose last version carries this registration number.
fn find(ledger: &Ledger, snapshot: &Snapshot, registration: &str) -> Result<Arc<Protocol>, Status> {
    let protocols = all(ledger, StreamKind::Protocol)?.into_iter().filter_map(|id| snapshot.protocol(&id));
    let mut found: Vec<Arc<Protocol>> = protocols.filter(|p| last(p).is_some_and(|v| v.registration == registration)).collect();
    match (found.pop(), found.is_empty()) {
        (Some(protocol), true) => Ok(protocol),
        (Some(_), false) => {
            Err(errors::bad_field("TRIAL_AMBIGUOUS", "registration", registration, "a number that one protocol carries"))
        }
        (None, _) => Err(errors::not_found("trial", registration)),
    }
}

fn last(protocol: &Protocol) -> Option<&Arc<ProtocolPublished>> {
    protocol.version(protocol.last_version())
}

fn subjects_of(ledger: &Ledger, snapshot: &Snapshot, protocol_id: &Id16) -> Result<Vec<Arc<Subject>>, Status> {
    let subjects = all(ledger, StreamKind::Subject)?.into_iter().filter_map(|id| snapshot.subject(&id));
    let mut of_trial: Vec<Arc<Subject>> = subjects.filter(|subject| subject.protocol_id() == Some(*protocol_id)).collect();
    if of_trial.len() > MAX_SUBJECTS {
        let found = format!("a trial of {} subjects", of_trial.len());
        return Err(errors::bad_field("TRIAL_TOO_LARGE", "registration", &found, &format!("at most {MAX_SUBJECTS} subjects")));
    }
    of_trial.sort_by_key(|subject| code_of(subject));
    Ok(of_trial)
}

fn code_of(subject: &Subject) -> String {
    subject.consents.first().map(|consent| consent.event.subject_code.clone()).unwrap_or_default()
}

/// When what a record tells happened, at its place.
fn moment(snapshot: &Snapshot, record_id: &RecordId) -> Option<Moment> {
    snapshot.entry(record_id)?.record.occurred_at.as_ref().map(instant)
}

fn instant(at: &pb::Instant) -> Moment {
    Moment { unix_ms: at.unix_ms, offset_minutes: at.offset_minutes }
}

fn trial(ledger: &Ledger, snapshot: &Snapshot, protocol: &Protocol, subjects: &[Arc<Subject>]) -> Result<Trial, Status> {
    let document = last(protocol).ok_or_else(|| errors::not_found("trial", &protocol.id.to_string()))?;
    let checkpoint = snapshot.checkpoint();
    Ok(Trial {
        registration: document.registration.clone(),
        title: document.title.clone(),
        protocol_version: document.version,
        is_training: ledger.is_training(),
        arms: document
            .arms
            .iter()
            .map(|arm| report::Arm {
                arm: arm.arm,
                code: arm.code.clone(),
                name: arm.name.clone(),
                receives_cells: arm.receives_cells,
            })
            .collect(),
        follow_up_days: document.follow_up_days.clone(),
        planned: document.sample_size,
        cut_off: Moment { unix_ms: snapshot.now_ms(), offset_minutes: 0 },
        checkpoint: Checkpoint {
            origin: checkpoint.note.lines().next().unwrap_or_default().to_owned(),
            tree_size: checkpoint.size,
            root: marrowline_record::id::Digest(checkpoint.root).to_string(),
        },
        subjects: subjects.iter().map(|subject| facts(snapshot, protocol, subject)).collect(),
        remarks: remarks(snapshot, protocol, subjects),
    })
}

fn facts(snapshot: &Snapshot, protocol: &Protocol, subject: &Subject) -> report::Subject {
    let moment = |record_id: &RecordId| moment(snapshot, record_id);
    let governing = subject.protocol().and_then(|(_, version)| protocol.version(version));
    let seen = subject
        .vitals
        .iter()
        .filter(|vital| !vital.is_dead)
        .map(|vital| vital.record_id)
        .chain(subject.weighings.iter().map(|weighing| weighing.record_id))
        .chain(subject.doses.iter().filter_map(|dose| dose.infusion.as_ref()).map(|infusion| infusion.record_id));
    report::Subject {
        code: code_of(subject),
        arm: subject.randomised.map(|randomised| randomised.arm),
        screened_at: subject.screening().and_then(|screening| moment(&screening.record_id)),
        eligible: governing.and_then(|document| eligibility::is_eligible(document, subject)),
        randomised_at: subject.randomised.and_then(|randomised| moment(&randomised.record_id)),
        onset_at: subject.screening().and_then(|screening| screening.event.onset_at.as_ref()).map(instant),
        doses: subject.doses.iter().filter_map(|dose| infused(snapshot, subject, dose)).collect(),
        died_at: subject.death().and_then(|death| moment(&death.record_id)),
        last_alive_at: seen.filter_map(|record_id| moment(&record_id)).max_by_key(|moment| moment.unix_ms),
        withdrawn_at: subject.withdrawn.and_then(|(record_id, _)| moment(&record_id)),
        endpoints: subject.endpoints.iter().filter_map(|seen| observation(&seen.event)).collect(),
    }
}

fn infused(snapshot: &Snapshot, subject: &Subject, dose: &marrowline_rules::state::subject::Dose) -> Option<report::Dose> {
    let infusion = dose.infusion.as_ref()?;
    let onset_ms = subject.screening().and_then(marrowline_rules::state::subject::Screening::onset_at_ms);
    Some(report::Dose {
        code: dose.code.clone(),
        started_at: moment(snapshot, &infusion.record_id)?,
        viable_cells_per_kg: dose_check::viable_cells_per_kg(subject, dose),
        seconds_from_onset: onset_ms.map(|onset| infusion.started_at_ms.saturating_sub(onset).div_euclid(1_000)),
        stopped_because: infusion.end.as_ref().and_then(|end| end.stopped_because.clone()),
    })
}

/// A number as it is written, its bound if it is below or above what the method sees; 1 for what is present and 0 for what is absent.
fn observation(e: &pb::EndpointObserved) -> Option<Observation> {
    let result = e.result.as_ref().filter(|_| endpoint::counts(e))?;
    let (value, unit) = match result.kind() {
        ResultKind::Quantitative => (result.value.as_ref()?.parse().ok()?, result.unit_ucum.clone().unwrap_or_default()),
        ResultKind::Present => (1.0, "present = 1".to_owned()),
        ResultKind::Absent => (0.0, "present = 1".to_owned()),
        ResultKind::Invalid | ResultKind::Unspecified => return None,
    };
    let scale = name_of(&e.loinc_code).map_or_else(|| e.loinc_code.clone(), |name| format!("{name} ({})", e.loinc_code));
    Some(Observation { scale, unit, day: e.visit_day.unwrap_or(endpoint::BASELINE), value })
}

/// Names of the endpoints that trials of sepsis report; any other is shown by its code.
fn name_of(loinc: &str) -> Option<&'static str> {
    Some(match loinc {
        "26881-3" => "interleukin 6",
        "26848-2" => "interleukin 10",
        "2160-0" => "creatinine",
        "1975-2" => "bilirubin",
        "33959-8" => "procalcitonin",
        "1988-5" => "C-reactive protein",
        "2703-7" => "oxygen partial pressure",
        _ => return None,
    })
}

/// Deviations and late entries of the protocol, the subjects, and the lots that went into their infusions.
fn remarks(snapshot: &Snapshot, protocol: &Protocol, subjects: &[Arc<Subject>]) -> Vec<Remark> {
    let mut lots: BTreeMap<Id16, String> = BTreeMap::new();
    let mut remarks = of_stream(snapshot, "protocol", &protocol.upkeep);
    for subject in subjects {
        let thing = format!("subject {}", code_of(subject));
        remarks.extend(of_stream(snapshot, &thing, &subject.upkeep));
        remarks.extend(subject.overrides.iter().filter_map(|signed| {
            Some(Remark {
                kind: RemarkKind::Override,
                thing: thing.clone(),
                code: signed.codes.join(" "),
                record: signed.record_id.to_string(),
                at: moment(snapshot, &signed.record_id)?,
                is_open: signed.ratified_by.is_none(),
            })
        }));
        let portions = subject.doses.iter().filter(|dose| dose.infusion.is_some()).flat_map(|dose| &dose.portions);
        let infused = portions.filter_map(|portion| lot_of_unit(snapshot, &portion.unit_id));
        lots.extend(infused.filter_map(|id| {
            let lot = snapshot.lot(&id)?;
            Some((id, lot.opened.as_ref()?.1.lot_code.clone()))
        }));
    }
    for (id, code) in lots {
        remarks.extend(snapshot.lot(&id).map(|lot| of_stream(snapshot, &format!("lot {code}"), &lot.upkeep)).unwrap_or_default());
    }
    // A record that extends a subject and a lot is told once for each rule.
    let mut told = BTreeSet::new();
    remarks.retain(|remark| told.insert((remark.kind, remark.record.clone(), remark.code.clone())));
    remarks
}

fn of_stream(snapshot: &Snapshot, thing: &str, upkeep: &Upkeep) -> Vec<Remark> {
    let remark = |kind, code: &str, record_id: &RecordId, is_open| {
        Some(Remark {
            kind,
            thing: thing.to_owned(),
            code: code.to_owned(),
            record: record_id.to_string(),
            at: moment(snapshot, record_id)?,
            is_open,
        })
    };
    let deviations =
        upkeep.deviations.iter().filter_map(|d| remark(RemarkKind::Deviation, d.code, &d.record_id, d.closed_by.is_none()));
    let late = upkeep
        .signed
        .iter()
        .filter(|signed| snapshot.entry(&signed.record_id).is_some_and(|entry| entry.flags.contains(&LATE_ENTRY.number)));
    let late = late.filter_map(|signed| remark(RemarkKind::LateEntry, LATE_ENTRY.name, &signed.record_id, false));
    deviations.chain(late).collect()
}
