//! `fsck`: everything computed again from the journal, and the projection compared with it.

use std::path::Path;

use indicatif::ProgressBar;
use marrowline_ledger::audit::{Audit, Report};
use marrowline_ledger::index_values;
use marrowline_ledger::store::Store as _;
use marrowline_merkle::{Checkpoint, Note, SignedCheckpoint, VerifierKey};
use marrowline_record::leaf::Leaf;
use marrowline_store::{LocalStore, check_notes, published_checkpoint, read_journal};

use crate::args::Output;
use crate::exit::{say, tell};
use crate::failure::Failure;
use crate::home::Home;

/// Checks a ledger's folder while nobody serves it. Prints what it found; a failure names every problem.
pub fn run(folder: &Path, bucket: Option<&str>, output: Output) -> Result<(), Failure> {
    let home = Home::new(folder);
    let log = VerifierKey::parse(home.read("log.vkey")?.trim()).map_err(Failure::integrity)?;
    let bar = ProgressBar::new_spinner();
    let (report, size) = audit(&home, &log, &bar)?;
    let notes = check_notes(&home.store()).map_err(|e| Failure::store(&e))?;
    let compared = compare_projection(&home, &bar)?;
    bar.finish_and_clear();
    let files = attachments(&home, bucket)?;
    if output == Output::Table {
        say!("fsck: {} attachments hashed again; {} that records name are not here", files.whole, files.missing);
        say!(
            "fsck: {} records, {} signatures, every leaf, link, flag and root computed again; {notes} notes; {compared} values of the projection compared",
            report.records,
            report.signatures
        );
    }
    let damaged = files.damaged;
    if report.problems.is_empty() && damaged.is_empty() {
        match output {
            Output::Table => say!("fsck: nothing is wrong; {size} records"),
            Output::Json => say!(
                "{:#}",
                serde_json::json!({
                    "records": report.records, "signatures": report.signatures, "notes": notes, "compared": compared,
                    "attachments": files.whole, "attachments_missing": files.missing, "problems": [],
                })
            ),
        }
        return Ok(());
    }
    let mut problems: Vec<String> =
        report.problems.iter().map(|p| format!("record {}: {}: {}", p.index, p.code, p.what)).collect();
    problems.extend(damaged.iter().map(|name| format!("attachment {name}: its bytes have another digest")));
    Err(Failure::integrity(problems.join("\n")))
}

/// What was found of the attachments.
struct Files {
    /// How many are whole.
    whole: usize,
    /// How many a record names that are not here.
    missing: usize,
    /// Names of those that are damaged.
    damaged: Vec<String>,
}

/// Every attachment hashed again. One that a record names and that is not here is only told: it may never have been put.
fn attachments(home: &Home, bucket: Option<&str>) -> Result<Files, Failure> {
    let folder = home.attachments_folder();
    let (whole, damaged) = match bucket {
        None => marrowline_attachments::check(&folder).map_err(|e| Failure::file(&folder, &e))?,
        Some(_) => {
            let attachments = home.attachments(bucket)?;
            crate::runtime()?.block_on(attachments.check()).map_err(Failure::unexpected)?
        }
    };
    let mut named = std::collections::BTreeSet::new();
    read_journal(&home.store(), |frame| {
        for (_, record) in &frame.entries {
            let event = marrowline_record::decode(record).ok().and_then(|record| record.event);
            let digest = event.as_ref().and_then(marrowline_rules::index::evidence).and_then(|d| <[u8; 32]>::try_from(d).ok());
            named.extend(digest);
        }
    })
    .map_err(|e| Failure::store(&e))?;
    let missing = named.iter().filter(|digest| !whole.contains(digest) && !damaged.contains(&hex::encode(digest))).count();
    Ok(Files { whole: whole.len(), missing, damaged })
}

fn audit(home: &Home, log: &VerifierKey, bar: &ProgressBar) -> Result<(Report, u64), Failure> {
    let published = published_checkpoint(&home.store()).map_err(|e| Failure::store(&e))?;
    let published = match &published {
        Some(note) => {
            let parsed = Note::parse(note).map_err(Failure::integrity)?;
            Some((note, Checkpoint::parse(parsed.text()).map_err(Failure::integrity)?))
        }
        None => None,
    };
    let mut audit = Audit::new();
    let mut wrong_roots = Vec::new();
    let mut published_seen = published.is_none();
    let size = read_journal(&home.store(), |frame| {
        for (leaf, record) in &frame.entries {
            audit.next(leaf, record);
            if let Some((_, checkpoint)) = &published
                && checkpoint.size() == audit.size()
            {
                published_seen = *checkpoint.root() == audit.root();
            }
            bar.inc(1);
        }
        if audit.root() != frame.root_after {
            wrong_roots.push(frame.first);
        }
    })
    .map_err(|e| Failure::store(&e))?;
    if let Some(first) = wrong_roots.first() {
        return Err(Failure::integrity(format!("the journal frame of record {first} states another root than its records give")));
    }
    if !published_seen {
        let next = "the checkpoint file is ahead of the journal or has another root: restore from a backup";
        return Err(Failure::integrity(next));
    }
    let keys = audit.log_keys();
    if !keys.contains(log.public_key().as_bytes()) {
        return Err(Failure::integrity("log.vkey is none of the keys that the log's records name"));
    }
    if let Some((note, _)) = &published {
        signed_by_any(note, log.name(), &keys)?;
    }
    Ok((audit.finish(), size))
}

/// The checkpoint file is signed by the log's present key, or by the one that had it when it was written.
fn signed_by_any(note: &str, origin: &str, keys: &[[u8; 32]]) -> Result<(), Failure> {
    let mut failure = Failure::integrity("the log has no key");
    for key in keys.iter().rev() {
        let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(Failure::integrity)?;
        let key = VerifierKey::new(origin, key).map_err(Failure::integrity)?;
        match SignedCheckpoint::open(note, &key) {
            Ok(_) => return Ok(()),
            Err(error) => failure = Failure::integrity(error),
        }
    }
    Err(failure)
}

/// Every value that can be reached in the projection, against the journal.
fn compare_projection(home: &Home, bar: &ProgressBar) -> Result<u64, Failure> {
    let (mut store, report) = LocalStore::open(&home.store(), &mut |_, _| {}).map_err(|e| Failure::store(&e))?;
    if let Some(reason) = report.rebuilt {
        tell!("fsck: the projection was set aside and rebuilt: {reason}");
    }
    let reader = store.reader();
    let mut compared = 0u64;
    let mut wrong: Vec<String> = Vec::new();
    let mut heads = std::collections::HashMap::new();
    let mut indexes: std::collections::HashMap<Vec<u8>, [u8; 16]> = std::collections::HashMap::new();
    read_journal(&home.store(), |frame| {
        for (index, (leaf, record)) in (frame.first..).zip(&frame.entries) {
            bar.inc(1);
            let stored = reader.entry(index).ok().flatten();
            if stored.as_ref() != Some(&(leaf.clone(), record.clone())) {
                wrong.push(format!("record {index} of the projection is not the journal's"));
            }
            let Ok(decoded) = Leaf::decode(leaf) else {
                continue;
            };
            for link in &decoded.links {
                let expected = Some((index, decoded.signed_hash()));
                if reader.link(&link.stream_key, link.seq).ok().flatten() != expected {
                    wrong.push(format!("link {} of stream {} is wrong", link.seq, link.stream_key));
                }
                heads.insert(link.stream_key, (link.seq, decoded.signed_hash()));
                compared = compared.saturating_add(1);
            }
            for write in index_values(index, leaf, record).unwrap_or_default() {
                if !(write.first_wins && indexes.contains_key(&write.key)) {
                    indexes.insert(write.key, write.value);
                }
            }
            compared = compared.saturating_add(1);
        }
    })
    .map_err(|e| Failure::store(&e))?;
    for (stream, head) in &heads {
        compared = compared.saturating_add(1);
        if reader.head(stream).ok().flatten() != Some(*head) {
            wrong.push(format!("the head of stream {stream} is wrong"));
        }
    }
    for (key, value) in &indexes {
        compared = compared.saturating_add(1);
        if reader.lookup(key).ok().flatten() != Some(*value) {
            wrong.push("a value of an index is wrong".to_owned());
        }
    }
    store.close().map_err(|e| Failure::store(&e))?;
    if wrong.is_empty() {
        return Ok(compared);
    }
    wrong.push("move the folder `store/sled` away and start the ledger: it is rebuilt from the journal".to_owned());
    Err(Failure::integrity(wrong.join("\n")))
}
