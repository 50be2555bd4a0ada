//! Checking proofs, strictly: RFC 9162, sections 2.1.3.2 and 2.1.4.2.
//!
//! Two verifiers must never disagree, so whatever the definition leaves open is refused here: a
//! proof of a wrong length, an older tree of no leaves, equal sizes with a proof.

use crate::hash::{Hash, node_hash};

/// Checks that the leaf with `leaf_hash` is at `index` of the tree of `size` leaves with `root`.
///
/// # Errors
///
/// Anything that does not hold, each kind as its own variant.
pub fn verify_inclusion(index: u64, size: u64, leaf_hash: &Hash, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::IndexOutside { index, size });
    }
    let mut path = Path { node: index, last: size - 1 };
    let mut computed = *leaf_hash;
    for sibling in proof {
        computed = match path.climb()? {
            Side::Left => node_hash(sibling, &computed),
            Side::Right => node_hash(&computed, sibling),
        };
    }
    path.end()?;
    if computed == *root { Ok(()) } else { Err(ProofError::RootDiffers) }
}

/// Checks that the tree of `old` leaves with `old_root` is the beginning of the tree of `new`
/// leaves with `new_root`.
///
/// An `old` of 0 is refused: everything begins with nothing, so such a check would prove nothing,
/// whatever roots were given.
///
/// # Errors
///
/// Anything that does not hold, each kind as its own variant.
pub fn verify_consistency(old: u64, new: u64, old_root: &Hash, new_root: &Hash, proof: &[Hash]) -> Result<(), ProofError> {
    if old == 0 {
        return Err(ProofError::OldSizeZero);
    }
    if old > new {
        return Err(ProofError::SizesReversed { old, new });
    }
    if old == new {
        return match proof {
            [] if old_root == new_root => Ok(()),
            [] => Err(ProofError::RootDiffers),
            _ => Err(ProofError::TooLong),
        };
    }
    // The walk starts at the largest perfect subtree that ends where the old tree ends.
    let height = old.trailing_zeros();
    let mut path = Path { node: (old - 1) >> height, last: (new - 1) >> height };
    // If that subtree is the whole old tree, its root is known and not in the proof.
    let (start, rest) = match proof {
        _ if old.is_power_of_two() => (*old_root, proof),
        [first, rest @ ..] => (*first, rest),
        [] => return Err(ProofError::TooShort),
    };
    let (mut computed_old, mut computed_new) = (start, start);
    for sibling in rest {
        match path.climb()? {
            Side::Left => {
                computed_old = node_hash(sibling, &computed_old);
                computed_new = node_hash(sibling, &computed_new);
            }
            Side::Right => computed_new = node_hash(&computed_new, sibling),
        }
    }
    path.end()?;
    if computed_old != *old_root {
        return Err(ProofError::OldRootDiffers);
    }
    if computed_new != *new_root {
        return Err(ProofError::RootDiffers);
    }
    Ok(())
}

/// Which side of the path the next sibling of a proof is on.
enum Side {
    Left,
    Right,
}

/// The way from a node to the root. The RFC calls these two `fn` and `sn`.
struct Path {
    node: u64,
    last: u64,
}

impl Path {
    /// Goes up past the next sibling.
    fn climb(&mut self) -> Result<Side, ProofError> {
        if self.last == 0 {
            return Err(ProofError::TooLong);
        }
        let side = if self.node & 1 == 1 || self.node == self.last {
            // The last node of a ragged row has no sibling: it goes up alone until it has one.
            while self.node & 1 == 0 && self.node != 0 {
                self.up();
            }
            Side::Left
        } else {
            Side::Right
        };
        self.up();
        Ok(side)
    }

    fn up(&mut self) {
        self.node >>= 1;
        self.last >>= 1;
    }

    /// After the last hash of the proof, the path must be at the root.
    fn end(&self) -> Result<(), ProofError> {
        if self.last == 0 { Ok(()) } else { Err(ProofError::TooShort) }
    }
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The leaf is not in a tree of that size.
    #[error("leaf {index} is not in a tree of {size} leaves")]
    IndexOutside {
        /// The leaf's index.
        index: u64,
        /// The size of the tree.
        size: u64,
    },
    /// A consistency proof from the empty tree proves nothing.
    #[error("a consistency proof from a tree of 0 leaves proves nothing")]
    OldSizeZero,
    /// The older size is the larger one.
    #[error("the old size {old} is above the new size {new}")]
    SizesReversed {
        /// The size given as the older.
        old: u64,
        /// The size given as the newer.
        new: u64,
    },
    /// The proof has hashes beyond the root.
    #[error("the proof has more hashes than the way to the root")]
    TooLong,
    /// The proof ends before the root.
    #[error("the proof has fewer hashes than the way to the root")]
    TooShort,
    /// The proof leads to another root than the older tree's.
    #[error("the proof does not lead to the root of the old tree")]
    OldRootDiffers,
    /// The proof leads to another root.
    #[error("the proof does not lead to the root of the tree")]
    RootDiffers,
}
