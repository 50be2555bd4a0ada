//! Making proofs, for any size up to the edge's, from the edge and the stored full tiles.

use std::collections::BTreeMap;

use crate::edge::{CompletedTile, Edge, ROWS, TileRows, full_tiles, split_height};
use crate::hash::{Hash, empty_root, node_hash};

/// Where full tiles are read from. The store implements it.
pub trait TileSource {
    /// What a failed read looks like.
    type Error;

    /// The 256 hashes of a full tile. It is only asked for tiles that the tree has completed.
    ///
    /// # Errors
    ///
    /// The tile cannot be read. An absent tile is an error too.
    fn full_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// An edge and the full tiles to its left: together, every node of the tree.
///
/// The source must hold every tile that was completed up to the edge's size. The reader keeps the
/// last tile of each level that it opened, so the receipts of one batch cost one read a level:
/// make one reader for the batch.
#[derive(Debug)]
pub struct TreeReader<'a, S> {
    edge: &'a Edge,
    source: &'a S,
    /// By level: the index of the tile opened last, with its rows.
    opened: BTreeMap<u8, (u64, TileRows)>,
}

impl<'a, S: TileSource> TreeReader<'a, S> {
    /// Reads the tree that ends in `edge` and whose full tiles are in `source`.
    pub fn new(edge: &'a Edge, source: &'a S) -> Self {
        Self { edge, source, opened: BTreeMap::new() }
    }

    /// The number of leaves of the edge: the largest size that proofs can be made for.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root that the tree had at `size` leaves.
    ///
    /// # Errors
    ///
    /// A size above the edge's, and whatever goes wrong with a tile.
    pub fn root_at(&mut self, size: u64) -> Result<Hash, ProveError<S::Error>> {
        self.check_size(size)?;
        if size == 0 {
            return Ok(empty_root());
        }
        self.range_root(0, size)
    }

    /// The hash of one leaf.
    ///
    /// # Errors
    ///
    /// An index at or above the edge's size, and whatever goes wrong with a tile.
    pub fn leaf_hash_at(&mut self, index: u64) -> Result<Hash, ProveError<S::Error>> {
        let size = self.size();
        if index >= size {
            return Err(ProveError::IndexOutside { index, size });
        }
        self.node(0, index)
    }

    fn check_size(&self, size: u64) -> Result<(), ProveError<S::Error>> {
        if size > self.size() {
            return Err(ProveError::SizeAhead { size, edge_size: self.size() });
        }
        Ok(())
    }

    /// The root over the leaves from `low` up to `high`, where `low` is where a subtree of the
    /// tree begins: its largest perfect subtrees, joined from the right.
    fn range_root(&mut self, low: u64, high: u64) -> Result<Hash, ProveError<S::Error>> {
        let mut right: Option<Hash> = None;
        let mut end = high;
        while end > low {
            let height = (end - low).trailing_zeros() as u8;
            let begin = end - (1 << height);
            let left = self.node(height, begin >> height)?;
            right = Some(right.map_or(left, |right| node_hash(&left, &right)));
            end = begin;
        }
        Ok(right.unwrap_or_else(empty_root))
    }

    /// The root of the perfect subtree of `2^height` leaves at `position`.
    fn node(&mut self, height: u8, position: u64) -> Result<Hash, ProveError<S::Error>> {
        let (level, row) = split_height(height);
        let shift = ROWS - row;
        let index = position >> shift;
        let absent = ProveError::NodeAbsent { height, position };
        if index >= full_tiles(self.edge.size(), level) {
            return self.edge.node(height, position).ok_or(absent);
        }
        let offset = position - (index << shift);
        self.open(level, index)?.node(row, offset).ok_or(absent)
    }

    fn open(&mut self, level: u8, index: u64) -> Result<&TileRows, ProveError<S::Error>> {
        let known = self.opened.get(&level).is_some_and(|(at, _)| *at == index);
        if !known {
            let hashes = self.source.full_tile(level, index).map_err(|source| ProveError::Tile { level, index, source })?;
            let rows = TileRows::full(&hashes).ok_or(ProveError::TileWidth { level, index, found: hashes.len() })?;
            self.opened.insert(level, (index, rows));
        }
        self.opened
            .get(&level)
            .map(|(_, rows)| rows)
            .ok_or(ProveError::NodeAbsent { height: level * ROWS as u8, position: index })
    }
}

/// The proof that the leaf at `index` is in the tree of `size` leaves: the sibling hashes from
/// the leaf up (RFC 9162, section 2.1.3.1).
///
/// # Errors
///
/// An index at or above the size, a size above the edge's, and whatever goes wrong with a tile.
pub fn inclusion_proof<S: TileSource>(
    index: u64,
    size: u64,
    reader: &mut TreeReader<'_, S>,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    reader.check_size(size)?;
    if index >= size {
        return Err(ProveError::IndexOutside { index, size });
    }
    let mut proof = Vec::new();
    let (mut low, mut high) = (0, size);
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(reader.range_root(middle, high)?);
            high = middle;
        } else {
            proof.push(reader.range_root(low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old` leaves is the beginning of the tree of `new` leaves
/// (RFC 9162, section 2.1.4.1). It is empty when both are the same.
///
/// # Errors
///
/// An `old` of 0 (everything begins with nothing, so there is nothing to prove), an `old` above
/// `new`, a `new` above the edge's size, and whatever goes wrong with a tile.
pub fn consistency_proof<S: TileSource>(
    old: u64,
    new: u64,
    reader: &mut TreeReader<'_, S>,
) -> Result<Vec<Hash>, ProveError<S::Error>> {
    reader.check_size(new)?;
    if old == 0 {
        return Err(ProveError::OldSizeZero);
    }
    if old > new {
        return Err(ProveError::SizesReversed { old, new });
    }
    let mut proof = Vec::new();
    let (mut low, mut high) = (0, new);
    while old < high {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(reader.range_root(middle, high)?);
            high = middle;
        } else {
            proof.push(reader.range_root(low, middle)?);
            low = middle;
        }
    }
    // Where the walk never went right, this last subtree is the old tree itself, whose root the
    // verifier has.
    if low > 0 {
        proof.push(reader.range_root(low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// The largest power of two below `count`, which is 2 or more.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// Why a proof could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProveError<E> {
    /// The leaf is not in the tree of that size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutside {
        /// The leaf asked for.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// The tree has not grown that far yet.
    #[error("the tree has {edge_size} leaves, not yet {size}")]
    SizeAhead {
        /// The size asked for.
        size: u64,
        /// The size that the edge has.
        edge_size: u64,
    },
    /// There is nothing to prove about the empty tree.
    #[error("the tree of 0 leaves is the beginning of every tree and has no consistency proof")]
    OldSizeZero,
    /// The older size is the larger one.
    #[error("the old size {old} is above the new size {new}")]
    SizesReversed {
        /// The size given as the older.
        old: u64,
        /// The size given as the newer.
        new: u64,
    },
    /// A full tile could not be read.
    #[error("cannot read tile {index} of level {level}: {source}")]
    Tile {
        /// The tile's level.
        level: u8,
        /// The tile's position in its level.
        index: u64,
        /// What the source said.
        source: E,
    },
    /// A stored tile has not 256 hashes.
    #[error("tile {index} of level {level} has {found} hashes, not 256")]
    TileWidth {
        /// The tile's level.
        level: u8,
        /// The tile's position in its level.
        index: u64,
        /// How many hashes it has.
        found: usize,
    },
    /// The edge lacks a node that its size promises: a fault of this program.
    #[error("the edge has no node {position} at height {height}")]
    NodeAbsent {
        /// The height of the node; leaves have 0.
        height: u8,
        /// The position of the node in its height.
        position: u64,
    },
}

/// Full tiles in memory: for tests, small trees, and batches that are not stored yet.
#[derive(Debug, Clone, Default)]
pub struct MemoryTiles {
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl MemoryTiles {
    /// Keeps a tile.
    pub fn insert(&mut self, tile: CompletedTile) {
        self.tiles.insert((tile.level, tile.index), tile.hashes);
    }
}

impl Extend<CompletedTile> for MemoryTiles {
    fn extend<I: IntoIterator<Item = CompletedTile>>(&mut self, tiles: I) {
        for tile in tiles {
            self.insert(tile);
        }
    }
}

impl TileSource for MemoryTiles {
    type Error = MissingTile;

    fn full_tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, MissingTile> {
        self.tiles.get(&(level, index)).cloned().ok_or(MissingTile { level, index })
    }
}

/// A tile that nobody put into [`MemoryTiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("tile {index} of level {level} is absent")]
pub struct MissingTile {
    /// The tile's level.
    pub level: u8,
    /// The tile's position in its level.
    pub index: u64,
}
