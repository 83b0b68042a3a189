//! What stands in PEM files (RFC 7468): certificates and private keys.

use memchr::memmem;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::Error;
use crate::config::Pem;

/// All certificates of a file, in their order; at least one. What else stands there is passed over.
pub(super) fn certificates(file: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&file.text).collect();
    let found = found.map_err(|error| wrong(file, words(&error)))?;
    if found.is_empty() {
        return Err(wrong(file, "there is no certificate in it (no line `-----BEGIN CERTIFICATE-----`)"));
    }
    Ok(found)
}

/// All lists of revoked certificates of a file; at least one.
pub(super) fn revoked(file: &Pem) -> Result<Vec<CertificateRevocationListDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(&file.text).collect();
    let found = found.map_err(|error| wrong(file, words(&error)))?;
    if found.is_empty() {
        let why = "there is no list of revoked certificates in it (no line `-----BEGIN X509 CRL-----`)";
        return Err(wrong(file, why));
    }
    Ok(found)
}

/// The first private key of a file.
pub(super) fn key(file: &Pem) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&file.text).map_err(|error| match error {
        _ if is_encrypted(&file.text) => {
            wrong(file, "its private key is encrypted; one without a passphrase is needed")
        }
        pem::Error::NoItemsFound => wrong(file, "there is no private key in it"),
        error => wrong(file, words(&error)),
    })
}

pub(super) fn wrong(file: &Pem, why: impl Into<String>) -> Error {
    Error::Pem { path: file.path.clone(), why: why.into() }
}

/// As PKCS #8 has it, and as OpenSSL once did.
fn is_encrypted(text: &[u8]) -> bool {
    let marks = [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"];
    marks.iter().any(|mark| memmem::find(text, mark).is_some())
}

fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { end_marker } => {
            format!("not valid PEM: the line `-----END {}-----` is missing", String::from_utf8_lossy(end_marker))
        }
        pem::Error::IllegalSectionStart { line } => {
            format!("not valid PEM: the line `{}` begins nothing", String::from_utf8_lossy(line).trim_end())
        }
        error => format!("not valid PEM: {error}"),
    }
}
