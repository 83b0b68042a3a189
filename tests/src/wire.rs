//! HTTP/1 as bytes, read by the letter: heads, framings, chunks, trailers.
//!
//! Both the client and the origin read through this file. It forgives nothing: whatever RFC 9112 does not allow is
//! an error, so that a gateway which passes something crooked on is caught by whichever side gets it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::{Arc, Mutex};

use crate::stream::Stream;

/// Larger than any head that a test lets through on purpose.
const HEAD_CAP: usize = 1024 * 1024;
/// What is kept of a connection's bytes for looking at; large transfers are only counted.
const RECORD_CAP: usize = 4 * 1024 * 1024;

/// Field lines in order. Bytes become the characters of the same number, so nothing is lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(pub Vec<(String, String)>);

impl Fields {
    /// The value of the only line of this name; several lines are joined with `, `.
    pub fn get(&self, name: &str) -> Option<String> {
        let lines = self.all(name);
        (!lines.is_empty()).then(|| lines.join(", "))
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }
}

/// A start line and the fields under it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub start: String,
    pub fields: Fields,
}

/// How a body says where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(u64),
    Chunked,
    Close,
}

pub struct Wire {
    stream: Stream,
    buffer: Vec<u8>,
    record: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    pub fn over(stream: Stream) -> Wire {
        Wire { stream, buffer: Vec::new(), record: Arc::default() }
    }

    pub fn stream(&self) -> &Stream {
        &self.stream
    }

    /// Ends the connection in good order.
    pub fn end(&mut self) {
        self.stream.end();
    }

    /// The bytes read so far, shared with whoever watches.
    pub fn record(&self) -> Arc<Mutex<Vec<u8>>> {
        Arc::clone(&self.record)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    pub fn shutdown(&self, how: Shutdown) {
        self.stream.shutdown(how);
    }

    /// Whether the peer has ended its side; bytes that come instead are kept for the next read.
    pub fn at_end(&mut self) -> io::Result<bool> {
        Ok(self.buffer.is_empty() && self.fill()? == 0)
    }

    /// Waits until at least one byte is there; false at the end.
    pub fn wait_for_bytes(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.fill()? > 0)
    }

    /// At least one byte, whatever has come; nothing at the end.
    pub fn some(&mut self) -> io::Result<Vec<u8>> {
        self.wait_for_bytes()?;
        Ok(std::mem::take(&mut self.buffer))
    }

    /// The next head; nothing when the peer ended before its first byte.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if !self.wait_for_bytes()? {
            return Ok(None);
        }
        let mut searched = 0;
        let end = loop {
            if let Some(at) = find(&self.buffer[searched..], b"\r\n\r\n") {
                break searched + at + 4;
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > HEAD_CAP {
                return Err(crooked("a head without an end"));
            }
            if self.fill()? == 0 {
                return Err(cut("within a head"));
            }
        };
        let bytes: Vec<u8> = self.buffer.drain(..end).collect();
        parse_head(&bytes[..end - 4]).map(Some)
    }

    /// Reads a body, hands it over piece by piece, and returns the trailers.
    pub fn body(&mut self, framing: Framing, sink: &mut dyn FnMut(&[u8])) -> io::Result<Fields> {
        match framing {
            Framing::Nothing => {}
            Framing::Length(length) => self.exactly(length, sink)?,
            Framing::Close => {
                while self.wait_for_bytes()? {
                    sink(&self.buffer);
                    self.buffer.clear();
                }
            }
            Framing::Chunked => return self.chunks(sink),
        }
        Ok(Fields::default())
    }

    fn chunks(&mut self, sink: &mut dyn FnMut(&[u8])) -> io::Result<Fields> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default();
            let hexadecimal = !size.is_empty() && size.len() <= 16 && size.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hexadecimal {
                return Err(crooked(&format!("chunk size {line:?}")));
            }
            let size = u64::from_str_radix(size, 16).map_err(|_| crooked("chunk size"))?;
            if size == 0 {
                break;
            }
            self.exactly(size, sink)?;
            if !self.line()?.is_empty() {
                return Err(crooked("chunk data longer than the chunk"));
            }
        }
        let mut trailers = Fields::default();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(trailers);
            }
            trailers.0.push(parse_field(&line)?);
        }
    }

    pub(crate) fn exactly(&mut self, length: u64, sink: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            if !self.wait_for_bytes()? {
                return Err(cut(&format!("{left} of {length} bytes before a body's end")));
            }
            let take = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            sink(&self.buffer[..take]);
            self.buffer.drain(..take);
            left -= take as u64;
        }
        Ok(())
    }

    pub(crate) fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let bytes: Vec<u8> = self.buffer.drain(..=at).collect();
                let line = bytes.strip_suffix(b"\r\n").ok_or_else(|| crooked("a line that ends with a bare LF"))?;
                return Ok(latin1(line));
            }
            if self.buffer.len() > HEAD_CAP {
                return Err(crooked("a line without an end"));
            }
            if self.fill()? == 0 {
                return Err(cut("within a line"));
            }
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 65536];
        let read = loop {
            match self.stream.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.buffer.extend_from_slice(&piece[..read]);
        let mut record = self.record.lock().expect("no thread panics with the record locked");
        let room = RECORD_CAP.saturating_sub(record.len());
        record.extend_from_slice(&piece[..read.min(room)]);
        Ok(read)
    }
}

impl Framing {
    /// The framing of a request (RFC 9112, section 6); two framings at once are an error.
    pub fn of_request(head: &Head) -> io::Result<Framing> {
        Ok(declared(&head.fields)?.unwrap_or(Framing::Nothing))
    }

    /// The framing of the response to a request with this method (RFC 9112, section 6.3).
    pub fn of_response(head: &Head, status: u16, method: &str) -> io::Result<Framing> {
        let declared = declared(&head.fields)?;
        let bodiless = method == "HEAD" || status == 204 || status == 304 || status < 200;
        if status == 204 && declared.is_some() {
            return Err(crooked("a 204 with a framing"));
        }
        Ok(if bodiless { Framing::Nothing } else { declared.unwrap_or(Framing::Close) })
    }
}

fn declared(fields: &Fields) -> io::Result<Option<Framing>> {
    let lengths = fields.all("content-length");
    let codings = fields.all("transfer-encoding");
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(None),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Some(Framing::Chunked)),
        ([length], []) if !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit()) => {
            length.parse().map(|length| Some(Framing::Length(length))).map_err(|_| crooked("content-length"))
        }
        _ => Err(crooked(&format!("content-length {lengths:?} with transfer-encoding {codings:?}"))),
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Head> {
    let text = latin1(bytes);
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    if start.contains(['\r', '\n', '\0']) {
        return Err(crooked(&format!("start line {start:?}")));
    }
    let fields = lines.map(parse_field).collect::<io::Result<Vec<_>>>()?;
    Ok(Head { start, fields: Fields(fields) })
}

fn parse_field(line: &str) -> io::Result<(String, String)> {
    let wrong = || crooked(&format!("field line {line:?}"));
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let value = value.trim_matches([' ', '\t']);
    let control = |character: char| character != '\t' && (character < ' ' || character == '\x7f');
    if name.is_empty() || !name.bytes().all(token) || value.contains(control) {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn crooked(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}

fn cut(where_: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("cut off {where_}"))
}
