//! Stream keys: `SHA256("marrowline/stream/v1\n" ‖ kind u8 ‖ id 16)`.

use sha2::{Digest as _, Sha256};

use crate::id::StreamKey;

/// Id of the authority stream, of which there is one.
pub const AUTHORITY_ID: [u8; 16] = [0; 16];

const DOMAIN: &[u8] = b"marrowline/stream/v1\n";

/// The key of a stream; `kind` is the number of `StreamKind`.
pub fn stream_key(kind: u8, id: &[u8; 16]) -> StreamKey {
    let hash = Sha256::new().chain_update(DOMAIN).chain_update([kind]).chain_update(id);
    StreamKey(hash.finalize().into())
}

/// The keys of the streams that a decoded record extends, in the record's order, which is not the leaf's: that is by key.
pub fn stream_keys(record: &crate::pb::Record) -> Vec<StreamKey> {
    record.streams.iter().filter_map(|s| Some(stream_key(u8::try_from(s.kind).ok()?, s.id.as_slice().try_into().ok()?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pb;

    #[test]
    fn kind_and_id_both_make_the_key() {
        let key = stream_key(7, &[1; 16]);
        let bytes = [b"marrowline/stream/v1\n\x07".as_slice(), &[1; 16]].concat();
        assert_eq!(key.0, <[u8; 32]>::from(Sha256::digest(bytes)));
        assert_ne!(key, stream_key(8, &[1; 16]));
        assert_ne!(key, stream_key(7, &[2; 16]));
    }

    #[test]
    fn a_record_s_keys_stand_in_its_own_order() {
        let extension = |kind, id| pb::StreamExtension { kind, id: vec![id; 16], head: None };
        let record = pb::Record { streams: vec![extension(6, 9), extension(7, 1)], ..pb::Record::default() };
        assert_eq!(stream_keys(&record), [stream_key(6, &[9; 16]), stream_key(7, &[1; 16])]);
    }
}
