use weir_filter::test::{Exchange, Gateway, Outcome};

use super::*;

fn start(settings: &str) -> Gateway<HeaderRules> {
    Gateway::start(settings).unwrap()
}

#[test]
fn actions_on_the_lines_that_are_there() {
    let two: &[&str] = &["a, b", "c"];
    for (rule, before, after) in [
        (r#"{"action":"add","name":"x","value":"v"}"#, two, &["a, b", "c", "v"] as &[&str]),
        (r#"{"action":"add","name":"x","value":"v"}"#, &[], &["v"]),
        (r#"{"action":"set","name":"X","value":"v"}"#, two, &["v"]),
        (r#"{"action":"set-if-empty","name":"x","value":"v"}"#, two, two),
        (r#"{"action":"set-if-empty","name":"x","value":"v"}"#, &[""], &["v"]),
        (r#"{"action":"set-if-empty","name":"x","value":"v"}"#, &[], &["v"]),
        (r#"{"action":"append","name":"x","value":"b"}"#, two, &["a, b, c, b"]),
        (r#"{"action":"append","name":"x","value":"b"}"#, &[], &["b"]),
        (r#"{"action":"merge","name":"x","value":"b"}"#, two, two),
        (r#"{"action":"merge","name":"x","value":"B"}"#, two, &["a, b, c, B"]),
        (r#"{"action":"merge","name":"x","value":"b"}"#, &["\"a, b, c\""], &["\"a, b, c\", b"]),
        (r#"{"action":"remove","name":"x"}"#, two, &[]),
        (r#"{"action":"hide","name":"x"}"#, two, &[]),
        (r#"{"action":"edit","name":"x","match":"[abc]","value":"<$0>"}"#, two, &["<a>, b", "<c>"]),
        (r#"{"action":"edit-all","name":"x","match":"(?P<l>[abc])","value":"${l}$1$$"}"#, two, &["aa$, bb$", "cc$"]),
        (r#"{"action":"edit","name":"x","match":"zz","value":"v"}"#, two, two),
        (r#"{"action":"edit","name":"x","match":"A","value":"v","ignore-case":true}"#, two, &["v, b", "c"]),
        (r#"{"action":"edit","name":"x","match":"","value":"v"}"#, &[], &[]),
    ] {
        let request = before.iter().fold(Exchange::get("/").response(200), |e, line| e.field("x", *line));
        let mut exchange = before.iter().fold(request, |e, line| e.response_field_line("x", *line));
        let mut gateway = start(&format!(r#"{{"request":[{rule}],"response":[{rule}]}}"#));
        gateway.request(&mut exchange);
        assert_eq!(exchange.request_lines("x"), after, "request: {rule} on {before:?}");
        gateway.response(&mut exchange);
        assert_eq!(exchange.response_lines("x"), after, "response: {rule} on {before:?}");
    }
}

#[test]
fn a_rule_sees_what_the_rules_before_it_did() {
    let mut gateway = start(
        r#"{"request":[
        {"action":"set","name":"x","value":"one"},
        {"action":"append","name":"x","value":"two"},
        {"action":"edit-all","name":"x","match":"o","value":"0"},
        {"action":"merge","name":"x","value":"tw0"},
        {"action":"remove","name":"y"},
        {"action":"set-if-empty","name":"y","value":"back"}]}"#,
    );
    let mut exchange = Exchange::get("/").field("x", "zero").field("y", "1");
    assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
    assert_eq!(exchange.request_lines("x"), ["0ne, tw0"]);
    assert_eq!(exchange.request_lines("y"), ["back"]);
}

#[test]
fn values_have_variables() {
    let value = "${client.address}|${request.id}|${request.host}|${request.path}|${request.query}|${request.scheme}|\
        ${request.method}|${time.http}|${request.header.X-A}|${route.name}|${mine.own}|$${x}";
    let mut gateway = start(&format!(r#"{{"request":[{{"action":"set","name":"x","value":"{value}"}}]}}"#));
    let mut exchange = Exchange::get("/a?b=c").field("x-a", "1").field("x-a", "2").variable("route.name", "r\r\nx: 1");
    assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
    assert_eq!(
        exchange.request_field("x").unwrap(),
        "192.0.2.1|test-1|shop.example|/a|b=c|https|GET|Sun, 06 Nov 1994 08:49:37 GMT|1, 2|r  x: 1||${x}"
    );
    let value = "${response.status} ${response.header.x-b} ${request.header.x-a} ${request.method}";
    let mut gateway = start(&format!(r#"{{"response":[{{"action":"set","name":"x","value":"{value}"}}]}}"#));
    let mut exchange = exchange.response(404).response_field_line("x-b", "bee");
    assert_eq!(gateway.request(&mut exchange), Outcome::NotCalled);
    assert_eq!(gateway.response(&mut exchange), Outcome::Edited);
    assert_eq!(exchange.response_field("x").as_deref(), Some("404 bee 1, 2 GET"));
}

#[test]
fn variables_are_set_for_whoever_comes_later() {
    let mut gateway = start(
        r#"{"request":[
        {"action":"set-variable","name":"cache.key.device","value":"phone","when":{"header":[{"name":"user-agent","match":"Mobile"}]}},
        {"action":"set-variable","name":"mine.language","value":"${request.header.accept-language}"}],
        "response":[{"action":"set-variable","name":"cache.ttl","value":"${response.header.x-ttl}"}]}"#,
    );
    let mut exchange = Exchange::get("/").field("user-agent", "a Mobile b").field("accept-language", "de");
    assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
    assert_eq!(exchange.variable_named("cache.key.device").as_deref(), Some("phone"));
    assert_eq!(exchange.variable_named("mine.language").as_deref(), Some("de"));
    let mut exchange = exchange.response(200).response_field_line("x-ttl", "60");
    assert_eq!(gateway.response(&mut exchange), Outcome::Edited);
    assert_eq!(exchange.variable_named("cache.ttl").as_deref(), Some("60"));
    assert_eq!(exchange.request_field("cache.key.device"), None);
}

#[test]
fn conditions_must_all_hold() {
    for (when, holds) in [
        (r#"{}"#, true),
        (r#"{"method":["GET","HEAD"]}"#, true),
        (r#"{"method":["POST"]}"#, false),
        (r#"{"host":["shop.example"]}"#, true),
        (r#"{"host":["*.shop.example"]}"#, false),
        (r#"{"scheme":"https"}"#, true),
        (r#"{"scheme":"http"}"#, false),
        (r#"{"path":"^/a/"}"#, true),
        (r#"{"path":"\\?"}"#, false),
        (r#"{"query":"(^|&)v=[0-9]+(&|$)"}"#, true),
        (r#"{"status":[200]}"#, false),
        (r#"{"status":[200,"4xx"]}"#, true),
        (r#"{"status":["400-403","404"]}"#, true),
        (r#"{"header":[{"name":"x-b"}]}"#, true),
        (r#"{"header":[{"name":"x-a"}]}"#, false),
        (r#"{"header":[{"name":"x-a","not":true}]}"#, true),
        (r#"{"header":[{"name":"x-b","match":"^text/"}]}"#, true),
        (r#"{"request-header":[{"name":"x-a","match":"1"}]}"#, true),
        (r#"{"request-header":[{"name":"x-a","match":"2","not":true}]}"#, true),
        (r#"{"variable":[{"name":"route.name","match":"^r$"}]}"#, true),
        (r#"{"path":"^/a/","method":["POST"]}"#, false),
    ] {
        let rule = format!(r#"{{"response":[{{"action":"set","name":"y","value":"1","when":{when}}}]}}"#);
        let exchange = Exchange::get("/a/b?u=1&v=2").authority("Shop.Example:8443").field("x-a", "1");
        let mut exchange = exchange.variable("route.name", "r").response(404).response_field_line("x-b", "text/html");
        start(&rule).response(&mut exchange);
        assert_eq!(exchange.response_field("y").is_some(), holds, "{when}");
    }
}

#[test]
fn the_plan_asks_for_what_the_rules_need_and_no_more() {
    let plan = |settings: &str| start(settings).plan().clone();
    assert_eq!(plan(r#"{"request":[{"action":"set","name":"x","value":"1"}]}"#), Plan::new().on_request());
    assert_eq!(
        plan(
            r#"{"request":[{"action":"merge","name":"x","value":"${request.header.Y}"},
                {"action":"remove","name":"z","when":{"header":[{"name":"Q"}]}}],
                "response":[{"action":"edit","name":"Set-Cookie","match":"a","value":"b"}]}"#
        ),
        Plan::new().request_header("y").request_header("x").request_header("q").response_header("set-cookie")
    );
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_place() {
    for (settings, words) in [
        (r#"{}"#, "there are no rules"),
        (r#"{"rules":[]}"#, "unknown field `rules`"),
        (r#"{"request":[{"action":"set","name":"x"}]}"#, "request[0]: `value` is missing"),
        (r#"{"request":[{"action":"sett","name":"x"}]}"#, "request[0].action: unknown variant `sett`"),
        (r#"{"request":[{"action":"set","name":"x","value":"1","wen":{}}]}"#, "request[0].wen: unknown field"),
        (r#"{"request":[{"action":"set","name":"x y","value":"1"}]}"#, "\"x y\" is not a field name"),
        (r#"{"response":[{"action":"remove","name":"Transfer-Encoding"}]}"#, "response[0]: `transfer-encoding` cannot"),
        (r#"{"request":[{"action":"set","name":"host","value":"h"}]}"#, "`host` cannot be changed"),
        (r#"{"request":[{"action":"set","name":"x","value":"a\r\nb"}]}"#, "control character"),
        (
            r#"{"request":[{"action":"set","name":"x","value":"${request.hots}"}]}"#,
            "`${request.hots}` is not a variable",
        ),
        (r#"{"request":[{"action":"set","name":"x","value":"${response.status}"}]}"#, "before there is a response"),
        (r#"{"request":[{"action":"set","name":"x","value":"${open"}]}"#, "`${` without `}`"),
        (r#"{"request":[{"action":"set","name":"x","value":"$1"}]}"#, "are for `edit`"),
        (r#"{"request":[{"action":"edit","name":"x","value":"1"}]}"#, "`match` is missing"),
        (r#"{"request":[{"action":"edit","name":"x","value":"1","match":"("}]}"#, "request[0]: match: \"(\" is not"),
        (
            r#"{"request":[{"action":"remove","name":"x","when":{"status":[200]}}]}"#,
            "request[0]: when.status: there is",
        ),
        (r#"{"response":[{"action":"remove","name":"x","when":{"status":["9xx"]}}]}"#, "response[0]: when.status"),
        (r#"{"request":[{"action":"remove","name":"x","when":{"path":"["}}]}"#, "request[0]: when.path"),
        (r#"{"request":[{"action":"set-variable","name":"x","value":"1"}]}"#, "\"x\" is not a variable's name"),
        (r#"{"request":[{"action":"set-variable","name":"a.B","value":"1"}]}"#, "is not a variable's name"),
        (r#"{"request":[{"action":"set-variable","name":"tls.sni","value":"1"}]}"#, "only the gateway sets"),
        (r#"{"request":[{"action":"set-variable","name":"cache.tll","value":"1"}]}"#, "is no word to the cache; known"),
        (r#"{"request":[{"action":"set-variable","name":"cache.ttl","value":"1m"}]}"#, "is whole seconds"),
        (r#"{"response":[{"action":"set-variable","name":"cache.key.a","value":"1"}]}"#, "before there is a response"),
    ] {
        let why = Gateway::<HeaderRules>::start(settings).err().unwrap_or_default();
        assert!(why.contains(words), "{settings}\n said {why:?}\n not {words:?}");
    }
}

#[test]
fn bytes_that_are_not_utf8_pass() {
    let mut gateway = start(
        r#"{"request":[{"action":"edit","name":"x","match":"a","value":"b"},{"action":"append","name":"x","value":"c"}]}"#,
    );
    let mut exchange = Exchange::get("/").field("x", b"a\xff".to_vec());
    assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
    assert_eq!(exchange.request_field("x").as_deref(), Some("a\u{fffd}, c"));
}
