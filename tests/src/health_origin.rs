//! Origins whose health a test switches while they run: over HTTP/1.1 as a behaviour, over gRPC as a server of its own.
//!
//! The gRPC server answers every stream that ends as a call of `Health/Check`.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::behaviour;
use crate::h2::{ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, frame, read_frame, text};
use crate::origin::Behaviour;

/// What a health page says at the moment. Clones are the same switch.
#[derive(Clone)]
pub struct Health(Arc<Mutex<(u16, String)>>);

impl Health {
    /// 200 and `up`.
    pub fn good() -> Health {
        Health(Arc::new(Mutex::new((200, "up".to_owned()))))
    }

    /// From now on.
    pub fn becomes(&self, status: u16, body: &str) {
        *lock(&self.0) = (status, body.to_owned());
    }

    /// To be put on the path of an origin.
    pub fn behaviour(&self) -> Behaviour {
        let health = self.clone();
        behaviour::does(move |exchange| {
            let (status, body) = lock(&health.0).clone();
            behaviour::answers_with(status, &[("Cache-Control", "no-store")], &body)(exchange)
        })
    }
}

/// `HealthCheckResponse.ServingStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serving {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
}

/// A server of the gRPC health protocol over cleartext HTTP/2.
pub struct GrpcHealth {
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    stopped: AtomicBool,
    services: Mutex<HashMap<String, Serving>>,
    asked: Mutex<Vec<String>>,
    connections: Mutex<usize>,
}

/// `NOT_FOUND`, for services nobody told of.
const NOT_FOUND: &str = "5";

impl GrpcHealth {
    /// On 127.0.0.1; the whole server (the service without a name) serves.
    pub fn start() -> GrpcHealth {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a listener has an address");
        let origin = GrpcHealth { address, state: Arc::default() };
        origin.becomes("", Serving::Serving);
        let state = Arc::clone(&origin.state);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if state.stopped.load(Ordering::Acquire) {
                    return;
                }
                *lock(&state.connections) += 1;
                let state = Arc::clone(&state);
                // A gateway that is done closes the connection, which is no error of anybody.
                thread::spawn(move || serve(stream, &state));
            }
        });
        origin
    }

    /// What is said of a service from now on.
    pub fn becomes(&self, service: &str, serving: Serving) {
        lock(&self.state.services).insert(service.to_owned(), serving);
    }

    /// As a member's URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// The services asked for so far.
    pub fn asked(&self) -> Vec<String> {
        lock(&self.state.asked).clone()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        *lock(&self.state.connections)
    }
}

impl Drop for GrpcHealth {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Release);
        drop(TcpStream::connect(self.address));
    }
}

fn serve(mut stream: TcpStream, state: &State) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(crate::PATIENCE * 4))?;
    let mut preface = [0; PREFACE.len()];
    stream.read_exact(&mut preface)?;
    if preface != PREFACE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    stream.write_all(&frame(SETTINGS, 0, 0, &[]))?;
    let mut bodies: HashMap<u32, Vec<u8>> = HashMap::new();
    loop {
        let (kind, flags, id, payload) = read_frame(&mut stream)?;
        match kind {
            SETTINGS | PING if flags & ACK == 0 => {
                let echo = if kind == PING { &payload[..] } else { &[] };
                stream.write_all(&frame(kind, ACK, 0, echo))?;
            }
            DATA => bodies.entry(id).or_default().extend(payload),
            _ => {}
        }
        if matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0 {
            let body = bodies.remove(&id).unwrap_or_default();
            stream.write_all(&answer(id, &body, state))?;
        }
    }
}

/// The frames that answer a call.
fn answer(id: u32, body: &[u8], state: &State) -> Vec<u8> {
    // `:status` 200 and `content-type`, by their numbers in the static table (RFC 7541, appendix A).
    let mut head = vec![0x88, 0x0f, 0x10];
    head.extend(text("application/grpc"));
    let service = service(body).unwrap_or_else(|| format!("not a request: {body:?}"));
    let serving = lock(&state.services).get(&service).copied();
    lock(&state.asked).push(service);
    let Some(serving) = serving else {
        head.extend(code(NOT_FOUND));
        return frame(HEADERS, END_HEADERS | END_STREAM, id, &head);
    };
    let message: &[u8] = if serving == Serving::Unknown { &[] } else { &[0x08, serving as u8] };
    let length = u8::try_from(message.len()).expect("two at most");
    let message = [&[0, 0, 0, 0, length], message].concat();
    let frames = [
        frame(HEADERS, END_HEADERS, id, &head),
        frame(DATA, 0, id, &message),
        frame(HEADERS, END_HEADERS | END_STREAM, id, &code("0")),
    ];
    frames.concat()
}

/// The name in a `HealthCheckRequest`, which this server reads to the letter.
fn service(body: &[u8]) -> Option<String> {
    let (head, message) = body.split_first_chunk::<5>()?;
    let is_framed = head[0] == 0 && u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize == message.len();
    match message {
        _ if !is_framed => None,
        [] => Some(String::new()),
        [0x0a, length, name @ ..] if usize::from(*length) == name.len() && *length < 0x80 => {
            String::from_utf8(name.to_vec()).ok()
        }
        _ => None,
    }
}

/// A literal `grpc-status` (RFC 7541, section 6.2.2).
fn code(code: &str) -> Vec<u8> {
    [vec![0], text("grpc-status"), text(code)].concat()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Origin};

    #[test]
    fn a_page_says_what_it_was_switched_to() {
        let (origin, health) = (Origin::start(), Health::good());
        origin.on("/health", health.behaviour());
        let mut client = Client::connect(&origin.address());
        let mut get = || {
            let response = client.request("GET", "/health", &[], b"");
            (response.status, response.text())
        };
        assert_eq!(get(), (200, "up".to_owned()));
        health.becomes(503, "maintenance");
        assert_eq!(get(), (503, "maintenance".to_owned()));
        health.becomes(200, "up");
        assert_eq!(get(), (200, "up".to_owned()));
    }

    /// What a call is answered with: type, flags and payload of every frame.
    fn call(stream: &mut TcpStream, id: u32, service: &str) -> Vec<(u8, u8, Vec<u8>)> {
        let message = match service {
            "" => Vec::new(),
            name => [vec![0x0a], text(name)].concat(),
        };
        let length = u8::try_from(message.len()).unwrap();
        // Nobody reads the field block.
        stream.write_all(&frame(HEADERS, END_HEADERS, id, &[])).unwrap();
        stream.write_all(&frame(PING, 0, 0, b"12345678")).unwrap();
        stream.write_all(&frame(DATA, END_STREAM, id, &[&[0, 0, 0, 0, length], &message[..]].concat())).unwrap();
        assert_eq!(read_frame(stream).unwrap(), (PING, ACK, 0, b"12345678".to_vec()));
        let mut frames = Vec::new();
        loop {
            let (kind, flags, of, payload) = read_frame(stream).unwrap();
            assert_eq!(of, id);
            frames.push((kind, flags, payload));
            if flags & END_STREAM != 0 {
                return frames;
            }
        }
    }

    #[test]
    fn a_service_is_what_it_was_switched_to() {
        let origin = GrpcHealth::start();
        origin.becomes("shop", Serving::NotServing);
        origin.becomes("idle", Serving::Unknown);
        let mut stream = TcpStream::connect(origin.address()).unwrap();
        stream.set_read_timeout(Some(crate::PATIENCE)).unwrap();
        stream.write_all(PREFACE).unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &[])).unwrap();
        assert_eq!(read_frame(&mut stream).unwrap(), (SETTINGS, 0, 0, Vec::new()));
        assert_eq!(read_frame(&mut stream).unwrap(), (SETTINGS, ACK, 0, Vec::new()));
        let said = |stream: &mut TcpStream, id, service| {
            let frames = call(stream, id, service);
            assert!(frames[0].2.starts_with(b"\x88\x0f\x10\x10application/grpc"));
            let last = frames.last().unwrap().2.clone();
            (frames.iter().find(|frame| frame.0 == DATA).map(|frame| frame.2.clone()), last)
        };
        let ok = code("0");
        assert_eq!(said(&mut stream, 1, ""), (Some(b"\0\0\0\0\x02\x08\x01".to_vec()), ok.clone()));
        assert_eq!(said(&mut stream, 3, "shop"), (Some(b"\0\0\0\0\x02\x08\x02".to_vec()), ok.clone()));
        assert_eq!(said(&mut stream, 5, "idle"), (Some(b"\0\0\0\0\0".to_vec()), ok.clone()));
        origin.becomes("shop", Serving::Serving);
        assert_eq!(said(&mut stream, 7, "shop"), (Some(b"\0\0\0\0\x02\x08\x01".to_vec()), ok));
        let (message, trailers) = said(&mut stream, 9, "unheard");
        assert!(message.is_none() && trailers.ends_with(b"\x0bgrpc-status\x015"));
        assert_eq!(origin.asked(), ["", "shop", "idle", "shop", "unheard"]);
        assert_eq!(origin.connections(), 1);
    }
}
