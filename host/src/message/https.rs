//! What leads clients on: from cleartext to TLS by a redirect, from there to HTTP/3 by `Alt-Svc`.

use http::uri::PathAndQuery;

use super::{Authority, Value};

/// Where who fetches certificates looks (RFC 8555, section 8.3). It is asked for in the clear, before there is a
/// certificate.
const ACME: &str = "/.well-known/acme-challenge/";

/// Whether a target is for whoever gives out certificates, who must be answered in the clear.
#[must_use]
pub fn is_exempt(path: &str) -> bool {
    path.starts_with(ACME)
}

/// The same target under TLS, at another port; `None` when the request did not say whom it asks.
#[must_use]
pub fn location(authority: &Authority, target: &PathAndQuery, port: u16) -> Option<Value> {
    let host = authority.host();
    // `OPTIONS *` asks the server as a whole, which a URL cannot.
    let target = if target.as_str() == "*" { "/" } else { target.as_str() };
    let location = match (host, port) {
        ("", _) => return None,
        (host, 443) => format!("https://{host}{target}"),
        (host, port) => format!("https://{host}:{port}{target}"),
    };
    Value::from_str(&location).ok()
}

/// Says that there is HTTP/3 at a UDP port of the same host (RFC 9114, section 3.1.1), to be remembered for so many seconds.
#[must_use]
pub fn alt_svc(port: u16, seconds: u64) -> Option<Value> {
    Value::from_str(&format!("h3=\":{port}\"; ma={seconds}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::host;

    #[test]
    fn locations_keep_host_and_target_and_change_the_port() {
        for (authority, target, port, expected) in [
            ("shop.example", "/a?b=c", 443, Some("https://shop.example/a?b=c")),
            ("Shop.Example:8080", "/", 443, Some("https://Shop.Example/")),
            ("shop.example:80", "/%2F", 8443, Some("https://shop.example:8443/%2F")),
            ("[2001:db8::1]:80", "/a", 443, Some("https://[2001:db8::1]/a")),
            ("192.0.2.1", "*", 8443, Some("https://192.0.2.1:8443/")),
            ("shop.example", "//evil.example/", 443, Some("https://shop.example//evil.example/")),
        ] {
            let authority = host::parse(authority.as_bytes()).unwrap();
            let location = location(&authority, &target.parse().unwrap(), port);
            assert_eq!(location.as_ref().map(|location| location.to_str().unwrap()), expected);
        }
        assert_eq!(location(&host::absent(), &"/".parse().unwrap(), 443), None);
    }

    #[test]
    fn challenges_are_answered_in_the_clear() {
        for (path, expected) in [
            ("/.well-known/acme-challenge/token", true),
            ("/.well-known/acme-challenge", false),
            ("/.well-known/other/", false),
            ("/x/.well-known/acme-challenge/token", false),
        ] {
            assert_eq!(is_exempt(path), expected, "{path}");
        }
    }

    #[test]
    fn an_advertisement() {
        assert_eq!(alt_svc(8443, 86400).unwrap(), "h3=\":8443\"; ma=86400");
    }
}
