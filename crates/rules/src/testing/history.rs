//! Plays a history: builds, signs, opens and appends the record of each row, and compares the ledger's answer with the row's.

use std::collections::{BTreeMap, BTreeSet};

use marrowline_merkle::{leaf_hash, root_of};
use marrowline_record::id::{Digest, Id16, RecordId};
use marrowline_record::log_key::possess;
use marrowline_record::origin::Origin;
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Meaning, Role, StreamKind};
use marrowline_record::signing::{Signing, Statement, sign};
use marrowline_record::stream::stream_key;
use marrowline_record::{digest, encode, open, origin};
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Value};

use super::people;
use super::row::{Deed, Row, Signatory, moment};
use super::values::{Names, assignments, schema, set};
use super::view::MemoryView;
use crate::Verdict;
use crate::family::dose_check::{self, Answer};
use crate::family::recall::Affected;
use crate::family::subject::slot_commitment;
use crate::state::upkeep::derived_id;
use crate::table::{self, SlotRule};
use crate::view::View as _;

/// Plays the history with this name; `read` gives the text of a file of the histories' folder. Returns how many rows held; otherwise
/// every row that did not, with what was found.
pub fn play(name: &str, read: &dyn Fn(&str) -> Result<String, String>) -> Result<usize, String> {
    let mut player = Player { read, pool: schema()?, defaults: defaults(&read("defaults.txt")?), failures: Vec::new(), held: 0 };
    let mut ledger = Ledger::default();
    player.play(name, &mut ledger)?;
    if player.failures.is_empty() { Ok(player.held) } else { Err(player.failures.join("\n")) }
}

/// A ledger that was brought to where a history ends, to be played on row by row.
#[derive(Clone)]
pub struct Played<'a> {
    player: Player<'a>,
    ledger: Ledger,
}

impl<'a> Played<'a> {
    /// Plays a history to its end. Every row must hold.
    pub fn to_the_end_of(name: &str, read: &'a dyn Fn(&str) -> Result<String, String>) -> Result<Played<'a>, String> {
        let mut player =
            Player { read, pool: schema()?, defaults: defaults(&read("defaults.txt")?), failures: Vec::new(), held: 0 };
        let mut ledger = Ledger::default();
        player.play(name, &mut ledger)?;
        if player.failures.is_empty() { Ok(Played { player, ledger }) } else { Err(player.failures.join("\n")) }
    }

    /// Plays one more row, whose last cell may say anything, and returns the ledger's answer.
    pub fn row(&mut self, line: &str) -> Result<String, String> {
        let row = Row::parse(line)?;
        self.ledger.rows += 1;
        match &row.deed {
            Deed::Check { dose } => Ok(check(&self.ledger, dose, row.at_ms).0),
            Deed::Standing { what, stream } => Ok(standing(&self.ledger, what, stream)),
            Deed::Record { .. } => self.player.append(&mut self.ledger, &row).map(|(answer, _)| answer),
        }
    }

    /// The ledger as it stands.
    pub fn view(&self) -> &MemoryView {
        &self.ledger.view
    }
}

/// What the rows so far have left.
#[derive(Clone, Default)]
struct Ledger {
    view: MemoryView,
    labels: BTreeMap<String, (RecordId, Digest)>,
    last_ms: i64,
    rows: usize,
}

#[derive(Clone)]
struct Player<'a> {
    read: &'a dyn Fn(&str) -> Result<String, String>,
    pool: DescriptorPool,
    defaults: BTreeMap<String, Vec<(String, String)>>,
    failures: Vec<String>,
    held: usize,
}

/// `[Event]` blocks of `path=value` lines.
fn defaults(text: &str) -> BTreeMap<String, Vec<(String, String)>> {
    let mut blocks: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let mut event = String::new();
    for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            event = name.to_owned();
        } else if let Some((path, value)) = line.split_once('=') {
            blocks.entry(event.clone()).or_default().push((path.to_owned(), value.to_owned()));
        }
    }
    blocks
}

impl Player<'_> {
    /// Rows before the first `==` are the beginning of every story of the file.
    fn play(&mut self, name: &str, ledger: &mut Ledger) -> Result<(), String> {
        let text = (self.read)(&format!("{name}.txt"))?;
        let mut beginning: Option<Ledger> = None;
        let mut story = String::new();
        for (number, line) in joined(&text) {
            if let Some(title) = line.strip_prefix("==") {
                *ledger = beginning.get_or_insert_with(|| ledger.clone()).clone();
                story = format!(" ({})", title.trim());
            } else if let Some(other) = line.strip_prefix("include ") {
                self.play(other.trim().trim_end_matches(".txt"), ledger)?;
            } else {
                let place = format!("{name}.txt:{number}{story}");
                match Row::parse(&line).and_then(|row| self.step(ledger, &row)) {
                    Ok(()) => self.held += 1,
                    Err(what) => self.failures.push(format!("{place}\n    {line}\n    {what}")),
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, ledger: &mut Ledger, row: &Row) -> Result<(), String> {
        ledger.rows += 1;
        let (found, detail) = match &row.deed {
            Deed::Check { dose } => check(ledger, dose, row.at_ms),
            Deed::Standing { what, stream } => (standing(ledger, what, stream), String::new()),
            Deed::Record { .. } => self.append(ledger, row)?,
        };
        let expected = row.verdict.split_whitespace().collect::<Vec<_>>();
        let in_order = |words: &[&str]| -> (String, BTreeSet<String>) {
            let (first, rest) = words.split_first().map_or(("", [].as_slice()), |(f, r)| (*f, r));
            (first.to_owned(), rest.iter().map(|w| (*w).to_owned()).collect())
        };
        let answer: Vec<&str> = found.split_whitespace().collect();
        if in_order(&expected) == in_order(&answer) {
            return Ok(());
        }
        Err(format!("expected: {}\n    found:    {found}{detail}", row.verdict))
    }

    fn append(&self, ledger: &mut Ledger, row: &Row) -> Result<(String, String), String> {
        let record = self.record(ledger, row)?;
        let bytes = encode(&record);
        let digest = digest(&bytes);
        let signings = signings(row, &record, digest)?;
        if let Some(label) = &row.label {
            let id = RecordId::from_slice(&record.record_id).ok_or("no record id")?;
            ledger.labels.insert(label.clone(), (id, digest));
        }
        let opened = match open(bytes, signings, &ledger.view) {
            Ok(opened) => opened,
            Err(error) => {
                return Ok((format!("unread {}", error.code()), format!("\n      {error}")));
            }
        };
        let recorded = match row.option("recorded") {
            Some(text) => moment(text, row.at_ms)?,
            None => row.at_ms.max(ledger.last_ms),
        };
        let verdict = ledger.view.append(&opened, recorded).ok_or("the record has no event")?;
        ledger.last_ms = ledger.last_ms.max(recorded);
        let (word, findings) = match &verdict {
            Verdict::Accepted { flags } if flags.is_empty() => ("accepted", flags),
            Verdict::Accepted { flags } => ("flagged", flags),
            Verdict::Refused { violations } => ("refused", violations),
        };
        Ok((answer(word, findings), details(findings)))
    }

    fn record(&self, ledger: &Ledger, row: &Row) -> Result<pb::Record, String> {
        let Deed::Record { signatories, alone, event, streams, cites, fields } = &row.deed else {
            return Err("no record".to_owned());
        };
        let event = self.event(ledger, row, event, fields)?;
        let mut record = pb::Record {
            origin: written_origin(ledger, row, &event)?,
            record_id: people::record_id(&format!("record {}", ledger.rows)).0.to_vec(),
            salt: people::id(&format!("salt {}", ledger.rows)).0.to_vec(),
            occurred_at: Some(instant(row.at_ms)),
            slots: slots(&event, signatories, *alone),
            ..pb::Record::default()
        };
        for (kind, name) in streams {
            record.streams.push(stream(ledger, row, *kind, name)?);
        }
        record.streams.sort_by(|a, b| (a.kind, &a.id).cmp(&(b.kind, &b.id)));
        for label in cites {
            let (id, digest) =
                ledger.labels.get(label).copied().unwrap_or_else(|| (people::record_id(label), Digest(people::hash(label))));
            record.cites.push(pb::Cite { record_id: id.0.to_vec(), digest: digest.0.to_vec() });
        }
        record.event = Some(event);
        Ok(record)
    }

    fn event(&self, ledger: &Ledger, row: &Row, name: &str, fields: &str) -> Result<Event, String> {
        let record = self.pool.get_message_by_name("marrowline.v1.Record").ok_or("no schema")?;
        let field = record
            .fields()
            .find(|f| f.containing_oneof().is_some() && f.kind().as_message().is_some_and(|m| m.name() == name))
            .ok_or_else(|| format!("`{name}` is no event"))?;
        let kind = field.kind().as_message().cloned().ok_or("no message")?;
        let mut message = DynamicMessage::new(kind);
        let names = Referring { ledger, at_ms: row.at_ms };
        for (path, value) in self.defaults.get(name).into_iter().flatten() {
            set(&mut message, path, value, &names).map_err(|e| format!("defaults of {name}: {e}"))?;
        }
        for (path, value) in assignments(fields)? {
            set(&mut message, &path, &value, &names)?;
        }
        let mut whole = DynamicMessage::new(record);
        whole.set_field(&field, Value::Message(message));
        let record = pb::Record::decode(whole.encode_to_vec().as_slice()).map_err(|e| e.to_string())?;
        record.event.ok_or_else(|| "no event".to_owned())
    }
}

/// Lines with their numbers; comments and empty lines left out, indented lines joined to the one before.
fn joined(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match lines.last_mut() {
            Some((_, before)) if line.starts_with(char::is_whitespace) => {
                before.push(' ');
                before.push_str(trimmed);
            }
            _ => lines.push((number, trimmed.to_owned())),
        }
    }
    lines
}

fn answer(word: &str, findings: &[crate::Finding]) -> String {
    let codes: BTreeSet<&str> = findings.iter().map(|f| f.code.name).collect();
    std::iter::once(word).chain(codes).collect::<Vec<_>>().join(" ")
}

fn details(findings: &[crate::Finding]) -> String {
    findings.iter().map(|f| format!("\n      {f}")).collect()
}

fn check(ledger: &Ledger, dose: &str, at_ms: i64) -> (String, String) {
    let check = dose_check::check(&ledger.view, &people::id(dose), at_ms);
    let word = match check.answer {
        Answer::Green => "GREEN",
        Answer::Red => "RED",
        Answer::NoAnswer => "NO_ANSWER",
    };
    (answer(word, &check.findings), details(&check.findings))
}

fn standing(ledger: &Ledger, what: &str, (kind, name): &(StreamKind, String)) -> String {
    let Some(upkeep) = ledger.view.upkeep(*kind, &stream_id(*kind, name)) else {
        return "none".to_owned();
    };
    let found: Vec<String> = match what {
        "holds" => upkeep.open_holds().map(|h| h.code.to_owned()).collect(),
        "deviations" => upkeep.open_deviations().map(|d| d.code.to_owned()).collect(),
        _ => upkeep.owed.iter().map(|o| super::row::short_role(o.role).to_owned()).collect(),
    };
    if found.is_empty() { "none".to_owned() } else { found.join(" ") }
}

fn instant(unix_ms: i64) -> pb::Instant {
    pb::Instant { unix_ms, offset_minutes: 0 }
}

fn stream_id(kind: StreamKind, name: &str) -> Id16 {
    match kind {
        StreamKind::Authority => Id16([0; 16]),
        _ => people::id(name),
    }
}

fn written_origin(ledger: &Ledger, row: &Row, event: &Event) -> Result<String, String> {
    if let Some(text) = row.option("origin") {
        return Ok(text.to_owned());
    }
    match (&ledger.view.authority().founded, event) {
        (_, Event::LedgerFounded(e)) => Ok(e.name.clone()),
        (Some((_, digest, founded)), _) => Ok(origin::Origin::new(&founded.name, digest).map_err(|e| e.to_string())?.to_string()),
        (None, _) => Ok(format!("nowhere/{}", "00".repeat(16))),
    }
}

/// The stream with its head as the first signatory saw it: the current one, or what `seen=` says.
fn stream(ledger: &Ledger, row: &Row, kind: StreamKind, name: &str) -> Result<pb::StreamExtension, String> {
    let id = stream_id(kind, name);
    let key = stream_key(u8::try_from(i32::from(kind)).unwrap_or(0), &id.0);
    let head = |seq: u64, hash: [u8; 32]| pb::Head { seq, hash: hash.to_vec() };
    let current = ledger.view.head(&key);
    let seen = match (row.option("seen"), current) {
        (None, current) => current.map(|(seq, hash)| head(seq, hash)),
        (Some("none"), _) => None,
        (Some("stale"), Some((seq, _))) => {
            let before = seq.saturating_sub(1);
            ledger.view.hash_at(&key, before).map(|hash| head(before, hash))
        }
        (Some("forged"), Some((seq, _))) => Some(head(seq, people::hash("forged"))),
        (Some("future"), current) => Some(head(current.map_or(1, |(seq, _)| seq + 1), people::hash("future"))),
        (Some(other), _) => return Err(format!("`seen={other}` is not read here")),
    };
    Ok(pb::StreamExtension { kind: kind.into(), id: id.0.to_vec(), head: seen })
}

fn slots(event: &Event, signatories: &[Option<Signatory>], alone: bool) -> Vec<pb::SignatureSlot> {
    let rules = table::row_of(event).slots;
    let count = if alone { signatories.len() } else { rules.len().max(signatories.len()) };
    let somewhere = signatories.iter().flatten().next().map_or("LAB", |s| s.facility.as_str());
    let meaning_of = |place: usize, role: Role| -> Meaning {
        let fits = |rule: &&SlotRule| rule.roles.contains(&role);
        let rule = rules.get(place).filter(fits).or_else(|| rules.iter().find(fits)).or_else(|| rules.get(place));
        rule.map_or(if role == Role::VerifyingOperator { Meaning::Verified } else { Meaning::Performed }, |r| r.meaning)
    };
    (0..count)
        .map(|place| {
            let signatory = signatories.get(place).and_then(Option::as_ref);
            let asked = rules.get(place).and_then(|r| r.roles.first()).copied().unwrap_or_default();
            let role = signatory.map_or(asked, |s| s.role);
            pb::SignatureSlot {
                role: role.into(),
                meaning: signatory.and_then(|s| s.meaning).unwrap_or_else(|| meaning_of(place, role)).into(),
                facility_id: people::id(signatory.map_or(somewhere, |s| s.facility.as_str())).0.to_vec(),
            }
        })
        .collect()
}

fn signings(row: &Row, record: &pb::Record, digest: Digest) -> Result<Vec<Signing>, String> {
    let Deed::Record { signatories, .. } = &row.deed else {
        return Ok(Vec::new());
    };
    let signed_at_ms = match row.option("signed") {
        Some(text) => moment(text, row.at_ms)?,
        None => row.at_ms,
    };
    let signed = (0u8..).zip(signatories).zip(&record.slots);
    Ok(signed
        .filter_map(|((slot, signatory), asked)| {
            let statement = Statement { slot, role: asked.role(), meaning: asked.meaning(), signed_at_ms, offset_minutes: 0 };
            Some(sign(&people::signing_key(&signatory.as_ref()?.key), digest, statement))
        })
        .collect())
}

/// What the values of a row refer to.
struct Referring<'a> {
    ledger: &'a Ledger,
    at_ms: i64,
}

impl Referring<'_> {
    /// A record with other values in its event: `path=value;path=value`.
    fn amended(&self, record: &pb::Record, changes: &str) -> Result<Vec<u8>, String> {
        let descriptor = schema()?.get_message_by_name("marrowline.v1.Record").ok_or("no Record")?;
        let mut whole = DynamicMessage::decode(descriptor, record.encode_to_vec().as_slice()).map_err(|e| e.to_string())?;
        let event = record.event.as_ref().map(marrowline_record::EventKind::of).ok_or("no event")?;
        for change in changes.split(';').filter(|change| !change.is_empty()) {
            let (path, value) = change.split_once('=').ok_or_else(|| format!("`{change}` is no change"))?;
            // A path from the record's own fields on begins with a dot.
            let path = path.strip_prefix('.').map_or_else(|| format!("{}.{path}", event.field_name()), str::to_owned);
            set(&mut whole, &path, value, self)?;
        }
        let changed = pb::Record::decode(whole.encode_to_vec().as_slice()).map_err(|e| e.to_string())?;
        Ok(changed.encode_to_vec())
    }
}

impl Names for Referring<'_> {
    fn moment(&self, text: &str) -> Result<i64, String> {
        moment(text, self.at_ms)
    }

    fn reference(&self, text: &str) -> Result<Vec<u8>, String> {
        let wrong = || format!("`{text}` refers to nothing; see histories/README.md");
        let (kind, name) = text.strip_prefix('@').and_then(|t| t.split_once(':')).ok_or_else(wrong)?;
        let record = |label: &str| self.ledger.labels.get(label).copied().ok_or_else(|| format!("no row is labelled {label}"));
        Ok(match kind {
            "rec" => record(name)?.0.0.to_vec(),
            "digest" => record(name)?.1.0.to_vec(),
            "hold" | "deviation" => {
                let (label, code) = name.split_once('/').ok_or_else(wrong)?;
                derived_id(&record(label)?.1, code).to_vec()
            }
            // What a lot or a donor reaches, by its name: `@affected:lot/L1`.
            "affected" => {
                let (kind, name) = name.split_once('/').ok_or_else(wrong)?;
                let kind = if kind == "lot" { StreamKind::Lot } else { StreamKind::Donor };
                Affected::of(&self.ledger.view, kind, &stream_id(kind, name)).digest().to_vec()
            }
            "amended" => {
                let (label, changes) = name.split_once('/').ok_or_else(wrong)?;
                let entry = self.ledger.view.entry(&record(label)?.0).ok_or_else(wrong)?;
                self.amended(&entry.record, changes)?
            }
            // A successor's signature, over the log's present key or a named one: `@possession:new`, `@possession:new/the-log`.
            "possession" => {
                let (successor, present) = name.split_once('/').unwrap_or((name, ""));
                let authority = self.ledger.view.authority();
                let (_, digest, founded) = authority.founded.as_ref().ok_or_else(wrong)?;
                let origin = Origin::new(&founded.name, digest).map_err(|e| e.to_string())?.to_string();
                let in_force = authority.log_keys.last().map(|key| key.public_key).ok_or_else(wrong)?;
                let present = if present.is_empty() { in_force } else { people::public_key(present) };
                possess(&people::signing_key(successor), &present, &origin).to_vec()
            }
            "key" => people::key_id(name).0.to_vec(),
            "public" => people::public_key(name).to_vec(),
            // The point of order 1: a key under which anything verifies where verification is lax.
            "weak" => std::iter::once(1).chain([0; 31]).collect(),
            "root" => root_of(&leaves(name)).to_vec(),
            "salt" => salt(name).to_vec(),
            "proof" => {
                let (arms, slot) = name.split_once('/').ok_or_else(wrong)?;
                path(&leaves(arms), slot.parse().map_err(|_| wrong())?).concat()
            }
            _ => return Err(wrong()),
        })
    }
}

/// The salt of a slot of a randomisation list.
fn salt(slot: &str) -> [u8; 32] {
    people::hash(&format!("salt of slot {slot}"))
}

/// The leaves of a randomisation list, written as its arms: `2121`.
fn leaves(arms: &str) -> Vec<[u8; 32]> {
    let arms = (0u32..).zip(arms.bytes().map(|b| b.saturating_sub(b'0')));
    arms.map(|(slot, arm)| leaf_hash(&slot_commitment(slot, arm, &salt(&slot.to_string())))).collect()
}

/// The inclusion proof of a leaf, RFC 9162 section 2.1.3.1.
fn path(leaves: &[[u8; 32]], place: usize) -> Vec<[u8; 32]> {
    if leaves.len() < 2 {
        return Vec::new();
    }
    let half = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(half);
    if place < half {
        let mut proof = path(left, place);
        proof.push(root_of(right));
        proof
    } else {
        let mut proof = path(right, place - half);
        proof.push(root_of(left));
        proof
    }
}
