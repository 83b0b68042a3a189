//! The plan: the config after checking. Every reference is resolved, every default filled in, every value in its type.
//!
//! Names are kept for logs and for carrying state over a reload; indices point into the plan's own lists. No run-time
//! state lives here.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

mod admin;
mod cache;
mod files;
mod listener;
mod pool;

use regex::Regex;

pub use self::admin::*;
pub use self::cache::*;
pub use self::files::*;
pub use self::listener::*;
pub use self::pool::*;
use super::Place;
use crate::message::{Method, Name, Status, Value};

/// A checked config.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Worker threads.
    pub threads: usize,
    /// How long a drain waits for what is in flight.
    pub shutdown_timeout: Duration,
    /// Whose word on `X-Forwarded-*` and `Forwarded` is taken.
    pub trusted_proxies: Vec<Network>,
    /// Name servers in place of the system's.
    pub resolvers: Vec<SocketAddr>,
    /// Where compiled filters are kept; `None` means nowhere.
    pub cache_directory: Option<PathBuf>,
    /// The operator's log.
    pub log: Log,
    /// The access log.
    pub access_log: AccessLog,
    /// Where the operator is listened to; `None` means nowhere.
    pub admin: Option<Admin>,
    /// What holds for all files.
    pub files: Files,
    /// In the order written, and behind them those of routes that name a path.
    pub roots: Vec<Root>,
    /// In the order written.
    pub caches: Vec<Cache>,
    /// In the order written.
    pub listeners: Vec<Arc<Listener>>,
    /// In the order written.
    pub pools: Vec<Pool>,
    /// In the order written.
    pub filters: Vec<Filter>,
    /// In the order written; the default site is `default_site`.
    pub sites: Vec<Site>,
    /// Index of the site that answers for every other host, if one does.
    pub default_site: Option<usize>,
}

/// A network by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its address.
    pub address: IpAddr,
    /// How many leading bits count.
    pub bits: u8,
}

/// The operator's log, on stderr.
#[derive(Debug, Clone)]
pub struct Log {
    /// From this level on.
    pub level: tracing::level_filters::LevelFilter,
    /// Its shape.
    pub format: LogFormat,
}

/// The shape of the operator's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For eyes.
    Text,
    /// One JSON object a line.
    Json,
}

/// The access log.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Where it goes.
    pub output: LogOutput,
    /// Its shape.
    pub format: AccessFormat,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// A file, opened for appending and again on SIGUSR1.
    File(PathBuf),
}

/// The shape of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessFormat {
    /// Nothing is logged.
    Off,
    /// Apache's combined format.
    Combined,
    /// One JSON object a line.
    Json,
    /// A template with `${variable}`; checked by the config against `ACCESS_VARIABLES`.
    Custom(String),
}

/// The variables that a custom access log format may name; `request.header.NAME` and `response.header.NAME` come on top,
/// and `variable.NAME` for what filters set.
pub const ACCESS_VARIABLES: &[&str] = &[
    "time.local",
    "time.iso",
    "time.unix",
    "client.address",
    "client.port",
    "listener",
    "site",
    "route",
    "pool",
    "member",
    "request.line",
    "request.method",
    "request.host",
    "request.path",
    "request.query",
    "request.scheme",
    "request.version",
    "request.id",
    "request.bytes",
    "response.status",
    "response.bytes",
    "duration",
    "duration.connect",
    "duration.first-byte",
    "duration.filter",
    "attempts",
    "failure",
    "tls.version",
    "tls.cipher",
    "tls.sni",
    "tls.alpn",
    "tls.resumed",
    "tls.client.sha256",
    "tls.client.subject",
    "tls.client.issuer",
    "tls.client.serial",
    "tls.client.not-after",
    "tls.client.names",
];

/// A filter: a component with settings.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Its name.
    pub name: Arc<str>,
    /// Where its code is.
    pub module: Module,
    /// Its settings as JSON.
    pub settings: String,
    /// Thread time for one call.
    pub cpu: Duration,
    /// Bytes of memory for one instance.
    pub memory: usize,
    /// Roots whose files it may answer with: indices into `Plan::roots`.
    pub roots: Vec<usize>,
    /// What its failure means for the request.
    pub on_failure: OnFailure,
    /// How long an instance lives.
    pub instances: Instances,
    /// Where it was written.
    pub place: Place,
    /// Where its settings were written (the filter's place when there are none).
    pub settings_place: Place,
}

/// Where a filter's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Module {
    /// One that comes with the gateway: `std:url-rewrite`.
    Standard(String),
    /// A file.
    File(PathBuf),
}

/// What a filter's failure means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// It ends with 503.
    Closed,
    /// It goes on unmodified by this filter.
    Open,
}

/// How long a filter's instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Instances {
    /// For many calls on one thread.
    Reuse,
    /// For one request.
    PerRequest,
}

/// A virtual host.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name.
    pub name: Arc<str>,
    /// Lower case: `shop.example`, `*.shop.example`; empty for a site that is only the default.
    pub hosts: Vec<String>,
    /// Pass the upstream's `Server` on.
    pub preserve_server: bool,
    /// Add `Via` to responses.
    pub via: bool,
    /// Certificates for its hosts, one of each kind of key: a client that can takes the first that it understands.
    pub certificates: Vec<Certificate>,
    /// Where clients that come without TLS are sent.
    pub https_redirect: Option<HttpsRedirect>,
    /// `Strict-Transport-Security` (RFC 6797), on answers over TLS.
    pub hsts: Option<Value>,
    /// Pages instead of the gateway's own texts.
    pub error_pages: Vec<ErrorPage>,
    /// Tried in order, first match wins.
    pub routes: Vec<Route>,
    /// Where it was written.
    pub place: Place,
}

/// Sends clients to the same target over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpsRedirect {
    /// The port there, when it is not 443.
    pub port: u16,
    /// 301, 302, 307 or 308.
    pub status: Status,
}

/// A page for some statuses. Files are read when the plan is made.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// Which.
    pub statuses: StatusSet,
    /// What is sent, `${request.id}` and `${status}` replaced.
    pub body: Arc<str>,
    /// `Content-Type`.
    pub content_type: Value,
}

/// Some statuses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StatusSet {
    /// Single ones.
    pub exact: Vec<u16>,
    /// Hundreds: 4 for `4xx`.
    pub classes: Vec<u16>,
}

/// A route.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its name: `name`, or its path.
    pub name: Arc<str>,
    /// On the path.
    pub path: PathMatch,
    /// Any of these; empty means all.
    pub methods: Vec<Method>,
    /// All of these.
    pub fields: Vec<FieldMatch>,
    /// All of these.
    pub query: Vec<QueryMatch>,
    /// How the path changes on its way upstream.
    pub prefix: Option<PrefixChange>,
    /// The route's chain: indices into `Plan::filters`.
    pub filters: Vec<usize>,
    /// Bytes of a request body, in place of the listener's.
    pub max_body: Option<u64>,
    /// Statuses whose upstream body is replaced by the site's page (the pool's, when the route names none).
    pub intercept_errors: StatusSet,
    /// Protocols that may take over a connection (`Upgrade`), in lower case: `websocket`.
    pub upgrade: Vec<String>,
    /// Who serves when no member of the pool can; the pool's own fallback otherwise.
    pub fallback: Option<Fallback>,
    /// Only for requests that the gateway redirects itself; to clients there is nothing here.
    pub internal: bool,
    /// What upstreams may say of files, in place of the pool's word.
    pub accel: Option<Accel>,
    /// Index of the cache that answers go through: into `Plan::caches`.
    pub cache: Option<usize>,
    /// Requests that go past it.
    pub cache_bypass: CacheWhen,
    /// Requests that ask the upstream anew for what is stored.
    pub cache_refresh: CacheWhen,
    /// What is done.
    pub action: Action,
    /// Where it was written.
    pub place: Place,
}

/// A condition on the path.
#[derive(Debug, Clone)]
pub enum PathMatch {
    /// Every path.
    Any,
    /// This path and those below it: `/api` matches `/api` and `/api/x`, not `/apix`; `/api/` only what is below.
    Prefix(String),
    /// This path alone.
    Exact(String),
    /// Anywhere in the path, unless anchored.
    Regex(Regex),
}

/// A condition on a header field.
#[derive(Debug, Clone)]
pub struct FieldMatch {
    /// Which.
    pub name: Name,
    /// What of it.
    pub test: Test,
}

/// A condition on a query parameter.
#[derive(Debug, Clone)]
pub struct QueryMatch {
    /// Which, decoded.
    pub name: String,
    /// What of it.
    pub test: Test,
}

/// A condition on a value.
#[derive(Debug, Clone)]
pub enum Test {
    /// It is there, or (false) it is not.
    Present(bool),
    /// One line is equal.
    Equal(String),
    /// One line matches.
    Regex(Regex),
}

/// A change of the path's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixChange {
    /// What is taken away, at a segment boundary; paths without it stay as they are.
    pub from: String,
    /// What takes its place; may be empty.
    pub to: String,
}

/// What a route does.
#[derive(Debug, Clone)]
pub enum Action {
    /// Pass on to a pool: index into `Plan::pools`.
    Pool(usize),
    /// Answer with files: index into `Plan::roots`.
    Files(usize),
    /// Answer at once.
    Respond(Respond),
    /// As if no route had matched.
    Exclude,
}

/// A fixed answer.
#[derive(Debug, Clone)]
pub struct Respond {
    /// The status.
    pub status: Status,
    /// The fields, `Location` and `Content-Type` among them.
    pub fields: Vec<(Name, Value)>,
    /// The body.
    pub body: bytes::Bytes,
}

impl Test {
    /// Whether it holds for the values that a name has.
    pub fn holds<'a>(&self, mut values: impl Iterator<Item = Cow<'a, str>>) -> bool {
        match self {
            Self::Present(wanted) => values.next().is_some() == *wanted,
            Self::Equal(text) => values.any(|value| value == text.as_str()),
            Self::Regex(regex) => values.any(|value| regex.is_match(&value)),
        }
    }

    /// Whether it holds for the lines of a field. One that is not UTF-8 is there, but equal to nothing.
    pub fn holds_for<'a>(&self, lines: impl Iterator<Item = &'a Value>) -> bool {
        self.holds(lines.map(|line| Cow::Borrowed(str::from_utf8(line.as_bytes()).unwrap_or("\u{fffd}"))))
    }

    /// Whether two tests are written alike.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present(one), Self::Present(other)) => one == other,
            (Self::Equal(one), Self::Equal(other)) => one == other,
            (Self::Regex(one), Self::Regex(other)) => one.as_str() == other.as_str(),
            (Self::Present(_) | Self::Equal(_) | Self::Regex(_), _) => false,
        }
    }
}

impl StatusSet {
    /// Whether a status is one of these.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.exact.contains(&status) || self.classes.contains(&(status / 100))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.classes.is_empty()
    }
}

impl Network {
    /// Whether an address lies in it. An IPv4 address mapped into IPv6 counts as what it maps.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits.min(32))).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits.min(128))).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}
