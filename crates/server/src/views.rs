//! What people are shown, computed from folded streams.

use marrowline_api::v1;
use marrowline_ledger::{Ledger, Snapshot};
use marrowline_record::EventKind;
use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId, StreamKey};
use marrowline_record::pb::record::Event;
use marrowline_record::pb::{self, Comparator, Instant, ResultKind, StreamKind};
use marrowline_record::signing::Signing;
use marrowline_record::stream::stream_key;
use marrowline_rules::state::lot::labels::LabelBatch;
use marrowline_rules::state::subject::Dose;
use marrowline_rules::state::upkeep::{Deviation, Hold, Owed, Recall, Version};
use marrowline_rules::state::{Authority, Donor, Lot, Upkeep};
use marrowline_rules::{View, codes};

use crate::materials;

pub mod subject;
mod unit;

pub use subject::{dose, subject};
pub use unit::{PROCESSING, deviations, processing, unit};

/// Most steps of a stream in one view; more are read with ListRecords.
const MAX_STEPS: usize = 1_000;

fn hold(hold: &Hold) -> v1::HoldView {
    v1::HoldView {
        hold_id: hold.id.to_vec(),
        code: hold.code.to_owned(),
        reason: hold.reason.clone(),
        record_id: hold.record_id.0.to_vec(),
        unit_ids: hold.unit_ids.iter().map(|u| u.0.to_vec()).collect(),
        dose_id: hold.dose_id.map(|d| d.0.to_vec()).unwrap_or_default(),
        lifted_by: hold.lifted_by.map(|r| r.0.to_vec()).unwrap_or_default(),
    }
}

fn deviation(d: &Deviation) -> v1::DeviationView {
    v1::DeviationView {
        deviation_id: d.id.to_vec(),
        code: d.code.to_owned(),
        severity: d.severity.into(),
        description: d.description.clone(),
        record_id: d.record_id.0.to_vec(),
        closed_by: d.closed_by.map(|r| r.0.to_vec()).unwrap_or_default(),
    }
}

fn owed(o: &Owed) -> v1::OwedView {
    v1::OwedView {
        record_id: o.record_id.0.to_vec(),
        digest: o.digest.0.to_vec(),
        slot: u32::from(o.slot),
        role: o.role.into(),
        meaning: o.meaning.into(),
    }
}

fn recall(r: &Recall) -> v1::RecallView {
    v1::RecallView {
        recall_id: r.id.to_vec(),
        look_back: r.across == codes::Across::LookBack,
        code: r.code.to_owned(),
        reason: r.reason.clone(),
        record_id: r.record_id.0.to_vec(),
        closed_by: r.closed_by.map(|r| r.0.to_vec()).unwrap_or_default(),
        thing: String::new(),
    }
}

/// What stands against a dose in one of the streams that it rests on: holds in force, open deviations and recalls, signatures owed.
pub fn add_standing(view: &mut v1::DoseView, dose: &Dose, upkeep: &Upkeep, is_about: &dyn Fn(&RecordId) -> bool) {
    let of_dose = |hold: &&Hold| {
        (hold.unit_ids.is_empty() || dose.portions.iter().any(|portion| hold.unit_ids.contains(&portion.unit_id)))
            && hold.dose_id.is_none_or(|id| id == dose.id)
    };
    view.holds.extend(upkeep.open_holds().filter(of_dose).map(hold));
    view.deviations.extend(upkeep.open_deviations().filter(|d| is_about(&d.record_id)).map(deviation));
    view.owed.extend(upkeep.owed.iter().filter(|o| is_about(&o.record_id)).map(owed));
    view.recalls.extend(upkeep.open_recalls().map(recall));
    view.holds.sort_by(|a, b| a.hold_id.cmp(&b.hold_id));
    view.holds.dedup();
    view.deviations.sort_by(|a, b| a.deviation_id.cmp(&b.deviation_id));
    view.deviations.dedup();
    view.owed.sort_by(|a, b| (&a.record_id, a.slot).cmp(&(&b.record_id, b.slot)));
    view.owed.dedup();
}

/// A record in words.
pub fn step(entry: &Entry, authority: &Authority, version: Option<&Version>) -> v1::StepView {
    v1::StepView {
        amended_by: version.map(|version| version.record_id.0.to_vec()).unwrap_or_default(),
        is_void: version.is_some_and(|version| version.is_void),
        index: entry.index,
        record_id: entry.record_id().0.to_vec(),
        event: entry.event().map_or_else(String::new, |e| EventKind::of(e).name().to_owned()),
        says: entry.event().map(says).unwrap_or_default(),
        occurred_at: entry.record.occurred_at,
        recorded_at_ms: entry.recorded_at_ms,
        signatures: entry.signings.iter().map(|s| signature(s, authority)).collect(),
        flags: entry.flags.iter().map(|n| codes::by_number(*n).map_or_else(|| n.to_string(), |c| c.name.to_owned())).collect(),
    }
}

/// What a record says, where the event's name alone does not tell.
fn says(event: &Event) -> String {
    let result =
        |code: &str, result: Option<&pb::TestResult>| format!("{code} {}", result.map(result_in_words).unwrap_or_default());
    match event {
        Event::TestResultReported(e) => result(&e.test_code, e.result.as_ref()),
        Event::DonorTestReported(e) => result(&e.test_code, e.result.as_ref()),
        Event::TestResultReviewed(e) => short(e.decision().as_str_name(), "REVIEW_DECISION_"),
        Event::DonorTestReviewed(e) => short(e.decision().as_str_name(), "REVIEW_DECISION_"),
        Event::DonorEligibilityDetermined(e) => short(e.eligibility().as_str_name(), "ELIGIBILITY_"),
        Event::LotDispositionDecided(e) => short(e.disposition().as_str_name(), "DISPOSITION_"),
        _ => String::new(),
    }
}

fn short(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase().replace('_', " ")
}

fn result_in_words(result: &pb::TestResult) -> String {
    if result.kind() != ResultKind::Quantitative {
        return short(result.kind().as_str_name(), "RESULT_KIND_");
    }
    let before = match result.comparator() {
        Comparator::Unspecified | Comparator::Equal => "",
        Comparator::Less => "< ",
        Comparator::Greater => "> ",
        Comparator::BelowQuantification => "below quantification at ",
        Comparator::AboveQuantification => "above quantification at ",
    };
    format!("{before}{} {}", result.value(), result.unit_ucum()).trim_end().to_owned()
}

/// A signature in words.
pub fn signature(signing: &Signing, authority: &Authority) -> v1::SignatureView {
    v1::SignatureView {
        printed_name: authority.key(&signing.key_id).map_or_else(|| signing.key_id.to_string(), |k| k.printed_name.clone()),
        role: i32::from(signing.role),
        meaning: i32::from(signing.meaning),
        signed_at: Some(Instant { unix_ms: signing.signed_at_ms, offset_minutes: i32::from(signing.offset_minutes) }),
    }
}

/// What became of a record: the stream that it extends first says whether it was amended or voided.
pub fn version(snapshot: &Snapshot, entry: &Entry) -> Option<Version> {
    let first = entry.record.streams.first()?;
    let stream = snapshot.stream(first.kind(), &Id16(first.id.as_slice().try_into().ok()?))?;
    stream.upkeep().amended.get(&entry.record_id()).copied()
}

/// The signatures that were added to a record which owed them. The stream is read only for such a record.
pub fn signed_later(snapshot: &Snapshot, entry: &Entry) -> Vec<v1::SignatureView> {
    let first = entry.record.streams.first().filter(|_| entry.record.slots.len() > entry.signings.len());
    let stream = first.and_then(|first| snapshot.stream(first.kind(), &Id16(first.id.as_slice().try_into().ok()?)));
    let later = stream.iter().flat_map(|stream| stream.upkeep().signed.iter()).map(|signed| signed.record_id);
    let authority = snapshot.authority();
    let is_of_it =
        |added: &Entry| matches!(added.event(), Some(Event::SignatureAdded(e)) if e.target_digest[..] == entry.digest.0[..]);
    let added = later.filter_map(|id| snapshot.entry(&id)).filter(|added| is_of_it(added));
    added.flat_map(|added| added.signings.iter().map(|s| signature(s, &authority)).collect::<Vec<_>>()).collect()
}

/// What every stream has, with its records in words.
pub fn stream(ledger: &Ledger, snapshot: &Snapshot, kind: StreamKind, id: &Id16, upkeep: &Upkeep) -> v1::StreamView {
    let authority = snapshot.authority();
    let key: StreamKey = stream_key(kind as u8, &id.0);
    let entries = ledger.stream_entries(kind, id, 1, MAX_STEPS).unwrap_or_default();
    v1::StreamView {
        kind: kind.into(),
        id: id.0.to_vec(),
        length: upkeep.length,
        head: snapshot.head(&key).map(|(_, hash)| hash.to_vec()).unwrap_or_default(),
        holds: upkeep.holds.iter().map(hold).collect(),
        deviations: upkeep.deviations.iter().map(deviation).collect(),
        owed: upkeep.owed.iter().map(owed).collect(),
        recalls: upkeep.recalls.iter().map(recall).collect(),
        steps: entries.iter().map(|e| step(e, &authority, upkeep.amended.get(&e.record_id()))).collect(),
    }
}

/// A donor.
pub fn donor(ledger: &Ledger, snapshot: &Snapshot, donor: &Donor) -> v1::DonorView {
    v1::DonorView {
        stream: Some(stream(ledger, snapshot, StreamKind::Donor, &donor.id, &donor.upkeep)),
        donor_code: donor.registered.as_ref().map(|(_, e)| e.donor_code.clone()).unwrap_or_default(),
        eligibility: donor.eligibility.map_or(0, |(_, e)| e.into()),
        dins: donor.collections.iter().map(|c| c.event.din.clone()).collect(),
        lot_ids: donor.lots.iter().map(|l| l.0.to_vec()).collect(),
    }
}

fn label_batch((id, batch): (&Id16, &LabelBatch)) -> v1::LabelBatchView {
    v1::LabelBatchView {
        batch_id: id.0.to_vec(),
        labels_printed: batch.printed,
        labels_applied: u64::try_from(batch.applied.len()).unwrap_or(u64::MAX),
        reconciled: batch.is_reconciled(),
    }
}

/// A lot.
pub fn lot(ledger: &Ledger, snapshot: &Snapshot, lot: &Lot) -> v1::LotView {
    v1::LotView {
        stream: Some(stream(ledger, snapshot, StreamKind::Lot, &lot.id, &lot.upkeep)),
        lot_code: lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()).unwrap_or_default(),
        specification: lot.specification().cloned(),
        donor_id: lot.donor_id.map(|d| d.0.to_vec()).unwrap_or_default(),
        din: lot.opened.as_ref().map(|(_, e)| e.din.clone()).unwrap_or_default(),
        disposition: lot.disposition().map_or(0, Into::into),
        passage: lot.passage(),
        milli_doublings: lot.milli_doublings(),
        units: lot.units.values().map(|u| unit(snapshot, lot, u, false)).collect(),
        labels: lot.labels.iter().map(label_batch).collect(),
        materials: materials::of_lot(snapshot, lot),
    }
}

/// A lot in one line.
pub fn lot_summary(snapshot: &Snapshot, lot: &Lot) -> v1::LotSummary {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let donor = lot.donor_id.and_then(|id| snapshot.donor(&id));
    let looked_back = donor.map_or(0, |donor| donor.upkeep.open_recalls().count());
    v1::LotSummary {
        lot_id: lot.id.0.to_vec(),
        lot_code: lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()).unwrap_or_default(),
        donor_id: lot.donor_id.map(|d| d.0.to_vec()).unwrap_or_default(),
        disposition: lot.disposition().map_or(0, Into::into),
        passage: lot.passage(),
        units: count(lot.units.len()),
        holds: count(lot.upkeep.open_holds().count()),
        deviations: count(lot.upkeep.open_deviations().count()),
        owed: count(lot.upkeep.owed.len()),
        recalls: count(lot.upkeep.open_recalls().count().saturating_add(looked_back)),
    }
}
