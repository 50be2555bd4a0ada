//! The growing right edge of the tree: everything that is not yet in a full tile.
//!
//! Hashes are stored as tiles. The tile `(level, index)` holds the 256 hashes at height
//! `8 × level` from position `256 × index` on; level 0 holds leaf hashes, and each hash of a level
//! above is the root of one full tile below it. A full tile never changes again. What is not yet
//! full, fewer than 256 hashes on each of at most eight levels, is the edge.

use crate::hash::{Hash, empty_root, node_hash};

/// The number of hashes in a full tile.
pub const TILE_WIDTH: usize = 256;

/// The number of tile levels that a tree of 2^64 leaves has.
const LEVELS: usize = 8;

/// The number of tree levels inside one tile, its own root apart.
pub(crate) const ROWS: usize = 8;

/// A tile that has just become full. It will never change: store it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedTile {
    /// 0 for leaf hashes, one more for each 256-fold.
    pub level: u8,
    /// Position of the tile in its level, from 0.
    pub index: u64,
    /// Its 256 hashes, left to right.
    pub hashes: Vec<Hash>,
}

/// The in-memory right edge of a tree: its size and the partial tile of each level.
///
/// It takes at most 128 KiB and about one node hash for each leaf. A clone is independent: stage
/// a batch on a clone, and drop it when the write fails.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    levels: Vec<TileRows>,
}

impl Edge {
    /// The edge of a tree without leaves.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends one leaf hash. Every tile that this fills (at most one a level, lowest first) is
    /// pushed onto `completed`, for the caller to store.
    pub fn append(&mut self, leaf: Hash, completed: &mut Vec<CompletedTile>) {
        self.size += 1;
        let mut carry = leaf;
        for level in 0_u8.. {
            let Some(tile) = self.levels.get_mut(usize::from(level)) else {
                let mut tile = TileRows::default();
                tile.push(carry);
                self.levels.push(tile);
                return;
            };
            let Some(root) = tile.push(carry) else {
                return;
            };
            completed.push(CompletedTile { level, index: full_tiles(self.size, level).saturating_sub(1), hashes: tile.take() });
            carry = root;
        }
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the whole tree. At most 63 node hashes, whatever the size.
    #[must_use]
    pub fn root(&self) -> Hash {
        // A row of odd length ends in the root of a perfect subtree that has no right sibling
        // yet. From the smallest to the largest, these make up the tree.
        self.levels
            .iter()
            .flat_map(|tile| tile.rows.iter())
            .filter(|row| row.len() % 2 == 1)
            .filter_map(|row| row.last())
            .fold(None, |right: Option<Hash>, left| Some(right.map_or(*left, |right| node_hash(left, &right))))
            .unwrap_or_else(empty_root)
    }

    /// The hashes of a level's partial tile, left to right; empty where the level has none. With
    /// the full tiles these are what C2SP tlog-tiles serves.
    #[must_use]
    pub fn partial_tile(&self, level: u8) -> &[Hash] {
        self.levels.get(usize::from(level)).and_then(|tile| tile.rows.first()).map_or(&[], Vec::as_slice)
    }

    /// Rebuilds the edge of a tree of `size` leaves at start, reading its tail only: fewer than
    /// 256 leaf hashes, and fewer than 256 full tiles for each level above.
    ///
    /// The hashes of upper levels are computed from the tiles below them. Compare
    /// [`Edge::root`] with a checkpoint that you trust before you go on.
    ///
    /// # Errors
    ///
    /// What the two sources return, and a tile that has not 256 hashes.
    pub fn rebuild<E>(
        size: u64,
        mut leaf_hash_of: impl FnMut(u64) -> Result<Hash, E>,
        mut tile: impl FnMut(u8, u64) -> Result<Vec<Hash>, E>,
    ) -> Result<Self, RebuildError<E>> {
        let mut levels = Vec::new();
        for level in 0..LEVELS as u8 {
            let end = positions(size, level);
            if end == 0 {
                break;
            }
            let mut rows = TileRows::default();
            for position in end - end % TILE_WIDTH as u64..end {
                let hash = match level.checked_sub(1) {
                    None => leaf_hash_of(position).map_err(RebuildError::Source)?,
                    Some(below) => {
                        let hashes = tile(below, position).map_err(RebuildError::Source)?;
                        let found = hashes.len();
                        TileRows::full(&hashes).and_then(|full| full.root).ok_or(RebuildError::TileWidth {
                            level: below,
                            index: position,
                            found,
                        })?
                    }
                };
                rows.push(hash);
            }
            levels.push(rows);
        }
        Ok(Self { size, levels })
    }

    /// The root of the perfect subtree of `2^height` leaves at `position`, if the edge holds it.
    pub(crate) fn node(&self, height: u8, position: u64) -> Option<Hash> {
        let (level, row) = split_height(height);
        let first = (full_tiles(self.size, level) * TILE_WIDTH as u64) >> row;
        self.levels.get(usize::from(level))?.node(row, position.checked_sub(first)?)
    }
}

/// Why an edge could not be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RebuildError<E> {
    /// A leaf hash or a tile could not be read.
    #[error("cannot read the tail of the tree: {0}")]
    Source(E),
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
}

/// How many hashes a level has in a tree of `size` leaves.
pub(crate) fn positions(size: u64, level: u8) -> u64 {
    size.checked_shr(u32::from(level) * 8).unwrap_or(0)
}

/// How many full tiles a level has in a tree of `size` leaves.
pub(crate) fn full_tiles(size: u64, level: u8) -> u64 {
    positions(size, level) >> 8
}

/// The tile level and the row inside its tiles where the nodes of a height are.
pub(crate) fn split_height(height: u8) -> (u8, usize) {
    (height / ROWS as u8, usize::from(height % ROWS as u8))
}

/// A tile with the nodes above its hashes, row by row, as far as they are complete. Keeping them
/// makes an append one hash on average, and a proof at the edge no hash at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct TileRows {
    rows: [Vec<Hash>; ROWS],
    /// Set once the tile is full.
    root: Option<Hash>,
}

impl TileRows {
    /// The rows of a full tile; nothing if these are not 256 hashes.
    pub(crate) fn full(hashes: &[Hash]) -> Option<Self> {
        if hashes.len() != TILE_WIDTH {
            return None;
        }
        let mut tile = Self::default();
        for hash in hashes {
            tile.push(*hash);
        }
        Some(tile)
    }

    /// The node at `offset` of a row, counted from the tile's left.
    pub(crate) fn node(&self, row: usize, offset: u64) -> Option<Hash> {
        self.rows.get(row)?.get(usize::try_from(offset).ok()?).copied()
    }

    /// Adds a hash, and every node that it completes. Answers with the root once the tile is full.
    fn push(&mut self, hash: Hash) -> Option<Hash> {
        let mut carry = hash;
        for row in &mut self.rows {
            let left = (row.len() % 2 == 1).then(|| row.last().copied()).flatten();
            row.push(carry);
            carry = node_hash(&left?, &carry);
        }
        self.root = Some(carry);
        self.root
    }

    /// Takes the hashes out and leaves an empty tile.
    fn take(&mut self) -> Vec<Hash> {
        let [hashes, ..] = std::mem::take(self).rows;
        hashes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::{leaf_hash, root_of};
    use crate::prove::{MemoryTiles, TileSource as _};

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    #[test]
    fn root_is_the_defined_one_after_every_append() {
        let leaves = leaves(600);
        let mut edge = Edge::new();
        let mut completed = Vec::new();
        assert_eq!(edge.root(), empty_root());
        for (n, leaf) in leaves.iter().enumerate() {
            edge.append(*leaf, &mut completed);
            assert_eq!(edge.size(), n as u64 + 1);
            assert_eq!(edge.root(), root_of(&leaves[..=n]), "{} leaves", n + 1);
        }
        let seen: Vec<_> = completed.iter().map(|t| (t.level, t.index)).collect();
        assert_eq!(seen, [(0, 0), (0, 1)]);
        assert_eq!(completed[1].hashes, leaves[256..512]);
        assert_eq!(edge.partial_tile(0), &leaves[512..]);
        assert_eq!(edge.partial_tile(1), [root_of(&leaves[..256]), root_of(&leaves[256..512])]);
        assert!(edge.partial_tile(2).is_empty());
    }

    #[test]
    fn a_tile_is_handed_over_at_its_last_hash_and_not_before() {
        let leaves = leaves(65_537);
        let mut edge = Edge::new();
        for (n, leaf) in leaves.iter().enumerate() {
            let mut completed = Vec::new();
            edge.append(*leaf, &mut completed);
            let seen: Vec<_> = completed.iter().map(|t| (t.level, t.index)).collect();
            let size = n as u64 + 1;
            let expected = match size {
                65_536 => vec![(0, 255), (1, 0)],
                _ if size.is_multiple_of(256) => vec![(0, size / 256 - 1)],
                _ => vec![],
            };
            assert_eq!(seen, expected, "{size} leaves");
            assert!(completed.iter().all(|tile| tile.hashes.len() == TILE_WIDTH));
        }
        assert_eq!(edge.root(), root_of(&leaves));
        assert_eq!(edge.partial_tile(0).len(), 1);
        assert_eq!(edge.partial_tile(1).len(), 0);
        assert_eq!(edge.partial_tile(2), [root_of(&leaves[..65_536])]);
    }

    #[test]
    fn a_rebuilt_edge_is_the_same_edge_and_grows_the_same() {
        let leaves = leaves(66_100);
        let mut tiles = MemoryTiles::default();
        let mut edge = Edge::new();
        let mut completed = Vec::new();
        for (n, leaf) in leaves.iter().enumerate() {
            let size = n as u64;
            if [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 66_048].contains(&size) {
                let mut leaf_reads = 0_u64;
                let mut tile_reads = 0_u64;
                let mut rebuilt = Edge::rebuild(
                    size,
                    |index| {
                        leaf_reads += 1;
                        Ok::<_, crate::MissingTile>(leaves[index as usize])
                    },
                    |level, index| {
                        tile_reads += 1;
                        tiles.full_tile(level, index)
                    },
                )
                .unwrap();
                assert_eq!(rebuilt.root(), edge.root(), "{size} leaves");
                assert_eq!(rebuilt.size(), size);
                assert_eq!(leaf_reads, size % 256);
                assert_eq!(tile_reads, (size >> 8) % 256 + (size >> 16) % 256);
                rebuilt.append(*leaf, &mut Vec::new());
                assert_eq!(rebuilt.root(), {
                    let mut grown = edge.clone();
                    grown.append(*leaf, &mut Vec::new());
                    grown.root()
                });
            }
            edge.append(*leaf, &mut completed);
            tiles.extend(completed.drain(..));
        }
    }

    #[test]
    fn rebuilding_from_a_short_tile_is_refused() {
        for found in [0, 255, 257] {
            let rebuilt = Edge::rebuild(256, |_| Ok::<_, std::convert::Infallible>([0; 32]), |_, _| Ok(vec![[0; 32]; found]));
            assert_eq!(rebuilt.unwrap_err(), RebuildError::TileWidth { level: 0, index: 0, found });
        }
    }
}
