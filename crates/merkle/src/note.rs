//! Signed notes, as C2SP signed-note defines them: a text, a blank line, and a line for each
//! signature.
//!
//! ```text
//! This is the text.
//!
//! — example.org/log IuqYDf6vK…
//! ```
//!
//! A signature line is an em dash, a space, the key's name, a space, and
//! `base64(key_id ‖ signature)`. The key's id is the first 4 bytes of
//! `SHA-256(name ‖ 0x0A ‖ type ‖ public key)`. Of the types only `0x01`, pure Ed25519 over the
//! text, is verified here; lines of other types and of unknown keys are kept as they are, for
//! whoever knows them. A verification key is written `name+key_id in hex+base64(type ‖ public key)`.

use std::fmt;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::encoding::{from_base64, to_base64};

/// The signature type of pure Ed25519 over the text.
const TYPE_ED25519: u8 = 0x01;

/// The longest text of a note.
pub const MAX_TEXT_BYTES: usize = 64 * 1024;

/// The longest note, its signatures included: the text and 64 post-quantum signatures fit.
pub const MAX_NOTE_BYTES: usize = 512 * 1024;

/// The most signatures on a note. The specification asks for 16 or more.
pub const MAX_SIGNATURES: usize = 64;

/// A note that has been read but not verified: do not act on its text yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    text: String,
    signatures: Vec<SignatureLine>,
}

/// One signature line of a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    /// The name of the key that is said to have signed.
    pub name: String,
    /// The id of that key.
    pub key_id: u32,
    /// The bytes of the signature, in whatever form the key's type gives them.
    pub signature: Vec<u8>,
}

impl Note {
    /// Reads a note. Only one spelling is accepted, so [`fmt::Display`] gives the same text back.
    ///
    /// # Errors
    ///
    /// Each way to be malformed is its own variant.
    pub fn parse(note: &str) -> Result<Self, NoteError> {
        if note.len() > MAX_NOTE_BYTES {
            return Err(NoteError::TooLong { bytes: note.len() });
        }
        let (before, lines) = note.rsplit_once("\n\n").ok_or(NoteError::NoBlankLine)?;
        // The first of the two newlines ends the text and belongs to it.
        let text = note.get(..=before.len()).ok_or(NoteError::NoBlankLine)?;
        check_text(text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::NoFinalNewline)?;
        let mut signatures = Vec::new();
        for line in lines.split('\n') {
            if signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::TooManySignatures);
            }
            signatures.push(SignatureLine::parse(line)?);
        }
        Ok(Self { text: text.to_owned(), signatures })
    }

    /// Verifies the note. Every line of a known key must hold, and there must be one; lines of
    /// unknown keys say nothing. Answers with the keys that signed, in the order of their lines.
    ///
    /// # Errors
    ///
    /// A line of a known key that does not hold, no line of any known key, and keys among
    /// `known` that share name and id.
    pub fn verify<'k>(&self, known: &'k [VerifierKey]) -> Result<Vec<&'k VerifierKey>, NoteError> {
        let mut signed: Vec<&VerifierKey> = Vec::new();
        for line in &self.signatures {
            let mut keys = known.iter().filter(|key| key.name == line.name && key.key_id == line.key_id);
            let Some(key) = keys.next() else {
                continue;
            };
            if keys.any(|other| other != key) {
                return Err(NoteError::AmbiguousKey { name: line.name.clone(), key_id: line.key_id });
            }
            if !key.accepts(self.text.as_bytes(), &line.signature) {
                return Err(NoteError::BadSignature { name: line.name.clone(), key_id: line.key_id });
            }
            if !signed.contains(&key) {
                signed.push(key);
            }
        }
        if signed.is_empty() {
            return Err(NoteError::NoKnownSignature);
        }
        Ok(signed)
    }

    /// The signed text, its final newline included.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// All signature lines, known or not, in their order.
    #[must_use]
    pub fn signatures(&self) -> &[SignatureLine] {
        &self.signatures
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| line.fmt(f))
    }
}

/// Signs a text and answers with the whole note, with this one signature.
///
/// # Errors
///
/// A text that cannot be a note's, or a name that cannot be a key's.
pub fn sign(text: &str, name: &str, key: &SigningKey) -> Result<String, NoteError> {
    check_text(text)?;
    let key_id = key_id(name, TYPE_ED25519, key.verifying_key().as_bytes());
    if !is_key_name(name) {
        return Err(NoteError::KeyName);
    }
    let line = SignatureLine { name: name.to_owned(), key_id, signature: key.sign(text.as_bytes()).to_bytes().to_vec() };
    Ok(format!("{text}\n{line}"))
}

impl SignatureLine {
    /// Reads one line, without its newline.
    ///
    /// # Errors
    ///
    /// Each way to be malformed is its own variant.
    pub fn parse(line: &str) -> Result<Self, NoteError> {
        let rest = line.strip_prefix("— ").ok_or(NoteError::SignatureLine)?;
        let (name, encoded) = rest.split_once(' ').ok_or(NoteError::SignatureLine)?;
        if !is_key_name(name) {
            return Err(NoteError::KeyName);
        }
        let bytes = from_base64(encoded).ok_or(NoteError::SignatureBase64)?;
        match bytes.split_first_chunk() {
            Some((key_id, signature)) if !signature.is_empty() => {
                Ok(Self { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), signature: signature.to_vec() })
            }
            _ => Err(NoteError::SignatureLength),
        }
    }
}

impl fmt::Display for SignatureLine {
    /// The line with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id.to_be_bytes(), self.signature.as_slice()].concat();
        writeln!(f, "— {} {}", self.name, to_base64(&bytes))
    }
}

/// A key that notes are verified with: a name and an Ed25519 public key that is not weak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    key_id: u32,
    key: VerifyingKey,
}

impl VerifierKey {
    /// The verification key of this name and public key.
    ///
    /// # Errors
    ///
    /// A name that cannot be a key's, a key under which everybody can sign, and one that is not
    /// written in the only way that its point has.
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, VerifierKeyError> {
        if !is_key_name(name) {
            return Err(VerifierKeyError::Name);
        }
        if key.is_weak() {
            return Err(VerifierKeyError::Weak);
        }
        if key.to_edwards().compress().as_bytes() != key.as_bytes() {
            return Err(VerifierKeyError::Point);
        }
        Ok(Self { name: name.to_owned(), key_id: key_id(name, TYPE_ED25519, key.as_bytes()), key })
    }

    /// Reads a key as it is handed round, for instance in `log.vkey`, without a newline.
    ///
    /// # Errors
    ///
    /// Each way to be malformed is its own variant.
    pub fn parse(text: &str) -> Result<Self, VerifierKeyError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(hex), Some(encoded)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(VerifierKeyError::Parts);
        };
        let lower_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != 8 || !hex.bytes().all(lower_hex) {
            return Err(VerifierKeyError::KeyIdHex);
        }
        let stated = u32::from_str_radix(hex, 16).map_err(|_| VerifierKeyError::KeyIdHex)?;
        let bytes = from_base64(encoded).ok_or(VerifierKeyError::Base64)?;
        let (kind, public) = bytes.split_first().ok_or(VerifierKeyError::KeyLength)?;
        if *kind != TYPE_ED25519 {
            return Err(VerifierKeyError::UnknownType { found: *kind });
        }
        let public: &[u8; 32] = public.try_into().map_err(|_| VerifierKeyError::KeyLength)?;
        let key = VerifyingKey::from_bytes(public).map_err(|_| VerifierKeyError::Point)?;
        let parsed = Self::new(name, key)?;
        if parsed.key_id != stated {
            return Err(VerifierKeyError::KeyIdDiffers { stated, computed: parsed.key_id });
        }
        Ok(parsed)
    }

    /// The key's name; for a log, its origin.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The short id that signature lines name the key by.
    #[must_use]
    pub fn key_id(&self) -> u32 {
        self.key_id
    }

    /// The public key itself.
    #[must_use]
    pub fn public_key(&self) -> &VerifyingKey {
        &self.key
    }

    fn accepts(&self, text: &[u8], signature: &[u8]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| self.key.verify_strict(text, &signature).is_ok())
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&[TYPE_ED25519], self.key.as_bytes().as_slice()].concat();
        write!(f, "{}+{:08x}+{}", self.name, self.key_id, to_base64(&bytes))
    }
}

fn key_id(name: &str, kind: u8, public_key: &[u8]) -> u32 {
    let mut hasher = Sha256::new();
    hasher.update(name);
    hasher.update([b'\n', kind]);
    hasher.update(public_key);
    let [a, b, c, d, ..]: [u8; 32] = hasher.finalize().into();
    u32::from_be_bytes([a, b, c, d])
}

/// A name must not be mistaken for a separator: no space, no plus, no control character.
pub(crate) fn is_key_name(name: &str) -> bool {
    let separates = |c: char| c == '+' || c.is_whitespace() || c.is_control();
    !name.is_empty() && !name.contains(separates)
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(NoteError::TooLong { bytes: text.len() });
    }
    if !text.ends_with('\n') {
        return Err(NoteError::NoFinalNewline);
    }
    if text.bytes().any(|byte| byte < b' ' && byte != b'\n') {
        return Err(NoteError::ControlCharacter);
    }
    Ok(())
}

/// Why a note is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The text or the whole note is longer than anything that belongs into one.
    #[error("a note or text of {bytes} bytes is too long")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// No blank line parts the text from the signatures.
    #[error("no blank line before the signatures")]
    NoBlankLine,
    /// The text or the last signature line does not end in a newline.
    #[error("the text and each signature line must end in a newline")]
    NoFinalNewline,
    /// A control character other than a newline.
    #[error("the text contains a control character")]
    ControlCharacter,
    /// A signature line is not a dash, a name and base64, with one space between them.
    #[error("a signature line is not `— name base64`")]
    SignatureLine,
    /// A key's name is empty or contains a space, a plus or a control character.
    #[error("the name of a key is empty or contains a space, `+` or control character")]
    KeyName,
    /// A signature is not canonical base64.
    #[error("a signature is not canonical base64")]
    SignatureBase64,
    /// A signature has no byte beyond the key's id.
    #[error("a signature is too short to hold a key id and a signature")]
    SignatureLength,
    /// More signatures than anybody needs.
    #[error("the note has more than {MAX_SIGNATURES} signatures")]
    TooManySignatures,
    /// Two different trusted keys have this name and id; it cannot be told which one signed.
    #[error("two trusted keys share the name and id {name}+{key_id:08x}")]
    AmbiguousKey {
        /// The name of both.
        name: String,
        /// The id of both.
        key_id: u32,
    },
    /// A trusted key is said to have signed and has not.
    #[error("the signature of {name}+{key_id:08x} does not hold")]
    BadSignature {
        /// The key's name.
        name: String,
        /// The key's id.
        key_id: u32,
    },
    /// No trusted key has signed.
    #[error("no trusted key has signed the note")]
    NoKnownSignature,
}

/// Why a verification key is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifierKeyError {
    /// The three parts are not there.
    #[error("a verification key is `name+id+base64`")]
    Parts,
    /// The name is empty or contains a space, a plus or a control character.
    #[error("the name of the key is empty or contains a space, `+` or control character")]
    Name,
    /// The id is not 8 lower-case hex digits.
    #[error("the id of the key is not 8 lower-case hex digits")]
    KeyIdHex,
    /// The last part is not canonical base64.
    #[error("the key is not canonical base64")]
    Base64,
    /// The key has not 32 bytes after its type.
    #[error("the key has not 32 bytes after its type")]
    KeyLength,
    /// The key is of a type that is not verified here.
    #[error("the key is of type 0x{found:02x}, not 0x01 (Ed25519)")]
    UnknownType {
        /// Its type.
        found: u8,
    },
    /// The bytes are no point of the curve, or not the canonical ones.
    #[error("the key is not a canonical point of the curve")]
    Point,
    /// Under a key of small order, anybody's signature holds.
    #[error("the key is weak: anybody can sign under it")]
    Weak,
    /// The stated id is not this key's.
    #[error("the stated id {stated:08x} is not the key's, which is {computed:08x}")]
    KeyIdDiffers {
        /// The id as written.
        stated: u32,
        /// The id that name and key have.
        computed: u32,
    },
}

#[cfg(test)]
#[path = "note_tests.rs"]
mod tests;
