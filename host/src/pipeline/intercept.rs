//! `intercept-errors`: an upstream's error body is replaced by the site's page, or by ours.

use http::header;

use super::{Answer, Exchange, passage};
use crate::generation::RouteKey;
use crate::message::Name;

/// What survives of the upstream's head: what a client must know to react to the status.
const KEPT: [Name; 5] =
    [header::WWW_AUTHENTICATE, header::RETRY_AFTER, header::ALLOW, header::SET_COOKIE, header::LOCATION];

pub(super) fn intercept(exchange: &mut Exchange, key: RouteKey, answer: Answer) -> Answer {
    let status = answer.head.status;
    let local = exchange.local.clone();
    let wanted = local.generation.route(key).is_some_and(|route| route.intercept_errors.contains(status.as_u16()));
    // Clients of gRPC read no pages.
    if answer.upstream.is_none() || !wanted || exchange.is_grpc {
        return answer;
    }
    let Answer { head: theirs, body, upstream, .. } = answer;
    passage::give_up(body);
    let mut ours = Answer::of_status(exchange, status, "The server behind this gateway answered with an error.");
    ours.upstream = upstream;
    for name in KEPT {
        theirs.fields.lines(&name).for_each(|line| ours.head.fields.append(name.clone(), line.clone()));
    }
    ours
}
