//! Sockets that the service manager opened before the gateway began (sd_listen_fds(3)).
//!
//! They are kept for the life of the process, whatever the config says: one that a reload gives up may come back with the
//! next. The queue of such a socket outlives the gateway, so that a restart refuses nobody.

use std::env;
use std::io;

use listenfd::ListenFd;

use super::bind;
use crate::front::Socket;

/// What was passed, by name.
#[derive(Default)]
pub(super) struct Inherited {
    sockets: Vec<(String, Socket)>,
}

impl Inherited {
    /// Takes what was passed to this process. To be called once.
    pub(super) fn of_environment() -> Self {
        let mut passed = ListenFd::from_env();
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            // What sd_listen_fds_with_names(3) calls those that have no name.
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
            match take(&mut passed, index) {
                Ok(Some(socket)) => sockets.push((name, socket)),
                Ok(None) => {}
                Err(error) => tracing::warn!(name, %error, "a socket that was passed on is not used"),
            }
        }
        Self { sockets }
    }

    /// Another handle of the socket of a name.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn find(&self, name: &str) -> io::Result<Socket> {
        let mut found = self.sockets.iter().filter(|(known, _)| known == name);
        match (found.next(), found.next()) {
            (Some((_, socket)), None) => bind::another(socket),
            (Some(_), Some(_)) => {
                let text = "several of the sockets passed on have that name; FileDescriptorName= gives each its own";
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            (None, _) if self.sockets.is_empty() => {
                let text = "the service manager passed no socket on (LISTEN_FDS is not set for this process)";
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
            (None, _) => {
                let names: Vec<_> = self.sockets.iter().map(|(name, _)| name.as_str()).collect();
                let text = format!("no socket of that name was passed on; there are: {}", names.join(", "));
                Err(io::Error::new(io::ErrorKind::InvalidInput, text))
            }
        }
    }
}

fn take(passed: &mut ListenFd, index: usize) -> io::Result<Option<Socket>> {
    let socket = match passed.take_tcp_listener(index) {
        Ok(socket) => socket.map(Socket::Tcp),
        Err(_) => passed.take_unix_listener(index)?.map(Socket::Unix),
    };
    socket.iter().try_for_each(bind::adopt)?;
    Ok(socket)
}
