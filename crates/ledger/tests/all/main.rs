//! The ledger on a store in memory.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what is not as expected panics"
)]

mod appending;
mod gate;
mod log_keys;
mod lost_writes;
mod memory;
mod world;
