//! How often something that goes wrong again and again is told: at once, and then now and then with how often it did.
//!
//! A disk that is full fails a thousand times a second, which nobody wants to read a thousand times. It knows neither what went
//! wrong nor who tells of it. What is not told is counted, and told with the next.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What was told, by what went wrong (`W`), of which there are few; and how it did (`H`), which may change.
#[derive(Debug)]
pub struct Telling<W, H = ()>(Mutex<HashMap<W, Told<H>>>);

#[derive(Debug)]
struct Told<H> {
    at: Instant,
    how: H,
    since: u64,
}

/// How long nothing more is said of the same.
const SILENCE: Duration = Duration::from_secs(60);
/// And where it goes wrong in another way: two may take turns.
const BETWEEN: Duration = Duration::from_secs(1);

impl<W: Eq + Hash, H: PartialEq> Telling<W, H> {
    /// It happened so many times more. How often it did since it was last told, if it is to be told now.
    pub fn more(&self, what: W, how: H, times: u64, now: Instant) -> Option<u64> {
        let mut all = self.all();
        let times = match all.get_mut(&what) {
            Some(last) => {
                last.since = last.since.saturating_add(times);
                let silence = if last.how == how { SILENCE } else { BETWEEN };
                if now.saturating_duration_since(last.at) < silence {
                    return None;
                }
                last.since
            }
            None => times,
        };
        all.insert(what, Told { at: now, how, since: 0 });
        Some(times)
    }

    /// How often it happened since it was told, if that was long ago: for when it does not happen any more.
    pub fn due(&self, what: &W, now: Instant) -> Option<u64> {
        let mut all = self.all();
        let last = all.get_mut(what)?;
        if last.since == 0 || now.saturating_duration_since(last.at) < SILENCE {
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.since))
    }

    /// The same however long ago that was: for the end.
    pub fn rest(&self, what: &W) -> Option<u64> {
        let since = std::mem::take(&mut self.all().get_mut(what)?.since);
        (since > 0).then_some(since)
    }

    /// Whether something happened that is not told yet.
    pub fn is_owed(&self) -> bool {
        self.all().values().any(|told| told.since > 0)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<W, Told<H>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<W, H> Default for Telling<W, H> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn it_is_told_once_and_then_how_often() {
        let (telling, start) = (Telling::default(), clock::now());
        let at = |what, how, seconds| telling.more(what, how, 1, start + Duration::from_secs(seconds));
        assert_eq!(at("write", "full", 0), Some(1));
        for second in 0..60 {
            assert_eq!(at("write", "full", second), None);
        }
        assert_eq!(at("remove", "full", 30), Some(1));
        assert_eq!(at("write", "full", 60), Some(61));
        assert_eq!(at("write", "gone", 60), None);
        assert_eq!(at("write", "gone", 61), Some(2));
    }

    #[test]
    fn what_was_not_told_is_told_later_or_at_the_end() {
        let (telling, start) = (Telling::default(), clock::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!((telling.due(&"lost", start), telling.rest(&"lost")), (None, None));
        assert_eq!(telling.more("lost", (), 5, start), Some(5));
        assert!(!telling.is_owed());
        assert_eq!(telling.more("lost", (), 7, after(1)), None);
        assert_eq!((telling.is_owed(), telling.due(&"lost", after(59))), (true, None));
        assert_eq!(telling.due(&"lost", after(60)), Some(7));
        assert_eq!((telling.is_owed(), telling.due(&"lost", after(600))), (false, None));
        assert_eq!(telling.more("lost", (), 2, after(61)), None);
        assert_eq!((telling.rest(&"lost"), telling.rest(&"lost")), (Some(2), None));
    }
}
