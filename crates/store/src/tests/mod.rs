//! Tests of the whole store: power cuts at every operation, flipped bits, and what every store must do.

mod conformance;
mod flips;
mod format_document;
mod hostile;
mod power_cut;
mod simulated_disk;
mod whole_store;
