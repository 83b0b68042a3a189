//! What contradicts itself in what is said of a cache, and of several caches.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use http::header;

use crate::config::table::Table;
use crate::config::{Cache, CacheQuery, value};
use crate::message::Name;

/// What a stored answer's life and readers are decided by.
const DECIDING: [Name; 5] = [header::CACHE_CONTROL, header::EXPIRES, header::AGE, header::DATE, header::VARY];

/// What says how the bytes of a content are to be read, and how many there are.
const FRAMING: [Name; 5] = [
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
];

/// Statuses that are about one request: they say something of what is stored, and are not stored themselves.
const NEVER_STORED: [u16; 3] = [304, 412, 416];

pub(super) fn check(table: &Table<'_>, cache: &Cache) {
    lifetimes(table, cache);
    statuses(table, cache);
    fields(table, cache);
    places(table, cache);
    if let (Some(key), CacheQuery::Nothing, true) = (table.item("key"), &cache.key.query, cache.key.sort_query) {
        key.problem("sort-query does nothing where query is false");
    }
}

fn lifetimes(table: &Table<'_>, cache: &Cache) {
    if let (Some(item), Some(most)) = (table.item("max-ttl"), cache.max_ttl)
        && most < cache.min_ttl
    {
        return item.problem("is less than min-ttl");
    }
    let beyond = |ttl: Duration| {
        let more = cache.max_ttl.filter(|most| ttl > *most);
        let least = Some(cache.min_ttl).filter(|least| ttl < *least);
        let said = |word, bound| format!("is {word}, which is {}, and so would be that", value::write_duration(bound));
        more.map(|most| said("more than max-ttl", most)).or(least.map(|least| said("less than min-ttl", least)))
    };
    if let (Some(item), Some(text)) = (table.item("default-ttl"), cache.default_ttl.and_then(beyond)) {
        item.problem(text);
    }
    for (status, ttl) in &cache.status_ttl {
        if let (Some(item), Some(text)) = (table.item("status-ttl"), beyond(*ttl)) {
            item.problem(format!("{} {text}", written(*status)));
        }
    }
}

fn statuses(table: &Table<'_>, cache: &Cache) {
    let listed = cache.statuses.iter().flatten().map(|status| ("statuses", *status));
    for (key, status) in listed.chain(cache.status_ttl.iter().map(|(status, _)| ("status-ttl", *status))) {
        let Some(item) = table.item(key) else { continue };
        let is_listed = |listed: &u16| *listed == status || listed / 100 == status;
        if NEVER_STORED.contains(&status) {
            item.problem(format!("{status} is about one request and never stored"));
        } else if cache.statuses.as_ref().is_some_and(|statuses| !statuses.iter().any(is_listed)) {
            item.problem(format!("{} is not among statuses, so it is not stored", written(status)));
        }
    }
}

/// A status, or a class of them.
fn written(status: u16) -> String {
    if status < 100 { format!("{status}xx") } else { status.to_string() }
}

fn fields(table: &Table<'_>, cache: &Cache) {
    let decides = |name: &&Name| DECIDING.contains(name) || cache.targeted.contains(name);
    if let (Some(item), Some(name)) = (table.item("strip-fields"), cache.strip_fields.iter().find(decides)) {
        item.problem(format!("{name} decides how long an answer is kept and for whom, so it is stored with it"));
    }
    for (key, names) in [("ignore-fields", &cache.ignore_fields), ("strip-fields", &cache.strip_fields)] {
        if let (Some(item), Some(name)) = (table.item(key), names.iter().find(|name| FRAMING.contains(name))) {
            item.problem(format!("without {name} nobody could read the content"));
        }
    }
    let is_gone = |name: &&Name| cache.ignore_fields.contains(name);
    if let (Some(item), Some(name)) = (table.item("strip-fields"), cache.strip_fields.iter().find(is_gone)) {
        item.problem(format!("{name} is in ignore-fields, which takes it off for everybody"));
    }
    let is_plain = |name: &&Name| [header::CACHE_CONTROL, header::EXPIRES].contains(name);
    if let (Some(item), Some(name)) = (table.item("targeted"), cache.targeted.iter().find(is_plain)) {
        item.problem(format!("{name} counts behind these anyway"));
    }
}

fn places(table: &Table<'_>, cache: &Cache) {
    if let (Some(item), 0, None) = (table.item("memory"), cache.memory, &cache.disk) {
        return item.problem(
            "without memory a cache needs a disk, such as disk = { path = \"/var/cache/weir\", size = \"1GiB\" }",
        );
    }
    let disk = cache.disk.as_ref().map_or(0, |disk| disk.size);
    if let Some(item) = table.item("max-object")
        && cache.max_object > cache.memory.max(disk)
    {
        let of = |kind, size| (size > 0).then(|| format!("a {kind} of {}", value::write_size(size)));
        let places: Vec<_> = [of("memory", cache.memory), of("disk", disk)].into_iter().flatten().collect();
        item.problem(format!("nothing that long fits into {}", places.join(" or ")));
    }
}

/// Directories have one cache each, and none lies in another's.
pub(crate) fn check_disks(caches: &[(String, Table<'_>)], plans: &[Cache]) {
    let path = |plan: &Cache| plan.disk.as_ref().map(|disk| plain(&disk.path));
    for (at, (_, table)) in caches.iter().enumerate() {
        let (Some(own), Some(item)) = (plans.get(at).and_then(path), table.item("disk")) else { continue };
        for (other, path) in plans.iter().take(at).filter_map(|plan| Some((&*plan.name, path(plan)?))) {
            if path == own {
                item.problem(format!("cache {other:?} has that directory already"));
            } else if own.starts_with(&path) {
                item.problem(format!("that directory lies in the one of cache {other:?}"));
            } else if path.starts_with(&own) {
                item.problem(format!("in that directory lies the one of cache {other:?}"));
            }
        }
    }
}

/// As it is written, without what leads nowhere else; links are looked at when it is opened.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}
