//! Streams folded into what the rules ask about.
//!
//! A state is computed from the accepted records of one stream alone, in their order, and can be thrown away and folded again. Folding
//! is total: whatever was accepted, flagged or not, can be folded.

use std::borrow::Cow;
use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId};
use marrowline_record::pb::StreamKind;

pub mod authority;
pub mod custody;
pub mod donor;
pub mod equipment;
pub mod facility;
pub mod lot;
pub mod protocol;
pub mod specification;
pub mod subject;
pub mod upkeep;
pub mod version;

pub use authority::Authority;
pub use donor::Donor;
pub use equipment::Equipment;
pub use facility::Facility;
pub use lot::Lot;
pub use protocol::Protocol;
pub use specification::Specification;
pub use subject::Subject;
pub use upkeep::Upkeep;
pub use version::Versions;

/// A folded stream of any kind.
#[derive(Clone, Debug)]
pub enum Stream {
    /// The authority stream.
    Authority(Arc<Authority>),
    /// A trial's protocol.
    Protocol(Arc<Protocol>),
    /// A product's specification.
    Specification(Arc<Specification>),
    /// A donor.
    Donor(Arc<Donor>),
    /// A lot.
    Lot(Arc<Lot>),
    /// A trial subject.
    Subject(Arc<Subject>),
    /// A facility.
    Facility(Arc<Facility>),
    /// A device.
    Equipment(Arc<Equipment>),
    /// A stream of no kind that this software knows.
    Other(Upkeep),
}

impl Stream {
    /// A stream before its first record.
    pub fn new(kind: StreamKind, id: Id16) -> Stream {
        match kind {
            StreamKind::Authority => Stream::Authority(Arc::new(Authority::default())),
            StreamKind::Protocol => Stream::Protocol(Arc::new(Protocol::new(id))),
            StreamKind::Specification => Stream::Specification(Arc::new(Specification::new(id))),
            StreamKind::Donor => Stream::Donor(Arc::new(Donor::new(id))),
            StreamKind::Lot => Stream::Lot(Arc::new(Lot::new(id))),
            StreamKind::Subject => Stream::Subject(Arc::new(Subject::new(id))),
            StreamKind::Facility => Stream::Facility(Arc::new(Facility::new(id))),
            StreamKind::Equipment => Stream::Equipment(Arc::new(Equipment::new(id))),
            StreamKind::Unspecified => Stream::Other(Upkeep::new(kind)),
        }
    }

    /// Adds the stream's next record. An amendment counts in the place of the record that it amends, so that everything is folded again
    /// with it; `read` finds the stream's records. `None` if one of them cannot be read: the state is then not to be used.
    #[must_use]
    pub fn add(&mut self, entry: &Arc<Entry>, read: &dyn Fn(&RecordId) -> Option<Arc<Entry>>) -> Option<()> {
        if !version::changes_the_past(entry) {
            self.fold(entry);
            return Some(());
        }
        let signed = Arc::clone(&self.upkeep().signed);
        let mut entries = signed.iter().map(|signed| read(&signed.record_id)).collect::<Option<Vec<_>>>()?;
        entries.push(Arc::clone(entry));
        let versions = Versions::of(&entries);
        let mut again = self.before_its_first();
        for entry in &entries {
            again.fold_version(entry, &versions);
        }
        *self = again;
        Some(())
    }

    /// The same stream before its first record.
    pub(crate) fn before_its_first(&self) -> Stream {
        let id = match self {
            Stream::Authority(_) | Stream::Other(_) => Id16([0; 16]),
            Stream::Protocol(state) => state.id,
            Stream::Specification(state) => state.id,
            Stream::Donor(state) => state.id,
            Stream::Lot(state) => state.id,
            Stream::Subject(state) => state.id,
            Stream::Facility(state) => state.id,
            Stream::Equipment(state) => state.id,
        };
        Stream::new(self.upkeep().kind, id)
    }

    /// Folds the version of a record that counts, and what the first one leaves behind all the same.
    pub(crate) fn fold_version(&mut self, entry: &Entry, versions: &Versions) {
        let version = versions.of_entry(entry);
        self.fold(&version);
        if let (Stream::Lot(lot), Cow::Owned(_)) = (self, version) {
            Arc::make_mut(lot).fold_first_version(entry);
        }
    }

    /// Folds a record as it is.
    pub(crate) fn fold(&mut self, entry: &Entry) {
        match self {
            Stream::Authority(state) => Arc::make_mut(state).fold(entry),
            Stream::Protocol(state) => Arc::make_mut(state).fold(entry),
            Stream::Specification(state) => Arc::make_mut(state).fold(entry),
            Stream::Donor(state) => Arc::make_mut(state).fold(entry),
            Stream::Lot(state) => Arc::make_mut(state).fold(entry),
            Stream::Subject(state) => Arc::make_mut(state).fold(entry),
            Stream::Facility(state) => Arc::make_mut(state).fold(entry),
            Stream::Equipment(state) => Arc::make_mut(state).fold(entry),
            Stream::Other(state) => state.fold(entry),
        }
    }

    /// What every kind of stream has.
    pub fn upkeep(&self) -> &Upkeep {
        match self {
            Stream::Authority(state) => &state.upkeep,
            Stream::Protocol(state) => &state.upkeep,
            Stream::Specification(state) => &state.upkeep,
            Stream::Donor(state) => &state.upkeep,
            Stream::Lot(state) => &state.upkeep,
            Stream::Subject(state) => &state.upkeep,
            Stream::Facility(state) => &state.upkeep,
            Stream::Equipment(state) => &state.upkeep,
            Stream::Other(state) => state,
        }
    }
}
