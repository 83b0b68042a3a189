//! A body made of bytes at hand and extents of files, in order.
//!
//! Who can have the kernel move an extent takes the parts as they are; everybody else reads frames.

use std::any::Any;
use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::failure::{Failure, Kind};

/// A part of an open file.
#[derive(Debug, Clone)]
pub struct Extent {
    /// The file.
    pub file: Arc<File>,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes it is.
    pub length: u64,
}

/// A part of a body.
#[derive(Debug, Clone)]
pub enum Part {
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes of a file.
    Extent(Extent),
}

/// Parts in order.
#[derive(Default)]
pub struct Parts {
    parts: VecDeque<Part>,
    /// What must live as long as they do.
    guard: Option<Box<dyn Any>>,
}

/// Bytes that are read at once.
const CHUNK: u64 = 64 << 10;

impl Parts {
    /// Parts in this order; empty ones are left out.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().filter(|part| part.length() > 0).collect();
        Self { parts, guard: None }
    }

    /// Holds something until the last part was taken, or nobody wants them any more.
    #[must_use]
    pub fn guarded(self, guard: impl Any) -> Self {
        Self { guard: Some(Box::new(guard)), ..self }
    }

    /// Bytes to come.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.parts.iter().map(Part::length).sum()
    }

    /// The next bytes, read from their file where they lie in one.
    pub(super) fn read(&mut self) -> Option<Result<Bytes, Failure>> {
        match self.parts.pop_front()? {
            Part::Bytes(bytes) => Some(Ok(bytes)),
            Part::Extent(mut extent) => {
                let read = extent.read(CHUNK);
                if read.is_ok() && extent.length > 0 {
                    self.parts.push_front(Part::Extent(extent));
                }
                Some(read)
            }
        }
    }
}

impl Part {
    /// Its bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Extent(extent) => extent.length,
        }
    }
}

impl Extent {
    fn read(&mut self, most: u64) -> Result<Bytes, Failure> {
        let length = usize::try_from(self.length.min(most)).unwrap_or(0);
        let mut bytes = BytesMut::zeroed(length);
        let read = self.file.read_at(&mut bytes, self.offset);
        let read = read.map_err(|error| Failure::of(Kind::FileCut, error.to_string()))?;
        if read == 0 {
            return Err(Failure::of(Kind::FileCut, "the file became shorter while it was sent"));
        }
        bytes.truncate(read);
        self.offset += read as u64;
        self.length -= read as u64;
        Ok(bytes.freeze())
    }
}
