//! `[cache.NAME]`, and what a route says of its cache.
//!
//! Whether a directory can be had is found when it is opened, not here.

mod check;

use std::time::Duration;

pub(super) use self::check::check_disks;
use super::table::{Item, LONGEST, Table};
use super::{Cache, CacheDisk, CacheKey, CacheQuery, CacheWhen, StoreCookies, condition, pool, whole};
use crate::message::{Name, OWN_SPACES, is_variable_name};

pub(super) const COOKIES: [(&str, StoreCookies); 3] =
    [("never", StoreCookies::Never), ("stated", StoreCookies::Stated), ("always", StoreCookies::Always)];

/// What a range of something that is not stored has fetched, or a condition on it; whether that is the whole.
pub(super) const FETCHED: [(&str, bool); 2] = [("whole", true), ("own", false)];

/// Methods whose answers can be stored, or answered with what is stored.
const METHODS: [&str; 3] = ["GET", "HEAD", "QUERY"];

/// What the memory of a cache is when nobody says.
const MEMORY: u64 = 64 << 20;
/// Below that, a cache is only work.
const LEAST_MEMORY: u64 = 1 << 20;
const LEAST_DISK: u64 = 16 << 20;
/// Of a size that says how much there may be: beyond any machine.
const MOST: u64 = 1 << 50;
/// What a factor is a part of.
const WHOLE: f64 = 1000.0;

/// A cache, called by its name in problems.
pub(super) fn read(name: &str, table: &Table<'_>) -> Cache {
    let cache = Cache {
        name: name.into(),
        default_ttl: ttl(table, "default-ttl"),
        min_ttl: table.duration_or_none("min-ttl", Duration::ZERO),
        max_ttl: ttl(table, "max-ttl"),
        status_ttl: table.item("status-ttl").map(|item| status_ttl(&item)).unwrap_or_default(),
        last_modified_factor: table.item("last-modified-factor").and_then(|item| factor(&item)).unwrap_or(100),
        last_modified_most: table.duration_or_none("last-modified-most", Duration::from_secs(86_400)),
        statuses: table.item("statuses").map(|item| statuses(&item)),
        query: methods(table),
        ignore_request: table.boolean("ignore-request", false),
        store_private: table.boolean("store-private", false),
        store_no_store: table.boolean("store-no-store", false),
        store_expired: table.boolean("store-expired", false),
        cookies: table.choice("set-cookie", StoreCookies::Stated, &COOKIES),
        ignore_fields: fields(table.item("ignore-fields").as_ref()).unwrap_or_default(),
        strip_fields: fields(table.item("strip-fields").as_ref()).unwrap_or_default(),
        targeted: fields(table.item("targeted").as_ref())
            .unwrap_or_else(|| ["weir-cache-control", "cdn-cache-control"].map(Name::from_static).into()),
        surrogate_control: table.boolean("surrogate-control", true),
        stale_while_revalidate: table.duration_or_none("stale-while-revalidate", Duration::ZERO),
        stale_if_error: table.duration_or_none("stale-if-error", Duration::from_secs(3600)),
        key: table.item("key").and_then(|item| item.inner_table()).map_or_else(CacheKey::default, |table| key(&table)),
        min_uses: table.count("min-uses", 1, 1..=255),
        max_object: table.item("max-object").and_then(|item| item.size(&(1..=MOST))).unwrap_or(16 << 20),
        memory: table.item("memory").and_then(|item| memory(&item)).unwrap_or(MEMORY),
        disk: table.item("disk").and_then(|item| disk(&item)),
        ranges_whole: table.choice("ranges", true, &FETCHED),
        conditions_whole: table.choice("conditions", true, &FETCHED),
        lock_timeout: table.duration_or_none("lock-timeout", Duration::from_secs(5)),
        uncacheable_ttl: table.duration_or_none("uncacheable-ttl", Duration::from_secs(10)),
        purge: table
            .item("purge")
            .and_then(|item| item.list())
            .unwrap_or_default()
            .iter()
            .filter_map(whole::network)
            .collect(),
        cache_status: table.boolean("cache-status", true),
        x_cache: table.boolean("x-cache", false),
        place: table.place.clone(),
    };
    check::check(table, &cache);
    table.finish();
    cache
}

/// `cache-bypass` or `cache-refresh` of a route.
pub(super) fn when(item: &Item<'_>) -> CacheWhen {
    let Some(table) = item.inner_table() else { return CacheWhen::default() };
    let (fields, cookies) = (condition::fields(&table), condition::cookies(&table));
    let when = CacheWhen { fields, cookies, query: condition::query(&table) };
    if when.is_empty() {
        table.problem("says nothing; conditions are header and query, as for a route, and cookie");
    }
    table.finish();
    when
}

/// A lifetime, or `"off"`: none is said.
fn ttl(table: &Table<'_>, key: &'static str) -> Option<Duration> {
    let item = table.item(key)?;
    match item.as_str() {
        Some(whole::OFF) => None,
        Some(_) => item.duration(&(Duration::ZERO..=LONGEST)),
        None => {
            item.wrong("a duration such as \"2s\", \"1m\" or \"1h\", or \"off\"");
            None
        }
    }
}

/// `{ 404 = "10s", 5xx = "1s" }`: classes by their first digit.
fn status_ttl(item: &Item<'_>) -> Vec<(u16, Duration)> {
    let mut found: Vec<(u16, Duration)> = Vec::new();
    for item in item.inner_table().iter().flat_map(Table::items) {
        let class = item.key.strip_suffix("xx").and_then(|class| class.parse().ok());
        let class = class.filter(|class| (2..=5).contains(class));
        let status = class.or_else(|| item.key.parse().ok().filter(|status| (200..=599).contains(status)));
        match (status, item.duration(&(Duration::ZERO..=LONGEST))) {
            (None, _) => {
                item.say(format!("{:?} is neither a status from 200 to 599 nor a class such as \"4xx\"", item.key))
            }
            (Some(status), Some(ttl)) => found.push((status, ttl)),
            (Some(_), None) => {}
        }
    }
    found
}

/// What is stored; 304 is none of them, it says that something stored is right.
fn statuses(item: &Item<'_>) -> Vec<u16> {
    let mut found = Vec::new();
    for item in item.at_least_one() {
        let status = item.count(200..=599).and_then(|status| u16::try_from(status).ok());
        match status {
            Some(status) if found.contains(&status) => item.problem(format!("{status} is in the list already")),
            Some(status) => found.push(status),
            None => {}
        }
    }
    found
}

/// A part of one, to a thousandth.
fn factor(item: &Item<'_>) -> Option<u32> {
    let factor = item.as_number().filter(|factor| (0.0..=1.0).contains(factor));
    if factor.is_none() {
        item.wrong("a number from 0 to 1 such as 0.1");
    }
    // By its digits: a text is rounded as it is read.
    let thousandths = format!("{:.0}", factor? * WHOLE).parse().ok();
    if thousandths == Some(0) && factor? > 0.0 {
        item.problem("is less than a thousandth, which is the smallest part");
    }
    thousandths
}

/// `methods`, with `GET`: it always is one, and `HEAD` with it; whether `QUERY` is among them.
fn methods(table: &Table<'_>) -> bool {
    let Some(list) = table.item("methods") else { return false };
    let mut found = Vec::new();
    for item in list.list().unwrap_or_default() {
        match item.choice(&METHODS.map(|method| (method, method))) {
            Some(method) if found.contains(&method) => item.problem(format!("{method} is in the list already")),
            Some(method) => found.push(method),
            // What it is to mean is not known, and GET may be it.
            None => found.push("GET"),
        }
    }
    if list.is_list() && !found.contains(&"GET") {
        list.problem("\"GET\" always is one of them, and \"HEAD\" with it");
    }
    found.contains(&"QUERY")
}

fn memory(item: &Item<'_>) -> Option<u64> {
    if item.as_str() == Some(whole::OFF) {
        return Some(0);
    }
    if item.as_integer() == Some(0) {
        item.wrong("a size from 1MiB, or \"off\"");
        return None;
    }
    item.size(&(LEAST_MEMORY..=MOST))
}

fn disk(item: &Item<'_>) -> Option<CacheDisk> {
    let table = item.inner_table()?;
    let path = table.required("path", "\"/var/cache/weir\"").and_then(|item| match item.string()? {
        "" => {
            item.problem("the path is empty");
            None
        }
        path => Some((item.source.resolve(path), item.place.clone())),
    });
    let size = table.required("size", "\"1GiB\"").and_then(|item| item.size(&(LEAST_DISK..=MOST)));
    let sync = table.boolean("sync", false);
    table.finish();
    let (path, place) = path?;
    Some(CacheDisk { path, size: size?, sync, place })
}

fn fields(item: Option<&Item<'_>>) -> Option<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    for item in item?.list().unwrap_or_default() {
        match item.string().map(str::parse::<Name>) {
            None => {}
            Some(Err(_)) => item.wrong("a field name"),
            Some(Ok(name)) if names.contains(&name) => item.problem(format!("{name} is in the list already")),
            Some(Ok(name)) => names.push(name),
        }
    }
    Some(names)
}

fn key(table: &Table<'_>) -> CacheKey {
    let key = CacheKey {
        scheme: table.boolean("scheme", true),
        host: table.boolean("host", true),
        query: query(table),
        sort_query: table.boolean("sort-query", false),
        session_ids: words(table.item("session-ids").as_ref()),
        fields: fields(table.item("fields").as_ref()).unwrap_or_default(),
        cookies: words(table.item("cookies").as_ref()),
        variables: variables(table.item("variables").as_ref()),
    };
    table.finish();
    key
}

/// `query = true | false | ["a", "b*"]`, or `ignore-query = [..]`.
fn query(table: &Table<'_>) -> CacheQuery {
    let (only, without) = (table.item("query"), table.item("ignore-query"));
    if let (Some(_), Some(item)) = (&only, &without) {
        item.say("a key has either query or ignore-query, not both");
    }
    if let Some(item) = without {
        return CacheQuery::Without(parameters(&item));
    }
    match only {
        None => CacheQuery::Whole,
        Some(item) => match item.as_bool() {
            Some(true) => CacheQuery::Whole,
            Some(false) => CacheQuery::Nothing,
            None => CacheQuery::Only(parameters(&item)),
        },
    }
}

/// Names of parameters, decoded, so anything may be in them; one that ends with `*` stands for all that begin so.
fn parameters(list: &Item<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for item in list.list().unwrap_or_default() {
        let Some(name) = item.string() else { continue };
        if matches!(name, "" | "*") {
            item.wrong(
                "a parameter's name such as \"page\" or \"utm_*\"; all of them are query = true or query = false",
            );
        } else if name.contains(['&', '=']) {
            item.wrong("a parameter's name without its value");
        } else if names.iter().any(|known| known == name) {
            item.problem(format!("{name:?} is in the list already"));
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

/// Variables of filters: `namespace.name`.
fn variables(item: Option<&Item<'_>>) -> Vec<String> {
    let names = words(item);
    for (item, name) in item.into_iter().flat_map(|item| names.iter().map(move |name| (item, name))) {
        let space = name.split_once('.').map_or("", |(space, _)| space);
        if !is_variable_name(name) {
            item.problem(format!("{name:?} is not a variable's name, which is like \"device.class\""));
        } else if OWN_SPACES.contains(&space) {
            item.problem(format!("{name:?} is the gateway's; those that filters set can be in a key"));
        } else if space == "cache" {
            item.problem(format!("{name:?} is a word to the cache itself; cache.key.NAME counts without being listed"));
        }
    }
    names
}

fn words(item: Option<&Item<'_>>) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for item in item.and_then(Item::list).unwrap_or_default() {
        let Some(word) = item.string() else { continue };
        if !pool::is_token(word) || word.contains('*') {
            item.wrong("a name");
        } else if words.iter().any(|known| known == word) {
            item.problem(format!("{word:?} is in the list already"));
        } else {
            words.push(word.to_owned());
        }
    }
    words
}

impl Default for CacheKey {
    fn default() -> Self {
        Self {
            scheme: true,
            host: true,
            query: CacheQuery::Whole,
            sort_query: false,
            session_ids: Vec::new(),
            fields: Vec::new(),
            cookies: Vec::new(),
            variables: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::{Cache, CacheQuery, Plan, StoreCookies, parse};

    const BASE: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[pool.app]
member = ["http://127.0.0.1:9001"]
"#;

    fn plan(text: &str) -> Plan {
        let text = format!("{BASE}{text}\n[site.main]\nroute = [{{ pool = \"app\", cache = \"pages\" }}]");
        parse(&text, "weir.toml", Path::new("/etc/weir")).unwrap()
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let plan = plan("[cache.pages]");
        let cache = &plan.caches[0];
        assert_eq!((&*cache.name, cache.memory, &cache.disk), ("pages", 64 << 20, &None));
        assert_eq!((cache.default_ttl, cache.min_ttl, cache.max_ttl), (None, Duration::ZERO, None));
        assert_eq!((cache.last_modified_factor, cache.last_modified_most), (100, Duration::from_secs(86_400)));
        assert_eq!((cache.cookies, &cache.key.query, cache.min_uses), (StoreCookies::Stated, &CacheQuery::Whole, 1));
        assert!(cache.cache_status && !cache.x_cache && cache.surrogate_control && cache.purge.is_empty());
        assert_eq!(
            cache.targeted.iter().map(|name| name.as_str()).collect::<Vec<_>>(),
            ["weir-cache-control", "cdn-cache-control"]
        );
        assert_eq!(plan.sites[0].routes[0].cache, Some(0));
    }

    #[test]
    fn what_is_said_is_kept() {
        let plan = plan(
            "[cache.pages]\ndefault-ttl = \"1m\"\nmax-ttl = \"1d\"\nlast-modified-factor = 0.25\nstatus-ttl = { 404 = \"10s\" }\n\
             methods = [\"GET\", \"QUERY\"]\nmemory = \"off\"\ndisk = { path = \"pages\", size = \"1GiB\" }\npurge = [\"127.0.0.1\"]\n\
             key = { ignore-query = [\"utm_*\"], variables = [\"device.class\"], session-ids = [\"jsessionid\"] }",
        );
        let Cache { default_ttl, max_ttl, last_modified_factor, status_ttl, query, memory, disk, purge, key, .. } =
            &plan.caches[0];
        assert_eq!((*default_ttl, *max_ttl), (Some(Duration::from_secs(60)), Some(Duration::from_secs(86_400))));
        assert_eq!((*last_modified_factor, &status_ttl[..]), (250, &[(404, Duration::from_secs(10))][..]));
        let disk = disk.as_ref().unwrap();
        assert_eq!((*query, *memory, disk.path.to_str()), (true, 0, Some("/etc/weir/pages")));
        assert_eq!((disk.size, disk.sync, purge.len()), (1 << 30, false, 1));
        assert_eq!(key.query, CacheQuery::Without(vec!["utm_*".to_owned()]));
        assert_eq!((key.variables[0].as_str(), key.session_ids[0].as_str()), ("device.class", "jsessionid"));
    }
}
