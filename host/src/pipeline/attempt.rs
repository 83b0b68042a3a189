//! One attempt on one member: on a kept connection if there is one, on a fresh one otherwise.
//!
//! A kept connection that turned out to be stale is no attempt: the same member is asked again on a fresh one.

use std::rc::Rc;

use http::header;
use http::uri::PathAndQuery;

use super::Exchange;
use super::route::Bound;
use crate::clock;
use crate::failure::{Failure, Kind};
use crate::message::websocket::Key;
use crate::message::{Fields, RequestHead, Status, hops, semantics};
use crate::pool::{Lease, Pool};
use crate::upstream::{Answered, Connection, Connections, Limits, Preface, Unanswered};

/// An attempt.
pub(super) struct Attempt<'a> {
    pub(super) pool: &'a Pool,
    pub(super) lease: &'a Lease,
    pub(super) bound: &'a Bound,
    pub(super) limits: Limits,
    /// Where connections rest between exchanges.
    pub(super) shelf: &'a Rc<Connections>,
    /// What a member is told of the client before anything else.
    pub(super) preface: Option<&'a Preface>,
}

/// Why an attempt brought no answer.
pub(super) struct Failed {
    pub(super) failure: Failure,
    /// Not a byte of the request was sent, or the member says that it did not look at it.
    pub(super) is_unsent: bool,
}

/// Connections that one attempt finds stale. The first is followed by a fresh one, unless it has to wait for a connection and is
/// given a used one again; a member that closes all of them is not well.
const MOST_STALE: u32 = 3;

impl Attempt<'_> {
    pub(super) async fn run(&self, exchange: &mut Exchange) -> Result<(Connection, Answered), Failed> {
        let mut kept = if self.pool.keeping().most > 0 { self.reuse().await } else { None };
        let mut left = MOST_STALE;
        loop {
            exchange.record.attempts += 1;
            let connection = match kept.take() {
                Some(connection) => connection,
                // Boxed, like everything that seldom happens: every exchange would carry the room for it otherwise.
                None => Box::pin(self.fresh(exchange)).await?,
            };
            let may_be_stale = connection.was_used() && left > 0;
            match self.ask(exchange, connection).await {
                Err(failed) if may_be_stale && self.was_stale(exchange, &failed) => {
                    left -= 1;
                    tracing::debug!(failure = %failed.failure, "a kept connection was stale, trying a fresh one");
                }
                outcome => return outcome,
            }
        }
    }

    fn was_stale(&self, exchange: &Exchange, failed: &Failed) -> bool {
        failed.failure.kind == Kind::UpstreamReset && self.may_repeat(exchange, failed.is_unsent)
    }

    async fn fresh(&self, exchange: &mut Exchange) -> Result<Connection, Failed> {
        let dialling = clock::now();
        let connection = self.connect().await;
        exchange.record.connect = Some(clock::now().saturating_duration_since(dialling));
        connection.map_err(|failure| Failed { failure, is_unsent: true })
    }

    /// Whether the request may be sent once more: nothing was done with it, or doing it twice does not matter (RFC 9110,
    /// section 9.2.2), and its body is at hand from its beginning.
    pub(super) fn may_repeat(&self, exchange: &Exchange, is_unsent: bool) -> bool {
        let is_harmless = semantics::is_idempotent(&exchange.facts.request.method);
        self.bound.body.is_whole() && (is_unsent || is_harmless || self.pool.plan.failover.non_idempotent)
    }

    async fn reuse(&self) -> Option<Connection> {
        match self.bound.upgrade.is_empty() {
            true => self.shelf.reuse(&self.lease.member().endpoint).await,
            false => self.shelf.reuse(&self.lease.simple_endpoint()).await,
        }
    }

    /// Where nobody listens, the gateway may have to start who should.
    async fn connect(&self) -> Result<Connection, Failure> {
        let dialled = self.dial().await;
        let Err(failure) = dialled else { return dialled };
        if failure.kind != Kind::ConnectRefused {
            return Err(failure);
        }
        match tokio::time::timeout(self.limits.left(clock::now()), self.lease.rouse()).await {
            Ok(Ok(())) => self.dial().await,
            Ok(Err(Some(why))) => Err(Failure::of(Kind::ConnectRefused, why)),
            Ok(Err(None)) | Err(_) => Err(failure),
        }
    }

    async fn dial(&self) -> Result<Connection, Failure> {
        let plan = &self.pool.plan;
        let left = self.limits.left(clock::now());
        if left.is_zero() {
            return Err(Failure::of(Kind::ExchangeTimeout, "the exchange took longer than it may"));
        }
        let most = self.lease.most_connections();
        let simple = (!self.bound.upgrade.is_empty()).then(|| self.lease.simple_endpoint());
        let endpoint = simple.as_ref().unwrap_or(&self.lease.member().endpoint);
        let timeout = plan.connect_timeout.min(left).min(plan.try_timeout());
        self.shelf.dial(endpoint, timeout, self.preface, most).await
    }

    async fn ask(&self, exchange: &mut Exchange, mut connection: Connection) -> Result<(Connection, Answered), Failed> {
        let request = self.request(&mut exchange.facts.request);
        let passes_interim = exchange.facts.request.version >= http::Version::HTTP_11;
        let interim = |status, fields| {
            if passes_interim {
                self.pass_on(status, fields);
            }
        };
        if !self.bound.upgrade.is_empty() {
            connection.may_leave();
        }
        let is_timed = exchange.is_logged() || self.pool.wants_latency();
        let asked = is_timed.then(clock::now);
        let answered = connection.ask(request, self.limits, self.bound.expects, interim).await?;
        if let Some(asked) = asked {
            let now = clock::now();
            let took = now.saturating_duration_since(asked);
            exchange.record.first_byte = Some(took);
            if self.pool.wants_latency() {
                self.lease.member().took(took, now);
            }
        }
        Ok((connection, answered))
    }

    /// The request as the member gets it.
    fn request(&self, head: &mut RequestHead) -> http::Request<crate::body::Body> {
        let host = match self.pool.plan.preserve_host && !head.authority.is_empty() {
            true => head.authority.value().clone(),
            false => self.lease.member().host.clone(),
        };
        // Set before the fields are copied: they have room for one more, a copy would have to grow.
        head.fields.set(header::HOST, host);
        let mut fields = head.fields.clone();
        head.fields.remove(header::HOST);
        self.lease.hide(&mut fields);
        if !self.bound.upgrade.is_empty() {
            hops::switch(&mut fields, &self.bound.upgrade);
            if let Some(handshake) = &self.bound.handshake {
                // Each connection has its own (RFC 6455, section 4.1).
                let key = Key::fresh();
                key.ask(&mut fields);
                handshake.set(key);
            }
        } else if self.bound.trailers {
            hops::welcome_trailers(&mut fields);
        }
        let mut request = http::Request::new(self.bound.body.view());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = uri(head.target());
        *request.headers_mut() = fields.into();
        request
    }

    fn pass_on(&self, status: Status, mut fields: Fields) {
        if status != Status::SWITCHING_PROTOCOLS && hops::strip(&mut fields).is_ok() {
            self.bound.interim.send(status, fields);
        }
    }
}

impl From<Unanswered> for Failed {
    fn from(unanswered: Unanswered) -> Self {
        Self { failure: unanswered.failure, is_unsent: unanswered.is_unsent }
    }
}

fn uri(target: &PathAndQuery) -> http::Uri {
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(target.clone());
    http::Uri::from_parts(parts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_becomes_a_uri_unchanged() {
        for text in ["/", "/a/b?c=d", "*", "/%2F?x"] {
            let target = PathAndQuery::from_static(text);
            assert_eq!(uri(&target).to_string(), text);
        }
    }
}
