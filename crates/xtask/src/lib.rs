//! Marrowline xtask.
