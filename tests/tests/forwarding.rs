//! What the upstream is told about the client, and what of either side's fields the other gets to see.

use weir_tests::origin::Request;
use weir_tests::{Config, Framing, Gateway, Origin, Response, behaviour};

/// One request through a gateway with this config: what the origin saw and what the client got.
fn forwarded(config: impl FnOnce(Config) -> Config, fields: &[(&str, &str)]) -> (Request, Response) {
    let origin = Origin::start();
    let gateway = Gateway::start(&config(Config::to(&origin)));
    let response = gateway.client().ask("/seen", fields);
    response.expect(200);
    (origin.request("/seen"), response)
}

fn trusting(config: Config) -> Config {
    config.top("trusted-proxies = [\"10.0.0.0/8\", \"127.0.0.1\"]")
}

#[test]
fn the_member_is_asked_for_its_own_host_unless_the_clients_is_preserved() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    gateway.client().ask("/", &[("Host", "shop.example:8080")]).expect(200);
    assert_eq!(origin.requests()[0].fields.all("host"), [origin.address()]);

    let (seen, _) = forwarded(|config| config.pool("preserve-host = true"), &[("Host", "shop.example:8080")]);
    assert_eq!(seen.fields.all("host"), ["shop.example:8080"]);
}

#[test]
fn what_a_stranger_claims_is_overwritten() {
    let claims = [
        ("Host", "shop.example"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-For", "7.7.7.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Port", "443"),
        ("Forwarded", "for=6.6.6.6"),
        ("X-Request-Id", "mine"),
    ];
    let (seen, _) = forwarded(|config| config, &claims);
    assert_eq!(seen.fields.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(seen.fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(seen.fields.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(seen.fields.all("x-forwarded-port").len(), 1);
    assert_ne!(seen.fields.all("x-forwarded-port"), ["443"]);
    assert!(!seen.fields.all("forwarded").iter().any(|line| line.contains("6.6.6.6")));
    assert_eq!(seen.fields.all("x-request-id").len(), 1);
    assert_ne!(seen.fields.all("x-request-id"), ["mine"]);
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let claims = [
        ("Host", "inside.example"),
        ("X-Forwarded-For", "6.6.6.6, 10.1.2.3"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "outside.example"),
        ("X-Forwarded-Port", "443"),
        ("X-Request-Id", "from-the-edge-1"),
    ];
    let (seen, _) = forwarded(trusting, &claims);
    assert_eq!(seen.fields.get("x-forwarded-for").as_deref(), Some("6.6.6.6, 10.1.2.3, 127.0.0.1"));
    assert_eq!(seen.fields.all("x-forwarded-proto"), ["https"]);
    assert_eq!(seen.fields.all("x-forwarded-host"), ["outside.example"]);
    assert_eq!(seen.fields.all("x-forwarded-port"), ["443"]);
    assert_eq!(seen.fields.all("x-request-id"), ["from-the-edge-1"]);
}

#[test]
fn the_clients_address_is_the_first_that_no_trusted_proxy_vouches_for() {
    let origin = Origin::start();
    let config = trusting(Config::to(&origin)).access_log("${client.address}");
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    client.ask("/", &[("X-Forwarded-For", "1.1.1.1, 6.6.6.6, 10.1.2.3")]).expect(200);
    client.ask("/", &[]).expect(200);
    assert_eq!(gateway.access_lines(2), ["6.6.6.6", "127.0.0.1"]);
}

#[test]
fn a_trusted_proxys_claims_are_still_checked() {
    let (seen, _) = forwarded(trusting, &[("X-Forwarded-Proto", "gopher"), ("X-Forwarded-Port", "many")]);
    assert!(matches!(seen.fields.get("x-forwarded-proto").as_deref(), Some("http")), "{seen:?}");
    assert_ne!(seen.fields.get("x-forwarded-port").as_deref(), Some("many"));
}

#[test]
fn forwarded_is_sent_when_the_pool_asks_for_it() {
    let (seen, _) = forwarded(|config| config.pool("forwarded = true"), &[("Host", "shop.example")]);
    let line = seen.fields.get("forwarded").expect("a Forwarded field");
    for part in ["for=127.0.0.1", "proto=http", "host=shop.example"] {
        assert!(line.to_ascii_lowercase().contains(part), "{line}");
    }
    let (seen, _) = forwarded(|config| config, &[]);
    assert!(!seen.fields.has("forwarded"));
}

#[test]
fn via_is_added_upstream_and_towards_the_client_when_the_site_asks_for_it() {
    let (seen, response) = forwarded(|config| config.site("via = false"), &[("Via", "1.0 before")]);
    let via = seen.fields.get("via").expect("a Via field");
    assert!(via.starts_with("1.0 before, 1.1 "), "{via}");
    assert!(!response.fields.has("via"));

    let (_, response) = forwarded(|config| config.site("via = true"), &[]);
    assert!(response.field("via").starts_with("1.1 "));
}

#[test]
fn every_request_has_an_id_of_its_own() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    let ids: Vec<String> = (0..5)
        .filter_map(|_| {
            client.get("/").expect(200);
            origin.requests().last()?.fields.get("x-request-id")
        })
        .collect();
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!((ids.len(), distinct.len()), (5, 5), "{ids:?}");
}

#[test]
fn hop_by_hop_fields_and_what_connection_names_stay_on_their_hop() {
    let fields = [
        ("Connection", "keep-alive, X-Mine"),
        ("Connection", "x-also"),
        ("X-Mine", "1"),
        ("X-Also", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "gzip"),
        ("Upgrade", "foo/2"),
        ("Proxy-Authorization", "Basic x"),
    ];
    let (seen, _) = forwarded(|config| config, &fields);
    for name in ["x-mine", "x-also", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!seen.fields.has(name), "{name} reached the origin");
    }
    assert_ne!(seen.fields.get("te").as_deref(), Some("gzip"));
    assert!(seen.fields.has("x-other"));
}

#[test]
fn connection_cannot_take_away_what_the_gateway_itself_says() {
    let names = "Host, X-Forwarded-For, X-Forwarded-Proto, X-Request-Id, Via, Content-Length";
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let response = gateway.client().request("POST", "/", &[("Connection", names)], b"body");
    // Naming a framing field may be refused instead: what must not happen is that the body loses its frame.
    if response.status == 200 {
        let seen = origin.request("/");
        for name in ["host", "x-forwarded-for", "x-forwarded-proto", "x-request-id", "via"] {
            assert!(seen.fields.has(name), "{name} is missing");
        }
        assert_eq!(seen.body, b"body");
    } else {
        assert_eq!(response.status, 400);
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn hop_by_hop_fields_of_the_response_stay_on_their_hop_too() {
    let fields = [
        ("Connection", "X-Mine"),
        ("X-Mine", "1"),
        ("X-Other", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "x"),
        ("Upgrade", "h2c"),
    ];
    let origin = Origin::that(behaviour::answers_with(200, &fields, "ok"));
    let gateway = Gateway::start(&Config::to(&origin));
    let response = gateway.get("/");
    for name in ["x-mine", "keep-alive", "proxy-connection", "upgrade"] {
        assert!(!response.fields.has(name), "{name} reached the client");
    }
    assert!(response.fields.has("x-other"));
}

#[test]
fn the_server_field_is_the_gateways_unless_preserved() {
    let origin = Origin::that(behaviour::answers_with(200, &[("Server", "upstream/9.9")], "ok"));
    let hidden = Gateway::start(&Config::to(&origin)).get("/");
    assert!(hidden.fields.all("server").iter().all(|value| !value.contains("upstream")), "{hidden}");
    let kept = Gateway::start(&Config::to(&origin).site("preserve-server = true")).get("/");
    assert_eq!(kept.fields.all("server"), ["upstream/9.9"]);
}

#[test]
fn a_date_is_added_when_the_upstream_has_none_and_kept_when_it_has() {
    let then = "Tue, 15 Nov 1994 08:12:31 GMT";
    let origin = Origin::start();
    origin.on("/dated", behaviour::answers_with(200, &[("Date", then)], "ok"));
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    assert_eq!(client.get("/dated").fields.all("date"), [then]);
    let added = client.get("/");
    assert_eq!(added.fields.all("date").len(), 1);
    assert!(added.field("date").ends_with(" GMT"));
}

#[test]
fn methods_pass_as_they_are() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH", "get"] {
        assert_eq!(client.request(method, "/", &[], b"").json()["method"], method);
    }
}

#[test]
fn connect_is_refused() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send("CONNECT any.example:443 HTTP/1.1\r\nHost: any.example:443\r\n\r\n");
    let response = client.response();
    assert!(matches!(response.status, 400 | 405 | 501), "{response}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn an_upgrade_that_is_not_offered_is_an_ordinary_request() {
    let upgrade = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")];
    let (seen, response) = forwarded(|config| config, &upgrade);
    assert!(!seen.fields.has("upgrade"));
    assert_eq!(response.status, 200);
}

#[test]
fn an_upstream_cannot_switch_protocols_uninvited() {
    let origin = Origin::that(behaviour::says(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nnot http",
    ));
    let gateway = Gateway::start(&Config::to(&origin));
    assert_eq!(gateway.get("/").status, 502);
}

#[test]
fn options_asks_for_the_whole_server_with_a_star() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    for (asked, target) in [
        ("*", "*"),
        ("http://shop.example", "*"),
        ("http://shop.example/", "/"),
        ("http://shop.example?q", "/?q"),
        ("/", "/"),
    ] {
        client.request("OPTIONS", asked, &[("Host", "shop.example")], b"").expect(200);
        assert_eq!(origin.requests().last().unwrap().target, target, "{asked}");
    }
    client.ask("http://shop.example", &[("Host", "shop.example")]).expect(200);
    assert_eq!(origin.requests().last().unwrap().target, "/");
}

#[test]
fn the_absolute_form_is_understood_and_sent_on_as_a_path() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).pool("preserve-host = true"));
    let mut client = gateway.client();
    client.ask("http://shop.example/a?b", &[("Host", "shop.example")]).expect(200);
    let seen = &origin.requests()[0];
    assert_eq!((seen.target.as_str(), seen.fields.get("host").as_deref()), ("/a?b", Some("shop.example")));
}

#[test]
fn bytes_of_field_values_and_lines_of_one_name_arrive_as_they_were() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send(
        b"GET /b HTTP/1.1\r\nHost: x\r\nX-Raw: caf\xe9 \"q\"  two\r\nX-Empty:\r\nX-L: 1\r\nX-M: m\r\nX-L: 2\r\n\r\n",
    );
    client.response().expect(200);
    let seen = origin.request("/b");
    assert_eq!(seen.fields.get("x-raw").as_deref(), Some("caf\u{e9} \"q\"  two"));
    assert_eq!(seen.fields.all("x-l"), ["1", "2"]);
    assert_eq!(seen.fields.all("x-empty"), [""]);

    let cookies = [("Set-Cookie", "a=1, b; Path=/"), ("X-Z", "z"), ("Set-Cookie", "c=2")];
    origin.otherwise(behaviour::answers_with(200, &cookies, "ok"));
    assert_eq!(client.get("/").fields.all("set-cookie"), ["a=1, b; Path=/", "c=2"]);
}

#[test]
fn statuses_pass_as_they_are() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    for status in [200, 201, 206, 226, 299, 301, 400, 404, 418, 451, 499, 500, 503, 511, 599] {
        origin.next(behaviour::answers(status, "body"));
        let response = client.get("/");
        assert_eq!((response.status, response.text().as_str()), (status, "body"));
    }
}

#[test]
fn an_http_1_0_client_gets_an_answer_it_can_read() {
    let origin = Origin::start();
    origin.on("/chunks", behaviour::chunked_with_trailers(&["one", "two"]));
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    client.send("GET /chunks HTTP/1.0\r\nHost: any.example\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.text().as_str()), (200, "onetwo"));
    assert!(!response.fields.has("transfer-encoding"));
    client.expect_close();
    let mut client = gateway.client();
    client.send("GET /no-host HTTP/1.0\r\n\r\n");
    client.response().expect(200);
    assert_eq!(origin.request("/no-host").version, "HTTP/1.1");
}

#[test]
fn an_http_1_0_upstream_is_understood() {
    let origin = Origin::that(behaviour::speaks_http_1_0());
    let gateway = Gateway::start(&Config::to(&origin));
    let mut client = gateway.client();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!((response.status, response.version.as_str()), (200, "HTTP/1.1"));
        assert_eq!(response.text(), "from the last century");
        assert_ne!(response.framing, Framing::Close);
    }
}

#[test]
fn a_real_curl_gets_through() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let url = format!("http://{}/path?q=1", gateway.addr("web"));
    let got = weir_tests::curl(&["--data", "field=value", "--header", "X-Curl: yes", &url]);
    assert_eq!(got.code, Some(0), "{got:?}");
    let seen = origin.request("/path?q=1");
    assert_eq!((seen.method.as_str(), seen.body.as_slice()), ("POST", b"field=value".as_slice()));
    assert_eq!(seen.fields.get("x-curl").as_deref(), Some("yes"));
    let twice = weir_tests::curl(&[
        "--write-out",
        "%{num_connects}",
        "--output",
        "/dev/null",
        &url,
        "--output",
        "/dev/null",
        &url,
    ]);
    assert_eq!(twice.out, "10", "curl kept its connection");
}
