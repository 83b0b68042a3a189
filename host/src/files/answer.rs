//! A file as an answer: head, and body as parts.

use super::open::Opened;
use crate::body::{Extent, Part, Parts};
use crate::config::Root;
use crate::message::conditional::{self, Outcome, Validators};
use crate::message::{Coding, Fields, Method, RequestHead, ResponseHead, Status, Value, name};

/// A file that was chosen for an answer.
pub(super) struct Chosen<'a> {
    /// Its root.
    pub(super) root: &'a Root,
    /// The file.
    pub(super) opened: &'a Opened,
    /// The file that was asked for, if this is a coded one that stands in its place.
    pub(super) plain: Option<(&'a Opened, Coding)>,
}

impl Chosen<'_> {
    /// The answer, and whether its body has bytes of the file.
    pub(super) fn answer(&self, request: &RequestHead, given: Fields) -> (ResponseHead, Option<Parts>) {
        let length = self.opened.stand.size;
        let validators = if given.contains(name::ETAG) || given.contains(name::LAST_MODIFIED) {
            Validators::stated(&given)
        } else {
            self.opened.said.validators.clone()
        };
        let whole = self.head(given);
        match conditional::evaluate(&request.method, &request.fields, &validators) {
            Outcome::Perform => {}
            outcome => return (outcome.head(whole), None),
        }
        let mut head = whole;
        head.fields.set(name::CONTENT_LENGTH, Value::from(length));
        (head, (request.method != Method::HEAD).then(|| Parts::of([self.part()])))
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
        set_if_absent(fields, name::CACHE_CONTROL, self.root.cache_control.as_ref());
        if let Some((_, coding)) = self.plain {
            fields.set(name::CONTENT_ENCODING, coding.value());
        }
        if !self.root.precompressed.is_empty() {
            fields.append(name::VARY, Value::from_static("Accept-Encoding"));
        }
        head
    }

    fn part(&self) -> Part {
        match &self.opened.bytes {
            Some(bytes) => Part::Bytes(bytes.clone()),
            None => Part::Extent(Extent { file: self.opened.file.clone(), offset: 0, length: self.opened.stand.size }),
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
