//! Long answers to a reader that has the kernel move them: what comes in pipes, and what becomes of the connection.

use std::cell::Cell;
use std::io::Read as _;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::body::Piece;
use crate::failure::Kind;

const LENGTH: usize = 3 << 20;

/// What a reader of pieces got.
#[derive(Default)]
struct Got {
    bytes: Vec<u8>,
    piped: usize,
    failure: Option<Failure>,
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length.div_ceil(8)).flat_map(|count| format!("{count:07}\n").into_bytes()).take(length).collect()
}

/// A member that answers with this head and body, as often as it is asked; told how many connections it had.
async fn member(head: String, body: Vec<u8>) -> (Arc<Endpoint>, Rc<Cell<usize>>) {
    let (listener, endpoint) = listen(Protocol::Http1).await;
    let (had, body) = (Rc::new(Cell::new(0)), Rc::new(body));
    let count = had.clone();
    serve(listener, move |number, mut stream| {
        count.set(number + 1);
        let (head, body) = (head.clone(), body.clone());
        async move {
            let mut heard = [0; 1 << 10];
            while stream.read(&mut heard).await.unwrap_or(0) > 0 {
                if stream.write_all(head.as_bytes()).await.is_err() || stream.write_all(&body).await.is_err() {
                    return;
                }
                if head.contains("short") {
                    return;
                }
            }
        }
    });
    (endpoint, had)
}

/// Reads a body by pieces; after `pieces` of them by frames.
async fn read_pieces(mut body: Body, pieces: usize) -> Got {
    let (near, mut far) = UnixStream::pair().unwrap();
    let mut got = Got::default();
    for count in 0.. {
        let next = match count < pieces {
            true => poll_fn(|context| body.poll_piece(context, 100_000)).await,
            false => {
                poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await.map(|next| next.map(Piece::Frame))
            }
        };
        match next {
            None => break,
            Some(Err(failure)) => {
                got.failure = Some(failure);
                break;
            }
            Some(Ok(Piece::Frame(frame))) => got.bytes.extend_from_slice(&frame.into_data().unwrap()),
            Some(Ok(Piece::Extent(_))) => panic!("no member has files"),
            Some(Ok(Piece::Piped(mut pipe))) => {
                assert!(pipe.held() <= 100_000);
                while pipe.held() > 0 {
                    let moved = pipe.drain(near.as_fd(), usize::MAX >> 1).unwrap();
                    let mut bytes = vec![0; moved];
                    far.read_exact(&mut bytes).unwrap();
                    got.bytes.extend_from_slice(&bytes);
                    got.piped += moved;
                }
            }
        }
    }
    got
}

async fn get(connections: &Rc<Connections>, endpoint: &Arc<Endpoint>, body: Body) -> Body {
    let mut connection = connect(connections, endpoint, None).await;
    let answered = ask(&mut connection, request("GET", "/", body)).await.map_err(|no| no.failure).unwrap();
    let incoming = answered.response.into_body();
    Body::source(Download::of(incoming, answered.progress, connection, (connections.clone(), KEEPING), ()))
}

fn ok(fields: &str, length: usize) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {length}\r\n\r\n")
}

#[test]
fn long_answers_come_in_pipes_and_the_connection_goes_on() {
    run(|connections, _| async move {
        let body = pattern(LENGTH);
        let (endpoint, had) = member(ok("", LENGTH), body.clone()).await;
        for pieces in [usize::MAX, usize::MAX, 0, 5, usize::MAX] {
            let got = read_pieces(get(&connections, &endpoint, Body::Empty).await, pieces).await;
            assert!(got.bytes == body && got.failure.is_none(), "{pieces}: {:?}", got.failure);
            assert_eq!(got.piped > LENGTH / 2, pieces > 5, "{pieces}: {}", got.piped);
            // The connection is put back by a task of its own.
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        assert_eq!(had.get(), 1);
    });
}

#[test]
fn what_the_codec_is_needed_for_stays_with_it() {
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{LENGTH:x}\r\n");
    let body = pattern(LENGTH);
    for (head, sent, length, request) in [
        (ok("", 200_000), body[..200_000].to_vec(), 200_000, Body::Empty),
        (chunked, [&body[..], b"\r\n0\r\n\r\n"].concat(), LENGTH, Body::Empty),
        (ok("", LENGTH), body.clone(), LENGTH, Body::from(Bytes::from_static(b"request"))),
    ] {
        let body = &body;
        run(|connections, _| async move {
            let (endpoint, _) = member(head, sent).await;
            let got = read_pieces(get(&connections, &endpoint, request).await, usize::MAX).await;
            assert!(got.bytes == body[..length] && got.piped == 0 && got.failure.is_none());
        });
    }
}

#[test]
fn a_connection_that_may_not_go_on_does_not() {
    let body = pattern(LENGTH);
    let too_much = [&body[..], b"HTTP/1.1 200 OK\r\n"].concat();
    for (head, sent) in [
        (ok("Connection: close\r\n", LENGTH), body.clone()),
        (ok("Connection: keep-alive, Close\r\n", LENGTH), body.clone()),
        (ok("", LENGTH).replace("1.1", "1.0"), body.clone()),
        (ok("", LENGTH), too_much),
    ] {
        let body = &body;
        run(|connections, _| async move {
            let told = head.clone();
            let (endpoint, had) = member(head, sent).await;
            for number in 1..=2 {
                let got = read_pieces(get(&connections, &endpoint, Body::Empty).await, usize::MAX).await;
                assert!(got.bytes == *body && got.piped > 0, "{told}");
                for _ in 0..3 {
                    tokio::task::yield_now().await;
                }
                assert_eq!(had.get(), number, "{told}");
            }
        });
    }
}

#[test]
fn an_answer_that_ends_early_is_cut() {
    run(|connections, _| async move {
        let (endpoint, _) = member(ok("X: short\r\n", LENGTH), pattern(LENGTH - 1)).await;
        for pieces in [usize::MAX, 3] {
            let got = read_pieces(get(&connections, &endpoint, Body::Empty).await, pieces).await;
            assert_eq!(
                (got.bytes.len(), got.failure.map(|failure| failure.kind)),
                (LENGTH - 1, Some(Kind::ResponseCut))
            );
        }
    });
}
