//! What a site or listener says of TLS and HTTP/3 to every client: the redirect from cleartext, HSTS, `Alt-Svc`.

use std::cell::RefCell;
use std::ops::ControlFlow::{self, Break, Continue};

use bytes::Bytes;
use http::header;

use super::{Answer, Exchange};
use crate::failure::{Failure, Kind};
use crate::message::forwarding::{self, Peer};
use crate::message::{ResponseHead, Scheme, Value, Version, https};

/// Sends who comes without TLS to the same target with it, where the site says so. Whether TLS was taken off before is a
/// trusted proxy's to say.
pub(super) fn redirect(exchange: &mut Exchange, peer: &Peer) -> ControlFlow<Answer> {
    let request = &exchange.facts.request;
    let site = exchange.site.and_then(|site| exchange.local.generation.site(site));
    let Some(redirect) = site.and_then(|site| site.https_redirect) else { return Continue(()) };
    let scheme = forwarding::scheme(&request.fields, request.scheme, peer.is_trusted());
    if scheme == Scheme::Https || https::is_exempt(request.path()) {
        return Continue(());
    }
    let Some(location) = https::location(&request.authority, request.target(), redirect.port) else {
        return Answer::broken(exchange, Failure::of(Kind::BadHost, "no Host to redirect to"));
    };
    let mut head = ResponseHead::of(redirect.status);
    head.fields.set(header::LOCATION, location);
    Break(Answer::made(head, Bytes::new()))
}

/// The site's `Strict-Transport-Security`; it must not be said in the clear (RFC 6797, section 7.2).
pub(super) fn hsts(exchange: &Exchange) -> Option<&Value> {
    if exchange.client.scheme == Scheme::Http {
        return None;
    }
    exchange.local.generation.site(exchange.site?)?.hsts.as_ref()
}

/// That the listener speaks HTTP/3 too, for who does not know it yet. The port is that of the connection: one that the
/// system chose is not in the plan.
pub(super) fn alt_svc(exchange: &Exchange) -> Option<Value> {
    let client = &exchange.client;
    if client.scheme == Scheme::Http || exchange.facts.request.version == Version::HTTP_3 {
        return None;
    }
    let listener = exchange.local.generation.listener(&client.listener)?;
    let seconds = listener.h3.advertise.filter(|_| listener.protocols.h3)?.as_secs();
    remembered(client.to?.port(), seconds)
}

/// Made when it is another one than the last time on this thread, which it seldom is.
fn remembered(port: u16, seconds: u64) -> Option<Value> {
    thread_local! {
        static LAST: RefCell<Option<(u16, u64, Value)>> = const { RefCell::new(None) };
    }
    LAST.with_borrow_mut(|last| {
        if let Some((known, of, value)) = last
            && (*known, *of) == (port, seconds)
        {
            return Some(value.clone());
        }
        let value = https::alt_svc(port, seconds)?;
        *last = Some((port, seconds, value.clone()));
        Some(value)
    })
}
