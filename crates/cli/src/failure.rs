//! Why a command failed: what it prints, and the number that it ends with.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use marrowline_client::{ClientError, Problem};
use marrowline_ledger::store::StoreError;
use serde_json::json;

use crate::exit::Exit;

/// A failure of a command.
#[derive(Debug)]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What happened, in words.
    pub words: String,
    /// The server's reasons, if it refused.
    pub problem: Option<Box<Problem>>,
}

impl Failure {
    fn new(exit: Exit, words: impl fmt::Display) -> Failure {
        Failure { exit, words: words.to_string(), problem: None }
    }

    /// Something unexpected.
    pub fn unexpected(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::Unexpected, words)
    }

    /// A wrong command line or file.
    pub fn usage(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::Usage, words)
    }

    /// Something that must be whole is not.
    pub fn integrity(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::IntegrityBroken, words)
    }

    /// A key, passphrase or authority.
    pub fn key(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::KeyOrAuthority, words)
    }

    /// A file that cannot be read or written.
    pub fn file(path: &Path, error: &std::io::Error) -> Failure {
        // A file that is not there, or that would be written over, was named wrongly.
        let exit = match error.kind() {
            ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::IsADirectory | ErrorKind::NotADirectory => Exit::Usage,
            _ => Exit::Unexpected,
        };
        Failure::new(exit, format!("{}: {error}", path.display()))
    }

    /// A stream that has moved on since it was read.
    pub fn moved(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::HeadMoved, words)
    }

    /// Nothing is known by this name.
    pub fn not_found(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::NotFound, words)
    }

    /// What is asked cannot be done any more.
    pub fn too_late(words: impl fmt::Display) -> Failure {
        Failure::new(Exit::Refused, words)
    }

    /// A store that does not open.
    pub fn store(error: &StoreError) -> Failure {
        let exit = match error {
            StoreError::Damaged { .. } => Exit::IntegrityBroken,
            StoreError::Full { .. } | StoreError::Fenced { .. } | StoreError::OutOfOrder { .. } | StoreError::Failed(_) => {
                Exit::Unexpected
            }
        };
        Failure::new(exit, error)
    }

    /// A refusal with its reasons.
    pub fn refused(status: &tonic::Status) -> Failure {
        Failure::problem(Problem::from_status(status))
    }

    fn problem(problem: Problem) -> Failure {
        use tonic::Code;
        let exit = match problem.status {
            Code::Aborted => Exit::HeadMoved,
            Code::NotFound => Exit::NotFound,
            Code::Unauthenticated | Code::PermissionDenied => Exit::KeyOrAuthority,
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Exit::NoAnswer,
            Code::DataLoss => Exit::IntegrityBroken,
            Code::FailedPrecondition
            | Code::InvalidArgument
            | Code::AlreadyExists
            | Code::OutOfRange
            | Code::ResourceExhausted => Exit::Refused,
            Code::Ok | Code::Unknown | Code::Internal | Code::Unimplemented => Exit::Unexpected,
        };
        Failure { exit, words: problem.to_string(), problem: Some(Box::new(problem)) }
    }

    /// The failure as JSON.
    pub fn to_json(&self) -> serde_json::Value {
        let reasons =
            self.problem.iter().flat_map(|p| &p.reasons).map(|r| json!({"code": r.code, "look_at": r.look_at, "words": r.words}));
        json!({"exit": self.exit as u8, "error": self.words, "reasons": reasons.collect::<Vec<_>>()})
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(problem) => Failure::problem(*problem),
            ClientError::Transport(_) | ClientError::Incomplete(_) => Failure::new(Exit::NoAnswer, error),
            ClientError::Randomness(_) => Failure::unexpected(error),
            ClientError::Receipt(_) | ClientError::History(_) => Failure::integrity(error),
        }
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Failure::refused(&status)
    }
}
