//! Tests of the record crate from outside: hostile bytes, strangers' vectors, another language's encoder, golden bytes, the document.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on fails; the lints' own exception does not reach functions beside the tests"
)]

mod bytes;
mod format_document;
mod golden;
mod hostile;
mod malformed;
mod opening;
mod properties;
mod python_encoder;
mod speed;
mod strangers;

/// A file of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn json(path: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}
