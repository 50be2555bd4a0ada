//! Refusals: google.rpc details with every reason, for tokens, records, bounds and things that are not there.

use marrowline_api::token;
use marrowline_client::v1;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use marrowline_client::{Client, ClientError};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

use crate::ledger::{Server, key, trust};
use crate::people::{codes, facilities, new_donor, sign};

pub async fn channel(server: &Server) -> Channel {
    channel_to(&server.endpoint).await
}

pub async fn channel_to(endpoint: &str) -> Channel {
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(trust().ca_pem));
    Endpoint::from_shared(endpoint.to_owned()).unwrap().tls_config(tls).unwrap().connect().await.unwrap()
}

pub fn with_token<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

fn now_s() -> i64 {
    marrowline_client::now(0).unix_ms / 1_000
}

pub fn good_token(handle: &str) -> String {
    token::make(&key(handle), trust().log.name(), now_s(), 600)
}

pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "marrowline");
    for word in ["found", "allowed", "next"] {
        assert!(info.metadata.get(word).is_some_and(|text| !text.is_empty()), "{}: nothing {word}", info.reason);
    }
    info.reason.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens() {
    let server = Server::start();
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let ask = || v1::GetRecordRequest { record_id: Vec::new(), index: Some(0) };
    let origin = trust().log.name().to_owned();

    let status = ledger.get_record(Request::new(ask())).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_MISSING"));
    let stranger = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
    let made = |seconds_ago: i64, seconds: i64| token::make(&key("op1"), &origin, now_s() - seconds_ago, seconds);
    for (token, code) in [
        (token::make(&stranger, &origin, now_s(), 600), "TOKEN_KEY_UNKNOWN"),
        (made(1_000, 600), "TOKEN_EXPIRED"),
        // Begins in an hour.
        (made(-3_600, 600), "TOKEN_EXPIRED"),
        (made(0, 12 * 3_600 + 1), "TOKEN_TOO_LONG"),
        (token::make(&key("op1"), "another.ledger/0", now_s(), 600), "TOKEN_AUDIENCE_WRONG"),
        ("not.a.token".to_owned(), "TOKEN_MALFORMED"),
        ("x".repeat(4_000), "TOKEN_MALFORMED"),
    ] {
        let status = ledger.get_record(with_token(ask(), &token)).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, code), "{status:?}");
        // What is refused is not repeated: a log or a screen may show it.
        assert!(!format!("{status:?}").contains(&token), "the refusal repeats the token");
    }
    assert!(ledger.get_record(with_token(ask(), &made(0, 12 * 3_600))).await.is_ok(), "a shift is allowed");
    // One letter of the signature changed.
    let good = good_token("op1");
    let mut forged = good.clone();
    let at = forged.len() - 10;
    let other = if forged.as_bytes()[at] == b'A' { "B" } else { "A" };
    forged.replace_range(at..=at, other);
    let status = ledger.get_record(with_token(ask(), &forged)).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "TOKEN_SIGNATURE_WRONG"));
    // Somebody else's name under one's own signature.
    let (mine, theirs) = (good_token("op1"), good_token("aud"));
    let (header, _) = theirs.split_once('.').unwrap();
    let (_, rest) = mine.split_once('.').unwrap();
    let status = ledger.get_record(with_token(ask(), &format!("{header}.{rest}"))).await.unwrap_err();
    assert_eq!(reason(&status), "TOKEN_SIGNATURE_WRONG");
    assert!(ledger.get_record(with_token(ask(), &good)).await.is_ok());
    // No scheme, another scheme.
    for header in [good.clone(), format!("Basic {good}"), format!("bearer {good}")] {
        let mut request = Request::new(ask());
        request.metadata_mut().insert("authorization", header.parse().unwrap());
        let status = ledger.get_record(request).await.unwrap_err();
        assert_eq!(reason(&status), "TOKEN_MISSING");
    }
}

/// Every method of every service of ours asks who is there; health and reflection do not.
#[tokio::test(flavor = "multi_thread")]
async fn no_method_answers_without_a_token() {
    use marrowline_client::v1::attachment_service_client::AttachmentServiceClient;
    use marrowline_client::v1::clock_service_client::ClockServiceClient;
    use marrowline_client::v1::countersign_service_client::CountersignServiceClient;
    use marrowline_client::v1::custody_service_client::CustodyServiceClient;
    use marrowline_client::v1::transparency_service_client::TransparencyServiceClient;
    let server = Server::start();
    let channel = channel(&server).await;
    let mut asked = std::collections::BTreeSet::new();
    macro_rules! ask {
        ($($client:ident . $method:ident ($request:ident) = $name:literal;)+) => {$(
            let refused = $client::new(channel.clone()).$method(v1::$request::default()).await.err().unwrap();
            assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unauthenticated, "TOKEN_MISSING"), $name);
            asked.insert($name.to_owned());
        )+};
    }
    ask! {
        LedgerServiceClient.append(AppendRequest) = "LedgerService.Append";
        LedgerServiceClient.append_batch(AppendBatchRequest) = "LedgerService.AppendBatch";
        LedgerServiceClient.judge(JudgeRequest) = "LedgerService.Judge";
        LedgerServiceClient.get_record(GetRecordRequest) = "LedgerService.GetRecord";
        LedgerServiceClient.get_stream_head(GetStreamHeadRequest) = "LedgerService.GetStreamHead";
        LedgerServiceClient.list_records(ListRecordsRequest) = "LedgerService.ListRecords";
        LedgerServiceClient.watch(WatchRequest) = "LedgerService.Watch";
        CustodyServiceClient.get_donor(GetDonorRequest) = "CustodyService.GetDonor";
        CustodyServiceClient.get_lot(GetLotRequest) = "CustodyService.GetLot";
        CustodyServiceClient.get_unit(GetUnitRequest) = "CustodyService.GetUnit";
        CustodyServiceClient.get_dose(GetDoseRequest) = "CustodyService.GetDose";
        CustodyServiceClient.get_subject(GetSubjectRequest) = "CustodyService.GetSubject";
        CustodyServiceClient.check_dose(CheckDoseRequest) = "CustodyService.CheckDose";
        CustodyServiceClient.trace_back(TraceBackRequest) = "CustodyService.TraceBack";
        CustodyServiceClient.trace_forward(TraceForwardRequest) = "CustodyService.TraceForward";
        CustodyServiceClient.list_lots(ListLotsRequest) = "CustodyService.ListLots";
        CustodyServiceClient.list_versions(ListVersionsRequest) = "CustodyService.ListVersions";
        CustodyServiceClient.list_units(ListUnitsRequest) = "CustodyService.ListUnits";
        CustodyServiceClient.list_obligations(ListObligationsRequest) = "CustodyService.ListObligations";
        CustodyServiceClient.list_refusals(ListRefusalsRequest) = "CustodyService.ListRefusals";
        CustodyServiceClient.get_trial_report(GetTrialReportRequest) = "CustodyService.GetTrialReport";
        AttachmentServiceClient.get(AttachmentServiceGetRequest) = "AttachmentService.Get";
        AttachmentServiceClient.list_orphans(ListOrphansRequest) = "AttachmentService.ListOrphans";
        CountersignServiceClient.propose(ProposeRequest) = "CountersignService.Propose";
        CountersignServiceClient.list_awaiting(ListAwaitingRequest) = "CountersignService.ListAwaiting";
        CountersignServiceClient.countersign(CountersignRequest) = "CountersignService.Countersign";
        CountersignServiceClient.withdraw(WithdrawRequest) = "CountersignService.Withdraw";
        TransparencyServiceClient.get_checkpoint(GetCheckpointRequest) = "TransparencyService.GetCheckpoint";
        TransparencyServiceClient.get_inclusion_proof(GetInclusionProofRequest) = "TransparencyService.GetInclusionProof";
        TransparencyServiceClient.get_consistency_proof(GetConsistencyProofRequest) = "TransparencyService.GetConsistencyProof";
        TransparencyServiceClient.list_log_keys(ListLogKeysRequest) = "TransparencyService.ListLogKeys";
        ClockServiceClient.advance_clock(AdvanceClockRequest) = "ClockService.AdvanceClock";
        ClockServiceClient.get_clock(GetClockRequest) = "ClockService.GetClock";
    }
    // A stream is refused before anything is read from it.
    let nothing = tokio_stream::iter(Vec::<v1::AppendStreamRequest>::new());
    let refused = LedgerServiceClient::new(channel.clone()).append_stream(nothing).await.err().unwrap();
    assert_eq!(reason(&refused), "TOKEN_MISSING");
    asked.insert("LedgerService.AppendStream".to_owned());
    let nothing = tokio_stream::iter(Vec::<v1::AttachmentServicePutRequest>::new());
    let refused = AttachmentServiceClient::new(channel.clone()).put(nothing).await.err().unwrap();
    assert_eq!(reason(&refused), "TOKEN_MISSING");
    asked.insert("AttachmentService.Put".to_owned());
    let pool = prost_reflect::DescriptorPool::decode(marrowline_api::FILE_DESCRIPTOR_SET).unwrap();
    for service in pool.services().filter(|service| service.parent_file().package_name() == "marrowline.v1") {
        for method in service.methods() {
            let name = format!("{}.{}", service.name(), method.name());
            assert!(asked.contains(&name), "nobody has asked {name} without a token");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_is_told_every_reason() {
    let server = Server::start();
    let pharmacist = server.client("pha3").await;
    let (_, hospital) = facilities(&pharmacist).await;
    let custody = pharmacist.custody();
    let dose =
        custody.clone().get_dose(v1::GetDoseRequest { dose: "701018".to_owned() }).await.unwrap().into_inner().dose.unwrap();
    let id = |bytes: &[u8]| -> [u8; 16] { bytes.try_into().unwrap() };
    let lot = custody.clone().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    let streams = [(StreamKind::Subject, id(&dose.subject_id)), (StreamKind::Lot, id(&lot.stream.unwrap().id))];
    let again = Event::DoseDispensed(pb::DoseDispensed { dose_id: dose.dose_id.clone() });
    let by = [("pha3", Role::Pharmacist, Meaning::Approved, hospital)];
    let signed = sign(&pharmacist, again, &by, &streams).await;
    let refused = codes(signed.append(&pharmacist).await);
    for code in ["DOSE_ALREADY_DISPENSED", "DOSE_ALREADY_USED", "DOSE_EXPIRED", "WEIGHING_TOO_OLD"] {
        assert!(refused.iter().any(|c| c == code), "{code} is not in {refused:?}");
    }
    // The same details on the wire: a violation for each reason, with where to look.
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let request = v1::AppendRequest { record: Some(signed.on_the_wire()), last_checkpoint: String::new() };
    let status = ledger.append(with_token(request, &good_token("pha3"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    reason(&status);
    let details = status.get_error_details();
    let violations = &details.precondition_failure().unwrap().violations;
    assert!(violations.len() >= refused.len());
    for violation in violations {
        assert!(!violation.subject.is_empty() && violation.description.contains("allowed"), "{violation:?}");
    }
    // Judging says the same and keeps nothing.
    let before = pharmacist.head(streams[0].0, streams[0].1).await.unwrap();
    let judged = pharmacist.judge(signed.bytes.clone(), &signed.signings).await.unwrap();
    assert!(!judged.accepted);
    let mut judged: Vec<String> = judged.findings.iter().map(|f| f.code.clone()).collect();
    judged.sort();
    judged.dedup();
    assert_eq!(judged, refused);
    assert_eq!(before, pharmacist.head(streams[0].0, streams[0].1).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_and_forged_records() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, hospital) = facilities(&client).await;
    let good = new_donor(&client, lab).await;
    // Not canonical: the same record with an unknown field behind it.
    let mut longer = good.bytes.clone();
    longer.extend([0xf8, 0x7f, 0x01]);
    let refused = client.append(longer, &good.signings).await;
    assert!(
        matches!(&refused, Err(ClientError::Refused(p)) if p.status == Code::InvalidArgument && p.code == "FIELD_UNKNOWN"),
        "{refused:?}"
    );
    // A signature over another record.
    let other = new_donor(&client, lab).await;
    let refused = client.append(good.bytes.clone(), &other.signings).await;
    assert!(
        matches!(&refused, Err(ClientError::Refused(p)) if p.status == Code::PermissionDenied && p.code == "SIGNATURE_WRONG"),
        "{refused:?}"
    );
    // Nobody's signature, and a key that was never granted.
    assert_eq!(codes(client.append(good.bytes.clone(), &[]).await), ["SIGNING_MISSING"]);
    let by = [("+nobody", Role::DonorPhysician, Meaning::Performed, lab)];
    let stream = [(StreamKind::Donor, marrowline_client::new_id())];
    let unknown = sign(&client, good.record.event.clone().unwrap(), &by, &stream).await;
    assert_eq!(codes(unknown.append(&client).await), ["KEY_UNKNOWN"]);
    // Somebody without the role, and somebody at the wrong facility.
    let event = good.record.event.clone().unwrap();
    let stream = (StreamKind::Donor, marrowline_client::new_id());
    for by in
        [("op1", Role::DonorPhysician, Meaning::Performed, lab), ("phy", Role::DonorPhysician, Meaning::Performed, hospital)]
    {
        let refused = codes(sign(&client, event.clone(), &[by], &[stream]).await.append(&client).await);
        assert_eq!(refused, ["SIGNER_WITHOUT_AUTHORITY"]);
    }
    // A field out of its bounds is named by its path.
    let bad = Event::DonorRegistered(pb::DonorRegistered { donor_code: "D 1".to_owned(), birth_year: 1990 });
    let signed = sign(&client, bad, &[("phy", Role::DonorPhysician, Meaning::Performed, lab)], &[stream]).await;
    match signed.append(&client).await {
        Err(ClientError::Refused(problem)) => {
            assert_eq!(problem.status, Code::InvalidArgument);
            assert!(problem.reasons.iter().any(|r| r.look_at.contains("donor_code")), "{problem:?}");
        }
        other => panic!("{other:?}"),
    }
    assert!(good.append(&client).await.is_ok(), "what is right goes through all the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_a_training_ledger_is_the_key_administrator_s() {
    let server = Server::start();
    let now = server.client("op1").await.clock().await.unwrap();
    assert!(now.training && now.trusted);
    let later = now.now_unix_ms + 60_000;
    assert!(server.client("op1").await.advance_clock(later).await.is_err());
    let administrator = server.client("key").await;
    administrator.advance_clock(later).await.unwrap();
    assert!(administrator.clock().await.unwrap().now_unix_ms >= later);
    assert!(administrator.advance_clock(later - 30_000).await.is_err(), "time does not go back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_trusts_only_the_key_that_it_was_given() {
    let server = Server::start();
    let other = ed25519_dalek::SigningKey::from_bytes(&[9; 32]);
    let mut wrong = trust();
    wrong.log = marrowline_merkle::VerifierKey::new(wrong.log.name(), other.verifying_key()).unwrap();
    let client = Client::connect(&server.endpoint, wrong, &key("phy"), 600).await.unwrap();
    assert!(matches!(client.record_at(0).await, Err(ClientError::Receipt(_))));
    // Another certificate authority: no connection at all.
    let mut stranger = trust();
    stranger.ca_pem = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap().cert.pem();
    assert!(matches!(Client::connect(&server.endpoint, stranger, &key("phy"), 600).await, Err(ClientError::Transport(_))));
}

/// Reasons travel in headers, which must not grow without bounds: what does not fit is counted, and Judge tells all.
#[tokio::test(flavor = "multi_thread")]
async fn very_many_reasons_reach_the_client() {
    let server = Server::start();
    let client = server.client("qa").await;
    let (lab, _) = facilities(&client).await;
    let donor = new_donor(&client, lab).await;
    donor.append(&client).await.unwrap();
    let stream = (StreamKind::Donor, donor.record.streams[0].id.as_slice().try_into().unwrap());
    let unknown = pb::DeviationClosed { deviation_id: vec![7; 32], cause: "none".to_owned(), effect: "none".to_owned() };
    let by = [("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    let decision = sign(&client, Event::DeviationClosed(unknown), &by, &[stream]).await;
    // A hundred records come in between.
    let between = 100;
    let mut batch = Vec::new();
    for number in 0..between {
        let event = pb::DeviationOpened { severity: pb::Severity::Minor.into(), description: format!("number {number}") };
        let by = [("phy", Role::DonorPhysician, Meaning::Performed, lab)];
        let signed = sign(&client, Event::DeviationOpened(event), &by, &[stream]).await;
        batch.push((signed.bytes, signed.signings));
    }
    assert_eq!(client.append_batch(batch).await.unwrap().len(), between);

    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let request = v1::AppendRequest { record: Some(decision.on_the_wire()), last_checkpoint: String::new() };
    let status = ledger.append(with_token(request, &good_token("qa"))).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition, "{status:?}");
    reason(&status);
    // Percent-encoded and in base64, with room for what else is in the headers of clients that take 8 KiB.
    let bytes = status.message().len() * 3 + status.details().len().div_ceil(3) * 4;
    assert!(bytes < 7_500, "{bytes} bytes of headers");
    let told = status.get_error_details().precondition_failure().unwrap().violations.clone();
    for code in ["HEAD_MOVED", "DEVIATION_UNKNOWN", "HEAD_MOVED_BY"] {
        assert!(told.iter().any(|v| v.r#type == code), "{code} is not told");
    }
    assert!(told.len() > 10, "{told:?}");
}
