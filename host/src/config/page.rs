//! Sets of statuses, and the pages that stand for them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::table::{Item, Table};
use super::{ErrorPage, StatusSet};
use crate::message::Value;

const STATUS: &str = r#"a status from 400 to 599, or "4xx" or "5xx""#;
/// Pages are held in memory and sent whole; a longer one belongs to an upstream.
const LARGEST: u64 = 1 << 20;

const HTML: &str = "text/html; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// `[404, "5xx"]`: errors.
pub(super) fn statuses(item: &Item<'_>) -> StatusSet {
    set(item, 4, STATUS)
}

/// `[200, "3xx"]`: any final status.
pub(super) fn final_statuses(item: &Item<'_>) -> StatusSet {
    set(item, 2, r#"a status from 200 to 599, or "2xx", "3xx", "4xx" or "5xx""#)
}

fn set(item: &Item<'_>, least: u16, expected: &str) -> StatusSet {
    let mut set = StatusSet::default();
    for item in item.list().unwrap_or_default() {
        add(&item, least, &mut set, expected);
    }
    set
}

/// Adds an error status of a list, in which other words may stand too.
pub(super) fn add_error(item: &Item<'_>, set: &mut StatusSet, expected: &str) {
    add(item, 4, set, expected);
}

fn add(item: &Item<'_>, least: u16, set: &mut StatusSet, expected: &str) {
    let text = item.as_str().map_or_else(|| item.as_integer().map(|it| it.to_string()), |it| Some(it.to_owned()));
    let Some(one) = text.as_deref().and_then(|text| parse(text, least)) else { return item.wrong(expected) };
    let is_known = |it: &u16| set.exact.contains(it) || set.classes.contains(it);
    if one.exact.iter().chain(&one.classes).any(is_known) {
        return item.problem("the status is in the list already");
    }
    set.exact.extend(one.exact);
    set.classes.extend(one.classes);
}

/// `error-page`: single statuses come before classes, so that the first page that fits is the nearest.
pub(super) fn read_all(site: &Table<'_>) -> Vec<ErrorPage> {
    let Some(table) = site.item("error-page").and_then(|item| item.inner_table()) else { return Vec::new() };
    let mut pages: Vec<ErrorPage> = table.items().filter_map(|item| page(&item)).collect();
    pages.sort_by_key(|page| page.statuses.exact.is_empty());
    pages
}

fn page(item: &Item<'_>) -> Option<ErrorPage> {
    let statuses = parse(&item.key, 4);
    if statuses.is_none() {
        item.say(format!("a page is for {STATUS}, not for {:?}", item.key));
    }
    let table = item.inner_table()?;
    let file = table.item("file");
    let body = table.item("body");
    let content_type = table.item("content-type");
    table.finish();
    let text = match (&file, &body) {
        (Some(file), None) => contents(file)?,
        (None, Some(body)) => body.string()?.to_owned(),
        (None, None) | (Some(_), Some(_)) => {
            table.problem("a page has either file or body");
            return None;
        }
    };
    let content_type = match &content_type {
        Some(item) => value(item)?,
        None => Value::from_static(file.and_then(|file| type_of(file.as_str()?)).unwrap_or(HTML)),
    };
    Some(ErrorPage { statuses: statuses?, body: text.into(), content_type })
}

/// The text of the file that a value names.
pub(super) fn contents(item: &Item<'_>) -> Option<String> {
    let path = item.source.resolve(item.string()?);
    match fs::metadata(&path) {
        Ok(metadata) if metadata.len() > LARGEST => {
            item.problem(format!("{} is larger than 1MiB", path.display()));
            return None;
        }
        Ok(_) | Err(_) => {}
    }
    match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            item.problem(format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}

/// What a file's ending says about its content.
pub(super) fn type_of(file: &str) -> Option<&'static str> {
    Some(match Path::new(file).extension()?.to_str()? {
        "html" | "htm" => HTML,
        "txt" => TEXT,
        "json" => "application/json",
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        _ => return None,
    })
}

/// A field value.
pub(super) fn value(item: &Item<'_>) -> Option<Value> {
    let text = item.string()?;
    let value = Value::from_str(text).ok().filter(|_| text.trim_matches([' ', '\t']).len() == text.len());
    if value.is_none() {
        item.wrong("a field value: visible ASCII without spaces around it");
    }
    value
}

/// A status, or a hundred of them, from a class on.
fn parse(text: &str, least: u16) -> Option<StatusSet> {
    if let Some(class) = text.strip_suffix("xx") {
        let class = class.parse().ok().filter(|class| (least..=5).contains(class) && text.len() == 3)?;
        return Some(StatusSet { exact: Vec::new(), classes: vec![class] });
    }
    let status = text.parse().ok().filter(|status| (least * 100..=599).contains(status) && text.len() == 3)?;
    Some(StatusSet { exact: vec![status], classes: Vec::new() })
}

/// A set as it would be written.
pub(super) fn names(set: &StatusSet) -> Vec<Arc<str>> {
    let exact = set.exact.iter().map(|status| status.to_string().into());
    exact.chain(set.classes.iter().map(|class| format!("{class}xx").into())).collect()
}
