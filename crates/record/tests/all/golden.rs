//! Golden bytes in `tests/vectors/records`: records and leaves, good and bad. The files only ever grow: what was accepted once stays
//! accepted with the same digest, what was refused stays refused with the same code.
//!
//! After adding cases: `MARROWLINE_APPEND_VECTORS=1 cargo test -p marrowline-record golden` appends those whose names are new.

use marrowline_record::leaf::Leaf;
use marrowline_record::testing::sample;
use marrowline_record::{EventKind, decode, digest, encode, signing};
use serde_json::{Value, json};

use crate::{malformed, properties, repository};

const FOLDER: &str = "tests/vectors/records";

/// The vectors of a file, after appending the new ones if that is asked for.
fn vectors(file: &str, offered: Vec<Value>) -> Vec<Value> {
    let path = repository(FOLDER).join(file);
    let mut kept: Vec<Value> = std::fs::read(&path).map(|text| serde_json::from_slice(&text).unwrap()).unwrap_or_default();
    if std::env::var_os("MARROWLINE_APPEND_VECTORS").is_some() {
        for vector in offered {
            if kept.iter().all(|k| k["name"] != vector["name"]) {
                kept.push(vector);
            }
        }
        let lines: Vec<String> = kept.iter().map(Value::to_string).collect();
        std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
    }
    assert!(!kept.is_empty(), "{file} is missing or empty");
    kept
}

fn bytes(vector: &Value) -> Vec<u8> {
    hex::decode(vector["bytes"].as_str().unwrap()).unwrap()
}

#[test]
fn good_records_stay_good() {
    let offer =
        |name: String, bytes: Vec<u8>| json!({"name": name, "bytes": hex::encode(&bytes), "digest": digest(&bytes).to_string()});
    let samples = EventKind::all()
        .iter()
        .flat_map(|kind| (0..2).map(move |seed| offer(format!("{kind} {seed}"), encode(&sample(*kind, seed)))));
    let accepted = malformed::accepted().into_iter().map(|(name, record)| offer(name.to_owned(), encode(&record)));
    let vectors = vectors("good-records.json", samples.chain(accepted).collect());
    assert!(vectors.len() >= 2 * EventKind::all().len());
    for vector in vectors {
        let bytes = bytes(&vector);
        let record = decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", vector["name"]));
        assert_eq!(encode(&record), bytes);
        assert_eq!(vector["digest"], digest(&bytes).to_string(), "{}", vector["name"]);
    }
}

#[test]
fn bad_records_stay_bad() {
    let offer = |case: malformed::Case| json!({"name": case.name, "bytes": hex::encode(case.bytes), "code": case.code.as_str(), "path": case.path});
    let vectors = vectors("bad-records.json", malformed::cases().into_iter().map(offer).collect());
    for vector in vectors {
        let refused = decode(&bytes(&vector)).expect_err(vector["name"].as_str().unwrap());
        assert_eq!(
            (refused.code.as_str(), refused.path.as_str()),
            (vector["code"].as_str().unwrap(), vector["path"].as_str().unwrap()),
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn good_leaves_stay_good() {
    let whole = properties::leaf();
    let offer = |name: &str, leaf: &Leaf| json!({"name": name, "bytes": hex::encode(leaf.encode()), "signed_hash": hex::encode(leaf.signed_hash())});
    let offered = vec![
        offer("two streams, two signings, a map root", &whole),
        offer("no map root", &Leaf { map_root: None, ..whole.clone() }),
        offer("no flags", &Leaf { flags: vec![], ..whole.clone() }),
    ];
    for vector in vectors("good-leaves.json", offered) {
        let bytes = bytes(&vector);
        let leaf = Leaf::decode(&bytes).unwrap_or_else(|e| panic!("{}: {e}", vector["name"]));
        assert_eq!(leaf.encode(), bytes);
        assert_eq!(vector["signed_hash"], hex::encode(leaf.signed_hash()));
    }
}

#[test]
fn bad_leaves_stay_bad() {
    let encoded = properties::leaf().encode();
    let offer = |name: &str, bytes: Vec<u8>| {
        let error = Leaf::decode(&bytes).unwrap_err();
        json!({"name": name, "bytes": hex::encode(&bytes), "error": error.to_string()})
    };
    let mark = encoded.len() - 33;
    let with = |position: usize, value: u8| {
        let mut bytes = encoded.clone();
        bytes[position] = value;
        bytes
    };
    let mut offered: Vec<Value> =
        properties::refused_leaves().into_iter().map(|(name, leaf, _)| offer(name, leaf.encode())).collect();
    offered.extend([
        offer("empty", Vec::new()),
        offer("version 2", with(0, 2)),
        offer("map mark 2", with(mark, 2)),
        offer("a byte short", encoded[..encoded.len() - 1].to_vec()),
        offer("a byte long", [encoded.clone(), vec![0]].concat()),
    ]);
    for vector in vectors("bad-leaves.json", offered) {
        let refused = Leaf::decode(&bytes(&vector)).expect_err(vector["name"].as_str().unwrap());
        assert_eq!(vector["error"], refused.to_string(), "{}", vector["name"]);
    }
}

#[test]
fn signatures_stay_the_same() {
    let record = crate::bytes::weighing();
    let digest = digest(&encode(&record));
    let signings = marrowline_record::testing::sign_every_slot(&record, digest);
    let offered = vec![json!({
        "name": "a weighing signed by key 1",
        "digest": digest.to_string(),
        "pae": hex::encode(signing::pae(&signings[0].body(&digest))),
        "bytes": hex::encode(signings[0].to_bytes()),
    })];
    for vector in vectors("signings.json", offered) {
        let signing = signing::Signing::from_bytes(&bytes(&vector).try_into().unwrap()).unwrap();
        let digest = vector["digest"].as_str().unwrap().parse().unwrap();
        assert_eq!(vector["pae"], hex::encode(signing::pae(&signing.body(&digest))));
        let keyring = marrowline_record::testing::keyring();
        assert!(signing.is_signed_by(&keyring[&signing.key_id], &digest), "{}", vector["name"]);
    }
}
