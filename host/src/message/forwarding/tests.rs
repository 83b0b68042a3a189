//! Who is believed, what goes upstream and what goes to the client.

use super::*;
use crate::message::Method;
use crate::message::fields::tests::fields;
use crate::message::secured::tests::secured;

fn upstream(lines: &[(&'static str, &'static str)], peer: Peer, forwarded: bool) -> Fields {
    let authority = host::parse(b"shop.example:8080").unwrap();
    let mut head = RequestHead::of(Method::GET, Scheme::Http, authority, "/".parse().unwrap());
    head.fields = fields(lines);
    to_upstream(&mut head, Inward { forwarded, ..inward(&peer) });
    head.fields
}

fn inward(peer: &Peer) -> Inward<'_> {
    Inward { peer, request_id: "id-1", forwarded: false, certificate: None, is_early: false }
}

fn peer(address: &str, trusted: bool) -> Peer {
    Peer::of(address.parse().ok(), trusted)
}

fn line(fields: &Fields, name: &str) -> String {
    fields.joined(name).map(|value| String::from_utf8(value).unwrap()).unwrap_or_default()
}

const CLAIMS: &[(&str, &str)] = &[
    ("x-forwarded-for", "9.9.9.9"),
    ("x-forwarded-for", "8.8.8.8"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "real.example"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-user", "root"),
    ("x_forwarded_for", "7.7.7.7"),
    ("x-real-ip", "9.9.9.9"),
    ("forwarded", "for=9.9.9.9"),
    ("via", "1.1 before"),
];

#[test]
fn strangers_claims_are_overwritten() {
    let fields = upstream(CLAIMS, peer("::ffff:1.2.3.4", false), false);
    assert_eq!(line(&fields, "x-forwarded-for"), "1.2.3.4");
    assert_eq!(line(&fields, "x-forwarded-proto"), "http");
    assert_eq!(line(&fields, "x-forwarded-host"), "shop.example:8080");
    assert_eq!(line(&fields, "x-forwarded-port"), "8080");
    assert_eq!(line(&fields, "via"), "1.1 before, 1.1 weir");
    assert_eq!(line(&fields, "x-request-id"), "id-1");
    for gone in ["x-forwarded-user", "x_forwarded_for", "x-real-ip", "forwarded"] {
        assert!(!fields.contains(gone), "{gone}");
    }
}

#[test]
fn trusted_claims_are_kept_and_continued() {
    let fields = upstream(CLAIMS, peer("10.0.0.1", true), true);
    assert_eq!(line(&fields, "x-forwarded-for"), "9.9.9.9, 8.8.8.8, 10.0.0.1");
    assert_eq!(line(&fields, "x-forwarded-proto"), "https");
    assert_eq!(line(&fields, "x-forwarded-host"), "real.example");
    assert_eq!(line(&fields, "x-forwarded-port"), "443");
    assert_eq!(line(&fields, "forwarded"), "for=9.9.9.9, for=10.0.0.1;host=\"shop.example:8080\";proto=https");
    let odd = [("x-forwarded-proto", "gopher"), ("x-forwarded-host", "a b"), ("x-forwarded-port", "x")];
    let fields = upstream(&odd, peer("10.0.0.1", true), false);
    assert_eq!(line(&fields, "x-forwarded-proto"), "http");
    assert_eq!(line(&fields, "x-forwarded-host"), "shop.example:8080");
    assert_eq!(line(&fields, "x-forwarded-port"), "8080");
}

#[test]
fn forwarded_quotes_what_needs_it() {
    let sent = |address| line(&upstream(&[], peer(address, false), true), "forwarded");
    assert_eq!(sent("2001:db8::1"), "for=\"[2001:db8::1]\";host=\"shop.example:8080\";proto=http");
    assert_eq!(sent("unix"), "for=unknown;host=\"shop.example:8080\";proto=http");
    assert!(!upstream(&[], peer("unix", false), false).contains("x-forwarded-for"));
}

#[test]
fn the_client_is_found_behind_trusted_proxies() {
    let trusted = |address: IpAddr| address.to_string().starts_with("10.");
    for (name, list, found) in [
        ("x-forwarded-for", "1.1.1.1", "1.1.1.1"),
        ("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
        ("x-forwarded-for", "6.6.6.6, nonsense, 10.0.0.2", "10.0.0.2"),
        ("x-forwarded-for", "10.0.0.3,10.0.0.2", "10.0.0.3"),
        ("x-forwarded-for", "1.1.1.1:4711", "1.1.1.1"),
        ("x-forwarded-for", "[2001:db8::1]:5", "2001:db8::1"),
        ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
        ("x-forwarded-for", "", "10.0.0.1"),
        ("forwarded", "for=6.6.6.6, FOR=\"[2001:db8::1]:5\";proto=http", "2001:db8::1"),
        ("forwarded", "for=\"a,b\", for=unknown", "10.0.0.1"),
        ("accept", "1.1.1.1", "10.0.0.1"),
    ] {
        let fields = fields(&[(name, list)]);
        assert_eq!(client("10.0.0.1".parse().unwrap(), &fields, trusted).to_string(), found, "{name}: {list}");
        assert_eq!(client("3.3.3.3".parse().unwrap(), &fields, trusted).to_string(), "3.3.3.3");
    }
}

#[test]
fn request_ids_are_taken_from_the_trusted_when_sane() {
    let long: &'static str = Box::leak("x".repeat(129).into_boxed_str());
    for (id, sane) in [("a-1", true), ("", false), ("a b", false), (long, false), ("\u{e9}", false)] {
        let mut fields = Fields::default();
        fields.set(REQUEST_ID, Value::from_bytes(id.as_bytes()).unwrap());
        assert_eq!(request_id(&fields, true), sane.then_some(id));
        assert_eq!(request_id(&fields, false), None);
    }
    assert_eq!(request_id(&fields(&[("x-request-id", "a"), ("x-request-id", "b")]), true), None);
}

#[test]
fn responses() {
    let date = || Value::from_static("Thu, 01 Jan 1970 00:00:00 GMT");
    let via = Some(Version::HTTP_11);
    let outward = Outward { preserve_server: false, via, date, hsts: None, alt_svc: None };
    let mut response = fields(&[("server", "origin/1")]);
    to_client(&mut response, outward);
    assert_eq!((line(&response, "server"), line(&response, "via")), ("weir".to_owned(), "1.1 weir".to_owned()));
    assert_eq!(line(&response, "date"), "Thu, 01 Jan 1970 00:00:00 GMT");
    let mut response = fields(&[("server", "origin/1"), ("date", "x")]);
    to_client(&mut response, Outward { preserve_server: true, via: None, ..outward });
    assert_eq!((line(&response, "server"), line(&response, "date")), ("origin/1".to_owned(), "x".to_owned()));
    assert!(!response.contains("via"));
}
#[test]
fn a_certificate_is_what_the_connection_showed() {
    let claims = [("client-cert", ":AAA=:"), ("client_cert_chain", ":AAA=:"), ("client-certificate", "x")];
    for trusted in [false, true] {
        let peer = peer("10.0.0.1", trusted);
        let sent = upstream(&claims, peer.clone(), false);
        assert!(!sent.contains("client-cert") && !sent.contains("client_cert_chain"));
        assert!(sent.contains("client-certificate"));
        let known = secured(true).client.unwrap();
        let mut head = RequestHead::of(Method::GET, Scheme::Https, host::absent(), "/".parse().unwrap());
        head.fields = fields(&claims);
        to_upstream(&mut head, Inward { certificate: Some(&known), ..inward(&peer) });
        assert_eq!(line(&head.fields, "client-cert"), ":AQI=:");
        assert_eq!(line(&head.fields, "client-cert-chain"), ":AwQ=:");
        assert_eq!(line(&head.fields, "x-forwarded-proto"), "https");
        assert_eq!(line(&head.fields, "x-forwarded-port"), "443");
    }
}

#[test]
fn early_data_is_said_and_what_was_said_stays() {
    for (said, is_early, sent) in [(false, false, ""), (true, false, "1"), (false, true, "1"), (true, true, "1")] {
        let mut head = RequestHead::of(Method::GET, Scheme::Https, host::absent(), "/".parse().unwrap());
        head.fields = fields(if said { &[("early-data", "1")] } else { &[] });
        to_upstream(&mut head, Inward { is_early, ..inward(&peer("1.2.3.4", false)) });
        assert_eq!(line(&head.fields, "early-data"), sent);
    }
}

#[test]
fn what_the_upstream_says_of_tls_and_of_http_3_goes_first() {
    let value = || Value::from_static("x");
    let ours = Value::from_static("ours");
    let outward = Outward { preserve_server: false, via: None, date: value, hsts: Some(&ours), alt_svc: Some(&ours) };
    for (name, said) in [("strict-transport-security", "max-age=1"), ("alt-svc", "clear")] {
        let mut response = fields(&[(name, said)]);
        to_client(&mut response, outward);
        assert_eq!(line(&response, name), said);
        let mut response = fields(&[]);
        to_client(&mut response, outward);
        assert_eq!(line(&response, name), "ours");
    }
}
