//! The server's process is killed under load, twenty times; what was acknowledged is there, and proves it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use marrowline_client::Client;
use marrowline_proof::Receipt;

use crate::ledger::{Server, copy, demo, fsck, key, trust};
use crate::people::{facilities, new_donor};

const KILLS: u64 = 20;
const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let mut acknowledged: Vec<Receipt> = Vec::new();
    for kill in 0..KILLS {
        let mut server = Server::serve(&folder);
        // Half of what was acknowledged before is looked at each time, all of it at the end.
        check(&server, acknowledged.iter().skip(usize::from(kill % 2 == 0)).step_by(2)).await;
        let delay = Duration::from_millis(15 + kill * 37 % 190);
        acknowledged.extend(load_until_killed(&server, delay).await);
        assert!(server.ended(Duration::from_secs(20)).is_some());
    }
    assert!(acknowledged.len() > 100, "hardly anything was appended: {}", acknowledged.len());
    let mut server = Server::serve(&folder);
    check(&server, acknowledged.iter()).await;
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(30)).unwrap().success());
    fsck(&folder);
}

async fn load_until_killed(server: &Server, delay: Duration) -> Vec<Receipt> {
    let receipts: Arc<Mutex<Vec<Receipt>>> = Arc::default();
    let mut workers = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(&server.endpoint, trust(), &key("phy"), 600).await.unwrap();
        let receipts = Arc::clone(&receipts);
        workers.push(tokio::spawn(async move {
            let (lab, _) = facilities(&client).await;
            for _ in 0..10_000 {
                // Asking for the clock fails first once the server is gone.
                if client.clock().await.is_err() {
                    return;
                }
                let Some(donor) = try_donor(&client, lab).await else { return };
                match donor.append(&client).await {
                    Ok(acknowledged) => receipts.lock().unwrap().push(acknowledged.receipt),
                    Err(_) => return,
                }
            }
        }));
    }
    // The moment counts from the first acknowledgement on.
    while receipts.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(delay).await;
    server.signal("KILL");
    for worker in workers {
        // A worker that was asking at that moment may have panicked over the lost connection.
        let _ = worker.await;
    }
    Arc::try_unwrap(receipts).map_or_else(|shared| shared.lock().unwrap().clone(), |only| only.into_inner().unwrap())
}

async fn try_donor(client: &Client, lab: [u8; 16]) -> Option<crate::people::Signed> {
    Some(new_donor(client, lab).await)
}

/// Each record is there as it was acknowledged, and its checkpoint is continued by the present one.
async fn check(server: &Server, receipts: impl Iterator<Item = &Receipt>) {
    let client = server.client("phy").await;
    for receipt in receipts {
        let before = client.verify(receipt, None).await.expect("a checkpoint that the log does not continue");
        let (after, _) = client.record_at(receipt.index).await.expect("an acknowledged record is gone");
        assert_eq!((before.leaf(), before.record()), (after.leaf(), after.record()));
    }
}
