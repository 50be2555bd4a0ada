//! Data that nobody here wrote: the proofs of transparency-dev/merkle and the tiles of sunlight.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its shared parts too"
)]

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, VerifyingKey};
use marrowline_merkle::{
    Checkpoint, Edge, Hash, MemoryTiles, Note, TreeReader, hash_from_slice, inclusion_proof, leaf_hash, root_of,
    verify_consistency, verify_inclusion,
};
use serde_json::Value;

fn vectors(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors").join(folder)
}

fn json_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            json_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
}

fn cases(folder: &str) -> Vec<(String, Value)> {
    let mut files = Vec::new();
    json_files(&vectors(folder), &mut files);
    files
        .iter()
        .map(|path| {
            let case = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
            (path.display().to_string(), case)
        })
        .collect()
}

/// A hash of a vector. Where a vector does not care it gives a word instead of a hash, which a
/// whole hash stands in for here: equal words stay equal. No bytes at all are no hash.
fn hash(value: &Value) -> Option<Hash> {
    let bytes = STANDARD.decode(value.as_str().unwrap()).unwrap();
    if bytes.starts_with(b"don't care") {
        return Some(leaf_hash(&bytes));
    }
    hash_from_slice(&bytes).ok()
}

fn hashes(value: &Value) -> Option<Vec<Hash>> {
    value.as_array().map_or(Some(vec![]), |all| all.iter().map(hash).collect())
}

#[test]
fn every_inclusion_vector_is_obeyed() {
    let cases = cases("merkle/testdata/inclusion");
    assert_eq!(cases.len(), 98);
    for (path, case) in &cases {
        let verify = || {
            let index = case["leafIdx"].as_u64()?;
            let size = case["treeSize"].as_u64()?;
            let (leaf, root) = (hash(&case["leafHash"])?, hash(&case["root"])?);
            verify_inclusion(index, size, &leaf, &hashes(&case["proof"])?, &root).ok()
        };
        assert_eq!(verify().is_none(), case["wantErr"] == true, "{path}");
    }
}

#[test]
fn every_consistency_vector_is_obeyed() {
    let cases = cases("merkle/testdata/consistency");
    assert_eq!(cases.len(), 98);
    for (path, case) in &cases {
        let verify = || {
            let (old, new) = (case["size1"].as_u64()?, case["size2"].as_u64()?);
            let (old_root, new_root) = (hash(&case["root1"])?, hash(&case["root2"])?);
            verify_consistency(old, new, &old_root, &new_root, &hashes(&case["proof"])?).ok()
        };
        assert_eq!(verify().is_none(), case["wantErr"] == true, "{path}");
    }
}

/// Strictness is the verifier's own, not only its callers'.
#[test]
fn equal_sizes_of_zero_are_refused_whatever_the_roots() {
    for root in [leaf_hash(b"don't care"), marrowline_merkle::empty_root()] {
        for new in [0, 1, 2, u64::MAX] {
            assert!(verify_consistency(0, new, &root, &root, &[]).is_err());
            assert!(verify_consistency(0, new, &root, &root, &[root]).is_err());
        }
        assert!(verify_inclusion(0, 0, &root, &[], &root).is_err());
        assert!(verify_inclusion(0, 1, &root, &[], &root).is_ok());
    }
}

const MIRROR: &str = "tlog-tiles-sunlight/witness/mirror/\
                      000de184301123b9278c086a7d9f68c9577e83872224c197058fd90784ea9706";

fn tile(path: &str) -> Vec<Hash> {
    let bytes = std::fs::read(vectors(MIRROR).join("tile").join(path)).unwrap();
    bytes.chunks(32).map(|chunk| hash_from_slice(chunk).unwrap()).collect()
}

#[test]
fn the_tiles_of_a_stranger_give_the_root_of_its_checkpoint() {
    let note = std::fs::read_to_string(vectors(MIRROR).join("checkpoint")).unwrap();
    let checkpoint = Checkpoint::parse(Note::parse(&note).unwrap().text()).unwrap();
    assert_eq!(checkpoint.size(), 300);
    let (full, partial, above) = (tile("0/000"), tile("0/001.p/44"), tile("1/000.p/1"));
    assert_eq!((full.len(), partial.len(), above.len()), (256, 44, 1));

    // Our own tree over the same leaves hands over the very same tiles.
    let mut edge = Edge::new();
    let mut completed = Vec::new();
    for n in 0..300 {
        edge.append(leaf_hash(format!("record {n}").as_bytes()), &mut completed);
    }
    assert_eq!(edge.root(), *checkpoint.root());
    assert_eq!(completed.len(), 1);
    assert_eq!((completed[0].level, completed[0].index), (0, 0));
    assert_eq!(completed[0].hashes, full);
    assert_eq!(edge.partial_tile(0), partial);
    assert_eq!(edge.partial_tile(1), above);

    // And theirs, read back, are a tree of ours.
    let rebuilt = Edge::rebuild(
        300,
        |index| Ok::<_, ()>(partial[index as usize - 256]),
        |level, index| {
            assert_eq!((level, index), (0, 0));
            Ok(full.clone())
        },
    )
    .unwrap();
    assert_eq!(rebuilt.root(), *checkpoint.root());
    assert_eq!(rebuilt.partial_tile(1), above);
    let all: Vec<Hash> = full.iter().chain(&partial).copied().collect();
    assert_eq!(root_of(&all), *checkpoint.root());
    let mut tiles = MemoryTiles::default();
    tiles.extend(completed);
    let mut reader = TreeReader::new(&rebuilt, &tiles);
    for (index, leaf) in (0..).zip(&all) {
        let proof = inclusion_proof(index, 300, &mut reader).unwrap();
        verify_inclusion(index, 300, leaf, &proof, checkpoint.root()).unwrap();
    }
}

#[test]
fn a_cosignature_of_another_type_is_kept_whole() {
    let text = std::fs::read_to_string(vectors(MIRROR).join("checkpoint")).unwrap();
    let note = Note::parse(&text).unwrap();
    let metadata = std::fs::read(vectors("tlog-tiles-sunlight/witness/mirror/mirror.v0.json"));
    let metadata: Value = serde_json::from_slice(&metadata.unwrap()).unwrap();
    let vkey = metadata["verifier_keys"][0].as_str().unwrap();
    let [name, id, encoded] = vkey.splitn(3, '+').collect::<Vec<_>>()[..] else {
        panic!("{vkey}");
    };
    let [line] = note.signatures() else {
        panic!("{note}");
    };
    assert_eq!((line.name.as_str(), format!("{:08x}", line.key_id).as_str()), (name, id));

    // Type 0x04, a witness's cosignature: eight bytes of time, then Ed25519.
    let (seconds, signature) = line.signature.split_first_chunk::<8>().unwrap();
    let seconds = u64::from_be_bytes(*seconds);
    let message = format!("cosignature/v1\ntime {seconds}\n{}", note.text());
    let key = STANDARD.decode(encoded).unwrap();
    assert_eq!(key[0], 4);
    let key = VerifyingKey::from_bytes(&key[1..].try_into().unwrap()).unwrap();
    let signature = Signature::from_slice(signature).unwrap();
    key.verify_strict(message.as_bytes(), &signature).unwrap();
}
