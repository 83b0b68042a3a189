//! Which versions of HTTP a listener speaks, and what holds for each of them.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::{bind, seconds_or_off};
use crate::config::table::{Item, LONGEST, Table};
use crate::config::{Bind, Http2, Http3, ListenerTls, Protocols, Retry, value};

pub(in crate::config) const RETRIES: [(&str, Retry); 3] =
    [("always", Retry::Always), ("under-load", Retry::UnderLoad), ("never", Retry::Never)];

const WORDS: [(&str, Version); 3] = [("h1", Version::H1), ("h2", Version::H2), ("h3", Version::H3)];
const DEFAULT: Protocols = Protocols { h1: true, h2: true, h3: false };

/// HTTP/2 when nobody says anything of it. A body's window is what a fast path of 20 ms carries at 100 Mbit/s; the
/// connection's bounds what one client can make the gateway hold.
const HTTP2: Http2 =
    Http2 { max_streams: 128, stream_window: 256 << 10, connection_window: 1 << 20, max_frame: 16 << 10 };
/// HTTP/3 when nobody says anything of it.
const HTTP3: Http3 = Http3 {
    max_streams: 128,
    stream_window: 256 << 10,
    connection_window: 1 << 20,
    retry: Retry::UnderLoad,
    early_data: false,
    advertise: Some(Duration::from_secs(86_400)),
};

/// More than a thousand times what browsers ask for.
const MAX_STREAMS: RangeInclusive<u32> = 1..=100_000;
/// A client may count on the least before it has read the settings; the most is what a window can be (RFC 9113,
/// sections 6.9.1 and 6.9.2).
const WINDOW: RangeInclusive<u64> = 65_535..=(1 << 31) - 1;
/// What a frame's length can be said to be (RFC 9113, section 4.2).
const FRAME: RangeInclusive<u64> = (16 << 10)..=(1 << 24) - 1;

/// A version of HTTP, by its word.
#[derive(Debug, Clone, Copy)]
enum Version {
    H1,
    H2,
    H3,
}

/// `protocols`; `tls` when the listener has it.
pub(super) fn read(table: &Table<'_>, tls: bool, binds: &[Bind]) -> Protocols {
    let Some(item) = table.item("protocols") else { return DEFAULT };
    let mut protocols = Protocols { h1: false, h2: false, h3: false };
    for item in item.at_least_one() {
        let Some(version) = item.choice(&WORDS) else { continue };
        let spoken = match version {
            Version::H1 => &mut protocols.h1,
            Version::H2 => &mut protocols.h2,
            Version::H3 => &mut protocols.h3,
        };
        if std::mem::replace(spoken, true) {
            item.problem("the protocol is in the list already");
        } else if protocols.h3 && matches!(version, Version::H3) {
            check_http3(&item, tls, binds);
        }
    }
    if protocols == (Protocols { h1: false, h2: false, h3: true }) {
        for other in binds.iter().filter(|bind| !matches!(bind, Bind::Tcp(_))) {
            item.problem(format!("\"h3\" alone leaves nothing to be spoken on {}", bind::write(other)));
        }
    }
    if protocols.h1 || protocols.h2 || protocols.h3 { protocols } else { DEFAULT }
}

/// The words of what is spoken.
pub(in crate::config) fn words(protocols: Protocols) -> impl Iterator<Item = &'static str> {
    let spoken = WORDS.into_iter().filter(move |(_, version)| match version {
        Version::H1 => protocols.h1,
        Version::H2 => protocols.h2,
        Version::H3 => protocols.h3,
    });
    spoken.map(|(word, _)| word)
}

/// `h2`.
pub(super) fn http2(listener: &Table<'_>, protocols: Protocols) -> Http2 {
    let Some(table) = settings(listener, "h2", protocols.h2) else { return HTTP2 };
    let max_streams = table.count("max-streams", HTTP2.max_streams, MAX_STREAMS);
    let connection_window = size(&table, "connection-window", HTTP2.connection_window, &WINDOW);
    let http2 = Http2 {
        max_streams,
        stream_window: stream_window(&table, HTTP2.stream_window, connection_window),
        connection_window,
        max_frame: size(&table, "max-frame", HTTP2.max_frame, &FRAME),
    };
    table.finish();
    http2
}

/// `h3`.
pub(super) fn http3(listener: &Table<'_>, protocols: Protocols, tls: Option<&ListenerTls>) -> Http3 {
    let Some(table) = settings(listener, "h3", protocols.h3) else { return HTTP3 };
    let max_streams = table.count("max-streams", HTTP3.max_streams, MAX_STREAMS);
    let connection_window = size(&table, "connection-window", HTTP3.connection_window, &WINDOW);
    let http3 = Http3 {
        max_streams,
        stream_window: stream_window(&table, HTTP3.stream_window, connection_window),
        connection_window,
        retry: table.choice("retry", HTTP3.retry, &RETRIES),
        early_data: table.boolean("early-data", HTTP3.early_data),
        advertise: seconds_or_off(&table, "advertise", HTTP3.advertise, LONGEST),
    };
    if http3.early_data && tls.is_some_and(|tls| tls.ticket_rotation.is_none()) {
        table.problem("early-data: comes with session tickets, and tls.ticket-rotation is \"off\"");
    }
    table.finish();
    http3
}

/// HTTP/3 has no cleartext (RFC 9114, section 3.1).
fn check_http3(item: &Item<'_>, tls: bool, binds: &[Bind]) {
    if !tls {
        item.problem(r#""h3" needs tls, such as tls = { certificate = { chain = "web.pem", key = "web.key" } }"#);
    }
    if !binds.is_empty() && !binds.iter().any(|bind| matches!(bind, Bind::Tcp(_))) {
        item.problem(r#""h3" is spoken over UDP, on the port of an address such as ":443", and bind has none"#);
    }
}

fn settings<'d>(listener: &Table<'d>, key: &'static str, spoken: bool) -> Option<Table<'d>> {
    let item = listener.item(key)?;
    if !spoken {
        item.problem(format!("does nothing without {key:?} in protocols"));
    }
    item.inner_table()
}

/// A stream's window beyond the connection's would be a promise that is not kept.
fn stream_window(table: &Table<'_>, default: u32, connection: u32) -> u32 {
    let Some(item) = table.item("stream-window") else { return default.min(connection) };
    let Some(window) = item.size(&WINDOW).and_then(|size| u32::try_from(size).ok()) else { return default };
    if window > connection {
        let most = value::write_size(u64::from(connection));
        item.problem(format!("a stream's bytes count for its connection as well: at most connection-window, {most}"));
    }
    window
}

fn size(table: &Table<'_>, key: &'static str, default: u32, range: &RangeInclusive<u64>) -> u32 {
    let size = table.item(key).and_then(|item| item.size(range));
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(default)
}
