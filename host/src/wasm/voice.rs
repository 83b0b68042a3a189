//! What a guest says into the operator's log, bounded: a hostile flood is cut and counted, never written.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Level;

use crate::message::Facts;

/// Bytes of one line.
pub(super) const MAX_LINE: usize = 4 << 10;
/// Lines of one call.
pub(super) const MAX_LINES: u32 = 32;

/// One instance's voice.
pub(super) struct Voice {
    filter: Arc<str>,
    exchange: Mutex<Option<Exchange>>,
    spoken: AtomicU32,
}

/// What lines are about: the exchange that the guest is called for, or that its instance was made for.
#[derive(Clone)]
struct Exchange {
    id: String,
    route: Arc<str>,
}

impl Voice {
    pub(super) fn of(filter: Arc<str>) -> Self {
        Self { filter, exchange: Mutex::default(), spoken: AtomicU32::new(0) }
    }

    /// From now on it is this exchange that is spoken of.
    pub(super) fn speak_of(&self, facts: &Facts) {
        let mut exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *exchange {
            Some(Exchange { id, route }) => {
                id.clone_from(&facts.request_id);
                route.clone_from(&facts.route);
            }
            none => *none = Some(Exchange { id: facts.request_id.clone(), route: facts.route.clone() }),
        }
    }

    /// Writes a line, if there is room for one more in this call.
    pub(super) fn say(&self, level: Level, line: &[u8]) {
        if self.spoken.fetch_add(1, Ordering::Relaxed) >= MAX_LINES {
            return;
        }
        let (filter, exchange, text) = (&*self.filter, self.exchange(), clean(line));
        let (id, route) = named(exchange.as_ref());
        match level {
            Level::ERROR => tracing::error!(id, route, filter, "{text}"),
            Level::WARN => tracing::warn!(id, route, filter, "{text}"),
            Level::INFO => tracing::info!(id, route, filter, "{text}"),
            _ => tracing::debug!(id, route, filter, "{text}"),
        }
    }

    /// Ends a call: says how many lines were dropped, and makes room again.
    pub(super) fn rest(&self) {
        let spoken = self.spoken.load(Ordering::Relaxed);
        if spoken == 0 {
            return;
        }
        self.spoken.store(0, Ordering::Relaxed);
        if spoken > MAX_LINES {
            let (filter, exchange, dropped) = (&*self.filter, self.exchange(), spoken - MAX_LINES);
            let (id, route) = named(exchange.as_ref());
            tracing::warn!(id, route, filter, dropped, "the filter wrote too many lines in one call");
        }
    }

    fn exchange(&self) -> Option<Exchange> {
        self.exchange.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// As fields of a line; there are none while a filter is only looked at.
fn named(exchange: Option<&Exchange>) -> (Option<&str>, Option<&str>) {
    (exchange.map(|exchange| exchange.id.as_str()), exchange.map(|exchange| &*exchange.route))
}

/// A line as it may stand in a log: cut, valid, without control characters that could forge another line.
fn clean(line: &[u8]) -> String {
    let cut = line.get(..MAX_LINE).unwrap_or(line);
    let mut text = String::with_capacity(cut.len());
    for character in String::from_utf8_lossy(cut).chars() {
        match character {
            '\t' => text.push(' '),
            control if control.is_control() => text.extend(control.escape_default()),
            other => text.push(other),
        }
    }
    if cut.len() < line.len() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_cannot_forge_another() {
        assert_eq!(clean(b"a\nb\x1b[2J\tc"), "a\\nb\\u{1b}[2J c");
        assert_eq!(clean(b"\xff"), "\u{fffd}");
        assert_eq!(clean(&[b'x'; MAX_LINE + 1]).len(), MAX_LINE + '…'.len_utf8());
    }

    #[test]
    fn a_call_has_so_many_lines_and_the_next_as_many() {
        let voice = Voice::of("flood".into());
        for _ in 0..100 {
            voice.say(Level::DEBUG, b"x");
        }
        assert_eq!(voice.spoken.load(Ordering::Relaxed), 100);
        voice.rest();
        assert_eq!(voice.spoken.load(Ordering::Relaxed), 0);
    }
}
