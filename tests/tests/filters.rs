//! The standard filters through the real gateway, and what a chain of filters is.

use weir_tests::{Config, Gateway, Origin, behaviour, filter_file};

/// A gateway with these filters on its only route, in this order.
fn filtered(origin: &Origin, filters: &[(&str, &str)]) -> Gateway {
    Gateway::start(&chained(Config::to(origin), filters))
}

fn chained(config: Config, filters: &[(&str, &str)]) -> Config {
    let names: Vec<_> = filters.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    let config = config.route(&format!("filters = [{}]", names.join(", ")));
    filters.iter().fold(config, |config, (name, lines)| config.tables(&format!("[filter.{name}]\n{lines}")))
}

fn rewriting(settings: &str) -> String {
    format!("module = \"std:url-rewrite\"\n{settings}")
}

fn ruling(settings: &str) -> String {
    format!("module = \"std:header-rules\"\n{settings}")
}

#[test]
fn url_rewrite_changes_what_the_upstream_is_asked_for() {
    let origin = Origin::start();
    let rules = rewriting(
        r#"settings = { rule = [
            { match = "^/old/(.*)$", to = "/new/$1" },
            { match = "^/u/(?P<id>[0-9]+)$", to = "/user?id=${id}", query = "append" },
            { match = "^/bare$", to = "/dropped", query = "drop" },
            { match = "^/new/", to = "/never-for-old" },
        ] }"#,
    );
    let gateway = filtered(&origin, &[("rewrite", &rules)]);
    let mut client = gateway.client();
    let table = [
        ("/old/a/b?c=d", "/new/a/b?c=d"),
        ("/u/7?x=1", "/user?id=7&x=1"),
        ("/bare?x=1", "/dropped"),
        ("/new/x", "/never-for-old"),
        ("/else?x", "/else?x"),
        ("/old/%C3%A9%20x", "/new/%C3%A9%20x"),
    ];
    for (asked, sent) in table {
        assert_eq!(client.get(asked).json()["target"], sent, "{asked}");
    }
}

#[test]
fn url_rewrite_redirects_and_refuses_without_asking_the_upstream() {
    let origin = Origin::start();
    let rules = rewriting(
        r#"settings = { rule = [
            { match = "^/moved/(.*)$", to = "https://else.example/$1", redirect = 301 },
            { match = "^/found$", to = "/here", redirect = 302 },
            { match = "^/gone$", answer = "gone" },
            { match = "^/no$", answer = "forbidden" },
        ] }"#,
    );
    let gateway = filtered(&origin, &[("rewrite", &rules)]);
    let mut client = gateway.client();
    let table = [
        ("/moved/a?q", 301, Some("https://else.example/a?q")),
        ("/found", 302, Some("/here")),
        ("/gone", 410, None),
        ("/no", 403, None),
    ];
    for (asked, status, location) in table {
        let response = client.get(asked);
        assert_eq!((response.status, response.fields.get("location").as_deref()), (status, location), "{asked}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn url_rewrite_has_conditions() {
    let origin = Origin::start();
    let rules = rewriting(
        r#"settings = { rule = [
            { match = "^/", to = "/posted", when = { method = ["POST"] } },
            { match = "^/", to = "/mobile", when = { host = ["m.example"], header = [ { name = "x-small", match = "^y" } ] } },
        ] }"#,
    );
    let gateway = filtered(&origin, &[("rewrite", &rules)]);
    let mut client = gateway.client();
    assert_eq!(client.request("POST", "/a", &[], b"").json()["target"], "/posted");
    assert_eq!(client.ask("/a", &[("Host", "m.example"), ("X-Small", "yes")]).json()["target"], "/mobile");
    assert_eq!(client.ask("/a", &[("Host", "m.example")]).json()["target"], "/a");
}

#[test]
fn url_rewrite_maps_back_what_the_upstream_says_of_itself() {
    let origin = Origin::start();
    let fields = [
        ("Location", "http://backend:8080/app/x?y"),
        ("Content-Location", "http://backend:8080/app/z"),
        ("Refresh", "5; url=http://backend:8080/app/r"),
        ("Link", "<http://backend:8080/app/n>; rel=next"),
        ("Set-Cookie", "a=1; Domain=backend; Path=/app/; HttpOnly"),
        ("Set-Cookie", "b=2"),
    ];
    origin.otherwise(behaviour::answers_with(302, &fields, ""));
    let rules = rewriting(
        r#"settings = { reverse = [ { from = "http://backend:8080/app/", to = "/shop/" } ],
            cookie-domain = [ { from = "backend", to = "shop.example" } ], cookie-path = [ { from = "/app/", to = "/shop/" } ] }"#,
    );
    let response = filtered(&origin, &[("rewrite", &rules)]).get("/");
    assert_eq!(response.status, 302);
    assert_eq!(response.field("location"), "/shop/x?y");
    assert_eq!(response.field("content-location"), "/shop/z");
    assert_eq!(response.field("refresh"), "5; url=/shop/r");
    assert_eq!(response.field("link"), "</shop/n>; rel=next");
    assert_eq!(response.fields.all("set-cookie"), ["a=1; Domain=shop.example; Path=/shop/; HttpOnly", "b=2"]);
}

#[test]
fn header_rules_change_the_request() {
    let origin = Origin::start();
    let rules = ruling(
        r#"settings = { request = [
            { action = "set", name = "X-Set", value = "new" },
            { action = "add", name = "X-Add", value = "second" },
            { action = "set-if-empty", name = "X-Default", value = "default" },
            { action = "append", name = "X-List", value = "b" },
            { action = "merge", name = "X-List", value = "a" },
            { action = "edit", name = "X-Edit", match = "b+", value = "<$0>" },
            { action = "remove", name = "Cookie" },
            { action = "set", name = "X-Who", value = "${client.address} ${request.host} ${request.path} ${request.scheme}" },
        ] }"#,
    );
    let gateway = filtered(&origin, &[("fields", &rules)]);
    let sent = [
        ("X-Set", "old"),
        ("X-Set", "older"),
        ("X-Add", "first"),
        ("X-Default", "mine"),
        ("X-List", "a"),
        ("X-Edit", "abbc"),
        ("Cookie", "secret"),
    ];
    gateway.client().ask("/p?q", &sent).expect(200);
    let seen = origin.request("/p?q").fields;
    assert_eq!(seen.all("x-set"), ["new"]);
    assert_eq!(seen.all("x-add"), ["first", "second"]);
    assert_eq!(seen.all("x-default"), ["mine"]);
    assert_eq!(seen.all("x-list"), ["a, b"]);
    assert_eq!(seen.all("x-edit"), ["a<bb>c"]);
    assert!(!seen.has("cookie"));
    assert_eq!(seen.all("x-who"), ["127.0.0.1 any.example /p http"]);
}

#[test]
fn header_rules_change_the_response() {
    let origin = Origin::start();
    let fields = [("X-Powered-By", "old engine"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")];
    origin.on("/found", behaviour::answers_with(200, &fields, "ok"));
    origin.on("/lost", behaviour::answers_with(404, &fields, "no"));
    let rules = ruling(
        r#"settings = { response = [
            { action = "hide", name = "X-Powered-By" },
            { action = "edit", name = "Set-Cookie", match = "$", value = "; Secure" },
            { action = "set", name = "X-Lost", value = "${response.status} ${request.id}", when = { status = ["4xx"] } },
        ] }"#,
    );
    let gateway = filtered(&origin, &[("fields", &rules)]);
    let mut client = gateway.client();
    let found = client.get("/found");
    assert!(!found.fields.has("x-powered-by") && !found.fields.has("x-lost"), "{found}");
    assert_eq!(found.fields.all("set-cookie"), ["a=1; Secure", "b=2; Secure"]);
    let lost = client.get("/lost");
    assert_eq!(lost.text(), "no");
    assert!(lost.field("x-lost").starts_with("404 "), "{lost}");
}

#[test]
fn filters_run_in_order_on_the_way_in_and_in_reverse_on_the_way_out() {
    let origin = Origin::start();
    let both = |mark: &str| {
        ruling(&format!(
            "settings = {{ request = [ {{ action = \"append\", name = \"X-Way\", value = \"{mark}\" }} ], \
             response = [ {{ action = \"append\", name = \"X-Way\", value = \"{mark}\" }} ] }}"
        ))
    };
    let (one, two, three) = (both("1"), both("2"), both("3"));
    let config = chained(Config::to(&origin), &[("one", &one), ("two", &two)])
        .pool("filters = [\"three\"]")
        .tables(&format!("[filter.three]\n{three}"));
    let response = Gateway::start(&config).get("/");
    assert_eq!(origin.request("/").fields.get("x-way").as_deref(), Some("1, 2, 3"));
    assert_eq!(response.field("x-way"), "3, 2, 1");
}

#[test]
fn a_filter_that_answers_ends_the_way_in_and_the_filters_before_it_see_the_answer() {
    let origin = Origin::start();
    let seen =
        ruling("settings = { response = [ { action = \"set\", name = \"X-Seen\", value = \"${response.status}\" } ] }");
    let gone = rewriting("settings = { rule = [ { match = \"^/gone\", answer = \"gone\" } ] }");
    let after = ruling("settings = { response = [ { action = \"set\", name = \"X-After\", value = \"1\" } ] }");
    let gateway = filtered(&origin, &[("seen", &seen), ("gone", &gone), ("after", &after)]);
    let mut client = gateway.client();
    let response = client.get("/gone");
    assert_eq!((response.status, response.field("x-seen").as_str()), (410, "410"));
    assert!(!response.fields.has("x-after"), "a filter that was never passed saw the answer");
    let passed = client.get("/there");
    assert_eq!((passed.status, passed.field("x-seen").as_str(), passed.field("x-after").as_str()), (200, "200", "1"));
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn a_filter_sees_the_gateways_own_answers_too() {
    let refused = weir_tests::RefusedPort::take();
    let rules =
        ruling("settings = { response = [ { action = \"set\", name = \"X-Seen\", value = \"${response.status}\" } ] }");
    let gateway = Gateway::start(&chained(Config::to_url(&refused.url()), &[("seen", &rules)]));
    let response = gateway.get("/");
    assert_eq!((response.status, response.field("x-seen").as_str()), (502, "502"));
}

#[test]
fn a_pools_chain_runs_only_when_the_pool_is_used() {
    let origin = Origin::start();
    let rules = ruling(
        "settings = { request = [ { action = \"set\", name = \"X-Pool\", value = \"1\" } ], response = [ { action = \"set\", name = \"X-Pool\", value = \"1\" } ] }",
    );
    let config = Config::to(&origin)
        .route("path = \"/own\"\nrespond = { status = 200, body = \"own\" }")
        .pool("filters = [\"mark\"]")
        .tables(&format!("[[site.all.route]]\npool = \"app\"\n[filter.mark]\n{rules}"));
    let gateway = Gateway::start(&config);
    let mut client = gateway.client();
    assert!(!client.get("/own").fields.has("x-pool"));
    assert_eq!(client.get("/up").field("x-pool"), "1");
    assert!(origin.request("/up").fields.has("x-pool"));
}

#[test]
fn bodies_pass_filters_untouched() {
    let origin = Origin::start();
    let rules = ruling(
        "settings = { request = [ { action = \"set\", name = \"X-A\", value = \"1\" } ], response = [ { action = \"set\", name = \"X-B\", value = \"1\" } ] }",
    );
    let gateway = filtered(&origin, &[("fields", &rules)]);
    let body: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let response = gateway.client().request("POST", "/up", &[], &body);
    assert_eq!((response.status, response.field("x-b").as_str()), (200, "1"));
    assert!(origin.request("/up").body == body);
}

#[test]
fn time_in_filters_is_logged() {
    let origin = Origin::start();
    let rules = rewriting("settings = { rule = [ { match = \"^/a\", to = \"/b\" } ] }");
    let config = chained(Config::to(&origin), &[("rewrite", &rules)]).access_log("${request.path} ${duration.filter}");
    let gateway = Gateway::start(&config);
    gateway.get("/a").expect(200);
    let line = gateway.access_lines(1).remove(0);
    let time = line.rsplit(' ').next().and_then(|seconds| seconds.parse::<f64>().ok());
    assert!(time.is_some_and(|seconds| seconds > 0.0 && seconds < 1.0), "{line}");
}

#[test]
fn new_settings_hold_after_a_reload_and_bad_ones_change_nothing() {
    let origin = Origin::start();
    let config = |to: &str| {
        let rules = rewriting(&format!("settings = {{ rule = [ {{ match = \"^/\", to = \"{to}\" }} ] }}"));
        chained(Config::to(&origin), &[("rewrite", &rules)])
    };
    let gateway = Gateway::start(&config("/one"));
    assert_eq!(gateway.get("/").json()["target"], "/one");
    gateway.rewrite_config(&config("/two"));
    gateway.signal(weir_tests::Signal::Reload);
    gateway.logged("\"reloaded\"");
    assert_eq!(gateway.get("/").json()["target"], "/two");
    gateway.rewrite_config(&config("http://not.a.path/"));
    gateway.signal(weir_tests::Signal::Reload);
    gateway.logged("reload refused");
    gateway.logged("another server needs");
    assert_eq!(gateway.get("/").json()["target"], "/two");
}

#[test]
fn compiled_filters_are_kept_for_the_next_start() {
    let place = weir_tests::Place::fresh();
    let cache = place.join("compiled");
    let origin = Origin::start();
    let rules = rewriting("settings = { rule = [ { match = \"^/a\", to = \"/b\" } ] }");
    let config =
        chained(Config::to(&origin), &[("rewrite", &rules)]).top(&format!("cache-directory = \"{}\"", cache.display()));
    let files = || {
        std::fs::read_dir(&cache)
            .map_or(0, |entries| entries.filter(|e| e.as_ref().is_ok_and(|e| e.path().is_file())).count())
    };
    assert_eq!(Gateway::start(&config).get("/a").json()["target"], "/b");
    assert!(files() >= 1, "nothing was kept");
    assert_eq!(Gateway::start(&config).get("/a").json()["target"], "/b");

    // What was tampered with is not believed.
    for entry in std::fs::read_dir(&cache).expect("the cache is there").flatten() {
        if let Ok(mut bytes) = std::fs::read(entry.path()) {
            let middle = bytes.len() / 2;
            bytes[middle..].iter_mut().for_each(|byte| *byte ^= 0x55);
            std::fs::write(entry.path(), bytes).expect("the test owns the cache");
        }
    }
    assert_eq!(Gateway::start(&config).get("/a").json()["target"], "/b");
}

#[test]
fn a_filter_made_for_the_first_version_of_the_contract_works() {
    let origin = Origin::start();
    let first = format!("module = {:?}", filter_file("first"));
    let gateway = filtered(&origin, &[("first", &first)]);
    let mut client = gateway.client();
    let answer = client.ask("/a?b", &[("X-Who", "one"), ("X-Who", "two")]);
    assert_eq!(answer.status, 201);
    assert!(answer.fields.has("x-route"), "{answer}");
    assert_eq!(origin.request("/first/a?b").fields.all("x-first"), ["one, two"]);
    gateway.logged("the first is done");
    let answer = client.ask("/answered", &[("X-Who", "one"), ("X-Who", "two")]);
    assert_eq!((answer.status, answer.text().as_str()), (418, "first"));
    assert_eq!(answer.fields.all("x-you"), ["one", "two"]);
}
