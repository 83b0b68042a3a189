//! Change of protocol (RFC 9110, section 7.8): which requests may ask for it, what a member may answer, and the exchange
//! that lives as long as the tunnel that comes of it.
//!
//! The front carries the bytes' other end. Once a member's 101 is accepted, its connection is the pool's no more: lease
//! and connection are given back, and the pool's time limits end but for `tunnel-idle-timeout`.

use std::cell::Cell;
use std::rc::Rc;

use bytes::Bytes;
use http::header;
use tokio::io::{AsyncRead, AsyncWrite};

use super::route::Bound;
use super::{Answer, Exchange};
use crate::body::Body;
use crate::clock::Duration;
use crate::failure::{Failure, Kind};
use crate::message::{Method, RequestHead, ResponseHead, Status, Value, Version, hops};
use crate::upstream::{Answered, Connection, Ended, Far, Moved, carry};

/// A member that granted another protocol.
pub(super) struct Switched {
    /// What it changes to.
    pub(super) protocols: Vec<Value>,
    far: Far,
    idle: Duration,
}

/// An exchange that is a tunnel from its 101 on. It is logged when that ends; dropping it before closes the member's side.
pub struct Tunnel {
    exchange: Box<Exchange>,
    far: Option<Far>,
    idle: Duration,
    moved: Moved,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The 101 is on its way.
    Granted,
    /// Bytes go both ways.
    Carrying,
    Over,
}

/// Leaves of what a client asks for, by `Upgrade` or by extended CONNECT, what its route allows. A request with a body asks for nothing, because its body and
/// what follows it could not be told apart from here on; nor does one of HTTP/1.0 (RFC 9110, section 7.8), `HEAD`, whose
/// answer is another request's, or for `websocket` anything but `GET` (RFC 6455, section 4.1). `h2c` is never passed on:
/// what it leads to would not go through any of the gateway's checks.
pub(super) fn allow(asked: &mut Vec<Value>, allowed: &[String], request: &RequestHead, body: &Body) {
    if asked.is_empty() {
        return;
    }
    if request.version < Version::HTTP_11 || !body.is_over() || request.method == Method::HEAD {
        asked.clear();
    }
    asked.retain(|protocol| {
        let name = hops::protocol_name(protocol);
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        allowed.iter().any(|allowed| is(allowed)) && !is("h2c") && (request.method == Method::GET || !is("websocket"))
    });
}

/// Whether a member's answer changes the protocol, as it was asked to.
pub(super) fn is_switch(answered: &Answered, asked: &[Value]) -> bool {
    answered.response.status() == Status::SWITCHING_PROTOCOLS && !asked.is_empty()
}

/// Accepts a 101 if it grants what was asked for. The connection's stream is kept for the tunnel that the answer will be.
pub(super) async fn switch(
    exchange: &mut Exchange,
    connection: Connection,
    answered: Answered,
    bound: &Bound,
    idle: Duration,
) -> Result<Answer, Failure> {
    let (parts, _) = answered.response.into_parts();
    let mut head = ResponseHead { status: parts.status, fields: parts.headers.into() };
    let protocols = match hops::strip(&mut head.fields) {
        Ok(hops) if parts.version == Version::HTTP_11 && is_granted(&hops.upgrade, &bound.upgrade) => hops.upgrade,
        _ => return Err(Failure::of(Kind::BadResponse, "a 101 that does not name the protocol that was asked for")),
    };
    if bound.handshake.as_ref().is_some_and(|key| !key.get().is_accepted(&mut head.fields)) {
        return Err(Failure::of(Kind::BadResponse, "a 101 whose Sec-WebSocket-Accept does not fit the request's key"));
    }
    head.fields.remove(header::CONTENT_LENGTH);
    let far = connection.leave().await?;
    exchange.switched = Some(Box::new(Switched { protocols, far, idle }));
    Ok(Answer { head, body: Body::Empty, upstream: Some(parts.version), said: None })
}

/// Whether something is granted, and nothing that was not asked for.
fn is_granted(granted: &[Value], asked: &[Value]) -> bool {
    let is_asked = |protocol| {
        let name = hops::protocol_name(protocol);
        asked.iter().any(|asked| hops::protocol_name(asked).eq_ignore_ascii_case(name))
    };
    !granted.is_empty() && granted.iter().all(is_asked)
}

impl Tunnel {
    pub(super) fn of(exchange: Box<Exchange>, switched: Switched) -> Box<Self> {
        let Switched { far, idle, .. } = switched;
        Box::new(Self { exchange, far: Some(far), idle, moved: Moved::default(), stage: Stage::Granted })
    }

    /// Carries bytes until the tunnel ends. `early` is what the client sent behind its request before anybody looked.
    pub async fn carry(mut self: Box<Self>, near: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let Some(far) = self.far.take() else { return };
        self.stage = Stage::Carrying;
        let deadline = self.exchange.local.thread.ticker.deadline();
        let ended = carry(near, early, far, (self.idle, &deadline), &self.moved).await;
        self.stage = Stage::Over;
        match ended {
            Ended::Whole => {}
            Ended::Idle(limit) => {
                self.exchange.fail(&Failure::of(Kind::TunnelIdle, format!("no byte within {limit:?}")));
            }
            Ended::Near(error) => self.exchange.fail(&Failure::of(Kind::ClientGone, error.to_string())),
            Ended::Far(error) => self.exchange.fail(&Failure::of(Kind::UpstreamReset, error.to_string())),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.exchange.uploaded = Some(Rc::new(Cell::new(self.moved.up.get())));
        self.exchange.record.response_bytes = self.moved.down.get();
        match self.stage {
            Stage::Granted => {
                self.exchange.fail(&Failure::of(Kind::ClientGone, "the client left before its tunnel was open"))
            }
            // Only the end of its thread ends a tunnel from outside. That is told once, not for each.
            Stage::Carrying => self.exchange.record.failure = Some(Kind::Stopped),
            Stage::Over => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;
    use crate::message::{Scheme, host};

    fn request(method: Method, version: Version) -> RequestHead {
        let target = PathAndQuery::from_static("/");
        let mut request = RequestHead::of(method, Scheme::Http, host::absent(), target);
        request.version = version;
        request
    }

    fn values(texts: &[&'static str]) -> Vec<Value> {
        texts.iter().map(|text| Value::from_static(text)).collect()
    }

    #[test]
    fn only_what_the_route_lists_is_asked_for() {
        let none: &[&str] = &[];
        for (asked, allowed, method, expected) in [
            (&["websocket"][..], &["websocket"][..], Method::GET, &["websocket"][..]),
            (&["WebSocket/13"], &["websocket"], Method::GET, &["WebSocket/13"]),
            (&["a", "websocket", "b"], &["b", "a"], Method::GET, &["a", "b"]),
            (&["websocket"], none, Method::GET, none),
            (&["websockets"], &["websocket"], Method::GET, none),
            (&["h2c"], &["h2c"], Method::GET, none),
            (&["websocket", "tcp"], &["websocket", "tcp"], Method::POST, &["tcp"]),
            (&["tcp"], &["tcp"], Method::HEAD, none),
        ] {
            let allowed: Vec<_> = allowed.iter().map(|name| (*name).to_owned()).collect();
            let mut left = values(asked);
            allow(&mut left, &allowed, &request(method, Version::HTTP_11), &Body::Empty);
            assert_eq!(left, expected, "{asked:?} {allowed:?}");
        }
        let allowed = ["tcp".to_owned()];
        let mut left = values(&["tcp"]);
        allow(&mut left, &allowed, &request(Method::POST, Version::HTTP_11), &Body::from(Bytes::from("x")));
        assert!(left.is_empty());
        let mut left = values(&["tcp"]);
        allow(&mut left, &allowed, &request(Method::POST, Version::HTTP_10), &Body::Empty);
        assert!(left.is_empty());
    }

    #[test]
    fn a_grant_names_what_was_asked_for_and_nothing_else() {
        for (granted, asked, expected) in [
            (&["websocket"][..], &["websocket"][..], true),
            (&["WEBSOCKET"], &["websocket"], true),
            (&["a/2"], &["a/1", "b"], true),
            (&["a", "b"], &["a", "b"], true),
            (&["a", "c"], &["a", "b"], false),
            (&["foo"], &["websocket"], false),
            (&[], &["websocket"], false),
        ] {
            assert_eq!(is_granted(&values(granted), &values(asked)), expected, "{granted:?}");
        }
    }
}
