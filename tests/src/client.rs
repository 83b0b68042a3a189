//! A client that sends whatever bytes it is told to and reads responses by the letter.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::thread;
use std::time::Duration;

use crate::stream::Stream;
use crate::wire::{Fields, Framing, Head, Wire, latin1};

pub struct Client {
    wire: Wire,
}

/// One final response, with the interim ones that came before it.
#[derive(Clone, Debug)]
pub struct Response {
    pub interim: Vec<(u16, Fields)>,
    pub version: String,
    pub status: u16,
    pub fields: Fields,
    pub body: Vec<u8>,
    pub trailers: Fields,
    pub framing: Framing,
    /// Why the body ended too early, if it did.
    pub cut: Option<String>,
}

impl Client {
    pub fn over(stream: Stream) -> Client {
        Client { wire: Wire::over(stream) }
    }

    #[track_caller]
    pub fn connect(address: &str) -> Client {
        match Stream::connect(address) {
            Ok(stream) => Client { wire: Wire::over(stream) },
            Err(error) => panic!("no connection to {address}: {error}"),
        }
    }

    /// A client that can take in little at a time: the other side soon has to wait for it.
    #[track_caller]
    pub fn connect_narrow(address: &str) -> Client {
        match Stream::connect_narrow(address) {
            Ok(stream) => Client { wire: Wire::over(stream) },
            Err(error) => panic!("no connection to {address}: {error}"),
        }
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Client {
        if let Err(error) = self.wire.write(bytes.as_ref()) {
            panic!("the gateway took no more bytes: {error}");
        }
        self
    }

    /// Sends as much as the other side wants to have.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.write(bytes.as_ref())
    }

    /// Sends byte by byte with a pause after each, until the other side has enough of it.
    pub fn trickle(&mut self, bytes: impl AsRef<[u8]>, pause: Duration) {
        for byte in bytes.as_ref() {
            if self.wire.write(&[*byte]).is_err() {
                return;
            }
            thread::sleep(pause);
        }
    }

    /// A GET for `target` at `any.example`, answered.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.ask(target, &[])
    }

    /// Who answers so many GETs, by their `X-Member`.
    #[track_caller]
    pub fn tally(&mut self, count: usize) -> BTreeMap<String, usize> {
        let mut tally = BTreeMap::new();
        for _ in 0..count {
            *tally.entry(self.get("/").expect(200).field("x-member")).or_default() += 1;
        }
        tally
    }

    /// A GET with more field lines; a `Host` among them replaces the usual one.
    #[track_caller]
    pub fn ask(&mut self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.request("GET", target, fields, b"")
    }

    /// A whole request with a `Content-Length` when there is a body, answered.
    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Response {
        // Whoever answers early may take no more of it: the answer says what became of the request.
        let _ = self.try_send(request_bytes(method, target, fields, body));
        self.response_to(method)
    }

    /// The next final response, which must be whole.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// The same, to a request whose method decides whether there is a body.
    #[track_caller]
    pub fn response_to(&mut self, method: &str) -> Response {
        match self.try_response_to(method) {
            Ok(Response { cut: Some(why), status, .. }) => panic!("the body of a {status} broke off: {why}"),
            Ok(response) => response,
            Err(error) => panic!("no response: {error}"),
        }
    }

    /// The next final response, perhaps with its body cut short.
    pub fn try_response(&mut self) -> io::Result<Response> {
        self.try_response_to("GET")
    }

    pub fn try_response_to(&mut self, method: &str) -> io::Result<Response> {
        let mut interim = Vec::new();
        loop {
            let head = self.head()?;
            let (version, status) = status_line(&head.start)?;
            if status < 200 && status != 101 {
                interim.push((status, head.fields));
                continue;
            }
            let framing = Framing::of_response(&head, status, method)?;
            let mut body = Vec::new();
            let end = self.wire.body(framing, &mut |piece| body.extend_from_slice(piece));
            let (trailers, cut) = match end {
                Ok(trailers) => (trailers, None),
                Err(error) => (Fields::default(), Some(error.to_string())),
            };
            return Ok(Response { interim, version, status, fields: head.fields, body, trailers, framing, cut });
        }
    }

    /// Only the next head, interim or final: its status and fields. The body stays to be read.
    #[track_caller]
    pub fn response_head(&mut self) -> (u16, Fields) {
        let read = self.head().and_then(|head| Ok((status_line(&head.start)?.1, head.fields)));
        read.unwrap_or_else(|error| panic!("no response head: {error}"))
    }

    /// Reads a body of which the head was read before, without keeping it, and returns its length.
    pub fn drain(&mut self, framing: Framing) -> io::Result<u64> {
        let mut length = 0;
        self.wire.body(framing, &mut |piece| length += piece.len() as u64)?;
        Ok(length)
    }

    /// Whatever bytes come next; none at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        self.wire.some()
    }

    /// Everything up to the end of the connection, however it ends.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.wire.body(Framing::Close, &mut |piece| rest.extend_from_slice(piece));
        rest
    }

    /// The same, when it ends in good order.
    pub fn rest_or_error(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.wire.body(Framing::Close, &mut |piece| rest.extend_from_slice(piece))?;
        Ok(rest)
    }

    /// Checks that the other side closes, and sends nothing more before that.
    #[track_caller]
    pub fn expect_close(&mut self) {
        match self.wire.at_end() {
            Ok(true) => {}
            Ok(false) => panic!("bytes instead of an end: {:?}", latin1(&self.wire.some().unwrap_or_default())),
            Err(error) if is_timeout(&error) => panic!("the connection was not closed"),
            Err(_) => {}
        }
    }

    /// Whether nothing comes, neither bytes nor an end, for as long as `span`.
    pub fn is_silent_for(&mut self, span: Duration) -> bool {
        let _ = self.wire.stream().set_patience(span);
        let silent = matches!(self.wire.wait_for_bytes(), Err(error) if is_timeout(&error));
        let _ = self.wire.stream().set_patience(crate::PATIENCE);
        silent
    }

    /// Says that nothing more will be sent, and goes on reading.
    pub fn finish(&mut self) {
        self.wire.shutdown(Shutdown::Write);
    }

    /// Leaves with a reset.
    pub fn reset(self) {
        self.wire.stream().reset_on_close();
    }

    /// Where this end of a TCP connection is.
    #[track_caller]
    pub fn local_address(&self) -> SocketAddr {
        match self.wire.stream() {
            Stream::Tcp(stream) => stream.local_addr().expect("a connection has two ends"),
            Stream::Tls(_) | Stream::Secured(_) | Stream::Unix(_) => panic!("no TCP"),
        }
    }

    pub fn stream(&self) -> &Stream {
        self.wire.stream()
    }

    fn head(&mut self) -> io::Result<Head> {
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "closed without a response");
        self.wire.head()?.ok_or_else(closed)
    }
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What `Cache-Status` says, without numbers that time changes.
    pub fn cache_status(&self) -> String {
        let status = self.fields.get("cache-status").unwrap_or_default();
        status.split(';').filter(|part| !part.starts_with("ttl=")).collect::<Vec<_>>().join(";")
    }

    /// The value of a field that must be there.
    #[track_caller]
    pub fn field(&self, name: &str) -> String {
        self.fields.get(name).unwrap_or_else(|| panic!("no {name} in {self}"))
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self}"))
    }

    #[track_caller]
    pub fn expect(&self, status: u16) -> &Response {
        assert_eq!(self.status, status, "in {self}");
        self
    }

    pub fn says_close(&self) -> bool {
        self.fields.get("connection").is_some_and(|value| value.to_ascii_lowercase().contains("close"))
    }
}

impl fmt::Display for Response {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "{} {}", self.version, self.status)?;
        for (name, value) in &self.fields.0 {
            writeln!(out, "{name}: {value}")?;
        }
        write!(out, "\n{}", String::from_utf8_lossy(&self.body[..self.body.len().min(2000)]))
    }
}

/// The bytes of a plain request.
pub fn request_bytes(method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head.push_str("Host: any.example\r\n");
    }
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() || method == "POST" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

fn status_line(line: &str) -> io::Result<(String, u16)> {
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, format!("status line {line:?}"));
    let (version, rest) = line.split_once(' ').ok_or_else(wrong)?;
    let code = rest.get(..3).filter(|code| code.bytes().all(|byte| byte.is_ascii_digit())).ok_or_else(wrong)?;
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(wrong());
    }
    Ok((version.to_owned(), code.parse().map_err(|_| wrong())?))
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
