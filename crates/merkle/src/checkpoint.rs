//! Checkpoints, as C2SP tlog-checkpoint defines them: what a log says about itself, signed.
//!
//! ```text
//! example.org/log
//! 3
//! rra8/idLcKFPsGel5VeCZNsPqbUa9eC6FZFY8yngbnc=
//!
//! — example.org/log IuqYDf6vK…
//! ```
//!
//! Line by line: the log's origin, the number of leaves, the root in base64, each ended by a
//! newline. The log's signature bears the origin as its key's name. Extension lines, which the
//! specification allows and advises against, are refused.

use std::fmt;

use ed25519_dalek::SigningKey;

use crate::encoding::{decimal, hash_from_base64, to_base64};
use crate::hash::{Hash, empty_root};
use crate::note::{self, Note, NoteError, VerifierKey};

/// A log's origin, size and root: a claim, until a [`SignedCheckpoint`] carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// The checkpoint of a log of `size` leaves.
    ///
    /// # Errors
    ///
    /// An origin that cannot be one line, or a size of 0 with another root than the empty tree's.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        if origin.is_empty() || origin.contains(char::is_control) {
            return Err(CheckpointError::Origin);
        }
        if size == 0 && root != empty_root() {
            return Err(CheckpointError::RootOfEmptyTree);
        }
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Reads the text of a checkpoint. Only one spelling is accepted, so [`fmt::Display`] gives
    /// the same text back.
    ///
    /// # Errors
    ///
    /// Each way to be malformed is its own variant.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(CheckpointError::Lines);
        };
        if lines.next().is_some() {
            return Err(CheckpointError::ExtensionLine);
        }
        let size = decimal(size).ok_or(CheckpointError::Size)?;
        let root = hash_from_base64(root).ok_or(CheckpointError::Root)?;
        Self::new(origin, size, root)
    }

    /// Signs the checkpoint with the log's key: the whole note.
    ///
    /// A log must never sign two checkpoints that contradict each other; that is its owner's care.
    ///
    /// # Errors
    ///
    /// An origin that cannot be the name of a key.
    pub fn sign(&self, key: &SigningKey) -> Result<String, CheckpointError> {
        Ok(note::sign(&self.to_string(), &self.origin, key)?)
    }

    /// The log's identity.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the tree of that size.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }
}

impl fmt::Display for Checkpoint {
    /// The signed text, three lines.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, to_base64(&self.root))
    }
}

/// A checkpoint that the log's key has signed. [`SignedCheckpoint::open`] is the only door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl SignedCheckpoint {
    /// Reads a checkpoint's note and verifies that this log signed it: the signature holds, and
    /// the origin is the key's name.
    ///
    /// # Errors
    ///
    /// Whatever is malformed, unsigned, or another log's.
    pub fn open(note: &str, log: &VerifierKey) -> Result<Self, CheckpointError> {
        let note = Note::parse(note)?;
        note.verify(std::slice::from_ref(log))?;
        let checkpoint = Checkpoint::parse(note.text())?;
        if checkpoint.origin != log.name() {
            return Err(CheckpointError::OtherOrigin { found: checkpoint.origin, expected: log.name().to_owned() });
        }
        Ok(Self { checkpoint, note })
    }

    /// What the log has signed.
    #[must_use]
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note, with the signatures of witnesses that it may carry. Its `to_string` is the very
    /// text that was opened.
    #[must_use]
    pub fn note(&self) -> &Note {
        &self.note
    }
}

/// Why a checkpoint is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// There are not three lines, each ended by a newline.
    #[error("a checkpoint has three lines, each ended by a newline")]
    Lines,
    /// There is a fourth line.
    #[error("the checkpoint has an extension line")]
    ExtensionLine,
    /// The origin is empty or contains a control character.
    #[error("the origin is empty or contains a control character")]
    Origin,
    /// The size is not a plain decimal number of at most 64 bits.
    #[error("the size is not a decimal number without leading zeros")]
    Size,
    /// The root is not canonical base64 of 32 bytes.
    #[error("the root is not canonical base64 of 32 bytes")]
    Root,
    /// Without leaves there is only one root.
    #[error("the size is 0, but the root is not the empty tree's")]
    RootOfEmptyTree,
    /// The checkpoint is another log's.
    #[error("the checkpoint is of `{found}`, not of `{expected}`")]
    OtherOrigin {
        /// The origin of the checkpoint.
        found: String,
        /// The origin that the key belongs to.
        expected: String,
    },
    /// The note around the checkpoint is malformed or not signed by the log.
    #[error(transparent)]
    Note(#[from] NoteError),
}

#[cfg(test)]
#[path = "checkpoint_tests.rs"]
mod tests;
