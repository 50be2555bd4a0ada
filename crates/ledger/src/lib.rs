//! Marrowline ledger.
