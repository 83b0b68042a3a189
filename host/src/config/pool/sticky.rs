//! `sticky`: how clients stay with a member.

use std::time::Duration;

use super::is_token;
use crate::config::table::{Item, Table};
use crate::config::{SameSite, Sticky, StickyBy, StickyFallback, StickyInsert, StickyLearn, StickyRoute};
use crate::message::host;

pub(in crate::config) const FALLBACKS: [(&str, StickyFallback); 2] =
    [("rebalance", StickyFallback::Rebalance), ("fail", StickyFallback::Fail)];
pub(in crate::config) const SAME_SITES: [(&str, Option<SameSite>); 4] = [
    ("strict", Some(SameSite::Strict)),
    ("lax", Some(SameSite::Lax)),
    ("none", Some(SameSite::None)),
    (crate::config::whole::OFF, None),
];

/// Shorter secrets can be guessed by trying.
const SHORTEST_SECRET: usize = 16;

pub(super) fn read(pool: &Table<'_>) -> Option<Sticky> {
    let table = pool.item("sticky")?.inner_table()?;
    let fallback = table.choice("fallback", StickyFallback::Rebalance, &FALLBACKS);
    let (insert, learn) = (table.item("insert"), table.item("learn"));
    let by = match (&insert, &learn) {
        (Some(insert), None) => insert.inner_table().map(|table| StickyBy::Insert(self::insert(&table))),
        (None, Some(learn)) => learn.inner_table().and_then(|table| self::learn(&table)).map(StickyBy::Learn),
        (None, None) => route(&table).map(StickyBy::Route),
        (Some(_), Some(_)) => {
            table.problem("is either by insert or by learn, not both");
            None
        }
    };
    table.finish();
    Some(Sticky { by: by?, fallback })
}

fn route(table: &Table<'_>) -> Option<StickyRoute> {
    let (cookie, parameter) = (table.item("cookie"), parameter(table));
    if cookie.is_none() && table.item("parameter").is_none() {
        table.problem("cookie or parameter is missing (or insert or learn), such as cookie = \"JSESSIONID\"");
        return None;
    }
    let cookies = cookie.map(|item| item.at_least_one()).unwrap_or_default();
    let separator = table.item("separator").map_or(Some('.'), |item| mark(&item));
    let ranked = table.item("ranked").and_then(|item| mark(&item));
    if let Some(item) = table.item("ranked").filter(|_| ranked.is_some() && ranked == separator) {
        item.problem("is the separator already");
    }
    let cookies = cookies.iter().filter_map(cookie_name).collect();
    Some(StickyRoute { cookies, parameter, separator, ranked })
}

fn insert(table: &Table<'_>) -> StickyInsert {
    let insert = StickyInsert {
        name: table.item("name").and_then(|item| cookie_name(&item)).unwrap_or_else(|| "WEIRID".to_owned()),
        path: table.item("path").and_then(|item| path(&item)).unwrap_or_else(|| "/".to_owned()),
        domain: table.item("domain").and_then(|item| domain(&item)),
        max_age: table.item("max-age").and_then(|item| max_age(&item)),
        secure: table.boolean("secure", false),
        http_only: table.boolean("http-only", true),
        same_site: table.choice("same-site", Some(SameSite::Lax), &SAME_SITES),
        secret: table.item("secret").and_then(|item| secret(&item)).map(Into::into),
    };
    if insert.same_site == Some(SameSite::None) && !insert.secure {
        table.problem("same-site = \"none\" needs secure = true, or browsers drop the cookie");
    }
    // RFC 6265bis, section 4.1.3: browsers drop cookies that break the promise of their names.
    if insert.name.starts_with("__Secure-") && !insert.secure {
        table.problem("a name that begins with __Secure- needs secure = true");
    }
    if insert.name.starts_with("__Host-") && (!insert.secure || insert.path != "/" || insert.domain.is_some()) {
        table.problem("a name that begins with __Host- needs secure = true, path = \"/\" and no domain");
    }
    table.finish();
    insert
}

fn learn(table: &Table<'_>) -> Option<StickyLearn> {
    let cookie = table.required("cookie", "\"sid\"").and_then(|item| cookie_name(&item));
    let parameter = parameter(table);
    let timeout = table.duration("timeout", Duration::from_secs(30 * 60));
    let capacity = table.count("capacity", 100_000, 1..=100_000_000).into();
    table.finish();
    Some(StickyLearn { cookie: cookie?, parameter, timeout, capacity })
}

fn cookie_name(item: &Item<'_>) -> Option<String> {
    let name = item.string()?;
    if !is_token(name) {
        item.wrong("a cookie's name");
        return None;
    }
    Some(name.to_owned())
}

fn parameter(table: &Table<'_>) -> Option<String> {
    let item = table.item("parameter")?;
    let name = item.string()?;
    if !is_token(name) {
        item.wrong("a parameter's name");
        return None;
    }
    Some(name.to_owned())
}

/// A character that parts a value; `"off"` means none.
fn mark(item: &Item<'_>) -> Option<char> {
    let text = item.string()?;
    if text == crate::config::whole::OFF {
        return None;
    }
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // What a cookie's value cannot hold (RFC 6265, section 4.1.1) would never be found.
        (Some(one), None) if one.is_ascii_punctuation() && !matches!(one, '"' | ',' | ';' | '\\') => Some(one),
        _ => {
            item.wrong("one punctuation character that a cookie's value can hold, or \"off\"");
            None
        }
    }
}

fn path(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if !text.starts_with('/') || text.bytes().any(|byte| !byte.is_ascii_graphic() || byte == b';') {
        item.wrong("a path that begins with a slash");
        return None;
    }
    Some(text.to_owned())
}

fn domain(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    match host::parse(text.as_bytes()) {
        Ok(name) if name.port().is_none() && !text.starts_with('[') => Some(host::key(name.host()).into_owned()),
        Ok(_) | Err(_) => {
            item.wrong("a domain such as \"shop.example\"");
            None
        }
    }
}

/// `Max-Age` is whole seconds (RFC 6265, section 4.1.1).
fn max_age(item: &Item<'_>) -> Option<Duration> {
    item.seconds(&(Duration::from_secs(1)..=crate::config::table::LONGEST))
}

fn secret<'d>(item: &Item<'d>) -> Option<&'d str> {
    let text = item.string()?;
    if text.len() < SHORTEST_SECRET {
        item.problem(format!("a secret has at least {SHORTEST_SECRET} bytes"));
    }
    Some(text)
}
