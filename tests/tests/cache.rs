//! The response cache, over the wire: what is answered without the upstream, what it is asked, and what is told of that.

use std::sync::{Arc, Barrier};
use std::thread;

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{Client, Config, Gate, Gateway, Origin, PATIENCE, Response, Signal, behaviour, eventually, stays};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[access-log]
path = "access.log"
format = '${request.method} ${request.path} ${response.status} ${variable.cache.status}'
[pool.app]
member = ["{app}"]
[cache.pages]
x-cache = true
{cache}
{tables}
[site.all]
route = [
  {routes}
  { pool = "app", cache = "pages" },
]
"#;

/// A gateway with a cache, and the upstream behind it.
struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    fn start() -> World {
        World::with("")
    }

    /// With more said of the cache.
    fn with(cache: &str) -> World {
        let app = Origin::start();
        World { gateway: Gateway::start(&config(&app, cache)), app }
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().ask(target, fields)
    }

    /// Asks with any method; what the cache said.
    #[track_caller]
    fn does(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().request(method, target, fields, b"")
    }

    fn says(&self, target: &str, fields: &[(&str, &str)], body: &str) {
        self.app.on(target, behaviour::answers_with(200, fields, body));
    }
}

fn config(app: &Origin, cache: &str) -> Config {
    configured(app, cache, "", "")
}

fn configured(app: &Origin, cache: &str, tables: &str, routes: &str) -> Config {
    Config::text(CONFIG).fill("cache", cache).fill("tables", tables).fill("routes", routes).fill("app", &app.url())
}

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");
/// Stale when it comes, and can be validated.
const STALE: [(&str, &str); 3] = [("Cache-Control", "max-age=60"), ("Age", "100"), ("ETag", "\"one\"")];

#[test]
fn what_is_fresh_is_answered_without_the_upstream() {
    let world = World::start();
    world.says("/a", &[FRESH, ("X-Of", "it")], "body of a");
    let first = world.get("/a", &[]);
    assert_eq!((first.text().as_str(), first.cache_status().as_str()), ("body of a", "weir;fwd=uri-miss;stored"));
    assert_eq!(first.field("x-cache"), "MISS");
    let second = world.get("/a", &[]);
    assert_eq!((second.expect(200).text().as_str(), second.cache_status().as_str()), ("body of a", "weir;hit"));
    assert_eq!((second.field("x-cache").as_str(), second.field("x-of").as_str()), ("HIT", "it"));
    assert!(second.field("age").parse::<u64>().unwrap() < 60);
    assert_eq!(second.field("date"), first.field("date"));
    let ttl = second.field("cache-status").rsplit_once("ttl=").unwrap().1.parse::<u64>().unwrap();
    assert!((3500..=3600).contains(&ttl), "{ttl}");
    assert_eq!(world.app.count("/a"), 1);
    let lines = world.gateway.access_lines(2);
    assert_eq!(lines, ["GET /a 200 miss", "GET /a 200 hit"]);
}

#[test]
fn what_may_not_be_stored_is_not_and_says_why() {
    let world = World::start();
    for (target, fields, detail) in [
        ("/no-store", &[("Cache-Control", "no-store")][..], "no-store"),
        ("/private", &[("Cache-Control", "private, max-age=9")], "private"),
        ("/vary", &[FRESH, ("Vary", "*")], "vary"),
        ("/cookie", &[("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"), ("Set-Cookie", "a=1")], "set-cookie"),
    ] {
        world.says(target, fields, "x");
        for _ in 0..2 {
            let answer = world.get(target, &[]);
            assert!(answer.field("cache-status").ends_with(&format!(";detail={detail}")), "{answer}");
        }
        assert_eq!(world.app.count(target), 2, "{target}");
    }
    world.says("/secret", &[FRESH], "x");
    assert_eq!(
        world.get("/secret", &[("Authorization", "Basic x")]).cache_status(),
        "weir;fwd=uri-miss;detail=authorization"
    );
}

#[test]
fn what_is_stale_is_validated_and_takes_what_the_304_says() {
    let world = World::start();
    world.says("/a", &STALE, "one");
    world.get("/a", &[]);
    world.app.on("/a", behaviour::answers_with(304, &[FRESH, ("ETag", "\"one\""), ("X-New", "yes")], ""));
    let second = world.get("/a", &[]);
    assert_eq!((second.expect(200).text().as_str(), second.field("x-new").as_str()), ("one", "yes"));
    assert_eq!(second.cache_status(), "weir;fwd=stale;fwd-status=304;stored");
    assert_eq!(second.field("x-cache"), "REVALIDATED");
    let asked = &world.app.requests()[1];
    assert_eq!(asked.fields.get("if-none-match").as_deref(), Some("\"one\""));
    let third = world.get("/a", &[]);
    assert_eq!((third.cache_status().as_str(), third.field("x-new").as_str()), ("weir;hit", "yes"));
    world.says("/b", &STALE, "old");
    world.get("/b", &[]);
    world.says("/b", &[FRESH], "new");
    assert_eq!(world.get("/b", &[]).text(), "new");
    assert_eq!((world.get("/b", &[]).text().as_str(), world.app.count("/b")), ("new", 2));
}

#[test]
fn a_stale_answer_is_given_while_it_is_validated_behind_the_clients_back() {
    let world = World::start();
    world.says("/a", &[("Cache-Control", "max-age=60, stale-while-revalidate=1000"), ("Age", "100")], "old");
    world.get("/a", &[]);
    let gate = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&gate, behaviour::answers_with(200, &[FRESH], "new")));
    // The first one's own condition is not the cache's question.
    for own in [&[("If-None-Match", "\"other\"")][..], &[], &[]] {
        let stale = world.get("/a", own);
        assert_eq!((stale.text().as_str(), stale.cache_status().as_str()), ("old", "weir;hit"));
        assert_eq!(stale.field("x-cache"), "STALE");
    }
    world.app.await_requests(2);
    stays("one asks at a time", std::time::Duration::from_millis(100), || world.app.count("/a") == 2);
    gate.open();
    eventually("the new one is stored", || (world.get("/a", &[]).text() == "new").then_some(()));
    assert_eq!(world.app.count("/a"), 2);
    // Nobody asked for the one in between.
    assert!(world.gateway.access_lines(5).iter().all(|line| line.starts_with("GET /a 200 ")));
}

#[test]
fn what_is_stale_stands_in_for_an_upstream_that_fails() {
    let world = World::start();
    world.says("/a", &STALE, "old");
    let strict = [("Cache-Control", "max-age=60, must-revalidate"), STALE[1], STALE[2]];
    world.says("/strict", &strict, "old");
    world.get("/a", &[]);
    world.get("/strict", &[]);
    world.app.on("/a", behaviour::answers(503, "broken")).on("/strict", behaviour::answers(503, "broken"));
    let stale = world.get("/a", &[]);
    assert_eq!((stale.expect(200).text().as_str(), stale.field("x-cache").as_str()), ("old", "STALE"));
    assert_eq!(stale.cache_status(), "weir;fwd=stale;fwd-status=503");
    world.get("/strict", &[]).expect(503);
    world.app.stop();
    assert_eq!(world.get("/a", &[]).expect(200).text(), "old");
    world.get("/strict", &[]).expect(502);
    world.get("/other", &[]).expect(502);
}

#[test]
fn answers_are_for_requests_that_say_the_same_where_they_vary() {
    let world = World::start();
    let fields = [FRESH, ("Vary", "Accept-Encoding, X-Tier")];
    world.says("/a", &fields, "plain");
    world.get("/a", &[]);
    world.says("/a", &fields, "packed");
    let packed = world.get("/a", &[("Accept-Encoding", "gzip, br")]);
    assert_eq!((packed.text().as_str(), packed.cache_status().as_str()), ("packed", "weir;fwd=vary-miss;stored"));
    for (asked, expected) in [
        (&[("Accept-Encoding", "br,GZIP")][..], "packed"),
        (&[("Accept-Encoding", "gzip"), ("Accept-Encoding", "br")], "packed"),
        (&[], "plain"),
    ] {
        let answer = world.get("/a", asked);
        assert_eq!((answer.text().as_str(), answer.cache_status().as_str()), (expected, "weir;hit"), "{asked:?}");
    }
    assert_eq!(world.app.count("/a"), 2);
}

#[test]
fn many_who_want_the_same_cost_the_upstream_one_request() {
    const CLIENTS: usize = 1000;
    let world = World::start();
    let gate = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&gate, behaviour::answers_with(200, &[FRESH], "for all")));
    let clients: Vec<Client> = (0..CLIENTS)
        .map(|_| {
            let mut client = world.gateway.client();
            client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
            client
        })
        .collect();
    // Whoever comes behind them on their thread is served behind them: all of them wait now.
    world.get("/behind", &[]).expect(200);
    gate.open();
    let answers: Vec<Response> = clients.into_iter().map(|mut client| client.response()).collect();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "for all"));
    assert_eq!(world.app.count("/a"), 1);
    assert!(answers.iter().any(|answer| answer.cache_status().ends_with(";collapsed")));
}

#[test]
fn those_who_wait_are_let_go_when_the_answer_is_not_for_them() {
    let world = World::start();
    let gate = Gate::closed();
    world
        .app
        .on("/a", behaviour::waits_for(&gate, behaviour::answers_with(200, &[("Cache-Control", "no-store")], "own")));
    let clients: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = world.gateway.client();
            client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
            client
        })
        .collect();
    world.app.await_requests(1);
    gate.open();
    clients.into_iter().for_each(|mut client| assert_eq!(client.response().text(), "own"));
    assert_eq!(world.app.count("/a"), 20);
}

/// Sends half of a body, waits, and sends the other half.
fn in_halves(gate: &Gate) -> Behaviour {
    let gate = gate.clone();
    behaviour::does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[FRESH, ("Content-Length", "10")])?;
        exchange.write("first")?;
        gate.pass();
        exchange.write("other")?;
        Ok(Then::Keep)
    })
}

#[test]
fn an_answer_is_read_by_others_while_it_is_stored() {
    let world = World::start();
    let gate = Gate::closed();
    world.app.on("/a", in_halves(&gate));
    let mut clients: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = world.gateway.client();
            client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
            client
        })
        .collect();
    for client in &mut clients {
        let (status, _) = client.response_head();
        assert_eq!(status, 200);
        let mut seen = client.some().unwrap();
        while seen.len() < 5 {
            seen.extend(client.some().unwrap());
        }
        assert_eq!(seen, b"first");
    }
    gate.open();
    for client in &mut clients {
        let mut seen = client.some().unwrap();
        while seen.len() < 5 {
            seen.extend(client.some().unwrap());
        }
        assert_eq!(seen, b"other");
    }
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn a_client_that_leaves_does_not_take_the_answer_with_it() {
    let world = World::start();
    let gate = Gate::closed();
    world.app.on("/a", in_halves(&gate));
    let mut client = world.gateway.client();
    client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
    client.response_head();
    client.reset();
    world.gateway.access_lines(1);
    gate.open();
    eventually("it is stored", || (world.get("/a", &[]).cache_status() == "weir;hit").then_some(()));
    assert_eq!((world.get("/a", &[]).text().as_str(), world.app.count("/a")), ("firstother", 1));
}

#[test]
fn an_answer_that_breaks_off_leaves_nothing_behind() {
    let world = World::start();
    world.app.on(
        "/a",
        behaviour::says_and_closes("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 10\r\n\r\nhalf"),
    );
    let mut client = world.gateway.client();
    client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
    assert!(client.try_response().unwrap().cut.is_some());
    world.says("/a", &[FRESH], "whole");
    let whole = world.get("/a", &[]);
    assert_eq!((whole.text().as_str(), world.app.count("/a")), ("whole", 2));
}

#[test]
fn ranges_conditions_and_heads_are_answered_from_what_is_stored() {
    let world = World::start();
    world.says("/a", &[FRESH, ("ETag", "\"one\""), ("Content-Type", "text/plain")], "0123456789");
    world.get("/a", &[]);
    let part = world.get("/a", &[("Range", "bytes=2-4")]);
    assert_eq!((part.expect(206).text().as_str(), part.field("content-range").as_str()), ("234", "bytes 2-4/10"));
    let parts = world.get("/a", &[("Range", "bytes=0-1,8-")]);
    assert!(parts.expect(206).field("content-type").starts_with("multipart/byteranges"));
    assert!(parts.text().contains("bytes 8-9/10"));
    world.get("/a", &[("Range", "bytes=20-")]).expect(416);
    let same = world.get("/a", &[("If-None-Match", "\"one\"")]);
    assert_eq!((same.expect(304).text().as_str(), same.cache_status().as_str()), ("", "weir;hit"));
    let head = world.gateway.client().request("HEAD", "/a", &[], b"");
    assert_eq!((head.expect(200).field("content-length").as_str(), head.cache_status().as_str()), ("10", "weir;hit"));
    assert_eq!(world.app.requests().len(), 1);
}

#[test]
fn parts_are_stored_and_put_together() {
    let world = World::start();
    let part = |range: &'static str, body: &'static str| {
        let fields = [FRESH, ("ETag", "\"one\""), ("Content-Range", range)];
        behaviour::answers_with(206, &fields, body)
    };
    world.app.next(part("bytes 0-4/10", "01234"));
    world.get("/a", &[("Range", "bytes=0-4")]).expect(206);
    assert_eq!(world.get("/a", &[("Range", "bytes=1-2")]).expect(206).text(), "12");
    world.app.next(part("bytes 5-9/10", "56789"));
    let whole = world.get("/a", &[]);
    assert_eq!(
        (whole.expect(200).text().as_str(), whole.cache_status().as_str()),
        ("0123456789", "weir;fwd=partial;stored")
    );
    let asked = &world.app.requests()[1];
    assert_eq!(asked.fields.get("range").as_deref(), Some("bytes=5-"));
    assert_eq!(asked.fields.get("if-range").as_deref(), Some("\"one\""));
    let whole = world.get("/a", &[]);
    assert_eq!((whole.text().as_str(), whole.cache_status().as_str()), ("0123456789", "weir;hit"));
    assert_eq!(world.app.requests().len(), 2);
}

#[test]
fn what_an_unsafe_request_changes_is_forgotten() {
    let world = World::start();
    let fill = || {
        for target in ["/a", "/b", "/c"] {
            world.says(target, &[FRESH, ("Cache-Groups", "\"list\"")], "x");
            world.get(target, &[]);
        }
    };
    let stored = || {
        ["/a", "/b", "/c"].map(|target| {
            let answer = world.get(target, &[("Cache-Control", "only-if-cached")]);
            answer.status == 200
        })
    };
    fill();
    assert_eq!(stored(), [true; 3]);
    world.app.on("/a", behaviour::answers_with(200, &[("Location", "/b")], "done"));
    let done = world.does("POST", "/a", &[]);
    assert_eq!(done.cache_status(), "weir;fwd=method;detail=method");
    assert_eq!(stored(), [false, false, true]);
    fill();
    world.app.on("/a", behaviour::answers(500, "failed"));
    world.does("DELETE", "/a", &[]);
    assert_eq!(stored(), [true; 3]);
    world.app.on("/x", behaviour::answers_with(200, &[("Cache-Group-Invalidation", "\"list\"")], "done"));
    world.does("PATCH", "/x", &[]);
    assert_eq!(stored(), [false; 3]);
}

#[test]
fn only_if_cached_never_reaches_the_upstream() {
    let world = World::start();
    world.get("/a", &[("Cache-Control", "only-if-cached")]).expect(504);
    assert!(world.app.requests().is_empty());
}

#[test]
fn purges_forget_by_url_by_prefix_by_tag_softly_and_for_some_alone() {
    let world = World::with("purge = [\"127.0.0.1\"]");
    let targets = ["/a", "/dir/a", "/dir/b"];
    let fill = || {
        for target in targets {
            let tag = if target == "/a" { "one two" } else { "two" };
            world.says(target, &[FRESH, ("ETag", "\"v\""), ("Surrogate-Key", tag)], "x");
            world.get(target, &[]);
        }
    };
    let stored = || targets.map(|target| world.get(target, &[("Cache-Control", "only-if-cached")]).status == 200);
    for (target, how, count, left) in [
        ("/a", "", "1\n", [false, true, true]),
        ("/dir/", "prefix", "2\n", [true, false, false]),
        ("/", "tag=one", "1\n", [false, true, true]),
        ("/", "tag=two", "3\n", [false; 3]),
        ("/", "all", "3\n", [false; 3]),
    ] {
        fill();
        assert_eq!(stored(), [true; 3]);
        let purged = world.does("PURGE", target, &[("Weir-Purge", how)]);
        assert_eq!((purged.expect(200).text().as_str(), stored()), (count, left), "{target} {how}");
    }
    fill();
    world.does("PURGE", "/a", &[("Weir-Purge", "soft")]).expect(200);
    world.app.on("/a", behaviour::answers_with(304, &[("ETag", "\"v\"")], ""));
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;fwd=stale;fwd-status=304;stored");
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;hit");
    world.does("PURGE", "/a", &[("Weir-Purge", "sofly")]).expect(400);
    let closed = World::with("purge = [\"10.0.0.1\"]");
    closed.does("PURGE", "/a", &[]).expect(403);
    let plain = World::start();
    plain.does("PURGE", "/a", &[]);
    assert_eq!(plain.app.request("/a").method, "PURGE");
}

#[test]
fn routes_and_requests_go_past_the_cache_where_they_may() {
    let app = Origin::start();
    let routes = r#"{ path = "/past", pool = "app" },
        { path = "/some", pool = "app", cache = "pages", cache-bypass = { header = [{ name = "x-debug", present = true }], query = [{ name = "fresh", value = "1" }] } },"#;
    let gateway = Gateway::start(&configured(&app, "", "", routes));
    app.otherwise(behaviour::answers_with(200, &[FRESH], "x"));
    for _ in 0..2 {
        assert!(gateway.get("/past").fields.get("cache-status").is_none());
        assert_eq!(gateway.client().ask("/some", &[("X-Debug", "1")]).cache_status(), "weir;fwd=bypass");
        assert_eq!(gateway.get("/some?fresh=1").cache_status(), "weir;fwd=bypass");
    }
    gateway.get("/some");
    assert_eq!(gateway.get("/some").cache_status(), "weir;hit");
    assert_eq!(app.requests().len(), 7);
}

#[test]
fn keys_are_what_the_config_says() {
    let world = World::with(
        "key = { ignore-query = [\"utm_*\"], sort-query = true, fields = [\"x-tier\"], cookies = [\"lang\"], session-ids = [\"sid\"] }",
    );
    world.app.otherwise(behaviour::answers_with(200, &[FRESH], "x"));
    world.get("/a?b=1&a=2", &[]);
    for (target, fields, expected) in [
        ("/a?a=2&b=1", &[][..], "weir;hit"),
        ("/a;sid=7?a=2&utm_source=x&b=1", &[], "weir;hit"),
        ("/a?a=2&b=2", &[], "weir;fwd=uri-miss;stored"),
        ("/a?b=1&a=2", &[("X-Tier", "gold")], "weir;fwd=uri-miss;stored"),
        ("/a?b=1&a=2", &[("Cookie", "x=1; lang=de")], "weir;fwd=uri-miss;stored"),
        ("/a?b=1&a=2", &[("Cookie", "lang=de; x=2")], "weir;hit"),
    ] {
        assert_eq!(world.get(target, fields).cache_status(), expected, "{target} {fields:?}");
    }
}

#[test]
fn lifetimes_are_bounded_and_given_as_the_config_says() {
    let world = World::with("default-ttl = \"1h\"\nstatus-ttl = { 503 = \"10s\" }\nmax-ttl = \"2h\"\nmin-uses = 2");
    world.says("/a", &[], "x");
    world.app.on("/down", behaviour::answers(503, "down"));
    world.says("/long", &[("Cache-Control", "max-age=999999")], "x");
    for target in ["/a", "/down", "/long"] {
        assert!(world.get(target, &[]).cache_status().ends_with(";detail=min-uses"));
        world.get(target, &[]);
        assert_eq!(world.get(target, &[]).cache_status(), "weir;hit", "{target}");
    }
    let ttl =
        |target| world.get(target, &[]).field("cache-status").rsplit_once("ttl=").unwrap().1.parse::<u64>().unwrap();
    assert!((3500..=3600).contains(&ttl("/a")) && ttl("/down") <= 10 && (7100..=7200).contains(&ttl("/long")));
}

#[test]
fn what_the_upstream_says_to_the_gateway_holds_for_the_cache() {
    let app = Origin::start();
    let routes = "{ path = \"/inside/\", pool = \"app\", cache = \"pages\", internal = true },";
    let gateway = Gateway::start(&configured(&app, "", "", routes));
    app.on("/long", behaviour::answers_with(200, &[("X-Accel-Expires", "60"), ("Cache-Control", "no-store")], "x"));
    app.on("/off", behaviour::answers_with(200, &[("X-Accel-Expires", "0"), FRESH], "x"));
    gateway.get("/long");
    let hit = gateway.get("/long");
    assert_eq!((hit.cache_status().as_str(), hit.fields.get("weir-cache-control")), ("weir;hit", None));
    gateway.get("/off");
    assert_eq!(
        (app.count("/long"), gateway.get("/off").cache_status().as_str()),
        (1, "weir;fwd=uri-miss;detail=no-store")
    );
    app.on("/door", behaviour::answers_with(200, &[("X-Accel-Redirect", "/inside/a"), FRESH], "never seen"));
    app.on("/inside/a", behaviour::answers_with(200, &[FRESH], "inside"));
    for _ in 0..3 {
        assert_eq!(gateway.get("/door").text(), "inside");
    }
    assert_eq!((app.count("/door"), app.count("/inside/a")), (3, 1));
}

#[test]
fn what_is_stored_outlives_a_reload() {
    let world = World::start();
    world.says("/a", &[FRESH], "x");
    world.get("/a", &[]);
    world.gateway.reload(&config(&world.app, "min-ttl = \"1s\""));
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;hit");
    world.gateway.reload(&config(&world.app, "memory = \"8MiB\""));
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;hit");
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn what_is_on_a_disk_outlives_the_process() {
    let app = Origin::start();
    let place = weir_tests::Place::fresh();
    let disk = format!("memory = \"off\"\ndisk = {{ path = \"{}/cache\", size = \"64MiB\" }}", place.path().display());
    let large: String = (0..200_000).map(|at| char::from(b'a' + u8::try_from(at % 26).unwrap())).collect();
    app.on("/small", behaviour::answers_with(200, &[FRESH, ("ETag", "\"s\"")], "small"));
    app.on("/large", behaviour::answers_with(200, &[FRESH], &large));
    let mut gateway = Gateway::start(&config(&app, &disk));
    for target in ["/small", "/large"] {
        gateway.get(target);
        eventually("it is on the disk", || (gateway.get(target).cache_status() == "weir;hit").then_some(()));
    }
    let asked = app.requests().len();
    gateway.signal(Signal::Terminate);
    gateway.wait_exit(PATIENCE);
    let gateway = Gateway::start(&config(&app, &disk));
    eventually("the disk is read", || (gateway.get("/small").cache_status() == "weir;hit").then_some(()));
    let small = app.count("/small");
    eventually("all of it is", || (gateway.get("/large").cache_status() == "weir;hit").then_some(()));
    assert!(gateway.get("/large").text() == large, "the same bytes");
    assert_eq!(gateway.client().ask("/large", &[("Range", "bytes=26-28")]).expect(206).text(), "abc");
    assert_eq!(gateway.client().ask("/small", &[("If-None-Match", "\"s\"")]).status, 304);
    assert_eq!(app.count("/small"), small);
    assert!(asked >= 2);
}

#[test]
fn memory_and_disk_work_together() {
    let place = weir_tests::Place::fresh();
    let world = World::with(&format!(
        "memory = \"1MiB\"\ndisk = {{ path = \"{}/cache\", size = \"64MiB\" }}",
        place.path().display()
    ));
    let body = "x".repeat(100_000);
    world.app.otherwise(behaviour::answers_with(200, &[FRESH], &body));
    // More than the memory holds.
    for at in 0..30 {
        assert_eq!(world.get(&format!("/{at}"), &[]).text().len(), body.len());
    }
    for at in 0..30 {
        let target = format!("/{at}");
        eventually("it is somewhere", || (world.get(&target, &[]).cache_status() == "weir;hit").then_some(()));
        assert!(world.get(&target, &[]).text() == body);
    }
}

#[test]
fn conditions_send_requests_past_the_cache_or_have_it_ask_anew() {
    let app = Origin::start();
    let cookie = r#"cookie = [{ name = "session", present = true }]"#;
    let routes = format!(
        r#"{{ path = "/past", pool = "app", cache = "pages", cache-bypass = {{ {cookie} }} }},
        {{ path = "/anew", pool = "app", cache = "pages", cache-refresh = {{ header = [{{ name = "x-refresh", value = "1" }}], {cookie} }} }},"#
    );
    let gateway = Gateway::start(&configured(&app, "ignore-request = true", "", &routes));
    let says = |target: &str, body: &str| {
        app.on(target, behaviour::answers_with(200, &[FRESH, ("ETag", "\"same\"")], body));
    };
    let ask = |target: &str, fields: &[(&str, &str)]| {
        let answer = gateway.client().ask(target, fields);
        (answer.status, answer.text(), answer.cache_status())
    };
    let is = |status, text: &str, said: &str| (status, text.to_owned(), said.to_owned());
    for target in ["/past", "/anew"] {
        says(target, "one");
        gateway.get(target);
        says(target, "two");
        assert_eq!(ask(target, &[("Cookie", "sessions=1; xsession=2")]), is(200, "one", "weir;hit"), "{target}");
    }
    assert_eq!(ask("/past", &[("Cookie", "a=b;session=1")]), is(200, "two", "weir;fwd=bypass"));
    assert_eq!(ask("/past", &[]), is(200, "one", "weir;hit"));
    // Whatever the client and the cache know already, all of it is asked for and stored.
    let fields = [("X-Refresh", "1"), ("If-None-Match", "\"same\"")];
    assert_eq!(ask("/anew", &fields), is(304, "", "weir;fwd=bypass;fwd-status=200;stored"));
    assert_eq!(app.requests().last().unwrap().fields.get("if-none-match"), None);
    assert_eq!(ask("/anew", &[("X-Refresh", "2")]), is(200, "two", "weir;hit"));
    says("/anew", "three");
    let part = ask("/anew", &[("Cookie", "session="), ("Range", "bytes=1-2")]);
    assert_eq!((part.0, part.1.as_str()), (206, "hr"));
    assert_eq!(ask("/anew", &[]), is(200, "three", "weir;hit"));
    // What it brings may be what is not stored; what was there stays then.
    app.on("/anew", behaviour::answers(503, "broken"));
    assert_eq!(ask("/anew", &[("X-Refresh", "1")]).0, 503);
    assert_eq!(ask("/anew", &[]), is(200, "three", "weir;hit"));
    gateway.client().request("HEAD", "/anew", &[("X-Refresh", "1")], b"").expect(503);
}

#[test]
fn threads_share_what_is_stored() {
    let app = Origin::start();
    app.on("/a", behaviour::answers_with(200, &[FRESH], "x"));
    let config = config(&app, "").top("threads = 4");
    let gateway = Arc::new(Gateway::start(&config));
    let together = Arc::new(Barrier::new(16));
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let (gateway, together) = (gateway.clone(), together.clone());
            thread::spawn(move || {
                let mut client = gateway.client();
                together.wait();
                (0..20).for_each(|_| assert_eq!(client.get("/a").text(), "x"));
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(app.count("/a"), 1);
}

#[test]
fn filters_of_the_route_see_every_answer_and_those_of_the_pool_what_is_stored() {
    let app = Origin::start();
    let stamp = |name: &str, more: &str| {
        format!(
            "module = \"std:header-rules\"\nsettings = {{ response = [ {{ action = \"set\", name = \"{name}\", value = \"${{request.id}}\" }} {more} ] }}"
        )
    };
    let ttl = ", { action = \"set\", name = \"Weir-Cache-Control\", value = \"max-age=60\" }";
    let tables = format!(
        "[filter.edge]\n{}\n[filter.inner]\n{}\n[filter.guard]\nmodule = \"std:url-rewrite\"\nsettings = {{ rule = [ {{ match = \"^/secret\", answer = \"forbidden\" }} ] }}\n[pool.inner]\nmember = [\"{}\"]\nfilters = [\"inner\"]",
        stamp("X-Edge", ""),
        stamp("X-Inner", ttl),
        app.url()
    );
    let routes = r#"{ path = "/guarded", pool = "inner", cache = "pages", filters = ["guard", "edge"] },
        { path = "/secret", pool = "inner", cache = "pages", filters = ["guard"] },"#;
    let gateway = Gateway::start(&configured(&app, "", &tables, routes));
    let (first, second) = (gateway.get("/guarded"), gateway.get("/guarded"));
    assert_eq!((second.cache_status().as_str(), app.count("/guarded")), ("weir;hit", 1));
    assert_eq!(first.field("x-inner"), second.field("x-inner"));
    assert_ne!(first.field("x-edge"), second.field("x-edge"));
    assert_eq!(second.fields.get("weir-cache-control"), None);
    gateway.get("/secret").expect(403);
}

#[test]
fn what_is_one_clients_own_is_not_stored() {
    let app = Origin::start();
    let tables = format!("[pool.sticky]\nmember = [\"{}\"]\nsticky = {{ insert = {{ name = \"WEIR\" }} }}", app.url());
    let routes = "{ path = \"/sticky\", pool = \"sticky\", cache = \"pages\" },";
    let gateway = Gateway::start(&configured(&app, "", &tables, routes));
    app.on("/sticky", behaviour::answers_with(200, &[FRESH, ("Set-Cookie", "lang=de")], "x"));
    let first = gateway.get("/sticky");
    assert_eq!(first.fields.all("set-cookie").len(), 2, "{first}");
    assert_eq!(first.cache_status(), "weir;fwd=uri-miss;detail=private");
    let session = first.fields.all("set-cookie")[1].split(';').next().unwrap_or_default().to_owned();
    gateway.client().ask("/sticky", &[("Cookie", &session)]);
    let second = gateway.get("/sticky");
    assert_eq!((second.cache_status().as_str(), second.fields.all("set-cookie")), ("weir;hit", vec!["lang=de"]));
}

#[test]
fn what_a_get_says_in_a_body_is_for_nobody_else() {
    let world = World::start();
    world.says("/a", &[FRESH], "x");
    for _ in 0..2 {
        let answer = world.gateway.client().request("GET", "/a", &[], b"poison");
        assert_eq!(answer.cache_status(), "weir;fwd=bypass");
    }
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;fwd=uri-miss;stored");
}

#[test]
fn answers_to_queries_are_stored_by_what_was_asked() {
    let world = World::with("methods = [\"GET\", \"QUERY\"]");
    world.app.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let body = exchange.request.body.clone();
        exchange.write_head(200, &[FRESH, ("Content-Length", &body.len().to_string())])?;
        exchange.write(body)?;
        Ok(Then::Keep)
    }));
    let ask = |body: &[u8]| world.gateway.client().request("QUERY", "/q", &[("Content-Type", "text/plain")], body);
    let long = vec![b'x'; 100_000];
    for (body, first, second) in [
        (&b"one"[..], "weir;fwd=uri-miss;stored", "weir;hit"),
        (b"two", "weir;fwd=uri-miss;stored", "weir;hit"),
        (&long, "weir;fwd=bypass", "weir;fwd=bypass"),
    ] {
        for expected in [first, second] {
            let answer = ask(body);
            assert_eq!((answer.cache_status().as_str(), answer.body.as_slice() == body), (expected, true));
        }
    }
}

#[test]
fn heads_confirm_or_outdate_what_is_stored() {
    let world = World::start();
    world.says("/a", &STALE, "one");
    world.get("/a", &[]);
    world.app.on("/a", behaviour::answers_with(200, &[FRESH, ("ETag", "\"one\"")], "one"));
    world.does("HEAD", "/a", &[]).expect(200);
    assert_eq!((world.get("/a", &[]).text().as_str(), world.app.count("/a")), ("one", 2));
    world.says("/b", &STALE, "one");
    world.get("/b", &[]);
    world.app.on("/b", behaviour::answers_with(200, &[FRESH, ("ETag", "\"two\"")], "two"));
    world.does("HEAD", "/b", &[]);
    assert_eq!((world.get("/b", &[]).text().as_str(), world.app.count("/b")), ("two", 3));
}

#[test]
fn a_killed_gateway_finds_what_was_whole() {
    let app = Origin::start();
    let place = weir_tests::Place::fresh();
    let disk = format!("disk = {{ path = \"{}/cache\", size = \"64MiB\" }}", place.path().display());
    let gate = Gate::closed();
    app.on("/whole", behaviour::answers_with(200, &[FRESH], "whole"));
    app.on("/half", in_halves(&gate));
    let mut gateway = Gateway::start(&config(&app, &disk));
    gateway.get("/whole");
    eventually("it is a file", || {
        let files = std::fs::read_dir(place.join("cache")).ok()?.flatten();
        (files.count() > 1).then_some(())
    });
    let mut half = gateway.client();
    half.send("GET /half HTTP/1.1\r\nHost: any.example\r\n\r\n").response_head();
    let killed = std::process::Command::new("kill").args(["-KILL", &gateway.pid().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    assert_eq!(gateway.wait_exit(PATIENCE), None);
    gate.open();
    let gateway = Gateway::start(&config(&app, &disk));
    eventually("what was whole is there", || (gateway.get("/whole").cache_status() == "weir;hit").then_some(()));
    assert_eq!(gateway.get("/whole").text(), "whole");
    assert_eq!(gateway.get("/half").cache_status(), "weir;fwd=uri-miss;stored");
}

#[test]
fn who_follows_with_a_range_or_a_condition_gets_what_it_asked_for() {
    let world = World::start();
    world.says("/a", &STALE, "old");
    world.get("/a", &[]);
    let gate = Gate::closed();
    let other = gate.clone();
    world.app.next(behaviour::does(move |exchange| {
        exchange.read_body()?;
        exchange.write_head(200, &[FRESH, ("ETag", "\"two\""), ("Content-Length", "10")])?;
        exchange.write("first")?;
        other.pass();
        exchange.write("other")?;
        Ok(Then::Keep)
    }));
    let ask = |own: &str| {
        let mut client = world.gateway.client();
        client.send(format!("GET /a HTTP/1.1\r\nHost: any.example\r\n{own}\r\n"));
        client
    };
    let mut leader = ask("");
    assert_eq!(leader.response_head().0, 200);
    world.app.on("/a", behaviour::answers_with(200, &[FRESH, ("ETag", "\"two\"")], "firstother"));
    let mut range = ask("Range: bytes=1-3\r\n");
    let part = range.response();
    assert_eq!((part.status, part.text().as_str()), (206, "irs"));
    let mut same = ask("If-None-Match: \"two\"\r\n");
    let same = same.response();
    assert_eq!((same.status, same.text().as_str()), (304, ""));
    gate.open();
}
