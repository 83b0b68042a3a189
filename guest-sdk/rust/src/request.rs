//! The request as a filter sees it: a few flat values, the wanted fields, and the rest for the asking.

use crate::host;

/// The request that a filter is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(crate) id: u64,
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) target: String,
    pub(crate) client: String,
    pub(crate) wanted: Vec<Option<Vec<u8>>>,
}

impl Request {
    /// The exchange's number, the same in every call for it.
    pub fn id(&self) -> u64 {
        self.id
    }

    pub fn method(&self) -> &str {
        &self.method
    }

    /// `http` or `https`: how the client came.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Host and, when it was given, port: `shop.example:8080`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The authority without its port; an IPv6 address keeps its brackets.
    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }

    /// Path and query as they stand in the request: `/a/b?c=d`.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// The path without percent-encoding, as [`Answer::file`](crate::Answer::file) takes paths; none when that is not
    /// UTF-8. Slashes that were encoded cannot be told from others any more.
    pub fn decoded_path(&self) -> Option<String> {
        decoded(self.path())
    }

    /// The query alone, without its question mark.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// The client's address without port.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// The value of the plan's request field number `index`; several lines are joined with `, `.
    pub fn wanted(&self, index: usize) -> Option<&[u8]> {
        self.wanted.get(index)?.as_deref()
    }

    /// Asks the gateway for a field that the plan did not name; several lines are joined with `, `.
    pub fn header(&self, name: &str) -> Option<Vec<u8>> {
        host::request_header(name)
    }

    /// Every line of a field.
    pub fn header_lines(&self, name: &str) -> Vec<Vec<u8>> {
        host::request_header_lines(name)
    }

    /// Every line of every field, in order, names in lower case.
    pub fn headers(&self) -> Vec<(String, Vec<u8>)> {
        host::request_headers()
    }

    /// A variable: one of the gateway's (`request.id`, `route.name`, ...) or one that a filter set.
    pub fn variable(&self, name: &str) -> Option<String> {
        host::variable(name)
    }
}

fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// RFC 3986, section 2.1. What is no triplet stands for itself.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(nibble(*high) << 4 | nibble(*low));
                rest = after;
            }
            _ => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn nibble(digit: u8) -> u8 {
    if digit.is_ascii_digit() { digit - b'0' } else { digit.to_ascii_lowercase() - b'a' + 10 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_decoded_once() {
        for (path, plain) in [
            ("/a/b", Some("/a/b")),
            ("/a%20%C3%a9+b", Some("/a é+b")),
            ("/%252e", Some("/%2e")),
            ("/a%2Fb", Some("/a/b")),
            ("/%", Some("/%")),
            ("/%4", Some("/%4")),
            ("/%zz%41", Some("/%zzA")),
            ("/%ff", None),
        ] {
            assert_eq!(decoded(path).as_deref(), plain, "{path}");
        }
    }

    #[test]
    fn the_host_is_the_authority_without_its_port() {
        for (authority, host) in [
            ("shop.example", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("shop.example:", "shop.example"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("", ""),
        ] {
            assert_eq!(host_of(authority), host, "{authority}");
        }
    }
}
