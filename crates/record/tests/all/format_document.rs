//! The worked examples of `docs/format.md` are what this code computes.

use marrowline_record::id::KeyId;
use marrowline_record::leaf::{Leaf, Link};
use marrowline_record::origin::Origin;
use marrowline_record::testing::{sign_every_slot, signing_key};
use marrowline_record::{digest, encode, milli, signing, stream};

use crate::bytes::weighing;
use crate::repository;

/// Name and value of each worked example, in the document's order.
fn examples() -> Vec<(&'static str, String)> {
    let record = weighing();
    let bytes = encode(&record);
    let digest = digest(&bytes);
    let signing = sign_every_slot(&record, digest).remove(0);
    let body = signing.body(&digest);
    let public_key = signing_key(1).verifying_key().to_bytes();
    let stream_key = stream::stream_key(8, &[0x33; 16]);
    let leaf = Leaf {
        recorded_at_ms: 1_795_414_201_000,
        rule_set: 1,
        flags: vec![7],
        links: vec![Link { stream_key, seq: 5, prev: [0x44; 32] }],
        digest,
        signings: vec![signing.clone()],
        map_root: None,
    };
    vec![
        ("record", hex::encode(&bytes)),
        ("digest", digest.to_string()),
        ("public_key", hex::encode(public_key)),
        ("key_id", KeyId::of(&public_key).to_string()),
        ("body", hex::encode(body)),
        ("pae", hex::encode(signing::pae(&body))),
        ("signature", hex::encode(signing.signature)),
        ("stream_key", stream_key.to_string()),
        ("authority_stream_key", stream::stream_key(1, &stream::AUTHORITY_ID).to_string()),
        ("signed_hash", hex::encode(leaf.signed_hash())),
        ("leaf", hex::encode(leaf.encode())),
        ("origin", Origin::new("example.org/ledger", &digest).unwrap().to_string()),
    ]
}

#[test]
fn worked_examples_are_what_the_code_computes() {
    let document = std::fs::read_to_string(repository("docs/format.md")).unwrap();
    // A block ```example NAME holds the value, broken into lines.
    for (name, value) in examples() {
        let opening = format!("```example {name}\n");
        let (_, rest) = document.split_once(&opening).unwrap_or_else(|| panic!("no example {name}; expected {value}"));
        let (block, _) = rest.split_once("```").unwrap();
        assert_eq!(block.replace('\n', ""), value, "{name}");
    }
}

#[test]
fn worked_doublings_are_what_the_code_computes() {
    let document = std::fs::read_to_string(repository("docs/format.md")).unwrap();
    let (_, table) = document.split_once("| n | d | milli-doublings |").unwrap();
    let mut rows = 0;
    for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let number = |cell: usize| cells[cell].replace(' ', "").parse::<i128>().unwrap();
        let found = milli::log2_milli(number(1) as u64, number(2) as u64);
        assert_eq!(found.map(i128::from), Some(number(3)), "{row}");
        rows += 1;
    }
    assert!(rows >= 6);
}

#[test]
#[ignore = "prints the values for the document"]
fn print_examples() {
    for (name, value) in examples() {
        let lines: Vec<&str> = value.as_bytes().chunks(96).map(|c| std::str::from_utf8(c).unwrap()).collect();
        println!("```example {name}\n{}\n```", lines.join("\n"));
    }
}
