//! What the kernel moves to the client while the codec believes that it writes it.
//!
//! One piece at a time: the codec has bytes of the window that stand for it, and hands them back to be written. They must
//! begin where the piece was left, or the connection breaks off. The next piece is shown when this one was sent, so what the
//! log says of bytes is true, and the other connections of the thread get their turn.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use super::{Stream, Wire};
use crate::body::Piece;
use crate::failure::{Failure, Kind};
use crate::kernel::{self, Window};
use crate::pipeline::Outgoing;

/// Where the one piece is.
pub(super) struct Slot {
    /// None where nothing can be moved.
    window: Option<Window>,
    moving: RefCell<Option<Moving>>,
    /// The codec's task, when it waits for the piece to be sent.
    waiting: RefCell<Option<Waker>>,
    failure: RefCell<Option<Failure>>,
    is_cut: Cell<bool>,
    /// Bytes that went since the connection's task had its turn.
    gone: Cell<usize>,
    /// Whether a piece joins what is before it in the same packet; asked once.
    joins: Cell<Option<bool>>,
}

/// A piece on its way.
struct Moving {
    piece: Piece,
    length: usize,
    sent: usize,
    /// The exchange whose last piece it is.
    exchange: Option<Outgoing>,
}

impl Wire {
    /// Whether pieces can be moved: nothing stands between the kernel and the client.
    pub(in crate::front) const fn moves(&self) -> bool {
        self.slot.window.is_some()
    }

    /// The connection's task has its turn. Within one the codec would go on for as long as the client takes everything.
    pub(in crate::front) fn take_turn(&self) {
        self.slot.gone.set(0);
    }

    /// Ready when no piece is on its way, and others had their turn since the last.
    pub(in crate::front) fn poll_moved(&self, context: &Context<'_>) -> Poll<()> {
        if self.slot.moving.borrow().is_none() {
            if self.slot.gone.get() < Window::LENGTH {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        *self.slot.waiting.borrow_mut() = Some(context.waker().clone());
        Poll::Pending
    }

    /// Takes a piece to be moved. What the codec is to be given for it.
    ///
    /// # Errors
    /// When it cannot be moved here; to be asked of `moves`, `poll_moved` and the piece's length before.
    pub(in crate::front) fn show(&self, piece: Piece) -> Result<Bytes, Failure> {
        let length = usize::try_from(piece.length()).unwrap_or(usize::MAX);
        let shown = self.slot.window.map(|window| window.show(length)).filter(|shown| shown.len() == length);
        let shown = shown.ok_or_else(|| Failure::of(Kind::Internal, "a piece that cannot be moved"))?;
        *self.slot.moving.borrow_mut() = Some(Moving { piece, length, sent: 0, exchange: None });
        Ok(shown)
    }

    /// Takes an answer that the codec wants nothing more of. If its last piece is on its way, it is over when that was sent.
    pub(in crate::front) fn entrust(&self, mut answer: Outgoing) {
        let mut slot = self.slot.moving.borrow_mut();
        if let Some(failure) = self.broken() {
            answer.take_back(slot.as_ref().map_or(0, Moving::left));
            answer.give_up(&failure);
        } else if let Some(moving) = &mut *slot {
            match answer.is_over() {
                true => moving.exchange = Some(answer),
                false => answer.take_back(moving.left()),
            }
        }
    }

    /// Whether an answer broke off because there was no more of what it was to be made of.
    pub(in crate::front) const fn is_cut(&self) -> bool {
        self.slot.is_cut.get()
    }
}

impl Slot {
    pub(super) fn of(stream: &Stream) -> Self {
        Self {
            window: if stream.is_bare() { Window::open() } else { None },
            moving: RefCell::default(),
            waiting: RefCell::default(),
            failure: RefCell::default(),
            is_cut: Cell::default(),
            gone: Cell::default(),
            joins: Cell::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn gone(&self) -> usize {
        self.gone.get()
    }

    /// Why the answer broke off, when it was not the client.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.failure.borrow().clone()
    }

    /// Writes slices, and what the window's among them stand for.
    pub(super) fn poll_write(
        &self,
        stream: Pin<&mut Stream>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let found = self.window.and_then(|window| window.find(slices));
        match found {
            None => stream.poll_write_vectored(context, slices),
            Some((0, position)) => {
                let length = slices.first().map_or(0, |slice| slice.len());
                self.poll_move(&stream, context, position, length)
            }
            Some((before, _)) => {
                let before = slices.get(..before).unwrap_or_default();
                stream.poll_send(context, |socket| kernel::send_first(socket, before, self.joins(socket)))
            }
        }
    }

    fn joins(&self, socket: BorrowedFd<'_>) -> bool {
        let joins = self.joins.get().unwrap_or_else(|| kernel::is_better_joined(socket));
        self.joins.set(Some(joins));
        joins
    }

    fn poll_move(
        &self,
        stream: &Stream,
        context: &mut Context<'_>,
        position: usize,
        length: usize,
    ) -> Poll<io::Result<usize>> {
        let mut slot = self.moving.borrow_mut();
        let Some(moving) = slot.as_mut().filter(|moving| moving.is_next(position, length)) else {
            return Poll::Ready(Err(ErrorKind::InvalidInput.into()));
        };
        let polled = stream.poll_send(context, |socket| moving.send(socket, length));
        match &polled {
            Poll::Ready(Ok(0)) => {
                self.cut(moving, stream, "there was less of it than there had been".into());
                return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
            }
            Poll::Ready(Ok(sent)) => {
                moving.sent += sent;
                self.gone.update(|gone| gone.saturating_add(*sent));
            }
            Poll::Ready(Err(error)) if !is_of_socket(error) => self.cut(moving, stream, error.to_string().into()),
            Poll::Pending | Poll::Ready(Err(_)) => {}
        }
        if moving.left() == 0 {
            let sent = slot.take();
            drop(slot);
            drop(sent);
            if let Some(codec) = self.waiting.take() {
                codec.wake();
            }
        }
        polled
    }

    /// The piece will not be sent.
    pub(super) fn give_up(&self, failure: &Failure) {
        if let Some(moving) = &mut *self.moving.borrow_mut() {
            moving.give_up(failure);
        }
    }

    /// The answer cannot be made whole: its exchange is told why, and the client by a reset.
    fn cut(&self, moving: &mut Moving, stream: &Stream, why: Cow<'static, str>) {
        let kind = match moving.piece {
            Piece::Piped(_) => Kind::ResponseCut,
            Piece::Extent(_) | Piece::Frame(_) => Kind::FileCut,
        };
        let failure = Failure::of(kind, why);
        moving.give_up(&failure);
        *self.failure.borrow_mut() = Some(failure);
        self.is_cut.set(true);
        stream.break_off();
    }
}

impl Moving {
    const fn left(&self) -> u64 {
        self.length.saturating_sub(self.sent) as u64
    }

    /// Whether these bytes of the window stand for what comes next.
    fn is_next(&self, position: usize, length: usize) -> bool {
        position == self.sent && length as u64 <= self.left()
    }

    fn send(&mut self, socket: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
        match &mut self.piece {
            Piece::Extent(extent) => kernel::send_file(socket, &extent.file, extent.offset + self.sent as u64, length),
            Piece::Piped(pipe) => pipe.drain(socket, length),
            Piece::Frame(_) => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn give_up(&mut self, failure: &Failure) {
        let left = self.left();
        if let Some(mut exchange) = self.exchange.take() {
            exchange.take_back(left);
            exchange.give_up(failure);
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if self.left() > 0 {
            self.give_up(&Failure::of(Kind::ClientGone, "the client left before its answer was whole"));
        }
    }
}

/// Whether it was the client's side that failed, and not the file's.
fn is_of_socket(error: &io::Error) -> bool {
    use ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkDown, NetworkUnreachable, NotConnected,
        TimedOut,
    };
    matches!(
        error.kind(),
        BrokenPipe
            | ConnectionAborted
            | ConnectionReset
            | HostUnreachable
            | NetworkDown
            | NetworkUnreachable
            | NotConnected
            | TimedOut
    )
}
