//! Extended CONNECT and what becomes of it towards a member that speaks HTTP/1.1.

use tokio::io::duplex;

use super::*;
use crate::message::websocket;

const WEB: &str = "http://shop.example";

/// A member that changes the protocol, with a proof that `spoil` may spoil, and echoes from then on.
fn echoing(spoil: fn(String) -> String) -> Act {
    Rc::new(move |head, mut stream| {
        Box::pin(async move {
            let find = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
            let accept = find("sec-websocket-key:").map(websocket::tests::accept).map(spoil).unwrap_or_default();
            let protocol = find("upgrade:").unwrap_or_default();
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\
                 sec-websocket-accept: {accept}\r\nsec-websocket-protocol: chat\r\n\r\nhello "
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await.unwrap();
            to.shutdown().await.unwrap();
        })
    })
}

fn connect(version: Version, path: &str) -> Asking {
    asking(version, Scheme::Http, "CONNECT", &format!("{WEB}{path}")).to("websocket")
}

#[test]
fn it_is_an_upgrade_to_the_member_and_a_tunnel_to_the_client() {
    run("tunnel", echoing(|accept| accept), |house| async move {
        for (version, said) in [(Version::HTTP_2, "HTTP/2.0"), (Version::HTTP_3, "HTTP/3.0")] {
            let asked = connect(version, "/socket?a=b").with("sec-websocket-protocol", "chat").with("origin", "o");
            let mut answer = house.serve(asked).await;
            assert_eq!((answer.status(), answer.version()), (Status::OK, version));
            let mut names: Vec<_> = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
            names.sort();
            assert_eq!(names, ["date", "sec-websocket-protocol", "server"]);
            let seen = house.last_seen();
            assert!(seen.starts_with("get /socket?a=b http/1.1\r\n"), "{seen}");
            for line in ["connection: upgrade", "upgrade: websocket", "sec-websocket-version: 13", "origin: o"] {
                assert!(seen.lines().any(|known| known == line), "{line}: {seen}");
            }
            let tunnel = answer.body_mut().take_tunnel().expect("a tunnel");
            let (near, mut client) = duplex(64);
            let used = async {
                client.write_all(b"world").await.unwrap();
                client.shutdown().await.unwrap();
                let mut text = String::new();
                client.read_to_string(&mut text).await.unwrap();
                text
            };
            let ((), text) = tokio::join!(tunnel.carry(near, "early ".into()), used);
            assert_eq!(text, "hello early world");
            assert_eq!(house.last_logged(), format!("GET {said} 200 -"));
        }
        let keys: Vec<_> = house.seen.borrow().iter().map(|head| key(head)).collect();
        assert_ne!(keys[0], keys[1]);
    });
}

fn key(head: &str) -> String {
    head.lines().find(|line| line.starts_with("sec-websocket-key:")).unwrap().to_owned()
}

#[test]
fn a_member_must_prove_that_it_speaks_websocket() {
    for (nth, spoil) in [(|_| String::new()) as fn(String) -> String, |accept| accept.to_lowercase()].iter().enumerate()
    {
        run(&format!("proof-{nth}"), echoing(*spoil), |house| async move {
            let (head, ..) = house.ask(connect(Version::HTTP_2, "/socket")).await;
            assert_eq!(head.status, Status::BAD_GATEWAY);
            assert!(house.last_logged().starts_with("GET HTTP/2.0 502 bad-response"));
        });
    }
}

#[test]
fn other_protocols_have_no_handshake_of_their_own() {
    run("other", echoing(|accept| accept), |house| async move {
        let asked = asking(Version::HTTP_2, Scheme::Http, "CONNECT", "http://h/socket").to("connect-udp");
        let mut answer = house.serve(asked).await;
        assert_eq!(answer.status(), Status::OK);
        assert!(answer.body_mut().take_tunnel().is_some());
        assert!(!house.last_seen().contains("sec-websocket"));
    });
}

#[test]
fn where_no_tunnel_comes_of_it_no_answer_says_so() {
    let says = |head: &str| match head.contains("/socket/fine") {
        true => "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine".to_owned(),
        false => "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno".to_owned(),
    };
    run("refused", answering(says), |house| async move {
        for (path, protocol, status, logged) in [
            ("/socket/no", "websocket", 403, "-"),
            ("/socket/fine", "websocket", 502, "bad-response"),
            ("/socket", "other", 501, "not-implemented"),
            ("/socket", "h2c", 501, "not-implemented"),
            ("/socket", "a b", 400, "malformed-request"),
            ("/elsewhere", "websocket", 501, "not-implemented"),
            ("/fixed", "websocket", 501, "not-implemented"),
            ("/none", "websocket", 404, "no-route"),
            ("/dead", "websocket", 502, "connect-refused"),
        ] {
            let (head, body, _) = house.ask(connect(Version::HTTP_2, path).to(protocol)).await;
            assert_eq!(head.status.as_u16(), status, "{path} {protocol}");
            assert_eq!(body == "no", status == 403);
            assert!(!head.headers.contains_key("connection"), "{path}");
            assert!(house.last_logged().ends_with(&format!(" {status} {logged}")), "{}", house.last_logged());
        }
    });
}

#[test]
fn nothing_else_changes_the_protocol_of_http_2() {
    let ok = |_: &str| "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned();
    run("plain", answering(ok), |house| async move {
        let plain = asking(Version::HTTP_2, Scheme::Http, "GET", "http://h/socket");
        let (head, ..) = house.ask(plain.with("connection", "upgrade").with("upgrade", "websocket")).await;
        assert_eq!(head.status, Status::OK);
        assert!(!house.last_seen().contains("upgrade"), "{}", house.last_seen());
        for (version, method) in [(Version::HTTP_11, "CONNECT"), (Version::HTTP_2, "GET")] {
            let (head, ..) = house.ask(asking(version, Scheme::Http, method, "http://h/socket").to("websocket")).await;
            assert_eq!(head.status, Status::BAD_REQUEST);
        }
        let (head, ..) = house.ask(asking(Version::HTTP_2, Scheme::Http, "CONNECT", "h:443")).await;
        assert_eq!(head.status, Status::NOT_IMPLEMENTED);
    });
}
