//! Units of a lot for one subject alone, and an override that the protocol allows, used once and ratified.

use marrowline_client::{Client, new_id, v1};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::Server;
use crate::people::{Signed, Stream, codes, facilities, sign, sign_citing};

fn id(bytes: &[u8]) -> [u8; 16] {
    bytes.try_into().unwrap()
}

async fn subject(client: &Client, code: &str) -> v1::SubjectView {
    let request = v1::GetSubjectRequest { subject: code.to_owned() };
    client.custody().get_subject(request).await.unwrap().into_inner().subject.unwrap()
}

/// The trial's protocol as published last.
async fn published(client: &Client, trial: Stream) -> pb::ProtocolPublished {
    let request = v1::ListRecordsRequest {
        stream_kind: StreamKind::Protocol.into(),
        stream_id: trial.1.to_vec(),
        page_size: 500,
        ..v1::ListRecordsRequest::default()
    };
    let records = client.list(request).await.unwrap().records;
    let events = records.iter().filter_map(|logged| marrowline_record::decode(&logged.record).ok()?.event);
    let published = events.filter_map(|event| match event {
        Event::ProtocolPublished(e) => Some(e),
        _ => None,
    });
    published.max_by_key(|document| document.version).unwrap()
}

async fn ratifications(client: &Client) -> Vec<(Role, String)> {
    let request = v1::ListObligationsRequest { page_size: 500, ..v1::ListObligationsRequest::default() };
    let listed = client.custody().list_obligations(request).await.unwrap().into_inner().obligations;
    let of = |o: &v1::Obligation| o.kind() == v1::ObligationKind::Ratification;
    listed.iter().filter(|o| of(o)).map(|o| (o.role(), o.what.clone())).collect()
}

async fn put(client: &Client, signed: Signed) -> Signed {
    signed.append(client).await.unwrap();
    signed
}

/// The demo's trial lists no gate; its second version does.
pub async fn happens(server: &Server) {
    let client = server.client("pha1").await;
    let (lab, hospital) = facilities(&client).await;
    let first = subject(&client, "R-01").await;
    let trial: Stream = (StreamKind::Protocol, id(&first.protocol.as_ref().unwrap().id));
    let on: Stream = (StreamKind::Subject, id(&first.stream.as_ref().unwrap().id));
    let investigator = ("inv", Role::Investigator, Meaning::Approved, hospital);
    let qa = ("qa", Role::QualityAssurance, Meaning::Approved, hospital);
    let pharmacist = ("pha1", Role::Pharmacist, Meaning::Approved, hospital);
    let overriding = || {
        let reason = "the scales are broken and the subject cannot wait".to_owned();
        Event::EmergencyOverride(pb::EmergencyOverride { codes: vec!["WEIGHING_TOO_OLD".to_owned()], reason })
    };
    let refused = sign(&client, overriding(), &[investigator, pharmacist], &[on]).await.append(&client).await;
    let words = refused.as_ref().map(|_| ()).unwrap_err().to_string();
    assert!(words.contains("the protocol version 1, which governs the subject, lists none"), "{words}");
    assert_eq!(codes(refused), ["OVERRIDE_NOT_LISTED"]);

    let version = published(&client, trial).await;
    let next = pb::ProtocolPublished {
        version: version.version + 1,
        override_codes: vec!["WEIGHING_TOO_OLD".to_owned()],
        ..version.clone()
    };
    put(&client, sign(&client, Event::ProtocolPublished(next), &[qa, investigator], &[trial]).await).await;
    let consented = pb::SubjectConsented {
        subject_code: "R-01".to_owned(),
        protocol: Some(pb::VersionRef { id: trial.1.to_vec(), version: version.version + 1 }),
        kind: pb::ConsentKind::Self_.into(),
        consent_version: "IC-4".to_owned(),
        document_digest: vec![7; 32],
        age_years: Some(41),
        birth_year: 1984,
        deferred_until: None,
    };
    let by = [("inv", Role::Investigator, Meaning::Performed, hospital)];
    put(&client, sign(&client, Event::SubjectConsented(consented), &by, &[on]).await).await;

    // The demo's weighing is more than a day old: an order on it is refused, and passes once with the override.
    let weighing = first.stream.as_ref().unwrap().steps.iter().rfind(|step| step.event == "SubjectWeighed").unwrap();
    let order = || {
        Event::DoseOrdered(pb::DoseOrdered {
            order_id: new_id().to_vec(),
            target_viable_cells_per_kg: 1_000_000,
            weighing_record_id: weighing.record_id.clone(),
            planned_duration_seconds: 3_600,
        })
    };
    let refused = sign(&client, order(), &[investigator], &[on]).await.append(&client).await;
    assert_eq!(codes(refused), ["WEIGHING_TOO_OLD"]);
    let signed = put(&client, sign(&client, overriding(), &[investigator, pharmacist], &[on]).await).await;
    assert_eq!(ratifications(&client).await, [(Role::QualityAssurance, "WEIGHING_TOO_OLD".to_owned())]);
    let done = sign_citing(&client, order(), &[investigator], &[on], &[&signed]).await.append(&client).await.unwrap();
    assert_eq!(done.flags.iter().map(|flag| flag.code.as_str()).collect::<Vec<_>>(), ["OVERRIDE_USED"]);
    let again = sign_citing(&client, order(), &[investigator], &[on], &[&signed]).await.append(&client).await;
    assert_eq!(codes(again), ["OVERRIDE_SPENT", "WEIGHING_TOO_OLD"]);
    let report = v1::GetTrialReportRequest { registration: "NCT01849237".to_owned(), ..v1::GetTrialReportRequest::default() };
    let report = client.custody().get_trial_report(report).await.unwrap().into_inner().content;
    assert!(report.contains("overrides 1"), "{report}");
    let ratified = pb::OverrideRatified {
        override_record_id: signed.record.record_id.clone(),
        assessment: "the weight of the day before was right".to_owned(),
    };
    let by = [("qa", Role::QualityAssurance, Meaning::Ratified, hospital)];
    put(&client, sign(&client, Event::OverrideRatified(ratified), &by, &[on]).await).await;
    assert_eq!(ratifications(&client).await, []);

    let lot =
        client.custody().get_lot(v1::GetLotRequest { lot: "L-2026-01".to_owned() }).await.unwrap().into_inner().lot.unwrap();
    let released = pb::ExceptionalRelease {
        unit_ids: vec![lot.units.last().unwrap().unit_id.clone()],
        risk_assessment: "nothing else will do".to_owned(),
        document_digest: vec![9; 32],
    };
    let by = [
        investigator,
        ("qa", Role::QualityAssurance, Meaning::Approved, lab),
        ("qp", Role::QualifiedPerson, Meaning::Certified, lab),
    ];
    let streams = [on, (StreamKind::Lot, id(&lot.stream.unwrap().id))];
    put(&client, sign(&client, Event::ExceptionalRelease(released), &by, &streams).await).await;
}
