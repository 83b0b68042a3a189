//! Asking the origin for what is not stored, or whether what is stored still holds, and what its answer changes.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::super::route::{self, Bound, Goal, Routed};
use super::super::{Answer, Exchange, files, passage};
use super::case::{Case, Keeps, Kept, let_go};
use super::question::{Errand, Question, give_back};
use super::tell::Done;
use super::words::Words;
use super::{Desk, join};
use crate::cache::fresh::Times;
use crate::cache::status::Forward;
use crate::cache::validate;
use crate::clock::{self, Instant};
use crate::failure::{Failure, Kind};
use crate::message::accel::Expires;
use crate::message::{Method, Name, RequestHead, Status, Value};
use crate::shelf::Leader;

const WEIR_CACHE_CONTROL: Name = Name::from_static("weir-cache-control");

/// Asks, and answers the client.
pub(super) async fn fetch(
    exchange: &mut Exchange,
    routed: Routed,
    desk: &Desk,
    errand: Errand,
) -> ControlFlow<Answer, Answer> {
    let client = exchange.facts.request.clone();
    let answer = ask(exchange, routed, desk, errand, &client).await;
    exchange.facts.request = client;
    answer
}

async fn ask(
    exchange: &mut Exchange,
    routed: Routed,
    desk: &Desk,
    errand: Errand,
    client: &RequestHead,
) -> ControlFlow<Answer, Answer> {
    let Some((cache, plan)) = desk.cache() else { return Answer::broken(exchange, Kind::Internal) };
    let is_ours = errand.put(&mut exchange.facts.request);
    let Errand { key, question, why, leader, is_for_all, keeps } = errand;
    let mut leader = leader.or_else(|| keeps.then(|| cache.store.shelf.flights().alone(&key)));
    let (asked, began) = (clock::wall(), clock::now());
    let heard = exchange.facts.variables.len();
    let mut bound = match route::act(exchange, routed)? {
        Goal::Pool(bound) => Some(bound),
        Goal::Files(_) => return Answer::broken(exchange, Kind::Internal),
    };
    let answer = answered(exchange, &mut bound, &question, is_ours).await;
    let times = Times { asked, answered: clock::wall() };
    let mut answer = match said(exchange, &mut bound, answer, (times.answered, client)).await {
        Continue(answer) => answer,
        // What leads elsewhere is not stored: files lie on a disk, and the other route may have its own cache.
        Break(answer) => {
            let_go(leader);
            return Continue(answer);
        }
    };
    let words = Words::of(&exchange.facts, heard);
    words.put(&mut answer.head.fields);
    let may_keep = keeps && exchange.record.failure.is_none();
    let keeps = Keeps::of(may_keep, exchange, &words);
    let judges = is_ours || is_for_all;
    let case = Case { cache, plan, key: &key, client, times, why, judges, words, keeps };
    if may_keep {
        case.ignore(&mut answer);
    }
    case.obey(&answer, leader.as_mut()).await;
    let (answer, leader) = match failed(exchange, &case, &question, answer, (leader, began)) {
        Continue(it_has) => it_has,
        Break(answer) => return Continue(answer),
    };
    let has_way = bound.is_some();
    match settle(exchange, &case, question, answer, leader, (is_ours, has_way)).await {
        Some(answer) => Continue(answer),
        None => part(exchange, bound, case, heard, may_keep).await,
    }
}

/// What the origin answers to the question; where that says nothing about it, what it answers when it is asked for the whole.
async fn answered(exchange: &mut Exchange, bound: &mut Option<Bound>, question: &Question, is_ours: bool) -> Answer {
    let answer = origin(exchange, bound).await;
    if !is_ours || !question.is_unanswered(&answer.head) || exchange.record.failure.is_some() {
        return answer;
    }
    passage::give_up(answer.body);
    files::forget_conditions(&mut exchange.facts.request.fields);
    match bound.as_ref().is_some_and(|bound| bound.body.is_whole()) {
        true => origin(exchange, bound).await,
        // The content of a `QUERY` that is not kept cannot be sent once more.
        false => Answer::of(exchange, &Failure::of(Kind::BadResponse, "a 304 about something else")),
    }
}

/// Where there is no answer, or one that is a failure: what is stored stands in for it, or all who wait are told. Everything
/// else goes on.
fn failed(
    exchange: &mut Exchange,
    case: &Case<'_>,
    question: &Question,
    answer: Answer,
    (leader, began): (Option<Leader>, Instant),
) -> ControlFlow<Answer, (Answer, Option<Leader>)> {
    let failure = exchange.record.failure;
    let status = answer.upstream.map(|_| answer.head.status);
    if (failure.is_some() || validate::is_failure(answer.head.status))
        && let Some(entry) = question.entry().filter(|entry| case.may_stand_in(entry))
        && let Some(stale) = case.stand_in(exchange, entry, Done { status, ..Done::forwarded(case.why) })
    {
        match failure {
            Some(kind) => case.spread(kind, clock::now() - began, leader),
            None => leader.into_iter().for_each(Leader::stand_in),
        }
        passage::give_up(answer.body);
        return Break(stale);
    }
    let Some(kind) = failure else { return Continue((answer, leader)) };
    case.spread(kind, clock::now() - began, leader);
    Break(case.pass(exchange, answer, None))
}

/// What an answer changes on the shelf, and what the client gets. `None` where the whole was asked for and is not stored, so
/// that the client gets the part that it wants from whoever has it.
async fn settle(
    exchange: &mut Exchange,
    case: &Case<'_>,
    question: Question,
    answer: Answer,
    leader: Option<Leader>,
    (is_ours, has_way): (bool, bool),
) -> Option<Answer> {
    let status = answer.head.status;
    Some(match question {
        Question::Whether(entry) if status == Status::NOT_MODIFIED && is_ours => {
            case.confirm(exchange, &entry, answer, leader)
        }
        Question::Which(entries) if status == Status::NOT_MODIFIED && is_ours => {
            case.choose(exchange, &entries, answer, leader)
        }
        Question::Rest(entry) if status == Status::PARTIAL_CONTENT => {
            let joined = join::join(&case.cache.knobs, case.client, &entry, answer, case.times).await;
            case.complete(exchange, joined, leader)
        }
        Question::Fill if status == Status::OK => match case.try_keep(exchange, answer, leader) {
            Kept::Yes(answer) => answer,
            Kept::No(answer, _) if has_way => {
                passage::give_up(answer.body);
                return None;
            }
            Kept::No(answer, detail) => case.pass(exchange, answer, detail),
        },
        question => {
            let is_head = case.client.method == Method::HEAD && case.keeps == Keeps::Perhaps;
            if let (Some(entry), true) = (question.entry(), is_head) {
                case.see(entry, &answer.head);
            }
            match case.try_keep(exchange, answer, leader) {
                Kept::Yes(answer) => answer,
                Kept::No(answer, detail) => {
                    Box::pin(case.supersede(&question, &answer.head, detail)).await;
                    case.pass(exchange, answer, detail)
                }
            }
        }
    })
}

/// Asks for the part that the client asked for, when the whole was asked for in vain.
async fn part(
    exchange: &mut Exchange,
    mut bound: Option<Bound>,
    case: Case<'_>,
    heard: usize,
    may_keep: bool,
) -> ControlFlow<Answer, Answer> {
    give_back(&mut exchange.facts.request, case.client);
    let (asked, leader) = (clock::wall(), case.cache.store.shelf.flights().alone(case.key));
    let answer = origin(exchange, &mut bound).await;
    let times = Times { asked, answered: clock::wall() };
    let mut answer = said(exchange, &mut bound, answer, (times.answered, case.client)).await?;
    let words = Words::of(&exchange.facts, heard);
    words.put(&mut answer.head.fields);
    let may_keep = may_keep && exchange.record.failure.is_none();
    let keeps = Keeps::of(may_keep, exchange, &words);
    let case = Case { times, judges: false, words, keeps, ..case };
    if may_keep {
        case.ignore(&mut answer);
    }
    Continue(case.keep(exchange, answer, Some(leader)))
}

/// The answer to what another exchange was told: what is stored, where it may stand in for it, or the same failure.
pub(super) fn told(
    exchange: &mut Exchange,
    desk: &Desk,
    key: &Bytes,
    question: &Question,
    why: Forward,
    failure: Option<Failure>,
) -> Option<Answer> {
    let (cache, plan) = desk.cache()?;
    let now = clock::wall();
    let (client, words) = (exchange.facts.request.clone(), Words::default());
    let times = Times { asked: now, answered: now };
    let case = Case { cache, plan, key, client: &client, times, why, judges: false, words, keeps: Keeps::NotThis };
    let done = Done { is_collapsed: true, ..Done::forwarded(why) };
    let entry = question.entry().filter(|entry| case.may_stand_in(entry));
    if let Some(stale) = entry.and_then(|entry| case.stand_in(exchange, entry, done)) {
        return Some(stale);
    }
    let answer = Answer::of(exchange, &failure?);
    Some(case.tell(exchange, answer, done))
}

/// Asks, as long as what was said did not take the way with it.
async fn origin(exchange: &mut Exchange, bound: &mut Option<Bound>) -> Answer {
    match bound {
        Some(bound) => super::super::origin(exchange, bound).await,
        None => Answer::of(exchange, &Kind::Internal.into()),
    }
}

/// What the upstream said beside its answer. It breaks off where that leads elsewhere.
async fn said(
    exchange: &mut Exchange,
    bound: &mut Option<Bound>,
    mut answer: Answer,
    (now, client): (SystemTime, &RequestHead),
) -> ControlFlow<Answer, Answer> {
    let Some(said) = answer.said.take() else { return Continue(answer) };
    let Some(bound) = bound.take() else { return Continue(answer) };
    let leads = said.lead.is_some();
    if let Some(expires) = said.expires {
        answer.head.fields.set(WEIR_CACHE_CONTROL, until(expires, now));
    }
    if leads {
        // What it leads to is for this client alone, and is asked for by what it has and wants.
        give_back(&mut exchange.facts.request, client);
    }
    let answer = Box::pin(super::super::heed(exchange, bound, *said, answer)).await;
    if leads { Break(answer) } else { Continue(answer) }
}

/// `X-Accel-Expires` goes before everything else, as in nginx.
fn until(expires: Expires, now: SystemTime) -> Value {
    let left = match expires {
        Expires::After(left) => left,
        Expires::At(at) => at.saturating_sub(now.duration_since(UNIX_EPOCH).unwrap_or_default()),
    };
    let text = if left.is_zero() { "no-store".to_owned() } else { format!("max-age={}", left.as_secs()) };
    Value::from_str(&text).unwrap_or(Value::from_static("no-store"))
}
