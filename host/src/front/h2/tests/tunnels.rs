//! Extended CONNECT (RFC 8441).

use bytes::Bytes;
use h2::client::Builder;
use h2::ext::Protocol;

use super::{World, world};

async fn tunnel(world: &World) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    let mut sender = world.client(&Builder::new()).await;
    while !sender.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    let request = http::Request::builder()
        .method("CONNECT")
        .uri("http://a.example/upgrade")
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    sender.send_request(request, false).unwrap()
}
