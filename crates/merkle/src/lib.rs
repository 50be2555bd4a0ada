//! The Merkle log as a small pure library: RFC 9162 hashes and proofs, tiles of 256 hashes,
//! and the C2SP text formats that carry them (signed note, checkpoint, tlog-proof).
//!
//! ```text
//! leaf_hash(d)     = SHA-256(0x00 ‖ d)
//! node_hash(l, r)  = SHA-256(0x01 ‖ l ‖ r)
//! root of nothing  = SHA-256("")      = e3b0c442 98fc1c14 9afbf4c8 996fb924 27ae41e4 649b934c a495991b 7852b855
//! root of [""]     = SHA-256(0x00)    = 6e340b9c ffb37a98 9ca544e6 bb780a2c 78901d3f b3373876 8511a306 17afa01d
//! root of n leaves = node_hash(root of the first k, root of the rest), k the largest power of two below n
//! ```
//!
//! A log's owner keeps an [`Edge`] in memory, appends leaf hashes to it and stores each
//! [`CompletedTile`] that it hands back. Proofs come from a [`TreeReader`], which puts that edge
//! and a [`TileSource`] of stored tiles together. Whoever checks needs neither: see
//! [`verify_inclusion`], [`verify_consistency`] and [`TlogProof::verify`].
//!
//! Nothing in here reads a clock, a file or a random number. The same code runs in the server,
//! on an inspector's laptop and in a browser.

pub mod checkpoint;
mod edge;
mod encoding;
mod hash;
pub mod note;
mod prove;
pub mod tlog_proof;
mod verify;

pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use edge::{CompletedTile, Edge, RebuildError, TILE_WIDTH};
pub use hash::{Hash, HashLengthError, empty_root, hash_from_slice, leaf_hash, node_hash, root_of};
pub use note::{Note, NoteError, SignatureLine, VerifierKey, VerifierKeyError};
pub use prove::{MemoryTiles, MissingTile, ProveError, TileSource, TreeReader, consistency_proof, inclusion_proof};
pub use tlog_proof::{TlogProof, TlogProofError, VerifiedInclusion};
pub use verify::{ProofError, verify_consistency, verify_inclusion};
