//! Who reads what: subjects only by those who treat them, everything else by the facilities that took part; auditors all.

use std::time::Duration;

use marrowline_client::v1;
use marrowline_client::{Client, ClientError};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use tonic::Code;

use crate::ledger::Server;
use crate::people::{AUTHORITY, administer, elsewhere, facilities, grant, new_donor, now, sign};

async fn subject(client: &Client) -> Result<v1::GetSubjectResponse, tonic::Status> {
    let request = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    client.custody().clone().get_subject(request).await.map(tonic::Response::into_inner)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_read_by_those_who_treat_it() {
    let server = Server::start();
    for handle in ["inv", "rnd", "rn1", "pha1", "qa", "aud"] {
        let found = subject(&server.client(handle).await).await.unwrap_or_else(|e| panic!("{handle}: {e}"));
        assert_eq!(found.subject.unwrap().subject_code, "R-01");
    }
    for handle in ["op1", "qc", "cry", "phy", "oph1", "key"] {
        let refused = subject(&server.client(handle).await).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{handle}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_about_a_subject_is_withheld_in_lists() {
    let server = Server::start();
    let everything = |limit| v1::ListRecordsRequest { page_size: limit, ..v1::ListRecordsRequest::default() };
    let (operator, auditor) = (server.client("op1").await, server.client("aud").await);
    let seen = operator.list(everything(500)).await.unwrap().records;
    let whole = auditor.list(everything(500)).await.unwrap().records;
    assert_eq!(seen.len(), whole.len(), "a list without gaps: leaves are there for everyone");
    let mut withheld = 0;
    for (seen, whole) in seen.iter().zip(&whole) {
        assert_eq!(seen.leaf, whole.leaf);
        let record = marrowline_record::decode(&whole.record).unwrap();
        let is_about_subject = record.streams.iter().any(|s| s.kind() == StreamKind::Subject);
        if is_about_subject {
            assert!(seen.record.is_empty(), "leaf {} tells an operator of a subject", seen.index);
            assert!(seen.step.as_ref().is_none_or(|step| step.event.is_empty() && step.signatures.is_empty()));
            withheld += 1;
        }
    }
    assert!(withheld > 10);
    // By its number or its id it is not to be had either.
    let index = whole.iter().zip(&seen).find(|(_, s)| s.record.is_empty()).map(|(w, _)| w.index).unwrap();
    assert!(matches!(operator.record_at(index).await, Err(ClientError::Refused(p)) if p.status == Code::PermissionDenied));
    assert!(auditor.record_at(index).await.is_ok());
}

/// Every question that the custody service answers, as a list of what came of each.
async fn every_question(client: &Client) -> Vec<(&'static str, Code)> {
    let lot = v1::GetLotRequest { lot: "L-2026-01".to_owned() };
    let check = marrowline_record::din::digit_check("2601001").unwrap();
    let unit = v1::GetUnitRequest { unit: format!("2601001{check}") };
    let dose = || "701018".to_owned();
    let code = |result: Result<(), tonic::Status>| result.err().map_or(Code::Ok, |status| status.code());
    let custody = client.custody();
    vec![
        ("donor", code(custody.clone().get_donor(v1::GetDonorRequest { donor: "D-001".to_owned() }).await.map(drop))),
        ("lot", code(custody.clone().get_lot(lot).await.map(drop))),
        ("unit", code(custody.clone().get_unit(unit).await.map(drop))),
        ("dose", code(custody.clone().get_dose(v1::GetDoseRequest { dose: dose() }).await.map(drop))),
        ("check", code(custody.clone().check_dose(v1::CheckDoseRequest { dose: dose() }).await.map(drop))),
        ("trace", code(custody.clone().trace_back(v1::TraceBackRequest { dose: dose() }).await.map(drop))),
        ("subject", code(subject(client).await.map(drop))),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_facility_that_took_no_part_reads_no_donor_lot_dose_or_subject() {
    let server = Server::start();
    let op = server.client("op1").await;
    let (lab, _) = facilities(&op).await;
    elsewhere(&op, lab, "+stranger").await;
    let stranger = server.client("+stranger").await;
    for (question, code) in every_question(&stranger).await {
        assert_eq!(code, Code::PermissionDenied, "{question}");
    }
    for (question, code) in every_question(&server.client("aud").await).await {
        assert_eq!(code, Code::Ok, "{question}");
    }
    let all = v1::ListRecordsRequest { page_size: 500, ..v1::ListRecordsRequest::default() };
    let mut seen = Vec::new();
    for logged in stranger.list(all).await.unwrap().records {
        if logged.record.is_empty() {
            assert!(stranger.record_at(logged.index).await.is_err());
        } else {
            seen.push(marrowline_record::decode(&logged.record).unwrap());
        }
    }
    assert!(!seen.is_empty());
    for record in seen {
        let kind = record.streams[0].kind();
        assert!(matches!(kind, StreamKind::Authority | StreamKind::Protocol | StreamKind::Specification), "{kind:?} is shown");
    }
    // What the ledger does not hold is told apart from what is not shown.
    let nothing = v1::GetLotRequest { lot: "L-2027-99".to_owned() };
    assert_eq!(stranger.custody().clone().get_lot(nothing).await.unwrap_err().code(), Code::NotFound);
}

/// Whoever may write to a subject's stream has not thereby given themselves the right to read it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_gives_themselves_the_right_to_read() {
    use marrowline_record::pb::record::Event;
    use marrowline_record::pb::{self, Meaning, Role};
    let server = Server::start();
    let op = server.client("op1").await;
    let (lab, _) = facilities(&op).await;
    let facility = elsewhere(&op, lab, "+stranger").await;
    let stranger = server.client("+stranger").await;
    let known = subject(&server.client("rn1").await).await.unwrap().subject.unwrap();
    let stream = (StreamKind::Subject, known.stream.unwrap().id.as_slice().try_into().unwrap());
    let weighed = pb::SubjectWeighed { weight_grams: 70_000, method: pb::WeighingMethod::Measured.into() };
    let events = [
        (Event::HoldSet(pb::HoldSet { reason: "to look into".to_owned(), ..pb::HoldSet::default() }), Meaning::Approved),
        (Event::SubjectWeighed(weighed), Meaning::Performed),
    ];
    for (event, meaning) in events {
        let by = [("+stranger", Role::Nurse, meaning, facility)];
        sign(&stranger, event, &by, &[stream]).await.append(&stranger).await.unwrap();
        assert_eq!(subject(&stranger).await.unwrap_err().code(), Code::PermissionDenied);
    }
    assert!(subject(&server.client("rn1").await).await.is_ok());
}

/// An operator of the laboratory sees the dose that it made, and nothing of whom it is for.
#[tokio::test(flavor = "multi_thread")]
async fn a_dose_is_shown_to_its_makers_without_its_subject() {
    let server = Server::start();
    let (maker, nurse) = (server.client("op1").await, server.client("rn1").await);
    let dose = |client: &Client| {
        let custody = client.custody();
        async move { custody.clone().get_dose(v1::GetDoseRequest { dose: "701018".to_owned() }).await.unwrap().into_inner() }
    };
    let (seen, whole) = (dose(&maker).await.dose.unwrap(), dose(&nurse).await.dose.unwrap());
    assert_eq!((seen.dose_id, seen.total_cells), (whole.dose_id, whole.total_cells));
    assert!(seen.subject_id.is_empty() && seen.order_id.is_empty() && seen.viable_cells_per_kg == 0);
    assert!(whole.subject_id.len() == 16 && whole.order_id.len() == 16 && whole.viable_cells_per_kg == 1_000_000);

    let check = |client: &Client| {
        let custody = client.custody();
        async move { custody.clone().check_dose(v1::CheckDoseRequest { dose: "701018".to_owned() }).await.unwrap().into_inner() }
    };
    let (seen, whole) = (check(&maker).await, check(&nurse).await);
    let codes = |response: &v1::CheckDoseResponse| response.reasons.iter().map(|r| r.code.clone()).collect::<Vec<_>>();
    assert_eq!((seen.answer, codes(&seen)), (whole.answer, codes(&whole)), "the answer is the same for everybody");
    assert!(format!("{:?}", whole.reasons).contains("70 000 g"), "{:?}", whole.reasons);
    assert!(!format!("{:?}", seen.reasons).contains("70 000"), "a maker is told the subject's weight: {:?}", seen.reasons);
    assert!(!seen.record_ids.is_empty() && seen.record_ids.len() < whole.record_ids.len());

    let trace = v1::TraceBackRequest { dose: "701018".to_owned() };
    let trace = maker.custody().clone().trace_back(trace).await.unwrap().into_inner();
    assert!(trace.subject_id.is_empty() && trace.donor_ids.len() == 1);
    for step in &trace.steps {
        assert!(!step.stream.starts_with("subject"), "{}", step.stream);
        let event = step.step.as_ref().unwrap().event.as_str();
        assert!(!["UnitsAllocated", "DosePrepared", "DoseDispensed", "InfusionStarted"].contains(&event), "{event}");
    }
}

/// Anybody who is enrolled can send a record about a subject; what is answered must not tell of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_tells_nothing_of_a_subject_that_the_sender_may_not_read() {
    let server = Server::start();
    let (investigator, operator) = (server.client("inv").await, server.client("op1").await);
    let (lab, hospital) = facilities(&operator).await;
    let id = subject(&investigator).await.unwrap().subject.unwrap().stream.unwrap().id;
    let stream = (StreamKind::Subject, id.as_slice().try_into().unwrap());
    let order = || {
        Event::DoseOrdered(pb::DoseOrdered {
            order_id: marrowline_client::new_id().to_vec(),
            target_viable_cells_per_kg: 3_000_000,
            weighing_record_id: marrowline_client::new_id().to_vec(),
            planned_duration_seconds: 3_600,
        })
    };
    let refused = |result: Result<marrowline_client::Acknowledged, ClientError>| match result {
        Err(ClientError::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    };
    let by = [("inv", Role::Investigator, Meaning::Approved, hospital)];
    let told = refused(sign(&investigator, order(), &by, &[stream]).await.append(&investigator).await).to_string();
    for word in ["WEIGHING_NOT_LATEST", "WEIGHING_TOO_OLD", "TARGET_OUTSIDE_BAND", "70 000 g"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    let by = [("op1", Role::Investigator, Meaning::Approved, lab)];
    let signed = sign(&operator, order(), &by, &[stream]).await;
    let told = refused(signed.append(&operator).await).to_string();
    // Every reason is named all the same.
    for word in ["SIGNER_WITHOUT_AUTHORITY", "WEIGHING_NOT_LATEST", "WEIGHING_TOO_OLD", "TARGET_OUTSIDE_BAND", "3 000 000"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(!told.contains("70 000"), "{told}");
    let judged = format!("{:?}", operator.judge(signed.bytes.clone(), &signed.signings).await.unwrap());
    assert!(judged.contains("WEIGHING_TOO_OLD") && !judged.contains("70 000"), "{judged}");
}

async fn revoke(client: &Client, lab: [u8; 16], who: &str) {
    let revoked = pb::KeyRevoked {
        key_id: marrowline_record::id::KeyId::of(crate::ledger::key(who).verifying_key().as_bytes()).0.to_vec(),
        reason: "left".to_owned(),
        effective_at: Some(now(client).await),
        ..pb::KeyRevoked::default()
    };
    let by = [("key", Role::KeyAdministrator, Meaning::Approved, lab)];
    sign(client, Event::KeyRevoked(revoked), &by, &[AUTHORITY]).await.append(client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_that_have_lapsed_and_keys_that_were_revoked_read_nothing() {
    let server = Server::start();
    let op = server.client("op1").await;
    let (lab, _) = facilities(&op).await;
    let nurse = server.client("rn1").await;
    assert!(subject(&nurse).await.is_ok());
    revoke(&op, lab, "rn1").await;
    // The token was verified before and is remembered; that must not help.
    let refused = subject(&nurse).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert_eq!(marrowline_client::Problem::from_status(&refused).code, "TOKEN_KEY_REVOKED");
    let donor = new_donor(&op, lab).await;
    for (call, refused) in [
        ("checkpoint", nurse.checkpoint().await.err()),
        ("clock", nurse.clock().await.err()),
        ("head", nurse.head(StreamKind::Authority, AUTHORITY.1).await.err()),
        ("judge", nurse.judge(donor.bytes.clone(), &donor.signings).await.err()),
        ("list", nurse.list(v1::ListRecordsRequest::default()).await.err()),
    ] {
        assert!(matches!(&refused, Some(ClientError::Refused(p)) if p.code == "TOKEN_KEY_REVOKED"), "{call}: {refused:?}");
    }

    // The roles of the demo are valid for two years.
    let administrator = server.client("key").await;
    administer(&op, lab, grant("+late", &[Role::Auditor], lab)).await;
    let two_years_ms = 2 * 366 * 86_400_000;
    administrator.advance_clock(now(&op).await.unix_ms + two_years_ms).await.unwrap();
    for handle in ["op1", "inv", "aud"] {
        for (question, code) in every_question(&server.client(handle).await).await {
            assert_eq!(code, Code::PermissionDenied, "{handle}: {question}");
        }
    }
    assert!(subject(&server.client("+late").await).await.is_ok(), "a role that is still in force");
    let later = now(&op).await.unix_ms + 1;
    assert!(
        matches!(administrator.advance_clock(later).await, Err(ClientError::Refused(p)) if p.status == Code::PermissionDenied)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_dose_goes_back_to_its_donor() {
    let server = Server::start();
    let trace = |client: Client| async move {
        let request = v1::TraceBackRequest { dose: "701018".to_owned() };
        client.custody().clone().trace_back(request).await.map(tonic::Response::into_inner)
    };
    let whole = trace(server.client("aud").await).await.unwrap();
    let events: Vec<&str> = whole.steps.iter().filter_map(|s| s.step.as_ref()).map(|s| s.event.as_str()).collect();
    for event in ["DonorRegistered", "MarrowCollected", "LotOpened", "Harvested", "UnitsFilled", "UnitsThawed", "InfusionEnded"] {
        assert!(events.contains(&event), "{event} is not in {events:?}");
    }
    assert_eq!(events.iter().filter(|e| **e == "InfusionStarted").count(), 1, "another subject's infusion is in the trace");
    assert_eq!(events.iter().filter(|e| **e == "ThawOrdered").count(), 1, "another dose's units are in the trace");
    assert_eq!((whole.donor_ids.len(), whole.lot_ids.len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_record_again_gives_the_first_receipt_again() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let donor = new_donor(&client, lab).await;
    let first = donor.append(&client).await.unwrap();
    let again = donor.append(&client).await.unwrap();
    assert_eq!(first.receipt.index, again.receipt.index);
    assert_eq!(first.verified.leaf(), again.verified.leaf());
    // The same id with other content is not the same record.
    let mut other = donor.record.clone();
    other.salt = vec![1; 16];
    let bytes = marrowline_record::encode(&other);
    let refused = client.append(bytes, &donor.signings).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_decisions_on_the_same_head_one_wins() {
    let server = Server::start();
    let client = server.client("qa").await;
    let (lab, _) = facilities(&client).await;
    let by = [("key", Role::KeyAdministrator, Meaning::Approved, lab), ("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    let first = sign(&client, grant("+Anton", &[Role::Operator], lab), &by, &[AUTHORITY]).await;
    let second = sign(&client, grant("+Boris", &[Role::Operator], lab), &by, &[AUTHORITY]).await;
    let (a, b) = tokio::join!(first.append(&client), second.append(&client));
    let (won, lost) = if a.is_ok() { (a, b) } else { (b, a) };
    assert!(won.is_ok(), "{won:?}");
    // Who lost is told what came in between.
    let Err(ClientError::Refused(problem)) = lost else { panic!("{lost:?}") };
    assert_eq!((problem.status, problem.code.as_str()), (Code::Aborted, "HEAD_MOVED"));
    let by = uuid::Uuid::from_slice(&won.unwrap().verified.record().record_id).unwrap().to_string();
    assert!(problem.reasons.iter().any(|r| format!("{} {}", r.look_at, r.words).contains(&by)), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn watching_tells_what_was_there_and_what_comes() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let mut watch = client.watch(0).await.unwrap();
    let mut next = 0;
    let already =
        client.list(v1::ListRecordsRequest { page_size: 500, ..v1::ListRecordsRequest::default() }).await.unwrap().records.len();
    for _ in 0..already {
        let record = watch.message().await.unwrap().unwrap().record.unwrap();
        assert_eq!(record.index, next);
        next += 1;
    }
    let donor = new_donor(&client, lab).await;
    let appended = donor.append(&client).await.unwrap();
    let record = tokio::time::timeout(Duration::from_secs(20), watch.message()).await.unwrap().unwrap().unwrap().record.unwrap();
    assert_eq!((record.index, record.record), (appended.receipt.index, donor.bytes));
}

/// A stream may outlast what let its reader open it: the key, the token.
#[tokio::test(flavor = "multi_thread")]
async fn watching_ends_with_the_key_and_with_the_token() {
    let server = Server::start();
    let op = server.client("op1").await;
    let (lab, _) = facilities(&op).await;
    let nurse = server.client("rn1").await;
    let from = op.checkpoint().await.unwrap().size();
    let mut watch = nurse.watch(from).await.unwrap();
    new_donor(&op, lab).await.append(&op).await.unwrap();
    let next = async |watch: &mut tonic::Streaming<v1::WatchResponse>| {
        tokio::time::timeout(Duration::from_secs(60), watch.message()).await.expect("the stream goes on")
    };
    assert_eq!(next(&mut watch).await.unwrap().unwrap().record.unwrap().index, from);
    revoke(&op, lab, "rn1").await;
    new_donor(&op, lab).await.append(&op).await.unwrap();
    let ended = next(&mut watch).await.unwrap_err();
    assert_eq!(marrowline_client::Problem::from_status(&ended).code, "TOKEN_KEY_REVOKED");

    let short = Client::connect(&server.endpoint, crate::ledger::trust(), &crate::ledger::key("aud"), 2).await.unwrap();
    let mut watch = short.watch(op.checkpoint().await.unwrap().size()).await.unwrap();
    let ended = next(&mut watch).await.unwrap_err();
    assert_eq!(marrowline_client::Problem::from_status(&ended).code, "TOKEN_EXPIRED");
}

/// Pages of one stream: nothing twice, nothing left out, also where the last page is just full.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_a_stream() {
    let server = Server::start();
    let client = server.client("aud").await;
    let request = v1::GetLotRequest { lot: "L-2026-01".to_owned() };
    let stream = client.custody().clone().get_lot(request).await.unwrap().into_inner().lot.unwrap().stream.unwrap();
    let length = u32::try_from(stream.length).unwrap();
    let expected: Vec<u64> = stream.steps.iter().map(|step| step.index).collect();
    assert_eq!(expected.len(), length as usize);
    for page_size in [1, 7, length - 1, length, length + 1] {
        let (mut seen, mut pages, mut page_token) = (Vec::new(), 0, String::new());
        loop {
            let request = v1::ListRecordsRequest {
                stream_kind: StreamKind::Lot.into(),
                stream_id: stream.id.clone(),
                page_size,
                page_token,
            };
            let page = client.list(request).await.unwrap();
            assert!(page.records.len() <= page_size as usize);
            seen.extend(page.records.iter().map(|record| record.index));
            pages += 1;
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert_eq!(seen, expected, "pages of {page_size}");
        assert!(pages <= length / page_size + 1, "{pages} pages of {page_size}");
    }
    let nothing = v1::ListRecordsRequest {
        stream_kind: StreamKind::Lot.into(),
        stream_id: vec![9; 16],
        ..v1::ListRecordsRequest::default()
    };
    let page = client.list(nothing).await.unwrap();
    assert!(page.records.is_empty() && page.next_page_token.is_empty());
}
