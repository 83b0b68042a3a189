//! Answers that no codec writes: to requests it never saw. And the closing of a connection so that its last answer arrives.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use http::header;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use crate::clock::{self, Duration};
use crate::failure::Kind;
use crate::message::answer::{self, Form};
use crate::message::{Method, ResponseHead, Status, Value};

/// How long a client may go on sending after our last word.
const LINGER: Duration = Duration::from_secs(2);

/// How much of it is read. Enough for what is in flight on any sane path, and a bound on what one refusal costs.
const MOST_LINGERED: usize = 1 << 20;

/// The answer to a failure of a request that the pipeline never saw.
pub(super) fn answer(method: &Method, kind: Kind, request_id: &str) -> (ResponseHead, Bytes) {
    let status = Status::from_u16(kind.status()).unwrap_or(Status::BAD_REQUEST);
    let (mut head, body) = answer::error(method, status, kind.public_text(), request_id, Form::Text);
    head.fields.set(header::SERVER, Value::from_static("weir"));
    if let Ok(date) = Value::from_str(&httpdate::fmt_http_date(clock::wall())) {
        head.fields.set(header::DATE, date);
    }
    if *method != Method::HEAD {
        head.fields.set(header::CONTENT_LENGTH, body.len().into());
    }
    (head, body)
}

/// Writes the answer to a failure onto a bare connection; it says `Connection: close`.
pub(super) async fn write(stream: &mut (impl AsyncWrite + Unpin), kind: Kind, request_id: &str) -> io::Result<()> {
    let (mut head, body) = answer(&Method::GET, kind, request_id);
    head.fields.set(header::CONNECTION, Value::from_static("close"));
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut text = format!("HTTP/1.1 {} {reason}\r\n", head.status.as_u16()).into_bytes();
    head.fields.write(&mut text);
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(&body);
    stream.write_all(&text).await
}

/// Says that nothing more comes, within bounds: under TLS silence is no end (RFC 8446, section 6.1).
pub(super) async fn end(stream: &mut (impl AsyncWrite + Unpin)) {
    let said = poll_fn(|context| Pin::new(&mut *stream).poll_shutdown(context));
    let _ = tokio::time::timeout(LINGER, said).await;
}

/// Says that nothing more comes, then reads what the client still sends, within bounds: a socket closed with unread bytes
/// resets the connection and can destroy the answer before it is read (RFC 9112, section 9.6).
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
    let drained = async {
        poll_fn(|context| Pin::new(&mut *stream).poll_shutdown(context)).await?;
        let mut scratch = [0_u8; 4096];
        let mut read = 0;
        while read < MOST_LINGERED {
            let mut buffer = ReadBuf::new(&mut scratch);
            poll_fn(|context| Pin::new(&mut *stream).poll_read(context, &mut buffer)).await?;
            match buffer.filled().len() {
                0 => break,
                length => read += length,
            }
        }
        io::Result::Ok(())
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}
