//! Why an exchange went wrong: one closed list of kinds, and what each means to everybody who must act on it.
//!
//! Every match over `Kind` names every kind, so a new one cannot be forgotten anywhere. What the client reads is short
//! and says nothing of the inside; what the operator reads is in `detail`.

use std::borrow::Cow;
use std::fmt;

/// A failure of one exchange.
#[derive(Debug, Clone)]
pub struct Failure {
    /// What went wrong.
    pub kind: Kind,
    /// For the operator: with what, where. Never shown to a client.
    pub detail: Cow<'static, str>,
}

/// Whose doing it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The client sent something wrong, was too slow or left.
    Client,
    /// The member did not answer, or not properly.
    Upstream,
    /// A filter broke its contract.
    Filter,
    /// The gateway itself: out of room, or out of order.
    Gateway,
}

macro_rules! kinds {
    ($( $(#[doc = $doc:literal])+ $name:ident: $blame:ident, $status:literal, $word:literal, $text:literal; )+) => {
        /// What went wrong, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind { $( $(#[doc = $doc])+ $name, )+ }

        impl Kind {
            /// Every kind, for tables and tests.
            pub const ALL: &[Kind] = &[$( Kind::$name, )+];

            /// The status a client gets when nothing was sent yet. 499 is never sent: there is nobody to read it.
            #[must_use]
            pub const fn status(self) -> u16 { match self { $( Kind::$name => $status, )+ } }

            /// The word in the access log.
            #[must_use]
            pub const fn word(self) -> &'static str { match self { $( Kind::$name => $word, )+ } }

            /// Whose doing it was.
            #[must_use]
            pub const fn blame(self) -> Blame { match self { $( Kind::$name => Blame::$blame, )+ } }

            /// One sentence for the client.
            #[must_use]
            pub const fn public_text(self) -> &'static str { match self { $( Kind::$name => $text, )+ } }
        }
    };
}

kinds! {
    /// The head or its framing breaks RFC 9112.
    MalformedRequest: Client, 400, "malformed-request", "The request is not well-formed HTTP.";
    /// `Content-Length` and `Transfer-Encoding` contradict each other or themselves (RFC 9112, section 6.3).
    AmbiguousFraming: Client, 400, "ambiguous-framing", "The request does not say clearly where its body ends.";
    /// `Host` is missing, repeated or not a host, or the request target names another one (RFC 9112, section 3.2).
    BadHost: Client, 400, "bad-host", "The request does not name one valid host.";
    /// The path cannot be read in one way only.
    BadTarget: Client, 400, "bad-target", "The request's path is ambiguous or not valid.";
    /// The body's chunks are broken, or it ended early.
    MalformedBody: Client, 400, "malformed-body", "The request's body is not well-formed.";
    /// The head did not arrive in time.
    HeadTimeout: Client, 408, "head-timeout", "The request did not arrive in time.";
    /// The body stopped arriving.
    BodyTimeout: Client, 408, "body-timeout", "The request's body did not arrive in time.";
    /// The body is longer than the limit.
    BodyTooLarge: Client, 413, "body-too-large", "The request's body is too large.";
    /// The request target is longer than the limit.
    TargetTooLong: Client, 414, "uri-too-long", "The request's URI is too long.";
    /// The head is longer than the limit, or has too many fields.
    HeadTooLarge: Client, 431, "head-too-large", "The request's header fields are too large.";
    /// The client has as many connections as one may have.
    TooManyConnections: Client, 429, "too-many-connections", "There are too many connections from this address.";
    /// It asks for `https` in the clear (RFC 9110, section 7.4).
    Misdirected: Client, 421, "misdirected", "The request was sent to the wrong place.";
    /// It came in TLS early data and would change something: somebody else may have sent it once more (RFC 8470).
    TooEarly: Client, 425, "too-early", "The request came before the connection was ready; please send it again.";
    /// An `Expect` that is not `100-continue` (RFC 9110, section 10.1.1).
    UnknownExpectation: Client, 417, "unknown-expectation", "The request expects something this server does not know.";
    /// `CONNECT`, a protocol the route does not pass on, or a transfer coding other than chunked.
    NotImplemented: Client, 501, "not-implemented", "This server does not do what the request asks for.";
    /// Not HTTP/1.0 or HTTP/1.1.
    VersionUnsupported: Client, 505, "version-unsupported", "This server does not speak that version of HTTP.";
    /// No route matches.
    NoRoute: Client, 404, "no-route", "There is nothing here.";
    /// There is no such file, or it lies where the root does not let anybody.
    NoFile: Client, 404, "no-file", "There is nothing here.";
    /// The gateway may not read the file, or its directory has no index and is not listed.
    FileForbidden: Client, 403, "file-forbidden", "This may not be read.";
    /// A file is asked for by a method that files do not know (RFC 9110, section 15.5.6).
    MethodNotAllowed: Client, 405, "method-not-allowed", "Files can be read, and nothing else.";
    /// The client left before its answer was ready or whole.
    ClientGone: Client, 499, "client-gone", "The client closed the connection.";
    /// The client stopped reading its answer.
    ClientStalled: Client, 499, "client-stalled", "The client stopped reading.";
    /// Neither side sent anything through a tunnel for too long.
    TunnelIdle: Client, 499, "tunnel-idle", "The connection was idle for too long.";

    /// The member refused the connection, or could not be reached.
    ConnectRefused: Upstream, 502, "connect-refused", "The server behind this gateway cannot be reached.";
    /// The member did not accept the connection in time.
    ConnectTimeout: Upstream, 504, "connect-timeout", "The server behind this gateway did not answer in time.";
    /// The member and the gateway do not agree on TLS, or its certificate is not the one expected.
    TlsFailed: Upstream, 502, "tls-failed", "The server behind this gateway cannot be reached securely.";
    /// No member of the pool is usable.
    NoMember: Upstream, 503, "no-member", "No server behind this gateway is available.";
    /// Every usable member is full, and so is the pool's queue, or it took too long.
    PoolFull: Upstream, 503, "pool-full", "The servers behind this gateway are busy; please try again.";
    /// The session's member is not usable, and no other may take it.
    SessionLost: Upstream, 503, "session-lost", "The server that holds this session is not available.";
    /// The member closed the connection before its answer began.
    UpstreamReset: Upstream, 502, "upstream-reset", "The server behind this gateway closed the connection.";
    /// The member's answer is not well-formed HTTP.
    BadResponse: Upstream, 502, "bad-response", "The server behind this gateway answered with something that is not HTTP.";
    /// The member's answer did not begin in time.
    ResponseTimeout: Upstream, 504, "response-timeout", "The server behind this gateway did not answer in time.";
    /// The member's body ended early or stalled; what the client got is cut, and the connection says so.
    ResponseCut: Upstream, 502, "response-cut", "The server behind this gateway did not finish its answer.";
    /// The member did not take the request's body in time.
    UpstreamStalled: Upstream, 504, "upstream-stalled", "The server behind this gateway did not read the request in time.";
    /// The whole exchange took longer than the pool, or the client's `grpc-timeout`, allows.
    ExchangeTimeout: Upstream, 504, "exchange-timeout", "The server behind this gateway did not finish in time.";

    /// A filter trapped.
    FilterTrap: Filter, 503, "filter-trap", "The service is not available for this request.";
    /// A filter used more time than its limit.
    FilterDeadline: Filter, 503, "filter-deadline", "The service is not available for this request.";
    /// A filter ran out of memory or stack.
    FilterMemory: Filter, 503, "filter-memory", "The service is not available for this request.";
    /// A filter's verdict was refused: too large, or not valid.
    FilterVerdict: Filter, 503, "filter-verdict", "The service is not available for this request.";
    /// No instance of a filter could be had.
    FilterUnavailable: Filter, 503, "filter-unavailable", "The service is not available for this request.";

    /// The listener's `max-connections` is reached.
    Overloaded: Gateway, 503, "overloaded", "The service is busy; please try again.";
    /// There are no descriptors left for a connection or a file (`ulimit -n`).
    OutOfDescriptors: Gateway, 503, "out-of-descriptors", "The service is busy; please try again.";
    /// The gateway stopped and did not wait any longer.
    Stopped: Gateway, 503, "stopped", "The service is being restarted; please try again.";
    /// An answer led to another path more often than the gateway follows.
    RedirectLoop: Gateway, 500, "redirect-loop", "Something went wrong here.";
    /// A file became shorter, or could not be read any more, while it was sent; what the client got is cut.
    FileCut: Gateway, 500, "file-cut", "Something went wrong here.";
    /// The gateway's own fault.
    Internal: Gateway, 500, "internal", "Something went wrong here.";
}

impl Failure {
    /// A failure with what the operator should know.
    pub fn of(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into() }
    }
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self { kind, detail: Cow::Borrowed("") }
    }
}

impl Kind {
    /// Whether the same request may be tried again on a fresh connection, as far as the failure is concerned; whether
    /// the request itself may be repeated is the request's business (RFC 9110, section 9.2.2).
    #[must_use]
    pub const fn may_retry(self) -> bool {
        matches!(self, Kind::ConnectRefused | Kind::ConnectTimeout | Kind::UpstreamReset)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() {
            return f.write_str(self.kind.word());
        }
        write!(f, "{}: {}", self.kind.word(), self.detail)
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_failure_is_in_the_reference_with_its_status() {
        let reference = include_str!("../../CONFIG.md");
        for kind in Kind::ALL {
            let row = format!("\n| `{}` | {} | ", kind.word(), kind.status());
            assert!(reference.contains(&row), "{row}");
        }
    }

    #[test]
    fn words_are_unique_and_statuses_match_the_blame() {
        let words: HashSet<_> = Kind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            let class = kind.status() / 100;
            match kind.blame() {
                Blame::Client => assert!(class == 4 || matches!(kind.status(), 501 | 505), "{kind:?}"),
                Blame::Upstream | Blame::Filter | Blame::Gateway => assert_eq!(class, 5, "{kind:?}"),
            }
        }
    }
}
