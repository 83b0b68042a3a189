//! The same request gets the same answer behind every door: HTTP/1.1 and HTTP/2, in cleartext and under TLS, and HTTP/3.

use std::io;
use std::thread;

use serde_json::Value;
use weir_tests::origin::Then;
use weir_tests::{Ask, Authority, Config, Door, Gateway, Origin, RefusedPort, Response, Version, Visitor, behaviour};

/// Fields that belong to a connection, an instant or a single answer, and `Alt-Svc`, which is for TCP alone.
const OWN: [&str; 7] = ["alt-svc", "connection", "date", "keep-alive", "trailer", "transfer-encoding", "x-request-id"];
/// The same of what the origin is sent.
const OWN_UPSTREAM: [&str; 8] = [
    "connection",
    "content-length",
    "forwarded",
    "transfer-encoding",
    "via",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-request-id",
];

/// All that a line of the log says of an exchange, but for its door and its instant.
const LOG: &str = "${request.method} ${request.host} ${request.path} ${request.query} ${response.status} ${failure} \
    ${site} ${route} ${pool} ${attempts} ${response.bytes}";

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
max-body = "64KiB"
max-target = "1KiB"
max-head = "16KiB"
body-timeout = "2s"
[listener.secure]
bind = "127.0.0.1:0"
protocols = ["h1", "h2", "h3"]
max-body = "64KiB"
max-target = "1KiB"
max-head = "16KiB"
body-timeout = "2s"
tls.certificate = { chain = "web.pem", key = "web.key" }
[pool.app]
member = ["{origin}"]
[pool.dead]
member = ["{dead}"]
[pool.slow]
member = [{ url = "{slow}" }]
read-timeout = "200ms"
failover = { attempts = 1 }
[site.any]
host = "any.example"
error-page = { 502 = { body = "<p>Sorry: ${status}</p>" } }
[[site.any.route]]
path = "/dead"
pool = "dead"
[[site.any.route]]
path = "/slow"
pool = "slow"
[[site.any.route]]
path = "/teapot"
respond = { status = 418, body = "short and stout" }
{filtered}
[[site.any.route]]
path = "/app"
pool = "app"
"#;

/// A route with filters. They take a second to compile, so only who wants them has them.
const FILTERED: &str = r#"
[[site.any.route]]
path = "/filtered"
filters = ["fields", "paths"]
pool = "app"
[filter.fields]
module = "std:header-rules"
settings.request = [
    { action = "set", name = "X-Who", value = "${request.host} ${request.path} ${request.method} ${tls.client.names}" },
    { action = "remove", name = "Cookie" },
]
settings.response = [
    { action = "set", name = "X-Status", value = "${response.status}" },
    { action = "edit", name = "Set-Cookie", match = "$", value = "; Secure" },
]
[filter.paths]
module = "std:url-rewrite"
settings.rule = [
    { match = "^/filtered/gone$", answer = "gone" },
    { match = "^/filtered/moved$", to = "https://else.example/there", redirect = 302 },
    { match = "^/filtered/(.*)$", to = "/app/$1" },
]
"#;

struct House {
    origin: Origin,
    _slow: Origin,
    _dead: RefusedPort,
    gateway: Gateway,
    authority: Authority,
}

impl House {
    fn stand() -> House {
        House::with("")
    }

    fn with(filtered: &str) -> House {
        let authority = Authority::found();
        let identity = authority.certify("any.example");
        let (origin, slow, dead) = (Origin::start(), Origin::that(behaviour::never_answers()), RefusedPort::take());
        script(&origin);
        let config = Config::text(CONFIG)
            .fill("origin", &origin.url())
            .fill("slow", &slow.url())
            .fill("dead", &dead.url())
            .fill("filtered", filtered)
            .identity("web", &identity)
            .access_log(LOG);
        House { gateway: Gateway::start(&config), origin, _slow: slow, _dead: dead, authority }
    }

    /// Every way in; the first one is what the others are measured by.
    fn doors(&self) -> Vec<Door> {
        let (web, secure) = (self.gateway.addr("web"), self.gateway.addr("secure"));
        Door::every(&web, &secure, &Visitor::trusting(&self.authority))
    }
}

/// What the origin does, by path.
fn script(origin: &Origin) {
    origin
        .on("/app/204", behaviour::answers_with(204, &[("X-Empty", "yes")], ""))
        .on("/app/304", behaviour::answers_with(304, &[("ETag", "\"v1\""), ("Cache-Control", "max-age=60")], ""))
        .on("/app/range", behaviour::answers_with(206, &[("Content-Range", "bytes 2-5/10")], "cdef"))
        .on("/app/unsatisfied", behaviour::answers_with(416, &[("Content-Range", "bytes */10")], "no"))
        .on("/app/moved", behaviour::answers_with(301, &[("Location", "/app/there?x=1")], "there"))
        .on(
            "/app/cookies",
            behaviour::answers_with(200, &[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Path=/"), ("Vary", "*")], "c"),
        )
        .on("/app/odd", behaviour::answers_with(200, &[("X-Empty", ""), ("X-Bytes", "caf\u{e9}")], "odd"))
        .on("/app/unauthorized", behaviour::answers_with(401, &[("WWW-Authenticate", "Basic realm=\"x\"")], "who?"))
        .on("/app/broken", behaviour::answers_with(500, &[("Content-Type", "text/x-own")], "broken"))
        .on("/app/unknown-status", behaviour::answers(599, "what?"))
        .on("/app/trailers", behaviour::chunked_with_trailers(&["one ", "two ", "three"]))
        .on("/app/until-close", behaviour::close_delimited_body("until the end"))
        .on("/app/old", behaviour::speaks_http_1_0())
        .on("/app/big", behaviour::big_body(3 << 20))
        .on("/app/103", behaviour::sends_103())
        .on("/app/early", behaviour::answers_early_and_closes(403))
        .on("/app/early-then-reads", behaviour::answers_early(409))
        .on("/app/cut-length", behaviour::then(behaviour::lies_about_length(5), Then::Close))
        .on("/app/cut-chunks", behaviour::unfinished_chunks())
        .on("/app/reset", behaviour::resets_before_response())
        .on("/app/nonsense", behaviour::bad_status_line())
        .on("/app/two-lengths", behaviour::two_lengths())
        .on("/app/sink", behaviour::sinks());
}

/// What a client can tell of an answer, without what its version of HTTP makes of it.
fn told(response: &Response, is_secure: bool) -> String {
    let mut fields: Vec<String> = response
        .fields
        .0
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !OWN.contains(&name.as_str()))
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    // The order of different names means nothing (RFC 9110, section 5.3); that of one name's lines is kept.
    fields.sort_by(|a, b| a.split(':').next().cmp(&b.split(':').next()));
    let interim: Vec<String> = response.interim.iter().map(|(status, fields)| format!("{status} {fields:?}")).collect();
    let trailers: Vec<String> =
        response.trailers.0.iter().map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase())).collect();
    let body = match serde_json::from_slice::<Value>(&response.body) {
        Ok(echo) if echo.get("connection").is_some() => upstream(echo, is_secure),
        _ if response.body.len() > 10_000 => format!("{} bytes", response.body.len()),
        _ => nameless(response),
    };
    // The length of an echo is different where what is echoed is.
    if body.starts_with("origin saw") {
        fields.retain(|line| !line.starts_with("content-length:"));
    }
    let end = if response.cut.is_some() { "cut" } else { "whole" };
    format!("{} {interim:?}\n{}\n{body}\n{trailers:?} {end}", response.status, fields.join("\n"))
}

/// A text without the id of its exchange.
fn nameless(response: &Response) -> String {
    match response.fields.get("x-request-id") {
        Some(id) => response.text().replace(&id, "ID"),
        None => response.text(),
    }
}

/// What reached the origin, without what has to be different.
fn upstream(mut echo: Value, is_secure: bool) -> String {
    let fields = echo["fields"].as_array().cloned().unwrap_or_default();
    let line = |line: &Value| {
        (line[0].as_str().unwrap_or_default().to_ascii_lowercase(), line[1].as_str().unwrap_or_default().to_owned())
    };
    let fields: Vec<(String, String)> = fields.iter().map(line).collect();
    if let Some((_, proto)) = fields.iter().find(|(name, _)| name == "x-forwarded-proto") {
        assert_eq!(proto, if is_secure { "https" } else { "http" });
    }
    let mut kept: Vec<_> = fields.into_iter().filter(|(name, _)| !OWN_UPSTREAM.contains(&name.as_str())).collect();
    kept.sort_by(|a, b| a.0.cmp(&b.0));
    echo["connection"].take();
    echo["fields"].take();
    format!("origin saw {echo} {kept:?}")
}

/// Asks every door at once.
fn asked(house: &House, ask: &Ask) -> Vec<(Door, io::Result<Response>)> {
    thread::scope(|scope| {
        let answers: Vec<_> = house.doors().into_iter().map(|door| scope.spawn(|| (door.try_ask(ask), door))).collect();
        let answer = |(answer, door)| (door, answer);
        answers.into_iter().map(|asked| answer(asked.join().expect("asking does not panic"))).collect()
    })
}

/// Asks every door, and says what is wrong when not all say the same, or not with this status.
fn compared(house: &House, what: &str, status: u16, ask: &Ask) -> Result<Response, String> {
    let mut first: Option<(String, Response)> = None;
    for (door, answer) in asked(house, ask) {
        let at = format!("{what}, over {:?} {}", door.version, if door.is_secure() { "under TLS" } else { "bare" });
        let response = answer.map_err(|error| format!("{at}: {error}"))?;
        let told = told(&response, door.is_secure());
        if response.status != status {
            return Err(format!("{at}: not {status}: {response}"));
        }
        match &first {
            None => first = Some((told, response)),
            Some((expected, _)) if told != *expected => {
                return Err(format!("{at}:\n{told}\nnot as before:\n{expected}"));
            }
            Some(_) => {}
        }
    }
    Ok(first.expect("there is a door").1)
}

#[track_caller]
fn same(house: &House, table: &[(&str, u16, Ask)]) -> Vec<Response> {
    let compare = |(what, status, ask): &(&str, u16, Ask)| compared(house, what, *status, ask);
    let (same, different): (Vec<_>, Vec<_>) = table.iter().map(compare).partition(Result::is_ok);
    let different: Vec<String> = different.into_iter().filter_map(Result::err).collect();
    assert!(different.is_empty(), "{}", different.join("\n\n"));
    same.into_iter().filter_map(Result::ok).collect()
}

#[test]
fn answers_of_upstreams_come_through_every_door_alike() {
    let house = House::stand();
    let table = [
        ("a plain one", 200, Ask::get("/app/plain?a=1&b=%20x")),
        ("encoded paths", 200, Ask::get("/app/%E4%B8%AD/a%20b/%7Euser/c+d;v=1?q=%2F%3F&empty=&&x")),
        ("dots in paths", 200, Ask::get("/app/one/./two/../three")),
        ("another method", 200, Ask::method("DELETE", "/app/thing")),
        ("a method of its own", 200, Ask::method("PROPFIND", "/app/thing")),
        ("OPTIONS", 200, Ask::method("OPTIONS", "/app/thing")),
        ("HEAD", 200, Ask::method("HEAD", "/app/cookies")),
        ("HEAD of what is moved", 301, Ask::method("HEAD", "/app/moved")),
        ("nothing", 204, Ask::get("/app/204")),
        ("not modified", 304, Ask::get("/app/304").field("if-none-match", "\"v1\"")),
        ("a range", 206, Ask::get("/app/range").field("range", "bytes=2-5")),
        ("a range that is not there", 416, Ask::get("/app/unsatisfied").field("range", "bytes=20-")),
        ("a redirect", 301, Ask::get("/app/moved")),
        ("several cookies set", 200, Ask::get("/app/cookies")),
        ("odd fields", 200, Ask::get("/app/odd")),
        ("a challenge", 401, Ask::get("/app/unauthorized")),
        ("an upstream's own error", 500, Ask::get("/app/broken")),
        ("a status nobody knows", 599, Ask::get("/app/unknown-status")),
        ("trailers", 200, Ask::get("/app/trailers").field("te", "trailers")),
        ("a body until the connection ends", 200, Ask::get("/app/until-close")),
        ("an old server", 200, Ask::get("/app/old")),
        ("a big body", 200, Ask::get("/app/big")),
        ("an answer of the gateway's own", 418, Ask::get("/teapot")),
    ];
    same(&house, &table);
    let trailers = same(&house, &[("trailers", 200, Ask::get("/app/trailers").field("te", "trailers"))]);
    assert_eq!(trailers[0].trailers.get("x-checksum").as_deref(), Some("abc123"));
    assert_eq!(house.origin.violations(), Vec::<String>::new());
}

#[test]
fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let house = House::stand();
    for door in house.doors() {
        for target in ["/app/cut-length", "/app/cut-chunks"] {
            // Of a stream that is reset, HTTP/3 may lose what came before (RFC 9000, section 3.2).
            match door.try_ask(&Ask::get(target)) {
                Ok(response) => assert!(response.cut.is_some(), "{target} over {:?}: {response}", door.version),
                Err(error) => assert_eq!(door.version, Version::H3, "{target}: {error}"),
            }
        }
    }
}

#[test]
fn fields_reach_the_origin_alike_whichever_way_they_come() {
    let house = House::stand();
    let table = [
        (
            "cookies in crumbs",
            Ask::get("/app/x").field("cookie", "a=1").field("cookie", "b=2").field("cookie", "c=3; d=4"),
        ),
        (
            "several lines of one name",
            Ask::get("/app/x").field("x-many", "1").field("x-many", "2").field("accept", "a"),
        ),
        ("an empty value", Ask::get("/app/x").field("x-empty", "")),
        ("a long value", Ask::get("/app/x").field("x-long", &"v".repeat(4000))),
        ("bytes beyond ASCII", Ask::get("/app/x").field("x-bytes", "gr\u{fc}n")),
        ("what others say of the client", Ask::get("/app/x").field("x-forwarded-for", "203.0.113.9")),
        ("what other proxies say", Ask::get("/app/x").field("forwarded", "for=203.0.113.9;proto=https")),
        ("a range of a version", Ask::get("/app/x").field("range", "bytes=1-").field("if-range", "\"v1\"")),
        ("credentials", Ask::get("/app/x").field("authorization", "Bearer abc.def")),
        ("many lines", (0..60).fold(Ask::get("/app/x"), |ask, at| ask.field(&format!("x-line-{at}"), "v"))),
        ("a host with a port", Ask::get("/app/x").host("any.example:8443")),
        ("a host in capitals", Ask::get("/app/x").host("ANY.example")),
    ];
    same(&house, &table.map(|(what, ask)| (what, 200, ask)));
}

#[test]
fn uploads_go_through_every_door_alike() {
    let house = House::stand();
    let large = vec![b'u'; 60_000];
    let table = [
        ("a short one", Ask::post("/app/x", "hello")),
        ("an empty one", Ask::post("/app/x", "")),
        ("no body at all", Ask::method("POST", "/app/x")),
        ("an unmeasured one", Ask::post("/app/x", "hello").unmeasured()),
        ("an empty unmeasured one", Ask::post("/app/x", "").unmeasured()),
        ("a large one", Ask::post("/app/sink", &large)),
        ("a large unmeasured one", Ask::post("/app/sink", &large).unmeasured()),
        ("one with trailers", Ask::post("/app/x", "hello").field("trailer", "x-sum").trailer("x-sum", "5")),
        ("a GET with a body", Ask { method: "GET".to_owned(), ..Ask::post("/app/x", "body") }),
    ];
    same(&house, &table.map(|(what, ask)| (what, 200, ask)));
}

#[test]
fn filters_see_and_change_the_same_behind_every_door() {
    let house = House::with(FILTERED);
    let crumbs = Ask::get("/filtered/cookies").field("cookie", "a=1").field("cookie", "b=2");
    let table = [
        ("fields", 200, crumbs),
        ("what they are told", 200, Ask::post("/filtered/x?y=z", "body")),
        ("an answer of theirs", 410, Ask::get("/filtered/gone")),
        ("a redirect of theirs", 302, Ask::get("/filtered/moved")),
        ("an answer of theirs to half a body", 410, Ask::post("/filtered/gone", "half").unfinished()),
    ];
    let answers = same(&house, &table);
    assert_eq!(answers[0].fields.all("set-cookie"), ["a=1; Secure", "b=2; Path=/; Secure"]);
    assert_eq!(answers[0].field("x-status"), "200");
}

#[test]
fn trailers_of_a_request_reach_the_origin_from_every_door() {
    let house = House::stand();
    for door in house.doors() {
        door.ask(&Ask::post("/app/trailed", "hello").field("trailer", "x-sum").trailer("x-sum", "5")).expect(200);
        let request = house.origin.request("/app/trailed");
        assert_eq!(request.trailers.get("x-sum").as_deref(), Some("5"), "{:?}", door.version);
    }
}

#[test]
fn refusals_are_the_same_behind_every_door() {
    let house = House::stand();
    let too_large = vec![b'u'; 70_000];
    let table = [
        ("no such route", 404, Ask::get("/nowhere")),
        ("no such site", 404, Ask::get("/app/x").host("other.example")),
        ("a path with a zero", 400, Ask::get("/app/%00")),
        ("a path with half an escape", 400, Ask::get("/app/%z")),
        ("a path out of the root", 400, Ask::get("/../../etc/passwd")),
        ("a target that is too long", 414, Ask::get(&format!("/app/{}", "t".repeat(1200)))),
        ("too many fields", 431, (0..150).fold(Ask::get("/app/x"), |ask, at| ask.field(&format!("x-{at}"), "v"))),
        ("a body that is too large", 413, Ask::post("/app/sink", &too_large)),
        ("a body that turns out too large", 413, Ask::post("/app/sink", &too_large).unmeasured()),
        ("a member that refuses", 502, Ask::get("/dead")),
        ("a member that resets", 502, Ask::get("/app/reset")),
        ("a member that speaks nonsense", 502, Ask::get("/app/nonsense")),
        ("a member that contradicts itself", 502, Ask::get("/app/two-lengths")),
        ("a member that says nothing", 504, Ask::get("/slow")),
        ("the same, to somebody who wants JSON", 504, Ask::get("/slow").field("accept", "application/json")),
        ("the same, to a HEAD", 502, Ask::method("HEAD", "/dead")),
        ("an expectation nobody meets", 417, Ask::post("/app/x", "b").field("expect", "200-maybe")),
    ];
    same(&house, &table);
}

#[test]
fn a_head_that_is_too_large_is_refused_behind_every_door() {
    let house = House::stand();
    for door in house.doors() {
        // The codec of HTTP/2 answers by itself, without fields or a text.
        door.ask(&Ask::get("/app/x").field("x-huge", &"h".repeat(20_000))).expect(431);
        door.ask(&Ask::get("/app/x")).expect(200);
    }
}

#[test]
fn a_length_that_is_none_is_refused_behind_every_door() {
    let house = House::stand();
    for door in house.doors() {
        // Where a request has a stream of its own, a malformed one may as well end that (RFC 9113, section 8.1.1).
        match (door.version, door.try_ask(&Ask::method("POST", "/app/length").field("content-length", "five"))) {
            (Version::H1, Err(error)) => panic!("{error}"),
            (_, Ok(response)) => _ = response.expect(400),
            (_, Err(_)) => {}
        }
    }
    assert_eq!(house.origin.count("/app/length"), 0);
}

#[test]
fn what_comes_before_the_answer_and_before_the_body_comes_through_every_door() {
    let house = House::stand();
    let body = vec![b'u'; 50_000];
    for door in house.doors() {
        let hints = door.ask(&Ask::get("/app/103")).expect(200).interim.clone();
        assert!(matches!(hints.as_slice(), [(103, fields)] if fields.has("link")), "{:?}: {hints:?}", door.version);
    }
    let table = [
        ("an answer before the body", 403, Ask::post("/app/early", &body)),
        ("an answer before the body, which is read", 409, Ask::post("/app/early-then-reads", &body)),
        ("an answer to half a body", 403, Ask::post("/app/early", "half").unfinished()),
        (
            "an answer to half an unmeasured body",
            409,
            Ask::post("/app/early-then-reads", "half").unmeasured().unfinished(),
        ),
        ("a refusal of half a body", 404, Ask::post("/nowhere", "half").unfinished()),
        ("half a body and no answer", 408, Ask::post("/app/x", "half").unfinished()),
        ("half an unmeasured body and no answer", 408, Ask::post("/app/x", "half").unmeasured().unfinished()),
    ];
    same(&house, &table);
}

#[test]
fn the_log_says_the_same_of_every_door() {
    let house = House::stand();
    let table = [
        Ask::get("/app/moved?x=1"),
        Ask::method("HEAD", "/app/moved"),
        Ask::get("/app/304"),
        Ask::get("/app/trailers"),
        Ask::get("/app/%00"),
        Ask::get("/nowhere"),
        Ask::get("/dead"),
        Ask::get("/slow"),
        Ask::get("/teapot"),
        Ask::get(&format!("/app/{}", "t".repeat(1200))),
        Ask::post("/app/sink", vec![b'u'; 70_000]),
    ];
    let mut before = 0;
    for ask in &table {
        let count = before + asked(&house, ask).len();
        let lines = house.gateway.access_lines(count).split_off(before);
        assert!(lines.iter().all(|line| *line == lines[0]), "{} {}: {lines:#?}", ask.method, ask.target);
        before = count;
    }
}

#[test]
fn many_at_once_are_answered_behind_every_door() {
    let house = House::stand();
    for door in house.doors() {
        thread::scope(|scope| {
            for number in 0..16 {
                let door = &door;
                scope.spawn(move || {
                    let target = format!("/app/many?{number}");
                    let echo = door.ask(&Ask::post(&target, format!("body {number}"))).expect(200).json();
                    assert_eq!(echo["target"], target.as_str());
                    assert_eq!(echo["body"], format!("body {number}").as_str());
                });
            }
        });
    }
}
