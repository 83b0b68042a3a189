//! The directory of a shelf on a disk: who may use it, where files are.
//!
//! `lock` says whose it is and counts runs; `written/` has what is not whole yet; `objects/XX/` has files by the last byte
//! of their number. Whatever has no such name is left alone. The directory is 0700 and files are 0600, so nobody else
//! can put anything there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// Later runs have higher ones.
    run: u32,
    /// Whether the machine has not been started again since the last run: then what was written is what was meant to be,
    /// on the disk or on its way there.
    pub(super) is_same_boot: bool,
    lock: File,
}

const LOCK: &str = "lock";
const WRITTEN: &str = "written";
const OBJECTS: &str = "objects";

/// Says which start of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

impl Directory {
    /// Takes a directory; makes it if there is none. Fails if it is another gateway's, another user's, or open to others.
    pub(super) fn take(root: &Path, seconds: u32) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(root)?;
        check(root)?;
        let mut options = OpenOptions::new();
        let lock = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(root.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(io::Error::other("another gateway uses it")),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        let last = last_run(&lock);
        let run = last.as_ref().map_or(seconds, |(run, _)| seconds.max(run.saturating_add(1)));
        let is_same_boot = !boot.is_empty() && last.is_some_and(|(_, last)| last == boot.trim());
        // Always as long as before, in one write: a run that is killed here leaves the old line or this one.
        lock.write_all_at(format!("{run:010} {:<36}\n", boot.trim()).as_bytes(), 0)?;
        for name in [WRITTEN, OBJECTS] {
            make(&root.join(name))?;
        }
        Ok(Self { root: root.to_owned(), run, is_same_boot, lock })
    }

    /// The first number of this run. Four billion are before the first one of a run that begins a second later.
    pub(super) fn first(&self) -> u64 {
        u64::from(self.run) << 32
    }

    /// Where a file is while it is written.
    pub(super) fn written(&self, sequence: u64) -> PathBuf {
        self.root.join(WRITTEN).join(format!("{sequence:016x}"))
    }

    /// Where it is when it is whole.
    pub(super) fn object(&self, sequence: u64) -> PathBuf {
        self.root.join(OBJECTS).join(folder(sequence)).join(format!("{sequence:016x}"))
    }

    /// A file for something that is written now.
    pub(super) fn create(&self, sequence: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600).open(self.written(sequence))
    }

    /// A whole file, for reading and for later labels.
    pub(super) fn open(&self, sequence: u64) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.object(sequence))
    }

    /// It is whole.
    pub(super) fn publish(&self, sequence: u64) -> io::Result<()> {
        let (from, to) = (self.written(sequence), self.object(sequence));
        match fs::rename(&from, &to) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(to.parent().unwrap_or(&self.root))?;
                fs::rename(from, to)
            }
            done => done,
        }
    }

    /// Nobody will find it any more; who reads it reads on.
    pub(super) fn remove(&self, sequence: u64) {
        // What cannot be removed is read and counted at the next start.
        let _ = fs::remove_file(self.object(sequence));
    }

    /// Removes what earlier runs did not finish.
    pub(super) fn clear_written(&self) {
        for (sequence, path) in numbered(&self.root.join(WRITTEN)) {
            if sequence < self.first() {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The numbers of earlier runs' objects, of one of the 256 folders.
    pub(super) fn objects(&self, byte: u8) -> Vec<u64> {
        let byte = u64::from(byte);
        let folder = self.root.join(OBJECTS).join(folder(byte));
        let all = numbered(&folder).map(|(number, _)| number);
        all.filter(|number| number & 0xff == byte && *number < self.first()).collect()
    }
}

/// A program that is being started has the file too, for a moment; closing it would not be enough.
impl Drop for Directory {
    fn drop(&mut self) {
        // Closing does it then, a moment later.
        let _ = self.lock.unlock();
    }
}

/// Files that have a number for a name.
fn numbered(folder: &Path) -> impl Iterator<Item = (u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| {
        let name = entry.file_name();
        let name = name.to_str().filter(|name| name.len() == 16)?;
        let is_number = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let sequence = u64::from_str_radix(name, 16).ok().filter(|_| is_number)?;
        entry.file_type().ok()?.is_file().then(|| (sequence, entry.path()))
    })
}

fn folder(sequence: u64) -> String {
    format!("{:02x}", sequence & 0xff)
}

fn make(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn check(root: &Path) -> io::Result<()> {
    let (found, us) = (fs::metadata(root)?, fs::metadata("/proc/self")?.uid());
    if found.uid() != us {
        return Err(io::Error::other(format!("it belongs to user {}, not to user {us}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        return Err(io::Error::other(format!("others have rights to it (mode {:o})", found.mode() & 0o777)));
    }
    Ok(())
}

/// The number and the start of the machine of the last run.
fn last_run(lock: &File) -> Option<(u32, String)> {
    let mut line = [0; 48];
    lock.read_exact_at(&mut line, 0).ok()?;
    let (run, boot) = std::str::from_utf8(&line).ok()?.split_once(' ')?;
    Some((run.parse().ok()?, boot.trim().to_owned()))
}
