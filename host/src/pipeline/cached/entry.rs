//! What a key has on the shelves, as the rules see it, and answers from it.

use std::borrow::Borrow;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header;

use super::card;
use crate::body::{Body, Part, Parts};
use crate::cache::reply::{self, Reply};
use crate::cache::{Knobs, Stored, order, validate, weights};
use crate::message::ranges::{Piece, Range};
use crate::message::{Fields, RequestHead, ResponseHead};
use crate::shelf::{Label, Object, Shelf};

/// A stored response with its content.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) object: Object,
    stored: Reading,
}

/// What was read of a head: shared by everybody, or of this moment.
#[derive(Debug, Clone)]
enum Reading {
    Shared(Arc<Option<Stored>>),
    Own(Box<Stored>),
}

/// What can be validated is worth keeping for a while after nobody may use it unasked.
const WORTH_ASKING: Duration = Duration::from_secs(86_400);

impl Entry {
    /// `None` if its head cannot be read. What was purged softly has no lifetime left.
    fn of(object: Object, knobs: &Knobs) -> Option<Self> {
        let length = object.length();
        let stored = object.label().reading(|label| card::read(&label.head, Some(length), knobs))?;
        let is_stale = object.is_stale();
        let reading = match stored.as_ref() {
            None => return None,
            Some(_) if !is_stale => Reading::Shared(stored),
            Some(stored) => {
                let mut stale = stored.clone();
                stale.policy.lifetime = Duration::ZERO;
                Reading::Own(Box::new(stale))
            }
        };
        Some(Self { object, stored: reading })
    }

    pub(super) fn stored(&self) -> &Stored {
        match &self.stored {
            Reading::Shared(stored) => (**stored).as_ref().expect("an entry is made of what could be read"),
            Reading::Own(stored) => stored,
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
        Self { object: self.object.clone(), stored: Reading::Own(Box::new(stored)) }
    }

    /// The answer to a request from it; `None` if it wants what is not here.
    pub(super) fn answer(&self, request: &RequestHead, now: SystemTime) -> Option<(ResponseHead, Body)> {
        let boundary = if request.fields.contains(header::RANGE) { RandomState::new().hash_one(0_u8) } else { 0 };
        let Reply { head, pieces } = reply::reply(self.stored(), request, now, boundary)?;
        let body = match pieces.as_slice() {
            [] => Body::Empty,
            [Piece::Range(range)] if range.first == 0 && range.length() == self.object.length() => self.object.body(),
            pieces => Body::Parts(Parts::of(pieces.iter().flat_map(|piece| self.parts(piece)))),
        };
        Some((head, body))
    }

    /// The bytes of its content from one place on.
    pub(super) fn range(&self, range: Range) -> Vec<Part> {
        let mut before = 0;
        for held in self.stored().held.ranges() {
            if held.first <= range.first && range.last <= held.last {
                return self.object.part(before + (range.first - held.first), range.length());
            }
            before += held.length();
        }
        Vec::new()
    }

    fn parts(&self, piece: &Piece) -> Vec<Part> {
        match piece {
            Piece::Text(text) => vec![Part::Bytes(text.clone())],
            Piece::Range(range) => self.range(*range),
        }
    }
}

impl Borrow<Stored> for Entry {
    fn borrow(&self) -> &Stored {
        self.stored()
    }
}

/// What is in memory under a key.
pub(super) fn at_hand(shelf: &Shelf, key: &[u8], knobs: &Knobs) -> Vec<Entry> {
    let objects = shelf.at_hand(key);
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
