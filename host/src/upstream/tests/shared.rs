//! Members that speak HTTP/2.

use std::cell::Cell;

use h2::server::{self, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};

use super::*;
use crate::failure::Kind;

pub(super) type Asked = Request<RecvStream>;
pub(super) type Reply = SendResponse<Bytes>;

/// A member that takes so many streams at once and gives each to `answer`, with the number of its connection.
pub(super) async fn member<F>(
    streams: u32,
    answer: impl Fn(usize, Asked, Reply) -> F + 'static,
) -> (Arc<Endpoint>, Rc<Cell<usize>>)
where
    F: Future<Output = ()> + 'static,
{
    let (listener, endpoint) = listen(Protocol::Http2).await;
    let (answer, seen) = (Rc::new(answer), Rc::new(Cell::new(0)));
    let connections = seen.clone();
    serve(listener, move |number, stream| {
        let (answer, seen) = (answer.clone(), seen.clone());
        async move {
            seen.set(seen.get() + 1);
            let handshake = server::Builder::new().max_concurrent_streams(streams).handshake(stream).await;
            let Ok(mut connection) = handshake else { return };
            while let Some(Ok((asked, reply))) = connection.accept().await {
                tokio::task::spawn_local(answer(number, asked, reply));
            }
        }
    });
    (endpoint, connections)
}

pub(super) fn begin(reply: &mut Reply) -> SendStream<Bytes> {
    reply.send_response(Response::new(()), false).unwrap()
}

pub(super) fn whole(mut reply: Reply, text: &'static str) {
    begin(&mut reply).send_data(Bytes::from_static(text.as_bytes()), true).unwrap();
}

/// Sends as the window allows; how much was sent is counted.
pub(super) async fn send(stream: &mut SendStream<Bytes>, mut data: Bytes, sent: &Cell<usize>) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(65_536));
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(room) => {
                let part = data.split_to(room?.min(data.len()));
                sent.set(sent.get() + part.len());
                stream.send_data(part, false)?;
            }
            None => return Err(Reason::CANCEL.into()),
        }
    }
    Ok(())
}

pub(super) async fn failure(connections: &Connections, endpoint: &Arc<Endpoint>, body: Body) -> Unanswered {
    let mut connection = connect(connections, endpoint, None).await;
    ask(&mut connection, request("POST", "/", body)).await.err().expect("no answer")
}

#[test]
fn a_burst_shares_one_connection_and_the_head_is_translated() {
    run(|connections, _| async move {
        let arrived = Rc::new(Cell::new(0));
        let (endpoint, seen) = member(200, move |_, asked, reply| {
            let arrived = arrived.clone();
            async move {
                assert_eq!(asked.uri().to_string(), "http://shop.example/a?b");
                assert!(!asked.headers().contains_key("host") && !asked.headers().contains_key("connection"));
                assert_eq!(asked.headers()["te"], "trailers");
                arrived.set(arrived.get() + 1);
                // Nobody is answered before all are here: they are on their way at once.
                eventually(|| arrived.get() == 50).await;
                whole(reply, "all");
            }
        })
        .await;
        let exchanges = (0..50).map(|_| {
            let (connections, endpoint) = (connections.clone(), endpoint.clone());
            tokio::task::spawn_local(async move {
                let mut connection = connect(&connections, &endpoint, None).await;
                let mut request = request("GET", "/a?b", Body::Empty);
                request.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
                request.headers_mut().insert("connection", http::HeaderValue::from_static("te"));
                let answered = ask(&mut connection, request).await.map_err(|no| no.failure).unwrap();
                assert_eq!(answered.response.version(), http::Version::HTTP_2);
                read(download(answered, connection, &connections)).await.unwrap().0
            })
        });
        for exchange in exchanges.collect::<Vec<_>>() {
            assert_eq!(exchange.await.unwrap(), "all");
        }
        assert_eq!((seen.get(), endpoint.open_connections()), (1, 1));
        assert!(connections.reuse(&endpoint).await.is_some(), "it rests, and is used again");
    });
}

#[test]
fn one_stream_at_a_time_takes_as_many_connections_as_exchanges() {
    run(|connections, _| async move {
        let arrived = Rc::new(Cell::new(0));
        let (endpoint, seen) = member(1, move |_, _, reply| {
            let arrived = arrived.clone();
            async move {
                arrived.set(arrived.get() + 1);
                eventually(|| arrived.get() >= 5).await;
                whole(reply, "five");
            }
        })
        .await;
        let exchanges = (0..5).map(|_| {
            let (connections, endpoint) = (connections.clone(), endpoint.clone());
            tokio::task::spawn_local(async move { exchange(&connections, &endpoint, None).await })
        });
        for exchange in exchanges.collect::<Vec<_>>() {
            assert_eq!(exchange.await.unwrap(), "five");
        }
        assert_eq!(seen.get(), 5);
        exchange(&connections, &endpoint, None).await;
        assert_eq!(seen.get(), 5);
    });
}

#[test]
fn bodies_and_trailers_go_both_ways_in_bounded_memory() {
    const SIZE: usize = 8 << 20;
    run(|connections, _| async move {
        let (endpoint, _) = member(9, |_, asked: Asked, mut reply: Reply| async move {
            let mut up = asked.into_body();
            let mut down = begin(&mut reply);
            while let Some(data) = up.data().await {
                let data = data.unwrap();
                up.flow_control().release_capacity(data.len()).unwrap();
                send(&mut down, data, &Cell::new(0)).await.unwrap();
            }
            down.send_trailers(up.trailers().await.unwrap().unwrap()).unwrap();
        })
        .await;
        let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("sum"), "42".parse().unwrap())]);
        let chunks = (0..SIZE / 16_384).map(|_| Frame::data(Bytes::from_static(&[7; 16_384])));
        let held = Rc::new(());
        let body = Frames::of(chunks.chain([Frame::trailers(trailers)]), false, &held);
        let mut connection = connect(&connections, &endpoint, None).await;
        let answered = ask(&mut connection, request("POST", "/", body)).await.map_err(|no| no.failure).unwrap();
        let (bytes, trailers) = read(download(answered, connection, &connections)).await.unwrap();
        assert!(bytes.len() == SIZE && bytes.iter().all(|&byte| byte == 7));
        assert_eq!(trailers["sum"], "42");
        assert_eq!(Rc::strong_count(&held), 1, "the body is let go");
    });
}

#[test]
fn slow_readers_hold_up_nobody_else() {
    run(|connections, _| async move {
        let sent = Rc::new(Cell::new(0));
        let counted = sent.clone();
        let (endpoint, seen) = member(99, move |_, asked: Asked, mut reply: Reply| {
            let sent = counted.clone();
            async move {
                match asked.uri().path() {
                    "/" => whole(reply, "quick"),
                    _ => {
                        let data = Bytes::from(vec![1; 4 << 20]);
                        let _ = send(&mut begin(&mut reply), data, &sent).await;
                    }
                }
            }
        })
        .await;
        let mut slow = Vec::new();
        for _ in 0..20 {
            let mut connection = connect(&connections, &endpoint, None).await;
            let answered = ask(&mut connection, request("GET", "/slow", Body::Empty)).await;
            slow.push(download(answered.map_err(|no| no.failure).unwrap(), connection, &connections));
        }
        let full = 20 * 512 * 1024;
        eventually(|| sent.get() >= full).await;
        assert_eq!(exchange(&connections, &endpoint, None).await, "quick");
        assert_eq!((seen.get(), sent.get()), (1, full), "one window each and no byte more");
        drop(slow);
        assert_eq!(exchange(&connections, &endpoint, None).await, "quick");
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn time_limits_end_one_exchange_and_not_its_neighbours() {
    run(|connections, _| async move {
        let cancelled = Rc::new(Cell::new(0));
        let count = cancelled.clone();
        let (endpoint, seen) = member(99, move |_, asked: Asked, mut reply: Reply| {
            let count = count.clone();
            async move {
                if asked.uri().path() == "/" {
                    return whole(reply, "quick");
                }
                // Holds on to the body and takes nothing of it.
                let _held = asked.into_body();
                let reason = poll_fn(|context| reply.poll_reset(context)).await.unwrap();
                assert_eq!(reason, Reason::CANCEL);
                count.set(count.get() + 1);
            }
        })
        .await;
        let held = Rc::new(());
        let endless = Frames::of((0..64).map(|_| Frame::data(Bytes::from_static(&[7; 16_384]))), true, &held);
        let short = Duration::from_millis(100);
        let table = [(Body::Empty, Kind::ResponseTimeout), (endless, Kind::UpstreamStalled)];
        for (body, kind) in table {
            let limits = Limits { head: short, read: short, write: short, until: None };
            let mut connection = connect(&connections, &endpoint, None).await;
            let answer = connection.ask(request("POST", "/hang", body), limits, false, |_, _| {}).await;
            assert_eq!(answer.err().map(|no| (no.failure.kind, no.is_unsent)), Some((kind, false)));
            assert_eq!(exchange(&connections, &endpoint, None).await, "quick");
        }
        eventually(|| cancelled.get() == 2).await;
        assert_eq!((seen.get(), Rc::strong_count(&held)), (1, 1));
    });
}

#[test]
fn interim_answers_are_heard_and_continue_lets_the_body_go() {
    run(|connections, _| async move {
        let (endpoint, _) = member(9, |_, asked: Asked, mut reply: Reply| async move {
            for status in [103, 100] {
                reply.send_informational(Response::builder().status(status).body(()).unwrap()).unwrap();
            }
            let mut up = asked.into_body();
            assert_eq!(up.data().await.unwrap().unwrap(), "body");
            whole(reply, "done");
        })
        .await;
        let mut connection = connect(&connections, &endpoint, None).await;
        let mut heard = Vec::new();
        let request = request("POST", "/", Body::from(Bytes::from("body")));
        let answered = connection.ask(request, LIMITS, true, |status, _| heard.push(status.as_u16())).await;
        let answered = answered.map_err(|no| no.failure).unwrap();
        assert_eq!(read(download(answered, connection, &connections)).await.unwrap().0, "done");
        assert_eq!(heard, [103]);
    });
}

#[test]
fn clients_that_leave_cost_their_neighbours_nothing() {
    run(|connections, _| async move {
        let go_on = Rc::new(Cell::new(false));
        let going = go_on.clone();
        let (endpoint, seen) = member(300, move |_, asked: Asked, mut reply: Reply| {
            let going = going.clone();
            async move {
                let mut body = begin(&mut reply);
                if asked.uri().path() == "/long" {
                    eventually(|| going.get()).await;
                    body.send_data("long".into(), true).unwrap();
                    return;
                }
                let _ = send(&mut body, vec![1; 256 << 10].into(), &Cell::new(0)).await;
            }
        })
        .await;
        let mut connection = connect(&connections, &endpoint, None).await;
        let answered =
            ask(&mut connection, request("GET", "/long", Body::Empty)).await.map_err(|no| no.failure).unwrap();
        let long = download(answered, connection, &connections);
        for _ in 0..40 {
            let mut left = Vec::new();
            for _ in 0..80 {
                let mut connection = connect(&connections, &endpoint, None).await;
                let answered = ask(&mut connection, request("GET", "/", Body::Empty)).await;
                left.push((answered.map_err(|no| no.failure).unwrap(), connection));
            }
        }
        go_on.set(true);
        assert_eq!(read(long).await.unwrap().0, "long");
        assert_eq!(seen.get(), 1);
    });
}
