//! The response cache against clients that mean harm: nobody is given what was made for somebody else, nobody can make others
//! wait or ask again, and nothing that is cut short passes for the whole.

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{Client, Config, Gate, Gateway, Origin, Response, behaviour, eventually};

const CONFIG: &str = r#"
{top}
[listener.web]
bind = "127.0.0.1:0"
{listener}
[pool.app]
member = ["{app}"]
{pool}
[cache.pages]
{cache}
[site.all]
{site}
route = [
  {routes}
  { pool = "app", cache = "pages" },
]
"#;

/// What is said beside the least.
#[derive(Default)]
struct Said<'a> {
    top: &'a str,
    pool: &'a str,
    cache: &'a str,
    routes: &'a str,
    listener: &'a str,
    site: &'a str,
}

/// A gateway with a cache, and the upstream behind it.
struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    fn start() -> World {
        World::with(&Said::default())
    }

    fn with(said: &Said<'_>) -> World {
        let app = Origin::start();
        let config = Config::text(CONFIG)
            .fill("top", said.top)
            .fill("pool", said.pool)
            .fill("cache", said.cache)
            .fill("routes", said.routes)
            .fill("listener", said.listener)
            .fill("site", said.site)
            .fill("app", &app.url());
        World { gateway: Gateway::start(&config), app }
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().ask(target, fields)
    }

    fn says(&self, target: &str, fields: &[(&str, &str)], body: &str) {
        self.app.on(target, behaviour::answers_with(200, fields, body));
    }

    /// Has asked, and does not read the answer yet.
    fn asked(&self, target: &str, fields: &[(&str, &str)]) -> Client {
        let mut client = self.gateway.client();
        let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: any.example\r\n{lines}\r\n"));
        client
    }
}

/// Answers with what was asked for.
fn tells(name: &'static str) -> Behaviour {
    behaviour::does(move |exchange| {
        exchange.read_body()?;
        let request = &exchange.request;
        let text =
            if name == ":target" { request.target.clone() } else { request.fields.get(name).unwrap_or_default() };
        exchange.write_head(200, &[FRESH, ("Content-Length", &text.len().to_string())])?;
        exchange.write(text)?;
        Ok(Then::Keep)
    })
}

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");

#[test]
fn a_query_is_refreshed_by_what_it_asked() {
    let world = World::with(&Said { cache: "methods = [\"GET\", \"QUERY\"]", ..Said::default() });
    world.app.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let text = [exchange.request.method.as_bytes(), &exchange.request.body].concat();
        let stale = [("Cache-Control", "max-age=9, stale-while-revalidate=600"), ("Age", "60"), ("ETag", "\"a\"")];
        exchange.write_head(200, &[&stale[..], &[("Content-Length", &text.len().to_string())]].concat())?;
        exchange.write(text)?;
        Ok(Then::Keep)
    }));
    let ask = || world.gateway.client().request("QUERY", "/q", &[("Content-Type", "text/plain")], b" this");
    for _ in 0..3 {
        assert_eq!(ask().expect(200).text(), "QUERY this");
    }
    eventually("the refresh has its content", || {
        world.app.requests().iter().skip(1).any(|request| request.whole && request.body == b" this").then_some(())
    });
    let asked = world.app.requests();
    assert!(asked.iter().all(|request| request.method == "QUERY"), "{asked:?}");
    assert_eq!(ask().text(), "QUERY this");
}

#[test]
fn routes_for_some_requests_do_not_answer_the_rest() {
    let routes = r#"{ header = [{ name = "x-beta", value = "1" }], strip-prefix = "/beta", pool = "app", cache = "pages" },
        { query = [{ name = "draft", present = true }], replace-prefix = { from = "/", to = "/draft/" }, pool = "app", cache = "pages" },"#;
    let world = World::with(&Said { routes, cache: "key = { query = false }", ..Said::default() });
    world.app.otherwise(tells(":target"));
    for _ in 0..2 {
        assert_eq!(world.get("/beta/a", &[("X-Beta", "1")]).text(), "/a");
        assert_eq!(world.get("/beta/a?draft", &[]).text(), "/draft/beta/a?draft");
        assert_eq!(world.get("/beta/a", &[]).text(), "/beta/a");
    }
    assert_eq!(world.app.requests().len(), 3);
    // What is changed is changed for all of them.
    world.gateway.client().request("DELETE", "/beta/a", &[], b"").expect(200);
    for (target, fields) in [("/beta/a", &[("X-Beta", "1")][..]), ("/beta/a?draft", &[]), ("/beta/a", &[])] {
        assert_eq!(world.get(target, fields).cache_status(), "weir;fwd=uri-miss;stored", "{target}");
    }
}

#[test]
fn what_an_upstream_leads_to_is_for_whom_it_lets_there() {
    let routes = r#"{ path = "/paid", pool = "app", cache = "pages" },
        { name = "vault", internal = true, path = "/vault", replace-prefix = "/kept", pool = "app", cache = "pages" },
        { name = "same", internal = true, header = [{ name = "x-none", present = false }], replace-prefix = { from = "/paid", to = "/kept" }, pool = "app", cache = "pages" },"#;
    let world = World::with(&Said { routes, pool: "accel = true", ..Said::default() });
    world.app.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let is_kept = exchange.request.target.starts_with("/kept");
        let has_paid = exchange.request.fields.get("cookie").as_deref() == Some("paid");
        match (is_kept, has_paid) {
            (true, _) => exchange.write_head(200, &[FRESH, ("Content-Length", "4")])?,
            (false, true) => exchange.write_head(200, &[("X-Accel-Redirect", "@same"), ("Content-Length", "0")])?,
            (false, false) => exchange.write_head(403, &[("Content-Length", "0")])?,
        }
        if is_kept {
            exchange.write("gold")?;
        }
        Ok(Then::Keep)
    }));
    for _ in 0..2 {
        assert_eq!(world.get("/paid/a", &[("Cookie", "paid")]).expect(200).text(), "gold");
        world.get("/paid/a", &[]).expect(403);
    }
    assert_eq!(world.app.count("/kept/a"), 1);
}

#[test]
fn what_a_trusted_proxy_says_of_the_client_is_part_of_what_is_asked() {
    let world = World::with(&Said { top: "trusted-proxies = [\"127.0.0.1\"]", ..Said::default() });
    for (name, values) in
        [("X-Forwarded-Proto", ["http", "https"]), ("X-Forwarded-Host", ["shop.example", "evil.example"])]
    {
        world.app.on("/a", tells(if name == "X-Forwarded-Proto" { "x-forwarded-proto" } else { "x-forwarded-host" }));
        let before = world.app.count("/a");
        for value in values.iter().cycle().take(4) {
            assert_eq!(world.get("/a", &[(name, value), ("Host", "shop.example")]).text(), *value);
        }
        assert_eq!(world.app.count("/a"), before + 2, "{name}");
        // It is one thing to change, by whichever name it was asked for.
        for value in values {
            world.gateway.client().request("DELETE", "/a", &[(name, value), ("Host", "shop.example")], b"");
            assert_eq!(
                world.get("/a", &[(name, value), ("Host", "shop.example")]).cache_status(),
                "weir;fwd=uri-miss;stored"
            );
        }
        world.gateway.client().request("DELETE", "/a", &[("Host", "shop.example")], b"");
        world.gateway.client().request("DELETE", "/a", &[("Host", "shop.example"), (name, values[1])], b"");
    }
}

#[test]
fn who_is_not_trusted_cannot_say_anything_of_itself() {
    let world = World::start();
    world.app.on("/a", tells("x-forwarded-host"));
    for fields in [&[("X-Forwarded-Host", "evil.example")][..], &[("X_Forwarded_Host", "evil.example")], &[]] {
        assert_eq!(world.get("/a", fields).text(), "any.example");
    }
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn what_a_trusted_proxy_was_given_is_not_for_who_says_the_same() {
    let top = "trusted-proxies = [\"203.0.113.1\"]";
    let world = World::with(&Said { top, listener: "proxy-protocol = [\"127.0.0.1\"]", ..Said::default() });
    world.app.on("/a", tells("x-forwarded-host"));
    let ask = |from: &str, fields: &[(&str, &str)]| {
        let mut client = world.gateway.client();
        client.send(format!("PROXY TCP4 {from} 192.0.2.2 4711 80\r\n"));
        client.ask("/a", fields)
    };
    let inner = [("X-Forwarded-Host", "inner.example"), ("X-Forwarded-Proto", "https")];
    for (from, fields, text, status_) in [
        ("203.0.113.1", &inner[..], "inner.example", "weir;fwd=uri-miss;stored"),
        ("203.0.113.1", &inner, "inner.example", "weir;hit"),
        ("203.0.113.2", &inner, "any.example", "weir;fwd=uri-miss;stored"),
        ("203.0.113.2", &inner, "any.example", "weir;hit"),
        ("203.0.113.1", &[], "any.example", "weir;hit"),
        ("203.0.113.2", &[], "any.example", "weir;hit"),
    ] {
        let answer = ask(from, fields);
        assert_eq!((answer.text().as_str(), answer.cache_status().as_str()), (text, status_), "{from} {fields:?}");
    }
}

#[test]
fn an_answer_that_was_stored_still_says_who_made_it_and_what_it_passed() {
    let world = World::with(&Said { site: "preserve-server = true\nvia = true", ..Said::default() });
    world.says("/a", &[FRESH, ("Server", "backend"), ("Via", "1.1 inner")], "x");
    for expected in ["weir;fwd=uri-miss;stored", "weir;hit"] {
        let answer = world.get("/a", &[]);
        assert_eq!(answer.cache_status(), expected);
        assert_eq!(answer.field("server"), "backend");
        assert_eq!(answer.fields.all("via"), ["1.1 inner", "1.1 weir"]);
    }
}

#[test]
fn a_session_that_begins_is_stored_for_nobody_whatever_else_is_said() {
    let pool = "sticky = { insert = { name = \"WEIR\" } }";
    for cache in ["", "store-private = true\nset-cookie = \"always\"", "ignore-fields = [\"cache-control\"]"] {
        let world = World::with(&Said { pool, cache, ..Said::default() });
        for (at, field) in [
            ("Weir-Cache-Control", "max-age=60"),
            ("CDN-Cache-Control", "max-age=60"),
            ("Surrogate-Control", "max-age=60"),
            ("X-Accel-Expires", "60"),
            ("Expires", "Thu, 01 Jan 2099 00:00:00 GMT"),
            ("Cache-Control", "public, max-age=60"),
        ]
        .into_iter()
        .enumerate()
        {
            let target = format!("/{at}");
            world.says(&target, &[field], "x");
            for _ in 0..2 {
                let answer = world.get(&target, &[]);
                assert_eq!(answer.cache_status(), "weir;fwd=uri-miss;detail=private", "{field:?} {cache}");
                assert!(answer.field("set-cookie").starts_with("WEIR="), "{answer}");
            }
        }
    }
}

#[test]
fn a_session_that_begins_does_not_undo_what_is_stored() {
    let world = World::with(&Said { pool: "sticky = { insert = { name = \"WEIR\" } }", ..Said::default() });
    let stale = [("Cache-Control", "max-age=9, stale-while-revalidate=600"), ("Age", "60"), ("ETag", "\"a\"")];
    world.says("/a", &stale, "one");
    let cookie = world.get("/a", &[]).field("set-cookie").split(';').next().unwrap_or_default().to_owned();
    assert_eq!(world.get("/a", &[("Cookie", &cookie)]).cache_status(), "weir;fwd=uri-miss;stored");
    world.app.on("/a", behaviour::answers_with(304, &[("ETag", "\"a\"")], ""));
    // The one that comes without a session is answered, and what is stored is confirmed behind its back.
    let new = world.get("/a", &[("Cache-Control", "no-cache")]);
    assert_eq!(
        (new.text().as_str(), new.cache_status().as_str()),
        ("one", "weir;fwd=stale;fwd-status=304;detail=private")
    );
    assert!(new.field("set-cookie").starts_with("WEIR="), "{new}");
    world.app.on("/a", behaviour::answers_with(200, &[FRESH], "two"));
    assert_eq!(world.get("/a", &[]).text(), "one");
    let fresh = eventually("it is refreshed without a session", || {
        Some(world.get("/a", &[])).filter(|answer| answer.text() == "two")
    });
    assert_eq!((fresh.cache_status().as_str(), fresh.fields.get("set-cookie")), ("weir;hit", None));
}

#[test]
fn who_asks_for_itself_alone_makes_nobody_wait_and_nobody_ask() {
    for own in [("Authorization", "Basic x"), ("Cache-Control", "no-store"), ("If-Match", "\"x\"")] {
        let world = World::start();
        let (first, then) = (Gate::closed(), Gate::closed());
        world.app.next(behaviour::waits_for(&first, behaviour::answers_with(200, &[FRESH], "own")));
        world.app.on("/a", behaviour::waits_for(&then, behaviour::answers_with(200, &[FRESH], "for all")));
        let mut one = world.asked("/a", &[own]);
        world.app.await_requests(1);
        let others: Vec<Client> = (0..20).map(|_| world.asked("/a", &[])).collect();
        world.app.await_requests(2);
        first.open();
        assert_eq!(one.response().text(), "own");
        then.open();
        others.into_iter().for_each(|mut client| assert_eq!(client.response().text(), "for all"));
        assert_eq!(world.app.count("/a"), 2, "{own:?}");
    }
}

#[test]
fn who_has_credentials_does_not_take_from_others_what_is_stored() {
    let world = World::start();
    world.says("/a", &[FRESH, ("ETag", "\"a\"")], "one");
    world.get("/a", &[]);
    world.app.on("/a", behaviour::answers_with(304, &[FRESH, ("ETag", "\"a\""), ("X-For", "you")], ""));
    let own = world.get("/a", &[("Authorization", "Basic x"), ("Cache-Control", "no-cache")]);
    assert_eq!((own.text().as_str(), own.cache_status().as_str()), ("one", "weir;fwd=request;fwd-status=304"));
    let after = world.get("/a", &[]);
    assert_eq!((after.text().as_str(), after.cache_status().as_str()), ("one", "weir;hit"));
    assert_eq!(after.fields.get("x-for"), None);
}

#[test]
fn fields_that_are_ignored_are_ignored_in_every_answer() {
    let cache = "ignore-fields = [\"set-cookie\", \"cache-control\"]\ndefault-ttl = \"1h\"";
    let world = World::with(&Said { cache, ..Said::default() });
    let own = [("Set-Cookie", "of=one"), ("Cache-Control", "no-store"), ("ETag", "\"a\"")];
    let seen = |answer: &Response| {
        (answer.fields.has("set-cookie"), answer.fields.has("cache-control"), answer.cache_status())
    };
    world.says("/a", &own, "one");
    assert_eq!(seen(&world.get("/a", &[])), (false, false, "weir;fwd=uri-miss;stored".to_owned()));
    world.app.on("/a", behaviour::answers_with(304, &own, ""));
    let confirmed = world.get("/a", &[("Cache-Control", "no-cache")]);
    assert_eq!(seen(&confirmed), (false, false, "weir;fwd=request;fwd-status=304;stored".to_owned()));
    assert_eq!(seen(&world.get("/a", &[])), (false, false, "weir;hit".to_owned()));
    let part = |range: &'static str| [&own[..], &[("Content-Range", range)]].concat();
    world.app.on("/b", behaviour::answers_with(206, &part("bytes 0-3/8"), "0123"));
    world.get("/b", &[("Range", "bytes=0-3")]);
    world.app.on("/b", behaviour::answers_with(206, &part("bytes 4-7/8"), "4567"));
    assert_eq!(world.get("/b", &[]).expect(200).text(), "01234567");
    assert_eq!(seen(&world.get("/b", &[])), (false, false, "weir;hit".to_owned()));
}

#[test]
fn parameters_that_count_cannot_be_written_so_that_they_do_not() {
    let world = World::with(&Said { cache: "key = { query = [\"a\"], session-ids = [\"sid\"] }", ..Said::default() });
    world.app.otherwise(tells(":target"));
    for written in ["/x?%61=evil", "/x?b=1;a=evil", "/x?+a=evil", "/x;sid=1;admin=evil"] {
        assert_eq!(world.get(written, &[]).text(), written);
        assert_ne!(world.get("/x", &[]).text(), written);
    }
    assert_eq!(world.get("/x;sid=1?b=2&sid=3", &[]).text(), "/x");
}

#[test]
fn a_part_that_is_cut_short_is_not_the_whole() {
    let world = World::start();
    world.app.on(
        "/a",
        behaviour::says(
            "HTTP/1.1 206 Partial Content\r\nCache-Control: max-age=60\r\nETag: \"a\"\r\nContent-Range: bytes 0-99/100\r\n\
             Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
    );
    world.get("/a", &[("Range", "bytes=0-")]).expect(206);
    let whole = "x".repeat(100);
    world.says("/a", &[FRESH], &whole);
    assert_eq!(world.get("/a", &[]).text(), whole);
}

#[test]
fn what_says_how_long_an_answer_lives_is_kept_whoever_names_it() {
    let world = World::start();
    let old = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT");
    for (at, fields) in [
        &[("Cache-Control", "no-cache=\"cache-control\", must-revalidate, max-age=0"), old][..],
        &[("Cache-Control", "private=\"age\", max-age=10"), ("Age", "100"), old],
        &[("Cache-Control", "private=\"expires\""), ("Expires", "Mon, 01 Jan 2024 00:00:00 GMT"), old],
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{at}");
        world.says(&target, fields, "x");
        world.get(&target, &[]);
        assert_eq!(world.get(&target, &[]).cache_status(), "weir;fwd=stale;stored", "{fields:?}");
    }
}

#[test]
fn an_upstream_that_says_nothing_has_said_no_status() {
    let world = World::start();
    world.says("/a", &[("Cache-Control", "max-age=9"), ("Age", "60"), ("ETag", "\"a\"")], "x");
    world.get("/a", &[]);
    world.app.on("/a", behaviour::answers_with(503, &[], ""));
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;fwd=stale;fwd-status=503");
    world.app.stop();
    assert_eq!(world.get("/a", &[]).expect(200).cache_status(), "weir;fwd=stale");
}

#[test]
fn a_cookie_that_comes_with_no_lifetime_is_for_who_was_given_it() {
    let world = World::start();
    for (at, stated) in [
        ("Cache-Control", "public, max-age=0, must-revalidate"),
        ("Cache-Control", "s-maxage=0, max-age=60"),
        ("Cache-Control", "no-cache"),
        ("Expires", "0"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{at}");
        world.says(&target, &[stated, ("ETag", "\"a\""), ("Set-Cookie", "session=one")], "x");
        assert_eq!(world.get(&target, &[]).cache_status(), "weir;fwd=uri-miss;detail=set-cookie", "{stated:?}");
        world.app.on(&target, behaviour::answers_with(200, &[stated, ("ETag", "\"a\"")], "x"));
        assert_eq!(world.get(&target, &[]).fields.get("set-cookie"), None);
    }
}

#[test]
fn hosts_that_are_one_to_the_key_are_not_to_an_answer_that_varies_by_them() {
    let world = World::with(&Said { cache: "key = { host = false }", ..Said::default() });
    world.says("/one", &[FRESH], "x");
    world.says("/by-host", &[FRESH, ("Vary", "Host")], "x");
    for (target, expected) in [("/one", "weir;hit"), ("/by-host", "weir;fwd=uri-miss;detail=vary")] {
        world.get(target, &[("Host", "a.example")]);
        assert_eq!(world.get(target, &[("Host", "b.example")]).cache_status(), expected);
    }
}

#[test]
fn what_was_asked_for_before_a_purge_is_not_stored_after_it() {
    for own in [("If-None-Match", "\"x\""), ("Cache-Control", "no-cache"), ("Authorization", "Basic x")] {
        let world = World::with(&Said { cache: "purge = [\"127.0.0.1\"]", ..Said::default() });
        let gate = Gate::closed();
        let fresh = [("Cache-Control", "public, max-age=3600")];
        world.app.next(behaviour::waits_for(&gate, behaviour::answers_with(200, &fresh, "old")));
        world.says("/a", &fresh, "new");
        let mut one = world.asked("/a", &[own]);
        world.app.await_requests(1);
        world.gateway.client().request("PURGE", "/a", &[], b"").expect(200);
        gate.open();
        assert_eq!(one.response().text(), "old");
        assert_eq!(world.get("/a", &[]).text(), "new", "{own:?}");
    }
}

#[test]
fn what_was_made_for_one_client_is_for_no_other_whatever_its_tag_says() {
    for name in ["Cookie", "Authorization"] {
        let world = World::start();
        world.app.otherwise(behaviour::does(move |exchange| {
            let who = exchange.request.fields.get(name).unwrap_or_default();
            let fields = [("Cache-Control", "public, max-age=3600"), ("Vary", name), ("ETag", "\"version 1\"")];
            let is_known = exchange.request.fields.has("if-none-match");
            let length = who.len().to_string();
            match is_known {
                true => exchange.write_head(304, &fields)?,
                false => exchange.write_head(200, &[&fields[..], &[("Content-Length", &length)]].concat())?,
            }
            exchange.write(if is_known { String::new() } else { who })?;
            Ok(Then::Keep)
        }));
        for who in ["alice", "bob", "alice", "bob"] {
            assert_eq!(world.get("/a", &[(name, who)]).text(), who);
        }
        assert_eq!(world.app.count("/a"), 2);
    }
}
