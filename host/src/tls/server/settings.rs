//! What handshakes of one listener are made from. Immutable.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::danger::ClientCertVerifier;
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::super::Error;
use super::clients;
use super::files::Source;
use super::names::Names;
use super::tickets::{Resumption, Tickets};
use crate::config::{ListenerTls, Protocols, TlsVersion};

/// What handshakes are made from.
pub(super) struct Settings {
    pub(super) tcp: Arc<ServerConfig>,
    pub(super) quic: Arc<ServerConfig>,
    pub(super) names: Arc<Names>,
    pub(super) resumption: [Resumption; 2],
}

impl Settings {
    pub(super) fn of(source: &Source, tickets: &Tickets, now: SystemTime) -> Result<Self, Error> {
        let Source { listener, tls: plan, .. } = source;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let names = Arc::new(Names::of(source, &provider, now)?);
        let verifier = clients::verifier(&plan.client, &provider)?;
        let config = |versions: &[_], alpn: &[&[u8]], resumption: &Resumption| {
            let mut config = config(versions, &provider, &verifier, &names);
            config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
            resumption.apply(&mut config);
            config
        };
        let resumption = [tickets.tcp(listener, plan), tickets.quic(listener, plan)];
        let [by_tcp, by_quic] = &resumption;
        let tcp = config(versions(plan), offer(listener.protocols), by_tcp);
        let mut quic = config(&[&version::TLS13], &[H3], by_quic);
        // QUIC bounds early data by its own windows; the only other value allowed is zero (RFC 9001, section 4.6.1).
        quic.max_early_data_size = if listener.h3.early_data { u32::MAX } else { 0 };
        Ok(Self { tcp: Arc::new(tcp), quic: Arc::new(quic), names, resumption })
    }
}

const H3: &[u8] = b"h3";

fn config(
    versions: &[&'static SupportedProtocolVersion],
    provider: &Arc<CryptoProvider>,
    verifier: &Arc<dyn ClientCertVerifier>,
    names: &Arc<Names>,
) -> ServerConfig {
    ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(names.clone())
}

/// The newest first.
fn versions(plan: &ListenerTls) -> &'static [&'static SupportedProtocolVersion] {
    static OLD: [&SupportedProtocolVersion; 1] = [&version::TLS12];
    static BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];
    static RECENT: [&SupportedProtocolVersion; 1] = [&version::TLS13];
    match (plan.min_version, plan.max_version) {
        (TlsVersion::Tls12, TlsVersion::Tls12) => &OLD,
        (TlsVersion::Tls12, TlsVersion::Tls13) => &BOTH,
        (TlsVersion::Tls13, _) => &RECENT,
    }
}

/// What is chosen from by ALPN (RFC 7301), the best first. Some clients that will speak HTTP/1.0 offer nothing else.
const fn offer(protocols: Protocols) -> &'static [&'static [u8]] {
    match (protocols.h2, protocols.h1) {
        (true, true) => &[b"h2", b"http/1.1", b"http/1.0"],
        (true, false) => &[b"h2"],
        (false, true) => &[b"http/1.1", b"http/1.0"],
        (false, false) => &[],
    }
}
