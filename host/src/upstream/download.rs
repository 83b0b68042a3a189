//! An answer's body on its way from a member, and what becomes of the connection when it ends.
//!
//! Whoever asks for pieces instead of frames can have the kernel move bytes: then the codec is called out, and what it had not
//! understood yet comes without it.

use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::connection::Beneath;
use super::progress::Stage;
use super::rest::Rest;
use super::tunnel::Leaving;
use super::{Connection, Connections, Incoming, Keeping, Progress};
use crate::body::{Piece, Source};
use crate::failure::Failure;

/// A body being received. `guard` is dropped when the body is over, or is given up.
pub struct Download<G> {
    from: Origin,
    progress: Rc<Progress>,
    back: Option<Back>,
    guard: Option<G>,
    is_waiting: bool,
}

/// What is held as long as a body is received, and told of it.
pub trait Guard {
    /// So many bytes came.
    fn received(&self, bytes: usize);
    /// It ended before its end.
    fn cut(&self);
}

/// Where an answer's bytes come from.
enum Origin {
    Codec(Incoming),
    /// The codec was called out, and may have said more before it heard it.
    Parting(Incoming, Leaving<Beneath>),
    Socket(Box<Rest>),
    Nowhere,
}

/// A connection and where it goes after a whole exchange.
struct Back {
    connection: Connection,
    to: Rc<Connections>,
    keeping: Keeping,
}

impl Guard for () {
    fn received(&self, _: usize) {}
    fn cut(&self) {}
}

impl<G: Guard> Download<G> {
    /// The body of an answer.
    pub fn of(
        incoming: Incoming,
        progress: Rc<Progress>,
        connection: Connection,
        (to, keeping): (Rc<Connections>, Keeping),
        guard: G,
    ) -> Self {
        let back = Some(Back { connection, to, keeping });
        let is_over = incoming.is_end_stream();
        let from = Origin::Codec(incoming);
        let mut download = Self { from, progress, back, guard: Some(guard), is_waiting: false };
        if is_over {
            download.finish();
        }
        download
    }

    /// The exchange is whole: the connection may serve another, if its request was sent to its end too. One that is shared
    /// goes on in any case; what was left of the request is cancelled.
    fn finish(&mut self) {
        self.guard = None;
        self.progress.rest();
        let from = mem::replace(&mut self.from, Origin::Nowhere);
        let Some(Back { connection, to, keeping }) = self.back.take().filter(|back| back.keeping.most > 0) else {
            return;
        };
        match from {
            Origin::Socket(rest) => {
                let Some(stream) = rest.into_stream() else { return };
                tokio::task::spawn_local(async move {
                    if let Some(connection) = connection.again(stream).await {
                        to.keep(connection, keeping);
                    }
                });
            }
            Origin::Codec(_) if self.progress.is_sent() || connection.is_shared() => to.keep(connection, keeping),
            // A codec that was called out and had read everything before it heard it is gone, or about to.
            Origin::Codec(_) | Origin::Parting(..) | Origin::Nowhere => {}
        }
    }

    fn break_off(&mut self) {
        self.back = None;
        if let Some(guard) = self.guard.take() {
            guard.cut();
        }
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.progress.reach(Stage::Body);
        }
        if !self.progress.is_silent(context) {
            return Poll::Pending;
        }
        self.break_off();
        Poll::Ready(Some(Err(self.progress.overdue())))
    }
}

impl<G: Guard + Unpin> Download<G> {
    /// The next piece; one that is not a frame only when `most` says how much it may be.
    fn poll(&mut self, context: &mut Context<'_>, most: Option<u64>) -> Poll<Option<Result<Piece, Failure>>> {
        let polled = self.from.poll(context, most);
        if polled.is_pending() {
            return self.wait(context).map_ok(Piece::Frame);
        }
        if self.is_waiting {
            self.is_waiting = false;
            self.progress.rest();
        }
        let piece = match ready!(polled) {
            Some(Ok(piece)) => piece,
            None => {
                self.finish();
                return Poll::Ready(None);
            }
            Some(Err(failure)) => {
                self.break_off();
                return Poll::Ready(Some(Err(failure)));
            }
        };
        if let Some(guard) = &self.guard {
            guard.received(usize::try_from(piece.length()).unwrap_or(usize::MAX));
        }
        if self.is_end_stream() {
            self.finish();
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Origin {
    fn poll(&mut self, context: &mut Context<'_>, most: Option<u64>) -> Poll<Option<Result<Piece, Failure>>> {
        match self {
            Self::Codec(incoming) => Pin::new(incoming).poll_frame(context).map_ok(Piece::Frame),
            Self::Parting(incoming, leaving) => {
                let polled = Pin::new(&mut *incoming).poll_frame(context).map_ok(Piece::Frame);
                let is_over = matches!(&polled, Poll::Ready(None | Some(Err(_))));
                let left = if is_over { leaving.try_recv().ok() } else { None };
                match (left, incoming.size_hint().exact()) {
                    (Some(left), Some(to_come)) => {
                        *self = Self::Socket(Box::new(Rest::of(left, to_come)));
                        self.poll(context, most)
                    }
                    _ => polled,
                }
            }
            Self::Socket(rest) => match most {
                Some(most) => rest.poll_piece(context, most),
                None => rest.poll_bytes(context).map_ok(|bytes| Piece::Frame(Frame::data(bytes))),
            },
            Self::Nowhere => Poll::Ready(None),
        }
    }
}

impl<G: Guard + Unpin> Source for Download<G> {
    fn poll_piece(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        most: u64,
    ) -> Poll<Option<Result<Piece, Failure>>> {
        if matches!(self.from, Origin::Codec(_))
            && let Some(leaving) = self.back.as_ref().and_then(|back| back.connection.call_out())
            && let Origin::Codec(incoming) = mem::replace(&mut self.from, Origin::Nowhere)
        {
            self.from = Origin::Parting(incoming, leaving);
        }
        self.poll(context, Some(most))
    }
}

impl<G: Guard + Unpin> http_body::Body for Download<G> {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        self.poll(context, None).map_ok(|piece| match piece {
            Piece::Frame(frame) => frame,
            // Nobody asked for one.
            Piece::Extent(_) | Piece::Piped(_) => Frame::data(Bytes::new()),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.from {
            Origin::Codec(incoming) | Origin::Parting(incoming, _) => incoming.is_end_stream(),
            Origin::Socket(rest) => rest.to_come() == 0,
            Origin::Nowhere => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.from {
            Origin::Codec(incoming) | Origin::Parting(incoming, _) => incoming.size_hint(),
            Origin::Socket(rest) => SizeHint::with_exact(rest.to_come()),
            Origin::Nowhere => SizeHint::with_exact(0),
        }
    }
}
