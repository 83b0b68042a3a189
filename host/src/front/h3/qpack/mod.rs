//! Field sections (RFC 9204, section 4.5), read without a dynamic table: this side never allows one.
//!
//! The codec reads them too, but takes fields of a request's line twice, misplaced or beside each other that exclude one
//! another, and knows two of all protocols. So heads are read here, once, and the codec is shown a small one in their place.

mod huffman;
mod table;

use std::borrow::Cow;

/// Not a field section, or one that leans on what was never allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The connection cannot go on (RFC 9204, section 2.2).
    Undecodable,
    /// A string is longer than anybody may send.
    TooLong,
}

/// A line of a section.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    pub(super) name: Cow<'a, [u8]>,
    pub(super) value: Cow<'a, [u8]>,
}

/// The lines of a section, in order. Strings may have so many bytes.
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    most: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn of(section: &'a [u8], most: usize) -> Result<Self, Broken> {
        let mut lines = Self { rest: section, most };
        // Required Insert Count, then Sign and Delta Base, which mean nothing without it.
        let (_, required) = lines.integer(8)?;
        lines.integer(7)?;
        if required == 0 { Ok(lines) } else { Err(Broken::Undecodable) }
    }

    /// The next line; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Line<'a>>, Broken> {
        let Some(first) = self.rest.first() else { return Ok(None) };
        let line = match first >> 4 {
            0b1100..=0b1111 => {
                let (name, value) = self.known(6)?;
                Line { name: Cow::Borrowed(name.as_bytes()), value: Cow::Borrowed(value.as_bytes()) }
            }
            0b0101 | 0b0111 => {
                let (name, _) = self.known(4)?;
                Line { name: Cow::Borrowed(name.as_bytes()), value: self.string(7)? }
            }
            0b0010 | 0b0011 => Line { name: self.string(3)?, value: self.string(7)? },
            // The dynamic table, by one way or the other.
            _ => return Err(Broken::Undecodable),
        };
        Ok(Some(line))
    }

    fn known(&mut self, prefix: u32) -> Result<(&'static str, &'static str), Broken> {
        let (_, index) = self.integer(prefix)?;
        table::field(index).ok_or(Broken::Undecodable)
    }

    /// A string: a bit that says whether it is in Huffman's code stands before its length.
    fn string(&mut self, prefix: u32) -> Result<Cow<'a, [u8]>, Broken> {
        let (flags, length) = self.integer(prefix)?;
        let length = usize::try_from(length).map_err(|_| Broken::Undecodable)?;
        let (string, rest) = self.rest.split_at_checked(length).ok_or(Broken::Undecodable)?;
        self.rest = rest;
        if length > self.most {
            return Err(Broken::TooLong);
        }
        if flags & 1 == 0 {
            return Ok(Cow::Borrowed(string));
        }
        // No code is shorter than five bits.
        let longest = length.saturating_mul(8) / 5;
        let mut decoded = Vec::with_capacity(longest.min(self.most));
        huffman::decode(string, longest, &mut decoded).map_err(|huffman::Undecodable| Broken::Undecodable)?;
        if decoded.len() > self.most { Err(Broken::TooLong) } else { Ok(Cow::Owned(decoded)) }
    }

    /// An integer behind so many bits' prefix (RFC 7541, section 5.1), and the bits before it.
    fn integer(&mut self, prefix: u32) -> Result<(u8, u64), Broken> {
        let mut byte = self.byte()?;
        let most = u8::MAX >> (8 - prefix);
        let (flags, low) = (byte.checked_shr(prefix).unwrap_or(0), byte & most);
        let mut value = u64::from(low);
        if low < most {
            return Ok((flags, value));
        }
        // Nothing here is longer than a QUIC integer: nine bytes are more than enough.
        for shift in (0..63).step_by(7) {
            byte = self.byte()?;
            value += u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((flags, value));
            }
        }
        Err(Broken::Undecodable)
    }

    fn byte(&mut self) -> Result<u8, Broken> {
        let (first, rest) = self.rest.split_first().ok_or(Broken::Undecodable)?;
        self.rest = rest;
        Ok(*first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(section: &[u8]) -> Result<Vec<(String, String)>, Broken> {
        let text = |bytes: Cow<'_, [u8]>| String::from_utf8(bytes.into_owned()).unwrap();
        let mut lines = Lines::of(section, 64)?;
        let mut read = Vec::new();
        while let Some(line) = lines.next()? {
            read.push((text(line.name), text(line.value)));
        }
        Ok(read)
    }

    #[test]
    fn sections_that_need_no_table() {
        let huffman =
            [&[0x00, 0x00, 0x50, 0x8c][..], &[0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff]]
                .concat();
        let longer = [&[0, 0, 0x5f, 0x00, 0x01][..], b"x"].concat();
        for (section, expected) in [
            (&[0, 0][..], &[][..]),
            // RFC 9204, appendix B.1.
            (b"\x00\x00\x51\x0b/index.html", &[(":path", "/index.html")]),
            (&[0, 0, 0xd1, 0xd7, 0xc1], &[(":method", "GET"), (":scheme", "https"), (":path", "/")]),
            (&huffman, &[(":authority", "www.example.com")]),
            (b"\x00\x00\x23abc\x01d", &[("abc", "d")]),
            (b"\x00\x00\x33abc\x01d", &[("abc", "d")]),
            (b"\x00\x00\x71\x01/", &[(":path", "/")]),
            (b"\x00\x00\x27\x01abcdefgh\x00", &[("abcdefgh", "")]),
            (&[0, 0, 0xff, 35], &[("x-frame-options", "sameorigin")]),
            (&longer, &[(":method", "x")]),
            (&[0, 0x80, 0xc1], &[(":path", "/")]),
        ] {
            let expected: Vec<_> =
                expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            assert_eq!(read(section), Ok(expected), "{section:02x?}");
        }
    }

    #[test]
    fn sections_that_are_refused() {
        let long = [&b"\x00\x00\x51\x41"[..], &[b'/'; 65]].concat();
        assert_eq!(read(&long), Err(Broken::TooLong));
        let huffman = [&[0, 0, 0x51, 0x80 | 45][..], &[0; 45]].concat();
        assert_eq!(read(&huffman), Err(Broken::TooLong), "seventy-two zeros");
        for (section, why) in [
            (&[][..], "nothing"),
            (&[0], "half a prefix"),
            (&[1, 0], "a table that was never allowed"),
            (&[0, 0, 0x80], "a line of that table"),
            (&[0, 0, 0x10], "the same, counted from the end"),
            (&[0, 0, 0x00, 0], "the same, with a value"),
            (&[0, 0, 0x41, 0], "a name of that table"),
            (&[0, 0, 0xff, 36], "a known field that is not known"),
            (&[0, 0, 0xff], "half an integer"),
            (&[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], "an integer without an end"),
            (&[0, 0, 0x51, 2, b'/'], "half a value"),
            (&[0, 0, 0x23, b'a'], "half a name"),
            (&[0, 0, 0x51, 0x81, 0xff], "padding of eight bits"),
        ] {
            assert_eq!(read(section), Err(Broken::Undecodable), "{why}");
        }
    }
}
