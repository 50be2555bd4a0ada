//! The one map from our errors to google.rpc.Status. Exhaustive: a new error does not compile until it has a place here.
//!
//! Every refusal carries ErrorInfo (reason = stable code, domain `marrowline`, metadata found, allowed, next), and, where it applies,
//! PreconditionFailure with all violations, BadRequest with field paths, RetryInfo.

use std::collections::HashMap;
use std::time::Duration;

use marrowline_ledger::store::StoreError;
use marrowline_ledger::{Busy, Moved, Refusal};
use marrowline_record::{Malformed, OpenError};
use marrowline_rules::{Finding, codes};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};

use crate::ERROR_DOMAIN;
use crate::fitting::{MESSAGE_BYTES, TEXT_BYTES, clip, fit};

/// What every refusal says: code, what was found, what is allowed, what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words<'a> {
    /// Stable code.
    pub code: &'a str,
    /// What was found.
    pub found: String,
    /// What is allowed.
    pub allowed: String,
    /// What to do next.
    pub next: &'a str,
}

fn details(words: &Words<'_>) -> ErrorDetails {
    let metadata: HashMap<String, String> =
        [("found", words.found.as_str()), ("allowed", words.allowed.as_str()), ("next", words.next)]
            .into_iter()
            .filter(|(_, text)| !text.is_empty())
            .map(|(key, text)| (key.to_owned(), clip(text, TEXT_BYTES)))
            .collect();
    ErrorDetails::with_error_info(words.code, ERROR_DOMAIN, metadata)
}

/// A status that every client can receive.
fn finish(code: Code, message: &str, details: ErrorDetails) -> Status {
    Status::with_error_details(code, clip(message, MESSAGE_BYTES), details)
}

/// A status with these words and nothing more.
pub fn status(code: Code, words: &Words<'_>) -> Status {
    let message = format!("{}: found {}; allowed {}; next: {}", words.code, words.found, words.allowed, words.next);
    finish(code, &message, details(words))
}

/// A malformed field of a record.
pub fn malformed(error: &Malformed) -> Status {
    let next = "correct the field, then build and sign the record again";
    field(error.code.as_str(), &error.path, &error.found, &error.allowed, next)
}

/// A field of a request that is not what it must be; nothing that was signed is wrong.
pub fn bad_field(code: &str, path: &str, found: &str, allowed: &str) -> Status {
    field(code, path, found, allowed, "correct the field and ask again")
}

fn field(code: &str, path: &str, found: &str, allowed: &str, next: &str) -> Status {
    let words = Words { code, found: found.to_owned(), allowed: allowed.to_owned(), next };
    let mut details = details(&words);
    let words = format!("found {}; allowed {}; next: {next}", clip(found, TEXT_BYTES), clip(allowed, TEXT_BYTES));
    details.add_bad_request_violation(clip(path, TEXT_BYTES), words);
    let message = format!("{code} at {path}: found {found}; allowed {allowed}");
    finish(Code::InvalidArgument, &message, details)
}

/// A record that could not be opened: malformed, or not authentic.
pub fn open(error: &OpenError) -> Status {
    if let OpenError::Malformed(error) = error {
        return malformed(error);
    }
    let words = Words {
        code: error.code(),
        found: error.to_string(),
        allowed: "each slot signed once, by an enrolled key, in the slot's role and meaning".to_owned(),
        next: "let the people named by the slots sign the record's digest again",
    };
    let mut details = details(&words);
    if let Some(slot) = error.slot() {
        details.add_bad_request_violation(format!("slots[{slot}]"), error.to_string());
    }
    finish(Code::PermissionDenied, &format!("{}: {error}", error.code()), details)
}

/// The same refusal of one of several records that came together: its field paths begin with the record's place.
pub fn of_item(status: &Status, place: &str) -> Status {
    let mut details = status.get_error_details();
    let fields = details.bad_request().map(|request| request.field_violations.clone()).unwrap_or_default();
    let placed = |violation: &FieldViolation| {
        FieldViolation::new(clip(&format!("{place}.{}", violation.field), TEXT_BYTES), violation.description.clone())
    };
    let mut placed: Vec<FieldViolation> = fields.iter().map(placed).collect();
    if placed.is_empty() {
        placed.push(FieldViolation::new(place, clip(status.message(), TEXT_BYTES)));
    }
    details.set_bad_request(placed);
    finish(status.code(), &format!("{place}: {}", status.message()), details)
}

/// The queue is full.
pub fn busy(busy: &Busy) -> Status {
    let words = Words {
        code: "QUEUE_FULL",
        found: busy.to_string(),
        allowed: "fewer records at once".to_owned(),
        next: "send the same record again after the delay",
    };
    let mut details = details(&words);
    details.set_retry_info(Some(Duration::from_millis(busy.retry_after_ms)));
    finish(Code::ResourceExhausted, &busy.to_string(), details)
}

/// No answer in time. The record may be in the log, or may still get there.
pub fn too_late(limit: Duration) -> Status {
    let words = Words {
        code: "DEADLINE_EXCEEDED",
        found: format!("no answer within {limit:?}; what was sent may have been done or not"),
        allowed: "an answer in time".to_owned(),
        next: "send the same again: a record is appended once, and the answer is its receipt",
    };
    status(Code::DeadlineExceeded, &words)
}

/// A status of the transport's own for a message that is larger than what is read, with the details that every refusal has; any other
/// status as it is.
pub fn received(status: Status) -> Status {
    if status.code() != Code::OutOfRange || !status.details().is_empty() {
        return status;
    }
    let words = Words {
        code: "MESSAGE_TOO_LARGE",
        found: status.message().to_owned(),
        allowed: "a message within the limit".to_owned(),
        next: "send less at once: fewer records in a batch, an evidence file in chunks",
    };
    self::status(Code::OutOfRange, &words)
}

/// A record that the ledger refuses.
pub fn refusal(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Violations { violations, moved } => violations_status(violations, moved),
        Refusal::AlreadyExistsDifferent { .. } => {
            plain(Code::AlreadyExists, refusal, "a record id of its own", "make a new record id")
        }
        Refusal::SigningsDiffer { .. } => plain(
            Code::AlreadyExists,
            refusal,
            "the signatures that the log holds",
            "add the missing signature with a SignatureAdded record",
        ),
        Refusal::ClockUntrusted => plain(
            Code::FailedPrecondition,
            refusal,
            "a wall clock that agrees with the time that has passed",
            "facts are accepted; let an administrator set the server's clock, then decide again",
        ),
        Refusal::ReadOnly { .. } => plain(
            Code::FailedPrecondition,
            refusal,
            "a ledger that no client is ahead of",
            "restore the newest backup; records that were acknowledged are missing",
        ),
        Refusal::StoreFull { .. } => {
            let words = words(refusal, "free space on the ledger's disk", "free some space; appends go on by themselves");
            let mut details = details(&words);
            details.set_retry_info(Some(Duration::from_secs(30)));
            finish(Code::ResourceExhausted, &refusal.to_string(), details)
        }
        Refusal::Stopped { .. } => {
            plain(Code::Unavailable, refusal, "a running ledger", "start the ledger again; send the same record again")
        }
        Refusal::SuccessorNotHeld => plain(
            Code::FailedPrecondition,
            refusal,
            "the successor that was prepared in the ledger's folder, held by the server since its start",
            "run `marrowline log-key prepare` where the server keeps its folder, start the server again, and send the same record again",
        ),
        Refusal::CannotJudge { .. } => {
            plain(Code::Unavailable, refusal, "a store that answers", "send the same record again; if it repeats, run fsck")
        }
    }
}

fn words<'a>(refusal: &Refusal, allowed: &str, next: &'a str) -> Words<'a> {
    Words { code: refusal.code(), found: refusal.to_string(), allowed: allowed.to_owned(), next }
}

fn plain(code: Code, refusal: &Refusal, allowed: &str, next: &str) -> Status {
    status(code, &words(refusal, allowed, next))
}

/// Codes whose refusal says that the signatories may not sign this, rather than that something does not hold.
fn is_about_authority(finding: &Finding) -> bool {
    [&codes::frame::SIGNER_WITHOUT_AUTHORITY, &codes::frame::SIGNERS_NOT_DIFFERENT, &codes::authority::REVOKER_NOT_ENTITLED]
        .contains(&finding.code)
}

fn is_about_form(finding: &Finding) -> bool {
    [
        &codes::frame::ORIGIN_DIFFERS,
        &codes::frame::SLOTS_WRONG,
        &codes::frame::STREAMS_WRONG,
        &codes::frame::EVENT_AHEAD,
        &codes::frame::SIGNED_AHEAD,
    ]
    .contains(&finding.code)
}

fn violations_status(violations: &[Finding], moved: &[Moved]) -> Status {
    let only_moved = violations.iter().all(|f| f.code == &codes::frame::HEAD_MOVED);
    let code = if only_moved {
        Code::Aborted
    } else if violations.iter().any(is_about_authority) {
        Code::PermissionDenied
    } else if violations.iter().all(is_about_form) {
        Code::InvalidArgument
    } else {
        Code::FailedPrecondition
    };
    let Some(first) = violations.first() else {
        return Status::internal("a refusal without violations");
    };
    let mut details = details(&Words {
        code: first.code.name,
        found: first.found.clone(),
        allowed: first.allowed.clone(),
        next: first.code.next,
    });
    let of_finding = |finding: &Finding| {
        let words = format!("found {}; allowed {}; next: {}", finding.found, finding.allowed, finding.code.next);
        PreconditionViolation::new(finding.code.name, look_at(finding), words)
    };
    let of_moved = |moved: &Moved| {
        let words = format!("record {} of the stream: {}", moved.seq, moved.event);
        PreconditionViolation::new("HEAD_MOVED_BY", format!("record {}", moved.record_id), words)
    };
    details.set_precondition_failure(fit(violations.iter().map(of_finding).chain(moved.iter().map(of_moved)).collect()));
    let mut names: Vec<&str> = Vec::new();
    for finding in violations {
        if !names.contains(&finding.code.name) {
            names.push(finding.code.name);
        }
    }
    finish(code, &format!("refused: {}", names.join(", ")), details)
}

fn look_at(finding: &Finding) -> String {
    finding.look_at.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A status with its details, as google.rpc.Status bytes.
pub fn to_bytes(status: &Status) -> Vec<u8> {
    if !status.details().is_empty() {
        return status.details().to_vec();
    }
    let plain = tonic_types::Status { code: status.code() as i32, message: status.message().to_owned(), details: Vec::new() };
    prost::Message::encode_to_vec(&plain)
}

/// A store that could not answer.
pub fn store(error: &StoreError) -> Status {
    let (code, name, next) = match error {
        StoreError::Full { .. } => (Code::ResourceExhausted, "STORE_FULL", "free some space"),
        StoreError::Fenced { .. } => (Code::Unavailable, "STORE_FENCED", "ask the node that has taken over"),
        StoreError::OutOfOrder { .. } => (Code::Internal, "STORE_OUT_OF_ORDER", "run fsck"),
        StoreError::Damaged { .. } => (Code::DataLoss, "STORE_DAMAGED", "run fsck; restore from a backup if it says so"),
        StoreError::Failed(_) => (Code::Unavailable, "STORE_FAILED", "start the ledger again; if it repeats, run fsck"),
    };
    status(code, &Words { code: name, found: error.to_string(), allowed: "a store that answers".to_owned(), next })
}

/// There is no such thing.
pub fn not_found(kind: &str, id: &str) -> Status {
    status(
        Code::NotFound,
        &Words {
            code: "NOT_FOUND",
            found: format!("{kind} `{id}`, which this ledger does not hold"),
            allowed: format!("{} {kind}'s code or id", if kind.starts_with(['a', 'e', 'i', 'o']) { "an" } else { "a" }),
            next: "check the code; scan it again",
        },
    )
}

/// A token that is missing or wrong.
pub fn token(code: &str, found: &str) -> Status {
    let next = match code {
        // Another token of the same key would be refused likewise.
        "TOKEN_KEY_REVOKED" => "make a new key (`marrowline key new`) and ask the key administrator to grant it",
        "TOKEN_KEY_UNKNOWN" => "use the key that was granted to you, or ask the key administrator to grant this one",
        "TOKEN_AUDIENCE_WRONG" => "use the log.vkey that was handed out for this ledger",
        "TOKEN_EXPIRED" => "make a new token; if that is refused likewise, set this machine's clock",
        _ => "make a new token with your key",
    };
    let allowed = "a token signed by an enrolled key for this ledger, valid now and for 12 hours at most";
    status(Code::Unauthenticated, &Words { code, found: found.to_owned(), allowed: allowed.to_owned(), next })
}

/// A reader who may not see this.
pub fn read_not_permitted(what: &str, who_may: &str) -> Status {
    status(
        Code::PermissionDenied,
        &Words {
            code: "READ_NOT_PERMITTED",
            found: format!("a reader who may not see {what}"),
            allowed: who_may.to_owned(),
            next: "ask someone who may, or the key administrator for the role",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a status takes in the headers: the message percent-encoded, the details in base64.
    fn header_bytes(status: &Status) -> usize {
        let message: usize = status.message().bytes().map(|b| if b.is_ascii_graphic() && b != b'%' { 1 } else { 3 }).sum();
        message + status.details().len().div_ceil(3) * 4
    }

    #[test]
    fn every_status_fits_into_the_headers_of_every_client() {
        let long = "ж".repeat(30_000);
        let finding = |n: usize| Finding {
            code: codes::frame::ALL[n % codes::frame::ALL.len()],
            found: long.clone(),
            allowed: long.clone(),
            look_at: Vec::new(),
        };
        let violations: Vec<Finding> = (0..300).map(finding).collect();
        let refused = refusal(&Refusal::Violations { violations, moved: Vec::new() });
        for code in codes::frame::ALL {
            let details = refused.get_error_details();
            let told = &details.precondition_failure().unwrap().violations;
            assert!(told.iter().any(|v| v.r#type == code.name), "{} is not told", code.name);
        }
        for status in [refused, not_found("lot", &long), bad_field("CODE", &long, &long, &long), token("CODE", &long)] {
            assert!(header_bytes(&status) < 8_000, "{} bytes: {:?}", header_bytes(&status), status.code());
        }
    }
}
