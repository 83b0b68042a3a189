//! Handshakes in memory between a listener's TLS and clients of the same library.

mod certificates;
mod clients;
mod faults;
mod handshakes;
mod quic;
mod refresh;
mod resumption;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;

use super::super::testing::{Authority, Identity};
use super::*;
use crate::config::{
    Certificate, ClientAuth, ClientAuthorities, Http2, Http3, ListenerTls, MinRate, Place, Protocols, Retry, Site,
    TlsVersion,
};

/// A client that trusts an authority.
#[derive(Clone)]
struct Caller {
    config: ClientConfig,
}

/// What came of a handshake, as both sides tell it.
struct Met {
    client: Result<tokio_rustls::client::TlsStream<DuplexStream>, String>,
    server: Result<(ServerStream<DuplexStream>, Secured), String>,
}

impl Caller {
    fn trusting(authority: &Authority) -> Self {
        Self::speaking(authority, rustls::DEFAULT_VERSIONS)
    }

    fn speaking(authority: &Authority, versions: &[&'static SupportedProtocolVersion]) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let roots = super::super::roots::own(&authority.pem()).unwrap();
        let builder = builder.with_protocol_versions(versions).unwrap();
        Self { config: builder.with_root_certificates(roots).with_no_client_auth() }
    }

    fn showing(mut self, identity: &Identity) -> Self {
        let provider = aws_lc_rs::default_provider();
        let key = super::super::pem::key(&identity.files.1).unwrap();
        // Not checked: it may be a thief's.
        let key = provider.key_provider.load_private_key(key).unwrap();
        let pair = CertifiedKey::new(identity.chain().to_vec(), key);
        self.config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(pair));
        self
    }

    fn offering(mut self, alpn: &[&str]) -> Self {
        self.config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// A handshake and one byte each way, which is when a client has heard of everything: refusals and tickets.
    async fn meet(&self, server: &Server, name: &str) -> Met {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        let serving = async {
            let (mut stream, secured) = server.accept(theirs).await?;
            stream.write_all(b"!").await?;
            stream.flush().await?;
            stream.read_u8().await?;
            Ok((stream, secured))
        };
        let asking = async {
            let name = ServerName::try_from(name.to_owned()).unwrap();
            let mut stream = TlsConnector::from(Arc::new(self.config.clone())).connect(name, ours).await?;
            stream.read_u8().await?;
            stream.write_all(b"?").await?;
            stream.flush().await?;
            Ok(stream)
        };
        let (client, server) = tokio::join!(asking, serving);
        let words = |error: io::Error| error.to_string();
        Met { client: client.map_err(words), server: server.map_err(words) }
    }
}

impl Met {
    /// The certificate that the client was shown.
    fn certificate(&self) -> Result<&[u8], &str> {
        let stream = self.client.as_ref().map_err(String::as_str)?;
        Ok(&stream.get_ref().1.peer_certificates().unwrap()[0])
    }

    fn secured(self) -> Secured {
        self.client.unwrap();
        self.server.unwrap().1
    }
}

fn certificate(identity: &Identity) -> Certificate {
    let (chain, key) = identity.files.clone();
    Certificate { chain, key, staple: None }
}

fn tls(certificates: &[&Identity]) -> ListenerTls {
    ListenerTls {
        certificates: certificates.iter().map(|identity| certificate(identity)).collect(),
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        client: ClientAuth::None,
        handshake_timeout: Duration::from_secs(10),
        max_handshakes: 10,
        ticket_rotation: Some(Duration::from_secs(3600)),
    }
}

fn listener(tls: ListenerTls) -> Listener {
    Listener {
        name: "web".into(),
        bind: Vec::new(),
        protocols: Protocols { h1: true, h2: true, h3: true },
        tls: Some(tls),
        proxy_protocol: Vec::new(),
        max_connections: 10,
        max_connections_per_client: None,
        backlog: 16,
        tcp_keep_alive: None,
        head_timeout: Duration::ZERO,
        body_timeout: Duration::ZERO,
        idle_timeout: Duration::ZERO,
        write_timeout: Duration::ZERO,
        min_rate: MinRate { request: 0, response: 0, grace: Duration::ZERO },
        max_head: 0,
        max_target: 0,
        max_fields: 0,
        max_body: None,
        h2: Http2 { max_streams: 1, stream_window: 0, connection_window: 0, max_frame: 0 },
        h3: Http3 {
            max_streams: 1,
            stream_window: 0,
            connection_window: 0,
            retry: Retry::Never,
            early_data: false,
            advertise: None,
        },
        place: Place { file: "weir.toml".into(), line: 1, column: 1 },
    }
}

fn site(hosts: &[&str], certificates: &[&Identity]) -> Site {
    Site {
        name: hosts.concat().into(),
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        preserve_server: false,
        via: false,
        certificates: certificates.iter().map(|identity| certificate(identity)).collect(),
        https_redirect: None,
        hsts: None,
        error_pages: Vec::new(),
        routes: Vec::new(),
        place: Place { file: "weir.toml".into(), line: 2, column: 1 },
    }
}

fn server(listener: &Listener, sites: &[Site]) -> Server {
    Server::of(listener, sites, &Tickets::default()).unwrap().unwrap()
}
