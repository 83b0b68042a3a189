//! How a connection is left when a member grants another protocol (RFC 9110, section 7.8): the codec ends, the stream
//! beneath it goes on.
//!
//! A codec that ends for any other reason closes its stream.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::oneshot;

use super::Upload;
use super::patient::Patient;

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

/// Where a stream arrives that was left by its codec.
pub(super) type Left = oneshot::Receiver<Far>;

/// A codec's exit, closed until somebody waits behind it.
#[derive(Clone, Default)]
pub(super) struct Exit(Rc<RefCell<Option<oneshot::Sender<Far>>>>);

impl Exit {
    /// Opens it: the next end of the codec leaves the stream alone and hands it over.
    pub(super) fn open(&self) -> Left {
        let (sender, left) = oneshot::channel();
        *self.0.borrow_mut() = Some(sender);
        left
    }

    /// Runs a codec to its end.
    pub(super) async fn run<S>(self, codec: http1::Connection<TokioIo<Patient<S>>, Upload>) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let parts = codec.without_shutdown().await?;
        let mut stream = parts.io.into_inner().into_inner();
        let waiting = self.0.borrow_mut().take();
        match waiting {
            // Whoever waited may be gone; the stream then closes.
            Some(waiting) => drop(waiting.send(Far { stream: Box::pin(stream), early: parts.read_buf })),
            None => {
                let _ = stream.shutdown().await;
            }
        }
        Ok(())
    }
}
