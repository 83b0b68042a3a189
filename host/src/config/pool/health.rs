//! `health`: active checks, written out in the pool or taken from a template, `[health.NAME]`.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::transport;
use crate::config::table::{Item, Table};
use crate::config::{Check, Health, HttpCheck, Protocol, StatusSet, page, similar};
use crate::message::{Method, Name, Value, host, target};

/// Templates by name.
pub(in crate::config) type Templates<'d> = Vec<(String, Table<'d>)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Tcp,
    Http,
    Grpc,
}

const KINDS: [(&str, Kind); 3] = [("tcp", Kind::Tcp), ("http", Kind::Http), ("grpc", Kind::Grpc)];

/// What a check over HTTP may be spoken in; what the member chooses would not be the operator's check.
const PROTOCOLS: [(&str, Protocol); 2] = [("http/1.1", Protocol::Http1), ("h2", Protocol::Http2)];

const METHODS: [(&str, &str); 3] = [("GET", "GET"), ("HEAD", "HEAD"), ("OPTIONS", "OPTIONS")];

/// Keys that an HTTP check alone has.
const HTTP: [&str; 8] = ["method", "path", "host", "fields", "protocol", "expect-status", "expect-body", "reject-body"];

/// A check as far as it is written: the pool's own keys, and behind them the template's.
struct Written<'a, 'd> {
    own: Option<&'a Table<'d>>,
    template: Option<&'a Table<'d>>,
}

/// The templates of a config; each must be a sound check by itself.
pub(in crate::config) fn templates<'d>(top: &Table<'d>) -> Templates<'d> {
    let templates = top.named("health");
    for (_, table) in &templates {
        check(table, &Written { own: Some(table), template: None });
        table.finish();
    }
    templates
}

pub(super) fn of_pool(pool: &Table<'_>, templates: &Templates<'_>) -> Option<Arc<Health>> {
    let item = pool.item("health")?;
    if item.as_str().is_some() {
        let template = find(&item, templates)?;
        return check(pool, &Written { own: None, template: Some(template) }).map(Arc::new);
    }
    if !item.is_table() {
        item.wrong("a template's name or a table");
        return None;
    }
    let table = item.inner_table()?;
    let template = match table.item("template") {
        Some(item) => Some(find(&item, templates)?),
        None => None,
    };
    let health = check(&table, &Written { own: Some(&table), template });
    table.finish();
    health.map(Arc::new)
}

fn find<'t, 'd>(item: &Item<'_>, templates: &'t Templates<'d>) -> Option<&'t Table<'d>> {
    let wanted = item.string()?;
    let found = templates.iter().find(|(name, _)| name == wanted);
    if found.is_none() {
        let names: Vec<_> = templates.iter().map(|(name, _)| name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let hint = similar::hint(wanted, names.iter().copied());
        item.say(format!("health {wanted:?} is not defined; known health templates: {known}{hint}"));
    }
    found.map(|(_, table)| table)
}

impl<'d> Written<'_, 'd> {
    /// The value of a key: the pool's, or else the template's.
    fn item(&self, key: &'static str) -> Option<Item<'d>> {
        let own = self.own.and_then(|table| table.item(key));
        let template = self.template.and_then(|table| table.item(key));
        own.or(template)
    }

    fn duration(&self, key: &'static str, default: Duration) -> Duration {
        let range = Duration::from_millis(10)..=crate::config::table::LONGEST;
        self.item(key).and_then(|item| item.duration(&range)).unwrap_or(default)
    }

    fn count(&self, key: &'static str, default: u32) -> u32 {
        self.item(key).and_then(|item| item.count(1..=1000)).unwrap_or(default)
    }
}

fn check(table: &Table<'_>, written: &Written<'_, '_>) -> Option<Health> {
    let kind = written.item("check").map_or(Some(Kind::Http), |item| item.choice(&KINDS));
    let http = http(written);
    let service = written.item("service").and_then(|item| item.string());
    let idle: &[&'static str] = match kind {
        Some(Kind::Http) | None => &["service"],
        Some(Kind::Grpc) => &HTTP,
        Some(Kind::Tcp) => {
            &["service", "method", "path", "host", "fields", "protocol", "expect-status", "expect-body", "reject-body"]
        }
    };
    for item in idle.iter().filter_map(|key| written.own?.item(key)).filter(|_| kind.is_some()) {
        item.say(format!("{} does nothing in this kind of check", item.key));
    }
    let health = Health {
        check: match kind? {
            Kind::Tcp => Check::Tcp,
            Kind::Http => Check::Http(http),
            Kind::Grpc => Check::Grpc(service.unwrap_or_default().to_owned()),
        },
        interval: written.duration("interval", Duration::from_secs(5)),
        timeout: written.duration("timeout", Duration::from_secs(2)),
        passes: written.count("passes", 1),
        fails: written.count("fails", 3),
        port: written.item("port").and_then(|item| item.count(1..=65_535)).and_then(|port| u16::try_from(port).ok()),
        tls: written.item("tls").and_then(|item| tls(&item)),
        gate: written.item("gate").and_then(|item| item.boolean()).unwrap_or(false),
    };
    if health.timeout > health.interval {
        table.problem("health: timeout is longer than interval; a check must end before the next begins");
    }
    Some(health)
}

/// `true`, `false` or how.
fn tls(item: &Item<'_>) -> Option<Option<crate::config::UpstreamTls>> {
    match item.as_bool() {
        Some(true) => Some(Some(transport::plain())),
        Some(false) => Some(None),
        None if item.is_table() => transport::tls(item).map(Some),
        None => {
            item.wrong("true, false or a table");
            None
        }
    }
}

fn http(written: &Written<'_, '_>) -> HttpCheck {
    let method = written.item("method").and_then(|item| item.choice(&METHODS)).unwrap_or("GET");
    let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::GET);
    let expect_body = written.item("expect-body");
    let reject_body = written.item("reject-body");
    if method == Method::HEAD
        && let Some(item) = expect_body.as_ref().or(reject_body.as_ref())
    {
        item.problem("the answer to HEAD has no body to look at");
    }
    let path = written.item("path").map_or(Some("/".to_owned()), |item| path(&item));
    let default = StatusSet { exact: Vec::new(), classes: vec![2, 3] };
    HttpCheck {
        method,
        path: path.unwrap_or_else(|| "/".to_owned()),
        host: written.item("host").and_then(|item| named(&item)),
        fields: written.item("fields").map(|item| fields(&item)).unwrap_or_default(),
        protocol: written.item("protocol").and_then(|item| item.choice(&PROTOCOLS)),
        expect: written.item("expect-status").map_or(default, |item| page::final_statuses(&item)),
        expect_body: expect_body.and_then(|item| pattern(&item)),
        reject_body: reject_body.and_then(|item| pattern(&item)),
    }
}

/// A path, perhaps with a query.
fn path(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if !text.starts_with('/') || target::parse(text).is_err() {
        item.wrong("a path that begins with a slash");
        return None;
    }
    Some(text.to_owned())
}

fn named(item: &Item<'_>) -> Option<Value> {
    let text = item.string()?;
    if !host::is_valid(text.as_bytes()) {
        item.wrong("a host, perhaps with a port");
        return None;
    }
    Value::from_str(text).ok()
}

fn fields(item: &Item<'_>) -> Vec<(Name, Value)> {
    let table = item.inner_table();
    let field = |item: Item<'_>| {
        let name = item.key.parse::<Name>().ok();
        if name.is_none() {
            item.say(format!("{:?} is not a field name", item.key));
        }
        Some((name?, page::value(&item)?))
    };
    table.iter().flat_map(Table::items).filter_map(field).collect()
}

fn pattern(item: &Item<'_>) -> Option<Regex> {
    let text = item.string()?;
    match Regex::new(text) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let error = error.to_string();
            item.problem(format!("{text:?} is not a regular expression: {}", error.lines().last().unwrap_or_default()));
            None
        }
    }
}
