//! The config as a whole: what stands at its top, the logs, and its sections put together.

use std::env;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeTable;
use tracing::level_filters::LevelFilter;

use super::files::Roots;
use super::source::Source;
use super::table::{Item, Table};
use super::{AccessFormat, AccessLog, Log, LogFormat, LogOutput, Network, Plan};
use super::{admin, cache, files, filter, listener, pool, similar, site, template};

/// A word in place of a path: nothing is kept or written.
pub(super) const OFF: &str = "off";

pub(super) const LEVELS: [(&str, LevelFilter); 6] = [
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
    ("trace", LevelFilter::TRACE),
    (OFF, LevelFilter::OFF),
];

pub(super) const LOG_FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// More threads than any machine has cores is a slip.
pub(super) const MOST_THREADS: u32 = 1024;

/// What routes, pools and filters may refer to by name, in the order of the plan.
pub(super) struct Names {
    pub(super) pools: Vec<Arc<str>>,
    pub(super) filters: Vec<Arc<str>>,
    pub(super) caches: Vec<Arc<str>>,
    pub(super) roots: Roots,
}

/// The plan, or whatever of it could be read: it counts only when no problem was reported.
pub(super) fn read<'d>(source: &'d Source<'d>, document: &'d Spanned<DeTable<'d>>) -> Option<Plan> {
    let top = Table::of(source, String::new(), source.whole(), document.get_ref());
    let threads = top.count("threads", cores(), 1..=MOST_THREADS);
    let shutdown_timeout = top.duration_or_none("shutdown-timeout", Duration::from_secs(30));
    let trusted_proxies = top.item("trusted-proxies").and_then(|item| item.list()).unwrap_or_default();
    let resolvers = top.item("resolvers").and_then(|item| item.list()).unwrap_or_default();
    let cache_directory = cache_directory(&top);
    let log = log(&top);
    let access_log = access_log(&top);
    let files = files::read(&top);
    let listeners = listener::read_all(&top);
    let admin = admin::read(&top, &listeners);
    let roots = Roots::read(&top);
    let caches = top.named("cache");
    let pools = top.named("pool");
    let filters = top.named("filter");
    let names = Names { pools: names_of(&pools), filters: names_of(&filters), caches: names_of(&caches), roots };
    let cache_plans: Vec<_> = caches.iter().map(|(name, table)| cache::read(name, table)).collect();
    cache::check_disks(&caches, &cache_plans);
    let templates = pool::health::Templates::read(&top);
    let pools: Vec<_> = pools.iter().map(|(name, table)| pool::read(name, table, &names, &templates)).collect();
    pool::check_fallbacks(&pools);
    let filters = filters.iter().filter_map(|(name, table)| filter::read(name, table, &names.roots)).collect();
    let intercepts: Vec<_> = pools.iter().map(|found| found.intercepts.clone()).collect();
    let (sites, default_site) = site::read_all(&top, &names, &intercepts, &listeners);
    top.finish();
    Some(Plan {
        threads: usize::try_from(threads).ok()?,
        shutdown_timeout,
        trusted_proxies: trusted_proxies.iter().filter_map(network).collect(),
        resolvers: resolvers.iter().filter_map(resolver).collect(),
        cache_directory,
        log,
        access_log,
        admin,
        files,
        roots: names.roots.into_all(),
        caches: cache_plans,
        listeners: listeners.into_iter().map(|found| Arc::new(found.listener)).collect(),
        pools: pools.into_iter().map(|found| found.pool).collect(),
        filters,
        sites,
        default_site,
    })
}

impl Names {
    /// Indices of the filters that a list names.
    pub(super) fn chain(&self, table: &Table<'_>) -> Vec<usize> {
        let items = table.item("filters").and_then(|item| item.list()).unwrap_or_default();
        items.iter().filter_map(|item| find(item, "filter", &self.filters)).collect()
    }

    /// Index of the cache that a value names.
    pub(super) fn cache(&self, item: &Item<'_>) -> Option<usize> {
        find(item, "cache", &self.caches)
    }

    /// Index of the pool that a value names.
    pub(super) fn pool(&self, item: &Item<'_>) -> Option<usize> {
        find(item, "pool", &self.pools)
    }
}

/// Index of what a value names.
pub(super) fn find(item: &Item<'_>, what: &str, names: &[Arc<str>]) -> Option<usize> {
    let wanted = item.string()?;
    let found = names.iter().position(|name| **name == *wanted);
    if found.is_none() {
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let hint = similar::hint(wanted, names.iter().map(|name| &**name));
        item.say(format!("{what} {wanted:?} is not defined; known {what}s: {known}{hint}"));
    }
    found
}

fn names_of(tables: &[(String, Table<'_>)]) -> Vec<Arc<str>> {
    tables.iter().map(|(name, _)| name.as_str().into()).collect()
}

/// The cores we may use; the standard library looks at cgroup quotas and affinity.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(cores).unwrap_or(1).min(MOST_THREADS)
}

/// A name server; without a port it is DNS's own (RFC 1035, section 4.2).
fn resolver(item: &Item<'_>) -> Option<SocketAddr> {
    let text = item.string()?;
    let address = text.parse().ok().or_else(|| Some(SocketAddr::from((text.parse::<IpAddr>().ok()?, 53))));
    let address = address.filter(|address| address.port() != 0);
    if address.is_none() {
        item.wrong(r#"a name server's address such as "127.0.0.1:53" or "[::1]:53""#);
    }
    address
}

/// `/24` or nothing after an address. Bits beyond the prefix are a slip of one or the other, so they are a problem.
pub(super) fn network(item: &Item<'_>) -> Option<Network> {
    let text = item.string()?;
    let network = parse_network(text);
    match network {
        None => item.wrong(r#"an address or a network such as "10.0.0.0/8" or "fd00::/8""#),
        Some(network) if network.address.to_canonical() != network.address => {
            item.problem(format!("{text:?} is an IPv4 address in IPv6 form; write it as IPv4"));
        }
        Some(network) if first_of(network) != network.address => {
            let meant = format!("{}/{}", first_of(network), network.bits);
            item.problem(format!("{text:?} has bits after its prefix (did you mean {meant:?}?)"));
        }
        Some(_) => {}
    }
    network
}

fn parse_network(text: &str) -> Option<Network> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits {
        None => most,
        Some(bits) if bits.bytes().all(|b| b.is_ascii_digit()) => bits.parse().ok().filter(|bits| *bits <= most)?,
        Some(_) => return None,
    };
    Some(Network { address, bits })
}

fn first_of(network: Network) -> IpAddr {
    let bits = u32::from(network.bits);
    match network.address {
        IpAddr::V4(address) => IpAddr::V4((address.to_bits() & u32::MAX.checked_shl(32 - bits).unwrap_or(0)).into()),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & u128::MAX.checked_shl(128 - bits).unwrap_or(0)).into()),
    }
}

/// As written; otherwise the user's own cache, where there is one (XDG Base Directory Specification).
fn cache_directory(top: &Table<'_>) -> Option<PathBuf> {
    let Some(item) = top.item("cache-directory") else {
        let of = |variable, below| {
            env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute()).map(|path| path.join(below))
        };
        return of("XDG_CACHE_HOME", "weir").or_else(|| of("HOME", ".cache/weir"));
    };
    match item.string()? {
        "" => item.problem("the path is empty; to keep no compiled filters write \"off\""),
        OFF => {}
        path => return Some(item.source.resolve(path)),
    }
    None
}

fn log(top: &Table<'_>) -> Log {
    let mut log = Log { level: LevelFilter::INFO, format: LogFormat::Text };
    if let Some(table) = top.item("log").and_then(|item| item.inner_table()) {
        log.level = table.choice("level", log.level, &LEVELS);
        log.format = table.choice("format", log.format, &LOG_FORMATS);
        table.finish();
    }
    log
}

fn access_log(top: &Table<'_>) -> AccessLog {
    let mut log = AccessLog { output: LogOutput::Stdout, format: AccessFormat::Combined };
    if let Some(table) = top.item("access-log").and_then(|item| item.inner_table()) {
        if let Some(item) = table.item("path") {
            match item.string() {
                Some("") => item.problem("the path is empty; standard output is \"-\""),
                Some("-") | None => {}
                Some(path) => log.output = LogOutput::File(item.source.resolve(path)),
            }
        }
        if let Some(format) = table.item("format").and_then(|item| template::read(&item)) {
            log.format = format;
        }
        table.finish();
    }
    log
}
