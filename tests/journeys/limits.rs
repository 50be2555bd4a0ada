//! Limits: too large, too many, too long.

use marrowline_client::v1;
use marrowline_client::v1::ledger_service_client::LedgerServiceClient;
use tonic::Code;

use crate::ledger::Server;
use crate::people::{facilities, new_donor};
use crate::refusals::{channel, good_token, with_token};

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
