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
            // Servers before this one told the next step beside the fields alone.
            let next = info.and_then(|i| i.metadata.get("next")).map(|next| format!("; next: {next}")).unwrap_or_default();
            let whole = |words: &str| if words.contains("; next: ") { words.to_owned() } else { format!("{words}{next}") };
            reasons.extend(request.field_violations.iter().map(|v| Reason {
                code: code.clone(),
                look_at: v.field.clone(),
                words: whole(&v.description),
            }));
        }
        if reasons.is_empty() {
            let words = info.map(|i| {
                [("found", "found "), ("allowed", "allowed "), ("next", "next: ")]
                    .iter()
                    .filter_map(|(key, before)| i.metadata.get(*key).map(|text| format!("{before}{text}")))
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

    fn told(status: &Status) -> String {
        Problem::from_status(status).to_string()
    }

    #[test]
    fn every_refusal_ends_with_the_next_step() {
        assert_eq!(
            told(&errors::bad_field("NUMBER_OUT_OF_RANGE", "page_size", "501", "1 to 500")),
            "NUMBER_OUT_OF_RANGE (page_size): found 501; allowed 1 to 500; next: correct the field and ask again"
        );
        assert_eq!(
            told(&errors::not_found("lot", "L-9")),
            "NOT_FOUND: found lot `L-9`, which this ledger does not hold; allowed a lot's code or id; next: check the code; scan it again"
        );
        let wrong = marrowline_record::decode(&[0xff]).unwrap_err();
        let words = told(&errors::malformed(&wrong));
        assert!(words.ends_with("; next: correct the field, then build and sign the record again"), "{words}");
        // A slot that is wrongly signed is told with the step that the server gives for the whole.
        let open = marrowline_record::OpenError::Malformed(wrong);
        assert!(told(&errors::open(&open)).contains("; next: "));
    }

    #[test]
    fn who_holds_a_dead_key_is_not_told_to_use_it_again() {
        for code in ["TOKEN_KEY_REVOKED", "TOKEN_KEY_UNKNOWN"] {
            let words = told(&errors::token(code, "a token"));
            assert!(words.contains("key administrator") && !words.contains("make a new token"), "{words}");
        }
    }

    #[test]
    fn a_message_that_is_too_large_has_a_code_and_a_next_step() {
        let status = errors::received(Status::out_of_range("decoded message length too large: found 5, the limit is 4"));
        let problem = Problem::from_status(&status);
        assert_eq!((problem.code.as_str(), problem.status), ("MESSAGE_TOO_LARGE", Code::OutOfRange));
        assert!(problem.to_string().contains("next: "), "{problem}");
    }
}
