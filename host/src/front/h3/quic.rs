//! QUIC as the codec wants it: streams that are given up are reset and never look whole, and who accepts learns what the
//! codec does not tell.
//!
//! quinn ends a stream that is dropped as if everything had been said. Here a stream that was not finished is reset, and
//! what is not read any more is stopped with a code of HTTP's.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf};
use quinn::{ConnectionError, ReadError, StoppedError, VarInt, WriteError};

use super::frames::{Frames, Refused, Slot};

/// A connection.
pub(super) struct Quic {
    connection: quinn::Connection,
    /// Bytes that a head may have as it comes.
    most_head: usize,
    latest: Rc<Latest>,
    streams: Option<Opening<(quinn::SendStream, quinn::RecvStream)>>,
    one_way: Option<Opening<quinn::RecvStream>>,
    opening: Option<Opening<quinn::SendStream>>,
}

type Opening<T> = Pin<Box<dyn Future<Output = Result<T, ConnectionError>>>>;

/// The stream that was accepted last, and which ones are not accepted any more.
#[derive(Default)]
pub(super) struct Latest {
    accepted: RefCell<Option<Accepted>>,
    /// The number that the next stream has at least.
    next: Cell<u64>,
    refuses: Cell<bool>,
}

/// What is known of a stream beside what the codec reads.
pub(super) struct Accepted {
    /// Ends when the client wants nothing more of it, or everything has arrived.
    pub(super) stopped: Stopped,
    /// It began before the handshake was over (RFC 9001, section 4.6).
    pub(super) is_early: bool,
    /// Bytes that QUIC has taken for the client.
    pub(super) written: Rc<Cell<u64>>,
    /// Above others, below others: what is to hold for what is written next.
    pub(super) rank: Rc<Cell<Option<i32>>>,
    /// Its head, once the codec has seen one.
    pub(super) head: Slot,
}

/// The end of a stream to the client.
pub(super) type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

/// Both ways of a request.
pub(super) struct Both {
    send: Send,
    receive: Receive,
}

/// To the client.
pub(super) struct Send {
    stream: quinn::SendStream,
    writing: Option<WriteBuf<Bytes>>,
    written: Rc<Cell<u64>>,
    rank: Rc<Cell<Option<i32>>>,
    is_ended: bool,
}

/// From the client.
pub(super) struct Receive {
    stream: quinn::RecvStream,
    frames: Frames,
    /// What was read and has not passed yet.
    rest: Bytes,
    /// For what nobody can go on after.
    connection: quinn::Connection,
    is_ended: bool,
}

impl Quic {
    pub(super) fn of(connection: quinn::Connection, most_head: usize) -> (Self, Rc<Latest>) {
        let latest = Rc::<Latest>::default();
        let quic = Self { connection, most_head, latest: latest.clone(), streams: None, one_way: None, opening: None };
        (quic, latest)
    }
}

impl Latest {
    /// What is known of the stream that was accepted last.
    pub(super) fn take(&self) -> Option<Accepted> {
        self.accepted.borrow_mut().take()
    }

    /// Streams that the client begins from now on are refused: it may ask again elsewhere.
    pub(super) fn refuse_the_rest(&self) {
        self.refuses.set(true);
    }

    /// Whether a stream comes too late. Those before the last one may come after it.
    fn is_late(&self, id: quinn::StreamId) -> bool {
        if self.refuses.get() {
            return id.index() >= self.next.get();
        }
        self.next.set(self.next.get().max(id.index() + 1));
        false
    }
}

impl quic::Connection<Bytes> for Quic {
    type RecvStream = Receive;
    type OpenStreams = Nothing;

    fn poll_accept_recv(&mut self, context: &mut Context<'_>) -> Poll<Result<Receive, ConnectionErrorIncoming>> {
        let connection = &self.connection;
        let accepting = self.one_way.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_uni().await })
        });
        let accepted = ready!(accepting.as_mut().poll(context));
        self.one_way = None;
        let connection = self.connection.clone();
        Poll::Ready(accepted.map(|one| Receive::of(one, Frames::of_one_way(), connection)).map_err(lost))
    }

    fn poll_accept_bidi(&mut self, context: &mut Context<'_>) -> Poll<Result<Both, ConnectionErrorIncoming>> {
        loop {
            let connection = &self.connection;
            let accepting = self.streams.get_or_insert_with(|| {
                let connection = connection.clone();
                Box::pin(async move { connection.accept_bi().await })
            });
            let accepted = ready!(accepting.as_mut().poll(context));
            self.streams = None;
            let (mut send, mut receive) = accepted.map_err(lost)?;
            if self.latest.is_late(send.id()) {
                let code = varint(Code::H3_REQUEST_REJECTED.value());
                let _ = (send.reset(code), receive.stop(code));
                continue;
            }
            let (stopped, is_early): (Stopped, _) = (Box::pin(send.stopped()), receive.is_0rtt());
            let (written, rank) = (Rc::<Cell<u64>>::default(), Rc::default());
            let head = Slot::default();
            let frames = Frames::of_request(self.most_head, head.clone());
            let receive = Receive::of(receive, frames, self.connection.clone());
            let both = Both { send: Send::of(send, &written, &rank), receive };
            *self.latest.accepted.borrow_mut() = Some(Accepted { stopped, is_early, written, rank, head });
            return Poll::Ready(Ok(both));
        }
    }

    fn opener(&self) -> Nothing {
        Nothing
    }
}

impl quic::OpenStreams<Bytes> for Quic {
    type BidiStream = Both;
    type SendStream = Send;

    fn poll_open_bidi(&mut self, context: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        Nothing.poll_open_bidi(context)
    }

    fn poll_open_send(&mut self, context: &mut Context<'_>) -> Poll<Result<Send, StreamErrorIncoming>> {
        let connection = &self.connection;
        let opening = self.opening.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(context));
        self.opening = None;
        Poll::Ready(opened.map(Send::critical).map_err(lost_with))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(varint(code.value()), reason);
    }
}

/// Servers open no streams but the codec's own.
pub(super) struct Nothing;

impl quic::OpenStreams<Bytes> for Nothing {
    type BidiStream = Both;
    type SendStream = Send;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, StreamErrorIncoming>> {
        Poll::Ready(Err(StreamErrorIncoming::Unknown("a server opens no requests".into())))
    }

    fn poll_open_send(&mut self, _: &mut Context<'_>) -> Poll<Result<Send, StreamErrorIncoming>> {
        Poll::Ready(Err(StreamErrorIncoming::Unknown("a server opens no streams of its own".into())))
    }

    fn close(&mut self, _: Code, _: &[u8]) {}
}

impl Send {
    fn of(stream: quinn::SendStream, written: &Rc<Cell<u64>>, rank: &Rc<Cell<Option<i32>>>) -> Self {
        Self { stream, writing: None, written: written.clone(), rank: rank.clone(), is_ended: false }
    }

    /// One that lives as long as its connection: its end is the connection's.
    fn critical(stream: quinn::SendStream) -> Self {
        Self { stream, writing: None, written: Rc::default(), rank: Rc::default(), is_ended: true }
    }
}

impl quic::SendStream<Bytes> for Send {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        if let Some(writing) = &mut self.writing {
            while writing.has_remaining() {
                let written =
                    ready!(Pin::new(&mut self.stream).poll_write(context, writing.chunk())).map_err(unwritten)?;
                writing.advance(written);
                self.written.set(self.written.get() + written as u64);
            }
        }
        self.writing = None;
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.writing.is_some() {
            return Err(StreamErrorIncoming::Unknown("the piece before it is not written".into()));
        }
        if let Some(rank) = self.rank.take() {
            let _ = self.stream.set_priority(rank);
        }
        self.writing = Some(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(quic::SendStream::poll_ready(self, context))?;
        self.is_ended = true;
        Poll::Ready(self.stream.finish().map_err(|error| StreamErrorIncoming::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        self.is_ended = true;
        let _ = self.stream.reset(varint(code));
    }

    fn send_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for Send {
    fn drop(&mut self) {
        if !self.is_ended {
            let _ = self.stream.reset(varint(Code::H3_REQUEST_CANCELLED.value()));
        }
    }
}

impl Receive {
    fn of(stream: quinn::RecvStream, frames: Frames, connection: quinn::Connection) -> Self {
        Self { stream, frames, rest: Bytes::new(), connection, is_ended: false }
    }

    fn refuse(&mut self, refused: Refused) -> StreamErrorIncoming {
        let detail = match refused {
            Refused::Broken(code, detail) => {
                self.connection.close(varint(code.value()), detail.as_bytes());
                detail
            }
            Refused::Malformed(detail) => detail,
        };
        StreamErrorIncoming::Unknown(detail.into())
    }
}

impl quic::RecvStream for Receive {
    type Buf = Bytes;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            match self.frames.pass(&mut self.rest) {
                Ok(Some(passed)) => return Poll::Ready(Ok(Some(passed))),
                Ok(None) => {}
                Err(refused) => return Poll::Ready(Err(self.refuse(refused))),
            }
            let read = ready!(pin!(self.stream.read_chunk(usize::MAX, true)).poll(context));
            self.is_ended = !matches!(read, Ok(Some(_)));
            match read {
                Ok(Some(chunk)) => self.rest = chunk.bytes,
                Ok(None) => {
                    return Poll::Ready(self.frames.end().map(|()| None).map_err(|refused| self.refuse(refused)));
                }
                Err(error) => return Poll::Ready(Err(unread(error))),
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        self.is_ended = true;
        let _ = self.stream.stop(varint(code));
    }

    fn recv_id(&self) -> StreamId {
        id(self.stream.id())
    }
}

impl Drop for Receive {
    fn drop(&mut self) {
        if !self.is_ended {
            // RFC 9114, section 4.1: the answer does not need the rest.
            let _ = self.stream.stop(varint(Code::H3_NO_ERROR.value()));
        }
    }
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(context)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, context: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(context)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.receive.poll_data(context)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl quic::BidiStream<Bytes> for Both {
    type SendStream = Send;
    type RecvStream = Receive;

    fn split(self) -> (Send, Receive) {
        (self.send, self.receive)
    }
}

fn id(id: quinn::StreamId) -> StreamId {
    u64::from(id).try_into().expect("QUIC's ids are such numbers")
}

/// A code as QUIC carries it.
pub(super) fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn lost(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        error => ConnectionErrorIncoming::Undefined(Arc::new(error)),
    }
}

fn lost_with(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: lost(error) }
}

fn unread(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        ReadError::ConnectionLost(error) => lost_with(error),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}

fn unwritten(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => StreamErrorIncoming::StreamTerminated { error_code: code.into() },
        WriteError::ConnectionLost(error) => lost_with(error),
        error => StreamErrorIncoming::Unknown(Box::new(error)),
    }
}
