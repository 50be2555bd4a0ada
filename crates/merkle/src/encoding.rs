//! The two spellings that all the text formats share: one way to write a number, one for bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// Standard base64, padded. No other spelling of the same bytes is read: the decoder refuses
/// absent padding and bits that say nothing.
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn hash_from_base64(text: &str) -> Option<Hash> {
    from_base64(text)?.try_into().ok()
}

/// ASCII digits without a leading zero, sign or space.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let canonical = text == "0" || !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    canonical.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_a_number() {
        assert_eq!(decimal("0"), Some(0));
        assert_eq!(decimal("10"), Some(10));
        assert_eq!(decimal("18446744073709551615"), Some(u64::MAX));
        for other in ["", "00", "01", "+1", "-0", " 1", "1 ", "1_0", "0x1", "١", "1e3", "18446744073709551616"] {
            assert_eq!(decimal(other), None, "{other:?}");
        }
    }

    #[test]
    fn one_spelling_for_bytes() {
        assert_eq!(from_base64("AQ=="), Some(vec![1]));
        for other in ["AQ", "AQ=", "AR==", "AQ==\n", "A Q==", "AQ==AQ==", "_w==", "AQ==="] {
            assert_eq!(from_base64(other), None, "{other:?}");
        }
    }
}
