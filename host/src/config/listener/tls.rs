//! `tls` of a listener: certificates for whoever names no site, versions, clients' own certificates, handshakes, tickets.

use std::time::Duration;

use super::seconds_or_off;
use crate::config::table::{Item, Table};
use crate::config::{ClientAuth, ClientAuthorities, ListenerTls, Protocols, TlsVersion, pem};

pub(in crate::config) const VERSIONS: [(&str, TlsVersion); 2] =
    [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];
const CLIENTS: [(&str, Client); 3] =
    [("none", Client::None), ("optional", Client::Optional), ("required", Client::Required)];

/// A ticket lives for two rotations, and for seven days at most (RFC 8446, section 4.6.1).
const LONGEST_ROTATION: Duration = Duration::from_secs(84 * 3600);
const ROTATION: Duration = Duration::from_secs(6 * 3600);

/// A signature with an RSA key of 2048 bits takes half a millisecond of a core or more: this many keep a core busy for a
/// tenth of a second, and with more each would only come later.
const HANDSHAKES: u32 = 256;
const MOST_HANDSHAKES: u32 = 1_000_000;

/// Whether clients show certificates, by its word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    None,
    Optional,
    Required,
}

/// A `tls` table.
pub(super) fn read(item: &Item<'_>, protocols: Protocols) -> Option<ListenerTls> {
    let table = item.inner_table()?;
    let certificates = pem::certificates(&table);
    let (min_version, max_version) = versions(&table, protocols);
    let tls = ListenerTls {
        certificates,
        min_version,
        max_version,
        client: client(&table),
        handshake_timeout: table.duration("handshake-timeout", Duration::from_secs(10)),
        max_handshakes: table.count("max-handshakes", HANDSHAKES, 1..=MOST_HANDSHAKES) as usize,
        ticket_rotation: seconds_or_off(&table, "ticket-rotation", Some(ROTATION), LONGEST_ROTATION),
    };
    table.finish();
    Some(tls)
}

/// Whether a `tls` table names no certificate, so that sites must.
pub(super) fn is_bare(item: &Item<'_>) -> bool {
    item.is_table() && item.inner_table().is_some_and(|table| table.item("certificate").is_none())
}

/// The word of what is asked of clients, and who vouches for them.
pub(in crate::config) const fn client_word(client: &ClientAuth) -> (&'static str, Option<&ClientAuthorities>) {
    match client {
        ClientAuth::None => ("none", None),
        ClientAuth::Optional(authorities) => ("optional", Some(authorities)),
        ClientAuth::Required(authorities) => ("required", Some(authorities)),
    }
}

fn versions(table: &Table<'_>, protocols: Protocols) -> (TlsVersion, TlsVersion) {
    let min = table.choice("min-version", TlsVersion::Tls12, &VERSIONS);
    let Some(item) = table.item("max-version") else { return (min, TlsVersion::Tls13) };
    let max = item.choice(&VERSIONS).unwrap_or(TlsVersion::Tls13);
    if min > max {
        item.problem("is before min-version");
    } else if protocols.h3 && max < TlsVersion::Tls13 {
        item.problem("\"h3\" needs TLS 1.3 (RFC 9001, section 4.2)");
    }
    (min, max)
}

fn client(table: &Table<'_>) -> ClientAuth {
    let client = table.choice("client-certificate", Client::None, &CLIENTS);
    let (ca, revoked) = (table.item("client-ca"), table.item("client-crl"));
    if client == Client::None {
        for item in ca.iter().chain(&revoked) {
            item.problem("does nothing without client-certificate = \"optional\" or \"required\"");
        }
        return ClientAuth::None;
    }
    if ca.is_none() {
        table.problem("client-ca is missing, such as client-ca = \"clients.pem\"");
    }
    let revoked = revoked.map(|item| item.at_least_one()).unwrap_or_default();
    let revoked = revoked.iter().filter_map(|item| pem::read(item, pem::REVOKED)).collect();
    match (client, ca.and_then(|item| pem::read(&item, pem::CERTIFICATE))) {
        (Client::Optional, Some(ca)) => ClientAuth::Optional(ClientAuthorities { ca, revoked }),
        (Client::Required, Some(ca)) => ClientAuth::Required(ClientAuthorities { ca, revoked }),
        (Client::None, _) | (_, None) => ClientAuth::None,
    }
}
