//! The worked bytes of docs/format-tree.md, made again: the page must hold each block as it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its shared parts too"
)]

use ed25519_dalek::SigningKey;
use marrowline_merkle::{
    Checkpoint, Edge, Hash, MemoryTiles, SignedCheckpoint, TileSource as _, TlogProof, TreeReader, VerifierKey,
    consistency_proof, inclusion_proof, leaf_hash, node_hash, root_of, verify_consistency,
};

const PAGE: &str = include_str!("../../../docs/format-tree.md");
const ORIGIN: &str = "ledger.example/00112233445566778899aabbccddeeff";
const LEAVES: [&[u8]; 5] = [b"collected", b"isolated", b"seeded", b"harvested", b"infused"];

fn on_the_page(block: &str) {
    assert!(PAGE.contains(&format!("```text\n{block}```\n")), "docs/format-tree.md lacks this block:\n{block}");
}

fn tree() -> (Vec<Hash>, Edge) {
    let hashes: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(leaf)).collect();
    let mut edge = Edge::new();
    for hash in &hashes {
        edge.append(*hash, &mut vec![]);
    }
    (hashes, edge)
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[0x42; 32])
}

fn log() -> VerifierKey {
    VerifierKey::new(ORIGIN, key().verifying_key()).unwrap()
}

#[test]
fn hashes() {
    let (leaves, edge) = tree();
    let n01 = node_hash(&leaves[0], &leaves[1]);
    let n23 = node_hash(&leaves[2], &leaves[3]);
    let n03 = node_hash(&n01, &n23);
    let mut block = String::new();
    for (n, (leaf, hash)) in LEAVES.iter().zip(&leaves).enumerate() {
        let leaf = String::from_utf8_lossy(leaf);
        block += &format!("h{n}   = SHA-256(00 ‖ \"{leaf}\")\n     = {}\n", hex::encode(hash));
    }
    for (name, of, hash) in [
        ("h01", "h0 ‖ h1", n01),
        ("h23", "h2 ‖ h3", n23),
        ("h03", "h01 ‖ h23", n03),
        ("root", "h03 ‖ h4", node_hash(&n03, &leaves[4])),
    ] {
        block += &format!("{name:<4} = SHA-256(01 ‖ {of})\n     = {}\n", hex::encode(hash));
    }
    on_the_page(&block);
    assert_eq!(edge.root(), node_hash(&n03, &leaves[4]));
}

#[test]
fn proofs() {
    let (leaves, edge) = tree();
    let none = MemoryTiles::default();
    let mut reader = TreeReader::new(&edge, &none);
    let n01 = node_hash(&leaves[0], &leaves[1]);
    let n23 = node_hash(&leaves[2], &leaves[3]);
    assert_eq!(inclusion_proof(2, 5, &mut reader).unwrap(), [leaves[3], n01, leaves[4]]);
    assert_eq!(inclusion_proof(4, 5, &mut reader).unwrap(), [node_hash(&n01, &n23)]);
    let proof = consistency_proof(3, 5, &mut reader).unwrap();
    assert_eq!(proof, [leaves[2], leaves[3], n01, leaves[4]]);
    verify_consistency(3, 5, &root_of(&leaves[..3]), &edge.root(), &proof).unwrap();
    assert_eq!(consistency_proof(4, 5, &mut reader).unwrap(), [leaves[4]]);
    on_the_page(
        "inclusion of leaf 2 in 5      h3, h01, h4\n\
         inclusion of leaf 4 in 5      h03\n\
         consistency of 3 with 5       h2, h3, h01, h4\n\
         consistency of 4 with 5       h4\n",
    );
}

#[test]
fn tiles() {
    let (mut edge, mut tiles, mut completed) = (Edge::new(), MemoryTiles::default(), vec![]);
    for n in 0..300 {
        edge.append(leaf_hash(format!("leaf {n}").as_bytes()), &mut completed);
    }
    tiles.extend(completed);
    let full = tiles.full_tile(0, 0).unwrap();
    on_the_page(&format!(
        "tile/0/000       {} bytes, first hash {}\n\
         tile/0/001.p/44  {} bytes, first hash {}\n\
         tile/1/000.p/1     {} bytes, first hash {}\n\
         root             {}\n",
        full.concat().len(),
        hex::encode(full[0]),
        edge.partial_tile(0).concat().len(),
        hex::encode(edge.partial_tile(0)[0]),
        edge.partial_tile(1).concat().len(),
        hex::encode(edge.partial_tile(1)[0]),
        hex::encode(edge.root()),
    ));
}

#[test]
fn texts() {
    let (leaves, edge) = tree();
    let log = log();
    on_the_page(&format!(
        "secret key   {}\npublic key   {}\nkey id       {:08x}\nvkey         {log}\n",
        hex::encode(key().to_bytes()),
        hex::encode(log.public_key().as_bytes()),
        log.key_id(),
    ));

    let checkpoint = Checkpoint::new(ORIGIN, 5, edge.root()).unwrap();
    let note = checkpoint.sign(&key()).unwrap();
    on_the_page(&note);
    SignedCheckpoint::open(&note, &log).unwrap();

    let none = MemoryTiles::default();
    let proof = inclusion_proof(2, 5, &mut TreeReader::new(&edge, &none)).unwrap();
    let receipt = TlogProof::new(2, proof, &note).unwrap();
    on_the_page(&receipt.to_string());
    let read = TlogProof::parse(&receipt.to_string()).unwrap();
    read.verify(&leaves[2], &log).unwrap();
}
