//! A stream of HTTP/2 as a stream of bytes.

use std::future::poll_fn;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, client, server};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::runtime::{Builder, LocalOptions};

use super::{whole, world};
use crate::clock::{Duration, Ticker};
use crate::front::h2::duplex::Duplex;
use crate::front::h2::gather::Gather;
use crate::front::h2::link::Link;
use crate::front::h2::outbound::Outlet;
use crate::front::h2::priority::Priority;
use crate::front::streams::Limits;

/// The client's end of a stream.
struct Far {
    down: h2::RecvStream,
    up: h2::SendStream<Bytes>,
}

/// Runs a test with both ends of one stream; a client's window has so many bytes.
fn ends<F: Future<Output = ()>>(window: u32, test: impl FnOnce(Duplex, Far) -> F) {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let ticker = Ticker::start();
        tokio::task::spawn_local(ticker.clone().run());
        let limit = Duration::from_secs(1);
        let (link, (near, far)) = (Link::with(Limits::any(limit), &ticker), duplex(1 << 16));
        let gather = Gather::of(near, &link);
        let (give, take) = tokio::sync::oneshot::channel();
        tokio::task::spawn_local(async move {
            let mut greeting =
                std::pin::pin!(server::Builder::new().initial_window_size(1000).handshake(gather.transport()));
            let greet = poll_fn(|context| gather.poll_pass(context, |context| greeting.as_mut().poll(context)));
            let mut codec = greet.await.unwrap().unwrap();
            let mut give = Some(give);
            while let Some(Ok((request, mut respond))) =
                poll_fn(|context| gather.poll_pass(context, |context| codec.poll_accept(context))).await.unwrap()
            {
                let stream = respond.send_response(http::Response::new(()), false).unwrap();
                let outlet = Outlet::of(stream, link.clone(), Priority::default());
                assert!(give.take().unwrap().send(Duplex::of(request.into_body(), outlet)).is_ok());
            }
        });
        let mut builder = client::Builder::new();
        let (mut sender, connection) = builder.initial_window_size(window).handshake(far).await.unwrap();
        tokio::task::spawn_local(connection);
        let (response, up) = sender.send_request(http::Request::new(()), false).unwrap();
        let down = response.await.unwrap().into_body();
        test(take.await.unwrap(), Far { down, up }).await;
    });
}

async fn rest(down: &mut h2::RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut bytes = Vec::new();
    while let Some(data) = down.data().await {
        let data = data?;
        let _ = down.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[test]
fn bytes_and_ends_go_both_ways_through_narrow_windows() {
    for window in [1, 100, 65_535] {
        ends(window, |near, mut far| async move {
            let count = if window == 1 { 500 } else { 200_000 };
            let sent: Vec<u8> = (0..count).map(|index: u32| index.to_le_bytes()[0]).collect();
            let (mut read, mut write) = tokio::io::split(near);
            tokio::task::spawn_local(async move {
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
            let up = sent.clone();
            tokio::task::spawn_local(async move { far.up.send_data(up.into(), true).unwrap() });
            assert_eq!(rest(&mut far.down).await.unwrap(), sent, "{window}");
        });
    }
}

#[test]
fn one_way_may_end_before_the_other() {
    ends(1000, |mut near, mut far| async move {
        near.write_all(b"last word").await.unwrap();
        near.shutdown().await.unwrap();
        assert_eq!(rest(&mut far.down).await.unwrap(), b"last word");
        far.up.send_data(Bytes::from_static(b"heard"), true).unwrap();
        let mut read = Vec::new();
        near.read_to_end(&mut read).await.unwrap();
        assert_eq!(read, b"heard");
    });
}

#[test]
fn a_tunnel_that_breaks_is_cancelled() {
    ends(1000, |mut near, mut far| async move {
        near.write_all(b"so far").await.unwrap();
        assert_eq!(far.down.data().await.unwrap().unwrap(), "so far");
        drop(near);
        assert_eq!(rest(&mut far.down).await.unwrap_err().reason(), Some(Reason::CANCEL));
    });
}

#[test]
fn a_client_that_breaks_is_noticed_both_ways() {
    ends(1000, |mut near, mut far| async move {
        far.up.send_reset(Reason::CANCEL);
        assert!(near.read(&mut [0; 8]).await.is_err());
        assert!(near.write_all(b"nobody").await.is_err());
    });
}

#[test]
fn what_is_not_read_is_not_taken_from_the_client() {
    ends(1000, |mut near, mut far| async move {
        far.up.reserve_capacity(5000);
        let mut sent = 0;
        while sent < 1000 {
            let room = poll_fn(|context| far.up.poll_capacity(context)).await.unwrap().unwrap();
            far.up.send_data(vec![b'x'; room].into(), false).unwrap();
            sent += room;
        }
        // The window of the server's SETTINGS, and not a byte more until somebody reads.
        assert_eq!(sent, 1000);
        let more = tokio::time::timeout(Duration::from_millis(50), poll_fn(|context| far.up.poll_capacity(context)));
        assert!(more.await.is_err());
        near.read_exact(&mut [0; 900]).await.unwrap();
        assert!(poll_fn(|context| far.up.poll_capacity(context)).await.unwrap().unwrap() > 0);
    });
}

/// Through the whole front, to a member that speaks HTTP/1: `Upgrade` there, CONNECT here (RFC 8441).
#[test]
fn a_web_socket_goes_through_a_stream() {
    world("", |world| async move {
        let mut sender = world.client(&client::Builder::new()).await;
        while !sender.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let ask = |path: &str| {
            let request = http::Request::builder().method("CONNECT").uri(format!("http://a.example{path}"));
            let request = request.header("sec-websocket-version", "13");
            request.extension(Protocol::from_static("websocket")).body(()).unwrap()
        };
        let (response, mut up) = sender.send_request(ask("/upgrade"), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), 200);
        for name in ["connection", "upgrade", "sec-websocket-accept", "content-length"] {
            assert!(!response.headers().contains_key(name), "{name}");
        }
        let mut down = response.into_body();
        for piece in ["ping", "pong"] {
            up.send_data(Bytes::from(piece), false).unwrap();
            assert_eq!(down.data().await.unwrap().unwrap(), piece);
        }
        up.send_data(Bytes::from("bye"), true).unwrap();
        assert_eq!(rest(&mut down).await.unwrap(), b"bye");
        // A member that does not change its protocol and says 200 must not be taken for one that does.
        let (response, _up) = sender.send_request(ask("/bytes/2"), false).unwrap();
        assert_eq!(whole(response).await.unwrap().0.status, 502);
    });
}
