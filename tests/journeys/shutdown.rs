//! A server that is told to stop stops, with streams open, and logs nothing that it should not.

use std::time::{Duration, Instant};

use marrowline_client::{Client, v1};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::{PROGRAM, Server, copy, demo, fsck};
use crate::people::{Stream, code, facilities, new_donor, sign};
use crate::refusals::good_token;

#[tokio::test(flavor = "multi_thread")]
async fn it_stops_within_fifteen_seconds_with_streams_open() {
    let mut server = Server::start();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    let mut watch = client.watch(u64::MAX / 2).await.unwrap();
    let donor = new_donor(&client, lab).await.append(&client).await.unwrap();
    let begin = Instant::now();
    server.signal("TERM");
    let status = server.ended(Duration::from_secs(60)).expect("it goes on after a minute");
    assert!(status.success(), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    assert!(!matches!(watch.message().await, Ok(Some(_))));
    fsck(&server.folder);
    let again = Server::serve(&server.folder);
    assert!(again.client("phy").await.record_at(donor.receipt.index).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_do_not_share_a_folder() {
    let server = Server::start();
    let output = std::process::Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--data"])
        .arg(&server.folder)
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("in use") || text.contains("lock"), "{text}");
    assert!(server.client("phy").await.record_at(0).await.is_ok());
}

/// With everything logged that can be: a subject is enrolled, read, checked, traced and refused.
#[tokio::test(flavor = "multi_thread")]
async fn logs_name_no_subject_and_no_token() {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let mut server = Server::serve_logging(&folder, "trace,sled=trace,h2=trace");
    let client = server.client("inv").await;
    let (_, hospital) = facilities(&client).await;
    let subject = (StreamKind::Subject, marrowline_client::new_id());
    let secret_code = code("R");
    enrol(&client, hospital, subject, &secret_code).await;
    let custody = client.custody();
    for wanted in [&secret_code, "R-01", "R-99"] {
        let request = v1::GetSubjectRequest { subject: wanted.to_owned() };
        assert_eq!(custody.clone().get_subject(request).await.is_ok(), wanted != "R-99");
    }
    custody.clone().check_dose(v1::CheckDoseRequest { dose: "701018".to_owned() }).await.unwrap();
    custody.clone().trace_back(v1::TraceBackRequest { dose: "701018".to_owned() }).await.unwrap();
    let mut watch = client.watch(0).await.unwrap();
    assert!(watch.message().await.unwrap().is_some());
    drop(watch);
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(60)).unwrap().success());

    let logged = server.logged();
    assert!(logged.contains("shutting down"), "nothing is logged, so nothing is shown by this");
    // As text, as hexadecimal digits, as a list of bytes.
    let mut secrets = Vec::new();
    for word in [secret_code.as_str(), "R-01", "R-99", "701018"] {
        secrets.push(word.to_owned());
        secrets.push(hex::encode(word));
        let bytes: Vec<String> = word.bytes().map(|b| b.to_string()).collect();
        secrets.push(bytes.join(", "));
    }
    secrets.extend([uuid::Uuid::from_bytes(subject.1).to_string(), hex::encode(subject.1)]);
    let token = good_token("inv");
    secrets.push(token.split('.').next().unwrap().to_owned());
    secrets.push("Bearer".to_owned());
    for secret in secrets {
        let line = logged.lines().find(|line| line.contains(&secret));
        assert!(line.is_none(), "the log has {secret}: {line:?}");
    }
}

/// A subject's consent, and an order that is refused.
async fn enrol(client: &Client, hospital: [u8; 16], subject: Stream, subject_code: &str) {
    let protocol = v1::GetSubjectRequest { subject: "R-01".to_owned() };
    let protocol = client.custody().clone().get_subject(protocol).await.unwrap().into_inner().subject.unwrap().protocol;
    let consented = Event::SubjectConsented(pb::SubjectConsented {
        subject_code: subject_code.to_owned(),
        protocol,
        kind: pb::ConsentKind::Self_.into(),
        consent_version: "IC-3".to_owned(),
        document_digest: vec![7; 32],
        age_years: Some(41),
        birth_year: 1984,
        deferred_until: None,
    });
    let by = |meaning| [("inv", Role::Investigator, meaning, hospital)];
    sign(client, consented, &by(Meaning::Performed), &[subject]).await.append(client).await.unwrap();
    let order = Event::DoseOrdered(pb::DoseOrdered {
        order_id: marrowline_client::new_id().to_vec(),
        target_viable_cells_per_kg: 3_000_000,
        weighing_record_id: marrowline_client::new_id().to_vec(),
        planned_duration_seconds: 3_600,
    });
    let refused = sign(client, order, &by(Meaning::Approved), &[subject]).await.append(client).await;
    assert!(refused.is_err());
}

/// Readers that do not read, connections that never say anything: none of them keeps the server.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_lingers_keeps_it_from_stopping() {
    let mut server = Server::start();
    let client = server.client("aud").await;
    let mut lingering = Vec::new();
    for _ in 0..40 {
        lingering.push(client.watch(0).await.unwrap());
    }
    let address = server.endpoint.strip_prefix("https://").unwrap().to_owned();
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut connection = std::net::TcpStream::connect(&address).unwrap();
        // The beginning of a TLS record, and then nothing.
        std::io::Write::write_all(&mut connection, &[0x16, 0x03, 0x01, 0x02]).unwrap();
        silent.push(connection);
    }
    assert!(client.record_at(0).await.is_ok(), "lingerers do not keep others waiting");
    server.signal("TERM");
    let status = server.ended(Duration::from_secs(60)).expect("it goes on after a minute");
    assert!(status.success(), "{status}");
    drop((lingering, silent));
    fsck(&server.folder);
}
