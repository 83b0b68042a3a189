//! Which site and which route answers a request, and what becomes of the path on its way upstream.

use weir_tests::{Config, Gateway, Origin, Place, behaviour};

/// One site after the other and route after route, each answering with its own name.
const SITES: &str = r#"
[listener.web]
bind = "127.0.0.1:0"

[site.exact]
host = ["shop.example", "[::1]"]
  [[site.exact.route]]
  respond = { status = 200, body = "exact" }

[site.deep]
host = "*.deep.shop.example"
  [[site.deep.route]]
  respond = { status = 200, body = "deep" }

[site.wild]
host = ["*.shop.example"]
  [[site.wild.route]]
  respond = { status = 200, body = "wild" }
"#;

#[test]
fn a_site_is_chosen_by_the_exact_host_then_by_the_longest_wildcard_then_by_default() {
    let default = "[site.other]\n[[site.other.route]]\nrespond = { status = 200, body = \"default\" }";
    let gateway = Gateway::start(&Config::text(SITES).tables(default));
    let mut client = gateway.client();
    let table = [
        ("shop.example", "exact"),
        ("SHOP.Example", "exact"),
        ("shop.example:8080", "exact"),
        ("[::1]:80", "exact"),
        ("a.shop.example", "wild"),
        ("a.b.shop.example", "wild"),
        ("a.deep.shop.example", "deep"),
        ("deep.shop.example", "wild"),
        ("ashop.example", "default"),
        ("example", "default"),
        ("127.0.0.1", "default"),
    ];
    for (host, site) in table {
        assert_eq!(client.ask("/", &[("Host", host)]).text(), site, "{host}");
    }
}

#[test]
fn a_host_that_no_site_names_gets_404_when_there_is_no_default_site() {
    let gateway = Gateway::start(&Config::text(SITES));
    let mut client = gateway.client();
    assert_eq!(client.ask("/", &[("Host", "stranger.example")]).status, 404);
    assert_eq!(client.ask("/", &[("Host", "shop.example")]).text(), "exact");
}

#[test]
fn a_host_of_a_star_alone_is_the_default_site() {
    let star = "[site.other]\nhost = [\"*\"]\n[[site.other.route]]\nrespond = { status = 200, body = \"star\" }";
    let gateway = Gateway::start(&Config::text(SITES).tables(star));
    assert_eq!(gateway.client().ask("/", &[("Host", "stranger.example")]).text(), "star");
}

/// A gateway whose routes are these conditions in order, each answering with its number, and a last one for the rest.
fn answering(conditions: &[&str]) -> Gateway {
    let mut text = String::from("[listener.web]\nbind = \"127.0.0.1:0\"\n[site.all]\n");
    for (number, condition) in conditions.iter().enumerate() {
        text.push_str(&format!("[[site.all.route]]\n{condition}\nrespond = {{ status = 200, body = \"{number}\" }}\n"));
    }
    text.push_str("[[site.all.route]]\nrespond = { status = 200, body = \"rest\" }\n");
    Gateway::start(&Config::text(&text))
}

#[test]
fn a_path_prefix_ends_at_a_segment_boundary() {
    let gateway = answering(&["path = \"/api\"", "path = \"/files/\""]);
    let mut client = gateway.client();
    let table = [
        ("/api", "0"),
        ("/api/", "0"),
        ("/api/x/y", "0"),
        ("/api?x=1", "0"),
        ("/apix", "rest"),
        ("/api.html", "rest"),
        ("/x/api", "rest"),
        ("/API", "rest"),
        ("/files/a", "1"),
        ("/files/", "1"),
        ("/files", "rest"),
        ("/", "rest"),
    ];
    for (target, route) in table {
        assert_eq!(client.get(target).text(), route, "{target}");
    }
}

#[test]
fn an_exact_path_is_that_path_alone_and_a_regex_is_what_it_says() {
    let gateway = answering(&["exact = \"/one\"", "regex = \"^/item/[0-9]+$\""]);
    let mut client = gateway.client();
    let table = [
        ("/one", "0"),
        ("/one?q", "0"),
        ("/one/", "rest"),
        ("/item/12", "1"),
        ("/item/12?a=/x", "1"),
        ("/item/", "rest"),
        ("/item/12a", "rest"),
        ("/x/item/12", "rest"),
    ];
    for (target, route) in table {
        assert_eq!(client.get(target).text(), route, "{target}");
    }
}

#[test]
fn methods_are_a_condition() {
    let gateway = answering(&["method = [\"POST\", \"PUT\"]", "method = [\"DELETE\"]"]);
    let mut client = gateway.client();
    for (method, route) in [("POST", "0"), ("PUT", "0"), ("DELETE", "1"), ("GET", "rest"), ("PURGE", "rest")] {
        assert_eq!(client.request(method, "/", &[], b"").text(), route, "{method}");
    }
}

#[test]
fn header_fields_are_a_condition_by_value_by_regex_and_by_presence() {
    let gateway = answering(&[
        "header = [ { name = \"x-beta\", value = \"1\" }, { name = \"x-team\", regex = \"^a\" } ]",
        "header = [ { name = \"X-Beta\", value = \"1\" } ]",
        "header = [ { name = \"x-any\", present = true } ]",
        "header = [ { name = \"x-must\", present = true }, { name = \"x-not\", present = false } ]",
    ]);
    let mut client = gateway.client();
    let table: [(&[(&str, &str)], &str); 9] = [
        (&[("X-Beta", "1"), ("X-Team", "amber")], "0"),
        (&[("X-Beta", "1"), ("X-Team", "blue")], "1"),
        (&[("X-Beta", "1")], "1"),
        (&[("X-Beta", "2")], "rest"),
        (&[("X-Beta", "2"), ("x-beta", "1")], "1"),
        (&[("x-any", "")], "2"),
        (&[("x-must", "y")], "3"),
        (&[("x-must", "y"), ("x-not", "y")], "rest"),
        (&[], "rest"),
    ];
    for (fields, route) in table {
        assert_eq!(client.ask("/", fields).text(), route, "{fields:?}");
    }
}

#[test]
fn query_parameters_are_a_condition() {
    let gateway =
        answering(&["query = [ { name = \"v\", value = \"2\" } ]", "query = [ { name = \"a b\", value = \"c&d\" } ]"]);
    let mut client = gateway.client();
    let table = [
        ("/?v=2", "0"),
        ("/?x=1&v=2", "0"),
        ("/?v=1&v=2", "0"),
        ("/?v=%32", "0"),
        ("/?v=22", "rest"),
        ("/?xv=2", "rest"),
        ("/?V=2", "rest"),
        ("/?a%20b=c%26d", "1"),
        ("/?a+b=c%26d", "1"),
        ("/", "rest"),
    ];
    for (target, route) in table {
        assert_eq!(client.get(target).text(), route, "{target}");
    }
}

#[test]
fn the_first_route_that_matches_wins_whatever_comes_later_matches_better() {
    let gateway = answering(&["regex = \"^/a\"", "exact = \"/a/b\"", "regex = \"^/\"", "path = \"/a/b/c\""]);
    let mut client = gateway.client();
    assert_eq!(client.get("/a/b").text(), "0");
    assert_eq!(client.get("/a/b/c").text(), "0");
    assert_eq!(client.get("/z").text(), "2");
}

#[test]
fn all_conditions_of_a_route_must_hold() {
    let conditions = "path = \"/a\"\nmethod = [\"GET\"]\nheader = [ { name = \"x\", value = \"1\" } ]\nquery = [ { name = \"q\", value = \"1\" } ]";
    let gateway = answering(&[conditions]);
    let mut client = gateway.client();
    assert_eq!(client.ask("/a?q=1", &[("x", "1")]).text(), "0");
    assert_eq!(client.ask("/b?q=1", &[("x", "1")]).text(), "rest");
    assert_eq!(client.request("POST", "/a?q=1", &[("x", "1")], b"").text(), "rest");
    assert_eq!(client.ask("/a?q=1", &[]).text(), "rest");
    assert_eq!(client.ask("/a", &[("x", "1")]).text(), "rest");
}

#[test]
fn a_route_can_answer_by_itself() {
    let origin = Origin::start();
    let routes = r#"
        [[site.all.route]]
        exact = "/text"
        respond = { status = 418, body = "short and stout", content-type = "text/x-teapot" }
        [[site.all.route]]
        exact = "/moved"
        respond = { redirect = "/new", status = 301 }
        [[site.all.route]]
        exact = "/empty"
        respond = { status = 204 }
    "#;
    let gateway = Gateway::start(&Config::to(&origin).route("exact = \"/up\"").tables(routes));
    let mut client = gateway.client();
    let teapot = client.get("/text");
    assert_eq!((teapot.status, teapot.text().as_str()), (418, "short and stout"));
    assert_eq!(teapot.field("content-type"), "text/x-teapot");
    assert!(teapot.fields.has("date"));
    let moved = client.get("/moved");
    assert_eq!((moved.status, moved.field("location").as_str()), (301, "/new"));
    client.get("/empty").expect(204);
    let head = client.request("HEAD", "/text", &[], b"");
    assert_eq!((head.status, head.field("content-length").as_str()), (418, "15"));
    assert_eq!(client.get("/up").status, 200);
    assert_eq!(client.get("/nothing").status, 404);
    assert_eq!(origin.requests().len(), 1);
}

#[test]
fn an_excluded_path_does_not_go_where_a_later_route_would_send_it() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Config::to(&origin).route("path = \"/private\"\nexclude = true").tables("[[site.all.route]]\npool = \"app\""),
    );
    let mut client = gateway.client();
    client.get("/private/keys").expect(404);
    client.get("/public").expect(200);
    assert_eq!(origin.count("/private/keys"), 0);
}

#[test]
fn a_prefix_is_stripped_or_replaced_on_the_way_upstream() {
    let table = [
        ("path = \"/api\"\nstrip-prefix = \"/api\"", "/api/users?x=1", "/users?x=1"),
        ("path = \"/api\"\nstrip-prefix = \"/api\"", "/api", "/"),
        ("path = \"/api/\"\nstrip-prefix = \"/api\"", "/api/a%20b/%C3%A9", "/a%20b/%C3%A9"),
        ("path = \"/api\"\nreplace-prefix = { from = \"/api\", to = \"/v2\" }", "/api/users?x=1", "/v2/users?x=1"),
        ("path = \"/api\"\nreplace-prefix = { from = \"/api\", to = \"/v2/deep\" }", "/api", "/v2/deep"),
        ("replace-prefix = { from = \"/\", to = \"/base/\" }", "/x", "/base/x"),
        ("strip-prefix = \"/api\"", "/apix", "/apix"),
    ];
    for (route, asked, sent) in table {
        let origin = Origin::start();
        let gateway = Gateway::start(&Config::to(&origin).route(route));
        gateway.get(asked).expect(200);
        assert_eq!(origin.requests()[0].target, sent, "{route}: {asked}");
    }
}

#[test]
fn a_path_is_brought_into_one_spelling_before_it_is_matched_and_sent() {
    let origin = Origin::start();
    let gateway = Gateway::start(
        &Config::to(&origin)
            .route("path = \"/secret\"\nrespond = { status = 403, body = \"no\" }")
            .tables("[[site.all.route]]\npool = \"app\""),
    );
    let mut client = gateway.client();
    let spellings = [
        "/secret/x",
        "/a/../secret/x",
        "/./secret/x",
        "//secret/x",
        "/%73ecret/x",
        "/%73%65%63ret/x",
        "/a/%2e%2e/secret/x",
        "/a/.%2E/secret/x",
        "/a/./.././secret/x",
    ];
    for target in spellings {
        assert_eq!(client.get(target).status, 403, "{target}");
    }
    assert_eq!(origin.requests().len(), 0);
    let sent = [
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/%41", "/A"),
        ("/a%2fb", "/a%2Fb"),
        ("/%c3%a9", "/%C3%A9"),
        ("/a//b", "/a/b"),
        ("/%252e%252e/", "/%252e%252e/"),
        ("/a?b=%2e%2e/../c", "/a?b=%2e%2e/../c"),
        ("/a;v=1/b", "/a;v=1/b"),
    ];
    for (asked, target) in sent {
        client.get(asked).expect(200);
        assert_eq!(origin.requests().last().map(|request| request.target.clone()).as_deref(), Some(target), "{asked}");
    }
}

#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin));
    let ambiguous = [
        "/../x",
        "/..",
        "/%2e%2e/x",
        "/a/../../x",
        "/a/..%2fsecret",
        "/a/%2e%2e%2fsecret",
        "/a/..%5csecret",
        "/%00",
        "/a%00.html",
        "/%",
        "/%4",
        "/%zz",
        "/a\\..\\b",
        "/a/..;/secret",
    ];
    for target in ambiguous {
        assert_eq!(gateway.get(target).status, 400, "{target}");
    }
    assert_eq!(origin.requests().len(), 0);
}

#[test]
fn members_take_turns_by_their_weight() {
    let (one, two) = (Origin::start(), Origin::start());
    let members = "member = [ { url = \"{origin}\", weight = 3 }, \"{two}\" ]";
    let gateway = Gateway::start(&Config::to(&one).pool(members).fill("two", &two.url()));
    let mut client = gateway.client();
    for _ in 0..40 {
        client.get("/").expect(200);
    }
    assert_eq!((one.requests().len(), two.requests().len()), (30, 10));
}

#[test]
fn equal_members_take_turns() {
    let (one, two) = (Origin::that(behaviour::answers(200, "1")), Origin::that(behaviour::answers(200, "2")));
    let members = "member = [ \"{origin}\", \"{two}\" ]\nbalance = \"round-robin\"";
    let gateway = Gateway::start(&Config::to(&one).pool(members).fill("two", &two.url()));
    let mut client = gateway.client();
    let turns: String = (0..6).map(|_| client.get("/").text()).collect();
    assert!(turns == "121212" || turns == "212121", "{turns}");
}

#[test]
fn listeners_stand_on_ipv4_ipv6_and_unix_sockets() {
    let origin = Origin::start();
    let bind = "bind = [\"127.0.0.1:0\", \"[::1]:0\", \"unix:{place}/web.sock\"]";
    let gateway = Gateway::start(&Config::to(&origin).listener(bind));
    let addresses = gateway.addrs("web", 3);
    assert!(addresses.iter().any(|address| address.starts_with("127.0.0.1:")), "{addresses:?}");
    assert!(addresses.iter().any(|address| address.starts_with("[::1]:")), "{addresses:?}");
    let unix = format!("unix:{}", gateway.place().join("web.sock").display());
    assert!(addresses.contains(&unix), "{addresses:?}");
    for address in addresses {
        weir_tests::Client::connect(&address).get("/").expect(200);
    }
}

#[test]
fn a_gateway_may_have_several_listeners() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).tables("[listener.side]\nbind = \"127.0.0.1:0\""));
    let (web, side) = (gateway.addr("web"), gateway.addr("side"));
    assert_ne!(web, side);
    for address in [web, side] {
        weir_tests::Client::connect(&address).get("/").expect(200);
    }
}

#[test]
fn members_live_on_unix_sockets_and_ipv6_too() {
    let place = Place::fresh();
    for origin in [Origin::on_unix(&place.join("app.sock")), Origin::on_ipv6()] {
        let gateway = Gateway::start(&Config::to(&origin));
        let mut client = gateway.client();
        client.get("/").expect(200);
        client.get("/").expect(200);
        assert_eq!((origin.requests().len(), origin.connections()), (2, 1));
    }
}

#[test]
fn a_member_may_be_a_name() {
    let origin = Origin::start();
    let port = origin.address().rsplit(':').next().map(str::to_owned).expect("an address has a port");
    let gateway = Gateway::start(&Config::to_url(&format!("http://localhost:{port}")));
    gateway.get("/").expect(200);
    assert_eq!(origin.requests()[0].fields.get("host"), Some(format!("localhost:{port}")));
}

#[test]
fn many_threads_serve_the_same_listener() {
    let origin = Origin::start();
    let gateway = Gateway::start(&Config::to(&origin).top("threads = 3"));
    for _ in 0..30 {
        gateway.get("/").expect(200);
    }
    assert_eq!(origin.requests().len(), 30);
}
