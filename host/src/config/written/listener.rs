//! Listeners written out, every default filled in, and what of TLS they share with sites.

use std::time::Duration;

use super::keys::Keys;
use super::{Writer, key, list, networks, path_text, text};
use crate::config::listener::{bind, protocol, tls};
use crate::config::value::{write_duration, write_size};
use crate::config::whole::OFF;
use crate::config::{Certificate, Http2, Http3, HttpsRedirect, Listener, ListenerTls, MinRate};

pub(super) fn write(out: &mut Writer, listener: &Listener) {
    let name = key(&listener.name);
    out.section(&format!("[listener.{name}]"));
    out.key("bind", list(listener.bind.iter().map(|bind| text(&bind::write(bind)))));
    out.key("protocols", list(protocol::words(listener.protocols).map(text)));
    out.key("proxy-protocol", networks(&listener.proxy_protocol));
    out.key("max-connections", listener.max_connections);
    if let Some(count) = listener.max_connections_per_client {
        out.key("max-connections-per-client", count);
    }
    out.key("backlog", listener.backlog);
    out.text("tcp-keep-alive", &or_off(listener.tcp_keep_alive));
    out.duration("head-timeout", listener.head_timeout);
    out.duration("body-timeout", listener.body_timeout);
    out.duration("idle-timeout", listener.idle_timeout);
    out.duration("write-timeout", listener.write_timeout);
    out.key("min-rate", min_rate_value(listener.min_rate));
    out.text("max-head", &write_size(listener.max_head as u64));
    out.text("max-target", &write_size(listener.max_target as u64));
    out.key("max-fields", listener.max_fields);
    if let Some(size) = listener.max_body {
        out.text("max-body", &write_size(size));
    }
    if listener.protocols.h2 {
        out.key("h2", http2_value(listener.h2));
    }
    if listener.protocols.h3 {
        out.key("h3", http3_value(listener.h3));
    }
    if let Some(tls) = &listener.tls {
        out.section(&format!("[listener.{name}.tls]"));
        write_tls(out, tls);
    }
}

/// Also of sites.
pub(super) fn certificate_value(certificate: &Certificate) -> String {
    let mut keys = Keys::default();
    keys.key("chain", path_text(&certificate.chain.path));
    keys.key("key", path_text(&certificate.key.path));
    keys.some("staple", certificate.staple.as_ref().map(|staple| path_text(&staple.path)));
    keys.table()
}

/// Of sites.
pub(super) fn redirect_value(redirect: HttpsRedirect) -> String {
    format!("{{ port = {}, status = {} }}", redirect.port, redirect.status.as_u16())
}

fn write_tls(out: &mut Writer, settings: &ListenerTls) {
    out.list("certificate", settings.certificates.iter().map(certificate_value));
    out.word("min-version", &tls::VERSIONS, settings.min_version);
    out.word("max-version", &tls::VERSIONS, settings.max_version);
    let (word, authorities) = tls::client_word(&settings.client);
    out.text("client-certificate", word);
    if let Some(authorities) = authorities {
        out.key("client-ca", path_text(&authorities.ca.path));
        out.list("client-crl", authorities.revoked.iter().map(|pem| path_text(&pem.path)));
    }
    out.duration("handshake-timeout", settings.handshake_timeout);
    out.key("max-handshakes", settings.max_handshakes);
    out.text("ticket-rotation", &or_off(settings.ticket_rotation));
}

fn min_rate_value(rate: MinRate) -> String {
    let mut keys = Keys::default();
    keys.text("request", &write_size(rate.request));
    keys.text("response", &write_size(rate.response));
    keys.text("grace", &write_duration(rate.grace));
    keys.table()
}

fn http2_value(http2: Http2) -> String {
    let mut keys = Keys::default();
    keys.key("max-streams", http2.max_streams);
    keys.text("stream-window", &write_size(u64::from(http2.stream_window)));
    keys.text("connection-window", &write_size(u64::from(http2.connection_window)));
    keys.text("max-frame", &write_size(u64::from(http2.max_frame)));
    keys.table()
}

fn http3_value(http3: Http3) -> String {
    let mut keys = Keys::default();
    keys.key("max-streams", http3.max_streams);
    keys.text("stream-window", &write_size(u64::from(http3.stream_window)));
    keys.text("connection-window", &write_size(u64::from(http3.connection_window)));
    keys.word("retry", &protocol::RETRIES, &http3.retry);
    keys.key("early-data", http3.early_data);
    keys.text("advertise", &or_off(http3.advertise));
    keys.table()
}

fn or_off(duration: Option<Duration>) -> String {
    duration.map_or_else(|| OFF.to_owned(), write_duration)
}
