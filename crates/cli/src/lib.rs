//! Marrowline cli.
