//! The harness itself: origin and client against each other, with no gateway between them.

use std::time::Duration;

use weir_tests::{
    Client, DeafPort, Framing, Gate, Origin, Place, RefusedPort, Stream, WebSocket, behaviour, eventually,
};

#[test]
fn the_origin_echoes_what_the_client_sent_and_remembers_it() {
    let origin = Origin::start();
    let mut client = Client::connect(&origin.address());
    let response = client.request("POST", "/a?b=c", &[("X-One", "1")], b"hello");
    response.expect(200);
    assert_eq!(response.json()["body"], "hello");
    assert_eq!(response.json()["target"], "/a?b=c");
    let seen = origin.request("/a?b=c");
    assert_eq!((seen.method.as_str(), seen.body.as_slice(), seen.whole), ("POST", b"hello".as_slice(), true));
    assert_eq!(seen.fields.get("x-one").as_deref(), Some("1"));
}

#[test]
fn a_connection_is_kept_and_requests_may_be_pipelined() {
    let origin = Origin::start();
    let mut client = Client::connect(&origin.address());
    client.send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(client.response().json()["target"], "/1");
    assert_eq!(client.response().json()["target"], "/2");
    assert_eq!(origin.connections(), 1);
}

#[test]
fn chunks_and_trailers_are_read_both_ways() {
    let origin = Origin::start();
    origin.on("/trailers", behaviour::chunked_with_trailers(&["one", "two"]));
    let mut client = Client::connect(&origin.address());
    client.send(
        "POST /trailers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-End: yes\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.text().as_str(), response.framing), ("onetwo", Framing::Chunked));
    assert_eq!(response.trailers.get("x-checksum").as_deref(), Some("abc123"));
    assert_eq!(origin.request("/trailers").trailers.get("x-end").as_deref(), Some("yes"));
}

#[test]
fn what_is_not_http_is_recorded_as_a_violation() {
    let crooked = [
        "GET / HTTP/1.1\nHost: x\n\n\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
    ];
    for bytes in crooked {
        let origin = Origin::start();
        let mut client = Client::connect(&origin.address());
        client.send(bytes);
        assert_eq!(client.response().status, 400, "{bytes:?}");
        assert_eq!(origin.violations().len(), 1, "{bytes:?}");
    }
}

#[test]
fn broken_answers_are_seen_as_broken() {
    let cut = [
        behaviour::resets_after(10),
        behaviour::closes_after(10),
        behaviour::lies_about_length(5),
        behaviour::broken_chunks(),
        behaviour::unfinished_chunks(),
    ];
    for behaviour in cut {
        let origin = Origin::that(behaviour);
        let mut client = Client::connect(&origin.address());
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.try_response().is_ok_and(|response| response.cut.is_some()));
    }
    let bad = [
        behaviour::resets_before_response(),
        behaviour::closes_before_response(),
        behaviour::bad_status_line(),
        behaviour::bad_header(),
        behaviour::length_and_chunked(),
        behaviour::two_lengths(),
    ];
    for behaviour in bad {
        let origin = Origin::that(behaviour);
        let mut client = Client::connect(&origin.address());
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.try_response().is_err());
    }
}

#[test]
fn interim_responses_are_kept_apart() {
    let origin = Origin::that(behaviour::sends_103());
    let response = Client::connect(&origin.address()).get("/");
    assert_eq!(response.status, 200);
    assert_eq!(response.interim.len(), 1);
    assert!(response.interim[0].1.has("link"));
}

#[test]
fn bodies_end_with_the_connection_when_nothing_else_says_so() {
    let origin = Origin::that(behaviour::close_delimited_body("to the end"));
    let response = Client::connect(&origin.address()).get("/");
    assert_eq!((response.text().as_str(), response.framing), ("to the end", Framing::Close));
    let origin = Origin::that(behaviour::speaks_http_1_0());
    assert_eq!(Client::connect(&origin.address()).get("/").version, "HTTP/1.0");
}

#[test]
fn heads_and_empty_answers_have_no_body() {
    let origin = Origin::start();
    origin.on("/204", behaviour::answers(204, "")).on("/304", behaviour::answers(304, ""));
    let mut client = Client::connect(&origin.address());
    assert_eq!(client.request("HEAD", "/", &[], b"").body, b"");
    assert_eq!(client.get("/204").framing, Framing::Nothing);
    assert_eq!(client.get("/304").framing, Framing::Nothing);
    assert_eq!(client.get("/last").status, 200);
}

#[test]
fn a_kept_connection_can_go_stale() {
    let origin = Origin::start();
    origin.next(behaviour::closes_on_the_next());
    let mut client = Client::connect(&origin.address());
    assert_eq!(client.get("/").text(), "first");
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.try_response().is_err());
}

#[test]
fn a_gate_holds_an_answer_back() {
    let gate = Gate::closed();
    let origin = Origin::that(behaviour::waits_for(&gate, behaviour::echoes()));
    let mut client = Client::connect(&origin.address());
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    assert!(client.is_silent_for(Duration::from_millis(50)));
    gate.open();
    assert_eq!(client.response().status, 200);
}

#[test]
fn origins_live_on_ipv6_and_unix_sockets_too() {
    let place = Place::fresh();
    let unix = Origin::on_unix(&place.join("o.sock"));
    let six = Origin::on_ipv6();
    for origin in [unix, six] {
        assert_eq!(Client::connect(&origin.address()).get("/x").json()["target"], "/x");
        eventually("the connection ends", || (origin.open_connections() == 0).then_some(()));
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let origin = Origin::start();
    origin.on("/down", behaviour::big_body(50_000_000)).on("/up", behaviour::sinks());
    let mut client = Client::connect(&origin.address());
    assert_eq!(client.get("/down").body.len(), 50_000_000);
    assert_eq!(client.request("POST", "/up", &[], &vec![b'u'; 10_000_000]).text(), "10000000");
}

#[test]
fn some_ports_refuse_and_some_are_deaf() {
    let refused = RefusedPort::take();
    assert!(Stream::connect(&refused.address()).is_err());
    let deaf = DeafPort::take();
    let address = deaf.url().trim_start_matches("http://").parse().expect("an address");
    assert!(std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err());
}

#[test]
fn origins_stop_and_start_again_on_their_port() {
    let origin = Origin::that(behaviour::is_named("one"));
    let mut client = Client::connect(&origin.address());
    assert_eq!(client.get("/").fields.get("x-member").as_deref(), Some("one"));
    for _ in 0..3 {
        origin.stop();
        assert!(client.try_response().is_err(), "its connections are cut");
        assert!(Stream::connect(&origin.address()).is_err(), "nobody listens");
        origin.start_again();
        client = Client::connect(&origin.address());
        assert_eq!(client.get("/").text(), "one");
    }
    assert_eq!((origin.connections(), origin.count("/")), (4, 4));
}

#[test]
fn origins_fail_for_a_while_reset_and_half_close() {
    let origin = Origin::start();
    origin.next_times(2, &behaviour::answers(503, "not now"));
    let mut client = Client::connect(&origin.address());
    let statuses: Vec<_> = (0..3).map(|_| client.get("/").status).collect();
    assert_eq!(statuses, [503, 503, 200]);
    origin.otherwise(behaviour::resets_after_requests(2, behaviour::echoes()));
    for _ in 0..2 {
        let mut client = Client::connect(&origin.address());
        assert_eq!((client.get("/").status, client.get("/").status), (200, 200));
        client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(client.try_response().is_err());
    }
    origin.otherwise(behaviour::half_closes(10));
    let mut client = Client::connect(&origin.address());
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(client.try_response().is_ok_and(|response| response.cut.is_some()));
}

#[test]
fn websockets_echo() {
    let origin = Origin::that(behaviour::echoes_websockets());
    let mut socket = WebSocket::open(&origin.address(), "any.example", "/chat").expect("a handshake");
    for text in ["", "hello", "grüße", &"long ".repeat(30), &"longer ".repeat(9000)] {
        socket.echo(text);
    }
    socket.close().expect("the other side closes too");
    let origin = Origin::start();
    assert!(WebSocket::open(&origin.address(), "any.example", "/").is_err(), "an echo of the request is no handshake");
}
