//! Reagents, devices and readings: traced forward, streamed, and what a warm freezer holds.

use marrowline_client::v1;
use marrowline_client::v1::trace_forward_request::From;
use marrowline_client::{Client, ClientError, new_id};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::{Server, demo};
use crate::people::{Stream, codes, facilities, new_donor, sign};

#[path = "../../examples/freezer.rs"]
mod freezer;

/// The example that a reader is told to run.
#[tokio::test(flavor = "multi_thread")]
async fn the_example_logs_a_week_and_the_warm_units_are_held() {
    let server = Server::start();
    let week = freezer::play(demo(), &server.endpoint).await.unwrap();
    assert_eq!(week.chunks, 28);
    assert!(week.flags.contains(&"TEMPERATURE_ABOVE_LIMIT".to_owned()), "{week:?}");
    assert!(!week.held.is_empty());
    let auditor = server.client("aud").await;
    let log = auditor.list(v1::ListRecordsRequest { page_size: 500, ..v1::ListRecordsRequest::default() }).await.unwrap();
    let steps = log.records.iter().filter_map(|record| record.step.as_ref());
    let readings: Vec<_> = steps.filter(|step| step.event == "ReadingsLogged").collect();
    assert_eq!(readings.len(), 28);
    assert!(readings.iter().all(|step| step.flags.is_empty()), "a gap, or a head that was not seen");
}

fn material(id: &[u8]) -> v1::TraceForwardRequest {
    v1::TraceForwardRequest { from: Some(From::Material(uuid::Uuid::from_slice(id).unwrap().to_string())) }
}

/// The demo's medium: traced to its lot and subjects, recalled, and nothing of the lot is fit for use afterwards.
pub async fn happens(server: &Server) {
    let client = server.client("aud").await;
    let (lab, _) = facilities(&client).await;
    let on: Stream = (StreamKind::Facility, lab);
    let request =
        v1::ListRecordsRequest { stream_kind: on.0.into(), stream_id: lab.to_vec(), page_size: 10, ..Default::default() };
    let received = client.list(request).await.unwrap().records.into_iter().find_map(|logged| {
        match marrowline_record::decode(&logged.record).ok()?.event? {
            Event::ReagentReceived(e) => Some(e),
            _ => None,
        }
    });
    let reagent_lot_id = received.unwrap().reagent_lot_id;
    let traced = client.custody().trace_forward(material(&reagent_lot_id)).await.unwrap().into_inner();
    let lot =
        client.custody().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    let units: std::collections::BTreeSet<_> = traced.units.iter().filter_map(|u| u.unit.as_ref()).map(|u| &u.unit_id).collect();
    assert_eq!(units.len(), lot.units.len());
    assert!(traced.units.iter().any(|unit| unit.subject_code == "R-01"));
    let nowhere = client.custody().trace_forward(material(&new_id())).await.unwrap_err();
    assert_eq!(nowhere.code(), tonic::Code::NotFound);

    let recalled = Event::ReagentRecalled(pb::ReagentRecalled {
        reagent_lot_id: reagent_lot_id.clone(),
        reason: "the supplier found mycoplasma".to_owned(),
    });
    let by = [("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    sign(&client, recalled, &by, &[on]).await.append(&client).await.unwrap();
    let released = Event::ReagentReleased(pb::ReagentReleased { reagent_lot_id });
    let refused = sign(&client, released, &by, &[on]).await.append(&client).await;
    assert_eq!(codes(refused), ["REAGENT_RELEASE_UNFOUNDED"]);
}

async fn donors(client: &Client, lab: [u8; 16], count: usize) -> Vec<(Vec<u8>, Vec<marrowline_record::signing::Signing>)> {
    let mut records = Vec::new();
    for _ in 0..count {
        let signed = new_donor(client, lab).await;
        records.push((signed.bytes, signed.signings));
    }
    records
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_answers_each_record_in_its_turn_and_a_refusal_does_not_end_it() {
    let server = Server::start();
    let client = server.client("op1").await;
    let (lab, _) = facilities(&client).await;
    let mut records = donors(&client, lab, 100).await;
    records[40].1[0].signature[0] ^= 1;
    let mut answers = Vec::new();
    let count = client
        .append_stream(tokio_stream::iter(records.clone()), |number, answer| {
            answers.push((number, answer.map(|done| done.receipt.index)));
        })
        .await
        .unwrap();
    assert_eq!(count, 100);
    let mut last = None;
    for (place, (number, answer)) in answers.iter().enumerate() {
        assert_eq!(*number, place as u64);
        match answer {
            Ok(index) => {
                assert!(last < Some(*index), "answers are in the order of the log");
                last = Some(*index);
            }
            Err(ClientError::Refused(problem)) => {
                assert_eq!((place, problem.code.as_str()), (40, "SIGNATURE_WRONG"));
            }
            Err(other) => panic!("{other}"),
        }
    }
    // Sent again, as a logger does that heard no answer, nothing is appended twice.
    let size = client.checkpoint().await.unwrap().size();
    client.append_stream(tokio_stream::iter(records), |_, _| {}).await.unwrap();
    assert_eq!(client.checkpoint().await.unwrap().size(), size);
}
