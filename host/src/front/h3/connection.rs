//! One connection: the codec, its limits in time, and how it ends.
//!
//! It ends after `idle-timeout` without a request, when the thread drains or the address goes, and when the client breaks the
//! protocol; it says so with GOAWAY (RFC 9114, section 5.2), and lets open requests come to their end.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h3::error::ConnectionError;
use h3::server::{self, RequestResolver};

use super::exchange::{self, Stream};
use super::link::Link;
use super::quic::{Latest, Quic};
use crate::clock::{self, Deadline, Duration};
use crate::config;
use crate::front::Worker;
use crate::front::drain::Drain;
use crate::pipeline::Client;

/// What a field takes beside its name and value (RFC 9114, section 4.2.2).
const FIELD: usize = 32;

/// Of fields so long are the most that the codec's map of them can hold without harm.
const MOST_FIELDS: usize = 512 << 10;

/// For what may be on its way when the client is told to go: a round trip.
const FAREWELL: Duration = Duration::from_millis(500);

type Codec = server::Connection<Quic, Bytes>;

/// What happens to a connection.
enum Event {
    Asked(Box<RequestResolver<Quic, Bytes>>),
    /// It is to end.
    Leave,
    /// Nothing more is to be waited for.
    Over,
    Failed(ConnectionError),
}

/// What the connection is waiting for.
struct Rest {
    deadline: Deadline,
    idle: Duration,
    is_leaving: bool,
}

/// Serves a connection to its end, and closes it.
pub(super) async fn serve(
    worker: &Rc<Worker>,
    connection: quinn::Connection,
    listener: &config::Listener,
    client: Rc<Client>,
    leaving: &Drain,
) {
    let link = Link::of(listener, &worker.thread().ticker, connection.clone());
    let (quic, latest) = Quic::of(connection, head_size(listener));
    // The codec closes the connection: with H3_NO_ERROR, or with what went wrong.
    if let Err(error) = speak(worker, quic, &latest, &link, listener, &client, leaving).await {
        tracing::trace!(%error, "connection ended");
    }
}

async fn speak(
    worker: &Rc<Worker>,
    quic: Quic,
    latest: &Latest,
    link: &Rc<Link>,
    listener: &config::Listener,
    client: &Rc<Client>,
    leaving: &Drain,
) -> Result<(), ConnectionError> {
    let mut rest = Rest::of(link, listener);
    let Ok(greeted) = rest.deadline.limit(greet(quic, listener)).await else { return Ok(()) };
    let mut codec = greeted?;
    let mut drain = pin!(worker.draining().heard());
    let mut leave = pin!(leaving.heard());
    loop {
        let event = {
            let mut accepting = pin!(codec.accept());
            poll_fn(|context| {
                match accepting.as_mut().poll(context) {
                    Poll::Ready(Ok(Some(asked))) => return Poll::Ready(Event::Asked(Box::new(asked))),
                    // The client has told us to go, and has everything.
                    Poll::Ready(Ok(None)) => return Poll::Ready(Event::Over),
                    Poll::Ready(Err(error)) => return Poll::Ready(Event::Failed(error)),
                    Poll::Pending => {}
                }
                if !rest.is_leaving
                    && (drain.as_mut().poll(context).is_ready() || leave.as_mut().poll(context).is_ready())
                {
                    return Poll::Ready(Event::Leave);
                }
                rest.poll(context, link)
            })
            .await
        };
        match event {
            Event::Asked(asked) => {
                let Some(accepted) = latest.take() else { continue };
                let (link, local, client, began) = (link.clone(), worker.local(), client.clone(), clock::now());
                let seat = link.enter();
                let stream = Stream { link, local, client, began };
                tokio::task::spawn_local(exchange::serve(stream, seat, *asked, accepted));
            }
            Event::Leave => {
                latest.refuse_the_rest();
                rest.leave();
                // Until it is written its time runs too.
                if !matches!(rest.deadline.limit(codec.shutdown(1)).await, Ok(Ok(()))) {
                    return Ok(());
                }
            }
            Event::Over => return Ok(()),
            Event::Failed(error) => return Err(error),
        }
    }
}

/// Says what clients may do.
async fn greet(quic: Quic, listener: &config::Listener) -> Result<Codec, ConnectionError> {
    server::builder()
        .max_field_section_size(head_size(listener) as u64)
        .send_grease(false)
        .enable_extended_connect(true)
        .build(quic)
        .await
}

/// The listener's limits by the measure of RFC 9114, section 4.2.2, which is not HTTP/1's.
fn head_size(listener: &config::Listener) -> usize {
    (listener.max_head + FIELD * listener.max_fields).min(MOST_FIELDS)
}

impl Rest {
    fn of(link: &Link, listener: &config::Listener) -> Self {
        let deadline = link.ticker.deadline();
        deadline.arm(listener.head_timeout.min(listener.idle_timeout));
        Self { deadline, idle: listener.idle_timeout, is_leaving: false }
    }

    fn leave(&mut self) {
        self.is_leaving = true;
        self.deadline.arm(FAREWELL);
    }

    /// Ready when something is to be done about who asks for nothing.
    fn poll(&mut self, context: &mut Context<'_>, link: &Link) -> Poll<Event> {
        link.watch(context);
        if link.open() > 0 {
            self.deadline.disarm();
            return Poll::Pending;
        }
        if !self.deadline.is_armed() {
            self.deadline.arm(if self.is_leaving { FAREWELL } else { self.idle });
        }
        ready!(self.deadline.poll_over(context));
        Poll::Ready(if self.is_leaving { Event::Over } else { Event::Leave })
    }
}
