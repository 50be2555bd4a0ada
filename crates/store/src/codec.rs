//! The one home of bincode: small values of the projection, which can be thrown away and rebuilt. Never anything signed or hashed.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use marrowline_ledger::store::StoreError;
use serde::Serialize;
use serde::de::DeserializeOwned;

const VERSION: u8 = 1;
/// Largest value: a tile of 256 hashes is kept raw, everything here is small.
const LIMIT: usize = 1_024;

fn configuration() -> Configuration<LittleEndian, Fixint, Limit<LIMIT>> {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<LIMIT>()
}

/// A value as bytes, with the version in front.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![VERSION];
    bytes.extend(bincode::serde::encode_to_vec(value, configuration()).map_err(|e| StoreError::Failed(e.to_string()))?);
    Ok(bytes)
}

/// A value from bytes; every byte is used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    let damaged = || StoreError::Damaged {
        what: "a value of the projection".to_owned(),
        place: format!("{} bytes", bytes.len()),
        next: "stop the ledger and move the folder `sled` away: it is rebuilt from the journals".to_owned(),
    };
    let Some((&VERSION, rest)) = bytes.split_first() else {
        return Err(damaged());
    };
    let (value, consumed) = bincode::serde::decode_from_slice(rest, configuration()).map_err(|_| damaged())?;
    if consumed == rest.len() { Ok(value) } else { Err(damaged()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_and_nothing_else_is_read() {
        let bytes = encode(&(7u64, [9u8; 32])).unwrap();
        assert_eq!(decode::<(u64, [u8; 32])>(&bytes).unwrap(), (7, [9; 32]));
        for cut in 0..bytes.len() {
            assert!(decode::<(u64, [u8; 32])>(&bytes[..cut]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(decode::<(u64, [u8; 32])>(&longer).is_err());
        let mut other = bytes;
        other[0] = 2;
        assert!(decode::<(u64, [u8; 32])>(&other).is_err());
    }
}
