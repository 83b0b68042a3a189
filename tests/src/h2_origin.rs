//! An origin that speaks HTTP/2 and answers every request alike, with or without TLS.
//!
//! It reads frames and no field blocks: what it is asked for does not matter, on how many connections it is asked does.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::h2::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, frame, read_frame, text};
use crate::tls::{self, Identity};

pub struct H2Origin {
    address: SocketAddr,
    is_secured: bool,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    connections: AtomicUsize,
    requests: AtomicUsize,
}

impl H2Origin {
    /// On 127.0.0.1; says in `X-Member` who it is. Under TLS it offers `h2` alone.
    pub fn start(name: &str, identity: Option<&Identity>) -> H2Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a listener has an address");
        let origin = H2Origin { address, is_secured: identity.is_some(), state: Arc::default() };
        let (state, name) = (Arc::clone(&origin.state), name.to_owned());
        let config = identity.map(|identity| identity.server(&["h2"], None));
        thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                if state.stopped.load(Ordering::Acquire) {
                    return;
                }
                state.connections.fetch_add(1, Ordering::AcqRel);
                let (state, name, config) = (Arc::clone(&state), name.clone(), config.clone());
                // A gateway that is done closes the connection, which is no error of anybody.
                thread::spawn(move || match config {
                    Some(config) => serve(tls::accept(&config, limited(socket)?)?, &state, &name),
                    None => serve(limited(socket)?, &state, &name),
                });
            }
        });
        origin
    }

    /// As a member's URL.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_secured { "https" } else { "http" }, self.address)
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Acquire)
    }

    /// How many requests were answered so far.
    pub fn requests(&self) -> usize {
        self.state.requests.load(Ordering::Acquire)
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
    }
}

fn limited(socket: TcpStream) -> io::Result<TcpStream> {
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(crate::PATIENCE * 4))?;
    Ok(socket)
}

fn serve(mut stream: impl Read + Write, state: &State, name: &str) -> io::Result<()> {
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface)?;
    if preface != PREFACE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    loop {
        let (kind, flags, id, payload) = read_frame(&mut stream)?;
        let answer = match kind {
            SETTINGS if flags & ACK == 0 => frame(SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(PING, ACK, 0, &payload),
            DATA | HEADERS if flags & END_STREAM != 0 => {
                state.requests.fetch_add(1, Ordering::AcqRel);
                // `:status` 200 by its number (RFC 7541, appendix A), and a literal field (section 6.2.2).
                let head = [vec![0x88, 0], text("x-member"), text(name)].concat();
                [frame(HEADERS, END_HEADERS, id, &head), frame(DATA, END_STREAM, id, name.as_bytes())].concat()
            }
            _ => continue,
        };
        stream.write_all(&answer)?;
        stream.flush()?;
    }
}
