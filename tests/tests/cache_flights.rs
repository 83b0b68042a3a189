//! What many clients cost that want the same at once and do not find it: who asks the upstream, what the others get, and what
//! becomes of them when the first one is slow, the upstream is dead, or the answer is for nobody else.

use std::collections::HashSet;
use std::thread;
use std::time::{Duration, Instant};

use weir_tests::origin::{Behaviour, Then};
use weir_tests::{
    Client, Config, Framing, Gate, Gateway, Origin, PATIENCE, Place, RefusedPort, Response, Signal, behaviour,
    eventually,
};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[access-log]
path = "access.log"
format = '${request.method} ${request.path} ${response.status} ${variable.cache.status} ${failure}'
[pool.app]
member = ["{app}"]
{pool}
[cache.pages]
{cache}
[site.all]
route = [{ pool = "app", cache = "pages" }]
"#;

const FRESH: (&str, &str) = ("Cache-Control", "max-age=3600");
const MIB: usize = 1 << 20;

/// A gateway with a cache, and the upstream behind it.
struct World {
    gateway: Gateway,
    app: Origin,
}

impl World {
    fn start(cache: &str, pool: &str) -> World {
        let app = Origin::start();
        World { gateway: Gateway::start(&config(&app.url(), cache, pool)), app }
    }

    /// A client that has asked, and reads nothing yet.
    fn asks(&self, target: &str, fields: &str) -> Client {
        let mut client = Client::connect_narrow(&self.gateway.addr("web"));
        client.send(format!("GET {target} HTTP/1.1\r\nHost: any.example\r\n{fields}\r\n"));
        client
    }

    /// Waits until all that was asked so far waits in the gateway: whoever comes behind it on its thread is served behind it.
    fn settle(&self) {
        for _ in 0..2 {
            let behind = self.gateway.client().ask("/behind", &[("Cache-Control", "only-if-cached")]);
            behind.expect(504);
        }
    }

    fn ask_at_once(&self, count: usize, target: &str, fields: &str) -> Vec<Client> {
        (0..count).map(|_| self.asks(target, fields)).collect()
    }
}

fn config(app: &str, cache: &str, pool: &str) -> Config {
    Config::text(CONFIG).fill("cache", cache).fill("pool", pool).fill("app", app)
}

fn responses(clients: Vec<Client>) -> Vec<Response> {
    clients.into_iter().map(|mut client| client.response()).collect()
}

fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from((at / 7 + at / 1013) % 251).unwrap()).collect()
}

/// Sends so much of a content at once, and the rest when the gate opens.
fn sends(content: Vec<u8>, at_once: usize, gate: &Gate, is_chunked: bool) -> Behaviour {
    let gate = gate.clone();
    behaviour::does(move |exchange| {
        exchange.read_body()?;
        let length = content.len().to_string();
        let framing = if is_chunked { ("Transfer-Encoding", "chunked") } else { ("Content-Length", length.as_str()) };
        exchange.write_head(200, &[FRESH, ("ETag", "\"one\""), framing])?;
        for (number, half) in [&content[..at_once], &content[at_once..]].into_iter().enumerate() {
            if number == 1 {
                gate.pass();
            }
            for piece in half.chunks(100_000) {
                if is_chunked {
                    exchange.write(format!("{:x}\r\n", piece.len()))?;
                }
                exchange.write(piece)?;
                if is_chunked {
                    exchange.write("\r\n")?;
                }
            }
        }
        if is_chunked {
            exchange.write("0\r\n\r\n")?;
        }
        Ok(Then::Keep)
    })
}

fn opened() -> Gate {
    let gate = Gate::closed();
    gate.open();
    gate
}

/// Knows ranges, of which one is asked for.
fn knows_ranges(content: Vec<u8>) -> Behaviour {
    behaviour::does(move |exchange| {
        exchange.read_body()?;
        let all = content.len();
        let asked = exchange.request.fields.get("range").unwrap_or_default();
        let range = asked.strip_prefix("bytes=").and_then(|spec| spec.split_once('-'));
        let Some((first, last)) = range else {
            exchange.write_head(200, &[FRESH, ("ETag", "\"one\""), ("Content-Length", &all.to_string())])?;
            // Who wanted less has left.
            let _ = exchange.write(&content);
            return Ok(Then::Close);
        };
        let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
            (Ok(first), Ok(last)) => (first, last.min(all - 1)),
            (Ok(first), Err(_)) => (first, all - 1),
            (Err(_), last) => (all - last.unwrap_or(0), all - 1),
        };
        let said = format!("bytes {first}-{last}/{all}");
        let length = (last + 1 - first).to_string();
        exchange
            .write_head(206, &[FRESH, ("ETag", "\"one\""), ("Content-Range", &said), ("Content-Length", &length)])?;
        exchange.write(&content[first..=last])?;
        Ok(Then::Keep)
    })
}

fn shelves(place: &Place) -> Vec<String> {
    let disk = |name: &str| format!("disk = {{ path = \"{}/{name}\", size = \"256MiB\" }}", place.path().display());
    vec![String::new(), format!("memory = \"off\"\n{}", disk("one")), format!("memory = \"1MiB\"\n{}", disk("two"))]
}

#[test]
fn a_client_that_reads_nothing_keeps_nobody_from_following() {
    let place = Place::fresh();
    for cache in shelves(&place) {
        let world = World::start(&cache, "");
        let all = content(8 * MIB);
        let gate = Gate::closed();
        world.app.on("/a", sends(all.clone(), 5 * MIB, &gate, false));
        let mut slow = world.asks("/a", "");
        world.app.await_requests(1);
        let mut fast = world.asks("/a", "");
        assert_eq!(fast.response_head().0, 200);
        let mut got = Vec::new();
        while got.len() < 5 * MIB {
            got.extend(fast.some().unwrap());
        }
        gate.open();
        while got.len() < 8 * MIB {
            got.extend(fast.some().unwrap());
        }
        assert!(got == all, "{cache}");
        eventually("it is stored", || (world.gateway.get("/a").cache_status() == "weir;hit").then_some(()));
        assert!(slow.response().body == all, "{cache}");
        assert_eq!(world.app.count("/a"), 1);
    }
}

#[test]
fn what_breaks_off_is_told_after_all_that_came() {
    let place = Place::fresh();
    for cache in shelves(&place) {
        let world = World::start(&cache, "");
        let all = content(6 * MIB);
        let gate = Gate::closed();
        let (part, opened) = (all.clone(), gate.clone());
        world.app.next(behaviour::does(move |exchange| {
            exchange.read_body()?;
            exchange.write_head(200, &[FRESH, ("Content-Length", "9999999")])?;
            exchange.write(&part)?;
            opened.pass();
            Ok(Then::Close)
        }));
        let mut slow = world.asks("/a", "");
        world.app.await_requests(1);
        let mut fast = world.asks("/a", "");
        assert_eq!(fast.response_head().0, 200);
        let mut got = Vec::new();
        while got.len() < all.len() {
            got.extend(fast.some().unwrap());
        }
        gate.open();
        assert!(fast.rest().is_empty() && got == all, "{cache}");
        let cut = slow.try_response().unwrap();
        // But for what its connection's codec had taken and not sent.
        let most = all.len() - cut.body.len();
        assert!(cut.cut.is_some() && all.starts_with(&cut.body) && most < MIB, "{cache}: {most} bytes are missing");
        let lines = world.gateway.access_lines(2);
        assert!(lines.iter().all(|line| line.ends_with("response-cut")), "{lines:?}");
        world.app.on("/a", behaviour::answers_with(200, &[FRESH], "whole"));
        assert_eq!((world.gateway.get("/a").text().as_str(), world.app.count("/a")), ("whole", 2));
    }
}

#[test]
fn what_turns_out_too_large_is_whole_for_the_one_it_was_fetched_for() {
    let place = Place::fresh();
    for cache in shelves(&place) {
        let world = World::start(&format!("max-object = \"1MiB\"\n{cache}"), "");
        let all = content(8 * MIB);
        let gate = Gate::closed();
        world.app.on("/a", sends(all.clone(), MIB / 2, &gate, true));
        let mut slow = world.asks("/a", "");
        world.app.await_requests(1);
        let mut fast = world.asks("/a", "");
        assert_eq!(fast.response_head().0, 200);
        gate.open();
        let fast = thread::spawn(move || fast.drain(Framing::Chunked));
        // Nobody gets far ahead of it.
        thread::sleep(Duration::from_millis(300));
        assert!(!fast.is_finished());
        assert!(slow.response().body == all, "{cache}");
        assert_eq!(fast.join().unwrap().unwrap(), all.len() as u64);
        assert_ne!(world.gateway.get("/a").cache_status(), "weir;hit");
    }
}

#[test]
fn a_follower_has_all_when_the_first_client_leaves() {
    let world = World::start("max-object = \"1MiB\"", "");
    let all = content(8 * MIB);
    let gate = Gate::closed();
    world.app.on("/a", sends(all.clone(), MIB / 2, &gate, true));
    let slow = world.asks("/a", "");
    world.app.await_requests(1);
    let mut fast = world.asks("/a", "");
    assert_eq!(fast.response_head().0, 200);
    gate.open();
    let fast = thread::spawn(move || fast.drain(Framing::Chunked));
    slow.reset();
    assert_eq!(fast.join().unwrap().unwrap(), all.len() as u64);
}

#[test]
fn what_slow_clients_have_not_read_takes_a_bounded_part_of_memory() {
    const CLIENTS: usize = 100;
    let world = World::start("memory = \"8MiB\"\nmax-object = \"4MiB\"", "");
    let all = content(4 * MIB - 1);
    world.app.otherwise(sends(all.clone(), all.len(), &opened(), false));
    let slow: Vec<Client> = (0..CLIENTS).map(|at| world.asks(&format!("/{at}"), "")).collect();
    world.app.await_requests(CLIENTS);
    // As much as it wants to read comes at once.
    let mut before = 0;
    eventually("nothing more is read", || {
        let now = world.gateway.rss_kib();
        thread::sleep(Duration::from_millis(300));
        let is_steady = std::mem::replace(&mut before, now) == now;
        is_steady.then_some(())
    });
    let most = world.gateway.peak_rss_kib();
    assert!(most < 240 << 10, "{most} KiB for {} KiB", CLIENTS * 4096);
    for (at, mut client) in slow.into_iter().enumerate() {
        assert!(client.response().body == all, "{at}");
    }
}

#[test]
fn a_dead_upstream_is_asked_a_few_times_for_many() {
    const CLIENTS: usize = 500;
    for (behaviour, timeout, expected, most) in [
        (behaviour::resets_before_response(), "1m", 502, 9),
        (behaviour::bad_status_line(), "1m", 502, 9),
        (behaviour::never_answers(), "2s", 504, 3),
    ] {
        let world = World::start("", &format!("read-timeout = \"{timeout}\""));
        let gate = Gate::closed();
        world.app.otherwise(behaviour::waits_for(&gate, behaviour));
        let clients = world.ask_at_once(CLIENTS, "/a", "");
        world.app.await_requests(1);
        world.settle();
        gate.open();
        let start = Instant::now();
        let answers = responses(clients);
        assert!(answers.iter().all(|answer| answer.status == expected), "{expected}");
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
        let count = world.app.requests().len();
        assert!(count <= most, "{count} requests for {CLIENTS}");
        let pages: HashSet<_> = answers.iter().map(Response::text).collect();
        assert_eq!(pages.len(), CLIENTS, "each has its own request id");
        assert!(answers.iter().any(|answer| answer.cache_status().contains(";collapsed")));
    }
}

#[test]
fn nobody_waits_long_where_nobody_listens() {
    let refused = RefusedPort::take();
    let gateway = Gateway::start(&config(&refused.url(), "", ""));
    let start = Instant::now();
    let mut clients: Vec<Client> = (0..200).map(|_| gateway.client()).collect();
    for client in &mut clients {
        client.send("GET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for mut client in clients {
        let answer = client.response();
        assert!([502, 503].contains(&answer.status), "{answer}");
    }
    assert!(start.elapsed() < PATIENCE);
}

#[test]
fn beside_one_that_takes_too_long_another_one_asks() {
    let world = World::start("lock-timeout = \"2s\"", "");
    world.app.next(behaviour::never_answers());
    world.app.on("/a", behaviour::answers_with(200, &[FRESH], "for all"));
    let mut stuck = world.asks("/a", "");
    world.app.await_requests(1);
    let answers = responses(world.ask_at_once(100, "/a", ""));
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "for all"));
    assert_eq!(world.app.count("/a"), 2);
    assert!(stuck.is_silent_for(Duration::from_millis(50)));
}

/// What is fresh for a second, and takes longer to come: time itself is what these are about.
const BRIEF: (&str, &str) = ("Cache-Control", "max-age=1");
const LONGER: Duration = Duration::from_millis(1200);

#[test]
fn what_takes_longer_to_come_than_it_is_fresh_is_for_all_who_waited() {
    let world = World::start("", "");
    let tag = ("ETag", "\"one\"");
    for (asked, status) in [(1, 200), (2, 304)] {
        let gate = Gate::closed();
        world.app.next(behaviour::waits_for(&gate, behaviour::answers_with(status, &[BRIEF, tag], "slow")));
        let clients = world.ask_at_once(50, "/a", "");
        world.app.await_requests(asked);
        world.settle();
        thread::sleep(LONGER);
        gate.open();
        let answers = responses(clients);
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "slow"), "{:?}", answers.last());
        assert_eq!(world.app.count("/a"), asked);
        // As everybody else sees it, it is stale.
        let late = world.gateway.client().ask("/a", &[("Cache-Control", "only-if-cached")]);
        late.expect(504);
    }
    // Without a tag, too, of which nothing is left to ask about.
    let gate = Gate::closed();
    world.app.next(behaviour::waits_for(&gate, behaviour::answers_with(200, &[BRIEF], "plain")));
    let clients = world.ask_at_once(50, "/c", "");
    world.app.await_requests(3);
    world.settle();
    thread::sleep(LONGER);
    gate.open();
    assert!(responses(clients).iter().all(|answer| answer.text() == "plain"));
    assert_eq!(world.app.count("/c"), 1);
    // What is to be asked for each time is.
    world.app.on("/b", behaviour::answers_with(200, &[("Cache-Control", "no-cache"), tag], "each"));
    let gate = Gate::closed();
    world
        .app
        .next(behaviour::waits_for(&gate, behaviour::answers_with(200, &[("Cache-Control", "no-cache"), tag], "each")));
    let clients = world.ask_at_once(5, "/b", "");
    world.app.await_requests(4);
    world.settle();
    gate.open();
    responses(clients);
    assert_eq!(world.app.count("/b"), 5);
}

#[test]
fn what_is_over_while_it_comes_is_fetched_anew_once() {
    let place = Place::fresh();
    for cache in shelves(&place) {
        let world = World::start(&cache, "");
        let all = content(MIB);
        let gate = Gate::closed();
        let (old, opened) = (all.clone(), gate.clone());
        world.app.next(behaviour::does(move |exchange| {
            exchange.read_body()?;
            exchange.write_head(200, &[BRIEF, ("Content-Length", &old.len().to_string())])?;
            exchange.write(&old[..1000])?;
            opened.pass();
            exchange.write(&old[1000..])?;
            Ok(Then::Keep)
        }));
        let slowly = Gate::closed();
        world.app.on("/a", behaviour::waits_for(&slowly, behaviour::answers_with(200, &[FRESH], "new")));
        let mut first = world.asks("/a", "");
        world.app.await_requests(1);
        let mut follower = world.asks("/a", "");
        assert_eq!(follower.response_head().0, 200);
        thread::sleep(LONGER);
        let clients = world.ask_at_once(50, "/a", "");
        world.app.await_requests(2);
        world.settle();
        slowly.open();
        let answers = responses(clients);
        assert!(answers.iter().all(|answer| answer.text() == "new"), "{cache}: {:?}", answers.last());
        gate.open();
        assert!(first.response().body == all, "{cache}");
        // What came later is what is kept, though the other one was whole after it.
        assert_eq!(world.gateway.get("/a").text(), "new", "{cache}");
        assert_eq!(world.app.count("/a"), 2, "{cache}");
    }
}

#[test]
fn an_upstream_that_comes_back_is_asked_by_few() {
    let world = World::start("", "");
    let gate = Gate::closed();
    world.app.next(behaviour::waits_for(&gate, behaviour::answers(503, "not yet")));
    let slowly = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&slowly, behaviour::answers_with(200, &[FRESH], "for all")));
    let clients = world.ask_at_once(300, "/a", "");
    world.app.await_requests(1);
    world.settle();
    gate.open();
    world.app.await_requests(9);
    slowly.open();
    let answers = responses(clients);
    assert_eq!(answers.iter().filter(|answer| answer.status == 503).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.text() == "for all").count(), 299);
    assert_eq!(world.app.count("/a"), 9);
}

#[test]
fn an_error_of_the_upstream_is_for_the_one_that_asked() {
    let world = World::start("", "");
    let gate = Gate::closed();
    world.app.on("/a", behaviour::waits_for(&gate, behaviour::answers(500, "broken")));
    let clients = world.ask_at_once(100, "/a", "");
    world.app.await_requests(1);
    world.settle();
    gate.open();
    assert!(responses(clients).iter().all(|answer| answer.status == 500 && answer.text() == "broken"));
    assert_eq!(world.app.count("/a"), 100);
}

#[test]
fn what_is_stale_stands_in_for_all_who_wait() {
    for (behaviour, word) in [(behaviour::resets_before_response(), "502"), (behaviour::answers(503, "broken"), "503")]
    {
        let world = World::start("", "");
        let stale = [("Cache-Control", "max-age=60"), ("Age", "100"), ("ETag", "\"one\"")];
        world.app.on("/a", behaviour::answers_with(200, &stale, "old"));
        world.gateway.get("/a");
        let gate = Gate::closed();
        world.app.on("/a", behaviour::waits_for(&gate, behaviour));
        let clients = world.ask_at_once(200, "/a", "");
        world.app.await_requests(2);
        world.settle();
        gate.open();
        let answers = responses(clients);
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "old"), "{word}");
        let count = world.app.count("/a") - 1;
        assert!(count <= 9, "{count} requests, {word}");
    }
}

#[test]
fn those_who_want_another_variant_wait_for_one_of_their_own() {
    let world = World::start("", "");
    let gate = Gate::closed();
    let opened = gate.clone();
    world.app.on(
        "/a",
        behaviour::does(move |exchange| {
            opened.pass();
            let body = exchange.request.fields.get("accept-encoding").unwrap_or_default();
            thread::sleep(Duration::from_millis(100));
            let length = body.len().to_string();
            exchange.write_head(200, &[FRESH, ("Vary", "Accept-Encoding"), ("Content-Length", &length)])?;
            exchange.write(body)?;
            Ok(Then::Keep)
        }),
    );
    let mut clients = Vec::new();
    for at in 0..150 {
        clients.push(world.asks("/a", &format!("Accept-Encoding: {}\r\n", ["br", "gzip", "zstd"][at % 3])));
    }
    world.app.await_requests(1);
    world.settle();
    gate.open();
    for (at, answer) in responses(clients).iter().enumerate() {
        assert_eq!(answer.text(), ["br", "gzip", "zstd"][at % 3]);
    }
    assert_eq!(world.app.count("/a"), 3);
}

#[test]
fn ranges_of_what_is_not_stored_have_it_fetched_once() {
    let world = World::start("", "");
    let all = content(2 * MIB);
    let gate = Gate::closed();
    world.app.on("/a", sends(all.clone(), MIB, &gate, false));
    let mut clients: Vec<(usize, Client)> = (0..200)
        .map(|at| (at * 100, world.asks("/a", &format!("Range: bytes={}-{}\r\n", at * 100, at * 100 + 99))))
        .collect();
    let mut late = world.asks("/a", &format!("Range: bytes={}-\r\n", 2 * MIB - 10));
    let mut whole = world.asks("/a", "");
    for (first, client) in &mut clients {
        let answer = client.response();
        assert_eq!(answer.expect(206).field("content-range"), format!("bytes {first}-{}/{}", *first + 99, all.len()));
        assert!(answer.body == all[*first..*first + 100]);
    }
    assert_eq!(late.response_head().0, 206);
    gate.open();
    assert_eq!(late.drain(Framing::Length(10)).unwrap(), 10);
    assert!(whole.response().body == all);
    assert_eq!(world.app.count("/a"), 1);
    assert_eq!(world.app.request("/a").fields.get("range"), None);
    let first = world.asks("/a", "Range: bytes=5-5\r\n").response();
    assert_eq!((first.cache_status().as_str(), first.status), ("weir;hit", 206));
}

#[test]
fn ranges_that_are_far_or_of_what_is_not_stored_ask_for_themselves_once() {
    let all = content(6 * MIB);
    for (cache, range, whole, asked) in [
        ("", "bytes=-10", 0, 1),
        ("", "bytes=5000000-5000009", 0, 1),
        ("max-object = \"1MiB\"", "bytes=100-109", 1, 2),
        ("ranges = \"own\"", "bytes=100-109", 0, 1),
    ] {
        let world = World::start(cache, "");
        let gate = Gate::closed();
        world.app.on("/a", behaviour::waits_for(&gate, knows_ranges(all.clone())));
        let clients = world.ask_at_once(100, "/a", &format!("Range: {range}\r\n"));
        world.app.await_requests(1);
        world.settle();
        gate.open();
        let bodies: HashSet<_> = responses(clients)
            .iter()
            .map(|answer| {
                assert_eq!(answer.status, 206, "{cache} {range}: {answer}");
                answer.body.clone()
            })
            .collect();
        assert_eq!(bodies.len(), 1);
        assert_eq!(bodies.iter().next().unwrap().len(), 10);
        let requests = world.app.requests();
        let ranged = requests.iter().filter(|request| request.fields.get("range").as_deref() == Some(range)).count();
        assert_eq!((requests.len() - ranged, ranged), (whole, asked), "{cache} {range}");
    }
}

#[test]
fn a_range_of_a_length_that_nobody_knows_is_the_whole() {
    let world = World::start("", "");
    let all = content(MIB);
    world.app.on("/a", sends(all.clone(), all.len(), &opened(), true));
    let answer = world.asks("/a", "Range: bytes=100-199\r\n").response();
    assert!(answer.expect(200).body == all);
    let hit = world.asks("/a", "Range: bytes=100-199\r\n").response();
    assert!(hit.expect(206).body == all[100..200]);
    assert_eq!(world.app.count("/a"), 1);
}

#[test]
fn a_variant_that_is_for_another_client_too_is_not_sent_again_by_the_upstream() {
    let world = World::start("", "");
    world.app.on(
        "/a",
        behaviour::does(|exchange| {
            let fields = &exchange.request.fields;
            let tag = if fields.get("x-tier").as_deref() == Some("gold") { "\"gold\"" } else { "\"any\"" };
            let is_known = fields.get("if-none-match").is_some_and(|known| known.contains(tag));
            let body = format!("for {tag}");
            let length = body.len().to_string();
            let lines = [FRESH, ("ETag", tag), ("Vary", "X-Tier"), ("Content-Length", length.as_str())];
            match is_known {
                true => exchange.write_head(304, &lines[..3])?,
                false => exchange.write_head(200, &lines)?,
            }
            if !is_known {
                exchange.write(body)?;
            }
            Ok(Then::Keep)
        }),
    );
    for (tier, body, expected) in [
        ("silver", "for \"any\"", "weir;fwd=uri-miss;stored"),
        ("gold", "for \"gold\"", "weir;fwd=vary-miss;stored"),
        ("bronze", "for \"any\"", "weir;fwd=vary-miss;fwd-status=304;stored"),
        ("bronze", "for \"any\"", "weir;hit"),
        ("gold", "for \"gold\"", "weir;hit"),
        ("silver", "for \"any\"", "weir;hit"),
    ] {
        let answer = world.asks("/a", &format!("X-Tier: {tier}\r\n")).response();
        assert_eq!((answer.expect(200).text().as_str(), answer.cache_status().as_str()), (body, expected), "{tier}");
    }
    let asked = world.app.requests()[2].fields.get("if-none-match").unwrap_or_default();
    assert!(asked.contains("\"any\"") && asked.contains("\"gold\""), "{asked}");
}

/// Origins that compress on their way give every coding the same tag.
#[test]
fn nobody_is_given_a_coding_that_it_may_not_understand() {
    let world = World::start("", "");
    world.app.on(
        "/a",
        behaviour::does(|exchange| {
            let fields = &exchange.request.fields;
            let (is_known, packs) =
                (fields.has("if-none-match"), fields.get("accept-encoding").is_some_and(|all| all.contains("gzip")));
            let body = if packs { "packed" } else { "plain." };
            let mut lines = vec![FRESH, ("ETag", "W/\"one\""), ("Vary", "Accept-Encoding, X-Any")];
            if packs && !is_known {
                lines.push(("Content-Encoding", "gzip"));
            }
            if is_known {
                exchange.write_head(304, &lines)?;
                return Ok(Then::Keep);
            }
            lines.push(("Content-Length", "6"));
            exchange.write_head(200, &lines)?;
            exchange.write(body)?;
            Ok(Then::Keep)
        }),
    );
    for (fields, expected) in [
        ("Accept-Encoding: gzip\r\n", "packed"),
        ("Accept-Encoding: br\r\n", "plain."),
        ("", "plain."),
        ("Accept-Encoding: gzip;q=0\r\nX-Any: 1\r\n", "plain."),
        ("Accept-Encoding: br, gzip\r\nX-Any: 1\r\n", "packed"),
    ] {
        let answer = world.asks("/a", fields).response();
        let body = answer.expect(200).text();
        assert!(body == expected || fields.contains("br, gzip"), "{fields}: {body}");
    }
}

#[test]
fn a_disk_is_as_large_as_the_config_says_that_holds_now() {
    let place = Place::fresh();
    let app = Origin::start();
    let url = app.url();
    let sized = |size: &str, most: &str| {
        let path = place.path().display();
        let cache = format!(
            "memory = \"off\"\nmax-object = \"{most}\"\ndisk = {{ path = \"{path}/cache\", size = \"{size}\" }}"
        );
        config(&url, &cache, "")
    };
    let large = content(MIB);
    app.otherwise(sends(large.clone(), large.len(), &opened(), false));
    let world = World { gateway: Gateway::start(&sized("64MiB", "2MiB")), app };
    for at in 0..30 {
        world.gateway.get(&format!("/{at}"));
    }
    let is_hit = |at: usize| world.gateway.get(&format!("/{at}")).cache_status() == "weir;hit";
    eventually("all are there", || (0..30).all(is_hit).then_some(()));
    let reload = |config: &Config| {
        let before = world.gateway.log_count("\"reloaded\"");
        world.gateway.rewrite_config(config);
        world.gateway.signal(Signal::Reload);
        eventually("the new config holds", || (world.gateway.log_count("\"reloaded\"") > before).then_some(()));
    };
    let bytes = || -> u64 {
        let mut folders = vec![place.join("cache")];
        let mut sum = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                    _ => sum += entry.metadata().map_or(0, |known| known.len()),
                }
            }
        }
        sum
    };
    assert!(bytes() > 29 << 20);
    reload(&sized("16MiB", "2MiB"));
    eventually("what is too much leaves", || (bytes() <= 16 << 20).then_some(()));
    assert!(bytes() > 8 << 20, "what there is room for stays");
    reload(&sized("16MiB", "512KiB"));
    assert!(world.gateway.get("/another").cache_status().ends_with(";detail=too-large"));
}
