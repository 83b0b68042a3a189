//! What a client reads when something went wrong: the right status, in the form it likes, on the site's own pages.

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use weir_tests::origin::Behaviour;
use weir_tests::{Config, Gateway, Origin, RefusedPort, Response, behaviour};

const LOG: &str = "${response.status} ${failure}";

#[test]
fn every_fault_of_an_upstream_has_its_status_and_its_word() {
    let faults: [(Behaviour, u16, &str); 8] = [
        (behaviour::resets_before_response(), 502, "upstream-reset"),
        (behaviour::closes_before_response(), 502, "upstream-reset"),
        (behaviour::bad_status_line(), 502, "bad-response"),
        (behaviour::bad_header(), 502, "bad-response"),
        (behaviour::huge_head(1_000_000), 502, "bad-response"),
        (behaviour::two_lengths(), 502, "bad-response"),
        (behaviour::says_and_closes("SSH-2.0-OpenSSH\r\n\r\n"), 502, "bad-response"),
        (behaviour::says_and_closes("HTTP/1.1 200 OK\r\nContent-Le"), 502, "upstream-reset"),
    ];
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).access_log(LOG));
    for (number, (fault, status, word)) in faults.into_iter().enumerate() {
        origin.next(fault);
        assert_eq!(gateway.get(&format!("/{number}")).status, status, "fault {number}");
        let line = gateway.access_lines(number + 1).pop().unwrap_or_default();
        // A head that was cut short is both: the connection ended, and what came is not HTTP.
        let cut = number == 7 && line == "502 bad-response";
        assert!(line == format!("{status} {word}") || cut, "fault {number}: {line}");
    }
    gateway.get("/well").expect(200);
}

#[test]
fn a_member_that_cannot_be_reached_gives_502() {
    let refused = RefusedPort::take();
    let gateway = Gateway::start(&Config::to_url(&refused.url()).access_log(LOG));
    gateway.get("/").expect(502);
    let gone = Gateway::start(&Config::to_url("unix:{place}/nobody.sock").access_log(LOG));
    gone.get("/").expect(502);
    for gateway in [gateway, gone] {
        assert_eq!(gateway.access_lines(1), ["502 connect-refused"]);
    }
}

#[test]
fn an_answer_with_two_framings_is_never_passed_on_with_both() {
    let origin = Origin::that(behaviour::length_and_chunked());
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let response = client.try_response().expect("one framing or an error");
    assert!(response.status == 502 || response.text() == "hello", "{response}");
    gateway.get("/next");
    assert_eq!(origin.connections(), 2, "a connection that contradicted itself was used again");
}

#[test]
fn an_answer_in_a_coding_that_nobody_takes_off_is_no_answer() {
    let said = |coding: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: {coding}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
    for (coding, expected) in [("gzip, chunked", 502), ("gzip", 502), ("chunked", 200), ("Chunked", 200)] {
        let origin = Origin::that(behaviour::says_and_closes(said(coding)));
        let gateway = Gateway::start(&Config::to(&origin));
        let response = gateway.get("/");
        assert_eq!((response.status, response.text() == "hello"), (expected, expected == 200), "{coding}: {response}");
    }
}

fn asked_with_accept(accept: Option<&str>) -> Response {
    let refused = RefusedPort::take();
    let gateway = Gateway::start(&Config::to_url(&refused.url()));
    let fields: Vec<_> = accept.iter().map(|accept| ("Accept", *accept)).collect();
    gateway.client().ask("/", &fields)
}

#[test]
fn an_error_comes_in_the_form_the_client_likes() {
    let table = [
        (None, "text/plain"),
        (Some("*/*"), "text/plain"),
        (Some("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), "text/html"),
        (Some("application/json"), "application/json"),
        (Some("text/html;q=0.1, application/json;q=0.9"), "application/json"),
        (Some("image/png"), "text/plain"),
    ];
    for (accept, kind) in table {
        let response = asked_with_accept(accept);
        assert!(response.field("content-type").starts_with(kind), "{accept:?}: {response}");
        let id = response.field("x-request-id");
        assert!(!id.is_empty() && response.text().contains(&id), "{accept:?}: {response}");
        assert!(response.text().contains("502"), "{response}");
    }
    assert_eq!(asked_with_accept(Some("application/json")).json()["status"], 502);
}

#[test]
fn the_id_in_an_error_is_the_one_in_the_log() {
    let refused = RefusedPort::take();
    let config = Config::to_url(&refused.url()).access_log("${request.id}");
    let gateway = Gateway::start(&config);
    let id = gateway.get("/").field("x-request-id");
    assert_eq!(gateway.access_lines(1), [id]);
}

#[test]
fn an_error_says_nothing_of_the_inside() {
    let refused = RefusedPort::take();
    let gateway = Gateway::start(&Config::to_url(&refused.url()));
    let text = gateway.get("/").to_string();
    assert!(!text.contains(&refused.address()) && !text.contains("127.0.0.1"), "{text}");
}

#[test]
fn the_answer_to_head_has_no_body_even_when_it_is_an_error() {
    let refused = RefusedPort::take();
    let gateway = Gateway::start(&Config::to_url(&refused.url()));
    let mut client = gateway.client();
    for _ in 0..2 {
        let response = client.request("HEAD", "/", &[], b"");
        assert_eq!((response.status, response.body.len()), (502, 0));
    }
}

#[test]
fn a_connection_outlives_an_error_that_is_not_its_own() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).route("path = \"/here\""));
    let mut client = gateway.client();
    client.get("/there").expect(404);
    origin.next(behaviour::bad_status_line());
    client.get("/here").expect(502);
    client.request("POST", "/there", &[], b"a body nobody wants").expect(404);
    client.get("/here").expect(200);
}

#[test]
fn a_site_has_its_own_pages_for_errors() {
    let pages = r#"
        [site.all.error-page]
        "404" = { file = "404.html" }
        "5xx" = { body = "sorry: ${status} ${request.id}", content-type = "text/x-sorry" }
    "#;
    let refused = RefusedPort::take();
    let config =
        Config::to_url(&refused.url()).route("path = \"/here\"").tables(pages).file("404.html", "<h1>lost</h1>");
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    let lost = client.ask("/there", &[("Accept", "application/json")]);
    assert_eq!((lost.status, lost.text().as_str()), (404, "<h1>lost</h1>"));
    assert!(lost.field("content-type").starts_with("text/html"), "{lost}");
    let sorry = client.get("/here");
    assert_eq!((sorry.status, sorry.field("content-type").as_str()), (502, "text/x-sorry"));
    assert_eq!(sorry.text(), format!("sorry: 502 {}", sorry.field("x-request-id")));
}

#[test]
fn pages_are_each_sites_own() {
    let text = r#"
        [listener.web]
        bind = "127.0.0.1:0"
        [site.one]
        host = "one.example"
        route = [ { exact = "/x", respond = { status = 200 } } ]
        error-page = { "404" = { body = "page one" } }
        [site.two]
        host = "two.example"
        route = [ { exact = "/x", respond = { status = 200 } } ]
        error-page = { "4xx" = { body = "page two" } }
        [site.three]
        route = [ { exact = "/x", respond = { status = 200 } } ]
    "#;
    let gateway = Gateway::start(&Config::text(text));
    let mut client = gateway.client();
    assert_eq!(client.ask("/", &[("Host", "one.example")]).text(), "page one");
    assert_eq!(client.ask("/", &[("Host", "two.example")]).text(), "page two");
    let own = client.ask("/", &[("Host", "three.example")]).expect(404).text();
    assert!(own.contains("404"), "{own}");
}

#[test]
fn an_upstreams_own_errors_pass_unless_they_are_intercepted() {
    let origin = Origin::start();
    let page = "[site.all.error-page]\n\"4xx\" = { body = \"ours\" }\n\"5xx\" = { body = \"ours too\" }";
    let gateway = Gateway::start(&Config::to(&origin).tables(page));
    let mut client = gateway.client();
    for status in [404, 500, 503] {
        origin.next(behaviour::answers(status, "theirs"));
        assert_eq!(client.get("/").text(), "theirs");
    }
}

#[test]
fn intercepted_errors_are_replaced_by_the_sites_page() {
    let page = "[site.all.error-page]\n\"404\" = { body = \"ours\" }\n\"5xx\" = { body = \"ours too\" }";
    for place in ["pool", "route"] {
        let origin = Origin::start();
        let line = "intercept-errors = [404, \"5xx\"]";
        let config = Config::to(&origin).tables(page);
        let gateway = Gateway::start(&if place == "pool" { config.pool(line) } else { config.route(line) });
        let mut client = gateway.client();
        for (status, text) in
            [(404, "ours"), (500, "ours too"), (503, "ours too"), (403, "theirs"), (200, "theirs"), (302, "theirs")]
        {
            let fields = [("Retry-After", "7"), ("Content-Encoding", "x-theirs"), ("ETag", "\"theirs\"")];
            origin.next(behaviour::answers_with(status, &fields, "theirs"));
            let response = client.get("/");
            assert_eq!((response.status, response.text().as_str()), (status, text), "{place}");
            if text != "theirs" {
                assert!(!response.fields.has("content-encoding"), "{response}");
            }
        }
    }
}

#[test]
fn an_intercepted_error_without_a_page_gets_the_gateways_own_text() {
    let origin = Origin::that(behaviour::answers(500, "theirs, with a stack trace"));
    let gateway = Gateway::start(&Config::to(&origin).route("intercept-errors = [500]"));
    let response = gateway.get("/");
    assert_eq!(response.status, 500);
    assert!(!response.text().contains("stack trace"), "{response}");
}

#[test]
fn an_intercepted_401_still_says_how_to_log_in() {
    let challenge = [("WWW-Authenticate", "Basic realm=\"x\"")];
    let origin = Origin::that(behaviour::answers_with(401, &challenge, "theirs"));
    let gateway = Gateway::start(&Config::to(&origin).route("intercept-errors = [\"4xx\"]"));
    assert_eq!(gateway.get("/").field("www-authenticate"), "Basic realm=\"x\"");
}

#[test]
fn a_large_intercepted_body_is_not_waited_for() {
    let origin = Origin::that(behaviour::does(|exchange| {
        exchange.write_head(500, &[("Content-Length", "1000000000000")])?;
        while exchange.write([b'x'; 65536]).is_ok() {}
        Ok(weir_tests::origin::Then::Close)
    }));
    let gateway = Gateway::start(&Config::to(&origin).route("intercept-errors = [500]"));
    gateway.get("/").expect(500);
}

#[test]
fn an_unknown_expectation_gets_417() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).access_log(LOG));
    gateway.client().ask("/", &[("Expect", "the-unexpected")]).expect(417);
    assert_eq!(gateway.access_lines(1), ["417 unknown-expectation"]);
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn each_refusal_has_its_word_in_the_access_log() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).route("path = \"/here\"").access_log(LOG));
    let table = [
        ("GET /here HTTP/1.1\r\nHost: x\r\nBad Name: x\r\n\r\n", "400 malformed-request"),
        ("POST /here HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "400 ambiguous-framing"),
        ("GET /here HTTP/1.1\r\n\r\n", "400 bad-host"),
        ("GET /here/%00 HTTP/1.1\r\nHost: x\r\n\r\n", "400 bad-target"),
        ("POST /here HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400 malformed-body"),
        ("GET /here HTTP/2.0\r\nHost: x\r\n\r\n", "505 version-unsupported"),
        ("POST /here HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501 not-implemented"),
        ("GET /there HTTP/1.1\r\nHost: x\r\n\r\n", "404 no-route"),
    ];
    for (number, (request, line)) in table.into_iter().enumerate() {
        let mut client = gateway.client();
        let _ = client.try_send(request);
        let answer = client.try_response();
        let logged = gateway.access_lines(number + 1).pop().unwrap_or_default();
        let answered = answer.map(|response| response.status.to_string()).unwrap_or_default();
        assert_eq!(logged, line, "{request:?}");
        assert!(line.starts_with(&answered) && !answered.is_empty(), "{request:?}: {answered}");
    }
}

#[test]
fn a_client_that_left_is_logged_as_gone() {
    let origin = Origin::that(behaviour::never_answers());
    let gateway = Gateway::start(&Config::to(&origin).access_log(LOG));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    client.reset();
    assert_eq!(gateway.access_lines(1), ["499 client-gone"]);
}

#[test]
fn an_answer_that_was_cut_is_logged_as_cut() {
    let origin = Origin::that(behaviour::closes_after(10));
    let gateway = Gateway::start(&Config::to(&origin).access_log(LOG));
    let mut client = gateway.client();
    client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    let _ = client.try_response();
    assert!(gateway.access_lines(1)[0].ends_with(" response-cut"));
}

#[test]
fn without_descriptors_the_gateway_says_that_it_is_busy_and_blames_nobody() {
    let origin = Origin::start();
    let tables = "[[site.all.route]]\npath = \"/docs/\"\nroot = \"docs\"\n[root.docs]\npath = \"{place}\"";
    // Each request has a connection of its own.
    let config = Config::to(&origin)
        .pool("keepalive = false\nretry = \"1h\"")
        .route("path = \"/app/\"")
        .tables(tables)
        .access_log(LOG);
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    client.get("/app/first").expect(200);
    let limit = |most: u64| {
        let pid = Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
        let maximum = getrlimit(Resource::Nofile).maximum;
        let before = prlimit(pid, Resource::Nofile, Rlimit { current: Some(most), maximum });
        before.expect("the limit of a process of ours can be changed").current.unwrap_or(1024)
    };
    // Below what is open already, so that the next one is one too many.
    let before = limit(3);
    for _ in 0..10 {
        for target in ["/app/second", "/docs/weir.toml"] {
            let answer = client.get(target);
            assert_eq!((answer.status, answer.field("retry-after")), (503, "1".to_owned()), "{target}");
        }
    }
    limit(before);
    client.get("/app/third").expect(200);
    assert_eq!(gateway.access_lines(22)[1..21], vec!["503 out-of-descriptors"; 20]);
    assert_eq!(gateway.log_count("out-of-descriptors"), 1, "{:?}", gateway.log());
    assert_eq!(gateway.log_count("member is in error"), 0);
}
