//! What the tree costs beside the hashing of leaves, and what it would cost with `tlog_tiles`
//! instead: all in one run, so that the ratios hold on any machine.
//!
//! `cargo run --release -p marrowline-merkle --example tree_speed`

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

use marrowline_merkle::{Edge, Hash, MemoryTiles, TreeReader, inclusion_proof, leaf_hash};
use tlog_tiles::tile::{Tile, TileHashReader, TileReader};
use tlog_tiles::tlog::{self, HashReader};

const LEAVES: u64 = 1_000_000;
const BATCH: u64 = 256;
const BATCHES: u64 = 40;
const LEAF_BYTES: usize = 600;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Every hash of the tree in memory: the fastest reader that `tlog_tiles` can have, and one that
/// grows with the log.
struct Stored(Vec<tlog::Hash>);

impl HashReader for Stored {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<tlog::Hash>, tlog::Error> {
        let read = |index: &u64| self.0.get(usize::try_from(*index).ok()?).copied();
        let hashes: Option<Vec<_>> = indexes.iter().map(read).collect();
        hashes.ok_or(tlog::Error::IndexesNotInTree)
    }
}

impl Stored {
    fn append(&mut self, index: u64, leaf: Hash) -> Outcome<()> {
        let hashes = tlog::stored_hashes_for_record_hash(index, tlog::Hash(leaf), self)?;
        self.0.extend(hashes);
        Ok(())
    }
}

/// The same tree as tiles, which is how a log that must not grow in memory would keep it.
#[derive(Default)]
struct Tiles(HashMap<(u8, u64, u32), Vec<u8>>);

impl Tiles {
    fn extend(&mut self, old: u64, new: u64, stored: &Stored) -> Outcome<()> {
        for tile in Tile::new_tiles(8, old, new) {
            let key = (tile.level(), tile.level_index(), tile.width());
            self.0.insert(key, tile.read_data(stored)?);
        }
        Ok(())
    }
}

impl TileReader for Tiles {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog::Error> {
        let read = |tile: &Tile| {
            let key = (tile.level(), tile.level_index(), tile.width());
            self.0.get(&key).cloned()
        };
        let data: Option<Vec<_>> = tiles.iter().map(read).collect();
        data.ok_or(tlog::Error::IndexesNotInTree)
    }

    fn save_tiles(&self, _: &[Tile], _: &[Vec<u8>]) {}
}

fn report(what: &str, count: u64, took: Duration) {
    let each = took.as_nanos() / u128::from(count.max(1));
    println!("{what:<66} {each:>8} ns each");
}

fn leaf(index: u64) -> Vec<u8> {
    index.to_be_bytes().into_iter().cycle().take(LEAF_BYTES).collect()
}

/// Both trees, grown alike.
struct Trees {
    edge: Edge,
    tiles: MemoryTiles,
    stored: Stored,
    their_tiles: Tiles,
}

/// How long the parts of a batch took, over all batches.
#[derive(Default)]
struct Took {
    clone: Duration,
    ours: Duration,
    in_memory: Duration,
    over_tiles: Duration,
}

fn main() -> Outcome<()> {
    let leaves: Vec<Vec<u8>> = (0..LEAVES).map(leaf).collect();
    let start = Instant::now();
    let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    report("leaf hash, 600 bytes", LEAVES, start.elapsed());
    drop(leaves);

    let mut trees = grow(&hashes)?;
    let mut took = Took::default();
    for n in 0..BATCHES {
        batch(LEAVES + n * BATCH, &mut trees, &mut took)?;
    }
    let records = BATCH * BATCHES;
    report("batch: append, root, receipts; ours", records, took.ours);
    report("the same, tlog_tiles over all hashes in memory", records, took.in_memory);
    report("receipts alone, tlog_tiles over tiles", records / 16, took.over_tiles);
    report("a clone of our edge (once a batch)", BATCHES, took.clone);
    let mebibytes = (trees.stored.0.len() * 32) >> 20;
    println!("all hashes of {LEAVES} leaves: {mebibytes} MiB; our edge: at most 128 KiB");
    Ok(())
}

fn grow(hashes: &[Hash]) -> Outcome<Trees> {
    let (mut edge, mut tiles, mut completed) = (Edge::new(), MemoryTiles::default(), vec![]);
    let start = Instant::now();
    for hash in hashes {
        edge.append(*hash, &mut completed);
        tiles.extend(completed.drain(..));
    }
    report("append, ours", LEAVES, start.elapsed());

    let mut stored = Stored(vec![]);
    let start = Instant::now();
    for (index, hash) in (0..).zip(hashes) {
        stored.append(index, *hash)?;
    }
    report("append, tlog_tiles over all hashes in memory", LEAVES, start.elapsed());
    let mut their_tiles = Tiles::default();
    their_tiles.extend(0, LEAVES, &stored)?;
    Ok(Trees { edge, tiles, stored, their_tiles })
}

/// One batch on both trees, which must agree about the root and every proof.
fn batch(old: u64, trees: &mut Trees, took: &mut Took) -> Outcome<()> {
    let new = old + BATCH;
    let hashes: Vec<Hash> = (old..new).map(|n| leaf_hash(&leaf(n))).collect();

    let start = Instant::now();
    trees.edge = black_box(trees.edge.clone());
    took.clone += start.elapsed();

    let start = Instant::now();
    let mut completed = vec![];
    for hash in &hashes {
        trees.edge.append(*hash, &mut completed);
    }
    trees.tiles.extend(completed);
    let root = trees.edge.root();
    let mut reader = TreeReader::new(&trees.edge, &trees.tiles);
    let ours: Result<Vec<_>, _> = (old..new).map(|n| inclusion_proof(n, new, &mut reader)).collect();
    took.ours += start.elapsed();

    let start = Instant::now();
    for (index, hash) in (old..).zip(&hashes) {
        trees.stored.append(index, *hash)?;
    }
    let their_root = tlog::tree_hash(new, &trees.stored)?;
    let proofs: Result<Vec<_>, _> = (old..new).map(|n| tlog::prove_record(new, n, &trees.stored)).collect();
    took.in_memory += start.elapsed();

    trees.their_tiles.extend(old, new, &trees.stored)?;
    let start = Instant::now();
    let tile_reader = TileHashReader::new(new, their_root, &trees.their_tiles);
    let from_tiles: Result<Vec<_>, _> = (old..new).step_by(16).map(|n| tlog::prove_record(new, n, &tile_reader)).collect();
    took.over_tiles += start.elapsed();

    let (ours, proofs) = (ours?, proofs?);
    let same = root == their_root.0
        && ours.iter().flatten().eq(proofs.iter().flatten().map(|hash| &hash.0))
        && from_tiles?.iter().eq(proofs.iter().step_by(16));
    if !same {
        return Err("the two trees differ".into());
    }
    Ok(())
}
