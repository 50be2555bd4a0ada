//! The ledger on a store in memory.

mod appending;
mod gate;
mod lost_writes;
mod memory;
mod world;
