//! One client for every version of HTTP: the same request goes in over HTTP/1.1, HTTP/2 or HTTP/3, and what comes back
//! looks alike. Each request has a connection of its own, and a bound.

mod multiplexed;

use std::io;
use std::net::SocketAddr;

use crate::client::{Client, Response};
use crate::stream::Stream;
use crate::visitor::Visitor;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    H1,
    H2,
    H3,
}

/// One way in.
#[derive(Clone)]
pub struct Door {
    pub version: Version,
    address: SocketAddr,
    visitor: Option<Visitor>,
}

/// A request, whatever it will look like on the wire.
#[derive(Clone, Debug)]
pub struct Ask {
    pub method: String,
    pub target: String,
    pub host: String,
    pub fields: Vec<(String, String)>,
    pub body: Option<Vec<u8>>,
    /// Whether the body's length is said beforehand.
    pub is_measured: bool,
    pub trailers: Vec<(String, String)>,
    /// Whether the body stops before its end, and nothing comes after it.
    pub is_unfinished: bool,
}

impl Ask {
    pub fn get(target: &str) -> Ask {
        Ask::method("GET", target)
    }

    pub fn method(method: &str, target: &str) -> Ask {
        Ask {
            method: method.to_owned(),
            target: target.to_owned(),
            host: "any.example".to_owned(),
            fields: Vec::new(),
            body: None,
            is_measured: true,
            trailers: Vec::new(),
            is_unfinished: false,
        }
    }

    /// A POST that says how long its body is.
    pub fn post(target: &str, body: impl AsRef<[u8]>) -> Ask {
        Ask { body: Some(body.as_ref().to_vec()), ..Ask::method("POST", target) }
    }

    pub fn host(mut self, host: &str) -> Ask {
        host.clone_into(&mut self.host);
        self
    }

    /// One more field line, its name in lower case.
    pub fn field(mut self, name: &str, value: &str) -> Ask {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body's length is not said.
    pub fn unmeasured(mut self) -> Ask {
        self.is_measured = false;
        self
    }

    /// More of the body is promised, and never comes.
    pub fn unfinished(mut self) -> Ask {
        self.is_unfinished = true;
        self
    }

    pub(crate) fn length(&self) -> Option<usize> {
        let more = if self.is_unfinished { 1 } else { 0 };
        self.body.as_ref().filter(|_| self.is_measured).map(|body| body.len() + more)
    }

    /// A field after the body. Its length cannot be said then.
    pub fn trailer(mut self, name: &str, value: &str) -> Ask {
        self.trailers.push((name.to_owned(), value.to_owned()));
        self.unmeasured()
    }
}

impl Door {
    pub fn clear(version: Version, address: &str) -> Door {
        Door { version, address: parsed(address), visitor: None }
    }

    /// Every way in, one listener in the clear and one that is not; the first is what the others are measured by.
    pub fn every(web: &str, secure: &str, visitor: &Visitor) -> Vec<Door> {
        vec![
            Door::clear(Version::H1, web),
            Door::secure(Version::H1, secure, visitor),
            Door::clear(Version::H2, web),
            Door::secure(Version::H2, secure, visitor),
            Door::secure(Version::H3, secure, visitor),
        ]
    }

    /// Under TLS, or QUIC, as this visitor.
    pub fn secure(version: Version, address: &str, visitor: &Visitor) -> Door {
        let protocol = match version {
            Version::H1 => "http/1.1",
            Version::H2 => "h2",
            Version::H3 => "h3",
        };
        Door { version, address: parsed(address), visitor: Some(visitor.clone().offering(&[protocol])) }
    }

    /// Whether it is under TLS.
    pub fn is_secure(&self) -> bool {
        self.visitor.is_some()
    }

    /// Sends the request and takes the whole answer, as far as it comes.
    pub fn try_ask(&self, ask: &Ask) -> io::Result<Response> {
        match self.version {
            Version::H1 => self.ask_h1(ask),
            Version::H2 | Version::H3 => multiplexed::ask(self.version, self.address, self.visitor.as_ref(), ask),
        }
    }

    /// The same, when an answer must come.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> Response {
        let Ask { method, target, .. } = ask;
        self.try_ask(ask).unwrap_or_else(|error| panic!("{:?}: no answer to {method} {target}: {error}", self.version))
    }

    fn ask_h1(&self, ask: &Ask) -> io::Result<Response> {
        let address = self.address.to_string();
        let mut client = match &self.visitor {
            Some(visitor) => visitor.shake(&address)?.client(),
            None => Client::over(Stream::connect(&address)?),
        };
        let (head, body) = h1_bytes(ask);
        // Whoever answers early may take no more of it: the answer says what became of the request.
        let sent = client.try_send(head);
        if sent.is_ok() && !body.is_empty() {
            let _ = client.try_send(body);
        }
        client.try_response_to(&ask.method)
    }
}

fn h1_bytes(ask: &Ask) -> (Vec<u8>, Vec<u8>) {
    let mut head = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", ask.method, ask.target, ask.host);
    // Only HTTP/2 and HTTP/3 may break it into crumbs (RFC 9113, section 8.2.3).
    let is_crumb = |line: &&(String, String)| line.0 == "cookie";
    for (name, value) in ask.fields.iter().filter(|line| !is_crumb(line)) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let cookies: Vec<&str> = ask.fields.iter().filter(is_crumb).map(|(_, value)| value.as_str()).collect();
    if !cookies.is_empty() {
        head.push_str(&format!("cookie: {}\r\n", cookies.join("; ")));
    }
    let mut sent = Vec::new();
    if let Some(body) = &ask.body {
        match ask.length() {
            Some(length) => {
                head.push_str(&format!("content-length: {length}\r\n"));
                sent.extend_from_slice(body);
            }
            None => {
                head.push_str("transfer-encoding: chunked\r\n");
                for piece in body.chunks(10_000) {
                    sent.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                    sent.extend_from_slice(piece);
                    sent.extend_from_slice(b"\r\n");
                }
                if !ask.is_unfinished {
                    sent.extend_from_slice(b"0\r\n");
                    for (name, value) in &ask.trailers {
                        sent.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                    }
                    sent.extend_from_slice(b"\r\n");
                }
            }
        }
    }
    head.push_str("\r\n");
    (head.into_bytes(), sent)
}

#[track_caller]
fn parsed(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|_| panic!("{address} is no address of IP"))
}
