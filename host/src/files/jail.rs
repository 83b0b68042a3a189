//! Looking and opening beneath a directory, and nowhere else: the only file that asks the kernel for a path.
//!
//! The kernel keeps the path beneath its root while it walks it (`RESOLVE_BENEATH`), so no check here can be outrun by a
//! rename. A path is looked at before it is opened: opening a FIFO or a device already does something to it. What is no
//! regular file is never opened, unless it took the place of one in between; then it is closed again, unread.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, fstatfs, openat2, statat, unlinkat};
use rustix::io::Errno;

use crate::config::Symlinks;
use crate::failure::{Failure, Kind};

/// Whether a disk may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// No: what is not in memory is `Trouble::Cold`.
    Never,
    /// Yes: on a thread that may.
    May,
}

/// Why there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It cannot be told without waiting for a disk.
    Cold,
    /// It became something else while it was opened.
    Moved,
    /// It is neither a regular file nor a directory, or a file that the kernel makes up.
    Special,
    /// The kernel says no.
    Refused(Errno),
}

/// What something is, and which version of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stand {
    /// A directory; else a regular file.
    pub(super) is_directory: bool,
    /// Bytes.
    pub(super) size: u64,
    /// Seconds since 1970, and nanoseconds.
    pub(super) modified: (i64, u64),
    /// When that, or what is said of it, was last written.
    pub(super) changed: (i64, u64),
    identity: (u64, u64),
}

/// What was seen at a path.
#[derive(Debug)]
pub(super) struct Seen {
    found: OwnedFd,
    /// What it is.
    pub(super) stand: Stand,
}

/// How often a walk that a rename crossed is begun again. The kernel gives up on `..` (in a link) at any rename of the
/// whole system in between, so a few are nobody's fault.
const WALKS: usize = 64;

/// A root's directory.
pub(super) fn root(path: &Path, wait: Wait) -> Result<OwnedFd, Trouble> {
    walk(CWD, path.as_os_str().as_encoded_bytes(), FOR_DIRECTORY, ResolveFlags::empty(), wait)
}

/// What lies at a path beneath a root; the empty path is the root itself. It is not opened, so nothing happens to it.
pub(super) fn look(root: BorrowedFd<'_>, path: &[u8], links: Symlinks, wait: Wait) -> Result<Seen, Trouble> {
    let found = walk(root, path, OFlags::PATH | OFlags::CLOEXEC, beneath(links), wait)?;
    let stand = stand(&found)?;
    Ok(Seen { found, stand })
}

/// Opens the regular file that was seen there.
pub(super) fn open(
    root: BorrowedFd<'_>,
    path: &[u8],
    links: Symlinks,
    seen: &Seen,
    wait: Wait,
) -> Result<(File, Stand), Trouble> {
    seen.real()?;
    // Regular files know nothing of NONBLOCK; what came in place of one may wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = walk(root, path, flags, beneath(links), wait)?;
    let stand = stand(&file)?;
    if stand.is_directory || !stand.is_same(&seen.stand) {
        return Err(Trouble::Moved);
    }
    Ok((File::from(file), stand))
}

/// A directory beneath a root, to look into or to be read.
pub(super) fn directory(root: BorrowedFd<'_>, path: &[u8], links: Symlinks, flags: OFlags) -> Result<OwnedFd, Trouble> {
    walk(root, path, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, beneath(links), Wait::May)
}

/// Deletes the very file that was seen at a path; what is something else now stays, and so does a link.
pub(super) fn delete(root: BorrowedFd<'_>, path: &[u8], links: Symlinks, seen: &Stand) -> Result<(), Trouble> {
    let (parent, name) = match path.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => path.split_at(slash),
        None => (&b""[..], path),
    };
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let parent = directory(root, parent, links, OFlags::PATH)?;
    let found = Stand::of(&statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW)?);
    if found.is_some_and(|found| found.is_same(seen)) {
        unlinkat(&parent, name, AtFlags::empty())?;
    }
    Ok(())
}

/// Whether a root can be opened and served from; if not, why.
pub(super) fn try_root(path: &Path) -> Result<(), String> {
    let root = root(path, Wait::May).map_err(|trouble| trouble.to_string())?;
    match look(root.as_fd(), b"", Symlinks::Deny, Wait::May) {
        Ok(_) => Ok(()),
        // The directory is there, so what is not allowed is the call.
        Err(Trouble::Refused(Errno::NOSYS | Errno::PERM)) => {
            Err("this system does not have openat2, or does not allow it; files need Linux 5.6".to_owned())
        }
        Err(trouble) => Err(trouble.to_string()),
    }
}

/// What something open is now.
pub(super) fn stand(open: impl AsFd) -> Result<Stand, Trouble> {
    Stand::of(&fstat(open)?).ok_or(Trouble::Special)
}

impl Seen {
    /// Refuses what the kernel makes up: opening or reading it may do things.
    pub(super) fn real(&self) -> Result<(), Trouble> {
        let magic = fstatfs(&self.found)?.f_type;
        // Some architectures sign-extend it; it has 32 bits.
        let is_made_up = MADE_UP.iter().any(|made_up| magic & 0xffff_ffff == i64::from(*made_up));
        if is_made_up { Err(Trouble::Special) } else { Ok(()) }
    }
}

const FOR_DIRECTORY: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Stand {
    /// Of what is a regular file or a directory.
    pub(super) fn of(stat: &Stat) -> Option<Self> {
        let is_directory = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => false,
            FileType::Directory => true,
            _ => return None,
        };
        Some(Self {
            is_directory,
            size: u64::try_from(stat.st_size).ok()?,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            identity: (stat.st_dev, stat.st_ino),
        })
    }

    #[cfg(test)]
    pub(super) fn of_file(size: u64, modified: (i64, u64)) -> Self {
        Self { is_directory: false, size, modified, changed: modified, identity: (0, 0) }
    }

    /// Whether both are the same thing, whatever happened to it.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Trouble {
    /// As an exchange fails by it.
    pub(super) fn into_failure(self, root: &str, path: &[u8]) -> Failure {
        let kind = match self {
            Self::Special => Kind::NoFile,
            Self::Cold | Self::Moved => Kind::Internal,
            Self::Refused(errno) => kind(errno),
        };
        Failure::of(kind, format!("root \"{root}\": {}: {self}", path.escape_ascii()))
    }

    /// Whether there is no file, and not only for the moment.
    pub(super) fn is_absence(self) -> bool {
        match self {
            Self::Special => true,
            Self::Cold | Self::Moved => false,
            Self::Refused(errno) => kind(errno) != Kind::Internal,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cold | Self::Moved => f.write_str("it is moved all the time"),
            Self::Special => f.write_str("neither a regular file nor a directory"),
            // The text without its number.
            Self::Refused(errno) => {
                let text = std::io::Error::from(*errno).to_string();
                f.write_str(text.split(" (os error").next().unwrap_or_default())
            }
        }
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Self {
        Self::Refused(errno)
    }
}

fn kind(errno: Errno) -> Kind {
    match errno {
        // XDEV: it would have left the root. LOOP: a link where none is followed, a loop, or one of /proc's.
        // INVAL and ILSEQ: a name that this file system cannot have.
        Errno::NOENT
        | Errno::NOTDIR
        | Errno::NAMETOOLONG
        | Errno::XDEV
        | Errno::LOOP
        | Errno::INVAL
        | Errno::ILSEQ
        | Errno::NXIO
        | Errno::NODEV => Kind::NoFile,
        Errno::ACCESS | Errno::PERM => Kind::FileForbidden,
        _ => Kind::Internal,
    }
}

fn beneath(links: Symlinks) -> ResolveFlags {
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    match links {
        Symlinks::Deny => resolve | ResolveFlags::NO_SYMLINKS,
        Symlinks::Beneath => resolve,
    }
}

fn walk(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    resolve: ResolveFlags,
    wait: Wait,
) -> Result<OwnedFd, Trouble> {
    let path = if path.is_empty() { b"." } else { path };
    if wait == Wait::Never {
        return match openat2(root, path, flags, Mode::empty(), resolve | ResolveFlags::CACHED) {
            // INVAL: a kernel before Linux 5.12, which does not know of CACHED.
            Err(Errno::AGAIN | Errno::INVAL | Errno::INTR) => Err(Trouble::Cold),
            other => Ok(other?),
        };
    }
    for _ in 0..WALKS {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
    Err(Trouble::Moved)
}

/// File systems whose files have no bytes until they are read (`linux/magic.h`).
const MADE_UP: [u32; 16] = [
    0x0000_9fa0, // proc
    0x6265_6572, // sysfs
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xf97c_ff8c, // selinuxfs
    0x4341_5d53, // smackfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0xcafe_4a11, // bpf
    0x6265_6570, // configfs
    0xde5e_81e4, // efivarfs
    0x6165_676c, // pstore
    0x4249_4e4d, // binfmt_misc
    0x0765_5821, // resctrl
    0x6573_5543, // fusectl
];
