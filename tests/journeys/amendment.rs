//! A fact that was recorded wrongly: amended and voided from the command line, by a role of the record and QA, and seen as such.

use marrowline_client::{Client, v1};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::{Server, demo, fsck};
use crate::people::{Stream, facilities, sign};

async fn subject(client: &Client, code: &str) -> v1::SubjectView {
    let request = v1::GetSubjectRequest { subject: code.to_owned() };
    client.custody().get_subject(request).await.unwrap().into_inner().subject.unwrap()
}

fn text(id: &[u8]) -> String {
    uuid::Uuid::from_slice(id).unwrap().to_string()
}

/// `amend` or `void` as the nurse, with QA's signature.
fn change(server: &Server, arguments: &[&str]) -> std::process::Output {
    let qa = demo().join("people/qa.pem");
    server.run(
        "rn1",
        &[arguments, &["--yes", "--sign", qa.to_str().unwrap(), "--reason", "compared with the ward's scales"]].concat(),
    )
}

fn step<'a>(view: &'a v1::SubjectView, record_id: &str) -> &'a v1::StepView {
    let steps = &view.stream.as_ref().unwrap().steps;
    steps.iter().find(|step| text(&step.record_id) == record_id).unwrap()
}

/// A weighing of the demo's third subject is amended twice and then voided; an auditor notes it.
pub async fn happens(server: &Server) {
    let nurse = server.client("rn1").await;
    let (lab, hospital) = facilities(&nurse).await;
    let view = subject(&nurse, "R-03").await;
    let stream: Stream = (StreamKind::Subject, view.stream.as_ref().unwrap().id.as_slice().try_into().unwrap());
    let before = view.weight_grams;
    let weighed = pb::SubjectWeighed { weight_grams: 7_100, method: pb::WeighingMethod::Measured.into() };
    let by = [("rn1", Role::Nurse, Meaning::Performed, hospital)];
    let weighed = sign(&nurse, Event::SubjectWeighed(weighed), &by, &[stream]).await;
    weighed.append(&nurse).await.unwrap();
    let id = text(&weighed.record.record_id);
    assert_eq!(subject(&nurse, "R-03").await.weight_grams, 7_100);

    for grams in [71_000, 72_000] {
        let done = change(server, &["amend", &id, "--set", &format!("weight_grams={grams}")]);
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let view = subject(&nurse, "R-03").await;
        assert_eq!(view.weight_grams, grams);
        assert!(!step(&view, &id).amended_by.is_empty() && !step(&view, &id).is_void);
    }
    // What was recorded first is still what the log holds, and what its signature is for.
    let (first, _) = nurse.record(weighed.record.record_id.as_slice().try_into().unwrap()).await.unwrap();
    assert_eq!(first.record(), &weighed.record);
    // An amendment that says what the record says already is none, and the field that is wrong is named.
    let same = change(server, &["amend", &id, "--set", "weight_grams=72000"]);
    assert_eq!(same.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&same.stderr).contains("REPLACEMENT_WRONG"));

    let done = change(server, &["void", &id]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let view = subject(&nurse, "R-03").await;
    assert_eq!(view.weight_grams, before);
    assert!(step(&view, &id).is_void);
    let again = change(server, &["amend", &id, "--set", "weight_grams=71000"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&again.stderr).contains("AMENDMENT_NOT_OF_THE_LATEST"));

    let auditor = server.client("aud").await;
    let noted = Event::AuditNoted(pb::AuditNoted { note: "a weighing was voided".to_owned() });
    sign(&auditor, noted, &[("aud", Role::Auditor, Meaning::Reviewed, lab)], &[stream]).await.append(&auditor).await.unwrap();
}

/// Whoever opens the ledger next, or computes it again, finds the same.
#[tokio::test(flavor = "multi_thread")]
async fn the_last_version_counts_after_a_restart_and_for_fsck() {
    let mut server = Server::start();
    happens(&server).await;
    let weight = subject(&server.client("aud").await, "R-03").await.weight_grams;
    server.signal("TERM");
    assert!(server.ended(std::time::Duration::from_secs(30)).unwrap().success());
    fsck(&server.folder);
    let again = Server::serve(&server.folder);
    assert_eq!(subject(&again.client("aud").await, "R-03").await.weight_grams, weight);
}
