//! The server's side of TLS.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::message::Secured;

/// A client's stream under TLS, its handshake done.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

/// One listener's TLS.
pub struct Server;

impl Server {
    /// The handshake.
    ///
    /// # Errors
    /// With the reason in words.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, _: S) -> io::Result<(ServerStream<S>, Secured)> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
