//! One connection: the codec, its limits in time, and how it ends.
//!
//! It ends after `idle-timeout` without a stream, when the thread drains, and when the client breaks the protocol or takes
//! nothing; it says so with GOAWAY, and lets open streams come to their end where they can.

use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use h2::Reason;
use h2::server::{self, Connection};
use tokio::io::{AsyncRead, AsyncWrite};

use super::exchange::Stream;
use super::gather::{Gather, Transport};
use super::link::Link;
use super::turns::{MOST_HANDED, Piece};
use super::wall::Refusal;
use crate::clock::{self, Deadline, Duration};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::front::{Worker, refusal};
use crate::pipeline::{self, Client};

/// What a field takes beside its name and value by the measure of RFC 9113, section 6.5.2, which is not HTTP/1's.
const FIELD: usize = 32;

/// Streams that are remembered for a second after their reset, so that what the client still sends on them is no error.
const REMEMBERED_RESETS: usize = 256;

/// Requests that are taken back before they were looked at: the wall counts them, and lets a browser leave a page.
const PENDING_RESETS: usize = 1024;

/// The client's preface, and the least that its SETTINGS are (RFC 9113, section 3.4).
const PREFACE: u64 = 24 + 9;

/// For what may be on its way when the client is told to go: a round trip.
const FAREWELL: Duration = Duration::from_millis(500);

/// What the connection is waiting for.
struct Rest {
    deadline: Deadline,
    idle: Duration,
    stage: Stage,
    /// What was written when the wait began.
    written: u64,
    head: Head,
}

/// A head that is not whole yet: its number, and its time.
struct Head {
    deadline: Deadline,
    limit: Duration,
    open: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The preface was read, and nothing more.
    Greeted,
    Open,
    /// The client is told to ask for nothing more.
    Leaving,
    /// Whatever is open is given up.
    Gone,
}

/// How a connection ended.
enum Ended {
    /// In agreement with the client, or because it left.
    Whole,
    /// With a GOAWAY that the client may not have read yet.
    Left,
    /// By an error of the protocol, or of the stream beneath.
    Failed(h2::Error),
    /// The client took nothing, or the stream broke.
    Broken(io::Error),
}

/// Serves a connection to its end, and closes it. The client's preface is still to be read.
pub(in crate::front) async fn serve<S>(worker: &Rc<Worker>, stream: S, listener: &config::Listener, client: Rc<Client>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let ticker = &worker.thread().ticker;
    let link = Link::of(listener, ticker);
    let gather = Gather::of(stream, &link);
    let ended = speak(worker, &gather, &link, listener, &client).await;
    // Closing at once could destroy a GOAWAY on its way.
    let lingers = match ended {
        Ended::Whole => false,
        Ended::Left => true,
        Ended::Broken(error) => {
            tracing::trace!(%error, "connection broke");
            false
        }
        Ended::Failed(error) => {
            tracing::trace!(%error, "connection ended");
            error.is_library()
        }
    };
    if lingers && let Some(gather) = Rc::into_inner(gather) {
        refusal::linger(&mut gather.into_stream()).await;
    }
}

async fn speak<S>(
    worker: &Rc<Worker>,
    gather: &Rc<Gather<S>>,
    link: &Rc<Link>,
    listener: &config::Listener,
    client: &Rc<Client>,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut codec = match greet(gather, link, listener).await {
        Ok(codec) => codec,
        Err(ended) => return ended,
    };
    let mut rest = Rest::of(link, listener);
    let mut drain = pin!(worker.draining().heard());
    // Streams that the client has reset may not have learned of it yet.
    let most = 2 * listener.h2.max_streams as usize;
    poll_fn(|context| {
        if matches!(rest.stage, Stage::Greeted | Stage::Open) && drain.as_mut().poll(context).is_ready() {
            rest.leave(&mut codec);
        }
        loop {
            let polled = gather.poll_pass(context, |context| codec.poll_accept(context));
            if let Some(Refusal(why)) = link.wall.borrow().refusal() {
                rest.cut(context, &mut codec, client, why);
            }
            let Poll::Ready(accepted) = polled else {
                if rest.head.poll(context, link).is_ready() && rest.stage != Stage::Gone {
                    let failure = Failure::of(Kind::HeadTimeout, format!("no whole head within {:?}", rest.head.limit));
                    pipeline::refused(&worker.local(), client, &failure, &pipeline::request_id(), clock::now());
                    rest.cut(context, &mut codec, client, "no whole head in time");
                }
                return rest.poll(context, &mut codec, link, gather).map(|()| Ended::Whole);
            };
            let (request, mut respond) = match accepted {
                Ok(Some(Ok(accepted))) => accepted,
                Ok(Some(Err(error))) => return Poll::Ready(Ended::Failed(error)),
                Ok(None) if rest.stage == Stage::Gone => return Poll::Ready(Ended::Left),
                Ok(None) => return Poll::Ready(Ended::Whole),
                Err(error) => {
                    if gather.is_stalled() {
                        link.stall();
                    }
                    return Poll::Ready(Ended::Broken(error));
                }
            };
            if link.open() >= most {
                respond.send_reset(Reason::REFUSED_STREAM);
                continue;
            }
            let (link, local, client, seat) = (link.clone(), worker.local(), client.clone(), link.enter());
            let stream = Stream { link, local, client, seat };
            tokio::task::spawn_local(stream.serve(request, respond));
        }
    })
    .await
}

/// Says what clients may do, and reads their preface.
async fn greet<S>(
    gather: &Rc<Gather<S>>,
    link: &Link,
    listener: &config::Listener,
) -> Result<Connection<Transport<S>, Piece>, Ended>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let limits = &listener.h2;
    let head = listener.max_head + FIELD * listener.max_fields;
    let mut builder = server::Builder::new();
    builder
        .max_concurrent_streams(limits.max_streams)
        .initial_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_frame_size(limits.max_frame)
        .max_header_list_size(u32::try_from(head).unwrap_or(u32::MAX))
        .max_send_buffer_size(MOST_HANDED)
        .max_concurrent_reset_streams(REMEMBERED_RESETS)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .enable_connect_protocol();
    let mut greeting = pin!(builder.handshake(gather.transport()));
    let deadline = link.ticker.deadline();
    deadline.arm(listener.head_timeout.min(listener.idle_timeout));
    let greeted =
        deadline.limit(poll_fn(|context| gather.poll_pass(context, |context| greeting.as_mut().poll(context))));
    match greeted.await {
        Ok(Ok(greeted)) => greeted.map_err(Ended::Failed),
        Ok(Err(error)) => Err(Ended::Broken(error)),
        Err(_) => Err(Ended::Broken(ErrorKind::TimedOut.into())),
    }
}

impl Head {
    /// Ready when the client had its time for the head that it is in.
    fn poll(&mut self, context: &mut Context<'_>, link: &Link) -> Poll<()> {
        let open = link.wall.borrow().open_head();
        if self.open != open {
            self.open = open;
            match open {
                Some(_) => self.deadline.arm(self.limit),
                None => self.deadline.disarm(),
            }
        }
        if open.is_some() { self.deadline.poll_over(context) } else { Poll::Pending }
    }
}

impl Rest {
    fn of(link: &Link, listener: &config::Listener) -> Self {
        let (head, idle) = (listener.head_timeout.min(listener.idle_timeout), listener.idle_timeout);
        let deadline = link.ticker.deadline();
        deadline.arm(head);
        let head = Head { deadline: link.ticker.deadline(), limit: listener.head_timeout, open: None };
        Self { deadline, idle, stage: Stage::Greeted, written: 0, head }
    }

    /// Tells the client that it should ask for nothing more.
    fn leave<S>(&mut self, codec: &mut Connection<Transport<S>, Piece>)
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        codec.graceful_shutdown();
        self.stage = Stage::Leaving;
        self.deadline.disarm();
    }

    /// Ends it, and says that the client asked for it.
    fn cut<S>(
        &mut self,
        context: &Context<'_>,
        codec: &mut Connection<Transport<S>, Piece>,
        client: &Client,
        why: &'static str,
    ) where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.stage != Stage::Gone {
            tracing::debug!(client = ?client.peer.address(), why, "HTTP/2 connection cut off");
            codec.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            self.stage = Stage::Gone;
            self.deadline.disarm();
            // The codec has something to say now.
            context.waker().wake_by_ref();
        }
    }

    /// Ready when nothing more is to be waited for.
    fn poll<S>(
        &mut self,
        context: &mut Context<'_>,
        codec: &mut Connection<Transport<S>, Piece>,
        link: &Link,
        gather: &Gather<S>,
    ) -> Poll<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.stage == Stage::Greeted && gather.heard() >= PREFACE {
            self.stage = Stage::Open;
            self.deadline.disarm();
        }
        link.watch(context);
        if link.open() > 0 && self.stage != Stage::Gone {
            self.deadline.disarm();
            return Poll::Pending;
        }
        // An answer whose exchange is over may still be on its way, at the client's pace.
        let is_sending = codec.has_streams();
        if !self.deadline.is_armed() || is_sending && self.written != gather.written() {
            self.written = gather.written();
            if !is_sending {
                gather.rest();
            }
            self.deadline.arm(match self.stage {
                Stage::Greeted | Stage::Open => self.idle,
                Stage::Leaving if is_sending => link.limits.write,
                Stage::Leaving | Stage::Gone => FAREWELL,
            });
        }
        ready!(self.deadline.poll_over(context));
        match self.stage {
            Stage::Greeted | Stage::Open => self.leave(codec),
            Stage::Leaving => {
                codec.abrupt_shutdown(Reason::NO_ERROR);
                self.stage = Stage::Gone;
                self.deadline.disarm();
            }
            Stage::Gone => return Poll::Ready(()),
        }
        // The codec has something to say now.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}
