//! The ledger: one sequencer that orders records, judges them, makes them durable and answers with receipts.

pub mod store;
