//! `balance`: a method by name, or with its settings.

use crate::config::table::{Item, Table};
use crate::config::{Balance, Hash, HashKey, HashTable};
use crate::message::Name;

/// The methods that need no more than their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Word {
    RoundRobin,
    LeastRequests,
    ByTraffic,
    ByBusyness,
    RandomTwo,
    PeakEwma,
    ByLoad,
    IpHash,
    First,
    Hash,
}

/// Every method, by the word it is called by.
pub(in crate::config) const METHODS: [(&str, Word); 10] = [
    ("round-robin", Word::RoundRobin),
    ("least-requests", Word::LeastRequests),
    ("by-traffic", Word::ByTraffic),
    ("by-busyness", Word::ByBusyness),
    ("random-two", Word::RandomTwo),
    ("peak-ewma", Word::PeakEwma),
    ("by-load", Word::ByLoad),
    ("ip-hash", Word::IpHash),
    ("first", Word::First),
    ("hash", Word::Hash),
];

const TABLES: [(&str, HashTable); 2] = [("ring", HashTable::Ring), ("maglev", HashTable::Maglev)];
const KEY: &str = r#""client", "path", "uri", "header:NAME", "cookie:NAME" or "query:NAME""#;
const EXAMPLE: &str = r#"{ method = "hash", key = "header:X-User" }"#;

pub(super) fn read(table: &Table<'_>) -> Balance {
    let Some(item) = table.item("balance") else { return Balance::RoundRobin };
    if item.is_table() {
        return item.inner_table().and_then(|table| of_table(&table)).unwrap_or(Balance::RoundRobin);
    }
    match item.choice(&METHODS) {
        Some(Word::Hash) => {
            item.problem(format!("hash needs a key, such as balance = {EXAMPLE}"));
            Balance::RoundRobin
        }
        Some(word) => of_word(word),
        None => Balance::RoundRobin,
    }
}

fn of_table(table: &Table<'_>) -> Option<Balance> {
    let method = table.required("method", "\"hash\"").and_then(|item| item.choice(&METHODS));
    let balance = match method {
        Some(Word::Hash) => hash(table).map(Balance::Hash),
        Some(word) => Some(of_word(word)),
        None => None,
    };
    // Without a method nobody knows which keys belong there.
    if method.is_some() {
        table.finish();
    }
    balance
}

fn hash(table: &Table<'_>) -> Option<Hash> {
    let key = table.required("key", "\"client\"").and_then(|item| key(&item));
    let laid = table.choice("table", HashTable::Ring, &TABLES);
    let load_factor = table.item("load-factor").and_then(|item| item.count(101..=10_000));
    Some(Hash { key: key?, table: laid, load_factor })
}

fn key(item: &Item<'_>) -> Option<HashKey> {
    let text = item.string()?;
    let (kind, name) = text.split_once(':').map_or((text, None), |(kind, name)| (kind, Some(name)));
    let found = match (kind, name.filter(|name| !name.is_empty())) {
        ("client", None) if name.is_none() => Some(HashKey::Client),
        ("path", None) if name.is_none() => Some(HashKey::Path),
        ("uri", None) if name.is_none() => Some(HashKey::Uri),
        ("header", Some(name)) => name.parse::<Name>().ok().map(HashKey::Field),
        ("cookie", Some(name)) if super::sticky::is_token(name) => Some(HashKey::Cookie(name.to_owned())),
        ("query", Some(name)) => Some(HashKey::Query(name.to_owned())),
        _ => None,
    };
    if found.is_none() {
        item.wrong(KEY);
    }
    found
}

const fn of_word(word: Word) -> Balance {
    match word {
        Word::RoundRobin => Balance::RoundRobin,
        Word::LeastRequests => Balance::LeastRequests,
        Word::ByTraffic => Balance::ByTraffic,
        Word::ByBusyness => Balance::ByBusyness,
        Word::RandomTwo => Balance::RandomTwo,
        Word::PeakEwma => Balance::PeakEwma,
        Word::ByLoad => Balance::ByLoad,
        Word::First => Balance::First,
        Word::IpHash | Word::Hash => {
            Balance::Hash(Hash { key: HashKey::Client, table: HashTable::Ring, load_factor: None })
        }
    }
}

/// A balance as it is written.
pub(in crate::config) fn write(balance: &Balance, text: impl Fn(&str) -> String) -> String {
    let word = match balance {
        Balance::RoundRobin => Word::RoundRobin,
        Balance::LeastRequests => Word::LeastRequests,
        Balance::ByTraffic => Word::ByTraffic,
        Balance::ByBusyness => Word::ByBusyness,
        Balance::RandomTwo => Word::RandomTwo,
        Balance::PeakEwma => Word::PeakEwma,
        Balance::ByLoad => Word::ByLoad,
        Balance::First => Word::First,
        Balance::Hash(hash) => return write_hash(hash, text),
    };
    text(METHODS.iter().find(|(_, known)| *known == word).map_or("", |(name, _)| name))
}

fn write_hash(hash: &Hash, text: impl Fn(&str) -> String) -> String {
    let key = match &hash.key {
        HashKey::Client => "client".to_owned(),
        HashKey::Path => "path".to_owned(),
        HashKey::Uri => "uri".to_owned(),
        HashKey::Field(name) => format!("header:{name}"),
        HashKey::Cookie(name) => format!("cookie:{name}"),
        HashKey::Query(name) => format!("query:{name}"),
    };
    let table = TABLES.iter().find(|(_, known)| *known == hash.table).map_or("", |(name, _)| name);
    let factor = hash.load_factor.map_or_else(String::new, |factor| format!(", load-factor = {factor}"));
    format!("{{ method = \"hash\", key = {}, table = \"{table}\"{factor} }}", text(&key))
}
