//! Instants and durations as logs write them, always in UTC.

use std::time::{Duration, SystemTime};

use time::OffsetDateTime;

/// `21/Nov/2026:04:15:57 +0000`, as Apache writes it.
pub(super) fn apache(time: SystemTime, out: &mut Vec<u8>) {
    let at = OffsetDateTime::from(time);
    digits(u64::from(at.day()), 2, out);
    out.push(b'/');
    out.extend(at.month().to_string().as_bytes().iter().take(3));
    out.push(b'/');
    digits(u64::from(at.year().unsigned_abs()), 4, out);
    for part in [at.hour(), at.minute(), at.second()] {
        out.push(b':');
        digits(u64::from(part), 2, out);
    }
    out.extend_from_slice(b" +0000");
}

/// `2026-11-21T04:15:57.123456Z` (RFC 3339).
pub(super) fn iso(time: SystemTime, out: &mut Vec<u8>) {
    let at = OffsetDateTime::from(time);
    digits(u64::from(at.year().unsigned_abs()), 4, out);
    for (before, part) in
        [(b'-', at.month().into()), (b'-', at.day()), (b'T', at.hour()), (b':', at.minute()), (b':', at.second())]
    {
        out.push(before);
        digits(u64::from(part), 2, out);
    }
    out.push(b'.');
    digits(u64::from(at.microsecond()), 6, out);
    out.push(b'Z');
}

/// Seconds since 1970 with six decimals.
pub(super) fn unix(time: SystemTime, out: &mut Vec<u8>) {
    seconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(), out);
}

/// Seconds with six decimals: `0.001234`.
pub(super) fn seconds(duration: Duration, out: &mut Vec<u8>) {
    digits(duration.as_secs(), 1, out);
    out.push(b'.');
    digits(u64::from(duration.subsec_micros()), 6, out);
}

/// A number in decimal, with zeros before it up to a width of at most 20.
pub(super) fn digits(mut number: u64, width: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 20];
    let mut used = 0;
    for place in text.iter_mut().rev() {
        if number == 0 && used >= width.max(1) {
            break;
        }
        *place = b"0123456789"[usize::try_from(number % 10).unwrap_or(0)];
        number /= 10;
        used += 1;
    }
    out.extend(text.iter().skip(text.len() - used));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn instants() {
        let time = SystemTime::UNIX_EPOCH + Duration::new(951_827_696, 7_008_999);
        assert_eq!(written(|out| apache(time, out)), "29/Feb/2000:12:34:56 +0000");
        assert_eq!(written(|out| iso(time, out)), "2000-02-29T12:34:56.007008Z");
        assert_eq!(written(|out| unix(time, out)), "951827696.007008");
        assert_eq!(written(|out| apache(SystemTime::UNIX_EPOCH, out)), "01/Jan/1970:00:00:00 +0000");
    }

    #[test]
    fn numbers() {
        for (number, width, expected) in
            [(0, 1, "0"), (0, 2, "00"), (7, 2, "07"), (123, 2, "123"), (u64::MAX, 1, "18446744073709551615")]
        {
            assert_eq!(written(|out| digits(number, width, out)), expected);
        }
        assert_eq!(written(|out| seconds(Duration::new(12, 34_567_891), out)), "12.034567");
    }
}
