//! What a key has on the shelves, as the rules see it, and answers from it.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use http::header;

use super::card;
use crate::body::{Body, Part, Parts};
use crate::cache::reply::{self, Reply};
use crate::cache::{Knobs, Stored, order, status, validate, weights};
use crate::message::ranges::{Piece, Range};
use crate::message::{Fields, RequestHead, ResponseHead, Value};
use crate::shelf::{Label, Object, Shelf};

/// A stored response with its content.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) object: Object,
    /// What is true of it at this moment, where that is not what everybody reads in its head.
    own: Option<Box<Stored>>,
}

/// A stored response that may be used as it lies on the shelf.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit<'a> {
    pub(super) object: &'a Object,
    reading: &'a Reading,
}

/// What was read of a head, once for everybody.
#[derive(Debug)]
struct Reading {
    stored: Stored,
    /// The head of its answers, with room for what differs between them.
    ready: ResponseHead,
}

/// What can be validated is worth keeping for a while after nobody may use it unasked.
const WORTH_ASKING: Duration = Duration::from_secs(86_400);

impl Entry {
    /// `None` if its head cannot be read. What was purged softly has no lifetime left.
    fn of(object: Object, knobs: &Knobs) -> Option<Self> {
        let reading = Reading::of(&object, knobs)?;
        let own = object.is_stale().then(|| {
            let mut stale = reading.stored.clone();
            stale.policy.lifetime = Duration::ZERO;
            Box::new(stale)
        });
        Some(Self { object, own })
    }

    pub(super) fn stored(&self) -> &Stored {
        match &self.own {
            Some(own) => own,
            None => &Reading::again(&self.object).expect("an entry is made of what could be read").stored,
        }
    }

    /// Whether the origin can be asked if it still holds.
    pub(super) fn can_be_asked_about(&self) -> bool {
        validate::ask(&mut Fields::default(), self.stored())
    }

    /// Whether a client says that it understands the codings of the content.
    pub(super) fn is_understood(&self, request: &RequestHead) -> bool {
        let codings = self.stored().head.fields.joined(header::CONTENT_ENCODING);
        let known = request.fields.joined(header::ACCEPT_ENCODING).unwrap_or_default();
        weights::knows_all(&known, &codings.unwrap_or_default())
    }

    /// The same content under another head.
    pub(super) fn with(&self, stored: Stored) -> Self {
        Self { object: self.object.clone(), own: Some(Box::new(stored)) }
    }

    /// The answer to a request from it; `None` if it wants what is not here.
    pub(super) fn answer(&self, request: &RequestHead, now: SystemTime) -> Option<(ResponseHead, Body)> {
        let Reply { head, pieces } = match (&self.own, Reading::again(&self.object)) {
            (None, Some(reading)) => reading.reply(request, now)?,
            _ => reply::reply(self.stored(), request, now, boundary(request))?,
        };
        Some((head, body(&self.object, self.stored(), &pieces)))
    }

    /// The bytes of its content from one place on.
    pub(super) fn range(&self, range: Range) -> Vec<Part> {
        part(&self.object, self.stored(), range)
    }
}

impl<'a> Hit<'a> {
    /// `None` if it cannot be read, or there is more to say of it than its head does.
    pub(super) fn of(object: &'a Object, knobs: &Knobs) -> Option<Self> {
        if object.is_stale() {
            return None;
        }
        Some(Self { object, reading: Reading::of(object, knobs)? })
    }

    pub(super) fn stored(&self) -> &'a Stored {
        &self.reading.stored
    }

    /// As `Entry::answer`.
    pub(super) fn answer(&self, request: &RequestHead, now: SystemTime) -> Option<(ResponseHead, Body)> {
        let Reply { head, pieces } = self.reading.reply(request, now)?;
        Some((head, body(self.object, &self.reading.stored, &pieces)))
    }
}

impl Reading {
    fn of<'a>(object: &'a Object, knobs: &Knobs) -> Option<&'a Self> {
        let length = object.length();
        let read = || {
            let stored = card::read(&object.label().head, Some(length), knobs)?;
            let mut ready = reply::ready(&stored);
            status::make_room(&mut ready.fields);
            if !ready.fields.contains(header::SERVER) {
                // As every answer has it in the end.
                ready.fields.set(header::SERVER, Value::from_static("weir"));
            }
            Some(Self { stored, ready })
        };
        object.label().reading::<Option<Self>>(|_| read())?.as_ref()
    }

    /// What was read before.
    fn again(object: &Object) -> Option<&Self> {
        object.label().reading::<Option<Self>>(|_| None)?.as_ref()
    }

    fn reply(&self, request: &RequestHead, now: SystemTime) -> Option<Reply> {
        reply::reply_with(&self.ready, &self.stored, request, now, boundary(request))
    }
}

/// What tells the parts of an answer with several ranges apart.
fn boundary(request: &RequestHead) -> u64 {
    if request.fields.contains(header::RANGE) { RandomState::new().hash_one(0_u8) } else { 0 }
}

fn body(object: &Object, stored: &Stored, pieces: &[Piece]) -> Body {
    match pieces {
        [] => Body::Empty,
        [Piece::Range(range)] if range.first == 0 && range.length() == object.length() => object.body(),
        pieces => Body::Parts(Parts::of(pieces.iter().flat_map(|piece| match piece {
            Piece::Text(text) => vec![Part::Bytes(text.clone())],
            Piece::Range(range) => part(object, stored, *range),
        }))),
    }
}

fn part(object: &Object, stored: &Stored, range: Range) -> Vec<Part> {
    let mut before = 0;
    for held in stored.held.ranges() {
        if held.first <= range.first && range.last <= held.last {
            return object.part(before + (range.first - held.first), range.length());
        }
        before += held.length();
    }
    Vec::new()
}

impl Borrow<Stored> for Hit<'_> {
    fn borrow(&self) -> &Stored {
        self.stored()
    }
}

impl Borrow<Stored> for Entry {
    fn borrow(&self) -> &Stored {
        self.stored()
    }
}

/// What nobody has to wait for under a key.
pub(super) fn at_hand(shelf: &Shelf, key: &[u8], now: SystemTime, knobs: &Knobs) -> Vec<Entry> {
    let objects = shelf.at_hand(key, now);
    objects.iter().flat_map(|objects| objects.iter()).filter_map(|object| Entry::of(object.clone(), knobs)).collect()
}

/// What is anywhere under a key.
pub(super) async fn find(shelf: &Shelf, key: &[u8], now: SystemTime, knobs: &Knobs) -> Vec<Entry> {
    shelf.find(key, now).await.into_iter().filter_map(|object| Entry::of(object, knobs)).collect()
}

/// The label of a response under a key, with tags beside its own.
pub(super) fn label(key: &[u8], stored: &Stored, more: &[Box<str>], knobs: &Knobs) -> Label {
    let variant = card::selection(&stored.selection);
    let answered = stored.times.answered;
    let policy = &stored.policy;
    let stale = [policy.stale_while_revalidate, policy.stale_if_error, Some(knobs.stale_if_error)];
    let stale = stale.into_iter().flatten().max().unwrap_or_default();
    let asking = if stored.validators.etag.is_some() || stored.validators.modified.is_some() {
        WORTH_ASKING
    } else {
        Duration::ZERO
    };
    let left = policy.lifetime.saturating_sub(policy.age) + stale.max(asking);
    let expires = answered.checked_add(left).unwrap_or(answered);
    let own = stored.tags.iter().map(|tag| Box::<str>::from(tag.as_str()));
    let mut tags: Vec<Box<str>> = own.chain(more.iter().cloned()).collect();
    tags.sort();
    tags.dedup();
    Label::of(key, &variant, &card::write(stored), answered, expires).of_kind(order::kind(&stored.head)).tagged(tags)
}
