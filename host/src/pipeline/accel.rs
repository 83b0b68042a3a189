//! What an upstream says beside its answer (`X-Accel-*`, `X-Sendfile*`) is done: a file or another route answers in its
//! place, as if the client had asked for that, and some of what the upstream said of its answer stands.
//!
//! The request becomes one to read, and is what it was when the other answer is there. How often that happens in an
//! exchange is counted.

use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;

use http::header;
use http::uri::PathAndQuery;

use super::files::{self, Named};
use super::route::{self, Bound, Routed};
use super::{Answer, Exchange, passage};
use crate::config::Accel;
use crate::failure::{Failure, Kind};
use crate::generation::{Generation, RouteKey};
use crate::message::accel::{Lead, Place, Said};
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Status, Value, charset};

/// Where upstreams' answers have led an exchange.
#[derive(Default)]
pub(super) struct Led {
    /// How often they did.
    hops: usize,
    /// What the answer says whatever it is, but for cookies. Who led first has the last word.
    given: Fields,
}

/// A way on from an upstream's answer.
pub(super) enum Way {
    /// To a file.
    File(Named),
    /// Once more through a route.
    Route(Routed),
    /// To this answer.
    Nowhere(Failure),
}

/// What stands of an answer that led on, and what the request was.
pub(super) struct Turn {
    request: RequestHead,
    /// The request's fields are among it: somebody will look at them once more.
    is_whole: bool,
    route: Arc<str>,
    kept: Fields,
    charset: Option<String>,
}

/// As many as nginx follows.
const MOST_HOPS: usize = 10;

/// What stands of an answer that leads on: what nginx and Cherokee keep.
const KEPT: [Name; 6] = [
    header::CONTENT_TYPE,
    header::CONTENT_DISPOSITION,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::ACCEPT_RANGES,
];

/// Never kept: they speak of a body that nobody gets.
const OF_BODY: [Name; 4] =
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::TRANSFER_ENCODING];

/// What a request says of its body.
const OF_REQUEST_BODY: [Name; 7] = [
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_LOCATION,
    header::EXPECT,
    header::TRAILER,
];

/// What was said beside an answer, if it is heeded.
pub(super) fn read(exchange: &Exchange, bound: &Bound, lines: &[(Name, Value)]) -> Result<Option<Box<Said>>, Failure> {
    if !plan(&exchange.local.generation, bound).is_some_and(|accel| accel.follow) {
        return Ok(None);
    }
    let said = Said::read(lines)
        .map_err(|bad| Failure::of(Kind::BadResponse, format!("X-Accel-Redirect or X-Sendfile: {}", bad.0)))?;
    Ok((said != Said::default()).then(|| Box::new(said)))
}

/// What holds for what is said: the route's word, or else that of the pool that answered.
fn plan<'g>(generation: &'g Generation, bound: &Bound) -> Option<&'g Accel> {
    let of_route = generation.route(bound.key)?.accel.as_ref();
    of_route.or_else(|| Some(&generation.pool(bound.pool)?.plan.accel))
}

/// Does what was said. The answer may stay; or else the exchange is ready for another one.
pub(super) fn turn(
    exchange: &mut Exchange,
    bound: Bound,
    said: Said,
    mut answer: Answer,
) -> ControlFlow<Answer, (Turn, Way)> {
    exchange.rate = exchange.rate.or(said.rate);
    let Some(lead) = said.lead else {
        if let Some(charset) = &said.charset {
            charset::set(&mut answer.head.fields, charset);
        }
        return Break(answer);
    };
    let kept = plan(&exchange.local.generation, &bound).map(|plan| kept(plan, &answer.head.fields)).unwrap_or_default();
    passage::give_up(answer.body);
    let hops = count(exchange, &kept);
    let generation = &exchange.local.generation;
    let is_whole = generation.route_chain(bound.key).is_some() || generation.cache(bound.key).is_some();
    let facts = &mut exchange.facts;
    tracing::debug!(id = &*facts.request_id, to = %lead, hops, "an upstream's answer leads elsewhere");
    let request = if is_whole { facts.request.clone() } else { without_fields(&facts.request) };
    let turn = Turn { request, is_whole, route: facts.route.clone(), kept, charset: said.charset };
    only_read(&mut facts.request);
    let way = match hops > MOST_HOPS {
        true => Way::Nowhere(Failure::of(Kind::RedirectLoop, format!("led elsewhere more than {MOST_HOPS} times"))),
        false => way(exchange, bound, lead),
    };
    Continue((turn, way))
}

/// All of a request but its fields, of which a copy would cost more than all the rest.
fn without_fields(request: &RequestHead) -> RequestHead {
    let RequestHead { method, scheme, authority, version, .. } = request;
    let target = request.target().clone();
    let mut head = RequestHead::of(method.clone(), *scheme, authority.clone(), target);
    head.version = *version;
    head
}

/// Of an answer that leads on, the fields that stand.
fn kept(plan: &Accel, fields: &Fields) -> Fields {
    let validators: &[Name] = if plan.upstream_validators { &[header::ETAG, header::LAST_MODIFIED] } else { &[] };
    let mut kept = Fields::default();
    for name in KEPT.iter().chain(validators).chain(&plan.keep_fields) {
        if !OF_BODY.contains(name) && !kept.contains(name) {
            fields.lines(name).for_each(|line| kept.append(name.clone(), line.clone()));
        }
    }
    kept
}

/// Counts one more hop, with what stands of the answer that led there; how many there are.
fn count(exchange: &mut Exchange, kept: &Fields) -> usize {
    let led = exchange.led.get_or_insert_default();
    for name in kept.names().filter(|name| **name != header::SET_COOKIE) {
        if !led.given.contains(name) {
            kept.lines(name).for_each(|line| led.given.append(name.clone(), line.clone()));
        }
    }
    led.hops += 1;
    led.hops
}

/// What a file's answer says by the word of those that led to it.
pub(super) fn given(exchange: &Exchange) -> Fields {
    exchange.led.as_ref().map(|led| led.given.clone()).unwrap_or_default()
}

/// Makes it a request to read something. What its body brought about was done; what its conditions were about, too, if it
/// was not one to read before (RFC 9110, sections 13.2.1 and 14.2).
fn only_read(request: &mut RequestHead) {
    if request.method != Method::GET && request.method != Method::HEAD {
        request.method = Method::GET;
        files::forget_conditions(&mut request.fields);
    }
    for name in OF_REQUEST_BODY {
        request.fields.remove(name);
    }
}

fn way(exchange: &mut Exchange, bound: Bound, lead: Lead) -> Way {
    let local = exchange.local.clone();
    let generation = &local.generation;
    let request = &mut exchange.facts.request;
    let nothing = |detail| Way::Nowhere(Failure::of(Kind::NoRoute, detail));
    let site = bound.key.site;
    let found = match lead {
        Lead::Route(name) => {
            match &bound.before {
                Some(before) => request.set_target(before.clone()),
                // Nobody can be asked to read that.
                None if request.path() == "*" => request.set_target(PathAndQuery::from_static("/")),
                None => {}
            }
            generation.named_route(site, &name)
        }
        Lead::Path(place) => {
            if let Some(named) = file(generation, &bound, &place) {
                return Way::File(named);
            }
            if place.is_temporary {
                let detail = "X-Sendfile-Temporary is under no root that upstreams may name";
                return Way::Nowhere(Failure::of(Kind::NoFile, detail));
            }
            let Ok(target) = place.target() else { return nothing("an upstream named a path that climbs") };
            request.set_target(target);
            generation.routes.find_within(site, request).map(|route| RouteKey { site, route })
        }
    };
    let Some(key) = found else { return nothing("no route for what an upstream named") };
    match route::again(exchange, key, bound) {
        Ok(routed) => Way::Route(routed),
        Err(failure) => Way::Nowhere(failure),
    }
}

/// The file that a path is, if it lies under a root that the upstream may name.
fn file(generation: &Generation, bound: &Bound, place: &Place) -> Option<Named> {
    let among = plan(generation, bound)?.roots.as_deref();
    let path = place.path().ok()?;
    let (root, path) = generation.roots.find(&path, among)?;
    Some(Named { root, path: path.to_vec(), is_temporary: place.is_temporary })
}

impl Turn {
    /// The other answer is there: the request is what it was, and the answer says what the first one did.
    pub(super) fn end(self, exchange: &mut Exchange, mut answer: Answer) -> Answer {
        let led = std::mem::replace(&mut exchange.facts.request, self.request);
        if !self.is_whole {
            exchange.facts.request.fields = led.fields;
        }
        exchange.facts.route = self.route;
        let head = &mut answer.head;
        stand(&self.kept, head);
        if let Some(charset) = self.charset.filter(|_| !is_error(head.status)) {
            charset::set(&mut head.fields, &charset);
        }
        answer
    }
}

/// Puts what is kept in the place of what the answer says itself. Cookies come on top, and of an error nothing else is true.
fn stand(kept: &Fields, head: &mut ResponseHead) {
    let has_cookies = head.fields.contains(header::SET_COOKIE);
    kept.lines(header::SET_COOKIE).for_each(|line| head.fields.append(header::SET_COOKIE, line.clone()));
    let names = kept.names().filter(|name| **name != header::SET_COOKIE && may_stand(name, head));
    for name in names.cloned().collect::<Vec<_>>() {
        // What an answer varies by is the sum of what everybody says (a file says it already). And who set a cookie may have
        // said that no shared cache gives it to others: nobody else takes that back.
        let is_sum = name == header::VARY || (name == header::CACHE_CONTROL && has_cookies);
        if !is_sum {
            head.fields.remove(&name);
        }
        for line in kept.lines(&name) {
            if !head.fields.lines(&name).any(|known| known == line) {
                head.fields.append(name.clone(), line.clone());
            }
        }
    }
}

fn may_stand(name: &Name, head: &ResponseHead) -> bool {
    match head.status {
        status if is_error(status) => false,
        // RFC 9110, section 15.4.5: nothing that describes what is not sent.
        Status::NOT_MODIFIED => !name.as_str().starts_with("content-") && *name != header::ACCEPT_RANGES,
        // The boundary is said there (RFC 9110, section 14.6).
        Status::PARTIAL_CONTENT => *name != header::CONTENT_TYPE || !is_multipart(&head.fields),
        _ => true,
    }
}

fn is_error(status: Status) -> bool {
    status.is_client_error() || status.is_server_error()
}

fn is_multipart(fields: &Fields) -> bool {
    let kind = fields.get(header::CONTENT_TYPE).and_then(|kind| kind.as_bytes().get(..20));
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/byteranges"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    fn text(fields: &Fields) -> String {
        let mut text = Vec::new();
        fields.write(&mut text);
        String::from_utf8(text).unwrap()
    }

    const SAID: &[(&str, &str)] = &[
        ("content-type", "image/png"),
        ("content-length", "0"),
        ("content-encoding", "gzip"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("cache-control", "private"),
        ("etag", "\"x\""),
        ("x-other", "1"),
    ];

    #[test]
    fn what_is_kept() {
        let plan = |keep: &[&'static str], upstream_validators| Accel {
            keep_fields: keep.iter().map(|name| Name::from_static(name)).collect(),
            upstream_validators,
            ..Accel::default()
        };
        let usual = "content-type: image/png\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncache-control: private\r\n";
        for (plan, more) in [
            (Accel::default(), ""),
            (plan(&[], true), "etag: \"x\"\r\n"),
            (plan(&["x-other", "x-none", "set-cookie"], false), "x-other: 1\r\n"),
            (plan(&["content-length", "content-encoding"], false), ""),
        ] {
            assert_eq!(text(&kept(&plan, &fields(SAID))), format!("{usual}{more}"));
        }
    }

    #[test]
    fn what_an_answer_varies_by_is_a_sum_and_so_is_what_caches_are_told_of_cookies() {
        for (own, kept, expected) in [
            (&[("vary", "accept-encoding")][..], "cookie", "vary: accept-encoding\r\nvary: cookie\r\n"),
            (&[("vary", "cookie"), ("vary", "accept-encoding")], "cookie", "vary: cookie\r\nvary: accept-encoding\r\n"),
            (&[], "cookie", "vary: cookie\r\n"),
        ] {
            let mut head = ResponseHead::of(Status::OK);
            head.fields = fields(own);
            stand(&fields(&[("vary", kept)]), &mut head);
            assert_eq!(text(&head.fields), expected);
        }
        for (own, expected) in [
            (&[("set-cookie", "a"), ("cache-control", "private")][..], "private,max-age=9"),
            (&[("set-cookie", "a")], "max-age=9"),
            (&[("cache-control", "private")], "max-age=9"),
        ] {
            let mut head = ResponseHead::of(Status::OK);
            head.fields = fields(own);
            stand(&fields(&[("cache-control", "max-age=9")]), &mut head);
            let lines: Vec<_> = head.fields.lines("cache-control").map(|line| line.to_str().unwrap()).collect();
            assert_eq!(lines.join(","), expected, "{own:?}");
        }
    }

    #[test]
    fn what_stands_in_the_other_answer() {
        let kept = kept(&Accel::default(), &fields(SAID));
        for (status, own, expected) in [
            (200, "text/plain", "image/png|private|a=1,b=2"),
            (206, "text/plain", "image/png|private|a=1,b=2"),
            (206, "multipart/byteranges; boundary=x", "multipart/byteranges; boundary=x|private|a=1,b=2"),
            (304, "text/plain", "text/plain|private|a=1,b=2"),
            (302, "text/plain", "image/png|private|a=1,b=2"),
            (404, "text/plain", "text/plain|max-age=5|a=1,b=2"),
            (416, "text/plain", "text/plain|max-age=5|a=1,b=2"),
            (500, "text/plain", "text/plain|max-age=5|a=1,b=2"),
        ] {
            let mut head = ResponseHead::of(Status::from_u16(status).unwrap());
            head.fields = fields(&[("content-type", own), ("cache-control", "max-age=5")]);
            stand(&kept, &mut head);
            let lines =
                |name: &str| head.fields.lines(name).map(|line| line.to_str().unwrap()).collect::<Vec<_>>().join(",");
            let found = format!("{}|{}|{}", lines("content-type"), lines("cache-control"), lines("set-cookie"));
            assert_eq!(found, expected, "{status} {own}");
        }
    }
}
