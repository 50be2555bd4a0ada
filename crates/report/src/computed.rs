//! A result, or why there is none.

use serde::Serialize;

/// A result, or in words why it cannot be computed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Computed<T> {
    /// The result.
    Value(T),
    /// Why there is none, e.g. `no deaths`.
    NotComputable(String),
}

impl<T> Computed<T> {
    /// Not computable, for this reason.
    pub fn not(reason: impl Into<String>) -> Computed<T> {
        Computed::NotComputable(reason.into())
    }

    /// The result, if there is one.
    pub fn value(&self) -> Option<&T> {
        match self {
            Computed::Value(value) => Some(value),
            Computed::NotComputable(_) => None,
        }
    }

    /// The result in words, or `not computable: …`.
    pub fn in_words(&self, say: impl FnOnce(&T) -> String) -> String {
        match self {
            Computed::Value(value) => say(value),
            Computed::NotComputable(reason) => format!("not computable: {reason}"),
        }
    }
}
