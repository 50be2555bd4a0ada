//! Who read what of a subject leaves a note beside the log; what was not shown leaves none.

use marrowline_client::{Client, v1};
use marrowline_ledger::Ledger;
use marrowline_ledger::store::NoteKind;
use marrowline_record::id::{KeyId, RecordId};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_server::Limits;
use serde_json::Value;

use crate::ledger::{copy, demo, in_this_process, key, trust};
use crate::people::{code, facilities, new_donor, sign};

/// The notes that were added since the last time.
fn since(ledger: &Ledger, seen: &mut u64) -> Vec<Value> {
    let notes = ledger.notes(NoteKind::Access, *seen, 1_000).unwrap();
    *seen = notes.last().map_or(*seen, |(index, _)| index + 1);
    notes.iter().map(|(_, bytes)| serde_json::from_slice(bytes).unwrap()).collect()
}

fn key_id(handle: &str) -> String {
    KeyId::of(key(handle).verifying_key().as_bytes()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_of_a_subject_leaves_a_note_and_not_reading_leaves_none() {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    in_this_process(&folder, Limits::default(), async |endpoint, ledger| {
        let client = async |handle: &str| Client::connect(&endpoint, trust(), &key(handle), 600).await.unwrap();
        let (nurse, operator) = (client("rn1").await, client("op1").await);
        let mut seen = 0;
        since(&ledger, &mut seen);
        let subject = subject(&nurse).await;
        let unit = format!("2601001{}", marrowline_record::din::digit_check("2601001").unwrap());
        for call in ["GetSubject", "GetUnit", "GetDose", "CheckDose", "TraceBack"] {
            if call != "GetSubject" {
                ask(&nurse, call, &unit).await;
            }
            let notes = since(&ledger, &mut seen);
            assert_eq!(notes.len(), 1, "{call}: {notes:?}");
            assert_eq!((&notes[0]["call"], &notes[0]["key"]), (&call.into(), &key_id("rn1").into()));
            assert_eq!(notes[0]["subject"], subject, "{call}");
        }
        // Of the same things an operator of the laboratory is shown nothing about the subject, or is refused.
        let refused = v1::GetSubjectRequest { subject: "R-01".to_owned() };
        assert!(operator.custody().clone().get_subject(refused).await.is_err());
        for call in ["GetUnit", "GetDose"] {
            ask(&operator, call, &unit).await;
        }
        assert_eq!(since(&ledger, &mut seen), Vec::<Value>::new());
        records(&nurse, &operator, &ledger, &mut seen).await;
    })
    .await;
}

/// A refused attempt is kept, with its reasons and whose keys signed it; what was only judged is not.
#[tokio::test(flavor = "multi_thread")]
async fn refused_attempts_are_kept_and_judging_keeps_nothing() {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    in_this_process(&folder, Limits::default(), async |endpoint, ledger| {
        let client = Client::connect(&endpoint, trust(), &key("phy"), 600).await.unwrap();
        let (lab, hospital) = facilities(&client).await;
        let kept = || ledger.notes(NoteKind::Refusal, 0, 10_000).unwrap();
        let (before, size, root) = (kept().len(), ledger.size(), ledger.checkpoint().root);
        let stream = (StreamKind::Donor, marrowline_client::new_id());
        let event = Event::DonorRegistered(pb::DonorRegistered { donor_code: code("D"), birth_year: 1990 });
        // The physician holds no role at the hospital.
        let by = [("phy", Role::DonorPhysician, Meaning::Performed, hospital)];
        let bad = sign(&client, event, &by, &[stream]).await;
        let good = new_donor(&client, lab).await;
        for signed in [&bad, &good] {
            let judged = client.judge(signed.bytes.clone(), &signed.signings).await.unwrap();
            assert_eq!(judged.accepted, judged.findings.is_empty());
        }
        assert_eq!((kept().len(), ledger.size(), ledger.checkpoint().root), (before, size, root), "judging wrote something");
        assert!(ledger.index_of(&RecordId::from_slice(&good.record.record_id).unwrap()).unwrap().is_none());

        assert!(bad.append(&client).await.is_err());
        let notes = kept();
        assert_eq!((notes.len(), ledger.size()), (before + 1, size));
        let note: Value = serde_json::from_slice(&notes.last().unwrap().1).unwrap();
        assert_eq!(note["codes"], serde_json::json!(["SIGNER_WITHOUT_AUTHORITY"]));
        let digest = marrowline_record::digest(&bad.bytes).to_string();
        let stream = serde_json::json!([[bad.record.streams[0].kind, hex::encode(&bad.record.streams[0].id)]]);
        let record = serde_json::json!([
            {"digest": digest, "keys": [key_id("phy")], "event": "DonorRegistered", "streams": stream}
        ]);
        assert_eq!(note["records"], record);
        good.append(&client).await.unwrap();
        assert_eq!((kept().len(), ledger.size()), (before + 1, size + 1));
    })
    .await;
}

/// Records one by one, in pages, and as they come.
async fn records(nurse: &Client, operator: &Client, ledger: &Ledger, seen: &mut u64) {
    let list = || v1::ListRecordsRequest { page_size: 500, ..v1::ListRecordsRequest::default() };
    let shown = nurse.list(list()).await.unwrap().records;
    let notes = since(ledger, seen);
    let about_subjects: Vec<&v1::LoggedRecord> = shown
        .iter()
        .filter(|logged| {
            let record = marrowline_record::decode(&logged.record);
            record.is_ok_and(|r| r.streams.iter().any(|s| s.kind() == StreamKind::Subject))
        })
        .collect();
    assert!(about_subjects.len() > 10);
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0]["records"].as_array().unwrap().len(), about_subjects.len());
    operator.list(list()).await.unwrap();
    assert_eq!(since(ledger, seen), Vec::<Value>::new(), "what is withheld was not read");

    let one = about_subjects[0].index;
    nurse.record_at(one).await.unwrap();
    assert!(operator.record_at(one).await.is_err());
    nurse.record_at(0).await.unwrap();
    let notes = since(ledger, seen);
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0]["records"].as_array().unwrap().len(), 1);

    let mut watch = nurse.watch(one).await.unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().record.unwrap().index, one);
    drop(watch);
    let mut notes = Vec::new();
    while notes.len() < 2 {
        notes.extend(since(ledger, seen));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!((&notes[0]["call"], &notes[0]["from"]), (&"Watch".into(), &one.into()));
    assert!(notes[1]["before"].as_u64().unwrap() > one, "{notes:?}");
}

async fn subject(client: &Client) -> Value {
    let request = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    let found = client.custody().clone().get_subject(request).await.unwrap().into_inner().subject.unwrap();
    uuid::Uuid::from_slice(&found.stream.unwrap().id).unwrap().to_string().into()
}

async fn ask(client: &Client, call: &str, unit: &str) {
    let custody = client.custody();
    let dose = || "701018".to_owned();
    match call {
        "GetUnit" => drop(custody.clone().get_unit(v1::GetUnitRequest { unit: unit.to_owned() }).await.unwrap()),
        "GetDose" => drop(custody.clone().get_dose(v1::GetDoseRequest { dose: dose() }).await.unwrap()),
        "CheckDose" => drop(custody.clone().check_dose(v1::CheckDoseRequest { dose: dose() }).await.unwrap()),
        "TraceBack" => drop(custody.clone().trace_back(v1::TraceBackRequest { dose: dose() }).await.unwrap()),
        other => panic!("{other}"),
    }
}
