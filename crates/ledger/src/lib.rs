//! The ledger: one sequencer that orders records, judges them, makes them durable and answers with receipts.
//!
//! [`Ledger`] is a handle that can be cloned. Behind it two threads work: the *sequencer* judges a batch against what is accepted so far
//! (committed or on its way), the *committer* makes the batch before durable meanwhile, signs the checkpoint, and answers. Nobody hears
//! of a record before it is durable.

pub mod audit;
pub mod clock;
mod committer;
#[cfg(feature = "testing")]
pub mod conformance;
mod handle;
mod log_keys;
pub mod memory;
mod overlay;
mod refusal;
mod sequencer;
mod shared;
mod snapshot;
pub mod store;

pub use clock::{SystemTimeSource, TimeSource};
pub use handle::{Busy, Ledger, OpenFailure, index_values};
pub use log_keys::{KnownLogKey, LogKeys};
pub use refusal::{Moved, Refusal};
pub use shared::{Appended, PublishedCheckpoint};
pub use snapshot::Snapshot;
