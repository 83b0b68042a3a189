//! TLS towards clients: what one listener needs for its handshakes, and how it stays right while files change under it.
//!
//! A `Server` is shared by all threads. What handshakes are made from is one immutable value; when a file has changed, a
//! whole second one is made from it and takes the first one's place, or the first one stays. It opens no
//! socket. Whoever calls bounds a handshake, and dropping it closes the stream.

mod clients;
mod der;
mod distinguished;
mod examine;
mod explain;
mod files;
mod identity;
mod names;
mod secured;
mod sessions;
mod settings;
mod shown;
mod staple;
#[cfg(test)]
mod tests;
mod ticketer;
mod tickets;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::LazyConfigAcceptor;

pub use self::examine::{Findings, examine, examine_clients};
use self::files::{Seen, Source};
pub use self::secured::secured_of_quic;
use self::settings::Settings;
pub use self::tickets::Tickets;
use super::Error;
use crate::clock::{self, Duration};
use crate::config::{Listener, Site};
use crate::message::Secured;

/// A client's stream under TLS, its handshake done.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<S>;

/// TLS towards the clients of one listener.
pub struct Server {
    settings: RwLock<Arc<Settings>>,
    watch: Mutex<Watch>,
    tickets: Tickets,
}

/// What the settings were made from, and what was seen of its files since.
struct Watch {
    source: Source,
    seen: Seen,
}

/// What a look at files led to.
#[derive(Debug)]
pub enum Refreshed {
    /// Nothing: they hold what they held.
    Same,
    /// Handshakes from now on are made from what these hold.
    Changed {
        /// Those that have changed; none when only a stapled response is over.
        files: Vec<PathBuf>,
        /// What is worth saying of what they hold.
        remarks: Vec<String>,
    },
    /// Some have changed, and what they hold is no good. Handshakes are made from what there was before. Told once.
    Refused(Error),
}

impl Server {
    /// What a plan says of a listener; `None` when it speaks cleartext. Touches no file.
    ///
    /// # Errors
    /// When a certificate, a key, an authority or a list of revoked certificates is not one.
    pub fn of(listener: &Listener, sites: &[Site], tickets: &Tickets) -> Result<Option<Self>, Error> {
        let Some(mut source) = Source::of(listener, sites) else { return Ok(None) };
        let settings = Settings::of(&source, tickets, clock::wall())?;
        let seen = Seen::of(&mut source);
        Ok(Some(Self {
            settings: RwLock::new(Arc::new(settings)),
            watch: Mutex::new(Watch { source, seen }),
            tickets: tickets.clone(),
        }))
    }

    /// The handshake with a client. Whoever cannot be served is told why by an alert. Dropping the future closes the stream.
    ///
    /// # Errors
    /// With the reason in words.
    pub async fn accept<S>(&self, stream: S) -> io::Result<(ServerStream<S>, Secured)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut reading = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let mut hello = match (&mut reading).await {
            Ok(hello) => hello,
            Err(error) => return Err(part(reading.take_io(), error).await),
        };
        let settings = self.settings();
        let name = hello.client_hello().server_name().map(|name| names::canonical(name).into_owned());
        if !settings.names.has(name.as_deref()) {
            let _ = hello.io.write_all(UNRECOGNIZED_NAME).await;
            return Err(part(Some(hello.io), explain::stranger(name.as_deref())).await);
        }
        let stream = match hello.into_stream(settings.tcp.clone()).into_fallible().await {
            Ok(stream) => stream,
            Err((error, stream)) => return Err(part(Some(stream), error).await),
        };
        let secured = secured::of(stream.get_ref().1, clock::wall())?;
        Ok((stream, secured))
    }

    /// What QUIC connections are made from: `h3` by ALPN, TLS 1.3. To be asked for every connection that comes: it is the
    /// same one until a file has changed. A client that names nobody who has a certificate is refused with the alert
    /// `access_denied`, because there is no way to choose another one before quinn has sent it.
    #[must_use]
    pub fn quic(&self) -> Arc<ServerConfig> {
        self.settings().quic.clone()
    }

    /// Looks at all files again, makes use of those that have changed, and forgets what is over its time: to be called every
    /// few seconds. Waits for the disk.
    pub fn refresh(&self) -> Refreshed {
        let now = clock::wall();
        self.settings().resumption.iter().for_each(|resumption| resumption.tend(clock::now()));
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        let files = watch.seen.look();
        let is_stale = self.settings().names.staple_ends.is_some_and(|ends| ends <= now);
        if files.is_empty() && !is_stale {
            return Refreshed::Same;
        }
        // What was refused before is not tried again because a response is over.
        let source = watch.source.clone();
        let source = if files.is_empty() { Ok(source) } else { watch.seen.fill(source) };
        match source.and_then(|source| Ok((Settings::of(&source, &self.tickets, now)?, source))) {
            Ok((settings, source)) => {
                *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
                let remarks = examine::remarks_of(&source);
                watch.source = source;
                Refreshed::Changed { files, remarks }
            }
            Err(error) => Refreshed::Refused(error),
        }
    }

    fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What the client is owed after an alert: a socket that is closed before everything that came was read is reset, and the alert
/// is lost with it. Gives the error in words.
async fn part<S>(stream: Option<S>, error: io::Error) -> io::Error
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if let (Some(mut stream), io::ErrorKind::InvalidData) = (stream, error.kind()) {
        let _ = tokio::time::timeout(PARTING, async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(LAST_WORDS), &mut tokio::io::sink()).await
        })
        .await;
    }
    explain::explained(&error)
}

/// A client closes when it has read the alert, which takes one way there and back: this is a long one.
const PARTING: Duration = Duration::from_secs(1);

/// No handshake has more to say: the codec takes 64 KiB of certificates, with records around them and some data behind.
const LAST_WORDS: u64 = 128 << 10;

/// A fatal alert `unrecognized_name` (RFC 6066, section 3) in a record of its own: the codec knows no way to send it before
/// it has a certificate.
const UNRECOGNIZED_NAME: &[u8] = &[21, 3, 3, 0, 2, 2, 112];
