//! Files as answers: to a route with a root, to an upstream that names one, to a filter that does.
//!
//! How a file is found and what is sent of it is known below, in `files/`; here it is known who asks, and what was said of
//! the answer before.

use http::header;

use super::route::Place;
use super::{Answer, Exchange, accel};
use crate::body::Body;
use crate::failure::{Failure, Kind};
use crate::files::Asked;
use crate::message::{self, Fields, Method, Name, ResponseHead, Status};

/// A file that an upstream named.
pub(super) struct Named {
    pub(super) root: usize,
    /// Beneath the root.
    pub(super) path: Vec<u8>,
    pub(super) is_temporary: bool,
}

/// What may make an answer less than the whole of what there is.
const CONDITIONS: [Name; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// The file that the request's path names beneath a route's root.
pub(super) async fn of_route(exchange: &mut Exchange, place: Place) -> Answer {
    let Some(path) = beneath(exchange.facts.request.path()) else {
        return Answer::of(exchange, &Failure::of(Kind::NoFile, "the path cannot be a file's"));
    };
    let asked = Asked {
        root: place.root,
        path: &path,
        request: &exchange.facts.request,
        // Nobody is sent to a path that only an upstream knows.
        known_as: if exchange.led.is_some() { None } else { Some(place.known_as.path()) },
        given: accel::given(exchange),
        temporary: false,
    };
    let found = exchange.local.files.answer(&exchange.local.generation.roots, asked).await;
    answer(exchange, found)
}

/// The file that an upstream named.
pub(super) async fn of_upstream(exchange: &mut Exchange, named: Named) -> Answer {
    let asked = Asked {
        root: named.root,
        path: &named.path,
        request: &exchange.facts.request,
        known_as: None,
        given: accel::given(exchange),
        temporary: named.is_temporary,
    };
    let found = exchange.local.files.answer(&exchange.local.generation.roots, asked).await;
    answer(exchange, found)
}

/// The file that a filter answers with, under a head of its own: its fields stand in the place of the file's. To whatever
/// method, it is read. Another status than 200 is the filter's own word, and no condition of the client's is about that
/// (RFC 9110, section 13.2.1).
pub(super) async fn of_filter(exchange: &mut Exchange, root: usize, path: &str, head: ResponseHead) -> Answer {
    let ResponseHead { status, fields: given } = head;
    let mut request = exchange.facts.request.clone();
    let is_read = request.method == Method::GET || request.method == Method::HEAD;
    if !is_read {
        request.method = Method::GET;
    }
    if !is_read || status != Status::OK {
        forget_conditions(&mut request.fields);
    }
    let asked = Asked { root, path: path.as_bytes(), request: &request, known_as: None, given, temporary: false };
    let found = exchange.local.files.answer(&exchange.local.generation.roots, asked).await;
    let found = found.map(|(mut head, body)| {
        if head.status == Status::OK {
            head.status = status;
        }
        (head, body)
    });
    answer(exchange, found)
}

/// Takes off what may make an answer less than the whole of what there is.
pub(super) fn forget_conditions(fields: &mut Fields) {
    for name in CONDITIONS {
        fields.remove(name);
    }
}

fn answer(exchange: &mut Exchange, found: Result<(ResponseHead, Body), Failure>) -> Answer {
    match found {
        Ok((head, body)) => Answer { head, body, upstream: None, said: None },
        Err(failure) => Answer::of(exchange, &failure),
    }
}

/// Where a target's path is beneath a root: decoded, without its first slash. An escaped slash stands in no file's name.
fn beneath(path: &str) -> Option<Vec<u8>> {
    let path = path.strip_prefix('/')?;
    if path.contains("%2F") || path.contains("%00") { None } else { message::accel::decode(path.as_bytes()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_beneath_a_root() {
        for (path, expected) in [
            ("/", Some("")),
            ("/a/b", Some("a/b")),
            ("/a/", Some("a/")),
            ("/a%20b%C3%B6", Some("a bö")),
            ("/100%25", Some("100%")),
            ("/%252F", Some("%2F")),
            ("/a%5Cb", Some("a\\b")),
            ("/a%2Fb", None),
            ("/a%00", None),
            ("*", None),
        ] {
            assert_eq!(beneath(path).as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
