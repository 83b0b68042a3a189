//! Durations and sizes, as they are written and back.

use std::time::Duration;

/// Longest unit first, so that writing finds the shortest text.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `"2s"`, `"500ms"`, `"1m"`, `"1h"`, `"1d"`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let (count, unit) = parts(text)?;
    let (_, factor) = DURATION_UNITS.into_iter().find(|(name, _)| *name == unit)?;
    Some(Duration::from_millis(count.checked_mul(factor)?))
}

/// A duration as it would be written.
pub(super) fn write_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 {
        return "0s".to_owned();
    }
    write(millis, &DURATION_UNITS)
}

/// `"64MiB"`, `"8KiB"`, `"1000"`.
pub(super) fn size(text: &str) -> Option<u64> {
    let (count, unit) = parts(text)?;
    let (_, factor) = SIZE_UNITS.into_iter().find(|(name, _)| *name == unit || (*name == "B" && unit.is_empty()))?;
    count.checked_mul(factor)
}

/// What was probably meant: units of a thousand, or without their `iB`, or in another case.
pub(super) fn probable_size(text: &str) -> Option<String> {
    let (count, unit) = parts(text)?;
    let letter = unit.chars().next()?.to_ascii_uppercase();
    let (name, _) = SIZE_UNITS.into_iter().find(|(name, _)| name.starts_with(letter))?;
    let ending = unit.get(1..).unwrap_or_default().to_ascii_lowercase();
    matches!(ending.as_str(), "" | "b" | "ib").then(|| format!("{count}{name}"))
}

/// A size as it would be written.
pub(super) fn write_size(bytes: u64) -> String {
    if bytes == 0 { "0B".to_owned() } else { write(bytes, &SIZE_UNITS) }
}

fn write(amount: u64, units: &[(&str, u64)]) -> String {
    let (unit, factor) = units.iter().find(|(_, factor)| amount.is_multiple_of(*factor)).copied().unwrap_or(("", 1));
    format!("{}{unit}", amount / factor)
}

fn parts(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at_checked(end)?;
    Some((count.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, millis) in [
            ("2s", 2_000),
            ("500ms", 500),
            ("1m", 60_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("90s", 90_000),
            ("2d", 172_800_000),
        ] {
            let duration = duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(millis), "{text}");
            assert_eq!(write_duration(duration), text);
        }
        for text in ["", "2", "s", "1.5s", "-1s", "2 days", "99999999999999999999s", "9999999999999999h"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_written() {
        for (text, bytes, written) in [
            ("64MiB", 64 << 20, "64MiB"),
            ("8KiB", 8 << 10, "8KiB"),
            ("1000", 1000, "1000B"),
            ("1024B", 1024, "1KiB"),
            ("0", 0, "0B"),
        ] {
            assert_eq!(size(text), Some(bytes), "{text}");
            assert_eq!(write_size(bytes), written);
        }
        for (text, meant) in
            [("64MB", Some("64MiB")), ("64m", Some("64MiB")), ("8k", Some("8KiB")), ("8 apples", None), ("", None)]
        {
            assert_eq!(size(text), None, "{text}");
            assert_eq!(probable_size(text).as_deref(), meant, "{text}");
        }
    }
}
