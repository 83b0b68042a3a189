//! A filter that misbehaves costs one request: the next one meets a fresh instance, and the neighbours notice nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::Value;
use weir_tests::{Client, Config, Gateway, Origin, Place, Signal, eventually, filter_file, weir};

/// What ends a call for good, and the words that the access log may have for it.
const FATAL: &[(&str, &[&str])] = &[
    ("trap", &["filter-trap"]),
    ("panic", &["filter-trap"]),
    ("loop", &["filter-deadline"]),
    ("allocate", &["filter-memory", "filter-deadline"]),
    ("recurse", &["filter-memory"]),
    ("huge-value", &["filter-verdict", "filter-memory", "filter-trap", "filter-deadline"]),
    ("huge-name", &["filter-verdict"]),
    ("huge-body", &["filter-verdict", "filter-memory", "filter-trap", "filter-deadline"]),
    ("huge-path", &["filter-verdict"]),
    ("many-edits", &["filter-verdict", "filter-memory", "filter-trap", "filter-deadline"]),
];

/// Verdicts that are refused as a whole.
const REFUSED: &[&str] = &[
    "name-empty",
    "name-space",
    "name-crlf",
    "name-pseudo",
    "name-content-length",
    "name-transfer-encoding",
    "name-connection",
    "value-crlf",
    "value-nul",
    "half",
    "path-empty",
    "path-relative",
    "path-space",
    "path-control",
    "path-nul",
    "path-absolute",
    "authority",
    "method",
    "method-connect",
    "scheme",
    "variable-reserved",
    "variable-name",
    "variable-huge",
    "respond-0",
    "respond-99",
    "respond-101",
    "respond-1000",
    "respond-framing",
    "respond-crlf",
    "status-404",
];

fn config(origin: &Origin, lines: &str) -> Config {
    Config::to(origin)
        .route("path = \"/filtered\"\nfilters = [\"hostile\"]")
        .tables("[[site.all.route]]\npool = \"app\"")
        .tables(&format!("[filter.hostile]\nmodule = \"{{hostile}}\"\n{lines}"))
        .fill("hostile", &filter_file("hostile").display().to_string())
        .access_log("${response.status} ${failure}")
}

fn world(lines: &str) -> (Origin, Gateway) {
    let origin = Origin::start();
    let gateway = Gateway::start(&config(&origin, lines));
    (origin, gateway)
}

fn misdeed(client: &mut Client, misdeed: &str) -> weir_tests::Response {
    client.ask("/filtered", &[("X-Hostile", misdeed)])
}

/// How often this instance was called, as the origin saw it.
fn calls(response: &weir_tests::Response) -> Option<String> {
    let body = response.json();
    let fields = body["fields"].as_array()?;
    let call =
        fields.iter().find(|field| field[0].as_str().is_some_and(|name| name.eq_ignore_ascii_case("x-calls")))?;
    call[1].as_str().map(str::to_owned)
}

#[test]
fn each_fatal_misdeed_costs_exactly_one_request() {
    let (origin, gateway) = world("");
    let mut client = gateway.client();
    for (number, (deed, words)) in FATAL.iter().enumerate() {
        misdeed(&mut client, deed).expect(503);
        let next = client.get("/filtered");
        assert_eq!((next.status, calls(&next).as_deref()), (200, Some("1")), "after {deed}: {next}");
        let lines = gateway.access_lines(2 * number + 2);
        let word = lines[2 * number].trim_start_matches("503 ");
        assert!(words.contains(&word), "{deed} was logged as {word}");
    }
    assert_eq!(origin.requests().len(), FATAL.len());
}

#[test]
fn a_filter_with_all_the_time_in_the_world_still_meets_its_memory_limit() {
    let (_origin, gateway) = world("limits = { cpu = \"20s\", memory = \"16MiB\" }");
    let mut client = gateway.client();
    for deed in ["allocate", "recurse"] {
        misdeed(&mut client, deed).expect(503);
    }
    assert_eq!(gateway.access_lines(2), ["503 filter-memory", "503 filter-memory"]);
    client.get("/filtered").expect(200);
}

#[test]
fn each_distinct_failure_is_told_with_its_cause() {
    let (_origin, gateway) = world("on-failure = \"open\"\nlimits = { cpu = \"2s\", memory = \"8MiB\" }");
    let mut client = gateway.client();
    for deed in ["recurse", "allocate", "trap", "recurse", "allocate", "trap"] {
        misdeed(&mut client, deed).expect(200);
    }
    let told = eventually("three causes are told", || {
        let told: Vec<String> = gateway
            .log()
            .into_iter()
            .filter(|line| line.contains("\"backtrace\"") && line.contains("digest"))
            .collect();
        (told.len() >= 3).then_some(told)
    });
    assert_eq!(told.len(), 3, "{told:#?}");
}

#[test]
fn each_verdict_that_is_not_valid_is_refused_as_a_whole() {
    let (origin, gateway) = world("");
    let mut client = gateway.client();
    for (number, deed) in REFUSED.iter().enumerate() {
        let refused = misdeed(&mut client, deed);
        assert_eq!(refused.status, 503, "{deed}: {refused}");
        client.get("/filtered").expect(200);
        assert_eq!(gateway.access_lines(2 * number + 2)[2 * number], "503 filter-verdict", "{deed}");
    }
    assert_eq!(origin.requests().len(), REFUSED.len());
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn edits_that_would_forge_the_hop_never_reach_the_upstream() {
    let (origin, gateway) = world("");
    let mut client = gateway.client();
    for deed in ["name-host", "remove-content-length"] {
        let fields = [("X-Hostile", deed)];
        let response = client.request("POST", "/filtered", &fields, b"body");
        assert!(matches!(response.status, 200 | 503), "{deed}: {response}");
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
    for request in origin.requests() {
        assert_ne!(request.fields.get("host").as_deref(), Some("evil.example"));
        assert_eq!(request.body, b"body");
    }
}

#[test]
fn a_filter_that_fails_open_lets_the_request_go_on_unmodified() {
    let (origin, gateway) = world("on-failure = \"open\"");
    let mut client = gateway.client();
    for deed in FATAL.iter().map(|(deed, _)| deed).chain(REFUSED) {
        let response = client.ask("/filtered?q=1", &[("X-Hostile", deed), ("X-Keep", "kept")]);
        assert_eq!(response.status, 200, "{deed}: {response}");
        let seen = origin.request("/filtered?q=1");
        assert_eq!((seen.method.as_str(), seen.fields.get("x-keep").as_deref()), ("GET", Some("kept")), "{deed}");
        for name in ["x-half", "x-evil", "x-injected", "x-huge"] {
            assert!(!seen.fields.has(name), "{deed} left {name} behind");
        }
    }
    assert_eq!(origin.violations(), Vec::<String>::new());
}

#[test]
fn misdeeds_on_the_response_side_cost_one_response() {
    let (_origin, gateway) = world("");
    let mut client = gateway.client();
    for deed in
        ["trap", "loop", "recurse", "value-crlf", "name-content-length", "status-99", "status-1000", "huge-value"]
    {
        let refused = misdeed(&mut client, &format!("response:{deed}"));
        assert_eq!(refused.status, 503, "{deed}: {refused}");
        assert!(!refused.fields.has("x-injected") && !refused.text().contains("\"target\""), "{deed}: {refused}");
        client.get("/filtered").expect(200);
    }
    misdeed(&mut client, "response:status-404").expect(404);
    let teapot = misdeed(&mut client, "response:respond");
    assert_eq!((teapot.status, teapot.field("x-hostile-answer").as_str()), (418, "1"));
}

#[test]
fn misdeeds_on_the_response_side_can_fail_open() {
    let (_origin, gateway) = world("on-failure = \"open\"");
    let mut client = gateway.client();
    for deed in ["trap", "loop", "value-crlf", "status-99"] {
        let response = misdeed(&mut client, &format!("response:{deed}"));
        assert_eq!(response.status, 200, "{deed}: {response}");
        assert_eq!(response.json()["target"], "/filtered");
        assert!(!response.fields.has("x-evil"));
    }
}

#[test]
fn misdeeds_after_the_answer_hurt_nobody() {
    for deed in ["trap", "loop", "allocate"] {
        let (_origin, gateway) = world(&format!("settings = {{ do = \"{deed}\", hook = \"done\" }}"));
        let mut client = gateway.client();
        for _ in 0..3 {
            client.get("/filtered").expect(200);
            client.get("/plain").expect(200);
        }
    }
}

#[test]
fn an_answer_of_a_filter_reaches_the_client_and_nothing_goes_upstream() {
    let (origin, gateway) = world("");
    let response = misdeed(&mut gateway.client(), "respond");
    assert_eq!((response.status, response.text().as_str()), (418, "answered by the hostile filter\n"));
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn a_reused_instance_remembers_and_a_fresh_one_does_not() {
    let (_origin, reused) = world("instances = \"reuse\"");
    let (_origin_too, fresh) = world("instances = \"per-request\"");
    for (gateway, expected) in [(&reused, ["1", "2", "3"]), (&fresh, ["1", "1", "1"])] {
        let mut client = gateway.client();
        let seen = [(); 3].map(|()| calls(&client.get("/filtered")).unwrap_or_default());
        assert_eq!(seen, expected);
    }
    let mut client = fresh.client();
    for (deed, _) in FATAL {
        misdeed(&mut client, deed).expect(503);
        client.get("/filtered").expect(200);
    }
}

#[test]
fn neighbours_on_the_same_thread_go_on_while_a_filter_loops() {
    let (_origin, gateway) = world("limits = { cpu = \"2s\" }");
    gateway.get("/filtered").expect(200);
    let mut looping = gateway.client();
    looping.send("GET /filtered HTTP/1.1\r\nHost: x\r\nX-Hostile: loop\r\n\r\n");
    let mut neighbour = gateway.client();
    for _ in 0..5 {
        neighbour.get("/plain").expect(200);
        neighbour.get("/filtered").expect(200);
    }
    assert!(
        looping.is_silent_for(std::time::Duration::from_millis(1)),
        "the loop had ended before the neighbours were served"
    );
    looping.response().expect(503);
}

#[test]
fn many_loops_at_once_do_not_stop_the_gateway() {
    let (_origin, gateway) = world("limits = { cpu = \"50ms\" }");
    let mut looping: Vec<_> = (0..20).map(|_| gateway.client()).collect();
    for client in &mut looping {
        client.send("GET /filtered HTTP/1.1\r\nHost: x\r\nX-Hostile: loop\r\n\r\n");
    }
    gateway.get("/plain").expect(200);
    for client in &mut looping {
        client.response().expect(503);
    }
    gateway.get("/filtered").expect(200);
}

#[test]
fn good_requests_all_pass_while_bad_ones_come() {
    let (_origin, gateway) = world("");
    let done = Arc::new(AtomicBool::new(false));
    let good: Vec<_> = ["/filtered", "/plain"]
        .map(|target| {
            let (mut client, done) = (gateway.client(), Arc::clone(&done));
            thread::spawn(move || {
                let mut count = 0;
                while !done.load(Ordering::Acquire) {
                    client.get(target).expect(200);
                    count += 1;
                }
                count
            })
        })
        .into();
    let mut client = gateway.client();
    for _ in 0..5 {
        for (deed, _) in FATAL {
            misdeed(&mut client, deed).expect(503);
        }
    }
    done.store(true, Ordering::Release);
    for client in good {
        assert!(client.join().expect("no good request failed") > 0);
    }
}

#[test]
fn the_log_names_filter_digest_cause_and_backtrace_once_for_each_trap() {
    let (_origin, gateway) = world("");
    let mut client = gateway.client();
    for _ in 0..4 {
        misdeed(&mut client, "trap").expect(503);
    }
    misdeed(&mut client, "recurse").expect(503);
    let traces = || -> Vec<Value> {
        let lines = gateway.log();
        let json = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        json.filter(|line| line["backtrace"].as_str().is_some_and(|trace| !trace.is_empty())).collect()
    };
    eventually("both traps have their backtrace", || (traces().len() >= 2).then_some(()));
    let traces = traces();
    assert_eq!(traces.len(), 2, "a trap's backtrace is logged once: {traces:?}");
    for trace in traces {
        assert_eq!(trace["filter"], "hostile", "{trace}");
        assert!(trace["digest"].as_str().is_some_and(|digest| digest.len() >= 12), "{trace}");
        assert!(trace["message"].as_str().is_some_and(|cause| !cause.is_empty()), "{trace}");
        assert!(trace["backtrace"].as_str().is_some_and(|frames| frames.contains("ostile")), "no symbols: {trace}");
    }
}

#[test]
fn what_a_filter_writes_cannot_forge_or_flood_the_log() {
    let (_origin, gateway) = world("limits = { cpu = \"5s\" }");
    let mut client = gateway.client();
    misdeed(&mut client, "log-flood").expect(200);
    gateway.logged("flood 0");
    misdeed(&mut client, "log-long").expect(200);
    gateway.logged("forged");
    assert!(gateway.log_count("\"flood ") <= 32, "{} lines of one call", gateway.log_count("\"flood "));
    for line in gateway.log() {
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "a line that is not the gateway's: {line:?}");
        assert!(line.len() < 16 * 1024, "a line of {} bytes", line.len());
    }
}

#[test]
fn a_filter_that_hoards_memory_meets_its_limit_and_the_gateway_does_not_grow() {
    let (_origin, gateway) = world("limits = { memory = \"8MiB\" }");
    let mut client = gateway.client();
    client.get("/filtered").expect(200);
    let before = gateway.rss_kib();
    for _ in 0..600 {
        let response = misdeed(&mut client, "leak");
        assert!(matches!(response.status, 200 | 503), "{response}");
    }
    client.get("/filtered").expect(200);
    assert!(gateway.rss_kib() < before + 40 * 1024, "{} KiB after {before} KiB", gateway.rss_kib());
}

#[test]
fn a_thousand_traps_leak_nothing() {
    let (_origin, gateway) = world("");
    let mut client = gateway.client();
    for _ in 0..50 {
        misdeed(&mut client, "trap").expect(503);
    }
    let (memory, descriptors) = (gateway.rss_kib(), gateway.descriptors());
    for _ in 0..1000 {
        misdeed(&mut client, "trap").expect(503);
    }
    assert!(gateway.rss_kib() < memory + 8 * 1024, "{} KiB after {memory} KiB", gateway.rss_kib());
    assert!(gateway.descriptors() <= descriptors + 2);
    client.get("/filtered").expect(200);
}

#[test]
fn a_filter_that_does_not_configure_is_a_problem_of_the_config() {
    let origin = Origin::start();
    let hostile = filter_file("hostile").display().to_string();
    for (deed, said) in [
        ("refuse", "refused on purpose"),
        ("trap", "hostile"),
        ("panic", "hostile"),
        ("loop", "hostile"),
        ("plan-names", "hostile"),
        ("plan-many", "hostile"),
        ("file", "it names a file where there is nothing to answer"),
    ] {
        let place = Place::fresh();
        place.write(
            "weir.toml",
            format!(
                "cache-directory = \"{}\"\n[listener.web]\nbind = \"127.0.0.1:0\"\n[pool.app]\nmember = [\"{}\"]\n\
                 [filter.hostile]\nmodule = \"{hostile}\"\nsettings = {{ configure = \"{deed}\" }}\n\
                 [site.all]\nroute = [ {{ pool = \"app\", filters = [\"hostile\"] }} ]\n",
                place.join("cache").display(),
                origin.url()
            ),
        );
        let checked = weir(&place, &["check"]);
        assert_eq!(checked.code, Some(2), "{deed}: {checked:?}");
        assert!(checked.all().contains(said), "{deed}: {checked:?}");
    }
}

#[test]
fn a_reload_to_a_filter_that_does_not_configure_is_refused() {
    let (origin, gateway) = world("");
    gateway.get("/filtered").expect(200);
    gateway.rewrite_config(&config(&origin, "settings = { configure = \"trap\" }"));
    gateway.signal(Signal::Reload);
    gateway.logged("reload refused");
    gateway.get("/filtered").expect(200);
}

#[test]
fn filters_change_while_requests_run() {
    let (origin, gateway) = world("");
    let done = Arc::new(AtomicBool::new(false));
    let (address, flag) = (gateway.addr("web"), Arc::clone(&done));
    let client = thread::spawn(move || {
        while !flag.load(Ordering::Acquire) {
            let mut client = Client::connect(&address);
            client.ask("/filtered", &[("Connection", "close")]).expect(200);
        }
    });
    for number in 1..=6 {
        let lines = if number % 2 == 0 { "instances = \"per-request\"" } else { "limits = { memory = \"16MiB\" }" };
        gateway.rewrite_config(&config(&origin, lines));
        gateway.signal(Signal::Reload);
        eventually("the reload is done", || (gateway.log_count("\"reloaded\"") == number).then_some(()));
    }
    done.store(true, Ordering::Release);
    client.join().expect("no request failed");
}
