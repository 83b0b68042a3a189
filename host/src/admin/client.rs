//! The other end: one request to a gateway's admin socket, for commands.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::runtime::LocalOptions;

use crate::body::Body;
use crate::clock::Duration;

/// A little more than a gateway gives a connection.
const PATIENCE: Duration = Duration::from_secs(150);
/// More than all pages have together; whoever listens there may not be a gateway.
const MOST: usize = 16 << 20;

/// What came back.
#[derive(Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its content.
    pub body: Bytes,
}

/// Asks, and waits for the answer. `form` is sent as a form's content where it is not empty.
///
/// # Errors
/// When nobody listens there, or whoever does gives no answer.
pub fn ask(socket: &Path, method: Method, target: &str, form: String) -> io::Result<Response> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "weir")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(Bytes::from(form)))
        .map_err(io::Error::other)?;
    runtime.block_on(async {
        let answered = tokio::time::timeout(PATIENCE, exchange(socket, request)).await;
        answered.unwrap_or_else(|_| Err(io::Error::new(io::ErrorKind::TimedOut, "no answer in time")))
    })
}

async fn exchange(socket: &Path, request: Request<Body>) -> io::Result<Response> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::task::spawn_local(connection);
    let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
    Ok(Response { status: head.status.as_u16(), body: collect(body).await? })
}

async fn collect(mut body: Incoming) -> io::Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(io::Error::other)?;
        all.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
        if all.len() > MOST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long for a gateway's"));
        }
    }
    Ok(all.freeze())
}
