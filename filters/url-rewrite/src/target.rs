//! What a target may look like, and how what is not that becomes it.

/// Adds what came from outside: in the path it cannot begin a query, in the query it stays one value.
pub(crate) fn push_outside(out: &mut Vec<u8>, piece: &[u8]) {
    let in_query = out.contains(&b'?');
    for byte in piece {
        let parts = if in_query { b"&=+;#".as_slice() } else { b"?#".as_slice() };
        if parts.contains(byte) { push_encoded(out, *byte) } else { out.push(*byte) }
    }
}

/// A path with query: begins with one `/`, has no dot segments, and nothing that would need encoding.
pub(crate) fn valid(text: &[u8]) -> String {
    let text = text.split(|byte| *byte == b'#').next().unwrap_or_default();
    let at = text.iter().position(|byte| *byte == b'?').unwrap_or(text.len());
    let (path, query) = text.split_at(at);
    let mut out = Vec::with_capacity(text.len() + 1);
    out.push(b'/');
    let leading = path.iter().take_while(|byte| **byte == b'/').count();
    encode(&mut out, path.get(leading..).unwrap_or_default(), b"/:@");
    if has_dot_segments(&out) {
        out = without_dot_segments(&out);
    }
    encode(&mut out, query, b"/:@?");
    ascii(out)
}

/// The value of `Location`: an absolute URL as the rule has it, or a path that names no other server.
pub(crate) fn location(text: &[u8], absolute: bool) -> Vec<u8> {
    let at = text.iter().position(|byte| *byte == b'#').unwrap_or(text.len());
    let (before, fragment) = text.split_at(at);
    let mut out = if absolute {
        let mut out = Vec::with_capacity(before.len());
        encode(&mut out, before, b"/:@?[]");
        out
    } else {
        valid(before).into_bytes()
    };
    if let Some((_, fragment)) = fragment.split_first() {
        out.push(b'#');
        encode(&mut out, fragment, b"/:@?");
    }
    out
}

/// RFC 3986, section 3.3: unreserved, sub-delims and what the component allows besides.
fn encode(out: &mut Vec<u8>, text: &[u8], besides: &[u8]) {
    for (index, byte) in text.iter().enumerate() {
        let hex = |at: usize| text.get(index + at).is_some_and(u8::is_ascii_hexdigit);
        let fine = byte.is_ascii_alphanumeric()
            || b"-._~!$&'()*+,;=".contains(byte)
            || besides.contains(byte)
            || (*byte == b'%' && hex(1) && hex(2));
        if fine { out.push(*byte) } else { push_encoded(out, *byte) }
    }
}

fn push_encoded(out: &mut Vec<u8>, byte: u8) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    out.push(b'%');
    out.push(DIGITS[usize::from(byte >> 4)]);
    out.push(DIGITS[usize::from(byte & 15)]);
}

fn has_dot_segments(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(is_dots)
}

/// RFC 3986, section 5.2.4. An encoded dot is a dot.
fn without_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut ends_open = false;
    for segment in path.split(|byte| *byte == b'/').skip(1) {
        ends_open = is_dots(segment);
        if !ends_open {
            kept.push(segment);
        } else if dots(segment) == Some(2) {
            kept.pop();
        }
    }
    let mut out = Vec::with_capacity(path.len());
    for segment in kept {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    if ends_open || out.is_empty() {
        out.push(b'/');
    }
    // What went away may have left an empty segment at the beginning: `//host` would name a server.
    let leading = out.iter().take_while(|byte| **byte == b'/').count();
    out.drain(..leading.saturating_sub(1));
    out
}

fn is_dots(segment: &[u8]) -> bool {
    matches!(dots(segment), Some(1 | 2))
}

/// How many dots a segment of nothing but dots has.
fn dots(segment: &[u8]) -> Option<usize> {
    let mut rest = segment;
    let mut count = 0;
    while let Some((first, after)) = rest.split_first() {
        rest = match (first, after) {
            (b'.', _) => after,
            (b'%', [b'2', b'e' | b'E', after @ ..]) => after,
            _ => return None,
        };
        count += 1;
    }
    Some(count)
}

/// Everything else was encoded.
fn ascii(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("only ASCII is pushed without encoding")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_valid() {
        for (text, target) in [
            ("/a/b?c=d", "/a/b?c=d"),
            ("", "/"),
            ("a", "/a"),
            ("//evil.example/x", "/evil.example/x"),
            ("/a b\"<>\\^`{|}\u{e9}\n\0", "/a%20b%22%3C%3E%5C%5E%60%7B%7C%7D%C3%A9%0A%00"),
            ("/a%20b%zz%4", "/a%20b%25zz%254"),
            ("/a?b?c/d:e@f g", "/a?b?c/d:e@f%20g"),
            ("/a#b?c", "/a"),
            ("/a/../b", "/b"),
            ("/a/./b/%2E%2e/c/.", "/a/c/"),
            ("/../../x", "/x"),
            ("/a/..", "/"),
            ("/..//evil", "/evil"),
            ("/a/...", "/a/..."),
            ("?x", "/?x"),
            ("/a/..?x=/../", "/?x=/../"),
        ] {
            assert_eq!(valid(text.as_bytes()), target, "{text:?}");
        }
    }

    #[test]
    fn locations_keep_their_fragment() {
        assert_eq!(location(b"https://[::1]:8/a b?c#d e", true), b"https://[::1]:8/a%20b?c#d%20e");
        assert_eq!(location(b"//evil#f", false), b"/evil#f");
        assert_eq!(location(b"/a\r\nset-cookie: x", false), b"/a%0D%0Aset-cookie:%20x");
    }
}
