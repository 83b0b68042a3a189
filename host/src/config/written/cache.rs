//! Caches, written out.

use super::keys::Keys;
use super::{Writer, condition, key, list, networks, path_text, text};
use crate::config::cache::{COOKIES, FETCHED};
use crate::config::value::{write_duration, write_size};
use crate::config::{Cache, CacheKey, CacheQuery, CacheWhen, whole};
use crate::message::Name;

pub(super) fn write(out: &mut Writer, cache: &Cache) {
    out.section(&format!("[cache.{}]", key(&cache.name)));
    out.text("default-ttl", &cache.default_ttl.map_or_else(|| whole::OFF.to_owned(), write_duration));
    out.duration("min-ttl", cache.min_ttl);
    out.text("max-ttl", &cache.max_ttl.map_or_else(|| whole::OFF.to_owned(), write_duration));
    let mut statuses = Keys::default();
    for (status, ttl) in &cache.status_ttl {
        let class = if *status < 100 { "xx" } else { "" };
        statuses.text(&format!("{status}{class}"), &write_duration(*ttl));
    }
    out.key("status-ttl", statuses.table());
    out.key("last-modified-factor", factor(cache.last_modified_factor));
    out.duration("last-modified-most", cache.last_modified_most);
    if let Some(statuses) = &cache.statuses {
        out.key("statuses", list(statuses.iter().map(u16::to_string)));
    }
    out.key("methods", if cache.query { "[\"GET\", \"QUERY\"]" } else { "[\"GET\"]" });
    out.key("ignore-request", cache.ignore_request);
    out.key("store-private", cache.store_private);
    out.key("store-no-store", cache.store_no_store);
    out.key("store-expired", cache.store_expired);
    out.word("set-cookie", &COOKIES, cache.cookies);
    out.key("ignore-fields", names(&cache.ignore_fields));
    out.key("strip-fields", names(&cache.strip_fields));
    out.key("targeted", names(&cache.targeted));
    out.key("surrogate-control", cache.surrogate_control);
    out.duration("stale-while-revalidate", cache.stale_while_revalidate);
    out.duration("stale-if-error", cache.stale_if_error);
    out.key("key", key_value(&cache.key));
    out.key("min-uses", cache.min_uses);
    out.text("max-object", &write_size(cache.max_object));
    out.text("memory", &if cache.memory == 0 { whole::OFF.to_owned() } else { write_size(cache.memory) });
    if let Some(disk) = &cache.disk {
        let mut keys = Keys::default();
        keys.key("path", path_text(&disk.path));
        keys.text("size", &write_size(disk.size));
        keys.key("sync", disk.sync);
        out.key("disk", keys.table());
    }
    out.word("ranges", &FETCHED, cache.ranges_whole);
    out.word("conditions", &FETCHED, cache.conditions_whole);
    out.duration("lock-timeout", cache.lock_timeout);
    out.duration("uncacheable-ttl", cache.uncacheable_ttl);
    out.key("purge", networks(&cache.purge));
    out.key("cache-status", cache.cache_status);
    out.key("x-cache", cache.x_cache);
}

/// `cache-bypass` or `cache-refresh` of a route.
pub(super) fn when(when: &CacheWhen) -> String {
    let mut keys = Keys::default();
    if !when.fields.is_empty() {
        keys.key("header", list(when.fields.iter().map(|field| condition(field.name.as_str(), &field.test))));
    }
    if !when.query.is_empty() {
        keys.key("query", list(when.query.iter().map(|query| condition(&query.name, &query.test))));
    }
    if !when.cookies.is_empty() {
        keys.key("cookie", list(when.cookies.iter().map(|cookie| condition(&cookie.name, &cookie.test))));
    }
    keys.table()
}

fn key_value(key: &CacheKey) -> String {
    let words = |words: &[String]| list(words.iter().map(|word| text(word)));
    let mut keys = Keys::default();
    keys.key("scheme", key.scheme);
    keys.key("host", key.host);
    match &key.query {
        CacheQuery::Whole => keys.key("query", true),
        CacheQuery::Nothing => keys.key("query", false),
        CacheQuery::Only(names) => keys.key("query", words(names)),
        CacheQuery::Without(names) => keys.key("ignore-query", words(names)),
    }
    keys.key("sort-query", key.sort_query);
    keys.key("session-ids", words(&key.session_ids));
    keys.key("fields", names(&key.fields));
    keys.key("cookies", words(&key.cookies));
    keys.key("variables", words(&key.variables));
    keys.table()
}

fn names(names: &[Name]) -> String {
    list(names.iter().map(|name| text(name.as_str())))
}

/// Thousandths as a decimal.
fn factor(thousandths: u32) -> String {
    format!("{}.{:03}", thousandths / 1000, thousandths % 1000)
}
