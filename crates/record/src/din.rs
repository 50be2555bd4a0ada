//! Check characters: ISBT 128 Donation Identification Numbers (ISO 7064 MOD 37-2) and label codes of digits (ISO 7064 MOD 11-10).

const ALPHABET: &[u8; 37] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*";

/// The check character of the 13 characters of a Donation Identification Number; none if they are not of its form: a five-character
/// facility (letters and digits, the first one neither `0` nor `O`), two digits of the year, six digits of the sequence.
pub fn check_character(din: &str) -> Option<char> {
    if !has_form(din) {
        return None;
    }
    let sum = din.bytes().try_fold(0, |sum, byte| Some((sum + value(byte)?) * 2 % 37))?;
    ALPHABET.get((38 - sum) % 37).copied().map(char::from)
}

/// Whether these are the 14 characters of a Donation Identification Number with its right check character.
pub fn is_valid(din: &str) -> bool {
    match din.char_indices().nth(13) {
        Some((at, check)) => {
            let (body, last) = din.split_at(at);
            last.len() == 1 && check_character(body) == Some(check)
        }
        None => false,
    }
}

fn has_form(din: &str) -> bool {
    din.len() == 13
        && !din.starts_with(['0', 'O'])
        && din.bytes().take(5).all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
        && din.bytes().skip(5).all(|b| b.is_ascii_digit())
}

/// Whether these are 14 characters that would be a Donation Identification Number with some check character.
pub(crate) fn has_form_of_din(text: &str) -> bool {
    text.len() == 14 && text.get(..13).is_some_and(has_form) && text.bytes().last().is_some_and(|b| ALPHABET.contains(&b))
}

fn value(byte: u8) -> Option<usize> {
    ALPHABET.iter().position(|b| *b == byte)
}

/// The ISO 7064 MOD 11-10 check digit of a code of digits; none for an empty code or other characters.
pub fn digit_check(digits: &str) -> Option<char> {
    if digits.is_empty() {
        return None;
    }
    let product = digits.chars().try_fold(10, |product, c| {
        let sum = (product + c.to_digit(10)?) % 10;
        Some(if sum == 0 { 10 } else { sum } * 2 % 11)
    })?;
    char::from_digit((11 - product) % 10, 10)
}

/// Whether these are at least two digits, the last one the check digit of the others.
pub fn has_valid_check_digit(code: &str) -> bool {
    let mut body = code.chars();
    body.next_back().is_some_and(|last| digit_check(body.as_str()) == Some(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: [(&str, char); 3] = [("G123498654321", 'H'), ("A999925000001", 'P'), ("W000026000001", 'F')];

    #[test]
    fn published_numbers_have_their_check_characters() {
        for (din, check) in PUBLISHED {
            assert_eq!(check_character(din), Some(check), "{din}");
            assert!(is_valid(&format!("{din}{check}")));
        }
    }

    #[test]
    fn every_single_error_and_every_swap_of_neighbours_is_found() {
        for (din, check) in PUBLISHED {
            let good = format!("{din}{check}").into_bytes();
            for position in 0..14 {
                for other in ALPHABET.iter().filter(|b| **b != good[position]) {
                    let mut bad = good.clone();
                    bad[position] = *other;
                    assert!(!is_valid(std::str::from_utf8(&bad).unwrap()));
                }
                if position > 0 && good[position] != good[position - 1] {
                    let mut bad = good.clone();
                    bad.swap(position, position - 1);
                    assert!(!is_valid(std::str::from_utf8(&bad).unwrap()));
                }
            }
        }
    }

    #[test]
    fn other_texts_are_no_numbers() {
        for bad in ["", "G123498654321", "G123498654321HH", "g123498654321H", "0123498654321H", "G12349865432é", "é123498654321H"]
        {
            assert!(!is_valid(bad), "{bad}");
        }
        assert_eq!(check_character("G1234A8654321"), None);
    }

    #[test]
    fn mod_11_10_agrees_with_the_standard_s_example() {
        assert_eq!(digit_check("0794"), Some('5'));
        assert!(has_valid_check_digit("07945"));
        assert!(!has_valid_check_digit("07944"));
        for bad in ["", "5", "0794A", "A7945", "٠٧٩٤٥"] {
            assert!(!has_valid_check_digit(bad), "{bad}");
        }
    }

    #[test]
    fn every_single_wrong_digit_on_a_label_is_found() {
        let good = format!("123456{}", digit_check("123456").unwrap());
        for position in 0..good.len() {
            for digit in b'0'..=b'9' {
                let mut bad = good.clone().into_bytes();
                if bad[position] != digit {
                    bad[position] = digit;
                    assert!(!has_valid_check_digit(std::str::from_utf8(&bad).unwrap()));
                }
            }
        }
    }
}
