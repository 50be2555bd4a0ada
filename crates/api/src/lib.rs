//! Marrowline api.
