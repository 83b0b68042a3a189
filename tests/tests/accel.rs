//! What upstreams say to the gateway (`X-Accel-Redirect`, `X-Sendfile` and their relatives): what it leads to, what stands
//! of the first answer, what a client never sees or says.

use std::time::{Duration, Instant};

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{Ask, Config, Door, Gateway, Origin, Response, Version, behaviour, eventually};

const CONFIG: &str = r#"
trusted-proxies = []
[listener.web]
bind = "127.0.0.1:0"
write-timeout = "2s"
idle-timeout = "2s"
body-timeout = "2s"
protocols = ["h1", "h2"]
[access-log]
path = "access.log"
format = '${request.method} ${request.path} ${response.status} ${route} ${pool} ${failure}'
[pool.app]
member = ["{app}"]
{more}
[pool.off]
member = ["{app}"]
accel = false
[pool.other]
member = ["{other}"]
forwarded = true
[root.private]
path = "{place}/private"
cache-control = "max-age=1"
[root.deep]
path = "{place}/private/deep"
[root.outbox]
path = "{place}/outbox"
temporary = true
[root.shut]
path = "{place}/shut"
accel = false
{tables}
[site.all]
route = [
  { path = "/protected/", internal = true, strip-prefix = true, root = "private" },
  { path = "/shut/", internal = true, strip-prefix = true, root = "shut" },
  { path = "/other/", internal = true, pool = "other", strip-prefix = true },
  { path = "/fixed", internal = true, respond = { status = 203, body = "fixed", content-type = "text/x-fixed" } },
  { path = "/excluded", exclude = true },
  { path = "/open/", root = "private", strip-prefix = true },
  { path = "/off/", pool = "off" },
  { path = "/route-off/", pool = "app", accel = false },
  { path = "/route-on/", pool = "off", accel = { roots = ["deep"], keep-fields = ["X-Kept"], upstream-validators = true } },
  { path = "/prefixed/", pool = "app", strip-prefix = true },
  {routes}
  { name = "last", pool = "app" },
  { name = "named", path = "/", pool = "other", internal = true },
  { name = "größe", path = "/never", respond = { body = "by its name" }, internal = true },
]
"#;

/// A gateway, the upstream that says things, and one that it may lead to.
struct World {
    gateway: Gateway,
    app: Origin,
    other: Origin,
}

impl World {
    fn start() -> World {
        World::with("", "", "")
    }

    /// With more in the pool, more tables, and more routes before the last.
    fn with(pool: &str, tables: &str, routes: &str) -> World {
        let (app, other) = (Origin::start(), Origin::start());
        let config = Config::text(CONFIG)
            .fill("more", pool)
            .fill("tables", tables)
            .fill("routes", routes)
            .fill("app", &app.url())
            .fill("other", &other.url())
            .file("private/a.txt", "0123456789")
            .file("private/a b?ö.txt", "odd")
            .file("private/deep/b.html", "deep")
            .file("private/dir/index.html", "index")
            .file("outbox/once.bin", "once")
            .file("shut/s.txt", "shut");
        World { gateway: Gateway::start(&config), app, other }
    }

    /// What comes of an answer with these fields to a GET.
    #[track_caller]
    fn led(&self, fields: &[(&str, &str)]) -> Response {
        self.led_at("/x", 200, fields, &[])
    }

    #[track_caller]
    fn led_at(&self, target: &str, status: u16, fields: &[(&str, &str)], asked: &[(&str, &str)]) -> Response {
        self.app.next(self.says(status, fields));
        self.gateway.client().ask(target, asked)
    }

    fn says(&self, status: u16, fields: &[(&str, &str)]) -> Behaviour {
        let place = self.place();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.replace("{place}", &place))).collect();
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        behaviour::answers_with(status, &fields, "the upstream's own")
    }

    fn place(&self) -> String {
        self.gateway.place().path().display().to_string()
    }
}

const FOR_GATEWAYS: &[&str] = &[
    "X-Accel-Redirect",
    "X-Accel-Expires",
    "X-Accel-Limit-Rate",
    "X-Accel-Buffering",
    "X-Accel-Charset",
    "X-Accel-Mapping",
    "x-accel-anything",
    "X-Sendfile",
    "X-SENDFILE",
    "X-Sendfile2",
    "X-Sendfile-Type",
    "X-Sendfile-Temporary",
    "X_Accel_Redirect",
    "X_Sendfile_Type",
];

#[test]
fn nothing_for_a_gateway_is_taken_from_a_client() {
    let world = World::start();
    for target in ["/x", "/off/x", "/route-off/x"] {
        for name in FOR_GATEWAYS {
            let response = world.gateway.client().ask(target, &[(name, "/protected/a.txt"), ("X-Beside", "1")]);
            assert_eq!(response.expect(200).field("content-type"), "application/json", "{name}");
            let seen = world.app.request(target).fields;
            assert!(!seen.has(name) && seen.has("x-beside"), "{name}");
        }
    }
    let door = Door::clear(Version::H2, &world.gateway.addr("web"));
    let ask =
        FOR_GATEWAYS.iter().fold(Ask::get("/h2"), |ask, name| ask.field(&name.to_lowercase(), "/protected/a.txt"));
    door.ask(&ask).expect(200);
    let seen = world.app.request("/h2").fields;
    assert!(FOR_GATEWAYS.iter().all(|name| !seen.has(name)), "{seen:?}");
}

#[test]
fn nothing_for_a_gateway_reaches_a_client() {
    let world = World::start();
    let is_silent = |response: &Response| {
        response.fields.0.iter().all(|(name, _)| !FOR_GATEWAYS.iter().any(|known| known.eq_ignore_ascii_case(name)))
    };
    for target in ["/off/x", "/route-off/x"] {
        for name in FOR_GATEWAYS {
            let response = world.led_at(target, 200, &[(name, "/protected/a.txt"), ("X-Beside", "1")], &[]);
            assert_eq!(response.expect(200).text(), "the upstream's own", "{name}");
            assert!(is_silent(&response) && response.fields.has("x-beside"), "{response}");
        }
    }
    for name in ["X-Accel-Buffering", "X-Accel-Expires", "X-Accel-Nonsense", "X-Sendfile2", "X-Sendfile-Type"] {
        let response = world.led(&[(name, "/protected/a.txt")]);
        assert_eq!(response.expect(200).text(), "the upstream's own", "{name}");
        assert!(is_silent(&response), "{response}");
    }
    let head = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-Accel-Redirect: /protected/a.txt\r\nX-Sendfile: /a\r\n\r\n";
    let rest = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n3\r\nabc\r\n0\r\n\
                X-Sum: 1\r\nX-Accel-Redirect: /protected/a.txt\r\nX-Sendfile: /b\r\n\r\n";
    world.app.next(behaviour::says(format!("{head}{rest}")));
    let response = world.gateway.client().ask("/interim", &[("TE", "trailers"), ("Connection", "te")]);
    assert_eq!(response.expect(200).text(), "abc");
    let [(103, interim)] = response.interim.as_slice() else { panic!("{:?}", response.interim) };
    assert!(interim.has("link") && !interim.has("x-accel-redirect") && !interim.has("x-sendfile"), "{interim:?}");
    let trailers = response.trailers;
    assert!(trailers.has("x-sum") && !trailers.has("x-accel-redirect") && !trailers.has("x-sendfile"), "{trailers:?}");
}

#[test]
fn where_a_value_leads() {
    let world = World::start();
    world.app.otherwise(behaviour::answers(200, "the upstream, once more"));
    world.other.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let body = format!("other: {}", exchange.request.target);
        exchange.write_head(201, &[("Content-Length", &body.len().to_string())])?;
        exchange.write(body)?;
        Ok(Then::Keep)
    }));
    for (value, status, body) in [
        // Files below roots that upstreams may name.
        ("{place}/private/a.txt", 200, "0123456789"),
        ("{place}/private//./a.txt", 200, "0123456789"),
        ("{place}/private/a%20b%3F%C3%B6.txt", 200, "odd"),
        ("{place}/private/a b?ö.txt", 200, "odd"),
        ("{place}/private/%61.txt", 200, "0123456789"),
        ("{place}/private/deep/b.html", 200, "deep"),
        ("{place}/private/dir/", 200, "index"),
        ("{place}/private/dir", 404, ""),
        ("{place}/private/none", 404, ""),
        ("{place}/private/%2561.txt", 404, ""),
        ("{place}/private/deep/../a.txt", 404, ""),
        ("{place}/private/%2e%2e/shut/s.txt", 404, ""),
        ("{place}/private/..%2fshut/s.txt", 404, ""),
        ("{place}/private/a.txt%00", 404, ""),
        // Below none of them: targets, for the last route.
        ("/etc/passwd", 200, "the upstream, once more"),
        ("{place}/shut/s.txt", 200, "the upstream, once more"),
        ("{place}/private", 403, ""),
        ("//", 200, "the upstream, once more"),
        // Routes.
        ("/protected/a.txt", 200, "0123456789"),
        ("/protected/a.txt?query", 200, "0123456789"),
        ("/protected/a%20b%3F%C3%B6.txt", 200, "odd"),
        ("/protected/dir/", 200, "index"),
        ("/protected/dir", 404, ""),
        ("/protected/none", 404, ""),
        ("/protected/deep%2Fb.html", 404, ""),
        ("/protected/../protected/a.txt", 404, ""),
        ("/protected/%2e%2e/x", 404, ""),
        ("/protected/..;/x", 404, ""),
        ("/shut/s.txt", 200, "shut"),
        ("/open/a.txt", 200, "0123456789"),
        ("/other/a/b?c=d&e", 201, "other: /a/b?c=d&e"),
        ("/other/a b", 201, "other: /a%20b"),
        ("/fixed", 203, "fixed"),
        ("/excluded", 404, ""),
        ("@named", 201, "other: /x?y"),
        ("@gr%C3%B6%C3%9Fe", 200, "by its name"),
        ("@größe", 200, "by its name"),
        ("@nobody", 404, ""),
        ("@", 404, ""),
        // What is no place.
        ("", 502, ""),
        ("a.txt", 502, ""),
        ("?x", 502, ""),
        ("http://127.0.0.1/protected/a.txt", 502, ""),
        ("/protected/100%", 502, ""),
        ("/protected/%zz", 502, ""),
    ] {
        for (name, upstream) in [("X-Accel-Redirect", 200), ("X-Sendfile", 404), ("x-sendfile", 500)] {
            let response = world.led_at("/x?y", upstream, &[(name, value)], &[]);
            assert_eq!(response.status, status, "{name}: {value}: {response}");
            assert!(status >= 400 || response.text() == body, "{name}: {value}: {response}");
            assert!(!response.fields.has(name), "{response}");
        }
    }
}

#[test]
fn redirects_go_before_files_and_nothing_is_said_twice() {
    let world = World::start();
    let file = ("X-Sendfile", "{place}/private/deep/b.html");
    for (fields, status, body) in [
        (&[("X-Accel-Redirect", "/protected/a.txt"), file][..], 200, "0123456789"),
        (&[file, ("X-Accel-Redirect", "/protected/a.txt")], 200, "0123456789"),
        (&[("X-Sendfile", "nonsense"), ("X-Accel-Redirect", "/protected/a.txt")], 200, "0123456789"),
        (&[file, ("X-Sendfile-Temporary", "{place}/outbox/once.bin")], 200, "deep"),
        (&[("X-Accel-Redirect", "/protected/a.txt"), ("X-Accel-Redirect", "/protected/a.txt")], 502, ""),
        (&[file, file], 502, ""),
        (&[("X_Accel_Redirect", "/protected/a.txt")], 200, "the upstream's own"),
    ] {
        let response = world.led(fields);
        assert_eq!(response.status, status, "{fields:?}: {response}");
        assert!(status >= 400 || response.text() == body, "{fields:?}: {response}");
    }
    let place = world.gateway.place();
    assert!(place.join("outbox/once.bin").exists());
}

#[test]
fn to_clients_there_is_nothing_behind_internal_routes() {
    let world = World::start();
    for target in ["/protected/a.txt", "/protected/", "/other/a", "/fixed", "/never"] {
        let response = world.gateway.get(target);
        match target {
            "/never" => assert_eq!(response.expect(200).json()["target"], "/never"),
            _ => assert_eq!(response.expect(404).fields.get("connection"), None, "{target}"),
        }
    }
    assert_eq!(world.gateway.get("/open/a.txt").expect(200).text(), "0123456789");
    assert_eq!(world.other.requests().len(), 0);
    assert_eq!(world.gateway.access_lines(1)[0], "GET /protected/a.txt 404 - - no-route");
}

#[test]
fn whatever_was_asked_becomes_a_request_to_read() {
    let world = World::start();
    let fields = [
        ("Content-Type", "text/plain"),
        ("Content-Language", "de"),
        ("If-Match", "\"never\""),
        ("Range", "bytes=0-1"),
        ("X-Own", "1"),
    ];
    for (method, body) in [("POST", "body".as_bytes()), ("PUT", b""), ("DELETE", b""), ("PATCH", b"x")] {
        world.app.next(world.says(200, &[("X-Accel-Redirect", "/other/read?q")]));
        let response = world.gateway.client().request(method, "/x", &fields, body);
        assert_eq!(response.expect(200).json()["method"], "GET", "{method}");
        assert_eq!(world.app.request("/x").body, body, "{method}");
        let seen = world.other.request("/read?q");
        assert_eq!((seen.length, seen.fields.get("x-own").as_deref()), (0, Some("1")));
        for gone in ["content-type", "content-language", "content-length", "transfer-encoding", "if-match", "range"] {
            assert!(!seen.fields.has(gone), "{method}: {gone}");
        }
        world.app.next(world.says(200, &[("X-Sendfile", "{place}/private/a.txt")]));
        let response = world.gateway.client().request(method, "/x", &fields, body);
        assert_eq!(response.expect(200).text(), "0123456789", "{method}");
    }
    for value in ["/protected/a.txt", "{place}/private/a.txt", "@named"] {
        world.app.next(world.says(200, &[("X-Accel-Redirect", value)]));
        let response = world.gateway.client().request("HEAD", "/x", &[], b"");
        assert!(response.expect(200).body.is_empty());
        match value {
            "@named" => assert_eq!(world.other.request("/x").method, "HEAD"),
            _ => assert_eq!(response.field("content-length"), "10", "{value}"),
        }
    }
    world.app.next(world.says(200, &[("X-Accel-Redirect", "@named")]));
    let response = world.gateway.client().request("OPTIONS", "*", &[], b"");
    assert_eq!((&response.json()["method"], &response.json()["target"]), (&"GET".into(), &"/".into()));
    let post =
        b"POST /post HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\nExpect: 100-continue\r\n\r\n";
    world.app.next(world.says(200, &[("X-Accel-Redirect", "/other/chunked")]));
    let mut client = world.gateway.client();
    client.send(post).send("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    client.response().expect(200);
    let seen = world.other.request("/chunked");
    assert!(!seen.fields.has("trailer") && !seen.fields.has("expect"), "{:?}", seen.fields);
    assert!(world.other.violations().is_empty(), "{:?}", world.other.violations());
}

#[test]
fn a_named_route_gets_the_target_as_the_client_wrote_it() {
    let world = World::start();
    world.led_at("/prefixed/a?b", 200, &[("X-Accel-Redirect", "@named")], &[]).expect(200);
    assert_eq!(world.app.request("/a?b").method, "GET");
    assert_eq!(world.other.request("/prefixed/a?b").method, "GET");
}

#[test]
fn the_second_upstream_is_told_of_the_client_once() {
    let world = World::start();
    world.led_at("/x", 200, &[("X-Accel-Redirect", "/other/y")], &[("Host", "shop.example")]).expect(200);
    let (first, second) = (world.app.request("/x").fields, world.other.request("/y").fields);
    for name in ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "x-request-id", "via"]
    {
        assert_eq!(first.all(name).len(), 1, "{name}");
        assert_eq!(first.all(name), second.all(name), "{name}");
    }
    assert!(!first.has("forwarded"));
    assert_eq!(second.all("forwarded"), ["for=127.0.0.1;host=shop.example;proto=http"]);
    assert_eq!(second.all("host"), [world.other.address()]);
}

/// What stands of the first answer: its fields, and of them those that the client sees.
const FIRST: &[(&str, &str)] = &[
    ("Content-Type", "image/first"),
    ("Content-Disposition", "attachment"),
    ("Set-Cookie", "a=1"),
    ("Set-Cookie", "b=2"),
    ("Cache-Control", "private"),
    ("Expires", "0"),
    ("Accept-Ranges", "none"),
    ("ETag", "\"first\""),
    ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ("Content-Encoding", "gzip"),
    ("Content-Language", "de"),
    ("X-Kept", "1"),
    ("X-Kept", "2"),
    ("Vary", "Cookie"),
];

#[test]
fn what_stands_of_the_first_answer() {
    let world = World::start();
    let second =
        [("Content-Type", "text/second"), ("Set-Cookie", "c=3"), ("Cache-Control", "public"), ("ETag", "\"second\"")];
    for (value, own_tag, cookies) in [
        ("{place}/private/a.txt", None, &["a=1", "b=2"][..]),
        ("/protected/a.txt", None, &["a=1", "b=2"]),
        ("/other/x", Some("\"second\""), &["c=3", "a=1", "b=2"]),
        ("/fixed", None, &["a=1", "b=2"]),
    ] {
        world.other.otherwise(behaviour::answers_with(200, &second, "0123456789"));
        let response = world.led(&[FIRST, &[("X-Accel-Redirect", value)]].concat());
        assert!(response.status < 300, "{value}: {response}");
        for (name, kept) in [
            ("content-type", "image/first"),
            ("content-disposition", "attachment"),
            ("expires", "0"),
            ("accept-ranges", "none"),
        ] {
            assert_eq!(response.fields.all(name), [kept], "{value}: {name}");
        }
        assert_eq!(response.fields.all("set-cookie"), cookies, "{value}");
        // Nobody takes back what the other upstream says to caches of an answer with its cookie.
        let caching = if cookies.len() == 3 { &["public", "private"][..] } else { &["private"] };
        assert_eq!(response.fields.all("cache-control"), caching, "{value}");
        for gone in ["content-encoding", "content-language", "x-kept", "vary"] {
            assert!(!response.fields.has(gone), "{value}: {gone}");
        }
        assert_ne!(response.fields.get("etag").as_deref(), Some("\"first\""), "{value}");
        assert!(own_tag.is_none() || response.fields.get("etag").as_deref() == own_tag, "{value}");
        assert_eq!(response.fields.all("content-length").len(), 1, "{value}");
    }
}

#[test]
fn of_an_error_only_cookies_stand() {
    let world = World::start();
    world.other.on("/broken", behaviour::answers_with(503, &[("Content-Type", "text/second")], "broken"));
    for (value, status) in
        [("/protected/none", 404), ("/other/broken", 503), ("@nobody", 404), ("{place}/private/x", 404)]
    {
        let response = world.led(&[FIRST, &[("X-Accel-Redirect", value)]].concat());
        assert_eq!(response.expect(status).fields.all("set-cookie"), ["a=1", "b=2"], "{value}");
        assert_ne!(response.field("content-type"), "image/first", "{value}");
        for gone in ["content-disposition", "expires", "accept-ranges", "etag"] {
            assert!(!response.fields.has(gone), "{value}: {gone}");
        }
        assert_ne!(response.fields.get("cache-control").as_deref(), Some("private"), "{value}");
    }
}

#[test]
fn what_a_route_keeps_and_lets_be_named() {
    let world = World::start();
    let first = [FIRST, &[("X-Accel-Redirect", "{place}/private/deep/b.html")]].concat();
    let response = world.led_at("/route-on/x", 200, &first, &[]);
    assert_eq!(response.expect(200).text(), "deep");
    assert_eq!(response.fields.all("x-kept"), ["1", "2"]);
    assert_eq!(response.field("etag"), "\"first\"");
    assert_eq!(response.field("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
    let response = world.led_at("/route-on/x", 200, &first, &[("If-None-Match", "W/\"first\"")]);
    assert_eq!((response.expect(304).field("etag").as_str(), response.body.len()), ("\"first\"", 0));
    assert_eq!(response.fields.all("set-cookie"), ["a=1", "b=2"]);
    assert!(!response.fields.has("content-type") && !response.fields.has("content-disposition"), "{response}");
    world.led_at("/route-on/x", 200, &first, &[("If-Match", "\"other\"")]).expect(412);
    // Without validators of the upstream's own, the file's hold.
    let response = world.led_at("/route-on/x", 200, &[("X-Sendfile", "{place}/private/deep/b.html")], &[]);
    assert!(response.expect(200).fields.has("etag") && response.field("etag") != "\"first\"");
    // Another root than those that are listed is none: the path is a target, and goes to the last route.
    world.app.next(world.says(200, &[("X-Sendfile", "{place}/private/a.txt")]));
    assert_eq!(
        world.gateway.get("/route-on/x").expect(200).json()["target"],
        format!("{}/private/a.txt", world.place())
    );
}

#[test]
fn conditions_and_ranges_are_about_what_finally_answers() {
    let world = World::start();
    for value in ["{place}/private/a.txt", "/protected/a.txt"] {
        let fields = [("X-Accel-Redirect", value), ("ETag", "\"first\""), ("Content-Type", "text/x-first")];
        let ask = |asked: &[(&str, &str)]| world.led_at("/x", 200, &fields, asked);
        let whole = ask(&[]);
        let (tag, modified) = (whole.expect(200).field("etag"), whole.field("last-modified"));
        assert_eq!(ask(&[("If-None-Match", &tag)]).expect(304).text(), "");
        assert_eq!(ask(&[("If-None-Match", "\"first\"")]).expect(200).text(), "0123456789");
        assert_eq!(ask(&[("If-Modified-Since", &modified)]).expect(304).text(), "");
        ask(&[("If-Match", "\"first\"")]).expect(412);
        let part = ask(&[("Range", "bytes=2-4")]);
        assert_eq!(
            (part.expect(206).text(), part.field("content-range")),
            ("234".to_owned(), "bytes 2-4/10".to_owned())
        );
        assert_eq!(part.field("content-type"), "text/x-first");
        assert_eq!(ask(&[("Range", "bytes=2-4"), ("If-Range", "\"first\"")]).expect(200).text(), "0123456789");
        assert_eq!(ask(&[("Range", "bytes=2-4"), ("If-Range", &tag)]).expect(206).text(), "234");
        assert_eq!(ask(&[("Range", "bytes=10-")]).expect(416).field("content-range"), "bytes */10");
        let parts = ask(&[("Range", "bytes=0-1,5-6")]);
        assert!(parts.expect(206).field("content-type").starts_with("multipart/byteranges; boundary="), "{parts}");
        assert!(
            parts.text().contains("Content-Type: text/x-first") || parts.text().contains("content-type: text/x-first")
        );
        let no_ranges = [&fields[..], &[("Accept-Ranges", "none")]].concat();
        let whole = world.led_at("/x", 200, &no_ranges, &[("Range", "bytes=2-4")]);
        assert_eq!(whole.expect(200).text(), "0123456789");
    }
    world.led_at("/x", 200, &[("X-Accel-Redirect", "/other/ranged")], &[("Range", "bytes=1-2"), ("If-Range", "\"x\"")]);
    let seen = world.other.request("/ranged").fields;
    assert_eq!((seen.get("range").as_deref(), seen.get("if-range").as_deref()), (Some("bytes=1-2"), Some("\"x\"")));
}

#[test]
fn ten_hops_and_no_more() {
    let world = World::start();
    world.app.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let left: u32 = exchange.request.target.trim_start_matches("/hop/").parse().unwrap();
        let next = if left == 1 { "/protected/a.txt".to_owned() } else { format!("/hop/{}", left - 1) };
        let cookie = format!("hop={left}");
        let kind = format!("text/x-{left}");
        exchange.write_head(
            200,
            &[("X-Accel-Redirect", &next), ("Set-Cookie", &cookie), ("Content-Type", &kind), ("Content-Length", "0")],
        )?;
        Ok(Then::Keep)
    }));
    let response = world.gateway.get("/hop/10");
    assert_eq!(response.expect(200).text(), "0123456789");
    assert_eq!(response.field("content-type"), "text/x-10", "the first one's word stands");
    let cookies: Vec<_> = (1..=10).map(|hop| format!("hop={hop}")).collect();
    assert_eq!(response.fields.all("set-cookie"), cookies);
    let response = world.gateway.get("/hop/11");
    assert_eq!(response.expect(500).fields.all("set-cookie").len(), 11);
    assert_eq!(
        world.gateway.access_lines(2),
        ["GET /hop/10 200 last app -".to_owned(), "GET /hop/11 500 last app redirect-loop".to_owned()]
    );
    world.app.otherwise(behaviour::answers_with(200, &[("X-Sendfile", "/round")], ""));
    world.gateway.get("/round").expect(500);
    assert_eq!(world.app.count("/round"), 11);
}

#[test]
fn the_upstreams_body_is_read_to_its_end_or_its_connection_closed() {
    let world = World::start();
    for _ in 0..3 {
        let answer = "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /protected/a.txt\r\nContent-Length: 5\r\n\r\nshort";
        world.app.next(behaviour::says(answer));
        assert_eq!(world.gateway.get("/x").expect(200).text(), "0123456789");
    }
    assert_eq!(world.app.connections(), 1, "what was short was read, and its connection used again");
    world.app.next(behaviour::does(|exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[("X-Accel-Redirect", "/protected/a.txt"), ("Content-Length", "100000000")])?;
        exchange.wait_for_end();
        Ok(Then::Close)
    }));
    assert_eq!(world.gateway.get("/x").expect(200).text(), "0123456789");
    eventually("the connection is closed", || (world.app.open_connections() == 0).then_some(()));
    world.app.next(behaviour::does(|exchange| {
        exchange.write_head(200, &[("X-Accel-Redirect", "/protected/a.txt"), ("Transfer-Encoding", "chunked")])?;
        while exchange.write(format!("10000\r\n{}\r\n", "x".repeat(65536))).is_ok() {}
        Ok(Then::Close)
    }));
    assert_eq!(world.gateway.get("/x").expect(200).text(), "0123456789");
    eventually("the endless one is closed too", || (world.app.open_connections() == 0).then_some(()));
    world.app.next(behaviour::does(|exchange| {
        exchange.write_head(200, &[("X-Accel-Redirect", "/protected/a.txt"), ("Content-Length", "10000")])?;
        while exchange.write(b"x").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Then::Close)
    }));
    assert_eq!(world.gateway.get("/x").expect(200).text(), "0123456789");
    eventually("and so is the one that drips", || (world.app.open_connections() == 0).then_some(()));
}

#[test]
fn a_temporary_file_is_gone_when_it_was_sent() {
    let world = World::start();
    let file = world.gateway.place().join("outbox/once.bin");
    let named = [("X-Sendfile-Temporary", "{place}/outbox/once.bin"), ("Content-Type", "text/x-once")];
    assert_eq!(world.led(&named).expect(200).text(), "once");
    eventually("the file is gone", || (!file.exists()).then_some(()));
    world.led(&named).expect(404);
    for (value, status) in [("/protected/a.txt", 404), ("@named", 502), ("{place}/private/a.txt", 200)] {
        world.led(&[("X-Sendfile-Temporary", value)]).expect(status);
    }
    assert!(world.gateway.place().join("private/a.txt").exists(), "its root keeps its files");
}

#[test]
fn the_charset_of_texts_is_the_upstreams() {
    let world = World::start();
    world.other.otherwise(behaviour::answers_with(200, &[("Content-Type", "text/plain; charset=latin1")], "x"));
    for (fields, kind) in [
        (&[("X-Accel-Charset", "utf-8"), ("Content-Type", "text/html")][..], "text/html; charset=utf-8"),
        (&[("X-Accel-Charset", "off"), ("Content-Type", "text/html; charset=koi8-r")], "text/html"),
        (&[("X-Accel-Charset", "utf-8"), ("Content-Type", "image/png")], "image/png"),
        (&[("X-Accel-Charset", "a b"), ("Content-Type", "text/html")], "text/html"),
        (&[("X-Accel-Charset", "koi8-r"), ("X-Accel-Redirect", "/protected/a.txt")], "text/plain; charset=koi8-r"),
        (&[("X-Accel-Charset", "koi8-r"), ("X-Sendfile", "{place}/private/a.txt")], "text/plain; charset=koi8-r"),
        (&[("X-Accel-Charset", "koi8-r"), ("X-Accel-Redirect", "/other/x")], "text/plain; charset=koi8-r"),
    ] {
        assert_eq!(world.led(fields).expect(200).field("content-type"), kind, "{fields:?}");
    }
}

#[test]
fn bodies_go_no_faster_than_the_upstream_says() {
    let world = World::start();
    // Half a second's bytes go at once, the rest in a second.
    let body = "x".repeat(30_000);
    std::fs::write(world.gateway.place().join("private/big"), &body).unwrap();
    world.app.on("/proxied", behaviour::answers_with(200, &[("X-Accel-Limit-Rate", "20000")], &body));
    world.app.on("/file", world.says(200, &[("X-Accel-Limit-Rate", "20000"), ("X-Sendfile", "{place}/private/big")]));
    for version in [Version::H1, Version::H2] {
        for target in ["/proxied", "/file"] {
            let began = Instant::now();
            let response = Door::clear(version, &world.gateway.addr("web")).ask(&Ask::get(target));
            assert_eq!(response.expect(200).body.len(), body.len());
            let took = began.elapsed();
            assert!(took >= Duration::from_millis(900), "{target} over {version:?} took {took:?}");
        }
    }
    for rate in ["0", "off", "nonsense"] {
        let began = Instant::now();
        world.app.next(behaviour::answers_with(200, &[("X-Accel-Limit-Rate", rate)], &"x".repeat(3_000_000)));
        assert_eq!(world.gateway.get("/unlimited").expect(200).body.len(), 3_000_000);
        assert!(began.elapsed() < Duration::from_secs(20), "{rate}");
    }
}

#[test]
fn who_is_slow_by_the_upstreams_word_is_not_late() {
    let world = World::with("read-timeout = \"2s\"", "", "");
    let body = "x".repeat(4_000);
    std::fs::write(world.gateway.place().join("private/slow"), &body).unwrap();
    world.app.on("/proxied", behaviour::answers_with(200, &[("X-Accel-Limit-Rate", "1000")], &body));
    world.app.on("/file", world.says(200, &[("X-Accel-Limit-Rate", "1000"), ("X-Sendfile", "{place}/private/slow")]));
    let address = world.gateway.addr("web");
    std::thread::scope(|scope| {
        for version in [Version::H1, Version::H2] {
            for target in ["/proxied", "/file"] {
                let (door, length) = (Door::clear(version, &address), body.len());
                scope.spawn(move || assert_eq!(door.ask(&Ask::get(target)).expect(200).body.len(), length, "{target}"));
            }
        }
    });
}

#[test]
fn chains_are_nested_and_see_their_own_request() {
    let rules = |request: &str, response: &str| {
        format!(
            "module = \"std:header-rules\"\n[filter.NAME.settings]\n\
             request = [ {{ action = \"add\", name = \"x-in\", value = \"NAME ${{request.path}}\" }} {request} ]\n\
             response = [ {{ action = \"add\", name = \"x-out\", value = \"NAME ${{request.method}} ${{request.path}} ${{response.status}}\" }} {response} ]\n"
        )
    };
    let filter = |name: &str, request: &str, response: &str| {
        format!("[filter.{name}]\n{}", rules(request, response)).replace("NAME", name)
    };
    let setting = ", { action = \"set\", name = \"x-accel-redirect\", value = \"/protected/a.txt\" }";
    let asking = ", { action = \"set\", name = \"x-sendfile-type\", value = \"X-Accel-Redirect\" }";
    let tables = [filter("outer", "", setting), filter("inner", "", ""), filter("pooled", asking, setting)].concat();
    let routes = "{ path = \"/outer\", pool = \"app\", filters = [\"outer\"] },\
                  { path = \"/inner\", pool = \"other\", filters = [\"inner\"], internal = true },";
    let world = World::with("filters = [\"pooled\"]", &tables, routes);
    world.other.otherwise(behaviour::answers(201, "inner"));
    world.app.next(world.says(500, &[("X-Accel-Redirect", "/inner/y")]));
    let response = world.gateway.client().request("POST", "/outer/x", &[], b"body");
    assert_eq!(response.expect(201).text(), "inner");
    assert_eq!(response.fields.all("x-out"), ["inner GET /inner/y 201", "outer POST /outer/x 201"]);
    assert!(!response.fields.has("x-accel-redirect"), "{response}");
    assert_eq!(world.app.request("/outer/x").fields.all("x-in"), ["outer /outer/x", "pooled /outer/x"]);
    assert_eq!(world.app.request("/outer/x").fields.get("x-sendfile-type").as_deref(), Some("X-Accel-Redirect"));
    assert_eq!(world.other.request("/inner/y").fields.all("x-in").last(), Some(&"inner /inner/y"));
    // What a filter says is not an upstream's word.
    let response = world.gateway.get("/outer/plain");
    assert_eq!(response.expect(200).json()["target"], "/outer/plain");
    assert!(!response.fields.has("x-accel-redirect"), "{response}");
}

#[test]
fn the_log_has_the_request_that_came() {
    let world = World::start();
    world.app.next(world.says(200, &[("X-Accel-Redirect", "/other/y")]));
    world.gateway.client().request("POST", "/x?y", &[], b"body").expect(200);
    world.led(&[("X-Accel-Redirect", "/protected/a.txt")]).expect(200);
    world.led(&[("X-Accel-Redirect", "/protected/none")]).expect(404);
    world.led(&[("X-Accel-Redirect", "nonsense")]).expect(502);
    assert_eq!(
        world.gateway.access_lines(4),
        [
            "POST /x 200 last other -",
            "GET /x 200 last app -",
            "GET /x 404 last app no-file",
            "GET /x 502 last app bad-response",
        ]
    );
    world.gateway.logged("X-Accel-Redirect or X-Sendfile: it is neither a path nor a route's name");
}

#[test]
fn over_every_version_the_same() {
    let world = World::start();
    for version in [Version::H1, Version::H2] {
        let door = Door::clear(version, &world.gateway.addr("web"));
        for (value, body) in
            [("/protected/a.txt", "0123456789"), ("{place}/private/a.txt", "0123456789"), ("/fixed", "fixed")]
        {
            world
                .app
                .next(world.says(200, &[("X-Accel-Redirect", value), ("Connection", "close"), ("Keep-Alive", "x")]));
            let response = door.ask(&Ask::post("/x", "a body"));
            assert_eq!(response.text(), body, "{version:?} {value}");
            assert!(!response.fields.has("x-accel-redirect") && !response.fields.has("keep-alive"), "{response}");
        }
    }
}
