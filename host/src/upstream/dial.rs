//! From an endpoint to a connection that HTTP can be spoken on: a socket, the client's address in front, TLS, all in time.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use tokio::io::AsyncWriteExt;

use super::race::Tried;
use super::reach::reach;
use super::socket::{Socket, Stream};
use super::speak::speak;
use super::{Connection, Endpoint, Preface};
use crate::clock::{Duration, Ticker};
use crate::config::{MemberAddress, Protocol, ProxyVersion, UpstreamTls};
use crate::failure::{Failure, Kind};
use crate::kernel;
use crate::tls;

#[cfg(test)]
mod tests;

/// How far a dial came.
#[derive(Default)]
struct Course {
    tried: Tried,
    is_in_handshake: Cell<bool>,
}

/// Dials an endpoint, all within `timeout`. The preface is for members that speak the PROXY protocol, and goes unsaid to
/// others; none is for connections that no client asked for. Cancellation safe.
///
/// # Errors
/// `ConnectTimeout`; `TlsFailed` when a connection stood, but not TLS or the protocol over it; `OutOfDescriptors` when it could
/// not even be tried; `ConnectRefused` for everything else. Nothing of a request was sent.
pub(super) async fn dial(
    endpoint: &Arc<Endpoint>,
    timeout: Duration,
    preface: Option<&Preface>,
    ticker: &Ticker,
) -> Result<Connection, Failure> {
    let course = Course::default();
    match tokio::time::timeout(timeout, establish(endpoint, preface, &course, ticker)).await {
        Ok(dialled) => dialled,
        Err(_) => Err(course.overdue(endpoint, timeout)),
    }
}

async fn establish(
    endpoint: &Arc<Endpoint>,
    preface: Option<&Preface>,
    course: &Course,
    ticker: &Ticker,
) -> Result<Connection, Failure> {
    let failed = |kind, error: &dyn std::fmt::Display| Failure::of(kind, format!("{endpoint}: {error}"));
    let refused = |error| failed(course.kind(&error), &error);
    let transport = &endpoint.transport;
    let mut socket = reach(&endpoint.address, transport.source, &course.tried).await.map_err(refused)?;
    let is_named = matches!(endpoint.address, MemberAddress::Name(..));
    let peer = is_named.then(|| socket.ends().1).flatten();
    if let Some(version) = transport.proxy_protocol {
        socket.write_all(&header(preface, version, &socket)).await.map_err(refused)?;
    }
    course.is_in_handshake.set(transport.tls.is_some());
    let (stream, is_h2) = match &transport.tls {
        Some(plan) => secure(endpoint, plan, socket).await.map_err(|why| failed(Kind::TlsFailed, &why))?,
        None => (Stream::Bare(socket), transport.protocol == Protocol::Http2),
    };
    let connection = speak(stream, is_h2, endpoint, ticker).await.map_err(refused)?;
    if let Some(peer) = peer {
        connection.place().leads_to(peer.ip());
    }
    Ok(connection)
}

/// The handshake, and whether HTTP/2 was agreed on in it.
async fn secure(endpoint: &Endpoint, plan: &UpstreamTls, socket: Socket) -> Result<(Stream, bool), String> {
    let client = endpoint.secured(plan).map_err(|error| error.to_string())?;
    let stream = client.connect(socket, &endpoint.host()).await.map_err(|error| error.to_string())?;
    let is_h2 = tls::chose_h2(&stream);
    if endpoint.transport.protocol == Protocol::Http2 && !is_h2 {
        return Err("the member did not choose HTTP/2 in the handshake (ALPN), and nothing else is allowed".to_owned());
    }
    Ok((Stream::Secured(Box::new(stream)), is_h2))
}

/// What a member hears of a connection of our own: in version 2 that it is one; in version 1, which has no word for that, the
/// addresses of the connection itself (`proxy-protocol.txt`, section 2.1).
fn header(preface: Option<&Preface>, version: ProxyVersion, socket: &Socket) -> Vec<u8> {
    let own = || match version {
        ProxyVersion::V1 => {
            let (source, destination) = socket.ends();
            Preface { source, destination }
        }
        ProxyVersion::V2 => Preface::default(),
    };
    preface.copied().unwrap_or_else(own).header(version)
}

impl Course {
    /// What it means that there is no connection.
    fn kind(&self, error: &io::Error) -> Kind {
        match kernel::lacks_descriptors(error) || self.tried.lacks_descriptors() {
            true => Kind::OutOfDescriptors,
            false => Kind::ConnectRefused,
        }
    }

    fn overdue(&self, endpoint: &Endpoint, timeout: Duration) -> Failure {
        let detail = match (self.is_in_handshake.get(), self.tried.is_empty()) {
            (true, _) => format!("{endpoint}: no TLS handshake within {timeout:?}"),
            (false, true) => format!("{endpoint}: no connection within {timeout:?}"),
            (false, false) => format!("{endpoint}: no connection within {timeout:?}: {}", self.tried),
        };
        Failure::of(Kind::ConnectTimeout, detail)
    }
}
