//! What an operator is told of a disk that fails: the first time, and then now and then how often it did.
//!
//! A disk that is full or gone fails for every object that is to be written, which may be a thousand times a second.

use std::io;
use std::path::Path;

use crate::clock::{self, Telling};

/// What went wrong with one disk.
#[derive(Debug, Default)]
pub(super) struct Troubles {
    told: Telling<Doing, io::ErrorKind>,
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

impl Troubles {
    /// Something went wrong.
    pub(super) fn tell(&self, directory: &Path, doing: Doing, error: &io::Error) {
        if let Some(times) = self.told.more(doing, error.kind(), 1, clock::now()) {
            let directory = directory.display();
            tracing::warn!(%directory, %error, times, "{}", doing.text());
        }
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
