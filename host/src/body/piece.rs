//! What a reader gets that can have the kernel move bytes: frames like everybody, and bytes that stay where they are.

use bytes::Bytes;
use http_body::Frame;

use super::Extent;

/// A piece of a body.
#[derive(Debug)]
pub enum Piece {
    /// Bytes at hand, or trailers.
    Frame(Frame<Bytes>),
    /// Bytes of a file.
    Extent(Extent),
}

impl Piece {
    /// Its bytes; trailers have none.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Frame(frame) => frame.data_ref().map_or(0, |data| data.len() as u64),
            Self::Extent(extent) => extent.length,
        }
    }
}
