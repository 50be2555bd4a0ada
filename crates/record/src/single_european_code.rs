//! Single European Codes of tissues and cells (Directive 2006/86/EC, annex VII, by Directive (EU) 2015/565): 40 characters.
//!
//! | characters | what |
//! |---|---|
//! | 1–2 | the country, capital letters |
//! | 3–8 | the tissue establishment, capital letters and digits |
//! | 9–21 | the donation, capital letters and digits |
//! | 22 | the product coding system: `E` (EUTC), `A` (ISBT 128), `B` (Eurocode) |
//! | 23–29 | the product, capital letters and digits |
//! | 30–32 | the split, capital letters and digits |
//! | 33–40 | the day of expiry, `YYYYMMDD`; zeros if there is none |
//!
//! `DE000001G123498654321A0S1393000120271231` is of this form. There is no check character; whether countries and products exist is the
//! business of the EU coding platform.

/// Whether a text has the form of a Single European Code.
pub fn has_form(text: &str) -> bool {
    let bytes = text.as_bytes();
    let part = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default().iter();
    let is_plain = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    bytes.len() == 40
        && part(0, 2).all(u8::is_ascii_uppercase)
        && part(2, 21).all(is_plain)
        && part(21, 22).all(|system| b"EAB".contains(system))
        && part(22, 32).all(is_plain)
        && text.get(32..).is_some_and(is_day)
}

fn is_day(text: &str) -> bool {
    let number = |from: usize, to: usize| text.get(from..to).and_then(|part| part.parse::<u8>().ok());
    let is_in_calendar =
        number(4, 6).is_some_and(|month| (1..=12).contains(&month)) && number(6, 8).is_some_and(|day| (1..=31).contains(&day));
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "00000000" || is_in_calendar)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "DE000001G123498654321A0S1393000120271231";

    #[test]
    fn forty_characters_in_their_places() {
        assert!(has_form(CODE));
        assert!(has_form(&format!("{}00000000", &CODE[..32])));
        for bad in
            ["", &CODE[..39], &format!("{CODE}1"), &CODE.to_lowercase(), &CODE.replace("DE0", "D10"), &CODE.replace('A', "C")]
        {
            assert!(!has_form(bad), "{bad}");
        }
        for day in ["20271331", "20270031", "20271200", "20271232", "2027123A", "+0271231"] {
            assert!(!has_form(&format!("{}{day}", &CODE[..32])), "{day}");
        }
        assert!(!has_form(&CODE.replace("G1", "É")), "a character of two bytes");
    }

    #[test]
    fn no_place_takes_a_space_or_a_hyphen() {
        for place in 0..40 {
            for other in [' ', '-'] {
                let mut bad = CODE.to_owned();
                bad.replace_range(place..=place, &other.to_string());
                assert!(!has_form(&bad), "{bad}");
            }
        }
    }
}
