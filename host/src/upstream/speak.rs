//! From a stream to a connection that HTTP is spoken on.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connection::Alone;
use super::patient::Patient;
use super::permit::Place;
use super::shared::{PULSE, Shared};
use super::socket::Stream;
use super::tunnel::Exit;
use super::wire::Counted;
use super::{Connection, Endpoint, Upload, stream};
use crate::clock::{Deadline, Ticker};

/// Speaks HTTP/1.1 on a stream, or HTTP/2 when that was agreed on or is known beforehand. The codec runs as a task of its
/// own and ends with the connection.
pub(super) async fn speak(
    stream: Stream,
    is_h2: bool,
    endpoint: &Arc<Endpoint>,
    ticker: &Ticker,
) -> io::Result<Connection> {
    let place = Place::default();
    if is_h2 {
        let shared = Shared::open(stream, endpoint, place, PULSE).await?;
        return Ok(Connection::shared(stream::Stream::on(shared, ticker)));
    }
    let deadline = Rc::new(ticker.deadline());
    let stream = Counted::of(stream, place.clone());
    speak_alone(stream, endpoint.clone(), place, deadline).await.map(Connection::alone)
}

/// Speaks HTTP/1.1 on a stream that has its place: for the first time, or once more behind an answer that went without a
/// codec.
pub(super) async fn speak_alone(
    stream: Counted<Stream>,
    endpoint: Arc<Endpoint>,
    place: Place,
    deadline: Rc<Deadline>,
) -> io::Result<Alone> {
    let is_bare = stream.get().bare().is_some();
    let (sender, codec) = http1::Builder::new()
        .handshake::<_, Upload>(TokioIo::new(Patient::of(stream)))
        .await
        .map_err(io::Error::other)?;
    let exit = Exit::default();
    let leaving = exit.clone();
    let codec = tokio::task::spawn_local(async move {
        if let Err(error) = leaving.run(codec, Patient::into_inner).await {
            tracing::trace!(%error, "upstream connection ended");
        }
    });
    Ok(Alone::of(sender, endpoint, place, deadline, codec.abort_handle(), exit).on(is_bare))
}
