//! Numbers as people read them.

/// With this many decimals.
pub fn fixed(value: f64, decimals: usize) -> String {
    let text = format!("{value:.decimals$}");
    let is_zero = text.chars().all(|c| matches!(c, '-' | '0' | '.'));
    if is_zero { text.trim_start_matches('-').to_owned() } else { text }
}

/// At most three decimals, and none that say nothing.
pub fn short(value: f64) -> String {
    let text = fixed(value, 3);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A share between 0 and 1.
pub fn share(value: f64) -> String {
    fixed(value, 3)
}

/// A p-value, never printed as 0.
pub fn p_value(value: f64) -> String {
    if value < 0.0001 { "p < 0.0001".to_owned() } else { format!("p = {}", fixed(value, 4)) }
}

/// Thousands kept apart.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// Seconds as hours with two decimals, exact to the second's share and never rounded up to a limit: 36 001 s are 10.01 h.
pub fn hours(seconds: i64) -> String {
    let hundredths = i128::from(seconds) * 100;
    // Away from zero, so that a second beyond a limit shows.
    let up = if seconds >= 0 { (hundredths + 3_599).div_euclid(3_600) } else { hundredths.div_euclid(3_600) };
    let sign = if up < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", up.abs() / 100, up.abs() % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_people_read_them() {
        assert_eq!([fixed(-0.001, 2), fixed(-0.4, 1), fixed(2.0, 0)], ["0.00", "-0.4", "2"]);
        assert_eq!([short(2.5), short(10.0), short(0.1234), short(100.0)], ["2.5", "10", "0.123", "100"]);
        assert_eq!([p_value(0.00009), p_value(0.0001), p_value(1.0)], ["p < 0.0001", "p = 0.0001", "p = 1.0000"]);
        assert_eq!([grouped(0), grouped(999), grouped(1_000), grouped(1_234_567)], ["0", "999", "1 000", "1 234 567"]);
        assert_eq!(
            [hours(0), hours(36_000), hours(36_001), hours(9_000), hours(-1)],
            ["0.00", "10.00", "10.01", "2.50", "-0.01"]
        );
    }
}
