//! The client's side of TLS: whom it believes, what it offers and asks for, and what it was given.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::{ClientSessionMemoryCache, Resumption};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, SignatureScheme, StreamOwned,
    SupportedProtocolVersion, version,
};

use crate::client::Client;
use crate::stream::Stream;
use crate::tls::{Authority, Identity};

/// Somebody who comes under TLS. Its clones remember its sessions with it.
#[derive(Clone)]
pub struct Visitor {
    roots: Arc<RootCertStore>,
    name: ServerName<'static>,
    names_itself: bool,
    config: Arc<ClientConfig>,
    settings: Settings,
}

#[derive(Clone)]
struct Settings {
    protocols: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    only_rsa: bool,
    shows: Option<Arc<Identity>>,
}

/// A handshake that went well.
pub struct Shaken {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    /// What was chosen by ALPN.
    pub protocol: Option<String>,
    pub version: &'static str,
    pub is_resumed: bool,
    pub certificate: CertificateDer<'static>,
}

impl Visitor {
    /// Believes this authority, asks for `any.example`, and offers HTTP/1.1 alone.
    pub fn trusting(authority: &Authority) -> Visitor {
        let mut roots = RootCertStore::empty();
        roots.add(authority.certificate()).expect("an authority has a certificate");
        let settings = Settings {
            protocols: vec![b"http/1.1".to_vec()],
            versions: rustls::ALL_VERSIONS.to_vec(),
            only_rsa: false,
            shows: None,
        };
        let roots = Arc::new(roots);
        let config = Arc::new(settings.config(&roots, true));
        let name = ServerName::try_from("any.example").expect("it is a name");
        Visitor { roots, name, names_itself: true, config, settings }
    }

    /// Asks for this site. The certificate has to be for it.
    pub fn to(mut self, name: &str) -> Visitor {
        self.name = ServerName::try_from(name.to_owned()).expect("tests write names as they should be");
        self
    }

    /// Does not say whom it asks for (no SNI).
    pub fn unsaid(mut self) -> Visitor {
        self.names_itself = false;
        self.again()
    }

    /// What it offers by ALPN.
    pub fn offering(mut self, protocols: &[&str]) -> Visitor {
        self.settings.protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self.again()
    }

    /// `1.2` or `1.3`, and nothing else.
    pub fn only_tls(mut self, version: &str) -> Visitor {
        self.settings.versions = vec![if version == "1.2" { &version::TLS12 } else { &version::TLS13 }];
        self.again()
    }

    /// Understands no signatures but those of RSA keys.
    pub fn only_rsa(mut self) -> Visitor {
        self.settings.only_rsa = true;
        self.again()
    }

    /// Has a certificate of its own.
    pub fn showing(mut self, identity: Identity) -> Visitor {
        self.settings.shows = Some(Arc::new(identity));
        self.again()
    }

    /// Shakes hands; the error is the alert or whatever else went wrong.
    pub fn shake(&self, address: &str) -> io::Result<Shaken> {
        let Stream::Tcp(mut socket) = Stream::connect(address)? else { return Err(io::ErrorKind::Unsupported.into()) };
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(io::Error::other)?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        let certificate = connection.peer_certificates().and_then(<[_]>::first).expect("a server has one").clone();
        Ok(Shaken {
            protocol: connection.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "1.2",
                Some(ProtocolVersion::TLSv1_3) => "1.3",
                _ => "another",
            },
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate: certificate.into_owned(),
            stream: StreamOwned::new(connection, socket),
        })
    }

    /// Says its first word, and nothing more whatever comes back.
    #[track_caller]
    pub fn hesitate(&self, address: &str) -> Client {
        let mut connection =
            ClientConnection::new(Arc::clone(&self.config), self.name.clone()).expect("the settings are sound");
        let mut hello = Vec::new();
        connection.write_tls(&mut hello).expect("there is room in memory");
        let mut client = Client::connect(address);
        client.send(hello);
        client
    }

    /// A client of HTTP/1.1 under TLS.
    #[track_caller]
    pub fn connect(&self, address: &str) -> Client {
        match self.shake(address) {
            Ok(shaken) => shaken.client(),
            Err(error) => panic!("no connection under TLS to {address}: {error}"),
        }
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(crate) fn name(&self) -> ServerName<'static> {
        self.name.clone()
    }

    fn again(mut self) -> Visitor {
        self.config = Arc::new(self.settings.config(&self.roots, self.names_itself));
        self
    }
}

impl Shaken {
    pub fn client(self) -> Client {
        Client::over(Stream::Secured(Box::new(self.stream)))
    }
}

impl Settings {
    fn config(&self, roots: &Arc<RootCertStore>, names_itself: bool) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(self.provider()))
            .with_protocol_versions(&self.versions)
            .expect("the provider knows its own versions")
            .with_root_certificates(Arc::clone(roots));
        let mut config = match &self.shows {
            Some(identity) => {
                builder.with_client_auth_cert(identity.chain(), identity.key()).expect("the key is its own")
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.protocols);
        config.enable_sni = names_itself;
        config.resumption = Resumption::store(Arc::new(ClientSessionMemoryCache::new(16)));
        config
    }

    fn provider(&self) -> CryptoProvider {
        let mut provider = aws_lc_rs::default_provider();
        if self.only_rsa {
            let understood = &mut provider.signature_verification_algorithms;
            let is_rsa = |scheme: SignatureScheme| {
                matches!(
                    scheme,
                    SignatureScheme::RSA_PSS_SHA256
                        | SignatureScheme::RSA_PSS_SHA384
                        | SignatureScheme::RSA_PSS_SHA512
                        | SignatureScheme::RSA_PKCS1_SHA256
                        | SignatureScheme::RSA_PKCS1_SHA384
                        | SignatureScheme::RSA_PKCS1_SHA512
                )
            };
            // The list has to live as long as the program; tests make few of them.
            understood.mapping =
                understood.mapping.iter().filter(|(scheme, _)| is_rsa(*scheme)).copied().collect::<Vec<_>>().leak();
        }
        provider
    }
}
