//! Refused attempts: what an inspector asks for first.

use marrowline_api::errors;
use marrowline_api::v1::{ListRefusalsRequest, ListRefusalsResponse, RefusedAttempt, RefusedRecord};
use marrowline_ledger::store::NoteKind;
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::id::{Id16, KeyId};
use marrowline_record::pb::{Role, StreamKind};
use marrowline_rules::{View as _, codes};
use serde::Deserialize;
use tonic::Status;

use crate::auth::Person;
use crate::{overview, page_token, reading};

/// A note as it was kept.
#[derive(Deserialize)]
struct Note {
    at_ms: i64,
    codes: Vec<String>,
    records: Vec<Attempted>,
}

/// A record in it. Older notes say less.
#[derive(Deserialize)]
struct Attempted {
    digest: String,
    keys: Vec<String>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default)]
    streams: Vec<(i32, String)>,
}

impl Attempted {
    fn streams(&self) -> impl Iterator<Item = (StreamKind, Id16)> + '_ {
        self.streams.iter().filter_map(|(kind, id)| {
            let id: [u8; 16] = hex::decode(id).ok()?.try_into().ok()?;
            Some((StreamKind::try_from(*kind).ok()?, Id16(id)))
        })
    }
}

/// A page of refused attempts.
pub fn list(ledger: &Ledger, person: &Person, request: &ListRefusalsRequest) -> Result<ListRefusalsResponse, Status> {
    if !person.is(Role::Auditor) && !person.is(Role::QualityAssurance) {
        return Err(errors::read_not_permitted("refused attempts", "an auditor, or QA"));
    }
    let size = overview::size(request.page_size, 100, 500)?;
    if !request.code.is_empty() && codes::by_name(&request.code).is_none() {
        let allowed = "the code of a rule, as docs/rules.md lists them, or nothing for all";
        return Err(errors::bad_field("TEXT_NOT_ALLOWED", "code", &format!("`{}`", request.code), allowed));
    }
    let from = page_token::number(&request.page_token)?;
    let notes = ledger.notes(NoteKind::Refusal, from, size).map_err(|e| errors::store(&e))?;
    let next = notes.last().filter(|_| notes.len() == size).map(|(number, _)| number.saturating_add(1).to_string());
    let snapshot = ledger.snapshot();
    let mut attempts = Vec::new();
    for (number, body) in &notes {
        let note: Note = serde_json::from_slice(body).map_err(|error| Status::data_loss(format!("note {number}: {error}")))?;
        let is_asked = note.at_ms >= request.from_ms && (request.code.is_empty() || note.codes.contains(&request.code));
        if is_asked && may_read(person, &snapshot, &note) {
            attempts.push(attempt(&snapshot, *number, note));
        }
    }
    match snapshot.failure() {
        Some(reason) => Err(Status::unavailable(reason)),
        None => Ok(ListRefusalsResponse { attempts, next_page_token: next.unwrap_or_default() }),
    }
}

/// QA sees attempts about what they may read, and about what does not exist.
fn may_read(person: &Person, snapshot: &Snapshot, note: &Note) -> bool {
    let mut streams = note.records.iter().flat_map(Attempted::streams);
    person.is(Role::Auditor)
        || streams
            .all(|(kind, id)| snapshot.stream(kind, &id).is_none_or(|stream| reading::may_read(person, kind, stream.upkeep())))
}

fn attempt(snapshot: &Snapshot, number: u64, note: Note) -> RefusedAttempt {
    let authority = snapshot.authority();
    let name = |text: &String| {
        let id = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok()).map(KeyId);
        id.and_then(|id| authority.key(&id)).map_or_else(|| text.clone(), |key| key.printed_name.clone())
    };
    let record = |record: &Attempted| RefusedRecord {
        digest: hex::decode(&record.digest).unwrap_or_default(),
        event: record.event.clone().unwrap_or_default(),
        streams: record
            .streams()
            .map(|(kind, id)| format!("{} {id}", kind.as_str_name().trim_start_matches("STREAM_KIND_").to_lowercase()))
            .collect(),
        signed_by: record.keys.iter().map(name).collect(),
    };
    RefusedAttempt { number, at_ms: note.at_ms, records: note.records.iter().map(record).collect(), codes: note.codes }
}

#[cfg(test)]
mod tests {
    use marrowline_ledger::memory::MemoryStore;
    use marrowline_ledger::{LogKeys, SystemTimeSource};
    use marrowline_record::testing::{Noise, cases, signing_key};

    use super::*;

    /// Notes that were changed under a right checksum are read as what they say, or not at all; none makes the list panic.
    #[test]
    fn spoiled_notes_are_attempts_or_none() {
        let cases = cases(5_000);
        let mut noise = Noise(0x7265_6675_7365);
        let good = serde_json::json!({
            "at_ms": 1_800_000_000_000_i64,
            "records": [
                {"digest": "0a".repeat(32), "keys": ["0b".repeat(32)], "event": "LotOpened", "streams": [[4, "0c".repeat(16)]]},
                {"digest": "0d".repeat(32), "keys": []},
            ],
            "codes": ["HEAD_MOVED", "LOT_NOT_RELEASED"],
        })
        .to_string();
        let store = Box::new(MemoryStore::default());
        let ledger = Ledger::open(store, LogKeys::from(signing_key(1)), Box::new(SystemTimeSource::default())).unwrap();
        let snapshot = ledger.snapshot();
        let person = Person { key_id: KeyId([1; 32]), roles: vec![(Role::QualityAssurance, Id16([2; 16]))] };
        let (mut read, mut listed) = (0, 0);
        for number in 0..cases {
            let Ok(note) = serde_json::from_slice::<Note>(&noise.spoiled(good.as_bytes())) else { continue };
            read += 1;
            listed += u64::from(may_read(&person, &snapshot, &note));
            let (at_ms, codes) = (note.at_ms, note.codes.clone());
            let attempt = attempt(&snapshot, number, note);
            assert_eq!((attempt.number, attempt.at_ms, attempt.codes), (number, at_ms, codes));
            assert!(attempt.records.iter().all(|record| record.streams.len() < 3));
        }
        println!("{cases} spoiled notes of refusals: {read} read, {listed} listed");
        assert!(read > cases / 10 && listed > 0, "{read} {listed} of {cases}");
        ledger.shutdown();
    }
}
