//! Marrowline store.
