//! Decimal numbers as laboratories report them, compared exactly and never rounded.
//!
//! A text is an optional minus, digits without leading zeros, and optionally a point with more digits; at most 32 characters; no
//! exponent, no plus, no minus zero. Trailing zeros of the fraction are kept in the text (they are data) and make no difference here.

use std::cmp::Ordering;

/// The most characters of a decimal number.
pub const MAX_CHARACTERS: usize = 32;

/// The value of a decimal number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    negative: bool,
    integer: u128,
    /// The fraction times 10^32, so that all fractions have one scale.
    fraction: u128,
}

impl Decimal {
    /// Reads a decimal number.
    pub fn parse(text: &str) -> Option<Decimal> {
        if text.len() > MAX_CHARACTERS {
            return None;
        }
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (integer, fraction) = match digits.split_once('.') {
            Some((integer, fraction)) => (integer, Some(fraction)),
            None => (digits, None),
        };
        if (integer.starts_with('0') && integer.len() > 1) || fraction == Some("") {
            return None;
        }
        let fraction = fraction.unwrap_or("0");
        let scale = u32::try_from(MAX_CHARACTERS.checked_sub(fraction.len())?).ok()?;
        let value =
            Decimal { negative, integer: number(integer)?, fraction: number(fraction)?.checked_mul(10u128.checked_pow(scale)?)? };
        (!(negative && value.integer == 0 && value.fraction == 0)).then_some(value)
    }
}

/// A number of ASCII digits only; at most 32 of them, which a `u128` holds.
fn number(digits: &str) -> Option<u128> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let size = |d: &Decimal| (d.integer, d.fraction);
        match (self.negative, other.negative) {
            (false, false) => size(self).cmp(&size(other)),
            (true, true) => size(other).cmp(&size(self)),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Decimal {
        Decimal::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ascending = [
            "-99999999999999999999999999999999",
            "-10",
            "-9.5",
            "-0.0000000000000000000000000001",
            "0",
            "0.000000000000000000000000000001",
            "0.05",
            "0.1",
            "0.5",
            "1",
            "1.000000000000000000000000000001",
            "9",
            "10",
            "99999999999999999999999999999999",
        ];
        for pair in ascending.windows(2).filter(|p| p[0].len() <= 32) {
            assert!(parse(pair[0]) < parse(pair[1]), "{pair:?}");
        }
        assert_eq!(parse("1.50"), parse("1.5"));
        assert_eq!(parse("0.0"), parse("0"));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "-.5",
            "+1",
            "01",
            "00",
            "-01",
            "-0",
            "-0.0",
            "1e3",
            "1,5",
            " 1",
            "1 ",
            "1.2.3",
            "--1",
            "0x1",
            "١",
            "1_0",
            "NaN",
            "100000000000000000000000000000000",
        ] {
            assert_eq!(Decimal::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn thirty_two_characters_are_the_most() {
        assert!(Decimal::parse(&"9".repeat(32)).is_some());
        assert!(Decimal::parse(&"9".repeat(33)).is_none());
        assert!(Decimal::parse(&format!("0.{}", "9".repeat(30))).is_some());
        assert!(Decimal::parse(&format!("0.{}", "9".repeat(31))).is_none());
    }
}
