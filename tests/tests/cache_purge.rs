//! Forgetting by `PURGE`, over the wire: every word, everywhere an answer may lie, and what is left afterwards.

use weir_tests::origin::Then;
use weir_tests::{
    Ask, Authority, Config, Door, Gate, Gateway, Origin, PATIENCE, Place, Response, Version, Visitor, behaviour,
    eventually,
};

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
route = [{ pool = "app", cache = "pages" }]
"#;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");

struct World {
    app: Origin,
    gateway: Gateway,
    authority: Authority,
}

impl World {
    fn start() -> World {
        World::with("purge = [\"127.0.0.1\"]")
    }

    fn with(cache: &str) -> World {
        let app = Origin::start();
        let (config, authority) = config(&app, cache);
        World { gateway: Gateway::start(&config), app, authority }
    }

    fn says(&self, target: &str, fields: &[(&str, &str)], body: &str) {
        self.app.on(target, behaviour::answers_with(200, fields, body));
    }

    fn clear(&self) -> Door {
        Door::clear(Version::H1, &self.gateway.addr("web"))
    }

    fn secure(&self, version: Version) -> Door {
        Door::secure(version, &self.gateway.addr("secure"), &Visitor::trusting(&self.authority))
    }

    #[track_caller]
    fn get(&self, target: &str) -> Response {
        self.gateway.get(target)
    }

    /// What is left of a purge, and its answer.
    #[track_caller]
    fn purge(&self, target: &str, words: &str) -> Response {
        purge(&self.gateway, target, words)
    }

    /// How many a purge forgot.
    #[track_caller]
    fn forgets(&self, target: &str, words: &str) -> u64 {
        self.purge(target, words).expect(200).text().trim().parse().unwrap()
    }

    fn has(&self, target: &str) -> bool {
        has(&self.gateway, target, &[])
    }
}

fn config(app: &Origin, cache: &str) -> (Config, Authority) {
    let authority = Authority::found();
    let identity = authority.certify("any.example");
    let config = Config::text(CONFIG).fill("cache", cache).fill("app", &app.url()).identity("web", &identity);
    (config, authority)
}

#[track_caller]
fn purge(gateway: &Gateway, target: &str, words: &str) -> Response {
    let fields = [("Weir-Purge", words)];
    gateway.client().request("PURGE", target, if words.is_empty() { &[] } else { &fields }, b"")
}

/// Whether something is stored and may be used.
fn has(gateway: &Gateway, target: &str, fields: &[(&str, &str)]) -> bool {
    let fields = [&[("Cache-Control", "only-if-cached")], fields].concat();
    gateway.client().ask(target, &fields).status == 200
}

fn on_disk(place: &Place, more: &str) -> String {
    format!(
        "purge = [\"127.0.0.1\"]\ndisk = {{ path = \"{}/cache\", size = \"64MiB\" }}\n{more}",
        place.path().display()
    )
}

fn kill(gateway: &mut Gateway) {
    let killed = std::process::Command::new("kill").args(["-KILL", &gateway.pid().to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
    gateway.wait_exit(PATIENCE);
}

/// What lies in the cache of the test below: under TLS or not, host, target, status and fields.
#[allow(clippy::type_complexity, reason = "a table's row")]
const STORED: [(bool, &str, &str, u16, &[(&str, &str)]); 8] = [
    (
        false,
        "any.example",
        "/a",
        200,
        &[FRESH, ("Surrogate-Key", "one two"), ("Content-Type", "text/html; charset=utf-8")],
    ),
    (true, "any.example", "/a", 200, &[FRESH, ("Surrogate-Key", "one")]),
    (false, "any.example", "/dir/a.png", 200, &[FRESH, ("Cache-Tag", "two, three"), ("Content-Type", "image/png")]),
    (false, "any.example", "/dir/b?q=1", 200, &[FRESH, ("Cache-Groups", "\"group\""), ("Content-Type", "image/webp")]),
    (false, "other.example", "/a", 200, &[FRESH, ("Cache-Groups", "\"group\"")]),
    (false, "sub.any.example", "/dir/c", 200, &[FRESH]),
    (false, "any.example", "/gone", 404, &[FRESH, ("Surrogate-Key", "two"), ("Content-Type", "text/html")]),
    (true, "any.example", "/dir/d", 410, &[FRESH]),
];

/// A purge: its words, the target it names, and which of the above it means.
const ORDERS: [(&str, &str, &[usize]); 38] = [
    ("", "/a", &[0]),
    ("", "/none", &[]),
    ("", "/dir/b", &[]),
    ("", "/dir/b?q=1", &[3]),
    ("", "/x/%2e%2e/%61", &[0]),
    ("scheme=*", "/a", &[0, 1]),
    ("scheme=https", "/a", &[1]),
    ("host=*", "/a", &[0, 4]),
    ("host=*, scheme=*", "/a", &[0, 1, 4]),
    ("host=Other.Example:80", "/a", &[4]),
    ("prefix", "/dir/", &[2, 3]),
    ("prefix", "/dir/b", &[3]),
    ("prefix, scheme=*", "/dir/", &[2, 3, 7]),
    ("prefix, host=*", "/dir/", &[2, 3, 5]),
    ("prefix, host=*.any.example", "/", &[5]),
    ("tag=one", "/", &[0, 1]),
    ("tag=two", "/", &[0, 2, 6]),
    ("tag=one, tag=three", "/", &[0, 1, 2]),
    ("tag=group", "/", &[3]),
    ("tag=group, host=other.example", "/", &[4]),
    ("tag=two, prefix", "/dir/", &[2]),
    ("tag=two, match=a$", "/", &[0]),
    ("tag=two, status=404", "/", &[6]),
    ("match=^/dir/", "/", &[2, 3]),
    ("match=^/dir/, scheme=*, host=*", "/", &[2, 3, 5, 7]),
    (r#"match="\.(png|gif){1,2}$""#, "/", &[2]),
    (r"match=\?q=[0-9]+$, match=^/gone$", "/", &[3, 6]),
    ("match=A", "/", &[]),
    ("match=(?i)A$", "/", &[0]),
    ("all", "/", &[0, 1, 2, 3, 4, 5, 6, 7]),
    ("all, status=4xx", "/", &[6, 7]),
    ("all, status=404, status=200, scheme=https", "/", &[1]),
    ("all, type=image/*", "/", &[2, 3]),
    ("all, type=image/png, type=text/html", "/", &[0, 2, 6]),
    ("all, type=text/html, status=200", "/", &[0]),
    ("all, older-than=1h", "/", &[]),
    ("older-than=1h", "/a", &[]),
    ("older-than=0s, prefix", "/dir", &[2, 3]),
];

#[test]
fn every_word_means_what_it_says() {
    let world = World::start();
    let (clear, secure) = (world.clear(), world.secure(Version::H1));
    let ask = |(is_secure, host, target, ..): (bool, &str, &str, u16, &[(&str, &str)]), only: bool| {
        let ask = Ask::get(target).host(host);
        let ask = if only { ask.field("cache-control", "only-if-cached") } else { ask };
        if is_secure { secure.ask(&ask) } else { clear.ask(&ask) }
    };
    // Of one path under two hosts or schemes the origin knows one answer at a time.
    let fill = || {
        for stored in STORED {
            let path = stored.2.split('?').next().unwrap();
            world.app.on(path, behaviour::answers_with(stored.3, stored.4, "x"));
            ask(stored, false);
        }
    };
    let left = || {
        let found = STORED.into_iter().enumerate().filter(|(_, stored)| ask(*stored, true).status == stored.3);
        found.map(|(at, _)| at).collect::<Vec<_>>()
    };
    for (words, target, meant) in ORDERS {
        fill();
        assert_eq!(left(), [0, 1, 2, 3, 4, 5, 6, 7], "before {words} {target}");
        assert_eq!(world.forgets(target, words), meant.len() as u64, "{words} {target}");
        let expected: Vec<_> = (0..STORED.len()).filter(|at| !meant.contains(at)).collect();
        assert_eq!(left(), expected, "{words} {target}");
    }
}

#[test]
fn what_is_forgotten_softly_stays_until_it_is_confirmed() {
    let world = World::start();
    let fields = [FRESH, ("ETag", "\"v\""), ("Surrogate-Key", "one"), ("Content-Type", "text/html")];
    for words in ["soft", "prefix, soft", "soft,tag=one", "match=^/a$,soft", "all, type=text/html, soft"] {
        world.says("/a", &fields, "x");
        world.get("/a");
        assert_eq!((world.has("/a"), world.forgets("/a", words)), (true, 1), "{words}");
        assert!(!world.has("/a"), "{words}");
        world.app.on("/a", behaviour::answers_with(304, &[("ETag", "\"v\"")], ""));
        let confirmed = world.get("/a");
        assert_eq!(confirmed.expect(200).text(), "x");
        assert!(confirmed.field("cache-status").contains("fwd=stale;fwd-status=304"), "{words}: {confirmed}");
        assert!(world.has("/a"), "{words}");
        // Stale means that it helps where there is nothing better.
        world.forgets("/a", words);
        world.app.on("/a", behaviour::answers(503, "down"));
        assert_eq!(world.get("/a").expect(200).text(), "x", "{words}");
        world.forgets("/a", "");
        world.get("/a").expect(503);
    }
}

#[test]
fn all_variants_of_a_url_go_together() {
    let world = World::with("purge = [\"127.0.0.1\"]\nkey = { fields = [\"x-group\"] }");
    world.says("/a", &[FRESH, ("Vary", "X-Language")], "x");
    world.says("/ab", &[FRESH], "x");
    let variants = || {
        ["en", "de", "fr"]
            .into_iter()
            .flat_map(|language| [vec![("X-Language", language)], vec![("X-Language", language), ("X-Group", "g 1")]])
    };
    for (words, target, is_other_left) in [("", "/a", true), ("prefix", "/a", false), ("match=^/a$", "/", true)] {
        world.get("/ab");
        variants().for_each(|fields| drop(world.gateway.client().ask("/a", &fields)));
        assert!(variants().all(|fields| has(&world.gateway, "/a", &fields)));
        assert_eq!(world.forgets(target, words), if is_other_left { 6 } else { 7 }, "{words}");
        assert!(variants().all(|fields| !has(&world.gateway, "/a", &fields)), "{words}");
        assert_eq!(world.has("/ab"), is_other_left, "{words}");
    }
}

#[test]
fn what_an_unsafe_request_invalidates_goes_with_all_that_is_in_its_key() {
    let world = World::with("key = { cookies = [\"shop\"] }");
    let of = |shop: &str| [("Cookie", format!("shop={shop}"))];
    for shop in ["1", "2"] {
        world.says("/a", &[FRESH], "x");
        let cookie = of(shop);
        world.gateway.client().ask("/a", &[("Cookie", &cookie[0].1)]);
        assert!(has(&world.gateway, "/a", &[("Cookie", &cookie[0].1)]));
    }
    world.says("/ab", &[FRESH], "x");
    world.get("/ab");
    world.gateway.client().request("POST", "/a", &[], b"x").expect(200);
    assert!(["1", "2"].iter().all(|shop| !has(&world.gateway, "/a", &[("Cookie", &of(shop)[0].1)])));
    assert!(world.has("/ab"));
}

#[test]
fn what_is_being_written_is_forgotten_as_well() {
    let place = Place::fresh();
    for cache in ["purge = [\"127.0.0.1\"]".to_owned(), on_disk(&place, "memory = \"off\"")] {
        let world = World::with(&cache);
        let cases = [
            ("", "/a", false),
            ("prefix", "/", false),
            ("tag=one", "/", false),
            ("match=^/a$, status=200", "/", false),
            ("all", "/", false),
            ("match=^/b, status=200", "/", true),
            ("all, older-than=1h", "/", true),
            ("all, type=image/*", "/", true),
        ];
        for (words, target, is_left) in cases {
            let gate = Gate::closed();
            let other = gate.clone();
            world.app.on(
                "/a",
                behaviour::does(move |exchange| {
                    exchange.read_body()?;
                    exchange.write_head(200, &[FRESH, ("Surrogate-Key", "one"), ("Content-Length", "10")])?;
                    exchange.write("first")?;
                    other.pass();
                    exchange.write("other")?;
                    Ok(Then::Keep)
                }),
            );
            let mut client = world.gateway.client();
            client.send("GET /a HTTP/1.1\r\nHost: any.example\r\n\r\n").response_head();
            assert_eq!(world.forgets(target, words), 0, "{words}");
            gate.open();
            let mut body = Vec::new();
            while body.len() < 10 {
                body.extend(client.some().unwrap());
            }
            assert_eq!(body, b"firstother");
            if is_left {
                eventually("it is stored", || world.has("/a").then_some(()));
                world.forgets("/a", "");
            }
            // Nothing of it comes later: what is asked for now is a new answer.
            world.says("/a", &[FRESH], "again");
            assert_eq!(world.get("/a").text(), "again", "{words}");
            eventually("the new one is stored", || world.has("/a").then_some(()));
            world.forgets("/a", "");
        }
    }
}

#[test]
fn what_is_forgotten_stays_so_over_a_kill() {
    for (words, target, left) in [
        ("", "/a/1", &["/a/2", "/b/1"][..]),
        ("prefix", "/a/", &["/b/1"]),
        ("match=1$", "/", &["/a/2"]),
        ("tag=one, soft", "/", &["/a/2"]),
        ("all, type=image/*", "/", &["/a/1", "/b/1"]),
    ] {
        let (place, app) = (Place::fresh(), Origin::start());
        let (config, _authority) = config(&app, &on_disk(&place, ""));
        let all = ["/a/1", "/a/2", "/b/1"];
        for path in all {
            let kind = if path == "/a/2" { "image/png" } else { "text/html" };
            let tag = if path.ends_with('1') { "one" } else { "two" };
            app.on(path, behaviour::answers_with(200, &[FRESH, ("Content-Type", kind), ("Surrogate-Key", tag)], "x"));
        }
        let mut gateway = Gateway::start(&config);
        all.iter().for_each(|path| drop(gateway.get(path)));
        let files = || tree(&place.join("cache/objects"));
        eventually("all are files", || (files() == 3).then_some(()));
        purge(&gateway, target, words).expect(200);
        kill(&mut gateway);
        let mut gateway = Gateway::start(&config);
        for path in left {
            eventually("what is left is found", || has(&gateway, path, &[]).then_some(()));
        }
        // The others were read by then, or soon are: once more, and nothing is there still.
        kill(&mut gateway);
        let gateway = Gateway::start(&config);
        left.iter().for_each(|path| eventually("what is left is found", || has(&gateway, path, &[]).then_some(())));
        for path in all.iter().filter(|path| !left.contains(path)) {
            assert!(!has(&gateway, path, &[]), "{words} {path}");
        }
    }
}

/// What a start has not read from the disk yet is meant as well, whenever the purge comes.
#[test]
fn a_purge_right_after_a_start_means_what_is_on_the_disk() {
    let (place, app) = (Place::fresh(), Origin::start());
    let (config, _authority) = config(&app, &on_disk(&place, "memory = \"off\""));
    app.otherwise(behaviour::answers_with(200, &[FRESH], "x"));
    let paths: Vec<String> = (0..200).map(|number| format!("/{}/{number}", number % 2)).collect();
    let mut gateway = Gateway::start(&config);
    paths.iter().for_each(|path| drop(gateway.get(path)));
    eventually("all are files", || (tree(&place.join("cache/objects")) == 200).then_some(()));
    kill(&mut gateway);
    let gateway = Gateway::start(&config);
    purge(&gateway, "/", "match=^/1/").expect(200);
    let left = || tree(&place.join("cache/objects"));
    eventually("half of the files are gone", || (left() == 100).then_some(()));
    for path in &paths {
        let is_left = path.starts_with("/0/");
        eventually("the directory is read", || (has(&gateway, path, &[]) == is_left).then_some(()));
    }
}

#[test]
fn what_is_old_enough_goes() {
    let world = World::start();
    world.says("/a", &[FRESH], "x");
    world.get("/a");
    assert_eq!(world.forgets("/a", "older-than=1d"), 0);
    assert!(world.has("/a"));
    eventually("it is older than that", || (world.forgets("/a", "older-than=20ms") == 1).then_some(()));
    assert!(!world.has("/a"));
}

#[test]
fn much_is_forgotten_at_once() {
    let place = Place::fresh();
    let world = World::with(&on_disk(&place, ""));
    world.app.otherwise(behaviour::answers_with(200, &[FRESH, ("Surrogate-Key", "many")], "x"));
    let mut client = world.gateway.client();
    for number in 0..1500 {
        client.get(&format!("/{number}"));
    }
    let files = || tree(&place.join("cache/objects"));
    eventually("all are files", || (files() == 1500).then_some(()));
    // On both shelves each.
    assert_eq!(world.forgets("/", "match=[05]$"), 600);
    assert_eq!(files(), 1200);
    assert_eq!(world.forgets("/", "tag=many"), 2400);
    assert_eq!(files(), 0);
    assert!(!world.has("/1"));
}

#[test]
fn who_may_not_purge_changes_nothing() {
    let world = World::with("purge = [\"10.0.0.0/8\", \"::1\"]");
    world.says("/a", &[FRESH], "x");
    world.get("/a");
    for words in ["", "all", "nonsense"] {
        world.purge("/a", words).expect(403);
    }
    assert!(world.has("/a"));
    // Nor who only says that it comes from there.
    let fields = [("X-Forwarded-For", "10.0.0.1"), ("Forwarded", "for=10.0.0.1")];
    world.gateway.client().request("PURGE", "/a", &fields, b"").expect(403);
    assert!(world.has("/a"));
    // Without a list the method is nothing special.
    let plain = World::with("");
    plain.says("/a", &[FRESH], "x");
    plain.purge("/a", "all").expect(200);
    assert_eq!(plain.app.request("/a").method, "PURGE");
}

#[test]
fn a_word_that_is_none_is_told_what_would_be_one() {
    let world = World::start();
    world.says("/a", &[FRESH], "x");
    world.get("/a");
    for (words, why) in [
        ("sof", "\"sof\" is not a word here (did you mean \"soft\"?); known: all, prefix, soft, host=.., match=.."),
        ("soft=yes", "soft takes no value"),
        ("tag", "tag wants a value, as in tag=news"),
        ("older-than=yesterday", "right would be older-than=1h"),
        ("status=4", "right would be status=404 or 4xx"),
        ("type=html", "right would be type=text/html or image/*"),
        ("scheme=ftp", "right would be scheme=*"),
        ("host=a/b", "right would be host=*.shop.example"),
        ("match=(", "\"(\" is not a pattern: unclosed group"),
        ("match=(a{999}){999}", "is not a pattern: it is too large"),
        ("match=\"a", "the quotation mark behind match= is not closed"),
        ("match=\"a\"b", "a comma is missing behind the value of match"),
        ("all, prefix", "all and prefix cannot both be meant"),
        ("all, tag=a", "all and tag cannot both be meant"),
    ] {
        let refused = world.purge("/a", words);
        assert!(refused.expect(400).text().contains(why), "{words}: {refused}");
    }
    assert!(world.has("/a"));
    // Several lines are one list.
    let fields = [("Weir-Purge", "match=^/a$"), ("Weir-Purge", "soft")];
    assert_eq!(world.gateway.client().request("PURGE", "/a", &fields, b"").expect(200).text(), "1\n");
}

#[test]
fn every_version_of_http_purges() {
    let world = World::start();
    world.says("/a", &[FRESH], "x");
    let mut doors = vec![world.clear(), Door::clear(Version::H2, &world.gateway.addr("web"))];
    doors.extend([Version::H1, Version::H2, Version::H3].map(|version| world.secure(version)));
    for door in doors {
        door.ask(&Ask::get("/a"));
        let left = || door.ask(&Ask::get("/a").field("cache-control", "only-if-cached")).status == 200;
        assert!(left());
        let bad = door.ask(&Ask::method("PURGE", "/a").field("weir-purge", "al"));
        assert!(bad.expect(400).text().contains("did you mean \"all\""), "{bad}");
        let purged = door.ask(&Ask::method("PURGE", "/a"));
        assert_eq!((purged.expect(200).text().as_str(), left()), ("1\n", false));
        door.ask(&Ask::get("/a"));
        let purged = door.ask(&Ask::method("PURGE", "/").field("weir-purge", "match=^/a$").field("weir-purge", "soft"));
        assert_eq!((purged.expect(200).text().as_str(), left()), ("1\n", false));
        door.ask(&Ask::method("PURGE", "/").field("weir-purge", "all"));
    }
}

/// How many files are below a directory.
fn tree(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { tree(&entry.path()) } else { 1 }).sum()
}

/// However many tags a content management system says, and whether or not clients see them; what has more than can be kept
/// is not kept itself.
#[test]
fn what_is_stored_can_be_forgotten_by_each_of_its_tags() {
    let place = Place::fresh();
    let most = 1024;
    let tags = |count: usize| (1..=count).map(|number| format!("node:{number}")).collect::<Vec<_>>().join(" ");
    let hidden = "strip-fields = [\"Surrogate-Key\"]\n";
    for cache in [format!("purge = [\"127.0.0.1\"]\n{hidden}"), on_disk(&place, &format!("memory = \"off\"\n{hidden}"))]
    {
        let world = World::with(&cache);
        for tag in ["node:1", "node:999", "node:1023", "caf\u{e9}"] {
            world.says("/a", &[FRESH, ("Surrogate-Key", &tags(most - 1)), ("Cache-Tag", "caf\u{e9}")], "x");
            assert_eq!(world.get("/a").cache_status(), "weir;fwd=uri-miss;stored", "{cache} {tag}");
            let hit = eventually("it is stored", || Some(world.get("/a")).filter(|a| a.cache_status() == "weir;hit"));
            assert_eq!(hit.fields.get("surrogate-key"), None);
            assert_eq!(world.forgets("/", &format!("tag={tag}")), 1, "{cache} {tag}");
            assert!(!world.has("/a"));
        }
        world.says("/b", &[FRESH, ("Surrogate-Key", &tags(most + 1))], "x");
        for _ in 0..2 {
            assert_eq!(world.get("/b").cache_status(), "weir;fwd=uri-miss;detail=tags", "{cache}");
        }
    }
}
