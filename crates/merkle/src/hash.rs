//! The three hashes of RFC 9162, section 2.1, and the definition of the root itself.

use sha2::{Digest, Sha256};

/// A SHA-256 hash: of a leaf, a node or a whole tree.
pub type Hash = [u8; 32];

/// The hash of a leaf: `SHA-256(0x00 ‖ leaf)`.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update([0x00]);
    hasher.update(leaf);
    hasher.finalize().into()
}

/// The hash of a node above two others: `SHA-256(0x01 ‖ left ‖ right)`.
///
/// The prefix differs from a leaf's, so that no leaf can pose as a node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    // In one piece, for speed: the hasher buffers nothing.
    let mut node = [0x01; 65];
    let (_, children) = node.split_at_mut(1);
    for (to, from) in children.iter_mut().zip(left.iter().chain(right)) {
        *to = *from;
    }
    Sha256::digest(node).into()
}

/// The root of the tree without leaves: `SHA-256("")`.
#[must_use]
pub fn empty_root() -> Hash {
    Sha256::digest([]).into()
}

/// The root of the tree with these leaf hashes, straight from the definition.
///
/// It visits every leaf: for small commitments, and as the reference that the tests hold
/// everything else against. A log uses [`Edge`](crate::Edge).
#[must_use]
pub fn root_of(leaf_hashes: &[Hash]) -> Hash {
    match leaf_hashes {
        [] => empty_root(),
        [only] => *only,
        many => {
            let (left, right) = many.split_at(many.len().next_power_of_two() / 2);
            node_hash(&root_of(left), &root_of(right))
        }
    }
}

/// Takes 32 bytes that came from outside as a hash.
///
/// # Errors
///
/// Any other length, the empty one included: an absent hash is never equal to anything.
pub fn hash_from_slice(bytes: &[u8]) -> Result<Hash, HashLengthError> {
    bytes.try_into().map_err(|_| HashLengthError { found: bytes.len() })
}

/// The bytes given as a hash are not 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a hash has 32 bytes, not {found}")]
pub struct HashLengthError {
    /// How many bytes there were.
    pub found: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(hash: Hash) -> String {
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_published_hashes_of_small_trees() {
        // The accumulator example that RFC 6962 implementations have shared since 2013.
        let leaves: [&[u8]; 3] = [b"", b"\x00", b"\x10"];
        let hashes: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let roots: Vec<String> = (0..=3).map(|n| hex(root_of(&hashes[..n]))).collect();
        assert_eq!(
            roots,
            [
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ]
        );
    }

    #[test]
    fn only_32_bytes_are_a_hash() {
        assert_eq!(hash_from_slice(&[7; 32]), Ok([7; 32]));
        for length in [0, 31, 33] {
            assert_eq!(hash_from_slice(&vec![7; length]), Err(HashLengthError { found: length }));
        }
    }
}
