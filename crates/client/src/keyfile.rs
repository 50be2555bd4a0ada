//! Key files: PKCS#8 v1, encrypted with a passphrase (PBES2 with scrypt and AES-256), readable by openssl.

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, KeypairBytes};
use pkcs8::der::Decode as _;
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncodePrivateKey as _, EncryptedPrivateKeyInfoRef, SecretDocument};
use zeroize::Zeroizing;

/// Most memory that opening a key may take: openssl's default is 16 MiB, the strictest advice 1 GiB.
const MAX_SCRYPT_BYTES: u64 = 1024 * 1024 * 1024;
/// Most times that scrypt goes through its memory.
const MAX_SCRYPT_PASSES: u16 = 16;
/// Most rounds of PBKDF2, the other way to encrypt a key: some seconds.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

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
    let (_, document) = SecretDocument::from_pem(pem).map_err(|_| KeyFileError::Unreadable)?;
    let info = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).map_err(|_| KeyFileError::Unreadable)?;
    if !is_affordable(&info.encryption_algorithm) {
        return Err(KeyFileError::Unreadable);
    }
    SigningKey::from_pkcs8_encrypted_pem(pem, passphrase.as_bytes()).map_err(|_| KeyFileError::Unreadable)
}

/// Whether a file asks for no more work than a key needs. The library believes what the file says: a cost of zero makes it panic, a large
/// one takes all memory.
fn is_affordable(scheme: &EncryptionScheme) -> bool {
    match scheme.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(scrypt)) => {
            let bytes = u64::from(scrypt.block_size).checked_mul(128).and_then(|block| block.checked_mul(scrypt.cost_parameter));
            scrypt.cost_parameter > 1
                && (1..=MAX_SCRYPT_PASSES).contains(&scrypt.parallelization)
                && bytes.is_some_and(|bytes| (1..=MAX_SCRYPT_BYTES).contains(&bytes))
        }
        Some(Kdf::Pbkdf2(pbkdf2)) => (1..=MAX_PBKDF2_ROUNDS).contains(&pbkdf2.iteration_count),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use marrowline_record::testing::{Noise, cases};

    use super::*;

    #[test]
    fn a_key_comes_back_only_with_its_passphrase() {
        let key = generate().unwrap();
        let pem = encrypt(&key, "correct").unwrap();
        assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
        assert_eq!(decrypt(&pem, "correct").unwrap().to_bytes(), key.to_bytes());
        assert!(decrypt(&pem, "wrong").is_err());
    }

    /// The file with other numbers, whose lengths are the same.
    fn with_cost(pem: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
        let (label, document) = SecretDocument::from_pem(pem).unwrap();
        let mut bytes = document.as_bytes().to_vec();
        change(&mut bytes);
        pkcs8::der::pem::encode_string(label, pkcs8::LineEnding::LF, &bytes).unwrap()
    }

    /// Where scrypt's cost stands, 2 bytes `40 00` after their tag and length, then block size and passes.
    fn cost_at(pem: &str) -> usize {
        let (_, document) = SecretDocument::from_pem(pem).unwrap();
        document.as_bytes().windows(10).position(|w| w == [2, 2, 0x40, 0, 2, 1, 8, 2, 1, 1]).unwrap() + 2
    }

    #[test]
    fn a_file_that_asks_for_no_work_or_for_too_much_is_refused() {
        let pem = encrypt(&generate().unwrap(), "correct").unwrap();
        let at = cost_at(&pem);
        assert!(decrypt(&with_cost(&pem, |_| {}), "correct").is_ok());
        let costs: [&[u8]; 8] = [
            // No cost at all, in its canonical form, which has one byte less; one; no power of two; 2^40, which has four bytes more.
            &[2, 1, 0, 2, 1, 8, 2, 1, 1],
            &[2, 1, 1, 2, 1, 8, 2, 1, 1],
            &[2, 2, 0x40, 1, 2, 1, 8, 2, 1, 1],
            &[2, 6, 1, 0, 0, 0, 0, 0, 2, 1, 8, 2, 1, 1],
            // No blocks, too many of them, no pass, too many.
            &[2, 2, 0x40, 0, 2, 1, 0, 2, 1, 1],
            &[2, 2, 0x40, 0, 2, 3, 0, 0xff, 0xff, 2, 1, 1],
            &[2, 2, 0x40, 0, 2, 1, 8, 2, 1, 0],
            &[2, 2, 0x40, 0, 2, 1, 8, 2, 3, 0, 0xff, 0xff],
        ];
        for cost in costs {
            let other = with_cost(&pem, |bytes| {
                let longer = i16::try_from(cost.len()).unwrap() - 10;
                drop(bytes.splice(at - 2..at + 8, cost.iter().copied()));
                lengthen(bytes, at - 2, longer);
            });
            let (_, document) = SecretDocument::from_pem(&other).unwrap();
            let read = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes());
            assert!(read.is_ok(), "the file is still one, with the cost {cost:?}");
            assert!(decrypt(&other, "correct").is_err(), "{cost:?}");
        }
    }

    /// Adds to the length of every DER sequence that a place is in.
    fn lengthen(bytes: &mut [u8], place: usize, longer: i16) {
        let add = |byte: &mut u8| *byte = u8::try_from(i16::from(*byte) + longer).unwrap();
        let mut at = 0;
        while at < place {
            let (content, length) = match bytes[at + 1] {
                0x81 => (at + 3, usize::from(bytes[at + 2])),
                short => (at + 2, usize::from(short)),
            };
            if bytes[at] == 0x30 && content + length > place {
                add(&mut bytes[content - 1]);
                at = content;
            } else {
                at = content + length;
            }
        }
    }

    /// Spoiled files: the text, and the bytes in it. Most are refused before the slow part, and some are tried with it.
    ///
    /// openssl's format has no checksum: with another encrypted byte it is another key, which nobody has enrolled.
    #[test]
    fn no_spoiled_file_panics_and_none_opens_unless_what_is_encrypted_was_changed() {
        let cases = cases(20_000);
        let slow = (cases / 800).clamp(1, 300);
        let mut noise = Noise(0x006b_6579_6669);
        let key = SigningKey::from_bytes(&[3; 32]);
        let dear = encrypt(&key, "correct").unwrap();
        let at = cost_at(&dear);
        let (_, document) = SecretDocument::from_pem(&dear).unwrap();
        let whole = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes()).unwrap();
        let (mut parsed, mut affordable, mut tried, mut opened) = (0, 0, 0, 0);
        for case in 0..cases {
            let pem = if case % 2 == 0 {
                noise.spoiled_text(&dear)
            } else {
                // Often around the numbers that say how much work it is.
                let near = noise.one_in(2);
                with_cost(&dear, |bytes| {
                    let (from, to) = if near { (at - 16, at + 8) } else { (0, bytes.len()) };
                    let spoiled = noise.spoiled(&bytes[from..to]);
                    drop(bytes.splice(from..to, spoiled));
                })
            };
            let Ok((_, document)) = SecretDocument::from_pem(&pem) else {
                assert!(decrypt(&pem, "correct").is_err());
                continue;
            };
            let info = EncryptedPrivateKeyInfoRef::from_der(document.as_bytes());
            parsed += u64::from(info.is_ok());
            let works = info.as_ref().is_ok_and(|info| is_affordable(&info.encryption_algorithm));
            affordable += u64::from(works);
            if !works {
                assert!(decrypt(&pem, "correct").is_err());
            } else if tried < slow && noise.one_in(4) {
                tried += 1;
                match decrypt(&pem, "correct") {
                    Ok(read) => {
                        opened += 1;
                        let info = info.unwrap();
                        let kdf = |info: &EncryptedPrivateKeyInfoRef<'_>| info.encryption_algorithm.pbes2().unwrap().kdf.clone();
                        assert_eq!(kdf(&info), kdf(&whole));
                        assert!(read == key || info != whole);
                    }
                    Err(error) => assert!(matches!(error, KeyFileError::Unreadable)),
                }
            }
        }
        println!("{cases} spoiled key files: {parsed} parsed, {affordable} of a possible cost, {tried} tried, {opened} opened");
        assert!(parsed > affordable && affordable > cases / 20 && tried == slow, "{parsed} {affordable} {tried} of {cases}");
    }
}
