//! Every example config runs as it is: the real program, started with it and asked something.
//!
//! Only what belongs to the machine is changed: ports to listen on become 0, `127.0.0.1:9001` and the like become origins
//! of the test. A config that appears among the examples without an entry here fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir_tests::{Client, Gateway, Origin, Place, behaviour, eventually, weir};

/// What is asked (`Host`, target), and what comes of it: a status, and the target that the upstream is asked for.
type Asked = (&'static str, &'static str, u16, Option<&'static str>);

const EXAMPLES: &[(&str, &[Asked])] = &[
    ("balancing.toml", &[("any.example", "/a", 200, Some("/a"))]),
    ("error-pages.toml", &[("any.example", "/nowhere", 404, Some("/nowhere"))]),
    (
        "hardened.toml",
        &[
            ("app.example", "/a", 200, Some("/a")),
            ("app.example", "/upload", 200, Some("/upload")),
            ("other.example", "/a", 421, None),
        ],
    ),
    ("headers.toml", &[("any.example", "/h", 200, Some("/h"))]),
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
        "virtual-hosts.toml",
        &[
            ("shop.example", "/a", 200, Some("/a")),
            ("shop.example", "/admin", 404, None),
            ("a.blog.example", "/b", 200, Some("/b")),
            ("any.example", "/", 404, None),
        ],
    ),
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
            let before = world.reached().len();
            let response = world.client().ask(target, &[("host", host)]);
            assert_eq!(response.status, *status, "{name}: {host}{target}: {response}");
            let reached = world.reached().split_off(before);
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
    let counts: Vec<usize> = world.origins.iter().map(|origin| origin.requests().len()).collect();
    assert_eq!(counts, [6, 2, 2]);
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
}

impl World {
    /// Its own `[log]` is left out: the harness reads addresses from a log of its own.
    #[track_caller]
    fn of(name: &str) -> World {
        let origins: Vec<Origin> = (0..3).map(|_| origin()).collect();
        let mut text = fs::read_to_string(folder().join(name)).expect("the example is there");
        for (number, origin) in origins.iter().enumerate() {
            text = text.replace(&format!("127.0.0.1:{}", 9001 + number), &origin.address());
        }
        text = text.replace("127.0.0.1:8080", "127.0.0.1:0").replace(", \"[::1]:8080\"", "");
        text = text.replace("\"../filters/out/", &format!("\"{}/../filters/out/", folder().display()));
        text = text.replace("level = \"warn\"\nformat = \"json\"\n", "level = \"debug\"\nformat = \"json\"\n");
        if !text.contains("[log]") {
            text.push_str("\n[log]\nformat = \"json\"\n");
        }
        let place = Place::fresh();
        if !text.contains("cache-directory") {
            text.insert_str(0, &format!("cache-directory = \"{}\"\n", place.join("cache").display()));
        }
        place.write("example.toml", text);
        let gateway = Gateway::run(place, &["run", "-c", "example.toml"]);
        eventually(&format!("{name} runs"), || gateway.log().iter().any(|line| line.contains("started")).then_some(()));
        World { gateway, origins }
    }

    fn client(&self) -> Client {
        self.gateway.client()
    }

    /// Every target that an upstream was asked for.
    fn reached(&self) -> Vec<String> {
        self.origins.iter().flat_map(Origin::requests).map(|request| request.target).collect()
    }
}

/// An upstream that has everything but what is below `nowhere`, and says what it runs on.
fn origin() -> Origin {
    let origin = Origin::start();
    let answer = |status| behaviour::answers_with(status, &[("x-powered-by", "secret")], "theirs\n");
    origin.otherwise(answer(200));
    for path in ["/nowhere", "/api/nowhere"] {
        origin.on(path, answer(404));
    }
    origin
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}
