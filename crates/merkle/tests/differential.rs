//! The same questions put to two implementations that other people wrote, `tlog_tiles` with
//! `signed_note`, and `ct-merkle`: the answers must be the same bytes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its shared parts too"
)]

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use ed25519_dalek::SigningKey;
use marrowline_merkle::{
    Checkpoint, Edge, Hash, MemoryTiles, Note, SignedCheckpoint, TileSource as _, TreeReader, VerifierKey, consistency_proof,
    inclusion_proof, leaf_hash, note, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use sha2::Sha256;
use signed_note::{StandardSigner, StandardVerifier, VerifierList};
use std::sync::LazyLock;
use tlog_tiles::tile::Tile;
use tlog_tiles::tlog::{self, HashReader};

fn leaf(n: u64) -> Vec<u8> {
    format!("leaf {n}").into_bytes()
}

/// All hashes of a tree in the order that `tlog_tiles` stores them.
struct Stored(Vec<tlog::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        Ok(indexes.iter().map(|index| self.0[*index as usize]).collect())
    }
}

struct Both {
    edge: Edge,
    tiles: MemoryTiles,
    stored: Stored,
}

const LEAVES: u64 = 66_000;

static BOTH: LazyLock<Both> = LazyLock::new(|| {
    let mut both = Both { edge: Edge::new(), tiles: MemoryTiles::default(), stored: Stored(vec![]) };
    let mut completed = vec![];
    for n in 0..LEAVES {
        both.edge.append(leaf_hash(&leaf(n)), &mut completed);
        let hashes = tlog::stored_hashes(n, &leaf(n), &both.stored).unwrap();
        both.stored.0.extend(hashes);
        both.tiles.extend(completed.drain(..));
    }
    both
});

fn theirs(hashes: &[Hash]) -> Vec<tlog::Hash> {
    hashes.iter().copied().map(tlog::Hash).collect()
}

#[test]
fn the_full_tiles_are_the_same() {
    let mut full = 0;
    for tile in Tile::new_tiles(8, 0, LEAVES) {
        let data = tile.read_data(&BOTH.stored).unwrap();
        let ours = if tile.width() == 256 {
            full += 1;
            BOTH.tiles.full_tile(tile.level(), tile.level_index()).unwrap()
        } else {
            BOTH.edge.partial_tile(tile.level()).to_vec()
        };
        assert_eq!(ours.concat(), data, "{}", tile.path());
    }
    assert_eq!(full, 257 + 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn tlog_tiles_makes_and_accepts_the_same_proofs(size in 1..=LEAVES, index: u64, old: u64) {
        let mut reader = TreeReader::new(&BOTH.edge, &BOTH.tiles);
        let root = reader.root_at(size).unwrap();
        prop_assert_eq!(tlog::tree_hash(size, &BOTH.stored).unwrap().0, root);

        let index = index % size;
        let hash = leaf_hash(&leaf(index));
        let proof = inclusion_proof(index, size, &mut reader).unwrap();
        let other = tlog::prove_record(size, index, &BOTH.stored).unwrap();
        prop_assert_eq!(&theirs(&proof), &other);
        tlog::check_record(&other, size, tlog::Hash(root), index, tlog::Hash(hash)).unwrap();
        prop_assert_eq!(verify_inclusion(index, size, &hash, &proof, &root), Ok(()));

        let old = old % size + 1;
        let old_root = reader.root_at(old).unwrap();
        let proof = consistency_proof(old, size, &mut reader).unwrap();
        let other = tlog::prove_tree(size, old, &BOTH.stored).unwrap();
        prop_assert_eq!(&theirs(&proof), &other);
        let (new_root, old_hash) = (tlog::Hash(root), tlog::Hash(old_root));
        tlog::check_tree(&other, size, new_root, old, old_hash).unwrap();
        prop_assert_eq!(verify_consistency(old, size, &old_root, &root, &proof), Ok(()));
    }

    /// Random hashes in random number: all three verifiers refuse or accept alike.
    #[test]
    fn the_verifiers_agree_about_spoiled_proofs(
        size in 1_u64..600, index: u64, spoil in 0_usize..12, bit in 0_usize..256, what in 0..5,
    ) {
        let mut reader = TreeReader::new(&BOTH.edge, &BOTH.tiles);
        let root = reader.root_at(size).unwrap();
        let index = index % size;
        let mut proof = inclusion_proof(index, size, &mut reader).unwrap();
        let mut stated = index;
        let at = spoil % proof.len().max(1);
        match what {
            0 => { if let Some(hash) = proof.get_mut(at) { hash[bit / 8] ^= 1 << (bit % 8) } }
            1 if !proof.is_empty() => { proof.remove(at); }
            2 => proof.insert(at, [bit as u8; 32]),
            3 => stated = (index + 1 + spoil as u64) % (size + 1),
            _ => {}
        }
        let hash = leaf_hash(&leaf(index));
        let ours = verify_inclusion(stated, size, &hash, &proof, &root).is_ok();
        let check = tlog::check_record(
            &theirs(&proof), size, tlog::Hash(root), stated, tlog::Hash(hash));
        prop_assert_eq!(ours, check.is_ok());
        let proof = InclusionProof::<Sha256>::try_from_bytes(proof.concat()).unwrap();
        let check = RootHash::<Sha256>::new(root.into(), size)
            .verify_inclusion(&leaf(index), stated, &proof);
        prop_assert_eq!(ours, check.is_ok());
    }

    #[test]
    fn the_notes_are_the_same(seed: [u8; 32], name in "[a-z./]{1,20}", text in "[a-zA-Z0-9 —é\n]{0,80}") {
        let text = format!("{text}\n");
        let key = SigningKey::from_bytes(&seed);
        let ours = VerifierKey::new(&name, key.verifying_key()).unwrap();
        let vkey = ours.to_string();
        let verifier = StandardVerifier::new(&vkey).unwrap();

        let signed = note::sign(&text, &name, &key).unwrap();
        let read = signed_note::Note::from_bytes(signed.as_bytes()).unwrap();
        prop_assert_eq!(read.text(), text.as_bytes());
        read.verify(&VerifierList::new(vec![Box::new(verifier)])).unwrap();

        let id = ours.key_id();
        let secret = [&[1], seed.as_slice()].concat();
        let secret = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, secret);
        let signer = StandardSigner::new(&format!("PRIVATE+KEY+{name}+{id:08x}+{secret}")).unwrap();
        let mut note = signed_note::Note::new(text.as_bytes(), &[]).unwrap();
        note.add_sigs(&[&signer]).unwrap();
        prop_assert_eq!(String::from_utf8(note.to_bytes()).unwrap(), signed);
    }

    /// What we accept, they accept, and read as the same; being stricter is ours to choose.
    #[test]
    fn a_note_that_we_read_is_read_alike(at in 0_usize..300, to in 0_u8..128, cut in 0_usize..3) {
        let key = SigningKey::from_bytes(&[1; 32]);
        let checkpoint = Checkpoint::new("a.example/log", 300, [7; 32]).unwrap();
        let mut bytes = checkpoint.sign(&key).unwrap().into_bytes();
        let at = at % bytes.len();
        if cut == 0 { bytes.remove(at); } else { bytes[at] = to; }
        if let Ok(text) = std::str::from_utf8(&bytes)
            && let Ok(ours) = Note::parse(text)
        {
            let other = signed_note::Note::from_bytes(&bytes).unwrap();
            prop_assert_eq!(ours.text().as_bytes(), other.text());
            prop_assert_eq!(other.to_bytes(), bytes);
            if let Ok(ours) = Checkpoint::parse(ours.text()) {
                let other = tlog_tiles::checkpoint::Checkpoint::from_bytes(other.text());
                // Theirs wants an end that ours never has; its loose reader takes the same three lines.
                let other = other.or_else(|_| tlog_tiles::checkpoint::Checkpoint::from_reader(
                    &mut std::io::Cursor::new(ours.to_string()), false)).unwrap();
                prop_assert_eq!(other.origin(), ours.origin());
                prop_assert_eq!(other.size(), ours.size());
                prop_assert_eq!(&other.hash().0, ours.root());
            }
        }
    }
}

#[test]
fn ct_merkle_makes_and_accepts_the_same_proofs() {
    let mut other = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut reader = TreeReader::new(&BOTH.edge, &BOTH.tiles);
    for size in 1..=520_u64 {
        other.push(leaf(size - 1));
        let root = other.root();
        assert_eq!(root.as_bytes().as_slice(), reader.root_at(size).unwrap());
        for index in (0..size).filter(|index| (index + size) % 7 == 0 || index + 1 == size) {
            let proof = inclusion_proof(index, size, &mut reader).unwrap().concat();
            assert_eq!(other.prove_inclusion(index as usize).as_bytes(), proof);
            let proof = InclusionProof::try_from_bytes(proof).unwrap();
            root.verify_inclusion(&leaf(index), index, &proof).unwrap();
        }
        for old in (1..size).filter(|old| (old + size) % 7 == 0) {
            let proof = consistency_proof(old, size, &mut reader).unwrap().concat();
            let additions = (size - old) as usize;
            assert_eq!(other.prove_consistency(additions).as_bytes(), proof);
            let old_root = RootHash::<Sha256>::new(reader.root_at(old).unwrap().into(), old);
            let proof = ConsistencyProof::try_from_bytes(proof).unwrap();
            root.verify_consistency(&old_root, &proof).unwrap();
        }
    }
}

#[test]
fn a_signed_checkpoint_is_theirs_too() {
    let key = SigningKey::from_bytes(&[1; 32]);
    let log = VerifierKey::new("a.example/log", key.verifying_key()).unwrap();
    let checkpoint = Checkpoint::new(log.name(), LEAVES, BOTH.edge.root()).unwrap();
    let text = checkpoint.sign(&key).unwrap();
    let opened = SignedCheckpoint::open(&text, &log).unwrap();
    let mut body = std::io::Cursor::new(opened.note().text());
    let other = tlog_tiles::checkpoint::Checkpoint::from_reader(&mut body, false).unwrap();
    assert_eq!(other.size(), LEAVES);
    assert_eq!(other.hash().0, BOTH.edge.root());
    assert_eq!(other.to_bytes(), opened.note().text().as_bytes());
}
