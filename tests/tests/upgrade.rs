//! Change of protocol: only what a route lists is asked for, only what was asked for is granted, and the tunnel that comes
//! of it carries every byte, as long as it likes and no longer than it may.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::origin::{Behaviour, Exchange, Then};
use weir_tests::{
    Authority, Client, Config, Fields, Gate, Gateway, Origin, PATIENCE, Place, Signal, Stream, WebSocket, behaviour,
    eventually, filter_file,
};

const LOG: &str = "${response.status} ${failure} ${request.bytes} ${response.bytes} ${request.path}";

/// The example of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn to(origin: &Origin) -> Config {
    Config::to(origin).route("upgrade = [\"websocket\"]").access_log(LOG)
}

fn asking(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: any.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

fn grants(exchange: &mut Exchange<'_>) -> std::io::Result<()> {
    let head = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", ACCEPT),
        ("Sec-WebSocket-Protocol", "chat"),
    ];
    exchange.write_head(101, &head)
}

/// Grants and sends every byte back, until the other side ends.
fn echoes_bytes() -> Behaviour {
    behaviour::does(|exchange| {
        grants(exchange)?;
        loop {
            let bytes = exchange.some()?;
            if bytes.is_empty() {
                return Ok(Then::Close);
            }
            exchange.write(bytes)?;
        }
    })
}

/// A client whose connection is a tunnel.
fn tunnel(gateway: &Gateway) -> Client {
    let mut client = gateway.client();
    client.send(asking("/ws"));
    granted(&mut client);
    client
}

#[track_caller]
fn granted(client: &mut Client) -> Fields {
    let (status, fields) = client.response_head();
    assert_eq!(status, 101, "{fields:?}");
    fields
}

/// Exactly so many bytes.
#[track_caller]
fn receive(client: &mut Client, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < length {
        let more = client.some().unwrap_or_else(|error| panic!("{error} after {} bytes", bytes.len()));
        assert!(!more.is_empty(), "the end after {} of {length} bytes: {}", bytes.len(), bytes.escape_ascii());
        bytes.extend(more);
    }
    assert_eq!(bytes.len(), length, "{}", bytes.escape_ascii());
    bytes
}

#[track_caller]
fn echo(client: &mut Client, text: &[u8]) {
    client.send(text);
    assert_eq!(receive(client, text.len()), text);
}

#[test]
fn websockets_are_echoed_and_the_exchange_is_logged_at_the_tunnels_end() {
    let origin = Origin::that(behaviour::echoes_websockets());
    let gateway = Gateway::start(&to(&origin));
    let mut socket = WebSocket::open(&gateway.addr("web"), "any.example", "/ws").expect("a handshake");
    let long = "l".repeat(60_000);
    for text in ["one", "", &long] {
        socket.echo(text);
    }
    assert!(gateway.lines("access.log").is_empty(), "it was logged before its end");
    socket.close().expect("a close in good order");
    // Two bytes a frame, two more for a long one, four for a client's mask; three texts and a close.
    assert_eq!(gateway.access_lines(1), ["101 - 60029 60013 /ws"]);
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn a_tunnel_to_a_member_goes_under_tls() {
    let authority = Authority::found();
    let origin = Origin::on_tls("wss", &authority.certify("127.0.0.1"), None);
    origin.otherwise(behaviour::echoes_websockets());
    let config = Config::to(&origin).route("upgrade = [\"websocket\"]").file("ca.pem", authority.pem());
    let gateway = Gateway::start(&config.pool("tls = { ca = \"ca.pem\" }").access_log("${response.status} ${failure}"));
    let mut socket = WebSocket::open(&gateway.addr("web"), "any.example", "/ws").expect("a handshake");
    for text in ["one", &"l".repeat(60_000), ""] {
        socket.echo(text);
    }
    socket.close().expect("a close in good order");
    assert_eq!(gateway.access_lines(1), ["101 -"]);
}

#[test]
fn fields_of_the_handshake_pass_in_both_directions() {
    let origin = Origin::that(echoes_bytes());
    let gateway = Gateway::start(&to(&origin));
    let mut client = gateway.client();
    client.send(asking("/ws"));
    let fields = granted(&mut client);
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", ACCEPT),
        ("sec-websocket-protocol", "chat"),
    ] {
        assert_eq!(fields.get(name).as_deref(), Some(value), "{name} in {fields:?}");
    }
    assert!(!fields.has("content-length") && !fields.has("transfer-encoding"), "{fields:?}");
    let seen = &origin.requests()[0];
    for (name, value) in [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", KEY),
        ("sec-websocket-version", "13"),
        ("sec-websocket-protocol", "chat"),
    ] {
        assert_eq!(seen.fields.get(name).as_deref(), Some(value), "{name} in {seen:?}");
    }
}

#[test]
fn a_tunnel_survives_reloads_even_those_that_take_its_route_and_its_member_away() {
    let origin = Origin::start();
    origin.on("/ws", echoes_bytes());
    let gateway = Gateway::start(&to(&origin));
    let mut client = tunnel(&gateway);
    echo(&mut client, b"before");
    let other = Origin::start();
    for config in [to(&origin), to(&other), Config::to(&other).route("respond = { status = 200, body = \"x\" }")] {
        gateway.reload(&config);
        assert_eq!(gateway.get("/").status, 200);
        echo(&mut client, b"after a reload");
    }
    let address = gateway.addr("web");
    gateway.reload(&to(&other).listener("bind = \"unix:{place}/web.sock\""));
    eventually("its listener is gone", || Stream::connect(&address).is_err().then_some(()));
    echo(&mut client, b"without a listener");
    client.finish();
    client.expect_close();
    eventually("the member's side is closed", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn an_end_on_one_side_is_passed_on_and_the_other_side_goes_on() {
    let origin = Origin::start();
    origin.next(behaviour::does(|exchange| {
        grants(exchange)?;
        let mut heard = Vec::new();
        loop {
            let more = exchange.some()?;
            if more.is_empty() {
                break;
            }
            heard.extend(more);
        }
        exchange.write(format!("heard {}", String::from_utf8_lossy(&heard)))?;
        Ok(Then::Close)
    }));
    let gate = Gate::closed();
    let heard = gate.clone();
    origin.next(behaviour::does(move |exchange| {
        grants(exchange)?;
        exchange.write("last words")?;
        exchange.half_close();
        assert_eq!(exchange.some()?, b"still here");
        assert_eq!(exchange.some()?, b"");
        heard.open();
        Ok(Then::Close)
    }));
    let gateway = Gateway::start(&to(&origin));
    let mut client = tunnel(&gateway);
    client.send("this and that");
    client.finish();
    assert_eq!(client.rest(), b"heard this and that");
    assert_eq!(gateway.access_lines(1), ["101 - 13 19 /ws"]);
    let mut client = tunnel(&gateway);
    assert_eq!(client.rest(), b"last words");
    client.send("still here");
    client.finish();
    gate.pass();
    assert_eq!(gateway.access_lines(2)[1], "101 - 10 10 /ws");
}

#[test]
fn a_tunnel_that_carries_nothing_is_closed_after_its_own_time() {
    let origin = Origin::that(echoes_bytes());
    let gateway = Gateway::start(&to(&origin).pool("tunnel-idle-timeout = \"2s\""));
    let mut client = tunnel(&gateway);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(2500) {
        echo(&mut client, b"x");
        thread::sleep(Duration::from_millis(50));
    }
    let silent = Instant::now();
    client.expect_close();
    assert!(silent.elapsed() >= Duration::from_millis(1500), "{:?}", silent.elapsed());
    let line = gateway.access_lines(1).remove(0);
    assert!(line.starts_with("101 tunnel-idle "), "{line}");
    eventually("the member's side is closed", || (origin.open_connections() == 0).then_some(()));
}

#[test]
fn no_other_limit_holds_in_a_tunnel() {
    let origin = Origin::that(echoes_bytes());
    let config = to(&origin)
        .listener("idle-timeout = \"2s\"\nhead-timeout = \"2s\"\nbody-timeout = \"2s\"\nwrite-timeout = \"2s\"")
        .pool("read-timeout = \"2s\"\nwrite-timeout = \"2s\"\ntimeout = \"2s\"\nidle-timeout = \"2s\"")
        .pool("tunnel-idle-timeout = \"0s\"")
        .route("max-body = 1");
    let gateway = Gateway::start(&config);
    let mut client = tunnel(&gateway);
    assert!(client.is_silent_for(Duration::from_millis(3500)));
    echo(&mut client, b"still here");
}

#[test]
fn a_shutdown_waits_for_tunnels() {
    let origin = Origin::that(echoes_bytes());
    let mut gateway = Gateway::start(&to(&origin).top("shutdown-timeout = \"60s\""));
    let (mut first, mut second) = (tunnel(&gateway), tunnel(&gateway));
    gateway.signal(Signal::Terminate);
    gateway.logged("draining");
    echo(&mut first, b"during the drain");
    assert!(second.is_silent_for(Duration::from_millis(500)), "an idle tunnel was closed");
    assert!(gateway.is_running());
    first.finish();
    first.expect_close();
    echo(&mut second, b"still");
    second.finish();
    second.expect_close();
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert_eq!(gateway.access_lines(2), ["101 - 16 16 /ws", "101 - 5 5 /ws"]);
}

#[test]
fn what_was_asked_for_before_a_shutdown_is_granted_in_it() {
    let origin = Origin::start();
    let gate = Gate::closed();
    origin.otherwise(behaviour::waits_for(&gate, echoes_bytes()));
    let mut gateway = Gateway::start(&to(&origin));
    let mut client = gateway.client();
    client.send(asking("/ws"));
    origin.await_requests(1);
    gateway.signal(Signal::Terminate);
    gateway.logged("draining");
    gate.open();
    let fields = granted(&mut client);
    assert!(fields.get("connection").is_some_and(|value| value.starts_with("Upgrade")), "{fields:?}");
    echo(&mut client, b"at last");
    client.finish();
    client.expect_close();
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
}

#[test]
fn what_does_not_end_is_cut_at_the_shutdown_timeout_and_logged_so() {
    let origin = Origin::that(echoes_bytes());
    let mut gateway = Gateway::start(&to(&origin).top("shutdown-timeout = \"500ms\""));
    let mut client = tunnel(&gateway);
    echo(&mut client, b"four");
    let start = Instant::now();
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(450), "{:?}", start.elapsed());
    client.expect_close();
    assert_eq!(gateway.access_lines(1), ["101 stopped 4 4 /ws"]);
}

#[test]
fn what_the_route_does_not_list_is_not_asked_for() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).route("upgrade = [\"tcp\"]"));
    let bare = Gateway::start(&Config::to(&origin));
    for gateway in [&gateway, &bare] {
        let mut client = gateway.client();
        client.send(asking("/ws"));
        let fields = client.response().expect(200).json()["fields"].to_string().to_lowercase();
        assert!(!fields.contains("\"upgrade\"") && fields.contains("sec-websocket-key"), "{fields}");
        client.get("/next").expect(200);
    }
}

#[test]
fn of_a_list_only_what_is_allowed_goes_on_and_h2c_never_does() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).route("upgrade = [\"websocket\", \"tcp\"]"));
    let asked = [("Connection", "Upgrade, HTTP2-Settings"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")];
    for (upgrade, expected) in [
        ("h2c, WebSocket, foo/2", Some("WebSocket")),
        ("TCP/4", Some("TCP/4")),
        ("websocket, foo, tcp", Some("websocket, tcp")),
        ("h2c", None),
        ("foo", None),
        ("web socket", None),
    ] {
        let mut client = gateway.client();
        client.ask("/", &[asked[0], asked[1], ("Upgrade", upgrade)]).expect(200);
        let seen = origin.requests().pop().expect("it was asked");
        assert_eq!(seen.fields.get("upgrade").as_deref(), expected, "{upgrade}");
        assert_eq!(seen.fields.get("connection").as_deref(), expected.map(|_| "Upgrade"), "{upgrade}");
        assert!(!seen.fields.has("http2-settings"));
    }
}

#[test]
fn requests_that_cannot_change_the_protocol_are_ordinary_ones() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).route("upgrade = [\"websocket\", \"tcp\"]"));
    let ask = "Host: x\r\nConnection: upgrade\r\n";
    for (request, method) in [
        (format!("GET / HTTP/1.0\r\n{ask}Upgrade: websocket\r\n\r\n"), "GET"),
        (format!("HEAD / HTTP/1.1\r\n{ask}Upgrade: tcp\r\n\r\n"), "HEAD"),
        (format!("POST / HTTP/1.1\r\n{ask}Upgrade: websocket\r\nContent-Length: 0\r\n\r\n"), "POST"),
        (format!("POST / HTTP/1.1\r\n{ask}Upgrade: tcp\r\nContent-Length: 4\r\n\r\nbody"), "POST"),
        (format!("POST / HTTP/1.1\r\n{ask}Upgrade: tcp\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), "POST"),
        ("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n".to_owned(), "GET"),
    ] {
        let mut client = gateway.client();
        client.send(&request);
        client.response_to(method).expect(200);
        let seen = origin.requests().pop().expect("it was asked");
        assert!(!seen.fields.has("upgrade"), "{request}");
        if !request.contains("1.0") {
            client.get("/next").expect(200);
        }
    }
    let mut client = gateway.client();
    client.send(format!("CONNECT x:80 HTTP/1.1\r\n{ask}Upgrade: websocket\r\n\r\n"));
    client.response().expect(501);
    // Without a body, other methods may ask for other protocols.
    let mut client = gateway.client();
    client.send(format!("POST / HTTP/1.1\r\n{ask}Upgrade: tcp\r\n\r\n"));
    client.response().expect(200);
    assert_eq!(origin.requests().pop().and_then(|seen| seen.fields.get("upgrade")).as_deref(), Some("tcp"));
}

#[test]
fn a_101_that_does_not_grant_what_was_asked_for_is_no_answer() {
    let heads = [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, foo\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.0 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: a b\r\nUpgrade: websocket\r\n\r\n",
    ];
    for head in heads {
        let origin = Origin::start();
        let gateway = Gateway::start(&to(&origin));
        origin.next(behaviour::says(head));
        let mut client = gateway.client();
        client.send(asking("/ws"));
        client.response().expect(502);
        let line = gateway.access_lines(1).remove(0);
        assert!(line.starts_with("502 bad-response 0 "), "{head}: {line}");
        eventually("its connection is closed", || (origin.open_connections() == 0).then_some(()));
        client.get("/next").expect(200);
    }
}

#[test]
fn bytes_glued_to_the_heads_are_the_tunnels_first() {
    const EARLY: usize = 2000;
    let origin = Origin::that(behaviour::does(|exchange| {
        let mut head =
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n".to_vec();
        head.extend_from_slice(b"\x81\x05hello");
        exchange.write(head)?;
        let mut heard = Vec::new();
        while heard.len() < EARLY {
            heard.extend(exchange.some()?);
        }
        exchange.write(&heard)?;
        Ok(Then::Close)
    }));
    let gateway = Gateway::start(&to(&origin));
    let mut early = b"\x00\r\nGET /x HTTP".to_vec();
    early.resize(EARLY, 0xff);
    // In one piece with the head, behind it, and cut within the head.
    for cut in [0, 1, 2] {
        let mut client = gateway.client();
        let bytes = [asking("/ws").into_bytes(), early[..early.len() - 1].to_vec()].concat();
        let at = [bytes.len(), asking("/ws").len(), 40][cut];
        client.send(&bytes[..at]);
        client.send(&bytes[at..]);
        assert_eq!(granted(&mut client).get("upgrade").as_deref(), Some("WebSocket"));
        assert_eq!(receive(&mut client, 7), b"\x81\x05hello");
        client.send(&early[early.len() - 1..]);
        assert_eq!(receive(&mut client, early.len()), early);
        client.expect_close();
    }
    assert!(origin.requests().iter().all(|request| request.target == "/ws"));
}

#[test]
fn bytes_behind_an_upgrade_that_is_not_granted_are_requests() {
    let origin = Origin::start();
    let gate = Gate::closed();
    origin.on("/ws", behaviour::waits_for(&gate, behaviour::answers(200, "no")));
    let gateway = Gateway::start(&to(&origin));
    let mut client = gateway.client();
    client.send("GET /first HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send(format!("{}GET /second HTTP/1.1\r\nHost: x\r\n\r\n{}", asking("/ws"), asking("/third")));
    client.response().expect(200);
    origin.await_requests(2);
    client.send("GET /fourth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(origin.requests().len(), 2, "what may be a tunnel's was taken for a request");
    gate.open();
    assert_eq!(client.response().text(), "no");
    for target in ["/second", "/third", "/fourth"] {
        assert_eq!(client.response().json()["target"], target);
    }
    client.expect_close();
    // And what is no request is refused, once.
    let mut client = gateway.client();
    client.send([asking("/ws").as_bytes(), b"\x81\x8a too early\n"].concat());
    assert_eq!(client.response().text(), "no");
    client.response().expect(400);
    client.expect_close();
}

#[test]
fn an_upgrade_behind_other_requests_is_granted_after_their_answers() {
    let origin = Origin::start();
    origin.on("/ws", echoes_bytes());
    origin.on("/slow", behaviour::trickles(Duration::from_millis(20), 10));
    let gateway = Gateway::start(&to(&origin));
    let mut client = gateway.client();
    client.send(format!(
        "GET /slow HTTP/1.1\r\nHost: x\r\n\r\nPOST /two HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nxx{}early",
        asking("/ws")
    ));
    assert_eq!(client.response().body.len(), 10);
    assert_eq!(client.response().json()["body"], "xx");
    granted(&mut client);
    assert_eq!(receive(&mut client, 5), b"early");
    echo(&mut client, b"GET /four HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(origin.requests().len(), 3);
}

#[test]
fn a_kept_connection_becomes_a_tunnel_and_never_a_kept_one_again() {
    let origin = Origin::start();
    origin.on("/ws", echoes_bytes());
    origin.on("/no", behaviour::answers(426, "not here"));
    let gateway = Gateway::start(&to(&origin));
    gateway.get("/").expect(200);
    let mut refused = gateway.client();
    refused.send(asking("/no"));
    refused.response().expect(426);
    gateway.get("/").expect(200);
    let mut client = tunnel(&gateway);
    assert_eq!(origin.connections(), 1);
    gateway.get("/").expect(200);
    assert_eq!(origin.connections(), 2);
    echo(&mut client, b"alone");
    client.finish();
    client.expect_close();
    eventually("the tunnel's connection is closed", || (origin.open_connections() == 1).then_some(()));
    gateway.get("/").expect(200);
    assert_eq!(origin.connections(), 2);
}

#[test]
fn whoever_leaves_is_noticed_on_the_other_side_and_in_the_log() {
    let origin = Origin::start();
    origin.on("/ws", echoes_bytes());
    origin.on("/never", behaviour::never_answers());
    origin.on(
        "/reset",
        behaviour::does(|exchange| {
            grants(exchange)?;
            exchange.some()?;
            Ok(Then::Reset)
        }),
    );
    let gateway = Gateway::start(&to(&origin));
    // Before it is granted, with and without something said early.
    for (number, early) in ["", "early"].iter().enumerate() {
        let mut client = gateway.client();
        client.send(asking("/never")).send(early);
        origin.await_requests(number + 1);
        client.reset();
        if early.is_empty() {
            assert_eq!(gateway.access_lines(1)[0], "499 client-gone 0 0 /never");
        }
    }
    let mut client = tunnel(&gateway);
    echo(&mut client, b"four");
    client.reset();
    eventually("the reset is logged", || {
        gateway.lines("access.log").iter().any(|line| line == "101 client-gone 4 4 /ws").then_some(())
    });
    let mut client = gateway.client();
    client.send(asking("/reset"));
    granted(&mut client);
    client.send("go");
    client.expect_close();
    eventually("the member's reset is logged", || {
        gateway.lines("access.log").iter().any(|line| line == "101 upstream-reset 2 0 /reset").then_some(())
    });
}

#[test]
fn filters_see_the_101_and_one_that_puts_an_answer_in_its_place_closes_the_members_side() {
    let origin = Origin::that(echoes_bytes());
    let module = filter_file("hostile");
    let filter = format!("[filter.hostile]\nmodule = \"{}\"\nsettings = {{}}", module.display());
    let gateway = Gateway::start(&to(&origin).route("filters = [\"hostile\"]").tables(&filter));
    let mut client = gateway.client();
    client.send(asking("/ws"));
    assert_eq!(granted(&mut client).get("x-calls").as_deref(), Some("1"));
    echo(&mut client, b"edited");
    client.finish();
    client.expect_close();
    for (misdeed, status) in [("respond", 418), ("trap", 503), ("status-404", 404)] {
        let mut client = gateway.client();
        client.send(asking("/ws").replace("\r\n\r\n", &format!("\r\nX-Hostile: response:{misdeed}\r\n\r\n")));
        client.response().expect(status);
        eventually("the member's side is closed", || (origin.open_connections() == 0).then_some(()));
        // The client's side goes on as HTTP.
        client.send(asking("/ws"));
        granted(&mut client);
        echo(&mut client, b"again");
        client.finish();
        client.expect_close();
    }
}

#[test]
fn a_tunnel_holds_its_seat_at_the_listener() {
    let origin = Origin::that(echoes_bytes());
    let gateway = Gateway::start(&to(&origin).listener("max-connections = 1"));
    let mut client = tunnel(&gateway);
    gateway.client().response().expect(503);
    echo(&mut client, b"mine");
    client.finish();
    client.expect_close();
    drop(client);
    eventually("the seat is free", || {
        let mut client = gateway.client();
        let asked = client.try_send(asking("/ws")).and_then(|()| client.try_response());
        asked.is_ok_and(|response| response.status == 101).then_some(())
    });
}

#[test]
fn a_tunnel_does_not_count_against_the_limits_of_its_member() {
    let origin = Origin::start();
    origin.on("/ws", echoes_bytes());
    let limited = "member = [{ url = \"{origin}\", max-connections = 1, max-requests = 1 }]";
    let gateway = Gateway::start(&to(&origin).pool(limited));
    let mut tunnels: Vec<Client> = (0..3).map(|_| tunnel(&gateway)).collect();
    gateway.get("/").expect(200);
    tunnels.iter_mut().for_each(|client| echo(client, b"all of them"));
    drop(tunnels);
    eventually("the tunnels are closed", || (origin.open_connections() <= 1).then_some(()));
    gateway.get("/").expect(200);
}

#[test]
fn unix_sockets_on_both_sides_carry_tunnels_too() {
    let place = Place::fresh();
    let origin = Origin::on_unix(&place.path().join("app.sock"));
    origin.otherwise(echoes_bytes());
    let gateway = Gateway::start(&to(&origin).listener("bind = \"unix:{place}/web.sock\""));
    let mut client = tunnel(&gateway);
    echo(&mut client, b"over files");
    client.finish();
    client.expect_close();
    assert_eq!(gateway.access_lines(1), ["101 - 10 10 /ws"]);
}

#[test]
fn sixty_four_mib_each_way_need_no_memory() {
    const SIZE: usize = 64 << 20;
    const MOST_GROWTH_KIB: u64 = 4 * 1024;
    let origin = Origin::that(behaviour::does(|exchange| {
        grants(exchange)?;
        let mut length = 0;
        while length < SIZE {
            length += exchange.some()?.len();
        }
        let block = vec![b'd'; 1 << 20];
        for _ in 0..SIZE >> 20 {
            exchange.write(&block)?;
        }
        // The client reads late: what it does not take must stay at the origin.
        Ok(Then::Close)
    }));
    let gateway = Gateway::start(&to(&origin).tables("[log]\nformat = \"json\"\nlevel = \"info\""));
    let client = tunnel(&gateway);
    let before = gateway.peak_rss_kib();
    let mut stream = client.stream().try_clone().expect("a second handle");
    let block = vec![b'u'; 1 << 20];
    for _ in 0..SIZE >> 20 {
        stream.write_all(&block).expect("the tunnel takes it");
    }
    stream.shutdown(Shutdown::Write);
    thread::sleep(Duration::from_millis(300));
    let mut piece = vec![0; 1 << 20];
    let mut received = 0;
    loop {
        match stream.read(&mut piece).expect("the tunnel gives it") {
            0 => break,
            length => received += length,
        }
    }
    assert_eq!(received, SIZE);
    assert_eq!(gateway.access_lines(1), [format!("101 - {SIZE} {SIZE} /ws")]);
    let grown = gateway.peak_rss_kib() - before;
    assert!(grown < MOST_GROWTH_KIB, "{grown} KiB more were resident");
}

#[test]
fn many_tunnels_at_once_keep_their_bytes_apart() {
    let origin = Origin::that(echoes_bytes());
    let gateway = Gateway::start(&to(&origin).top("threads = 2"));
    let mut clients: Vec<Client> = (0..100).map(|_| tunnel(&gateway)).collect();
    for round in 0..5 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("{round:03}/{number:03}"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(receive(client, 7), format!("{round:03}/{number:03}").into_bytes());
        }
    }
    drop(clients);
    eventually("all are closed", || (origin.open_connections() == 0).then_some(()));
    assert!(gateway.access_lines(100).iter().all(|line| line.starts_with("101 ")));
}
