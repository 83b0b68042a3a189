//! A file as an answer: head, and body as parts.

use super::open::{Content, Opened};
use crate::body::{Extent, Part};
use crate::config::Root;
use crate::message::conditional::{self, Outcome, Validators};
use crate::message::ranges::{self, Piece, Range, Ranges};
use crate::message::{Coding, Fields, Method, RequestHead, ResponseHead, Status, Value, name};

/// A file that was chosen for an answer.
pub(super) struct Chosen<'a> {
    /// Its root.
    pub(super) root: &'a Root,
    /// The file.
    pub(super) opened: &'a Opened,
    /// The file that was asked for, if this is a coded one that stands in its place.
    pub(super) plain: Option<(&'a Opened, Coding)>,
    /// Another client might get another one.
    pub(super) varies: bool,
}

impl Chosen<'_> {
    /// The answer's head, and its body where it has one that is the file's.
    pub(super) fn answer(&self, request: &RequestHead, given: Fields) -> (ResponseHead, Option<Vec<Part>>) {
        let length = self.opened.stand.size;
        let validators = if given.contains(name::ETAG) || given.contains(name::LAST_MODIFIED) {
            Validators::stated(&given)
        } else {
            self.opened.said.validators.clone()
        };
        let takes_ranges = given.get(name::ACCEPT_RANGES).is_none_or(|value| value != "none");
        let whole = self.head(given);
        match conditional::evaluate(&request.method, &request.fields, &validators) {
            Outcome::Perform => {}
            outcome => return (outcome.head(whole), None),
        }
        let wanted = match takes_ranges {
            true => ranges::wanted(&request.method, &request.fields, &validators, length),
            false => Ranges::Whole,
        };
        let (head, pieces) = ranges::answer(&wanted, whole, length, fastrand::u64(..));
        let has_body = request.method != Method::HEAD && wanted != Ranges::Unsatisfiable;
        (head, has_body.then(|| pieces.into_iter().map(|piece| self.part(piece)).collect()))
    }

    /// The head of an answer with all of it. What is given stays as it is, but for what only the gateway can know.
    fn head(&self, given: Fields) -> ResponseHead {
        let mut head = ResponseHead { status: Status::OK, fields: given };
        let fields = &mut head.fields;
        for framing in [name::CONTENT_LENGTH, name::CONTENT_RANGE, name::TRANSFER_ENCODING] {
            fields.remove(framing);
        }
        let has_validators = fields.contains(name::ETAG) || fields.contains(name::LAST_MODIFIED);
        let said = &self.opened.said;
        let named = self.plain.map_or(self.opened, |(plain, _)| plain);
        set_if_absent(fields, name::CONTENT_TYPE, Some(&named.said.kind));
        if !has_validators {
            set_if_absent(fields, name::LAST_MODIFIED, said.modified.as_ref());
            set_if_absent(fields, name::ETAG, said.validators.etag.as_ref());
        }
        set_if_absent(fields, name::ACCEPT_RANGES, Some(&Value::from_static("bytes")));
        set_if_absent(fields, name::CACHE_CONTROL, self.root.cache_control.as_ref());
        if let Some((_, coding)) = self.plain {
            fields.set(name::CONTENT_ENCODING, coding.value());
        }
        if self.varies {
            fields.append(name::VARY, Value::from_static("Accept-Encoding"));
        }
        head
    }

    fn part(&self, piece: Piece) -> Part {
        let Range { first, last } = match piece {
            Piece::Range(range) => range,
            Piece::Text(text) => return Part::Bytes(text),
        };
        match &self.opened.content {
            Content::Bytes(bytes) => {
                let of = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
                Part::Bytes(bytes.slice(of(first)..of(last.saturating_add(1))))
            }
            Content::File(file) => {
                Part::Extent(Extent { file: file.clone(), offset: first, length: Range { first, last }.length() })
            }
        }
    }
}

fn set_if_absent(fields: &mut Fields, name: crate::message::Name, value: Option<&Value>) {
    if let Some(value) = value
        && !fields.contains(&name)
    {
        fields.set(name, value.clone());
    }
}
