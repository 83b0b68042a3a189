//! Asking the origin for what is not stored, or whether what is stored still holds, and what its answer changes.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header;

use super::super::route::{self, Bound, Goal, Routed};
use super::super::{Answer, Exchange, files, passage};
use super::case::{Case, Keeps, Kept, let_go};
use super::entry::Entry;
use super::tell::Done;
use super::words::Words;
use super::{Desk, join};
use crate::cache::fresh::Times;
use crate::cache::lookup::Found;
use crate::cache::status::Forward;
use crate::cache::{Stored, partial, validate};
use crate::clock;
use crate::failure::{Failure, Kind};
use crate::message::accel::Expires;
use crate::message::{Method, Name, RequestHead, ResponseHead, Status, Value};
use crate::shelf::Leader;

/// What the origin is asked, and for whom.
pub(super) struct Errand {
    pub(super) key: Bytes,
    pub(super) question: Question,
    /// Why it is asked.
    pub(super) why: Forward,
    /// Who waits for the answer.
    pub(super) leader: Option<Leader>,
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
    /// All of it, whatever is stored or the client knows.
    Anew,
    /// Which of these, that were for others, is for this client too, if one is (RFC 9111, section 4.1).
    Which(Vec<Entry>),
}

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
    let Errand { key, question, why, leader, keeps } = errand;
    let leader = leader.or_else(|| keeps.then(|| cache.store.shelf.flights().alone(&key)));
    let (asked, began) = (clock::wall(), clock::now());
    let heard = exchange.facts.variables.len();
    let is_ours = question.put(&mut exchange.facts.request);
    let mut bound = match route::act(exchange, routed)? {
        Goal::Pool(bound) => Some(bound),
        Goal::Files(_) => return Answer::broken(exchange, Kind::Internal),
    };
    let mut answer = origin(exchange, &mut bound).await;
    if is_ours && question.is_unanswered(&answer.head) && exchange.record.failure.is_none() {
        passage::give_up(answer.body);
        files::forget_conditions(&mut exchange.facts.request.fields);
        answer = match bound.as_ref().is_some_and(|bound| bound.body.is_whole()) {
            true => origin(exchange, &mut bound).await,
            // The content of a `QUERY` that is not kept cannot be sent once more.
            false => Answer::of(exchange, &Failure::of(Kind::BadResponse, "a 304 about something else")),
        };
    }
    let times = Times { asked, answered: clock::wall() };
    answer = match said(exchange, &mut bound, answer, times.answered).await {
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
    let case = Case { cache, plan, key: &key, client, times, why, words, keeps };
    if may_keep {
        case.ignore(&mut answer);
    }
    case.obey(&answer).await;
    let failure = exchange.record.failure;
    let failed = failure.is_some() || validate::is_failure(answer.head.status);
    if failed
        && let Some(entry) = question.entry().filter(|entry| case.may_stand_in(entry))
        && let Some(stale) = case.stand_in(exchange, entry, answer.upstream.map(|_| answer.head.status))
    {
        match failure {
            Some(kind) => case.spread(kind, clock::now() - began, leader),
            None => leader.into_iter().for_each(Leader::stand_in),
        }
        passage::give_up(answer.body);
        return Continue(stale);
    }
    if let Some(kind) = failure {
        case.spread(kind, clock::now() - began, leader);
        return Continue(case.pass(exchange, answer, None));
    }
    Continue(match question {
        Question::Whether(entry) if answer.head.status == Status::NOT_MODIFIED && is_ours => {
            case.confirm(exchange, &entry, answer, leader)
        }
        Question::Which(entries) if answer.head.status == Status::NOT_MODIFIED && is_ours => {
            case.choose(exchange, &entries, answer, leader)
        }
        Question::Rest(entry) if answer.head.status == Status::PARTIAL_CONTENT => {
            let joined = join::join(&case.cache.knobs, client, &entry, answer, times).await;
            case.complete(exchange, joined, leader)
        }
        Question::Fill if answer.head.status == Status::OK => match case.try_keep(exchange, answer, leader) {
            Kept::Yes(answer) => answer,
            // It is not stored, so the client gets the part that it wants from whoever has it.
            Kept::No(answer, _) if bound.is_some() => {
                passage::give_up(answer.body);
                return part(exchange, bound, case, heard, may_keep).await;
            }
            Kept::No(answer, detail) => case.pass(exchange, answer, detail),
        },
        question => {
            let is_head = client.method == Method::HEAD && case.keeps == Keeps::Perhaps;
            if let (Question::Whether(entry) | Question::Rest(entry), true) = (&question, is_head) {
                case.see(entry, &answer.head);
            }
            case.keep(exchange, answer, leader)
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
    for name in [header::RANGE, header::IF_RANGE] {
        let request = &mut exchange.facts.request.fields;
        case.client.fields.lines(&name).for_each(|line| request.set(name.clone(), line.clone()));
    }
    let (asked, leader) = (clock::wall(), case.cache.store.shelf.flights().alone(case.key));
    let answer = origin(exchange, &mut bound).await;
    let times = Times { asked, answered: clock::wall() };
    let mut answer = said(exchange, &mut bound, answer, times.answered).await?;
    let words = Words::of(&exchange.facts, heard);
    words.put(&mut answer.head.fields);
    let may_keep = may_keep && exchange.record.failure.is_none();
    let keeps = Keeps::of(may_keep, exchange, &words);
    let case = Case { times, words, keeps, ..case };
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
    let case = Case { cache, plan, key, client: &client, times, why, words, keeps: Keeps::NotThis };
    let entry = question.entry().filter(|entry| case.may_stand_in(entry));
    if let Some(stale) = entry.and_then(|entry| case.stand_in(exchange, entry, None)) {
        return Some(stale);
    }
    let answer = Answer::of(exchange, &failure?);
    Some(case.tell(exchange, answer, Done { is_collapsed: true, ..Done::forwarded(why) }))
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
    now: SystemTime,
) -> ControlFlow<Answer, Answer> {
    let Some(said) = answer.said.take() else { return Continue(answer) };
    let Some(bound) = bound.take() else { return Continue(answer) };
    let leads = said.lead.is_some();
    if let Some(expires) = said.expires {
        answer.head.fields.set(WEIR_CACHE_CONTROL, until(expires, now));
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

    /// What is asked where nothing that is stored is for a request. An origin may give one tag to a content in several
    /// codings, so none is asked about that the client might not understand; and one to what it makes of it for several
    /// clients, so none is that was made for one of them.
    fn of_variants(entries: &[Entry], request: &RequestHead) -> Self {
        let is_plain = request.method == Method::GET && !request.fields.contains(header::RANGE);
        let is_of_use = |stored: &Stored| stored.held.is_whole() && !stored.selection.is_personal();
        let known = |entry: &&Entry| is_plain && is_of_use(entry.stored()) && entry.is_understood(request);
        let entries: Vec<Entry> = entries.iter().filter(known).cloned().collect();
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
            Self::Anew => {
                // What is about the origin's own state stays.
                for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE, header::RANGE] {
                    request.fields.remove(name);
                }
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
    fn is_unanswered(&self, head: &ResponseHead) -> bool {
        match self {
            Self::Whole | Self::Fill | Self::Anew => false,
            Self::Whether(entry) => head.status == Status::NOT_MODIFIED && !validate::is_meant(entry.stored(), head),
            Self::Which(entries) => head.status == Status::NOT_MODIFIED && validate::meant(entries, head).is_empty(),
            Self::Rest(entry) => match head.status {
                Status::PARTIAL_CONTENT => !join::fits(entry, &head.fields),
                Status::RANGE_NOT_SATISFIABLE | Status::NOT_MODIFIED => true,
                _ => false,
            },
        }
    }

    fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Whole | Self::Fill | Self::Anew | Self::Which(_) => None,
            Self::Whether(entry) | Self::Rest(entry) => Some(entry),
        }
    }
}
