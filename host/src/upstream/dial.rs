//! From an address to a stream, and on to a connection that HTTP can be spoken on.

use std::io;
use std::sync::Arc;

use tokio::net::{TcpStream, UnixStream};

use super::speak::speak;
use super::{Connection, Endpoint};
use crate::clock::{Duration, Ticker};
use crate::config::{MemberAddress, Protocol};
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
    let is_h2 = endpoint.transport.protocol == Protocol::Http2;
    match &endpoint.address {
        MemberAddress::Tcp(address) => {
            speak(without_delay(TcpStream::connect(address).await?)?, is_h2, endpoint, ticker).await
        }
        MemberAddress::Name(name, port) => {
            let stream = TcpStream::connect((name.as_str(), *port)).await?;
            speak(without_delay(stream)?, is_h2, endpoint, ticker).await
        }
        MemberAddress::Unix(path) => speak(UnixStream::connect(path).await?, is_h2, endpoint, ticker).await,
        MemberAddress::Service(_) | MemberAddress::Abstract(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn without_delay(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}
