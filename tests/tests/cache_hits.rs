//! Hits in memory: the short way to them says and gives what the long one does, behind every door.

use weir_tests::{Ask, Authority, Config, Door, Gateway, Origin, Response, Visitor, behaviour};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[listener.secure]
bind = "127.0.0.1:0"
protocols = ["h1", "h2", "h3"]
tls.certificate = { chain = "web.pem", key = "web.key" }
[pool.app]
member = ["{app}"]
[cache.pages]
{cache}
[site.all]
route = [{ pool = "app", cache = "pages", cache-bypass = { query = [{ name = "past", present = true }] } }]
"#;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");

struct World {
    gateway: Gateway,
    app: Origin,
    authority: Authority,
}

impl World {
    fn with(cache: &str) -> World {
        let (app, authority) = (Origin::start(), Authority::found());
        let config = Config::text(CONFIG).fill("cache", cache).fill("app", &app.url());
        let config = config.identity("web", &authority.certify("any.example"));
        World { gateway: Gateway::start(&config.access_log(LOG)), app, authority }
    }

    fn says(&self, fields: &[(&str, &str)], body: &str) {
        self.app.on("/a", behaviour::answers_with(200, fields, body));
    }

    #[track_caller]
    fn get(&self, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().ask("/a", fields)
    }

    fn doors(&self) -> Vec<Door> {
        let (web, secure) = (self.gateway.addr("web"), self.gateway.addr("secure"));
        Door::every(&web, &secure, &Visitor::trusting(&self.authority))
    }
}

const LOG: &str = "${request.path} ${response.status} ${response.bytes} ${variable.cache.status}";

fn lines<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    let of = response.fields.0.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
    of.map(|(_, value)| value.as_str()).collect()
}

#[test]
fn what_is_large_is_whole_and_in_parts_behind_every_door() {
    // Below and above what the kernel sends from memory, and in more than one piece of what it sends at once.
    for length in [40_000, 100_000, 2_500_000] {
        let world = World::with("key = { scheme = false }");
        let body: String = (0..length / 10).map(|number| format!("{number:09},")).collect();
        world.says(&[FRESH, ("ETag", "\"one\""), ("Content-Type", "text/plain")], &body);
        let first = world.doors()[0].ask(&Ask::get("/a"));
        assert!(first.expect(200).text() == body && first.cache_status() == "weir;fwd=uri-miss;stored");
        for door in world.doors() {
            let whole = door.ask(&Ask::get("/a"));
            assert!(whole.expect(200).text() == body, "{:?} {length}", door.version);
            assert_eq!(
                (whole.cache_status().as_str(), whole.field("content-length")),
                ("weir;hit", length.to_string())
            );
            for (from, to) in [(0, 0), (5, 39_999), (length - 30_000, length - 1)] {
                let part = door.ask(&Ask::get("/a").field("range", &format!("bytes={from}-{to}")));
                assert!(part.expect(206).text() == body[from..=to], "{:?} {length} {from} {to}", door.version);
                assert_eq!(part.field("content-range"), format!("bytes {from}-{to}/{length}"));
            }
            let parts = door.ask(&Ask::get("/a").field("range", &format!("bytes=1-2,-{}", length - 3)));
            assert!(parts.expect(206).text().contains(&body[3..]), "{:?} {length}", door.version);
            let head = door.ask(&Ask::method("HEAD", "/a"));
            assert_eq!((head.expect(200).field("content-length"), head.text()), (length.to_string(), String::new()));
            let same = door.ask(&Ask::get("/a").field("if-none-match", "\"one\""));
            assert_eq!((same.expect(304).text(), same.cache_status().as_str()), (String::new(), "weir;hit"));
        }
        assert_eq!(world.app.count("/a"), 1);
        let lines = world.gateway.access_lines(1 + 5 * 7);
        assert!(lines.iter().filter(|line| **line == format!("/a 200 {length} hit")).count() == 5, "{lines:?}");
    }
}

#[test]
fn what_varies_by_what_the_gateway_says_is_found_again() {
    let world = World::with("");
    world.says(&[FRESH, ("Vary", "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host")], "for all of these");
    assert_eq!(world.get(&[]).cache_status(), "weir;fwd=uri-miss;stored");
    for claims in [&[][..], &[("X-Forwarded-For", "9.9.9.9")], &[("X-Forwarded-Proto", "https")]] {
        assert_eq!(world.get(claims).cache_status(), "weir;hit", "{claims:?}");
    }
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn a_key_of_what_the_gateway_says_is_the_same_for_hits() {
    let world = World::with("key = { fields = [\"X-Forwarded-Port\", \"X-Tier\"] }");
    world.says(&[FRESH], "it");
    for (tier, expected) in [("a", "weir;fwd=uri-miss;stored"), ("a", "weir;hit"), ("b", "weir;fwd=uri-miss;stored")] {
        assert_eq!(world.get(&[("X-Tier", tier), ("X-Forwarded-Port", "1")]).cache_status(), expected);
    }
    assert_eq!(world.app.count("/a"), 2);
}

#[test]
fn hits_say_once_what_was_done_or_nothing_of_it() {
    for (cache, theirs, expected) in [
        ("", None, vec!["weir;hit"]),
        ("", Some("theirs;hit"), vec!["theirs;hit", "weir;hit"]),
        ("cache-status = false", None, vec![]),
        ("cache-status = false", Some("theirs;hit"), vec!["theirs;hit"]),
    ] {
        let world = World::with(cache);
        let mut fields = vec![FRESH, ("Server", "theirs"), ("Surrogate-Control", "max-age=60")];
        fields.extend(theirs.map(|theirs| ("Cache-Status", theirs)));
        world.says(&fields, "it");
        world.get(&[]);
        for _ in 0..2 {
            let hit = world.get(&[]);
            let said = lines(&hit, "cache-status");
            let said: Vec<_> = said.iter().map(|line| line.split(";ttl=").next().unwrap_or_default()).collect();
            assert_eq!(said, expected, "{cache} {theirs:?}");
            assert_eq!((lines(&hit, "server"), lines(&hit, "age").len()), (vec!["weir"], 1));
            assert_eq!(lines(&hit, "surrogate-control"), [""; 0]);
        }
        assert_eq!(world.app.count("/a"), 1);
    }
}

#[test]
fn who_goes_past_the_cache_or_brings_a_body_takes_the_long_way() {
    let world = World::with("");
    world.says(&[FRESH], "it");
    assert_eq!(world.get(&[]).cache_status(), "weir;fwd=uri-miss;stored");
    let past = world.gateway.client().ask("/a?past", &[]);
    assert_eq!((past.text().as_str(), past.cache_status().as_str()), ("it", "weir;fwd=bypass"));
    let brings = world.gateway.client().request("GET", "/a", &[], b"a body");
    assert_eq!(brings.cache_status(), "weir;fwd=bypass");
    for asks in ["no-cache", "max-age=0"] {
        let asked = world.get(&[("Cache-Control", asks)]);
        assert!(asked.cache_status().starts_with("weir;fwd=request"), "{asks}: {}", asked.cache_status());
    }
    assert_eq!(world.get(&[]).cache_status(), "weir;hit");
}
