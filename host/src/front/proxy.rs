//! The PROXY protocol, versions 1 and 2, as HAProxy's document of 2020 has it: what stands before a connection's own bytes.
//!
//! Pure: bytes in, who and how much out. A header is taken in one way or refused; there is no guessing whether there is one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What the first bytes of a connection are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// The beginning of a header.
    Partial,
    /// A header.
    Whole {
        /// Its bytes.
        length: usize,
        /// Who connects to whom; none when the proxy speaks for itself or does not know.
        ends: Option<(SocketAddr, SocketAddr)>,
    },
    /// No header, and why.
    Bad(&'static str),
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Section 2.1: the longest line of version 1, its CRLF included.
const LONGEST_LINE: usize = 107;
/// Signature, version and command, family, length.
const FIXED: usize = 16;
/// Addresses take 216 bytes at most; what follows them is for others, and this is more than any proxy writes there.
const MOST: usize = 4096;
const CRC32C: u8 = 0x03;

/// Reads the header that the bytes begin with.
pub(super) fn read(bytes: &[u8]) -> Header {
    match bytes.first() {
        None => Header::Partial,
        Some(b'P') => line(bytes),
        Some(b'\r') => binary(bytes),
        Some(_) => Header::Bad("the connection does not begin with a PROXY header"),
    }
}

fn line(bytes: &[u8]) -> Header {
    let Some(end) = memchr::memchr(b'\n', bytes.get(..LONGEST_LINE).unwrap_or(bytes)) else {
        return match bytes.len() < LONGEST_LINE && is_beginning(bytes, b"PROXY ") {
            true => Header::Partial,
            false => Header::Bad("a PROXY header of version 1 is longer than 107 bytes, or none"),
        };
    };
    let text = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).and_then(|line| str::from_utf8(line).ok());
    let Some(rest) = text.and_then(|text| text.strip_prefix("PROXY ")) else {
        return Header::Bad("the first line is no PROXY header");
    };
    let length = end + 1;
    if rest == "UNKNOWN" || rest.starts_with("UNKNOWN ") {
        return Header::Whole { length, ends: None };
    }
    match line_ends(rest) {
        Some(ends) => Header::Whole { length, ends: Some(ends) },
        None => Header::Bad("a PROXY header of version 1 with addresses or ports that are none"),
    }
}

/// `TCP4 192.0.2.1 192.0.2.2 1111 80`, one space between each.
fn line_ends(rest: &str) -> Option<(SocketAddr, SocketAddr)> {
    let mut words = rest.split(' ');
    let family = words.next()?;
    let address = |word: &str| -> Option<IpAddr> {
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (from, to) = (address(words.next()?)?, address(words.next()?)?);
    let (from_port, to_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then_some((SocketAddr::new(from, from_port), SocketAddr::new(to, to_port)))
}

/// Digits alone, without leading zeros.
fn port(word: &str) -> Option<u16> {
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word == "0" || !word.starts_with('0'));
    is_plain.then(|| word.parse().ok()).flatten()
}

fn binary(bytes: &[u8]) -> Header {
    if !is_beginning(bytes, SIGNATURE) {
        return Header::Bad("the connection does not begin with a PROXY header");
    }
    let &[_, _, _, _, _, _, _, _, _, _, _, _, command, family, high, low, ref rest @ ..] = bytes else {
        return Header::Partial;
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MOST {
        return Header::Bad("a PROXY header of version 2 with more than 4 KiB");
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Header::Bad("a PROXY header of a version or command that there is none of"),
    };
    let Some(body) = rest.get(..length) else { return Header::Partial };
    let (ends, extras) = match family {
        0x11 => match body {
            [a, b, c, d, e, f, g, h, i, j, k, l, extras @ ..] => {
                let from = SocketAddr::from(([*a, *b, *c, *d], u16::from_be_bytes([*i, *j])));
                let to = SocketAddr::from(([*e, *f, *g, *h], u16::from_be_bytes([*k, *l])));
                (Some((from, to)), extras)
            }
            _ => return Header::Bad("a PROXY header of version 2 whose addresses are cut off"),
        },
        0x21 => match ends_of_six(body) {
            Some((ends, extras)) => (Some(ends), extras),
            None => return Header::Bad("a PROXY header of version 2 whose addresses are cut off"),
        },
        // Datagrams, Unix sockets and what is not specified: section 2.2 wants them taken, without what they say.
        _ => (None, &[][..]),
    };
    let whole = bytes.get(..FIXED + length).unwrap_or(bytes);
    match is_sound(whole, extras) {
        true => Header::Whole { length: FIXED + length, ends: ends.filter(|_| !is_local) },
        false => Header::Bad("a PROXY header of version 2 with a wrong checksum or fields that are cut off"),
    }
}

fn ends_of_six(body: &[u8]) -> Option<((SocketAddr, SocketAddr), &[u8])> {
    let (from, rest) = body.split_first_chunk::<16>()?;
    let (to, rest) = rest.split_first_chunk::<16>()?;
    let (ports, extras) = rest.split_first_chunk::<4>()?;
    let [a, b, c, d] = *ports;
    let from = SocketAddr::from((*from, u16::from_be_bytes([a, b])));
    Some(((from, SocketAddr::from((*to, u16::from_be_bytes([c, d])))), extras))
}

/// Whether the fields behind the addresses are whole, and the checksum, where one of them is that, is right (section 2.2.3).
fn is_sound(header: &[u8], extras: &[u8]) -> bool {
    let mut rest = extras;
    while !rest.is_empty() {
        let &[kind, high, low, ref behind @ ..] = rest else { return false };
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some((value, next)) = behind.split_at_checked(length) else { return false };
        if kind == CRC32C {
            let at = header.len() - behind.len();
            let Ok(stated) = <[u8; 4]>::try_from(value) else { return false };
            if crc32c(header, at..at + 4) != u32::from_be_bytes(stated) {
                return false;
            }
        }
        rest = next;
    }
    true
}

/// CRC32c (RFC 3720, appendix B.4) with some bytes taken as zero. Bit by bit: a header comes once a connection.
fn crc32c(bytes: &[u8], zeroed: std::ops::Range<usize>) -> u32 {
    let mut crc = u32::MAX;
    for (index, byte) in bytes.iter().enumerate() {
        crc ^= u32::from(if zeroed.contains(&index) { 0 } else { *byte });
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

fn is_beginning(bytes: &[u8], of: &[u8]) -> bool {
    bytes.iter().zip(of).all(|(byte, expected)| byte == expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(from: &str, to: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((from.parse().unwrap(), to.parse().unwrap()))
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, body].concat()
    }

    const FOUR: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 4, 87, 0, 80];

    #[test]
    fn lines_are_read() {
        for (text, expected) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\n", ends("192.0.2.1:1111", "192.0.2.2:80")),
            ("PROXY TCP6 2001:db8::1 ::1 65535 0\r\n", ends("[2001:db8::1]:65535", "[::1]:0")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            let bytes = [text, "GET / HTTP/1.1\r\n"].concat();
            assert_eq!(read(bytes.as_bytes()), Header::Whole { length: text.len(), ends: expected }, "{text:?}");
            for cut in 0..text.len() {
                assert_eq!(read(&text.as_bytes()[..cut]), Header::Partial, "{text:?} {cut}");
            }
        }
    }

    #[test]
    fn lines_that_are_none_are_refused() {
        for text in [
            "GET / HTTP/1.1\r\n",
            "POST",
            "PROXY\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1111 80 \r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1111 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1111\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1111 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 80\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 80\r\n",
            "PROXY TCP4 ::1 ::2 1111 80\r\n",
            "PROXY TCP5 192.0.2.1 192.0.2.2 1111 80\r\n",
            "PROXY UNKNOWNS\r\n",
        ] {
            assert!(matches!(read(text.as_bytes()), Header::Bad(_)), "{text:?} {:?}", read(text.as_bytes()));
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(100));
        assert!(matches!(read(long.as_bytes()), Header::Bad(_)));
    }

    #[test]
    fn binary_headers_are_read() {
        let mut six = vec![0; 32];
        (six[15], six[31]) = (1, 2);
        six.extend([4, 87, 0, 80]);
        for (bytes, expected) in [
            (v2(0x21, 0x11, &FOUR), ends("192.0.2.1:1111", "192.0.2.2:80")),
            (v2(0x21, 0x11, &[&FOUR[..], &[4, 0, 1, 9]].concat()), ends("192.0.2.1:1111", "192.0.2.2:80")),
            (v2(0x21, 0x21, &six), ends("[::1]:1111", "[::2]:80")),
            (v2(0x20, 0x00, &[]), None),
            (v2(0x20, 0x11, &FOUR), None),
            (v2(0x21, 0x31, &[0; 216]), None),
        ] {
            let length = bytes.len();
            let more = [&bytes[..], b"GET"].concat();
            assert_eq!(read(&more), Header::Whole { length, ends: expected });
            for cut in 0..length {
                assert_eq!(read(&bytes[..cut]), Header::Partial, "{cut}");
            }
        }
    }

    #[test]
    fn binary_headers_that_are_none_are_refused() {
        for bytes in [
            b"\r\n\r\nGET".to_vec(),
            v2(0x11, 0x11, &FOUR),
            v2(0x22, 0x11, &FOUR),
            v2(0x21, 0x11, &FOUR[..11]),
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x11, &[&FOUR[..], &[4, 0]].concat()),
            v2(0x21, 0x11, &[&FOUR[..], &[4, 0, 2, 9]].concat()),
            v2(0x21, 0x11, &[0; 5000]),
            v2(0x21, 0x11, &[&FOUR[..], &[CRC32C, 0, 4, 1, 2, 3, 4]].concat()),
        ] {
            assert!(matches!(read(&bytes), Header::Bad(_)), "{bytes:?}");
        }
    }

    #[test]
    fn a_right_checksum_is_right() {
        // RFC 3720, appendix B.4: thirty-two zeros.
        assert_eq!(crc32c(&[0; 32], 0..0), 0x8a91_36aa);
        let blank = v2(0x21, 0x11, &[&FOUR[..], &[CRC32C, 0, 4, 0, 0, 0, 0]].concat());
        let sum = crc32c(&blank, 0..0).to_be_bytes();
        let signed = v2(0x21, 0x11, &[&FOUR[..], &[CRC32C, 0, 4], &sum].concat());
        assert!(matches!(read(&signed), Header::Whole { ends: Some(_), .. }));
    }
}
