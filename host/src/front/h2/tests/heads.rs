//! Which heads are requests.

use super::raw::{DATA, GET, GOAWAY, HEADERS, RST_STREAM, Raw};
use super::{request, whole, world};

const PROTOCOL_ERROR: u32 = 1;

/// What a request with `GET`'s fields, changed like this, is answered with.
async fn reset(raw: &mut Raw, id: u32, changes: &[(&str, Option<&str>)]) -> Option<u32> {
    let mut fields: Vec<(&str, &str)> = GET.to_vec();
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name || *name == "host" || *name == "cookie");
        let Some(value) = value else { continue };
        let place = if name.starts_with(':') { 0 } else { fields.len() };
        fields.insert(place, (name, value));
    }
    raw.ask(id, &fields, true).await;
    loop {
        let frame =
            raw.next_of(&[HEADERS, RST_STREAM]).await.unwrap_or_else(|| panic!("{changes:?} ended the connection"));
        if frame.id == id {
            return (frame.kind == RST_STREAM).then(|| frame.code());
        }
    }
}

#[test]
fn what_is_no_request_is_reset_and_costs_its_stream_alone() {
    world("", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        let mut id = 1;
        for (changes, is_taken) in [
            (&[][..], true),
            (&[("te", Some("trailers"))], true),
            (&[("host", Some("a.example"))], true),
            (&[("host", Some("A.example:80"))], true),
            (&[(":authority", None), ("host", Some("a.example"))], true),
            (&[("content-length", Some("0"))], true),
            (&[(":method", Some("OPTIONS"))], true),
            (&[("connection", Some("close"))], false),
            (&[("keep-alive", Some("1"))], false),
            (&[("proxy-connection", Some("close"))], false),
            (&[("transfer-encoding", Some("chunked"))], false),
            (&[("upgrade", Some("websocket"))], false),
            (&[("te", Some("gzip"))], false),
            (&[("te", Some("trailers, gzip"))], false),
            (&[("content-length", Some("1"))], false),
            (&[("content-length", Some("x"))], false),
            (&[(":path", Some(""))], false),
            (&[(":path", Some("head"))], false),
            (&[(":path", Some("*"))], false),
            (&[(":path", None)], false),
            (&[(":method", None)], false),
            (&[(":scheme", None)], false),
            (&[(":authority", None)], false),
            (&[(":authority", Some("me@a.example"))], false),
            (&[(":authority", Some("a.example:x"))], false),
            (&[(":status", Some("200"))], false),
            (&[(":protocol", Some("websocket"))], false),
            (&[("host", Some("b.example"))], false),
            (&[("host", Some("a.example:81"))], false),
            (&[("host", Some("a.example")), ("host", Some("a.example"))], false),
            (&[("x", Some(" padded"))], false),
            (&[("x", Some("padded\t"))], false),
            (&[], true),
        ] {
            let found = reset(&mut raw, id, changes).await;
            assert_eq!(found, (!is_taken).then_some(PROTOCOL_ERROR), "{changes:?}");
            id += 2;
        }
    });
}

/// The codec cannot tell these from a broken table of fields, which is the connection's.
#[test]
fn what_has_no_name_ends_the_connection() {
    for name in ["X-Upper", ":other"] {
        world("", |world| async move {
            let mut raw = Raw::greet(&world, &[]).await;
            raw.ask(1, &[&[(name, "1")], &GET[..]].concat(), true).await;
            assert_eq!(raw.next_of(&[GOAWAY]).await.unwrap().code(), PROTOCOL_ERROR);
            assert_eq!(raw.next().await, None);
        });
    }
}

#[test]
fn a_body_is_as_long_as_its_head_says() {
    world("", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        for (id, pieces) in [(1, &["abcd"][..]), (3, &["ab"]), (5, &["ab", "cd"]), (7, &[""])] {
            let fields = [&GET[..], &[("content-length", "3")]].concat();
            raw.ask(id, &fields, false).await;
            for (index, piece) in pieces.iter().enumerate() {
                raw.send(DATA, u8::from(index + 1 == pieces.len()), id, piece.as_bytes()).await;
            }
            let frame = raw.next_of(&[RST_STREAM]).await.unwrap();
            assert_eq!((frame.id, frame.code()), (id, PROTOCOL_ERROR), "{pieces:?}");
        }
    });
}

#[test]
fn limits_are_answered() {
    world("max-head = 2048\nmax-target = 64\nmax-fields = 4", |world| async move {
        let mut sender = world.client(&h2::client::Builder::new()).await;
        let long = |count| "x".repeat(count);
        let target = |count: usize| format!("/bytes/{}7", "0".repeat(count - 8));
        for (request, expected) in [
            (request("GET", &target(64)), 200),
            (request("GET", &target(65)), 414),
            (request("GET", "/bytes/1").header("x", long(1900)), 200),
            (request("GET", "/bytes/1").header("x", long(2048)), 431),
            (request("GET", "/bytes/1").header("x", long(5000)), 431),
            (["a", "b", "c", "d"].iter().fold(request("GET", "/bytes/1"), |of, name| of.header(*name, "1")), 200),
            (["a", "b", "c", "d", "e"].iter().fold(request("GET", "/bytes/1"), |of, name| of.header(*name, "1")), 431),
            (request("HEAD", &target(65)), 414),
            (request("GET", "/bytes/1"), 200),
        ] {
            let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
            let (head, body, _) = whole(response).await.unwrap();
            assert_eq!(head.status, expected);
            assert!(body.is_empty() || !head.headers.contains_key("connection"));
        }
    });
}

#[test]
fn crumbs_of_cookies_are_one_line_again_and_hops_are_not_passed_on() {
    world("", |world| async move {
        let mut sender = world.client(&h2::client::Builder::new()).await;
        let request = request("GET", "/head").header("cookie", "a=1").header("cookie", "b=2").header("te", "trailers");
        let (response, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
        let (_, body, _) = whole(response).await.unwrap();
        let text = String::from_utf8(body).unwrap();
        assert!(text.contains("\r\ncookie: a=1; b=2\r\n"), "{text}");
        assert!(text.contains("\r\nte: trailers\r\n") && text.starts_with("GET /head HTTP/1.1\r\n"), "{text}");
    });
}

#[test]
fn connect_is_not_done() {
    world("", |world| async move {
        let mut sender = world.client(&h2::client::Builder::new()).await;
        let request = http::Request::builder().method("CONNECT").uri("a.example:80").body(()).unwrap();
        let (response, _stream) = sender.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), 501);
    });
}
