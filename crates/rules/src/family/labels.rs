//! Labels: printed, put on units, counted; and whether a lot has the evidence of it that its specification asks for.

use marrowline_record::id::Id16;
use marrowline_record::pb::{self, EvidenceKind};

use super::lot::{field, lot};
use crate::codes::lot as codes;
use crate::context::Context;
use crate::finding::Look;
use crate::index::id16;
use crate::state::Lot;
use crate::state::lot::Processing;
use crate::state::lot::labels::LabelBatch;

pub(super) fn printed(c: &mut Context<'_>, e: &pb::LabelsPrinted) {
    let lot = lot(c);
    let id = Id16(id16(&e.batch_id));
    let Some(batch) = lot.labels.get(&id) else {
        return;
    };
    if batch.is_printed {
        let look_at = vec![Look::Field("labels_printed.batch_id".to_owned()), Look::Record(batch.record_id)];
        c.find(&codes::LABEL_BATCH_REUSED, format!("batch {id}, which exists"), "a new id", look_at);
    }
    not_closed(c, batch);
}

/// The batch, flagged if the lot has none of this id.
fn batch_of<'l>(c: &mut Context<'_>, lot: &'l Lot, batch_id: &[u8], path: &str) -> Option<&'l LabelBatch> {
    let id = Id16(id16(batch_id));
    let batch = lot.labels.get(&id).filter(|batch| batch.is_printed);
    c.demand(
        batch.is_some(),
        &codes::LABEL_BATCH_UNKNOWN,
        || format!("batch {id}"),
        || "a batch that was printed for the lot".to_owned(),
        || field(path),
    );
    batch
}

/// What was done before the count and is entered after it does not come after it; whether the count closes with it, the disposition asks.
fn not_closed(c: &mut Context<'_>, batch: &LabelBatch) {
    let at_ms = c.occurred_at_ms;
    if let Some(count) = batch.reconciliation.as_ref().filter(|count| count.at_ms <= at_ms) {
        c.find(
            &codes::LABEL_BATCH_CLOSED,
            "a batch that was reconciled",
            "a batch whose labels are still being used",
            vec![Look::Record(count.record_id)],
        );
    }
}

pub(super) fn applied(c: &mut Context<'_>, e: &pb::LabelsApplied) {
    let lot = lot(c);
    if let Some(batch) = batch_of(c, &lot, &e.batch_id, "labels_applied.batch_id") {
        not_closed(c, batch);
    }
    for (number, unit_id) in e.unit_ids.iter().enumerate() {
        let id = Id16(id16(unit_id));
        c.demand(
            lot.units.contains_key(&id),
            &codes::UNIT_UNKNOWN,
            || format!("unit {id}"),
            || "a unit of the lot".to_owned(),
            || field(format!("labels_applied.unit_ids[{number}]")),
        );
    }
}

pub(super) fn reconciled(c: &mut Context<'_>, e: &pb::LabelsReconciled) {
    let lot = lot(c);
    let Some(batch) = batch_of(c, &lot, &e.batch_id, "labels_reconciled.batch_id") else {
        return;
    };
    c.demand(
        batch.is_closed_by(e),
        &codes::LABELS_NOT_RECONCILED,
        || {
            format!(
                "{} printed; {} applied + {} destroyed + {} returned",
                e.labels_printed(),
                e.labels_applied(),
                e.labels_destroyed(),
                e.labels_returned()
            )
        },
        || format!("{} printed, {} applied, the others destroyed or returned", batch.printed, batch.applied.len()),
        || vec![Look::Field("labels_reconciled".to_owned()), Look::Record(batch.record_id)],
    );
}

/// Every unit labelled and every batch reconciled, where the specification asks for it.
pub(super) fn check_evidence(c: &mut Context<'_>, lot: &Lot, document: &pb::SpecificationPublished) {
    if !document.required_evidence().any(|kind| kind == EvidenceKind::Labels) {
        return;
    }
    let printed = || lot.labels.iter().filter(|(_, batch)| batch.is_printed);
    if printed().next().is_none() {
        let look_at = lot.opened.iter().map(|(record, _)| Look::Record(*record)).collect();
        c.find(&codes::LABEL_EVIDENCE_MISSING, "no labels printed", "labels, printed, applied and reconciled", look_at);
    }
    for (id, batch) in printed() {
        let counted = batch.reconciliation.as_ref().map(|count| count.record_id);
        c.demand(
            batch.is_reconciled(),
            &codes::LABEL_EVIDENCE_MISSING,
            || format!("batch {id}, {}", if counted.is_some() { "whose count does not close" } else { "not reconciled" }),
            || "a batch whose count closes".to_owned(),
            || std::iter::once(batch.record_id).chain(counted).map(Look::Record).collect(),
        );
    }
    let is_labelled = |id: &Id16| printed().any(|(_, batch)| batch.applied.contains(id));
    let bare = lot.units.values().filter(|unit| unit.processing != Processing::Destroyed && !is_labelled(&unit.id));
    for unit in bare {
        c.find(
            &codes::LABEL_EVIDENCE_MISSING,
            format!("unit {} without a label", unit.code),
            "a label that was printed and put on",
            vec![Look::Record(unit.filled_by)],
        );
    }
}
