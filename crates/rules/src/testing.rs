//! For tests, and never in a released binary: a ledger in memory, people with keys, and histories written as text rows.
//!
//! The format of the rows is described in `histories/README.md`. Nothing here touches a file: whoever plays a history hands in the
//! texts.

use std::sync::OnceLock;

use crate::codes::Code;

mod history;
pub mod people;
mod row;
mod values;
mod view;

pub use history::{Played, play};
pub use view::MemoryView;

/// Whether a rule is switched off for this run: the environment names its code in `MARROWLINE_DISABLE_RULE`. A test has to fail then.
pub fn is_disabled(code: &Code) -> bool {
    static DISABLED: OnceLock<Option<String>> = OnceLock::new();
    DISABLED.get_or_init(|| std::env::var("MARROWLINE_DISABLE_RULE").ok()).as_deref() == Some(code.name)
}
