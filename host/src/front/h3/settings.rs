//! What a listener's plan says, in QUIC's terms, and what all endpoints of the process share: the key of stateless resets
//! and the key of tokens, so that what one worker promised another can keep.

use std::sync::{Arc, OnceLock};

use quinn::crypto::rustls::QuicServerConfig;
use quinn::rustls::ServerConfig as QuicTls;
use quinn::{EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt};

use super::socket::Ids;
use crate::clock::Duration;
use crate::config::{Http3, Listener};

/// Streams of a client's that go one way: control, the two of QPACK, and a few that mean nothing (RFC 9114, section 6.2).
const ONE_WAY: u32 = 8;

/// Connections whose first packet is here and nobody has looked at yet; they are looked at at once.
const MOST_INCOMING: usize = 1024;

/// What may be held of such a connection, and of all of them.
const INCOMING_BYTES: u64 = 64 << 10;
const ALL_INCOMING_BYTES: u64 = 4 << 20;

/// While a client waits for its answer nobody sends anything, and the way to it must not be forgotten: many address
/// translators do after half a minute.
const LONGEST_SILENCE: Duration = Duration::from_secs(15);

/// An endpoint's own settings.
pub(super) fn endpoint(ids: impl Fn() -> Ids + Send + Sync + 'static) -> EndpointConfig {
    static SHARED: OnceLock<EndpointConfig> = OnceLock::new();
    let mut config = SHARED.get_or_init(EndpointConfig::default).clone();
    config.cid_generator(move || Box::new(ids()));
    config
}

/// What holds for a listener's connections. `None` when its TLS has no suite that QUIC begins with.
pub(super) fn server(listener: &Listener, tls: Arc<QuicTls>) -> Option<Arc<ServerConfig>> {
    /// Made with a random key of tokens, and a memory of those that were used.
    static SHARED: OnceLock<ServerConfig> = OnceLock::new();
    let crypto = Arc::new(QuicServerConfig::try_from(tls).ok()?);
    let mut config = SHARED.get_or_init(|| ServerConfig::with_crypto(crypto.clone())).clone();
    config.crypto = crypto;
    config.transport = Arc::new(transport(&listener.h3, listener.idle_timeout));
    config.max_incoming(MOST_INCOMING);
    config.incoming_buffer_size(INCOMING_BYTES).incoming_buffer_size_total(ALL_INCOMING_BYTES);
    Some(Arc::new(config))
}

fn transport(h3: &Http3, idle: Duration) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(h3.max_streams.into())
        .max_concurrent_uni_streams(ONE_WAY.into())
        .stream_receive_window(h3.stream_window.into())
        .receive_window(h3.connection_window.into())
        .send_window(h3.connection_window.into())
        .datagram_receive_buffer_size(None);
    // Idle is who asks for nothing, not who is silent while we work: exchanges are kept alive, and the connection's own task
    // closes it when there are none. This is how a client that vanished is found.
    if !idle.is_zero() {
        let most = IdleTimeout::try_from(idle).unwrap_or_else(|_| VarInt::MAX.into());
        config.max_idle_timeout(Some(most));
        config.keep_alive_interval(Some(LONGEST_SILENCE.min(idle / 2)));
    } else {
        config.keep_alive_interval(Some(LONGEST_SILENCE));
    }
    config
}
