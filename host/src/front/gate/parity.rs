//! What the gate lets through, hyper reads in the same way: as many requests, with bodies of the same lengths.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::{Gate, Limits, State};
use crate::body::Body;

const LIMITS: Limits = Limits { max_head: 4096, max_target: 1024, max_fields: 64 };

struct Wire(DuplexStream);

impl hyper::rt::Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        let mut space = [0; 512];
        let room = buffer.remaining().min(space.len());
        let mut read = ReadBuf::new(&mut space[..room]);
        let result = Pin::new(&mut self.0).poll_read(context, &mut read);
        buffer.put_slice(read.filled());
        result
    }
}

impl hyper::rt::Write for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// How hyper reads the input: the body length of every request that arrived whole.
async fn by_hyper(input: &[u8]) -> Vec<u64> {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(input).await.unwrap();
    client.shutdown().await.unwrap();
    let read = Arc::new(Mutex::new(Vec::new()));
    let service = hyper::service::service_fn(|request: Request<Incoming>| {
        let read = Arc::clone(&read);
        async move {
            let mut body = request.into_body();
            let mut length = 0;
            loop {
                match std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
                    Some(Ok(frame)) => length += frame.data_ref().map_or(0, Bytes::len) as u64,
                    Some(Err(_)) => break,
                    None => {
                        read.lock().unwrap().push(length);
                        break;
                    }
                }
            }
            Ok::<_, Infallible>(Response::new(Body::Empty))
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().half_close(true).serve_connection(Wire(server), service).await;
    Arc::try_unwrap(read).unwrap().into_inner().unwrap()
}

/// How the gate reads the input; `None` when it refuses.
fn by_gate(input: &[u8]) -> Option<Vec<u64>> {
    let mut gate = Gate::of(LIMITS);
    let (mut read, mut length) = (Vec::new(), 0);
    for byte in input {
        let before = gate.state;
        gate.feed(&[*byte]).ok()?;
        gate.go_on();
        length += u64::from(matches!(before, State::Counted(_) | State::Chunk(_)));
        if matches!(gate.state, State::RequestLine) && !matches!(before, State::RequestLine) {
            read.push(std::mem::take(&mut length));
        }
    }
    Some(read)
}

#[tokio::test]
async fn hyper_reads_what_the_gate_read() {
    let mut random = fastrand::Rng::with_seed(23);
    let lines: &[&str] = &[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /x?y HTTP/1.1\r\nHost:\ta \r\n",
        "OPTIONS * HTTP/1.1\r\nhost: [::1]:8\r\n",
        "HEAD http://a/ HTTP/1.1\r\nHost: a\r\n",
        "get /\"{|}^?`{|}^\\ HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n",
    ];
    let framings: &[&str] = &[
        "\r\n",
        "Content-Length: 0\r\n\r\n",
        "content-length:\t3 \t\r\n\r\nabc",
        "Content-Length: 4\r\n\r\n\r\n\r\n",
        "Transfer-Encoding:\tCHUNKED \r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3;a=\"b\"\r\nabc\r\n0000a;\r\n0123456789\r\n00;x\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n1\r\n\r\r\n0\r\nX-Sum: y\r\nz:\r\n\r\n",
        "X: \u{e9}\t:\r\nx!#$%&'*+-.^_`|~: \r\n\r\n\r\n",
        "X: y\n\r\n",
        "Content-Length: +3\r\n\r\nabc",
        "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n",
    ];
    let (mut passed, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut input = Vec::new();
        for _ in 0..random.usize(1..4) {
            input.extend_from_slice(lines[random.usize(..lines.len())].as_bytes());
            input.extend_from_slice(framings[random.usize(..framings.len())].as_bytes());
        }
        // Now and then a byte is changed, which mostly makes for refusals and sometimes for another message.
        if random.bool() {
            let at = random.usize(..input.len());
            input[at] = *b"\r\n \t:;,05aA\0\x0b\xff".get(random.usize(..14)).unwrap();
        }
        match by_gate(&input) {
            Some(read) => {
                assert_eq!(by_hyper(&input).await, read, "{}", input.escape_ascii());
                passed += 1;
            }
            None => refused += 1,
        }
    }
    assert!(passed > 200 && refused > 200, "{passed} {refused}");
}
