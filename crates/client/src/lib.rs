//! Marrowline client.
