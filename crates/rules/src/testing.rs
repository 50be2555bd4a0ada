//! For tests only: switching a rule off, so that a test can be seen to fail without it.

use std::sync::OnceLock;

use crate::codes::Code;

/// Name of the variable that switches one rule off.
pub const DISABLE: &str = "MARROWLINE_DISABLE_RULE";

/// Whether this rule is switched off for the whole test program.
pub fn is_disabled(code: &Code) -> bool {
    static DISABLED: OnceLock<Option<String>> = OnceLock::new();
    DISABLED.get_or_init(|| std::env::var(DISABLE).ok()).as_deref().is_some_and(|name| name == code.name)
}
