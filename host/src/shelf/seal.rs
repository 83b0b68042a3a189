//! Whether a file's content is believed, though nobody looks at it when it is sent.
//!
//! The content's checksum stands in the file's beginning, and the time of the file's last change bears a seal: its part
//! below a second is a number made of the file's number, that checksum, and which start of the machine it is. So the seal is
//! gone when somebody else has written to the file, and it is another one after the machine went down, when not all that was
//! written need have reached the disk; what was synced has one for good. A content without its seal is read whole before it is
//! used. Where file systems keep no parts of seconds there are no seals, and every content is read when its file is opened.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::{Duration, SystemTime};

use super::format::Found;

/// Parts of a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seal(u32);

/// A content's checksum, piece by piece.
#[derive(Debug, Clone, Default)]
pub(super) struct Sum(crc32fast::Hasher);

/// Read at once.
const CHUNK: usize = 256 << 10;

/// All of the parts of a second but the first and the last, which are what file systems and people write.
const PARTS: u64 = 1_000_000_000 - 2;

impl Seal {
    /// For a file of this number with this checksum; `boot` tells starts of the machine apart.
    pub(super) fn of(sequence: u64, sum: u32, boot: Option<u32>) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(&sequence.to_le_bytes());
        hasher.update(&sum.to_le_bytes());
        hasher.update(&boot.unwrap_or(0).to_le_bytes());
        let part = u64::from(hasher.finalize()) % PARTS + 1;
        Self(u32::try_from(part).unwrap_or(1))
    }

    /// Whether a file bears it.
    pub(super) fn is_on(self, file: &File) -> io::Result<bool> {
        Ok(file.metadata()?.mtime_nsec() == i64::from(self.0))
    }

    /// Takes whatever seal there is from a file.
    pub(super) fn break_on(file: &File) -> io::Result<()> {
        // No seal is a whole second.
        Self(0).put(file)
    }

    /// Puts it on a file; the second stays what it was.
    pub(super) fn put(self, file: &File) -> io::Result<()> {
        let second = u64::try_from(file.metadata()?.mtime()).unwrap_or(0);
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(second, self.0))
    }
}

impl Sum {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn value(&self) -> u32 {
        self.0.clone().finalize()
    }
}

/// Whether a content is what its checksum says. Reads all of it.
pub(super) fn holds(file: &File, found: &Found) -> io::Result<bool> {
    let (mut sum, mut read) = (Sum::default(), 0);
    let mut bytes = vec![0; usize::try_from(found.length).unwrap_or(CHUNK).min(CHUNK)];
    while read < found.length {
        let most = usize::try_from(found.length - read).unwrap_or(CHUNK).min(bytes.len());
        let Some(room) = bytes.get_mut(..most) else { return Ok(false) };
        match file.read_exact_at(room, found.at + read) {
            Ok(()) => sum.update(room),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            Err(error) => return Err(error),
        }
        read += most as u64;
    }
    Ok(sum.value() == found.sum)
}
