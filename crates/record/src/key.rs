//! Public keys, and the only place where a signature is verified.
//!
//! A [`PublicKey`] is a point that has been decoded once and is not of small order. Verification is dalek's `verify_strict`, which
//! also refuses a small-order `R`: plain and batch verification accept signatures that other verifiers refuse, and two verifiers
//! must never disagree.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ed25519_dalek::{Signature, VerifyingKey};

use crate::id::KeyId;

/// A public key that has been checked, with its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    id: KeyId,
    key: VerifyingKey,
}

/// A shared public key: decoding a point costs a tenth of a verification, so it is done once.
pub type KeyRef = Arc<PublicKey>;

/// Why bytes are no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not 32 bytes that are a point on the curve.
    #[error("not an Ed25519 public key")]
    NotAPoint,
    /// A point of small order: anybody can make signatures that pass under it.
    #[error("a weak Ed25519 public key")]
    Weak,
}

impl PublicKey {
    /// Reads a public key, refusing weak ones.
    pub fn parse(bytes: &[u8]) -> Result<PublicKey, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::NotAPoint)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::NotAPoint)?;
        if key.is_weak() {
            return Err(KeyError::Weak);
        }
        Ok(PublicKey { id: KeyId::of(bytes), key })
    }

    /// The key's id.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The key's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.key.as_bytes()
    }

    /// Whether this is the key's signature over the message, by the strictest reading.
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.key.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// Where [`open`](crate::open) finds keys. Implementors keep them decoded.
pub trait Keyring {
    /// The key with this id, if it is known.
    fn public_key(&self, id: &KeyId) -> Option<KeyRef>;
}

impl Keyring for BTreeMap<KeyId, KeyRef> {
    fn public_key(&self, id: &KeyId) -> Option<KeyRef> {
        self.get(id).cloned()
    }
}

impl Keyring for HashMap<KeyId, KeyRef> {
    fn public_key(&self, id: &KeyId) -> Option<KeyRef> {
        self.get(id).cloned()
    }
}

impl<K: Keyring + ?Sized> Keyring for Arc<K> {
    fn public_key(&self, id: &KeyId) -> Option<KeyRef> {
        (**self).public_key(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_keys_and_non_points_are_refused() {
        let identity = {
            let mut b = [0; 32];
            b[0] = 1;
            b
        };
        assert_eq!(PublicKey::parse(&identity), Err(KeyError::Weak));
        assert_eq!(PublicKey::parse(&[0; 32]), Err(KeyError::Weak));
        let non_point = {
            let mut b = [0; 32];
            b[0] = 2;
            b
        };
        assert_eq!(PublicKey::parse(&non_point), Err(KeyError::NotAPoint));
        assert_eq!(PublicKey::parse(&[9; 31]), Err(KeyError::NotAPoint));
    }

    #[test]
    fn a_key_is_found_by_its_id() {
        let signer = ed25519_dalek::SigningKey::from_bytes(&[3; 32]);
        let key = Arc::new(PublicKey::parse(signer.verifying_key().as_bytes()).unwrap());
        let ring = BTreeMap::from([(key.id(), Arc::clone(&key))]);
        assert_eq!(ring.public_key(&KeyId::of(key.as_bytes())), Some(key));
        assert_eq!(ring.public_key(&KeyId([0; 32])), None);
    }
}
