//! What goes back, and the one place where a failure becomes it.

use std::ops::ControlFlow::{self, Break};

use bytes::Bytes;
use http::header;

use super::Exchange;
use crate::body::Body;
use crate::failure::{Blame, Failure, Kind};
use crate::message::accel::Said;
use crate::message::{ResponseHead, Status, Value, Version, answer};

/// An answer.
pub struct Answer {
    /// Its head.
    pub head: ResponseHead,
    /// Its body.
    pub body: Body,
    /// The version the upstream spoke; `None` when the answer was made here.
    pub upstream: Option<Version>,
    /// What the upstream said to the gateway beside it, if that is heeded.
    pub said: Option<Box<Said>>,
}

impl Answer {
    /// An answer that was made here.
    #[must_use]
    pub fn made(head: ResponseHead, body: Bytes) -> Self {
        Self { head, body: body.into(), upstream: None, said: None }
    }

    /// The answer to a failure; the failure is noted and logged.
    pub(super) fn of(exchange: &mut Exchange, failure: &Failure) -> Self {
        exchange.fail(failure);
        let kind = failure.kind;
        let status = Status::from_u16(kind.status()).unwrap_or(Status::INTERNAL_SERVER_ERROR);
        let mut answer = Self::of_status(exchange, status, kind.public_text());
        if ends_connection(kind) {
            answer.head.fields.set(header::CONNECTION, Value::from_static("close"));
        }
        if kind == Kind::MethodNotAllowed {
            answer.head.fields.set(header::ALLOW, READING);
        }
        if status == Status::SERVICE_UNAVAILABLE {
            answer.head.fields.set(header::RETRY_AFTER, RETRY_AFTER);
        }
        answer
    }

    /// A failure's answer, as the end of the phases.
    pub(super) fn broken<T>(exchange: &mut Exchange, failure: impl Into<Failure>) -> ControlFlow<Self, T> {
        Break(Self::of(exchange, &failure.into()))
    }

    /// The site's page for a status, or a short text of ours.
    pub(super) fn of_status(exchange: &Exchange, status: Status, sentence: &str) -> Self {
        let (facts, local) = (&exchange.facts, &exchange.local);
        let method = &facts.request.method;
        let page = exchange.site.and_then(|site| local.generation.error_page(site, status.as_u16()));
        let (head, body) = match page {
            Some((page, kind)) => answer::page(method, status, page, kind, &facts.request_id),
            None => {
                let form = answer::form(&facts.request.fields);
                answer::error(method, status, sentence, &facts.request_id, form)
            }
        };
        Self::made(head, body)
    }
}

/// What files know (RFC 9110, section 15.5.6).
const READING: Value = Value::from_static("GET, HEAD");

/// Seconds; short, because what is not there now (a filter's instance, a seat) is usually there at the next try.
const RETRY_AFTER: Value = Value::from_static("1");

/// After these the gateway does not know, or does not want to know, what the client sends next (RFC 9112, section 9.6).
const fn ends_connection(kind: Kind) -> bool {
    match kind {
        Kind::NoRoute | Kind::NoFile | Kind::FileForbidden | Kind::MethodNotAllowed | Kind::TooEarly => false,
        _ => matches!(kind.blame(), Blame::Client),
    }
}
