//! `sticky`: how clients stay with a member. One of three ways: by route, by a cookie of ours, by learning.

use std::time::Duration;

use crate::config::table::{Item, LONGEST, Table};
use crate::config::{Member, SameSite, Sticky, StickyBy, StickyFallback, StickyInsert, StickyLearn, StickyRoute};

/// `SameSite`, by the words it is written in.
pub(in crate::config) const SAME_SITE: [(&str, SameSite); 3] =
    [("strict", SameSite::Strict), ("lax", SameSite::Lax), ("none", SameSite::None)];

const FALLBACK: [(&str, StickyFallback); 2] =
    [("rebalance", StickyFallback::Rebalance), ("fail", StickyFallback::Fail)];

/// A separator that is none: the whole value is the route.
const OFF: &str = "off";

/// Shorter secrets can be guessed from a cookie.
const SHORTEST_SECRET: usize = 16;

pub(super) fn read(pool: &Table<'_>, members: &[Member]) -> Option<Sticky> {
    let item = pool.item("sticky")?;
    let table = item.inner_table()?;
    let fallback = table.choice("fallback", StickyFallback::Rebalance, &FALLBACK);
    let by = match (table.item("insert"), table.item("learn")) {
        (Some(_), Some(learn)) => {
            learn.say("sessions are kept in one way: insert or learn, not both");
            None
        }
        (Some(insert), None) => self::insert(&insert).map(StickyBy::Insert),
        (None, Some(learn)) => self::learn(&learn).map(StickyBy::Learn),
        (None, None) => route(&table, members).map(StickyBy::Route),
    };
    if by.is_some() {
        table.finish();
    }
    by.map(|by| Sticky { by, fallback })
}

fn route(table: &Table<'_>, members: &[Member]) -> Option<StickyRoute> {
    let cookies = table.item("cookie").map(|item| item.at_least_one()).unwrap_or_default();
    let cookies: Vec<_> = cookies.iter().filter_map(token).collect();
    let parameter = table.item("parameter").and_then(|item| token(&item));
    if table.item("cookie").is_none() && table.item("parameter").is_none() {
        table.problem(r#"needs cookie or parameter, such as cookie = "JSESSIONID"; or insert, or learn"#);
        return None;
    }
    let separator = match table.item("separator") {
        None => Some('.'),
        Some(item) if item.as_str() == Some(OFF) => None,
        Some(item) => character(&item),
    };
    let ranked = table.item("ranked");
    let between = ranked.as_ref().and_then(character);
    if let Some(ranked) = ranked.filter(|_| between.is_some() && between == separator) {
        ranked.problem("is the separator already, so no value could have more than one route");
    }
    if members.iter().all(|member| member.route.is_none()) {
        table
            .problem(r#"no member has a route, such as { url = "...", route = "node1" }, so no session would be kept"#);
    }
    Some(StickyRoute { cookies, parameter, separator, ranked: between })
}

fn insert(item: &Item<'_>) -> Option<StickyInsert> {
    let table = item.inner_table()?;
    let name = table.required("name", "\"WEIRID\"").and_then(|item| token(&item));
    let path =
        table.item("path").map_or(Some("/".to_owned()), |item| attribute(&item).filter(|path| path.starts_with('/')));
    if path.is_none() {
        table.problem("path: expected a path that begins with a slash");
    }
    let max_age = table.item("max-age").and_then(|item| item.duration(&(Duration::from_secs(1)..=LONGEST)));
    let same_site = table.item("same-site").and_then(|item| item.choice(&SAME_SITE));
    let secure = table.boolean("secure", false);
    if same_site == Some(SameSite::None) && !secure {
        table.problem("same-site = \"none\" needs secure = true: browsers drop the cookie otherwise");
    }
    let secret = table.item("secret").and_then(|item| secret(&item));
    let insert = StickyInsert {
        name: name.unwrap_or_default(),
        path: path.unwrap_or_default(),
        domain: table.item("domain").and_then(|item| attribute(&item)),
        max_age,
        secure,
        http_only: table.boolean("http-only", true),
        same_site,
        secret,
    };
    table.finish();
    Some(insert)
}

fn learn(item: &Item<'_>) -> Option<StickyLearn> {
    let table = item.inner_table()?;
    let cookie = table.required("cookie", "\"sid\"").and_then(|item| token(&item));
    let learn = StickyLearn {
        cookie: cookie.unwrap_or_default(),
        parameter: table.item("parameter").and_then(|item| token(&item)),
        timeout: table.duration("timeout", Duration::from_secs(30 * 60)),
        capacity: u64::from(table.count("capacity", 100_000, 1..=100_000_000)),
    };
    table.finish();
    Some(learn)
}

fn secret(item: &Item<'_>) -> Option<std::sync::Arc<str>> {
    let text = item.string()?;
    if text.len() < SHORTEST_SECRET {
        item.problem(format!("a secret has at least {SHORTEST_SECRET} characters"));
        return None;
    }
    Some(text.into())
}

/// The name of a cookie or parameter.
fn token(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if !is_token(text) {
        item.wrong("a name of letters, digits and any of !#$%&'*+-.^_`|~ (RFC 6265, section 4.1.1)");
        return None;
    }
    Some(text.to_owned())
}

/// Whether a text is a token (RFC 9110, section 5.6.2).
pub(in crate::config) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// An attribute's value: no semicolon ends it, and no control character breaks the line.
fn attribute(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';' && byte != b',') {
        item.wrong("visible ASCII without \";\" and \",\"");
        return None;
    }
    Some(text.to_owned())
}

fn character(item: &Item<'_>) -> Option<char> {
    let text = item.string()?;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(one), None) if one.is_ascii_graphic() && one != ';' && one != '=' => Some(one),
        _ => {
            item.wrong(r#"one visible character, not ";" or "=""#);
            None
        }
    }
}
