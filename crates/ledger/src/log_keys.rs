//! The key that signs checkpoints, and how it is followed by another.
//!
//! A successor is held beside the present key before the record that names it can be appended. With the commit that brings this record the
//! checkpoint is signed with both keys, and that note is kept for ever: whoever knows the old key alone can follow. Every later checkpoint
//! is signed with the successor alone.

use ed25519_dalek::SigningKey;
use marrowline_merkle::{Checkpoint, Edge, SignedCheckpoint, VerifierKey};
use marrowline_record::id::Id16;
use marrowline_record::pb::StreamKind;
use marrowline_record::pb::record::Event;
use marrowline_record::stream::AUTHORITY_ID;
use marrowline_rules::state::Stream;
use marrowline_rules::state::authority::LogKey;

use crate::refusal::Refusal;
use crate::shared::{PublishedCheckpoint, Shared, read, write};
use crate::store::{NoteKind, StoreError};

/// The private keys that a ledger is opened with.
#[derive(Clone)]
pub struct LogKeys {
    /// The one that signs.
    pub present: SigningKey,
    /// One that is held ready to follow it.
    pub successor: Option<SigningKey>,
}

impl From<SigningKey> for LogKeys {
    fn from(present: SigningKey) -> Self {
        LogKeys { present, successor: None }
    }
}

impl LogKeys {
    /// Whether the successor is held that a record names.
    pub(crate) fn check(&self, event: &Event) -> Result<(), Refusal> {
        let Event::LogKeyRotated(e) = event else { return Ok(()) };
        let is_held = self.successor.as_ref().is_some_and(|key| key.verifying_key().as_bytes().as_slice() == e.log_public_key);
        if is_held { Ok(()) } else { Err(Refusal::SuccessorNotHeld) }
    }

    fn promoted(&self) -> Option<LogKeys> {
        self.successor.clone().map(LogKeys::from)
    }
}

/// One key of the log's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLogKey {
    /// The key and the record that brought it.
    pub key: LogKey,
    /// The checkpoint that was signed with this key and the one before it; `None` for the founding's key.
    pub handover: Option<PublishedCheckpoint>,
}

impl Shared {
    /// Signs the tree's end with the present key. Ed25519 is deterministic: a restart signs the same bytes.
    pub(crate) fn sign(&self, edge: &Edge) -> Result<PublishedCheckpoint, String> {
        self.sign_with(edge, &read(&self.log_keys).present)
    }

    fn sign_with(&self, edge: &Edge, key: &SigningKey) -> Result<PublishedCheckpoint, String> {
        let origin = read(&self.origin).as_ref().map(ToString::to_string).ok_or("no origin before the founding")?;
        let root = edge.root();
        let checkpoint = Checkpoint::new(&origin, edge.size(), root).map_err(|e| e.to_string())?;
        let note = checkpoint.sign(key).map_err(|e| e.to_string())?;
        Ok(PublishedCheckpoint { size: edge.size(), root, note })
    }

    /// The keys of the log up to a size, the present one last.
    pub(crate) fn log_key_history(&self, size: u64) -> Result<Vec<LogKey>, StoreError> {
        let authority = self.stream(StreamKind::Authority, &Id16(AUTHORITY_ID), size)?;
        Ok(match authority.as_deref() {
            Some(Stream::Authority(authority)) => authority.log_keys.clone(),
            _ => Vec::new(),
        })
    }

    /// Signs the tree's end with the present key and its successor, whose record is in the tree. [`Shared::promote`] comes after the note
    /// is durable.
    pub(crate) fn sign_handover(&self, edge: &Edge) -> Result<PublishedCheckpoint, String> {
        let keys = read(&self.log_keys).clone();
        let successor = keys.successor.as_ref().ok_or("the successor of the log's key is not held")?;
        let mut old = self.sign_with(edge, &keys.present)?;
        let new = self.sign_with(edge, successor)?;
        let line = new.note.lines().last().ok_or("a note without a signature")?;
        old.note.push_str(line);
        old.note.push('\n');
        Ok(old)
    }

    /// The successor signs from here on.
    pub(crate) fn promote(&self) {
        let promoted = read(&self.log_keys).promoted();
        if let Some(keys) = promoted {
            *write(&self.log_keys) = keys;
        }
    }

    /// Whether a key is the one that is held as successor, and no longer to come.
    pub(crate) fn is_due(&self, in_force: &LogKey) -> bool {
        let keys = read(&self.log_keys);
        let is = |key: &SigningKey| *key.verifying_key().as_bytes() == in_force.public_key;
        !is(&keys.present) && keys.successor.as_ref().is_some_and(is)
    }

    /// Every key of the log, with the checkpoint by which it took over.
    pub(crate) fn known_log_keys(&self) -> Result<Vec<KnownLogKey>, StoreError> {
        let handovers = handovers(self)?;
        let of = |key: LogKey| {
            let handover = handovers.iter().find(|(index, _)| *index == key.since_index).map(|(_, note)| note.clone());
            KnownLogKey { key, handover }
        };
        Ok(self.log_key_history(self.size())?.into_iter().map(of).collect())
    }

    /// Opens a note of this log, whichever of its keys signed it.
    pub(crate) fn open_note(&self, note: &str, size: u64) -> Result<SignedCheckpoint, String> {
        let origin = read(&self.origin).as_ref().map(ToString::to_string).unwrap_or_default();
        let mut failure = "the log has no key".to_owned();
        for key in self.log_key_history(size).map_err(|e| e.to_string())?.iter().rev() {
            match verifier(&origin, key).map(|log| SignedCheckpoint::open(note, &log)) {
                Some(Ok(signed)) => return Ok(signed),
                Some(Err(error)) => failure = error.to_string(),
                None => {}
            }
        }
        Err(failure)
    }
}

fn verifier(origin: &str, key: &LogKey) -> Option<VerifierKey> {
    VerifierKey::new(origin, ed25519_dalek::VerifyingKey::from_bytes(&key.public_key).ok()?).ok()
}

/// A handover as a note of the second journal: the leaf of the record that brought the key, u64be; the signed note.
pub(crate) fn handover_note(since_index: u64, checkpoint: &PublishedCheckpoint) -> (NoteKind, Vec<u8>) {
    (NoteKind::Handover, [since_index.to_be_bytes().as_slice(), checkpoint.note.as_bytes()].concat())
}

fn handovers(shared: &Shared) -> Result<Vec<(u64, PublishedCheckpoint)>, StoreError> {
    let notes = shared.reader.notes(NoteKind::Handover, 0, usize::MAX)?;
    notes.iter().map(|(number, bytes)| read_handover(*number, bytes)).collect()
}

/// A note that [`handover_note`] made. Who signed it is not looked at here: whoever follows it looks.
fn read_handover(number: u64, bytes: &[u8]) -> Result<(u64, PublishedCheckpoint), StoreError> {
    let damaged = |what: String| StoreError::Damaged {
        what: "the note of a new log key".to_owned(),
        place: format!("note {number}: {what}"),
        next: "run fsck; restore the second journal from a backup".to_owned(),
    };
    let (index, note) = bytes.split_first_chunk::<8>().ok_or_else(|| damaged("too short".to_owned()))?;
    let note = String::from_utf8(note.to_vec()).map_err(|e| damaged(e.to_string()))?;
    let parsed = marrowline_merkle::Note::parse(&note).map_err(|e| damaged(e.to_string()))?;
    let checkpoint = Checkpoint::parse(parsed.text()).map_err(|e| damaged(e.to_string()))?;
    Ok((u64::from_be_bytes(*index), PublishedCheckpoint { size: checkpoint.size(), root: *checkpoint.root(), note }))
}

#[cfg(test)]
mod tests {
    use marrowline_record::testing::{Noise, cases, signing_key};

    use super::*;

    /// Notes of the second journal that were changed under a right checksum: read as what they state, or damaged; and a statement that was
    /// changed is signed by neither key.
    #[test]
    fn spoiled_handovers_are_damaged_or_nobody_signed_them() {
        let cases = cases(4_000);
        let mut noise = Noise(0x6861_6e64_6f76);
        let checkpoint = Checkpoint::new("example.org/ledger/0a", 7, [5; 32]).unwrap();
        let mut note = checkpoint.sign(&signing_key(1)).unwrap();
        note.push_str(checkpoint.sign(&signing_key(2)).unwrap().lines().last().unwrap());
        note.push('\n');
        let good = PublishedCheckpoint { size: 7, root: [5; 32], note };
        let (kind, bytes) = handover_note(6, &good);
        assert_eq!(kind, NoteKind::Handover);
        assert_eq!(read_handover(0, &bytes).unwrap(), (6, good));
        let keys = [1, 2].map(|n| VerifierKey::new("example.org/ledger/0a", signing_key(n).verifying_key()).unwrap());
        let (mut read, mut held) = (0, 0);
        for number in 0..cases {
            let spoiled = noise.spoiled(&bytes);
            match read_handover(number, &spoiled) {
                Ok((index, published)) => {
                    read += 1;
                    assert_eq!(handover_note(index, &published).1, spoiled);
                    for key in &keys {
                        if let Ok(signed) = SignedCheckpoint::open(&published.note, key) {
                            held += 1;
                            assert_eq!((signed.checkpoint().size(), *signed.checkpoint().root()), (7, [5; 32]));
                        }
                    }
                }
                Err(error) => assert!(error.to_string().contains(&format!("note {number}")), "{error}"),
            }
        }
        println!("{cases} spoiled handovers: {read} read, {held} signatures held of what was not changed");
        assert!(read > cases / 10 && held > 0 && held < 2 * read, "{read} {held} of {cases}");
    }
}
