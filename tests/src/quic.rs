//! A client of HTTP/3 whose connection lasts: it moves, says anything on a stream, and knows how things ended.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::thread;

use bytes::{Buf as _, Bytes};
use quinn::{ConnectionError, ReadError, VarInt, WriteError, ZeroRttAccepted};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::eventually::PATIENCE;
use crate::visitor::Visitor;

/// A connection; dropping it closes it.
pub struct Quic {
    runtime: Handle,
    /// Its end ends the thread that the connection lives on.
    _life: oneshot::Sender<()>,
    endpoint: quinn::Endpoint,
    connection: quinn::Connection,
    requests: h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    early: Option<ZeroRttAccepted>,
}

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Said {
    /// Everything that came on the stream, frames and all.
    Bytes(Vec<u8>),
    /// The stream was reset, with this code.
    Reset(u64),
    /// The connection was closed, with this code.
    Closed(u64),
}

/// A stream on which anything can be said.
pub struct QuicStream {
    send: quinn::SendStream,
    receive: quinn::RecvStream,
}

impl Quic {
    /// Connects to a listener.
    pub fn connect(address: &str, visitor: &Visitor) -> io::Result<Quic> {
        Quic::begin(address, visitor, false)
    }

    /// The same, but asks before the handshake is over if an earlier session of the visitor's allows it.
    pub fn connect_early(address: &str, visitor: &Visitor) -> io::Result<Quic> {
        Quic::begin(address, visitor, true)
    }

    fn begin(address: &str, visitor: &Visitor, is_early: bool) -> io::Result<Quic> {
        let (runtime, life) = thread_of_its_own()?;
        let mut tls = (*visitor.config()).clone();
        tls.enable_early_data = is_early;
        let tls = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(io::Error::other)?;
        let address: SocketAddr = address.parse().map_err(io::Error::other)?;
        let name = visitor.name().to_str().into_owned();
        let opened = async {
            let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
            let config = quinn::ClientConfig::new(Arc::new(tls));
            let connecting = endpoint.connect_with(config, address, &name).map_err(io::Error::other)?;
            let (connection, early) = match connecting.into_0rtt() {
                Ok((connection, early)) => (connection, Some(early)),
                Err(connecting) => (timeout(PATIENCE, connecting).await??, None),
            };
            let (mut driver, requests) = h3::client::builder()
                .send_grease(false)
                .build::<_, _, Bytes>(h3_quinn::Connection::new(connection.clone()))
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
            io::Result::Ok((endpoint, connection, requests, early))
        };
        let (endpoint, connection, requests, early) = runtime.block_on(opened)?;
        Ok(Quic { runtime, _life: life, endpoint, connection, requests, early })
    }

    /// Whether what was asked before the end of the handshake was taken; for connections that asked then.
    pub fn was_early_taken(&mut self) -> Option<bool> {
        self.early.take().map(|early| self.runtime.block_on(early))
    }

    /// From here on it comes from another port.
    pub fn move_elsewhere(&self) -> io::Result<()> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        self.runtime.block_on(async { self.endpoint.rebind(socket) })
    }

    /// A GET; its status and its body.
    pub fn get(&mut self, target: &str) -> io::Result<(u16, Vec<u8>)> {
        let uri = format!("https://any.example{target}");
        let request = http::Request::get(uri).body(()).map_err(io::Error::other)?;
        let Quic { runtime, requests, .. } = self;
        runtime.block_on(async {
            let answered = async {
                let mut stream = requests.send_request(request).await?;
                stream.finish().await?;
                let status = stream.recv_response().await?.status().as_u16();
                let mut body = Vec::new();
                while let Some(mut piece) = stream.recv_data().await? {
                    body.extend_from_slice(&piece.copy_to_bytes(piece.remaining()));
                }
                Ok((status, body))
            };
            timeout(PATIENCE, answered).await?.map_err(|error: h3::error::StreamError| io::Error::other(error))
        })
    }

    /// A stream that has said something already.
    pub fn say(&self, bytes: &[u8]) -> io::Result<QuicStream> {
        self.runtime.block_on(async {
            let (send, receive) = self.connection.open_bi().await?;
            let mut stream = QuicStream { send, receive };
            stream.write(bytes).await?;
            Ok(stream)
        })
    }

    /// Says something more on a stream.
    pub fn say_on(&self, stream: &mut QuicStream, bytes: &[u8]) -> io::Result<()> {
        self.runtime.block_on(stream.write(bytes))
    }

    /// Says on a stream that there is no more.
    pub fn end(&self, stream: &mut QuicStream) {
        self.runtime.block_on(async { stream.send.finish() }).ok();
    }

    /// Reads a stream until so many bytes have come.
    pub fn read(&self, stream: &mut QuicStream, length: usize) -> io::Result<Vec<u8>> {
        self.runtime.block_on(async {
            let mut bytes = vec![0; length];
            timeout(PATIENCE, stream.receive.read_exact(&mut bytes)).await?.map_err(io::Error::other)?;
            Ok(bytes)
        })
    }

    /// Reads a stream to its end, whatever that is.
    pub fn hear(&self, stream: &mut QuicStream) -> Said {
        self.runtime.block_on(async {
            let mut bytes = Vec::new();
            let heard = async {
                loop {
                    match stream.receive.read_chunk(usize::MAX, true).await {
                        Ok(Some(chunk)) => bytes.extend_from_slice(&chunk.bytes),
                        Ok(None) => break Said::Bytes(bytes),
                        Err(ReadError::Reset(code)) => break Said::Reset(code.into_inner()),
                        Err(ReadError::ConnectionLost(error)) => break Said::Closed(code_of(&error)),
                        Err(error) => panic!("a stream ended otherwise: {error}"),
                    }
                }
            };
            timeout(PATIENCE, heard).await.expect("a stream ends")
        })
    }

    /// The code with which the client is asked to say no more on a stream.
    pub fn stopped(&self, stream: &mut QuicStream) -> Option<u64> {
        self.runtime.block_on(async {
            let stopped = timeout(PATIENCE, stream.send.stopped()).await.expect("it is stopped, or everything arrived");
            stopped.ok().flatten().map(VarInt::into_inner)
        })
    }

    /// Gives a stream up.
    pub fn give_up(&self, stream: &mut QuicStream) {
        self.runtime.block_on(async {
            let code = VarInt::from_u32(0x10c);
            let _ = (stream.send.reset(code), stream.receive.stop(code));
        });
    }

    /// Waits for the end of the connection; its code.
    pub fn closed(&self) -> u64 {
        let error = self.runtime.block_on(async { timeout(PATIENCE, self.connection.closed()).await });
        code_of(&error.expect("the connection is closed"))
    }
}

/// A runtime that goes on while the test does something else.
fn thread_of_its_own() -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (handle, (life, ended)) = (runtime.handle().clone(), oneshot::channel::<()>());
    thread::spawn(move || runtime.block_on(ended));
    Ok((handle, life))
}

impl QuicStream {
    /// A stream that is stopped takes no more, which is no fault of the test's.
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match timeout(PATIENCE, self.send.write_all(bytes)).await? {
            Ok(()) | Err(WriteError::Stopped(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The application's code; the transport's errors count from above all of them.
fn code_of(error: &ConnectionError) -> u64 {
    match error {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        ConnectionError::ConnectionClosed(close) => 1 << 62 | u64::from(close.error_code),
        error => panic!("the connection ended otherwise: {error}"),
    }
}
