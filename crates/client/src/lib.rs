//! The client: keys, tokens, building and signing records, appending them, and verifying every receipt before anything is reported done.

mod build;
mod connection;
mod keyfile;
mod succession;

pub use build::{Draft, new_id, now, sign};
pub use connection::{Acknowledged, Client, ClientError, Countersigned, Trust};
pub use keyfile::{KeyFileError, decrypt, encrypt, generate};

pub use marrowline_api::{Problem, v1};
