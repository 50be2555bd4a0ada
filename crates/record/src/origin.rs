//! A ledger's origin: `<name>/<hex of the first 16 bytes of the founding record's digest>`.
//!
//! The name comes first so that people recognise it; the digest makes it impossible to found a second history under it. It is also the
//! checkpoint's origin line and the name of the ledger's verification key, hence no spaces and no `+` in it.

use std::fmt;
use std::str::FromStr;

use crate::id::{Digest, read_hex};

/// What a ledger's name may be.
pub const NAME_RULE: &str = "1 to 64 printable ASCII characters without spaces and `+`, not starting or ending with `/`";

/// A ledger's origin.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    name: String,
    founding: [u8; 16],
}

/// Text that is no origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an origin is `<name>/<32 lowercase hexadecimal digits>`; the name is 1 to 64 printable ASCII characters without spaces and `+`"
)]
pub struct OriginError;

impl Origin {
    /// The origin of the ledger with this name and founding record.
    pub fn new(name: &str, founding: &Digest) -> Result<Origin, OriginError> {
        let (first, _) = founding.0.split_at(16);
        Ok(Origin {
            name: if is_name(name) {
                name.to_owned()
            } else {
                return Err(OriginError);
            },
            founding: first.try_into().map_err(|_| OriginError)?,
        })
    }

    /// The ledger's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 16 bytes of the founding record's digest, as 32 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.founding.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this digest is the founding record's that the origin names.
    pub fn is_founded_by(&self, founding: &Digest) -> bool {
        founding.0.starts_with(&self.founding)
    }
}

/// Whether this can be a ledger's name.
pub fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic() && b != b'+')
        && !text.starts_with('/')
        && !text.ends_with('/')
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.hex())
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Origin, OriginError> {
        let (name, hex) = text.rsplit_once('/').ok_or(OriginError)?;
        // One origin, one spelling: lowercase only.
        if !is_name(name) || hex.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(OriginError);
        }
        let founding = read_hex(hex).and_then(|bytes| bytes.try_into().ok()).ok_or(OriginError)?;
        Ok(Origin { name: name.to_owned(), founding })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_as_it_is_read() {
        let origin = Origin::new("example.org/marrow", &Digest([0xab; 32])).unwrap();
        let text = "example.org/marrow/abababababababababababababababab";
        assert_eq!(origin.to_string(), text);
        assert_eq!(text.parse::<Origin>().unwrap(), origin);
        assert!(origin.is_founded_by(&Digest([0xab; 32])));
        assert!(!origin.is_founded_by(&Digest([0xac; 32])));
    }

    #[test]
    fn other_texts_are_refused() {
        let hex = "ab".repeat(16);
        for bad in [
            hex.clone(),
            format!("/{hex}"),
            format!("a b/{hex}"),
            format!("a+b/{hex}"),
            format!("a//{hex}"),
            format!("ä/{hex}"),
            format!("name/{}", &hex[1..]),
            format!("name/{hex}a"),
            format!("name/{}", hex.to_uppercase()),
            format!("{}/{hex}", "n".repeat(65)),
        ] {
            assert_eq!(bad.parse::<Origin>(), Err(OriginError), "{bad}");
        }
        assert!(format!("{}/{hex}", "n".repeat(64)).parse::<Origin>().is_ok());
    }
}
