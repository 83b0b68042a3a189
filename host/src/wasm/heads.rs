//! What a call hands over, held outside of the store: while a guest runs, its store and everything in it is taken.
//!
//! Values are shared, not copied; only several lines of one field are joined into bytes of their own.

use http::uri::PathAndQuery;

use crate::message::{Authority, Facts, Fields, Method, Name, RequestHead, Value, Variables, name};

/// The parts of a request's head.
pub(super) struct OwnedRequest {
    pub(super) method: Method,
    pub(super) scheme: &'static str,
    pub(super) authority: Authority,
    pub(super) target: PathAndQuery,
}

/// The values that a filter's plan named, in its order.
pub(super) struct Wanted(Vec<Option<Lines>>);

enum Lines {
    One(Value),
    Joined(Vec<u8>),
}

impl OwnedRequest {
    pub(super) fn of(head: &RequestHead) -> Self {
        Self {
            method: head.method.clone(),
            scheme: head.scheme.as_str(),
            authority: head.authority.clone(),
            target: head.target().clone(),
        }
    }
}

impl Wanted {
    /// Of a request. Its `host` is the authority, which is no field here.
    pub(super) fn of_request(names: &[Name], head: &RequestHead) -> Self {
        let value = |wanted: &Name| match *wanted == name::HOST {
            true => Some(Lines::One(head.authority.value().clone())),
            false => Lines::of(wanted, &head.fields),
        };
        Self(names.iter().map(value).collect())
    }

    /// Of a response; nothing is there before there is one.
    pub(super) fn of_response(names: &[Name], fields: Option<&Fields>) -> Self {
        Self(names.iter().map(|wanted| Lines::of(wanted, fields?)).collect())
    }

    pub(super) fn borrowed(&self) -> Vec<Option<&[u8]>> {
        self.0.iter().map(|lines| lines.as_ref().map(Lines::bytes)).collect()
    }
}

impl Lines {
    fn of(wanted: &Name, fields: &Fields) -> Option<Self> {
        let mut lines = fields.lines(wanted);
        let first = lines.next()?;
        match lines.next() {
            None => Some(Lines::One(first.clone())),
            Some(_) => fields.joined(wanted).map(Lines::Joined),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Lines::One(value) => value.as_bytes(),
            Lines::Joined(bytes) => bytes,
        }
    }
}

/// Facts that say as little as possible, to stand where the true ones stood while those are in a store.
pub(super) fn placeholder(facts: &Facts) -> Facts {
    let request = &facts.request;
    Facts {
        id: facts.id,
        request_id: String::new(),
        client: None,
        secured: None,
        request: RequestHead::of(
            Method::GET,
            request.scheme,
            request.authority.clone(),
            PathAndQuery::from_static("/"),
        ),
        response: None,
        site: facts.site.clone(),
        route: facts.route.clone(),
        pool: None,
        member: None,
        variables: Variables::default(),
    }
}
