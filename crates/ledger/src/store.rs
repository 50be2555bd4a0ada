//! Where the ledger keeps what it has accepted: one narrow trait, owned here, that a store on one machine and a store on several can
//! both keep. It takes whole batches and says nothing of files, trees or transactions.

use std::sync::Arc;

use marrowline_merkle::{CompletedTile, Hash};
use marrowline_record::id::{RecordId, StreamKey};

/// One accepted record, ready to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedRecord {
    /// Number of its leaf.
    pub index: u64,
    /// The leaf, verbatim.
    pub leaf: Vec<u8>,
    /// The record, verbatim.
    pub record: Arc<[u8]>,
    /// The record's id.
    pub record_id: RecordId,
    /// The streams that it extends: key, sequence number from 1, signed hash of this record.
    pub links: Vec<(StreamKey, u64)>,
    /// SHA-256 over digest and signings: what its successors name as `prev`.
    pub signed_hash: [u8; 32],
    /// Index changes.
    pub index_writes: Vec<IndexedValue>,
}

/// One change of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexedValue {
    /// The key.
    pub key: Vec<u8>,
    /// The value.
    pub value: [u8; 16],
    /// Whether an existing value stays.
    pub first_wins: bool,
}

/// What one commit makes durable, whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Number of the first leaf; the store's size before the commit.
    pub first: u64,
    /// The records, in order; at most [`MAX_BATCH`].
    pub records: Vec<StagedRecord>,
    /// The tree's root after the last record.
    pub root_after: Hash,
    /// Tiles that these records filled.
    pub tiles: Vec<CompletedTile>,
}

/// Most records in one commit.
pub const MAX_BATCH: usize = 256;

/// What the ledger keeps beside records, in its second journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum NoteKind {
    /// A proposal that awaits signatures.
    Proposal = 1,
    /// An attempt that was refused.
    Refusal = 2,
    /// Who read which subject.
    Access = 3,
    /// A witness's signature on a checkpoint.
    Cosignature = 4,
    /// The simulated clock of a TRAINING ledger.
    Clock = 5,
    /// The checkpoint by which one key of the log followed another, signed with both.
    Handover = 6,
}

impl NoteKind {
    /// Every kind. A note of a kind that is not here cannot be read back.
    pub const ALL: [NoteKind; 6] =
        [NoteKind::Proposal, NoteKind::Refusal, NoteKind::Access, NoteKind::Cosignature, NoteKind::Clock, NoteKind::Handover];
}

/// A claim to be the only writer. A store refuses a commit under an epoch that is not its newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// What went wrong in a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no room; nothing was written; reads go on.
    #[error("no space left: {free_bytes} bytes free, {needed_bytes} needed")]
    Full {
        /// Free bytes.
        free_bytes: u64,
        /// Needed bytes.
        needed_bytes: u64,
    },
    /// Another writer has taken over.
    #[error("the store is claimed by epoch {current}, this writer holds {held}")]
    Fenced {
        /// The newest epoch.
        current: u64,
        /// The one that was used.
        held: u64,
    },
    /// The batch does not continue the store.
    #[error("batch starts at {first}, the store ends at {size}")]
    OutOfOrder {
        /// First leaf of the batch.
        first: u64,
        /// Size of the store.
        size: u64,
    },
    /// What is stored is damaged.
    #[error("{what} is damaged at {place}: {next}")]
    Damaged {
        /// Which part.
        what: String,
        /// Where.
        place: String,
        /// What to do.
        next: String,
    },
    /// Writing or syncing failed; the store accepts nothing more until it is opened again.
    #[error("{0}")]
    Failed(String),
}

/// A leaf and its record, verbatim.
pub type Verbatim = (Vec<u8>, Vec<u8>);

/// A key of an index with its value.
pub type IndexEntry = (Vec<u8>, [u8; 16]);

/// Reading: committed state only, from any thread.
pub trait Reader: Send + Sync {
    /// Number of committed records.
    fn size(&self) -> u64;
    /// Leaf and record at an index, verbatim.
    fn entry(&self, index: u64) -> Result<Option<Verbatim>, StoreError>;
    /// Leaf hash at an index.
    fn leaf_hash(&self, index: u64) -> Result<Option<Hash>, StoreError>;
    /// A full tile of the tree.
    fn tile(&self, level: u8, index: u64) -> Result<Option<Vec<Hash>>, StoreError>;
    /// Index of a record by its id.
    fn index_of(&self, record_id: &RecordId) -> Result<Option<u64>, StoreError>;
    /// Length of a stream and the signed hash of its last record.
    fn head(&self, stream: &StreamKey) -> Result<Option<(u64, [u8; 32])>, StoreError>;
    /// Index and signed hash of a stream's record number `seq` (from 1).
    fn link(&self, stream: &StreamKey, seq: u64) -> Result<Option<(u64, [u8; 32])>, StoreError>;
    /// A value of an index.
    fn lookup(&self, key: &[u8]) -> Result<Option<[u8; 16]>, StoreError>;
    /// Values of an index whose keys start with this prefix and are not below `from`, ascending, at most `limit`.
    fn scan(&self, prefix: &[u8], from: &[u8], limit: usize) -> Result<Vec<IndexEntry>, StoreError>;
    /// The second journal's entries of a kind, from entry number `from`, at most `limit`; each with its number.
    fn notes(&self, kind: NoteKind, from: u64, limit: usize) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;
    /// The last published checkpoint (a signed note), if any.
    fn checkpoint(&self) -> Result<Option<String>, StoreError>;
}

/// A store. One writer; [`Store::commit`] returns when the batch is durable.
pub trait Store: Send + 'static {
    /// Claims the store for writing; every earlier claim is void from here on.
    fn claim(&mut self) -> Result<Epoch, StoreError>;
    /// Makes a batch durable, whole or not at all. After [`StoreError::Failed`] nothing more is accepted.
    fn commit(&mut self, epoch: Epoch, batch: &Batch) -> Result<(), StoreError>;
    /// Makes entries of the second journal durable, whole or not at all.
    fn note(&mut self, epoch: Epoch, notes: &[(NoteKind, Vec<u8>)]) -> Result<(), StoreError>;
    /// Keeps the last signed checkpoint, replacing the one before.
    fn publish(&mut self, epoch: Epoch, checkpoint: &str) -> Result<(), StoreError>;
    /// Whether this many bytes can be written.
    fn room_for(&self, bytes: u64) -> Result<(), StoreError>;
    /// A reader that sees every later commit as soon as it is durable.
    fn reader(&self) -> Arc<dyn Reader>;
    /// Writes out and closes what can be closed in order; the store is durable without it.
    fn close(&mut self) -> Result<(), StoreError>;
}
