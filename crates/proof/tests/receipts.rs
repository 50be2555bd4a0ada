//! Receipts offline: one that holds, and every way to spoil one. Each spoiled receipt is refused, with the code that says why.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test fails by panicking")]

use ed25519_dalek::SigningKey;
use marrowline_merkle::{
    Checkpoint, Edge, MemoryTiles, Note, SignedCheckpoint, TlogProof, TreeReader, VerifierKey, inclusion_proof, leaf_hash,
};
use marrowline_proof::{Receipt, ReceiptError};
use marrowline_record::leaf::{Leaf, Link};
use marrowline_record::origin::Origin;
use marrowline_record::pb::record::Event;
use marrowline_record::testing::{Noise, cases, keyring, sample, sign_every_slot};
use marrowline_record::{EventKind, digest, encode};

const NAME: &str = "lab.example";

/// A log in memory: a founding, then one record of every kind of event.
struct Log {
    key: SigningKey,
    origin: String,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Log {
    fn new(key: u8, seed: u64) -> Log {
        let mut founding = sample(EventKind::from_name("LedgerFounded").unwrap(), seed);
        NAME.clone_into(&mut founding.origin);
        if let Some(Event::LedgerFounded(event)) = &mut founding.event {
            NAME.clone_into(&mut event.name);
        }
        let origin = Origin::new(NAME, &digest(&encode(&founding))).unwrap().to_string();
        let mut log = Log { key: SigningKey::from_bytes(&[key; 32]), origin: origin.clone(), entries: Vec::new() };
        log.push(&founding);
        for kind in EventKind::all().iter().filter(|kind| kind.name() != "LedgerFounded") {
            let mut record = sample(*kind, seed);
            origin.clone_into(&mut record.origin);
            log.push(&record);
        }
        log
    }

    fn push(&mut self, record: &marrowline_record::pb::Record) {
        let bytes = encode(record);
        let digest = digest(&bytes);
        let link = |n: u8| Link { stream_key: marrowline_record::stream::stream_key(n, &[n; 16]), seq: 1, prev: [0; 32] };
        let mut links: Vec<Link> = vec![link(1), link(2)];
        links.sort_by_key(|link| link.stream_key);
        let leaf = Leaf {
            recorded_at_ms: 1_800_000_000_000,
            rule_set: 1,
            flags: vec![8, 11],
            links,
            digest,
            signings: sign_every_slot(record, digest),
            map_root: None,
        };
        self.entries.push((leaf.encode(), bytes));
    }

    fn vkey(&self) -> VerifierKey {
        VerifierKey::new(&self.origin, self.key.verifying_key()).unwrap()
    }

    fn size(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The receipt of a leaf at the checkpoint of this size, signed under this origin.
    fn receipt_under(&self, origin: &str, index: u64, size: u64) -> Receipt {
        let (mut edge, mut tiles, mut completed) = (Edge::new(), MemoryTiles::default(), vec![]);
        for (leaf, _) in &self.entries[..usize::try_from(size).unwrap()] {
            edge.append(leaf_hash(leaf), &mut completed);
        }
        tiles.extend(completed);
        let note = Checkpoint::new(origin, size, edge.root()).unwrap().sign(&self.key).unwrap();
        let hashes = inclusion_proof(index, size, &mut TreeReader::new(&edge, &tiles)).unwrap();
        let (leaf, record) = self.entries[usize::try_from(index).unwrap()].clone();
        Receipt { index, leaf, record, tlog_proof: TlogProof::new(index, hashes, &note).unwrap().to_string() }
    }

    fn receipt(&self, index: u64) -> Receipt {
        self.receipt_under(&self.origin, index, self.size())
    }
}

fn code(receipt: &Receipt, log: &VerifierKey) -> &'static str {
    match receipt.verify(log, None) {
        Ok(_) => "",
        Err(error) => error.code(),
    }
}

fn refused(spoiled: &Receipt, log: &VerifierKey, what: &str) {
    assert!(spoiled.verify(log, None).is_err(), "{what}: accepted");
}

#[test]
fn every_receipt_holds_at_every_size() {
    let log = Log::new(1, 0);
    for size in 1..=log.size() {
        for index in [0, size / 2, size - 1] {
            let receipt = log.receipt_under(&log.origin, index, size);
            let verified = receipt.verify(&log.vkey(), Some(digest(&receipt.record))).unwrap();
            assert_eq!(encode(verified.record()), receipt.record);
            assert_eq!(verified.leaf().encode(), receipt.leaf);
            assert_eq!((verified.checkpoint().size(), verified.checkpoint().origin()), (size, log.origin.as_str()));
            receipt.verify_signatures(&keyring()).unwrap();
        }
    }
}

#[test]
fn no_changed_bit_is_accepted() {
    let log = Log::new(1, 1);
    let vkey = log.vkey();
    // The founding, whose origin is its own digest; one in the middle; the last one.
    for index in [0, log.size() / 2, log.size() - 1] {
        let receipt = log.receipt(index);
        for bit in 0..receipt.record.len() * 8 {
            let mut spoiled = receipt.clone();
            spoiled.record[bit / 8] ^= 1 << (bit % 8);
            refused(&spoiled, &vkey, &format!("record {index}, bit {bit}"));
        }
        for bit in 0..receipt.leaf.len() * 8 {
            let mut spoiled = receipt.clone();
            spoiled.leaf[bit / 8] ^= 1 << (bit % 8);
            refused(&spoiled, &vkey, &format!("leaf {index}, bit {bit}"));
        }
        let mut checked = 0;
        for bit in 0..receipt.tlog_proof.len() * 8 {
            let mut bytes = receipt.tlog_proof.clone().into_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // What is not text cannot travel in the receipt at all.
            let Ok(tlog_proof) = String::from_utf8(bytes) else { continue };
            refused(&Receipt { tlog_proof, ..receipt.clone() }, &vkey, &format!("proof {index}, bit {bit}"));
            checked += 1;
        }
        assert!(checked > receipt.tlog_proof.len() * 6);
        for bit in 0..64 {
            refused(&Receipt { index: receipt.index ^ 1 << bit, ..receipt.clone() }, &vkey, &format!("index, bit {bit}"));
        }
    }
}

#[test]
fn nothing_cut_off_put_in_or_left_out_is_accepted() {
    let log = Log::new(1, 2);
    let vkey = log.vkey();
    let receipt = log.receipt(7);
    for at in 0..receipt.tlog_proof.len() {
        let Some((before, after)) = receipt.tlog_proof.split_at_checked(at) else { continue };
        refused(&Receipt { tlog_proof: before.to_owned(), ..receipt.clone() }, &vkey, &format!("proof cut at {at}"));
        if at > 0 {
            refused(&Receipt { tlog_proof: after.to_owned(), ..receipt.clone() }, &vkey, &format!("proof from {at}"));
        }
        for put_in in ["\n", " ", "A", "0", "\0"] {
            let tlog_proof = format!("{before}{put_in}{after}");
            refused(&Receipt { tlog_proof, ..receipt.clone() }, &vkey, &format!("{put_in:?} in the proof at {at}"));
        }
    }
    for put_in in ["\n", " ", "\0"] {
        let tlog_proof = format!("{}{put_in}", receipt.tlog_proof);
        refused(&Receipt { tlog_proof, ..receipt.clone() }, &vkey, &format!("{put_in:?} after the proof"));
    }
    for at in 0..receipt.leaf.len() {
        refused(&Receipt { leaf: receipt.leaf[..at].to_vec(), ..receipt.clone() }, &vkey, &format!("leaf cut at {at}"));
    }
    for at in 0..receipt.record.len() {
        refused(&Receipt { record: receipt.record[..at].to_vec(), ..receipt.clone() }, &vkey, &format!("record cut at {at}"));
    }
    let longer = |bytes: &[u8]| bytes.iter().copied().chain([0]).collect::<Vec<u8>>();
    refused(&Receipt { leaf: longer(&receipt.leaf), ..receipt.clone() }, &vkey, "a byte after the leaf");
    refused(&Receipt { record: longer(&receipt.record), ..receipt.clone() }, &vkey, "a byte after the record");
    // Whole lines: a hash left out, said twice, in another order.
    let lines: Vec<&str> = receipt.tlog_proof.lines().collect();
    let hashes = 2..lines.iter().position(|line| line.is_empty()).unwrap();
    assert!(hashes.len() > 3);
    let joined = |lines: Vec<&str>| Receipt { tlog_proof: format!("{}\n", lines.join("\n")), ..receipt.clone() };
    assert_eq!(joined(lines.clone()), receipt);
    for at in hashes.clone() {
        let mut fewer = lines.clone();
        fewer.remove(at);
        refused(&joined(fewer), &vkey, "a hash left out");
        let mut more = lines.clone();
        more.insert(at, lines[at]);
        refused(&joined(more), &vkey, "a hash twice");
        if hashes.contains(&(at + 1)) {
            let mut swapped = lines.clone();
            swapped.swap(at, at + 1);
            refused(&joined(swapped), &vkey, "hashes in another order");
        }
    }
}

#[test]
fn another_key_name_or_log() {
    let log = Log::new(1, 3);
    let receipt = log.receipt(5);
    let other_key = VerifierKey::new(&log.origin, SigningKey::from_bytes(&[2; 32]).verifying_key()).unwrap();
    assert_eq!(code(&receipt, &other_key), "RECEIPT_PROOF_WRONG");
    let other_name = VerifierKey::new("lab.example/00112233445566778899aabbccddeeff", log.key.verifying_key()).unwrap();
    assert_eq!(code(&receipt, &other_name), "RECEIPT_PROOF_WRONG");
    // A second history under the same name and with the same key has another founding, so another origin.
    let second = Log::new(1, 4);
    assert_ne!(second.origin, log.origin);
    assert_eq!(code(&second.receipt(5), &log.vkey()), "RECEIPT_PROOF_WRONG");
    // The log's own key under that other origin: the record tells where it belongs.
    let moved = log.receipt_under(&second.origin, 5, log.size());
    assert_eq!(code(&moved, &second.vkey()), "RECEIPT_ORIGIN_DIFFERS");
    assert_eq!(code(&log.receipt_under(&second.origin, 0, log.size()), &second.vkey()), "RECEIPT_ORIGIN_DIFFERS");
}

#[test]
fn another_index_leaf_record_or_checkpoint() {
    let log = Log::new(1, 5);
    let vkey = log.vkey();
    let receipt = log.receipt(5);
    assert_eq!(code(&receipt, &vkey), "");
    for index in (0..log.size()).filter(|index| *index != 5) {
        assert_eq!(code(&Receipt { index, ..receipt.clone() }, &vkey), "RECEIPT_INDEX_DIFFERS");
        // The number changed in both places.
        let tlog_proof = receipt.tlog_proof.replace("\nindex 5\n", &format!("\nindex {index}\n"));
        assert_eq!(code(&Receipt { index, tlog_proof, ..receipt.clone() }, &vkey), "RECEIPT_PROOF_WRONG");
        let other = log.receipt(index);
        assert_eq!(code(&Receipt { record: other.record.clone(), ..receipt.clone() }, &vkey), "RECEIPT_DIGEST_DIFFERS");
        assert_eq!(code(&Receipt { leaf: other.leaf.clone(), ..receipt.clone() }, &vkey), "RECEIPT_PROOF_WRONG");
        let both = Receipt { leaf: other.leaf, record: other.record, ..receipt.clone() };
        assert_eq!(code(&both, &vkey), "RECEIPT_PROOF_WRONG");
    }
    // The hashes of one checkpoint with the note of another.
    let earlier = log.receipt_under(&log.origin, 5, 6);
    let (head, _) = receipt.tlog_proof.split_once("\n\n").unwrap();
    let (_, note) = earlier.tlog_proof.split_once("\n\n").unwrap();
    assert_eq!(code(&Receipt { tlog_proof: format!("{head}\n\n{note}"), ..receipt.clone() }, &vkey), "RECEIPT_PROOF_WRONG");
    // For another record than the one that was sent.
    let sent = digest(&log.entries[6].1);
    assert!(matches!(receipt.verify(&vkey, Some(sent)), Err(ReceiptError::OtherRecord)));
}

#[test]
fn a_leaf_or_record_that_the_log_holds_must_still_be_well_formed() {
    let mut log = Log::new(1, 6);
    let whole = log.entries[3].clone();
    // A log that signs anything: what it holds is not taken on its word.
    log.entries[3].0.push(0);
    assert_eq!(code(&log.receipt(3), &log.vkey()), "RECEIPT_LEAF_MALFORMED");
    let mut leaf = Leaf::decode(&whole.0).unwrap();
    let mut record = whole.1.clone();
    record.extend([0xf8, 0x7f, 0x01]);
    leaf.digest = digest(&record);
    log.entries[3] = (leaf.encode(), record);
    assert_eq!(code(&log.receipt(3), &log.vkey()), "RECEIPT_RECORD_MALFORMED");
    log.entries[3] = whole;
    assert_eq!(code(&log.receipt(3), &log.vkey()), "");
}

#[test]
fn signatures_are_checked_with_keys_that_the_caller_trusts() {
    let mut log = Log::new(1, 7);
    let receipt = log.receipt(4);
    receipt.verify_signatures(&keyring()).unwrap();
    let nobody = std::collections::BTreeMap::new();
    assert_eq!(receipt.verify_signatures(&nobody).unwrap_err().code(), "RECEIPT_SIGNATURE_WRONG");
    // The log may hold a forged signature; the receipt then proves only that it does.
    let mut leaf = Leaf::decode(&receipt.leaf).unwrap();
    leaf.signings[0].signature[10] ^= 1;
    log.entries[4].0 = leaf.encode();
    let forged = log.receipt(4);
    assert_eq!(code(&forged, &log.vkey()), "");
    assert_eq!(forged.verify_signatures(&keyring()).unwrap_err().code(), "RECEIPT_SIGNATURE_WRONG");
}

#[test]
fn what_others_add_beside_the_log_s_signature_changes_nothing() {
    let log = Log::new(1, 8);
    let receipt = log.receipt(5);
    let (_, note) = receipt.tlog_proof.split_once("\n\n").unwrap();
    let (text, _) = note.rsplit_once("\n\n").unwrap();
    let witness = SigningKey::from_bytes(&[9; 32]);
    let signed = marrowline_merkle::note::sign(&format!("{text}\n"), "witness.example", &witness).unwrap();
    let cosignature = signed.lines().last().unwrap();
    let tlog_proof = format!("{}{cosignature}\n", receipt.tlog_proof);
    assert_eq!(code(&Receipt { tlog_proof, ..receipt.clone() }, &log.vkey()), "");
    // Only the witness's signature: not the log's.
    let own = note.lines().last().unwrap();
    let tlog_proof = receipt.tlog_proof.replace(own, cosignature);
    assert_eq!(code(&Receipt { tlog_proof, ..receipt.clone() }, &log.vkey()), "RECEIPT_PROOF_WRONG");
    let proof = TlogProof::parse(&receipt.tlog_proof).unwrap().with_extra(b"anything".to_vec()).unwrap();
    assert_eq!(code(&Receipt { tlog_proof: proof.to_string(), ..receipt }, &log.vkey()), "");
}

/// Every decoder that reads what others wrote: 4 000 spoiled inputs each, or `MARROWLINE_HOSTILE_CASES`.
#[test]
fn no_decoder_panics_and_none_takes_what_was_spoiled() {
    let cases = cases(4_000);
    let log = Log::new(7, 3);
    let receipt = log.receipt(5);
    let (vkey, ring) = (log.vkey(), keyring());
    let (vkey_text, proof) = (vkey.to_string(), receipt.tlog_proof.clone());
    let note = proof.split_once("\n\n").map_or(proof.as_str(), |(_, note)| note).to_owned();
    let checkpoint = Note::parse(&note).unwrap().text().to_owned();
    assert!(SignedCheckpoint::open(&note, &vkey).is_ok() && Checkpoint::parse(&checkpoint).is_ok());
    let mut noise = Noise(0x6d61_7272_6f77_2100);
    let (mut taken, mut read) = (0, [0u64; 6]);
    for _ in 0..cases {
        let mut spoiled = receipt.clone();
        spoiled.leaf = noise.spoiled(&receipt.leaf);
        if let Ok(leaf) = Leaf::decode(&spoiled.leaf) {
            read[0] += 1;
            assert_eq!(leaf.encode(), spoiled.leaf);
        }
        assert!(spoiled.verify(&vkey, None).is_err());
        let mut spoiled = receipt.clone();
        spoiled.record = noise.spoiled(&receipt.record);
        if let Ok(record) = marrowline_record::decode(&spoiled.record) {
            read[1] += 1;
            assert_eq!(encode(&record), spoiled.record);
        }
        assert!(spoiled.verify(&vkey, None).is_err());
        let mut spoiled = receipt.clone();
        spoiled.tlog_proof = noise.spoiled_text(&proof);
        // Only what the format leaves open (an extra line, another signature) may still hold, and it leads to the same leaf.
        taken += u64::from(spoiled.verify(&vkey, None).is_ok());
        read[2] += u64::from(TlogProof::parse(&noise.spoiled_text(&proof)).is_ok());
        let changed = noise.spoiled_text(&note);
        if let Ok(note) = Note::parse(&changed) {
            read[3] += 1;
            assert_eq!(note.to_string(), changed);
        }
        let opened = SignedCheckpoint::open(&changed, &vkey);
        assert!(
            opened.is_err()
                || opened.is_ok_and(|signed| changed.starts_with(&format!("{checkpoint}\n")) && signed.checkpoint().size() > 0)
        );
        read[4] += u64::from(Checkpoint::parse(&noise.spoiled_text(&checkpoint)).is_ok());
        read[5] += u64::from(VerifierKey::parse(noise.spoiled_text(&format!("{vkey_text}\n")).trim()).is_ok());
        let mut signings = Leaf::decode(&receipt.leaf).unwrap().signings;
        if let Some(signing) = signings.first_mut() {
            signing.signature[noise.below(64)] ^= 1 << noise.below(8);
            assert!(marrowline_record::open(receipt.record.clone(), signings, &ring).is_err());
        }
    }
    println!("{cases} spoiled receipts: {read:?} leaves, records, proofs, notes, checkpoints and keys read; {taken} proofs hold");
    assert!(taken < cases / 50, "{taken} of {cases} spoiled proofs hold");
    // A key has a checksum in its text: only white space around it may be another.
    assert!(read[..5].iter().all(|read| *read > cases / 20) && read[5] > 0, "{read:?} of {cases}");
}
