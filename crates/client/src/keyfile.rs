//! Key files: PKCS#8 v1, encrypted with a passphrase (PBES2 with scrypt and AES-256), readable by openssl.

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, KeypairBytes};
use pkcs8::EncodePrivateKey as _;
use zeroize::Zeroizing;

/// What is wrong with a key file.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not an encrypted PKCS#8 key, or the wrong passphrase.
    #[error("the passphrase is wrong, or this is not an encrypted Ed25519 key")]
    Unreadable,
    /// The key could not be written.
    #[error("the key could not be encrypted: {0}")]
    Unwritable(String),
    /// The machine gave no randomness.
    #[error("the machine gave no randomness: {0}")]
    Randomness(String),
}

/// A new key.
pub fn generate() -> Result<SigningKey, KeyFileError> {
    let mut seed = Zeroizing::new([0u8; 32]);
    getrandom::fill(seed.as_mut()).map_err(|e| KeyFileError::Randomness(e.to_string()))?;
    Ok(SigningKey::from_bytes(&seed))
}

/// A key as an encrypted PEM. Version 1 of PKCS#8, without the public key: openssl reads no other.
pub fn encrypt(key: &SigningKey, passphrase: &str) -> Result<String, KeyFileError> {
    let bytes = KeypairBytes { secret_key: key.to_bytes(), public_key: None };
    bytes
        .to_pkcs8_encrypted_pem(passphrase.as_bytes(), pkcs8::LineEnding::LF)
        .map(|pem| pem.to_string())
        .map_err(|e| KeyFileError::Unwritable(e.to_string()))
}

/// The key in an encrypted PEM.
pub fn decrypt(pem: &str, passphrase: &str) -> Result<SigningKey, KeyFileError> {
    SigningKey::from_pkcs8_encrypted_pem(pem, passphrase.as_bytes()).map_err(|_| KeyFileError::Unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_only_with_its_passphrase() {
        let key = generate().unwrap();
        let pem = encrypt(&key, "correct").unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        assert_eq!(decrypt(&pem, "correct").unwrap().to_bytes(), key.to_bytes());
        assert!(decrypt(&pem, "wrong").is_err());
    }
}
