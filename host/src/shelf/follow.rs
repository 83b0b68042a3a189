//! Reading an object that is being written.
//!
//! Bytes come from memory or from the file that is being written, as the writer's state has it; a file is read by the
//! disk's threads. A reader that is dropped is forgotten at once.

use std::fmt;
use std::future::Future as _;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::oneshot;

use super::growing::Growing;
use super::growth::Next;
use super::object::Label;
use crate::body::Body;
use crate::failure::{Failure, Kind};

/// An object that is being written, for those who may want to read it.
#[derive(Clone)]
pub struct Source(Arc<Growing>);

/// A reader of it: of the whole, or of a part.
pub struct Follow {
    growing: Arc<Growing>,
    number: u64,
    at: u64,
    /// Where a part ends.
    end: Option<u64>,
    reading: Option<oneshot::Receiver<io::Result<Bytes>>>,
    is_over: bool,
}

impl Source {
    pub(super) fn of(growing: Arc<Growing>) -> Self {
        Self(growing)
    }

    /// A reader; `None` if the object was broken off, or was purged since it was begun, or its beginning is not here any more.
    #[must_use]
    pub fn follow(&self) -> Option<Follow> {
        let number = self.0.join()?;
        Some(Follow::of(self.0.clone(), number))
    }

    /// Whether this one reads it.
    pub(super) fn is_of(&self, follow: &Follow) -> bool {
        Arc::ptr_eq(&self.0, &follow.growing)
    }
}

impl Follow {
    pub(super) fn of(growing: Arc<Growing>, number: u64) -> Self {
        Self { growing, number, at: 0, end: None, reading: None, is_over: false }
    }

    /// What is known of the object.
    #[must_use]
    pub fn label(&self) -> &Arc<Label> {
        &self.growing.label
    }

    /// How long it is to become, if that was said.
    #[must_use]
    pub fn expected(&self) -> Option<u64> {
        self.growing.expected
    }

    /// How much of it has come.
    #[must_use]
    pub fn come(&self) -> u64 {
        self.growing.come()
    }

    /// The same of so many bytes from there. `None` if they are not here any more.
    #[must_use]
    pub fn part(mut self, offset: u64, length: u64) -> Option<Self> {
        self.at = offset;
        self.end = Some(offset.checked_add(length)?);
        self.growing.seek(self.number, offset).then_some(self)
    }

    /// As a body.
    #[must_use]
    pub fn body(self) -> Body {
        Body::stream(self)
    }

    /// Bytes to come, if that is known.
    fn left(&self) -> Option<u64> {
        self.end.or(self.growing.expected).map(|end| end.saturating_sub(self.at))
    }

    fn passed(&mut self, mut bytes: Bytes) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if let Some(end) = self.end {
            bytes.truncate(usize::try_from(end - self.at).unwrap_or(usize::MAX));
        }
        self.at += bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn failed(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.is_over = true;
        Poll::Ready(Some(Err(failure)))
    }

    fn read(&mut self, file: Arc<std::fs::File>, at: u64, most: usize) {
        let read = move || {
            let mut bytes = vec![0; most];
            file.read_exact_at(&mut bytes, at).map(|()| Bytes::from(bytes))
        };
        self.reading = self.growing.disk.as_ref().map(|disk| disk.threads.begin(read));
    }
}

impl http_body::Body for Follow {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        while !self.is_over && self.end != Some(self.at) {
            if let Some(reading) = &mut self.reading {
                let Poll::Ready(read) = Pin::new(reading).poll(context) else { return Poll::Pending };
                self.reading = None;
                return match read {
                    Ok(Ok(bytes)) => self.passed(bytes),
                    Ok(Err(error)) => self.failed(Failure::of(Kind::FileCut, error.to_string())),
                    Err(_) => self.failed(Failure::of(Kind::FileCut, "nobody reads the file")),
                };
            }
            match self.growing.next(self.number, self.at, context) {
                Next::Piece(bytes) => return self.passed(bytes),
                Next::File(file, at, most) => {
                    let left = self.end.and_then(|end| usize::try_from(end - self.at).ok());
                    self.read(file, at, left.unwrap_or(most).min(most));
                }
                Next::Nothing => return Poll::Pending,
                Next::End => self.is_over = true,
                Next::Broken => {
                    return self.failed(Failure::of(Kind::ResponseCut, "what this exchange followed was broken off"));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.left() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        self.growing.leave(self.number);
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("label", &self.0.label).finish_non_exhaustive()
    }
}

impl fmt::Debug for Follow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Follow").field("label", self.label()).field("at", &self.at).finish_non_exhaustive()
    }
}
