//! The one who asks name servers. What they say is cut to size and cleaned here; nothing is remembered.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::time::SystemTime;

use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::name_server::TokioConnectionProvider;
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::xfer::Protocol;
use hickory_resolver::proto::{ProtoError, ProtoErrorKind};
use hickory_resolver::{Hosts, ResolveError, TokioResolver, system_conf};

use super::MOST_ADDRESSES;
use crate::clock::{self, Duration};

/// For one try at one server. Name servers that are not there are common, and a client waits.
const TRY: Duration = Duration::from_secs(2);

/// For everything one question needs: all servers, all domains of the search list.
const WHOLE: Duration = Duration::from_secs(10);

/// How much longer the addresses of one family are waited for once those of the other are there: servers that never
/// answer about IPv6 exist (RFC 8305, section 3, is even shorter about it).
const GRACE: Duration = Duration::from_millis(500);

/// Files of the system, whose times tell whether to read them again.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Where answers come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// None means the system's.
    servers: Vec<SocketAddr>,
    attempt: Duration,
}

/// Asks the servers of one source.
#[derive(Debug)]
pub(super) struct Client {
    source: Source,
    resolver: Result<TokioResolver, String>,
    hosts: Hosts,
    times: [Option<SystemTime>; 2],
}

/// An answer to one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer<T> {
    /// Records, and how long they hold.
    Found(Vec<T>, Duration),
    /// There are none: the name does not exist, or has no records of this type.
    Nothing(String),
    /// Nobody knows: no answer, or a refusal.
    Failed(String),
}

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Service {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) target: String,
    pub(super) port: u16,
}

impl Source {
    pub(super) fn of(servers: &[SocketAddr]) -> Self {
        Self { servers: servers.to_vec(), attempt: TRY }
    }

    #[cfg(test)]
    pub(super) fn within(servers: &[SocketAddr], attempt: Duration) -> Self {
        Self { servers: servers.to_vec(), attempt }
    }
}

impl Client {
    pub(super) fn of(source: Source) -> Self {
        let times = times();
        let resolver = if source.servers.is_empty() { system() } else { Ok(listed(&source)) };
        if let Err(why) = &resolver {
            tracing::warn!("{why}: only names in /etc/hosts can be resolved");
        }
        Self { source, resolver, hosts: Hosts::from_system().unwrap_or_default(), times }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the system's files are other ones than those that were read.
    pub(super) fn is_outdated(&self) -> bool {
        self.times != times()
    }

    /// A and AAAA records. When the hosts file knows the name, no server is asked.
    pub(super) async fn addresses(&self, name: &str) -> [Answer<IpAddr>; 2] {
        if let Some(known) = loopback(name).or_else(|| self.in_hosts_file(name)) {
            return known;
        }
        let v4 = self.family(name, RecordType::A);
        let v6 = self.family(name, RecordType::AAAA);
        tokio::pin!(v4, v6);
        tokio::select! {
            v4 = &mut v4 => {
                let v6 = second(&v4, v6).await;
                [v4, v6]
            }
            v6 = &mut v6 => {
                let v4 = second(&v6, v4).await;
                [v4, v6]
            }
        }
    }

    /// SRV records. A target of `.` says that there is no such service (RFC 2782), which is an empty answer.
    pub(super) async fn services(&self, name: &str) -> Answer<Service> {
        self.ask(name, RecordType::SRV, |data| match data {
            RData::SRV(record) => {
                let target = clean(record.target())?;
                let (priority, weight, port) = (record.priority(), record.weight(), record.port());
                (port != 0).then_some(Service { priority, weight, target, port })
            }
            _ => None,
        })
        .await
    }

    async fn family(&self, name: &str, family: RecordType) -> Answer<IpAddr> {
        let found = self.ask(name, family, |data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        });
        match found.await {
            Answer::Found(mut addresses, ttl) => {
                addresses.retain(is_usable);
                if addresses.is_empty() {
                    return Answer::Nothing(format!("{name} has no usable address"));
                }
                Answer::Found(addresses, ttl)
            }
            answer => answer,
        }
    }

    async fn ask<T: Ord>(&self, name: &str, what: RecordType, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
        let resolver = match &self.resolver {
            Ok(resolver) => resolver,
            Err(why) => return Answer::Failed(why.clone()),
        };
        let lookup = match tokio::time::timeout(WHOLE, resolver.lookup(name, what)).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => return refused(name, &error),
            Err(_) => return Answer::Failed(format!("no name server answered about {name} within {WHOLE:?}")),
        };
        let mut ttl = lookup.valid_until().saturating_duration_since(clock::now());
        let mut found = Vec::new();
        for record in lookup.records().iter().filter(|record| record.record_type() == what) {
            ttl = ttl.min(Duration::from_secs(record.ttl().into()));
            found.extend(read(record.data()));
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(MOST_ADDRESSES);
        Answer::Found(found, ttl)
    }

    fn in_hosts_file(&self, name: &str) -> Option<[Answer<IpAddr>; 2]> {
        let name = Name::from_utf8(name).ok()?;
        let listed = |family| {
            let lookup = self.hosts.lookup_static_host(&Query::query(name.clone(), family))?;
            let mut found: Vec<_> = lookup.iter().filter_map(RData::ip_addr).collect();
            found.truncate(MOST_ADDRESSES);
            (!found.is_empty()).then_some(Answer::Found(found, Duration::MAX))
        };
        let families = [listed(RecordType::A), listed(RecordType::AAAA)];
        let is_known = families.iter().any(Option::is_some);
        let missing = || Answer::Nothing("/etc/hosts has none".to_owned());
        is_known.then(|| families.map(|family| family.unwrap_or_else(missing)))
    }
}

/// Names for the machine itself, which no name server is asked about (RFC 6761, section 6.3), and addresses written out.
pub(super) fn loopback(name: &str) -> Option<[Answer<IpAddr>; 2]> {
    let found = |address: IpAddr| Answer::Found(vec![address], Duration::MAX);
    let missing = || Answer::Nothing("an address has one family".to_owned());
    match name.parse() {
        Ok(address @ IpAddr::V4(_)) => return Some([found(address), missing()]),
        Ok(address @ IpAddr::V6(_)) => return Some([missing(), found(address)]),
        Err(_) => {}
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let last = name.rsplit('.').next().unwrap_or(name);
    let both = [found(IpAddr::from([127, 0, 0, 1])), found(IpAddr::V6(std::net::Ipv6Addr::LOCALHOST))];
    last.eq_ignore_ascii_case("localhost").then_some(both)
}

async fn second(first: &Answer<IpAddr>, other: impl Future<Output = Answer<IpAddr>>) -> Answer<IpAddr> {
    if !matches!(first, Answer::Found(..)) {
        return other.await;
    }
    let late = || Answer::Failed(format!("only one family of addresses was answered about within {GRACE:?}"));
    tokio::time::timeout(GRACE, other).await.unwrap_or_else(|_| late())
}

/// Addresses that no member can have. The unspecified one would lead back to this machine.
fn is_usable(address: &IpAddr) -> bool {
    let is_broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || is_broadcast)
}

/// A target as it may stand in a log, a `Host` field and a certificate; names of other letters are no host names.
fn clean(target: &Name) -> Option<String> {
    let text = target.to_ascii().to_ascii_lowercase();
    let text = text.strip_suffix('.').unwrap_or(&text);
    let is_clean = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    (is_clean && !text.is_empty()).then(|| text.to_owned())
}

fn refused<T>(name: &str, error: &ResolveError) -> Answer<T> {
    let Some(ProtoErrorKind::NoRecordsFound { response_code, .. }) = error.proto().map(ProtoError::kind) else {
        return Answer::Failed(format!("{name}: {error}"));
    };
    match response_code {
        ResponseCode::NXDomain => Answer::Nothing(format!("{name} does not exist")),
        ResponseCode::NoError => Answer::Nothing(format!("{name} has no such records")),
        code => Answer::Failed(format!("the name server says {code} about {name}")),
    }
}

fn system() -> Result<TokioResolver, String> {
    let (config, mut options) =
        system_conf::read_system_conf().map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"))?;
    options.timeout = options.timeout.min(TRY);
    Ok(build(config, options))
}

fn listed(source: &Source) -> TokioResolver {
    let mut config = ResolverConfig::new();
    for server in &source.servers {
        config.add_name_server(NameServerConfig::new(*server, Protocol::Udp));
        config.add_name_server(NameServerConfig::new(*server, Protocol::Tcp));
    }
    let mut options = ResolverOpts::default();
    options.timeout = source.attempt;
    options.attempts = 1;
    // Larger answers without TCP (RFC 6891); for the system's servers its own file decides.
    options.edns0 = true;
    build(config, options)
}

/// What is known is kept by this room, and what stands in the hosts file looked up by it.
fn build(config: ResolverConfig, mut options: ResolverOpts) -> TokioResolver {
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    TokioResolver::builder_with_config(config, TokioConnectionProvider::default()).with_options(options).build()
}

fn times() -> [Option<SystemTime>; 2] {
    FILES.map(|file| fs::metadata(file).and_then(|data| data.modified()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_itself_needs_no_name_server() {
        for name in ["localhost", "LocalHost.", "app.localhost"] {
            let [Answer::Found(v4, _), Answer::Found(v6, _)] = loopback(name).unwrap() else { panic!("{name}") };
            assert!(v4[0].is_loopback() && v6[0].is_loopback());
        }
        assert!(matches!(&loopback("10.0.0.1").unwrap()[0], Answer::Found(found, _) if found[0].is_ipv4()));
        assert!(matches!(&loopback("::2").unwrap()[1], Answer::Found(found, _) if found[0].is_ipv6()));
        for name in ["localhost.example", "notlocalhost", "", "."] {
            assert_eq!(loopback(name), None, "{name}");
        }
    }

    #[test]
    fn what_no_member_can_be_is_dropped() {
        for (address, usable) in [
            ("10.0.0.1", true),
            ("::1", true),
            ("0.0.0.0", false),
            ("::", false),
            ("224.0.0.1", false),
            ("ff02::1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(is_usable(&address.parse().unwrap()), usable, "{address}");
        }
        for (name, text) in [
            ("A-1.example.", Some("a-1.example")),
            (".", None),
            ("a b.example.", None),
            ("x\\010y.example.", None),
            ("_a.example", Some("_a.example")),
        ] {
            assert_eq!(clean(&Name::from_ascii(name).unwrap_or_default()).as_deref(), text, "{name}");
        }
    }

    #[tokio::test]
    async fn without_name_servers_the_hosts_file_is_left() {
        let mut hosts = Hosts::default();
        hosts.read_hosts_conf("10.0.0.7 near.example near # here\n::7 near.example\n".as_bytes()).unwrap();
        let resolver = Err("/etc/resolv.conf cannot be used: it is not there".to_owned());
        let client = Client { source: Source::of(&[]), resolver, hosts, times: times() };
        assert!(!client.is_outdated());
        let forever = |address: &str| Answer::Found(vec![address.parse().unwrap()], Duration::MAX);
        assert_eq!(client.addresses("near.example").await, [forever("10.0.0.7"), forever("::7")]);
        assert_eq!(client.addresses("NEAR").await[0], forever("10.0.0.7"));
        let failed = || Answer::Failed("/etc/resolv.conf cannot be used: it is not there".to_owned());
        assert_eq!(client.addresses("far.example").await, [failed(), failed()]);
    }
}
