//! What the origin is asked, for whom and why; and how a client's request is changed into that.

use std::cmp::Reverse;

use bytes::Bytes;
use http::header;

use super::super::files;
use super::entry::Entry;
use super::join;
use crate::cache::lookup::Found;
use crate::cache::status::Forward;
use crate::cache::{Stored, partial, validate};
use crate::message::{Method, Name, RequestHead, ResponseHead, Status};
use crate::shelf::Leader;

/// What the origin is asked, and for whom.
pub(super) struct Errand {
    pub(super) key: Bytes,
    pub(super) question: Question,
    /// Why it is asked.
    pub(super) why: Forward,
    /// Who waits for the answer.
    pub(super) leader: Option<Leader>,
    /// It is asked for everybody: what the client has already is not said, and answered from what comes.
    pub(super) is_for_all: bool,
    /// Its answer may be kept.
    pub(super) keeps: bool,
}

/// What is asked.
pub(super) enum Question {
    /// What the client asks.
    Whole,
    /// Whether this still holds.
    Whether(Entry),
    /// What is missing to the whole.
    Rest(Entry),
    /// All of what the client wants a part of.
    Fill,
    /// Which of these, that were for others, is for this client too, if one is (RFC 9111, section 4.1).
    Which(Vec<Entry>),
}

/// What a client says of what it has. What it says of what there must be is for the origin.
pub(super) const CONDITIONS: [Name; 2] = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE];

/// Of a client's request, what was changed into a question becomes again what it said.
pub(super) fn give_back(request: &mut RequestHead, client: &RequestHead) {
    for name in [header::RANGE, header::IF_RANGE].iter().chain(&CONDITIONS) {
        request.fields.remove(name);
        client.fields.lines(name).for_each(|line| request.fields.append(name.clone(), line.clone()));
    }
}

impl Errand {
    /// Changes the request into what is asked; whether that is another thing then.
    pub(super) fn put(&self, request: &mut RequestHead) -> bool {
        if self.is_for_all {
            CONDITIONS.iter().for_each(|name| {
                request.fields.remove(name);
            });
        }
        self.question.put(request)
    }
}

impl Question {
    /// What the origin has to be asked for want of something that does, and why.
    pub(super) fn of(found: &Found, entries: &[Entry], request: &RequestHead) -> (Self, Forward) {
        let about = |at: usize, ask: fn(Entry) -> Self| entries.get(at).cloned().map_or(Self::Whole, ask);
        match *found {
            Found::Nothing(why @ Forward::VaryMiss) => (Self::of_variants(entries, request), why),
            Found::Nothing(why) => (Self::Whole, why),
            Found::Validate { at, why } => (about(at, Self::Whether), why),
            Found::Complete { at } => (about(at, Self::Rest), Forward::Partial),
            Found::Use { .. } | Found::Unavailable => (Self::Whole, Forward::Miss),
        }
    }

    /// The same, for everybody.
    pub(super) fn for_all(self, request: &RequestHead) -> Self {
        match self {
            Self::Whole if request.fields.contains(header::RANGE) => Self::Fill,
            question => question,
        }
    }

    /// What is asked where nothing that is stored is for a request. An origin may give one tag to a content in several
    /// codings, so none is asked about that the client might not understand; and one to what it makes of it for several
    /// clients, so none is that was made for one of them.
    fn of_variants(entries: &[Entry], request: &RequestHead) -> Self {
        let is_plain = request.method == Method::GET && !request.fields.contains(header::RANGE);
        let is_of_use = |stored: &Stored| stored.held.is_whole() && !stored.selection.is_personal();
        let known = |entry: &&Entry| is_plain && is_of_use(entry.stored()) && entry.is_understood(request);
        let mut entries: Vec<Entry> = entries.iter().filter(known).cloned().collect();
        entries.sort_by_key(|entry| Reverse(entry.object.last_use()));
        if entries.is_empty() { Self::Whole } else { Self::Which(entries) }
    }

    /// Changes the request into it; whether it is another one then.
    fn put(&self, request: &mut RequestHead) -> bool {
        match self {
            Self::Whole => false,
            Self::Fill => {
                request.fields.remove(header::RANGE);
                request.fields.remove(header::IF_RANGE);
                true
            }
            Self::Whether(entry) => validate::ask(&mut request.fields, entry.stored()),
            Self::Which(entries) => validate::ask_variants(&mut request.fields, entries),
            Self::Rest(entry) => {
                let wants_whole = request.method == Method::GET && !request.fields.contains(header::RANGE);
                let Some(rest) = partial::rest(entry.stored()).filter(|_| wants_whole) else { return false };
                files::forget_conditions(&mut request.fields);
                request.fields.set(header::RANGE, rest.range);
                request.fields.set(header::IF_RANGE, rest.validator);
                true
            }
        }
    }

    /// Whether the answer says nothing about what was asked, so that the whole has to be asked for.
    pub(super) fn is_unanswered(&self, head: &ResponseHead) -> bool {
        match self {
            Self::Whole | Self::Fill => false,
            Self::Whether(entry) => head.status == Status::NOT_MODIFIED && !validate::is_meant(entry.stored(), head),
            Self::Which(entries) => head.status == Status::NOT_MODIFIED && validate::meant(entries, head).is_empty(),
            Self::Rest(entry) => match head.status {
                Status::PARTIAL_CONTENT => !join::fits(entry, &head.fields),
                Status::RANGE_NOT_SATISFIABLE | Status::NOT_MODIFIED => true,
                _ => false,
            },
        }
    }

    pub(super) fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Whole | Self::Fill | Self::Which(_) => None,
            Self::Whether(entry) | Self::Rest(entry) => Some(entry),
        }
    }
}
