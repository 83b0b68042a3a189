//! Values that others chose, made harmless inside a line of a log.
//!
//! Whatever the bytes are, the result holds no line break, no control byte and no quote that would end the value.

/// Appends bytes as Apache does in its logs: printable ASCII as it is, `"` and `\` after a backslash, the rest as C
/// escapes or `\xhh`.
pub(super) fn text(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0x20..=0x7e => out.push(byte),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0b => out.extend_from_slice(b"\\v"),
            _ => out.extend_from_slice(&[b'\\', b'x', hex(byte >> 4), hex(byte)]),
        }
    }
}

/// Appends bytes as a JSON string with its quotes (RFC 8259, section 7). What is not UTF-8 reads U+FFFD.
pub(super) fn json(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        json_str(chunk.valid(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn json_str(text: &str, out: &mut Vec<u8>) {
    for &byte in text.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 | 0x7f => out.extend_from_slice(&[b'\\', b'u', b'0', b'0', hex(byte >> 4), hex(byte)]),
            _ => out.push(byte),
        }
    }
}

const fn hex(nibble: u8) -> u8 {
    match nibble & 0xf {
        digit @ 0..=9 => b'0' + digit,
        letter => b'a' + letter - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_as_apache_writes_it() {
        for (bytes, expected) in [
            (&b"plain/1.0 (x; y)"[..], "plain/1.0 (x; y)"),
            (b"say \"hi\"", r#"say \"hi\""#),
            (b"back\\slash", r"back\\slash"),
            (b"a\r\nb\tc\x08\x0b", r"a\r\nb\tc\b\v"),
            (b"\x00\x1b[31m\x7f", r"\x00\x1b[31m\x7f"),
            ("caf\u{e9}".as_bytes(), r"caf\xc3\xa9"),
            (b"\xff\xfe", r"\xff\xfe"),
        ] {
            let mut out = Vec::new();
            text(bytes, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn json_is_what_a_parser_reads_back() {
        for (bytes, expected) in [
            (&b"plain"[..], "plain"),
            (b"\"\\\r\n\t\x08\x00\x1f\x7f", "\"\\\r\n\t\u{8}\0\u{1f}\u{7f}"),
            ("caf\u{e9} \u{1f980}".as_bytes(), "caf\u{e9} \u{1f980}"),
            (b"a\xffb\xc3", "a\u{fffd}b\u{fffd}"),
            (b"", ""),
        ] {
            let mut out = Vec::new();
            json(bytes, &mut out);
            assert!(out.iter().all(|byte| *byte >= 0x20 && *byte != 0x7f), "{out:?}");
            assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), expected);
        }
    }

    #[test]
    fn no_byte_breaks_out() {
        let every: Vec<u8> = (0..=255).collect();
        let mut out = Vec::new();
        text(&every, &mut out);
        assert!(out.iter().all(|byte| (0x20..=0x7e).contains(byte)));
        assert_eq!(out.iter().filter(|byte| **byte == b'"').count(), 1);
        let mut out = Vec::new();
        json(&every, &mut out);
        assert!(serde_json::from_slice::<String>(&out).is_ok());
    }
}
