//! Sessions that are kept here, each to be taken up once. Bounded in number and in time.

use std::collections::HashMap;
use std::mem;
use std::sync::{Mutex, PoisonError};

use rustls::server::StoresServerSessions;

use crate::clock::{self, Duration, Instant};

/// Sessions by what their tickets say.
pub(super) struct Sessions {
    rotation: Duration,
    halves: Mutex<Halves>,
}

/// The younger half and the older one, which goes when the younger is full or its time is over.
#[derive(Default)]
struct Halves {
    young: HashMap<Vec<u8>, Vec<u8>>,
    old: HashMap<Vec<u8>, Vec<u8>>,
    since: Option<Instant>,
}

/// Of one half. A session takes a few hundred bytes without a client's certificate, so that both halves take a few MiB.
const MOST: usize = 8192;

impl Sessions {
    /// A session is kept for one rotation at least, unless too many others come, and for two at most.
    pub(super) fn rotating(rotation: Duration) -> Self {
        Self { rotation, halves: Mutex::default() }
    }

    /// Forgets sessions that are over their time.
    pub(super) fn tend(&self, now: Instant) {
        self.halves(now, |_| ());
    }

    fn halves<T>(&self, now: Instant, then: impl FnOnce(&mut Halves) -> T) -> T {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *halves.since.get_or_insert(now);
        match now.saturating_duration_since(since) {
            age if age >= self.rotation.saturating_mul(2) => *halves = Halves { since: Some(now), ..Halves::default() },
            age if age >= self.rotation => halves.turn(since + self.rotation),
            _ => {}
        }
        then(&mut halves)
    }

    fn keep(&self, key: Vec<u8>, session: Vec<u8>, now: Instant) {
        self.halves(now, |halves| {
            if halves.young.len() >= MOST {
                halves.turn(now);
            }
            halves.young.insert(key, session);
        });
    }

    fn give(&self, key: &[u8], now: Instant) -> Option<Vec<u8>> {
        self.halves(now, |halves| halves.young.remove(key).or_else(|| halves.old.remove(key)))
    }
}

impl Halves {
    fn turn(&mut self, since: Instant) {
        self.old = mem::take(&mut self.young);
        self.since = Some(since);
    }
}

impl StoresServerSessions for Sessions {
    fn put(&self, key: Vec<u8>, session: Vec<u8>) -> bool {
        self.keep(key, session, clock::now());
        true
    }

    /// Nobody is given a session without its being taken.
    fn get(&self, _key: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        self.give(key, clock::now())
    }

    fn can_cache(&self) -> bool {
        true
    }
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sessions")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn a_session_is_given_once_and_within_its_time() {
        let (start, sessions) = (clock::now(), Sessions::rotating(HOUR));
        for (after, given) in [(Duration::ZERO, true), (HOUR, true), (HOUR * 2, false), (HOUR * 5, false)] {
            let sessions = if after.is_zero() { &sessions } else { &Sessions::rotating(HOUR) };
            sessions.keep(b"a".to_vec(), b"session".to_vec(), start);
            assert_eq!(sessions.give(b"a", start + after).is_some(), given, "{after:?}");
            assert!(sessions.give(b"a", start + after).is_none());
        }
        sessions.keep(b"b".to_vec(), Vec::new(), start);
        assert!(sessions.get(b"b").is_none());
        sessions.tend(start + HOUR);
        sessions.tend(start + HOUR * 2);
        assert!(sessions.halves.lock().unwrap().old.is_empty());
    }

    #[test]
    fn the_oldest_make_room() {
        let (now, sessions) = (clock::now(), Sessions::rotating(HOUR));
        let key = |number: usize| number.to_be_bytes().to_vec();
        (0..MOST * 5).for_each(|number| sessions.keep(key(number), Vec::new(), now));
        let halves = sessions.halves.lock().unwrap();
        assert_eq!((halves.young.len(), halves.old.len()), (MOST, MOST));
        assert!(halves.young.contains_key(&key(MOST * 5 - 1)) && halves.old.contains_key(&key(MOST * 3)));
    }
}
