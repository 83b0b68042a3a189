//! `health` of a pool and `[health.NAME]`: active checks, a template with the pool's own keys over it.

use std::sync::Arc;
use std::time::Duration;

use regex::bytes::Regex;

use super::transport;
use crate::config::table::{Item, LONGEST, Table};
use crate::config::whole;
use crate::config::{Check, Health, HttpCheck, Protocol, StatusSet, UpstreamTls};
use crate::config::{condition, page, respond};
use crate::message::{Method, Value, host, name};

pub(in crate::config) const CHECKS: [(&str, Kind); 3] =
    [("http", Kind::Http), ("tcp", Kind::Tcp), ("grpc", Kind::Grpc)];
pub(in crate::config) const METHODS: [(&str, Choice); 3] =
    [("GET", Choice::Get), ("HEAD", Choice::Head), ("OPTIONS", Choice::Options)];
pub(in crate::config) const PROTOCOLS: [(&str, Protocol); 2] = [("http/1.1", Protocol::Http1), ("h2", Protocol::Http2)];

const STATUS: &str = r#"a status from 100 to 599, or "1xx" to "5xx""#;
const HTTP_KEYS: [&str; 9] =
    ["method", "path", "host", "fields", "protocol", "expect-status", "expect-fields", "expect-body", "reject-body"];

/// What a check does, by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Kind {
    Http,
    Tcp,
    Grpc,
}

/// A method, by its word.
#[derive(Debug, Clone, Copy)]
pub(in crate::config) enum Choice {
    Get,
    Head,
    Options,
}

/// `[health.NAME]`: templates that pools may name.
pub(in crate::config) struct Templates<'d> {
    names: Vec<Arc<str>>,
    tables: Vec<Table<'d>>,
}

impl<'d> Templates<'d> {
    /// All of them; each is checked, whether a pool names it or not.
    pub(in crate::config) fn read(top: &Table<'d>) -> Self {
        let (names, tables): (Vec<Arc<str>>, Vec<_>) =
            top.named("health").into_iter().map(|(name, table)| (Arc::from(name), table)).unzip();
        for table in &tables {
            health(&Layers(vec![table]), &transport::PLAIN_TLS);
            table.finish();
        }
        Self { names, tables }
    }

    fn find(&self, item: &Item<'_>) -> Option<&Table<'d>> {
        whole::find(item, "health template", &self.names).and_then(|index| self.tables.get(index))
    }
}

/// `health` of a pool: a template's name, or a table, with a template below it or without.
pub(super) fn read(pool: &Table<'_>, templates: &Templates<'_>, tls: &UpstreamTls) -> Option<Arc<Health>> {
    let item = pool.item("health")?;
    if !item.is_table() {
        if item.as_str().is_none() {
            item.wrong("the name of a template or a table");
            return None;
        }
        return templates.find(&item).map(|table| Arc::new(health(&Layers(vec![table]), tls)));
    }
    let own = item.inner_table()?;
    let template = own.item("template").and_then(|item| templates.find(&item));
    let health = health(&Layers(template.into_iter().chain([&own]).collect()), tls);
    own.finish();
    Some(Arc::new(health))
}

/// Tables over one another; the last one that has a key counts.
struct Layers<'t, 'd>(Vec<&'t Table<'d>>);

impl<'d> Layers<'_, 'd> {
    /// Every table is asked, so that each knows the key.
    fn item(&self, key: &'static str) -> Option<Item<'d>> {
        self.0.iter().fold(None, |found, table| table.item(key).or(found))
    }

    fn count(&self, key: &'static str, default: u32) -> u32 {
        self.item(key).and_then(|item| item.count(1..=1000)).unwrap_or(default)
    }

    fn duration(&self, key: &'static str) -> Option<Duration> {
        self.item(key).and_then(|item| item.duration(&(Duration::from_millis(1)..=LONGEST)))
    }
}

fn health(layers: &Layers<'_, '_>, base: &UpstreamTls) -> Health {
    let check = check(layers);
    let interval = layers.duration("interval").unwrap_or(Duration::from_secs(5));
    let timeout = layers.duration("timeout");
    if let Some(item) = layers.item("timeout").filter(|_| timeout.is_some_and(|timeout| timeout > interval)) {
        item.problem("a check is over before the next one begins: at most interval");
    }
    let port = layers.item("port").and_then(|item| item.count(1..=65_535)).and_then(|port| u16::try_from(port).ok());
    let tls = layers.item("tls").and_then(|item| match item.as_bool() {
        Some(false) => Some(None),
        Some(true) => Some(Some(base.clone())),
        None if item.is_table() => transport::tls(&item, base).map(Some),
        None => {
            item.wrong("true, false or a table");
            None
        }
    });
    Health {
        check,
        interval,
        timeout: timeout.unwrap_or(Duration::from_secs(2).min(interval)),
        passes: layers.count("passes", 1),
        fails: layers.count("fails", 3),
        port,
        tls,
        gate: layers.item("gate").and_then(|item| item.boolean()).unwrap_or(false),
    }
}

fn check(layers: &Layers<'_, '_>) -> Check {
    let kind = layers.item("check").and_then(|item| item.choice(&CHECKS)).unwrap_or(Kind::Http);
    let service = layers.item("service");
    if let Some(item) = service.as_ref().filter(|_| kind != Kind::Grpc) {
        item.problem("is for check = \"grpc\" only");
    }
    if kind == Kind::Http {
        return Check::Http(http(layers));
    }
    for item in HTTP_KEYS.into_iter().filter_map(|key| layers.item(key)) {
        item.problem("is for check = \"http\" only");
    }
    match kind {
        Kind::Grpc => Check::Grpc(service.and_then(|item| item.string()).unwrap_or_default().to_owned()),
        Kind::Http | Kind::Tcp => Check::Tcp,
    }
}

fn http(layers: &Layers<'_, '_>) -> HttpCheck {
    let method = match layers.item("method").and_then(|item| item.choice(&METHODS)) {
        Some(Choice::Head) => Method::HEAD,
        Some(Choice::Options) => Method::OPTIONS,
        Some(Choice::Get) | None => Method::GET,
    };
    let (expect, reject) = (layers.item("expect-body"), layers.item("reject-body"));
    for item in [&expect, &reject].into_iter().flatten().filter(|_| method == Method::HEAD) {
        item.problem("an answer to HEAD has no body");
    }
    HttpCheck {
        method,
        path: layers.item("path").and_then(|item| target(&item)).unwrap_or_else(|| "/".to_owned()),
        host: layers.item("host").and_then(|item| authority(&item)),
        fields: layers.item("fields").map(|item| fields(&item)).unwrap_or_default(),
        protocol: layers.item("protocol").and_then(|item| item.choice(&PROTOCOLS)),
        expect: layers.item("expect-status").map_or_else(
            || StatusSet { exact: Vec::new(), classes: vec![2, 3] },
            |item| page::statuses_from(&item, 100, STATUS),
        ),
        expect_fields: layers.item("expect-fields").map(|item| condition::fields_of(&item)).unwrap_or_default(),
        expect_body: expect.and_then(|item| pattern(&item)),
        reject_body: reject.and_then(|item| pattern(&item)),
    }
}

/// What is asked for, query included; sent as written.
fn target(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if !text.starts_with('/') || text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b'#') {
        item.wrong("a path that begins with a slash, with a query or without");
        return None;
    }
    Some(text.to_owned())
}

fn authority(item: &Item<'_>) -> Option<Value> {
    let text = item.string()?;
    if !host::is_valid(text.as_bytes()) {
        item.wrong("a host such as \"app.example\"");
        return None;
    }
    Value::from_str(text).ok()
}

fn fields(item: &Item<'_>) -> Vec<(crate::message::Name, Value)> {
    let fields = respond::fields_of(item);
    if fields.iter().any(|(field, _)| *field == name::HOST) {
        item.problem("host has a key of its own");
    }
    fields
}

/// A regular expression over bytes: a body need not be UTF-8.
fn pattern(item: &Item<'_>) -> Option<Regex> {
    let text = item.string()?;
    Regex::new(text).map_err(|error| condition::not_a_pattern(item, text, &error)).ok()
}
