//! Stream keys: `SHA256("marrowline/stream/v1\n" ‖ kind u8 ‖ id 16)`.

use sha2::{Digest as _, Sha256};

use crate::id::StreamKey;

/// Id of the authority stream, of which there is one.
pub const AUTHORITY_ID: [u8; 16] = [0; 16];

const DOMAIN: &[u8] = b"marrowline/stream/v1\n";

/// The key of a stream; `kind` is the number of `StreamKind`.
pub fn stream_key(kind: u8, id: &[u8; 16]) -> StreamKey {
    let hash = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update([kind])
        .chain_update(id);
    StreamKey(hash.finalize().into())
}

/// The keys of the streams that a decoded record extends, in the record's order, which is not the leaf's: that is by key.
pub fn stream_keys(record: &crate::pb::Record) -> Vec<StreamKey> {
    record
        .streams
        .iter()
        .filter_map(|s| {
            Some(stream_key(
                u8::try_from(s.kind).ok()?,
                s.id.as_slice().try_into().ok()?,
            ))
        })
        .collect()
}
