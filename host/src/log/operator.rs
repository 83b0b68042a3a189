//! The operator's log, on stderr: text for eyes or flat JSON for machines, both changeable while the gateway runs.
//!
//! It works before any config is read. In text, what others wrote cannot begin a line of its own: line breaks inside an
//! event are indented, other control bytes are shown.

use std::fmt;
use std::io::{self, IsTerminal as _, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::fmt::format::{Format, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Log, LogFormat};

/// The operator's log, once it is set up.
pub struct OperatorLog {
    level: reload::Handle<LevelFilter, Registry>,
    json: Arc<AtomicBool>,
}

impl OperatorLog {
    /// Sets the process's log up, at `info` and as text until a plan says otherwise. Where a log stands already, that
    /// one is left alone.
    #[must_use]
    pub fn start() -> Self {
        let (filter, level) = reload::Layer::new(LevelFilter::INFO);
        let json = Arc::new(AtomicBool::new(false));
        let colours = io::stderr().is_terminal();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(colours)
            .event_format(Shape::of(json.clone()))
            .with_writer(move || Lines { to: io::stderr(), colours });
        let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
        Self { level, json }
    }

    /// Takes level and shape from a plan.
    pub fn apply(&self, plan: &Log) {
        self.json.store(plan.format == LogFormat::Json, Ordering::Relaxed);
        let _ = self.level.reload(plan.level);
    }
}

/// Either shape, as the flag says at the moment.
struct Shape {
    json: Arc<AtomicBool>,
    as_json: Format<Json>,
    as_text: Format<Full>,
}

impl Shape {
    fn of(json: Arc<AtomicBool>) -> Self {
        let as_json =
            tracing_subscriber::fmt::format().json().flatten_event(true).with_current_span(false).with_span_list(false);
        Self { json, as_json, as_text: tracing_subscriber::fmt::format() }
    }
}

impl<S, N> FormatEvent<S, N> for Shape
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.json.load(Ordering::Relaxed) {
            return self.as_json.format_event(context, writer, event);
        }
        self.as_text.format_event(context, writer, event)
    }
}

/// Writes events, one a call, and keeps them apart.
struct Lines<W> {
    to: W,
    colours: bool,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let body = event.strip_suffix(b"\n").unwrap_or(event);
        if body.iter().all(|byte| harmless(*byte, self.colours)) {
            self.to.write_all(event)?;
            return Ok(event.len());
        }
        let mut shown = Vec::with_capacity(event.len() + 64);
        for &byte in body {
            match byte {
                b'\n' => shown.extend_from_slice(b"\n    "),
                _ if harmless(byte, self.colours) => shown.push(byte),
                _ => write!(shown, "\\x{byte:02x}")?,
            }
        }
        shown.push(b'\n');
        self.to.write_all(&shown)?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

const fn harmless(byte: u8, colours: bool) -> bool {
    matches!(byte, b'\t' | 0x20..=0x7e | 0x80..) || (colours && byte == 0x1b)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// What a subscriber of either shape writes.
    fn logged(json: bool, events: impl FnOnce()) -> String {
        let out = Arc::new(Mutex::new(Vec::new()));
        let to = out.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .event_format(Shape::of(Arc::new(AtomicBool::new(json))))
            .with_writer(move || Lines { to: Shared(to.clone()), colours: false });
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), events);
        String::from_utf8(out.lock().unwrap().clone()).unwrap()
    }

    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn json_is_flat() {
        let text = logged(true, || tracing::info!(listener = "web", address = %"127.0.0.1:80", "listening"));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["message"], "listening");
        assert_eq!(value["listener"], "web");
        assert_eq!(value["address"], "127.0.0.1:80");
        assert_eq!(value["level"], "INFO");
        assert!(value["timestamp"].is_string() && value["target"].is_string());
    }

    #[test]
    fn text_keeps_what_others_wrote_inside_its_line() {
        let evil = "a\n2026-01-01T00:00:00Z ERROR forged\r\x1b[2J";
        let text = logged(false, || tracing::warn!(said = %evil, "a filter said"));
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().starts_with("    2026-01-01"));
        assert!(!text.contains(['\r', '\x1b']), "{text:?}");
        let json = logged(true, || tracing::warn!(said = %evil, "a filter said"));
        assert_eq!(json.lines().count(), 1);
    }
}
