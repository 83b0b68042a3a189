//! TLS towards clients: what one listener needs for its handshakes, and how it stays right while files change under it.
//!
//! A `Server` is shared by all threads. What handshakes are made from is one immutable value; when a file has changed, a
//! whole second one is made from it and takes the first one's place, or the first one stays. It opens no socket and keeps no
//! time: whoever calls bounds a handshake, and dropping it closes the stream.

mod clients;
mod explain;
mod identity;
mod names;
mod secured;
mod settings;
#[cfg(test)]
mod tests;
mod tickets;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;

pub use self::secured::secured_of_quic;
use self::settings::Settings;
pub use self::tickets::Tickets;
use super::Error;
use crate::config::{Listener, Site};
use crate::message::Secured;

/// A client's stream under TLS, its handshake done.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

/// TLS towards the clients of one listener.
pub struct Server {
    settings: RwLock<Arc<Settings>>,
}

impl Server {
    /// What a plan says of a listener; `None` when it speaks cleartext. Touches no file.
    ///
    /// # Errors
    /// When a certificate, a key, an authority or a list of revoked certificates is not one.
    pub fn of(listener: &Listener, sites: &[Site], tickets: &Tickets) -> Result<Option<Self>, Error> {
        let Some(plan) = &listener.tls else { return Ok(None) };
        let settings = Settings::of(listener, plan, sites, tickets)?;
        Ok(Some(Self { settings: RwLock::new(Arc::new(settings)) }))
    }

    /// The handshake with a client. Whoever cannot be served is told why by an alert. Dropping the future closes the stream.
    ///
    /// # Errors
    /// With the reason in words.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(ServerStream<S>, Secured)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await;
        let mut hello = hello.map_err(|error| explain::explained(&error))?;
        let settings = self.settings();
        let name = hello.client_hello().server_name().map(|name| names::canonical(name).into_owned());
        if !settings.names.has(name.as_deref()) {
            let _ = hello.io.write_all(UNRECOGNIZED_NAME).await;
            return Err(explain::stranger(name.as_deref()));
        }
        let stream = hello.into_stream(settings.tcp.clone()).await.map_err(|error| explain::explained(&error))?;
        let secured = secured::of(stream.get_ref().1);
        Ok((stream, secured))
    }

    /// What QUIC connections are made from: `h3` by ALPN, TLS 1.3. To be asked for every connection that comes: it is the
    /// same one until a file has changed. A client that names nobody who has a certificate is refused with the alert
    /// `access_denied`, because there is no way to choose another one before quinn has sent it.
    #[must_use]
    pub fn quic(&self) -> Arc<ServerConfig> {
        self.settings().quic.clone()
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A fatal alert `unrecognized_name` (RFC 6066, section 3) in a record of its own: the codec knows no way to send it before
/// it has a certificate.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
