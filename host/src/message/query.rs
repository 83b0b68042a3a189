//! Queries as forms write them (`application/x-www-form-urlencoded`): parameters in order, names and values decoded.

use std::borrow::Cow;

/// The values of a parameter, in order; a parameter without `=` has an empty one.
pub fn values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    parameters(query).filter(move |(written, _)| decoded(written) == name).map(|(_, value)| decoded(value))
}

/// All parameters, in order; one without `=` has an empty value.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    parameters(query).map(|(name, value)| (decoded(name), decoded(value)))
}

fn parameters(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")))
}

/// A part of a query as forms encode it: `+` is a space, `%41` is `A`, a broken escape stands for itself.
#[must_use]
pub fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        match (byte, behind) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                out.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => out.push(byte),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

const fn digit(hex: u8) -> u8 {
    match hex {
        b'0'..=b'9' => hex - b'0',
        _ => (hex | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_parts_are_decoded() {
        for (text, expected) in
            [("a", "a"), ("a+b%20c", "a b c"), ("%c3%A9", "\u{e9}"), ("%zz%4", "%zz%4"), ("%ff", "\u{fffd}")]
        {
            assert_eq!(decoded(text), expected);
        }
    }

    #[test]
    fn values_of_a_parameter() {
        let cases: &[(&str, &[&str])] = &[
            ("", &[]),
            ("b=1", &[]),
            ("a", &[""]),
            ("a=1&b=2&a=%33&&a=x=y", &["1", "3", "x=y"]),
            ("%61=1&A=2", &["1"]),
        ];
        for (query, expected) in cases {
            assert_eq!(values(query, "a").collect::<Vec<_>>(), *expected, "{query}");
        }
        let all: Vec<_> = pairs("a=1&b&%63=d%20e&=").collect();
        let expected = [("a", "1"), ("b", ""), ("c", "d e"), ("", "")];
        assert_eq!(all, expected.map(|(name, value)| (name.into(), value.into())));
    }
}
