//! Marrowline proof.
