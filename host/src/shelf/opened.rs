//! Files of the disk that are open: what of them is believed before anybody gets them, and whether they are still what they
//! were. What is read of a file is read by a thread that may wait; whether somebody wrote to it since is asked at every hit.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError};
use std::time::SystemTime;

use super::disk::Disk;
use super::format::{self, Found};
use super::object::{Content, Label, Object};
use super::seal::{self, Seal};
use super::target::Purge;
use super::trouble::Doing;
use crate::body::Extent;

/// A file that is open, and its label.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) sequence: u64,
    file: Arc<File>,
    pub(super) label: Arc<Label>,
    at: u64,
    pub(super) length: u64,
    /// When it was changed last, by us.
    changed: SystemTime,
    /// Whether it is on its way to the shelf in memory.
    pub(super) is_rising: AtomicBool,
}

/// An open file is weighed as so many bytes of its label at least, so that one bound is for both.
pub(super) const OPEN_WEIGHT: u32 = 8 << 10;

impl Open {
    /// Of its label, and as an open file.
    pub(super) fn weight(&self) -> u32 {
        u32::try_from(2 * self.label.head.len()).unwrap_or(u32::MAX).max(OPEN_WEIGHT)
    }

    pub(super) fn relabelled(&self, label: Arc<Label>) -> Self {
        let Self { sequence, at, length, changed, .. } = *self;
        Self { sequence, file: self.file.clone(), label, at, length, changed, is_rising: AtomicBool::new(false) }
    }

    /// Whether nobody else has written to the file, or removed it. Asked of the system's memory: it is open.
    pub(super) fn is_untouched(&self) -> bool {
        let found = self.file.metadata();
        found.is_ok_and(|found| found.nlink() > 0 && found.modified().is_ok_and(|changed| changed == self.changed))
    }

    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.length).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, self.at)?;
        Ok(bytes)
    }

    pub(super) fn object(&self) -> Object {
        let extent = Extent { file: self.file.clone(), offset: self.at, length: self.length };
        Object::of(self.sequence, self.label.clone(), Content::File(extent))
    }
}

impl Disk {
    /// What a file has to bear.
    pub(super) fn seal(&self, sequence: u64, found: &Found) -> Seal {
        self.seal_for(sequence, found.sum, found.is_synced)
    }

    pub(super) fn seal_for(&self, sequence: u64, sum: u32, is_synced: bool) -> Seal {
        Seal::of(sequence, sum, (!is_synced).then_some(self.directory.boot))
    }

    pub(super) fn load(&self, sequence: u64) -> Option<Arc<Open>> {
        match self.read(sequence) {
            Ok(Some(open)) => {
                let open = Arc::new(open);
                self.open.insert(sequence, open.clone());
                Some(open)
            }
            Ok(None) => {
                self.happened.unread.add(1);
                self.lost(sequence)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.lost(sequence),
            // Too many open files, for one: it may be had later.
            Err(error) => {
                self.happened.unread.add(1);
                self.troubled(Doing::Read, &error);
                None
            }
        }
    }

    /// What a file has that may be believed.
    fn read(&self, sequence: u64) -> io::Result<Option<Open>> {
        let file = self.directory.open(sequence)?;
        let Some(mut found) = format::read(&file, sequence)? else { return Ok(None) };
        if !self.seal(sequence, &found).is_on(&file)? {
            let changed = file.metadata()?.modified()?;
            if !seal::holds(&file, &found)? {
                return Ok(None);
            }
            match self.reseal(sequence, changed)? {
                Some(now) => found = now,
                None => return Ok(None),
            }
        }
        let changed = file.metadata()?.modified()?;
        let Found { label, at, length, .. } = found;
        let (file, label, is_rising) = (Arc::new(file), Arc::new(label), AtomicBool::new(false));
        Ok(Some(Open { sequence, file, label, at, length, changed, is_rising }))
    }

    /// A content was found to be right. What is not known is whether it was forgotten since, so it is stale until somebody
    /// confirms it. `None` if it was written to since.
    fn reseal(&self, sequence: u64, changed: SystemTime) -> io::Result<Option<Found>> {
        let _one = self.amending.lock().unwrap_or_else(PoisonError::into_inner);
        let file = self.directory.open_to_amend(sequence)?;
        let Some(found) = format::read(&file, sequence)? else { return Ok(None) };
        let seal = self.seal(sequence, &found);
        // Somebody who wrote a later label held the seal in his hand.
        if !seal.is_on(&file)? {
            if file.metadata()?.modified()? != changed {
                return Ok(None);
            }
            if !found.is_stale && !format::amend(&file, sequence, &found.label, true)? {
                return Ok(None);
            }
            self.index().set_aside(sequence, Purge::Soft);
            seal.put(&file)?;
        }
        Ok(Some(found))
    }

    /// Somebody broke it, or took it away.
    fn lost(&self, sequence: u64) -> Option<Arc<Open>> {
        self.index().remove(sequence);
        self.discard(sequence);
        None
    }
}
