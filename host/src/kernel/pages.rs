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

use super::Window;

/// Whether a part of a file is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// All of it is, was a moment ago, or is on its way: what the system is reading already counts.
    Resident,
    /// Some of it is not.
    Cold,
    /// The system does not say (some file systems).
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

/// How far apart pages are that are asked for one by one: less than the least that is read ahead (128 KiB by default), so
/// that few pages are missing between two that are there.
const STEP: usize = 64 << 10;

/// Whether a part of a file is in memory; its end counts as its last page's. It looks at no byte, and costs one call where
/// the system tells whoever asks. It may tell only those who could write the file (Linux since 6.13).
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
        return sampled(file, offset, length);
    }
    let pages = (offset + length - 1) / page() - offset / page() + 1;
    if found.cached >= pages { Residency::Resident } else { Residency::Cold }
}

/// The same of some of its pages. Each is asked for without waiting, to a place where nothing can be written: a page that is
/// there comes as far as that (`EFAULT`), and no byte of it further.
fn sampled(file: &File, offset: u64, length: u64) -> Residency {
    let Some(window) = Window::open() else { return Residency::Unknown };
    let nowhere = libc::iovec { iov_base: window.show(1).as_ptr().cast_mut().cast(), iov_len: 1 };
    let last = offset.saturating_add(length - 1);
    for place in (offset..last).step_by(STEP).chain([last]) {
        let Ok(from) = libc::off_t::try_from(place) else { return Residency::Unknown };
        // SAFETY: `nowhere` names a byte that belongs to the window, which nobody can write, the kernel included.
        let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const nowhere, 1, from, libc::RWF_NOWAIT) };
        match io::Error::last_os_error().raw_os_error() {
            // The file ends before that, and nothing is to be waited for.
            _ if read == 0 => {}
            Some(libc::EFAULT) => {}
            Some(libc::EAGAIN) => return Residency::Cold,
            _ => return Residency::Unknown,
        }
    }
    Residency::Resident
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
/// The system's; `WouldBlock` when nothing of it is in memory, `Unsupported` where the system cannot tell.
pub fn read_now(file: &File, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(most);
    match read_into(&mut bytes, file, offset, libc::RWF_NOWAIT) {
        // A tmpfs does not read so, but says what it has in memory.
        Err(error) if error.kind() == ErrorKind::Unsupported => match residency(file, offset, most as u64) {
            Residency::Resident => read_into(&mut bytes, file, offset, 0)?,
            Residency::Cold | Residency::Unknown => return Err(error),
        },
        read => read?,
    }
    Ok(bytes)
}

/// As many bytes as a buffer has room for, in the place of what it has.
fn read_into(bytes: &mut Vec<u8>, file: &File, offset: u64, flags: libc::c_int) -> io::Result<()> {
    bytes.clear();
    let room = bytes.spare_capacity_mut();
    let place = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    let from = libc::off_t::try_from(offset).map_err(|_| ErrorKind::InvalidInput)?;
    // SAFETY: `place` names room that nobody else uses, and the kernel writes there only.
    let read = unsafe { libc::preadv2(file.as_raw_fd(), &raw const place, 1, from, flags) };
    let read = usize::try_from(read).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel has written that many bytes, from the beginning on, which are not more than there is room for.
    unsafe { bytes.set_len(read.min(bytes.capacity())) };
    Ok(())
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
    fn whoever_may_only_read_a_file_is_told_too() {
        let file = std::sync::Arc::new(file("told", 300_000));
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let asked = |file: &std::sync::Arc<File>| {
            let file = file.clone();
            let asks = move || {
                // SAFETY: the call changes whose files this thread may write, and no memory. Without the right to it,
                // nothing changes: the file is then of who runs the tests.
                unsafe { libc::setfsuid(65534) };
                residency(&file, 0, 300_000)
            };
            std::thread::spawn(asks).join().unwrap()
        };
        assert_eq!(read_waiting(&file, 0, 300_000).unwrap().len(), 300_000);
        assert!(matches!(asked(&file), Residency::Resident));
        chill(&file);
        assert_eq!(asked(&file), residency(&file, 0, 300_000));
    }

    #[test]
    fn samples_say_the_same_as_all_pages() {
        let file = file("samples", 300_000);
        read_waiting(&file, 0, 300_000).unwrap();
        let told = sampled(&file, 0, 300_000);
        if told == Residency::Unknown {
            return;
        }
        for (offset, length) in [(0, 300_000), (1, 1), (299_999, 1), (65_536, 65_536), (4_095, 2), (299_999, 100_000)] {
            assert_eq!(sampled(&file, offset, length), Residency::Resident, "{offset} {length}");
        }
        chill(&file);
        assert_eq!(sampled(&file, 0, 300_000), residency(&file, 0, 300_000));
        assert_eq!(sampled(&file, u64::MAX - 5, 5), Residency::Unknown);
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

    #[test]
    fn what_a_tmpfs_has_in_memory_is_read_at_once() {
        let (file, _bytes) = crate::kernel::hold(&[vec![7; 5_000].into()]).unwrap();
        for (offset, most) in [(0, 1), (10, 100), (4_000, 1_000)] {
            // Systems that do not say leave it to a thread that may wait.
            match read_now(&file, offset, most) {
                Ok(read) => assert_eq!(read, vec![7; most], "{offset}"),
                Err(error) => assert_ne!(residency(&file, offset, most as u64), Residency::Resident, "{error}"),
            }
        }
    }
}
