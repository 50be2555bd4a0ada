//! Numbers, shares and times as people on a ward read them.

use marrowline_record::instant;

/// `2 100 000`.
pub(in crate::family) fn grouped(number: impl Into<u128>) -> String {
    let digits = number.into().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// Basis points as `98.00 %`.
pub(in crate::family) fn percent(basis_points: u32) -> String {
    format!("{}.{:02} %", basis_points / 100, basis_points % 100)
}

/// `numerator / denominator` with one decimal; an ellipsis says that more digits follow, so that a limit that is passed by a trifle
/// does not look kept.
pub(in crate::family) fn tenths(numerator: u128, denominator: u128) -> String {
    let denominator = denominator.max(1);
    let whole = numerator / denominator;
    let rest = (numerator % denominator).saturating_mul(10);
    let more = if rest.is_multiple_of(denominator) { "" } else { "…" };
    format!("{}.{}{more}", grouped(whole), rest / denominator)
}

/// `36 001 s (10 h 0 min 1 s)`; milliseconds only if there are any.
pub(in crate::family) fn duration(ms: i64) -> String {
    let sign = if ms < 0 { "−" } else { "" };
    let ms = ms.unsigned_abs();
    let fraction = match ms % 1000 {
        0 => String::new(),
        rest => format!(".{rest:03}"),
    };
    let seconds = ms / 1000;
    let plain = format!("{sign}{}{fraction} s", grouped(seconds));
    if seconds < 60 {
        return plain;
    }
    let (hours, minutes, rest) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours == 0 {
        format!("{plain} ({minutes} min {rest}{fraction} s)")
    } else {
        format!("{plain} ({} h {minutes} min {rest}{fraction} s)", grouped(hours))
    }
}

/// A moment, in UTC.
pub(in crate::family) fn moment(unix_ms: i64) -> String {
    instant::format(unix_ms, 0)
}

/// Seconds of a protocol or specification as milliseconds.
pub(in crate::family) fn seconds_to_ms(seconds: u32) -> i64 {
    i64::from(seconds) * 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        for (number, text) in [(0u64, "0"), (999, "999"), (1000, "1 000"), (2_100_000, "2 100 000"), (140_000_001, "140 000 001")]
        {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn a_limit_passed_by_a_trifle_does_not_look_kept() {
        assert_eq!(tenths(140_000_000, 70), "2 000 000.0");
        assert_eq!(tenths(140_000_001, 70), "2 000 000.0…");
        assert_eq!(tenths(147_000_000, 70), "2 100 000.0");
        assert_eq!(tenths(1, 0), "1.0");
    }

    #[test]
    fn durations_say_both_seconds_and_hours() {
        assert_eq!(duration(36_001_000), "36 001 s (10 h 0 min 1 s)");
        assert_eq!(duration(7_200_001), "7 200.001 s (2 h 0 min 0.001 s)");
        assert_eq!(duration(59_000), "59 s");
        assert_eq!(duration(-90_000), "−90 s (1 min 30 s)");
        assert_eq!(percent(9800), "98.00 %");
        assert_eq!(percent(5), "0.05 %");
    }
}
