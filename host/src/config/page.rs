//! Sets of statuses, and the pages that stand for them.

use std::path::Path;
use std::sync::Arc;

use super::table::{Item, Table};
use super::{ErrorPage, StatusSet};
use crate::kernel;
use crate::message::Value;

const STATUS: &str = r#"a status from 400 to 599, or "4xx" or "5xx""#;
/// Pages are held in memory and sent whole; a longer one belongs to an upstream.
const LARGEST: u64 = 1 << 20;

const HTML: &str = "text/html; charset=utf-8";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// `[404, "5xx"]`.
pub(super) fn statuses(item: &Item<'_>) -> StatusSet {
    statuses_from(item, 400, STATUS)
}

/// As `statuses`, from another least one on; `expected` says what may stand there.
pub(super) fn statuses_from(item: &Item<'_>, least: u16, expected: &str) -> StatusSet {
    let mut set = StatusSet::default();
    for item in item.list().unwrap_or_default() {
        add_status(&item, &mut set, least, expected);
    }
    set
}

/// One more status or class of them.
pub(super) fn add_status(item: &Item<'_>, set: &mut StatusSet, least: u16, expected: &str) {
    let text = item.as_str().map_or_else(|| item.as_integer().map(|it| it.to_string()), |it| Some(it.to_owned()));
    let Some(one) = text.as_deref().and_then(|text| parse(text, least)) else {
        item.wrong(expected);
        return;
    };
    if one.exact.iter().chain(&one.classes).any(|it| set.exact.contains(it) || set.classes.contains(it)) {
        item.problem("the status is in the list already");
    } else {
        set.exact.extend(one.exact);
        set.classes.extend(one.classes);
    }
}

/// `error-page`: single statuses come before classes, so that the first page that fits is the nearest.
pub(super) fn read_all(site: &Table<'_>) -> Vec<ErrorPage> {
    let Some(table) = site.item("error-page").and_then(|item| item.inner_table()) else { return Vec::new() };
    let mut pages: Vec<ErrorPage> = table.items().filter_map(|item| page(&item)).collect();
    pages.sort_by_key(|page| page.statuses.exact.is_empty());
    pages
}

fn page(item: &Item<'_>) -> Option<ErrorPage> {
    let statuses = parse(&item.key, 400);
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
    let read = kernel::read_text(&path, LARGEST);
    read.map_err(|error| item.problem(format!("{} {error}", path.display()))).ok()
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

/// `404`, or `4xx`; from a least one on.
fn parse(text: &str, least: u16) -> Option<StatusSet> {
    let class = ["1xx", "2xx", "3xx", "4xx", "5xx"].iter().position(|name| *name == text);
    if let Some(class) = class.and_then(|index| u16::try_from(index + 1).ok()) {
        return (class * 100 >= least).then(|| StatusSet { exact: Vec::new(), classes: vec![class] });
    }
    let status = text.parse().ok().filter(|status| (least..=599).contains(status) && text.len() == 3)?;
    Some(StatusSet { exact: vec![status], classes: Vec::new() })
}

/// A set as it would be written.
pub(super) fn names(set: &StatusSet) -> Vec<Arc<str>> {
    let exact = set.exact.iter().map(|status| status.to_string().into());
    exact.chain(set.classes.iter().map(|class| format!("{class}xx").into())).collect()
}
