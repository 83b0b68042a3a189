//! The plan of listeners: addresses, protocols, TLS, and what a client may do.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Network, Pem};
use crate::config::Place;

/// An address to listen on, with what holds for its clients.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// Where.
    pub bind: Vec<Bind>,
    /// Which versions of HTTP it speaks.
    pub protocols: Protocols,
    /// TLS; `None` for cleartext.
    pub tls: Option<ListenerTls>,
    /// Whose connections begin with a PROXY header; others' never do.
    pub proxy_protocol: Vec<Network>,
    /// Connections at once, over all threads.
    pub max_connections: usize,
    /// Connections at once from one client address (one /64 of IPv6), over all threads.
    pub max_connections_per_client: Option<usize>,
    /// Length of the kernel's queue of connections not yet accepted.
    pub backlog: u32,
    /// The kernel's probes of a silent TCP connection: after this long, and as often; none when `None`.
    pub tcp_keep_alive: Option<Duration>,
    /// From a head's first byte to its last; also for a PROXY header.
    pub head_timeout: Duration,
    /// Between two reads of a body; zero means none.
    pub body_timeout: Duration,
    /// Between two requests of a connection.
    pub idle_timeout: Duration,
    /// How long a client may take no byte of its answer.
    pub write_timeout: Duration,
    /// The least a client must send of its body, and take of its answer, on average.
    pub min_rate: MinRate,
    /// Bytes of a head.
    pub max_head: usize,
    /// Bytes of a request target.
    pub max_target: usize,
    /// Lines of header fields.
    pub max_fields: usize,
    /// Bytes of a request body; `None` means any.
    pub max_body: Option<u64>,
    /// What holds for HTTP/2.
    pub h2: Http2,
    /// What holds for HTTP/3.
    pub h3: Http3,
    /// Where it was written.
    pub place: Place,
}

/// What a listener binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// A TCP address, and a UDP one for HTTP/3; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A socket that the service manager opened, by its name (`systemd:NAME`; sd_listen_fds_with_names(3)).
    Inherited(String),
}

/// Versions of HTTP; one at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// HTTP/1.0 and HTTP/1.1.
    pub h1: bool,
    /// HTTP/2: by ALPN under TLS, by prior knowledge without.
    pub h2: bool,
    /// HTTP/3, on the UDP port of the same number; only with TLS.
    pub h3: bool,
}

/// TLS towards clients.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// For clients that name no site that has certificates of its own; may be empty, then such handshakes are refused.
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// The newest version that is spoken.
    pub max_version: TlsVersion,
    /// Whether clients show certificates.
    pub client: ClientAuth,
    /// A handshake's time, from the first byte that could be one.
    pub handshake_timeout: Duration,
    /// Handshakes at once, over all threads; who comes beyond waits for its turn within its time.
    pub max_handshakes: usize,
    /// How often the key of session tickets changes; tickets live for two of these. `None` for no tickets.
    pub ticket_rotation: Option<Duration>,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A certificate with its key. The files were read with the config, and are looked at again while the gateway runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The chain, the server's own first.
    pub chain: Pem,
    /// The private key.
    pub key: Pem,
    /// A DER OCSP response to staple, if its file was there: it may come later.
    pub staple: Option<Staple>,
}

/// A file with an OCSP response (RFC 6960), DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staple {
    /// Where.
    pub path: PathBuf,
    /// What was in it; empty when it was not there.
    pub der: Arc<[u8]>,
}

/// What is asked of clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate, if they have one; a bad one ends the handshake.
    Optional(ClientAuthorities),
    /// A certificate.
    Required(ClientAuthorities),
}

/// Who vouches for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuthorities {
    /// Certificates of the authorities.
    pub ca: Pem,
    /// Lists of certificates that do not hold any more (PEM).
    pub revoked: Vec<Pem>,
}

/// Bytes a second that a client must reach on average once `grace` is over, while the gateway waits for it; zero means any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MinRate {
    /// Of a request's body.
    pub request: u64,
    /// Of an answer.
    pub response: u64,
    /// How long a slow beginning is forgiven.
    pub grace: Duration,
}

/// What holds for HTTP/2 connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http2 {
    /// Streams at once on a connection (`SETTINGS_MAX_CONCURRENT_STREAMS`).
    pub max_streams: u32,
    /// Bytes of a body that may be on their way on one stream.
    pub stream_window: u32,
    /// Bytes of bodies that may be on their way on one connection.
    pub connection_window: u32,
    /// Bytes of one frame that clients may send (`SETTINGS_MAX_FRAME_SIZE`), from 16 KiB to 16 MiB less one.
    pub max_frame: u32,
}

/// What holds for HTTP/3 connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Http3 {
    /// Requests at once on a connection.
    pub max_streams: u32,
    /// Bytes of a body that may be on their way on one stream.
    pub stream_window: u32,
    /// Bytes of bodies that may be on their way on one connection.
    pub connection_window: u32,
    /// When a client must show that its address is its own before anything is done for it.
    pub retry: Retry,
    /// Requests in the first flight of a resumed connection, which can be repeated by others (RFC 8470).
    pub early_data: bool,
    /// How long browsers may remember that there is HTTP/3 (`Alt-Svc: ma`); `None` for nothing said.
    pub advertise: Option<Duration>,
}

/// When clients are sent a Retry (RFC 9000, section 8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Every client.
    Always,
    /// When many handshakes are going on.
    UnderLoad,
    /// Nobody.
    Never,
}

#[cfg(test)]
impl Listener {
    /// A cleartext one without an address, for tests of what comes after the config.
    pub(crate) fn plain(name: &str) -> Self {
        let second = Duration::from_secs(1);
        Self {
            name: name.into(),
            bind: Vec::new(),
            protocols: Protocols { h1: true, h2: true, h3: false },
            tls: None,
            proxy_protocol: Vec::new(),
            max_connections: 10,
            max_connections_per_client: None,
            backlog: 16,
            tcp_keep_alive: None,
            head_timeout: 10 * second,
            body_timeout: 10 * second,
            idle_timeout: 10 * second,
            write_timeout: 10 * second,
            min_rate: MinRate { request: 0, response: 0, grace: second },
            max_head: 32 << 10,
            max_target: 8 << 10,
            max_fields: 100,
            max_body: None,
            h2: Http2 { max_streams: 100, stream_window: 1 << 18, connection_window: 1 << 20, max_frame: 1 << 14 },
            h3: Http3 {
                max_streams: 100,
                stream_window: 1 << 18,
                connection_window: 1 << 20,
                retry: Retry::Never,
                early_data: false,
                advertise: None,
            },
            place: Place { file: "weir.toml".into(), line: 1, column: 1 },
        }
    }
}
