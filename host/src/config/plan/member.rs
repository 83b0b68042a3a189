//! The plan of members: who serves, how they are reached, and the programs that serve.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Place;
use crate::message::Value;

/// One upstream address.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its name: as given, or the URL as written. Unique in its pool; state is carried over a reload by it.
    pub name: Arc<str>,
    /// Where.
    pub address: MemberAddress,
    /// Every address of the name is a member of its own.
    pub each_address: bool,
    /// How it is spoken to.
    pub transport: Arc<Transport>,
    /// The `Host` it is asked for, when the client's is not preserved.
    pub host: Value,
    /// Its share, 1 to 1000.
    pub weight: u32,
    /// 0 to 99; the next set is used only when this one has nobody.
    pub set: u8,
    /// What it is for, within its set.
    pub role: Role,
    /// What the operator made of it.
    pub state: State,
    /// The route that session values name it by.
    pub route: Option<Arc<str>>,
    /// The route of the member that takes its sessions when it cannot.
    pub redirect: Option<Arc<str>>,
    /// Open connections at once, over all threads, those kept idle included; `None` means any.
    pub max_connections: Option<usize>,
    /// Exchanges in flight at once, over all threads; `None` means any.
    pub max_requests: Option<usize>,
    /// The program that serves there, when the gateway is to start it.
    pub command: Option<Arc<Command>>,
    /// Where it was written.
    pub place: Place,
}

/// Where a member is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum MemberAddress {
    /// An address.
    Tcp(SocketAddr),
    /// A name to resolve, and a port.
    Name(String, u16),
    /// The name of SRV records (RFC 2782), each of whose targets is a member.
    Service(String),
    /// A Unix socket's path.
    Unix(PathBuf),
    /// A name in Linux's abstract namespace, without its leading zero byte.
    Abstract(Vec<u8>),
}

/// What a member is for, within its set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes its share.
    Active,
    /// Takes the place of one member that is not usable, and shares the rotation then.
    Spare,
    /// Serves when nothing else in its set is usable.
    Standby,
}

/// What the operator made of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Serves.
    Ok,
    /// Takes nothing; still checked.
    Disabled,
    /// Takes nothing and is not checked.
    Stopped,
    /// Takes its own sticky sessions only.
    Draining,
    /// Serves, and errors do not take it out.
    IgnoreErrors,
}

/// How a member is spoken to: everything that makes two connections to one address different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transport {
    /// Which versions of HTTP.
    pub protocol: Protocol,
    /// Under TLS.
    pub tls: Option<UpstreamTls>,
    /// The local address connections come from.
    pub source: Option<IpAddr>,
    /// Tells the member who the client is (haproxy's PROXY protocol); such a connection serves one client connection only.
    pub proxy_protocol: Option<ProxyVersion>,
    /// What holds for HTTP/2 connections.
    pub h2: UpstreamHttp2,
}

/// What holds for HTTP/2 connections to a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct UpstreamHttp2 {
    /// Exchanges at once on a connection, if the member allows as many.
    pub max_streams: u32,
    /// Bytes of an answer that may be on their way on one stream. One connection has room for every stream's.
    pub stream_window: u32,
}

impl UpstreamHttp2 {
    /// With more streams one lost packet holds up too many; a window is as much as an HTTP/1 connection holds in its buffers:
    /// at 1 ms of round trip half a gigabyte a second.
    pub const USUAL: Self = Self { max_streams: 100, stream_window: 512 << 10 };
}

/// Which version of HTTP a member is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, with prior knowledge when there is no TLS (RFC 9113, section 3.3).
    Http2,
    /// What the member chooses by ALPN; HTTP/1.1 without TLS.
    Auto,
}

/// A version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// TLS to members. Files are read when the plan is made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamTls {
    /// The name that is asked for (SNI) and that the certificate must carry; `None` means the member's host.
    pub server_name: Option<String>,
    /// Whether the certificate must be valid for that name.
    pub verify: bool,
    /// PEM; certificates of authorities to trust, in place of the system's.
    pub ca: Option<Pem>,
    /// PEM; our own certificate chain and its key, for members that ask for one.
    pub certificate: Option<(Pem, Pem)>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo) of the member's certificate; one of these must be it. Empty: any.
    pub pins: Vec<[u8; 32]>,
}

/// A PEM file that was read. What was in it, a key perhaps, is never written to a log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pem {
    /// Where it was.
    pub path: PathBuf,
    /// What was in it.
    pub text: Arc<[u8]>,
}

/// The program that serves at a member's address. Run without a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments; never empty.
    pub argv: Vec<String>,
    /// Variables set for it.
    pub environment: Vec<(String, String)>,
    /// Whether it also gets the gateway's own environment.
    pub inherit_environment: bool,
    /// User and group, when the gateway may choose; ids, resolved when the plan is made.
    pub user: Option<u32>,
    /// The group; the user's own when only the user is given.
    pub group: Option<u32>,
    /// Its working directory.
    pub directory: Option<PathBuf>,
    /// How long it may take until it listens.
    pub start_timeout: Duration,
    /// How long it may take to end after SIGTERM, before SIGKILL.
    pub stop_timeout: Duration,
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pem({})", self.path.display())
    }
}
