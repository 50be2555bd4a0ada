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

#[cfg(test)]
mod tests {
    use marrowline_ledger::{Busy, Moved, Refusal};
    use marrowline_record::id::RecordId;
    use marrowline_record::testing::{Noise, cases};

    use super::*;
    use crate::errors;

    fn refusals() -> Vec<Status> {
        let moved = Moved { seq: 7, record_id: RecordId([7; 16]), event: "UnitsMoved".to_owned() };
        let finding = marrowline_rules::Finding {
            code: &marrowline_rules::codes::frame::HEAD_MOVED,
            found: "7".to_owned(),
            allowed: "the head".to_owned(),
            look_at: Vec::new(),
        };
        vec![
            errors::refusal(&Refusal::Violations { violations: vec![finding], moved: vec![moved] }),
            errors::refusal(&Refusal::StoreFull { detail: "nothing is free".to_owned() }),
            errors::busy(&Busy { retry_after_ms: 250 }),
            errors::bad_field("PAGE_TOKEN_WRONG", "page_token", "another text", "the token of the page before"),
            errors::too_late(Duration::from_secs(30)),
        ]
    }

    /// What a server sends that means ill, or that was changed on the way: always a problem with a reason, and printed without a panic.
    #[test]
    fn spoiled_refusals_are_still_problems() {
        let cases = cases(10_000);
        let mut noise = Noise(0x7072_6f62_6c65);
        let good: Vec<(Vec<u8>, Problem)> =
            refusals().iter().map(|status| (errors::to_bytes(status), Problem::from_status(status))).collect();
        for (bytes, problem) in &good {
            assert_eq!(&Problem::from_bytes(bytes), problem);
        }
        assert!(good.iter().filter(|(_, problem)| problem.retry_after.is_some()).count() >= 2);
        let (mut coded, mut retried) = (0, 0);
        for case in 0..cases {
            let (bytes, whole) = noise.of(&good).unwrap();
            let spoiled = noise.spoiled(bytes);
            let problem = if case % 4 == 0 {
                // The code and message of the call are the transport's, the details are spoiled.
                Problem::from_status(&Status::with_details(whole.status, whole.message.clone(), spoiled.into()))
            } else {
                Problem::from_bytes(&spoiled)
            };
            assert!(!problem.reasons.is_empty() && !problem.to_string().is_empty());
            coded += u64::from(problem.code == whole.code && problem != *whole);
            retried += u64::from(problem.retry_after.is_some() && problem.retry_after != whole.retry_after);
        }
        println!("{cases} spoiled refusals: {coded} with their code and other words, {retried} with another pause");
        assert!(coded > cases / 20 && retried > 0, "{coded} {retried} of {cases}");
    }
}
