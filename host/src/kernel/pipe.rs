//! Pipes that bytes go through from one socket to another, without a copy.
//!
//! A thread keeps a few that are empty. One that still holds something when it is given up is closed, so nobody's bytes can
//! come out of a pipe that is somebody else's by then.
#![allow(unsafe_code)]

use std::cell::RefCell;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

/// A pipe, and how much is in it.
#[derive(Debug)]
pub struct Pipe {
    ends: Option<(PipeReader, PipeWriter)>,
    held: usize,
}

/// What a pipe is asked to hold: what a socket's buffer usually has at once. Where the system allows less, it stays as it is.
const ROOM: libc::c_int = 512 << 10;

/// Empty pipes that a thread keeps: each is two descriptors and a little memory. More than that move bytes at one moment
/// only where thousands of downloads do, and then making one costs little beside what goes through it.
const KEPT: usize = 32;

thread_local! {
    static EMPTY: RefCell<Vec<(PipeReader, PipeWriter)>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    /// An empty pipe.
    ///
    /// # Errors
    /// When the system has no descriptors left.
    pub fn open() -> io::Result<Self> {
        let kept = EMPTY.try_with(|empty| empty.borrow_mut().pop()).ok().flatten();
        let ends = match kept {
            Some(ends) => ends,
            None => {
                let ends = io::pipe()?;
                // SAFETY: the call changes the pipe's size and no memory of ours. Whether it did does not matter.
                unsafe { libc::fcntl(ends.1.as_raw_fd(), libc::F_SETPIPE_SZ, ROOM) };
                ends
            }
        };
        Ok(Self { ends: Some(ends), held: 0 })
    }

    /// How many bytes are in it.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Takes what a socket has, at most `most` bytes. Nothing means that the other side has ended.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when the socket has nothing now, or the pipe is full.
    pub fn fill(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let (_, writer) = self.ends()?;
        let moved = splice(socket.as_raw_fd(), writer, most)?;
        self.held += moved;
        Ok(moved)
    }

    /// Gives a socket at most `most` bytes of what is in it. How many it took.
    ///
    /// # Errors
    /// The system's; `WouldBlock` when the socket takes nothing now, or the pipe is empty.
    pub fn drain(&mut self, socket: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
        let (reader, _) = self.ends()?;
        let moved = splice(reader, socket.as_raw_fd(), most)?;
        self.held = self.held.saturating_sub(moved);
        Ok(moved)
    }

    fn ends(&self) -> io::Result<(RawFd, RawFd)> {
        let (reader, writer) = self.ends.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok((reader.as_raw_fd(), writer.as_raw_fd()))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        let Some(ends) = self.ends.take().filter(|_| self.held == 0) else { return };
        // A thread that ends has nowhere to keep it.
        let _ = EMPTY.try_with(|empty| {
            let mut empty = empty.borrow_mut();
            if empty.len() < KEPT {
                empty.push(ends);
            }
        });
    }
}

fn splice(from: RawFd, to: RawFd, most: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    loop {
        // SAFETY: both descriptors are open for the whole call, and there are no offsets to write to.
        let moved = unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), most, flags) };
        if let Ok(moved) = usize::try_from(moved) {
            return Ok(moved);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn kept() -> usize {
        EMPTY.with_borrow(Vec::len)
    }

    #[test]
    fn bytes_go_through_and_the_pipe_is_kept() {
        let ((mut client, near), (far, mut member)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
        far.set_nonblocking(true).unwrap();
        let mut pipe = Pipe::open().unwrap();
        assert_eq!(pipe.fill(far.as_fd(), 100).unwrap_err().kind(), ErrorKind::WouldBlock);
        member.write_all(b"0123456789").unwrap();
        assert_eq!((pipe.fill(far.as_fd(), 6).unwrap(), pipe.held()), (6, 6));
        assert_eq!((pipe.drain(near.as_fd(), 4).unwrap(), pipe.held()), (4, 2));
        assert_eq!((pipe.drain(near.as_fd(), 100).unwrap(), pipe.held()), (2, 0));
        assert_eq!(pipe.drain(near.as_fd(), 1).unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut got = [0; 6];
        client.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"012345");
        drop(pipe);
        assert_eq!(kept(), 1);
        let mut pipe = Pipe::open().unwrap();
        assert_eq!(kept(), 0);
        assert_eq!(pipe.fill(far.as_fd(), 100).unwrap(), 4);
        drop(member);
        assert_eq!(pipe.fill(far.as_fd(), 100).unwrap(), 0);
        drop(pipe);
        assert_eq!(kept(), 0, "it was not empty");
    }

    #[test]
    fn no_more_than_a_few_are_kept() {
        let pipes: Vec<_> = (0..KEPT + 5).map(|_| Pipe::open().unwrap()).collect();
        drop(pipes);
        assert_eq!(kept(), KEPT);
    }
}
