//! What an operator is told of a disk that fails: the first time, and then now and then how often it did.
//!
//! A disk that is full or gone fails for every object that is to be written, which may be a thousand times a second.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock;

/// What went wrong with one disk.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: Mutex<HashMap<Doing, Told>>,
}

/// What was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Doing {
    /// To write an object.
    Write,
    /// To write a later label of one.
    Amend,
    /// To open or read one.
    Read,
    /// To remove one, which is there again after the next start then.
    Remove,
}

#[derive(Debug)]
struct Told {
    at: Instant,
    kind: io::ErrorKind,
    since: u64,
}

/// How long nothing more is said of the same.
const SILENCE: Duration = Duration::from_secs(60);
/// And of something else that goes wrong: two faults may take turns.
const BETWEEN: Duration = Duration::from_secs(1);

impl Troubles {
    /// Something went wrong.
    pub(super) fn tell(&self, directory: &Path, doing: Doing, error: &io::Error) {
        if let Some(times) = self.is_worth_telling(doing, error.kind(), clock::now()) {
            let directory = directory.display();
            tracing::warn!(%directory, %error, times, "{}", doing.text());
        }
    }

    /// How often it happened, if it is to be told now.
    fn is_worth_telling(&self, doing: Doing, kind: io::ErrorKind, now: Instant) -> Option<u64> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let times = match told.get_mut(&doing) {
            Some(last) => {
                last.since += 1;
                let silence = if last.kind == kind { SILENCE } else { BETWEEN };
                if now.saturating_duration_since(last.at) < silence {
                    return None;
                }
                last.since
            }
            None => 1,
        };
        told.insert(doing, Told { at: now, kind, since: 0 });
        Some(times)
    }
}

impl Doing {
    fn text(self) -> &'static str {
        match self {
            Self::Write => "an object could not be written to the disk of a cache",
            Self::Amend => "an object on the disk of a cache could not be marked, and leaves",
            Self::Read => "an object on the disk of a cache could not be read",
            Self::Remove => {
                "a file could not be removed from the disk of a cache; it may be served after the next start"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_and_then_how_often() {
        let (troubles, start) = (Troubles::default(), clock::now());
        let at = |doing, kind, seconds| troubles.is_worth_telling(doing, kind, start + Duration::from_secs(seconds));
        let (full, gone) = (io::ErrorKind::StorageFull, io::ErrorKind::NotFound);
        assert_eq!(at(Doing::Write, full, 0), Some(1));
        for second in 0..60 {
            assert_eq!(at(Doing::Write, full, second), None);
        }
        assert_eq!(at(Doing::Remove, full, 30), Some(1));
        assert_eq!(at(Doing::Write, full, 60), Some(61));
        assert_eq!(at(Doing::Write, gone, 60), None);
        assert_eq!(at(Doing::Write, gone, 61), Some(2));
    }
}
