//! A table of requests against one plan.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::*;
use crate::config::{
    AccessFormat, AccessLog, FieldMatch, Log, LogFormat, LogOutput, Place, QueryMatch, StatusSet, Test,
};
use crate::message::{Name, Scheme, Value};

fn place() -> Place {
    Place { file: "weir.toml".into(), line: 1, column: 1 }
}

fn route(path: PathMatch) -> Route {
    Route {
        name: "route".into(),
        path,
        methods: Vec::new(),
        fields: Vec::new(),
        query: Vec::new(),
        prefix: None,
        filters: Vec::new(),
        max_body: None,
        intercept_errors: StatusSet::default(),
        upgrade: Vec::new(),
        fallback: None,
        internal: false,
        accel: None,
        cache: None,
        cache_bypass: crate::config::CacheWhen::default(),
        cache_refresh: crate::config::CacheWhen::default(),
        action: Action::Pool(0),
        place: place(),
    }
}

fn site(name: &str, hosts: &[&str], routes: Vec<Route>) -> Site {
    Site {
        name: name.into(),
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        preserve_server: false,
        via: false,
        certificates: Vec::new(),
        https_redirect: None,
        hsts: None,
        error_pages: Vec::new(),
        routes,
        place: place(),
    }
}

fn plan(sites: Vec<Site>, default_site: Option<usize>) -> Plan {
    Plan {
        threads: 1,
        shutdown_timeout: Duration::ZERO,
        trusted_proxies: Vec::new(),
        resolvers: Vec::new(),
        cache_directory: None,
        log: Log { level: tracing::level_filters::LevelFilter::OFF, format: LogFormat::Text },
        access_log: AccessLog { output: LogOutput::Stdout, format: AccessFormat::Off },
        files: crate::config::Files::default(),
        roots: Vec::new(),
        admin: None,
        caches: Vec::new(),
        listeners: Vec::new(),
        pools: Vec::new(),
        filters: Vec::new(),
        sites,
        default_site,
    }
}

fn head(method: &str, authority: &str, target: &str, fields: &[(&'static str, &'static str)]) -> RequestHead {
    let authority = if authority.is_empty() { host::absent() } else { host::parse(authority.as_bytes()).unwrap() };
    let target = if target == "*" { target.parse().unwrap() } else { target::parse(target).unwrap() };
    let mut head = RequestHead::of(method.parse().unwrap(), Scheme::Http, authority, target);
    for (name, value) in fields {
        head.fields.append(Name::from_static(name), Value::from_static(value));
    }
    head
}

fn prefix(text: &str) -> PathMatch {
    PathMatch::Prefix(text.to_owned())
}

#[test]
fn sites_by_host() {
    let sites = vec![
        site("fallback", &[], vec![]),
        site("shop", &["shop.example", "*.shop.example"], vec![]),
        site("deep", &["*.deep.shop.example"], vec![]),
        site("exact", &["www.shop.example"], vec![]),
        site("six", &["[::1]"], vec![]),
    ];
    let table = Table::of(&plan(sites.clone(), Some(0)));
    for (authority, expected) in [
        ("shop.example", 1),
        ("SHOP.Example.:8080", 1),
        ("a.shop.example", 1),
        ("a.b.shop.example", 1),
        ("www.shop.example", 3),
        ("x.www.shop.example", 1),
        ("deep.shop.example", 1),
        ("a.deep.shop.example", 2),
        ("A.B.DEEP.shop.example", 2),
        ("[::1]:80", 4),
        ("notshop.example", 0),
        ("example", 0),
        ("", 0),
    ] {
        let found = table.find(&head("GET", authority, "/", &[]));
        assert_eq!(found, Some(Found { site: expected, route: None }), "{authority}");
    }
    assert_eq!(Table::of(&plan(sites, None)).find(&head("GET", "other", "/", &[])), None);
}

fn routes() -> Vec<Route> {
    let mut list = vec![
        Route { action: Action::Exclude, ..route(prefix("/api/private")) },
        Route { methods: vec![Method::GET], ..route(prefix("/api")) },
        Route { methods: vec![Method::POST, Method::PUT], ..route(prefix("/api/")) },
        route(PathMatch::Exact("/one".to_owned())),
        route(PathMatch::Regex(Regex::new(r"^/img/\d+\.png$").unwrap())),
    ];
    let field = |name, test| FieldMatch { name: Name::from_static(name), test };
    let query = |name: &str, test| QueryMatch { name: name.to_owned(), test };
    let beta = vec![field("x-beta", Test::Equal("1".to_owned())), field("x-old", Test::Present(false))];
    list.push(Route { fields: beta, ..route(prefix("/field")) });
    list.push(Route {
        fields: vec![field("host", Test::Regex(Regex::new("^a:8").unwrap()))],
        ..route(prefix("/field"))
    });
    let page = vec![query("page no", Test::Regex(Regex::new(r"^\d+$").unwrap())), query("debug", Test::Present(false))];
    list.push(Route { query: page, ..route(prefix("/query")) });
    list.push(Route { query: vec![query("x", Test::Present(true))], ..route(prefix("/query")) });
    list.push(route(prefix("/a%2Fb")));
    list.push(Route { methods: vec![Method::OPTIONS], ..route(PathMatch::Any) });
    list
}

#[test]
fn routes_in_order() {
    let table = Table::of(&plan(vec![site("only", &["a"], routes())], None));
    for (method, authority, target, fields, expected) in [
        ("GET", "a", "/api", &[][..], Some(1)),
        ("GET", "a", "/api/", &[], Some(1)),
        ("GET", "a", "/api/x?y", &[], Some(1)),
        ("HEAD", "a", "/api/x", &[], Some(1)),
        ("POST", "a", "/api/x", &[], Some(2)),
        ("POST", "a", "/api", &[], None),
        ("PUT", "a", "/api/", &[], Some(2)),
        ("DELETE", "a", "/api/x", &[], None),
        ("GET", "a", "/apix", &[], None),
        ("GET", "a", "/API", &[], None),
        ("GET", "a", "/api/private", &[], None),
        ("GET", "a", "/api/x/../private/y", &[], None),
        ("GET", "a", "//api/%70rivate/y", &[], None),
        ("GET", "a", "/api/privateer", &[], Some(1)),
        ("GET", "a", "/api%2Fprivate", &[], None),
        ("GET", "a", "/one", &[], Some(3)),
        ("GET", "a", "/one?x", &[], Some(3)),
        ("GET", "a", "/one/", &[], None),
        ("GET", "a", "/img/12.png", &[], Some(4)),
        ("GET", "a", "/img/x.png", &[], None),
        ("GET", "a", "/field", &[("x-beta", "0"), ("x-beta", "1")], Some(5)),
        ("GET", "a", "/field", &[("x-beta", "1"), ("x-old", "")], None),
        ("GET", "a", "/field", &[("x-beta", "11")], None),
        ("GET", "a:80", "/field", &[], Some(6)),
        ("GET", "a", "/query?page+no=12", &[], Some(7)),
        ("GET", "a", "/query?a&page%20no=1&page+no=x", &[], Some(7)),
        ("GET", "a", "/query?page+no=x", &[], None),
        ("GET", "a", "/query?page+no=1&debug", &[], None),
        ("GET", "a", "/query?%78", &[], Some(8)),
        ("GET", "a", "/query?y=x", &[], None),
        ("GET", "a", "/query", &[], None),
        ("GET", "a", "/a%2fb/c", &[], Some(9)),
        ("GET", "a", "/a/b", &[], None),
        ("OPTIONS", "a", "*", &[], Some(10)),
        ("OPTIONS", "a", "/api", &[], Some(10)),
    ] {
        let found = table.find(&head(method, authority, target, fields));
        assert_eq!(found, Some(Found { site: 0, route: expected }), "{method} {target}");
    }
}

#[test]
fn a_table_is_shared_between_threads() {
    fn is_shared<T: Send + Sync>(_: &Arc<T>) {}
    is_shared(&Arc::new(Table::of(&plan(Vec::new(), None))));
}
