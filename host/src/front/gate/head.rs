//! What the fields of a head say about framing, and what of it is refused.
//!
//! Two readings are possible where a length is stated twice, in two ways or not plainly: then there is none (RFC 9112, section
//! 6.3).

use super::Step;
use super::lines::{RequestLine, looks_like, names_other_codings};
use crate::failure::Kind;
use crate::message::host;

/// What the fields of the head being read have said about framing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    pub(super) is_1_0: bool,
    pub(super) is_of_server: bool,
    host: bool,
    pub(super) length: Option<u64>,
    pub(super) chunked: bool,
    upgrade: bool,
}

/// Lengths beyond this do not fit the signed numbers of other software.
pub(super) const MAX_LENGTH: u64 = i64::MAX.unsigned_abs();

impl Head {
    /// What a request line leaves to its fields.
    pub(super) fn of(line: RequestLine) -> Self {
        let RequestLine { is_1_0, is_of_server } = line;
        Self { is_1_0, is_of_server, ..Self::default() }
    }

    /// Hears a field.
    pub(super) fn field(&mut self, name: &[u8], value: &[u8]) -> Step {
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            14 if looks_like(name, b"content-length") => self.content_length(name, value),
            17 if looks_like(name, b"transfer-encoding") => self.transfer_encoding(name, value),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Step {
        if self.host {
            return Err((Kind::BadHost, "Host is repeated"));
        }
        self.host = true;
        if host::is_valid(value) { Ok(()) } else { Err((Kind::BadHost, "Host is not a host")) }
    }

    fn content_length(&mut self, name: &[u8], value: &[u8]) -> Step {
        let refuse = |detail| Err((Kind::AmbiguousFraming, detail));
        if name.contains(&b'_') {
            return refuse("a field looks like Content-Length");
        }
        if self.length.is_some() {
            return refuse("Content-Length is repeated");
        }
        if self.chunked {
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
            Some(length) => self.length = Some(length),
            None => return refuse("Content-Length is beyond all measure"),
        }
        Ok(())
    }

    fn transfer_encoding(&mut self, name: &[u8], value: &[u8]) -> Step {
        let refuse = |detail| Err((Kind::AmbiguousFraming, detail));
        if name.contains(&b'_') {
            return refuse("a field looks like Transfer-Encoding");
        }
        if self.is_1_0 {
            return refuse("Transfer-Encoding in HTTP/1.0");
        }
        if self.length.is_some() {
            return refuse("Transfer-Encoding stands beside Content-Length");
        }
        if self.chunked {
            return refuse("Transfer-Encoding is repeated");
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return if names_other_codings(value) {
                Err((Kind::NotImplemented, "a transfer coding other than chunked"))
            } else {
                refuse("Transfer-Encoding is not exactly chunked")
            };
        }
        self.chunked = true;
        Ok(())
    }

    /// Refuses a head that does not say whom it asks (RFC 9112, section 3.2).
    pub(super) fn end(&self) -> Step {
        if self.host || self.is_1_0 { Ok(()) } else { Err((Kind::BadHost, "Host is missing")) }
    }

    /// Whether what follows may not be HTTP.
    pub(super) fn asks_to_change(&self) -> bool {
        self.upgrade && !self.is_1_0 && !self.chunked && self.length.unwrap_or(0) == 0
    }
}
