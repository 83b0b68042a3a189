use weir_filter::test::{Exchange, Gateway, Outcome};

use super::*;

fn start(settings: &str) -> Gateway<UrlRewrite> {
    Gateway::start(settings).unwrap()
}

fn rewritten(rules: &str, target: &str) -> String {
    let mut exchange = Exchange::get(target);
    let outcome = start(&format!(r#"{{"rule":[{rules}]}}"#)).request(&mut exchange);
    assert!(matches!(outcome, Outcome::Edited | Outcome::Next), "{rules} on {target}: {outcome:?}");
    exchange.target().to_owned()
}

#[test]
fn rules_rewrite_path_and_query() {
    for (rules, before, after) in [
        (r#"{"match":"^/old/(.*)$","to":"/new/$1"}"#, "/old/a?b=c", "/new/a?b=c"),
        (r#"{"match":"^/old/(.*)$","to":"/new/$1"}"#, "/else", "/else"),
        (r#"{"match":"^/u/(?P<id>[0-9]+)$","to":"/user?id=${id}"}"#, "/u/7?x=1", "/user?id=7"),
        (r#"{"match":"^/u/(.*)$","to":"/user?id=$1","query":"append"}"#, "/u/7?x=1", "/user?id=7&x=1"),
        (r#"{"match":"^/u/(.*)$","to":"/user/$1","query":"append"}"#, "/u/7?x=1", "/user/7?x=1"),
        (r#"{"match":"^/u/(.*)$","to":"/user/$1","query":"drop"}"#, "/u/7?x=1", "/user/7"),
        (r#"{"match":"^/u/(.*)$","to":"/user/$1?"}"#, "/u/7?x=1", "/user/7"),
        (r#"{"match":"^/u/(.*)$","to":"/user?id=$1"}"#, "/u/a&b=c+d", "/user?id=a%26b%3Dc%2Bd"),
        (r#"{"match":"^/a\\?id=([0-9]+)$","to":"/b/$1","against":"target"}"#, "/a?id=5", "/b/5"),
        (r#"{"match":"^/a(.*)$","to":"/b$1","against":"target"}"#, "/a/x?y=z", "/b/x?y=z"),
        (r#"{"match":"(.*)","to":"$1","against":"target"}"#, "/a", "/a"),
        (r#"{"match":"^/(.*)$","to":"$1"}"#, "/a/b", "/a/b"),
        (r#"{"match":"^/x/(.*)$","to":"//$1"}"#, "/x/evil", "/evil"),
        (r#"{"match":"^/x/(.*)$","to":"/y/é $1"}"#, "/x/a", "/y/%C3%A9%20a"),
        (r#"{"match":"^/x/(.*)$","to":"/y/.$1/z"}"#, "/x/.", "/z"),
        (r#"{"match":"^/OLD","to":"/new","ignore-case":true}"#, "/old/x", "/new"),
        (r#"{"match":"^/api/","not":true,"to":"/index.html"}"#, "/page", "/index.html"),
        (r#"{"match":"^/api/","not":true,"to":"/index.html"}"#, "/api/x", "/api/x"),
        (r#"{"match":"^/(.*)","to":"/${request.host}/$1"}"#, "/a", "/shop.example/a"),
        (r#"{"match":"^/a","to":"/b"},{"match":"^/b","to":"/c"}"#, "/a", "/b"),
        (r#"{"match":"^/a","to":"/b","flow":"continue"},{"match":"^/b","to":"/c"}"#, "/a", "/c"),
        (r#"{"match":"^/a","flow":"last"},{"match":"^/","to":"/c"}"#, "/a", "/a"),
        (r#"{"match":"^/(.*)_(.*)$","to":"/$1-$2","flow":"again"}"#, "/a_b_c_d", "/a-b-c-d"),
        (r#"{"match":"^/z","flow":"chain"},{"match":"^/","to":"/1"},{"match":"^/","to":"/2"}"#, "/a", "/2"),
        (r#"{"match":"^/a","flow":"chain"},{"match":"^/","to":"/1"},{"match":"^/","to":"/2"}"#, "/a", "/1"),
        (
            r#"{"match":"^/z","flow":"chain"},{"match":"^/","to":"/1","flow":"chain"},{"match":"^/","to":"/2"}"#,
            "/a",
            "/a",
        ),
    ] {
        assert_eq!(rewritten(rules, before), after, "{rules} on {before}");
    }
}

#[test]
fn rules_answer() {
    for (rule, status, location) in [
        (
            r#"{"match":"^/a/(.*)$","to":"https://else.example/$1","redirect":301}"#,
            301,
            Some("https://else.example/b?q=1"),
        ),
        (r#"{"match":"^/a/(.*)$","to":"/c/$1","redirect":302,"query":"drop"}"#, 302, Some("/c/b")),
        (r#"{"match":"^/a/(.*)$","to":"/c/$1#top","redirect":303}"#, 303, Some("/c/b?q=1#top")),
        (r#"{"match":"^/a/(.*)$","to":"//$1","redirect":307}"#, 307, Some("/b?q=1")),
        (
            r#"{"match":"^/a/(.*)$","to":"https://${request.host}/$1?x","redirect":308,"query":"append"}"#,
            308,
            Some("https://shop.example/b?x&q=1"),
        ),
        (r#"{"match":"^/a/","answer":"gone"}"#, 410, None),
        (r#"{"match":"^/a/","answer":"forbidden"}"#, 403, None),
    ] {
        let mut exchange = Exchange::get("/a/b?q=1");
        assert_eq!(start(&format!(r#"{{"rule":[{rule}]}}"#)).request(&mut exchange), Outcome::Answered, "{rule}");
        assert_eq!(exchange.status(), Some(status), "{rule}");
        assert_eq!(exchange.response_field("location").as_deref(), location, "{rule}");
    }
}

#[test]
fn rules_without_end_are_stopped() {
    for rule in [
        r#"{"match":"^/(.*)$","to":"/x$1","flow":"again"}"#,
        r#"{"match":"^/(.*)$","to":"/$1$1$1$1","flow":"again"}"#,
        r#"{"match":"^/","to":"/same","flow":"again"}"#,
    ] {
        let mut exchange = Exchange::get("/start");
        let mut gateway = start(&format!(r#"{{"rule":[{rule}]}}"#));
        assert_eq!(gateway.request(&mut exchange), Outcome::Answered, "{rule}");
        assert_eq!(exchange.status(), Some(500));
        assert_eq!(gateway.log().len(), 1);
    }
}

#[test]
fn conditions_decide() {
    let rule = |when: &str| format!(r#"{{"match":"^/","to":"/yes","when":{when}}}"#);
    for (when, after) in [
        (r#"{"host":["shop.example"],"method":["GET"]}"#, "/yes?q=1"),
        (r#"{"host":["other.example"]}"#, "/a?q=1"),
        (r#"{"header":[{"name":"x-a"}]}"#, "/a?q=1"),
        (r#"{"query":"^q=1$"}"#, "/yes?q=1"),
        (r#"{"query":"^q=2$"}"#, "/a?q=1"),
    ] {
        assert_eq!(rewritten(&rule(when), "/a?q=1"), after, "{when}");
    }
}

#[test]
fn urls_are_mapped_back() {
    let settings = r#"{"reverse":[
        {"from":"http://backend:8080/app/","to":"/shop/"},
        {"from":"http://backend:8080","to":"https://shop.example"},
        {"from":"/internal","to":"/public"}]}"#;
    for (name, before, after) in [
        ("location", "http://backend:8080/app/x?y#z", "/shop/x?y#z"),
        ("location", "HTTP://Backend:8080/app/x", "/shop/x"),
        ("location", "http://backend:8080/apple", "https://shop.example/apple"),
        ("location", "http://backend:8080", "https://shop.example/"),
        ("location", "http://backend:8080?q", "https://shop.example/?q"),
        ("location", "http://backend:80801/x", "http://backend:80801/x"),
        ("location", "http://backend:8080@evil/x", "http://backend:8080@evil/x"),
        ("location", "http://backend:8080/app//evil.example", "/shop//evil.example"),
        ("location", "/internal/a", "/public/a"),
        ("location", "/internals", "/internals"),
        ("location", "//internal/a", "//internal/a"),
        ("location", "https://shop.example/internal?a", "/public?a"),
        ("location", "https://else.example/internal", "https://else.example/internal"),
        ("content-location", "/internal", "/public"),
        ("destination", "http://backend:8080/app/", "/shop/"),
        ("uri", "/internal/", "/public/"),
        ("refresh", "5; url=http://backend:8080/app/x", "5; url=/shop/x"),
        ("refresh", "0;URL='/internal/x'", "0;URL='/public/x'"),
        ("refresh", "5", "5"),
        ("refresh", "5; url='", "5; url='"),
        (
            "link",
            "</internal/s.css>; rel=preload; title=\"</internal>\", <http://backend:8080/app/n>; rel=next",
            "</public/s.css>; rel=preload; title=\"</internal>\", </shop/n>; rel=next",
        ),
        ("link", "<broken", "<broken"),
        ("link", "\"broken <", "\"broken <"),
    ] {
        let mut exchange = Exchange::get("/").response(302).response_field_line(name, before);
        start(settings).response(&mut exchange);
        assert_eq!(exchange.response_field(name).as_deref(), Some(after), "{name}: {before}");
    }
}

#[test]
fn location_has_rules_of_its_own() {
    let settings = r#"{"location":[{"match":"^http://[^/]+/app/(.*)$","to":"/$1"},{"match":"app","to":"/never"}],
        "cookie-path":[{"from":"/app","to":"/"}]}"#;
    let mut gateway = start(settings);
    let mut exchange = Exchange::get("/").response(302).response_field_line("location", "http://any:1/app/x?y");
    exchange = exchange.response_field_line("set-cookie", "a=b; path=/app");
    assert_eq!(gateway.response(&mut exchange), Outcome::Edited);
    assert_eq!(exchange.response_field("location").as_deref(), Some("/x?y"));
    assert_eq!(exchange.response_field("set-cookie").as_deref(), Some("a=b; path=/"));
    let mut exchange = Exchange::get("/").response(302).response_field_line("location", "/else");
    assert_eq!(gateway.response(&mut exchange), Outcome::Next);
}

#[test]
fn cookies_are_mapped_back() {
    let settings = r#"{"cookie-domain":[{"from":"backend.local","to":"shop.example"},{"from":"gone.local","to":""}],
        "cookie-path":[{"from":"/app/","to":"/"},{"from":"/app","to":"/"},{"from":"/","to":"/shop/"}]}"#;
    for (before, after) in [
        ("a=b; Path=/app/; HttpOnly", "a=b; Path=/; HttpOnly"),
        ("a=b; path = /app/x;Secure", "a=b; path =/x;Secure"),
        ("a=b; Path=/app", "a=b; Path=/"),
        ("a=b; Path=/apple", "a=b; Path=/shop/apple"),
        ("a=b; Path=/", "a=b; Path=/shop/"),
        ("a=b; Domain=.Backend.Local", "a=b; Domain=shop.example"),
        ("a=b; Domain=x.backend.local", "a=b; Domain=x.backend.local"),
        ("a=b; Domain=gone.local; Secure", "a=b; Secure"),
        ("Path=/app; x", "Path=/app; x"),
        ("a=b; Path", "a=b; Path"),
    ] {
        let exchange = Exchange::get("/").response(200).response_field_line("set-cookie", "first=1; Secure");
        let mut exchange = exchange.response_field_line("set-cookie", before);
        start(settings).response(&mut exchange);
        assert_eq!(exchange.response_lines("set-cookie"), ["first=1; Secure", after], "{before}");
    }
}

#[test]
fn the_plan_asks_for_what_the_settings_need_and_no_more() {
    let plan = |settings: &str| start(settings).plan().clone();
    assert_eq!(plan(r#"{"rule":[{"match":"^/a","to":"/b"}]}"#), Plan::new().on_request());
    assert_eq!(
        plan(r#"{"rule":[{"match":"^/a","to":"/b","when":{"header":[{"name":"Accept"}]}}]}"#),
        Plan::new().request_header("accept")
    );
    assert_eq!(plan(r#"{"cookie-path":[{"from":"/a","to":"/b"}]}"#), Plan::new().response_header("set-cookie"));
    assert_eq!(plan(r#"{"location":[{"match":"a","to":"/b"}]}"#), Plan::new().response_header("location"));
}

#[test]
fn settings_that_cannot_work_are_refused_with_their_place() {
    for (settings, words) in [
        (r#"{}"#, "there is nothing to do"),
        (r#"{"rules":[]}"#, "unknown field `rules`"),
        (r#"{"rule":[{"match":"^/","to":"/b"},{"match":"(","to":"/b"}]}"#, "rule[1]: match: \"(\" is not"),
        (r#"{"rule":[{"match":"^/","to":"/b","tto":1}]}"#, "rule[0].tto: unknown field `tto`"),
        (r#"{"rule":[{"match":"^/"}]}"#, "rule[0]: there is nothing to do"),
        (r#"{"rule":[{"match":"^/","flow":"again"}]}"#, "rule[0]: there is nothing to do"),
        (r#"{"rule":[{"match":"^/","to":"http://x/"}]}"#, "another server needs `redirect`"),
        (r#"{"rule":[{"match":"^/","to":"/","redirect":304}]}"#, "304 is none of"),
        (r#"{"rule":[{"match":"^/","redirect":301}]}"#, "`redirect` needs `to`"),
        (r#"{"rule":[{"match":"^/","to":"/","answer":"gone"}]}"#, "`answer` goes with neither"),
        (r#"{"rule":[{"match":"^/","to":"/$1","not":true}]}"#, "with `not` there is nothing captured"),
        (r#"{"rule":[{"match":"^/","to":"/${request.pth}"}]}"#, "is not a variable"),
        (r#"{"rule":[{"match":"^/","to":"/","when":{"status":[1]}}]}"#, "rule[0]: when.status"),
        (r#"{"rule":[{"match":"^/","to":"/","flow":"lst"}]}"#, "rule[0].flow: unknown variant `lst`"),
        (r#"{"reverse":[{"from":"backend","to":"/"}]}"#, "reverse[0]: `from` and `to` are URLs"),
        (r#"{"cookie-path":[{"from":"a","to":"/"}]}"#, "cookie-path[0]: `from` and `to` are paths"),
        (r#"{"cookie-path":[{"from":"/a","to":"/;b"}]}"#, "cookie-path[0]: only visible ASCII"),
        (r#"{"location":[{"match":"[","to":"/"}]}"#, "location[0]: \"[\" is not"),
    ] {
        let why = Gateway::<UrlRewrite>::start(settings).err().unwrap_or_default();
        assert!(why.contains(words), "{settings}\n said {why:?}\n not {words:?}");
    }
}
