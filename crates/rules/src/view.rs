//! What the rules may ask the ledger: folded streams and indexes, as of the place in the log at which the record is judged.

use std::sync::Arc;

use marrowline_record::entry::Entry;
use marrowline_record::id::{Id16, RecordId, StreamKey};

use crate::index::IndexKey;
use crate::state::{Authority, Donor, Equipment, Facility, Lot, Protocol, Specification, Subject};

/// The ledger as the rules see it. An implementation that cannot answer (a stream that was not shown, a store that failed) answers
/// `None` and remembers that it did; the caller then throws the verdict away.
pub trait View {
    /// The authority stream; empty before the founding.
    fn authority(&self) -> Arc<Authority>;
    /// A trial's protocol.
    fn protocol(&self, id: &Id16) -> Option<Arc<Protocol>>;
    /// A product's specification.
    fn specification(&self, id: &Id16) -> Option<Arc<Specification>>;
    /// A donor.
    fn donor(&self, id: &Id16) -> Option<Arc<Donor>>;
    /// A lot.
    fn lot(&self, id: &Id16) -> Option<Arc<Lot>>;
    /// A trial subject.
    fn subject(&self, id: &Id16) -> Option<Arc<Subject>>;
    /// A facility's reagents.
    fn facility(&self, id: &Id16) -> Option<Arc<Facility>>;
    /// A device.
    fn equipment(&self, id: &Id16) -> Option<Arc<Equipment>>;
    /// Length of a stream and the signed hash of its last record.
    fn head(&self, stream: &StreamKey) -> Option<(u64, [u8; 32])>;
    /// Signed hash of a stream's record number `seq` (from 1).
    fn hash_at(&self, stream: &StreamKey, seq: u64) -> Option<[u8; 32]>;
    /// A record by its id.
    fn entry(&self, id: &RecordId) -> Option<Arc<Entry>>;
    /// A look-up across streams.
    fn lookup(&self, key: &IndexKey) -> Option<[u8; 16]>;
}
