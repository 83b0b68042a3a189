//! `balance`: how a member is chosen.

use crate::config::table::{Item, Table};
use crate::config::{Balance, Hash, HashKey, HashTable};
use crate::message::Name;

/// Methods without settings; `hash` has some, and `ip-hash` is one case of it.
pub(in crate::config) const WORDS: [(&str, Method); 10] = [
    ("round-robin", Method::RoundRobin),
    ("least-requests", Method::LeastRequests),
    ("by-traffic", Method::ByTraffic),
    ("by-busyness", Method::ByBusyness),
    ("random-two", Method::RandomTwo),
    ("peak-ewma", Method::PeakEwma),
    ("by-load", Method::ByLoad),
    ("ip-hash", Method::IpHash),
    ("hash", Method::Hash),
    ("first", Method::First),
];

pub(in crate::config) const TABLES: [(&str, HashTable); 2] = [("ring", HashTable::Ring), ("maglev", HashTable::Maglev)];

/// What other gateways call some of them; httpd's name for its rotation is the one that misleads.
const ELSEWHERE: [(&str, &str); 14] = [
    ("byrequests", "round-robin"),
    ("roundrobin", "round-robin"),
    ("round_robin", "round-robin"),
    ("static-rr", "round-robin"),
    ("bytraffic", "by-traffic"),
    ("bybusyness", "by-busyness"),
    ("least_conn", "by-busyness"),
    ("leastconn", "by-busyness"),
    ("least_request", "random-two"),
    ("random", "random-two"),
    ("ip_hash", "ip-hash"),
    ("source", "ip-hash"),
    ("heartbeat", "by-load"),
    ("failover", "first"),
];

const KEY: &str = r#""client", "header:NAME", "cookie:NAME", "query:NAME", "path" or "uri""#;

/// A word for a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Method {
    RoundRobin,
    LeastRequests,
    ByTraffic,
    ByBusyness,
    RandomTwo,
    PeakEwma,
    ByLoad,
    IpHash,
    Hash,
    First,
}

/// `balance`, a word or a table with `method`.
pub(super) fn read(pool: &Table<'_>) -> Balance {
    let Some(item) = pool.item("balance") else { return Balance::RoundRobin };
    let balance = if item.is_table() { of_table(&item) } else { of_word(&item) };
    balance.unwrap_or(Balance::RoundRobin)
}

/// The word that a method is written with.
pub(in crate::config) const fn method(balance: &Balance) -> Method {
    match balance {
        Balance::RoundRobin => Method::RoundRobin,
        Balance::LeastRequests => Method::LeastRequests,
        Balance::ByTraffic => Method::ByTraffic,
        Balance::ByBusyness => Method::ByBusyness,
        Balance::RandomTwo => Method::RandomTwo,
        Balance::PeakEwma => Method::PeakEwma,
        Balance::ByLoad => Method::ByLoad,
        Balance::Hash(_) => Method::Hash,
        Balance::First => Method::First,
    }
}

/// What is hashed, as it is written.
pub(in crate::config) fn write_key(key: &HashKey) -> String {
    match key {
        HashKey::Client => "client".to_owned(),
        HashKey::Field(name) => format!("header:{name}"),
        HashKey::Cookie(name) => format!("cookie:{name}"),
        HashKey::Query(name) => format!("query:{name}"),
        HashKey::Path => "path".to_owned(),
        HashKey::Uri => "uri".to_owned(),
    }
}

/// A method by its word.
fn word(item: &Item<'_>) -> Option<Method> {
    let found = item.as_str().unwrap_or_default();
    if let Some((_, here)) = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == found) {
        item.problem(format!("{found:?} is called {here:?} here"));
        return None;
    }
    item.choice(&WORDS)
}

fn of_word(item: &Item<'_>) -> Option<Balance> {
    let method = word(item)?;
    if method == Method::Hash {
        item.problem(r#"hash needs a key, such as balance = { method = "hash", key = "header:X-User" }"#);
        return None;
    }
    Some(plain(method))
}

fn of_table(item: &Item<'_>) -> Option<Balance> {
    let table = item.inner_table()?;
    let method = table.required("method", "\"hash\"").and_then(|item| word(&item));
    let balance = match method {
        Some(Method::Hash) => {
            let hashed = table.required("key", "\"header:X-User\"").and_then(|item| key(&item));
            let load_factor = table.item("load-factor").and_then(|item| item.count(101..=10_000));
            let table = table.choice("table", HashTable::Ring, &TABLES);
            hashed.map(|key| Balance::Hash(Hash { key, table, load_factor }))
        }
        Some(method) => Some(plain(method)),
        None => return None,
    };
    table.finish();
    balance
}

const fn plain(method: Method) -> Balance {
    match method {
        Method::RoundRobin => Balance::RoundRobin,
        Method::LeastRequests => Balance::LeastRequests,
        Method::ByTraffic => Balance::ByTraffic,
        Method::ByBusyness => Balance::ByBusyness,
        Method::RandomTwo => Balance::RandomTwo,
        Method::PeakEwma => Balance::PeakEwma,
        Method::ByLoad => Balance::ByLoad,
        Method::IpHash | Method::Hash => {
            Balance::Hash(Hash { key: HashKey::Client, table: HashTable::Ring, load_factor: None })
        }
        Method::First => Balance::First,
    }
}

fn key(item: &Item<'_>) -> Option<HashKey> {
    let text = item.string()?;
    let key = match text.split_once(':') {
        None => match text {
            "client" => Some(HashKey::Client),
            "path" => Some(HashKey::Path),
            "uri" => Some(HashKey::Uri),
            _ => None,
        },
        Some(("header", name)) => name.parse::<Name>().ok().map(HashKey::Field),
        Some(("cookie", name)) => super::is_token(name).then(|| HashKey::Cookie(name.to_owned())),
        Some(("query", name)) => (!name.is_empty()).then(|| HashKey::Query(name.to_owned())),
        Some(_) => None,
    };
    if key.is_none() {
        item.wrong(KEY);
    }
    key
}
