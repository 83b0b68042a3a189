//! What of a file is in memory, and how to get at it without waiting for a disk: the one thing that a thread which serves
//! must not do.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use rustix::fs::{Advice, fadvise, sendfile};
use rustix::io::retry_on_intr;

/// Whether a part of a file is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// All of it is, or was a moment ago.
    Resident,
    /// Some of it is not.
    Cold,
    /// The system does not say (Linux before 6.5, some file systems).
    Unknown,
}

/// cachestat(2), by its number, which is the same on every architecture.
const CACHESTAT: libc::c_long = 451;

#[repr(C)]
struct CachestatRange {
    offset: u64,
    length: u64,
}

#[repr(C)]
#[derive(Default)]
struct Cachestat {
    cached: u64,
    dirty: u64,
    writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Whether a part of a file is in memory; its end counts as its last page's. It costs one call and looks at no byte.
#[must_use]
pub fn residency(file: &File, offset: u64, length: u64) -> Residency {
    if length == 0 {
        return Residency::Resident;
    }
    let range = CachestatRange { offset, length };
    let mut found = Cachestat::default();
    // SAFETY: the call reads `range` and writes `found`, whose layouts are the kernel's; both outlive it.
    let failed =
        unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), &raw const range, &raw mut found, 0 as libc::c_uint) } != 0;
    if failed {
        return Residency::Unknown;
    }
    let pages = (offset + length - 1) / page() - offset / page() + 1;
    if found.cached >= pages { Residency::Resident } else { Residency::Cold }
}

/// Brings a part of a file into memory, without a copy of it, and has the system begin with as much behind it, so that the
/// disk works while the part is sent. It waits for the disk, so it is for threads that may.
///
/// # Errors
/// What reading it meets.
pub fn warm(file: &File, offset: u64, length: u64) -> io::Result<()> {
    let nowhere = nowhere()?;
    let (mut from, end) = (offset, offset.saturating_add(length));
    while from < end {
        let left = usize::try_from(end - from).unwrap_or(usize::MAX);
        // What is sent to nowhere goes page by page and is looked at by nobody; that it has to be there is the point.
        if retry_on_intr(|| sendfile(nowhere, file, Some(&mut from), left))? == 0 {
            return Ok(());
        }
    }
    // Advice that is not taken costs time, later.
    let _ = fadvise(file, end, NonZeroU64::new(length), Advice::WillNeed);
    Ok(())
}

/// Reads a part of a file as far as it is in memory, at most `most` bytes. Nothing means that the file has no more.
///
/// # Errors
/// The system's; `WouldBlock` when nothing of it is in memory, `Unsupported` where the file system cannot tell.
pub fn read_now(file: &File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes: Vec<u8> = Vec::with_capacity(most);
    let place = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: most };
    let from = libc::off_t::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
    // SAFETY: `place` names room for `most` bytes that nobody else uses, and the kernel writes there only.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const place, 1, from, libc::RWF_NOWAIT) };
    match usize::try_from(read) {
        Ok(read) => {
            // SAFETY: the kernel has written that many bytes, which are not more than there is room for.
            unsafe { bytes.set_len(read.min(most)) };
            Ok(bytes)
        }
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Reads a part of a file, at most `most` bytes, and waits for the disk: for threads that may.
///
/// # Errors
/// The system's.
pub fn read_waiting(file: &File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; most];
    loop {
        match file.read_at(&mut bytes, offset) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => {
                bytes.truncate(read?);
                return Ok(bytes);
            }
        }
    }
}

/// Drops a file's pages, as far as the system does what it is asked for.
#[cfg(test)]
pub fn chill(file: &File) {
    let _ = file.sync_all();
    let _ = fadvise(file, 0, None, Advice::DontNeed);
}

fn page() -> u64 {
    static PAGE: OnceLock<u64> = OnceLock::new();
    // SAFETY: the call has no arguments but a number, and keeps nothing.
    *PAGE.get_or_init(|| u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096).max(1))
}

fn nowhere() -> io::Result<&'static File> {
    static NOWHERE: OnceLock<File> = OnceLock::new();
    if let Some(nowhere) = NOWHERE.get() {
        return Ok(nowhere);
    }
    let opened = File::options().write(true).open("/dev/null")?;
    Ok(NOWHERE.get_or_init(|| opened))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(name: &str, length: usize) -> File {
        let path = std::env::temp_dir().join(format!("weir-pages-{name}-{}", std::process::id()));
        let mut written = File::create(&path).unwrap();
        written.write_all(&vec![7; length]).unwrap();
        written.sync_all().unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        file
    }

    #[test]
    fn what_was_warmed_is_there_and_read_at_once() {
        let length = 300_000;
        let file = file("warm", length);
        chill(&file);
        let before = residency(&file, 0, length as u64);
        warm(&file, 0, length as u64 + 100_000).unwrap();
        if before == Residency::Cold {
            assert_eq!(residency(&file, 0, length as u64), Residency::Resident);
            assert_eq!(residency(&file, 4_095, 2), Residency::Resident);
        }
        let at_once = read_now(&file, 10, 100).map(|bytes| bytes.len());
        assert!(matches!(&at_once, Ok(100)) || at_once.is_err_and(|error| error.kind() == ErrorKind::Unsupported));
    }

    #[test]
    fn cold_pages_are_not_waited_for() {
        let file = file("cold", 1 << 20);
        chill(&file);
        if residency(&file, 0, 1 << 20) == Residency::Cold {
            let error = read_now(&file, 0, 1 << 20).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Unsupported), "{error}");
        }
        assert_eq!(read_waiting(&file, 5, 1000).unwrap(), vec![7; 1000]);
    }

    #[test]
    fn a_files_end_is_nothing_and_no_error() {
        let file = file("end", 10);
        assert_eq!(read_waiting(&file, 10, 5).unwrap(), b"");
        assert_eq!(read_waiting(&file, 8, 5).unwrap(), [7, 7]);
        assert!(read_now(&file, 10, 5).is_ok_and(|bytes| bytes.is_empty()));
        assert!(read_now(&file, u64::MAX, 5).is_err());
        assert_eq!(residency(&file, 0, 0), Residency::Resident);
    }
}
