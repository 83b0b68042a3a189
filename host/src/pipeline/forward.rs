//! To a member and back: lease, attempt, and once more when a kept connection turned out to be stale.

use std::ops::ControlFlow::{self, Continue};

use http::header;
use http::uri::PathAndQuery;
use hyper::body::Incoming;

use super::route::Bound;
use super::{Answer, Exchange, tunnel};
use crate::body::Body;
use crate::clock;
use crate::failure::{Failure, Kind};
use crate::message::{Fields, RequestHead, ResponseHead, Status, hops, semantics};
use crate::pool::{Lease, Pool};
use crate::upstream::{Answered, Connection, Download, Limits, Unanswered};

/// A request as it is sent, over and over if need be.
struct Outbound<'a> {
    pool: &'a Pool,
    lease: &'a Lease,
    limits: Limits,
    bound: &'a Bound,
}

pub(super) async fn forward(exchange: &mut Exchange, mut bound: Bound) -> ControlFlow<Answer, Answer> {
    let local = exchange.local.clone();
    let pool = local.generation.pool(bound.pool);
    let Some((pool, lease)) = pool.and_then(|pool| Some((pool, pool.lease()?))) else {
        return Answer::broken(exchange, Failure::of(Kind::Internal, "the pool has no members"));
    };
    exchange.facts.pool = Some(pool.plan.name.clone());
    exchange.facts.member = Some(lease.member().name.clone());
    let body = std::mem::take(&mut bound.body);
    let until = (!pool.plan.timeout.is_zero()).then(|| exchange.began + pool.plan.timeout);
    let limits = Limits { read: pool.plan.read_timeout, write: pool.plan.write_timeout, until };
    let outbound = Outbound { pool, lease: &lease, limits, bound: &bound };
    match outbound.attempts(exchange, body).await {
        Ok((connection, answered)) if tunnel::is_switch(&answered, &bound.upgrade) => {
            drop(lease);
            tunnel::switch(exchange, connection, answered, &bound.upgrade, pool.plan.tunnel_idle_timeout).await
        }
        Ok((connection, answered)) => {
            let back = (local.thread.connections.clone(), pool.keeping());
            receive(exchange, connection, answered, back, lease)
        }
        Err(failure) => Answer::broken(exchange, failure),
    }
}

impl Outbound<'_> {
    /// One attempt on a kept connection if there is one; a fresh connection otherwise, or after the kept one failed before
    /// any byte of an answer and the request may be repeated: nothing of it was sent, or it is idempotent and its body is
    /// at hand (RFC 9112, section 9.3.1).
    async fn attempts(&self, exchange: &mut Exchange, mut body: Body) -> Result<(Connection, Answered), Failure> {
        let connections = exchange.local.thread.connections.clone();
        if self.pool.keeping().most > 0
            && let Some(connection) = connections.reuse(&self.lease.member().endpoint).await
        {
            let repeatable = body.is_over() && semantics::is_idempotent(&exchange.facts.request.method);
            match self.attempt(exchange, connection, body).await {
                Ok(answered) => return Ok(answered),
                Err(Unanswered { failure, unsent }) if failure.kind.may_retry() && (unsent.is_some() || repeatable) => {
                    tracing::debug!(%failure, "a kept connection was stale, trying a fresh one");
                    body = unsent.map_or(Body::Empty, http::Request::into_body);
                }
                Err(Unanswered { failure, .. }) => return Err(failure),
            }
        }
        let dialling = clock::now();
        let connection = connections.dial(&self.lease.member().endpoint, self.pool.plan.connect_timeout).await;
        exchange.record.connect = Some(clock::now().saturating_duration_since(dialling));
        match connection {
            Ok(connection) => self.attempt(exchange, connection, body).await.map_err(|unanswered| unanswered.failure),
            Err(failure) => {
                exchange.record.attempts += 1;
                Err(failure)
            }
        }
    }

    async fn attempt(
        &self,
        exchange: &mut Exchange,
        mut connection: Connection,
        body: Body,
    ) -> Result<(Connection, Answered), Unanswered> {
        exchange.record.attempts += 1;
        let request = self.request(&mut exchange.facts.request, body);
        let passes_interim = exchange.facts.request.version >= http::Version::HTTP_11;
        let interim = |status, fields| {
            if passes_interim {
                self.pass_on(status, fields);
            }
        };
        if !self.bound.upgrade.is_empty() {
            connection.may_leave();
        }
        let asked = exchange.is_logged().then(clock::now);
        let answered = connection.ask(request, self.limits, self.bound.expects, interim).await?;
        exchange.record.first_byte = asked.map(|asked| clock::now().saturating_duration_since(asked));
        Ok((connection, answered))
    }

    /// The head as the member gets it.
    fn request(&self, head: &mut RequestHead, body: Body) -> http::Request<Body> {
        let host = match self.pool.plan.preserve_host && !head.authority.as_str().is_empty() {
            true => head.authority.value().clone(),
            false => self.lease.member().host.clone(),
        };
        // Set before the fields are copied: they have room for one more, a copy would have to grow.
        head.fields.set(header::HOST, host);
        let mut fields = head.fields.clone();
        head.fields.remove(header::HOST);
        if !self.bound.upgrade.is_empty() {
            hops::switch(&mut fields, &self.bound.upgrade);
        } else if self.bound.trailers {
            hops::welcome_trailers(&mut fields);
        }
        let mut request = http::Request::new(body);
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

fn uri(target: &PathAndQuery) -> http::Uri {
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(target.clone());
    http::Uri::from_parts(parts).unwrap_or_default()
}

fn receive(
    exchange: &mut Exchange,
    connection: Connection,
    answered: Answered,
    back: (std::rc::Rc<crate::upstream::Connections>, crate::upstream::Keeping),
    lease: Lease,
) -> ControlFlow<Answer, Answer> {
    let Answered { response, progress } = answered;
    let (parts, incoming): (_, Incoming) = response.into_parts();
    if parts.status.is_informational() {
        let detail = format!("an answer with status {} that nobody asked for", parts.status.as_u16());
        return Answer::broken(exchange, Failure::of(Kind::BadResponse, detail));
    }
    if parts.headers.contains_key(header::TRANSFER_ENCODING) && parts.headers.contains_key(header::CONTENT_LENGTH) {
        // RFC 9112, section 6.3: it ought to be handled as an error.
        let detail = "the answer has both Transfer-Encoding and Content-Length";
        return Answer::broken(exchange, Failure::of(Kind::BadResponse, detail));
    }
    let mut head = ResponseHead { status: parts.status, fields: parts.headers.into() };
    if hops::strip(&mut head.fields).is_err() {
        return Answer::broken(exchange, Failure::of(Kind::BadResponse, "Connection is not a list of tokens"));
    }
    if !semantics::may_state_length(head.status) {
        head.fields.remove(header::CONTENT_LENGTH);
    }
    let body = match semantics::has_body(&exchange.facts.request.method, head.status) {
        true => Body::stream(Download::of(incoming, progress, connection, back, lease)),
        false => {
            drop(Download::of(incoming, progress, connection, back, lease));
            Body::Empty
        }
    };
    Continue(Answer { head, body, upstream: Some(parts.version) })
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
