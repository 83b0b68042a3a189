//! Every example config runs as it is: the real program, started with it and asked something.
//!
//! Only what belongs to the machine is changed: ports to listen on become 0, `127.0.0.1:9001` and the like become origins
//! of the test. A config that appears among the examples without an entry here fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir_tests::{
    Ask, Authority, Client, Door, Gateway, Origin, Place, RefusedPort, Version, Visitor, WebSocket, behaviour,
    eventually, weir,
};

/// What is asked (`Host`, target), and what comes of it: a status, and the target that the upstream is asked for.
type Asked = (&'static str, &'static str, u16, Option<&'static str>);

const EXAMPLES: &[(&str, &[Asked])] = &[
    (
        "balancing.toml",
        &[
            ("any.example", "/a", 200, Some("/a")),
            ("any.example", "/reports/a", 200, Some("/reports/a")),
            ("any.example", "/images/a", 200, Some("/images/a")),
            ("any.example", "/orders/a", 200, Some("/orders/a")),
        ],
    ),
    (
        "cache-filters.toml",
        &[
            ("any.example", "/a", 200, Some("/a")),
            ("any.example", "/a", 200, None),
            ("any.example", "/search?q=a", 200, Some("/search?q=a")),
            ("any.example", "/search?q=a", 200, Some("/search?q=a")),
            ("any.example", "/internal/a", 403, None),
        ],
    ),
    ("cache.toml", &[("any.example", "/a", 200, Some("/a")), ("any.example", "/account/a", 200, Some("/account/a"))]),
    (
        "doors.toml",
        &[
            ("shop.example", "/a", 308, None),
            ("shop.example", "/.well-known/acme-challenge/token", 200, Some("/.well-known/acme-challenge/token")),
        ],
    ),
    ("error-pages.toml", &[("any.example", "/nowhere", 404, Some("/nowhere"))]),
    ("failover.toml", &[("any.example", "/a", 200, Some("/a"))]),
    // The application's answers say where the file is; the application itself is the example's.
    (
        "files.toml",
        &[
            ("any.example", "/", 200, None),
            ("any.example", "/style.css", 200, None),
            ("any.example", "/archive/", 200, None),
            ("any.example", "/archive/2025.log", 200, None),
            ("any.example", "/docs", 301, None),
            ("any.example", "/docs/", 200, None),
            ("any.example", "/download/report.txt", 200, None),
            ("any.example", "/export/report.txt", 200, None),
            ("any.example", "/export/../../app.py", 400, None),
            ("any.example", "/export/%2e%2e%2fapp.py", 400, None),
            ("any.example", "/protected/report.txt", 404, None),
            ("any.example", "/nowhere", 404, None),
        ],
    ),
    (
        "hardened.toml",
        &[
            ("app.example", "/a", 200, Some("/a")),
            ("app.example", "/upload", 200, Some("/upload")),
            ("other.example", "/a", 421, None),
        ],
    ),
    // Without the cookie the server is asked.
    ("file-filter.toml", &[("any.example", "/a", 200, Some("/a"))]),
    ("headers.toml", &[("any.example", "/h", 200, Some("/h"))]),
    // Nobody listens on its port before it is asked for.
    ("local-program.toml", &[("any.example", "/example.toml", 200, None)]),
    ("own-filter.toml", &[("any.example", "/greet", 200, Some("/greet"))]),
    (
        "rewriting.toml",
        &[
            ("any.example", "/api/users", 200, Some("/v2/users")),
            ("any.example", "/app/style.css", 200, Some("/style.css")),
            ("any.example", "/docs", 301, None),
            ("any.example", "/old/page", 200, Some("/new/page")),
        ],
    ),
    (
        "sticky.toml",
        &[
            ("any.example", "/shop", 200, Some("/shop")),
            ("any.example", "/account;jsessionid=a.node2", 200, Some("/account;jsessionid=a.node2")),
            ("any.example", "/forum", 200, Some("/forum")),
        ],
    ),
    (
        "upstreams.toml",
        &[
            ("any.example", "/a", 200, Some("/a")),
            ("any.example", "/socket", 200, Some("/socket")),
            ("any.example", "/personal", 200, Some("/personal")),
        ],
    ),
    (
        "virtual-hosts.toml",
        &[
            ("shop.example", "/a", 200, Some("/a")),
            ("shop.example", "/admin", 404, None),
            ("a.blog.example", "/b", 200, Some("/b")),
            ("any.example", "/", 404, None),
        ],
    ),
    ("websocket.toml", &[("any.example", "/chat", 200, Some("/chat"))]),
];

#[test]
fn every_example_is_here() {
    let entries = fs::read_dir(folder()).expect("the examples are there");
    let there: BTreeSet<String> = entries
        .map(|entry| entry.expect("a folder can be read").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".toml"))
        .collect();
    let here: BTreeSet<String> = EXAMPLES.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(there, here);
}

#[test]
fn every_example_does_what_it_says() {
    for (name, asked) in EXAMPLES {
        let world = World::of(name);
        for (host, target, status, upstream) in *asked {
            let before = world.reached();
            let response = world.client().ask(target, &[("host", host)]);
            assert_eq!(response.status, *status, "{name}: {host}{target}: {response}");
            let mut reached = world.reached();
            for target in &before {
                reached.remove(reached.iter().position(|known| known == target).expect("what was asked stays so"));
            }
            assert_eq!(reached, upstream.iter().map(|target| (*target).to_owned()).collect::<Vec<_>>(), "{name}");
        }
    }
}

#[test]
fn a_rotation_follows_the_weights() {
    let world = World::of("balancing.toml");
    for _ in 0..10 {
        world.client().get("/").expect(200);
    }
    let counts: Vec<usize> = world.origins.iter().take(3).map(|origin| origin.requests().len()).collect();
    assert_eq!(counts, [6, 2, 2]);
}

#[test]
fn a_cache_can_be_asked_what_it_did() {
    let world = World::of("cache.toml");
    (0..2).for_each(|_| assert_eq!(world.client().get("/a").status, 200));
    let line = "pages         2       50.0%  1, ";
    eventually("both requests are counted", || {
        let shown = weir(world.gateway.place(), &["cache", "status", "-c", "example.toml"]);
        shown.out.contains(line).then_some(())
    });
}

#[test]
fn fields_come_and_go() {
    let world = World::of("headers.toml");
    let response = world.client().ask("/h", &[("host", "any.example"), ("x-debug", "1")]);
    assert_eq!(response.field("x-content-type-options"), "nosniff");
    assert!(!response.fields.has("x-powered-by"), "{response}");
    let seen = world.origins[0].request("/h").fields;
    assert_eq!(seen.get("x-gateway").as_deref(), Some("weir"));
    assert!(!seen.has("x-debug") && seen.has("forwarded"));
}

#[test]
fn pages_of_ones_own_replace_errors() {
    let world = World::of("error-pages.toml");
    assert!(world.client().get("/nowhere").text().contains("There is nothing here."));
    assert!(!world.client().get("/api/nowhere").text().contains("There is nothing here."));
}

#[test]
fn the_first_own_filter_greets() {
    let world = World::of("own-filter.toml");
    world.client().get("/greet").expect(200);
    assert_eq!(world.origins[0].request("/greet").fields.get("x-greeting").as_deref(), Some("Good day, 127.0.0.1"));
}

#[test]
fn a_cookie_keeps_its_client() {
    let world = World::of("sticky.toml");
    let cookie = world.client().get("/shop").field("set-cookie");
    let value = cookie.split_once(';').expect("the cookie has attributes").0;
    let before: Vec<usize> = world.origins.iter().map(|origin| origin.requests().len()).collect();
    for _ in 0..4 {
        assert!(!world.client().ask("/shop", &[("cookie", value)]).fields.has("set-cookie"));
    }
    let after = world.origins.iter().zip(before).map(|(origin, before)| (before, origin.requests().len() - before));
    assert_eq!(after.filter(|(_, more)| *more > 0).collect::<Vec<_>>(), [(1, 4)]);
    assert_eq!(world.origins[2].requests().len(), 0, "who drains gets no fresh sessions");
}

#[test]
fn a_websocket_goes_through() {
    let world = World::of("websocket.toml");
    for origin in &world.origins {
        origin.on("/chat", behaviour::echoes_websockets());
    }
    let mut socket = WebSocket::open(&world.gateway.addr("web"), "any.example", "/chat").expect("the route allows it");
    socket.echo("good day");
    socket.close().expect("it ends well");
    assert!(WebSocket::open(&world.gateway.addr("web"), "any.example", "/").is_err(), "the other route does not");
}

#[test]
fn every_door_leads_in_and_partners_show_who_they_are() {
    let world = World::of("doors.toml");
    let visitor = Visitor::trusting(&world.authority).to("shop.example");
    let secure = world.gateway.addr("secure");
    for version in [Version::H1, Version::H2, Version::H3] {
        let answer = Door::secure(version, &secure, &visitor).ask(&Ask::get("/a").host("shop.example"));
        assert_eq!(answer.expect(200).field("strict-transport-security"), "max-age=31536000");
    }
    let partners = world.gateway.addr("partners");
    let ask = Ask::get("/partner").host("shop.example");
    assert!(Door::secure(Version::H2, &partners, &visitor).try_ask(&ask).is_err());
    let partner = visitor.showing(world.authority.certify("partner.example"));
    Door::secure(Version::H2, &partners, &partner).ask(&ask).expect(200);
    let seen = world.origins.iter().flat_map(Origin::requests).find(|request| request.target == "/partner");
    assert!(seen.expect("it arrived").fields.has("client-cert"));
}

#[test]
fn the_readme_shows_the_example_and_a_config_without_problems() {
    let readme = fs::read_to_string(folder().join("../README.md")).expect("the page is there");
    let block = |kind: &str| {
        let (_, rest) = readme.split_once(&format!("```{kind}\n")).expect("the page has such a block");
        rest.split_once("```").expect("the block ends").0
    };
    let filter = fs::read_to_string(folder().join("filters/hello/src/lib.rs")).expect("the example is there");
    assert!(filter.contains(block("rust")), "README.md shows another filter than examples/filters/hello");
    let place = Place::fresh();
    place.write("weir.toml", block("toml"));
    let checked = weir(&place, &["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

/// An example's config at work.
struct World {
    gateway: Gateway,
    origins: Vec<Origin>,
    authority: Authority,
    /// Where a program is told to listen.
    _port: RefusedPort,
}

impl World {
    /// Its own `[log]` is left out: the harness reads addresses from a log of its own.
    #[track_caller]
    fn of(name: &str) -> World {
        let place = Place::fresh();
        let socket = place.join("app.sock");
        let on_tcp = (0..3).map(|_| Origin::start());
        let origins: Vec<Origin> = on_tcp.chain([Origin::on_unix(&socket)]).collect();
        origins.iter().for_each(has_almost_everything);
        let mut text = fs::read_to_string(folder().join(name)).expect("the example is there");
        for (number, origin) in origins.iter().take(3).enumerate() {
            text = text.replace(&format!("127.0.0.1:{}", 9001 + number), &origin.address());
        }
        let port = RefusedPort::take();
        text =
            text.replace("9011", &port.port().to_string()).replace("/run/app/app.sock", &socket.display().to_string());
        let authority = Authority::found();
        let (shop, key) = (authority.certify("shop.example"), place.join("shop.key"));
        for (name, pem) in [("ca.pem", authority.pem()), ("shop.pem", shop.pem())] {
            place.write(name, pem);
        }
        fs::write(key, shop.key_pem()).expect("the place is there");
        for port in ["8443", "8444"] {
            text = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
        }
        text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace(", \"[::1]:8080\"", "");
        let files = folder().join("files").canonicalize().expect("the folder is there");
        text = text.replace("\"./files/", &format!("\"{}/", files.display()));
        text = text.replace("\"../filters/out/", &format!("\"{}/../filters/out/", folder().display()));
        text = text.replace("\"./filters/", &format!("\"{}/filters/", folder().display()));
        text = text.replace("level = \"warn\"\nformat = \"json\"\n", "level = \"debug\"\nformat = \"json\"\n");
        if !text.contains("[log]") {
            text.push_str("\n[log]\nformat = \"json\"\n");
        }
        if !text.contains("cache-directory") {
            text.insert_str(0, &format!("cache-directory = \"{}\"\n", place.join("cache").display()));
        }
        place.write("example.toml", text);
        let gateway = Gateway::run(place, &["run", "-c", "example.toml"]);
        eventually(&format!("{name} runs"), || gateway.log().iter().any(|line| line.contains("started")).then_some(()));
        World { gateway, origins, authority, _port: port }
    }

    fn client(&self) -> Client {
        self.gateway.client()
    }

    /// Every target that an upstream was asked for on a client's behalf.
    fn reached(&self) -> Vec<String> {
        let targets = self.origins.iter().flat_map(Origin::requests).map(|request| request.target);
        targets.filter(|target| target != "/health").collect()
    }
}

/// Lets an upstream have everything but what is below `nowhere`, and say what it runs on.
fn has_almost_everything(origin: &Origin) {
    let answer = |status| behaviour::answers_with(status, &[("x-powered-by", "secret")], "theirs\n");
    origin.otherwise(answer(200));
    for path in ["/nowhere", "/api/nowhere"] {
        origin.on(path, answer(404));
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}
