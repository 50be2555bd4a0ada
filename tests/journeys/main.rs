//! Whole journeys over real gRPC with TLS, against the released program as its own process, on the ledger that the demo made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod access;
mod amendment;
mod asked;
mod attachments;
mod bucket;
mod countersign;
mod day;
mod doubt;
mod emergency;
mod events;
mod facts;
mod founding;
mod hostile;
mod kill;
mod ledger;
mod limits;
mod lot_life;
mod order;
mod overview;
mod people;
mod proofs;
mod python;
mod reads;
mod recall;
mod refusals;
mod report;
mod roles;
mod shown;
mod shutdown;
mod startup;
mod strangers;
mod subject_life;
mod succession;
mod supplies;
mod trial;
