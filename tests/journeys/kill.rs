//! The server's process is killed under load, twenty times. What was acknowledged is there and proves it; what was in doubt can be sent
//! again; and nothing else is in the log.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use marrowline_client::{Client, Draft, new_id};
use marrowline_proof::Receipt;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};

use crate::ledger::{Server, copy, demo, fsck, key, trust};
use crate::people::{Signed, Stream, code, facilities, now};

const KILLS: u32 = 20;
const CLIENTS: usize = 4;
/// Where the moments of the kills come from; another number gives other moments.
const SEED: u64 = 0x6d61_7272_6f77;

/// What became of the records that were sent.
#[derive(Default)]
struct Sent {
    acknowledged: BTreeMap<u64, Receipt>,
    in_doubt: Vec<Signed>,
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let owned = tempfile::tempdir().unwrap();
    let folder = owned.path().join("ledger");
    copy(&demo().join("ledger"), &folder);
    let sent = Arc::new(Mutex::new(Sent::default()));
    let shared_donor: Stream = (StreamKind::Donor, new_id());
    let mut begun_with = None;
    let mut random = SEED;
    let mut doubted = 0;
    for kill in 0..KILLS {
        if kill % 4 == 3 {
            // While it recovers from the kill before.
            Server::kill_while_starting(&folder, Duration::from_millis(random % 60));
        }
        let mut server = Server::serve(&folder);
        let client = server.client("phy").await;
        begun_with.get_or_insert(size(&client).await);
        // A half of what was acknowledged before is looked at each time, all of it at the end.
        let seen: Vec<Receipt> = sent.lock().unwrap().acknowledged.values().cloned().collect();
        check(&client, seen.iter().skip(usize::from(kill % 2 == 0)).step_by(2)).await;
        doubted += resolve_doubts(&client, &sent).await;
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        load_until_killed(&server, &client, shared_donor, Duration::from_millis(random % 150), &sent).await;
        assert!(server.ended(Duration::from_secs(20)).is_some());
    }
    let mut server = Server::serve(&folder);
    let client = server.client("phy").await;
    doubted += resolve_doubts(&client, &sent).await;
    let receipts: Vec<Receipt> = sent.lock().unwrap().acknowledged.values().cloned().collect();
    check(&client, receipts.iter()).await;
    assert!(receipts.len() >= KILLS as usize, "each round waits for an acknowledgement");
    eprintln!("{} records acknowledged; of those in doubt after a kill {doubted} were in the log", receipts.len());
    // Each record once, and none that nobody sent.
    assert_eq!(size(&client).await - begun_with.unwrap(), receipts.len() as u64);
    server.signal("TERM");
    assert!(server.ended(Duration::from_secs(30)).unwrap().success());
    fsck(&folder);
}

/// Clients append until the server dies; the moment counts from the first acknowledgement on.
async fn load_until_killed(server: &Server, first: &Client, shared: Stream, delay: Duration, sent: &Arc<Mutex<Sent>>) {
    let (lab, _) = facilities(first).await;
    let at = now(first).await;
    let before = sent.lock().unwrap().acknowledged.len();
    let mut workers = Vec::new();
    for _ in 0..CLIENTS {
        let client = Client::connect(&server.endpoint, trust(), &key("phy"), 600).await.unwrap();
        let sent = Arc::clone(sent);
        workers.push(tokio::spawn(async move {
            for number in 0..10_000 {
                // Every third one extends a stream that all of them extend.
                let signed = match number % 3 {
                    0 => deviation(client.origin(), lab, at, shared),
                    _ => donor(client.origin(), lab, at),
                };
                match signed.append(&client).await {
                    Ok(done) => {
                        let known = sent.lock().unwrap().acknowledged.insert(done.receipt.index, done.receipt);
                        assert!(known.is_none(), "two records have one leaf");
                    }
                    Err(_) => return sent.lock().unwrap().in_doubt.push(signed),
                }
            }
        }));
    }
    while sent.lock().unwrap().acknowledged.len() == before {
        assert!(workers.iter().any(|worker| !worker.is_finished()), "nobody got an answer");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(delay).await;
    server.signal("KILL");
    for worker in workers {
        worker.await.unwrap();
    }
}

/// A record whose answer was lost is sent again: it is in the log once, whether it had come so far or not. Says how many had.
async fn resolve_doubts(client: &Client, sent: &Mutex<Sent>) -> usize {
    let in_doubt = std::mem::take(&mut sent.lock().unwrap().in_doubt);
    let before = size(client).await;
    let mut were_there = 0;
    for signed in in_doubt {
        let receipt = signed.append(client).await.unwrap().receipt;
        were_there += usize::from(receipt.index < before);
        assert!(sent.lock().unwrap().acknowledged.insert(receipt.index, receipt).is_none(), "two records have one leaf");
    }
    were_there
}

async fn size(client: &Client) -> u64 {
    client.checkpoint().await.unwrap().size()
}

/// Each record is there as it was acknowledged, and its checkpoint is continued by the present one.
async fn check(client: &Client, receipts: impl Iterator<Item = &Receipt>) {
    for receipt in receipts {
        let before = client.verify(receipt, None).await.expect("a checkpoint that the log does not continue");
        let (after, _) = client.record_at(receipt.index).await.expect("an acknowledged record is gone");
        assert_eq!((before.leaf(), before.record()), (after.leaf(), after.record()));
    }
}

fn donor(origin: &str, lab: [u8; 16], at: pb::Instant) -> Signed {
    let event = Event::DonorRegistered(pb::DonorRegistered { donor_code: code("D"), birth_year: 1990 });
    signed(origin, event, lab, at, (StreamKind::Donor, new_id()))
}

fn deviation(origin: &str, lab: [u8; 16], at: pb::Instant, stream: Stream) -> Signed {
    let event = pb::DeviationOpened { severity: pb::Severity::Minor.into(), description: "a torn form".to_owned() };
    signed(origin, Event::DeviationOpened(event), lab, at, stream)
}

/// Without asking the server: a fact may have seen an older head than the stream has.
fn signed(origin: &str, event: Event, lab: [u8; 16], at: pb::Instant, stream: Stream) -> Signed {
    let draft = Draft::new(origin, event, at).unwrap();
    let draft = draft.slot(Role::DonorPhysician, Meaning::Performed, lab).stream(stream.0, stream.1, None);
    let bytes = draft.encode();
    let signings = vec![draft.sign(&bytes, 0, &key("phy"), &at)];
    Signed { record: draft.record().clone(), bytes, signings }
}
