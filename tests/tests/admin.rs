//! The operator's socket over the real program: who may come, what is told, what is forgotten, and `weir cache`.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use weir_tests::{Client, Config, Gate, Gateway, Origin, PATIENCE, Response, Signal, behaviour, eventually, weir};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[access-log]
path = "access.log"
{admin}
[pool.app]
member = ["{app}"]
[cache.pages]
{cache}
[cache.other]
[site.all]
route = [
  { path = "/other", pool = "app", cache = "other" },
  { path = "/", pool = "app", cache = "pages", cache-bypass = { query = [{ name = "past", present = true }] } },
]
"#;

const ADMIN: &str = "[admin]\nsocket = \"admin.sock\"";
const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");

struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    fn start() -> World {
        World::with(ADMIN, "")
    }

    fn with(admin: &str, cache: &str) -> World {
        let app = Origin::start();
        World { gateway: Gateway::start(&config(&app, admin, cache)), app }
    }

    fn socket(&self) -> PathBuf {
        self.gateway.place().join("admin.sock")
    }

    /// Asks the operator's socket.
    #[track_caller]
    fn ask(&self, method: &str, target: &str, body: &str) -> Response {
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        client(&self.socket()).request(method, target, &form, body.as_bytes())
    }

    #[track_caller]
    fn purge(&self, target: &str, body: &str) -> u64 {
        self.ask("POST", target, body).expect(200).json()["objects"].as_u64().expect("a number of objects")
    }

    /// What the gateway says of a cache.
    #[track_caller]
    fn cache(&self, name: &str) -> Value {
        self.ask("GET", &format!("/caches/{name}"), "").expect(200).json()
    }

    /// A request through the cache: what it said.
    #[track_caller]
    fn get(&self, target: &str) -> String {
        self.get_with(target, &[])
    }

    #[track_caller]
    fn get_with(&self, target: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.gateway.client().ask(target, fields);
        let status = answer.fields.get("cache-status").unwrap_or_default();
        status.split(";ttl").next().unwrap_or_default().to_owned()
    }

    fn says(&self, target: &str, fields: &[(&str, &str)], body: &str) {
        self.app.on(target, behaviour::answers_with(200, fields, body));
    }

    /// Stores these, and sees that they are.
    fn store(&self, targets: &[&str], fields: &[(&str, &str)]) {
        for target in targets {
            self.says(target, &[&[FRESH], fields].concat(), "x");
            self.get(target);
            assert_eq!(self.get(target), "weir;hit", "{target}");
        }
    }

    fn url(&self, target: &str) -> String {
        format!("http://any.example{target}")
    }

    fn reload(&self, config: &Config, said: &str) {
        let before = self.gateway.log_count(said);
        self.gateway.rewrite_config(config);
        self.gateway.signal(Signal::Reload);
        eventually(said, || (self.gateway.log_count(said) > before).then_some(()));
    }
}

fn config(app: &Origin, admin: &str, cache: &str) -> Config {
    Config::text(CONFIG).fill("admin", admin).fill("cache", cache).fill("app", &app.url())
}

#[track_caller]
fn client(socket: &std::path::Path) -> Client {
    Client::connect(&format!("unix:{}", socket.display()))
}

fn can_connect(socket: &std::path::Path) -> bool {
    UnixStream::connect(socket).is_ok()
}

#[test]
fn the_socket_is_the_gateways_own_unless_the_config_shares_it() {
    for (admin, mode) in [(ADMIN, 0o600), ("[admin]\nsocket = \"admin.sock\"\nmode = \"0660\"", 0o660)] {
        let mut world = World::with(admin, "");
        let found = fs::metadata(world.socket()).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{admin}");
        world.ask("GET", "/", "").expect(200);
        world.gateway.signal(Signal::Terminate);
        assert_eq!(world.gateway.wait_exit(PATIENCE), Some(0));
        assert!(!world.socket().exists(), "the file is gone with the gateway");
    }
    let world = World::with("", "");
    assert!(!world.socket().exists());
}

#[test]
fn a_group_may_be_let_in() {
    let own = fs::metadata("/proc/self").unwrap().gid();
    let world = World::with(&format!("{ADMIN}\ngroup = {own}"), "");
    let found = fs::metadata(world.socket()).unwrap();
    assert_eq!((found.permissions().mode() & 0o7777, found.gid()), (0o660, own));
}

#[test]
fn a_stale_socket_is_replaced_and_a_living_one_refuses_the_start() {
    let app = Origin::start();
    let place = weir_tests::Place::fresh();
    let socket = place.join("admin.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let admin = format!("[admin]\nsocket = {:?}", socket.display().to_string());
    let first = Gateway::start(&config(&app, &admin, ""));
    client(&socket).get("/").expect(200);
    let mut second = Gateway::spawn(&config(&app, &admin, ""));
    assert_eq!(second.wait_exit(PATIENCE), Some(1));
    second.logged(&format!("admin: cannot bind unix:{}: the address is in use", socket.display()));
    client(&socket).get("/").expect(200);
    drop(first);
    // It was killed, so the file is there and nobody is behind it.
    assert!(socket.exists() && !can_connect(&socket));
    let _third = Gateway::start(&config(&app, &admin, ""));
    client(&socket).get("/").expect(200);
}

#[test]
fn a_reload_adds_moves_changes_and_removes_the_socket() {
    let world = World::with("", "");
    let (first, second) = (world.socket(), world.gateway.place().join("moved.sock"));
    let with = |admin: &str| config(&world.app, admin, "");
    world.reload(&with(ADMIN), "\"reloaded\"");
    client(&first).get("/").expect(200);
    let inode = fs::metadata(&first).unwrap().ino();
    world.reload(&with(&format!("{ADMIN}\nmode = \"0620\"")), "\"reloaded\"");
    let found = fs::metadata(&first).unwrap();
    assert_eq!((found.ino(), found.permissions().mode() & 0o7777), (inode, 0o620));
    let mut early = client(&first);
    early.send("GET / HTTP/1.1\r\nHo");
    world.reload(&with("[admin]\nsocket = \"moved.sock\""), "\"reloaded\"");
    assert!(!first.exists() && !can_connect(&first));
    client(&second).get("/").expect(200);
    early.send("st: weir\r\n\r\n").response().expect(200);
    // A path that cannot be had refuses the reload as a whole.
    fs::write(&first, "a file").unwrap();
    world.reload(&with(ADMIN), "reload refused");
    world.gateway.logged("a file that is no socket has that name");
    client(&second).get("/").expect(200);
    // Somebody removed the file: a reload makes it again.
    fs::remove_file(&second).unwrap();
    world.reload(&with("[admin]\nsocket = \"moved.sock\""), "\"reloaded\"");
    client(&second).get("/").expect(200);
    world.reload(&with(""), "\"reloaded\"");
    assert!(!second.exists() && fs::read_to_string(&first).unwrap() == "a file");
}

#[test]
fn a_reload_that_is_refused_costs_no_cache() {
    let world = World::start();
    world.store(&["/a"], &[]);
    fs::write(world.gateway.place().join("taken"), "a file").unwrap();
    let taken = "[admin]\nsocket = \"taken\"";
    world.reload(&config(&world.app, taken, "memory = \"8MiB\""), "reload refused");
    assert_eq!(world.get("/a"), "weir;hit");
    world.reload(&config(&world.app, ADMIN, ""), "\"reloaded\"");
    assert_eq!(world.get("/a"), "weir;hit");
}

#[test]
fn what_is_asked_wrongly_is_told_what_would_be_right() {
    let world = World::start();
    for (method, target, body, status, said) in [
        ("GET", "/nothing", "", 404, "there is nothing at \"/nothing\"; / lists what there is"),
        ("GET", "/caches/", "", 404, "there is nothing at \"/caches/\""),
        ("GET", "/caches/page", "", 404, "cache \"page\" is not defined; known caches: pages, other"),
        ("POST", "/caches/page/purge", "all", 404, "cache \"page\" is not defined; known caches: pages, other"),
        ("DELETE", "/caches/pages", "", 405, "/caches/pages knows GET, HEAD only"),
        ("GET", "/caches/pages/purge", "", 405, "/caches/pages/purge knows POST only"),
        ("POST", "/metrics", "", 405, "/metrics knows GET, HEAD only"),
        ("POST", "/caches/pages/purge", "", 400, "purge: nothing is meant"),
        ("POST", "/caches/pages/purge", "soft", 400, "purge: nothing is meant"),
        ("POST", "/caches/pages/purge", "colour=red", 400, "purge: \"colour\" is not a word here"),
        ("POST", "/caches/pages/purge", "match=(", 400, "purge: \"(\" is not a pattern: unclosed group"),
        ("POST", "/caches/pages/purge", "all&older-than=old", 400, "right would be older-than=1h"),
        ("POST", "/caches/pages/purge", "url=%2Fa", 400, "purge: \"/a\" is not a URL to forget"),
        ("POST", "/caches/pages/purge", "url=http://a&url=http://b", 400, "purge: url and another url"),
        ("POST", "/caches/pages/purge", "url=http://a&all", 400, "purge: all and url cannot both be meant"),
        ("POST", "/caches/pages/purge", "all&host=a&host=b", 400, "purge: host is said twice"),
        ("POST", "/caches/pages/purge", &"a&".repeat(40_000), 413, "the body is longer than 65536 bytes"),
    ] {
        let answer = world.ask(method, target, body);
        let text = answer.expect(status).json()["error"].as_str().unwrap_or_default().to_owned();
        assert!(text.contains(said), "{method} {target} {body:.20}: {text}");
        assert!(answer.says_close());
        match status {
            405 if target.ends_with("purge") => assert_eq!(answer.field("allow"), "POST"),
            405 => assert_eq!(answer.field("allow"), "GET, HEAD"),
            _ => assert_eq!(answer.fields.get("allow"), None),
        }
    }
    let foreign = [("Origin", "https://evil.example")];
    let mut stranger = client(&world.socket());
    stranger.request("POST", "/caches/purge", &foreign, b"all").expect(403);
    let json = [("Content-Type", "text/plain")];
    client(&world.socket()).request("POST", "/caches/purge", &json, b"all").expect(415);
    for garbage in ["\0\0\0\0\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"] {
        let answer = client(&world.socket()).send(garbage).rest();
        assert!(answer.starts_with(b"HTTP/1.1 400 ") || answer.is_empty(), "{garbage:?}");
    }
    let head = world.ask("HEAD", "/caches", "");
    assert!(head.expect(200).field("content-length").parse::<usize>().unwrap() > 100);
    world.ask("GET", "/", "").expect(200);
}

#[test]
fn everything_there_is_is_listed() {
    let world = World::start();
    let list = world.ask("GET", "/", "").expect(200).json();
    assert_eq!(list["generation"], 1);
    let pages = list["pages"].as_array().unwrap();
    assert!(pages.len() >= 6);
    for page in pages {
        let path = page["path"].as_str().unwrap().replace("{cache}", "pages");
        let answer = world.ask(page["method"].as_str().unwrap(), &path, "");
        assert!([200, 400].contains(&answer.status), "{path}: {answer}");
    }
}

#[test]
fn urls_prefixes_tags_and_everything_are_forgotten() {
    let world = World::start();
    let restore = || {
        world.store(&["/a", "/b/1", "/b/2"], &[("Surrogate-Key", "news sports")]);
        world.store(&["/c", "/other"], &[("Cache-Tag", "culture")]);
    };
    let (url, below) = (world.url("/a"), world.url("/b/"));
    for (target, order, objects, gone) in [
        ("/caches/pages/purge", format!("url={url}"), 1, &["/a"][..]),
        ("/caches/pages/purge", format!("url={below}&prefix"), 2, &["/b/1", "/b/2"]),
        ("/caches/pages/purge", "tag=sports".to_owned(), 3, &["/a", "/b/1", "/b/2"]),
        ("/caches/pages/purge", "tag=sports&tag=culture".to_owned(), 4, &["/a", "/b/1", "/b/2", "/c"]),
        ("/caches/pages/purge", "all".to_owned(), 4, &["/a", "/b/1", "/b/2", "/c"]),
        ("/caches/other/purge", "all".to_owned(), 1, &["/other"]),
        ("/caches/purge", "tag=culture".to_owned(), 2, &["/c", "/other"]),
        ("/caches/purge", "all".to_owned(), 5, &["/a", "/b/1", "/b/2", "/c", "/other"]),
        ("/caches/purge", format!("url={}", world.url("/nowhere")), 0, &[]),
        ("/caches/pages/purge", "match=%2F%5B12%5D%24".to_owned(), 2, &["/b/1", "/b/2"]),
        ("/caches/pages/purge", "all&host=other.example".to_owned(), 0, &[]),
        ("/caches/purge", "all&older-than=1h".to_owned(), 0, &[]),
        ("/caches/purge", "tag=culture&status=200&host=*.example".to_owned(), 2, &["/c", "/other"]),
    ] {
        restore();
        assert_eq!(world.purge(target, &order), objects, "{target} {order}");
        for path in ["/a", "/b/1", "/b/2", "/c", "/other"] {
            let expected = if gone.contains(&path) { "weir;fwd=uri-miss;stored" } else { "weir;hit" };
            assert_eq!(world.get(path), expected, "{path} after {target} {order}");
        }
    }
}

#[test]
fn an_order_may_stand_in_the_query_or_in_json_and_may_be_soft() {
    let world = World::start();
    world.store(&["/a", "/b"], &[("ETag", "\"one\""), ("Surrogate-Key", "news")]);
    let target = format!("/caches/pages/purge?soft&url={}", world.url("/a"));
    assert_eq!(world.purge(&target, ""), 1);
    world.app.on("/a", behaviour::answers_with(304, &[FRESH, ("ETag", "\"one\"")], ""));
    assert_eq!(world.get("/a"), "weir;fwd=stale;fwd-status=304;stored");
    assert_eq!(world.get("/b"), "weir;hit");
    let json = [("Content-Type", "application/json; charset=utf-8")];
    let order = br#"{"tag": ["news", "sports"], "soft": false}"#;
    let answer = client(&world.socket()).request("POST", "/caches/pages/purge", &json, order);
    assert_eq!(answer.expect(200).json()["caches"][0], serde_json::json!({ "name": "pages", "objects": 2 }));
    assert_eq!(world.get("/b"), "weir;fwd=uri-miss;stored");
}

/// The samples of `/metrics` that are about a cache, as far as they are not zero.
fn metrics(world: &World, of: &str) -> Vec<String> {
    let answer = world.ask("GET", "/metrics", "");
    assert_eq!(answer.expect(200).field("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    let lines = text.lines().filter(|line| line.starts_with(of) && line.contains("cache=\"pages\""));
    lines.filter(|line| !line.ends_with(" 0")).map(|line| line.trim_start_matches(of).to_owned()).collect()
}

/// What of a text breaks the format (Prometheus, version 0.0.4) or its rules for names; series with their values, if nothing does.
fn checked(text: &str) -> Result<Vec<(String, f64)>, String> {
    let is_name = |name: &str| {
        let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
        first && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let (mut families, mut helps, mut series): (Vec<&str>, Vec<&str>, Vec<(String, f64)>) = Default::default();
    if !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
            let kind =
                lines.next().and_then(|line| line.strip_prefix("# TYPE ")?.strip_prefix(name)?.strip_prefix(' '));
            let ends = (name.ends_with("_total"), name.ends_with("_info"));
            if !is_name(name) || families.contains(&name) || help.is_empty() || helps.contains(&help) {
                return wrong("a family without a name or text of its own");
            }
            if !matches!((kind, ends), (Some("counter"), (true, _)) | (Some("gauge"), (false, _))) {
                return wrong("a counter is what ends with _total");
            }
            if name.contains("bytes") && !name.trim_end_matches("_total").ends_with("_bytes") {
                return wrong("the unit is not the last word");
            }
            families.push(name);
            helps.push(help);
            continue;
        }
        let Some((sample, value)) = line.rsplit_once(' ') else { return wrong("no sample") };
        let (name, labels) = sample.split_once('{').map_or((sample, None), |(name, rest)| (name, Some(rest)));
        if families.last() != Some(&name) {
            return wrong("not behind its family");
        }
        for pair in labels.into_iter().flat_map(|labels| labels.trim_end_matches('}').split(',')) {
            let value =
                pair.split_once("=\"").filter(|(name, _)| is_name(name)).and_then(|(_, it)| it.strip_suffix('"'));
            if value.is_none_or(|value| value.contains(['"', '\\', '\n'])) {
                return wrong("a label is not right");
            }
        }
        if labels.is_some() != sample.ends_with('}') || series.iter().any(|(known, _)| known == sample) {
            return wrong("labels have no end, or are there already");
        }
        let Ok(value) = value.parse() else { return wrong("not a number") };
        series.push((sample.to_owned(), value));
    }
    Ok(series)
}

#[test]
fn metrics_are_what_monitoring_reads_and_agree_with_each_other() {
    let place = weir_tests::Place::fresh();
    let disk = format!("memory = \"1MiB\"\ndisk = {{ path = {:?}, size = \"16MiB\" }}", place.join("store"));
    let world = World::with(ADMIN, &disk);
    world.store(&["/a", "/b", "/c"], &[("Surrogate-Key", "news")]);
    let values = || {
        let text = world.ask("GET", "/metrics", "").expect(200).text();
        let series = checked(&text).unwrap_or_else(|wrong| panic!("{wrong}"));
        move |name: &str, more: &str| -> f64 {
            let begin = format!("{name}{{cache=\"pages\"{more}");
            series.iter().filter(|(series, _)| series.starts_with(&begin)).map(|(_, value)| value).sum()
        }
    };
    let (memory, on_disk) = (",shelf=\"memory\"", ",shelf=\"disk\"");
    eventually("all is counted", || {
        let of = values();
        (of("weir_cache_requests_total", "") == 6.0 && of("weir_cache_stores_total", on_disk) == 3.0).then_some(())
    });
    world.purge("/caches/pages/purge", &format!("url={}", world.url("/a")));
    assert_eq!(world.purge("/caches/pages/purge", "tag=news&soft"), 4);
    let of = values();
    for shelf in [memory, on_disk] {
        let counted = ["stores", "objects", "purged"].map(|what| {
            let end = if what == "objects" { "" } else { "_total" };
            of(&format!("weir_cache_{what}{end}"), shelf)
        });
        assert_eq!(counted, [3.0, 2.0, 3.0], "{shelf}");
        assert!(of("weir_cache_size_bytes", shelf) > 0.0);
    }
    assert_eq!(
        (of("weir_cache_capacity_bytes", memory), of("weir_cache_capacity_bytes", on_disk)),
        (1048576.0, 16777216.0)
    );
    assert_eq!((of("weir_cache_read_failures_total", on_disk), of("weir_cache_complete", "")), (0.0, 1.0));
    // Somebody broke a file: that costs the object, and is told.
    for file in fs::read_dir(place.join("store/objects"))
        .unwrap()
        .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
    {
        let path = file.unwrap().path();
        let length = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![0; length as usize]).unwrap();
    }
    let disk = disk.replace("memory = \"1MiB\"", "memory = \"off\"");
    world.reload(&config(&world.app, ADMIN, &disk), "\"reloaded\"");
    world.get("/b");
    assert!(values()("weir_cache_read_failures_total", on_disk) >= 1.0);
    for wrong in [
        "x 1",
        "# HELP x_total A.\n# TYPE x_total gauge\nx_total 1\n",
        "# HELP x A.\n# TYPE x counter\nx 1\n",
        "# HELP x A.\n# TYPE x gauge\nx{a=\"b\"c\"} 1\n",
        "# HELP x A.\n# TYPE x gauge\nx 1\nx 2\n",
        "# HELP x A.\n# TYPE x gauge\ny 1\n",
    ] {
        assert!(checked(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn every_request_is_counted_once_and_every_byte_that_left() {
    let world = World::start();
    let (long, gate) = ("x".repeat(1000), Gate::closed());
    world.says("/a", &[FRESH, ("ETag", "\"one\"")], &long);
    world.says("/own", &[("Cache-Control", "no-store")], "12345");
    let stale = [("Cache-Control", "max-age=60, stale-if-error=600"), ("Age", "100"), ("ETag", "\"s\"")];
    world.says("/stale", &stale, "123");
    assert_eq!(world.get("/a"), "weir;fwd=uri-miss;stored");
    for _ in 0..3 {
        assert_eq!(world.get("/a"), "weir;hit");
    }
    // A part of it, its head alone, and none of it: hits, of which less leaves.
    assert_eq!(world.get_with("/a", &[("Range", "bytes=0-9")]), "weir;hit");
    assert_eq!(world.get_with("/a", &[("If-None-Match", "\"one\"")]), "weir;hit");
    world.gateway.client().request("HEAD", "/a", &[], b"");
    world.get("/own");
    assert_eq!(world.get("/a?past"), "weir;fwd=bypass");
    world.gateway.client().request("POST", "/own", &[], b"body");
    world.get_with("/none", &[("Cache-Control", "only-if-cached")]);
    world.get("/stale");
    world.app.next(behaviour::answers_with(304, &stale, ""));
    assert_eq!(world.get("/stale"), "weir;fwd=stale;fwd-status=304;stored");
    world.app.next(behaviour::answers(503, "sorry"));
    world.get("/stale");
    // Somebody who joins what another one fetches.
    world.app.on("/slow", behaviour::waits_for(&gate, behaviour::answers_with(200, &[FRESH], "12")));
    let mut clients: Vec<Client> = (0..3).map(|_| world.gateway.client()).collect();
    for client in &mut clients {
        client.send("GET /slow HTTP/1.1\r\nHost: any.example\r\n\r\n");
    }
    world.app.await_requests(8);
    eventually("all wait", || (world.cache("pages")["flights"] == 1).then_some(()));
    gate.open();
    let answers: Vec<Response> = clients.iter_mut().map(Client::response).collect();
    let word = |answer: &Response| answer.field("cache-status");
    let collapsed = answers.iter().filter(|answer| word(answer).contains(";collapsed")).count() as u64;
    let hits = answers.iter().filter(|answer| word(answer).starts_with("weir;hit")).count() as u64;
    assert_eq!(collapsed + hits, 2, "{answers:?}");
    let expected = |name: &str, number: u64| (name.to_owned(), number);
    let requests = [
        expected("hit", 6 + hits),
        expected("stale", 1),
        expected("revalidated", 1),
        expected("collapsed", collapsed),
        expected("miss", 4),
        expected("bypass", 2),
        expected("unavailable", 1),
    ];
    let seen = eventually("all exchanges are over", || {
        let seen = world.cache("pages");
        let counted = requests.iter().map(|(name, _)| seen["requests"][name].as_u64().unwrap()).sum::<u64>();
        (counted == requests.iter().map(|(_, number)| number).sum::<u64>()).then_some(seen)
    });
    for (name, number) in &requests {
        assert_eq!(seen["requests"][name], *number, "{name} in {seen}");
    }
    let bytes = |name: &str| seen["bytes"][name].as_u64().unwrap();
    assert_eq!(bytes("hit"), 3 * 1000 + 10 + 2 * hits);
    assert_eq!((bytes("stale"), bytes("revalidated"), bytes("collapsed")), (3, 3, 2 * collapsed));
    assert_eq!(bytes("miss"), 1000 + 5 + 3 + 2);
    // The same, as monitoring reads it.
    let text = metrics(&world, "weir_cache_requests_total");
    assert!(text.contains(&format!("{{cache=\"pages\",result=\"hit\"}} {}", 6 + hits)), "{text:?}");
    assert_eq!(metrics(&world, "weir_cache_objects"), ["{cache=\"pages\",shelf=\"memory\"} 3"]);
    assert_eq!(world.cache("other")["requests"]["miss"], 0);
    // Counters go on over a reload, also where the cache begins anew.
    world.reload(&config(&world.app, ADMIN, "memory = \"8MiB\""), "\"reloaded\"");
    let seen = world.cache("pages");
    assert_eq!(
        (&seen["requests"]["hit"], &seen["memory"]["capacity"]),
        (&Value::from(6 + hits), &Value::from(8 << 20))
    );
    assert_eq!(world.ask("GET", "/", "").json()["generation"], 2);
}

#[test]
fn bytes_are_counted_as_they_leave() {
    let world = World::start();
    let length = 4 << 20;
    world.says("/big", &[FRESH], &"x".repeat(length));
    world.get("/big");
    let mut client = Client::connect_narrow(&world.gateway.addr("web"));
    client.send("GET /big HTTP/1.1\r\nHost: any.example\r\n\r\n");
    client.response_head();
    client.reset();
    let seen = eventually("the hit is over", || {
        let seen = world.cache("pages");
        (seen["requests"]["hit"] == 1).then_some(seen)
    });
    let bytes = seen["bytes"]["hit"].as_u64().unwrap();
    assert!(bytes < length as u64, "{bytes}");
}

#[test]
fn evictions_are_counted() {
    let world = World::with(ADMIN, "memory = \"1MiB\"\nmax-object = \"512KiB\"");
    for number in 0..12 {
        let target = format!("/{number}");
        world.says(&target, &[FRESH], &"x".repeat(300_000));
        world.get(&target);
    }
    let memory = world.cache("pages")["memory"].clone();
    let (objects, evictions) = (memory["objects"].as_u64().unwrap(), memory["evictions"].as_u64().unwrap());
    assert!(objects > 0 && objects + evictions == 12, "{memory}");
    assert!(memory["bytes"].as_u64().unwrap() <= 1 << 20);
}

#[test]
fn who_says_nothing_keeps_nobody_out() {
    let world = World::start();
    let silent: Vec<UnixStream> = (0..100).map(|_| UnixStream::connect(world.socket()).unwrap()).collect();
    let mut halves: Vec<Client> = (0..100).map(|_| client(&world.socket())).collect();
    for half in &mut halves {
        // Those that had to leave already do not take it.
        let _ = half.try_send("POST /caches/purge HTTP/1.1\r\nHost: weir\r\nContent-Length: 9\r\n\r\nall");
    }
    for _ in 0..20 {
        world.ask("GET", "/caches", "").expect(200);
    }
    world.store(&["/a"], &[]);
    assert_eq!(world.purge("/caches/pages/purge", "all"), 1);
    drop((silent, halves));
}

#[test]
fn counters_are_told_under_load_and_the_sum_is_right() {
    const THREADS: u64 = 4;
    let app = Origin::start();
    let gateway = Gateway::start(&config(&app, ADMIN, "").top("threads = 3"));
    let world = World { gateway, app };
    world.store(&["/a"], &[]);
    let (done, asked) = (AtomicBool::new(false), 300);
    thread::scope(|scope| {
        let loads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = world.gateway.client();
                    (0..asked).for_each(|_| assert_eq!(client.get("/a").status, 200));
                })
            })
            .collect();
        scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let now = world.cache("pages")["requests"]["hit"].as_u64().unwrap();
                assert!(now >= last, "{now} after {last}");
                last = now;
                world.ask("GET", "/metrics", "").expect(200);
            }
        });
        loads.into_iter().for_each(|load| load.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let expected = THREADS * asked + 1;
    eventually("all is counted", || (world.cache("pages")["requests"]["hit"] == expected).then_some(()));
    assert_eq!(world.cache("pages")["bytes"]["hit"], expected);
}

#[test]
fn the_command_shows_and_purges() {
    let world = World::start();
    let place = world.gateway.place();
    world.store(&["/a", "/b"], &[("Surrogate-Key", "news")]);
    eventually("both hits are counted", || (world.cache("pages")["requests"]["hit"] == 2).then_some(()));
    let shown = weir(place, &["cache", "status"]);
    assert_eq!((shown.code, shown.err.as_str()), (Some(0), ""));
    let lines: Vec<&str> = shown.out.lines().collect();
    assert!(lines[0].starts_with("CACHE  REQUESTS  FROM CACHE  IN MEMORY"), "{shown:?}");
    assert!(lines[1].starts_with("pages         4       50.0%  2, "), "{shown:?}");
    assert!(lines[2].starts_with("other         0           -  0, 0 B of 64 MiB "), "{shown:?}");
    let shown = weir(place, &["cache", "status", "-c", "weir.toml", "pages"]);
    assert!(shown.code == Some(0) && shown.out.contains("\nrequests   hit 2, stale 0, "), "{shown:?}");
    let socket = world.socket().display().to_string();
    for (arguments, said) in [
        (&["--url", "http://any.example/a", "pages"][..], "pages: 1 object forgotten\n"),
        (&["--prefix", "//any.example/", "--soft", "pages"], "pages: 1 object stale from now on\n"),
        (&["--tag", "news", "--tag", "sports"], "pages: 1 object forgotten\nother: 0 objects forgotten\n"),
        (&["--match", "^/$", "--older-than", "1h", "pages"], "pages: 0 objects forgotten\n"),
        (&["--all", "--socket", &socket, "other"], "other: 0 objects forgotten\n"),
    ] {
        let purged = weir(place, &[&["cache", "purge"], arguments].concat());
        assert_eq!((purged.code, purged.out.as_str(), purged.err.as_str()), (Some(0), said, ""), "{arguments:?}");
    }
    assert_eq!(world.get("/b"), "weir;fwd=uri-miss;stored");
    for (arguments, code, said) in [
        (&["purge", "--all", "page"][..], 2, "weir: cache \"page\" is not defined; known caches: pages, other\n"),
        (&["purge", "--url", "/a"], 2, "weir: purge: \"/a\" is not a URL to forget"),
        (&["status", "a/../b"], 2, "weir: cache \"a%2F..%2Fb\" is not defined"),
        (&["status", "--socket", "none.sock"], 1, "weir: cannot ask none.sock: "),
        (&["status", "-c", "none.toml"], 2, "none.toml: cannot be read"),
        (&["purge"], 2, "--all"),
    ] {
        let ended = weir(place, &[&["cache"], arguments].concat());
        assert!(ended.code == Some(code) && ended.err.contains(said), "{arguments:?}: {ended:?}");
    }
    place.write("bare.toml", "[listener.web]\nbind = \"127.0.0.1:0\"\n[site.all]\nroute = [{ respond = {} }]");
    let ended = weir(place, &["cache", "status", "-c", "bare.toml"]);
    assert!(ended.code == Some(2) && ended.err.starts_with("bare.toml: there is no [admin]"), "{ended:?}");
}
