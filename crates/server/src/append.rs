//! From signed bytes to the log: opened on the thread of the request, handed to the sequencer, answered within the deadline.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use marrowline_api::errors;
use marrowline_api::v1::{AppendResponse, Finding, SignedRecord};
use marrowline_ledger::store::NoteKind;
use marrowline_ledger::{Appended, Ledger, Refusal};
use marrowline_record::id::{Digest, KeyId};
use marrowline_record::pb::Record;
use marrowline_record::{EventKind, OpenedRecord, open};
use tokio::sync::oneshot;
use tonic::Status;

use crate::auth::Auth;
use crate::reading;

/// Appends for the services.
pub struct Appender {
    ledger: Ledger,
    auth: Auth,
    /// Longest wait for the sequencer.
    deadline: Duration,
}

impl Appender {
    /// To this ledger; an append is answered within `deadline`.
    pub fn new(ledger: Ledger, auth: Auth, deadline: Duration) -> Appender {
        Appender { ledger, auth, deadline }
    }

    /// Decodes a record and verifies every signature, on the thread of the request.
    pub fn open(&self, signed: Option<&SignedRecord>) -> Result<OpenedRecord, Status> {
        let signed = signed.ok_or_else(|| errors::bad_field("FIELD_MISSING", "record", "nothing", "a signed record"))?;
        if signed.signings.len() > marrowline_record::leaf::MAX_SIGNINGS {
            return Err(errors::bad_field("TOO_MANY_ITEMS", "signings", "more", "at most 8 signings"));
        }
        let mut signings = Vec::with_capacity(signed.signings.len());
        for (number, signing) in signed.signings.iter().enumerate() {
            let path = |field: &str| format!("signings[{number}].{field}");
            signings.push(signing.to_signing().map_err(|field| {
                errors::bad_field("SIGNING_MALFORMED", &path(field), "a malformed value", "see view.proto, Signing")
            })?);
        }
        let keys = self.ledger.keyring();
        open(signed.record.clone(), signings, keys.as_ref()).map_err(|e| errors::open(&e))
    }

    /// Appends all or none, and answers with what the sender may read.
    pub async fn append(&self, sender: KeyId, records: Vec<OpenedRecord>) -> Result<Vec<AppendResponse>, Status> {
        let pending = self.begin(records)?;
        self.finish(sender, pending).await
    }

    /// Hands records to the sequencer, in the order of the calls.
    pub fn begin(&self, records: Vec<OpenedRecord>) -> Result<Pending, Status> {
        let attempts: Vec<Attempt> = records.iter().map(Attempt::of).collect();
        let answer = self.ledger.submit(records).map_err(|e| errors::busy(&e))?;
        Ok(Pending { attempts, answer })
    }

    /// Waits for what was begun.
    pub async fn finish(&self, sender: KeyId, pending: Pending) -> Result<Vec<AppendResponse>, Status> {
        let Pending { attempts, answer } = pending;
        let answer = in_time(self.deadline, answer).await?;
        let result = answer.map_err(|_| errors::refusal(&Refusal::Stopped { reason: "the sequencer has stopped".to_owned() }))?;
        match result {
            Ok(appended) => {
                appended.into_iter().zip(&attempts).map(|(one, attempt)| self.response(sender, one, attempt)).collect()
            }
            Err(mut refusal) => {
                self.keep_refusal(&attempts, &refusal).await;
                if let Refusal::Violations { violations, .. } = &mut refusal {
                    for attempt in &attempts {
                        self.withhold(sender, &attempt.record, violations);
                    }
                }
                Err(errors::refusal(&refusal))
            }
        }
    }

    /// Leaves in findings only what the sender may read.
    pub fn withhold(&self, sender: KeyId, record: &Record, findings: &mut [marrowline_rules::Finding]) {
        if findings.is_empty() {
            return;
        }
        let snapshot = self.ledger.snapshot();
        let person = self.auth.reader(sender, &snapshot);
        reading::withhold(findings, &reading::hidden_kinds(&person, &snapshot, record));
    }

    /// Refused attempts are kept, beside the log: an inspector asks for them.
    async fn keep_refusal(&self, attempts: &[Attempt], refusal: &Refusal) {
        let Refusal::Violations { violations, .. } = refusal else {
            return;
        };
        let records = attempts.iter().map(|attempt| {
            let keys: Vec<String> = attempt.keys.iter().map(ToString::to_string).collect();
            let event = attempt.record.event.as_ref().map(|event| EventKind::of(event).name());
            let streams = attempt.record.streams.iter().map(|s| (s.kind, hex::encode(&s.id)));
            serde_json::json!({
                "digest": attempt.digest.to_string(),
                "keys": keys,
                "event": event,
                "streams": streams.collect::<Vec<_>>(),
            })
        });
        let note = serde_json::json!({
            "at_ms": self.ledger.reading().now_ms,
            "records": records.collect::<Vec<_>>(),
            "codes": violations.iter().map(|f| f.code.name).collect::<Vec<_>>(),
        });
        let _ = self.ledger.note(vec![(NoteKind::Refusal, note.to_string().into_bytes())]).await;
    }

    fn response(&self, sender: KeyId, mut appended: Appended, attempt: &Attempt) -> Result<AppendResponse, Status> {
        let receipt = self.ledger.receipt_of(&appended).map_err(|e| errors::store(&e))?;
        self.withhold(sender, &attempt.record, &mut appended.flags);
        Ok(AppendResponse { receipt: Some(receipt.into()), flags: appended.flags.iter().map(Finding::from).collect() })
    }
}

/// What comes of it, unless it takes too long.
async fn in_time<T>(deadline: Duration, answer: impl Future<Output = T>) -> Result<T, Status> {
    tokio::time::timeout(deadline, answer).await.map_err(|_| errors::too_late(deadline))
}

/// Records that the sequencer has.
pub struct Pending {
    attempts: Vec<Attempt>,
    answer: oneshot::Receiver<Result<Vec<Appended>, Refusal>>,
}

/// What is remembered of a record while the sequencer has it.
struct Attempt {
    record: Arc<Record>,
    digest: Digest,
    keys: Vec<KeyId>,
}

impl Attempt {
    fn of(record: &OpenedRecord) -> Attempt {
        Attempt {
            record: record.shared_record(),
            digest: record.digest(),
            keys: record.signings().iter().map(|s| s.key_id).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_that_does_not_come_is_not_waited_for() {
        let (sender, answer) = tokio::sync::oneshot::channel::<u8>();
        let status = in_time(Duration::from_millis(1), answer).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        drop(sender);
        let (sender, answer) = tokio::sync::oneshot::channel::<u8>();
        sender.send(7).unwrap();
        assert_eq!(in_time(Duration::ZERO, answer).await.unwrap(), Ok(7));
    }
}
