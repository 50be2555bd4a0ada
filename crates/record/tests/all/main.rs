//! Tests of the record crate from outside: hostile bytes, strangers' vectors, another language's encoder, golden bytes, the document.

mod bytes;
mod format_document;
mod golden;
mod malformed;
mod opening;
mod properties;
mod python_encoder;
mod strangers;

/// A file of the repository.
fn repository(path: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .join(path)
}

fn json(path: &str) -> serde_json::Value {
    let text = std::fs::read_to_string(repository(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}
