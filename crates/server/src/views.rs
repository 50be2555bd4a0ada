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
use marrowline_rules::state::custody::Custody;
use marrowline_rules::state::lot::labels::LabelBatch;
use marrowline_rules::state::lot::{Processing, Unit};
use marrowline_rules::state::subject::Dose;
use marrowline_rules::state::upkeep::{Deviation, Hold, Owed, Recall, Version};
use marrowline_rules::state::{Authority, Donor, Lot, Subject, Upkeep};
use marrowline_rules::{View, codes};

use crate::materials;

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

/// A unit; the subject that it is assigned to only if the reader may see it.
pub fn unit(snapshot: &Snapshot, lot: &Lot, unit: &Unit, shows_subject: bool) -> v1::UnitView {
    let (custody, facility) = match &unit.custody {
        Custody::Held { facility_id } => ("held", facility_id),
        Custody::InTransit { to_facility_id, .. } => ("in transit", to_facility_id),
        Custody::Disputed { facility_id, .. } => ("disputed", facility_id),
    };
    // What was assigned to a subject who died is free again.
    let allocation = marrowline_rules::family::units::allocation(snapshot, unit, snapshot.now_ms());
    let subject = allocation.filter(|_| shows_subject).map(|a| a.subject_id.0.to_vec());
    let state = match unit.processing {
        Processing::Allocated if allocation.is_none() => Processing::Stored,
        processing => processing,
    };
    v1::UnitView {
        unit_id: unit.id.0.to_vec(),
        unit_code: unit.code.clone(),
        lot_id: lot.id.0.to_vec(),
        lot_code: lot.opened.as_ref().map(|(_, e)| e.lot_code.clone()).unwrap_or_default(),
        processing: processing(state).to_owned(),
        custody: custody.to_owned(),
        facility_id: facility.0.to_vec(),
        facility_code: snapshot.authority().facility(facility).map(|f| f.code.clone()).unwrap_or_default(),
        location: unit.location.clone(),
        total_cells: unit.total_cells,
        viability_basis_points: unit.fill_viability_basis_points,
        subject_id: subject.unwrap_or_default(),
        dose_ids: marrowline_rules::family::dose::doses_of(snapshot, unit).iter().map(|(dose, _)| dose.0.to_vec()).collect(),
        holds: lot.upkeep.holds_on_unit(&unit.id).map(hold).collect(),
        container: container(unit).to_owned(),
        expires_at_ms: specification(snapshot, lot).map_or(0, |s| marrowline_rules::family::units::expires_at_ms(unit, &s)),
    }
}

/// Every processing state.
pub const PROCESSING: [Processing; 10] = [
    Processing::Filled,
    Processing::Stored,
    Processing::Allocated,
    Processing::Thawed,
    Processing::Prepared,
    Processing::Dispensed,
    Processing::Infused,
    Processing::Sampled,
    Processing::Returned,
    Processing::Destroyed,
];

/// A processing state in a word.
pub fn processing(state: Processing) -> &'static str {
    match state {
        Processing::Filled => "filled",
        Processing::Stored => "stored",
        Processing::Allocated => "allocated",
        Processing::Thawed => "thawed",
        Processing::Prepared => "prepared",
        Processing::Dispensed => "dispensed",
        Processing::Infused => "infused",
        Processing::Sampled => "sampled",
        Processing::Returned => "returned",
        Processing::Destroyed => "destroyed",
    }
}

fn container(unit: &Unit) -> &'static str {
    match (unit.container.damaged_by.is_some(), unit.container.lost_by.is_some()) {
        (false, false) => "",
        (true, false) => "damaged",
        (false, true) => "lost",
        (true, true) => "damaged and lost",
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

fn specification(snapshot: &Snapshot, lot: &Lot) -> Option<std::sync::Arc<pb::SpecificationPublished>> {
    let document = lot.specification()?;
    let id = Id16(document.id.as_slice().try_into().ok()?);
    snapshot.specification(&id)?.version(document.version).cloned()
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
pub fn lot_summary(lot: &Lot) -> v1::LotSummary {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
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
    }
}

/// A dose.
pub fn dose(snapshot: &Snapshot, subject: &Subject, dose: &Dose) -> v1::DoseView {
    let check = marrowline_rules::family::dose_check::check(snapshot, &dose.id, snapshot.now_ms());
    v1::DoseView {
        dose_id: dose.id.0.to_vec(),
        dose_code: dose.code.clone(),
        subject_id: subject.id.0.to_vec(),
        order_id: dose.order_id.0.to_vec(),
        state: format!("{:?}", marrowline_rules::family::dose_check::state_of(snapshot, dose)).to_lowercase(),
        unit_ids: dose.portions.iter().map(|p| p.unit_id.0.to_vec()).collect(),
        total_cells: dose.total_cells,
        viability_basis_points: dose.viability_basis_points,
        viable_cells_per_kg: check.viable_cells_per_kg.unwrap_or(0),
        expires_at_ms: dose.expires_at_ms,
        ..v1::DoseView::default()
    }
}

/// A subject.
pub fn subject(ledger: &Ledger, snapshot: &Snapshot, subject: &Subject) -> v1::SubjectView {
    let protocol = subject.protocol();
    let arm = subject.randomised.as_ref().and_then(|r| {
        let (id, version) = protocol?;
        let document = snapshot.protocol(&id)?.version(version).cloned()?;
        document.arms.iter().find(|a| a.arm == r.arm).map(|a| a.code.clone())
    });
    v1::SubjectView {
        stream: Some(stream(ledger, snapshot, StreamKind::Subject, &subject.id, &subject.upkeep)),
        subject_code: subject.consents.first().map(|c| c.event.subject_code.clone()).unwrap_or_default(),
        protocol: protocol.map(|(id, version)| pb::VersionRef { id: id.0.to_vec(), version }),
        arm: arm.unwrap_or_default(),
        weight_grams: subject.latest_weighing().map_or(0, |w| w.weight_grams),
        doses: subject.doses.iter().map(|d| dose(snapshot, subject, d)).collect(),
    }
}
