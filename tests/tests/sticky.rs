//! Clients that stay with their member.

use weir_tests::{Config, Gateway, Origin, RefusedPort, Response, behaviour};

fn pool(members: &[String], lines: &str) -> Config {
    Config::default().pool(&format!("member = [{}]\n{lines}", members.join(", ")))
}

fn member(url: &str, more: &str) -> String {
    format!("{{ url = {url:?}, {more} }}")
}

fn named(name: &'static str) -> Origin {
    Origin::that(behaviour::answers(200, name))
}

fn body(response: &Response) -> String {
    String::from_utf8_lossy(&response.expect(200).body).into_owned()
}

/// The cookie that a response sets, without its attributes.
fn cookie(response: &Response) -> String {
    response.field("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

#[test]
fn a_session_names_its_member() {
    let (a, b) = (named("a"), named("b"));
    let members = [member(&a.url(), "route = \"node1\""), member(&b.url(), "route = \"node2\"")];
    let gateway = Gateway::start(&pool(&members, "sticky = { cookie = \"JSESSIONID\", parameter = \"jsessionid\" }"));
    let cases: &[(&str, &str, &str)] = &[
        ("/", "JSESSIONID=abc.node1", "a"),
        ("/", "JSESSIONID=abc.node2", "b"),
        ("/", "x=y; JSESSIONID=abc.node2; z=w", "b"),
        ("/x;jsessionid=abc.node1", "JSESSIONID=abc.node2", "a"),
        ("/x?q=1&jsessionid=abc.node2", "JSESSIONID=abc.node1", "b"),
    ];
    for (target, cookie, expected) in cases {
        for _ in 0..3 {
            let response = gateway.client().ask(target, &[("Cookie", cookie)]);
            assert_eq!(body(&response), *expected, "{target} {cookie}");
        }
    }
    for unknown in ["JSESSIONID=abc", "JSESSIONID=abc.node9", "other=abc.node1"] {
        let bodies: Vec<_> = (0..4).map(|_| body(&gateway.client().ask("/", &[("Cookie", unknown)]))).collect();
        assert!(bodies.contains(&"a".to_owned()) && bodies.contains(&"b".to_owned()), "{unknown}: {bodies:?}");
    }
}

#[test]
fn the_gateway_inserts_a_cookie_that_only_it_can_make() {
    let (a, b) = (named("a"), named("b"));
    let members = [member(&a.url(), ""), member(&b.url(), "weight = 2")].map(|it| it.replace(",  }", " }"));
    let lines = "sticky = { insert = { name = \"WEIR\", max-age = \"1h\", same-site = \"lax\" } }";
    let gateway = Gateway::start(&pool(&members, lines));
    let first = gateway.get("/");
    let set = first.field("set-cookie");
    for part in ["Path=/", "Max-Age=3600", "HttpOnly", "SameSite=Lax"] {
        assert!(set.contains(part), "{part} in {set}");
    }
    let (own, cookie) = (body(&first), cookie(&first));
    assert!(!set.contains(&a.address()) && !set.contains(&b.address()), "{set}");
    for _ in 0..6 {
        let response = gateway.client().ask("/", &[("Cookie", &cookie)]);
        assert_eq!(body(&response), own);
        assert!(!response.fields.has("set-cookie"), "{response}");
    }
    // The member does not see it.
    assert!(a.requests().iter().chain(&b.requests()).all(|request| !request.fields.has("cookie")));
    let forged = gateway.client().ask("/", &[("Cookie", "WEIR=AAAAAAAAAAAAAAAAAAAAAA")]);
    assert!(forged.fields.has("set-cookie"), "{forged}");
}

#[test]
fn a_session_is_learned_from_what_a_member_sets() {
    let a = Origin::that(behaviour::answers_with(200, &[("Set-Cookie", "sid=from-a; Path=/")], "a"));
    let b = Origin::that(behaviour::answers_with(200, &[("Set-Cookie", "sid=from-b; Path=/")], "b"));
    let members = [format!("{:?}", a.url()), format!("{:?}", b.url())];
    let gateway = Gateway::start(&pool(&members, "sticky = { learn = { cookie = \"sid\" } }"));
    for _ in 0..2 {
        let first = gateway.get("/");
        for _ in 0..4 {
            assert_eq!(body(&gateway.client().ask("/", &[("Cookie", &cookie(&first))])), body(&first));
        }
    }
}

#[test]
fn a_session_whose_member_is_gone_goes_elsewhere_or_nowhere() {
    let (dead, alive) = (RefusedPort::take(), named("b"));
    let members = [member(&dead.url(), "route = \"n1\""), member(&alive.url(), "route = \"n2\"")];
    let sticky = |fallback: &str| format!("sticky = {{ cookie = \"S\", fallback = \"{fallback}\" }}\nreprobe = \"0s\"");
    let gateway = Gateway::start(&pool(&members, &sticky("rebalance")));
    for _ in 0..3 {
        assert_eq!(body(&gateway.client().ask("/", &[("Cookie", "S=x.n1")])), "b");
    }
    let gateway = Gateway::start(&pool(&members, &sticky("fail")));
    let statuses: Vec<_> = (0..3).map(|_| gateway.client().ask("/", &[("Cookie", "S=x.n1")]).status).collect();
    assert!(statuses.iter().all(|status| *status >= 500), "{statuses:?}");
    assert!(statuses.contains(&503), "{statuses:?}");
    assert_eq!(body(&gateway.client().ask("/", &[("Cookie", "S=x.n2")])), "b");
}

#[test]
fn a_draining_member_keeps_its_sessions_and_gets_no_others() {
    let (old, other) = (named("old"), named("other"));
    let members = [member(&old.url(), "route = \"n1\", state = \"draining\""), member(&other.url(), "route = \"n2\"")];
    let gateway = Gateway::start(&pool(&members, "sticky = { cookie = \"S\" }"));
    for _ in 0..4 {
        assert_eq!(body(&gateway.client().ask("/", &[("Cookie", "S=x.n1")])), "old");
        assert_eq!(body(&gateway.get("/")), "other");
    }
}

#[test]
fn a_redirected_route_and_ranked_routes_lead_on() {
    let (gone, heir, third) = (named("gone"), named("heir"), named("third"));
    let members = [
        member(&gone.url(), "route = \"n1\", redirect = \"n2\", state = \"stopped\""),
        member(&heir.url(), "route = \"n2\""),
        member(&third.url(), "route = \"n3\""),
    ];
    let gateway = Gateway::start(&pool(&members, "sticky = { cookie = \"S\", ranked = \":\" }"));
    for (session, expected) in [("S=x.n1", "heir"), ("S=x.n1:n3", "heir"), ("S=x.n9:n3:n2", "third")] {
        assert_eq!(body(&gateway.client().ask("/", &[("Cookie", session)])), expected, "{session}");
    }
}

#[test]
fn sessions_outlive_a_reload() {
    let (a, b) = (named("a"), named("b"));
    let members = [format!("{:?}", a.url()), format!("{:?}", b.url())];
    let config = pool(&members, "sticky = { insert = { name = \"W\" } }");
    let gateway = Gateway::start(&config);
    let first = gateway.get("/");
    gateway.rewrite_config(&config.clone().top("shutdown-timeout = \"7s\""));
    gateway.signal(weir_tests::Signal::Reload);
    gateway.logged("reloaded");
    for _ in 0..4 {
        assert_eq!(body(&gateway.client().ask("/", &[("Cookie", &cookie(&first))])), body(&first));
    }
}
