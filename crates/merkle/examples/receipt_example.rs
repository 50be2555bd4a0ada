//! Writes a small receipt, the leaf that it is for and the log's key, to try a checker on:
//!
//! `cargo run -p marrowline-merkle --example receipt_example -- DIR`
//!
//! The key is made from a fixed seed and is worth nothing.

use std::error::Error;
use std::path::Path;

use ed25519_dalek::SigningKey;
use marrowline_merkle::{Checkpoint, Edge, MemoryTiles, TlogProof, TreeReader, VerifierKey, inclusion_proof, leaf_hash};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: receipt_example DIR")?;
    let folder = Path::new(&folder);
    let (index, size) = (300, 1_000);
    let leaf = |n: u64| format!("leaf {n}").into_bytes();

    let (mut edge, mut tiles, mut completed) = (Edge::new(), MemoryTiles::default(), vec![]);
    for n in 0..size {
        edge.append(leaf_hash(&leaf(n)), &mut completed);
    }
    tiles.extend(completed);
    let key = SigningKey::from_bytes(&[7; 32]);
    let log = VerifierKey::new("log.example/receipts", key.verifying_key())?;
    let checkpoint = Checkpoint::new(log.name(), size, edge.root())?.sign(&key)?;
    let proof = inclusion_proof(index, size, &mut TreeReader::new(&edge, &tiles))?;
    let receipt = TlogProof::new(index, proof, &checkpoint)?;
    receipt.verify(&leaf_hash(&leaf(index)), &log)?;

    std::fs::write(folder.join("log.vkey"), format!("{log}\n"))?;
    std::fs::write(folder.join("leaf.bin"), leaf(index))?;
    std::fs::write(folder.join("receipt.tlog-proof"), receipt.to_string())?;
    Ok(())
}
