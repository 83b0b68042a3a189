//! How a connection is left by its codec: when a member grants another protocol (RFC 9110, section 7.8), or in the middle
//! of an answer whose body is moved without it. The codec ends, the stream beneath it goes on.
//!
//! A codec that ends for any other reason closes its stream.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use crate::failure::Failure;

/// The member's end of a tunnel.
pub struct Far {
    /// Where its bytes come from and go to.
    pub(super) stream: Pin<Box<dyn Stream>>,
    /// What it sent behind its 101 before anybody looked.
    pub(super) early: Bytes,
}

/// Whatever a connection runs over.
pub(super) trait Stream: AsyncRead + AsyncWrite {}

impl<S: AsyncRead + AsyncWrite> Stream for S {}

/// What a codec left behind.
pub(super) struct Left<T> {
    /// The stream beneath it.
    pub(super) stream: T,
    /// What it had read and not understood yet.
    pub(super) early: Bytes,
    /// All that it had to say was written.
    pub(super) is_clean: bool,
}

/// Where a stream arrives that was left by its codec.
pub(super) type Leaving<T> = oneshot::Receiver<Left<T>>;

/// A codec's exit, closed until somebody waits behind it.
pub(super) struct Exit<T>(Rc<Door<T>>);

struct Door<T> {
    waiting: RefCell<Option<oneshot::Sender<Left<T>>>>,
    is_called: Cell<bool>,
    codec: RefCell<Option<Waker>>,
}

impl<T> Exit<T> {
    /// Opens it: the next end of the codec leaves the stream alone and hands it over.
    pub(super) fn open(&self) -> Leaving<T> {
        let (sender, leaving) = oneshot::channel();
        *self.0.waiting.borrow_mut() = Some(sender);
        leaving
    }

    /// Opens it, and calls the codec out: it goes before it looks at anything more. The answer's body that it was reading
    /// ends with an error, and the stream is there by then; without it the error is the codec's own.
    pub(super) fn call(&self) -> Leaving<T> {
        let leaving = self.open();
        self.0.is_called.set(true);
        if let Some(codec) = self.0.codec.take() {
            codec.wake();
        }
        leaving
    }

    /// Runs a codec to its end. `bare` takes off its stream what is only for the codec, and says whether that has written all
    /// that it was given.
    pub(super) async fn run<S, B>(
        self,
        codec: http1::Connection<TokioIo<S>, B>,
        bare: impl FnOnce(S) -> (T, bool),
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
        B: http_body::Body<Data = Bytes, Error = Failure> + 'static,
    {
        let mut codec = codec;
        poll_fn(|context| {
            if self.0.is_called.get() {
                return Poll::Ready(Ok(()));
            }
            match &mut *self.0.codec.borrow_mut() {
                Some(known) => known.clone_from(context.waker()),
                none => *none = Some(context.waker().clone()),
            }
            codec.poll_without_shutdown(context)
        })
        .await?;
        let parts = codec.into_parts();
        let (mut stream, is_clean) = bare(parts.io.into_inner());
        let waiting = self.0.waiting.borrow_mut().take();
        match waiting {
            // Whoever waited may be gone; the stream then closes.
            Some(waiting) => drop(waiting.send(Left { stream, early: parts.read_buf, is_clean })),
            None => {
                let _ = stream.shutdown().await;
            }
        }
        Ok(())
    }
}

impl<T> Clone for Exit<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Exit<T> {
    fn default() -> Self {
        Self(Rc::new(Door { waiting: RefCell::default(), is_called: Cell::default(), codec: RefCell::default() }))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, DuplexStream, duplex};

    use super::*;
    use crate::body::Body;

    /// Sends a request on a codec with this exit, to a member that says `answer`.
    async fn ask(
        exit: Exit<DuplexStream>,
        answer: &'static str,
    ) -> (hyper::Result<()>, http::StatusCode, DuplexStream) {
        let (stream, mut member) = duplex(1 << 10);
        let (mut sender, codec) = http1::handshake::<_, Body>(TokioIo::new(stream)).await.unwrap();
        let mut request = http::Request::new(Body::Empty);
        request.headers_mut().insert(http::header::HOST, http::HeaderValue::from_static("a"));
        let asked = async {
            let status = sender.send_request(request).await.unwrap().status();
            drop(sender);
            status
        };
        let member = async {
            let mut head = [0; 512];
            assert!(member.read(&mut head).await.unwrap() > 0);
            member.write_all(answer.as_bytes()).await.unwrap();
            member
        };
        tokio::join!(exit.run(codec, |stream| (stream, true)), asked, member)
    }

    #[tokio::test]
    async fn behind_a_101_the_stream_goes_on_with_what_was_read_too_far() {
        let exit = Exit::default();
        let left = exit.open();
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nglued";
        let (ended, status, mut member) = ask(exit, answer).await;
        assert!(ended.is_ok() && status == http::StatusCode::SWITCHING_PROTOCOLS);
        let Left { mut stream, early, is_clean } = left.await.unwrap();
        assert!(early == "glued" && is_clean);
        stream.write_all(b"up").await.unwrap();
        member.write_all(b"down").await.unwrap();
        drop((stream.read_exact(&mut [0; 4]).await.unwrap(), stream));
        let mut rest = String::new();
        member.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "up");
    }

    #[tokio::test]
    async fn without_anybody_behind_the_exit_the_stream_is_closed() {
        let waiting_no_more = Exit::default();
        drop(waiting_no_more.open());
        for exit in [Exit::default(), waiting_no_more] {
            let (ended, status, mut member) = ask(exit, "HTTP/1.1 204 No Content\r\n\r\n").await;
            assert!(ended.is_ok() && status == http::StatusCode::NO_CONTENT);
            assert_eq!(member.read(&mut [0; 1]).await.unwrap(), 0);
        }
    }
}
