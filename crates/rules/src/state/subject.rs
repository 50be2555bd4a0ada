//! A trial subject: consent, screening, arm, weighings, orders, doses.

use marrowline_record::entry::Entry;
use marrowline_record::id::Id16;

use crate::state::Upkeep;

/// The subject stream.
#[derive(Clone, Debug)]
pub struct Subject {
    /// The subject.
    pub id: Id16,
    /// Holds, deviations, signatures.
    pub upkeep: Upkeep,
}

impl Subject {
    /// Before the first record.
    pub fn new(id: Id16) -> Subject {
        Subject { id, upkeep: Upkeep::new(marrowline_record::pb::StreamKind::Subject) }
    }

    /// Adds the next record.
    pub fn fold(&mut self, entry: &Entry) {
        self.upkeep.fold(entry);
    }
}
