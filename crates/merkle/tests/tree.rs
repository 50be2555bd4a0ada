//! The tree against the definition itself: every proof of every small tree, the sizes where tiles
//! become full, and every way to ask for what is not there.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking, in its shared parts too"
)]

use marrowline_merkle::{
    Edge, Hash, MemoryTiles, MissingTile, ProofError, ProveError, TileSource, TreeReader, consistency_proof, empty_root,
    inclusion_proof, leaf_hash, root_of, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

fn grow(leaves: &[Hash]) -> (Edge, MemoryTiles) {
    let (mut edge, mut tiles, mut completed) = (Edge::new(), MemoryTiles::default(), vec![]);
    for leaf in leaves {
        edge.append(*leaf, &mut completed);
        tiles.extend(completed.drain(..));
    }
    (edge, tiles)
}

/// PATH of RFC 9162, section 2.1.3.1, word for word.
fn defined_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return vec![];
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut path, sibling) = if index < left.len() {
        (defined_path(index, left), root_of(right))
    } else {
        (defined_path(index - left.len(), right), root_of(left))
    };
    path.push(sibling);
    path
}

/// SUBPROOF of RFC 9162, section 2.1.4.1, word for word.
fn defined_consistency(old: usize, leaves: &[Hash], whole: bool) -> Vec<Hash> {
    if old == leaves.len() {
        return if whole { vec![] } else { vec![root_of(leaves)] };
    }
    let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
    let (mut proof, sibling) = if old <= left.len() {
        (defined_consistency(old, left, whole), root_of(right))
    } else {
        (defined_consistency(old - left.len(), right, false), root_of(left))
    };
    proof.push(sibling);
    proof
}

/// Every inclusion and consistency proof of every size up to 130, from an edge that has just this
/// size, from one that has grown on, and from one where all of it is in stored tiles.
#[test]
fn every_proof_of_every_small_tree() {
    let leaves = leaves(600);
    let roots: Vec<Hash> = (0..=130).map(|n| root_of(&leaves[..n])).collect();
    let grown: Vec<_> = [130, 256, 600].iter().map(|n| grow(&leaves[..*n])).collect();
    for size in 1..=130_usize {
        let exact = grow(&leaves[..size]);
        let mut readers: Vec<_> = grown.iter().chain([&exact]).map(|(edge, tiles)| TreeReader::new(edge, tiles)).collect();
        for index in 0..size {
            let defined = defined_path(index, &leaves[..size]);
            let (at, of) = (index as u64, size as u64);
            for reader in &mut readers {
                assert_eq!(inclusion_proof(at, of, reader).unwrap(), defined);
            }
            verify_inclusion(at, of, &leaves[index], &defined, &roots[size]).unwrap();
        }
        for old in 1..=size {
            let defined = defined_consistency(old, &leaves[..size], true);
            let (from, to) = (old as u64, size as u64);
            for reader in &mut readers {
                assert_eq!(consistency_proof(from, to, reader).unwrap(), defined);
            }
            verify_consistency(from, to, &roots[old], &roots[size], &defined).unwrap();
        }
        for reader in &mut readers {
            assert_eq!(reader.root_at(size as u64).unwrap(), roots[size]);
        }
    }
}

#[test]
fn a_spoiled_proof_is_never_accepted() {
    let leaves = leaves(40);
    for size in 1..=40_usize {
        let root = root_of(&leaves[..size]);
        let of = size as u64;
        for index in 0..size {
            let proof = defined_path(index, &leaves[..size]);
            let check = |at: u64, proof: &[Hash]| verify_inclusion(at, of, &leaves[index], proof, &root);
            for other in (0..of).filter(|other| *other != index as u64) {
                assert!(check(other, &proof).is_err());
            }
            spoil(&proof, |proof| check(index as u64, proof).is_err());
            assert_eq!(verify_inclusion(index as u64, of, &leaf_hash(b"x"), &proof, &root), Err(ProofError::RootDiffers));
        }
        for old in 1..size {
            let old_root = root_of(&leaves[..old]);
            let proof = defined_consistency(old, &leaves[..size], true);
            let check = |old_root: &Hash, root: &Hash, proof: &[Hash]| verify_consistency(old as u64, of, old_root, root, proof);
            spoil(&proof, |proof| check(&old_root, &root, proof).is_err());
            assert!(check(&leaf_hash(b"x"), &root, &proof).is_err());
            assert!(check(&old_root, &leaf_hash(b"x"), &proof).is_err());
            assert!(check(&root, &old_root, &proof).is_err());
        }
    }
}

/// Every hash with a bit turned, each hash left out, and one too many at either end.
fn spoil(proof: &[Hash], refused: impl Fn(&[Hash]) -> bool) {
    for at in 0..proof.len() {
        let mut spoiled = proof.to_vec();
        spoiled[at][31] ^= 1;
        assert!(refused(&spoiled));
        let mut spoiled = proof.to_vec();
        spoiled.remove(at);
        assert!(refused(&spoiled));
    }
    let extra = leaf_hash(b"extra");
    assert!(refused(&[proof, &[extra]].concat()));
    assert!(refused(&[&[extra], proof].concat()));
}

/// Around the first full tile and the first full tile of the level above, where hashes move from
/// the edge to the store.
#[test]
fn sizes_around_full_tiles() {
    let leaves = leaves(66_050);
    let (edge, tiles) = grow(&leaves);
    let mut reader = TreeReader::new(&edge, &tiles);
    let sizes = [255, 256, 257, 511, 512, 513, 65_279, 65_280, 65_281, 65_535, 65_536, 65_537, 65_791, 65_792, 65_793, 66_050];
    for size in sizes {
        let root = root_of(&leaves[..size]);
        let exact = grow(&leaves[..size]);
        let mut exact = TreeReader::new(&exact.0, &exact.1);
        assert_eq!(exact.root_at(size as u64).unwrap(), root);
        assert_eq!(reader.root_at(size as u64).unwrap(), root);
        let indexes = sizes.iter().flat_map(|n| [*n - 1, *n]).chain([0, 1, 127, 128, 32_768]);
        for index in indexes.filter(|index| *index < size) {
            let (at, of) = (index as u64, size as u64);
            let proof = inclusion_proof(at, of, &mut reader).unwrap();
            assert_eq!(inclusion_proof(at, of, &mut exact).unwrap(), proof);
            verify_inclusion(at, of, &leaves[index], &proof, &root).unwrap();
            assert_eq!(reader.leaf_hash_at(at).unwrap(), leaves[index]);
        }
        for old in sizes.into_iter().filter(|old| *old <= size) {
            let (from, to) = (old as u64, size as u64);
            let proof = consistency_proof(from, to, &mut reader).unwrap();
            assert_eq!(consistency_proof(from, to, &mut exact).unwrap(), proof);
            verify_consistency(from, to, &root_of(&leaves[..old]), &root, &proof).unwrap();
        }
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let (edge, tiles) = grow(&leaves(300));
    let mut reader = TreeReader::new(&edge, &tiles);
    let outside = |index, size| ProveError::IndexOutside { index, size };
    let ahead = ProveError::SizeAhead { size: 301, edge_size: 300 };
    assert!(inclusion_proof(299, 300, &mut reader).is_ok());
    assert_eq!(inclusion_proof(300, 300, &mut reader), Err(outside(300, 300)));
    assert_eq!(inclusion_proof(10, 10, &mut reader), Err(outside(10, 10)));
    assert_eq!(inclusion_proof(0, 0, &mut reader), Err(outside(0, 0)));
    assert_eq!(inclusion_proof(0, 301, &mut reader), Err(ahead.clone()));
    assert_eq!(consistency_proof(1, 301, &mut reader), Err(ahead.clone()));
    assert_eq!(reader.root_at(301), Err(ahead));
    assert_eq!(reader.root_at(0), Ok(empty_root()));
    assert_eq!(consistency_proof(0, 5, &mut reader), Err(ProveError::OldSizeZero));
    assert_eq!(consistency_proof(6, 5, &mut reader), Err(ProveError::SizesReversed { old: 6, new: 5 }));
    assert!(reader.leaf_hash_at(299).is_ok());
    assert_eq!(reader.leaf_hash_at(300), Err(outside(300, 300)));
    assert_eq!(verify_inclusion(3, 3, &[0; 32], &[], &[0; 32]), Err(ProofError::IndexOutside { index: 3, size: 3 }));
}

struct Broken(Result<Vec<Hash>, MissingTile>);

impl TileSource for Broken {
    type Error = MissingTile;

    fn full_tile(&self, _: u8, _: u64) -> Result<Vec<Hash>, MissingTile> {
        self.0.clone()
    }
}

#[test]
fn a_tile_that_is_absent_or_cut_is_named() {
    let (edge, _) = grow(&leaves(300));
    let missing = MissingTile { level: 0, index: 0 };
    let source = Broken(Err(missing));
    assert_eq!(
        inclusion_proof(7, 300, &mut TreeReader::new(&edge, &source)),
        Err(ProveError::Tile { level: 0, index: 0, source: missing })
    );
    let source = Broken(Ok(vec![[0; 32]; 255]));
    assert_eq!(
        inclusion_proof(7, 300, &mut TreeReader::new(&edge, &source)),
        Err(ProveError::TileWidth { level: 0, index: 0, found: 255 })
    );
    // The proof of a leaf at the edge needs the root of that tile only, and the edge has it.
    let source = Broken(Err(missing));
    assert!(inclusion_proof(256, 300, &mut TreeReader::new(&edge, &source)).is_ok());
}

#[test]
fn the_batch_of_a_full_tile_reads_it_once() {
    struct Counted<'a>(&'a MemoryTiles, std::cell::Cell<u32>);
    impl TileSource for Counted<'_> {
        type Error = MissingTile;

        fn full_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, MissingTile> {
            self.1.set(self.1.get() + 1);
            self.0.full_tile(level, index)
        }
    }
    let (edge, tiles) = grow(&leaves(512));
    let source = Counted(&tiles, std::cell::Cell::new(0));
    let mut reader = TreeReader::new(&edge, &source);
    for index in 256..512 {
        inclusion_proof(index, 512, &mut reader).unwrap();
    }
    assert_eq!(source.1.get(), 1);
}

proptest! {
    #[test]
    fn any_proof_of_any_middling_tree(size in 1_u64..3_000, index: u64, old: u64, later in 0_u64..700) {
        let leaves = leaves(size + later);
        let (edge, tiles) = grow(&leaves);
        let mut reader = TreeReader::new(&edge, &tiles);
        let root = root_of(&leaves[..size as usize]);
        prop_assert_eq!(reader.root_at(size).unwrap(), root);
        let index = index % size;
        let proof = inclusion_proof(index, size, &mut reader).unwrap();
        prop_assert_eq!(verify_inclusion(index, size, &leaves[index as usize], &proof, &root), Ok(()));
        let old = old % size + 1;
        let old_root = root_of(&leaves[..old as usize]);
        let proof = consistency_proof(old, size, &mut reader).unwrap();
        prop_assert_eq!(verify_consistency(old, size, &old_root, &root, &proof), Ok(()));
    }

    /// A clone is independent: a dropped batch leaves nothing behind.
    #[test]
    fn a_dropped_batch_leaves_nothing_behind(kept in 0_u64..600, dropped in 1_u64..600) {
        let leaves = leaves(kept + 300);
        let (edge, _) = grow(&leaves[..kept as usize]);
        let mut speculative = edge.clone();
        for n in 0..dropped {
            speculative.append(leaf_hash(&n.to_le_bytes()), &mut vec![]);
        }
        let mut edge = edge;
        for leaf in &leaves[kept as usize..] {
            edge.append(*leaf, &mut vec![]);
        }
        prop_assert_eq!(edge.root(), root_of(&leaves));
    }

    #[test]
    fn no_input_makes_a_verifier_panic(a: u64, b: u64, length in 0_usize..70) {
        let proof = vec![[1; 32]; length];
        let _ = verify_inclusion(a, b, &[1; 32], &proof, &[1; 32]);
        let _ = verify_consistency(a, b, &[1; 32], &[1; 32], &proof);
        let _ = verify_consistency(a, u64::MAX, &[1; 32], &[1; 32], &proof);
    }
}
