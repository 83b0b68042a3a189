//! The key that a request is hashed by.

use std::net::IpAddr;

use super::session::cookies;
use crate::balance::hash;
use crate::config::HashKey;
use crate::message::{Fields, Name, RequestHead, host, name, query};

/// The hash of a request's key. `None` when the request does not carry it, or carries it empty: those without a key must
/// not all meet at the one member that the hash of nothing belongs to.
#[must_use]
pub(super) fn key(plan: &HashKey, request: &RequestHead, client: Option<IpAddr>) -> Option<u64> {
    match plan {
        HashKey::Client => client.map(address),
        // `Host` is not among the fields; it is asked of the authority, in the spelling that hosts are compared in.
        HashKey::Field(name) if *name == name::HOST => present(host::key(request.authority.host()).as_bytes()),
        HashKey::Field(name) => field(&request.fields, name),
        HashKey::Cookie(name) => cookies::values(&request.fields, name).find_map(present),
        HashKey::Query(name) => {
            query::values(request.query().unwrap_or_default(), name).find_map(|value| present(value.as_bytes()))
        }
        HashKey::Path => present(request.path().as_bytes()),
        HashKey::Uri => present(request.target().as_str().as_bytes()),
    }
}

fn present(bytes: &[u8]) -> Option<u64> {
    (!bytes.is_empty()).then(|| hash(bytes))
}

/// Lines are joined, as they mean the same joined (RFC 9110, section 5.3).
fn field(fields: &Fields, name: &Name) -> Option<u64> {
    let mut lines = fields.lines(name);
    let first = lines.next()?;
    match lines.next() {
        None => present(first.as_bytes()),
        Some(_) => present(&fields.joined(name)?),
    }
}

/// An IPv4 address written as an IPv6 one is the same client.
fn address(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => hash(&address.octets()),
        IpAddr::V6(address) => hash(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Method, Scheme, Value};

    fn request(target: &str, lines: &[(&'static str, &'static str)]) -> RequestHead {
        let authority = host::parse(b"Shop.Example:8080").unwrap();
        let mut request = RequestHead::of(Method::GET, Scheme::Http, authority, target.parse().unwrap());
        for (name, value) in lines {
            request.fields.append(Name::from_static(name), Value::from_static(value));
        }
        request
    }

    /// What is hashed, target and fields of a request, and the key.
    type Case<'a> = (HashKey, &'a str, &'a [(&'static str, &'static str)], Option<&'a [u8]>);

    #[test]
    fn keys() {
        let cookie = || HashKey::Cookie("Sid".into());
        let field = |name| HashKey::Field(Name::from_static(name));
        let cases: &[Case<'_>] = &[
            (HashKey::Path, "/a/b?c=d", &[], Some(b"/a/b")),
            (HashKey::Uri, "/a/b?c=d", &[], Some(b"/a/b?c=d")),
            (HashKey::Query("c".into()), "/a?b=1&c=%41+%42&c=2", &[], Some(b"A B")),
            (HashKey::Query("c".into()), "/a?c=&c=2", &[], Some(b"2")),
            (HashKey::Query("c".into()), "/a?C=1&c=", &[], None),
            (HashKey::Query("c".into()), "/a", &[], None),
            (field("x-user"), "/", &[("x-user", "ann")], Some(b"ann")),
            (field("x-user"), "/", &[("x-user", "ann"), ("x-user", "bob")], Some(b"ann, bob")),
            (field("x-user"), "/", &[("x-user", "")], None),
            (field("x-user"), "/", &[], None),
            (field("host"), "/", &[], Some(b"shop.example")),
            (cookie(), "/", &[("cookie", "sid=1; Sid=2")], Some(b"2")),
            (cookie(), "/", &[("cookie", "a=1"), ("cookie", "Sid=\"3\"")], Some(b"3")),
            (cookie(), "/", &[("cookie", "Sid; sid=1;;=; Sid=")], None),
        ];
        for (plan, target, lines, expected) in cases {
            assert_eq!(key(plan, &request(target, lines), None), expected.map(hash), "{plan:?} {target} {lines:?}");
        }
    }

    #[test]
    fn clients() {
        let of = |address: &str| key(&HashKey::Client, &request("/", &[]), Some(address.parse().unwrap()));
        assert_eq!(of("192.0.2.1"), Some(hash(&[192, 0, 2, 1])));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8::2"));
        assert_eq!(key(&HashKey::Client, &request("/", &[]), None), None);
    }
}
