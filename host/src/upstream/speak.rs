//! From a stream to a connection that HTTP is spoken on.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Alone;
use super::patient::Patient;
use super::permit::Place;
use super::shared::{PULSE, Shared};
use super::stream::Stream;
use super::tunnel::Exit;
use super::wire::Counted;
use super::{Connection, Endpoint, Upload};
use crate::clock::Ticker;

/// Speaks HTTP/1.1 on a stream, or HTTP/2 when that was agreed on or is known beforehand. The codec runs as a task of its
/// own and ends with the connection.
pub(super) async fn speak<S>(
    stream: S,
    is_h2: bool,
    endpoint: &Arc<Endpoint>,
    ticker: &Ticker,
) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let place = Place::default();
    if is_h2 {
        let shared = Shared::open(stream, endpoint, place, PULSE).await?;
        return Ok(Connection::shared(Stream::on(shared, ticker)));
    }
    let (sender, codec) = http1::Builder::new()
        .handshake::<_, Upload>(TokioIo::new(Patient::of(Counted::of(stream, place.clone()))))
        .await
        .map_err(io::Error::other)?;
    let exit = Exit::default();
    let leaving = exit.clone();
    let codec = tokio::task::spawn_local(async move {
        if let Err(error) = leaving.run(codec, Patient::into_inner).await {
            tracing::trace!(%error, "upstream connection ended");
        }
    });
    let deadline = Rc::new(ticker.deadline());
    Ok(Connection::alone(Alone::of(sender, endpoint.clone(), place, deadline, codec.abort_handle(), exit)))
}
