//! How the program ends: one number for each kind of end, and what it prints.

use std::process::ExitCode;

/// Why a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done, or a green dose check.
    Done = 0,
    /// Something unexpected.
    Unexpected = 1,
    /// The command line was wrong.
    Usage = 2,
    /// The ledger refused, or the dose check is red.
    Refused = 3,
    /// Something that must be whole is not.
    IntegrityBroken = 4,
    /// A key, a passphrase, a token or an authority is missing.
    KeyOrAuthority = 5,
    /// A stream's head has moved since it was read.
    HeadMoved = 6,
    /// The server gave no answer, or the ledger cannot know.
    NoAnswer = 7,
    /// There is no such thing.
    NotFound = 8,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}
