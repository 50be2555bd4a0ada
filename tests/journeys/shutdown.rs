//! A server that is told to stop stops, with streams open, and logs nothing that it should not.

use std::time::{Duration, Instant};

use crate::ledger::{PROGRAM, Server, fsck};
use crate::people::{facilities, new_donor};
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

#[tokio::test(flavor = "multi_thread")]
async fn logs_name_no_subject_and_no_token() {
    let server = Server::start();
    let client = server.client("pha1").await;
    let custody = client.custody();
    for _ in 0..2 {
        let subject = marrowline_client::v1::GetSubjectRequest { subject: "R-01".to_owned() };
        custody.clone().get_subject(subject).await.unwrap();
        let nobody = marrowline_client::v1::GetSubjectRequest { subject: "R-99".to_owned() };
        assert!(custody.clone().get_subject(nobody).await.is_err());
        let dose = marrowline_client::v1::CheckDoseRequest { dose: "DOSE-R-01".to_owned() };
        custody.clone().check_dose(dose).await.unwrap();
    }
    let found =
        custody.clone().get_subject(marrowline_client::v1::GetSubjectRequest { subject: "R-01".to_owned() }).await.unwrap();
    let id = uuid::Uuid::from_slice(&found.into_inner().subject.unwrap().stream.unwrap().id).unwrap().to_string();
    let logged = server.logged();
    assert!(!logged.is_empty(), "nothing is logged, so nothing is shown by this");
    let token = good_token("pha1");
    for secret in ["R-01", "R-99", "DOSE-R", &id, token.split('.').next().unwrap()] {
        assert!(!logged.contains(secret), "the log has {secret}:\n{logged}");
    }
}
