//! Whether what is written and what is forgotten is on the disk itself before it counts, which may change while it is used.
//!
//! What was not synced may be lost with the machine, and what was forgotten may be there again: a note in the directory says so
//! beforehand, and goes after everything is on the disk. Invariant: without the note everything is synced.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use super::directory::Directory;

/// Whether it is.
#[derive(Debug)]
pub(super) struct Synced {
    is_so: AtomicBool,
    is_wanted: AtomicBool,
    settling: Mutex<()>,
}

impl Synced {
    /// As the directory was taken.
    pub(super) fn of(sync: bool) -> Self {
        Self { is_so: AtomicBool::new(sync), is_wanted: AtomicBool::new(sync), settling: Mutex::new(()) }
    }

    pub(super) fn get(&self) -> bool {
        self.is_so.load(Ordering::Acquire)
    }

    /// As it is to be; `settle` makes it so.
    pub(super) fn want(&self, sync: bool) {
        self.is_wanted.store(sync, Ordering::Release);
    }

    /// Makes it what was wanted last. After an error more is synced than has to be, which harms nobody. Waits for the disk.
    pub(super) fn settle(&self, directory: &Directory) -> io::Result<()> {
        let _one = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = self.is_wanted.load(Ordering::Acquire);
        if wanted == self.get() {
            return Ok(());
        }
        // Whoever asks does so behind his work: who is told that nothing has to be synced has done what this finds.
        self.is_so.store(true, Ordering::Release);
        if wanted {
            directory.tighten()?
        } else {
            directory.loosen()?
        }
        self.is_so.store(wanted, Ordering::Release);
        Ok(())
    }
}
