//! Batches of labels: how many were printed, which units got them, and how the count closed.

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb;
use marrowline_record::pb::record::Event;

use super::Lot;
use crate::index::id16;

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelBatch {
    /// The record that printed it first; until that is entered, the one that used it first.
    pub record_id: RecordId,
    /// Whether its printing is recorded.
    pub is_printed: bool,
    /// Labels printed under its id.
    pub printed: u64,
    /// The unit of each label that was put on.
    pub applied: Vec<Id16>,
    /// The last count, by its own time.
    pub reconciliation: Option<Count>,
}

/// How a batch was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The record.
    pub record_id: RecordId,
    /// When.
    pub at_ms: i64,
    /// What was counted.
    pub event: pb::LabelsReconciled,
}

impl LabelBatch {
    fn new(record_id: RecordId) -> LabelBatch {
        LabelBatch { record_id, is_printed: false, printed: 0, applied: Vec::new(), reconciliation: None }
    }

    /// Whether a count closes, and says what was recorded of printing and applying.
    pub fn is_closed_by(&self, count: &pb::LabelsReconciled) -> bool {
        let parts = [count.labels_applied(), count.labels_destroyed(), count.labels_returned()];
        let sum: u64 = parts.into_iter().map(u64::from).sum();
        let printed = u64::from(count.labels_printed());
        printed == sum
            && printed == self.printed
            && usize::try_from(count.labels_applied()).is_ok_and(|applied| applied == self.applied.len())
    }

    /// Whether the last count closes with what is recorded by now.
    pub fn is_reconciled(&self) -> bool {
        self.reconciliation.as_ref().is_some_and(|count| self.is_closed_by(&count.event))
    }
}

pub(super) fn fold(lot: &mut Lot, entry: &Entry, event: &Event) {
    match event {
        Event::LabelsPrinted(e) => {
            let batch = lot.labels.entry(Id16(id16(&e.batch_id))).or_insert_with(|| LabelBatch::new(entry.record_id()));
            if !batch.is_printed {
                (batch.record_id, batch.is_printed) = (entry.record_id(), true);
            }
            batch.printed = batch.printed.saturating_add(u64::from(e.labels_printed));
        }
        Event::LabelsApplied(e) => {
            // Its printing may be entered later.
            let batch = lot.labels.entry(Id16(id16(&e.batch_id))).or_insert_with(|| LabelBatch::new(entry.record_id()));
            batch.applied.extend(e.unit_ids.iter().map(|unit| Id16(id16(unit))));
        }
        Event::LabelsReconciled(e) => {
            let count = Count { record_id: entry.record_id(), at_ms: entry.occurred_at_ms(), event: e.clone() };
            if let Some(batch) = lot.labels.get_mut(&Id16(id16(&e.batch_id)))
                && batch.reconciliation.as_ref().is_none_or(|known| known.at_ms <= count.at_ms)
            {
                batch.reconciliation = Some(count);
            }
        }
        _ => {}
    }
}
