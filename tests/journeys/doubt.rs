//! A key that was in other hands: what it signed carries no decision until somebody else has looked at it.

use marrowline_client::{Client, new_id, v1};
use marrowline_record::id::KeyId;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::{Server, key};
use crate::people::{AUTHORITY, Signed, administer, code, codes, facilities, grant, now, sign};

async fn doubted(client: &Client, donor: [u8; 16]) -> Vec<v1::Obligation> {
    let request = v1::ListObligationsRequest { page_size: 500, ..v1::ListObligationsRequest::default() };
    let listed = client.custody().list_obligations(request).await.unwrap().into_inner();
    assert_eq!(listed.next_page_token, "");
    let of = |o: &v1::Obligation| o.kind() == v1::ObligationKind::Doubt && o.stream_id == donor;
    listed.obligations.into_iter().filter(of).collect()
}

/// A physician whose key was stolen before they registered a donor; another one, with QA, says that the donor is real.
pub async fn happens(server: &Server) {
    let op = server.client("op1").await;
    let (lab, _) = facilities(&op).await;
    for who in ["+stolen", "+second"] {
        administer(&op, lab, grant(who, &[Role::DonorPhysician], lab)).await;
    }
    let donor = new_id();
    let stream = (StreamKind::Donor, donor);
    let event = Event::DonorRegistered(pb::DonorRegistered { donor_code: code("D"), birth_year: 1990 });
    let registered = sign(&op, event, &[("+stolen", Role::DonorPhysician, Meaning::Performed, lab)], &[stream]).await;
    registered.append(&op).await.unwrap();
    let auditor = server.client("aud").await;
    assert!(doubted(&auditor, donor).await.is_empty());
    let at = now(&op).await;
    let revoked = pb::KeyRevoked {
        key_id: KeyId::of(key("+stolen").verifying_key().as_bytes()).0.to_vec(),
        reason: "stolen".to_owned(),
        effective_at: Some(at),
        compromised_since: Some(pb::Instant { unix_ms: at.unix_ms - 3_600_000, ..at }),
    };
    let by = [("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    sign(&op, Event::KeyRevoked(revoked), &by, &[AUTHORITY]).await.append(&op).await.unwrap();
    let owed = doubted(&auditor, donor).await;
    assert_eq!(owed.len(), 1);
    assert_eq!((owed[0].record_id.clone(), owed[0].role()), (registered.record.record_id.clone(), Role::QualityAssurance));

    let review = reviewing(&op, lab, donor).await;
    assert_eq!(codes(review.append(&op).await), ["RECORD_IN_DOUBT"]);
    let reaffirmed = |digest: Vec<u8>| {
        let named = pb::DoubtedRecord { record_id: registered.record.record_id.clone(), digest };
        Event::RecordReaffirmed(pb::RecordReaffirmed { records: vec![named], reason: "asked the donor".to_owned() })
    };
    let by = [("qa", Role::QualityAssurance, Meaning::Ratified, lab), ("+second", Role::DonorPhysician, Meaning::Ratified, lab)];
    let other = sign(&op, reaffirmed(vec![7; 32]), &by, &[AUTHORITY]).await;
    assert_eq!(codes(other.append(&op).await), ["REAFFIRMED_RECORD_UNKNOWN"]);
    let digest = marrowline_record::digest(&registered.bytes).0.to_vec();
    sign(&op, reaffirmed(digest), &by, &[AUTHORITY]).await.append(&op).await.unwrap();
    assert!(doubted(&auditor, donor).await.is_empty());
    assert_eq!(codes(review.append(&op).await), Vec::<String>::new());
}

/// The review of a result of this donor.
async fn reviewing(op: &Client, lab: [u8; 16], donor: [u8; 16]) -> Signed {
    let reported = Event::DonorTestReported(pb::DonorTestReported {
        test_code: "HIV".to_owned(),
        method: "screening".to_owned(),
        sampled_at: Some(now(op).await),
        result: Some(pb::TestResult { kind: pb::ResultKind::Absent.into(), ..pb::TestResult::default() }),
    });
    let by = [("qc", Role::QcAnalyst, Meaning::Performed, lab)];
    let reported = sign(op, reported, &by, &[(StreamKind::Donor, donor)]).await;
    reported.append(op).await.unwrap();
    let reviewed = Event::DonorTestReviewed(pb::DonorTestReviewed {
        reported_record_id: reported.record.record_id.clone(),
        decision: pb::ReviewDecision::Accepted.into(),
    });
    let by = [("qr", Role::QcReviewer, Meaning::Reviewed, lab)];
    sign(op, reviewed, &by, &[(StreamKind::Donor, donor)]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stolen_key_signed_waits_for_somebody_else() {
    happens(&Server::start()).await;
}
