//! The rules of the ledger, as pure functions over values.
//!
//! [`judge`] takes a record, what the ledger knows ([`View`]) and the ledger's time, and answers with a [`Verdict`]: accepted with
//! flags, or refused with every violation. No clock, no I/O, no randomness, no floating point: the server, the offline verifier and
//! the browser run this very code and must come to the same answer.
//!
//! Where to find things: `codes/` names every rule once; `table.rs` says who signs what and which streams it extends; `state/` folds
//! a stream's records into what the rules ask about; `family/` holds the rules themselves, one file for each family of records.

mod again;
pub mod codes;
mod context;
pub mod family;
pub mod finding;
mod frame;
pub mod index;
mod judge;
pub mod state;
pub mod table;
pub mod view;

#[cfg(feature = "testing")]
pub mod testing;

pub use codes::{Class, Code, Effect};
pub use context::{Context, Signer};
pub use finding::{Finding, Look};
pub use frame::COUNTERSIGNED_AGE_MS;
pub use frame::doubt::records_in_doubt;
pub use judge::{At, NEWEST_RULE_SET, RULE_SETS, Verdict, judge, rule_set_for};
pub use view::View;
