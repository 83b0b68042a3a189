//! A request over HTTP/2 and HTTP/3, by the crates that speak them.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::{Ask, Version};
use crate::client::Response;
use crate::eventually::PATIENCE;
use crate::visitor::Visitor;
use crate::wire::{Fields, Framing};

/// Wide enough that no test waits for a window that is not about windows.
const WINDOW: u32 = 4 << 20;
/// RFC 9114, section 8.1.
const H3_NO_ERROR: quinn::VarInt = quinn::VarInt::from_u32(0x100);
/// Of a body, at once.
const PIECE: usize = 10_000;

pub(super) fn ask(version: Version, address: SocketAddr, visitor: Option<&Visitor>, ask: &Ask) -> io::Result<Response> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let answered = async {
            match (version, visitor) {
                (Version::H3, Some(visitor)) => over_h3(address, visitor, ask).await,
                (Version::H3, None) | (Version::H1, _) => Err(io::ErrorKind::Unsupported.into()),
                (Version::H2, None) => over_h2(connect(address).await?, "http", ask).await,
                (Version::H2, Some(visitor)) => {
                    let connector = tokio_rustls::TlsConnector::from(visitor.config());
                    let stream = connector.connect(visitor.name(), connect(address).await?).await?;
                    over_h2(stream, "https", ask).await
                }
            }
        };
        tokio::time::timeout(PATIENCE, answered).await?
    })
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn over_h2<S>(stream: S, scheme: &str, ask: &Ask) -> io::Result<Response>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (send, connection) = h2::client::Builder::new()
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(1 << 20)
        .handshake(stream)
        .await
        .map_err(io::Error::other)?;
    tokio::spawn(connection);
    let mut send = send.ready().await.map_err(io::Error::other)?;
    let (answer, upload) = send.send_request(request(ask, scheme)?, ask.body.is_none()).map_err(io::Error::other)?;
    both(take_h2(answer), put_h2(upload, ask)).await
}

async fn put_h2(mut stream: h2::SendStream<Bytes>, ask: &Ask) -> Result<(), h2::Error> {
    let Some(body) = &ask.body else { return Ok(()) };
    let mut left = Bytes::copy_from_slice(body);
    while !left.is_empty() {
        stream.reserve_capacity(left.len().min(PIECE));
        let Some(room) = poll_fn(|cx| stream.poll_capacity(cx)).await else { return Ok(()) };
        let piece = left.split_to(room?.min(left.len()));
        stream.send_data(piece, false)?;
    }
    if ask.is_unfinished {
        // Letting go of the stream would end it.
        std::future::pending::<()>().await;
    }
    if ask.trailers.is_empty() {
        return stream.send_data(Bytes::new(), true);
    }
    stream.send_trailers(map(&ask.trailers))
}

async fn take_h2(mut answer: h2::client::ResponseFuture) -> io::Result<Response> {
    let mut interim = Vec::new();
    let response = poll_fn(|cx| {
        while let Poll::Ready(Some(Ok(early))) = answer.poll_informational(cx) {
            interim.push((early.status().as_u16(), fields(early.headers())));
        }
        Pin::new(&mut answer).poll(cx)
    });
    let (head, mut stream) = response.await.map_err(io::Error::other)?.into_parts();
    let mut body = Vec::new();
    let cut = loop {
        match stream.data().await {
            Some(Ok(piece)) => {
                let _ = stream.flow_control().release_capacity(piece.len());
                body.extend_from_slice(&piece);
            }
            Some(Err(error)) => break Some(error.to_string()),
            None => break None,
        }
    };
    let trailers = match stream.trailers().await {
        Ok(Some(trailers)) => fields(&trailers),
        _ => Fields::default(),
    };
    Ok(response_of("HTTP/2", interim, &head, body, trailers, cut))
}

async fn over_h3(address: SocketAddr, visitor: &Visitor, ask: &Ask) -> io::Result<Response> {
    let tls = quinn::crypto::rustls::QuicClientConfig::try_from(visitor.config()).map_err(io::Error::other)?;
    let endpoint = quinn::Endpoint::client(([127, 0, 0, 1], 0).into())?;
    let config = quinn::ClientConfig::new(Arc::new(tls));
    let name = visitor.name().to_str().into_owned();
    let connection = endpoint.connect_with(config, address, &name).map_err(io::Error::other)?.await?;
    let answer = on_h3(h3_quinn::Connection::new(connection.clone()), ask).await;
    // Whoever just went would be waited for.
    connection.close(H3_NO_ERROR, b"");
    endpoint.wait_idle().await;
    answer
}

async fn on_h3(connection: h3_quinn::Connection, ask: &Ask) -> io::Result<Response> {
    let built = h3::client::builder().build::<_, _, Bytes>(connection).await;
    let (mut driver, mut send) = built.map_err(io::Error::other)?;
    tokio::spawn(async move { poll_fn(|cx| driver.poll_close(cx)).await });
    let stream = send.send_request(request(ask, "https")?).await.map_err(io::Error::other)?;
    let (upload, download) = stream.split();
    both(take_h3(download), put_h3(upload, ask)).await
}

async fn put_h3<S>(mut stream: h3::client::RequestStream<S, Bytes>, ask: &Ask) -> Result<(), h3::error::StreamError>
where
    S: h3::quic::SendStream<Bytes>,
{
    for piece in ask.body.as_deref().unwrap_or_default().chunks(PIECE) {
        stream.send_data(Bytes::copy_from_slice(piece)).await?;
    }
    if ask.is_unfinished {
        std::future::pending::<()>().await;
    }
    if !ask.trailers.is_empty() {
        stream.send_trailers(map(&ask.trailers)).await?;
    }
    stream.finish().await
}

async fn take_h3<S>(mut stream: h3::client::RequestStream<S, Bytes>) -> io::Result<Response>
where
    S: h3::quic::RecvStream,
{
    let mut interim = Vec::new();
    let head = loop {
        let head = stream.recv_response().await.map_err(io::Error::other)?;
        if !head.status().is_informational() {
            break head.into_parts().0;
        }
        interim.push((head.status().as_u16(), fields(head.headers())));
    };
    let mut body = Vec::new();
    let cut = loop {
        match stream.recv_data().await {
            Ok(Some(mut piece)) => body.extend_from_slice(&piece.copy_to_bytes(piece.remaining())),
            Ok(None) => break None,
            Err(error) => break Some(error.to_string()),
        }
    };
    let trailers = match stream.recv_trailers().await {
        Ok(Some(trailers)) => fields(&trailers),
        _ => Fields::default(),
    };
    Ok(response_of("HTTP/3", interim, &head, body, trailers, cut))
}

/// The answer, while the request goes on being sent as long as anybody takes it.
async fn both<E>(
    answer: impl Future<Output = io::Result<Response>>,
    upload: impl Future<Output = Result<(), E>>,
) -> io::Result<Response> {
    let (mut answer, mut upload) = (pin!(answer), pin!(upload));
    let mut is_sent = false;
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            _ = &mut upload, if !is_sent => is_sent = true,
        }
    }
}

fn request(ask: &Ask, scheme: &str) -> io::Result<Request<()>> {
    let uri = http::Uri::builder().scheme(scheme).authority(ask.host.as_str()).path_and_query(ask.target.as_str());
    let mut request = Request::builder()
        .method(ask.method.as_str())
        .uri(uri.build().map_err(io::Error::other)?)
        .body(())
        .map_err(io::Error::other)?;
    *request.headers_mut() = map(&ask.fields);
    if let Some(length) = ask.length() {
        request.headers_mut().insert("content-length", HeaderValue::from(length));
    }
    Ok(request)
}

fn map(lines: &[(String, String)]) -> HeaderMap {
    let line = |(name, value): &(String, String)| {
        let name: HeaderName = name.parse().expect("tests write names as they should be");
        (name, HeaderValue::from_bytes(value.as_bytes()).expect("tests write values as they should be"))
    };
    lines.iter().map(line).collect()
}

fn fields(map: &HeaderMap) -> Fields {
    let text = |value: &HeaderValue| value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
    Fields(map.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect())
}

fn response_of(
    version: &str,
    interim: Vec<(u16, Fields)>,
    head: &http::response::Parts,
    body: Vec<u8>,
    trailers: Fields,
    cut: Option<String>,
) -> Response {
    Response {
        interim,
        version: version.to_owned(),
        status: head.status.as_u16(),
        fields: fields(&head.headers),
        body,
        trailers,
        framing: Framing::Nothing,
        cut,
    }
}
