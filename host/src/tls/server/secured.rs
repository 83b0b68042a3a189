//! What is known of a connection once its handshake is done.

use std::any::Any;
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::{HandshakeKind, ProtocolVersion, ServerConnection};

use super::{names, shown};
use crate::message::{ClientCertificate, Secured};

/// What is known of a connection.
///
/// # Errors
/// When it takes up the session of a client whose certificate has ended since: the codec does not look at it again.
pub(super) fn of(connection: &ServerConnection, now: SystemTime) -> io::Result<Secured> {
    let is_resumed = connection.handshake_kind() == Some(HandshakeKind::Resumed);
    let certificate = connection.peer_certificates().and_then(<[_]>::first);
    if is_resumed && certificate.is_some_and(|certificate| shown::has_ended(certificate, now)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the client's certificate has ended since its session began",
        ));
    }
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str());
    Ok(Secured {
        version: match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        },
        cipher: registered(suite.unwrap_or_default()).into(),
        server_name: connection.server_name().map(server_name),
        protocol: connection.alpn_protocol().and_then(protocol),
        is_resumed,
        client: connection.peer_certificates().and_then(client),
    })
}

/// What is known of a QUIC connection: the name and the protocol of its handshake data, and its peer's identity, which is
/// a list of certificates. Neither the suite nor whether the session was taken up again can be had: the suite is empty.
#[must_use]
pub fn secured_of_quic(name: Option<&str>, alpn: Option<&[u8]>, identity: Option<&dyn Any>) -> Secured {
    let chain = identity.and_then(|identity| identity.downcast_ref::<Vec<CertificateDer<'static>>>());
    Secured {
        version: "TLSv1.3",
        cipher: "".into(),
        server_name: name.map(server_name),
        protocol: alpn.and_then(protocol),
        is_resumed: false,
        client: chain.and_then(|chain| client(chain)),
    }
}

fn client(chain: &[CertificateDer<'_>]) -> Option<Arc<ClientCertificate>> {
    shown::read(chain).map(Arc::new)
}

fn server_name(name: &str) -> Arc<str> {
    names::canonical(name).into()
}

fn protocol(alpn: &[u8]) -> Option<&'static str> {
    match alpn {
        b"http/1.0" => Some("http/1.0"),
        b"http/1.1" => Some("http/1.1"),
        b"h2" => Some("h2"),
        b"h3" => Some("h3"),
        _ => None,
    }
}

/// The name in IANA's registry, from which the library's differs for TLS 1.3.
fn registered(suite: &str) -> String {
    suite.strip_prefix("TLS13_").map_or_else(|| suite.to_owned(), |rest| format!("TLS_{rest}"))
}
