//! A file that is being written: under another name until it is whole.
//!
//! Everything here may wait for the disk. Invariant: a file gets its name after its last byte and its beginning were
//! written; dropped before that, it leaves nothing behind.

use std::fs::{self, File};
use std::io::{self, IoSlice, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::bans::Moment;
use super::disk::{Disk, Shelved};
use super::format;
use super::object::Label;
use super::seal::Sum;
use super::target::Purge;
use super::trouble::Doing;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Spool {
    disk: Arc<Disk>,
    label: Arc<Label>,
    sequence: u64,
    file: Arc<File>,
    at: u64,
    length: u64,
    sum: Sum,
    reserved: u64,
    is_whole: bool,
}

/// Pieces of one system call.
const PIECES: usize = 64;

impl Spool {
    /// Begins a file; room for its label is taken.
    pub(super) fn begin(disk: &Arc<Disk>, sequence: u64, label: &Arc<Label>) -> io::Result<Self> {
        let at = format::content_at(label);
        let reserved = format::rounded(at);
        if !disk.reserve(reserved) {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let file = disk.directory.create(sequence).and_then(|mut file| {
            file.seek(SeekFrom::Start(at))?;
            Ok(Arc::new(file))
        });
        let file = file.inspect_err(|error| {
            disk.release(reserved);
            disk.unwritten(error, reserved);
        })?;
        let (disk, label) = (disk.clone(), label.clone());
        disk.spools.fetch_add(1, Ordering::AcqRel);
        Ok(Self { disk, label, sequence, file, at, length: 0, sum: Sum::default(), reserved, is_whole: false })
    }

    /// The file, and where its content begins: what was written can be read.
    pub(super) fn place(&self) -> (Arc<File>, u64) {
        (self.file.clone(), self.at)
    }

    /// More of the content.
    pub(super) fn write(&mut self, pieces: &[Bytes]) -> io::Result<()> {
        let more: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        let wanted = format::rounded(self.at + self.length + more);
        if let Some(missing) = wanted.checked_sub(self.reserved).filter(|missing| *missing > 0) {
            if !self.disk.reserve(missing) {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            self.reserved = wanted;
        }
        for pieces in pieces.chunks(PIECES) {
            let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
            write_all(&self.file, &mut slices).inspect_err(|error| self.disk.unwritten(error, self.reserved))?;
            pieces.iter().for_each(|piece| self.sum.update(piece));
        }
        self.length += more;
        Ok(())
    }

    /// It is whole: from now on it can be found, unless it was purged since it was begun. Whether it can.
    pub(super) fn publish(mut self, begun: Moment) -> io::Result<bool> {
        self.complete().inspect_err(|error| self.disk.unwritten(error, self.reserved))?;
        let disk = self.disk.clone();
        // Whoever purges waits until this is over, or it is seen here.
        let _one = disk.publishing();
        if disk.bans.since(begun, &self.label) == Some(Purge::Hard) {
            return Ok(false);
        }
        disk.directory.publish(self.sequence).inspect_err(|error| disk.troubled(Doing::Write, error))?;
        self.is_whole = true;
        if disk.synced.get() {
            // It is whole all the same, and there until the machine goes down.
            let _ = disk.directory.sync([self.sequence]).inspect_err(|error| disk.troubled(Doing::Write, error));
        }
        let size = format::rounded(self.at + self.length);
        let file = Shelved { label: &self.label, sequence: self.sequence, size, used: None, reserved: self.reserved };
        Ok(disk.shelve(&file, false, begun))
    }

    fn complete(&self) -> io::Result<()> {
        let (is_synced, content) = (self.disk.synced.get(), (self.length, self.sum.value()));
        self.file.write_all_at(&format::beginning(&self.label, self.sequence, content, is_synced), 0)?;
        self.disk.seal_for(self.sequence, content.1, is_synced).put(&self.file)?;
        if is_synced { self.file.sync_data() } else { Ok(()) }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.disk.spools.fetch_sub(1, Ordering::AcqRel);
        if self.is_whole {
            return;
        }
        // What cannot be removed now is at the next start.
        let _ = fs::remove_file(self.disk.directory.written(self.sequence));
        self.disk.release(self.reserved);
    }
}

/// Counts a file that could not be written.
pub(super) fn failed(disk: &Disk) {
    disk.happened.failures.add(1);
}

fn write_all(mut file: &File, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::WriteZero)),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
