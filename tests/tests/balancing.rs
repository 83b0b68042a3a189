//! Which member serves: shares by weight, roles and sets, keys that stay where they are, and states set by the operator.

use std::collections::{BTreeMap, BTreeSet};

use weir_tests::origin::Behaviour;
use weir_tests::{Client, Config, Gate, Gateway, Origin, behaviour, eventually};

/// Nothing but what a test does brings a member back.
const FOR_GOOD: &str = "retry = \"1h\"\nreprobe = \"0s\"";

fn named(names: &[&str]) -> Vec<Origin> {
    names.iter().map(|name| Origin::named(name)).collect()
}

fn member(origin: &Origin, more: &str) -> String {
    let comma = if more.is_empty() { "" } else { ", " };
    format!("{{ url = \"{}\"{comma}{more} }}", origin.url())
}

/// Members with these settings each.
fn pool(origins: &[Origin], settings: &[&str], lines: &str) -> Config {
    let members: Vec<_> = origins.iter().zip(settings).map(|(origin, more)| member(origin, more)).collect();
    Config::of(&members).pool(lines)
}

fn of(tally: &BTreeMap<String, usize>, name: &str) -> usize {
    tally.get(name).copied().unwrap_or_default()
}

fn names(client: &mut Client, count: usize) -> String {
    client.tally(count).into_keys().collect()
}

#[test]
fn shares_follow_weights() {
    // Of 300 requests one after the other, with weights 1, 2 and 3: how far a member may be from its 50, 100 or 150. Draws at
    // random have a deviation of less than 9.
    let cases = [("round-robin", 0..=0), ("least-requests", 0..=1), ("by-traffic", 0..=1), ("by-load", 0..=45)];
    for (method, bounds) in cases {
        let origins = named(&["a", "b", "c"]);
        let settings = ["weight = 1", "weight = 2", "weight = 3"];
        let gateway = Gateway::start(&pool(&origins, &settings, &format!("balance = \"{method}\"")));
        let tally = gateway.client().tally(300);
        for (name, share) in [("a", 50), ("b", 100), ("c", 150)] {
            assert!(bounds.contains(&of(&tally, name).abs_diff(share)), "{method}: {tally:?}");
        }
    }
}

#[test]
fn methods_that_draw_two_leave_nobody_out_and_favour_weights() {
    // Where latencies count, members take so long that what the machine adds is little against the weights.
    for (method, takes, count) in [("random-two", 0, 300), ("peak-ewma", 20, 120)] {
        let origins = named(&["a", "b", "c"]);
        for (origin, name) in origins.iter().zip(["a", "b", "c"]) {
            origin.otherwise(takes_long(takes, name));
        }
        let gateway = Gateway::start(&pool(&origins, &["", "", "weight = 3"], &format!("balance = \"{method}\"")));
        let tally = gateway.client().tally(count);
        assert!(of(&tally, "a") >= 1 && of(&tally, "b") >= 1, "{method}: {tally:?}");
        assert!(of(&tally, "c") > of(&tally, "a") && of(&tally, "c") > of(&tally, "b"), "{method}: {tally:?}");
    }
}

fn takes_long(milliseconds: u64, name: &'static str) -> Behaviour {
    behaviour::does(move |exchange| {
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        behaviour::is_named(name)(exchange)
    })
}

#[test]
fn those_who_hold_many_requests_get_no_more_of_them() {
    // Twelve requests that all wait: by weight exactly where every member is compared, and roughly where two are drawn.
    for (method, bound) in [("by-busyness", 0), ("random-two", 4), ("peak-ewma", 4)] {
        let gate = Gate::closed();
        let origins = named(&["a", "b", "c"]);
        for (origin, name) in origins.iter().zip(["a", "b", "c"]) {
            origin.otherwise(behaviour::waits_for(&gate, behaviour::is_named(name)));
        }
        let settings = ["weight = 1", "weight = 2", "weight = 3"];
        let gateway = Gateway::start(&pool(&origins, &settings, &format!("balance = \"{method}\"")));
        let mut clients = Vec::new();
        for number in 1..=12 {
            let mut client = gateway.client();
            client.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            clients.push(client);
            eventually("the request has arrived", || {
                (origins.iter().map(|origin| origin.requests().len()).sum::<usize>() == number).then_some(())
            });
        }
        for (origin, share) in origins.iter().zip([2, 4, 6]) {
            let held = origin.requests().len();
            assert!(held.abs_diff(share) <= bound, "{method}: {held} instead of {share}");
        }
        gate.open();
        for client in &mut clients {
            client.response().expect(200);
        }
    }
}

#[test]
fn by_traffic_counts_bytes_and_not_requests() {
    let origins = named(&["small", "large"]);
    origins[1].otherwise(behaviour::answers_with(200, &[("X-Member", "large")], &"x".repeat(50_000)));
    let gateway = Gateway::start(&pool(&origins, &["", ""], "balance = \"by-traffic\""));
    let tally = gateway.client().tally(100);
    assert!(of(&tally, "small") >= 95 && of(&tally, "large") >= 1, "{tally:?}");
    // Bytes of requests count as well.
    let origins = named(&["a", "b"]);
    let gateway = Gateway::start(&pool(&origins, &["", ""], "balance = \"by-traffic\""));
    let mut client = gateway.client();
    client.request("PUT", "/", &[], &[b'x'; 50_000]).expect(200);
    assert_eq!(client.tally(20).len(), 1);
}

#[test]
fn by_load_follows_what_members_report_and_clients_do_not_see_it() {
    let origins = named(&["busy", "idle"]);
    for (origin, (name, load)) in origins.iter().zip([("busy", "0.95"), ("idle", "0.05")]) {
        origin.otherwise(behaviour::answers_with(200, &[("X-Member", name), ("X-Weir-Load", load)], name));
    }
    let gateway = Gateway::start(&pool(&origins, &["", ""], "balance = \"by-load\""));
    let mut client = gateway.client();
    client.tally(20);
    let tally = client.tally(200);
    assert!(of(&tally, "idle") >= 160, "{tally:?}");
    assert!(!client.get("/").fields.has("x-weir-load"));
}

#[test]
fn peak_ewma_avoids_the_slow_one() {
    let origins = named(&["slow", "fast"]);
    origins[0].otherwise(takes_long(40, "slow"));
    let gateway = Gateway::start(&pool(&origins, &["", ""], "balance = \"peak-ewma\""));
    let tally = gateway.client().tally(100);
    assert!(of(&tally, "fast") >= 75, "{tally:?}");
}

#[test]
fn first_fills_members_in_their_order() {
    let gate = Gate::closed();
    let origins = named(&["a", "b", "c"]);
    for (origin, name) in origins.iter().zip(["a", "b", "c"]) {
        origin.on("/held", behaviour::waits_for(&gate, behaviour::is_named(name)));
    }
    let settings = ["max-requests = 2", "max-requests = 2", ""];
    let gateway = Gateway::start(&pool(&origins, &settings, "balance = \"first\""));
    assert_eq!(names(&mut gateway.client(), 5), "a");
    let mut held = Vec::new();
    for expected in [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1)] {
        let mut client = gateway.client();
        client.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
        held.push(client);
        eventually("it is held", || (origins[expected.0].count("/held") == expected.1).then_some(()));
    }
    assert_eq!(names(&mut gateway.client(), 5), "c");
    gate.open();
    for client in &mut held {
        client.response().expect(200);
    }
    eventually("there is room in the first one again", || (names(&mut gateway.client(), 1) == "a").then_some(()));
}

#[test]
fn roles_and_sets_take_over_one_after_the_other_and_hand_back() {
    let origins = named(&["a", "b", "s", "t", "n"]);
    let settings = ["", "", "role = \"spare\"", "role = \"standby\"", "set = 1"];
    let lines = "retry = \"1h\"\nreprobe = \"100ms\"";
    let gateway = Gateway::start(&pool(&origins, &settings, lines));
    let mut client = gateway.client();
    // Who goes away, and who serves then; requests meanwhile are served by somebody.
    assert_eq!(names(&mut client, 6), "ab");
    for (gone, serving) in [(0, "bs"), (1, "s"), (2, "t"), (3, "n")] {
        origins[gone].stop();
        eventually(serving, || (names(&mut client, 6) == serving).then_some(()));
    }
    for (back, serving) in [(3, "t"), (2, "s"), (1, "bs"), (0, "ab")] {
        origins[back].start_again();
        eventually(serving, || (names(&mut client, 6) == serving).then_some(()));
    }
}

/// What carries the key, as a `balance` table says it.
const KEYS: [&str; 6] = ["header:X-User", "cookie:user", "query:user", "path", "uri", "client"];

/// Who serves a key.
fn serving(client: &mut Client, kind: &str, key: &str) -> String {
    let cookie = format!("a=b; user={key}");
    let (target, field) = match kind {
        "header:X-User" => ("/".to_owned(), ("X-User", key)),
        "cookie:user" => ("/".to_owned(), ("Cookie", cookie.as_str())),
        "query:user" => (format!("/?a=b&user={key}"), ("X-None", "")),
        "path" => (format!("/{key}?any={key}"), ("X-None", "")),
        "uri" => (format!("/?{key}"), ("X-None", "")),
        _ => ("/".to_owned(), ("X-Forwarded-For", key)),
    };
    client.ask(&target, &[field]).expect(200).field("x-member")
}

fn keys(client: &mut Client, kind: &str) -> Vec<String> {
    (1..=60).map(|number| serving(client, kind, &format!("10.0.0.{number}"))).collect()
}

#[test]
fn keys_stay_where_they_are_and_only_those_of_a_member_that_goes_away_move() {
    for kind in KEYS {
        for (table, may_move) in [("ring", 0), ("maglev", 12)] {
            let origins = named(&["a", "b", "c"]);
            let balance =
                format!("balance = {{ method = \"hash\", key = \"{kind}\", table = \"{table}\" }}\n{FOR_GOOD}");
            let config = pool(&origins, &["", "", ""], &balance).top("trusted-proxies = [\"127.0.0.1\"]");
            let gateway = Gateway::start(&config);
            let mut client = gateway.client();
            let before = keys(&mut client, kind);
            assert_eq!(before, keys(&mut client, kind), "{kind} {table}");
            assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3, "{kind} {table}: {before:?}");
            origins[1].stop();
            let after = keys(&mut client, kind);
            assert!(after.iter().all(|name| name != "b"), "{kind} {table}: {after:?}");
            let moved = before.iter().zip(&after).filter(|(old, new)| *old != "b" && old != new).count();
            assert!(moved <= may_move, "{kind} {table}: {moved} of 60 moved for nothing");
        }
    }
}

#[test]
fn requests_without_the_key_take_turns() {
    for kind in ["header:X-User", "cookie:user", "query:user"] {
        let origins = named(&["a", "b", "c"]);
        let balance = format!("balance = {{ method = \"hash\", key = \"{kind}\" }}");
        let gateway = Gateway::start(&pool(&origins, &["", "", ""], &balance));
        let tally = gateway.client().tally(30);
        assert_eq!(tally.into_values().collect::<Vec<_>>(), [10, 10, 10], "{kind}");
    }
}

#[test]
fn ip_hash_keeps_a_client_with_its_member_and_a_load_factor_bounds_what_it_brings() {
    let origins = named(&["a", "b", "c"]);
    let gateway = Gateway::start(&pool(&origins, &["", "", ""], "balance = \"ip-hash\""));
    assert_eq!(gateway.client().tally(20).len(), 1);
    let gate = Gate::closed();
    for (origin, name) in origins.iter().zip(["a", "b", "c"]) {
        origin.on("/held", behaviour::waits_for(&gate, behaviour::is_named(name)));
    }
    let balance = "balance = { method = \"hash\", key = \"client\", load-factor = 125 }";
    let gateway = Gateway::start(&pool(&origins, &["", "", ""], balance));
    let mut clients: Vec<_> = (0..12).map(|_| gateway.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send("GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
        let held = || origins.iter().map(|origin| origin.count("/held")).sum::<usize>();
        eventually("it is held", || (held() == number + 1).then_some(()));
    }
    // Nobody has more than 125 % of the mean of 4, rounded up.
    let most = origins.iter().map(|origin| origin.count("/held")).max();
    assert_eq!(most, Some(5));
    gate.open();
    for client in &mut clients {
        client.response().expect(200);
    }
}

#[test]
fn a_member_that_comes_back_starts_slowly_when_it_is_to() {
    for (slow_start, bounds) in [("1h", 1..=6), ("0s", 20..=20)] {
        let origins = named(&["a", "b"]);
        let lines = format!("slow-start = \"{slow_start}\"\nretry = \"1h\"\nreprobe = \"100ms\"");
        let gateway = Gateway::start(&pool(&origins, &["", ""], &lines));
        let mut client = gateway.client();
        assert_eq!(of(&client.tally(40), "a"), 20, "{slow_start}: nobody starts slowly with the gateway");
        origins[0].stop();
        client.tally(4);
        origins[0].start_again();
        gateway.logged("member is back");
        let tally = client.tally(40);
        assert!(bounds.contains(&of(&tally, "a")), "{slow_start}: {tally:?}");
    }
}

#[test]
fn states_keep_members_from_what_they_may_not_get() {
    let sticky = "sticky = { cookie = \"S\" }";
    // The state, who serves, who serves its session, and whether an error of it is overlooked.
    let cases = [
        ("ok", "ab", "a", "b"),
        ("disabled", "b", "b", "b"),
        ("stopped", "b", "b", "b"),
        ("draining", "b", "a", "b"),
        ("ignore-errors", "ab", "a", "ab"),
    ];
    for (state, serving, session, after_error) in cases {
        let origins = named(&["a", "b"]);
        let settings = [&format!("route = \"n1\", state = \"{state}\""), "route = \"n2\""];
        let lines = format!("{FOR_GOOD}\nfail-on-status = [500]\n{sticky}");
        let gateway = Gateway::start(&pool(&origins, &settings, &lines));
        let mut client = gateway.client();
        assert_eq!(names(&mut client, 6), serving, "{state}");
        let response = client.ask("/", &[("Cookie", "S=x.n1")]);
        assert_eq!(response.expect(200).field("x-member"), session, "{state}");
        if serving == "ab" {
            origins[0].next(behaviour::answers(500, "sick"));
            client.get("/");
            client.get("/");
        }
        assert_eq!(names(&mut client, 6), after_error, "{state}");
    }
}

#[test]
fn a_reload_keeps_what_is_known_of_a_member_as_long_as_it_is_the_same() {
    let origins = named(&["a", "b"]);
    let config = |name: &str, port: &str| {
        pool(&origins, &[&format!("name = \"{name}\""), ""], FOR_GOOD).top(&format!("shutdown-timeout = \"{port}s\""))
    };
    let gateway = Gateway::start(&config("one", "5"));
    origins[0].stop();
    assert_eq!(names(&mut gateway.client(), 4), "b");
    origins[0].start_again();
    gateway.reload(&config("one", "6"));
    assert_eq!(names(&mut gateway.client(), 8), "b");
    // Under another name it is somebody else, of whom nothing bad is known.
    gateway.reload(&config("two", "6"));
    assert_eq!(names(&mut gateway.client(), 8), "ab");
}
