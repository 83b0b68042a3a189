//! OCSP responses from files, to be stapled (RFC 6066, section 8; RFC 6960). Read as far as it takes not to staple what would do harm: a
//! response about another certificate, one that says that the certificate does not hold, one that is over.
//!
//! Its signature is for clients to check.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use super::der::{self, Elements};

/// A response that can be stapled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staple {
    pub(super) der: Vec<u8>,
    /// When there is newer information; none when there always is.
    pub(super) ends: Option<SystemTime>,
}

/// A response about a certificate.
///
/// # Errors
/// Why it is not to be stapled.
pub(super) fn read(response: &[u8], certificate: &[u8], now: SystemTime) -> Result<Staple, String> {
    let (_, certificate) =
        parse_x509_certificate(certificate).map_err(|_| "its certificate cannot be read".to_owned())?;
    let answers = answers(response).ok_or("it is not an OCSP response (DER)")?;
    let about = answers.filter_map(|answer| single(answer.content)).find(|one| one.serial == certificate.raw_serial());
    let single = about.ok_or("it is about another certificate")?;
    if !single.is_good {
        return Err("it does not say that the certificate is good".to_owned());
    }
    if single.ends.is_some_and(|ends| ends <= now) {
        return Err("its time is over".to_owned());
    }
    Ok(Staple { der: response.to_vec(), ends: single.ends })
}

/// What a response says of one certificate.
struct Single<'a> {
    serial: &'a [u8],
    is_good: bool,
    ends: Option<SystemTime>,
}

/// `SingleResponse`s of a successful basic response (RFC 6960, section 4.2.1).
fn answers(response: &[u8]) -> Option<Elements<'_>> {
    let mut response = Elements(Elements(response).expect(der::SEQUENCE)?);
    let is_successful = response.expect(der::ENUMERATED)? == [0];
    let mut bytes = Elements(Elements(response.expect(EXPLICIT_0)?).expect(der::SEQUENCE)?);
    let is_basic = bytes.expect(der::OID)? == BASIC;
    let mut basic = Elements(Elements(bytes.expect(der::OCTETS)?).expect(der::SEQUENCE)?);
    let mut data = Elements(basic.expect(der::SEQUENCE)?);
    data.optional(EXPLICIT_0);
    let _responder = data.next()?;
    let _produced = data.expect(der::GENERALIZED_TIME)?;
    let answers = Elements(data.expect(der::SEQUENCE)?);
    (is_successful && is_basic).then_some(answers)
}

fn single(answer: &[u8]) -> Option<Single<'_>> {
    let mut answer = Elements(answer);
    let mut subject = Elements(answer.expect(der::SEQUENCE)?);
    let (_hash, _issuer, _key) =
        (subject.expect(der::SEQUENCE)?, subject.expect(der::OCTETS)?, subject.expect(der::OCTETS)?);
    let serial = subject.expect(der::INTEGER)?;
    let is_good = answer.next()?.tag == GOOD;
    let _begins = answer.expect(der::GENERALIZED_TIME)?;
    let ends = match answer.optional(EXPLICIT_0) {
        Some(time) => Some(instant(time)?),
        None => None,
    };
    Some(Single { serial, is_good, ends })
}

const EXPLICIT_0: u8 = 0xa0;

/// `[0] IMPLICIT NULL`.
const GOOD: u8 = 0x80;

/// `id-pkix-ocsp-basic`, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];

fn instant(time: &[u8]) -> Option<SystemTime> {
    let (_, time) = <ASN1Time as x509_parser::asn1_rs::FromDer<_>>::from_der(time).ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(time.timestamp()).ok()?))
}
