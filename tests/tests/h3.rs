//! HTTP/3: connections that move between threads' sockets, streams that say what they should not, reloads and ends.

use std::thread;
use std::time::{Duration, Instant};

use weir_tests::origin::Then;
use weir_tests::{
    Authority, Config, Gate, Gateway, Origin, PATIENCE, Quic, Said, Signal, Visitor, behaviour, eventually,
};

/// Codes of RFC 9114, section 8.1, and RFC 9204, section 6.
const NO_ERROR: u64 = 0x100;
const FRAME_UNEXPECTED: u64 = 0x105;
const FRAME_ERROR: u64 = 0x106;
const EXCESSIVE_LOAD: u64 = 0x107;
const REJECTED: u64 = 0x10b;
const CANCELLED: u64 = 0x10c;
const INCOMPLETE: u64 = 0x10d;
const MESSAGE_ERROR: u64 = 0x10e;
const UNDECODABLE: u64 = 0x200;

struct House {
    origin: Origin,
    gateway: Gateway,
    visitor: Visitor,
    authority: Authority,
}

impl House {
    /// With more lines for the listener.
    fn stand(listener: &str) -> House {
        let (origin, authority) = (Origin::start(), Authority::found());
        let gateway = Gateway::start(&config(&origin, &authority, PROTOCOLS, listener));
        let visitor = Visitor::trusting(&authority).offering(&["h3"]);
        House { origin, gateway, visitor, authority }
    }

    #[track_caller]
    fn connect(&self) -> Quic {
        Quic::connect(&self.gateway.addr("web"), &self.visitor).expect("a connection")
    }

    fn reload(&self, protocols: &str) {
        let before = self.gateway.log_count("\"reloaded\"");
        self.gateway.rewrite_config(&config(&self.origin, &self.authority, protocols, ""));
        self.gateway.signal(Signal::Reload);
        eventually("the new config holds", || (self.gateway.log_count("\"reloaded\"") > before).then_some(()));
    }
}

const PROTOCOLS: &str = r#"["h1", "h3"]"#;

fn config(origin: &Origin, authority: &Authority, protocols: &str, listener: &str) -> Config {
    Config::to(origin)
        .top("threads = 4\nshutdown-timeout = \"20s\"")
        .secure(&authority.certify("any.example"))
        .listener(&format!("protocols = {protocols}\n{listener}"))
        .route("upgrade = [\"websocket\"]")
}

/// A frame of at most 16383 bytes.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("a short frame") | 0x4000;
    [&[kind][..], &length.to_be_bytes(), payload].concat()
}

/// A HEADERS frame of literals.
fn head(lines: &[(&str, &str)]) -> Vec<u8> {
    let mut section = vec![0, 0];
    for (name, value) in lines {
        for (flags, most, text) in [(0x20, 7, name), (0, 127, value)] {
            match text.len().checked_sub(most) {
                None => section.push(flags | u8::try_from(text.len()).expect("a short text")),
                Some(rest) => {
                    section.push(flags | u8::try_from(most).expect("a prefix"));
                    section.push(u8::try_from(rest % 128 + if rest > 127 { 128 } else { 0 }).expect("seven bits"));
                    if rest > 127 {
                        section.push(u8::try_from(rest / 128).expect("a short text"));
                    }
                }
            }
            section.extend_from_slice(text.as_bytes());
        }
    }
    frame(1, &section)
}

const METHOD: (&str, &str) = (":method", "GET");
const SCHEME: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "any.example");
const PATH: (&str, &str) = (":path", "/x");
const PLAIN: [(&str, &str); 4] = [METHOD, SCHEME, AUTHORITY, PATH];

/// A head with more behind a plain one.
fn with(more: &[(&str, &str)]) -> Vec<u8> {
    head(&[&PLAIN[..], more].concat())
}

#[test]
fn a_connection_goes_on_when_its_client_moves() {
    let house = House::stand("");
    for _ in 0..6 {
        let mut client = house.connect();
        for move_number in 0..6 {
            assert_eq!(client.get("/moved").expect("an answer").0, 200, "after {move_number} moves");
            client.move_elsewhere().expect("another socket");
        }
    }
    assert_eq!(house.gateway.log_count("panicked"), 0);
}

#[test]
fn who_shows_an_address_is_let_in() {
    let house = House::stand("h3.retry = \"always\"");
    for _ in 0..4 {
        assert_eq!(house.connect().get("/").expect("an answer").0, 200);
    }
}

#[test]
fn what_is_no_request_ends_its_stream_and_nothing_else() {
    let house = House::stand("");
    let client = house.connect();
    let data = frame(0, b"abc");
    let post = |more: &[(&str, &str)]| head(&[&[(":method", "POST"), SCHEME, AUTHORITY, PATH][..], more].concat());
    for (what, stream, expected) in [
        ("a pseudo-field twice", with(&[PATH]), MESSAGE_ERROR),
        ("a pseudo-field behind a field", head(&[METHOD, SCHEME, AUTHORITY, ("a", "b"), PATH]), MESSAGE_ERROR),
        ("a pseudo-field nobody knows", with(&[(":what", "x")]), MESSAGE_ERROR),
        ("a status", with(&[(":status", "200")]), MESSAGE_ERROR),
        ("capitals in a name", with(&[("Accept", "x")]), MESSAGE_ERROR),
        ("a line break in a value", with(&[("accept", "x\r\ny: z")]), MESSAGE_ERROR),
        ("a field of a connection", with(&[("connection", "close")]), MESSAGE_ERROR),
        ("a transfer coding", with(&[("transfer-encoding", "chunked")]), MESSAGE_ERROR),
        ("a coding in TE", with(&[("te", "gzip")]), MESSAGE_ERROR),
        ("no method", head(&[SCHEME, AUTHORITY, PATH]), MESSAGE_ERROR),
        ("no scheme", head(&[METHOD, AUTHORITY, PATH]), MESSAGE_ERROR),
        ("no path", head(&[METHOD, SCHEME, AUTHORITY]), MESSAGE_ERROR),
        ("no host", head(&[METHOD, SCHEME, PATH]), MESSAGE_ERROR),
        ("an empty path", head(&[METHOD, SCHEME, AUTHORITY, (":path", "")]), MESSAGE_ERROR),
        ("a fragment", head(&[METHOD, SCHEME, AUTHORITY, (":path", "/a#b")]), MESSAGE_ERROR),
        ("another host", with(&[("host", "other.example")]), MESSAGE_ERROR),
        ("a protocol for GET", with(&[(":protocol", "websocket")]), MESSAGE_ERROR),
        ("a length that is none", post(&[("content-length", "+3")]), MESSAGE_ERROR),
        ("two lengths", post(&[("content-length", "3"), ("content-length", "4")]), MESSAGE_ERROR),
        ("a body that is too short", [post(&[("content-length", "4")]), data.clone()].concat(), MESSAGE_ERROR),
        ("a body that is too long", [post(&[("content-length", "2")]), data.clone()].concat(), MESSAGE_ERROR),
        ("a path in trailers", [post(&[]), data.clone(), head(&[PATH])].concat(), MESSAGE_ERROR),
        ("nothing at all", Vec::new(), INCOMPLETE),
    ] {
        let mut stream = client.say(&stream).expect("a stream");
        client.end(&mut stream);
        assert_eq!(client.hear(&mut stream), Said::Reset(expected), "{what}");
    }
    let mut stream = client.say(&with(&[])).expect("the connection goes on");
    client.end(&mut stream);
    assert!(matches!(client.hear(&mut stream), Said::Bytes(_)));
    assert_eq!(house.origin.violations(), Vec::<String>::new());
}

#[test]
fn what_breaks_the_protocol_ends_its_connection() {
    let house = House::stand("");
    let (plain, post) = (with(&[]), head(&[(":method", "POST"), SCHEME, AUTHORITY, PATH]));
    for (what, stream, expected) in [
        ("DATA before a head", frame(0, b"abc"), FRAME_UNEXPECTED),
        ("SETTINGS on a request", frame(4, b""), FRAME_UNEXPECTED),
        ("a frame of HTTP/2", [&plain[..], &frame(8, b"1234")].concat(), FRAME_UNEXPECTED),
        ("an end within a head", plain[..plain.len() - 1].to_vec(), FRAME_ERROR),
        ("an end within DATA", [&post[..], &[0, 50, b'x']].concat(), FRAME_ERROR),
        ("a table that was never allowed", frame(1, &[0, 0, 0x80]), UNDECODABLE),
        ("a string in no code", frame(1, &[0, 0, 0x51, 0x81, 0xff]), UNDECODABLE),
    ] {
        let client = house.connect();
        let mut stream = client.say(&stream).expect("a stream");
        client.end(&mut stream);
        assert_eq!(client.closed(), expected, "{what}");
    }
    assert_eq!(house.connect().get("/").expect("others are served").0, 200);
    assert_eq!(house.gateway.log_count("panicked"), 0);
}

#[test]
fn a_head_that_claims_to_be_huge_is_refused_at_once_and_not_kept() {
    let house = House::stand("");
    let before = house.gateway.rss_kib();
    let client = house.connect();
    // A length of a gigabyte, and then a part of it.
    let mut stream = client.say(&[1, 0xc0, 0, 0, 0, 0x40, 0, 0, 0]).expect("a stream");
    for _ in 0..64 {
        client.say_on(&mut stream, &[7; 64 << 10]).expect("the connection lives");
    }
    assert!(matches!(client.hear(&mut stream), Said::Bytes(_)), "it is answered");
    assert_eq!(client.stopped(&mut stream), Some(NO_ERROR));
    let grown = house.gateway.rss_kib().saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB more");
}

#[test]
fn a_body_in_tiny_and_empty_frames_arrives_whole() {
    let house = House::stand("");
    house.origin.on("/x", behaviour::sinks());
    let client = house.connect();
    let post = head(&[(":method", "POST"), SCHEME, AUTHORITY, PATH]);
    let pieces = [[0, 0].as_slice(), &[0, 1, b'a'], &[0x21, 2, 1, 1]].concat().repeat(5000);
    let mut stream = client.say(&[post, pieces].concat()).expect("a stream");
    client.end(&mut stream);
    assert!(matches!(client.hear(&mut stream), Said::Bytes(_)));
    assert_eq!(house.origin.request("/x").length, 5000);
}

#[test]
fn a_websocket_is_carried_on_a_stream() {
    let house = House::stand("");
    house.origin.otherwise(behaviour::echoes_websockets());
    let client = house.connect();
    let lines = [(":method", "CONNECT"), (":protocol", "websocket"), SCHEME, AUTHORITY, PATH];
    let version = [("sec-websocket-version", "13")];
    let mut stream = client.say(&head(&[&lines[..], &version].concat())).expect("a stream");
    // A text and a close, both masked with zeros (RFC 6455, section 5.2).
    let frames = [&[0x81, 0x85, 0, 0, 0, 0][..], b"hello", &[0x88, 0x80, 0, 0, 0, 0]].concat();
    client.say_on(&mut stream, &frame(0, &frames)).expect("the connection lives");
    let Said::Bytes(bytes) = client.hear(&mut stream) else { panic!("the tunnel ends as its member says") };
    assert!(String::from_utf8_lossy(&bytes).contains("\u{5}hello"), "{bytes:02x?}");
    let asked = house.origin.request("/x");
    assert_eq!((asked.method.as_str(), asked.fields.get("upgrade").as_deref()), ("GET", Some("websocket")));
}

#[test]
fn an_answer_before_the_body_asks_for_no_more_of_it() {
    let house = House::stand("");
    let client = house.connect();
    let lines = [(":method", "POST"), SCHEME, AUTHORITY, (":path", "/%00"), ("content-length", "1000000")];
    let mut stream = client.say(&head(&lines)).expect("a stream");
    client.say_on(&mut stream, &frame(0, &[7; 10_000])).expect("the connection lives");
    assert!(matches!(client.hear(&mut stream), Said::Bytes(_)));
    assert_eq!(client.stopped(&mut stream), Some(NO_ERROR));
}

#[test]
fn a_request_that_is_given_up_is_given_up_behind_the_gateway_and_too_many_of_them_end_the_connection() {
    let house = House::stand("");
    house.origin.otherwise(behaviour::never_answers());
    let client = house.connect();
    let mut stream = client.say(&with(&[])).expect("a stream");
    client.end(&mut stream);
    house.origin.await_requests(1);
    client.give_up(&mut stream);
    eventually("the member's connection is closed", || (house.origin.open_connections() == 0).then_some(()));
    for _ in 0..2000 {
        let Ok(mut stream) = client.say(&with(&[])) else { break };
        client.give_up(&mut stream);
    }
    assert_eq!(client.closed(), EXCESSIVE_LOAD);
}

#[test]
fn a_listener_has_so_many_connections() {
    let house = House::stand("max-connections = 2");
    let (mut first, _second) = (house.connect(), house.connect());
    let third = Quic::connect(&house.gateway.addr("web"), &house.visitor).err().expect("there is no seat");
    assert!(third.to_string().contains("refused"), "{third}");
    assert_eq!(first.get("/").expect("who has a seat is served").0, 200);
}

#[test]
fn an_idle_connection_is_closed_and_one_that_waits_for_its_answer_is_not() {
    let house = House::stand("idle-timeout = \"3s\"");
    let gate = Gate::closed();
    house.origin.on("/slow", behaviour::waits_for(&gate, behaviour::answers(200, "at last")));
    let mut idle = house.connect();
    assert_eq!(idle.get("/").expect("an answer").0, 200);
    let waiting = house.connect();
    let mut stream = waiting.say(&head(&[METHOD, SCHEME, AUTHORITY, (":path", "/slow")])).expect("a stream");
    waiting.end(&mut stream);
    assert_eq!(idle.closed(), NO_ERROR);
    gate.open();
    let Said::Bytes(bytes) = waiting.hear(&mut stream) else { panic!("no answer") };
    assert!(bytes.ends_with(b"at last"));
}

#[test]
fn who_drains_finishes_what_was_asked_and_refuses_what_comes_later() {
    let mut house = House::stand("");
    let gate = Gate::closed();
    house.origin.on("/slow", behaviour::waits_for(&gate, behaviour::answers(200, "finished")));
    let (mut idle, client) = (house.connect(), house.connect());
    assert_eq!(idle.get("/").expect("an answer").0, 200);
    let mut stream = client.say(&head(&[METHOD, SCHEME, AUTHORITY, (":path", "/slow")])).expect("a stream");
    client.end(&mut stream);
    eventually("it is asked", || (house.origin.count("/slow") == 1).then_some(()));
    house.gateway.signal(Signal::Terminate);
    assert_eq!(idle.closed(), NO_ERROR);
    let mut late = client.say(&with(&[])).expect("a stream");
    client.end(&mut late);
    assert_eq!(client.hear(&mut late), Said::Reset(REJECTED));
    gate.open();
    let Said::Bytes(bytes) = client.hear(&mut stream) else { panic!("no answer") };
    assert!(bytes.ends_with(b"finished"));
    assert_eq!(client.closed(), NO_ERROR);
    assert_eq!(house.gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn a_reload_keeps_connections_and_a_listener_may_learn_http_3_and_forget_it() {
    let house = House::stand("");
    let mut client = house.connect();
    assert_eq!(client.get("/").expect("an answer").0, 200);
    // The certificate is another one, too.
    house.reload(PROTOCOLS);
    assert_eq!(client.get("/").expect("an old connection goes on").0, 200);
    assert_eq!(house.connect().get("/").expect("a new one begins").0, 200);
    house.reload("[\"h1\"]");
    assert_eq!(client.closed(), NO_ERROR);
    house.reload(PROTOCOLS);
    assert_eq!(house.connect().get("/").expect("it is spoken again").0, 200);
}

#[test]
fn a_listener_of_http_3_alone_speaks_nothing_over_tcp() {
    let house = House::stand("");
    let address = house.gateway.addr("web");
    let by_tcp = |offered: &[&str]| Visitor::trusting(&house.authority).offering(offered).shake(&address);
    assert!(by_tcp(&["http/1.1"]).is_ok());
    house.reload("[\"h3\"]");
    for offered in [&["http/1.1"][..], &["h2"], &[]] {
        assert!(by_tcp(offered).is_err(), "{offered:?}");
    }
    assert_eq!(house.connect().get("/").expect("HTTP/3 is spoken").0, 200);
}

#[test]
fn early_data_is_for_listeners_that_say_so() {
    let ask_early = |house: &House, target: &str| {
        let address = house.gateway.addr("web");
        let mut client = Quic::connect_early(&address, &house.visitor).expect("a connection");
        assert_eq!(client.get(target).expect("an answer").0, 200);
        let told = house.origin.request(target).fields.get("early-data");
        (client.was_early_taken(), told)
    };
    let house = House::stand("");
    assert_eq!(house.connect().get("/first").expect("an answer").0, 200);
    assert_eq!(ask_early(&house, "/again"), (None, None));
    let house = House::stand("h3.early-data = true");
    assert_eq!(house.connect().get("/first").expect("an answer").0, 200);
    let mut asked = 0;
    // A request that is looked at when the handshake is over is like any other (RFC 8470, section 3).
    eventually("a request is marked", || {
        asked += 1;
        let (taken, told) = ask_early(&house, &format!("/early-{asked}"));
        (taken == Some(true) && told.as_deref() == Some("1")).then_some(())
    });
}

#[test]
fn what_would_change_something_is_not_done_early() {
    let house = House::stand("h3.early-data = true");
    assert_eq!(house.connect().get("/first").expect("an answer").0, 200);
    let (address, before) = (house.gateway.addr("web"), house.origin.requests().len());
    // As above: some come when the handshake is over.
    eventually("one is refused", || {
        let client = Quic::connect_early(&address, &house.visitor).expect("a connection");
        let mut stream = client.say(&head(&[(":method", "POST"), SCHEME, AUTHORITY, PATH])).expect("a stream");
        client.end(&mut stream);
        let _ = client.hear(&mut stream);
        (house.gateway.log_count("too-early") > 0).then_some(())
    });
    for request in &house.origin.requests()[before..] {
        assert_eq!((request.method.as_str(), request.fields.get("early-data")), ("POST", None));
    }
}

#[test]
fn large_bodies_go_both_ways() {
    let house = House::stand("max-body = \"64MiB\"");
    house.origin.on("/x", behaviour::sinks()).on("/big", behaviour::big_body(32 << 20));
    let mut client = house.connect();
    let (status, body) = client.get("/big").expect("an answer");
    assert_eq!((status, body.len()), (200, 32 << 20));
    let mut stream = client.say(&head(&[(":method", "POST"), SCHEME, AUTHORITY, PATH])).expect("a stream");
    for _ in 0..1000 {
        client.say_on(&mut stream, &frame(0, &[7; 10_000])).expect("the connection lives");
    }
    client.end(&mut stream);
    assert!(matches!(client.hear(&mut stream), Said::Bytes(_)));
    assert_eq!(house.origin.request("/x").length, 10_000_000);
}

#[test]
fn who_takes_nothing_makes_the_gateway_hold_little_and_is_given_up() {
    let house = House::stand("write-timeout = \"1s\"");
    house.origin.on("/x", behaviour::big_body(64 << 20));
    let before = house.gateway.rss_kib();
    let client = house.connect();
    // Nobody reads them, so their windows stay shut.
    let mut streams: Vec<_> = (0..20).map(|_| client.say(&with(&[])).expect("a stream")).collect();
    streams.iter_mut().for_each(|stream| client.end(stream));
    eventually("all are given up", || (house.gateway.log_count("client-stalled") >= 20).then_some(()));
    let grown = house.gateway.peak_rss_kib().saturating_sub(before);
    assert!(grown < 32 << 10, "{grown} KiB more");
    assert_eq!(client.hear(&mut streams[0]), Said::Reset(CANCELLED));
    assert_eq!(house.connect().get("/teapot").expect("others are served").0, 200);
}

#[test]
fn a_quiet_body_is_waited_for_while_its_answer_moves() {
    let house = House::stand("body-timeout = \"2s\"");
    house.origin.on(
        "/x",
        behaviour::does(|exchange| {
            exchange.write_head(200, &[("Content-Length", "31")])?;
            for _ in 0..30 {
                exchange.write("t")?;
                thread::sleep(Duration::from_millis(100));
            }
            exchange.read_body()?;
            exchange.write("!")?;
            Ok(Then::Keep)
        }),
    );
    let client = house.connect();
    let post = head(&[(":method", "POST"), SCHEME, AUTHORITY, PATH, ("content-length", "6")]);
    let mut stream = client.say(&[post, frame(0, b"abc")].concat()).expect("a stream");
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        client.read(&mut stream, 1).expect("the answer goes on");
    }
    client.say_on(&mut stream, &frame(0, b"def")).expect("it is still wanted");
    client.end(&mut stream);
    let Said::Bytes(bytes) = client.hear(&mut stream) else { panic!("it ends well") };
    assert!(bytes.ends_with(b"!"), "{bytes:02x?}");
    assert_eq!(house.origin.request("/x").body, b"abcdef");
}

#[test]
fn who_stops_sending_a_body_is_given_up() {
    let house = House::stand("body-timeout = \"300ms\"");
    house.origin.on("/x", behaviour::sinks());
    let client = house.connect();
    let post = head(&[(":method", "POST"), SCHEME, AUTHORITY, PATH, ("content-length", "10")]);
    let mut stream = client.say(&[post, frame(0, b"abc")].concat()).expect("a stream");
    let Said::Bytes(bytes) = client.hear(&mut stream) else { panic!("it is told") };
    assert!(String::from_utf8_lossy(&bytes).contains("408"), "{bytes:02x?}");
    assert_eq!(client.stopped(&mut stream), Some(NO_ERROR));
}
