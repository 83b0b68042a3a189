//! TLS: from what the plan says about it to what connections need.
//!
//! The only room that knows rustls, and the only one that reads certificates. It knows nothing of addresses and opens no
//! socket: it is given a stream and gives back a secured one. The crypto provider is always named, never the process's default.

mod error;
mod explain;
mod own;
mod pem;
mod roots;
mod server;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod verify;

use std::io;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

pub use self::error::Error;
pub use self::explain::late_refusal;
pub use self::own::self_signed;
pub use self::server::{Findings, Refreshed, Server, ServerStream, Tickets, examine, examine_clients, secured_of_quic};
use self::verify::Verifier;
use crate::config::{Pem, Protocol, UpstreamTls};

/// A stream under TLS, its handshake done.
pub type Stream<S> = tokio_rustls::client::TlsStream<S>;

/// The client's side of TLS to members that are spoken to in one way. Made once and shared by all threads: it remembers
/// sessions, so that most handshakes are short ones. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
}

impl Client {
    /// What a plan says. Reads the system's authorities when they are needed for the first time, and may wait for the disk
    /// then; touches no file otherwise.
    ///
    /// # Errors
    /// When a certificate, a key or a name is not one, or there is nobody to trust.
    pub fn of(plan: &UpstreamTls, protocol: Protocol) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Verifier::of(plan, &provider)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for TLS 1.2 and 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match &plan.certificate {
            Some((chain, key)) => builder.with_client_cert_resolver(identity(chain, key, &provider)?),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = offer(protocol).iter().map(|name| name.to_vec()).collect();
        let name = plan.server_name.as_deref().map(server_name).transpose()?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// The handshake. `host` (a name, or an address without brackets) is who the other side must be, unless the plan names
    /// somebody else. Dropping the future closes the stream.
    ///
    /// # Errors
    /// With the reason in words.
    pub async fn connect<S>(&self, stream: S, host: &str) -> io::Result<Stream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.name {
            Some(name) => name.clone(),
            None => server_name(host).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        let connector = TlsConnector::from(self.config.clone());
        connector.connect(name, stream).await.map_err(|error| explain::explained(&error))
    }
}

/// Makes the calling thread ready for handshakes: its first random number takes as long as twenty handshakes, because the
/// provider gathers entropy for it.
pub fn warm() {
    // Where there is none to be had, the first handshake says so.
    let _ = aws_lc_rs::default_provider().secure_random.fill(&mut [0; 32]);
}

/// Whether the other side chose HTTP/2 by ALPN (RFC 9113, section 3.2).
#[must_use]
pub fn chose_h2<S>(stream: &Stream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(H2)
}

const H2: &[u8] = b"h2";
const H1: &[u8] = b"http/1.1";

/// What is offered by ALPN (RFC 7301), the best first.
const fn offer(protocol: Protocol) -> &'static [&'static [u8]] {
    match protocol {
        Protocol::Http1 => &[H1],
        Protocol::Http2 => &[H2],
        Protocol::Auto => &[H2, H1],
    }
}

/// The name without the dot of an absolute one, which no certificate carries.
fn server_name(host: &str) -> Result<ServerName<'static>, Error> {
    let host = host.strip_suffix('.').unwrap_or(host);
    ServerName::try_from(host.to_owned()).map_err(|_| Error::Name(host.to_owned()))
}

fn identity(chain: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<Arc<rustls::sign::SingleCertAndKey>, Error> {
    let (certificates, private) = (pem::certificates(chain)?, pem::key(key)?);
    let pair = rustls::sign::CertifiedKey::from_der(certificates, private, provider).map_err(|error| Error::Pair {
        certificate: chain.path.clone(),
        key: key.path.clone(),
        why: explain::words(&error),
    })?;
    Ok(Arc::new(pair.into()))
}
