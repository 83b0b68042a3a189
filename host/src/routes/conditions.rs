//! Conditions of a route on header fields and query parameters; all of them must hold.

use std::borrow::Cow;

use http::header;

use crate::config::{FieldMatch, QueryMatch, Route, Test};
use crate::message::RequestHead;

/// The conditions of one route.
#[derive(Debug)]
pub(super) struct Conditions {
    fields: Vec<FieldMatch>,
    query: Vec<QueryMatch>,
}

impl Conditions {
    pub(super) fn of(route: &Route) -> Self {
        Self { fields: route.fields.clone(), query: route.query.clone() }
    }

    pub(super) fn hold(&self, head: &RequestHead) -> bool {
        self.fields.iter().all(|condition| field_holds(condition, head))
            && self.query.iter().all(|condition| query_holds(condition, head.query().unwrap_or_default()))
    }
}

/// A line that is not UTF-8 is there, but equal to nothing. `Host` is asked of the authority.
fn field_holds(condition: &FieldMatch, head: &RequestHead) -> bool {
    if condition.name == header::HOST {
        return holds(&condition.test, std::iter::once(Cow::Borrowed(head.authority.as_str())));
    }
    let lines = head.fields.lines(&condition.name);
    holds(&condition.test, lines.map(|line| Cow::Borrowed(str::from_utf8(line.as_bytes()).unwrap_or("\u{fffd}"))))
}

fn query_holds(condition: &QueryMatch, query: &str) -> bool {
    let parameters = query.split('&').filter(|parameter| !parameter.is_empty());
    let pairs = parameters.map(|parameter| parameter.split_once('=').unwrap_or((parameter, "")));
    holds(&condition.test, pairs.filter(|(name, _)| decoded(name) == condition.name).map(|(_, value)| decoded(value)))
}

fn holds<'a>(test: &Test, mut values: impl Iterator<Item = Cow<'a, str>>) -> bool {
    match test {
        Test::Present(wanted) => values.next().is_some() == *wanted,
        Test::Equal(text) => values.any(|value| value == text.as_str()),
        Test::Regex(regex) => values.any(|value| regex.is_match(&value)),
    }
}

/// A part of a query as forms encode it: `+` is a space, `%41` is `A`, a broken escape stands for itself.
fn decoded(text: &str) -> Cow<'_, str> {
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
}
