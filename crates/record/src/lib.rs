//! Marrowline record.
