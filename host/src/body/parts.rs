//! A body made of bytes at hand and extents of files, in order.
//!
//! Who can have the kernel move an extent takes the parts as they are; everybody else reads frames. Either way nobody who
//! asks waits for a disk: what is not in memory is fetched by a thread that may wait. Invariant: as many bytes as were
//! promised, or a failure.

use std::any::Any;
use std::collections::VecDeque;
use std::fs::File;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::oneshot::Receiver;

use super::Piece;
use crate::failure::{Failure, Kind};
use crate::kernel::{self, Residency, blocking};

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

/// Bytes at hand that lie in a file, too, which nobody changes (`kernel::hold`).
#[derive(Debug, Clone)]
pub struct Lent {
    /// The bytes.
    pub bytes: Bytes,
    /// The same bytes in the file.
    pub extent: Extent,
}

/// A part of a body.
#[derive(Debug, Clone)]
pub enum Part {
    /// Bytes at hand.
    Bytes(Bytes),
    /// Bytes at hand, and of a file for who can have them moved.
    Lent(Lent),
    /// Bytes of a file.
    Extent(Extent),
}

/// Parts in order.
#[derive(Default)]
pub struct Parts {
    parts: VecDeque<Part>,
    errand: Option<Errand>,
    /// Some of it was not in memory. What comes behind that is being read ahead, so it is in memory by name and not yet by
    /// content, and only a thread that may wait can tell.
    is_cold: bool,
    /// What must live as long as they do.
    _guard: Option<Box<dyn Any>>,
}

/// What a thread that may wait does for the first of the parts. What has not begun when nobody waits for it is not done.
enum Errand {
    Read(Receiver<io::Result<Vec<u8>>>),
    Warm(Receiver<io::Result<()>>),
}

/// Bytes that are read at once.
const CHUNK: u64 = 64 << 10;

/// Extents up to so many bytes are read, also for those who could have them moved: they leave in one write with what is
/// before and behind them.
const SMALL: u64 = 16 << 10;

impl Parts {
    /// Parts in this order; empty ones are left out.
    pub fn of(parts: impl IntoIterator<Item = Part>) -> Self {
        let parts = parts.into_iter().filter(|part| part.length() > 0).collect();
        Self { parts, ..Self::default() }
    }

    /// Holds something until the last part was sent, or nobody wants them any more.
    #[must_use]
    pub fn guarded(self, guard: impl Any) -> Self {
        Self { _guard: Some(Box::new(guard)), ..self }
    }

    /// Bytes to come.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.parts.iter().map(Part::length).sum()
    }

    /// Whether none are to come.
    pub(super) fn is_over(&self) -> bool {
        self.parts.is_empty()
    }

    /// The next bytes, read from their file where they lie in one. Cancellation safe.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let extent = match self.parts.front() {
            Some(Part::Extent(extent)) => extent,
            Some(Part::Bytes(_) | Part::Lent(_)) | None => return Poll::Ready(self.take_bytes().map(Ok)),
        };
        let read = match &mut self.errand {
            Some(Errand::Read(reading)) => {
                let read = ready!(Pin::new(reading).poll(context)).unwrap_or_else(|error| Err(io::Error::other(error)));
                self.errand = None;
                read
            }
            Some(Errand::Warm(_)) | None => match kernel::read_now(&extent.file, extent.offset, extent.chunk()) {
                Ok(read) => Ok(read),
                Err(_) => {
                    let extent = extent.clone();
                    let read = move || kernel::read_waiting(&extent.file, extent.offset, extent.chunk());
                    self.errand = Some(Errand::Read(blocking::begin(read)));
                    return self.poll_read(context);
                }
            },
        };
        let read = match read {
            Ok(read) if read.is_empty() => return Poll::Ready(Some(Err(shorter()))),
            Ok(read) => read,
            Err(error) => return Poll::Ready(Some(Err(Failure::of(Kind::FileCut, error.to_string())))),
        };
        self.pass(read.len() as u64);
        Poll::Ready(Some(Ok(read.into())))
    }

    /// The next piece, for a reader that has the kernel move extents: at most `most` bytes of one, which are in memory now,
    /// or were when it was last possible to know. Cancellation safe.
    pub(super) fn poll_piece(&mut self, context: &mut Context<'_>, most: u64) -> Poll<Option<Result<Piece, Failure>>> {
        let extent = match self.parts.front() {
            Some(Part::Extent(extent)) if extent.length > SMALL => extent.clone(),
            Some(Part::Lent(lent)) if lent.extent.length > SMALL => {
                let piece = lent.piece(most);
                self.pass(piece.length);
                return Poll::Ready(Some(Ok(Piece::Extent(piece))));
            }
            Some(_) | None => {
                return self.poll_read(context).map_ok(|bytes| Piece::Frame(http_body::Frame::data(bytes)));
            }
        };
        let piece = Extent { length: extent.length.min(most), ..extent };
        match &mut self.errand {
            Some(Errand::Warm(warming)) => {
                // What it met is met by whoever moves the extent too, and told there.
                let _ = ready!(Pin::new(warming).poll(context));
                self.errand = None;
            }
            Some(Errand::Read(_)) | None => {
                // What is being read begins here, where the body is past in a moment.
                self.errand = None;
                if self.is_cold || kernel::residency(&piece.file, piece.offset, piece.length) != Residency::Resident {
                    self.is_cold = true;
                    let cold = piece.clone();
                    let warm = move || kernel::warm(&cold.file, cold.offset, cold.length);
                    self.errand = Some(Errand::Warm(blocking::begin(warm)));
                    return self.poll_piece(context, most);
                }
            }
        }
        self.pass(piece.length);
        Poll::Ready(Some(Ok(Piece::Extent(piece))))
    }

    fn take_bytes(&mut self) -> Option<Bytes> {
        match self.parts.pop_front()? {
            Part::Bytes(bytes) | Part::Lent(Lent { bytes, .. }) => Some(bytes),
            extent @ Part::Extent(_) => {
                self.parts.push_front(extent);
                None
            }
        }
    }

    /// So much of the first extent is somebody else's now.
    fn pass(&mut self, length: u64) {
        let left = match self.parts.front_mut() {
            Some(Part::Extent(extent)) => extent.pass(length),
            Some(Part::Lent(lent)) => lent.pass(length),
            Some(Part::Bytes(_)) | None => return,
        };
        if left == 0 {
            self.parts.pop_front();
        }
    }
}

impl Part {
    /// Its bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Lent(Lent { extent, .. }) | Self::Extent(extent) => extent.length,
        }
    }
}

impl Lent {
    /// So many of the bytes from there, as far as there are so many.
    #[must_use]
    pub fn part(&self, offset: u64, length: u64) -> Self {
        let offset = offset.min(self.extent.length);
        let length = length.min(self.extent.length - offset);
        let (from, to) = (place(&self.bytes, offset), place(&self.bytes, offset + length));
        let extent = Extent { offset: self.extent.offset + offset, length, file: self.extent.file.clone() };
        Self { bytes: self.bytes.slice(from..to), extent }
    }

    /// Its first bytes, `most` at most.
    fn piece(&self, most: u64) -> Extent {
        Extent { length: self.extent.length.min(most), ..self.extent.clone() }
    }

    fn pass(&mut self, length: u64) -> u64 {
        drop(self.bytes.split_to(place(&self.bytes, length)));
        self.extent.pass(length)
    }
}

fn place(bytes: &Bytes, at: u64) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len())
}

impl Extent {
    /// So much of it is somebody else's now; how much is left.
    fn pass(&mut self, length: u64) -> u64 {
        self.offset += length;
        self.length = self.length.saturating_sub(length);
        self.length
    }

    fn chunk(&self) -> usize {
        usize::try_from(self.length.min(CHUNK)).unwrap_or(0)
    }
}

/// What is said of a file that has fewer bytes than it had.
fn shorter() -> Failure {
    Failure::of(Kind::FileCut, "the file became shorter while it was sent")
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;

    use super::*;

    /// A file of so many bytes that has no name any more.
    fn file(length: usize) -> (Arc<File>, Vec<u8>) {
        let bytes: Vec<u8> = (0..=250).cycle().take(length).collect();
        let name = format!("weir-parts-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(name);
        let mut file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        file.write_all(&bytes).unwrap();
        std::fs::remove_file(&path).unwrap();
        (Arc::new(file), bytes)
    }

    fn extent(file: &Arc<File>, offset: u64, length: u64) -> Part {
        Part::Extent(Extent { file: file.clone(), offset, length })
    }

    async fn read(parts: &mut Parts) -> Result<Vec<u8>, Failure> {
        let mut read = Vec::new();
        while let Some(bytes) = poll_fn(|context| parts.poll_read(context)).await {
            read.extend_from_slice(&bytes?);
        }
        Ok(read)
    }

    #[tokio::test]
    async fn everybody_can_read_them_from_memory_and_from_disk() {
        let (file, bytes) = file(300_000);
        for is_cold in [false, true] {
            if is_cold {
                kernel::chill(&file);
            }
            let bytes_part = Part::Bytes(Bytes::from_static(b"between"));
            let mut parts =
                Parts::of([extent(&file, 1, 200_000), bytes_part, extent(&file, 0, 0), extent(&file, 9, 3)]);
            assert_eq!(parts.length(), 200_010);
            let whole = [&bytes[1..200_001], b"between", &bytes[9..12]].concat();
            assert!(read(&mut parts).await.unwrap() == whole && parts.is_over());
        }
    }

    #[tokio::test]
    async fn whoever_has_them_moved_gets_what_is_worth_it_and_in_memory() {
        let (file, bytes) = file(300_000);
        kernel::chill(&file);
        let mut parts = Parts::of([extent(&file, 10, SMALL), extent(&file, 50, 250_000)]);
        let (mut moved, mut read) = (Vec::new(), 0);
        while let Some(piece) = poll_fn(|context| parts.poll_piece(context, 100_000)).await {
            match piece.unwrap() {
                Piece::Frame(frame) => read += frame.into_data().unwrap().len(),
                Piece::Piped(_) => panic!("no file is a pipe"),
                Piece::Extent(Extent { offset, length, file }) => {
                    assert_ne!(kernel::residency(&file, offset, length), Residency::Cold);
                    moved.push((offset, length));
                }
            }
        }
        assert_eq!((moved, read as u64), (vec![(50, 100_000), (100_050, 100_000), (200_050, 50_000)], SMALL));
        drop(bytes);
    }

    #[tokio::test]
    async fn what_is_lent_is_moved_or_read_as_who_takes_it_can() {
        let bytes: Bytes = (0..=250).cycle().take(100_000).collect();
        let (file, held) = kernel::hold(std::slice::from_ref(&bytes)).unwrap();
        let lent = Lent { bytes: held, extent: Extent { file: Arc::new(file), offset: 0, length: 100_000 } };
        let part = |offset, length| Part::Lent(lent.part(offset, length));
        let mut parts = Parts::of([part(99_999, 9), part(5, 90_000), part(100_000, 1), part(3, SMALL)]);
        let (mut moved, mut took) = (Vec::new(), Vec::new());
        // The rest of what was moved in part is read.
        while let Some(piece) = poll_fn(|context| parts.poll_piece(context, 50_000)).await {
            match piece.unwrap() {
                Piece::Frame(frame) => took.push(frame.into_data().unwrap()),
                Piece::Extent(Extent { file, offset, length }) => {
                    let mut read = vec![0; usize::try_from(length).unwrap()];
                    std::os::unix::fs::FileExt::read_exact_at(&*file, &mut read, offset).unwrap();
                    moved.push(read);
                    took.push(poll_fn(|context| parts.poll_read(context)).await.unwrap().unwrap());
                }
                Piece::Piped(_) => panic!("no file is a pipe"),
            }
        }
        assert!(moved == [&bytes[5..50_005]] && parts.is_over());
        assert!(took == [bytes.slice(99_999..), bytes.slice(50_005..90_005), bytes.slice(3..3 + 16_384)]);
    }

    #[tokio::test]
    async fn a_file_that_is_too_short_is_a_failure_for_readers() {
        let (file, bytes) = file(100_000);
        let mut parts = Parts::of([extent(&file, 0, 100_001)]);
        let mut got = 0;
        let failure = loop {
            match poll_fn(|context| parts.poll_read(context)).await.unwrap() {
                Ok(bytes) => got += bytes.len(),
                Err(failure) => break failure,
            }
        };
        assert_eq!((got, failure.kind), (bytes.len(), Kind::FileCut));
        assert!(!parts.is_over());
    }

    #[tokio::test]
    async fn whoever_asks_for_bytes_and_for_pieces_in_turns_gets_none_twice() {
        let (file, bytes) = file(100_000);
        let mut parts = Parts::of([extent(&file, 0, 100_000)]);
        let from = file.clone();
        parts.errand = Some(Errand::Read(blocking::begin(move || kernel::read_waiting(&from, 0, 10))));
        let piece = poll_fn(|context| parts.poll_piece(context, 20_000)).await.unwrap().unwrap();
        assert!(matches!(piece, Piece::Extent(Extent { offset: 0, length: 20_000, .. })));
        assert!(read(&mut parts).await.unwrap() == bytes[20_000..]);
    }

    #[tokio::test]
    async fn a_read_that_was_given_up_is_taken_up_again() {
        let (file, bytes) = file(200_000);
        kernel::chill(&file);
        let mut parts = Parts::of([extent(&file, 0, 200_000)]);
        let first = {
            let mut context = Context::from_waker(std::task::Waker::noop());
            parts.poll_read(&mut context)
        };
        let begun = match first {
            Poll::Ready(read) => read.unwrap().unwrap().to_vec(),
            Poll::Pending => Vec::new(),
        };
        assert!([begun, read(&mut parts).await.unwrap()].concat() == bytes);
    }
}
