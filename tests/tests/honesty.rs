//! Requests that can be read in two ways are read in none: each gets a clear refusal and a closed connection, nothing of
//! it becomes a request upstream, and the next client's exchange is its own.

use weir_tests::{Config, Gateway, Origin, Response, eventually};

/// A request that would be a second one for a reader who ends the first one early.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: any.example\r\n\r\n";

struct World {
    origin: Origin,
    gateway: Gateway,
    canaries: usize,
}

impl World {
    fn new() -> World {
        let origin = Origin::start();
        let gateway = Gateway::start(&Config::to(&origin).pool("preserve-host = true"));
        World { origin, gateway, canaries: 0 }
    }

    /// Sends these bytes; they must be refused.
    fn refuses(&mut self, bytes: &[u8], allowed: &[u16]) {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
        let mut client = self.gateway.client();
        let _ = client.try_send(bytes);
        match client.try_response() {
            Ok(response) => {
                assert!(allowed.contains(&response.status), "{shown:?} got {response}");
                assert!(response.says_close(), "{shown:?} got {response}");
            }
            Err(error) => panic!("{shown:?} got no answer: {error}"),
        }
        let rest = client.rest();
        assert!(rest.is_empty(), "{shown:?} got a second answer: {}", String::from_utf8_lossy(&rest));
        self.nothing_came_of(&shown);
    }

    /// No whole request of the last bytes reached the origin, and the next client is served well.
    fn nothing_came_of(&mut self, shown: &str) {
        self.canaries += 1;
        let target = format!("/canary-{}", self.canaries);
        let canary = self.gateway.get(&target);
        assert_eq!((canary.status, canary.json()["target"].as_str()), (200, Some(target.as_str())), "after {shown:?}");
        assert_eq!(self.origin.violations(), Vec::<String>::new(), "{shown:?}");
        for request in self.origin.requests() {
            let harmless = request.target.starts_with("/canary-") || !request.whole;
            assert!(harmless, "{shown:?} reached the origin as {request:?}");
        }
    }

    /// Sends these bytes; they must be answered, and what went upstream must be HTTP by the letter.
    fn accepts(&mut self, bytes: &[u8]) -> Response {
        let shown = String::from_utf8_lossy(bytes).into_owned();
        let mut client = self.gateway.client();
        client.send(bytes);
        let response = client.response();
        assert_eq!(response.status, 200, "{shown:?} got {response}");
        assert_eq!(self.origin.violations(), Vec::<String>::new(), "{shown:?}");
        response
    }
}

#[test]
fn request_lines() {
    let lines: [&[u8]; 27] = [
        b"GET /\r\n",
        b"GET\r\n",
        b"GET  / HTTP/1.1\r\n",
        b"GET /  HTTP/1.1\r\n",
        b"GET / HTTP/1.1 \r\n",
        b" GET / HTTP/1.1\r\n",
        b"GET\t/\tHTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b"GET / http/1.1\r\n",
        b"GET / HTTP/1,1\r\n",
        b"GET / HTTP/ 1.1\r\n",
        b"GET / HTTP/1.10\r\n",
        b"GET / HTTP/1\r\n",
        b"GET / HTTP/01.1\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/0.9\r\n",
        b"GET / HTTP/1.2\r\n",
        b"GET / ICY/1.1\r\n",
        b"G\x01T / HTTP/1.1\r\n",
        b"G(T / HTTP/1.1\r\n",
        b"GET /\0 HTTP/1.1\r\n",
        b"GET /\x7f HTTP/1.1\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\n",
        b"GET relative HTTP/1.1\r\n",
        b"GET * HTTP/1.1\r\n",
        b"GET /\rx HTTP/1.1\r\n",
        b"GET / HTTP/1.1\n",
    ];
    let mut world = World::new();
    for line in lines {
        let bytes = [line, b"Host: any.example\r\n\r\n", SMUGGLED.as_bytes()].concat();
        world.refuses(&bytes, &[400, 414, 501, 505]);
    }
    world.refuses(b"PRI * HTTP/2.0\r\n\r\nMS\r\n\r\n", &[400, 505]);
    world.refuses(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", &[400]);
    world.refuses(b"CONNECT any.example:443 HTTP/1.1\r\nHost: any.example:443\r\n\r\n", &[400, 405, 501]);
}

#[test]
fn field_lines() {
    let lines: [&[u8]; 31] = [
        b"X-A: 1\n",
        b"X-A: 1\r\r\n",
        b"X-A: 1\rX-B: 2\r\n",
        b"X-A: a\0b\r\n",
        b"X-A: a\x01b\r\n",
        b"X-A: a\x7fb\r\n",
        b"X-A: a\x0bb\r\n",
        b"X-A : 1\r\n",
        b"X-A\t: 1\r\n",
        b" X-A: 1\r\n",
        b"\tX-A: 1\r\n",
        b"X-A: 1\r\n folded\r\n",
        b"X-A: 1\r\n\tfolded\r\n",
        b"X-A: 1\r\n \r\n",
        b": no name\r\n",
        b"no colon\r\n",
        b"X A: 1\r\n",
        b"X(A): 1\r\n",
        b"X\xe9A: 1\r\n",
        b"X\0A: 1\r\n",
        b"X@A: 1\r\n",
        b"X{A}: 1\r\n",
        b"\"X-A\": 1\r\n",
        b"X,A: 1\r\n",
        b"X/A: 1\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding\x0b: chunked\r\n",
        b" Transfer-Encoding: chunked\r\n",
        b"Content-Length : 4\r\n",
        b"\x0bContent-Length: 4\r\n",
        b"X: y\r\n\rContent-Length: 4\r\n",
    ];
    let mut world = World::new();
    for line in lines {
        for (before, after) in [("Host: any.example\r\n", ""), ("", "Host: any.example\r\n")] {
            let head = [b"POST / HTTP/1.1\r\n", before.as_bytes(), line, after.as_bytes(), b"\r\n"].concat();
            world.refuses(&[&head, SMUGGLED.as_bytes()].concat(), &[400]);
        }
    }
}

#[test]
fn framings() {
    let framings = [
        "Content-Length: 3\r\nContent-Length: 4\r\n",
        "Content-Length: 3\r\nContent-Length: 3\r\n",
        "Content-Length: 3, 4\r\n",
        "Content-Length: 3, 3\r\n",
        "Content-Length: 3,\r\n",
        "Content-Length: \r\n",
        "Content-Length: +3\r\n",
        "Content-Length: -3\r\n",
        "Content-Length: 0x3\r\n",
        "Content-Length: 3 \x0b\r\n",
        "Content-Length: 3 3\r\n",
        "Content-Length: 3;x\r\n",
        "Content-Length: three\r\n",
        "Content-Length: 3.0\r\n",
        "Content-Length: 1e1\r\n",
        "Content-Length: \"3\"\r\n",
        "Content-Length: 003\r\n",
        "Content-Length: 99999999999999999999999999\r\n",
        "Content-Length: 18446744073709551616\r\n",
        "Content-Length: 9223372036854775808\r\nContent-Length: 3\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: identity\r\n",
        "Content-Length: 3\r\nTransfer-Encoding: \r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity, chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunkedx\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: \x0bchunked\r\n",
        "Transfer-Encoding: chu nked\r\n",
        "Transfer_Encoding: chunked\r\n",
        "Content_Length: 3\r\n",
    ];
    let mut world = World::new();
    for framing in framings {
        let head = format!("POST / HTTP/1.1\r\nHost: any.example\r\n{framing}\r\n");
        world.refuses(format!("{head}0\r\n\r\n{SMUGGLED}").as_bytes(), &[400, 413, 501]);
    }
    let old = "POST / HTTP/1.0\r\nHost: any.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    world.refuses(format!("{old}{SMUGGLED}").as_bytes(), &[400]);
}

#[test]
fn chunks() {
    let bodies = [
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nabc0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "3\r\nabc\r\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "+3\r\nabc\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        "3 x\r\nabc\r\n0\r\n\r\n",
        "3,4\r\nabc\r\n0\r\n\r\n",
        " 3\r\nabc\r\n0\r\n\r\n",
        "g\r\nabc\r\n0\r\n\r\n",
        "\r\nabc\r\n0\r\n\r\n",
        ";x\r\nabc\r\n0\r\n\r\n",
        "3;\x00\r\nabc\r\n0\r\n\r\n",
        "3;a\nb\r\nabc\r\n0\r\n\r\n",
        "3;a\rb\r\nabc\r\n0\r\n\r\n",
        "10000000000000003\r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\nX-A : 1\r\n\r\n",
        "3\r\nabc\r\n0\r\nno colon\r\n\r\n",
        "3\r\nabc\r\n0\r\nX-A: 1\n\r\n",
        "3\r\nabc\r\n0\r\nX-A: a\0b\r\n\r\n",
        "3\r\nabc\r\n0\n\n",
        "3\r\nabc\r\n0\r\n\n",
    ];
    let mut world = World::new();
    for body in bodies {
        let head = "POST / HTTP/1.1\r\nHost: any.example\r\nTransfer-Encoding: chunked\r\n\r\n";
        world.refuses(format!("{head}{body}{SMUGGLED}").as_bytes(), &[400]);
    }
}

#[test]
fn trailers_that_frame_or_route() {
    let mut world = World::new();
    for name in ["Content-Length", "Transfer-Encoding", "Host"] {
        let head = "POST / HTTP/1.1\r\nHost: any.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n";
        world.refuses(format!("{head}{name}: 5\r\n\r\n").as_bytes(), &[400]);
    }
}

#[test]
fn hosts() {
    let hosts = [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: a.example\r\nHost: b.example\r\n",
        "Host: a.example\r\nHost: a.example\r\n",
        "Host: a.example, b.example\r\n",
        "Host: a b\r\n",
        "Host: a.example/path\r\n",
        "Host: user@a.example\r\n",
        "Host: a.example:port\r\n",
        "Host: a.example:99999\r\n",
        "Host: a.example:80:80\r\n",
        "Host: [::1\r\n",
        "Host: ::1\r\n",
        "Host: [zz]\r\n",
        "Host: http://a.example\r\n",
        "Host: a.example?x\r\n",
        "Host: a.example#x\r\n",
        "Host: a\\b\r\n",
        "Host: a\x7fb\r\n",
        "Host: a%00b\r\n",
        "Host: caf\u{e9}.example\r\n",
        "Host: <script>\r\n",
    ];
    let mut world = World::new();
    for host in hosts {
        world.refuses(format!("GET / HTTP/1.1\r\n{host}X: y\r\n\r\n{SMUGGLED}").as_bytes(), &[400]);
    }
}

#[test]
fn absolute_forms() {
    let requests = [
        "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
        "GET http://a.example:81/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http://user@a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http:// HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET ftp://a.example/ HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET a.example:80 HTTP/1.1\r\nHost: a.example\r\n\r\n",
        "GET //@a.example/ HTTP/1.1\r\nHost: b example\r\n\r\n",
        "GET http://a.example/ HTTP/1.1\r\n\r\n",
        "GET /#fragment HTTP/1.1\r\nHost: a.example\r\n\r\n",
    ];
    let mut world = World::new();
    for request in requests {
        world.refuses(request.as_bytes(), &[400]);
    }
}

#[test]
fn a_bad_request_behind_a_good_one_is_refused_after_the_good_answer() {
    let mut world = World::new();
    let bytes = "GET /canary-pipelined HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n";
    let mut client = world.gateway.client();
    client.send(bytes).send(SMUGGLED);
    assert_eq!(client.response().json()["target"], "/canary-pipelined");
    let refusal = client.response();
    assert_eq!(refusal.status, 400);
    assert!(client.rest().is_empty());
    world.nothing_came_of(bytes);
}

#[test]
fn refusals_do_not_depend_on_how_the_bytes_are_cut() {
    let mut world = World::new();
    let crooked = [
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\nHost: x\n\n",
    ];
    for bytes in crooked {
        let mut client = world.gateway.client();
        client.trickle(bytes, std::time::Duration::from_millis(1));
        assert_eq!(client.try_response().map(|response| response.status).ok(), Some(400), "{bytes:?}");
        world.nothing_came_of(bytes);
    }
}

#[test]
fn a_body_that_ends_too_early_is_no_request() {
    let mut world = World::new();
    let heads = [
        "Content-Length: 10\r\n\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ];
    for head in heads {
        let mut client = world.gateway.client();
        client.send(format!("POST /cut HTTP/1.1\r\nHost: x\r\n{head}"));
        client.finish();
        if let Ok(response) = client.try_response() {
            assert!(response.status >= 400, "{response}");
        }
        eventually("the upload is given up", || {
            world.origin.requests().iter().all(|request| request.target != "/cut" || !request.whole).then_some(())
        });
        world.nothing_came_of(head);
    }
}

#[test]
fn a_request_upstream_is_never_split_by_what_a_path_or_a_field_says() {
    let mut world = World::new();
    let split = world.accepts(b"GET /canary-%0d%0a%0d%0aGET%20/smuggled HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(split.json()["target"], "/canary-%0D%0A%0D%0AGET%20/smuggled");
    let response =
        world.accepts(b"GET /canary-a?x=%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x\r\nX-B: %0d%0aX-Evil: 1\r\n\r\n");
    let evil = response.json()["fields"].as_array().is_some_and(|fields| fields.iter().any(|f| f[0] == "x-evil"));
    assert!(!evil, "{response}");
}

#[test]
fn what_the_letter_allows_is_accepted_and_sent_on_in_its_plain_form() {
    let mut world = World::new();
    let requests: [&[u8]; 12] = [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\t x \t\r\n\r\n",
        b"GET / HTTP/1.1\r\nhOsT: x\r\nX-Empty:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n!#$%&'*+-.^_`|~09azAZ: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Obs: \x80\xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Tab: a\tb\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3;ext=\"a;b\"\r\nabc\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
        b"GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ];
    for bytes in requests {
        world.accepts(bytes);
    }
    let sent = world.origin.raw();
    let sent = String::from_utf8_lossy(&sent);
    assert!(!sent.contains("ext="), "a chunk extension went upstream");
}

#[test]
fn a_get_with_a_body_keeps_its_body_and_the_connection_its_order() {
    let world = World::new();
    let mut client = world.gateway.client();
    client.send(format!("GET /with-body HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()));
    let response = client.response();
    assert_eq!(response.json()["body"], SMUGGLED);
    assert_eq!(client.get("/next").json()["target"], "/next");
    assert_eq!(world.origin.count("/smuggled"), 0);
}
