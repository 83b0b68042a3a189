//! Bytes in memory that the kernel can send as it sends a file's: without a copy of them.
//!
//! They lie in a file without a name, which nobody can change or cut any more, and which is mapped for who wants to read
//! them. Each takes a descriptor and a mapping, of which a process has only so many: beyond a part of these, none is made.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::AsRawFd;
use std::ptr;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

/// Pages of a file that are mapped until it is dropped.
struct Mapping {
    start: *const u8,
    length: usize,
}

/// How many there are.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// More are not held, whatever the descriptors: a process may have 65,530 mappings, and others want some.
const MOST: usize = 16_384;

/// A copy of these pieces, one behind the other: the file it lies in, and its bytes.
///
/// # Errors
/// The system's, and when there are as many as may be.
pub fn hold(pieces: &[Bytes]) -> io::Result<(File, Bytes)> {
    hold_among(pieces, most())
}

fn hold_among(pieces: &[Bytes], most: usize) -> io::Result<(File, Bytes)> {
    let mapping = Mapping::none(most)?;
    let mut file = File::from(create()?);
    pieces.iter().try_for_each(|piece| file.write_all(piece))?;
    let length = pieces.iter().map(Bytes::len).sum();
    // Without seals somebody who is handed the descriptor could take away what is mapped.
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    let mapping = mapping.of(&file, length)?;
    Ok((file, Bytes::from_owner(mapping)))
}

/// Older kernels do not know that it will never be run.
fn create() -> io::Result<std::os::fd::OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("weir", flags | MemfdFlags::NOEXEC_SEAL) {
        Err(Errno::INVAL) => Ok(memfd_create("weir", flags)?),
        created => Ok(created?),
    }
}

/// A quarter of the descriptors, the others are connections'.
fn most() -> usize {
    static ALLOWED: OnceLock<usize> = OnceLock::new();
    *ALLOWED.get_or_init(|| {
        let descriptors = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(descriptors / 4).unwrap_or(MOST).min(MOST)
    })
}

impl Mapping {
    /// A place among those that may be.
    fn none(most: usize) -> io::Result<Self> {
        let place = Self { start: ptr::null(), length: 0 };
        // What is over is given back by its drop.
        if HELD.fetch_add(1, Ordering::Relaxed) < most { Ok(place) } else { Err(ErrorKind::QuotaExceeded.into()) }
    }

    /// Pages of a file that is sealed.
    fn of(mut self, file: &File, length: usize) -> io::Result<Self> {
        // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
        let start =
            unsafe { libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        (self.start, self.length) = (start.cast_const().cast(), length);
        Ok(self)
    }
}

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        if self.length == 0 {
            return &[];
        }
        // SAFETY: so many bytes are mapped there until `self` is dropped, and the file's seals keep everybody, this process
        // too, from changing them or making the file shorter.
        unsafe { slice::from_raw_parts(self.start, self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        HELD.fetch_sub(1, Ordering::Relaxed);
        if self.length > 0 {
            // SAFETY: the mapping is this one's own, whole, and nobody borrows from it any more.
            unsafe { libc::munmap(self.start.cast_mut().cast(), self.length) };
        }
    }
}

// SAFETY: what is mapped is never written, and belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; all that can be done with a reference is to read.
unsafe impl Sync for Mapping {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use super::*;

    #[test]
    fn what_is_held_is_in_the_file_and_in_memory_and_stays() {
        let pieces = [Bytes::from(vec![1; 5000]), Bytes::new(), Bytes::from(vec![2; 5000])];
        let (file, bytes) = hold(&pieces).unwrap();
        let part = bytes.slice(4999..5001);
        let mut read = vec![0; 10_000];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(bytes == read && read == pieces.concat());
        assert!(file.write_at(b"x", 0).is_err() && file.set_len(0).is_err() && file.set_len(20_000).is_err());
        drop((file, bytes));
        assert_eq!(&*part, [1, 2]);
    }

    #[test]
    fn there_are_only_so_many() {
        assert!(hold_among(&[Bytes::from_static(b"a")], 0).is_err());
        assert!(hold_among(&[Bytes::from_static(b"a")], usize::MAX).is_ok());
    }
}
