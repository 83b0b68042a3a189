//! Requests and their answers.

use bytes::Bytes;
use h2::Reason;
use h2::client::Builder;

use super::raw::{DATA, END_STREAM, GET, HEADERS, RST_STREAM, Raw, WINDOW_UPDATE};
use super::{request, whole, world};
use crate::clock::Duration;
use crate::failure::Kind;

#[test]
fn answers_of_every_shape() {
    world("", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        for (method, path, status, length, body, trailer) in [
            ("GET", "/bytes/5", 200, Some("5"), "xxxxx", None),
            ("HEAD", "/bytes/5", 200, Some("5"), "", None),
            ("GET", "/bytes/0", 200, Some("0"), "", None),
            ("GET", "/trailers", 200, None, "abc", Some("yes")),
            ("GET", "/none", 204, None, "", None),
            ("GET", "/hints", 200, Some("4"), "late", None),
        ] {
            let asked = request(method, path).header("te", "trailers").body(()).unwrap();
            let (response, _) = sender.send_request(asked, true).unwrap();
            let (head, bytes, trailers) = whole(response).await.unwrap();
            let said = head.headers.get("content-length").map(|length| length.to_str().unwrap());
            let ended = trailers.as_ref().and_then(|trailers| trailers.get("x-end")).map(|end| end.to_str().unwrap());
            let bytes = String::from_utf8(bytes).unwrap();
            assert_eq!(
                (head.status.as_u16(), said, &*bytes, ended),
                (status, length, body, trailer),
                "{method} {path}"
            );
            let names: Vec<_> = head.headers.keys().map(http::HeaderName::as_str).collect();
            assert!(!names.contains(&"connection") && !names.contains(&"transfer-encoding"), "{names:?}");
        }
    });
}

#[test]
fn hints_come_before_the_answer() {
    world("", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        let (mut response, _) = sender.send_request(request("GET", "/hints").body(()).unwrap(), true).unwrap();
        let hint = std::future::poll_fn(|context| response.poll_informational(context)).await.unwrap().unwrap();
        assert_eq!((hint.status().as_u16(), hint.headers()["link"].as_bytes()), (103, &b"</a>"[..]));
        assert_eq!(whole(response).await.unwrap().1, b"late");
    });
}

#[test]
fn a_client_that_waits_for_its_permission_gets_it() {
    world("", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        let asked = request("POST", "/permits").header("content-length", "3").header("expect", "100-continue");
        let (mut response, mut upload) = sender.send_request(asked.body(()).unwrap(), false).unwrap();
        let hint = std::future::poll_fn(|context| response.poll_informational(context)).await.unwrap().unwrap();
        assert_eq!(hint.status(), 100);
        upload.send_data(Bytes::from("now"), true).unwrap();
        assert_eq!(whole(response).await.unwrap().1, b"now");
    });
}

#[test]
fn an_answer_without_a_body_ends_with_its_head() {
    world("", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        for (id, method, path) in [(1, "GET", "/none"), (3, "HEAD", "/bytes/5"), (5, "GET", "/bytes/0")] {
            let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "a.example")];
            raw.ask(id, &fields, true).await;
            let frame = raw.next_of(&[HEADERS]).await.unwrap();
            assert_eq!((frame.id, frame.flags & END_STREAM), (id, END_STREAM), "{path}");
        }
    });
}

#[test]
fn an_answer_that_breaks_is_reset() {
    world("", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        let (response, _) = sender.send_request(request("GET", "/cut").body(()).unwrap(), true).unwrap();
        assert_eq!(whole(response).await.unwrap_err().reason(), Some(Reason::INTERNAL_ERROR));
        let (response, _) = sender.send_request(request("GET", "/bytes/3").body(()).unwrap(), true).unwrap();
        assert_eq!(whole(response).await.unwrap().1, b"xxx");
    });
}

/// Both ways at once, as gRPC does: each piece comes back before the next is sent.
#[test]
fn bodies_go_both_ways_at_once() {
    world("", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        let asked = request("POST", "/echo").header("content-length", "12").body(()).unwrap();
        let (response, mut upload) = sender.send_request(asked, false).unwrap();
        let mut body = response.await.unwrap().into_body();
        for piece in ["one", "two", "three."] {
            upload.send_data(Bytes::from(piece), piece.ends_with('.')).unwrap();
            let mut echoed = Vec::new();
            while echoed.len() < piece.len() {
                echoed.extend_from_slice(&body.data().await.unwrap().unwrap());
            }
            assert_eq!(echoed, piece.as_bytes());
        }
    });
}

#[test]
fn large_bodies_go_through_windows_of_any_size() {
    world("", |world| async move {
        for (window, count) in [(1, 300), (1000, 100_000), (65_535, 3_000_000), (4 << 20, 3_000_000)] {
            let mut builder = Builder::new();
            let mut sender = world.client(builder.initial_window_size(window)).await;
            let path = format!("/bytes/{count}");
            let (response, _) = sender.send_request(request("GET", &path).body(()).unwrap(), true).unwrap();
            assert_eq!(whole(response).await.unwrap().1.len(), count, "{window}");
        }
    });
}

#[test]
fn an_answer_that_comes_early_is_whole_and_ends_the_upload() {
    world("", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/early"), (":authority", "a.example")];
        raw.ask(1, &fields, false).await;
        raw.send(DATA, 0, 1, b"a beginning").await;
        let kinds = [HEADERS, DATA, RST_STREAM];
        let head = raw.next_of(&kinds).await.unwrap();
        let body = raw.next_of(&kinds).await.unwrap();
        assert_eq!((head.kind, body.kind, body.flags, &*body.payload), (HEADERS, DATA, END_STREAM, &b"early"[..]));
        let end = raw.next_of(&kinds).await.unwrap();
        assert_eq!((end.kind, end.code()), (RST_STREAM, 0));
    });
}

/// A client whose windows are shut gets its time; others of its streams go on meanwhile.
#[test]
fn a_stream_that_takes_nothing_is_given_up_alone() {
    world("write-timeout = \"1s\"", |world| async move {
        let mut raw = Raw::greet(&world, &[(4, 3)]).await;
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/bytes/9"), (":authority", "a.example")];
        raw.ask(1, &fields, true).await;
        let first = raw.next_of(&[DATA]).await.unwrap();
        assert_eq!((first.id, first.payload.len()), (1, 3));
        raw.ask(3, &GET, true).await;
        assert_eq!(raw.next_of(&[DATA, RST_STREAM]).await.unwrap().id, 3);
        let frame = raw.next_of(&[RST_STREAM]).await.unwrap();
        assert_eq!(frame.code(), u32::from(Reason::CANCEL));
    });
}

/// A window that opens byte by byte is open, and too slow.
#[test]
fn a_client_that_takes_too_little_is_given_up() {
    world("min-rate = { response = \"100KiB\", grace = \"200ms\" }", |world| async move {
        let mut raw = Raw::greet(&world, &[(4, 1)]).await;
        let fields = [(":method", "GET"), (":scheme", "http"), (":path", "/bytes/100000"), (":authority", "a.example")];
        raw.ask(1, &fields, true).await;
        loop {
            let frame = raw.next_of(&[DATA, RST_STREAM]).await.unwrap();
            if frame.kind == RST_STREAM {
                return assert_eq!(frame.code(), u32::from(Reason::CANCEL));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            raw.send(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes()).await;
        }
    });
}

#[test]
fn a_body_that_stops_is_not_waited_for() {
    world("body-timeout = \"200ms\"", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        let asked = request("POST", "/never").header("content-length", "9").body(()).unwrap();
        let (response, mut upload) = sender.send_request(asked, false).unwrap();
        upload.send_data(Bytes::from("part"), false).unwrap();
        assert_eq!(whole(response).await.unwrap().0.status.as_u16(), Kind::BodyTimeout.status());
    });
}

/// A call that streams both ways, where one side has nothing to say for longer than a body may be quiet.
#[test]
fn a_body_is_waited_for_while_its_answer_moves() {
    for keys in ["body-timeout = \"1s\"", "min-rate = { request = \"1KiB\", grace = \"1s\" }"] {
        world(keys, |world| async move {
            let mut sender = world.client(&Builder::new()).await;
            let (response, mut upload) =
                sender.send_request(request("POST", "/ticks").body(()).unwrap(), false).unwrap();
            let mut body = response.await.unwrap().into_body();
            let mut ticks = 0;
            while ticks < 12 * 4 {
                ticks += body.data().await.unwrap().unwrap().len();
            }
            upload.send_data(Bytes::from("over"), true).unwrap();
            assert!(body.data().await.is_none_or(|data| data.unwrap().is_empty()));
        });
    }
}

/// The same the other way round.
#[test]
fn an_answer_is_waited_for_while_its_request_moves() {
    world("[pool.app]\nread-timeout = \"1s\"", |world| async move {
        let mut sender = world.client(&Builder::new()).await;
        let (response, mut upload) = sender.send_request(request("POST", "/gathers").body(()).unwrap(), false).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "begun");
        for _ in 0..12 {
            tokio::time::sleep(Duration::from_millis(120)).await;
            upload.send_data(Bytes::from("piece"), false).unwrap();
        }
        upload.send_data(Bytes::new(), true).unwrap();
        assert_eq!(body.data().await.unwrap().unwrap(), "over");
    });
}

/// The client's window for the whole connection is one byte at a time: what is more urgent gets it.
#[test]
fn the_urgent_go_first() {
    world("", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        // All of the connection's window but for nothing: what is left is given in small parts.
        let fields = |path| [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.example")];
        raw.ask(1, &fields("/bytes/65535"), true).await;
        let mut taken = 0;
        while taken < 65_535 {
            taken += raw.next_of(&[DATA]).await.unwrap().payload.len();
        }
        for (id, priority) in [(3, "u=6"), (5, "u=1, i"), (7, "u=1, i"), (9, "u=0")] {
            raw.ask(id, &[&fields("/bytes/30000")[..], &[("priority", priority)]].concat(), true).await;
            assert_eq!(raw.next_of(&[HEADERS]).await.unwrap().id, id);
        }
        let mut order = Vec::new();
        let mut left = 4 * 30_000;
        while left > 0 {
            raw.send(WINDOW_UPDATE, 0, 0, &10_000_u32.to_be_bytes()).await;
            let mut part = 0;
            while part < 10_000 {
                let frame = raw.next_of(&[DATA]).await.unwrap();
                part += frame.payload.len();
                order.push(frame.id);
            }
            left -= part;
        }
        order.dedup();
        assert_eq!(order.first(), Some(&9));
        assert_eq!(order.last(), Some(&3));
        assert_eq!(order.iter().filter(|id| **id == 9).count(), 1, "{order:?}");
        assert_eq!(order.iter().filter(|id| **id == 3).count(), 1, "{order:?}");
    });
}

/// A stream that is behind others for longer than its client may take nothing is not given up: it is not the client who does
/// not take.
#[test]
fn who_waits_behind_the_urgent_has_time() {
    world("write-timeout = \"1s\"", |world| async move {
        let mut raw = Raw::greet(&world, &[]).await;
        let fields = |path| [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "a.example")];
        raw.ask(1, &fields("/bytes/65535"), true).await;
        let mut taken = 0;
        while taken < 65_535 {
            taken += raw.next_of(&[DATA]).await.unwrap().payload.len();
        }
        for (id, priority) in [(3, "u=7"), (5, "u=0")] {
            raw.ask(id, &[&fields("/bytes/20000")[..], &[("priority", priority)]].concat(), true).await;
            raw.next_of(&[HEADERS]).await.unwrap();
        }
        for _ in 0..20 {
            raw.send(WINDOW_UPDATE, 0, 0, &1000_u32.to_be_bytes()).await;
            let mut part = 0;
            while part < 1000 {
                let frame = raw.next_of(&[DATA, RST_STREAM]).await.unwrap();
                assert_eq!((frame.kind, frame.id), (DATA, 5));
                part += frame.payload.len();
            }
            tokio::time::sleep(Duration::from_millis(75)).await;
        }
        raw.send(WINDOW_UPDATE, 0, 0, &20_000_u32.to_be_bytes()).await;
        let mut left = 20_000;
        while left > 0 {
            let frame = raw.next_of(&[DATA, RST_STREAM]).await.unwrap();
            assert_eq!((frame.kind, frame.id), (DATA, 3));
            left -= frame.payload.len();
        }
    });
}
