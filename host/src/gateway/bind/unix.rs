//! Unix sockets and their files: one that a dead process left is replaced, ours is removed at the end, and whatever else has that
//! name stays.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

use super::{Refusal, Sockets, another};
use crate::config::{Admin, Bind};
use crate::front::Socket;

/// The operator's connections that may wait to be accepted: as many as there are served at once.
const ADMIN_BACKLOG: u32 = 64;

/// A Unix socket's file, removed when dropped if it still is the one that was made.
pub(in crate::gateway) struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

/// Binds the operator's socket. Nobody can connect before its permissions are what they should be.
pub(in crate::gateway) fn admin(plan: &Admin) -> Result<(UnixListener, SocketFile), Refusal> {
    let bound = unix_socket(&plan.socket, ADMIN_BACKLOG, |file| file.allow(plan));
    bound.map_err(|error| Refusal::because("admin".to_owned(), &Bind::Unix(plan.socket.clone()), error))
}

pub(super) fn unix(path: &Path, backlog: u32, threads: usize) -> io::Result<Sockets> {
    let (socket, file) = unix_socket(path, backlog, |_| Ok(()))?;
    let first = Socket::Unix(socket);
    let mut each = (1..threads).map(|_| another(&first)).collect::<io::Result<Vec<_>>>()?;
    each.push(first);
    Ok(Sockets { address: format!("unix:{}", path.display()), each, datagrams: Vec::new(), file: Some(file) })
}

fn unix_socket(
    path: &Path,
    backlog: u32,
    before_listening: impl FnOnce(&SocketFile) -> io::Result<()>,
) -> io::Result<(UnixListener, SocketFile)> {
    remove_stale(path)?;
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM.nonblocking().cloexec(), None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::of(path)?;
    before_listening(&file)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    Ok((socket.into(), file))
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), identity: (found.dev(), found.ino()) })
    }

    /// Sets who may connect.
    pub(in crate::gateway) fn allow(&self, plan: &Admin) -> io::Result<()> {
        if let Some(group) = plan.group {
            let refused = |error| io::Error::other(format!("its group cannot be {group}: {error}"));
            chown(&self.path, None, Some(group)).map_err(refused)?;
        }
        fs::set_permissions(&self.path, fs::Permissions::from_mode(plan.mode))
    }

    /// Whether it still is there, and the one that was made.
    pub(in crate::gateway) fn is_there(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_there()
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "socket file not removed");
        }
    }
}

/// Removes a socket file that a dead process left behind; whatever else has that name stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket has that name"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}
