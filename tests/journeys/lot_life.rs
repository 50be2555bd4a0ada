//! What happens to a lot of the demo beside its way to a subject: medium, labels, a result taken back, bags refused, broken, returned,
//! destroyed.

use marrowline_client::Client;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::events::first_of;
use crate::ledger::Server;
use crate::people::{Stream, facilities, sign};

fn lot_of(record: &pb::Record) -> Stream {
    let stream = record.streams.iter().find(|s| s.kind() == StreamKind::Lot).unwrap();
    (StreamKind::Lot, stream.id.as_slice().try_into().unwrap())
}

/// Appends one of each event.
pub async fn happens(server: &Server) {
    let op = server.client("op1").await;
    let (lab, hospital) = facilities(&op).await;
    let operators = [("op1", Role::Operator, Meaning::Performed, lab), ("op2", Role::VerifyingOperator, Meaning::Verified, lab)];

    let seeded = first_of(server, "CultureSeeded").await;
    let Some(Event::CultureSeeded(culture)) = &seeded.event else { panic!("no culture") };
    let medium = pb::MediumChanged {
        materials: None,
        culture_id: culture.culture_id.clone(),
        medium: "MEDIUM-1".to_owned(),
        volume_microlitres: 20_000,
        confluence_basis_points: Some(0),
    };
    put(&op, Event::MediumChanged(medium), &operators[..1], lot_of(&seeded)).await;

    let filled = first_of(server, "UnitsFilled").await;
    let lot = lot_of(&filled);
    let Some(Event::UnitsFilled(units)) = filled.event else { panic!("no units") };
    let units: Vec<Vec<u8>> = units.units.into_iter().map(|unit| unit.unit_id).collect();
    labels(&op, &operators, lot, &units).await;
    containers(&op, (lab, hospital), lot, &units[..1]).await;

    let reported = first_of(server, "TestResultReported").await;
    let invalidated = pb::ResultInvalidated {
        reported_record_id: reported.record_id.clone(),
        laboratory_cause: pb::LaboratoryCause::Procedure.into(),
        cause: "the stain had expired".to_owned(),
        documenting_record_id: None,
    };
    let by = [("qr", Role::QcReviewer, Meaning::Reviewed, lab), ("qa", Role::QualityAssurance, Meaning::Approved, lab)];
    put(&op, Event::ResultInvalidated(invalidated), &by, lot_of(&reported)).await;
}

async fn labels(op: &Client, operators: &[(&str, Role, Meaning, [u8; 16])], lot: Stream, units: &[Vec<u8>]) {
    let batch_id = marrowline_client::new_id().to_vec();
    let count = u32::try_from(units.len()).unwrap();
    let printed = pb::LabelsPrinted { batch_id: batch_id.clone(), design: "UNIT-1".to_owned(), labels_printed: count + 1 };
    put(op, Event::LabelsPrinted(printed), operators, lot).await;
    let applied = pb::LabelsApplied { batch_id: batch_id.clone(), unit_ids: units.to_vec() };
    put(op, Event::LabelsApplied(applied), operators, lot).await;
    let reconciled = pb::LabelsReconciled {
        batch_id,
        labels_printed: Some(count + 1),
        labels_applied: Some(count),
        labels_destroyed: Some(1),
        labels_returned: Some(0),
    };
    put(op, Event::LabelsReconciled(reconciled), operators, lot).await;
}

/// Whatever the demo did with the unit: facts are never refused for what they say.
async fn containers(op: &Client, (lab, hospital): ([u8; 16], [u8; 16]), lot: Stream, unit_ids: &[Vec<u8>]) {
    let unit_ids = unit_ids.to_vec();
    let refused = pb::CustodyRefused {
        transfer_id: marrowline_client::new_id().to_vec(),
        unit_ids: unit_ids.clone(),
        seal: "SEAL-1".to_owned(),
        reason: "the shipper was open".to_owned(),
    };
    put(op, Event::CustodyRefused(refused), &[("pha1", Role::Pharmacist, Meaning::Performed, hospital)], lot).await;
    let broke = pb::ContainerEvent {
        kind: pb::ContainerEventKind::Broken.into(),
        unit_ids: unit_ids.clone(),
        description: "cracked".to_owned(),
    };
    put(op, Event::ContainerEvent(broke), &[("pha1", Role::Pharmacist, Meaning::Performed, hospital)], lot).await;
    let returned = pb::UnitsReturned {
        unit_ids: unit_ids.clone(),
        purpose: pb::ReturnPurpose::Destruction.into(),
        reason: "cracked".to_owned(),
        condition: "frozen".to_owned(),
    };
    // The courier is not there yet: the pharmacist's signature comes first, the other one is owed.
    let by = [("pha1", Role::Pharmacist, Meaning::Relinquished, hospital), ("cur", Role::Courier, Meaning::Accepted, lab)];
    let mut signed = sign(op, Event::UnitsReturned(returned), &by, &[lot]).await;
    signed.signings.truncate(1);
    signed.append(op).await.unwrap();
    let destroyed = pb::UnitsDestroyed { unit_ids, reason: "cracked".to_owned(), method: "autoclaved".to_owned() };
    let by = [("op1", Role::Operator, Meaning::Performed, lab), ("op2", Role::VerifyingOperator, Meaning::Verified, lab)];
    put(op, Event::UnitsDestroyed(destroyed), &by, lot).await;
}

async fn put(op: &Client, event: Event, by: &[(&str, Role, Meaning, [u8; 16])], stream: Stream) {
    sign(op, event, by, &[stream]).await.append(op).await.unwrap();
}
