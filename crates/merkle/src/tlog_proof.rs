//! The proof that a leaf is in the log, in one text that needs nothing but the log's key: C2SP
//! tlog-proof. A receipt is this text with the leaf and the record beside it.
//!
//! ```text
//! c2sp.org/tlog-proof@v1
//! extra AQI=                                     (only if there is extra data)
//! index 1
//! bjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=   (sibling hashes, from the leaf up)
//! H6CsGLoWKiWK7dX1XVVqXlT4c9/cWj5Jx4Kb6oPjz4c=
//!
//! example.org/log                                (the signed checkpoint, verbatim)
//! 3
//! rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=
//!
//! — example.org/log IuqYDf6vK…
//! ```
//!
//! Extra data is signed by nobody: never trust it for anything.

use std::fmt;

use crate::checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
use crate::encoding::{decimal, from_base64, hash_from_base64, to_base64};
use crate::hash::Hash;
use crate::note::{Note, VerifierKey};
use crate::verify::{ProofError, verify_inclusion};

const FIRST_LINE: &str = "c2sp.org/tlog-proof@v1";

/// The most extra data.
pub const MAX_EXTRA_BYTES: usize = 64 * 1024;

/// The most hashes of a proof: one for each level of a tree of 2^64 leaves.
pub const MAX_HASHES: usize = 64;

/// A proof that has been read or put together, but not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlogProof {
    index: u64,
    hashes: Vec<Hash>,
    extra: Option<Vec<u8>>,
    note: Note,
    checkpoint: Checkpoint,
}

impl TlogProof {
    /// Puts a proof together from the leaf's index, its inclusion proof and the note of the
    /// checkpoint of the tree that the proof was made for.
    ///
    /// # Errors
    ///
    /// More hashes than a proof can have, a note that is no checkpoint, or an index outside it.
    pub fn new(index: u64, hashes: Vec<Hash>, checkpoint: &str) -> Result<Self, TlogProofError> {
        if hashes.len() > MAX_HASHES {
            return Err(TlogProofError::TooManyHashes);
        }
        let note = Note::parse(checkpoint).map_err(CheckpointError::Note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if index >= checkpoint.size() {
            return Err(TlogProofError::IndexOutside { index, size: checkpoint.size() });
        }
        Ok(Self { index, hashes, extra: None, note, checkpoint })
    }

    /// The same proof with extra data beside it.
    ///
    /// # Errors
    ///
    /// No bytes at all (a proof without extra data has no such line), or too many.
    pub fn with_extra(mut self, extra: Vec<u8>) -> Result<Self, TlogProofError> {
        if extra.is_empty() || extra.len() > MAX_EXTRA_BYTES {
            return Err(TlogProofError::ExtraLength { bytes: extra.len() });
        }
        self.extra = Some(extra);
        Ok(self)
    }

    /// Reads a proof. Only one spelling is accepted, so [`fmt::Display`] gives the same text back.
    ///
    /// # Errors
    ///
    /// Each way to be malformed is its own variant.
    pub fn parse(text: &str) -> Result<Self, TlogProofError> {
        let (head, checkpoint) = text.split_once("\n\n").ok_or(TlogProofError::NoBlankLine)?;
        let mut lines = head.split('\n');
        if lines.next() != Some(FIRST_LINE) {
            return Err(TlogProofError::FirstLine);
        }
        let mut line = lines.next().ok_or(TlogProofError::Index)?;
        let mut extra = None;
        if let Some(encoded) = line.strip_prefix("extra ") {
            extra = Some(from_base64(encoded).ok_or(TlogProofError::Extra)?);
            line = lines.next().ok_or(TlogProofError::Index)?;
        }
        let index = line.strip_prefix("index ").and_then(decimal).ok_or(TlogProofError::Index)?;
        let mut hashes = Vec::new();
        for line in lines {
            if hashes.len() == MAX_HASHES {
                return Err(TlogProofError::TooManyHashes);
            }
            hashes.push(hash_from_base64(line).ok_or(TlogProofError::Hash)?);
        }
        let proof = Self::new(index, hashes, checkpoint)?;
        match extra {
            Some(extra) => proof.with_extra(extra),
            None => Ok(proof),
        }
    }

    /// Verifies that the leaf with this hash is in the log with this key.
    ///
    /// # Errors
    ///
    /// A checkpoint that the log has not signed, or a proof that does not lead to its root.
    pub fn verify(&self, leaf_hash: &Hash, log: &VerifierKey) -> Result<VerifiedInclusion, TlogProofError> {
        let checkpoint = SignedCheckpoint::open(&self.note.to_string(), log)?;
        let head = checkpoint.checkpoint();
        verify_inclusion(self.index, head.size(), leaf_hash, &self.hashes, head.root())?;
        Ok(VerifiedInclusion { index: self.index, leaf_hash: *leaf_hash, checkpoint })
    }

    /// The leaf's index, as claimed.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The sibling hashes, from the leaf up.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// The extra data. Nobody has signed it.
    #[must_use]
    pub fn extra(&self) -> Option<&[u8]> {
        self.extra.as_deref()
    }

    /// The checkpoint, as claimed: its signature has not been looked at.
    #[must_use]
    pub fn unverified_checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note of the checkpoint, not verified either.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }
}

impl fmt::Display for TlogProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{FIRST_LINE}")?;
        if let Some(extra) = &self.extra {
            writeln!(f, "extra {}", to_base64(extra))?;
        }
        writeln!(f, "index {}", self.index)?;
        for hash in &self.hashes {
            writeln!(f, "{}", to_base64(hash))?;
        }
        write!(f, "\n{}", self.note)
    }
}

/// That a leaf is in a log. [`TlogProof::verify`] is the only door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedInclusion {
    index: u64,
    leaf_hash: Hash,
    checkpoint: SignedCheckpoint,
}

impl VerifiedInclusion {
    /// Where in the log the leaf is.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// The hash of the leaf.
    #[must_use]
    pub fn leaf_hash(&self) -> &Hash {
        &self.leaf_hash
    }

    /// The checkpoint whose tree the leaf is in.
    #[must_use]
    pub fn checkpoint(&self) -> &SignedCheckpoint {
        &self.checkpoint
    }
}

/// Why a proof is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlogProofError {
    /// The text is of another kind or version.
    #[error("the first line is not `{FIRST_LINE}`")]
    FirstLine,
    /// No blank line parts the proof from the checkpoint.
    #[error("no blank line before the checkpoint")]
    NoBlankLine,
    /// The extra data is not canonical base64.
    #[error("the extra data is not canonical base64")]
    Extra,
    /// The extra data is empty or too long.
    #[error("extra data must have 1 to {MAX_EXTRA_BYTES} bytes, not {bytes}")]
    ExtraLength {
        /// How many bytes it has.
        bytes: usize,
    },
    /// The index is absent or not a plain decimal number.
    #[error("no `index` line with a decimal number without leading zeros")]
    Index,
    /// A hash is not canonical base64 of 32 bytes.
    #[error("a hash of the proof is not canonical base64 of 32 bytes")]
    Hash,
    /// More hashes than any tree is high.
    #[error("the proof has more than {MAX_HASHES} hashes")]
    TooManyHashes,
    /// The leaf is not in the tree of the checkpoint.
    #[error("leaf {index} is not in the checkpoint's tree of {size} leaves")]
    IndexOutside {
        /// The leaf's index.
        index: u64,
        /// The checkpoint's size.
        size: u64,
    },
    /// The checkpoint is malformed, unsigned, or another log's.
    #[error("the checkpoint does not hold: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// The hashes do not lead to the checkpoint's root.
    #[error("the inclusion does not hold: {0}")]
    Inclusion(#[from] ProofError),
}

#[cfg(test)]
#[path = "tlog_proof_tests.rs"]
mod tests;
