//! WebSockets by the letter of RFC 6455, as far as text needs them: the handshake, and frames of up to 65535 bytes.
//!
//! Both ends are strict: a client's frame that is not masked, or a server's that is, is an error.

use std::io;

use crate::stream::Stream;
use crate::wire::{Head, Wire};

const TEXT: u8 = 1;
const CLOSE: u8 = 8;

/// The client's end.
pub struct WebSocket {
    pub head: Head,
    wire: Wire,
    frames: Frames,
}

/// Frames out of whatever pieces the bytes come in.
#[derive(Default)]
pub(crate) struct Frames {
    buffer: Vec<u8>,
}

impl WebSocket {
    /// Connects and shakes hands; anything but the right 101 is an error.
    pub fn open(address: &str, host: &str, target: &str) -> io::Result<WebSocket> {
        let key = "dGhlIHNhbXBsZSBub25jZQ==";
        let mut wire = Wire::over(Stream::connect(address)?);
        wire.write(
            format!(
                "GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
            )
            .as_bytes(),
        )?;
        let head = wire.head()?.ok_or_else(|| wrong("closed instead of a handshake"))?;
        let upgrade = head.fields.get("upgrade").unwrap_or_default();
        if !head.start.starts_with("HTTP/1.1 101 ")
            || head.fields.get("sec-websocket-accept") != Some(accept(key))
            || !upgrade.eq_ignore_ascii_case("websocket")
        {
            return Err(wrong(&format!("no handshake: {head:?}")));
        }
        Ok(WebSocket { head, wire, frames: Frames::default() })
    }

    pub fn send(&mut self, text: &str) -> io::Result<()> {
        self.wire.write(&frame(TEXT, text.as_bytes(), Some([0x37, 0xfa, 0x21, 0x3d])))
    }

    /// The next text; `None` when the other side closes.
    pub fn receive(&mut self) -> io::Result<Option<String>> {
        let wire = &mut self.wire;
        self.frames.text(false, || wire.some())
    }

    /// Sends a text and expects it to come back.
    #[track_caller]
    pub fn echo(&mut self, text: &str) {
        self.send(text).expect("the text is taken");
        assert_eq!(self.receive().expect("an echo").as_deref(), Some(text));
    }

    /// Says goodbye, and waits for the same.
    pub fn close(mut self) -> io::Result<()> {
        self.wire.write(&frame(CLOSE, b"", Some([1, 2, 3, 4])))?;
        match self.receive()? {
            None => Ok(()),
            Some(text) => Err(wrong(&format!("{text:?} after a close"))),
        }
    }
}

impl Frames {
    /// The next text frame; `None` at a close frame or the end of the connection.
    pub(crate) fn text(
        &mut self,
        masked: bool,
        mut more: impl FnMut() -> io::Result<Vec<u8>>,
    ) -> io::Result<Option<String>> {
        loop {
            if let Some((opcode, payload)) = self.next(masked)? {
                return match opcode {
                    TEXT => String::from_utf8(payload).map(Some).map_err(|_| wrong("a text that is not UTF-8")),
                    CLOSE => Ok(None),
                    _ => Err(wrong("a frame that is neither text nor close")),
                };
            }
            let bytes = more()?;
            if bytes.is_empty() {
                return if self.buffer.is_empty() { Ok(None) } else { Err(wrong("cut within a frame")) };
            }
            self.buffer.extend(bytes);
        }
    }

    /// Section 5.2.
    fn next(&mut self, masked: bool) -> io::Result<Option<(u8, Vec<u8>)>> {
        let [first, second, rest @ ..] = self.buffer.as_slice() else { return Ok(None) };
        if first & 0xf0 != 0x80 || (second & 0x80 != 0) != masked {
            return Err(wrong("a fragment, a reserved bit, or a mask on the wrong side"));
        }
        let (length, wide) = match (second & 0x7f, rest) {
            (127, _) => return Err(wrong("a frame of more than 65535 bytes")),
            (126, [high, low, ..]) => (usize::from(u16::from_be_bytes([*high, *low])), 2),
            (126, _) => return Ok(None),
            (length, _) => (usize::from(length), 0),
        };
        let begin = 2 + wide + if masked { 4 } else { 0 };
        if self.buffer.len() < begin + length {
            return Ok(None);
        }
        let (opcode, mask) = (first & 0x0f, if masked { self.buffer[begin - 4..begin].to_vec() } else { vec![0; 4] });
        let frame: Vec<u8> = self.buffer.drain(..begin + length).collect();
        Ok(Some((opcode, frame[begin..].iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]).collect())))
    }
}

pub(crate) fn text_frame(text: &str) -> Vec<u8> {
    frame(TEXT, text.as_bytes(), None)
}

pub(crate) fn close_frame() -> Vec<u8> {
    frame(CLOSE, b"", None)
}

fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut frame = vec![0x80 | opcode];
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let length = u16::try_from(payload.len()).expect("texts of tests are short");
    match u8::try_from(length) {
        Ok(short) if short < 126 => frame.push(bit | short),
        _ => {
            frame.push(bit | 126);
            frame.extend(length.to_be_bytes());
        }
    }
    frame.extend(mask.unwrap_or_default().iter().take(if mask.is_some() { 4 } else { 0 }));
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().enumerate().map(|(at, byte)| byte ^ mask[at % 4]));
    frame
}

/// The answer to a key: section 4.2.2, point 5.4.
pub(crate) fn accept(key: &str) -> String {
    base64(&sha1(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes()))
}

/// FIPS 180-4, section 6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let at = padded.len() - 8;
    padded[at..].copy_from_slice(&(message.len() as u64 * 8).to_be_bytes());
    for block in padded.chunks(64) {
        let mut words: Vec<u32> = block.chunks(4).map(|w| u32::from_be_bytes([w[0], w[1], w[2], w[3]])).collect();
        for t in 16..80 {
            words.push((words[t - 3] ^ words[t - 8] ^ words[t - 14] ^ words[t - 16]).rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (t, word) in words.iter().enumerate() {
            let (mixed, constant) = match t / 20 {
                0 => ((b & c) | (!b & d), 0x5a82_7999),
                1 => (b ^ c ^ d, 0x6ed9_eba1),
                2 => ((b & c) | (b & d) | (c & d), 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let sum = a.rotate_left(5).wrapping_add(mixed).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, sum);
        }
        for (kept, new) in state.iter_mut().zip([a, b, c, d, e]) {
            *kept = kept.wrapping_add(new);
        }
    }
    let mut digest = [0; 20];
    digest.chunks_mut(4).zip(state).for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_be_bytes()));
    digest
}

/// RFC 4648, section 4.
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            let shown = digit <= chunk.len();
            text.push(if shown { char::from(DIGITS[bits >> (18 - 6 * digit) & 63]) } else { '=' });
        }
    }
    text
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
