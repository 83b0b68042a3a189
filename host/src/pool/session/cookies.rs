//! The `Cookie` and `Set-Cookie` fields, read as leniently as browsers write them and no further (RFC 6265, sections 4.2.1
//! and 5.2).
//!
//! Names are compared with their case. One pass over the text, nothing kept: thousands of cookies cost what their bytes do.

use crate::message::{Fields, Value, name};

/// The values of a request's cookies of a name, in order, over all lines (HTTP/2 may split them: RFC 9113, section 8.2.3).
pub(in crate::pool) fn values<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = fields.lines(name::COOKIE).flat_map(|line| pairs(line.as_bytes()));
    pairs.filter_map(move |pair| value_of(pair, name))
}

/// The values that an answer sets for a cookie, in order.
pub(super) fn set<'a>(fields: &'a Fields, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let lines = fields.lines(name::SET_COOKIE).filter_map(|line| pairs(line.as_bytes()).next());
    lines.filter_map(move |pair| value_of(pair, name))
}

/// Takes every cookie of a name out of a request; the others stay as they were written, in their lines.
pub(super) fn remove(fields: &mut Fields, name: &str) {
    if values(fields, name).next().is_none() {
        return;
    }
    let is_other = |pair: &&[u8]| !pair.is_empty() && value_of(pair, name).is_none();
    let lines = fields.lines(name::COOKIE).map(|line| pairs(line.as_bytes()).filter(is_other).collect::<Vec<_>>());
    // What is left of a valid value is valid.
    let left: Vec<Value> = lines
        .filter(|pairs| !pairs.is_empty())
        .filter_map(|pairs| Value::from_bytes(&pairs.join(&b"; "[..])).ok())
        .collect();
    fields.remove(name::COOKIE);
    for line in left {
        fields.append(name::COOKIE, line);
    }
}

fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b';').map(<[u8]>::trim_ascii)
}

/// The value of a pair, if it has this name, without the quotes that some write around it.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = pair.iter().position(|&byte| byte == b'=')?;
    let (written, value) = (pair.get(..equals)?.trim_ascii(), pair.get(equals + 1..)?.trim_ascii());
    if written != name.as_bytes() {
        return None;
    }
    Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
}
