//! Addresses that stand for bytes which lie elsewhere: in a file, in a pipe.
//!
//! A codec that is given a piece of the window as a body hands its address and length on to its transport, which sees by
//! the address what is meant and has the kernel move it. Nothing lies behind the addresses: they are reserved, and reading
//! them is not allowed, so a mistake is loud here and an error (`EFAULT`) in a system call, never bytes that are not the
//! file's.
#![allow(unsafe_code)]

use std::io::IoSlice;
use std::ptr;
use std::slice;
use std::sync::OnceLock;

use bytes::Bytes;

/// The window: one for the process, because no piece of it holds anything.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    start: usize,
}

/// What can be shown at once. More would only be more bytes that one connection sends before its neighbours' turn; the cost
/// of a call is nothing beside those of a megabyte.
const LENGTH: usize = 1 << 20;

impl Window {
    /// The most that one piece stands for.
    pub const LENGTH: usize = LENGTH;

    /// The window; `None` where the system gave no addresses for it.
    pub fn open() -> Option<Self> {
        static START: OnceLock<Option<usize>> = OnceLock::new();
        START.get_or_init(reserve).map(|start| Self { start })
    }

    /// Bytes that stand for so many others; fewer, when it is more than the window has. They must reach nobody but a
    /// transport that asks `find`: whoever reads them ends the process.
    #[must_use]
    pub fn show(self, length: usize) -> Bytes {
        // SAFETY: the addresses are reserved for the rest of the process, aligned for bytes, and never written. No code that
        // gets the slice reads through it: codecs that write vectored take its address and length only (`front/h1.rs` says
        // where that was looked up, and a test of it would end with a signal). A read would fault, and never see other data.
        let shown =
            unsafe { slice::from_raw_parts(ptr::with_exposed_provenance::<u8>(self.start), length.min(LENGTH)) };
        Bytes::from_static(shown)
    }

    /// The first of these slices that lies in the window: its index, and where in the window it begins.
    #[must_use]
    pub fn find(self, slices: &[IoSlice<'_>]) -> Option<(usize, usize)> {
        slices.iter().enumerate().find_map(|(index, slice)| {
            let position = slice.as_ptr().addr().checked_sub(self.start)?;
            (position < LENGTH && !slice.is_empty()).then_some((index, position))
        })
    }
}

fn reserve() -> Option<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let start = unsafe { libc::mmap(ptr::null_mut(), LENGTH, libc::PROT_NONE, flags, -1, 0) };
    (start != libc::MAP_FAILED).then(|| start.expose_provenance())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_found_by_their_address() {
        let window = Window::open().unwrap();
        let (head, mut shown) = (b"head", window.show(100));
        let slices = |shown: &Bytes| {
            let slices = [IoSlice::new(head), IoSlice::new(&[])].map(|slice| (slice.as_ptr(), slice.len()));
            assert_eq!(slices[0].1, 4);
            window.find(&[IoSlice::new(head), IoSlice::new(shown)])
        };
        assert_eq!(slices(&shown), Some((1, 0)));
        bytes::Buf::advance(&mut shown, 60);
        assert_eq!((slices(&shown), shown.len()), (Some((1, 60)), 40));
        bytes::Buf::advance(&mut shown, 40);
        assert_eq!(window.find(&[IoSlice::new(head), IoSlice::new(&shown)]), None);
        assert_eq!(window.show(LENGTH + 1).len(), LENGTH);
    }

    #[test]
    fn a_system_call_that_would_read_it_fails() {
        let (_reader, mut writer) = std::io::pipe().unwrap();
        let shown = Window::open().unwrap().show(10);
        let error = std::io::Write::write(&mut writer, &shown).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}
