//! Looking and opening beneath a directory, and nowhere else: the only file that asks the kernel for a path.
//!
//! The kernel keeps the path beneath its root while it walks it (`RESOLVE_BENEATH`), so no check here can be outrun by a
//! rename. A path is looked at before it is opened: opening a FIFO or a device already does something to it. What is no
//! regular file is never opened, unless it took the place of one in between; then it is closed again, unread.

use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags, fstatfs, openat2, statx, unlinkat,
};
use rustix::io::Errno;

use crate::config::Symlinks;
use crate::failure::{Failure, Kind};

/// A root's directory.
#[derive(Debug)]
pub(super) struct Jail {
    directory: OwnedFd,
    links: Symlinks,
    /// Which directory it is.
    pub(super) stand: Stand,
    /// A file system without a disk of its own that was found to ask nobody else either: its number plus one.
    local: AtomicU64,
}

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
    pub(super) modified: (i64, u32),
    /// When that, or what is said of it, was last written.
    pub(super) changed: (i64, u32),
    identity: (u32, u32, u64),
}

/// How often a walk that a rename crossed is begun again. The kernel gives up on `..` (in a link) at any rename of the
/// whole system in between, so a few are nobody's fault.
const WALKS: usize = 64;

impl Jail {
    /// The directory at a path, which may lead over links.
    pub(super) fn at(path: &Path, links: Symlinks, wait: Wait) -> Result<Self, Trouble> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = walk(CWD, path.as_os_str().as_encoded_bytes(), flags, ResolveFlags::empty(), wait)?;
        let stand = Stand::of(&state(directory.as_fd(), wait)?)?;
        Ok(Self { directory, links, stand, local: AtomicU64::new(0) })
    }

    /// Whether one at a path can be served from; if not, why.
    pub(super) fn probe(path: &Path) -> Result<(), String> {
        let jail = Self::at(path, Symlinks::Deny, Wait::May).map_err(|trouble| trouble.to_string())?;
        match jail.look(b"", Wait::May) {
            Ok(_) => Ok(()),
            // The directory is there, so what is not allowed is the call.
            Err(Trouble::Refused(Errno::NOSYS | Errno::PERM)) => {
                Err("this system does not have openat2, or does not allow it; files need Linux 5.6".to_owned())
            }
            Err(trouble) => Err(trouble.to_string()),
        }
    }

    /// What lies at a path; the empty path is the root itself. It is not opened, so nothing happens to it.
    pub(super) fn look(&self, path: &[u8], wait: Wait) -> Result<Stand, Trouble> {
        let found = self.walk(path, OFlags::PATH | OFlags::CLOEXEC, wait)?;
        let state = state(found.as_fd(), wait)?;
        self.check(&found, &state, wait)?;
        Stand::of(&state)
    }

    /// Opens the regular file that was seen there.
    pub(super) fn open(&self, path: &[u8], seen: &Stand, wait: Wait) -> Result<(File, Stand), Trouble> {
        // Regular files know nothing of NONBLOCK; what came in place of one may wait for its other end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = self.walk(path, flags, wait)?;
        let stand = stand(&file, wait)?;
        if stand.is_directory || !stand.is_same(seen) {
            return Err(Trouble::Moved);
        }
        Ok((File::from(file), stand))
    }

    /// A directory, to look into or to be read; may wait for a disk.
    pub(super) fn directory(&self, path: &[u8], flags: OFlags) -> Result<OwnedFd, Trouble> {
        self.walk(path, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Wait::May)
    }

    /// Deletes the very file that was seen at a path; what is something else now stays, and so does a link. May wait for a
    /// disk.
    pub(super) fn delete(&self, path: &[u8], seen: &Stand) -> Result<(), Trouble> {
        let slash = path.iter().rposition(|&byte| byte == b'/');
        let (parent, name) = path.split_at(slash.unwrap_or(0));
        let name = name.strip_prefix(b"/").unwrap_or(name);
        let parent = self.directory(parent, OFlags::PATH)?;
        let found = statx(&parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS)?;
        if Stand::of(&found).is_ok_and(|found| found.is_same(seen)) {
            unlinkat(&parent, name, AtFlags::empty())?;
        }
        Ok(())
    }

    fn walk(&self, path: &[u8], flags: OFlags, wait: Wait) -> Result<OwnedFd, Trouble> {
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let resolve = match self.links {
            Symlinks::Deny => beneath | ResolveFlags::NO_SYMLINKS,
            Symlinks::Beneath => beneath,
        };
        walk(self.directory.as_fd(), path, flags, resolve, wait)
    }

    /// Refuses what the kernel makes up, because opening or reading it may do things. Who may not wait stays off every file
    /// system that has to ask somebody: only opening a file of those can take as long as a network or a program likes,
    /// whatever is known of its path.
    fn check(&self, found: &OwnedFd, state: &Statx, wait: Wait) -> Result<(), Trouble> {
        let number = u64::from(state.stx_dev_minor) + 1;
        if state.stx_dev_major != 0 || self.local.load(Ordering::Relaxed) == number {
            return Ok(());
        }
        if wait == Wait::Never {
            return Err(Trouble::Cold);
        }
        // Some architectures sign-extend it; it has 32 bits.
        let magic = fstatfs(found)?.f_type & 0xffff_ffff;
        let is_one_of = |magics: &[u32]| magics.iter().any(|one| magic == i64::from(*one));
        if is_one_of(&MADE_UP) {
            return Err(Trouble::Special);
        }
        if is_one_of(&LOCAL) {
            self.local.store(number, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// What something open is now.
pub(super) fn stand(open: impl AsFd, wait: Wait) -> Result<Stand, Trouble> {
    Stand::of(&state(open.as_fd(), wait)?)
}

impl Stand {
    /// Of what is a regular file or a directory.
    fn of(state: &Statx) -> Result<Self, Trouble> {
        let is_directory = match FileType::from_raw_mode(u32::from(state.stx_mode)) {
            FileType::RegularFile => false,
            FileType::Directory => true,
            _ => return Err(Trouble::Special),
        };
        let (modified, changed) = (state.stx_mtime, state.stx_ctime);
        Ok(Self {
            is_directory,
            size: state.stx_size,
            modified: (modified.tv_sec, modified.tv_nsec),
            changed: (changed.tv_sec, changed.tv_nsec),
            identity: (state.stx_dev_major, state.stx_dev_minor, state.stx_ino),
        })
    }

    #[cfg(test)]
    pub(super) fn of_file(size: u64, modified: (i64, u32)) -> Self {
        Self { is_directory: false, size, modified, changed: modified, identity: (0, 0, 0) }
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
            Self::Refused(errno) => matches!(kind(errno), Kind::NoFile | Kind::FileForbidden),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cold | Self::Moved => f.write_str("it is moved all the time"),
            Self::Special => f.write_str("neither a regular file nor a directory, or made up by the kernel"),
            Self::Refused(Errno::XDEV) => f.write_str("a link leads out of the root, or is absolute"),
            Self::Refused(Errno::LOOP) => f.write_str("a link, where none is followed, or too many"),
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
        Errno::MFILE | Errno::NFILE => Kind::OutOfDescriptors,
        _ => Kind::Internal,
    }
}

/// What something is; as the kernel remembers it, for who may not wait.
fn state(open: BorrowedFd<'_>, wait: Wait) -> Result<Statx, Errno> {
    let sync = match wait {
        Wait::Never => AtFlags::STATX_DONT_SYNC,
        Wait::May => AtFlags::empty(),
    };
    statx(open, c"", AtFlags::EMPTY_PATH | sync, StatxFlags::BASIC_STATS)
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

/// File systems in memory, or over others that are most likely on disks: as quick to open a file as any disk's.
const LOCAL: [u32; 6] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
    0x794c_7630, // overlay
    0x9123_683e, // btrfs
    0xca45_1a4e, // bcachefs
    0x2fc1_2fc1, // zfs
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_wait_does_not_look_where_nobody_did() {
        let path = std::env::temp_dir().join(format!("weir-jail-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        let jail = Jail::at(&path, Symlinks::Beneath, Wait::May).unwrap();
        let name = b"nobody ever looked for this one";
        assert_eq!(jail.look(name, Wait::Never), Err(Trouble::Cold));
        assert_eq!(jail.look(name, Wait::May), Err(Trouble::Refused(Errno::NOENT)));
        std::fs::remove_dir(&path).unwrap();
    }

    #[test]
    fn file_systems_without_a_disk_are_known_before_they_are_trusted() {
        // In memory wherever it exists.
        let Ok(jail) = Jail::at("/dev/shm".as_ref(), Symlinks::Beneath, Wait::May) else { return };
        if jail.stand.identity.0 == 0 {
            assert_eq!(jail.look(b"", Wait::Never), Err(Trouble::Cold));
            assert_eq!(jail.look(b"", Wait::May), Ok(jail.stand));
            assert_eq!(jail.look(b"", Wait::Never), Ok(jail.stand));
        }
        let jail = Jail::at("/proc/self".as_ref(), Symlinks::Beneath, Wait::May).unwrap();
        for name in [&b""[..], b"status", b"fd/0", b"root", b"task"] {
            assert_eq!(jail.look(name, Wait::Never), Err(Trouble::Cold), "{}", name.escape_ascii());
            assert!(jail.look(name, Wait::May).is_err_and(Trouble::is_absence), "{}", name.escape_ascii());
        }
    }

    #[test]
    fn troubles_are_failures() {
        for (trouble, kind, is_absence) in [
            (Trouble::Special, Kind::NoFile, true),
            (Trouble::Moved, Kind::Internal, false),
            (Trouble::Refused(Errno::NOENT), Kind::NoFile, true),
            (Trouble::Refused(Errno::NOTDIR), Kind::NoFile, true),
            (Trouble::Refused(Errno::XDEV), Kind::NoFile, true),
            (Trouble::Refused(Errno::LOOP), Kind::NoFile, true),
            (Trouble::Refused(Errno::NAMETOOLONG), Kind::NoFile, true),
            (Trouble::Refused(Errno::ACCESS), Kind::FileForbidden, true),
            (Trouble::Refused(Errno::PERM), Kind::FileForbidden, true),
            (Trouble::Refused(Errno::MFILE), Kind::OutOfDescriptors, false),
            (Trouble::Refused(Errno::NFILE), Kind::OutOfDescriptors, false),
            (Trouble::Refused(Errno::IO), Kind::Internal, false),
        ] {
            assert_eq!(trouble.is_absence(), is_absence, "{trouble:?}");
            assert_eq!(trouble.into_failure("it", b"a\n").kind, kind, "{trouble:?}");
        }
        let failure = Trouble::Refused(Errno::ACCESS).into_failure("it", b"a\n");
        assert_eq!(failure.detail, "root \"it\": a\\n: Permission denied");
    }
}
