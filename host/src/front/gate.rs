//! The wall: HTTP/1 framing, read strictly, before the parser beneath sees a byte.
//!
//! It follows a client's bytes message by message and lets through only what can be read in one way (RFC 9112). It keeps no
//! bytes but an unfinished line, knows nothing of sockets, time or routes, and refuses the same inputs however they are cut.
//!
//! Refused: bare LF or CR; control bytes; obs-fold, a space before a colon, names that are not tokens; request lines that are
//! not `METHOD SP target SP HTTP/1.x`; other versions; `CONNECT`; a missing, repeated or invalid `Host`; a `Content-Length`
//! that is not plain digits, has leading zeros or is repeated; `Transfer-Encoding` beside it, in HTTP/1.0, repeated, or other
//! than `chunked`; look-alikes of the two with `_`; chunk sizes that are not plain hexadecimal, extensions beyond 4 KiB, data
//! without its CRLF; trailers that frame, route or authenticate; heads, targets and numbers of fields beyond their limits.
//!
//! Behind a request that asks for another protocol the gate waits: what follows may not be HTTP (RFC 9110, section 7.8).

mod lines;

use std::collections::VecDeque;

use memchr::memchr;

use crate::failure::Kind;
use crate::message::host;

use self::lines::{MAX_METHOD, RequestLine, looks_like, names_other_codings, request_line, split};

/// What a listener allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a head, its empty line included.
    pub max_head: usize,
    /// Bytes of a request target.
    pub max_target: usize,
    /// Lines of header fields, and of trailer fields.
    pub max_fields: usize,
}

/// Where in a message the last byte was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between messages.
    Idle,
    /// In a head.
    Head,
    /// In a body or its trailers.
    Body,
}

/// Why the connection goes no further. Every later `feed` answers the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// What went wrong.
    pub kind: Kind,
    /// For the operator.
    pub detail: &'static str,
    /// How many bytes of this slice stand before the message that is refused: they may be passed on.
    pub good: usize,
    /// Whether the refused message's head was passed on with earlier bytes: its exchange runs, and its body ends here.
    pub running: bool,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Gate {
    limits: Limits,
    state: State,
    /// An unfinished line of a head, a chunk size or a trailer; never longer than `room` plus one.
    carried: Vec<u8>,
    /// Bytes of the head or the trailers so far.
    used: usize,
    /// Lines of fields so far, in the head or the trailers.
    lines: usize,
    /// Bytes of chunk extensions in this body.
    extensions: usize,
    /// Empty lines before the head.
    blanks: usize,
    head: Head,
    /// Heads so far.
    heads: u64,
    /// Which of them ask about the server as a whole by a URI, in their order, until `is_of_server` comes to them.
    of_server: VecDeque<u64>,
    /// The last message asks for another protocol, and whether it gets it is not known.
    waits: bool,
}

#[derive(Debug, Clone, Copy)]
enum State {
    RequestLine,
    Fields,
    /// Bytes of a body with `Content-Length` to come.
    Counted(u64),
    ChunkSize,
    /// Bytes of a chunk to come.
    Chunk(u64),
    ChunkEnd,
    /// The LF after a chunk's CR.
    ChunkEndLf,
    Trailers,
    Refused(Kind, &'static str),
}

/// What the fields of the head being read have said about framing.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    is_1_0: bool,
    is_of_server: bool,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    upgrade: bool,
}

type Step = Result<(), (Kind, &'static str)>;

/// ` HTTP/1.1` and CRLF and the space before the target.
const AROUND_TARGET: usize = 12;
/// RFC 9112, section 2.2, asks for at least one empty line before a request line to be ignored; some clients send two or three.
const MAX_BLANKS: usize = 8;
/// Nobody uses chunk extensions; per body, so that they cannot be a cheap flood (RFC 9112, section 7.1.1).
const MAX_EXTENSIONS: usize = 4096;
/// A size, the extensions and CRLF.
const MAX_CHUNK_LINE: usize = 16 + MAX_EXTENSIONS + 2;
/// Half of what the parser beneath allows.
const MAX_TRAILERS: usize = 8192;
/// Lengths beyond this do not fit the signed numbers of other software.
const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();

/// Fields that a trailer section must not carry (RFC 9110, section 6.5.1).
const NOT_IN_TRAILERS: [&[u8]; 22] = [
    b"authorization",
    b"cache-control",
    b"connection",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"cookie",
    b"expect",
    b"forwarded",
    b"host",
    b"keep-alive",
    b"max-forwards",
    b"proxy-authorization",
    b"proxy-connection",
    b"range",
    b"set-cookie",
    b"te",
    b"trailer",
    b"transfer-encoding",
    b"upgrade",
    b"via",
];

impl Gate {
    /// The gate of a fresh connection.
    #[must_use]
    pub fn of(limits: Limits) -> Self {
        Self {
            limits,
            state: State::RequestLine,
            carried: Vec::new(),
            used: 0,
            lines: 0,
            extensions: 0,
            blanks: 0,
            head: Head::default(),
            heads: 0,
            of_server: VecDeque::new(),
            waits: false,
        }
    }

    /// Where the connection is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        match self.state {
            State::RequestLine if self.carried.is_empty() => Phase::Idle,
            State::RequestLine | State::Fields => Phase::Head,
            State::Counted(_)
            | State::ChunkSize
            | State::Chunk(_)
            | State::ChunkEnd
            | State::ChunkEndLf
            | State::Trailers => Phase::Body,
            State::Refused(..) => Phase::Idle,
        }
    }

    /// Whether the last message asks for another protocol: what comes next is for the gate only when that is not granted.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.waits
    }

    /// The protocol stays what it is.
    pub const fn go_on(&mut self) {
        self.waits = false;
    }

    /// How many messages began, those before the one at hand and itself.
    #[must_use]
    pub const fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether a message, by its number, is `OPTIONS` with a URI that has neither path nor query: that is about the server as a
    /// whole, as `*` is (RFC 9112, section 3.2.4), which who parses such a URI cannot tell from `/`. To be asked in order.
    pub fn is_of_server(&mut self, message: u64) -> bool {
        self.of_server.pop_front_if(|next| *next == message).is_some()
    }

    /// Looks at the next bytes of the connection; how many of them may be passed on. Not all of them are looked at when
    /// the gate waits after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let mut message = 0;
        let mut running = self.phase() == Phase::Body;
        let mut rest = bytes;
        loop {
            if self.waits {
                return Ok(bytes.len() - rest.len());
            }
            match self.step(rest) {
                Ok(left) => {
                    rest = left;
                    if matches!(self.state, State::RequestLine) && self.carried.is_empty() {
                        message = bytes.len() - rest.len();
                        running = false;
                    }
                }
                Err((kind, detail)) => {
                    self.state = State::Refused(kind, detail);
                    self.carried = Vec::new();
                    return Err(Refusal { kind, detail, good: message, running });
                }
            }
            if rest.is_empty() {
                return Ok(bytes.len());
            }
        }
    }

    /// Takes a line or a run of data from the front; what is left.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], (Kind, &'static str)> {
        match self.state {
            State::Refused(kind, detail) => Err((kind, detail)),
            State::Counted(left) => {
                let (left, rest) = skip(left, bytes);
                self.state = if left == 0 { self.next_message() } else { State::Counted(left) };
                Ok(rest)
            }
            State::Chunk(left) => {
                let (left, rest) = skip(left, bytes);
                self.state = if left == 0 { State::ChunkEnd } else { State::Chunk(left) };
                Ok(rest)
            }
            State::ChunkEnd => self.expect(b'\r', State::ChunkEndLf, bytes),
            State::ChunkEndLf => self.expect(b'\n', State::ChunkSize, bytes),
            State::RequestLine | State::Fields | State::ChunkSize | State::Trailers => self.step_line(bytes),
        }
    }

    fn expect<'a>(&mut self, byte: u8, then: State, bytes: &'a [u8]) -> Result<&'a [u8], (Kind, &'static str)> {
        match bytes.split_first() {
            None => Ok(bytes),
            Some((first, rest)) if *first == byte => {
                self.state = then;
                Ok(rest)
            }
            Some(_) => Err((Kind::MalformedBody, "a chunk's data does not end with CRLF")),
        }
    }

    /// Finds a line's end; an unfinished line is carried over to the next bytes.
    fn step_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], (Kind, &'static str)> {
        let Some(end) = memchr(b'\n', bytes) else {
            let room = self.room();
            // One byte more than there is room for is enough to refuse by.
            let spare = (room + 1).saturating_sub(self.carried.len()).min(bytes.len());
            self.carried.extend_from_slice(bytes.get(..spare).unwrap_or_default());
            if self.carried.len() > room {
                return Err(self.overlong(&self.carried));
            }
            return Ok(&[]);
        };
        let (line, rest) = bytes.split_at(end + 1);
        if self.carried.is_empty() {
            self.line(line)?;
        } else {
            let mut carried = std::mem::take(&mut self.carried);
            let spare = (self.room() + 1).saturating_sub(carried.len()).min(line.len());
            carried.extend_from_slice(line.get(..spare).unwrap_or_default());
            self.line(&carried)?;
            carried.clear();
            self.carried = carried;
        }
        Ok(rest)
    }

    /// How long the line that is being read may be, its end included.
    fn room(&self) -> usize {
        match self.state {
            State::RequestLine => self.longest_request_line().min(self.limits.max_head),
            State::Fields => self.limits.max_head.saturating_sub(self.used),
            State::Trailers => MAX_TRAILERS.saturating_sub(self.used),
            _ => MAX_CHUNK_LINE,
        }
    }

    const fn longest_request_line(&self) -> usize {
        self.limits.max_target.saturating_add(MAX_METHOD + AROUND_TARGET)
    }

    /// Why a line, of which at least one byte more than `room` is there, is refused.
    fn overlong(&self, line: &[u8]) -> (Kind, &'static str) {
        let longest = self.longest_request_line();
        match self.state {
            State::RequestLine if longest <= self.limits.max_head => {
                let beginning = line.get(..=longest).unwrap_or(line);
                let refusal = request_line(beginning, self.limits.max_target).err();
                refusal.unwrap_or((Kind::MalformedRequest, "the request line is too long"))
            }
            State::RequestLine | State::Fields => (Kind::HeadTooLarge, "the head is longer than max-head"),
            State::Trailers => (Kind::MalformedBody, "the trailers are too long"),
            _ => (Kind::MalformedBody, "a chunk's size line is too long"),
        }
    }

    fn line(&mut self, line: &[u8]) -> Step {
        if line.len() > self.room() {
            return Err(self.overlong(line));
        }
        let in_body = matches!(self.state, State::ChunkSize | State::Trailers);
        let Some(text) = line.strip_suffix(b"\r\n") else {
            let kind = if in_body { Kind::MalformedBody } else { Kind::MalformedRequest };
            return Err((kind, "a line ends without CR"));
        };
        self.used += line.len();
        match self.state {
            State::RequestLine if text.is_empty() => {
                self.used = 0;
                self.blanks += 1;
                if self.blanks > MAX_BLANKS {
                    return Err((Kind::MalformedRequest, "too many empty lines before the request"));
                }
            }
            State::RequestLine => {
                let RequestLine { is_1_0, is_of_server } = request_line(text, self.limits.max_target)?;
                self.head = Head { is_1_0, is_of_server, ..Head::default() };
                self.lines = 0;
                self.state = State::Fields;
            }
            State::Fields if text.is_empty() => self.state = self.body()?,
            State::Fields => self.field(text)?,
            State::ChunkSize => self.chunk_size(text)?,
            State::Trailers if text.is_empty() => self.state = self.next_message(),
            State::Trailers => self.trailer(text)?,
            State::Counted(_) | State::Chunk(_) | State::ChunkEnd | State::ChunkEndLf | State::Refused(..) => {}
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Step {
        let (name, value) = split(line).map_err(|detail| (Kind::MalformedRequest, detail))?;
        self.lines += 1;
        if self.lines > self.limits.max_fields {
            return Err((Kind::HeadTooLarge, "more fields than max-fields"));
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.head.upgrade = true;
                Ok(())
            }
            14 if looks_like(name, b"content-length") => self.content_length(name, value),
            17 if looks_like(name, b"transfer-encoding") => self.transfer_encoding(name, value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Step {
        if self.head.host {
            return Err((Kind::BadHost, "Host is repeated"));
        }
        self.head.host = true;
        if host::is_valid(value) { Ok(()) } else { Err((Kind::BadHost, "Host is not a host")) }
    }

    fn content_length(&mut self, name: &[u8], value: &[u8]) -> Step {
        let refuse = |detail| Err((Kind::AmbiguousFraming, detail));
        if name.contains(&b'_') {
            return refuse("a field looks like Content-Length");
        }
        if self.head.length.is_some() {
            return refuse("Content-Length is repeated");
        }
        if self.head.chunked {
            return refuse("Content-Length stands beside Transfer-Encoding");
        }
        if value.is_empty()
            || !value.iter().all(u8::is_ascii_digit)
            || (value.len() > 1 && value.first() == Some(&b'0'))
        {
            return refuse("Content-Length is not a plain number");
        }
        let length = str::from_utf8(value).ok().and_then(|digits| digits.parse::<u64>().ok());
        match length.filter(|length| *length <= MAX_LENGTH) {
            Some(length) => self.head.length = Some(length),
            None => return refuse("Content-Length is beyond all measure"),
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, name: &[u8], value: &[u8]) -> Step {
        let refuse = |detail| Err((Kind::AmbiguousFraming, detail));
        if name.contains(&b'_') {
            return refuse("a field looks like Transfer-Encoding");
        }
        if self.head.is_1_0 {
            return refuse("Transfer-Encoding in HTTP/1.0");
        }
        if self.head.length.is_some() {
            return refuse("Transfer-Encoding stands beside Content-Length");
        }
        if self.head.chunked {
            return refuse("Transfer-Encoding is repeated");
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return if names_other_codings(value) {
                Err((Kind::NotImplemented, "a transfer coding other than chunked"))
            } else {
                refuse("Transfer-Encoding is not exactly chunked")
            };
        }
        self.head.chunked = true;
        Ok(())
    }

    /// What follows a head.
    fn body(&mut self) -> Result<State, (Kind, &'static str)> {
        if !self.head.host && !self.head.is_1_0 {
            return Err((Kind::BadHost, "Host is missing"));
        }
        self.extensions = 0;
        self.heads += 1;
        if self.head.is_of_server {
            self.of_server.push_back(self.heads);
        }
        self.waits = self.head.upgrade && !self.head.is_1_0 && !self.head.chunked && self.head.length.unwrap_or(0) == 0;
        Ok(match self.head.length {
            _ if self.head.chunked => State::ChunkSize,
            Some(length) if length > 0 => State::Counted(length),
            Some(_) | None => self.next_message(),
        })
    }

    fn chunk_size(&mut self, line: &[u8]) -> Step {
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        if !(1..=16).contains(&digits) {
            return Err((Kind::MalformedBody, "a chunk's size is not plain hexadecimal"));
        }
        let size = str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
        let size =
            size.filter(|size| *size <= MAX_LENGTH).ok_or((Kind::MalformedBody, "a chunk is beyond all measure"))?;
        if !extension.is_empty() && extension.first() != Some(&b';') {
            return Err((Kind::MalformedBody, "something other than an extension follows a chunk's size"));
        }
        self.extensions += extension.len();
        if self.extensions > MAX_EXTENSIONS {
            return Err((Kind::MalformedBody, "too many chunk extensions"));
        }
        if !extension.iter().all(|&byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic()) {
            return Err((Kind::MalformedBody, "a control byte in a chunk extension"));
        }
        self.state = if size == 0 {
            self.used = 0;
            self.lines = 0;
            State::Trailers
        } else {
            State::Chunk(size)
        };
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Step {
        let (name, _) = split(line).map_err(|detail| (Kind::MalformedBody, detail))?;
        self.lines += 1;
        if self.lines > self.limits.max_fields {
            return Err((Kind::MalformedBody, "too many trailers"));
        }
        if NOT_IN_TRAILERS.iter().any(|forbidden| looks_like(name, forbidden)) {
            return Err((Kind::MalformedBody, "a trailer that frames, routes or authenticates"));
        }
        Ok(())
    }

    fn next_message(&mut self) -> State {
        self.used = 0;
        self.blanks = 0;
        State::RequestLine
    }
}

/// Skips data; how much is still to come, and the bytes behind it.
fn skip(left: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
    (left - here as u64, bytes.get(here..).unwrap_or_default())
}

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;
