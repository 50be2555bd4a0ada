//! Marrowline merkle.
