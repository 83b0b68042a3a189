//! From an address to a connection that HTTP/1.1 can be spoken on.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::patient::Patient;
use super::{Connection, Endpoint, Upload};
use crate::clock::{Duration, Ticker};
use crate::config::MemberAddress;
use crate::failure::{Failure, Kind};

/// Dials an endpoint. Every address of a name is tried in order, all within `timeout`. Cancellation safe.
///
/// # Errors
/// `ConnectTimeout`, or `ConnectRefused` for everything else.
pub(super) async fn dial(endpoint: &Arc<Endpoint>, timeout: Duration, ticker: &Ticker) -> Result<Connection, Failure> {
    match tokio::time::timeout(timeout, connect(endpoint, ticker)).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(error)) => Err(Failure::of(Kind::ConnectRefused, format!("{endpoint}: {error}"))),
        Err(_) => Err(Failure::of(Kind::ConnectTimeout, format!("{endpoint}: no connection within {timeout:?}"))),
    }
}

async fn connect(endpoint: &Arc<Endpoint>, ticker: &Ticker) -> io::Result<Connection> {
    match &endpoint.address {
        MemberAddress::Tcp(address) => {
            speak(without_delay(TcpStream::connect(address).await?)?, endpoint, ticker).await
        }
        MemberAddress::Name(name, port) => {
            let stream = TcpStream::connect((name.as_str(), *port)).await?;
            speak(without_delay(stream)?, endpoint, ticker).await
        }
        MemberAddress::Unix(path) => speak(UnixStream::connect(path).await?, endpoint, ticker).await,
    }
}

fn without_delay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The codec runs as a task of its own and ends with the connection.
async fn speak<S>(stream: S, endpoint: &Arc<Endpoint>, ticker: &Ticker) -> io::Result<Connection>
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (sender, codec) = http1::Builder::new()
        .handshake::<_, Upload>(TokioIo::new(Patient::of(stream)))
        .await
        .map_err(io::Error::other)?;
    let codec = tokio::task::spawn_local(async move {
        if let Err(error) = codec.await {
            tracing::trace!(%error, "upstream connection ended");
        }
    });
    Ok(Connection::fresh(sender, endpoint.clone(), Rc::new(ticker.deadline()), codec.abort_handle()))
}
