//! Marrowline server.
