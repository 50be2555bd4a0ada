//! What a text may hold. Printable ASCII, which nearly all texts are, takes the short way.

use unicode_normalization::char::is_public_assigned;
use unicode_normalization::is_nfc;

use super::{Checked, Code, fault};
use crate::decimal::Decimal;
use crate::{din, single_european_code};

/// The kinds of text, as in the proto's `Text`.
#[derive(Clone, Copy)]
pub(super) enum Text {
    Line,
    Code,
    Lines,
    Din,
    Decimal,
    SingleEuropeanCode,
}

pub(super) fn check(text: Text, max_bytes: usize, bytes: &[u8]) -> Checked {
    if bytes.is_empty() {
        return fault(Code::TextEmpty, "empty", "text, or nothing at all");
    }
    if bytes.len() > max_bytes {
        return fault(Code::TextTooLong, format!("{} bytes", bytes.len()), format!("at most {max_bytes} bytes"));
    }
    match text {
        Text::Code if bytes.iter().all(u8::is_ascii_graphic) => Ok(()),
        Text::Line | Text::Lines if bytes.iter().all(|b| (0x20..0x7f).contains(b)) => Ok(()),
        _ => match std::str::from_utf8(bytes) {
            Ok(value) => check_slowly(text, value),
            Err(_) => fault(Code::TextNotUtf8, "bytes that are not UTF-8", "UTF-8"),
        },
    }
}

fn check_slowly(text: Text, value: &str) -> Checked {
    match text {
        Text::Code => fault(Code::TextNotCode, quoted(value), "printable ASCII without spaces"),
        Text::Decimal if Decimal::parse(value).is_some() => Ok(()),
        Text::Decimal => fault(
            Code::TextNotDecimal,
            quoted(value),
            "a decimal number: optional minus, digits without leading zeros, optional fraction",
        ),
        Text::Din if din::is_valid(value) => Ok(()),
        Text::Din if din::has_form_of_din(value) => {
            fault(Code::DinCheckCharacterWrong, quoted(value), "the check character of the 13 before it")
        }
        Text::Din => {
            fault(Code::TextNotDin, quoted(value), "13 characters of a Donation Identification Number and its check character")
        }
        Text::SingleEuropeanCode if single_european_code::has_form(value) => Ok(()),
        Text::SingleEuropeanCode => fault(
            Code::TextNotSingleEuropeanCode,
            quoted(value),
            "the 40 characters of a Single European Code, each in its place",
        ),
        Text::Line => check_characters(value, false),
        Text::Lines => check_characters(value, true),
    }
}

fn check_characters(value: &str, line_feeds: bool) -> Checked {
    for c in value.chars() {
        if (c.is_control() && !(line_feeds && c == '\n')) || matches!(c, '\u{2028}' | '\u{2029}') {
            let allowed =
                if line_feeds { "text without control characters but line feeds" } else { "one line without control characters" };
            return fault(Code::TextControlCharacter, code_point(c), allowed);
        }
        if is_bidirectional(c) {
            return fault(Code::TextBidirectionalCharacter, code_point(c), "text without bidirectional controls");
        }
        if !c.is_control() && !is_public_assigned(c) {
            return fault(Code::TextUnassignedCharacter, code_point(c), "characters that Unicode has assigned");
        }
    }
    if is_nfc(value) { Ok(()) } else { fault(Code::TextNotNfc, quoted(value), "Unicode normalisation form C") }
}

/// Characters that change the order in which the others are shown: a reader would not see what was signed.
fn is_bidirectional(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn code_point(c: char) -> String {
    format!("with U+{:04X}", u32::from(c))
}

/// The beginning of a text, escaped, for a message.
fn quoted(value: &str) -> String {
    let beginning: String = value.chars().take(40).collect();
    format!("`{}`", beginning.escape_debug())
}
