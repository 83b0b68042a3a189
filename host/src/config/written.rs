//! A plan written out as a config that parses to the same plan, every default filled in.

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::value::{write_duration, write_size};
use super::{
    AccessFormat, Action, Filter, LogOutput, Module, Network, PathMatch, Plan, Respond, Route, Site, Test, filter,
    https, page, whole,
};
use crate::message::Value;

mod admin;
mod cache;
mod files;
mod keys;
mod listener;
mod pool;

impl Plan {
    /// The plan as a config: itself valid, and parsed it gives this plan again. Pages and bodies that came from files
    /// are written out in full.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut out = Writer::default();
        self.write_top(&mut out);
        if let Some(admin) = &self.admin {
            admin::write(&mut out, admin);
        }
        files::write(&mut out, &self.files);
        for root in self.roots.iter().filter(|root| files::is_named(root)) {
            files::write_root(&mut out, root);
        }
        for cache in &self.caches {
            cache::write(&mut out, cache);
        }
        for listener in &self.listeners {
            listener::write(&mut out, listener);
        }
        for pool in &self.pools {
            pool::write(&mut out, self, pool);
        }
        for filter in &self.filters {
            write_filter(&mut out, self, filter);
        }
        for (index, site) in self.sites.iter().enumerate() {
            self.write_site(&mut out, site, self.default_site == Some(index));
        }
        out.0
    }

    fn write_top(&self, out: &mut Writer) {
        out.key("threads", self.threads);
        out.duration("shutdown-timeout", self.shutdown_timeout);
        out.key("trusted-proxies", networks(&self.trusted_proxies));
        out.list("resolvers", self.resolvers.iter().map(|address| text(&address.to_string())));
        out.key("cache-directory", self.cache_directory.as_deref().map_or_else(|| text(whole::OFF), path_text));
        out.section("[log]");
        out.word("level", &whole::LEVELS, self.log.level);
        out.word("format", &whole::LOG_FORMATS, self.log.format);
        out.section("[access-log]");
        out.key(
            "path",
            match &self.access_log.output {
                LogOutput::Stdout => text("-"),
                LogOutput::File(path) => path_text(path),
            },
        );
        out.text(
            "format",
            match &self.access_log.format {
                AccessFormat::Off => "off",
                AccessFormat::Combined => "combined",
                AccessFormat::Json => "json",
                AccessFormat::Custom(template) => template,
            },
        );
    }

    fn write_site(&self, out: &mut Writer, site: &Site, is_default: bool) {
        out.section(&format!("[site.{}]", key(&site.name)));
        let default = is_default.then(|| text("*"));
        out.key("host", list(site.hosts.iter().map(|host| text(host)).chain(default)));
        out.key("preserve-server", site.preserve_server);
        out.key("via", site.via);
        out.list("certificate", site.certificates.iter().map(listener::certificate_value));
        out.key("https-redirect", site.https_redirect.map_or_else(|| "false".to_owned(), listener::redirect_value));
        out.key("hsts", site.hsts.as_ref().map_or_else(|| "false".to_owned(), https::write_hsts));
        if !site.error_pages.is_empty() {
            out.section(&format!("[site.{}.error-page]", key(&site.name)));
        }
        for page in &site.error_pages {
            for status in page::names(&page.statuses) {
                let (body, kind) = (text(&page.body), value_text(&page.content_type));
                out.key(&text(&status), format!("{{ body = {body}, content-type = {kind} }}"));
            }
        }
        for route in &site.routes {
            out.section(&format!("[[site.{}.route]]", key(&site.name)));
            self.write_route(out, route);
        }
    }

    fn write_route(&self, out: &mut Writer, route: &Route) {
        out.text("name", &route.name);
        match &route.path {
            PathMatch::Any => {}
            PathMatch::Prefix(path) => out.text("path", path),
            PathMatch::Exact(path) => out.text("exact", path),
            PathMatch::Regex(regex) => out.text("regex", regex.as_str()),
        }
        out.list("method", route.methods.iter().map(|method| text(method.as_str())));
        out.list("header", route.fields.iter().map(|field| condition(field.name.as_str(), &field.test)));
        out.list("query", route.query.iter().map(|query| condition(&query.name, &query.test)));
        if let Some(change) = &route.prefix {
            out.key("replace-prefix", format!("{{ from = {}, to = {} }}", text(&change.from), text(&change.to)));
        }
        out.list("filters", self.filter_names(&route.filters));
        if let Some(size) = route.max_body {
            out.text("max-body", &write_size(size));
        }
        if route.internal {
            out.key("internal", true);
        }
        match &route.action {
            Action::Pool(pool) => {
                let statuses = page::names(&route.intercept_errors);
                out.key("intercept-errors", list(statuses.iter().map(|status| text(status))));
                out.text("pool", self.pools.get(*pool).map_or("", |pool| &pool.name));
                out.list("upgrade", route.upgrade.iter().map(|protocol| text(protocol)));
                if let Some(fallback) = &route.fallback {
                    out.key("fallback", pool::fallback_value(self, fallback));
                }
                if let Some(accel) = &route.accel {
                    out.key("accel", files::accel_value(self, accel));
                }
                if let Some(cache) = route.cache.and_then(|cache| self.caches.get(cache)) {
                    out.text("cache", &cache.name);
                    for (key, when) in [("cache-bypass", &route.cache_bypass), ("cache-refresh", &route.cache_refresh)]
                    {
                        if !when.is_empty() {
                            out.key(key, cache::when(when));
                        }
                    }
                }
            }
            Action::Files(root) => out.text("root", self.root_name(*root)),
            Action::Respond(respond) => out.key("respond", respond_table(respond)),
            Action::Exclude => out.key("exclude", true),
        }
    }

    fn root_name(&self, index: usize) -> &str {
        self.roots.get(index).map_or("", |root| &root.name)
    }

    fn chain(&self, filters: &[usize]) -> String {
        list(self.filter_names(filters))
    }

    fn filter_names(&self, filters: &[usize]) -> impl Iterator<Item = String> {
        filters.iter().filter_map(|index| self.filters.get(*index)).map(|filter| text(&filter.name))
    }
}

fn write_filter(out: &mut Writer, plan: &Plan, filter: &Filter) {
    out.section(&format!("[filter.{}]", key(&filter.name)));
    out.key(
        "module",
        match &filter.module {
            Module::Standard(name) => text(&format!("std:{name}")),
            Module::File(path) => path_text(path),
        },
    );
    let settings = serde_json::from_str(&filter.settings).unwrap_or_default();
    out.key("settings", of_json(&settings));
    let (cpu, memory) = (write_duration(filter.cpu), write_size(filter.memory as u64));
    out.key("limits", format!("{{ cpu = {}, memory = {} }}", text(&cpu), text(&memory)));
    out.list("roots", filter.roots.iter().map(|root| text(plan.root_name(*root))));
    out.word("on-failure", &filter::ON_FAILURE, filter.on_failure);
    out.word("instances", &filter::INSTANCES, filter.instances);
}

/// What is written, line by line.
#[derive(Default)]
struct Writer(String);

impl Writer {
    fn section(&mut self, header: &str) {
        self.0.push('\n');
        self.0.push_str(header);
        self.0.push('\n');
    }

    fn key(&mut self, key: &str, value: impl Display) {
        self.0.push_str(&format!("{key} = {value}\n"));
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key, text(value));
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, &write_duration(value));
    }

    /// A choice, by the words it is read from.
    fn word<T: PartialEq>(&mut self, key: &str, words: &[(&str, T)], value: T) {
        if let Some((word, _)) = words.iter().find(|(_, known)| *known == value) {
            self.text(key, word);
        }
    }

    /// A list, where an empty one goes without saying.
    fn list(&mut self, key: &str, items: impl Iterator<Item = String>) {
        let mut items = items.peekable();
        if items.peek().is_some() {
            self.key(key, list(items));
        }
    }
}

fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// Paths come from a config, which is UTF-8; only a working directory that is not could lose letters here.
fn path_text(path: &Path) -> String {
    text(&path.to_string_lossy())
}

fn value_text(value: &Value) -> String {
    text(value.to_str().unwrap_or_default())
}

/// A name, quoted where a dot would part it.
fn key(name: &str) -> String {
    if name.contains('.') { text(name) } else { name.to_owned() }
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn networks(networks: &[Network]) -> String {
    list(networks.iter().map(|net| text(&format!("{}/{}", net.address, net.bits))))
}

pub(super) fn condition(name: &str, test: &Test) -> String {
    let test = match test {
        Test::Present(present) => format!("present = {present}"),
        Test::Equal(value) => format!("value = {}", text(value)),
        Test::Regex(regex) => format!("regex = {}", text(regex.as_str())),
    };
    format!("{{ name = {}, {test} }}", text(name))
}

fn respond_table(respond: &Respond) -> String {
    let body = std::str::from_utf8(&respond.body).unwrap_or_default();
    let mut keys = vec![format!("status = {}", respond.status.as_u16())];
    if !body.is_empty() {
        keys.push(format!("body = {}", text(body)));
    }
    if !respond.fields.is_empty() {
        keys.push(format!("fields = {}", pool::fields_value(&respond.fields)));
    }
    format!("{{ {} }}", keys.join(", "))
}

/// Settings came from TOML, so there is no `null` among them.
fn of_json(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Null => "{}".to_owned(),
        Value::Bool(it) => it.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(string) => text(string),
        Value::Array(values) => list(values.iter().map(of_json)),
        Value::Object(pairs) if pairs.is_empty() => "{}".to_owned(),
        Value::Object(pairs) => {
            let pairs: Vec<_> =
                pairs.iter().map(|(key, value)| format!("{} = {}", quoted(key), of_json(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

/// A key of settings: anything, so always as a basic string, which JSON's escapes fit but for DEL.
fn quoted(key: &str) -> String {
    serde_json::Value::String(key.to_owned()).to_string().replace('\u{7f}', "\\u007f")
}
