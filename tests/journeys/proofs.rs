//! Receipts: every byte of one counts.

use marrowline_proof::Receipt;

use crate::ledger::{Server, trust};
use crate::people::{facilities, new_donor};

async fn receipt() -> Receipt {
    let server = Server::start();
    let client = server.client("phy").await;
    let (lab, _) = facilities(&client).await;
    new_donor(&client, lab).await.append(&client).await.unwrap().receipt
}

#[tokio::test(flavor = "multi_thread")]
async fn every_byte_of_a_receipt_counts() {
    let receipt = receipt().await;
    let log = trust().log;
    receipt.verify(&log, None).unwrap();
    let mut checked = 0;
    for at in 0..receipt.record.len() {
        let mut spoiled = receipt.clone();
        spoiled.record[at] ^= 1;
        assert!(spoiled.verify(&log, None).is_err(), "record byte {at}");
        checked += 1;
    }
    for at in 0..receipt.leaf.len() {
        let mut spoiled = receipt.clone();
        spoiled.leaf[at] ^= 0x40;
        assert!(spoiled.verify(&log, None).is_err(), "leaf byte {at}");
        checked += 1;
    }
    for at in 0..receipt.tlog_proof.len() {
        let mut bytes = receipt.tlog_proof.clone().into_bytes();
        bytes[at] ^= 1;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let spoiled = Receipt { tlog_proof: text, ..receipt.clone() };
        assert!(spoiled.verify(&log, None).is_err(), "proof byte {at}");
        checked += 1;
    }
    assert!(checked > 500);
    for cut in [0, 1, receipt.tlog_proof.len() / 2, receipt.tlog_proof.len() - 1] {
        let spoiled = Receipt { tlog_proof: receipt.tlog_proof[..cut].to_owned(), ..receipt.clone() };
        assert!(spoiled.verify(&log, None).is_err(), "cut at {cut}");
    }
    let spoiled = Receipt { index: receipt.index + 1, ..receipt.clone() };
    assert!(spoiled.verify(&log, None).is_err());
    let other = marrowline_record::digest(b"another record");
    assert!(receipt.verify(&log, Some(other)).is_err(), "a receipt for another record than was sent");
}
