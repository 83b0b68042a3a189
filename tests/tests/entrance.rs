//! What stands between a connection and its first request: PROXY headers, seats, least rates, sockets passed on.

use std::fs;
use std::time::Duration;

use weir_tests::{Client, Config, Gateway, Origin, PATIENCE, Signal, behaviour, eventually};

const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

fn behind_proxies(origin: &Origin) -> Gateway {
    let config = Config::to(origin).listener("proxy-protocol = [\"127.0.0.0/8\"]\nhead-timeout = \"2s\"");
    Gateway::start(&config.access_log("${client.address} ${client.port} ${response.status}"))
}

/// Version 2 with IPv4 addresses.
fn binary(source: [u8; 4], port: u16) -> Vec<u8> {
    let addresses = [&source[..], &[192, 0, 2, 2], &port.to_be_bytes(), &80_u16.to_be_bytes()].concat();
    [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c", &addresses[..]].concat()
}

#[test]
fn a_listed_proxy_says_whose_connection_it_is() {
    let origin = Origin::start();
    let gateway = behind_proxies(&origin);
    for (header, from) in [
        (b"PROXY TCP4 203.0.113.7 192.0.2.2 4711 80\r\n".to_vec(), "203.0.113.7 4711"),
        (b"PROXY TCP6 2001:db8::7 ::1 4712 80\r\n".to_vec(), "2001:db8::7 4712"),
        (binary([203, 0, 113, 8], 4713), "203.0.113.8 4713"),
    ] {
        let before = origin.requests().len();
        let mut client = gateway.client();
        client.send([&header[..], GET.as_bytes()].concat());
        client.response().expect(200);
        let address = from.split(' ').next().unwrap();
        assert_eq!(origin.requests()[before].fields.get("x-forwarded-for").as_deref(), Some(address));
        // The header was of the connection, not of the request.
        client.get("/again").expect(200);
        client.finish();
        let lines = gateway.access_lines(before + 2);
        assert_eq!(lines[before..], [format!("{from} 200"), format!("{from} 200")]);
    }
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let origin = Origin::start();
    let gateway = behind_proxies(&origin);
    for header in ["PROXY UNKNOWN\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut client = gateway.client();
        client.send(format!("{header}{GET}"));
        client.response().expect(200);
    }
    assert!(gateway.access_lines(2).iter().all(|line| line.starts_with("127.0.0.1 ")));
}

#[test]
fn a_header_may_come_byte_by_byte_and_a_request_with_it() {
    let origin = Origin::start();
    let gateway = behind_proxies(&origin);
    let mut client = gateway.client();
    let whole = [&binary([203, 0, 113, 9], 1)[..], GET.as_bytes()].concat();
    client.trickle(whole, Duration::ZERO);
    client.response().expect(200);
    assert_eq!(gateway.access_lines(1), ["203.0.113.9 1 200"]);
}

#[test]
fn a_listed_source_without_a_header_is_not_served() {
    let origin = Origin::start();
    let gateway = behind_proxies(&origin);
    for bytes in [GET, "PROXY TCP4 203.0.113.7\r\n", "PROXY TCP4 203.0.113.7 192.0.2.2 1 2\n"] {
        let mut client = gateway.client();
        client.send(bytes);
        assert_eq!(client.rest(), b"", "{bytes:?}");
    }
    // One that never ends.
    let mut client = gateway.client();
    client.send("PROXY TCP4 203");
    assert_eq!(client.rest(), b"");
    eventually("each is told of", || (gateway.log_count("connection refused") == 4).then_some(()));
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn an_unlisted_source_has_no_word_in_it() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).listener("proxy-protocol = [\"192.0.2.0/24\"]"));
    gateway.get("/").expect(200);
    let mut client = gateway.client();
    client.send(format!("PROXY TCP4 203.0.113.7 192.0.2.2 1 2\r\n{GET}"));
    client.response().expect(400);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn each_client_has_so_many_connections() {
    let origin = Origin::start();
    let config = Config::to(&origin).listener("max-connections-per-client = 2\nproxy-protocol = [\"127.0.0.0/8\"]");
    let gateway = Gateway::start(&config.access_log("${client.address} ${response.status} ${failure}"));
    let connect = |address: &str| {
        let mut client = gateway.client();
        client.send(format!("PROXY TCP4 {address} 192.0.2.2 1 2\r\n{GET}"));
        client
    };
    let mut held = [connect("203.0.113.1"), connect("203.0.113.1")];
    for client in &mut held {
        client.response().expect(200);
    }
    let mut third = connect("203.0.113.1");
    third.response().expect(429);
    third.expect_close();
    connect("203.0.113.2").response().expect(200);
    assert_eq!(gateway.access_lines(4)[2], "203.0.113.1 429 too-many-connections");
    let [first, _second] = held;
    first.reset();
    eventually("there is a seat again", || (connect("203.0.113.1").response().status == 200).then_some(()));
}

#[test]
fn a_body_that_trickles_is_cut_off() {
    let origin = Origin::start();
    let config = Config::to(&origin).listener("min-rate = { request = \"10KiB\", grace = \"300ms\" }");
    let gateway = Gateway::start(&config.access_log("${response.status} ${failure}"));
    let mut client = gateway.client();
    client.send("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    for _ in 0..1000 {
        if client.try_send("x").is_err() || !client.is_silent_for(Duration::from_millis(5)) {
            break;
        }
    }
    client.response().expect(408);
    assert_eq!(gateway.access_lines(1), ["408 body-timeout"]);
    // As slow, but nobody waits: the whole body is there at once.
    gateway.client().request("POST", "/", &[], &[b'x'; 200_000]).expect(200);
}

#[test]
fn a_client_that_hardly_reads_is_cut_off() {
    let origin = Origin::start();
    origin.on("/large", behaviour::big_body(64 << 20));
    let config = Config::to(&origin).listener("min-rate = { response = \"10MiB\", grace = \"300ms\" }");
    let gateway = Gateway::start(&config.access_log("${failure}"));
    let mut client = Client::connect_narrow(&gateway.addr("web"));
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the gateway has had enough", || {
        let _ = client.some();
        gateway.lines("access.log").into_iter().next()
    });
    assert_eq!(gateway.access_lines(1), ["client-stalled"]);
}

#[test]
fn the_kernel_probes_connections_that_are_silent() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).listener("tcp-keep-alive = \"60s\""));
    let client = gateway.client();
    let (ours, theirs) = (gateway.addr("web"), client.local_address());
    let port = |address: &str| address.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap();
    let ends = format!("0100007F:{:04X} 0100007F:{:04X} ", port(&ours), theirs.port());
    // The field after the queues: 02 is the keep-alive timer (proc(5), /proc/net/tcp).
    eventually("the timer runs", || {
        let table = fs::read_to_string("/proc/net/tcp").unwrap();
        let line = table.lines().find(|line| line.contains(&ends))?.to_owned();
        line.split_whitespace().nth(5).filter(|timer| timer.starts_with("02:")).map(drop)
    });
}

/// Opens a socket, writes its port to `port`, and becomes the command line it is given with the socket passed on.
const ACTIVATE: &str = r#"
import os, socket, sys
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(16)
open("port", "w").write(str(s.getsockname()[1]))
os.dup2(s.fileno(), 3); os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="public")
os.execv(sys.argv[1], sys.argv[1:])
"#;

#[test]
fn a_socket_that_is_passed_on_is_served_and_survives_reloads() {
    let origin = Origin::start();
    let config = Config::to(&origin).listener("bind = \"systemd:public\"").top("threads = 2");
    let gateway = Gateway::become_by(&config, ACTIVATE);
    let address = gateway.addr("web");
    assert_eq!(address, format!("127.0.0.1:{}", gateway.place().read("port")));
    for _ in 0..10 {
        gateway.get("/").expect(200);
    }
    // Given up, and taken again.
    let other = Config::to(&origin).listener("bind = \"127.0.0.1:0\"").top("threads = 2");
    gateway.rewrite_config(&other);
    gateway.signal(Signal::Reload);
    gateway.logged("no longer listening");
    gateway.rewrite_config(&config);
    gateway.signal(Signal::Reload);
    eventually("it is served again", || (gateway.log_count("\"reloaded\"") == 2).then_some(()));
    for _ in 0..10 {
        Client::connect(&address).get("/").expect(200);
    }
}

#[test]
fn a_socket_that_nobody_passed_on_is_a_clear_error() {
    let origin = Origin::start();
    let config = Config::to(&origin).listener("bind = \"systemd:private\"");
    let mut gateway = Gateway::spawn(&config);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(1));
    gateway.logged("cannot bind systemd:private: the service manager passed no socket on");
    let mut gateway = Gateway::become_by(&config, ACTIVATE);
    assert_eq!(gateway.wait_exit(PATIENCE), Some(1));
    gateway.logged("no socket of that name was passed on; there are: public");
}
