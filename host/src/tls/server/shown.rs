//! What a client's certificate says, for logs, filters and upstreams.
//!
//! The certificate was found good before, but what stands in it is as hostile as whoever vouched for it lets it be: every
//! text here is ASCII of bounded length without control characters. A part that cannot be read is empty.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::distinguished;
use crate::message::{ClientCertificate, Value};

/// Certificates that hold for more names than this belong to nobody; what is beyond is left out.
const MOST_NAMES: usize = 100;

/// No name of DNS or mailbox is longer; SPIFFE allows its URIs no more than this either.
const LONGEST_NAME: usize = 2048;

/// What the first certificate of a chain says, and how the chain is passed on.
pub(super) fn read(chain: &[CertificateDer<'_>]) -> Option<ClientCertificate> {
    let (first, others) = chain.split_first()?;
    let parsed = parse_x509_certificate(first).ok().map(|(_, certificate)| certificate);
    let part = |read: fn(&X509Certificate<'_>) -> String| parsed.as_ref().map(read).unwrap_or_default();
    Some(ClientCertificate {
        field: value(&item(first))?,
        chain_field: list(others).and_then(|list| value(&list)),
        sha256: digits(&Sha256::digest(first)),
        subject: part(|certificate| distinguished::text(certificate.subject().as_raw())),
        issuer: part(|certificate| distinguished::text(certificate.issuer().as_raw())),
        serial: part(|certificate| serial(certificate.raw_serial())),
        not_after: part(not_after),
        names: parsed.as_ref().map(names).unwrap_or_default(),
    })
}

/// Whether a certificate's time is over, or cannot be read.
pub(super) fn has_ended(certificate: &CertificateDer<'_>, now: SystemTime) -> bool {
    let now = now.duration_since(UNIX_EPOCH).ok().and_then(|since| i64::try_from(since.as_secs()).ok());
    let ends = parse_x509_certificate(certificate).ok().map(|(_, parsed)| parsed.validity().not_after.timestamp());
    ends.zip(now).is_none_or(|(ends, now)| ends < now)
}

/// The DNS names that a certificate is for.
pub(super) fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let parsed = parse_x509_certificate(certificate).ok().map(|(_, certificate)| certificate);
    let extension = parsed.as_ref().and_then(|certificate| certificate.subject_alternative_name().ok().flatten());
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    names.filter(|name| matches!(name, GeneralName::DNSName(_))).filter_map(name).collect()
}

/// A byte sequence of RFC 8941 (section 3.3.5), which is what RFC 9440 (section 2.1) makes of a certificate.
fn item(certificate: &[u8]) -> String {
    format!(":{}:", base64(certificate))
}

fn list(certificates: &[CertificateDer<'_>]) -> Option<String> {
    let items: Vec<String> = certificates.iter().map(|certificate| item(certificate)).collect();
    (!items.is_empty()).then(|| items.join(", "))
}

fn value(text: &str) -> Option<Value> {
    Value::from_str(text).ok()
}

fn serial(bytes: &[u8]) -> String {
    // RFC 5280, section 4.1.2.2, allows 20 octets.
    let significant = bytes.iter().position(|byte| *byte != 0).and_then(|first| bytes.get(first..));
    let significant = significant.unwrap_or(&[0]);
    digits(significant.get(..64).unwrap_or(significant)).to_ascii_uppercase()
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn not_after(certificate: &X509Certificate<'_>) -> String {
    let ends = OffsetDateTime::from_unix_timestamp(certificate.validity().not_after.timestamp());
    ends.ok().and_then(|ends| ends.format(&Rfc3339).ok()).unwrap_or_default()
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().ok().flatten();
    let names = extension.iter().flat_map(|extension| &extension.value.general_names);
    names.filter_map(name).take(MOST_NAMES).collect()
}

/// A name of which the form says what it is, so that none of one kind can pass for one of another.
fn name(name: &GeneralName<'_>) -> Option<String> {
    let is_address = |text: &str| text.parse::<IpAddr>().is_ok();
    let text = match name {
        GeneralName::DNSName(name) if name.bytes().all(is_of_dns) && !is_address(name) => (*name).to_owned(),
        GeneralName::RFC822Name(name) if name.contains('@') && !name.contains(':') => (*name).to_owned(),
        GeneralName::URI(name) if name.contains(':') && !is_address(name) => (*name).to_owned(),
        GeneralName::IPAddress(octets) => address(octets)?.to_string(),
        _ => return None,
    };
    // Lists of names are written with commas and spaces.
    let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !b",\"\\".contains(&byte));
    (is_plain && (1..=LONGEST_NAME).contains(&text.len())).then_some(text)
}

fn is_of_dns(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._*".contains(&byte)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    four.ok().or_else(|| <[u8; 16]>::try_from(octets).map(IpAddr::from).ok())
}

/// RFC 4648, section 4, with padding.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let held = chunk.iter().chain([0; 2].iter()).take(3).fold(0_usize, |held, byte| held << 8 | usize::from(*byte));
        for place in 0..4 {
            let letter = ALPHABET.get(held >> (18 - 6 * place) & 63).copied().unwrap_or(b'=');
            text.push(if place > chunk.len() { '=' } else { char::from(letter) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_what_the_rfc_says() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn names_say_by_their_form_what_they_are() {
        let long = "a".repeat(LONGEST_NAME + 1);
        for (name, expected) in [
            (GeneralName::DNSName("*.a_1.example"), Some("*.a_1.example")),
            (GeneralName::DNSName("anna@a.example"), None),
            (GeneralName::DNSName("10.0.0.1"), None),
            (GeneralName::DNSName("a.example,b.example"), None),
            (GeneralName::DNSName("a\r\nb"), None),
            (GeneralName::DNSName(""), None),
            (GeneralName::DNSName(&long), None),
            (GeneralName::RFC822Name("anna@a.example"), Some("anna@a.example")),
            (GeneralName::RFC822Name("a.example"), None),
            (GeneralName::RFC822Name("spiffe:anna@a.example"), None),
            (GeneralName::RFC822Name("an na@a.example"), None),
            (GeneralName::URI("spiffe://a.example/anna"), Some("spiffe://a.example/anna")),
            (GeneralName::URI("a.example"), None),
            (GeneralName::URI("fe80::1"), None),
            (GeneralName::URI("urn:\u{e4}"), None),
            (GeneralName::IPAddress(&[10, 0, 0, 1]), Some("10.0.0.1")),
            (GeneralName::IPAddress(&[10, 0, 0]), None),
            (GeneralName::IPAddress(&[0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), Some("fe80::1")),
        ] {
            assert_eq!(super::name(&name).as_deref(), expected, "{name:?}");
        }
    }

    #[test]
    fn serials_are_hexadecimal() {
        for (bytes, text) in [(&[0, 0xab, 1][..], "AB01"), (&[0], "00"), (&[], "00"), (&[1], "01")] {
            assert_eq!(serial(bytes), text);
        }
    }

    #[test]
    fn what_cannot_be_read_is_still_passed_on() {
        let chain =
            [CertificateDer::from_slice(b"no"), CertificateDer::from_slice(b"a"), CertificateDer::from_slice(b"b")];
        let read = read(&chain).unwrap();
        assert_eq!(
            (read.field, read.chain_field.unwrap()),
            (value(":bm8=:").unwrap(), value(":YQ==:, :Yg==:").unwrap())
        );
        assert_eq!((&*read.subject, &*read.serial, &*read.not_after, read.names.len()), ("", "", "", 0));
        assert_eq!(read.sha256, "9390298f3fb0c5b160498935d79cb139aef28e1c47358b4bbba61862b9c26e59");
        assert!(has_ended(&chain[0], UNIX_EPOCH) && super::read(&[]).is_none());
    }
}
