//! From a stream to a connection that HTTP is spoken on.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::patient::Patient;
use super::tunnel::Exit;
use super::{Connection, Endpoint, Upload};
use crate::clock::Ticker;

/// The codec runs as a task of its own and ends with the connection.
pub(super) async fn speak<S>(stream: S, endpoint: &Arc<Endpoint>, ticker: &Ticker) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
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
    Ok(Connection::fresh(sender, endpoint.clone(), Rc::new(ticker.deadline()), codec.abort_handle(), exit))
}
