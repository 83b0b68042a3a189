//! Dates of HTTP (RFC 9110, section 5.6.7), read as caches have to read them.
//!
//! The three forms and nothing else, but in any case of letters; a wrong weekday is nobody's loss. A year of two digits
//! that seems to be more than 50 years ahead is the past's. What is not a date is `None`, and that means "expired" to
//! `Expires` (RFC 9111, section 5.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::message::Value;

/// Reads a date that was received at `now`.
#[must_use]
pub fn parse(text: &[u8], now: SystemTime) -> Option<SystemTime> {
    let text = str::from_utf8(text.trim_ascii()).ok().filter(|text| text.is_ascii())?;
    let (year, month, day, clock) = imf(text).or_else(|| rfc850(text, now)).or_else(|| asctime(text))?;
    let days = days(year, month, day)?;
    let seconds = days.checked_mul(86_400)?.checked_add(clock)?;
    match u64::try_from(seconds) {
        Ok(after) => UNIX_EPOCH.checked_add(Duration::from_secs(after)),
        Err(_) => UNIX_EPOCH.checked_sub(Duration::from_secs(seconds.unsigned_abs())),
    }
}

/// Writes a date in the preferred form.
#[must_use]
pub fn write(time: SystemTime) -> Value {
    // Beyond the year 9999 there is no form; a clock that is so wrong is not worth more than the epoch.
    let last = UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    let time = if (UNIX_EPOCH..=last).contains(&time) { time } else { UNIX_EPOCH };
    Value::from_str(&httpdate::fmt_http_date(time)).expect("a date is visible ASCII")
}

/// Year, month from 1, day, seconds since midnight.
type Parts = (i64, i64, i64, i64);

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf(text: &str) -> Option<Parts> {
    let (weekday, rest) = text.split_once(", ")?;
    let words: [&str; 5] = words(rest)?;
    let [day, month, year, clock, zone] = words;
    let is_form = is_weekday(weekday, 3) && year.len() == 4 && zone.eq_ignore_ascii_case("GMT");
    is_form.then_some(())?;
    Some((digits(year, 4)?, self::month(month)?, digits(day, 2)?, self::clock(clock)?))
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(text: &str, now: SystemTime) -> Option<Parts> {
    let (weekday, rest) = text.split_once(", ")?;
    let [date, clock, zone]: [&str; 3] = words(rest)?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let is_form = parts.next().is_none() && is_weekday(weekday, 6) && zone.eq_ignore_ascii_case("GMT");
    is_form.then_some(())?;
    let this_year = year_of(now);
    let century = this_year - this_year.rem_euclid(100);
    let year = century + digits(year, 2)?;
    // The most recent year in the past, if it seems to be more than 50 years in the future; the nearest future else.
    let year = if year > this_year + 50 {
        year - 100
    } else if year + 100 <= this_year + 50 {
        year + 100
    } else {
        year
    };
    Some((year, self::month(month)?, digits(day, 2)?, self::clock(clock)?))
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(text: &str) -> Option<Parts> {
    let (weekday, rest) = text.split_once(' ')?;
    let (month, rest) = rest.split_once(' ')?;
    let rest = rest.strip_prefix(' ').map_or_else(|| rest.to_owned(), |rest| format!("0{rest}"));
    let [day, clock, year]: [&str; 3] = words(&rest)?;
    is_weekday(weekday, 3).then_some(())?;
    Some((digits(year, 4)?, self::month(month)?, digits(day, 2)?, self::clock(clock)?))
}

/// Exactly so many words with one space between them.
fn words<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split(' ').collect::<Vec<_>>().try_into().ok()
}

fn is_weekday(text: &str, least: usize) -> bool {
    const DAYS: [&str; 7] = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
    let text = text.to_ascii_lowercase();
    DAYS.iter().any(|day| if least == 3 { day.get(..3) == Some(&text) } else { *day == text })
}

fn month(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let position = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(text))?;
    i64::try_from(position + 1).ok()
}

fn digits(text: &str, count: usize) -> Option<i64> {
    if text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// `08:49:37`; a leap second counts as the one before it.
fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':').map(|part| digits(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    let is_time = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60;
    is_time.then_some(hour * 3600 + minute * 60 + second.min(59))
}

/// Days since the epoch; years as they begin in March, so that leap days come last.
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let longest = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=longest).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

fn year_of(now: SystemTime) -> i64 {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Averages are enough: around New Year the pivot may be a year off, 50 years away.
    1970 + i64::try_from(seconds / 31_556_952).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 November 2026.
    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(1_793_491_200)
    }

    #[test]
    fn dates_in_three_forms() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Sun Nov 06 08:49:37 1994", 784_111_777),
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Tue, 19 Jan 2038 14:14:08 GMT", 2_147_523_248),
            ("Sun, 21 Nov 2286 04:46:39 GMT", 10_000_039_599),
            ("Thursday, 18-Aug-50 02:01:18 GMT", 2_544_400_878),
            ("Thu Aug  8 02:01:18 2050", 2_543_536_878),
            ("THU, 18 Aug 2050 02:01:18 GMT", 2_544_400_878),
            ("Thu, 18 AUG 2050 02:01:18 GMT", 2_544_400_878),
            ("Thu, 18 Aug 2050 02:01:18 gMT", 2_544_400_878),
            (" Thu, 18 Aug 2050 02:01:18 GMT ", 2_544_400_878),
            ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_799),
            ("Thu, 29 Feb 2024 00:00:00 GMT", 1_709_164_800),
            ("Friday, 31-Dec-76 00:00:00 GMT", 3_376_598_400),
            ("Friday, 31-Dec-77 00:00:00 GMT", 252_374_400),
        ] {
            let expected = Some(UNIX_EPOCH + Duration::from_secs(seconds));
            assert_eq!(parse(text.as_bytes(), now()), expected, "{text}");
        }
        assert!(parse(b"Thu, 01 Jan 1900 00:00:00 GMT", now()).unwrap() < UNIX_EPOCH);
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "0",
            "-1",
            "foo",
            "Thu, 18 Aug 2050 02:01:18 UTC",
            "Thu, 18 Aug 2050 02:01:18 AEST",
            "Thu, 18 Aug 2050 02:01:18 +0000",
            "Thu, 18 Aug 2050 02:01:18",
            "Thu, 18 Aug 50 02:01:18 GMT",
            "Thu 18 Aug 2050 02:01:18 GMT",
            "Thu, 18  Aug  2050 02:01:18 GMT",
            "Thu, 18-Aug-2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02.01.18 GMT",
            "Thu, 18 Aug 2050 2:01:18 GMT",
            "Thu, 18 Aug 2050 24:01:18 GMT",
            "Thu, 18 Aug 2050 02:60:18 GMT",
            "Thu, 18 Aug 2050 02:01:61 GMT",
            "Thu, 31 Jun 2050 02:01:18 GMT",
            "Wed, 29 Feb 2023 00:00:00 GMT",
            "Thu, 00 Aug 2050 02:01:18 GMT",
            "Xyz, 18 Aug 2050 02:01:18 GMT",
            "Thu, 18 Xyz 2050 02:01:18 GMT",
            "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:19 GMT",
            "Thu, 18 Aug 2050 02:01:18:00 GMT",
            "Thu, +8 Aug 2050 02:01:18 GMT",
        ] {
            assert_eq!(parse(text.as_bytes(), now()), None, "{text}");
        }
        assert_eq!(parse("Thu, 18 Aug 2050 02:01:18 GM\u{e9}".as_bytes(), now()), None);
    }

    #[test]
    fn what_is_written_is_read() {
        for seconds in [0, 951_782_400, 784_111_777, 4_102_444_800, 253_402_300_799] {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(parse(write(time).as_bytes(), now()), Some(time));
        }
    }
}
