//! The part of the plan that is about pools: members, how they are chosen, how they are reached, and when they are fit.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::{Accel, Respond, StatusSet};
use crate::config::{FieldMatch, Place};
use crate::message::{Method, Name, Value};

/// Members that serve the same thing.
#[derive(Debug, Clone)]
pub struct Pool {
    /// Its name.
    pub name: Arc<str>,
    /// How a member is chosen.
    pub balance: Balance,
    /// How long a member that comes back takes to get its whole share; zero means at once.
    pub slow_start: Duration,
    /// In the order written; never empty.
    pub members: Vec<Member>,
    /// How clients stay with a member.
    pub sticky: Option<Sticky>,
    /// How long a member in error is left alone; zero means that it is always tried again.
    pub retry: Duration,
    /// When every member is in error, all of them are tried again at once.
    pub forced_recovery: bool,
    /// How often members in error are dialled to see whether they are back; zero means never.
    pub reprobe: Duration,
    /// Statuses that put a member into error.
    pub fail_on_status: StatusSet,
    /// Whether an answer that does not begin in time puts a member into error.
    pub fail_on_timeout: bool,
    /// Attempts beyond the first.
    pub failover: Failover,
    /// Who serves when no member can.
    pub fallback: Option<Fallback>,
    /// Exchanges that wait when every usable member is full.
    pub queue: Queue,
    /// Active checks.
    pub health: Option<Arc<Health>>,
    /// What is concluded from the exchanges themselves.
    pub outlier: Outlier,
    /// Pass the client's `Host` on, instead of the member's.
    pub preserve_host: bool,
    /// Keep connections for the next request.
    pub keepalive: bool,
    /// One upstream connection for one client connection, closed with it and never shared.
    pub exclusive: bool,
    /// Kept connections per member, over all threads.
    pub max_idle_connections: usize,
    /// For a connection to stand, TLS included.
    pub connect_timeout: Duration,
    /// Between two reads of an answer, and to its first byte.
    pub read_timeout: Duration,
    /// How long a member may take no byte.
    pub write_timeout: Duration,
    /// For a whole exchange; zero means none.
    pub timeout: Duration,
    /// How long a kept connection may rest.
    pub idle_timeout: Duration,
    /// How long a tunnel (after `101 Switching Protocols`) may carry nothing; zero means for ever.
    pub tunnel_idle_timeout: Duration,
    /// How long a resolved address holds at most; the name server's shorter time to live goes before it.
    pub address_ttl: Duration,
    /// Also send `Forwarded` (RFC 7239).
    pub forwarded: bool,
    /// What its members may say of files.
    pub accel: Accel,
    /// The pool's chain: indices into `Plan::filters`.
    pub filters: Vec<usize>,
    /// Where it was written.
    pub place: Place,
}

/// How a member is chosen.
#[derive(Debug, Clone, PartialEq)]
pub enum Balance {
    /// Smooth weighted rotation (httpd's `byrequests`).
    RoundRobin,
    /// Fewest exchanges served so far, by weight.
    LeastRequests,
    /// Fewest bytes both ways so far, by weight.
    ByTraffic,
    /// Fewest exchanges in flight, by weight.
    ByBusyness,
    /// The less busy of two drawn at random by weight.
    RandomTwo,
    /// The cheaper of two drawn at random: latency (peak-sensitive moving average) times exchanges in flight.
    PeakEwma,
    /// Drawn at random by weight and by the room that members report in `X-Weir-Load`.
    ByLoad,
    /// The same key goes to the same member.
    Hash(Hash),
    /// The first in the order written that has room.
    First,
}

/// Settings of `hash` and `ip-hash`.
#[derive(Debug, Clone, PartialEq)]
pub struct Hash {
    /// What is hashed; a request without it is balanced by rotation.
    pub key: HashKey,
    /// How keys are laid on members.
    pub table: HashTable,
    /// A member takes no more than this times the average of what is in flight, in percent; `None` means any load.
    pub load_factor: Option<u32>,
}

/// What is hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// The client's address.
    Client,
    /// A request field's value.
    Field(Name),
    /// A cookie's value.
    Cookie(String),
    /// A query parameter's value, decoded.
    Query(String),
    /// The path.
    Path,
    /// Path and query.
    Uri,
}

/// How keys are laid on members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTable {
    /// A ring with many points a member: a change of members moves only the keys of the changed ones.
    Ring,
    /// A Maglev table: even shares, a lookup is one read, few more keys move.
    Maglev,
}

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

/// How clients stay with a member.
#[derive(Debug, Clone)]
pub struct Sticky {
    /// Where the member's route or token is found.
    pub by: StickyBy,
    /// When the session's member cannot serve.
    pub fallback: StickyFallback,
}

/// Where a session is found.
#[derive(Debug, Clone)]
pub enum StickyBy {
    /// In a session value that the members make: `JSESSIONID=abc.node1`.
    Route(StickyRoute),
    /// In a cookie of the gateway's own.
    Insert(StickyInsert),
    /// In a table of session values seen in members' `Set-Cookie`.
    Learn(StickyLearn),
}

/// Sessions whose value ends in a member's route.
#[derive(Debug, Clone)]
pub struct StickyRoute {
    /// Cookies that carry it, in order.
    pub cookies: Vec<String>,
    /// A query parameter or path parameter (`;jsessionid=`) that carries it; it goes before cookies.
    pub parameter: Option<String>,
    /// What stands between session and route; `None`: the whole value is the route.
    pub separator: Option<char>,
    /// What stands between several routes, tried in order; `None`: there is one.
    pub ranked: Option<char>,
}

/// A cookie of the gateway's own.
#[derive(Debug, Clone)]
pub struct StickyInsert {
    /// Its name.
    pub name: String,
    /// `Path`.
    pub path: String,
    /// `Domain`.
    pub domain: Option<String>,
    /// `Max-Age`; `None` means for the browser's session.
    pub max_age: Option<Duration>,
    /// `Secure`.
    pub secure: bool,
    /// `HttpOnly`.
    pub http_only: bool,
    /// `SameSite`.
    pub same_site: Option<SameSite>,
    /// What values are signed with; `None`: a secret made at start, so values do not outlive the process.
    pub secret: Option<Arc<str>>,
}

/// `SameSite` (RFC 6265bis).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// `Strict`.
    Strict,
    /// `Lax`.
    Lax,
    /// `None`; browsers demand `Secure` with it.
    None,
}

/// Sessions learned from what members set.
#[derive(Debug, Clone)]
pub struct StickyLearn {
    /// The cookie that members set.
    pub cookie: String,
    /// A query or path parameter that may carry the value instead; it goes before the cookie.
    pub parameter: Option<String>,
    /// How long a session is remembered after its last use.
    pub timeout: Duration,
    /// Sessions remembered at once.
    pub capacity: u64,
}

/// When a session's member cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyFallback {
    /// Another member is chosen.
    Rebalance,
    /// 503.
    Fail,
}

/// Attempts beyond the first.
#[derive(Debug, Clone)]
pub struct Failover {
    /// Attempts in all, each on another member while there is one.
    pub attempts: u32,
    /// What is tried again.
    pub on: FailoverOn,
    /// For one attempt's answer to begin; zero means the pool's `read-timeout` alone.
    pub try_timeout: Duration,
    /// Retries for each hundred requests of the last ten seconds.
    pub budget: u32,
    /// Retries a second that are always allowed.
    pub budget_floor: u32,
    /// Bytes of a request's body that are kept to be sent again.
    pub replay_body: usize,
    /// Also repeat requests that are not idempotent.
    pub non_idempotent: bool,
}

/// What is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FailoverOn {
    /// No connection could be had.
    pub connect: bool,
    /// TLS could not be agreed on.
    pub tls: bool,
    /// The connection ended before the answer began.
    pub reset: bool,
    /// The answer did not begin in time.
    pub timeout: bool,
    /// The answer was not HTTP.
    pub bad_response: bool,
    /// The answer had one of these statuses.
    pub statuses: StatusSet,
}

/// Who serves when no member can.
#[derive(Debug, Clone)]
pub enum Fallback {
    /// Another pool: index into `Plan::pools`. Never leads back.
    Pool(usize),
    /// An answer.
    Respond(Respond),
}

/// Exchanges that wait when every usable member is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// How many may wait; 0 means none.
    pub length: usize,
    /// How long one may wait.
    pub timeout: Duration,
}

/// Active checks.
#[derive(Debug, Clone)]
pub struct Health {
    /// What is done.
    pub check: Check,
    /// Between the beginnings of two checks; a tenth of it, up or down, is left to chance.
    pub interval: Duration,
    /// For a whole check.
    pub timeout: Duration,
    /// Consecutive passes that make a failed member fit.
    pub passes: u32,
    /// Consecutive failures that make it unfit.
    pub fails: u32,
    /// Another port than the member's.
    pub port: Option<u16>,
    /// How it is spoken to, when that differs from the member's way.
    pub tls: Option<Option<UpstreamTls>>,
    /// A new member serves nothing before its first pass.
    pub gate: bool,
}

/// What a check does.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each pool, behind an `Arc`")]
pub enum Check {
    /// Connects (and agrees on TLS when the member speaks it).
    Tcp,
    /// Asks.
    Http(HttpCheck),
    /// `grpc.health.v1.Health/Check` for a service, over HTTP/2.
    Grpc(String),
}

/// An HTTP check.
#[derive(Debug, Clone)]
pub struct HttpCheck {
    /// `GET`, `HEAD` or `OPTIONS`.
    pub method: Method,
    /// The target.
    pub path: String,
    /// The `Host`, in place of the member's.
    pub host: Option<Value>,
    /// Further fields.
    pub fields: Vec<(Name, Value)>,
    /// Over which HTTP; `None` means the member's.
    pub protocol: Option<Protocol>,
    /// Statuses that pass.
    pub expect: StatusSet,
    /// Conditions on the answer's fields; all must hold.
    pub expect_fields: Vec<FieldMatch>,
    /// The body must match; only its first 64 KiB are looked at.
    pub expect_body: Option<Regex>,
    /// The body must not match.
    pub reject_body: Option<Regex>,
}

/// What is concluded from the exchanges themselves. A zero switches its test off.
#[derive(Debug, Clone)]
pub struct Outlier {
    /// Failures in a row (no answer, or a status in `statuses`) that eject a member.
    pub consecutive: u32,
    /// What counts as a failure beside having no answer.
    pub statuses: StatusSet,
    /// How often success rates are looked at, and ejection times paid back.
    pub interval: Duration,
    /// A member is ejected when its success rate lies this many thousandths of a standard deviation below the mean.
    pub success_rate_deviation: u32,
    /// Members with enough requests in an interval, before their rates are compared.
    pub success_rate_members: u32,
    /// What is enough.
    pub success_rate_requests: u32,
    /// The first ejection; the nth takes n times as long.
    pub base_ejection: Duration,
    /// The longest.
    pub max_ejection: Duration,
    /// Of the pool's members, how many percent may be ejected at once; one always may, unless it is the only one.
    pub max_ejected: u32,
    /// When fewer than this percentage of members are fit, checks and ejections are ignored; 0 means never.
    pub panic_threshold: u32,
}

impl Pool {
    /// For one attempt's answer to begin.
    #[must_use]
    pub fn try_timeout(&self) -> Duration {
        match self.failover.try_timeout {
            Duration::ZERO => self.read_timeout,
            limit => limit.min(self.read_timeout),
        }
    }
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pem({})", self.path.display())
    }
}
