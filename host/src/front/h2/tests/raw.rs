//! A client that sends any frames.

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::World;

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// A connection, frame by frame.
pub(super) struct Raw {
    stream: DuplexStream,
    read: BytesMut,
}

/// What a frame is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) id: u32,
    pub(super) payload: Vec<u8>,
}

/// Fields of an honest request.
pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/head"), (":authority", "a.example")];

impl Raw {
    /// A connection after the preface with these settings.
    pub(super) async fn greet(world: &World, settings: &[(u16, u32)]) -> Self {
        let mut raw = Self { stream: world.connect(1 << 20), read: BytesMut::new() };
        raw.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        let payload: Vec<u8> =
            settings.iter().flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        raw.send(SETTINGS, 0, 0, &payload).await;
        raw
    }

    pub(super) async fn send(&mut self, kind: u8, flags: u8, id: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let frame = [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat();
        self.stream.write_all(&frame).await.unwrap();
    }

    pub(super) async fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Asks with these fields, none of them compressed (RFC 7541, section 6.2.2).
    pub(super) async fn ask(&mut self, id: u32, fields: &[(&str, &str)], is_last: bool) {
        let mut block = Vec::new();
        for (name, value) in fields {
            block.push(0);
            for text in [name, value] {
                let length = u8::try_from(text.len()).ok().filter(|length| *length < 127).expect("only short ones");
                block.push(length);
                block.extend_from_slice(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS | u8::from(is_last), id, &block).await;
    }

    /// The next frame; `None` at the connection's end.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(&[a, b, c, kind, flags, ref id @ ..]) = self.read.first_chunk::<9>() {
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                if self.read.len() >= 9 + length {
                    let id = u32::from_be_bytes(*id);
                    self.read.advance(9);
                    return Some(Frame { kind, flags, id, payload: self.read.split_to(length).to_vec() });
                }
            }
            if self.stream.read_buf(&mut self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next frame of one of these kinds; others are passed over.
    pub(super) async fn next_of(&mut self, kinds: &[u8]) -> Option<Frame> {
        loop {
            let frame = self.next().await?;
            if kinds.contains(&frame.kind) {
                return Some(frame);
            }
        }
    }
}

impl Frame {
    /// What a RST_STREAM or GOAWAY says.
    pub(super) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}
