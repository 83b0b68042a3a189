//! What stands between the data of a chunked body: sizes with their extensions, and trailers (RFC 9112, section 7.1).

use super::Step;
use super::head::MAX_LENGTH;
use super::lines::looks_like;
use crate::failure::Kind;

/// Nobody uses chunk extensions; per body, so that they cannot be a cheap flood (RFC 9112, section 7.1.1).
pub(super) const MAX_EXTENSIONS: usize = 4096;

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

/// Reads a size line; `extensions` counts those of the body so far.
pub(super) fn size(line: &[u8], extensions: &mut usize) -> Result<u64, (Kind, &'static str)> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extension) = line.split_at(digits);
    if !(1..=16).contains(&digits) {
        return Err((Kind::MalformedBody, "a chunk's size is not plain hexadecimal"));
    }
    let size = str::from_utf8(size).ok().and_then(|size| u64::from_str_radix(size, 16).ok());
    let size = size.filter(|size| *size <= MAX_LENGTH).ok_or((Kind::MalformedBody, "a chunk is beyond all measure"))?;
    if !extension.is_empty() && extension.first() != Some(&b';') {
        return Err((Kind::MalformedBody, "something other than an extension follows a chunk's size"));
    }
    *extensions += extension.len();
    if *extensions > MAX_EXTENSIONS {
        return Err((Kind::MalformedBody, "too many chunk extensions"));
    }
    if !extension.iter().all(|&byte| byte == b'\t' || byte == b' ' || byte.is_ascii_graphic()) {
        return Err((Kind::MalformedBody, "a control byte in a chunk extension"));
    }
    Ok(size)
}

/// Refuses a field that may not be a trailer.
pub(super) fn trailer(name: &[u8]) -> Step {
    if NOT_IN_TRAILERS.iter().any(|forbidden| looks_like(name, forbidden)) {
        return Err((Kind::MalformedBody, "a trailer that frames, routes or authenticates"));
    }
    Ok(())
}
