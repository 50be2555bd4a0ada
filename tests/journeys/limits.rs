//! Limits: too large, too many, too long.

use std::time::Duration;

use marrowline_client::v1;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use marrowline_client::v1::transparency_service_client::TransparencyServiceClient;
use marrowline_server::Limits;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::ledger::{Server, copy, demo, in_this_process};
use crate::people::{facilities, new_donor};
use crate::refusals::{channel, channel_to, good_token, reason, with_token};

#[tokio::test(flavor = "multi_thread")]
async fn a_request_has_a_largest_size() {
    let server = Server::start();
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let huge = v1::SignedRecord { record: vec![0; 8 * 1024 + 1], signings: Vec::new() };
    let request = v1::AppendRequest { record: Some(huge), last_checkpoint: String::new() };
    let status = ledger.append(with_token(request, &good_token("op1"))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let huge = v1::SignedRecord { record: vec![0; 5 * 1024 * 1024], signings: Vec::new() };
    let request = v1::AppendRequest { record: Some(huge), last_checkpoint: String::new() };
    let status = ledger.append(with_token(request, &good_token("op1"))).await.unwrap_err();
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status:?}");
    // The connection lives on.
    let request = v1::GetRecordRequest { record_id: Vec::new(), index: Some(0) };
    assert!(ledger.get_record(with_token(request, &good_token("op1"))).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_all_or_nothing_and_has_a_largest_number() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, hospital) = facilities(&client).await;
    let good = new_donor(&client, lab).await;
    let bad = new_donor(&client, hospital).await;
    let parts = |signed: &crate::people::Signed| (signed.bytes.clone(), signed.signings.clone());
    let refused = client.append_batch(vec![parts(&good), parts(&bad)]).await;
    assert!(refused.is_err());
    let stream = &good.record.streams[0];
    let head = client.head(stream.kind(), stream.id.as_slice().try_into().unwrap()).await.unwrap();
    assert!(head.is_none(), "half of a batch was kept");
    let second = new_donor(&client, lab).await;
    assert_eq!(client.append_batch(vec![parts(&good), parts(&second)]).await.unwrap().len(), 2);
    let many = v1::AppendBatchRequest { records: vec![good.on_the_wire(); 257], last_checkpoint: String::new() };
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let status = ledger.append_batch(with_token(many, &good_token("phy"))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
}

/// A wrong field of a request is named by its path, with what was found and what is allowed.
#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_field_is_named_by_its_path() {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let good = new_donor(&client, lab).await.on_the_wire();
    let token = good_token("aud");
    let mut ledger = LedgerServiceClient::new(channel(&server).await);
    let spoil = |change: &dyn Fn(&mut v1::Signing)| {
        let mut spoiled = good.clone();
        change(&mut spoiled.signings[0]);
        Some(spoiled)
    };
    let many = v1::SignedRecord { record: good.record.clone(), signings: vec![good.signings[0].clone(); 9] };
    for (record, code, path) in [
        (None, "FIELD_MISSING", "record"),
        (spoil(&|s| s.key_id.truncate(31)), "SIGNING_MALFORMED", "signings[0].key_id"),
        (spoil(&|s| s.signature.push(0)), "SIGNING_MALFORMED", "signings[0].signature"),
        (spoil(&|s| s.slot = 256), "SIGNING_MALFORMED", "signings[0].slot"),
        (spoil(&|s| s.signed_at = None), "SIGNING_MALFORMED", "signings[0].signed_at"),
        (Some(many), "TOO_MANY_ITEMS", "signings"),
    ] {
        let request = v1::AppendRequest { record: record.clone(), last_checkpoint: String::new() };
        let status = ledger.append(with_token(request, &token)).await.unwrap_err();
        assert_bad_field(&status, code, path);
        let status = ledger.judge(with_token(v1::JudgeRequest { record }, &token)).await.unwrap_err();
        assert_bad_field(&status, code, path);
    }
    let get = |record_id: Vec<u8>, index| with_token(v1::GetRecordRequest { record_id, index }, &token);
    assert_bad_field(&ledger.get_record(get(vec![1; 15], None)).await.unwrap_err(), "RECORD_ID_NOT_UUIDV7", "record_id");
    assert_bad_field(&ledger.get_record(get(Vec::new(), None)).await.unwrap_err(), "FIELD_MISSING", "record_id");
    for nothing in [get(Vec::new(), Some(u64::MAX)), get(marrowline_client::new_id().to_vec(), None)] {
        assert_eq!(ledger.get_record(nothing).await.unwrap_err().code(), Code::NotFound);
    }
    let head = v1::GetStreamHeadRequest { kind: 1, id: vec![0; 17] };
    assert_bad_field(&ledger.get_stream_head(with_token(head, &token)).await.unwrap_err(), "BYTES_LENGTH_WRONG", "id");
    let list = v1::ListRecordsRequest { stream_kind: 1, stream_id: vec![0; 3], ..v1::ListRecordsRequest::default() };
    assert_bad_field(&ledger.list_records(with_token(list, &token)).await.unwrap_err(), "BYTES_LENGTH_WRONG", "stream_id");
    let mut transparency = TransparencyServiceClient::new(channel(&server).await);
    for (old_size, new_size) in [(0, 1), (2, 1), (1, u64::MAX)] {
        let request = v1::GetConsistencyProofRequest { old_size, new_size };
        let status = transparency.get_consistency_proof(with_token(request, &token)).await.unwrap_err();
        assert_bad_field(&status, "SIZE_OUT_OF_RANGE", "old_size");
    }
    let leaf = v1::GetInclusionProofRequest { index: u64::MAX };
    assert_eq!(transparency.get_inclusion_proof(with_token(leaf, &token)).await.unwrap_err().code(), Code::NotFound);
}

fn assert_bad_field(status: &tonic::Status, code: &str, path: &str) {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, code), "{status:?}");
    let details = status.get_error_details();
    let fields: Vec<&str> = details.bad_request().unwrap().field_violations.iter().map(|v| v.field.as_str()).collect();
    assert_eq!(fields, [path]);
}

/// A server whose deadline is over at once: what waits for the disk is answered in time all the same, and sending it again later finds
/// out what became of it. A disk may be quicker than the timer's tick; of many records one is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_answered_and_can_be_sent_again() {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let mut donors = Vec::new();
    {
        let server = Server::serve(&folder);
        let client = server.client("phy").await;
        let (lab, _) = facilities(&client).await;
        for _ in 0..200 {
            donors.push(new_donor(&client, lab).await);
        }
    }
    let limits = Limits { deadline: Duration::ZERO, ..Limits::default() };
    let mut late = None;
    in_this_process(&folder, limits, async |endpoint, _| {
        let mut ledger = LedgerServiceClient::new(channel_to(&endpoint).await);
        for donor in donors {
            let request = v1::AppendRequest { record: Some(donor.on_the_wire()), last_checkpoint: String::new() };
            if let Err(status) = ledger.append(with_token(request, &good_token("phy"))).await {
                late = Some((donor, status));
                break;
            }
        }
        // What needs no waiting is answered.
        let head = v1::GetStreamHeadRequest { kind: 1, id: vec![0; 16] };
        ledger.get_stream_head(with_token(head, &good_token("phy"))).await.unwrap();
    })
    .await;
    let (donor, status) = late.expect("the server waits as long as the disk does");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"), "{status:?}");
    let server = Server::serve(&folder);
    let client = server.client("phy").await;
    let first = donor.append(&client).await.unwrap();
    assert_eq!(donor.append(&client).await.unwrap().receipt.index, first.receipt.index);
    let stream = &donor.record.streams[0];
    let head = client.head(stream.kind(), stream.id.as_slice().try_into().unwrap()).await.unwrap();
    assert_eq!(head.unwrap().seq, 1, "one record was made into two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_has_a_largest_size() {
    let server = Server::start();
    let client = server.client("aud").await;
    let page = |page_size| v1::ListRecordsRequest { page_size, ..v1::ListRecordsRequest::default() };
    assert_eq!(client.list(page(1)).await.unwrap().records.len(), 1);
    assert!(client.list(page(501)).await.is_err());
    let wrong = v1::ListRecordsRequest { page_token: "x".to_owned(), ..v1::ListRecordsRequest::default() };
    assert!(client.list(wrong).await.is_err());
}
