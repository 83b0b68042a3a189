//! `[[site.NAME.route]]`.

use super::table::{Item, Table};
use super::whole::Names;
use super::{
    Action, CacheWhen, Fallback, PathMatch, PrefixChange, Route, StatusSet, accel, cache, condition, page, pool, reach,
    respond,
};

/// Keys about what is passed on.
const OF_POOLS: [&str; 7] =
    ["intercept-errors", "upgrade", "fallback", "accel", "cache", "cache-bypass", "cache-refresh"];

/// A route, called by its name or path in problems.
pub(super) fn read(item: &Item<'_>, names: &Names, intercepts: &[StatusSet]) -> Option<Route> {
    let mut table = item.table(String::new())?;
    let called = ["name", "path", "exact", "regex"].into_iter().find_map(|key| table.glimpse(key)).unwrap_or("*");
    table.label = format!("route {called:?}");
    let table = table;
    let name = table.string("name").unwrap_or(called).into();
    let path = condition::path(&table);
    let methods = condition::methods(&table);
    let fields = condition::fields(&table);
    let query = condition::query(&table);
    let prefix = prefix(&table, path.as_ref());
    let filters = names.chain(&table);
    let max_body = table.item("max-body").and_then(|item| item.size(&(0..=u64::MAX)));
    let own_intercepts = table.item("intercept-errors").map(|item| page::statuses(&item));
    let upgrade = upgrade(&table);
    let fallback_item = table.item("fallback");
    let fallback = fallback_item.as_ref().and_then(|item| pool::failover::fallback(item, names));
    let internal = table.boolean("internal", false);
    if internal {
        reach::check_internal(&table, &methods);
    }
    let accel = table.item("accel").and_then(|item| accel::read(&item, &names.roots));
    let (cache, [cache_bypass, cache_refresh]) = cached(&table, names);
    let action = action(&table, names);
    if let (Some(item), Some(Fallback::Pool(one)), Some(Action::Pool(other))) = (&fallback_item, &fallback, &action)
        && one == other
    {
        item.problem("is the route's own pool");
    }
    let action = action.inspect(|action| check_effects(&table, action));
    table.finish();
    let (path, action) = (path?, action?);
    let intercept_errors = match (own_intercepts, &action) {
        (Some(own), _) => own,
        (None, Action::Pool(pool)) => intercepts.get(*pool).cloned().unwrap_or_default(),
        (None, Action::Files(_) | Action::Respond(_) | Action::Exclude) => StatusSet::default(),
    };
    let place = table.place.clone();
    Some(Route {
        name,
        path,
        methods,
        fields,
        query,
        prefix,
        filters,
        max_body,
        intercept_errors,
        upgrade,
        fallback,
        internal,
        accel,
        cache,
        cache_bypass,
        cache_refresh,
        action,
        place,
    })
}

/// Exactly one of `pool`, `root`, `respond` and `exclude`.
fn action(table: &Table<'_>, names: &Names) -> Option<Action> {
    match (table.item("pool"), table.item("root"), table.item("respond"), table.item("exclude")) {
        (Some(pool), None, None, None) => names.pool(&pool).map(Action::Pool),
        (None, Some(root), None, None) => names.roots.of_route(&root).map(Action::Files),
        (None, None, Some(respond), None) => respond::read(&respond).map(Action::Respond),
        (None, None, None, Some(exclude)) => match exclude.as_bool() {
            Some(true) => Some(Action::Exclude),
            _ => {
                exclude.wrong("true");
                None
            }
        },
        _ => {
            table.problem("a route has exactly one of pool, root, respond and exclude");
            None
        }
    }
}

/// `cache`, `cache-bypass` and `cache-refresh`.
fn cached(table: &Table<'_>, names: &Names) -> (Option<usize>, [CacheWhen; 2]) {
    let cache = table.item("cache");
    let when = |item: Option<Item<'_>>, idle| {
        let Some(item) = item else { return CacheWhen::default() };
        if cache.is_none() {
            item.problem(idle);
        }
        cache::when(&item)
    };
    let bypass = when(table.item("cache-bypass"), "there is no cache to go past; name one with cache");
    let refresh = when(table.item("cache-refresh"), "there is no cache to be refreshed; name one with cache");
    (cache.as_ref().and_then(|item| names.cache(item)), [bypass, refresh])
}

/// Keys that do nothing beside the route's action are slips.
fn check_effects(table: &Table<'_>, action: &Action) {
    let (more, why): (&[&'static str], _) = match action {
        Action::Pool(_) => return,
        Action::Files(_) => (&[], "serves files"),
        Action::Respond(_) => (&["strip-prefix", "replace-prefix"], "responds itself"),
        Action::Exclude => (&["strip-prefix", "replace-prefix", "internal", "filters", "max-body"], "excludes"),
    };
    for item in OF_POOLS.iter().chain(more).filter_map(|key| table.item(key)) {
        item.say(format!("{} does nothing on a route that {why}", item.key));
    }
}

/// `upgrade`: protocols by name, compared without case (RFC 9110, section 7.8).
fn upgrade(table: &Table<'_>) -> Vec<String> {
    let mut protocols: Vec<String> = Vec::new();
    for item in table.item("upgrade").and_then(|item| item.list()).unwrap_or_default() {
        let Some(text) = item.string() else { continue };
        let protocol = text.to_ascii_lowercase();
        let (name, version) = protocol.split_once('/').map_or((&*protocol, None), |(name, it)| (name, Some(it)));
        if !pool::is_token(name) || !version.is_none_or(pool::is_token) {
            item.wrong("a protocol such as \"websocket\"");
        } else if name == "h2c" {
            // It was taken out of HTTP (RFC 9113, section 3.1), and forwarding it smuggles requests past every rule here.
            item.problem("h2c is never passed on");
        } else if protocols.contains(&protocol) {
            item.problem(format!("{protocol:?} is in the list already"));
        } else {
            protocols.push(protocol);
        }
    }
    protocols
}

/// `strip-prefix` or `replace-prefix`.
fn prefix(table: &Table<'_>, path: Option<&PathMatch>) -> Option<PrefixChange> {
    let strip = table.item("strip-prefix");
    let replace = table.item("replace-prefix");
    if let (Some(_), Some(replace)) = (&strip, &replace) {
        replace.say("a route has either strip-prefix or replace-prefix, not both");
    }
    let own = |item: &Item<'_>| match path {
        None => None,
        Some(PathMatch::Prefix(path)) => Some(path.clone()),
        Some(PathMatch::Any | PathMatch::Exact(_) | PathMatch::Regex(_)) => {
            item.problem("without path on the route it is not known which prefix; name it");
            None
        }
    };
    if let Some(item) = strip {
        let from = match item.as_bool() {
            Some(true) => own(&item)?,
            _ if item.as_str().is_some() => condition::checked_path(&item)?,
            _ => {
                item.wrong("true or a path");
                return None;
            }
        };
        return Some(PrefixChange { from, to: String::new() });
    }
    let item = replace?;
    if item.as_str().is_some() {
        let to = condition::checked_path(&item);
        return Some(PrefixChange { from: own(&item)?, to: to? });
    }
    if !item.is_table() {
        item.wrong("a path or a table with from and to");
        return None;
    }
    let table = item.inner_table()?;
    let from = table.required("from", "\"/api\"").and_then(|item| condition::checked_path(&item));
    let to = table.required("to", "\"/v2\"").and_then(|item| match item.as_str() {
        Some("") => Some(String::new()),
        _ => condition::checked_path(&item),
    });
    table.finish();
    Some(PrefixChange { from: from?, to: to? })
}
