//! HTTP/2 from a client's preface to its GOAWAY, in the clear: whole exchanges, many at once, gRPC's shapes, and the end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream, server};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use weir_tests::{Config, Gateway, Origin, PATIENCE, Signal, behaviour};

/// Runs a test with a client's connection to the gateway.
fn speak<F: Future<Output = ()>>(gateway: &Gateway, builder: &Builder, test: impl FnOnce(SendRequest<Bytes>) -> F) {
    run(async {
        let sender = connect(gateway, builder).await;
        test(sender).await;
    });
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, test).await.expect("it takes too long") });
}

async fn connect(gateway: &Gateway, builder: &Builder) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gateway.addr("web")).await.unwrap();
    let (sender, connection) = builder.handshake(stream).await.unwrap();
    tokio::spawn(async move { drop(connection.await) });
    sender.ready().await.unwrap()
}

fn request(method: &str, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://localhost{path}")).body(()).unwrap()
}

async fn whole(response: ResponseFuture) -> Result<(http::response::Parts, Vec<u8>, Option<HeaderMap>), h2::Error> {
    let (head, mut body) = response.await?.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    let trailers = poll_fn(|context| body.poll_trailers(context)).await?;
    Ok((head, bytes, trailers))
}

/// Sends a body as the window allows.
async fn upload(stream: &mut SendStream<Bytes>, mut body: Bytes) {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let room = poll_fn(|context| stream.poll_capacity(context)).await.unwrap().unwrap();
        let piece = body.split_to(room.min(body.len()));
        stream.send_data(piece, body.is_empty()).unwrap();
    }
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

#[test]
fn a_body_arrives_byte_for_byte_and_comes_back() {
    let origin = Origin::that(behaviour::echoes());
    let gateway = Gateway::start(&Config::to(&origin).access_log("${request.version} ${response.status}"));
    speak(&gateway, &Builder::new(), |mut sender| async move {
        for length in [1, 1000, 65_536, 3_000_001] {
            let body = Bytes::from(pattern(length));
            let (response, mut stream) = sender.send_request(request("POST", "/up"), false).unwrap();
            upload(&mut stream, body.clone()).await;
            assert_eq!(whole(response).await.unwrap().0.status, 200);
            let seen = origin.request("/up");
            assert!(seen.body == body, "{length} bytes were changed on their way");
            assert_eq!(seen.fields.get("transfer-encoding").as_deref(), Some("chunked"));
        }
    });
    assert_eq!(gateway.access_lines(4), ["HTTP/2.0 200"; 4]);
}

#[test]
fn many_streams_go_at_once_on_one_connection() {
    let origin = Origin::that(behaviour::big_body(300_000));
    let gateway = Gateway::start(&Config::to(&origin));
    speak(&gateway, Builder::new().initial_window_size(100_000), |mut sender| async move {
        let mut answers = Vec::new();
        for index in 0..100 {
            let mut asked = request("GET", "/big");
            let priority = format!("u={}{}", index % 8, if index % 3 == 0 { ", i" } else { "" });
            asked.headers_mut().insert("priority", priority.parse().unwrap());
            sender = sender.ready().await.unwrap();
            answers.push(tokio::spawn(whole(sender.send_request(asked, true).unwrap().0)));
        }
        for answer in answers {
            assert_eq!(answer.await.unwrap().unwrap().1.len(), 300_000);
        }
    });
}

/// What clients do not take stays where it is: neither in the gateway nor on its way into it.
#[test]
fn windows_that_stay_shut_cost_no_memory_and_no_neighbour() {
    let origin = Origin::that(behaviour::big_body(50_000_000));
    let gateway = Gateway::start(&Config::to(&origin));
    let before = gateway.rss_kib();
    run(async {
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut builder = Builder::new();
            // Streams that want everything on a connection that takes next to nothing.
            builder.initial_window_size(16 << 20).initial_connection_window_size(65_535);
            let mut sender = connect(&gateway, &builder).await;
            for _ in 0..50 {
                sender = sender.ready().await.unwrap();
                let (response, stream) = sender.send_request(request("GET", "/big"), true).unwrap();
                held.push((response.await.unwrap(), stream));
            }
        }
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let grown = gateway.rss_kib().saturating_sub(before);
            assert!(grown < 200 * 256, "{grown} KiB are held that nobody takes");
        }
        let neighbour = connect(&gateway, &Builder::new()).await;
        let (response, _) = neighbour.clone().send_request(request("HEAD", "/big"), true).unwrap();
        assert_eq!(whole(response).await.unwrap().0.status, 200);
        drop(held);
    });
}

#[test]
fn who_leaves_and_who_takes_nothing_is_in_the_log() {
    let origin = Origin::that(behaviour::big_body(1_000_000));
    let config = Config::to(&origin).listener("write-timeout = \"2s\"").access_log("${request.path} ${failure}");
    let gateway = Gateway::start(&config);
    speak(&gateway, Builder::new().initial_window_size(10), |mut sender| async move {
        let (response, _) = sender.send_request(request("GET", "/stalls"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        body.data().await.unwrap().unwrap();
        assert_eq!(body.data().await.unwrap().unwrap_err().reason(), Some(Reason::CANCEL));
        let (response, mut stream) = sender.send_request(request("GET", "/leaves"), true).unwrap();
        response.await.unwrap();
        stream.send_reset(Reason::CANCEL);
    });
    assert_eq!(gateway.access_lines(2), ["/stalls client-stalled", "/leaves client-gone"]);
}

#[test]
fn a_gateway_that_stops_says_goaway_and_finishes() {
    let origin = Origin::that(behaviour::trickles(Duration::from_millis(50), 20));
    let mut gateway = Gateway::start(&Config::to(&origin));
    run(async {
        let mut sender = connect(&gateway, &Builder::new()).await;
        let _idle = connect(&gateway, &Builder::new()).await;
        let (response, _) = sender.send_request(request("GET", "/slow"), true).unwrap();
        let mut body = response.await.unwrap().into_body();
        gateway.signal(Signal::Terminate);
        while let Some(data) = body.data().await {
            data.unwrap();
        }
        let refused = async {
            while let Ok(ready) = sender.clone().ready().await {
                drop(ready);
                tokio::task::yield_now().await;
            }
        };
        refused.await;
    });
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

/// A member as gRPC's servers are: it answers each message as it comes, then says how it went; `/refuse` at once.
async fn grpc(listener: TcpListener) -> Infallible {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((request, respond))) = connection.accept().await {
                tokio::spawn(call(request, respond));
            }
        });
    }
}

async fn call(request: Request<RecvStream>, mut respond: server::SendResponse<Bytes>) {
    assert_eq!(request.headers().get("te").unwrap(), "trailers");
    let mut head = Response::builder().header("content-type", "application/grpc");
    if request.uri().path() == "/refuse" {
        head = head.header("grpc-status", "7");
        let _ = respond.send_response(head.body(()).unwrap(), true);
        return;
    }
    let Ok(mut stream) = respond.send_response(head.body(()).unwrap(), false) else { return };
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        let _ = body.flow_control().release_capacity(data.len());
        let _ = stream.send_data(data, false);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    let _ = stream.send_trailers(trailers);
}

#[test]
fn calls_of_grpc_stream_both_ways_and_end_with_trailers() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(grpc(listener));
        let config = Config::of(&[url]).pool("protocol = \"h2\"");
        let gateway = Arc::new(tokio::task::spawn_blocking(move || Gateway::start(&config)).await.unwrap());
        let mut sender = connect(&gateway, &Builder::new()).await;
        let ask = |path: &str| {
            let mut asked = request("POST", path);
            asked.headers_mut().insert("te", "trailers".parse().unwrap());
            asked.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
            asked
        };
        let (response, mut up) = sender.send_request(ask("/chat"), false).unwrap();
        let mut down = response.await.unwrap().into_body();
        for message in ["one", "two", "three"] {
            up.send_data(Bytes::from(message), false).unwrap();
            assert_eq!(down.data().await.unwrap().unwrap(), message);
        }
        up.send_data(Bytes::new(), true).unwrap();
        assert!(down.data().await.is_none());
        let trailers = poll_fn(|context| down.poll_trailers(context)).await.unwrap().unwrap();
        assert_eq!(trailers["grpc-status"], "0");
        // Trailers-only: the head is the end.
        let (response, _up) = sender.send_request(ask("/refuse"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "7");
        assert!(response.body().is_end_stream());
    });
}
