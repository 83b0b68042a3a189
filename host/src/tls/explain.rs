//! What went wrong in a handshake, in words that an operator can act on.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, InconsistentKeys};

/// The error of a handshake with the reason in words. What is not about TLS stays as it is.
pub(super) fn explained(error: &io::Error) -> io::Error {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(reason) => io::Error::new(error.kind(), words(reason)),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            io::Error::new(error.kind(), "the connection was closed in the middle of the handshake")
        }
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// What a member said of the handshake after it was over for us, which TLS 1.3 lets it do: it has not seen our certificate
/// before (RFC 8446, section 4.4.2.4), or does not like it. `None` for every other error.
#[must_use]
pub fn late_refusal(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let inner = error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref::<Error>()?;
    match inner {
        Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied,
        ) => Some(words(inner)),
        _ => None,
    }
}

/// One of rustls's errors in words.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::AlertReceived(alert) => refusal(*alert),
        Error::InvalidMessage(why) => format!("what came is not TLS ({why:?})"),
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => "they are no pair".to_owned(),
        error => error.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => "the certificate is signed by no authority that is trusted".to_owned(),
        CertificateError::BadEncoding => "not a valid certificate".to_owned(),
        CertificateError::BadSignature => {
            "a signature is not valid: the certificate's, or that of the member, which has not got its key".to_owned()
        }
        CertificateError::Other(inner) => match inner.to_string() {
            text if text == "CaUsedAsEndEntity" => {
                "the certificate is an authority's and not a server's; a pin can stand in for checking it".to_owned()
            }
            text if text == "UnsupportedCertVersion" => {
                "the certificate is older than version 3 of X.509 and cannot carry names".to_owned()
            }
            text => text,
        },
        error => error.to_string(),
    }
}

fn refusal(alert: AlertDescription) -> String {
    let meaning = match alert {
        AlertDescription::NoApplicationProtocol => "it speaks no version of HTTP that it was offered",
        AlertDescription::CertificateRequired => "it asks for a certificate of ours",
        AlertDescription::UnrecognisedName => "it does not serve that name",
        AlertDescription::ProtocolVersion => "it does not speak TLS 1.2 or 1.3",
        AlertDescription::UnknownCA => "it does not trust the certificate of ours",
        AlertDescription::HandshakeFailure => "there is nothing that both sides accept",
        _ => return format!("the member refused the handshake with the alert {alert:?}"),
    };
    format!("the member refused the handshake: {meaning} (alert {alert:?})")
}
