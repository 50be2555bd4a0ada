//! A refusal as its receiver reads it: the details of a google.rpc.Status, whole.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// One reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// Which record, field or thing to look at.
    pub look_at: String,
    /// What was found, what is allowed, what to do next.
    pub words: String,
}

/// Why a call was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The call's code.
    pub status: Code,
    /// The first reason's stable code; the gRPC code's name if the server gave none.
    pub code: String,
    /// The message.
    pub message: String,
    /// Every reason.
    pub reasons: Vec<Reason>,
    /// When to try again, if that helps.
    pub retry_after: Option<Duration>,
}

impl Problem {
    /// Reads the bytes of a google.rpc.Status.
    pub fn from_bytes(bytes: &[u8]) -> Problem {
        let read = <tonic_types::Status as prost::Message>::decode(bytes).unwrap_or_default();
        let status = Status::with_details(Code::from(read.code), read.message, bytes.to_vec().into());
        Problem::from_status(&status)
    }

    /// Reads a status with all its details.
    pub fn from_status(status: &Status) -> Problem {
        let details = status.get_error_details();
        let mut reasons = Vec::new();
        if let Some(failure) = details.precondition_failure() {
            reasons.extend(failure.violations.iter().map(|v| Reason {
                code: v.r#type.clone(),
                look_at: v.subject.clone(),
                words: v.description.clone(),
            }));
        }
        let info = details.error_info();
        let code = info.map_or_else(|| format!("{:?}", status.code()), |i| i.reason.clone());
        if let Some(request) = details.bad_request() {
            reasons.extend(request.field_violations.iter().map(|v| Reason {
                code: code.clone(),
                look_at: v.field.clone(),
                words: v.description.clone(),
            }));
        }
        if reasons.is_empty() {
            let words = info.map(|i| {
                ["found", "allowed", "next"]
                    .iter()
                    .filter_map(|key| i.metadata.get(*key).map(|text| format!("{key} {text}")))
                    .collect::<Vec<_>>()
                    .join("; ")
            });
            reasons.push(Reason {
                code: code.clone(),
                look_at: String::new(),
                words: words.filter(|w| !w.is_empty()).unwrap_or_else(|| status.message().to_owned()),
            });
        }
        Problem {
            status: status.code(),
            code,
            message: status.message().to_owned(),
            reasons,
            retry_after: details.retry_info().and_then(|r| r.retry_delay),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, reason) in self.reasons.iter().enumerate() {
            if number > 0 {
                writeln!(f)?;
            }
            write!(f, "{}", reason.code)?;
            if !reason.look_at.is_empty() {
                write!(f, " ({})", reason.look_at)?;
            }
            write!(f, ": {}", reason.words)?;
        }
        Ok(())
    }
}
