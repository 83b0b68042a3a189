//! Bytes to a socket: those of a head that a file's follow, and a file's.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt as _;

use rustix::fs::sendfile;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::sockopt::tcp_congestion;
use rustix::net::{SendAncillaryBuffer, SendFlags, sendmsg};

/// Bytes that are copied at once where they cannot be moved.
const COPIED: usize = 64 << 10;

/// Sends bytes that a file's will follow at once; where they join these, the kernel puts both into the same packet. How many
/// it took.
///
/// # Errors
/// The system's; `WouldBlock` when the socket takes nothing now.
pub fn send_first(socket: BorrowedFd<'_>, slices: &[IoSlice<'_>], joins: bool) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | if joins { SendFlags::MORE } else { SendFlags::empty() };
    let send = || sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags);
    Ok(retry_on_intr(send)?)
}

/// Whether what follows had better join what is sent first. A packet less is less work, but not where the kernel spaces out
/// packets by what it measured of the connection, as BBR does: a small one of its own is acknowledged at once, which shows
/// how fast the way is; without it what follows is held back by timers, each of which costs more than a packet.
pub fn is_better_joined(socket: BorrowedFd<'_>) -> bool {
    !tcp_congestion(socket).is_ok_and(|control| control.starts_with("bbr"))
}

/// Sends a part of a file. How many bytes the socket took; none means that the file has no more.
///
/// # Errors
/// The system's; `WouldBlock` when the socket takes nothing now.
pub fn send_file(socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    let send = || {
        let mut from = offset;
        sendfile(socket, file, Some(&mut from), length)
    };
    match retry_on_intr(send) {
        // Some file systems give their bytes to readers only.
        Err(Errno::INVAL | Errno::NOSYS) => copy(socket, file, offset, length),
        sent => Ok(sent?),
    }
}

fn copy(socket: BorrowedFd<'_>, file: &File, offset: u64, length: usize) -> io::Result<usize> {
    let mut bytes = vec![0; length.min(COPIED)];
    let read = file.read_at(&mut bytes, offset)?;
    let read = bytes.get(..read).unwrap_or_default();
    let send = || sendmsg(socket, &[IoSlice::new(read)], &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL);
    Ok(if read.is_empty() { 0 } else { retry_on_intr(send)? })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::net::sockopt::set_tcp_congestion;

    use super::*;

    #[test]
    fn a_head_and_a_part_of_a_file_arrive_in_order() {
        let path = std::env::temp_dir().join(format!("weir-send-{}", std::process::id()));
        File::create(&path).unwrap().write_all(b"0123456789").unwrap();
        let file = File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!(send_first(ours.as_fd(), &[IoSlice::new(b"he"), IoSlice::new(b"ad ")], true).unwrap(), 5);
        assert_eq!(send_file(ours.as_fd(), &file, 3, 4).unwrap(), 4);
        assert_eq!(send_file(ours.as_fd(), &file, 8, 100).unwrap(), 2);
        assert_eq!(send_file(ours.as_fd(), &file, 10, 100).unwrap(), 0);
        assert_eq!(copy(ours.as_fd(), &file, 7, 2).unwrap(), 2);
        assert_eq!(copy(ours.as_fd(), &file, 10, 2).unwrap(), 0);
        drop(ours);
        let mut got = String::new();
        theirs.read_to_string(&mut got).unwrap();
        assert_eq!(got, "head 34568978");
    }

    #[test]
    fn what_follows_joins_where_packets_are_not_spaced_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        for (control, joins) in [("reno", true), ("cubic", true), ("bbr", false)] {
            // No system has to have them all.
            if set_tcp_congestion(&socket, control).is_ok() {
                assert_eq!(is_better_joined(socket.as_fd()), joins, "{control}");
            }
        }
        assert!(is_better_joined(UnixStream::pair().unwrap().0.as_fd()));
    }

    #[test]
    fn a_full_socket_would_block() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let block = [0; 1 << 16];
        let error = loop {
            if let Err(error) = send_first(ours.as_fd(), &[IoSlice::new(&block)], true) {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
