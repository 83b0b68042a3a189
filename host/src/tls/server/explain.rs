//! What went wrong in a handshake with a client, in words that an operator can act on.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The error of a handshake with the reason in words. What is not about TLS stays as it is.
pub(super) fn explained(error: &io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(reason) => io::Error::new(error.kind(), words(reason)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the client closed the connection in the middle of the handshake")
        }
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// Nobody here has a certificate for the name that a client asks for.
pub(super) fn stranger(name: Option<&str>) -> io::Error {
    let why = match name {
        Some(name) => format!("there is no certificate for \"{}\"", name.escape_debug()),
        None => "the client names no host, and there is no certificate for such clients".to_owned(),
    };
    io::Error::new(io::ErrorKind::InvalidData, why)
}

fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => format!("the client's certificate is refused: {}", certificate(error)),
        Error::NoCertificatesPresented => "the client shows no certificate".to_owned(),
        Error::NoApplicationProtocol => "the client offers no protocol that is spoken here (ALPN)".to_owned(),
        Error::InvalidMessage(why) => format!("what came is not TLS ({why:?})"),
        Error::PeerIncompatible(why) => format!("the client and the gateway have nothing in common: {}", gap(why)),
        Error::AlertReceived(alert) => format!("the client refused the handshake: {}", refusal(*alert)),
        error => error.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "it is signed by no authority that is trusted".to_owned(),
        CertificateError::Revoked => "it is revoked".to_owned(),
        CertificateError::UnknownRevocationStatus => "no list says whether it is revoked".to_owned(),
        CertificateError::BadEncoding => "it is not a valid certificate".to_owned(),
        CertificateError::BadSignature => "a signature is not valid".to_owned(),
        CertificateError::Other(inner) => match inner.to_string() {
            text if text == "UnsupportedCertVersion" => "it is older than version 3 of X.509".to_owned(),
            text if text == "CaUsedAsEndEntity" => "it is an authority's and not a client's".to_owned(),
            text => text,
        },
        error => error.to_string(),
    }
}

fn gap(why: &PeerIncompatible) -> String {
    match why {
        // The last one is how clients are known that have nothing after TLS 1.1.
        PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            "it speaks no version of TLS that is spoken here".to_owned()
        }
        PeerIncompatible::NoCipherSuitesInCommon => "no cipher suite".to_owned(),
        PeerIncompatible::NoKxGroupsInCommon => "no group for the key exchange".to_owned(),
        PeerIncompatible::NoSignatureSchemesInCommon => "no kind of signature".to_owned(),
        why => format!("{why:?}"),
    }
}

fn refusal(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::UnknownCA | AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
            "it does not take the certificate"
        }
        AlertDescription::CertificateExpired => "the certificate has ended, or its clock is wrong",
        AlertDescription::ProtocolVersion => "it does not speak this version of TLS",
        _ => return format!("alert {alert:?}"),
    };
    format!("{meaning} (alert {alert:?})")
}
