//! What opening does with sled: compare it with the journals, which are the truth, and catch it up or build it anew.
//!
//! sled gets only what a journal has made durable. If it has more than a journal, the journal has lost something, and nothing is opened.
//! If it has something else, or cannot be used, it is set aside and rebuilt, after the journals were read to their ends.

use std::fs;
use std::path::Path;

use marrowline_ledger::index_values;
use marrowline_ledger::store::{Batch, StagedRecord, StoreError};
use marrowline_merkle::{Edge, RebuildError, leaf_hash};
use marrowline_record::id::RecordId;
use marrowline_record::leaf::Leaf;

use crate::durable::Durable;
use crate::failed;
use crate::frame::{Frame, Kind};
use crate::journal::Journal;
use crate::local::OpenReport;
use crate::pending::{PendingBatch, PendingNotes};
use crate::projection::{NotOpen, Projection};
use crate::segment;

/// Frames between two syncs of sled while it is filled: what is not synced stays in memory.
const FRAMES_PER_FLUSH: u64 = 256;

/// Is told records done and records to do.
pub type Progress<'p> = dyn FnMut(u64, u64) + 'p;

/// Settles the journals and returns a projection that has everything in them.
pub fn projection(
    durable: &mut Durable,
    folder: &Path,
    report: &mut OpenReport,
    progress: &mut Progress<'_>,
) -> Result<Projection, StoreError> {
    let mut opened = match Projection::open(folder) {
        Ok(projection) => Ok(projection),
        Err(NotOpen::Unusable(reason)) => Err(reason),
        Err(NotOpen::Failed(error)) => return Err(error),
    };
    // Before anything is cut: what sled has, a journal once had.
    if let Ok(projection) = &opened {
        let counts = projection.applied().and_then(|(records, _)| Ok((records, projection.applied_notes()?.0)));
        match counts {
            Ok((records, notes)) => {
                not_ahead(durable.journal(), records)?;
                not_ahead(durable.notes(), notes)?;
            }
            Err(error) => opened = Err(error.to_string()),
        }
    }
    let [records, notes] = durable.settle()?;
    report.torn = records.torn;
    report.torn_notes = notes.torn;
    report.healed.extend(records.healed.into_iter().chain(notes.healed));
    let fits = match opened {
        Ok(projection) => {
            same_notes(&projection, durable.notes())?;
            match difference(&projection, durable.journal())? {
                None => Ok(projection),
                Some(reason) => Err(reason),
            }
        }
        Err(reason) => Err(reason),
    };
    let projection = match fits {
        Ok(projection) => projection,
        Err(reason) => {
            readable_to_the_end(durable)?;
            set_aside(folder)?;
            report.rebuilt = Some(reason);
            Projection::open(folder).map_err(|e| match e {
                NotOpen::Unusable(reason) => StoreError::Failed(reason),
                NotOpen::Failed(error) => error,
            })?
        }
    };
    report.caught_up = catch_up(&projection, durable.journal(), progress)?;
    let noted = catch_up_notes(&projection, durable.notes())?;
    if report.caught_up > 0 || noted > 0 {
        projection.flush()?;
    }
    Ok(projection)
}

fn not_ahead(journal: &Journal, applied: u64) -> Result<(), StoreError> {
    if applied <= journal.size() {
        return Ok(());
    }
    Err(refused(journal, format!("it ends at number {}, sled has {applied}: what was acknowledged is missing", journal.size())))
}

fn refused(journal: &Journal, place: String) -> StoreError {
    StoreError::Damaged {
        what: format!("{} {}", journal.place().kind.title(), journal.place().folder().display()),
        place,
        next: "nothing was changed; keep a copy of the folder, then restore from a backup; if you just did and the backup is older, \
               move the folder `sled` away: it is rebuilt from the journals"
            .to_owned(),
    }
}

/// The link of the frame that ends at this number, if one does.
fn link_at(journal: &Journal, end: u64) -> Result<Option<[u8; 32]>, StoreError> {
    let Some(last) = end.checked_sub(1) else {
        return Ok(Some(segment::first_link(journal.place().kind)));
    };
    let mut found = None;
    segment::read(journal.place(), last, &mut |frame, link| {
        found = (frame.end() == end).then_some(link);
        Ok(false)
    })?;
    Ok(found)
}

/// Refuses a second journal that sled was not filled from: it cannot be told which of the two is right.
fn same_notes(projection: &Projection, notes: &Journal) -> Result<(), StoreError> {
    let Ok((applied, link)) = projection.applied_notes() else {
        return Ok(());
    };
    if link_at(notes, applied)? == Some(link) {
        return Ok(());
    }
    Err(refused(notes, format!("its first {applied} notes are not the ones that sled was filled from")))
}

/// Why a projection is not one of this journal, if so.
fn difference(projection: &Projection, journal: &Journal) -> Result<Option<String>, StoreError> {
    let (applied, root) = match projection.applied() {
        Ok(applied) => applied,
        Err(error) => return Ok(Some(error.to_string())),
    };
    match link_at(journal, applied)? {
        Some(stated) if stated == root => {}
        Some(_) => return Ok(Some(format!("its root at {applied} records is not the journal's"))),
        None => return Ok(Some(format!("the journal has no frame that ends at {applied} records"))),
    }
    Ok(match edge_of(projection, applied) {
        Ok(edge) if edge.root() == root => None,
        Ok(_) => Some(format!("its hashes do not give its root at {applied} records")),
        Err(error) => Some(error.to_string()),
    })
}

/// Reads both journals whole: what cannot be rebuilt is not set aside.
fn readable_to_the_end(durable: &Durable) -> Result<(), StoreError> {
    for journal in [durable.journal(), durable.notes()] {
        segment::read(journal.place(), 0, &mut |_, _| Ok(true))?;
    }
    Ok(())
}

/// Moves a projection away that cannot be used; it is kept for a look.
fn set_aside(folder: &Path) -> Result<(), StoreError> {
    for number in 1..1_000u32 {
        let aside = folder.with_extension(format!("aside-{number}"));
        if !aside.exists() {
            return fs::rename(folder, &aside).map_err(|e| failed("cannot set aside", folder, &e));
        }
    }
    Err(StoreError::Failed(format!("too many projections set aside beside {}", folder.display())))
}

/// Applies the frames that the projection does not have, one at a time.
fn catch_up(projection: &Projection, journal: &Journal, progress: &mut Progress<'_>) -> Result<u64, StoreError> {
    let (applied, _) = projection.applied()?;
    let todo = journal.size().saturating_sub(applied);
    if todo == 0 {
        return Ok(0);
    }
    let mut edge = edge_of(projection, applied)?;
    let mut frames = 0u64;
    segment::read(journal.place(), applied, &mut |frame, _| {
        projection.apply(&PendingBatch::new(batch_of(frame, &mut edge)?))?;
        frames = frames.saturating_add(1);
        if frames.is_multiple_of(FRAMES_PER_FLUSH) {
            projection.flush()?;
        }
        progress(edge.size().saturating_sub(applied), todo);
        Ok(true)
    })?;
    Ok(todo)
}

fn catch_up_notes(projection: &Projection, notes: &Journal) -> Result<u64, StoreError> {
    let (applied, _) = projection.applied_notes()?;
    let todo = notes.size().saturating_sub(applied);
    if todo > 0 {
        segment::read(notes.place(), applied, &mut |frame, link| {
            let items = frame.items.iter().map(|(kind, body)| (kind.first().copied().unwrap_or(0), body.as_slice()));
            projection.apply_notes(&PendingNotes::new(frame.first, items, link))?;
            Ok(true)
        })?;
    }
    Ok(todo)
}

fn edge_of(projection: &Projection, size: u64) -> Result<Edge, StoreError> {
    let missing = |what: String| StoreError::Failed(format!("it lacks {what}"));
    Edge::rebuild(
        size,
        |index| {
            let (leaf, _) = projection.entry(index)?.ok_or_else(|| missing(format!("record {index}")))?;
            Ok(leaf_hash(&leaf))
        },
        |level, index| projection.tile(level, index)?.ok_or_else(|| missing(format!("tile {level}/{index}"))),
    )
    .map_err(|e: RebuildError<StoreError>| StoreError::Failed(e.to_string()))
}

/// A frame as the batch that it was.
pub fn batch_of(frame: Frame, edge: &mut Edge) -> Result<Batch, StoreError> {
    let mut tiles = Vec::new();
    let mut records = Vec::with_capacity(frame.items.len());
    for (number, (leaf, record)) in (frame.first..).zip(frame.items) {
        let wrong = |what: String| not_what_it_says(format!("record {number}: {what}"));
        let decoded = Leaf::decode(&leaf).map_err(|e| wrong(e.to_string()))?;
        let content = marrowline_record::decode(&record).map_err(|e| wrong(format!("{e:?}")))?;
        let record_id = RecordId::from_slice(&content.record_id).ok_or_else(|| wrong("no record id".to_owned()))?;
        edge.append(leaf_hash(&leaf), &mut tiles);
        records.push(StagedRecord {
            index: number,
            record_id,
            links: decoded.links.iter().map(|l| (l.stream_key, l.seq)).collect(),
            signed_hash: decoded.signed_hash(),
            index_writes: index_values(number, &leaf, &record)?,
            record: record.into(),
            leaf,
        });
    }
    if edge.root() != frame.hash {
        return Err(not_what_it_says(format!("the frame of record {}: its records do not give its root", frame.first)));
    }
    Ok(Batch { first: frame.first, records, root_after: frame.hash, tiles })
}

fn not_what_it_says(place: String) -> StoreError {
    StoreError::Damaged { what: Kind::Records.title().to_owned(), place, next: "run fsck; restore from a backup".to_owned() }
}
