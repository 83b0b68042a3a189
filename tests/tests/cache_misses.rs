//! What is asked of the upstream for what is not stored, and what its answer leaves behind: for who asked whether it has it
//! already, for those who wait, and for whoever comes when the upstream fails.

use std::collections::HashSet;
use std::thread;
use std::time::Duration;

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{Client, Config, Fields, Gate, Gateway, H2Origin, Origin, Response, behaviour};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[access-log]
path = "access.log"
format = '${request.path} ${response.status} ${variable.cache.status}'
[pool.app]
member = ["{app}"]
{pool}
[cache.pages]
x-cache = true
purge = ["127.0.0.1"]
{cache}
[site.all]
{site}
route = [{ pool = "app", cache = "pages" }]
"#;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");
const ONE: (&str, &str) = ("ETag", "\"one\"");
/// Stale when it comes, and can be validated.
const STALE: [(&str, &str); 3] = [("Cache-Control", "max-age=60"), ("Age", "100"), ONE];
const HAS_ONE: (&str, &str) = ("If-None-Match", "\"one\"");
const JANUARY: &str = "Mon, 01 Jan 2024 00:00:00 GMT";
const FEBRUARY: &str = "Thu, 01 Feb 2024 00:00:00 GMT";

/// A gateway with a cache, and the upstream behind it.
struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    fn start() -> World {
        World::with("", "")
    }

    fn with(cache: &str, pool: &str) -> World {
        let app = Origin::start();
        World { gateway: Gateway::start(&config(&app.url(), cache, pool, "")), app }
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.does("GET", target, fields)
    }

    #[track_caller]
    fn does(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().request(method, target, fields, b"")
    }

    fn says(&self, target: &str, fields: &[(&str, &str)], body: &str) {
        self.app.on(target, behaviour::answers_with(200, fields, body));
    }

    /// A client that has asked, and reads nothing yet.
    fn asks(&self, target: &str, fields: &str) -> Client {
        let mut client = self.gateway.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: any.example\r\n{fields}\r\n"));
        client
    }

    /// Waits until all that was asked so far waits in the gateway.
    fn settle(&self) {
        for _ in 0..2 {
            self.get("/behind", &[("Cache-Control", "only-if-cached")]).expect(504);
        }
    }

    /// Whether the upstream was told what the client has, request by request.
    fn told(&self) -> Vec<bool> {
        let has = |fields: &Fields| fields.has("if-none-match") || fields.has("if-modified-since");
        self.app.requests().iter().map(|request| has(&request.fields)).collect()
    }
}

fn config(app: &str, cache: &str, pool: &str, site: &str) -> Config {
    Config::text(CONFIG).fill("cache", cache).fill("pool", pool).fill("site", site).fill("app", app)
}

/// Answers as an origin that knows conditions: 304 to who has it.
fn knows_conditions(fields: &[(&str, &str)], body: &'static str) -> Behaviour {
    let (whole, known) = (behaviour::answers_with(200, fields, body), behaviour::answers_with(304, fields, ""));
    behaviour::does(move |exchange| {
        let asked = &exchange.request.fields;
        let is_known = asked.get("if-none-match").is_some_and(|tags| tags.contains("\"one\""))
            || asked.get("if-modified-since").is_some_and(|date| date == FEBRUARY);
        if is_known { known(exchange) } else { whole(exchange) }
    })
}

#[test]
fn a_crowd_that_has_it_makes_a_cold_cache_warm_with_one_question() {
    for cache in ["", "lock-timeout = \"0s\"", "min-uses = 1"] {
        let world = World::with(cache, "");
        world.app.on("/a", knows_conditions(&[FRESH, ONE, ("Last-Modified", JANUARY)], "body"));
        for (fields, status) in [
            (&[HAS_ONE][..], 304),
            (&[HAS_ONE], 304),
            (&[("If-None-Match", "\"two\"")], 200),
            (&[("If-Modified-Since", FEBRUARY)], 304),
            (&[], 200),
        ] {
            let answer = world.get("/a", fields);
            assert_eq!(
                answer.text(),
                if answer.expect(status).status == 304 { "" } else { "body" },
                "{cache} {fields:?}"
            );
            assert_eq!(
                (answer.field("etag"), answer.fields.get("content-length").is_none()),
                (ONE.1.into(), status == 304)
            );
        }
        assert_eq!(world.told(), [false], "{cache}");
        world.does("PURGE", "/a", &[]).expect(200);
        let first = world.get("/a", &[("If-Modified-Since", FEBRUARY)]);
        assert_eq!(first.expect(304).cache_status(), "weir;fwd=uri-miss;fwd-status=200;stored");
        assert_eq!(first.field("x-cache"), "MISS");
        assert_eq!(world.get("/a", &[HAS_ONE]).expect(304).cache_status(), "weir;hit");
        assert_eq!(world.told(), [false, false], "{cache}");
    }
}

#[test]
fn everybody_who_waits_is_answered_by_what_it_has_itself() {
    let world = World::start();
    let gate = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&gate, knows_conditions(&[FRESH, ONE], "body")));
    let asked = ["If-None-Match: \"one\"\r\n", "If-None-Match: \"two\"\r\n", "", "Range: bytes=1-2\r\n"];
    let clients: Vec<Client> = (0..80).map(|at| world.asks("/a", asked[at % 4])).collect();
    world.app.await_requests(1);
    world.settle();
    gate.open();
    for (at, mut client) in clients.into_iter().enumerate() {
        let answer = client.response();
        let expected = [(304, ""), (200, "body"), (200, "body"), (206, "od")][at % 4];
        assert_eq!((answer.status, answer.text().as_str()), expected, "{}", asked[at % 4]);
    }
    assert_eq!(world.told(), [false]);
}

#[test]
fn a_part_of_what_is_not_stored_is_for_who_does_not_have_it() {
    for (fields, status, body) in [
        (&[HAS_ONE, ("Range", "bytes=1-2")][..], 304, ""),
        (&[("If-None-Match", "\"two\""), ("Range", "bytes=1-2")], 206, "od"),
        (&[("If-None-Match", "\"two\""), ("Range", "bytes=1-2"), ("If-Range", "\"one\"")], 206, "od"),
        (&[("If-None-Match", "\"two\""), ("Range", "bytes=1-2"), ("If-Range", "\"two\"")], 200, "body"),
    ] {
        let world = World::start();
        world.app.on("/a", knows_conditions(&[FRESH, ONE], "body"));
        for _ in 0..2 {
            assert_eq!(world.get("/a", fields).expect(status).text(), body, "{fields:?}");
        }
        assert_eq!(world.told(), [false]);
        assert_eq!(world.app.request("/a").fields.get("range"), None);
    }
}

#[test]
fn who_wants_what_is_not_stored_asks_whether_it_has_it_for_itself() {
    for (cache, fields, of_answer, detail) in [
        ("", &[HAS_ONE][..], &[("Cache-Control", "private, max-age=60"), ONE][..], "private"),
        ("lock-timeout = \"0s\"", &[HAS_ONE], &[("Cache-Control", "no-store"), ONE], "no-store"),
        ("", &[HAS_ONE, ("Authorization", "Basic x")], &[FRESH, ONE], "authorization"),
    ] {
        let world = World::with(cache, "");
        world.app.on("/a", knows_conditions(of_answer, "body"));
        for _ in 0..2 {
            assert_eq!(world.get("/a", fields).expect(304).text(), "");
        }
        let first = &world.app.requests()[0];
        assert_eq!(first.fields.get("if-none-match"), None);
        assert_eq!(world.told(), [false, true], "{cache} {detail}");
        let other = [("If-None-Match", "\"two\""), fields[fields.len() - 1]];
        let answer = world.get("/a", &other[..fields.len()]);
        assert_eq!(answer.expect(200).cache_status(), format!("weir;fwd=uri-miss;detail={detail}"));
    }
    // Nobody takes up what is not known to be the same.
    let world = World::start();
    for (number, (fields, status)) in [
        (&[("Cache-Control", "no-store")][..], 200),
        (&[("Cache-Control", "no-store"), ONE], 304),
        (&[("Cache-Control", "no-store"), ("ETag", "W/\"one\"")], 304),
        (&[("Cache-Control", "no-store"), ("ETag", "\"two\"")], 200),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{number}");
        world.says(&target, fields, "body");
        assert_eq!(world.get(&target, &[HAS_ONE]).status, status, "{fields:?}");
    }
    world.app.on("/gone", behaviour::answers_with(404, &[FRESH, ONE], "gone"));
    assert_eq!(world.get("/gone", &[HAS_ONE]).expect(404).text(), "gone");
}

#[test]
fn conditions_go_as_they_are_where_nothing_is_stored_of_the_answer() {
    let world = World::with("min-uses = 3", "");
    world.app.on("/a", knows_conditions(&[FRESH, ONE], "body"));
    for (told, status) in [
        (&[true][..], "weir;fwd=uri-miss;detail=status"),
        (&[true, true], "weir;fwd=uri-miss;detail=status"),
        (&[true, true, false], "weir;fwd=uri-miss;fwd-status=200;stored"),
        (&[true, true, false], "weir;hit"),
    ] {
        assert_eq!(world.get("/a", &[HAS_ONE]).expect(304).cache_status(), status);
        assert_eq!(world.told(), told);
    }
    for (cache, fields) in [
        ("conditions = \"own\"", &[HAS_ONE][..]),
        ("", &[HAS_ONE, ("Cache-Control", "no-store")]),
        ("", &[HAS_ONE, ("If-Match", "\"one\"")]),
        ("", &[HAS_ONE, ("If-Unmodified-Since", FEBRUARY)]),
        ("ranges = \"own\"", &[HAS_ONE, ("Range", "bytes=0-1")]),
    ] {
        let world = World::with(cache, "");
        world.app.on("/a", knows_conditions(&[FRESH, ONE], "body"));
        for _ in 0..2 {
            world.get("/a", fields).expect(304);
        }
        assert_eq!(world.told(), [true, true], "{cache} {fields:?}");
    }
}

#[test]
fn what_a_client_has_is_known_again_when_what_is_stored_has_changed() {
    let world = World::start();
    world.says("/a", &STALE, "one");
    world.get("/a", &[]);
    world.says("/a", &[FRESH, ("ETag", "\"two\"")], "two");
    let answer = world.get("/a", &[("If-None-Match", "\"two\"")]);
    assert_eq!(answer.expect(304).cache_status(), "weir;fwd=stale;fwd-status=200;stored");
    assert_eq!(world.app.requests()[1].fields.get("if-none-match").as_deref(), Some("\"one\""));
    assert_eq!(world.get("/a", &[]).text(), "two");
    // A part of it is here: the rest is asked for, and what the client has counts.
    let part = [FRESH, ("ETag", "\"p\""), ("Content-Range", "bytes 0-1/4")];
    world.app.on("/part", behaviour::answers_with(206, &part, "bo"));
    world.get("/part", &[("Range", "bytes=0-1"), ("If-Range", "\"x\"")]);
    world
        .app
        .on("/part", behaviour::answers_with(206, &[FRESH, ("ETag", "\"p\""), ("Content-Range", "bytes 2-3/4")], "dy"));
    let rest = world.get("/part", &[("If-None-Match", "\"else\"")]);
    assert_eq!(rest.expect(200).text(), "body");
}

#[test]
fn who_has_another_variant_is_asked_for_with_what_is_stored() {
    let world = World::start();
    world.app.on(
        "/a",
        behaviour::does(|exchange| {
            let tags = exchange.request.fields.get("if-none-match").unwrap_or_default();
            let lines = [FRESH, ONE, ("Vary", "X-Tier"), ("Content-Length", "4")];
            if tags.contains("\"one\"") {
                exchange.write_head(304, &lines[..3])?;
            } else {
                exchange.write_head(200, &lines)?;
                exchange.write("body")?;
            }
            Ok(Then::Keep)
        }),
    );
    world.get("/a", &[("X-Tier", "silver")]);
    let mine = [("X-Tier", "gold"), ("If-None-Match", "\"mine\"")];
    let answer = world.get("/a", &mine);
    assert_eq!(
        (answer.expect(200).text().as_str(), answer.cache_status().as_str()),
        ("body", "weir;fwd=vary-miss;fwd-status=304;stored")
    );
    assert_eq!(world.app.requests()[1].fields.get("if-none-match").as_deref(), Some("\"one\""));
    assert_eq!(world.get("/a", &[("X-Tier", "gold"), HAS_ONE]).expect(304).cache_status(), "weir;hit");
}

#[test]
fn what_a_post_brings_is_what_a_get_gets() {
    let world = World::start();
    world.says("/a", &[FRESH], "before");
    world.get("/a", &[]);
    world.says("/a", &[FRESH, ("Content-Location", "/a")], "by post");
    assert_eq!(world.does("POST", "/a", &[]).cache_status(), "weir;fwd=method;stored");
    world.says("/a", &[FRESH], "later");
    assert_eq!(
        (world.get("/a", &[]).text().as_str(), world.get("/a", &[]).cache_status().as_str()),
        ("by post", "weir;hit")
    );
    // Of what it does not bring, what was there is gone.
    world.says("/b", &[FRESH], "before");
    world.get("/b", &[]);
    world.says("/b", &[("Content-Location", "/b")], "by post");
    world.does("POST", "/b", &[]);
    world.says("/b", &[FRESH], "later");
    assert_eq!(world.get("/b", &[]).text(), "later");
}

#[test]
fn what_a_post_brings_is_not_stored_when_it_was_purged_meanwhile() {
    let world = World::start();
    let gate = Gate::closed();
    let brings = behaviour::answers_with(200, &[FRESH, ("Content-Location", "/a")], "by post");
    world.app.on("/a", behaviour::waits_for(&gate, brings));
    let mut posts = world.gateway.client();
    posts.send("POST /a HTTP/1.1\r\nHost: any.example\r\nContent-Length: 0\r\n\r\n");
    world.app.await_requests(1);
    world.does("PURGE", "/a", &[]).expect(200);
    gate.open();
    assert_eq!(posts.response().expect(200).text(), "by post");
    world.says("/a", &[FRESH], "later");
    assert_eq!(world.get("/a", &[]).text(), "later");
}

/// A thing whose stored answer is stale, and what an upstream that fails is stood in for afterwards.
#[track_caller]
fn stands_in(world: &World, target: &str, asks: &[(&str, &str)]) -> u16 {
    world.app.on(target, behaviour::answers(503, "broken"));
    world.get(target, asks).status
}

#[test]
fn what_is_gone_or_not_to_be_stored_any_more_stands_in_for_nothing() {
    let private = ("Cache-Control", "private");
    for (number, (status, fields, asks, after)) in [
        (404, &[][..], &[][..], 503),
        (410, &[("Set-Cookie", "a=1")], &[], 503),
        (404, &[], &[("If-Match", "\"one\"")], 503),
        (200, &[("Cache-Control", "no-store")], &[], 503),
        (301, &[("Cache-Control", "no-store"), ("Location", "/x")], &[], 503),
        // These are about who asked, or for once.
        (404, &[private], &[], 200),
        (404, &[], &[("Authorization", "Basic x")], 200),
        (200, &[private], &[], 200),
        (200, &[("Set-Cookie", "a=1")], &[], 200),
        (403, &[], &[], 200),
        (302, &[("Location", "/login")], &[], 200),
        (429, &[], &[], 200),
    ]
    .into_iter()
    .enumerate()
    {
        let world = World::start();
        let target = format!("/{number}");
        world.says(&target, &STALE, "old");
        world.get(&target, &[]);
        world.app.on(&target, behaviour::answers_with(status, fields, "new"));
        world.get(&target, asks).expect(status);
        assert_eq!(stands_in(&world, &target, &[]), after, "{status} {fields:?} {asks:?}");
    }
    let world = World::start();
    world.says("/head", &STALE, "old");
    world.get("/head", &[]);
    world.app.on("/head", behaviour::answers_with(404, &[], ""));
    world.does("HEAD", "/head", &[]).expect(404);
    assert_eq!(stands_in(&world, "/head", &[]), 503);
    let world = World::with("max-object = \"1KiB\"", "");
    world.says("/large", &STALE, "old");
    world.get("/large", &[]);
    world.says("/large", &[FRESH], &"x".repeat(2000));
    world.get("/large", &[]).expect(200);
    assert_eq!(stands_in(&world, "/large", &[]), 503);
}

/// Says in the content for whom it is.
fn in_variants(control: &'static str, tag: &'static str) -> Behaviour {
    behaviour::does(move |exchange| {
        let fields = &exchange.request.fields;
        let tier = fields.get("x-tier").unwrap_or_default();
        let tag = format!("\"{tag}-{tier}\"");
        let length = tier.len().to_string();
        exchange.write_head(
            200,
            &[("Cache-Control", control), ("ETag", &tag), ("Vary", "X-Tier"), ("Content-Length", &length)],
        )?;
        if exchange.request.method != "HEAD" {
            exchange.write(tier)?;
        }
        Ok(Then::Keep)
    })
}

#[test]
fn one_variant_that_is_outdated_or_gone_takes_no_other_with_it() {
    let world = World::start();
    world.app.on("/a", in_variants("max-age=3600", "one"));
    for tier in ["gold", "silver", "iron"] {
        world.get("/a", &[("X-Tier", tier)]);
    }
    let forced = |tier| [("X-Tier", tier), ("Cache-Control", "no-cache")];
    world.app.on("/a", in_variants("max-age=3600", "two"));
    world.does("HEAD", "/a", &forced("gold")).expect(200);
    world.app.on("/a", behaviour::answers_with(404, &[], ""));
    world.get("/a", &forced("iron")).expect(404);
    world.app.on("/a", behaviour::answers(503, "broken"));
    let silver = world.get("/a", &[("X-Tier", "silver")]);
    assert_eq!((silver.text().as_str(), silver.cache_status().as_str()), ("silver", "weir;hit"));
    // It has to be asked about, and is there for a failure.
    let gold = world.get("/a", &[("X-Tier", "gold")]);
    assert_eq!((gold.text().as_str(), gold.cache_status().as_str()), ("gold", "weir;fwd=stale;fwd-status=503"));
    world.get("/a", &[("X-Tier", "iron")]).expect(503);
}

#[test]
fn who_waited_is_told_and_counted_as_such_however_it_got_it() {
    for (fields, body, why) in [(&[FRESH][..], "small", "uri-miss"), (&[FRESH, ONE], "", "stale")] {
        let world = World::start();
        if why == "stale" {
            world.says("/a", &STALE, "small");
            world.get("/a", &[]);
        }
        let before = world.app.count("/a");
        let gate = Gate::closed();
        let status = if why == "stale" { 304 } else { 200 };
        world.app.on("/a", behaviour::waits_for(&gate, behaviour::answers_with(status, fields, body)));
        let clients: Vec<Client> = (0..30).map(|_| world.asks("/a", "")).collect();
        world.app.await_requests(before + 1);
        world.settle();
        gate.open();
        let said: Vec<String> =
            clients.into_iter().map(|mut client| client.response().expect(200).cache_status()).collect();
        let collapsed = said.iter().filter(|said| **said == format!("weir;fwd={why};collapsed")).count();
        assert_eq!((collapsed, world.app.count("/a")), (29, before + 1), "{said:?}");
    }
}

#[test]
fn who_waited_in_vain_is_told_that_too() {
    let world = World::start();
    let gate = Gate::closed();
    let own = behaviour::answers_with(200, &[("Cache-Control", "no-store")], "own");
    world.app.on("/a", behaviour::waits_for(&gate, own));
    let clients: Vec<Client> = (0..20).map(|_| world.asks("/a", "")).collect();
    world.app.await_requests(1);
    world.settle();
    gate.open();
    let said: Vec<String> = clients.into_iter().map(|mut client| client.response().cache_status()).collect();
    let in_vain = said.iter().filter(|said| *said == "weir;fwd=uri-miss;collapsed=?0;detail=no-store").count();
    assert_eq!(in_vain, 19, "{said:?}");
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;fwd=uri-miss;detail=no-store");
}

#[test]
fn codings_that_anybody_can_make_up_make_no_variants() {
    let world = World::start();
    world.app.on(
        "/a",
        behaviour::does(|exchange| {
            let packs = exchange.request.fields.get("accept-encoding").unwrap_or_default().contains("gzip");
            let mut lines = vec![FRESH, ("Vary", "Accept-Encoding"), ("Content-Length", "6")];
            lines.extend(packs.then_some(("Content-Encoding", "gzip")));
            exchange.write_head(200, &lines)?;
            exchange.write(if packs { "packed" } else { "plain." })?;
            Ok(Then::Keep)
        }),
    );
    for number in 0..100 {
        for (real, body) in [("gzip, br", "packed"), ("br", "plain.")] {
            let junk = format!("x-{number}, {real}, y{number};q=0.{number}");
            assert_eq!(world.get("/a", &[("Accept-Encoding", &junk)]).text(), body);
        }
    }
    assert_eq!(world.app.count("/a"), 2);
}

#[test]
fn what_is_used_is_not_pushed_out_by_variants_that_are_not() {
    let place = weir_tests::Place::fresh();
    let disk = format!("memory = \"off\"\ndisk = {{ path = \"{}/one\", size = \"64MiB\" }}", place.path().display());
    for cache in ["", &disk] {
        let world = World::with(cache, "");
        world.app.on("/a", in_variants("max-age=3600", "one"));
        world.get("/a", &[("X-Tier", "used")]);
        for number in 0..150 {
            world.get("/a", &[("X-Tier", &number.to_string())]);
            if number % 10 == 0 {
                let used = || world.get("/a", &[("X-Tier", "used")]).cache_status();
                weir_tests::eventually("it is there", || (used() == "weir;hit").then_some(()));
            }
        }
        let asked = world.app.requests();
        let is_used = |request: &&weir_tests::origin::Request| request.fields.get("x-tier").as_deref() == Some("used");
        let count = asked.iter().filter(is_used).count();
        // On a disk it is there a moment after it was sent.
        assert!(count == 1 || !cache.is_empty() && count < 4, "{count} {cache}");
    }
}

#[test]
fn an_upstream_is_asked_about_no_more_variants_than_it_can_hear() {
    let world = World::start();
    let tag: &'static str = "t".repeat(300).leak();
    world.app.on("/a", in_variants("max-age=3600", tag));
    for number in 0..20 {
        world.get("/a", &[("X-Tier", &number.to_string())]);
    }
    world.get("/a", &[("X-Tier", "3")]);
    world.get("/a", &[("X-Tier", "another")]);
    let asked = world.app.requests().last().unwrap().fields.get("if-none-match").unwrap();
    assert!(asked.len() <= 2048 && asked.len() > 1500, "{}", asked.len());
    assert!(asked.starts_with(&format!("\"{tag}-3\", ")), "who was of use last comes first: {asked}");
}

#[test]
fn what_is_of_one_request_is_not_stored() {
    let world = World::start();
    world.says("/a", &[FRESH, ("X-Request-Id", "of-the-first"), ("X-Other", "kept")], "x");
    assert_eq!(world.get("/a", &[]).field("x-request-id"), "of-the-first");
    let hit = world.get("/a", &[]);
    assert_eq!((hit.cache_status().as_str(), hit.field("x-other").as_str()), ("weir;hit", "kept"));
    assert_eq!(hit.fields.get("x-request-id"), None);
}

#[test]
fn a_hit_says_as_a_miss_did_where_it_came_from() {
    let place = weir_tests::Place::fresh();
    let disk = format!("memory = \"off\"\ndisk = {{ path = \"{}/one\", size = \"64MiB\" }}", place.path().display());
    for cache in ["", &disk] {
        let origin = H2Origin::start("one", None);
        let cache = format!("status-ttl = {{ 200 = \"1h\" }}\n{cache}");
        let config = config(&origin.url(), &cache, "protocol = \"h2\"", "preserve-server = true\nvia = true");
        let gateway = Gateway::start(&config);
        let said = |answer: &Response| ["server", "via"].map(|name| answer.fields.all(name).join(", "));
        let miss = gateway.get("/a");
        let hit = weir_tests::eventually("it is there", || {
            let answer = gateway.get("/a");
            (answer.cache_status() == "weir;hit").then_some(answer)
        });
        assert_eq!((said(&hit), said(&hit)[1].as_str()), (said(&miss), "2 weir"));
        assert!(hit.field("age").parse::<u64>().is_ok() && miss.fields.get("age").is_none());
    }
    // What the gateway says itself has not passed it.
    let app = Origin::start();
    let config = config(&app.url(), "", "read-timeout = \"500ms\"", "via = true");
    let world = World { gateway: Gateway::start(&config), app };
    world.app.on("/slow", behaviour::never_answers());
    let mut clients: Vec<Client> = (0..3).map(|_| world.asks("/slow", "")).collect();
    for client in &mut clients {
        let answer = client.response();
        assert_eq!(answer.expect(504).fields.get("via"), None, "{answer}");
    }
}

#[test]
fn who_came_late_has_its_own_patience() {
    const TIMEOUT: Duration = Duration::from_secs(2);
    let world = World::with("lock-timeout = \"1m\"", &format!("read-timeout = \"{}s\"", TIMEOUT.as_secs()));
    world.app.next(behaviour::never_answers());
    world.app.on("/a", behaviour::answers_with(200, &[FRESH], "late, but here"));
    let mut early: Vec<Client> = (0..5).map(|_| world.asks("/a", "")).collect();
    world.app.await_requests(1);
    thread::sleep(TIMEOUT * 3 / 4);
    let mut late: Vec<Client> = (0..5).map(|_| world.asks("/a", "")).collect();
    let statuses: HashSet<u16> = early.iter_mut().map(|client| client.response().status).collect();
    assert_eq!(statuses, [504].into());
    for client in &mut late {
        assert_eq!(client.response().expect(200).text(), "late, but here");
    }
    assert_eq!(world.app.count("/a"), 2);
}

#[test]
fn a_file_that_the_upstream_names_is_asked_for_by_what_the_client_has_and_wants() {
    let place = weir_tests::Place::fresh();
    std::fs::write(place.join("a.txt"), "0123456789").unwrap();
    let file = place.join("a.txt").display().to_string();
    let root = format!("[root.files]\npath = \"{}\"", place.path().display());
    let world = World::with("", &root);
    world.app.otherwise(behaviour::answers_with(200, &[("X-Sendfile", &file)], ""));
    let tag = world.get("/first", &[]).expect(200).field("etag");
    for (number, (fields, status)) in [
        (&[("If-None-Match", tag.as_str())][..], 304),
        (&[("Range", "bytes=2-3")], 206),
        (&[("Range", "bytes=2-3"), ("If-None-Match", "\"other\"")], 206),
        (&[], 200),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{number}");
        for _ in 0..2 {
            let answer = world.get(&target, fields);
            let expected = match status {
                304 => "",
                206 => "23",
                _ => "0123456789",
            };
            assert_eq!((answer.status, answer.text().as_str()), (status, expected), "{fields:?}");
        }
    }
}
