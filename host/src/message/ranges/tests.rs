//! Which bytes are sent, and how: by tables, and beside a plainer reading of the same words.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::message::fields::tests::fields;

fn some(ranges: &[(u64, u64)]) -> Ranges {
    Ranges::Some(ranges.iter().map(|&(first, last)| Range { first, last }).collect())
}

fn of(value: &str, length: u64) -> Ranges {
    let mut fields = Fields::default();
    fields.set(name::RANGE, Value::from_str(value).unwrap());
    wanted(&Method::GET, &fields, &Validators::default(), length)
}

#[test]
fn ranges() {
    use Ranges::{Unsatisfiable, Whole};
    for (value, length, expected) in [
        ("bytes=0-499", 1000, some(&[(0, 499)])),
        ("bytes=500-999", 1000, some(&[(500, 999)])),
        ("bytes=500-5000", 1000, some(&[(500, 999)])),
        ("bytes=0-0", 1000, some(&[(0, 0)])),
        ("bytes=0-", 1000, some(&[(0, 999)])),
        ("bytes=999-", 1000, some(&[(999, 999)])),
        ("bytes=-1", 1000, some(&[(999, 999)])),
        ("bytes=-1000", 1000, some(&[(0, 999)])),
        ("bytes=-5000", 1000, some(&[(0, 999)])),
        ("bytes=0-0,-1", 1000, some(&[(0, 0), (999, 999)])),
        ("bytes=9-10,0-1, 3-4", 1000, some(&[(9, 10), (0, 1), (3, 4)])),
        ("bytes=0-1,0-1", 1000, some(&[(0, 1), (0, 1)])),
        ("bytes=0-1,5000-,-0", 1000, some(&[(0, 1)])),
        ("Bytes=0-0", 1000, some(&[(0, 0)])),
        ("bytes= 0-0 \t,\t ,, 2-2 ,", 1000, some(&[(0, 0), (2, 2)])),
        ("bytes=000-0000000000000000000000007", 1000, some(&[(0, 7)])),
        ("bytes=1-99999999999999999999999999", 1000, some(&[(1, 999)])),
        ("bytes=-99999999999999999999999999", 1000, some(&[(0, 999)])),
        ("bytes=0-18446744073709551615", u64::MAX, some(&[(0, u64::MAX - 1)])),
        ("bytes=18446744073709551614-", u64::MAX, some(&[(u64::MAX - 1, u64::MAX - 1)])),
        ("bytes=1000-", 1000, Unsatisfiable),
        ("bytes=99999999999999999998-0099999999999999999999", 1000, Unsatisfiable),
        ("bytes=1000-1001,5000-", 1000, Unsatisfiable),
        ("bytes=99999999999999999999999999-", u64::MAX, Unsatisfiable),
        ("bytes=-0", 1000, Unsatisfiable),
        ("bytes=0-", 0, Whole),
        ("bytes=0-0,-0", 0, Whole),
        ("bytes=-1", 0, Whole),
        ("bytes=0-,-1", 0, Whole),
        ("bytes=5-,0-3", 0, Whole),
        ("bytes=1-", 0, Unsatisfiable),
        ("bytes=-0", 0, Unsatisfiable),
        // More than there is.
        ("bytes=0-,0-", 1000, Whole),
        ("bytes=0-,-1", 1000, Whole),
        ("bytes=0-18446744073709551615,0-18446744073709551615", u64::MAX, Whole),
        // Not understood.
        ("bytes=2-1", 1000, Whole),
        ("bytes=0-0,2-1", 1000, Whole),
        ("bytes=5000-4999", 1000, Whole),
        ("bytes=99999999999999999999-99999999999999999998", 1000, Whole),
        ("bytes=99999999999999999999-099999999999999999998", 1000, Whole),
        ("bytes=", 1000, Whole),
        ("bytes=,", 1000, Whole),
        ("bytes=-", 1000, Whole),
        ("bytes=--1", 1000, Whole),
        ("bytes=1", 1000, Whole),
        ("bytes=0-1-2", 1000, Whole),
        ("bytes=0 - 1", 1000, Whole),
        ("bytes=+0-1", 1000, Whole),
        ("bytes=0x0-1", 1000, Whole),
        ("bytes=0-1;2-3", 1000, Whole),
        ("bytes =0-1", 1000, Whole),
        ("bytes 0-1", 1000, Whole),
        ("bytes:0-1", 1000, Whole),
        ("0-1", 1000, Whole),
        ("", 1000, Whole),
        ("byte=0-1", 1000, Whole),
        ("seconds=0-1", 1000, Whole),
        ("none", 1000, Whole),
    ] {
        assert_eq!(of(value, length), expected, "{value:?} of {length}");
    }
}

#[test]
fn only_one_line_of_a_get_has_ranges() {
    let one = fields(&[("range", "bytes=0-1")]);
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        assert_eq!(wanted(&method, &one, &Validators::default(), 9), Ranges::Whole, "{method}");
    }
    let two = fields(&[("range", "bytes=0-1"), ("range", "bytes=2-3")]);
    assert_eq!(wanted(&Method::GET, &two, &Validators::default(), 9), Ranges::Whole);
    assert_eq!(wanted(&Method::GET, &Fields::default(), &Validators::default(), 9), Ranges::Whole);
}

#[test]
fn so_many_are_enough() {
    let many = |count: usize, spec: &str| format!("bytes={}", vec![spec; count].join(","));
    assert_eq!(of(&many(MOST, "3-3"), 1000), some(&[(3, 3)].repeat(MOST)));
    assert_eq!(of(&many(MOST + 1, "3-3"), 1000), Ranges::Whole);
    assert_eq!(of(&many(MOST, "5000-"), 1000), Ranges::Unsatisfiable);
    assert_eq!(of(&many(MOST + 1, "5000-"), 1000), Ranges::Whole);
    assert_eq!(of(&many(6, "3-"), 1000), Ranges::Whole);
}

#[test]
fn if_range() {
    let then = UNIX_EPOCH + Duration::from_millis(784_111_777_300);
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (etag, later, lines, sent) in [
        (r#""a""#, 9, &[r#""a""#][..], true),
        (r#""a""#, 9, &[r#" "a" "#], true),
        (r#""a""#, 9, &[r#""b""#], false),
        (r#""a""#, 9, &[r#"W/"a""#], false),
        (r#"W/"a""#, 9, &[r#"W/"a""#], false),
        (r#"W/"a""#, 9, &[r#""a""#], false),
        (r#""a""#, 9, &[r#""a", "b""#], false),
        (r#""a""#, 9, &[r#""a""#, r#""a""#], false),
        (r#""a""#, 9, &["*"], false),
        (r#""a""#, 9, &[""], false),
        ("a", 9, &["a"], false),
        (r#""a""#, 9, &[date], true),
        (r#""a""#, 9, &["Sunday, 06-Nov-94 08:49:37 GMT"], true),
        (r#""a""#, 1, &[date], true),
        // The second is not over: there may yet be another version with this date.
        (r#""a""#, 0, &[date], false),
        (r#""a""#, 9, &["Sun, 06 Nov 1994 08:49:38 GMT"], false),
        (r#""a""#, 9, &["Sun, 06 Nov 1994 08:49:36 GMT"], false),
        (r#""a""#, 9, &["Sun, 06 Nov 1994"], false),
    ] {
        let mut asked = fields(&[("range", "bytes=2-3")]);
        lines.iter().for_each(|line| asked.append(name::IF_RANGE, Value::from_static(line)));
        let validators = Validators::of(Some(Value::from_static(etag)), Some(then), then + Duration::from_secs(later));
        let expected = if sent { some(&[(2, 3)]) } else { Ranges::Whole };
        assert_eq!(wanted(&Method::GET, &asked, &validators, 9), expected, "{lines:?} of {etag}");
        assert_eq!(wanted(&Method::GET, &asked, &Validators::default(), 9), Ranges::Whole, "{lines:?} of nothing");
    }
}

fn whole() -> ResponseHead {
    let mut head = ResponseHead::of(Status::OK);
    head.fields = fields(&[
        ("content-type", "text/plain"),
        ("etag", r#""a""#),
        ("cache-control", "max-age=9"),
        ("vary", "x"),
        ("content-digest", "x"),
    ]);
    head
}

fn field<'h>(head: &'h ResponseHead, name: &str) -> &'h str {
    head.fields.get(name).map_or("-", |value| value.to_str().unwrap())
}

/// The body, as it goes out.
fn sent(pieces: &[Piece], data: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => body.extend_from_slice(text),
            Piece::Range(range) => {
                let ends = [range.first, range.last].map(|end| usize::try_from(end).unwrap());
                body.extend_from_slice(&data[ends[0]..=ends[1]]);
            }
        }
    }
    body
}

#[test]
fn answers() {
    let data = b"0123456789";
    let names = ["content-length", "content-range", "content-type", "cache-control", "etag", "content-digest"];
    let multipart = "multipart/byteranges; boundary=00000000000000000007";
    let parts = "--00000000000000000007\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89\r\n\
                 --00000000000000000007\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-0/10\r\n\r\n0\r\n\
                 --00000000000000000007--\r\n";
    let length = parts.len().to_string();
    for (ranges, status, expected, body) in [
        (Ranges::Whole, 200, ["10", "-", "text/plain", "max-age=9", r#""a""#, "x"], "0123456789"),
        (some(&[(2, 4)]), 206, ["3", "bytes 2-4/10", "text/plain", "max-age=9", r#""a""#, "-"], "234"),
        (some(&[(8, 9), (0, 0)]), 206, [&length, "-", multipart, "max-age=9", r#""a""#, "-"], parts),
        (Ranges::Unsatisfiable, 416, ["0", "bytes */10", "-", "-", "-", "-"], ""),
    ] {
        let (head, pieces) = answer(&ranges, whole(), 10, 7);
        assert_eq!((head.status.as_u16(), field(&head, "vary")), (status, "x"));
        assert_eq!(names.map(|name| field(&head, name)), expected, "{ranges:?}");
        assert_eq!(String::from_utf8(sent(&pieces, data)).unwrap(), body, "{ranges:?}");
    }
    let (head, pieces) = answer(&Ranges::Whole, whole(), 0, 7);
    assert_eq!((field(&head, "content-length"), pieces), ("0", Vec::new()));
}

/// What a set of ranges means, done as plainly as can be: by strings, by numbers that cannot overflow, byte by byte.
fn plainly(set: &str, data: &[u8]) -> Option<Result<Vec<Vec<u8>>, ()>> {
    let (mut found, mut any, mut edge) = (Vec::new(), false, false);
    for member in set.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty()) {
        any = true;
        let (first, last) = member.split_once('-')?;
        if !(first.to_owned() + last).bytes().all(|byte| byte.is_ascii_digit()) || member == "-" {
            return None;
        }
        let (first, last): (Option<u128>, Option<u128>) = (first.parse().ok(), last.parse().ok());
        if first.zip(last).is_some_and(|(first, last)| last < first) {
            return None;
        }
        edge |= first == Some(0) || first.is_none() && last > Some(0);
        let is_in = |at: u128| match first {
            Some(first) => first <= at && last.is_none_or(|last| at <= last),
            None => at + last.unwrap() >= data.len() as u128,
        };
        let bytes = data.iter().enumerate().filter(|(at, _)| is_in(*at as u128));
        let bytes: Vec<u8> = bytes.map(|(_, &byte)| byte).collect();
        found.extend((!bytes.is_empty()).then_some(bytes));
    }
    match found.is_empty() {
        _ if !any || found.iter().map(Vec::len).sum::<usize>() > data.len() => None,
        true if data.is_empty() && edge => None,
        true => Some(Err(())),
        false => Some(Ok(found)),
    }
}

/// Reads the parts of a multipart body, as a client does.
fn parts_of(body: &[u8], boundary: &str) -> Vec<(String, Vec<u8>)> {
    let mut rest = body.strip_prefix(format!("--{boundary}").as_bytes()).unwrap();
    let mut parts = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let end = part.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let delimiter = format!("\r\n--{boundary}");
        let length = part[end + 4..].windows(delimiter.len()).position(|window| window == delimiter.as_bytes());
        let length = length.unwrap();
        parts.push((String::from_utf8(part[..end].to_vec()).unwrap(), part[end + 4..][..length].to_vec()));
        rest = &part[end + 4 + length + delimiter.len()..];
    }
    assert_eq!(rest, b"--\r\n");
    parts
}

#[test]
fn a_plain_reading_finds_the_same_bytes() {
    let mut dice = fastrand::Rng::with_seed(14);
    let mut seen = [0; 4];
    for turn in 0..30_000 {
        let data: Vec<u8> = (0..dice.u8(..60)).collect();
        let mut set = String::new();
        for _ in 0..dice.usize(1..5) {
            let mut number =
                || dice.choice(["", "0", "00", "1", "2", "5", "9", "12", "28", "31", "45", "99999999999999999999"]);
            let (first, last) = (number().unwrap(), number().unwrap());
            let comma = dice.choice([",", ", ", " ,\t", ",,"]).unwrap();
            set += &if dice.u8(..40) == 0 { dice.char(' '..'~').to_string() } else { format!("{first}-{last}{comma}") };
        }
        let found = of(&format!("bytes={set}"), data.len() as u64);
        let (head, pieces) = answer(&found, whole(), data.len() as u64, turn);
        let body = sent(&pieces, &data);
        assert_eq!(field(&head, "content-length"), body.len().to_string());
        let kind = match (plainly(&set, &data), head.status.as_u16()) {
            (None, 200) => {
                assert_eq!(body, data, "{set:?}");
                0
            }
            (Some(Err(())), 416) => 1,
            (Some(Ok(bytes)), 206) if bytes.len() == 1 => {
                assert_eq!(body, bytes[0], "{set:?}");
                2
            }
            (Some(Ok(bytes)), 206) => {
                let parts = parts_of(&body, &format!("{turn:020}"));
                assert_eq!(parts.len(), bytes.len());
                for ((head, part), bytes) in parts.iter().zip(&bytes) {
                    // The bytes are their own places.
                    let said = format!("bytes {}-{}/{}", bytes[0], bytes[bytes.len() - 1], data.len());
                    assert_eq!((head.lines().nth(1), part), (Some(&*format!("Content-Range: {said}")), bytes));
                }
                3
            }
            (plain, status) => panic!("{set:?} of {}: {status}, and plainly {plain:?}", data.len()),
        };
        seen[kind] += 1;
    }
    assert!(seen.iter().all(|&seen| seen > 500), "{seen:?}");
}

#[test]
fn nothing_that_comes_makes_it_panic() {
    let mut dice = fastrand::Rng::with_seed(15);
    let words: [&[u8]; 8] =
        [b"bytes=", b"-", b",", b"0", b"18446744073709551615", b"99999999999999999999", b" ", b"=\xff"];
    for _ in 0..30_000 {
        let mut text = b"bytes=".to_vec();
        (0..dice.usize(..10)).for_each(|_| match dice.u8(..8) {
            0 => text.push(dice.u8(..)),
            _ => text.extend_from_slice(dice.choice(words).unwrap_or_default()),
        });
        let Ok(value) = Value::from_bytes(&text) else { continue };
        let mut fields = Fields::default();
        fields.set(name::RANGE, value);
        let length = dice.choice([0, 1, 1000, u64::MAX]).unwrap_or_default();
        let found = wanted(&Method::GET, &fields, &Validators::default(), length);
        let (_, pieces) = answer(&found, whole(), length, 0);
        let bytes = pieces.iter().filter(|piece| matches!(piece, Piece::Range(_))).map(Piece::length);
        assert!(bytes.fold(0, u64::saturating_add) <= length);
        assert!(found != Ranges::Some(Vec::new()));
    }
}
