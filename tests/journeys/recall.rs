//! A lot is recalled, and what came of its donor looked back on: everything is held until the list of it is signed.

use marrowline_client::v1::trace_forward_request::From;
use marrowline_client::{Client, v1};
use marrowline_record::id::Digest;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_rules::state::upkeep::derived_id;

use crate::ledger::Server;
use crate::people::{Stream, codes, facilities, sign, sign_citing};

async fn forward(client: &Client, from: From) -> v1::TraceForwardResponse {
    client.custody().trace_forward(v1::TraceForwardRequest { from: Some(from) }).await.unwrap().into_inner()
}

async fn owed(client: &Client, stream: Stream) -> Vec<String> {
    let request = v1::ListObligationsRequest { page_size: 500, ..v1::ListObligationsRequest::default() };
    let listed = client.custody().list_obligations(request).await.unwrap().into_inner();
    let of = |o: &v1::Obligation| o.kind() == v1::ObligationKind::Recall && o.stream_id == stream.1;
    listed.obligations.into_iter().filter(of).map(|o| o.what).collect()
}

/// The demo's first lot and its donor: both are stopped, traced, closed and lifted again.
pub async fn happens(server: &Server) {
    let op = server.client("op1").await;
    let auditor = server.client("aud").await;
    let (lab, _) = facilities(&op).await;
    let lot =
        auditor.custody().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    let donor: Stream = (StreamKind::Donor, lot.donor_id.as_slice().try_into().unwrap());
    let lot: Stream = (StreamKind::Lot, lot.stream.unwrap().id.as_slice().try_into().unwrap());
    let one = [("qp", Role::QualifiedPerson, Meaning::Approved, lab)];
    let both = [("qa", Role::QualityAssurance, Meaning::Approved, lab), ("qp", Role::QualifiedPerson, Meaning::Approved, lab)];

    let opened = Event::RecallOpened(pb::RecallOpened { reason: "the filter's integrity test failed".to_owned() });
    let opened = sign(&op, opened, &one, &[lot]).await;
    opened.append(&op).await.unwrap();
    let recall_id = derived_id(&marrowline_record::digest(&opened.bytes), "RECALL_OPENED").to_vec();
    assert_eq!(owed(&auditor, lot).await, ["RECALL_OPENED"]);
    let reached = forward(&auditor, From::Lot("L-2026-01".to_owned())).await;
    // A dose that somebody was given and that no unit of the lot is known to be in stands without one.
    let units: Vec<_> = reached.units.iter().filter_map(|traced| traced.unit.as_ref()).collect();
    assert!(!units.is_empty() && units.iter().all(|unit| unit.holds.iter().any(|h| h.code == "RECALL_OPENED")));
    let units: std::collections::BTreeSet<_> = units.iter().map(|unit| &unit.unit_id).collect();
    let doses: std::collections::BTreeSet<_> = reached.units.iter().filter_map(|u| u.dose.as_ref()).map(|d| &d.dose_id).collect();
    let subjects: std::collections::BTreeSet<_> =
        reached.units.iter().map(|u| &u.subject_code).filter(|code| !code.is_empty()).collect();
    assert!(!doses.is_empty() && !subjects.is_empty());
    assert_eq!(reached.affected_count as usize, units.len() + doses.len() + subjects.len());
    let closing = |count: u32| {
        Event::RecallClosed(pb::RecallClosed {
            recall_id: recall_id.clone(),
            affected_count: Some(count),
            affected_digest: reached.affected_digest.clone(),
            conclusion: "the filter was intact".to_owned(),
        })
    };
    let lifting = |resolution: &[u8], hold_id: &[u8]| {
        let (hold_id, resolution_record_id) = (hold_id.to_vec(), resolution.to_vec());
        Event::HoldLifted(pb::HoldLifted { hold_id, resolution: "closed".to_owned(), resolution_record_id })
    };
    let early = lifting(&opened.record.record_id, &recall_id);
    let early = sign_citing(&op, early, &both, &[lot], &[&opened]).await;
    assert_eq!(codes(early.append(&op).await), ["HOLD_OF_OPEN_RECALL", "RESOLUTION_RESOLVES_NOTHING"]);
    let short = sign(&op, closing(reached.affected_count - 1), &both, &[lot]).await;
    assert_eq!(codes(short.append(&op).await), ["RECALL_LIST_DIFFERS"]);
    let closed = sign(&op, closing(reached.affected_count), &both, &[lot]).await;
    closed.append(&op).await.unwrap();
    assert!(owed(&auditor, lot).await.is_empty());
    let lifted = lifting(&closed.record.record_id, &recall_id);
    sign_citing(&op, lifted, &both, &[lot], &[&closed]).await.append(&op).await.unwrap();

    let opened = Event::LookBackOpened(pb::LookBackOpened { reason: "the donor fell ill".to_owned() });
    let opened = sign(&op, opened, &[both[0]], &[donor]).await;
    opened.append(&op).await.unwrap();
    let look_back_id = derived_id(&Digest(marrowline_record::digest(&opened.bytes).0), "LOOK_BACK_OPENED").to_vec();
    assert_eq!(owed(&auditor, donor).await, ["LOOK_BACK_OPENED"]);
    let reached = forward(&auditor, From::Donor(hex_id(&donor.1))).await;
    let closed = Event::LookBackClosed(pb::LookBackClosed {
        look_back_id: look_back_id.clone(),
        affected_count: Some(reached.affected_count),
        affected_digest: reached.affected_digest,
        conclusion: "a second sample was negative".to_owned(),
    });
    let closed = sign(&op, closed, &both, &[donor]).await;
    closed.append(&op).await.unwrap();
    let lifted = lifting(&closed.record.record_id, &look_back_id);
    sign_citing(&op, lifted, &both, &[donor], &[&closed]).await.append(&op).await.unwrap();
}

fn hex_id(id: &[u8; 16]) -> String {
    uuid::Uuid::from_bytes(*id).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_and_a_look_back_end_with_the_list_of_what_they_reach() {
    happens(&Server::start()).await;
}
