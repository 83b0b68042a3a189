//! Bytes both ways between two streams until both are over: what a tunnel does.
//!
//! It knows nothing of what it carries. An end on one side is passed on to the other, which may go on. Between two
//! pieces a tunnel has no buffer; while one side does not take what there is, nothing more is read from the other.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Far;
use crate::clock::{Deadline, Duration};

/// Bytes that were taken by the other side so far.
#[derive(Default)]
pub struct Moved {
    /// From the client.
    pub up: Cell<u64>,
    /// To the client.
    pub down: Cell<u64>,
}

/// Why a tunnel ended.
#[derive(Debug)]
pub enum Ended {
    /// Both sides came to their end.
    Whole,
    /// Nothing moved for so long.
    Idle(Duration),
    /// The client's side broke.
    Near(io::Error),
    /// The member's side broke.
    Far(io::Error),
}

/// One direction.
struct Way {
    /// Read and not yet taken.
    left: Bytes,
    stage: Stage,
    is_unflushed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// The end was read and is to be passed on.
    Ending,
    Over,
}

/// Which of a direction's sides broke.
enum Broken {
    From(io::Error),
    To(io::Error),
}

/// What is read at once: as much as keeps the cost of a call small, and never held while nothing comes.
const PIECE: usize = 16 << 10;

/// How long one side may say nothing after the other has ended, in a tunnel without a limit of its own: a side that went
/// without a word would be waited for until the process ends.
const LONE: Duration = Duration::from_secs(60 * 60);

/// Carries bytes until both sides are over, one of them broke, or nothing moved for `idle` (zero: no limit). `early` is
/// what the client sent before. Cancellation safe: `moved` holds what was carried; the streams are closed.
pub async fn carry(
    near: impl AsyncRead + AsyncWrite + Unpin,
    early: Bytes,
    far: Far,
    (idle, deadline): (Duration, &Deadline),
    moved: &Moved,
) -> Ended {
    let (mut near, Far { stream: mut far, early: greeting }) = (near, far);
    let (mut up, mut down) = (Way::of(early), Way::of(greeting));
    let mut before = None;
    poll_fn(|context| {
        // What a member said before it broke is worth more than what it did not take.
        let down_polled = down.poll(context, far.as_mut(), Pin::new(&mut near), &moved.down);
        let up_polled = up.poll(context, Pin::new(&mut near), far.as_mut(), &moved.up);
        if let Some(ended) = verdict(&down_polled, &up_polled, &down, &up) {
            return Poll::Ready(ended);
        }
        match (down_polled, up_polled) {
            // The member takes nothing more. What it has said goes to the client still.
            (Poll::Pending, Poll::Ready(Err(Broken::To(_)))) => up.stage = Stage::Over,
            (Poll::Ready(Err(Broken::From(error))), _) | (_, Poll::Ready(Err(Broken::To(error)))) => {
                return Poll::Ready(Ended::Far(error));
            }
            (Poll::Ready(Err(Broken::To(error))), _) | (_, Poll::Ready(Err(Broken::From(error)))) => {
                return Poll::Ready(Ended::Near(error));
            }
            (Poll::Pending | Poll::Ready(Ok(())), Poll::Pending | Poll::Ready(Ok(()))) => {}
        }
        let is_lone = down.stage == Stage::Over || up.stage == Stage::Over;
        let limit = if is_lone && idle.is_zero() { LONE } else { idle };
        let now = Some((moved.up.get(), moved.down.get(), is_lone));
        if before != now {
            before = now;
            deadline.arm(limit);
        }
        ready!(deadline.poll_over(context));
        Poll::Ready(Ended::Idle(limit))
    })
    .await
}

/// Whether the tunnel came to a good end: both sides are over, or one that had ended takes nothing more.
fn verdict(
    down_polled: &Poll<Result<(), Broken>>,
    up_polled: &Poll<Result<(), Broken>>,
    down: &Way,
    up: &Way,
) -> Option<Ended> {
    let is_over = down.stage == Stage::Over && up.stage == Stage::Over;
    let far_left = down.stage == Stage::Over && matches!(up_polled, Poll::Ready(Err(Broken::To(_))));
    let near_left = up.stage == Stage::Over && matches!(down_polled, Poll::Ready(Err(Broken::To(_))));
    (is_over || far_left || near_left).then_some(Ended::Whole)
}

impl Way {
    fn of(left: Bytes) -> Self {
        Self { left, stage: Stage::Open, is_unflushed: false }
    }

    /// Moves what can be moved; ready when this direction is over.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        mut from: Pin<&mut (impl AsyncRead + ?Sized)>,
        mut to: Pin<&mut (impl AsyncWrite + ?Sized)>,
        moved: &Cell<u64>,
    ) -> Poll<Result<(), Broken>> {
        while self.stage == Stage::Open {
            while !self.left.is_empty() {
                let taken = ready!(write(context, to.as_mut(), &self.left, moved))?;
                self.left.advance(taken);
                self.is_unflushed = true;
            }
            let mut scratch = [const { MaybeUninit::uninit() }; PIECE];
            let mut piece = ReadBuf::uninit(&mut scratch);
            if end_is_end(from.as_mut().poll_read(context, &mut piece)).map_err(Broken::From)?.is_pending() {
                if self.is_unflushed {
                    ready!(to.poll_flush(context)).map_err(Broken::To)?;
                    self.is_unflushed = false;
                }
                return Poll::Pending;
            }
            match piece.filled() {
                [] => self.stage = Stage::Ending,
                bytes => self.pass(context, to.as_mut(), bytes, moved)?,
            }
        }
        if self.stage == Stage::Ending {
            ready!(to.poll_shutdown(context)).map_err(Broken::To)?;
            self.stage = Stage::Over;
        }
        Poll::Ready(Ok(()))
    }

    /// Writes a fresh piece; what is not taken at once is kept.
    fn pass(
        &mut self,
        context: &mut Context<'_>,
        to: Pin<&mut (impl AsyncWrite + ?Sized)>,
        bytes: &[u8],
        moved: &Cell<u64>,
    ) -> Result<(), Broken> {
        let taken = match write(context, to, bytes, moved) {
            Poll::Ready(taken) => taken?,
            Poll::Pending => 0,
        };
        self.is_unflushed = true;
        self.left = match bytes.get(taken..) {
            None | Some([]) => Bytes::new(),
            Some(rest) => Bytes::copy_from_slice(rest),
        };
        Ok(())
    }
}

fn write(
    context: &mut Context<'_>,
    to: Pin<&mut (impl AsyncWrite + ?Sized)>,
    bytes: &[u8],
    moved: &Cell<u64>,
) -> Poll<Result<usize, Broken>> {
    let taken = ready!(to.poll_write(context, bytes)).map_err(Broken::To)?;
    if taken == 0 {
        return Poll::Ready(Err(Broken::To(io::ErrorKind::WriteZero.into())));
    }
    moved.set(moved.get() + taken as u64);
    Poll::Ready(Ok(taken))
}

/// Many close without a word of TLS about it (RFC 8446, section 6.1); whether all is there, those at both ends know.
fn end_is_end(polled: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
    match polled {
        Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        polled => polled,
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;
    use crate::clock::Ticker;

    /// Runs a tunnel with these early bytes while `act` is at both ends of it.
    async fn through<F: Future<Output = ()>>(
        early: (&'static str, &'static str),
        idle: Duration,
        act: impl FnOnce(DuplexStream, DuplexStream) -> F,
    ) -> (Ended, Moved) {
        let ticker = Ticker::start();
        let deadline = ticker.deadline();
        let ((client, near), (stream, member)) = (duplex(64), duplex(64));
        let far = Far { stream: Box::pin(stream), early: early.1.into() };
        let moved = Moved::default();
        let carried = carry(near, early.0.into(), far, (idle, &deadline), &moved);
        let ended = tokio::select! {
            (ended, ()) = async { tokio::join!(carried, act(client, member)) } => ended,
            () = ticker.clone().run() => unreachable!("it rings for ever"),
        };
        (ended, moved)
    }

    async fn rest(stream: &mut DuplexStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn bytes_go_both_ways_early_ones_first_and_ends_are_passed_on() {
        let (ended, moved) = through(("early ", "glued "), Duration::ZERO, |mut client, mut member| async move {
            client.write_all(b"from the client").await.unwrap();
            client.shutdown().await.unwrap();
            assert_eq!(rest(&mut member).await, "early from the client");
            // The other direction is still open.
            member.write_all(b"from the member").await.unwrap();
            member.shutdown().await.unwrap();
            assert_eq!(rest(&mut client).await, "glued from the member");
        })
        .await;
        assert!(matches!(ended, Ended::Whole), "{ended:?}");
        assert_eq!((moved.up.get(), moved.down.get()), (21, 21));
    }

    #[tokio::test]
    async fn more_than_any_buffer_passes_in_order_through_narrow_ends() {
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
        let sent = bytes.clone();
        let (ended, moved) = through(("", ""), Duration::ZERO, |client, member| async move {
            let ((mut read, mut write), (mut echo_read, mut echo_write)) =
                (tokio::io::split(client), tokio::io::split(member));
            let mut back = Vec::new();
            let send = async {
                write.write_all(&sent).await.unwrap();
                write.shutdown().await.unwrap();
            };
            let echo = async {
                tokio::io::copy(&mut echo_read, &mut echo_write).await.unwrap();
                echo_write.shutdown().await.unwrap();
            };
            let receive = async { read.read_to_end(&mut back).await.unwrap() };
            tokio::join!(send, echo, receive);
            assert!(back == sent, "{} bytes came back", back.len());
        })
        .await;
        assert!(matches!(ended, Ended::Whole), "{ended:?}");
        assert_eq!((moved.up.get(), moved.down.get()), (bytes.len() as u64, bytes.len() as u64));
    }

    #[tokio::test]
    async fn a_member_that_is_gone_still_has_its_last_word() {
        let word: String = "last words ".repeat(100);
        let said = word.clone();
        let (ended, moved) = through(("", ""), Duration::ZERO, |mut client, mut member| async move {
            let talk = async {
                // More than fits between them, so that some is on its way when the member is gone.
                member.write_all(said.as_bytes()).await.unwrap();
                drop(member);
            };
            let listen = async {
                for _ in 0..68 {
                    // What nobody takes at the end fits into the pipe; when all is said, the tunnel is over.
                    let _ = client.write_all(b"?").await;
                    tokio::task::yield_now().await;
                    let mut some = [0; 16];
                    client.read_exact(&mut some).await.unwrap();
                }
                rest(&mut client).await
            };
            let ((), rest) = tokio::join!(talk, listen);
            assert_eq!(rest.len() + 68 * 16, said.len());
        })
        .await;
        assert!(matches!(ended, Ended::Whole), "{ended:?}");
        assert_eq!(moved.down.get(), word.len() as u64);
    }

    #[tokio::test]
    async fn silence_ends_it_and_bytes_do_not() {
        let idle = Duration::from_millis(300);
        let (ended, moved) = through(("", ""), idle, |mut client, mut member| async move {
            for _ in 0..5 {
                tokio::time::sleep(Duration::from_millis(150)).await;
                client.write_all(b"x").await.unwrap();
                assert_eq!(member.read_u8().await.unwrap(), b'x');
            }
            assert_eq!(rest(&mut client).await, "");
            assert_eq!(rest(&mut member).await, "");
        })
        .await;
        assert!(matches!(ended, Ended::Idle(_)), "{ended:?}");
        assert_eq!(moved.up.get(), 5);
    }

    #[tokio::test]
    async fn a_side_that_takes_nothing_counts_as_silent() {
        let (ended, moved) = through(("", ""), Duration::from_millis(200), |mut client, member| async move {
            assert!(client.write_all(&[0; 1 << 20]).await.is_err());
            drop(member);
        })
        .await;
        assert!(matches!(ended, Ended::Idle(_)), "{ended:?}");
        assert_eq!(moved.up.get(), 64);
    }

    #[tokio::test]
    async fn a_side_that_went_takes_nothing_and_that_is_told_unless_it_had_ended() {
        let (ended, _) = through(("", ""), Duration::ZERO, |mut client, member| async move {
            drop(member);
            assert_eq!(rest(&mut client).await, "");
            let _ = client.write_all(&[0; 1000]).await;
        })
        .await;
        assert!(matches!(ended, Ended::Whole), "{ended:?}");
    }
}
