//! How members are spoken to: `protocol`, `tls`, `source-address`, `proxy-protocol`; of a pool, of a member, of a check.

use std::fs;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::table::{Item, Table};
use crate::config::{Pem, Protocol, ProxyVersion, Transport, UpstreamTls};
use crate::message::host;

pub(in crate::config) const PROTOCOLS: [(&str, Protocol); 3] =
    [("http/1.1", Protocol::Http1), ("h2", Protocol::Http2), ("auto", Protocol::Auto)];

pub(in crate::config) const PROXY: [(&str, ProxyVersion); 2] = [("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

/// Larger files are no certificates.
const LARGEST: u64 = 8 << 20;

/// How a pin begins, as curl and HPKP (RFC 7469, section 2.1.1) write it.
const PIN: &str = "sha256/";

/// What was said about the ways to members; what was not said comes from the pool, then from the URL.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    protocol: Option<Protocol>,
    tls: Option<UpstreamTls>,
    source: Option<IpAddr>,
    proxy: Option<ProxyVersion>,
}

pub(super) fn read(table: &Table<'_>) -> Ways {
    Ways {
        protocol: table.item("protocol").and_then(|item| item.choice(&PROTOCOLS)),
        tls: table.item("tls").and_then(|item| tls(&item)),
        source: table.item("source-address").and_then(|item| source(&item)),
        proxy: table.item("proxy-protocol").and_then(|item| item.choice(&PROXY)),
    }
}

impl Ways {
    /// These, and `pool`'s where nothing was said.
    pub(super) fn or(self, pool: &Ways) -> Ways {
        Ways {
            protocol: self.protocol.or(pool.protocol),
            tls: self.tls.or_else(|| pool.tls.clone()),
            source: self.source.or(pool.source),
            proxy: self.proxy.or(pool.proxy),
        }
    }

    /// How a member is spoken to whose URL says whether it is under TLS.
    pub(super) fn transport(self, item: &Item<'_>, is_secure: bool) -> Arc<Transport> {
        let usual = if is_secure { Protocol::Auto } else { Protocol::Http1 };
        let protocol = match self.protocol.unwrap_or(usual) {
            // Nobody can choose without TLS.
            Protocol::Auto if !is_secure => Protocol::Http1,
            // A connection that belongs to one client carries one exchange at a time anyway.
            Protocol::Auto if self.proxy.is_some() => Protocol::Http1,
            protocol => protocol,
        };
        if protocol == Protocol::Http2 && self.proxy.is_some() {
            item.problem(
                "proxy-protocol and protocol = \"h2\" exclude each other: many clients share a connection of HTTP/2",
            );
        }
        let tls = is_secure.then(|| self.tls.unwrap_or_else(plain));
        Arc::new(Transport { protocol, tls, source: self.source, proxy_protocol: self.proxy })
    }

    /// Whether TLS was spoken of.
    pub(super) const fn has_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// TLS as it is without a word about it.
pub(super) const fn plain() -> UpstreamTls {
    UpstreamTls { server_name: None, verify: true, ca: None, certificate: None, pins: Vec::new() }
}

pub(super) fn tls(item: &Item<'_>) -> Option<UpstreamTls> {
    let table = item.inner_table()?;
    let certificate = table.item("certificate").map(|item| pem(&item, "CERTIFICATE"));
    let key = table.item("key").map(|item| pem(&item, "PRIVATE KEY"));
    if certificate.is_some() != key.is_some() {
        table.problem("certificate and key go together");
    }
    let pins = table.item("pins").and_then(|item| item.list()).unwrap_or_default();
    let tls = UpstreamTls {
        server_name: table.item("server-name").and_then(|item| server_name(&item)),
        verify: table.boolean("verify", true),
        ca: table.item("ca").and_then(|item| pem(&item, "CERTIFICATE")),
        certificate: certificate.flatten().zip(key.flatten()),
        pins: pins.iter().filter_map(pin).collect(),
    };
    table.finish();
    Some(tls)
}

fn server_name(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if !host::is_valid(text.as_bytes()) || text.contains(':') {
        item.wrong("a host name");
        return None;
    }
    Some(text.to_owned())
}

/// A file with at least one block of a kind; whether it is good is seen when it is used for the first time.
fn pem(item: &Item<'_>, kind: &str) -> Option<Pem> {
    let path = item.source.resolve(item.string()?);
    let read = match fs::metadata(&path) {
        Ok(found) if found.len() > LARGEST => Err("larger than any certificate".to_owned()),
        Ok(_) | Err(_) => fs::read(&path).map_err(|error| format!("cannot be read: {error}")),
    };
    match read {
        Ok(text) if holds(&text, kind) => Some(Pem { path, text: text.into() }),
        Ok(_) => {
            item.problem(format!("{} has no PEM block that ends in {kind:?}", path.display()));
            None
        }
        Err(why) => {
            item.problem(format!("{} {why}", path.display()));
            None
        }
    }
}

fn holds(text: &[u8], kind: &str) -> bool {
    let text = String::from_utf8_lossy(text);
    text.lines().any(|line| {
        line.trim_end()
            .strip_suffix("-----")
            .is_some_and(|line| line.starts_with("-----BEGIN ") && line.ends_with(kind))
    })
}

fn source(item: &Item<'_>) -> Option<IpAddr> {
    let address = item.string()?.parse().ok();
    if address.is_none() {
        item.wrong(r#"an address of this machine, such as "10.0.0.5""#);
    }
    address
}

fn pin(item: &Item<'_>) -> Option<[u8; 32]> {
    let pin = item.string()?.strip_prefix(PIN).and_then(decode).and_then(|bytes| bytes.try_into().ok());
    if pin.is_none() {
        item.wrong(r#""sha256/" and the base64 of the 32 bytes of a public key's digest"#);
    }
    pin
}

/// A pin as it is written.
pub(in crate::config) fn write_pin(pin: &[u8; 32]) -> String {
    let digit = |bits: u32| char::from(BASE64.get((bits & 63) as usize).copied().unwrap_or(b'='));
    let mut text = PIN.to_owned();
    for group in pin.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| (bits << 8) | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            text.push(if place <= group.len() { digit(bits >> (18 - 6 * place)) } else { '=' });
        }
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648, section 4), padding optional.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = BASE64.iter().position(|known| *known == letter)?;
        bits = (bits << 6) | u32::try_from(value).ok()?;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 255).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_as_they_are_written() {
        let pin: [u8; 32] = std::array::from_fn(|place| u8::try_from(place * 7 % 256).unwrap());
        let written = write_pin(&pin);
        assert_eq!(written.len(), "sha256/".len() + 44);
        assert_eq!(decode(written.strip_prefix(PIN).unwrap()).unwrap(), pin);
        assert_eq!(decode("a b"), None);
    }
}
