//! The fields that tell one side about the other: `X-Forwarded-*`, `Forwarded`, `Via`, `X-Request-Id`, `Client-Cert`,
//! `Early-Data`, `Server`, `Date` and what leads clients to TLS and HTTP/3.
//!
//! Anybody can write these fields, so what a peer claims is kept only when the peer is trusted; from everybody else every
//! one of them is overwritten or removed. Whom to trust is the caller's to say.

use std::net::{IpAddr, SocketAddr};

use http::header;

use super::{ClientCertificate, Fields, Name, RequestHead, Scheme, Value, Version, host};

/// What is true of the connection a request came over.
#[derive(Debug, Clone)]
pub struct Peer {
    address: Option<IpAddr>,
    /// The address as it is written upstream, because that is written for every request of a connection.
    written: Option<Value>,
    trusted: bool,
}

/// What goes upstream with a request, beside what the client sent.
#[derive(Debug, Clone, Copy)]
pub struct Inward<'a> {
    /// Who sent it.
    pub peer: &'a Peer,
    /// The request's id.
    pub request_id: &'a str,
    /// Send RFC 7239's field too.
    pub forwarded: bool,
    /// The certificate that the client showed.
    pub certificate: Option<&'a ClientCertificate>,
    /// It came in TLS early data.
    pub is_early: bool,
}

/// What goes out with a response, beside what the upstream sent.
#[derive(Debug, Clone, Copy)]
pub struct Outward<'a> {
    /// Leave the upstream's `Server`, if it sent one.
    pub preserve_server: bool,
    /// Add `Via`, with the version the upstream spoke.
    pub via: Option<Version>,
    /// Now, for responses that have no `Date` (RFC 9110, section 6.6.1).
    pub date: fn() -> Value,
    /// `Strict-Transport-Security`, for responses that have none (RFC 6797, section 6.1).
    pub hsts: Option<&'a Value>,
    /// `Alt-Svc`, for responses that have none (RFC 7838).
    pub alt_svc: Option<&'a Value>,
}

const FORWARDED_FOR: Name = Name::from_static("x-forwarded-for");
/// How the client came.
pub const FORWARDED_PROTO: Name = Name::from_static("x-forwarded-proto");
/// Whom the client asked for.
pub const FORWARDED_HOST: Name = Name::from_static("x-forwarded-host");
const FORWARDED_PORT: Name = Name::from_static("x-forwarded-port");
const REQUEST_ID: Name = Name::from_static("x-request-id");
const CLIENT_CERT: Name = Name::from_static("client-cert");
const CLIENT_CERT_CHAIN: Name = Name::from_static("client-cert-chain");
const EARLY_DATA: Name = Name::from_static("early-data");

impl Peer {
    /// Who is at the other end (nobody by address on a Unix socket), and whether its word is taken.
    #[must_use]
    pub fn of(address: Option<IpAddr>, trusted: bool) -> Self {
        let address = address.map(|address| address.to_canonical());
        let written = address.and_then(|address| Value::from_str(&address.to_string()).ok());
        Self { address, written, trusted }
    }

    /// Its address.
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Whether its word is taken.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.trusted
    }

    /// The same peer, its word taken or not: that can change with a config.
    #[must_use]
    pub fn trusted(&self, trusted: bool) -> Self {
        Self { trusted, ..self.clone() }
    }
}

/// Proxies a claim is followed through; more than any real path has, and a bound on a head full of addresses.
const MOST_PROXIES: usize = 64;

/// Longest request id that is taken over from a trusted peer.
const LONGEST_ID: usize = 128;

/// The client's address: from the peer backwards through `X-Forwarded-For` (or `Forwarded`, when the other is not there) as
/// long as whoever wrote the entry is trusted. An entry that is not an address ends the walk at the last one known.
pub fn client(peer: IpAddr, fields: &Fields, trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted(client) {
        return client;
    }
    let claimed = fields.joined(FORWARDED_FOR).map(|list| addresses(&list, address));
    let claimed = claimed.or_else(|| fields.joined(header::FORWARDED).map(|list| addresses(&list, forwarded_for)));
    for address in claimed.unwrap_or_default() {
        let Some(address) = address else { break };
        client = address;
        if !trusted(client) {
            break;
        }
    }
    client
}

/// The request id a trusted peer gave: one line of 1 to 128 visible characters.
#[must_use]
pub fn request_id(fields: &Fields, trusted: bool) -> Option<&str> {
    if !trusted {
        return None;
    }
    let mut lines = fields.lines(REQUEST_ID);
    let id = lines.next().filter(|_| lines.next().is_none())?;
    let sane = (1..=LONGEST_ID).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
    if sane { id.to_str().ok() } else { None }
}

/// How the client came, as far as it is known: what a trusted peer says in `X-Forwarded-Proto`, or `own`.
#[must_use]
pub fn scheme(fields: &Fields, own: Scheme, trusted: bool) -> Scheme {
    match fields.get(FORWARDED_PROTO).filter(|_| trusted).map(Value::as_bytes) {
        Some(claim) if claim.eq_ignore_ascii_case(b"http") => Scheme::Http,
        Some(claim) if claim.eq_ignore_ascii_case(b"https") => Scheme::Https,
        Some(_) | None => own,
    }
}

/// Writes the fields that go upstream. Comes after `hops::strip`.
pub fn to_upstream(head: &mut RequestHead, inward: Inward<'_>) {
    let Inward { peer, request_id, forwarded, certificate, is_early } = inward;
    forget_claims(&mut head.fields, peer.trusted);
    let scheme = scheme(&head.fields, head.scheme, peer.trusted);
    let element = forwarded.then(|| element(head, peer, scheme));
    let fields = &mut head.fields;
    if let Some(element) = element {
        add(fields, header::FORWARDED, &element);
    }
    // A proxy on a Unix socket has no address to add: what it says stands alone.
    match &peer.written {
        Some(address) if peer.trusted => add(fields, FORWARDED_FOR, address.to_str().unwrap_or_default()),
        Some(address) => fields.set(FORWARDED_FOR, address.clone()),
        None => {}
    }
    fields.set(FORWARDED_PROTO, Value::from_static(scheme.as_str()));
    let port = if peer.trusted { check_claims(fields) } else { None };
    let is_claimed = peer.trusted && fields.contains(FORWARDED_HOST);
    if !is_claimed && !head.authority.is_empty() {
        fields.set(FORWARDED_HOST, head.authority.value().clone());
    }
    let port = port.or(head.authority.port()).unwrap_or(scheme.default_port());
    fields.set(FORWARDED_PORT, Value::from(port));
    fields.append(header::VIA, via(head.version));
    if let Ok(id) = Value::from_str(request_id) {
        fields.set(REQUEST_ID, id);
    }
    if let Some(certificate) = certificate {
        show(fields, certificate);
    }
    // One that came with it stays (RFC 8470, section 5.1): it makes the upstream careful, and nothing else.
    if is_early {
        fields.set(EARLY_DATA, Value::from_static("1"));
    }
}

/// Adds RFC 7239's field alone, for somebody else who wants it, to a head that `to_upstream` has seen.
pub fn add_forwarded(head: &mut RequestHead, peer: &Peer) {
    let scheme = scheme(&head.fields, head.scheme, true);
    let element = element(head, peer, scheme);
    add(&mut head.fields, header::FORWARDED, &element);
}

/// Shows a certificate to the upstream (RFC 9440, section 2).
fn show(fields: &mut Fields, certificate: &ClientCertificate) {
    fields.set(CLIENT_CERT, certificate.field.clone());
    if let Some(chain) = &certificate.chain_field {
        fields.set(CLIENT_CERT_CHAIN, chain.clone());
    }
}

/// Takes off what a trusted peer claims of the host when it is not one host; the port that it claims.
fn check_claims(fields: &mut Fields) -> Option<u16> {
    let is_host = fields.get(FORWARDED_HOST).is_some_and(|claim| host::parse(claim.as_bytes()).is_ok());
    if !is_host || fields.lines(FORWARDED_HOST).nth(1).is_some() {
        fields.remove(FORWARDED_HOST);
    }
    fields.get(FORWARDED_PORT)?.to_str().ok()?.parse().ok()
}

/// Writes the fields that go to the client. Comes after `hops::strip`.
pub fn to_client(fields: &mut Fields, outward: Outward<'_>) {
    if !(outward.preserve_server && fields.contains(header::SERVER)) {
        fields.set(header::SERVER, Value::from_static("weir"));
    }
    if let Some(version) = outward.via {
        fields.append(header::VIA, via(version));
    }
    if !fields.contains(header::DATE) {
        fields.set(header::DATE, (outward.date)());
    }
    let ours = [(header::STRICT_TRANSPORT_SECURITY, outward.hsts), (header::ALT_SVC, outward.alt_svc)];
    for (name, value) in ours {
        if let Some(value) = value.filter(|_| !fields.contains(&name)) {
            fields.set(name, value.clone());
        }
    }
}

/// Removes every field in which somebody may claim to be somebody else, from the trusted only what nobody but the gateway
/// can know: whose certificate was shown on the client's connection (RFC 9440, section 2.4). Names are compared as a
/// CGI-like upstream would see them, where `_` and `-` are the same.
fn forget_claims(fields: &mut Fields, trusted: bool) {
    let is_claim = |name: &&Name| {
        let name = name.as_str().as_bytes();
        let same = |byte: u8| if byte == b'_' { b'-' } else { byte };
        let is =
            |other: &[u8]| name.len() == other.len() && name.iter().zip(other).all(|(&one, &other)| same(one) == other);
        match name {
            [b'c', b'l', ..] => is(b"client-cert") || is(b"client-cert-chain"),
            [b'x', b'-' | b'_', ..] if !trusted => {
                let begins = |other: &[u8]| {
                    name.get(..other.len())
                        .is_some_and(|name| name.iter().zip(other).all(|(&one, &other)| same(one) == other))
                };
                begins(b"x-forwarded-") || is(b"x-real-ip") || is(b"x-request-id")
            }
            [b'f', ..] if !trusted => is(b"forwarded"),
            _ => false,
        }
    };
    if !fields.names().any(|name| is_claim(&name)) {
        return;
    }
    let claims: Vec<Name> = fields.names().filter(is_claim).cloned().collect();
    for claim in claims {
        fields.remove(claim);
    }
}

/// Appends to a list, as one line.
fn add(fields: &mut Fields, name: Name, item: &str) {
    let value = match fields.joined(&name) {
        Some(mut list) if !list.trim_ascii().is_empty() => {
            list.extend_from_slice(b", ");
            list.extend_from_slice(item.as_bytes());
            Value::from_bytes(&list)
        }
        Some(_) | None => Value::from_str(item),
    };
    if let Ok(value) = value {
        fields.set(name, value);
    }
}

/// One element of `Forwarded`. What holds a colon or a bracket is quoted (RFC 7239, section 4).
fn element(head: &RequestHead, peer: &Peer, scheme: Scheme) -> String {
    let by = match peer.address {
        Some(IpAddr::V4(address)) => address.to_string(),
        Some(IpAddr::V6(address)) => format!("\"[{address}]\""),
        None => "unknown".to_owned(),
    };
    match head.authority.as_str() {
        "" => format!("for={by};proto={}", scheme.as_str()),
        host if host.contains([':', '[', '~']) => format!("for={by};host=\"{host}\";proto={}", scheme.as_str()),
        host => format!("for={by};host={host};proto={}", scheme.as_str()),
    }
}

fn via(version: Version) -> Value {
    Value::from_static(match version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0 weir",
        Version::HTTP_2 => "2 weir",
        Version::HTTP_3 => "3 weir",
        _ => "1.1 weir",
    })
}

/// The addresses of a list, last first. Commas in quotes do not separate.
fn addresses(list: &[u8], read: impl Fn(&str) -> Option<IpAddr>) -> Vec<Option<IpAddr>> {
    let mut quoted = false;
    let separates = |byte: &u8| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    };
    let mut entries: Vec<&[u8]> = list.split(separates).collect();
    entries.reverse();
    entries
        .iter()
        .take(MOST_PROXIES)
        .map(|entry| str::from_utf8(entry).ok().and_then(|entry| read(entry.trim())))
        .collect()
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse::<IpAddr>().or_else(|_| text.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address| address.to_canonical())
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.trim_matches('"'))
}

#[cfg(test)]
mod tests;
