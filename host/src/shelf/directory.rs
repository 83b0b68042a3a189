//! The directory of a shelf on a disk: who may use it, where files are.
//!
//! `lock` says whose it is and counts runs; `written/` has what is not whole yet; `objects/XX/` has files by the last byte
//! of their number; `doubt` is there as long as something was forgotten that may be in a file that nobody has read since the
//! start; `unsynced` says in which start of the machine something was written or forgotten that need not have reached the disk. Whatever has no such name is left alone. The directory is 0700 and files are 0600, so nobody else
//! can put anything there.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Access, access, syncfs};

/// A directory that is ours as long as this lives.
#[derive(Debug)]
pub(super) struct Directory {
    root: PathBuf,
    /// Later runs have higher ones.
    run: u32,
    /// Tells starts of the machine apart: what was written in this one is what was meant to be, on the disk or on its way.
    pub(super) boot: u32,
    lock: Mutex<File>,
}

const LOCK: &str = "lock";
const WRITTEN: &str = "written";
const OBJECTS: &str = "objects";
const DOUBT: &str = "doubt";
const UNSYNCED: &str = "unsynced";

/// Says which start of the machine this is.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

impl Directory {
    /// Takes a directory; makes it if there is none. Fails if it is another gateway's, another user's, or open to others.
    pub(super) fn take(root: &Path, sync: bool, seconds: u32) -> io::Result<Self> {
        prepare(root)?;
        let lock = take_lock(root)?;
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        let last = last_run(&lock);
        let run = last.map_or(seconds, |run| seconds.max(run.saturating_add(1)));
        // Where nobody says which start it is, every run counts as one.
        let boot = if boot.trim().is_empty() { run } else { crc32fast::hash(boot.trim().as_bytes()) };
        let directory = Self { root: root.to_owned(), run, boot, lock: Mutex::new(lock) };
        directory.furnish()?;
        if directory.unsynced().is_some_and(|last| last != directory.boot) {
            // The machine went down: what was forgotten last may be there again.
            directory.doubt()?;
        }
        if sync {
            directory.tighten()?
        } else {
            directory.loosen()?
        }
        Ok(directory)
    }

    /// Where it is.
    pub(super) fn root(&self) -> &Path {
        &self.root
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

    /// A file for something that is written now. What somebody took away meanwhile is made again.
    pub(super) fn create(&self, sequence: u64) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        match options.open(self.written(sequence)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.restore()?;
                options.open(self.written(sequence))
            }
            done => done,
        }
    }

    /// Takes the directory again, or another one in its place.
    fn restore(&self) -> io::Result<()> {
        prepare(&self.root)?;
        let mut lock = self.lock();
        let held = lock.metadata()?;
        let is_ours = fs::metadata(self.root.join(LOCK))
            .is_ok_and(|found| (found.dev(), found.ino()) == (held.dev(), held.ino()));
        if !is_ours {
            *lock = take_lock(&self.root)?;
        }
        self.furnish()
    }

    fn furnish(&self) -> io::Result<()> {
        let lock = OpenOptions::new().write(true).open(self.root.join(LOCK))?;
        // Always as long as before, in one write: a run that is killed here leaves the old line or this one.
        lock.write_all_at(format!("{:010}\n", self.run).as_bytes(), 0)?;
        [WRITTEN, OBJECTS].iter().try_for_each(|name| make(&self.root.join(name)))
    }

    fn lock(&self) -> MutexGuard<'_, File> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A whole file.
    pub(super) fn open(&self, sequence: u64) -> io::Result<File> {
        File::open(self.object(sequence))
    }

    /// The same for later labels. Nobody keeps it: a file that is open for writing keeps its file system from being made
    /// read-only.
    pub(super) fn open_to_amend(&self, sequence: u64) -> io::Result<File> {
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
    pub(super) fn remove(&self, sequence: u64) -> io::Result<()> {
        match fs::remove_file(self.object(sequence)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Has the disk know which files these folders have.
    pub(super) fn sync(&self, sequences: impl IntoIterator<Item = u64>) -> io::Result<()> {
        let folders: BTreeSet<String> = sequences.into_iter().map(folder).collect();
        for folder in folders {
            match File::open(self.root.join(OBJECTS).join(folder)) {
                Ok(folder) => folder.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Notes, for the next run if this one ends early, that a file which was not read may have to be forgotten.
    pub(super) fn doubt(&self) -> io::Result<()> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.root.join(DOUBT)) {
            Ok(_) => File::open(&self.root)?.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// From now on not everything is on the disk before it counts; noted for a run after the machine went down.
    pub(super) fn loosen(&self) -> io::Result<()> {
        if self.unsynced() == Some(self.boot) {
            return Ok(());
        }
        let mut note =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(self.unsynced_path())?;
        note.write_all(format!("{}\n", self.boot).as_bytes())?;
        note.sync_all()?;
        File::open(&self.root)?.sync_all()
    }

    /// From now on it is, and so is what was not until now.
    pub(super) fn tighten(&self) -> io::Result<()> {
        if self.unsynced().is_none() {
            return Ok(());
        }
        let root = File::open(&self.root)?;
        syncfs(&root)?;
        fs::remove_file(self.unsynced_path())?;
        root.sync_all()
    }

    /// In which start of the machine something was not synced; in none that anybody knows if that cannot be read.
    fn unsynced(&self) -> Option<u32> {
        let note = fs::read_to_string(self.unsynced_path());
        match note {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            note => Some(note.ok().and_then(|note| note.trim().parse().ok()).unwrap_or(0)),
        }
    }

    fn unsynced_path(&self) -> PathBuf {
        self.root.join(UNSYNCED)
    }

    /// Whether an earlier run noted that.
    pub(super) fn is_doubted(&self) -> bool {
        self.root.join(DOUBT).exists()
    }

    /// Everything was read.
    pub(super) fn trust(&self) {
        // What cannot be removed makes the next run doubt what it need not.
        let _ = fs::remove_file(self.root.join(DOUBT));
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
        let _ = self.lock().unlock();
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

/// What would keep a gateway that is started by this user from using a directory. Nothing is touched.
pub(super) fn examine(root: &Path) -> io::Result<()> {
    match fs::metadata(root) {
        Ok(_) => check(root),
        Err(error) if error.kind() == io::ErrorKind::NotFound && root.is_symlink() => {
            Err(io::Error::other("it is a symbolic link that leads nowhere, or is beneath one"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match root.parent() {
            Some(parent) if parent.exists() => check_kind(parent).and_then(|()| may_write(parent)),
            Some(parent) => examine(parent),
            None => Ok(()),
        },
        Err(error) => Err(error),
    }
    .map_err(|error| match error.kind() {
        io::ErrorKind::NotADirectory => io::Error::other("it is not a directory, or is beneath something that is none"),
        _ => error,
    })
}

fn prepare(root: &Path) -> io::Result<()> {
    examine(root)?;
    make(root)?;
    check(root)
}

fn take_lock(root: &Path) -> io::Result<File> {
    let path = root.join(LOCK);
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
    let lock = File::open(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(io::Error::other("another gateway uses it, or another cache of this one")),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn check(root: &Path) -> io::Result<()> {
    check_kind(root)?;
    let (found, us) = (fs::metadata(root)?, fs::metadata("/proc/self")?.uid());
    if found.uid() != us {
        return Err(io::Error::other(format!("it belongs to user {}, not to user {us}", found.uid())));
    }
    if found.mode() & 0o077 != 0 {
        let mode = found.mode() & 0o777;
        return Err(io::Error::other(format!("others have rights to it (mode {mode:o}, 700 is right)")));
    }
    may_write(root)
}

fn check_kind(folder: &Path) -> io::Result<()> {
    if fs::metadata(folder)?.is_dir() { Ok(()) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn may_write(folder: &Path) -> io::Result<()> {
    Ok(access(folder, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The number of the last run.
fn last_run(lock: &File) -> Option<u32> {
    let mut line = [0; 10];
    lock.read_exact_at(&mut line, 0).ok()?;
    std::str::from_utf8(&line).ok()?.parse().ok()
}
