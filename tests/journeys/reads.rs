//! Who reads what: subjects only by those who treat them, everything else by the facilities that took part; auditors all.

use std::time::Duration;

use marrowline_client::v1;
use marrowline_client::{Client, ClientError};
use marrowline_record::pb::{Role, StreamKind};
use tonic::Code;

use crate::ledger::Server;
use crate::people::{facilities, new_donor, sign};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_trace_of_a_dose_goes_back_to_its_donor() {
    let server = Server::start();
    let trace = |client: Client| async move {
        let request = v1::TraceBackRequest { dose: "DOSE-R-01".to_owned() };
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
    let authority = (StreamKind::Authority, marrowline_record::stream::AUTHORITY_ID);
    let grant = |name: &str| {
        let key = ed25519_dalek::SigningKey::from_bytes(&[name.as_bytes()[0]; 32]);
        let clock = marrowline_record::pb::Instant { unix_ms: 1_700_000_000_000, offset_minutes: 0 };
        let role = marrowline_record::pb::RoleGrant {
            role: Role::Operator.into(),
            facility_id: lab.to_vec(),
            valid_from: Some(clock),
            valid_until: Some(marrowline_record::pb::Instant { unix_ms: 1_900_000_000_000, ..clock }),
        };
        marrowline_record::pb::record::Event::KeyGranted(marrowline_record::pb::KeyGranted {
            grant: Some(marrowline_record::pb::KeyGrant {
                person_id: marrowline_client::new_id().to_vec(),
                printed_name: name.to_owned(),
                public_key: key.verifying_key().to_bytes().to_vec(),
                roles: vec![role],
            }),
        })
    };
    let by = [
        ("key", Role::KeyAdministrator, marrowline_record::pb::Meaning::Approved, lab),
        ("qa", Role::QualityAssurance, marrowline_record::pb::Meaning::Approved, lab),
    ];
    let first = sign(&client, grant("Anton"), &by, &[authority]).await;
    let second = sign(&client, grant("Boris"), &by, &[authority]).await;
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
