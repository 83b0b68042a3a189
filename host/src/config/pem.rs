//! PEM files that the config names, and certificates made of them.
//!
//! Files are read here, and what they hold is told by their blocks' labels alone: whether a block makes sense is found
//! where TLS is set up.

use std::path::Path;

use super::table::{Item, Table};
use super::{Certificate, Pem, Staple};
use crate::kernel::{self, Unread};

pub(super) const CERTIFICATE: &str = "CERTIFICATE";
pub(super) const PRIVATE_KEY: &str = "PRIVATE KEY";
/// A list of certificates that do not hold any more (RFC 7468, section 6).
pub(super) const REVOKED: &str = "X509 CRL";

/// A bundle of every authority there is has a quarter of that.
const LARGEST: u64 = 1 << 20;

const EXAMPLE: &str = r#"a table such as { chain = "shop.pem", key = "shop.key" }"#;

/// A PEM file with at least one block of a kind.
pub(super) fn read(item: &Item<'_>, kind: &str) -> Option<Pem> {
    let pem = file(item)?;
    if !has(&pem, kind) {
        item.problem(format!("{} has no block -----BEGIN {kind}----- (PEM)", pem.path.display()));
        return None;
    }
    Some(pem)
}

/// `certificate`: one, or a list of them.
pub(super) fn certificates(table: &Table<'_>) -> Vec<Certificate> {
    let items = table.item("certificate").map(|item| item.at_least_one()).unwrap_or_default();
    items.iter().filter_map(certificate).collect()
}

fn certificate(item: &Item<'_>) -> Option<Certificate> {
    if !item.is_table() {
        item.wrong(EXAMPLE);
        return None;
    }
    let table = item.inner_table()?;
    let chain = table.required("chain", r#""shop.pem""#);
    let (key, staple) = (table.item("key"), table.item("staple"));
    table.finish();
    let chain_item = chain?;
    let chain = read(&chain_item, CERTIFICATE);
    let key = match &key {
        Some(item) => read(item, PRIVATE_KEY),
        None => chain.clone().filter(|chain| has_key(&chain_item, chain)),
    };
    Some(Certificate { chain: chain?, key: key?, staple: staple.as_ref().and_then(self::staple) })
}

/// Without `key` the chain's file has it as well.
fn has_key(item: &Item<'_>, chain: &Pem) -> bool {
    let found = has(chain, PRIVATE_KEY);
    if !found {
        let path = chain.path.display();
        item.problem(format!(
            "{path} has no block -----BEGIN {PRIVATE_KEY}-----, so key is missing, such as key = \"shop.key\""
        ));
    }
    found
}

/// A response may come later, from whatever fetches it; then the file is not there yet.
fn staple(item: &Item<'_>) -> Option<Staple> {
    let path = item.source.resolve(item.string()?);
    let der = match kernel::read_whole(&path, LARGEST) {
        Err(error) if error.is_missing() => Vec::new(),
        read => told(item, &path, read)?,
    };
    Some(Staple { path, der: der.into() })
}

fn file(item: &Item<'_>) -> Option<Pem> {
    let path = item.source.resolve(item.string()?);
    let text = told(item, &path, kernel::read_whole(&path, LARGEST))?.into();
    Some(Pem { path, text })
}

fn told(item: &Item<'_>, path: &Path, read: Result<Vec<u8>, Unread>) -> Option<Vec<u8>> {
    read.map_err(|error| item.problem(format!("{} {error}", path.display()))).ok()
}

fn has(pem: &Pem, kind: &str) -> bool {
    let text = String::from_utf8_lossy(&pem.text);
    let has = |edge: &str| {
        text.lines().any(|line| {
            let label = line.trim().strip_prefix(edge).and_then(|rest| rest.strip_suffix("-----"));
            label.is_some_and(|label| label == kind || (kind == PRIVATE_KEY && label.ends_with(" PRIVATE KEY")))
        })
    };
    has("-----BEGIN ") && has("-----END ")
}
