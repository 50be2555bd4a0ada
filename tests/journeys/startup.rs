//! When the server must not start, and what it knows again after it has.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tonic::transport::Endpoint;

use crate::ledger::{PROGRAM, Server, copy, demo, fsck};
use crate::people::{facilities, new_donor};

/// Tries to serve or check a folder that is not fit for it; says how the program ended, and with what words.
fn refused(folder: &Path, command: &[&str]) -> (i32, String) {
    let mut child = Command::new(PROGRAM).args(command).arg("--data").arg(folder).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..600 {
        if child.try_wait().unwrap().is_some() {
            let output = child.wait_with_output().unwrap();
            return (output.status.code().unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().unwrap();
    panic!("{command:?} goes on with {}", folder.display());
}

const SERVE: &[&str] = &["serve", "--listen", "127.0.0.1:0"];
const FSCK: &[&str] = &["fsck"];

fn copy_of_the_demo(owned: &tempfile::TempDir, name: &str) -> PathBuf {
    let folder = owned.path().join(name);
    copy(&demo().join("ledger"), &folder);
    folder
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_behind_its_checkpoint_is_not_served() {
    let owned = tempfile::tempdir().unwrap();
    let (newer, older) = (copy_of_the_demo(&owned, "newer"), copy_of_the_demo(&owned, "older"));
    let mut server = Server::serve(&newer);
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    new_donor(&client, lab).await.append(&client).await.unwrap();
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(60)).unwrap().success());
    // The journals of yesterday with the checkpoint of today.
    std::fs::copy(newer.join("store/checkpoint"), older.join("store/checkpoint")).unwrap();
    let (status, words) = refused(&older, SERVE);
    assert_eq!(status, 4, "{words}");
    assert!(words.contains("restore from a backup"), "{words}");
    assert_eq!(refused(&older, FSCK).0, 4);
    fsck(&newer);
}

#[test]
fn another_ledger_s_key_is_not_taken() {
    let owned = tempfile::tempdir().unwrap();
    let folder = copy_of_the_demo(&owned, "ledger");
    let other = owned.path().join("other");
    let output = Command::new(PROGRAM).args(["demo", "--exit", "--subjects", "3", "--data"]).arg(&other).output().unwrap();
    assert!(output.status.success());
    std::fs::copy(other.join("ledger/log.key"), folder.join("log.key")).unwrap();
    let (status, words) = refused(&folder, SERVE);
    assert_eq!(status, 4, "{words}");
    assert!(words.contains("not the one that the ledger was founded with"), "{words}");
}

/// A byte in the middle of the journal: neither served nor passed, and nothing is changed.
#[test]
fn a_damaged_journal_is_not_served() {
    let owned = tempfile::tempdir().unwrap();
    let folder = copy_of_the_demo(&owned, "ledger");
    let journal = folder.join("store/journal");
    let segment = std::fs::read_dir(&journal).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    let whole = std::fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    damaged[2_000] ^= 1;
    std::fs::write(&segment, &damaged).unwrap();
    for command in [SERVE, FSCK] {
        let (status, words) = refused(&folder, command);
        assert_eq!(status, 4, "{command:?}: {words}");
        assert!(words.contains("damaged at offset"), "{command:?}: {words}");
        assert_eq!(std::fs::read(&segment).unwrap(), damaged, "{command:?} changed what it refused");
    }
    std::fs::write(&segment, whole).unwrap();
    fsck(&folder);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_simulated_clock_is_where_it_was_after_a_kill() {
    let mut server = Server::start();
    let client = server.client("key").await;
    let later = client.clock().await.unwrap().now_unix_ms + 86_400_000;
    client.advance_clock(later).await.unwrap();
    server.signal("KILL");
    server.ended(Duration::from_secs(60)).unwrap();
    let again = Server::serve(&server.folder);
    assert_eq!(again.client("key").await.clock().await.unwrap().now_unix_ms, later);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tls_nobody_is_heard() {
    let server = Server::start();
    let plain = Endpoint::from_shared(server.endpoint.replace("https://", "http://")).unwrap();
    let answered = match plain.connect().await {
        Err(_) => false,
        Ok(channel) => {
            let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
            health.check(tonic_health::pb::HealthCheckRequest::default()).await.is_ok()
        }
    };
    assert!(!answered);
    assert!(server.client("op1").await.clock().await.is_ok());
}
