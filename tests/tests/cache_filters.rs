//! What filters say to a cache and what they see of it, with real components: a route's filters stand before the cache, a
//! pool's behind it.

use std::time::Duration;

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{Client, Config, Gate, Gateway, Origin, Response, Signal, behaviour, eventually, filter_file, stays};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[access-log]
path = "access.log"
format = '${request.method} ${request.path} ${response.status} ${variable.cache.status}'
[pool.app]
member = ["{app}"]
filters = [{pool-chain}]
[cache.pages]
purge = ["127.0.0.1"]
{cache}
{filters}
[site.all]
route = [
  { pool = "app", cache = "pages", filters = [{route-chain}] },
]
"#;

/// A filter by its name, and the lines of its table.
type Filter<'a> = (&'a str, String);

/// A gateway with a cache between filters, and the upstream behind them.
struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    fn with(cache: &str, route: &[Filter<'_>], pool: &[Filter<'_>]) -> World {
        let app = Origin::start();
        World { gateway: Gateway::start(&config(&app, cache, route, pool)), app }
    }

    #[track_caller]
    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().ask(target, fields)
    }

    #[track_caller]
    fn does(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        self.gateway.client().request(method, target, fields, b"")
    }

    /// So many clients, each of which has asked for `/a`.
    fn asking(&self, count: usize) -> Vec<Client> {
        let mut clients: Vec<Client> = (0..count).map(|_| self.gateway.client()).collect();
        for client in &mut clients {
            client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n");
        }
        clients
    }

    fn says(&self, target: &str, fields: &[(&str, &str)], body: &str) {
        self.app.on(target, behaviour::answers_with(200, fields, body));
    }

    /// What was said to the cache and not listened to: so many lines of the log, which comes when it comes.
    #[track_caller]
    fn in_vain(&self, count: usize) -> Vec<String> {
        let told = || self.gateway.log().into_iter().filter(|line| line.contains("said to the cache in vain"));
        eventually(&format!("the log has {count} of them"), || (told().count() >= count).then(|| told().collect()))
    }
}

fn config(app: &Origin, cache: &str, route: &[Filter<'_>], pool: &[Filter<'_>]) -> Config {
    let names = |chain: &[Filter<'_>]| {
        let names: Vec<String> = chain.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        names.join(", ")
    };
    let tables: Vec<String> =
        route.iter().chain(pool).map(|(name, lines)| format!("[filter.{name}]\n{lines}")).collect();
    Config::text(CONFIG)
        .fill("cache", cache)
        .fill("route-chain", &names(route))
        .fill("pool-chain", &names(pool))
        .fill("filters", &tables.join("\n"))
        .fill("app", &app.url())
}

fn file(name: &str, lines: &str) -> String {
    format!("module = \"{}\"\n{lines}", filter_file(name).display())
}

/// `std:header-rules` with these rules.
fn rules(request: &str, response: &str) -> String {
    format!("module = \"std:header-rules\"\nsettings = {{ request = [{request}], response = [{response}] }}")
}

fn set(name: &str, value: &str) -> String {
    format!("{{ action = \"set\", name = \"{name}\", value = \"{value}\" }},")
}

fn says(name: &str, value: &str) -> String {
    format!("{{ action = \"set-variable\", name = \"{name}\", value = \"{value}\" }},")
}

/// Says a word in which a field of the request stands, where there is one.
fn says_of_request(name: &str, field: &str) -> String {
    format!(
        "{{ action = \"set-variable\", name = \"{name}\", value = \"${{request.header.{field}}}\", \
         when = {{ request-header = [{{ name = \"{field}\" }}] }} }},"
    )
}

/// Seconds of freshness, as `Cache-Status` has them.
fn ttl(response: &Response) -> i64 {
    let status = response.field("cache-status");
    status.split(';').find_map(|part| part.strip_prefix("ttl=")?.parse().ok()).expect("it says how long")
}

/// Answers with what a field of the request says.
fn repeats(field: &'static str) -> Behaviour {
    behaviour::does(move |exchange| {
        exchange.read_body()?;
        let said = exchange.request.fields.get(field).unwrap_or_default();
        exchange.write_head(200, &[FRESH, ("Content-Length", &said.len().to_string())])?;
        exchange.write(said)?;
        Ok(Then::Keep)
    })
}

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");
/// Stale when it comes, and can be validated.
const STALE: [(&str, &str); 3] = [("Cache-Control", "max-age=60"), ("Age", "100"), ("ETag", "\"one\"")];

const STORED: &str = "weir;fwd=uri-miss;stored";
const HIT: &str = "weir;hit";

fn audience(settings: &str) -> String {
    file("audience", &format!("settings = {{ {settings} }}"))
}

#[test]
fn a_filters_part_of_the_key_makes_objects_of_their_own() {
    let world = World::with("", &[("devices", audience("session = \"sid\""))], &[]);
    let (phone, desk) = (("Sec-CH-UA-Mobile", "?1"), ("Sec-CH-UA-Mobile", "?0"));
    for (fields, body, expected) in [
        (&[phone][..], "for phones", STORED),
        (&[desk], "for desks", STORED),
        (&[("User-Agent", "x Mobile y")], "for phones", HIT),
        (&[("User-Agent", "another")], "for desks", HIT),
        (&[], "for desks", HIT),
        (&[phone, ("User-Agent", "another")], "for phones", HIT),
    ] {
        world.says("/a", &[FRESH], body);
        let answer = world.get("/a", fields);
        assert_eq!((answer.cache_status().as_str(), answer.text().as_str()), (expected, body), "{fields:?}");
    }
    assert_eq!(world.app.count("/a"), 2);
    // All of a URL is forgotten together.
    for forgets in [("POST", None), ("PURGE", Some("2\n"))] {
        let answer = world.does(forgets.0, "/a", &[]);
        assert!(forgets.1.is_none_or(|text| answer.text() == text), "{answer}");
        for fields in [[phone], [desk]] {
            assert_eq!(world.get("/a", &fields).cache_status(), STORED, "{forgets:?}");
        }
    }
}

#[test]
fn variables_that_the_config_lists_are_parts_too() {
    let tier = rules(&says_of_request("shop.tier", "x-tier"), "");
    let world = World::with("key = { variables = [\"shop.tier\"] }", &[("tier", tier)], &[]);
    world.app.otherwise(repeats("x-tier"));
    for (fields, expected) in
        [(&[("X-Tier", "gold")][..], STORED), (&[], STORED), (&[("X-Tier", "gold")], HIT), (&[], HIT)]
    {
        let answer = world.get("/a", fields);
        assert_eq!(answer.cache_status(), expected);
        assert_eq!(answer.text(), fields.first().map_or("", |(_, tier)| tier));
    }
}

#[test]
fn no_value_of_a_part_is_taken_for_another_one() {
    let parts = [says_of_request("cache.key.a", "x-a"), says_of_request("cache.key.b", "x-b")].concat();
    let world = World::with("", &[("parts", rules(&parts, ""))], &[]);
    world.app.otherwise(behaviour::does(|exchange| {
        exchange.read_body()?;
        let said = |name| exchange.request.fields.get(name);
        let text = format!("{:?} {:?}", said("x-a"), said("x-b"));
        exchange.write_head(200, &[FRESH, ("Content-Length", &text.len().to_string())])?;
        exchange.write(text)?;
        Ok(Then::Keep)
    }));
    let long = "x".repeat(4000);
    let (long_a, long_b) = (format!("{long}a"), format!("{long}b"));
    let all = [
        &[][..],
        &[("X-A", "1")],
        &[("X-B", "1")],
        &[("X-A", "1"), ("X-B", "2")],
        &[("X-A", "1 part:cache.key.b=2")],
        &[("X-A", "1%20part:cache.key.b=2")],
        &[("X-A", "1\tpart:cache.key.b=2")],
        &[("X-A", "1,2")],
        &[("X-A", "")],
        &[("X-A", "é")],
        &[("X-A", "%C3%A9")],
        &[("X-A", &long_a)],
        &[("X-A", &long_b)],
        &[("X-B", &long_a)],
    ];
    let expected: Vec<String> = all.iter().map(|fields| world.get("/a", fields).text()).collect();
    assert_eq!(world.app.count("/a"), all.len());
    for (fields, expected) in all.iter().zip(&expected) {
        let answer = world.get("/a", fields);
        assert_eq!((answer.cache_status().as_str(), &answer.text()), (HIT, expected), "{fields:?}");
    }
    // A variable has its bounds, whatever it is for: that verdict is refused, and nobody else notices.
    world.get("/a", &[("X-A", &"x".repeat(5000))]).expect(503);
    assert_eq!(world.get("/a", &[]).cache_status(), HIT);
}

#[test]
fn a_filter_sends_requests_past_the_cache() {
    let world = World::with("", &[("devices", audience("session = \"sid\""))], &[]);
    world.says("/a", &[FRESH], "for all");
    assert_eq!(world.get("/a", &[]).cache_status(), STORED);
    world.says("/a", &[FRESH], "for one");
    for _ in 0..2 {
        let own = world.get("/a", &[("Cookie", "sid=1")]);
        assert_eq!((own.cache_status().as_str(), own.text().as_str()), ("weir;fwd=bypass", "for one"));
    }
    assert_eq!(world.get("/a", &[]).text(), "for all");
    world.get("/b", &[("Cookie", "sid=1")]);
    assert_eq!(world.get("/b", &[]).cache_status(), "weir;fwd=uri-miss;detail=expired");
    let lines = world.gateway.access_lines(6);
    assert_eq!(&lines[..3], ["GET /a 200 miss", "GET /a 200 bypass", "GET /a 200 bypass"]);
}

#[test]
fn a_filter_says_how_long_and_not_whether() {
    let word = rules("", &says_of_request("cache.ttl", "x-ttl"));
    let world = World::with("", &[], &[("word", word)]);
    const NEVER: &str = "weir;fwd=uri-miss;detail=";
    let modified = ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT");
    for (at, (said, fields, expected, seconds)) in [
        ("60", &[][..], STORED, Some(60)),
        ("60", &[FRESH], STORED, Some(60)),
        ("60", &[("Expires", "0")], STORED, Some(60)),
        // It is meant from when the answer came, however old that was.
        ("60", &[FRESH, ("Age", "1000")], STORED, Some(60)),
        ("60", &[("CDN-Cache-Control", "max-age=5"), ("Surrogate-Control", "max-age=7")], STORED, Some(60)),
        ("99999999999999999999999", &[], STORED, Some(1 << 31)),
        ("60", &[("Cache-Control", "private, max-age=9")], "private", None),
        ("60", &[("Cache-Control", "no-store")], "no-store", None),
        ("60", &[("Set-Cookie", "sid=1")], "set-cookie", None),
        ("60", &[("Set-Cookie", "lang=de"), FRESH], STORED, Some(60)),
        ("60", &[("X-Accel-Expires", "0")], "no-store", None),
        ("60", &[("X-Accel-Expires", "5")], STORED, Some(60)),
        ("60", &[("Vary", "*")], "vary", None),
        ("0", &[FRESH], "filter", None),
        ("0", &[FRESH, modified], "filter", None),
        ("soon", &[FRESH], STORED, Some(3600)),
        ("-1", &[FRESH], STORED, Some(3600)),
        ("1.5", &[], "expired", None),
        ("\u{e9}", &[FRESH], STORED, Some(3600)),
        // Nobody else has that field.
        ("", &[FRESH, ("Weir-Ruled", "9")], STORED, Some(3600)),
    ]
    .into_iter()
    .enumerate()
    {
        let target = format!("/{at}");
        world.says(&target, fields, "x");
        let own = if said.is_empty() { vec![] } else { vec![("X-TTL", said)] };
        let answer = world.get(&target, &own);
        let expected = if expected == STORED { STORED.to_owned() } else { format!("{NEVER}{expected}") };
        assert_eq!(answer.expect(200).cache_status(), expected, "{said} {fields:?}");
        assert_eq!(answer.fields.get("weir-ruled"), None);
        if let Some(seconds) = seconds {
            let hit = world.get(&target, &[]);
            assert_eq!((hit.cache_status().as_str(), hit.fields.get("weir-ruled")), (HIT, None), "{said} {fields:?}");
            assert!((seconds - 5..=seconds).contains(&ttl(&hit)), "{said} {fields:?}: {hit}");
        }
    }
    let told = world.in_vain(4);
    assert_eq!(told.len(), 4, "{told:#?}");
    assert!(told[0].contains("cache.ttl") && told[0].contains("soon") && told[0].contains("WARN"), "{told:#?}");
}

#[test]
fn operators_bounds_hold_for_filters_and_fields_that_count_elsewhere_do_not_matter() {
    let word = rules("", &says("cache.ttl", "60"));
    for (cache, seconds) in [("max-ttl = \"10s\"", 10), ("min-ttl = \"100s\"", 100), ("targeted = []", 60)] {
        let world = World::with(cache, &[], &[("word", word.clone())]);
        world.says("/a", &[FRESH], "x");
        let answer = world.get("/a", &[]);
        assert!((seconds - 5..=seconds).contains(&ttl(&answer)), "{cache}: {answer}");
    }
}

#[test]
fn words_are_kept_with_what_lies_on_a_disk() {
    let words = rules("", &[says("cache.ttl", "60"), says("cache.tags", "page")].concat());
    let disk = "memory = \"off\"\ndisk = { path = \"{place}/shelf\", size = \"16MiB\" }";
    let world = World::with(disk, &[], &[("words", words)]);
    world.says("/a", &[FRESH, ("Age", "3000")], "x");
    world.get("/a", &[]);
    let hit = eventually("it is a file", || Some(world.get("/a", &[])).filter(|answer| answer.cache_status() == HIT));
    assert!((30..=60).contains(&ttl(&hit)) && hit.fields.get("weir-ruled").is_none(), "{hit}");
    assert_ne!(world.does("PURGE", "/", &[("Weir-Purge", "tag=page")]).text(), "0\n");
}

#[test]
fn words_of_a_routes_filters_hold_for_what_is_fetched() {
    let word = rules(&[says("cache.ttl", "60"), says("cache.tags", "page")].concat(), "");
    let world = World::with("", &[("word", word)], &[]);
    let answer = world.get("/a", &[]);
    assert!(answer.cache_status() == STORED && ttl(&answer) <= 60, "{answer}");
    assert_eq!(world.does("PURGE", "/", &[("Weir-Purge", "tag=page")]).text(), "1\n");
}

#[test]
fn the_last_word_holds_and_zero_forgets_what_was_stored() {
    let word = rules("", &says_of_request("cache.ttl", "x-ttl"));
    let world = World::with("", &[("first", rules(&says("cache.ttl", "5"), ""))], &[("word", word)]);
    world.says("/a", &STALE, "one");
    let first = world.get("/a", &[("X-TTL", "60")]);
    assert!(ttl(&first) > 5 && first.cache_status() == STORED, "{first}");
    let hit = world.get("/a", &[]);
    assert!(hit.cache_status() == HIT && ttl(&hit) > 5, "{hit}");
    // What is confirmed gets the lifetime of the confirmation.
    let again = ("Cache-Control", "no-cache");
    world.app.on("/a", behaviour::answers_with(304, &[("ETag", "\"one\"")], ""));
    let confirmed = world.get("/a", &[again, ("X-TTL", "1000")]);
    assert_eq!(confirmed.expect(200).text(), "one");
    assert!(ttl(&confirmed) > 60 && confirmed.cache_status().ends_with(";stored"), "{confirmed}");
    assert!(ttl(&world.get("/a", &[])) > 60);
    let last = world.get("/a", &[again, ("X-TTL", "0")]);
    assert_eq!((last.expect(200).text().as_str(), last.fields.get("etag").as_deref()), ("one", Some("\"one\"")));
    assert!(last.cache_status().ends_with(";fwd-status=304;detail=filter"), "{last}");
    world.says("/a", &[FRESH], "two");
    let anew = world.get("/a", &[("X-TTL", "60")]);
    assert_eq!((anew.cache_status().as_str(), anew.text().as_str()), (STORED, "two"));
}

#[test]
fn a_pools_filter_says_that_an_answer_is_not_to_be_stored() {
    let word = rules("", &says_of_request("cache.bypass", "x-bypass"));
    let world = World::with("", &[], &[("word", word)]);
    world.says("/a", &[FRESH], "x");
    for (said, expected) in [
        ("1", "weir;fwd=uri-miss;detail=filter"),
        ("true", "weir;fwd=uri-miss;detail=filter"),
        ("perhaps", "weir;fwd=uri-miss;detail=filter"),
        ("0", STORED),
    ] {
        assert_eq!(world.get("/a", &[("X-Bypass", said)]).cache_status(), expected, "{said}");
    }
    let told = world.in_vain(1);
    assert!(told.len() == 1 && told[0].contains("perhaps"), "{told:#?}");
}

#[test]
fn what_has_a_filters_tag_is_forgotten_by_it() {
    let word = rules("", &says_of_request("cache.tags", "x-tags"));
    let world = World::with("", &[], &[("word", word)]);
    // Short ones, since a variable's value is.
    let many: Vec<String> = ('0'..='Z').flat_map(|one| ('a'..='z').map(move |other| format!("{one}{other}"))).collect();
    assert!(many.len() > 1024);
    let (many, longest) = (many.join(","), "l".repeat(1024));
    for (target, tags) in [
        ("/a", "news, front page"),
        ("/b", "news"),
        ("/many", &*many),
        ("/odd", "\u{e9},\t,fine"),
        ("/long", &*longest),
    ] {
        world.says(target, &[FRESH, ("Surrogate-Key", "own")], "x");
        assert_eq!(world.get(target, &[("X-Tags", tags)]).cache_status(), STORED, "{target}");
    }
    let is_stored = |target: &str| world.get(target, &[("Cache-Control", "only-if-cached")]).status == 200;
    let purge = |tag: &str| world.does("PURGE", "/", &[("Weir-Purge", &format!("tag={tag}"))]).text();
    assert_eq!(purge("front page"), "1\n");
    assert!(!is_stored("/a") && is_stored("/b"));
    assert_eq!((purge("news").as_str(), purge("news").as_str()), ("1\n", "0\n"));
    assert_eq!((purge("fine").as_str(), purge(&longest).as_str()), ("1\n", "1\n"));
    assert!(is_stored("/many"));
    assert_eq!(purge("own"), "1\n", "a filter's tags stand beside those of the answer");
    let told = world.in_vain(2);
    assert_eq!(told.len(), 2, "{told:#?}");
    assert!(told.iter().all(|line| line.contains("cache.tags") && line.len() < 1000));
}

#[test]
fn tags_are_those_of_the_last_confirmation() {
    let world = World::with("", &[], &[("word", rules("", &says_of_request("cache.tags", "x-tags")))]);
    let purge = |tag: &str| world.does("PURGE", "/", &[("Weir-Purge", &format!("tag={tag}"))]).text();
    world.says("/a", &STALE, "one");
    world.get("/a", &[("X-Tags", "old")]);
    world.app.on("/a", behaviour::answers_with(304, &[("ETag", "\"one\"")], ""));
    let again = ("Cache-Control", "no-cache");
    for tags in ["young", "youngest"] {
        assert_eq!(world.get("/a", &[again, ("X-Tags", tags)]).text(), "one");
    }
    // Who says nothing of tags takes none off.
    world.get("/a", &[again]);
    assert_eq!((purge("young").as_str(), purge("youngest").as_str()), ("0\n", "1\n"));
    world.says("/a", &STALE, "one");
    world.get("/a", &[("X-Tags", "old")]);
    world.app.on("/a", behaviour::answers_with(304, &[("ETag", "\"one\"")], ""));
    world.get("/a", &[again, ("X-Tags", "young")]);
    assert_eq!((purge("old").as_str(), purge("young").as_str()), ("0\n", "1\n"));
}

#[test]
fn words_that_nobody_hears_are_told_to_the_operator() {
    // As a filter of one's own might say them: the standard one refuses what it can see is wrong.
    let hostile = |word: &str, value: &str, hook: &str| {
        file("hostile", &format!("settings = {{ do = \"say {word} {value}\", hook = \"{hook}\" }}"))
    };
    for (word, value, side, hook, expected) in [
        ("cache.tll", "60", "route", "request", "no such word"),
        ("cache.tll", "60", "pool", "response", "no such word"),
        ("cache.bypass", "maybe", "route", "request", "taken for 1"),
        ("cache.key.device", "phone", "pool", "request", "too late"),
        ("cache.ttl", "60", "route", "response", "too late"),
        ("cache.ttl", "", "pool", "response", "not a number"),
        ("cache.tags", "\\u0000\\n\\u001b[31m", "pool", "response", "1 of them"),
    ] {
        let filter = [("odd", hostile(word, value, hook))];
        let (route, pool) = if side == "route" { (&filter[..], &[][..]) } else { (&[][..], &filter[..]) };
        let world = World::with("", route, pool);
        world.says("/a", &[FRESH], "x");
        world.get("/a", &[]).expect(200);
        let told = world.in_vain(1);
        assert!(told.len() == 1 && told[0].contains(word) && told[0].contains(expected), "{word} {side}: {told:#?}");
        assert!(!told[0].contains('\u{1b}'), "{told:#?}");
    }
}

#[test]
fn access_rules_of_a_route_hold_for_what_is_stored() {
    let guard = "module = \"std:url-rewrite\"\nsettings = { rule = [{ match = \"\", answer = \"forbidden\", \
                 when = { header = [{ name = \"x-badge\", not = true }] } }] }";
    let world = World::with("", &[("guard", guard.to_owned())], &[]);
    world.says("/a", &[FRESH, ("ETag", "\"one\"")], "secret");
    let badge = ("X-Badge", "1");
    assert_eq!(world.get("/a", &[badge]).cache_status(), STORED);
    for (method, fields) in [
        ("GET", &[][..]),
        ("HEAD", &[]),
        ("PURGE", &[]),
        ("GET", &[("If-None-Match", "\"one\"")]),
        ("GET", &[("Range", "bytes=0-1")]),
        ("GET", &[("Cache-Control", "only-if-cached")]),
    ] {
        let answer = world.does(method, "/a", fields);
        assert_eq!((answer.status, answer.fields.get("cache-status")), (403, None), "{method} {fields:?}");
    }
    assert_eq!(world.get("/a", &[badge]).text(), "secret");
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn a_routes_filters_see_every_answer_and_a_pools_one() {
    let stamp = |name: &str, more: &str| rules("", &[&*set(name, "${request.id}"), more].concat());
    let hidden = "{ action = \"remove\", name = \"X-Secret\" },";
    let world = World::with(
        "",
        &[("outer", stamp("X-Outer", &set("X-Did", "${cache.status}")))],
        &[("inner", stamp("X-Inner", hidden))],
    );
    world.says("/a", &[FRESH, ("ETag", "\"one\""), ("X-Secret", "s")], "0123456789");
    let first = world.get("/a", &[]);
    assert_eq!((first.cache_status().as_str(), first.field("x-did").as_str()), (STORED, "miss"));
    let mut seen = vec![first.field("x-outer")];
    for (method, fields, expected) in [
        ("GET", &[][..], 200),
        ("HEAD", &[], 200),
        ("GET", &[("If-None-Match", "\"one\"")], 304),
        ("GET", &[("Range", "bytes=2-4")], 206),
        ("GET", &[("Range", "bytes=20-")], 416),
        ("GET", &[("Cache-Control", "only-if-cached")], 200),
    ] {
        let answer = world.does(method, "/a", fields);
        assert_eq!((answer.status, answer.cache_status().as_str()), (expected, HIT), "{method} {fields:?}");
        assert_eq!(answer.field("x-did"), "hit");
        assert_eq!(answer.field("x-inner"), first.field("x-inner"), "{method} {fields:?}");
        assert_eq!(answer.fields.get("x-secret"), None);
        assert_eq!(answer.fields.all("x-outer").len(), 1, "it is not stored");
        seen.push(answer.field("x-outer"));
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7, "each has its own");
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn what_a_pools_filter_takes_off_never_comes_back() {
    let hides = rules("", "{ action = \"remove\", name = \"X-Secret\" }");
    let world = World::with("", &[], &[("hides", hides)]);
    let fields = [STALE[0], STALE[1], STALE[2], ("X-Secret", "s")];
    world.says("/a", &fields, "one");
    assert_eq!(world.get("/a", &[]).fields.get("x-secret"), None);
    world.app.on("/a", behaviour::answers_with(304, &[FRESH, ("ETag", "\"one\""), ("X-Secret", "s")], ""));
    let confirmed = world.get("/a", &[]);
    assert_eq!(
        (confirmed.cache_status().as_str(), confirmed.fields.get("x-secret")),
        ("weir;fwd=stale;fwd-status=304;stored", None)
    );
    let hit = world.get("/a", &[]);
    assert_eq!((hit.cache_status().as_str(), hit.fields.get("x-secret")), (HIT, None));
}

#[test]
fn what_the_cache_did_is_known_to_filters_and_the_log() {
    let world = World::with(
        "stale-while-revalidate = \"0s\"\nstale-if-error = \"1h\"",
        &[("devices", audience("session = \"sid\"")), ("tells", rules("", &set("X-Did", "${cache.status}")))],
        &[],
    );
    world.says("/a", &STALE, "one");
    let mut did = vec![world.get("/a", &[]).field("x-did")];
    world.app.on("/a", behaviour::answers(503, "broken"));
    did.push(world.get("/a", &[]).field("x-did"));
    world.app.on("/a", behaviour::answers_with(304, &[FRESH, STALE[2]], ""));
    did.extend([world.get("/a", &[]).field("x-did"), world.get("/a", &[]).field("x-did")]);
    did.push(world.get("/a", &[("Cookie", "sid=1")]).field("x-did"));
    assert_eq!(did, ["miss", "stale", "revalidated", "hit", "bypass"]);
    let logged = world.gateway.access_lines(5);
    let words: Vec<&str> = logged.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(words, did);
}

fn hostile(lines: &str) -> String {
    file("hostile", lines)
}

#[test]
fn what_a_routes_filter_answers_is_not_stored() {
    let world = World::with("default-ttl = \"1h\"", &[("odd", hostile(""))], &[]);
    let own = world.get("/a", &[("X-Hostile", "respond")]);
    assert_eq!((own.status, own.fields.get("cache-status")), (418, None));
    assert_eq!(world.get("/a", &[]).cache_status(), STORED);
    // In the place of what is stored; that stays.
    let own = world.get("/a", &[("X-Hostile", "response:respond")]);
    assert_eq!((own.status, world.app.count("/a")), (418, 1));
    assert_eq!(world.get("/a", &[]).cache_status(), HIT);
}

#[test]
fn what_a_pools_filter_answers_stands_for_the_upstreams_answer() {
    let inner = "module = \"std:url-rewrite\"\nsettings = { rule = [{ match = \"^/gone\", answer = \"gone\" }, \
                 { match = \"^/no\", answer = \"forbidden\" }, \
                 { match = \"^/moved\", to = \"https://else.example/\", redirect = 301 }] }";
    let world = World::with("default-ttl = \"1h\"", &[], &[("inner", inner.to_owned()), ("odd", hostile(""))]);
    // By the rules, as any answer of that status that says nothing.
    for (target, code, first, second) in [
        ("/gone", 410, STORED, HIT),
        ("/moved", 301, STORED, HIT),
        ("/no", 403, "weir;fwd=uri-miss;detail=unstated", "weir;fwd=uri-miss;detail=unstated"),
    ] {
        for expected in [first, second] {
            let answer = world.get(target, &[]);
            assert_eq!((answer.status, answer.cache_status().as_str()), (code, expected), "{target}");
        }
    }
    assert!(world.app.requests().is_empty());
    let own = world.get("/a", &[("X-Hostile", "response:respond")]);
    assert_eq!((own.status, own.cache_status().as_str()), (418, "weir;fwd=uri-miss;detail=unstated"));
    assert_eq!(world.get("/a", &[]).cache_status(), "weir;fwd=uri-miss;stored");
}

#[test]
fn a_file_that_a_pools_filter_names_is_stored_as_any_answer() {
    let world = {
        let app = Origin::start();
        let editions = file(
            "editions",
            "roots = [\"pages\"]\nsettings = { root = \"pages\", cookie = \"edition\", editions = [\"spring\"] }\n\
             [root.pages]\npath = \"./pages\"\naccel = false",
        );
        let config = config(&app, "min-ttl = \"1h\"", &[], &[("editions", editions)]);
        World { gateway: Gateway::start(&config.file("pages/spring/index.html", "spring\n")), app }
    };
    for expected in [STORED, HIT] {
        let answer = world.get("/", &[("Cookie", "edition=spring")]);
        assert_eq!((answer.cache_status().as_str(), answer.text().as_str()), (expected, "spring\n"), "{answer}");
    }
    let part = world.get("/", &[("Cookie", "edition=spring"), ("Range", "bytes=0-1")]);
    assert_eq!((part.status, part.text().as_str()), (206, "sp"));
    assert!(world.app.requests().is_empty());
}

#[test]
fn an_answer_that_a_filter_failed_on_is_not_stored() {
    for (misdeed, is_request) in
        [("trap", true), ("trap", false), ("loop", false), ("value-crlf", false), ("value-crlf", true)]
    {
        let asked = if is_request { misdeed.to_owned() } else { format!("response:{misdeed}") };
        let asked = [("X-Hostile", &*asked)];
        for (failure, code, first) in
            [("closed", 503, "weir;fwd=uri-miss"), ("open", 200, "weir;fwd=uri-miss;detail=filter-failed")]
        {
            let world = World::with("", &[], &[("odd", hostile(&format!("on-failure = \"{failure}\"")))]);
            world.says("/a", &[FRESH], "x");
            let failed = world.get("/a", &asked);
            assert_eq!((failed.status, failed.cache_status().as_str()), (code, first), "{asked:?} {failure}");
            assert_eq!(world.get("/a", &[]).cache_status(), STORED, "{asked:?} {failure}");
            assert_eq!(world.get("/a", &asked).cache_status(), HIT, "the pool's filters do not see a hit");
        }
    }
}

#[test]
fn a_routes_filter_that_fails_stores_nothing_and_hides_nothing() {
    let world = World::with("", &[("odd", hostile("on-failure = \"open\""))], &[]);
    world.says("/a", &[FRESH], "x");
    let failing = [("X-Hostile", "trap")];
    assert_eq!(world.get("/a", &failing).cache_status(), "weir;fwd=uri-miss;detail=filter-failed");
    assert_eq!(world.get("/a", &[]).cache_status(), STORED);
    assert_eq!(world.get("/a", &failing).cache_status(), HIT, "it goes on as if the filter had not been called");
    let closed = World::with("", &[("odd", hostile(""))], &[]);
    closed.says("/a", &[FRESH], "x");
    closed.get("/a", &[]);
    closed.get("/a", &failing).expect(503);
    closed.get("/a", &[("X-Hostile", "response:trap")]).expect(503);
    assert_eq!(closed.get("/a", &[]).cache_status(), HIT);
}

#[test]
fn a_confirmation_that_a_filter_failed_on_changes_nothing() {
    for (failure, expected) in
        [("open", "weir;fwd=stale;fwd-status=304;detail=filter-failed"), ("closed", "weir;fwd=stale")]
    {
        let world = World::with("", &[], &[("odd", hostile(&format!("on-failure = \"{failure}\"")))]);
        world.says("/a", &STALE, "one");
        world.get("/a", &[]);
        world.app.on("/a", behaviour::answers_with(304, &[FRESH, STALE[2]], ""));
        // Without the filter's word the stored answer is given, and asked about again the next time.
        let stale = world.get("/a", &[("X-Hostile", "response:trap")]);
        assert_eq!((stale.expect(200).text().as_str(), stale.cache_status().as_str()), ("one", expected), "{failure}");
        let next = world.get("/a", &[]);
        assert_eq!(next.cache_status(), "weir;fwd=stale;fwd-status=304;stored", "{failure}");
    }
}

#[test]
fn a_refresh_in_the_background_passes_the_pools_filters_with_the_words_of_the_route() {
    let outer = rules(&[says_of_request("shop.who", "x-who"), set("X-Asked", "${request.id}")].concat(), "");
    let inner =
        rules("", &[set("X-For", "${shop.who}"), set("X-Inner", "${request.id}"), says("cache.ttl", "60")].concat());
    let world = World::with(
        "",
        &[("outer", outer), ("stamp", rules("", &set("X-Outer", "${request.id}")))],
        &[("inner", inner)],
    );
    // The filter's word on the lifetime holds from when it came: it must be purged to be stale.
    world.says("/a", &[("Cache-Control", "max-age=1, stale-while-revalidate=1000"), ("ETag", "\"one\"")], "old");
    world.get("/a", &[("X-Who", "first")]);
    world.does("PURGE", "/a", &[("Weir-Purge", "soft")]);
    world.says("/a", &[("Cache-Control", "max-age=1")], "new");
    let stale = world.get("/a", &[("X-Who", "second")]);
    assert_eq!((stale.text().as_str(), stale.field("x-for").as_str()), ("old", "first"));
    let new = eventually("the new one is stored", || Some(world.get("/a", &[])).filter(|new| new.text() == "new"));
    assert_eq!((new.field("x-for").as_str(), new.cache_status().as_str()), ("second", HIT));
    assert!(ttl(&new) > 1, "{new}");
    assert_ne!(new.field("x-inner"), new.field("x-outer"));
    // The route's filters were not called for it: what they made of the request that it began with went along.
    let requests = world.app.requests();
    assert_eq!(requests.len(), 2);
    assert_eq!(requests[1].fields.get("x-asked"), Some(new.field("x-inner")));
    assert_eq!(stale.field("x-outer"), new.field("x-inner"));
    assert!(requests[1].fields.get("if-none-match").is_some());
}

#[test]
fn a_refresh_that_a_filter_failed_on_changes_nothing() {
    for failure in ["open", "closed"] {
        let world = World::with("", &[], &[("odd", hostile(&format!("on-failure = \"{failure}\"")))]);
        world.says("/a", &[("Cache-Control", "max-age=60, stale-while-revalidate=1000"), ("Age", "100")], "old");
        world.get("/a", &[]);
        world.says("/a", &[FRESH], "unfiltered");
        assert_eq!(world.get("/a", &[("X-Hostile", "response:trap")]).text(), "old");
        world.app.await_requests(2);
        eventually("the filter failed", || (world.gateway.log_count("filter-trap") > 0).then_some(()));
        world.says("/a", &[FRESH], "new");
        eventually("another one is stored", || {
            let answer = world.get("/a", &[]);
            assert_ne!(answer.text(), "unfiltered", "{failure}");
            (answer.text() == "new").then_some(())
        });
    }
}

#[test]
fn who_waits_for_anothers_answer_passes_its_own_filters() {
    let guard = "module = \"std:url-rewrite\"\nsettings = { rule = [{ match = \"\", answer = \"forbidden\", \
                 when = { header = [{ name = \"x-bad\" }] } }] }";
    let stamp = rules("", &set("X-Outer", "${request.id}"));
    let inner = rules("", &set("X-Inner", "${request.id}"));
    let world = World::with("", &[("guard", guard.to_owned()), ("stamp", stamp)], &[("inner", inner)]);
    let gate = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&gate, behaviour::answers_with(200, &[FRESH], "for all")));
    let mut clients = world.asking(10);
    world.app.await_requests(1);
    world.get("/a", &[("X-Bad", "1")]).expect(403);
    stays("the others wait", Duration::from_millis(100), || world.app.count("/a") == 1);
    gate.open();
    let answers: Vec<Response> = clients.iter_mut().map(Client::response).collect();
    let distinct = |name: &str| {
        let mut values: Vec<String> = answers.iter().map(|answer| answer.field(name)).collect();
        values.sort();
        values.dedup();
        values.len()
    };
    assert_eq!((distinct("x-outer"), distinct("x-inner"), world.app.count("/a")), (10, 1, 1));
}

#[test]
fn who_waits_is_let_go_when_a_filter_keeps_an_answer_to_itself() {
    let world = World::with("", &[], &[("word", rules("", &says("cache.bypass", "1")))]);
    let gate = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&gate, behaviour::answers_with(200, &[FRESH], "own")));
    let mut clients = world.asking(5);
    world.app.await_requests(1);
    gate.open();
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "own"));
    assert_eq!(world.app.count("/a"), 5);
}

#[test]
fn what_is_stored_stays_when_filters_change() {
    let app = Origin::start();
    let of = |age: &str| {
        let rules = |name| rules("", &set(name, age));
        config(&app, "", &[("outer", rules("X-Outer"))], &[("inner", rules("X-Inner"))])
    };
    let (old, new) = (of("old"), of("new"));
    let world = World { gateway: Gateway::start(&old), app };
    world.says("/a", &[FRESH], "x");
    world.get("/a", &[]);
    world.gateway.rewrite_config(&new);
    world.gateway.signal(Signal::Reload);
    let outer = |answer: &Response| answer.field("x-outer");
    let hit = eventually("the new config holds", || Some(world.get("/a", &[])).filter(|answer| outer(answer) == "new"));
    assert_eq!((hit.cache_status().as_str(), hit.field("x-inner").as_str()), (HIT, "old"));
    world.does("PURGE", "/a", &[]);
    assert_eq!(world.get("/a", &[]).field("x-inner"), "new");
}

#[test]
fn the_examples_filter_keeps_by_path_and_content() {
    let keep =
        "keep = [{ path = \"/news/\", seconds = 5, tags = [\"news\"] }, { content = \"image/\", seconds = 3600 }]";
    let world = World::with("", &[], &[("shelf-life", audience(keep))]);
    for (target, content, seconds) in
        [("/news/today", "text/html", Some(5)), ("/logo", "image/png", Some(3600)), ("/", "text/html", None)]
    {
        world.says(target, &[("Content-Type", content)], "x");
        let answer = world.get(target, &[]);
        match seconds {
            Some(seconds) => assert!((seconds - 3..=seconds).contains(&ttl(&answer)), "{answer}"),
            None => assert_eq!(answer.cache_status(), "weir;fwd=uri-miss;detail=expired"),
        }
    }
    assert_eq!(world.does("PURGE", "/", &[("Weir-Purge", "tag=news")]).text(), "1\n");
}
