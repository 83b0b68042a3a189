//! When a route is for a request: its path, methods, header and query conditions.

use regex::Regex;

use super::table::{Item, Table, labelled};
use super::{CookieMatch, FieldMatch, PathMatch, QueryMatch, Test, pool, similar};
use crate::message::{Method, Name, target};

/// Those that RFC 9110, section 9.3, and RFC 5789 register and people misspell.
const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];

/// `path`, `exact` or `regex`, at most one of them; `None` when it is no good.
pub(super) fn path(table: &Table<'_>) -> Option<PathMatch> {
    let (prefix, exact, regex) = (table.item("path"), table.item("exact"), table.item("regex"));
    let given: Vec<_> = [&prefix, &exact, &regex].into_iter().flatten().collect();
    if let [_, second, ..] = given.as_slice() {
        let names: Vec<_> = given.iter().map(|item| item.key.as_str()).collect();
        second.say(format!("a route has one of path, exact and regex, not {}", names.join(" and ")));
    }
    if let Some(item) = prefix {
        return checked_path(&item).map(PathMatch::Prefix);
    }
    if let Some(item) = exact {
        return checked_path(&item).map(PathMatch::Exact);
    }
    regex.map_or(Some(PathMatch::Any), |item| pattern(&item).map(PathMatch::Regex))
}

/// A path in the one spelling that requests are brought to before they are matched; another would never match.
pub(super) fn checked_path(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.contains(['?', '#']) {
        item.problem(format!("{text:?} is more than a path; conditions on the query are written as query = [...]"));
        return None;
    }
    match target::parse(text) {
        Ok(path) if path.as_str() == text => Some(text.to_owned()),
        Ok(path) => {
            item.problem(format!(
                "no request has the path {text:?} when it is matched (did you mean {:?}?)",
                path.as_str()
            ));
            None
        }
        Err(_) if text.starts_with('/') => {
            item.problem(format!("{text:?} is not a valid path"));
            None
        }
        Err(_) => {
            item.wrong("a path that begins with a slash");
            None
        }
    }
}

/// A regular expression.
pub(super) fn pattern(item: &Item<'_>) -> Option<Regex> {
    let text = item.string()?;
    Regex::new(text).map_err(|error| not_a_pattern(item, text, &error)).ok()
}

/// Reports what is wrong with a regular expression, in a line.
pub(super) fn not_a_pattern(item: &Item<'_>, text: &str, error: &regex::Error) {
    let error = error.to_string();
    let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
    item.problem(format!("{text:?} is not a regular expression: {last}"));
}

/// `method = ["GET", "HEAD"]`.
pub(super) fn methods(table: &Table<'_>) -> Vec<Method> {
    let items = table.item("method").map(|item| item.at_least_one()).unwrap_or_default();
    items.iter().filter_map(method).collect()
}

fn method(item: &Item<'_>) -> Option<Method> {
    let text = item.string()?;
    if text == "CONNECT" {
        item.problem("CONNECT never gets to a route: there are no tunnels here");
        return None;
    }
    let hint = if METHODS.contains(&text) { String::new() } else { similar::hint(text, METHODS) };
    // Methods are case-sensitive (RFC 9110, section 9.1): `get` is another method, and nobody means it.
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => Some(method),
        Ok(_) | Err(_) => {
            item.problem(format!("expected a method such as \"GET\", found {text:?}{hint}"));
            None
        }
    }
}

/// `header = [{ name = "x-beta", value = "1" }]`.
pub(super) fn fields(table: &Table<'_>) -> Vec<FieldMatch> {
    table.item("header").map(|item| fields_of(&item)).unwrap_or_default()
}

/// Conditions on fields, as a list.
pub(super) fn fields_of(list: &Item<'_>) -> Vec<FieldMatch> {
    let found = conditions(list, |item| {
        let name = item.string()?.parse::<Name>().ok();
        if name.is_none() {
            item.wrong("a field name");
        }
        name
    });
    found.into_iter().map(|(name, test)| FieldMatch { name, test }).collect()
}

/// `query = [{ name = "page", present = true }]`.
pub(super) fn query(table: &Table<'_>) -> Vec<QueryMatch> {
    let found = table.item("query").map(|item| conditions(&item, |item| item.string().map(str::to_owned)));
    found.unwrap_or_default().into_iter().map(|(name, test)| QueryMatch { name, test }).collect()
}

/// `cookie = [{ name = "session", present = true }]`.
pub(super) fn cookies(table: &Table<'_>) -> Vec<CookieMatch> {
    let name = |item: &Item<'_>| {
        let name = item.string()?;
        if !pool::is_token(name) {
            item.wrong("a cookie's name");
            return None;
        }
        Some(name.to_owned())
    };
    let found = table.item("cookie").map(|item| conditions(&item, name)).unwrap_or_default();
    found.into_iter().map(|(name, test)| CookieMatch { name, test }).collect()
}

fn conditions<N>(list: &Item<'_>, name: impl Fn(&Item<'_>) -> Option<N>) -> Vec<(N, Test)> {
    let items = list.list().unwrap_or_default();
    items.iter().filter_map(|item| condition(item, &name)).collect()
}

fn condition<N>(item: &Item<'_>, name: impl Fn(&Item<'_>) -> Option<N>) -> Option<(N, Test)> {
    let table = item.table(labelled(&item.label, &item.key))?;
    let name = table.required("name", "\"...\"").and_then(|item| name(&item));
    let tests = [table.item("value"), table.item("regex"), table.item("present")];
    table.finish();
    let test = match tests {
        [Some(value), None, None] => value.string().map(|text| Test::Equal(text.to_owned())),
        [None, Some(regex), None] => pattern(&regex).map(Test::Regex),
        [None, None, Some(present)] => present.boolean().map(Test::Present),
        _ => {
            table.problem("a condition has a name and one of value, regex and present");
            None
        }
    };
    Some((name?, test?))
}
