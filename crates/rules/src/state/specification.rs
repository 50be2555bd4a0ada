//! A product's specification with all its versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::SpecificationPublished;
use marrowline_record::pb::record::Event;

use crate::state::Upkeep;

/// The specification stream.
#[derive(Clone, Debug)]
pub struct Specification {
    /// The specification.
    pub id: Id16,
    /// Every version with the record that published it.
    pub versions: BTreeMap<u32, (RecordId, Arc<SpecificationPublished>)>,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Specification {
    /// Before the first record.
    pub fn new(id: Id16) -> Specification {
        Specification { id, versions: BTreeMap::new(), upkeep: Upkeep::new(marrowline_record::pb::StreamKind::Specification) }
    }

    /// A published version.
    pub fn version(&self, version: u32) -> Option<&Arc<SpecificationPublished>> {
        self.versions.get(&version).map(|(_, published)| published)
    }

    /// The last version's number; 0 before the first.
    pub fn last_version(&self) -> u32 {
        self.versions.keys().next_back().copied().unwrap_or(0)
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
        if let Some(Event::SpecificationPublished(e)) = &entry.record.event {
            self.versions.entry(e.version).or_insert_with(|| (entry.record_id(), Arc::new(e.clone())));
        }
    }
}
