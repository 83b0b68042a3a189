//! Members that speak HTTP/2, and how exchanges and connections with them end before their time.

use std::cell::Cell;

use h2::{Reason, server};
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::shared::{Asked, Reply, begin, failure, member, whole};
use super::*;
use crate::failure::Kind;
use crate::message::Status;

#[test]
fn resets_say_what_they_mean() {
    let table = [(Reason::REFUSED_STREAM, true), (Reason::INTERNAL_ERROR, false), (Reason::CANCEL, false)];
    for (reason, is_unsent) in table {
        run(|connections, _| async move {
            let (endpoint, _) = member(9, move |_, _, mut reply: Reply| async move { reply.send_reset(reason) }).await;
            for body in [Body::Empty, Frames::of([Frame::data("x".into())], true, &Rc::new(()))] {
                let unanswered = failure(&connections, &endpoint, body).await;
                assert_eq!(
                    (unanswered.failure.kind, unanswered.is_unsent),
                    (Kind::UpstreamReset, is_unsent),
                    "{reason}"
                );
                assert!(unanswered.failure.detail.contains("stream"), "{}", unanswered.failure);
            }
        });
    }
}

/// Frames by hand: HEADERS are answered with `answer`.
async fn raw(answer: &'static [u8], closes: bool) -> Arc<Endpoint> {
    let (listener, endpoint) = listen(Protocol::Http2).await;
    serve(listener, move |_, mut stream| async move {
        stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
        let mut heard = Vec::new();
        while stream.read_buf(&mut heard).await.unwrap_or(0) > 0 {
            if has_headers(&heard) {
                stream.write_all(answer).await.unwrap();
                if closes {
                    return;
                }
                heard.truncate(24);
            }
        }
    });
    endpoint
}

fn has_headers(heard: &[u8]) -> bool {
    let mut rest = heard.get(24..).unwrap_or_default();
    while let [a, b, c, kind, _, _, _, _, _, ..] = *rest {
        if kind == 1 {
            return true;
        }
        rest = rest.get(9 + u32::from_be_bytes([0, a, b, c]) as usize..).unwrap_or_default();
    }
    false
}

const GOAWAY_NOTHING_DONE: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const GOAWAY_FIRST_DONE: &[u8] = &[0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2];

#[test]
fn what_goaway_leaves_out_was_not_done() {
    for (answer, is_unsent) in
        [(GOAWAY_NOTHING_DONE, true), (GOAWAY_FIRST_DONE, false), (b"HTTP/1.1 400\r\n\r\n", false)]
    {
        for closes in [true, false] {
            if !is_unsent && !closes {
                continue;
            }
            run(|connections, _| async move {
                let endpoint = raw(answer, closes).await;
                let unanswered = failure(&connections, &endpoint, Body::Empty).await;
                let kind = if answer.starts_with(b"HTTP") { Kind::BadResponse } else { Kind::UpstreamReset };
                assert_eq!(
                    (unanswered.failure.kind, unanswered.is_unsent),
                    (kind, is_unsent),
                    "{}",
                    unanswered.failure
                );
                assert!(connections.reuse(&endpoint).await.is_none());
                eventually(|| endpoint.open_connections() == 0).await;
            });
        }
    }
}

#[test]
fn after_goaway_nothing_new_and_what_runs_ends_well() {
    run(|connections, _| async move {
        let (listener, endpoint) = listen(Protocol::Http2).await;
        let go_on = Rc::new(Cell::new(false));
        let going = go_on.clone();
        serve(listener, move |number, stream| {
            let going = going.clone();
            async move {
                let mut connection = server::handshake(stream).await.unwrap();
                while let Some(Ok((_, mut reply))) = connection.accept().await {
                    if number > 0 {
                        whole(reply, "second");
                        continue;
                    }
                    let mut body = begin(&mut reply);
                    connection.graceful_shutdown();
                    let going = going.clone();
                    tokio::task::spawn_local(async move {
                        eventually(|| going.get()).await;
                        body.send_data("first".into(), true).unwrap();
                    });
                }
            }
        });
        let mut connection = connect(&connections, &endpoint, None).await;
        let answered = ask(&mut connection, request("GET", "/", Body::Empty)).await.map_err(|no| no.failure).unwrap();
        let first = download(answered, connection, &connections);
        while connections.reuse(&endpoint).await.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(exchange(&connections, &endpoint, None).await, "second");
        assert_eq!(endpoint.open_connections(), 2);
        go_on.set(true);
        assert_eq!(read(first).await.unwrap().0, "first");
        eventually(|| endpoint.open_connections() == 1).await;
    });
}

#[test]
fn a_body_is_whole_only_after_its_end_was_said() {
    let table = [(Some(Reason::NO_ERROR), false), (Some(Reason::CANCEL), false), (None, true)];
    for (reason, is_whole) in table {
        run(|connections, _| async move {
            let (endpoint, _) = member(9, move |_, _, mut reply: Reply| async move {
                let mut body = begin(&mut reply);
                body.send_data("part".into(), is_whole).unwrap();
                if let Some(reason) = reason {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    body.send_reset(reason);
                }
            })
            .await;
            let mut connection = connect(&connections, &endpoint, None).await;
            let answered =
                ask(&mut connection, request("GET", "/", Body::Empty)).await.map_err(|no| no.failure).unwrap();
            let read = read(download(answered, connection, &connections)).await;
            assert_eq!(
                read.map(|(bytes, _)| bytes).map_err(|failure| failure.kind),
                match is_whole {
                    true => Ok("part".into()),
                    false => Err(Kind::ResponseCut),
                }
            );
        });
    }
}

#[test]
fn an_early_answer_is_an_answer_and_ends_the_upload() {
    run(|connections, _| async move {
        let (endpoint, seen) = member(9, |_, asked: Asked, mut reply: Reply| async move {
            let mut response = Response::new(());
            *response.status_mut() = Status::PAYLOAD_TOO_LARGE;
            reply.send_response(response, true).unwrap();
            // The server lets go of what it has not read, which says RST_STREAM(NO_ERROR) (RFC 9113, section 8.1).
            drop(asked);
        })
        .await;
        for _ in 0..2 {
            let held = Rc::new(());
            let body = Frames::of((0..64).map(|_| Frame::data(Bytes::from_static(&[7; 16_384]))), true, &held);
            let mut connection = connect(&connections, &endpoint, None).await;
            let answered = ask(&mut connection, request("POST", "/", body)).await.map_err(|no| no.failure).unwrap();
            assert_eq!(answered.response.status(), 413);
            assert!(read(download(answered, connection, &connections)).await.unwrap().0.is_empty());
            eventually(|| Rc::strong_count(&held) == 1).await;
        }
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn a_flood_of_interim_answers_is_no_answer() {
    run(|connections, _| async move {
        let (endpoint, _) = member(9, |_, _, mut reply: Reply| async move {
            for _ in 0..100 {
                let _ = reply.send_informational(Response::builder().status(103).body(()).unwrap());
            }
        })
        .await;
        assert_eq!(failure(&connections, &endpoint, Body::Empty).await.failure.kind, Kind::BadResponse);
    });
}

#[test]
fn a_member_that_fell_silent_is_given_up() {
    use crate::upstream::{permit::Place, shared::Shared, stream::Stream};
    run(|_, ticker| async move {
        let (listener, endpoint) = listen(Protocol::Http2).await;
        serve(listener, |_, mut stream| async move {
            // Says what it must once, reads everything and never speaks again.
            stream.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await.unwrap();
            while stream.read(&mut [0; 4096]).await.unwrap_or(0) > 0 {}
        });
        let MemberAddress::Tcp(address) = endpoint.address else { unreachable!() };
        let stream = TcpStream::connect(address).await.unwrap();
        let pulse = Duration::from_millis(50);
        let shared = Shared::open(stream, &endpoint, Place::default(), pulse).await.unwrap();
        tokio::time::sleep(pulse * 4).await;
        assert!(shared.is_usable(), "at rest nobody asks");
        let mut connection = Connection::shared(Stream::on(shared.clone(), &ticker));
        let failure = ask(&mut connection, request("GET", "/", Body::Empty)).await.err().unwrap().failure;
        assert_eq!(failure.kind, Kind::UpstreamReset);
        assert!(!shared.is_usable());
    });
}
