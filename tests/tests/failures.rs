//! Every failure that the gateway has a word for is produced by the real gateway, here or in another suite, or cannot be.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use weir_tests::{Config, Gate, Gateway, Origin, RefusedPort, Signal, behaviour, eventually, filter_file};

/// Where a failure is produced.
enum Made {
    /// By this test of this suite, which reads its word in a log.
    By(&'static str, &'static str),
    /// Nowhere, and why that cannot be.
    Never(&'static str),
}

use Made::{By, Never};

const FAILURES: &[(&str, Made)] = &[
    ("malformed-request", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("ambiguous-framing", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("bad-host", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("bad-target", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("malformed-body", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("head-timeout", By("timeouts", "a_head_that_does_not_arrive_in_time_gets_408")),
    ("body-timeout", By("timeouts", "a_body_that_stops_arriving_gets_408")),
    ("body-too-large", By("limits", "a_body_that_announces_too_much_gets_413_and_nothing_goes_upstream")),
    ("uri-too-long", By("limits", "a_target_that_is_too_long_gets_414")),
    ("head-too-large", By("limits", "a_head_that_is_too_large_gets_431")),
    ("too-many-connections", By("entrance", "each_client_has_so_many_connections")),
    ("misdirected", By("failures", "https_in_the_clear_is_misdirected")),
    ("too-early", By("h3", "what_would_change_something_is_not_done_early")),
    ("unknown-expectation", By("errors", "an_unknown_expectation_gets_417")),
    ("not-implemented", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("version-unsupported", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("no-route", By("errors", "each_refusal_has_its_word_in_the_access_log")),
    ("no-file", By("files", "what_is_not_there_gets_the_sites_page")),
    ("file-forbidden", By("files", "what_is_not_there_gets_the_sites_page")),
    ("method-not-allowed", By("files", "what_is_not_there_gets_the_sites_page")),
    ("client-gone", By("errors", "a_client_that_left_is_logged_as_gone")),
    ("client-stalled", By("downloads", "who_stops_reading_holds_up_nobody_and_is_given_up")),
    ("tunnel-idle", By("upgrade", "a_tunnel_that_carries_nothing_is_closed_after_its_own_time")),
    ("connect-refused", By("errors", "a_member_that_cannot_be_reached_gives_502")),
    ("connect-timeout", By("timeouts", "a_member_that_does_not_accept_gets_504")),
    ("tls-failed", By("upstream_tls", "a_member_is_believed_when_its_certificate_is_right_and_not_otherwise")),
    ("no-member", By("failures", "a_pool_without_anybody_has_no_member")),
    ("pool-full", By("failures", "a_pool_whose_members_are_busy_is_full")),
    ("session-lost", By("failures", "a_session_that_nobody_else_may_take_is_lost")),
    ("upstream-reset", By("errors", "every_fault_of_an_upstream_has_its_status_and_its_word")),
    ("bad-response", By("errors", "every_fault_of_an_upstream_has_its_status_and_its_word")),
    ("response-timeout", By("timeouts", "a_member_that_does_not_answer_gets_504")),
    ("response-cut", By("errors", "an_answer_that_was_cut_is_logged_as_cut")),
    ("upstream-stalled", By("timeouts", "a_member_that_does_not_read_gets_504")),
    ("exchange-timeout", By("timeouts", "a_whole_exchange_has_a_bound_of_its_own")),
    ("filter-trap", By("failures", "a_filter_that_breaks_its_contract_is_named_by_how")),
    ("filter-deadline", By("failures", "a_filter_that_breaks_its_contract_is_named_by_how")),
    ("filter-memory", By("failures", "a_filter_that_breaks_its_contract_is_named_by_how")),
    ("filter-verdict", By("failures", "a_filter_that_breaks_its_contract_is_named_by_how")),
    ("filter-unavailable", By("failures", "more_calls_at_once_than_there_are_places_find_no_instance")),
    ("overloaded", By("failures", "a_listener_with_all_its_connections_is_overloaded")),
    ("out-of-descriptors", By("errors", "without_descriptors_the_gateway_says_that_it_is_busy_and_blames_nobody")),
    ("stopped", By("failures", "a_tunnel_that_outlives_the_gateway_was_stopped")),
    ("redirect-loop", By("accel", "ten_hops_and_no_more")),
    ("file-cut", By("downloads", "a_file_that_is_cut_while_it_is_sent_ends_its_answer_and_nothing_else")),
    (
        "internal",
        Never(
            "what answers where the gateway contradicts itself, or a disk breaks: nothing that a client, a member or a filter \
             does leads there, and a disk cannot be broken by a test without rights that it should not have",
        ),
    ),
];

const LOG: &str = "${response.status} ${failure}";

#[test]
fn every_failure_is_produced_by_some_suite() {
    let listed: Vec<&str> = FAILURES.iter().map(|(word, _)| *word).collect();
    let known = words();
    assert_eq!(listed.iter().copied().map(str::to_owned).collect::<BTreeSet<_>>(), known, "CONFIG.md and this list");
    assert_eq!(listed.len(), known.len(), "a failure is listed twice");
    for (word, made) in FAILURES {
        match made {
            By(suite, test) => {
                let path = here().join(format!("tests/{suite}.rs"));
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                let body =
                    text.split_once(&format!("#[test]\nfn {test}()")).and_then(|(_, rest)| rest.split_once("\n}\n"));
                let (body, _) = body.unwrap_or_else(|| panic!("{suite}: there is no test {test}"));
                assert!(body.contains(word), "{suite}: {test} does not say {word}");
            }
            Never(why) => assert!(why.len() > 40, "{word}: {why}"),
        }
    }
}

#[test]
fn https_in_the_clear_is_misdirected() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).access_log(LOG));
    gateway.client().ask("https://x/", &[("Host", "x")]).expect(421);
    assert_eq!(gateway.access_lines(1), ["421 misdirected"]);
}

#[test]
fn a_pool_without_anybody_has_no_member() {
    let refused = RefusedPort::take();
    let config = Config::to_url(&refused.url()).pool("forced-recovery = false\nretry = \"1h\"").access_log(LOG);
    let gateway = Gateway::start(&config);
    gateway.get("/").expect(502);
    gateway.get("/").expect(503);
    assert_eq!(gateway.access_lines(2), ["502 connect-refused", "503 no-member"]);
}

#[test]
fn a_pool_whose_members_are_busy_is_full() {
    let (origin, gate) = (Origin::start(), Gate::closed());
    origin.otherwise(behaviour::waits_for(&gate, behaviour::answers(200, "done")));
    let config = Config::of(&[format!("{{ url = \"{}\", max-requests = 1 }}", origin.url())]).access_log(LOG);
    let gateway = Gateway::start(&config);
    let mut first = gateway.client();
    first.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    origin.await_requests(1);
    gateway.get("/").expect(503);
    assert_eq!(gateway.access_lines(1), ["503 pool-full"]);
    gate.open();
    first.response().expect(200);
}

#[test]
fn a_session_that_nobody_else_may_take_is_lost() {
    let other = Origin::start();
    let members = [
        "{ url = \"http://127.0.0.1:9\", route = \"gone\", state = \"stopped\" }".to_owned(),
        format!("{{ url = \"{}\", route = \"other\" }}", other.url()),
    ];
    let config = Config::of(&members).pool("sticky = { cookie = \"S\", fallback = \"fail\" }").access_log(LOG);
    let gateway = Gateway::start(&config);
    gateway.client().ask("/", &[("Cookie", "S=x.gone")]).expect(503);
    gateway.get("/").expect(200);
    assert_eq!(gateway.access_lines(2), ["503 session-lost", "200 -"]);
}

/// Misdeeds of the hostile filter, and what they are called.
#[test]
fn a_filter_that_breaks_its_contract_is_named_by_how() {
    let origin = Origin::start();
    let gateway = Gateway::start(&hostile(&origin, "limits = { cpu = \"50ms\" }"));
    let mut client = gateway.client();
    let misdeeds = [
        ("trap", "filter-trap"),
        ("loop", "filter-deadline"),
        ("recurse", "filter-memory"),
        ("name-empty", "filter-verdict"),
    ];
    for (nth, (misdeed, word)) in misdeeds.into_iter().enumerate() {
        client.ask("/", &[("X-Hostile", misdeed)]).expect(503);
        assert_eq!(gateway.access_lines(nth + 1)[nth], format!("503 {word}"), "{misdeed}");
    }
}

/// A thread has places for 128 calls at once. Calls that go on take turns, so all of them are begun before one has had its time.
#[test]
fn more_calls_at_once_than_there_are_places_find_no_instance() {
    let origin = Origin::start();
    let gateway = Gateway::start(&hostile(&origin, "limits = { cpu = \"20ms\" }"));
    let mut clients: Vec<_> = (0..160).map(|_| gateway.client()).collect();
    clients.iter_mut().for_each(|client| {
        client.send("GET / HTTP/1.1\r\nHost: x\r\nX-Hostile: loop\r\n\r\n");
    });
    clients.iter_mut().for_each(|client| {
        client.response().expect(503);
    });
    let lines = gateway.access_lines(160);
    let count = |word: &str| lines.iter().filter(|line| *line == &format!("503 {word}")).count();
    assert!(count("filter-unavailable") > 0, "{lines:?}");
    assert_eq!(count("filter-unavailable") + count("filter-deadline"), 160, "{lines:?}");
    gateway.client().get("/").expect(200);
}

#[test]
fn a_listener_with_all_its_connections_is_overloaded() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).listener("max-connections = 1").access_log(LOG));
    let mut only = gateway.client();
    only.get("/").expect(200);
    // Who comes beyond is told at once, before it said anything.
    gateway.client().response().expect(503);
    assert_eq!(gateway.access_lines(2)[1], "503 overloaded");
    only.get("/").expect(200);
}

#[test]
fn a_tunnel_that_outlives_the_gateway_was_stopped() {
    let origin = Origin::that(behaviour::echoes_websockets());
    let config =
        Config::to(&origin).route("upgrade = [\"websocket\"]").top("shutdown-timeout = \"0s\"").access_log(LOG);
    let mut gateway = Gateway::start(&config);
    let _socket = weir_tests::WebSocket::open(&gateway.addr("web"), "any.example", "/ws").expect("a handshake");
    gateway.signal(Signal::Terminate);
    assert_eq!(gateway.wait_exit(weir_tests::PATIENCE), Some(0));
    eventually("it is logged", || (gateway.lines("access.log") == ["101 stopped"]).then_some(()));
}

fn hostile(origin: &Origin, lines: &str) -> Config {
    Config::to(origin)
        .route("filters = [\"hostile\"]")
        .tables(&format!("[filter.hostile]\nmodule = \"{}\"\n{lines}", filter_file("hostile").display()))
        .access_log(LOG)
}

/// The words of the page.
fn words() -> BTreeSet<String> {
    let page = fs::read_to_string(here().join("../host/CONFIG.md")).expect("the page is there");
    let table = page.split_once("\n| failure | status | is |\n").and_then(|(_, rest)| rest.split_once("\n\n"));
    let (table, _) = table.expect("the page has a table of failures");
    let cells = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    cells.map(|(word, _)| word.to_owned()).collect()
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}
