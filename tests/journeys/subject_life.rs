//! What stops a dose on a live ledger: a cancelled order, a halted and a closed trial, a rejected dose, a death.

use marrowline_client::v1;
use marrowline_client::{Client, new_id};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::Server;
use crate::people::{Signed, Stream, codes, facilities, now, sign};

type By<'a> = (&'a str, Role, Meaning, [u8; 16]);

async fn put(client: &Client, event: Event, by: &[By<'_>], streams: &[Stream]) -> Signed {
    let signed = sign(client, event, by, streams).await;
    signed.append(client).await.unwrap();
    signed
}

/// The demo's subject that was given cells, its trial, its lot, and its dose.
struct World {
    subject: Stream,
    trial: Stream,
    lot: Stream,
    dose: v1::DoseView,
    stored_unit: Vec<u8>,
    hospital: [u8; 16],
}

async fn world(client: &Client) -> World {
    let id = |bytes: &[u8]| -> [u8; 16] { bytes.try_into().unwrap() };
    let (_, hospital) = facilities(client).await;
    let subject = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    let subject = client.custody().get_subject(subject).await.unwrap().into_inner().subject.unwrap();
    let lot = v1::GetLotRequest { lot: "L-2026-01".to_owned() };
    let lot = client.custody().get_lot(lot).await.unwrap().into_inner().lot.unwrap();
    let at_hand = |unit: &&v1::UnitView| unit.processing == "stored" && unit.facility_id == hospital;
    World {
        stored_unit: lot.units.iter().find(at_hand).unwrap().unit_id.clone(),
        trial: (StreamKind::Protocol, id(&subject.protocol.unwrap().id)),
        dose: subject.doses[0].clone(),
        subject: (StreamKind::Subject, id(&subject.stream.unwrap().id)),
        lot: (StreamKind::Lot, id(&lot.stream.unwrap().id)),
        hospital,
    }
}

/// Appends one of each event.
pub async fn happens(server: &Server) {
    let client = server.client("pha1").await;
    let w = world(&client).await;
    let investigator = [("inv", Role::Investigator, Meaning::Approved, w.hospital)];
    let pharmacists =
        [("pha1", Role::Pharmacist, Meaning::Approved, w.hospital), ("pha2", Role::Pharmacist, Meaning::Approved, w.hospital)];
    let both = [("qa", Role::QualityAssurance, Meaning::Approved, w.hospital), investigator[0]];

    let weighed = pb::SubjectWeighed { weight_grams: 70_000, method: pb::WeighingMethod::Measured.into() };
    let by = [("rn1", Role::Nurse, Meaning::Performed, w.hospital)];
    let weighed = put(&client, Event::SubjectWeighed(weighed), &by, &[w.subject]).await;
    let order_id = new_id().to_vec();
    let ordered = pb::DoseOrdered {
        order_id: order_id.clone(),
        target_viable_cells_per_kg: 1_000_000,
        weighing_record_id: weighed.record.record_id.clone(),
        planned_duration_seconds: 3_600,
    };
    put(&client, Event::DoseOrdered(ordered), &investigator, &[w.subject]).await;

    // The trial stands still, and goes on.
    let halted = pb::TrialHalted { reason: "a reaction".to_owned() };
    put(&client, Event::TrialHalted(halted), &investigator, &[w.trial]).await;
    let unit_ids = vec![w.stored_unit.clone()];
    let allocated = Event::UnitsAllocated(pb::UnitsAllocated { order_id: order_id.clone(), unit_ids: unit_ids.clone() });
    let refused = sign(&client, allocated.clone(), &pharmacists, &[w.subject, w.lot]).await.append(&client).await;
    assert_eq!(codes(refused), ["TRIAL_HALTED"]);
    let resumed = pb::TrialResumed { reason: "it had another cause".to_owned() };
    put(&client, Event::TrialResumed(resumed), &both, &[w.trial]).await;

    // A unit is given to the order and back, and the order is cancelled.
    put(&client, allocated.clone(), &pharmacists, &[w.subject, w.lot]).await;
    let released = pb::AllocationReleased { order_id: order_id.clone(), unit_ids };
    put(&client, Event::AllocationReleased(released), &pharmacists[..1], &[w.subject, w.lot]).await;
    let cancelled = pb::OrderCancelled { order_id, reason: "the subject is better".to_owned() };
    put(&client, Event::OrderCancelled(cancelled), &investigator, &[w.subject]).await;
    let refused = sign(&client, allocated, &pharmacists, &[w.subject, w.lot]).await.append(&client).await;
    assert_eq!(codes(refused), ["ORDER_CANCELLED"]);

    a_reaction(&client, &w).await;

    let rejected = pb::DoseRejected { dose_id: w.dose.dose_id.clone(), reason: "clumps".to_owned() };
    put(&client, Event::DoseRejected(rejected), &pharmacists[..1], &[w.subject, w.lot]).await;
    let died = pb::VitalStatusRecorded { status: pb::VitalStatus::Dead.into() };
    let by = [("inv", Role::Investigator, Meaning::Performed, w.hospital)];
    put(&client, Event::VitalStatusRecorded(died), &by, &[w.subject]).await;
    let closed = pb::TrialClosed { reason: "the example is over".to_owned() };
    put(&client, Event::TrialClosed(closed), &both, &[w.trial]).await;

    let check = v1::CheckDoseRequest { dose: "701018".to_owned() };
    let answer = client.custody().check_dose(check).await.unwrap().into_inner();
    let reasons: Vec<&str> = answer.reasons.iter().map(|reason| reason.code.as_str()).collect();
    for code in ["DOSE_REJECTED", "SUBJECT_DEAD", "TRIAL_CLOSED"] {
        assert!(reasons.contains(&code), "{code} is not in {reasons:?}");
    }
}

/// A suspected, unexpected, serious reaction: who is to be told next, and by when, is listed until everybody was.
async fn a_reaction(client: &Client, w: &World) {
    let onset = now(client).await;
    let after = |hours: i64| pb::Instant { unix_ms: onset.unix_ms + hours * 3_600_000, ..onset };
    let report = |sponsor: Option<i64>, authority: Option<i64>| {
        Event::AdverseReactionReported(pb::AdverseReactionReported {
            reaction_id: vec![0x5a; 16],
            description: "fever and rigors".to_owned(),
            seriousness: pb::ReactionSeriousness::Serious.into(),
            suspected: true,
            expected: false,
            known_at: Some(onset),
            sponsor_told_at: sponsor.map(after),
            authority_told_at: authority.map(after),
            dose_id: Some(w.dose.dose_id.clone()),
        })
    };
    let by = [("inv", Role::Investigator, Meaning::Performed, w.hospital)];
    for (event, owed) in [
        (report(None, None), Some((Role::Investigator, 24))),
        (report(Some(2), None), Some((Role::QualityAssurance, 2 + 15 * 24))),
        (report(Some(2), Some(48)), None),
    ] {
        put(client, event, &by, &[w.subject, w.lot]).await;
        let request = v1::ListObligationsRequest { page_size: 500, ..v1::ListObligationsRequest::default() };
        let listed = client.custody().list_obligations(request).await.unwrap().into_inner().obligations;
        let found = listed.iter().find(|o| o.kind() == v1::ObligationKind::SafetyReport).map(|o| (o.role(), o.due_at_ms));
        assert_eq!(found, owed.map(|(role, hours)| (role, after(hours).unix_ms)));
    }
}
