//! Authorisations that await a signature, as they are kept: in memory, and in notes beside the log so that they survive a restart.
//!
//! Nothing here decides. A proposal becomes a record only by being appended with all its signatures, like any other.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_api::v1;
use marrowline_ledger::Ledger;
use marrowline_ledger::store::{NoteKind, StoreError};
use marrowline_record::id::{KeyId, RecordId};
use marrowline_record::pb::Record;
use marrowline_record::signing::Signing;
use marrowline_rules::COUNTERSIGNED_AGE_MS;
use prost::Message as _;
use serde::{Deserialize, Serialize};

/// How long those who signed can still read what became of a proposal, after it could no longer be appended.
const TOLD_FOR_MS: i64 = 3_600_000;
/// Most proposals that are kept at once.
pub const MOST: usize = 4_096;
/// Most open proposals that one key has signed.
pub const MOST_OF_ONE: usize = 128;
/// Notes that are read in one go.
const PAGE: usize = 512;

/// Why a proposal does not wait any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// It is in the log.
    Appended {
        /// The leaf's number.
        index: u64,
    },
    /// A stream has moved on.
    Moved {
        /// What came in between, in words.
        by: Vec<String>,
    },
    /// Somebody took it back or declined.
    Withdrawn {
        /// Why, and by whom.
        because: String,
    },
}

/// A proposal.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// The record, verbatim.
    pub bytes: Vec<u8>,
    /// The record.
    pub record: Arc<Record>,
    /// The signings so far, by slot; after a stream has moved on also the one that came too late.
    pub signings: Vec<Signing>,
    /// Why it does not wait any more.
    pub ended: Option<Ending>,
}

impl Proposal {
    /// The last moment at which it can be appended.
    pub fn expires_at_ms(&self) -> i64 {
        self.record.occurred_at.as_ref().map_or(0, |at| at.unix_ms).saturating_add(COUNTERSIGNED_AGE_MS)
    }

    /// Whether it can still be signed.
    pub fn is_open(&self, now_ms: i64) -> bool {
        self.ended.is_none() && now_ms <= self.expires_at_ms()
    }

    /// Slots without a signature.
    pub fn open_slots(&self) -> Vec<u8> {
        let all = (0u8..).take(self.record.slots.len());
        all.filter(|slot| self.signings.iter().all(|signing| signing.slot != *slot)).collect()
    }

    /// Whether this key has signed it.
    pub fn is_signed_by(&self, key: &KeyId) -> bool {
        self.signings.iter().any(|signing| signing.key_id == *key)
    }

    /// With its signings, as it goes over the wire.
    pub fn signed(&self) -> v1::SignedRecord {
        v1::SignedRecord { record: self.bytes.clone(), signings: self.signings.iter().map(v1::Signing::from).collect() }
    }
}

/// What happened to a proposal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Note {
    /// The ledger's time.
    pub at_ms: i64,
    /// The record, UUID.
    pub record_id: String,
    /// The key of who did it.
    pub key: String,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It was proposed: the signed record, hexadecimal.
    Proposed(String),
    /// It was signed: the signing, hexadecimal.
    Signed(String),
    /// It ended.
    Ended(Ending),
}

/// All proposals.
#[derive(Debug, Default)]
pub struct Book(BTreeMap<RecordId, Proposal>);

impl Book {
    /// What was kept before, as far as it still matters.
    pub fn read(ledger: &Ledger) -> Result<Book, StoreError> {
        let since_ms = ledger.reading().now_ms.saturating_sub(COUNTERSIGNED_AGE_MS + TOLD_FOR_MS);
        let mut book = Book::default();
        let mut from = first_since(ledger, since_ms)?;
        loop {
            let notes = ledger.notes(NoteKind::Proposal, from, PAGE)?;
            let Some((last, _)) = notes.last() else { break };
            from = last.saturating_add(1);
            for (_, body) in &notes {
                if let Ok(note) = serde_json::from_slice::<Note>(body) {
                    book.apply(&note);
                }
            }
        }
        // A record that was appended right before the ledger stopped may have left no note.
        for (id, proposal) in &mut book.0 {
            if proposal.ended.is_none() {
                proposal.ended = ledger.index_of(id)?.map(|index| Ending::Appended { index });
            }
        }
        Ok(book)
    }

    /// Lets a note count. One that cannot be read changes nothing.
    pub fn apply(&mut self, note: &Note) {
        let Some(id) = uuid::Uuid::parse_str(&note.record_id).ok().and_then(|id| RecordId::from_slice(id.as_bytes())) else {
            return;
        };
        match &note.what {
            What::Proposed(text) => {
                if let Some(proposal) = proposal(text).filter(|proposal| proposal.record.record_id == id.0) {
                    self.0.entry(id).or_insert(proposal);
                }
            }
            What::Signed(text) => {
                if let (Some(proposal), Some(signing)) = (self.0.get_mut(&id), signing(text)) {
                    proposal.signings.push(signing);
                    proposal.signings.sort_by_key(|signing| signing.slot);
                }
            }
            What::Ended(ending) => {
                if let Some(proposal) = self.0.get_mut(&id) {
                    proposal.ended.get_or_insert_with(|| ending.clone());
                }
            }
        }
    }

    /// Forgets what nobody asks for any more.
    pub fn sweep(&mut self, now_ms: i64) {
        self.0.retain(|_, proposal| now_ms <= proposal.expires_at_ms().saturating_add(TOLD_FOR_MS));
    }

    /// A proposal.
    pub fn get(&self, id: &RecordId) -> Option<&Proposal> {
        self.0.get(id)
    }

    /// All of them, oldest first: ids of records are UUIDv7.
    pub fn all(&self) -> impl Iterator<Item = (&RecordId, &Proposal)> {
        self.0.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The text of a signed record in a note.
pub fn text_of(message: &impl prost::Message) -> String {
    hex::encode(message.encode_to_vec())
}

fn proposal(text: &str) -> Option<Proposal> {
    let signed = v1::SignedRecord::decode(hex::decode(text).ok()?.as_slice()).ok()?;
    let record = marrowline_record::decode(&signed.record).ok()?;
    let signings = signed.signings.iter().filter_map(|signing| signing.to_signing().ok()).collect();
    Some(Proposal { bytes: signed.record, record: Arc::new(record), signings, ended: None })
}

fn signing(text: &str) -> Option<Signing> {
    v1::Signing::decode(hex::decode(text).ok()?.as_slice()).ok()?.to_signing().ok()
}

/// Number of the first note since a moment. Notes are in the order of time, so that few are read.
fn first_since(ledger: &Ledger, since_ms: i64) -> Result<u64, StoreError> {
    let is_old = |number: u64| -> Result<Option<(u64, bool)>, StoreError> {
        let found = ledger.notes(NoteKind::Proposal, number, 1)?.into_iter().next();
        Ok(found.map(|(number, body)| {
            let at_ms = serde_json::from_slice::<Note>(&body).map_or(i64::MIN, |note| note.at_ms);
            (number, at_ms < since_ms)
        }))
    };
    // Everything below `low` is old; from `high` on nothing is, or there is nothing.
    let (mut low, mut high) = (0, 1);
    while let Some((number, true)) = is_old(high)? {
        (low, high) = (number.saturating_add(1), number.saturating_add(1).saturating_mul(2));
    }
    while low < high {
        let middle = low + (high - low) / 2;
        match is_old(middle)? {
            Some((number, true)) => low = number.saturating_add(1),
            _ => high = middle,
        }
    }
    Ok(low)
}

#[cfg(test)]
mod tests {
    use marrowline_record::testing::{Noise, cases, sample, sign_every_slot};
    use marrowline_record::{EventKind, digest, encode};

    use super::*;

    fn spoiled_hex(noise: &mut Noise, text: &str) -> String {
        hex::encode(noise.spoiled(&hex::decode(text).unwrap()))
    }

    /// Notes that were changed under a right checksum, in their JSON and in the bytes that it carries: a proposal is one of a record that
    /// can be read, or there is none.
    #[test]
    fn spoiled_notes_are_proposals_of_whole_records_or_none() {
        let cases = cases(4_000);
        let mut noise = Noise(0x7072_6f70_6f73);
        let record = sample(EventKind::from_name("FacilityRegistered").unwrap(), 1);
        let bytes = encode(&record);
        let signings = sign_every_slot(&record, digest(&bytes));
        let own = Proposal { bytes, record: Arc::new(record), signings, ended: None };
        let proposed = text_of(&v1::SignedRecord { signings: Vec::new(), ..own.signed() });
        let signed = text_of(&own.signed().signings[0]);
        let record_id = RecordId::from_slice(&own.record.record_id).unwrap();
        let note = |what: What| Note { at_ms: 1_800_000_000_000, record_id: record_id.to_string(), key: "0a".repeat(32), what };
        let moved = Ending::Moved { by: vec!["lot L-1: UnitsMoved".to_owned()] };
        let withdrawn = Ending::Withdrawn { because: "not audited".to_owned() };
        let endings = [Ending::Appended { index: 7 }, moved, withdrawn];
        let (mut read, mut proposals, mut signings, mut ended) = (0, 0, 0, 0);
        for case in 0..cases {
            let mut notes = [
                note(What::Proposed(proposed.clone())),
                note(What::Signed(signed.clone())),
                note(What::Ended(noise.of(&endings).unwrap().clone())),
            ];
            match (case % 4, &mut notes[..]) {
                (0, [Note { what: What::Proposed(text), .. }, ..]) => *text = spoiled_hex(&mut noise, text),
                (1, [_, Note { what: What::Signed(text), .. }, ..]) => *text = spoiled_hex(&mut noise, text),
                _ => {}
            }
            let mut texts: Vec<Vec<u8>> = notes.iter().map(|note| serde_json::to_vec(note).unwrap()).collect();
            if case % 4 > 1 {
                let which = noise.below(texts.len());
                texts[which] = noise.spoiled(&texts[which]);
            }
            let mut book = Book::default();
            for note in texts.iter().filter_map(|text| serde_json::from_slice::<Note>(text).ok()) {
                read += 1;
                book.apply(&note);
            }
            for (id, proposal) in book.all() {
                proposals += 1;
                assert_eq!(id.0.as_slice(), proposal.record.record_id);
                assert_eq!(encode(&proposal.record), proposal.bytes);
                signings += u64::from(!proposal.signings.is_empty());
                ended += u64::from(proposal.ended.is_some());
                let slots = proposal.record.slots.len();
                assert!(proposal.open_slots().len() <= slots && !proposal.is_signed_by(&KeyId([0; 32])));
                assert_eq!(proposal.signed().record, proposal.bytes);
                assert!(proposal.ended.is_none() || !proposal.is_open(i64::MIN));
            }
            book.sweep(i64::MAX);
        }
        println!(
            "{cases} ledgers with a spoiled note: {read} notes read, {proposals} proposals, {signings} signed, {ended} ended"
        );
        // Some are missing, which shows that some were refused; most are there.
        assert!(proposals > cases / 2 && proposals < cases, "{proposals} of {cases}");
        assert!(signings > cases / 4 && signings < proposals && ended > cases / 4 && ended < proposals, "{signings} {ended}");
    }
}
