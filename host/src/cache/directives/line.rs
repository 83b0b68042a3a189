//! Lines of directives, cut as RFC 9111, section 5.2, has them, and as people write them all the same.
//!
//! Knows no directive by name. One pass over a line, whatever stands in it.

use std::borrow::Cow;

/// What stands behind a directive's `=`.
pub(super) enum Argument<'a> {
    /// No `=`.
    None,
    /// A token, or what a quoted string holds.
    Text(Cow<'a, [u8]>),
    /// Blanks around `=`, or half a quoted string.
    Broken,
}

/// Every directive of a line, its name in lower case.
pub(super) fn each<'a>(line: &'a [u8], mut take: impl FnMut(&str, Argument<'a>)) {
    let mut rest = line;
    let mut quotes = true;
    loop {
        let end = member(rest, &mut quotes);
        let (one, behind) = rest.split_at(end);
        let one = one.trim_ascii();
        let cut = one.iter().position(|&byte| byte == b'=').unwrap_or(one.len());
        let (name, value) = one.split_at(cut);
        if let Ok(name) = str::from_utf8(name.trim_ascii_end()) {
            take(&name.to_ascii_lowercase(), argument(name.len() == cut, value.split_first().map(|(_, value)| value)));
        }
        match behind.split_first() {
            Some((_, behind)) => rest = behind,
            None => return,
        }
    }
}

/// Where the first member ends. Commas in quoted strings do not count; a quote that nobody closes where a string can end
/// is a letter like any other (and so is each that follows, which keeps this one pass).
fn member(text: &[u8], quotes: &mut bool) -> usize {
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b',' => return at,
            b'"' if *quotes => {
                let rest = text.get(at + 1..).unwrap_or_default();
                let length = closing(rest).filter(|length| ends(rest.get(length + 1..).unwrap_or_default()));
                *quotes = length.is_some();
                at += length.map_or(0, |length| length + 2);
            }
            _ => at += 1,
        }
    }
    at
}

/// Whether a member can end here.
fn ends(text: &[u8]) -> bool {
    let next = text.iter().find(|byte| !matches!(byte, b' ' | b'\t'));
    next.is_none_or(|&byte| byte == b',')
}

/// How far off the quote is that ends a string.
fn closing(text: &[u8]) -> Option<usize> {
    let mut is_escaped = false;
    text.iter().position(|&byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}

fn argument(is_tight: bool, value: Option<&[u8]>) -> Argument<'_> {
    match value {
        None => Argument::None,
        Some(value) if !is_tight || value.first().is_some_and(u8::is_ascii_whitespace) => Argument::Broken,
        Some([b'"', text @ ..]) => match closing(text) {
            Some(length) if length + 1 == text.len() => {
                Argument::Text(unescaped(text.get(..length).unwrap_or_default()))
            }
            _ => Argument::Broken,
        },
        Some(value) if value.contains(&b'"') => Argument::Broken,
        Some(value) => Argument::Text(Cow::Borrowed(value)),
    }
}

fn unescaped(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        out.extend(if byte == b'\\' { bytes.next().copied() } else { Some(byte) });
    }
    Cow::Owned(out)
}
