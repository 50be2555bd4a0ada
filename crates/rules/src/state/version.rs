//! Which version of a record counts: what was recorded, what replaced it, or nothing.
//!
//! The log keeps every version. Whatever is folded sees the last one in the place of the first, with the first one's time, signatures and
//! flags; a void record is folded without its event, as a place that is taken.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::Entry;
use marrowline_record::id::RecordId;
use marrowline_record::pb::Record;
use marrowline_record::pb::record::Event;

use crate::index::id16;

/// Whether a record changes how an earlier one counts.
pub fn changes_the_past(entry: &Entry) -> bool {
    matches!(entry.event(), Some(Event::RecordAmended(_) | Event::RecordVoided(_)))
}

/// The records of a stream that do not count as they were recorded.
#[derive(Clone, Debug, Default)]
pub struct Versions(BTreeMap<RecordId, Option<Arc<Record>>>);

impl Versions {
    /// Of the records of a stream, in their order.
    pub fn of(entries: &[Arc<Entry>]) -> Versions {
        let mut versions = Versions::default();
        for entry in entries {
            versions.add(entry);
        }
        versions
    }

    /// What a further record changes.
    pub fn add(&mut self, entry: &Entry) {
        match entry.event() {
            Some(Event::RecordAmended(e)) => {
                // A replacement that cannot be read is refused; the record then counts as it was.
                if let (Some(target), Ok(record)) = (&e.target, marrowline_record::decode(&e.replacement)) {
                    self.replace(RecordId(id16(&target.record_id)), Arc::new(record));
                }
            }
            Some(Event::RecordVoided(e)) => {
                if let Some(target) = &e.target {
                    self.void(RecordId(id16(&target.record_id)));
                }
            }
            _ => {}
        }
    }

    /// From now on this record counts as that one.
    pub fn replace(&mut self, target: RecordId, record: Arc<Record>) {
        self.0.insert(target, Some(record));
    }

    /// From now on this record does not count.
    pub fn void(&mut self, target: RecordId) {
        self.0.insert(target, None);
    }

    /// The version of a record that counts.
    pub fn of_entry<'e>(&self, entry: &'e Entry) -> Cow<'e, Entry> {
        match self.0.get(&entry.record_id()) {
            None => Cow::Borrowed(entry),
            Some(Some(record)) => Cow::Owned(Entry { record: Arc::clone(record), ..entry.clone() }),
            Some(None) => {
                let mut record = Record::clone(&entry.record);
                record.event = None;
                Cow::Owned(Entry { record: Arc::new(record), ..entry.clone() })
            }
        }
    }
}
