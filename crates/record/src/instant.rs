//! Points in time, printed and read without a clock: proleptic Gregorian calendar, the signer's offset always shown.
//!
//! `2026-11-23 09:10:00 +03:00`; with milliseconds only if there are any: `2026-11-23 09:10:00.250 +03:00`.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::pb;

/// First moment that an instant can name.
pub const MIN_UNIX_MS: i64 = 1;
/// Last moment that an instant can name: the end of 9999 in UTC.
pub const MAX_UNIX_MS: i64 = 253_402_300_799_999;
/// Offsets from UTC that an instant can have.
pub const OFFSET_MINUTES: RangeInclusive<i32> = -1080..=1080;

const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970-01-01T00:00:00Z. Prints in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// The instant with this offset from UTC.
    pub fn at_offset(self, offset_minutes: i32) -> pb::Instant {
        pb::Instant { unix_ms: self.0, offset_minutes }
    }
}

impl From<pb::Instant> for UnixMs {
    fn from(instant: pb::Instant) -> UnixMs {
        UnixMs(instant.unix_ms)
    }
}

impl From<UnixMs> for pb::Instant {
    fn from(time: UnixMs) -> pb::Instant {
        time.at_offset(0)
    }
}

impl fmt::Display for UnixMs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.0, 0))
    }
}

impl fmt::Display for pb::Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format(self.unix_ms, self.offset_minutes))
    }
}

/// An instant as people read it.
pub fn format(unix_ms: i64, offset_minutes: i32) -> String {
    let local_ms = unix_ms.saturating_add(i64::from(offset_minutes) * 60_000);
    let (year, month, day) = civil_from_days(local_ms.div_euclid(DAY_MS));
    let ms = local_ms.rem_euclid(DAY_MS);
    let fraction = match ms % 1000 {
        0 => String::new(),
        fraction => format!(".{fraction:03}"),
    };
    let sign = if offset_minutes < 0 { '-' } else { '+' };
    let offset = offset_minutes.unsigned_abs();
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}{fraction} {sign}{:02}:{:02}",
        ms / 3_600_000,
        ms / 60_000 % 60,
        ms / 1000 % 60,
        offset / 60,
        offset % 60,
    )
}

/// Text that is no instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a time is written like `2026-11-23 09:10:00 +03:00`")]
pub struct InstantError;

/// Reads what [`format`] writes. `T` may stand for the first space, `Z` for the offset zero, and the second space may be absent.
pub fn parse(text: &str) -> Result<pb::Instant, InstantError> {
    read(text).ok_or(InstantError)
}

impl FromStr for UnixMs {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<UnixMs, InstantError> {
        parse(text).map(UnixMs::from)
    }
}

fn read(text: &str) -> Option<pb::Instant> {
    let (date, rest) = text.split_once([' ', 'T'])?;
    // The last hours of 9999 in UTC are already in the year 10000 east of Greenwich.
    let year_digits = if date.starts_with("10000-") { 5 } else { 4 };
    let [year, month, day] = numbers(date, '-', [year_digits, 2, 2])?;
    let (time, offset_minutes) = read_offset(rest)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "000"));
    let [hours, minutes, seconds] = numbers(clock, ':', [2, 2, 2])?;
    let [fraction] = numbers(fraction, '.', [3])?;
    let days = days_from_civil(year, month, day)?;
    if hours > 23 || minutes > 59 || seconds > 59 {
        return None;
    }
    let local_ms = days * DAY_MS + ((hours * 60 + minutes) * 60 + seconds) * 1000 + fraction;
    let unix_ms = local_ms - i64::from(offset_minutes) * 60_000;
    (MIN_UNIX_MS..=MAX_UNIX_MS).contains(&unix_ms).then_some(pb::Instant { unix_ms, offset_minutes })
}

fn read_offset(text: &str) -> Option<(&str, i32)> {
    if let Some(time) = text.strip_suffix('Z') {
        return Some((time, 0));
    }
    let (at, sign) = text.char_indices().rfind(|(_, c)| matches!(c, '+' | '-'))?;
    let (time, offset) = text.split_at(at);
    let [hours, minutes] = numbers(offset.strip_prefix(sign)?, ':', [2, 2])?;
    if minutes > 59 {
        return None;
    }
    let size = i32::try_from(hours * 60 + minutes).ok()?;
    let offset_minutes = if sign == '-' { -size } else { size };
    let is_allowed = OFFSET_MINUTES.contains(&offset_minutes);
    is_allowed.then_some((time.strip_suffix(' ').unwrap_or(time), offset_minutes))
}

/// Numbers with fixed counts of digits between separators.
fn numbers<const N: usize>(text: &str, separator: char, digits: [usize; N]) -> Option<[i64; N]> {
    let mut out = [0; N];
    let mut parts = text.split(separator);
    for (number, digits) in out.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(out)
}

/// Days from 1970-01-01 to a date; eras of 400 years counted from 1 March, so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // A day that the month does not have comes back as another date.
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn instants_print_as_people_read_them() {
        for (unix_ms, offset, text) in [
            (1_795_414_200_000, 180, "2026-11-23 09:10:00 +03:00"),
            (1_795_414_200_250, 180, "2026-11-23 09:10:00.250 +03:00"),
            (1_795_414_200_000, -210, "2026-11-23 02:40:00 -03:30"),
            (1, 0, "1970-01-01 00:00:00.001 +00:00"),
            (951_782_400_000, 0, "2000-02-29 00:00:00 +00:00"),
            (951_868_800_000, 0, "2000-03-01 00:00:00 +00:00"),
            (4_107_542_400_000, 0, "2100-03-01 00:00:00 +00:00"),
            (MAX_UNIX_MS, 0, "9999-12-31 23:59:59.999 +00:00"),
        ] {
            assert_eq!(format(unix_ms, offset), text);
            assert_eq!(parse(text).unwrap(), UnixMs(unix_ms).at_offset(offset));
        }
        assert_eq!(UnixMs(1_795_414_200_000).to_string(), "2026-11-23 06:10:00 +00:00");
    }

    #[test]
    fn other_spellings_are_read_too() {
        let wanted = UnixMs(1_795_414_200_000);
        assert_eq!("2026-11-23T06:10:00Z".parse(), Ok(wanted));
        assert_eq!("2026-11-23T09:10:00+03:00".parse(), Ok(wanted));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "2026-11-23",
            "2026-11-23 09:10:00",
            "2026-02-29 00:00:00 +00:00",
            "2100-02-29 00:00:00 +00:00",
            "2026-13-01 00:00:00 +00:00",
            "2026-00-01 00:00:00 +00:00",
            "2026-01-00 00:00:00 +00:00",
            "2026-01-32 00:00:00 +00:00",
            "2026-01-01 24:00:00 +00:00",
            "2026-01-01 00:60:00 +00:00",
            "2026-01-01 00:00:60 +00:00",
            "2026-01-01 00:00:00 +18:01",
            "2026-01-01 00:00:00 +03:60",
            "2026-01-01 00:00:00.1 +00:00",
            "1970-01-01 00:00:00 +00:00",
            "26-01-01 00:00:00 +00:00",
            "2026-01-01 00:00:00 é",
        ] {
            assert_eq!(parse(bad), Err(InstantError), "{bad}");
        }
    }

    #[test]
    fn every_day_of_four_centuries_follows_the_one_before() {
        let mut before = civil_from_days(-719_468);
        for days in -719_467..(-719_468 + 2 * 146_097) {
            let date = civil_from_days(days);
            assert!(date > before, "{date:?} after {before:?}");
            assert_eq!(days_from_civil(date.0, date.1, date.2), Some(days));
            before = date;
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(unix_ms in 70_000_000..(MAX_UNIX_MS - 70_000_000), offset in OFFSET_MINUTES) {
            prop_assert_eq!(parse(&format(unix_ms, offset)), Ok(UnixMs(unix_ms).at_offset(offset)));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
