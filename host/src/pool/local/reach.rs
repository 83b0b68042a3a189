//! Whether anybody accepts connections at an address.

use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;

use tokio::net::{TcpStream, UnixStream};

use crate::clock::Duration;
use crate::config::MemberAddress;
use crate::upstream;

/// For one connect to a place on this machine.
const CONNECT: Duration = Duration::from_secs(1);

/// Between two looks: a program that starts takes this long anyway, and a connect costs it next to nothing.
const PAUSE: Duration = Duration::from_millis(25);

/// Whether a connection is accepted now; it is closed at once.
pub(super) async fn accepts(address: &MemberAddress) -> bool {
    matches!(tokio::time::timeout(CONNECT, connect(address)).await, Ok(Ok(())))
}

/// Waits until a connection is accepted. Cancellation safe.
pub(super) async fn until_accepts(address: &MemberAddress) {
    while !accepts(address).await {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn connect(address: &MemberAddress) -> io::Result<()> {
    match address {
        MemberAddress::Tcp(address) => tcp(*address).await,
        MemberAddress::Name(name, port) => {
            let mut outcome = Err(io::ErrorKind::NotFound.into());
            for address in upstream::addresses(name).await?.iter() {
                outcome = tcp(SocketAddr::new(*address, *port)).await;
                if outcome.is_ok() {
                    break;
                }
            }
            outcome
        }
        MemberAddress::Unix(path) => UnixStream::connect(path).await.map(drop),
        MemberAddress::Abstract(name) => {
            // A path that begins with a zero byte is one in the abstract namespace.
            let name = [b"\0", name.as_slice()].concat();
            UnixStream::connect(OsStr::from_bytes(&name)).await.map(drop)
        }
        MemberAddress::Service(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// A connect to a port that nobody listens on may, by chance, come from that very port, and then meets itself.
async fn tcp(address: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(())
}
