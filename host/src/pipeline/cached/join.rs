//! A stored part and one that has just come, as one content (RFC 9111, section 3.4).

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body as _, Frame};

use super::super::{Answer, passage};
use super::entry::Entry;
use crate::body::{Body, Part, Parts};
use crate::cache::fresh::Times;
use crate::cache::partial::{self, ContentRange, Held};
use crate::cache::reply::{self, Reply};
use crate::cache::{Knobs, Stored, storable};
use crate::failure::{Failure, Kind};
use crate::message::ranges::{Piece, Range};
use crate::message::{Fields, RequestHead, ResponseHead, Version};

/// What became of two parts.
pub(super) enum Joined {
    /// They stay two; this is the new one.
    No(Answer),
    /// They are one.
    Yes { stored: Box<Stored>, content: Bytes, head: ResponseHead, body: Body, upstream: Option<Version> },
}

/// Parts are put together in memory; what is larger is asked for again as a whole.
const MOST: u64 = 8 << 20;

/// Whether a 206 is of the same content as what is stored, and not too much.
pub(super) fn fits(entry: &Entry, fields: &Fields) -> bool {
    let stored = entry.stored();
    let complete = stored.held.complete();
    let is_same_size = ContentRange::of(fields).is_some_and(|part| part.complete == complete);
    is_same_size && complete <= MOST && partial::strong(stored).is_some()
}

/// Puts a 206 to what is stored, and makes the client's answer of both.
pub(super) async fn join(knobs: &Knobs, client: &RequestHead, entry: &Entry, answer: Answer, times: Times) -> Joined {
    let is_short = answer.body.size_hint().exact().is_some_and(|length| length <= MOST);
    if !is_short || !fits(entry, &answer.head.fields) {
        return Joined::No(answer);
    }
    let Ok(part) = storable::storable(client, &answer.head, times, knobs) else { return Joined::No(answer) };
    let Answer { head, body, upstream, said } = answer;
    let Some(bytes) = read(body).await else {
        // It broke off; what came of it is nothing to answer with, and the client learns that.
        return Joined::No(Answer { head, body: broken(), upstream, said });
    };
    let again = || Answer { head: head.clone(), body: bytes.clone().into(), upstream, said: None };
    match both(knobs, entry, part, &bytes).await {
        None => Joined::No(again()),
        Some((stored, content)) => match answer_from(&stored, &content, client, times) {
            Some((head, body)) => Joined::Yes { stored: Box::new(stored), content, head, body, upstream },
            None => Joined::No(again()),
        },
    }
}

async fn both(knobs: &Knobs, entry: &Entry, mut part: Stored, bytes: &Bytes) -> Option<(Stored, Bytes)> {
    part.finish(bytes.len() as u64).ok()?;
    let stored = partial::combine(entry.stored(), &part, knobs)?;
    let [fresh] = part.held.ranges() else { return None };
    let mut content = BytesMut::new();
    for range in stored.held.ranges() {
        let mut at = range.first;
        while at <= range.last {
            let piece = next(&entry.stored().held, *fresh, at, range.last)?;
            let data = if fresh.first <= at && at <= fresh.last {
                let from = usize::try_from(at - fresh.first).ok()?;
                bytes.slice_ref(bytes.get(from..from.checked_add(usize::try_from(piece.length()).ok()?)?)?)
            } else {
                read(Body::Parts(Parts::of(entry.range(piece)))).await?
            };
            content.extend_from_slice(&data);
            at = piece.last + 1;
        }
    }
    Some((stored, content.freeze()))
}

/// What comes next of two parts from there on: the new one goes before the old one.
fn next(old: &Held, fresh: Range, at: u64, last: u64) -> Option<Range> {
    if fresh.first <= at && at <= fresh.last {
        return Some(Range { first: at, last: fresh.last.min(last) });
    }
    let held = old.ranges().iter().find(|held| held.first <= at && at <= held.last)?;
    let end = if fresh.first > at { held.last.min(fresh.first - 1) } else { held.last };
    Some(Range { first: at, last: end.min(last) })
}

fn answer_from(stored: &Stored, content: &Bytes, client: &RequestHead, times: Times) -> Option<(ResponseHead, Body)> {
    let Reply { head, pieces } = reply::reply(stored, client, times.answered, u64::from_be_bytes(*b"weirpart"))?;
    let mut parts = Vec::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => parts.push(Part::Bytes(text)),
            Piece::Range(range) => {
                let mut before = 0;
                for held in stored.held.ranges() {
                    if held.first <= range.first && range.last <= held.last {
                        let from = usize::try_from(before + range.first - held.first).ok()?;
                        parts.push(Part::Bytes(content.slice(from..from + usize::try_from(range.length()).ok()?)));
                    }
                    before += held.length();
                }
            }
        }
    }
    Some((head, Body::Parts(Parts::of(parts))))
}

/// All of a body that is short; `None` if it breaks off.
async fn read(mut body: Body) -> Option<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame {
            Ok(frame) => all.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
            Err(_) => {
                passage::give_up(body);
                return None;
            }
        }
    }
    Some(all.freeze())
}

/// The body of an answer that broke off before it was passed on.
fn broken() -> Body {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = Failure;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
            Poll::Ready(Some(Err(Failure::of(Kind::ResponseCut, "the part broke off"))))
        }
    }
    Body::stream(Broken)
}
