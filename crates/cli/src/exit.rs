//! How the program ends: one number for each kind of end, and what it prints.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// Prints a line to whoever reads the output.
macro_rules! say {
    () => { $crate::exit::say_line(format_args!("")) };
    ($($words:tt)*) => { $crate::exit::say_line(format_args!($($words)*)) };
}
pub(crate) use say;

/// Prints a line for people beside the data: questions, remarks, what went wrong.
macro_rules! tell {
    ($($words:tt)*) => { $crate::exit::tell_line(format_args!($($words)*)) };
}
pub(crate) use tell;

/// A reader that went away, as `head` does, ends the program without a word; a disk that is full is told. Both end as unexpected: nobody
/// has read the whole answer.
pub(crate) fn say_line(line: fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = writeln!(out, "{line}").and_then(|()| out.flush()) {
        if error.kind() != std::io::ErrorKind::BrokenPipe {
            tell!("the answer could not be written: {error}; do not use what was written of it");
        }
        std::process::exit(Exit::Unexpected as i32);
    }
}

/// Words that nobody reads are no reason to end.
pub(crate) fn tell_line(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

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
