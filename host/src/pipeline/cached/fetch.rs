//! Asking the origin for what is not stored, or whether what is stored still holds, and what its answer changes.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header;

use super::super::route::{self, Bound, Goal, Routed};
use super::super::{Answer, Exchange, files, passage};
use super::entry::{self, Entry};
use super::tell::{self, Done};
use super::{Desk, count, flight, join, purge, tee};
use crate::cache::fresh::Times;
use crate::cache::status::Forward;
use crate::cache::validate::{self, Freshened, Seen};
use crate::cache::{Knobs, RequestDirectives, Stored, invalidate, partial, reply, storable};
use crate::clock::{self, Duration};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::generation::Cache;
use crate::message::accel::Expires;
use crate::message::{Method, Name, RequestHead, ResponseHead, Status, Value};
use crate::shelf::{Leader, Purge, Target, Writing};

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
}

/// What belongs to one question.
struct Case<'a> {
    cache: &'a Cache,
    plan: &'a config::Cache,
    key: &'a Bytes,
    /// What the client asked.
    client: &'a RequestHead,
    times: Times,
    why: Forward,
}

/// Said by filters of what is to be stored: whole seconds, and names separated by commas.
const TTL: &str = "cache.ttl";
const TAGS: &str = "cache.tags";

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
    let (asked, began) = (clock::wall(), clock::now());
    let is_ours = question.put(&mut exchange.facts.request);
    let mut bound = match route::act(exchange, routed)? {
        Goal::Pool(bound) => Some(bound),
        Goal::Files(_) => return Answer::broken(exchange, Kind::Internal),
    };
    let mut answer = origin(exchange, &mut bound).await;
    if is_ours && question.is_unanswered(&answer.head) && exchange.record.failure.is_none() {
        passage::give_up(answer.body);
        files::forget_conditions(&mut exchange.facts.request.fields);
        answer = origin(exchange, &mut bound).await;
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
    let case = Case { cache, plan, key: &key, client, times, why };
    count(&cache.store.tally.misses);
    case.obey(&answer);
    let failure = exchange.record.failure;
    let failed = failure.is_some() || validate::is_failure(answer.head.status);
    if failed
        && let Some(entry) = question.entry().filter(|entry| case.may_stand_in(entry))
        && let Some(stale) = case.stand_in(exchange, entry, Some(answer.head.status))
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
    if !keeps {
        leader.into_iter().for_each(Leader::alone);
        return Continue(case.pass(exchange, answer, None));
    }
    Continue(match question {
        Question::Whether(entry) if answer.head.status == Status::NOT_MODIFIED && is_ours => {
            case.confirm(exchange, &entry, answer, leader)
        }
        Question::Rest(entry) if answer.head.status == Status::PARTIAL_CONTENT => {
            let joined = join::join(&case.cache.knobs, client, &entry, answer, times).await;
            case.complete(exchange, joined, leader)
        }
        Question::Fill if answer.head.status == Status::OK => match case.try_keep(exchange, answer, leader) {
            Ok(answer) => answer,
            Err((answer, detail)) if bound.is_none() => case.pass(exchange, answer, Some(detail)),
            Err((answer, _)) => {
                // It is not stored, so the client gets the part that it wants from whoever has it.
                passage::give_up(answer.body);
                for name in [header::RANGE, header::IF_RANGE] {
                    client
                        .fields
                        .lines(&name)
                        .for_each(|line| exchange.facts.request.fields.set(name.clone(), line.clone()));
                }
                let asked = clock::wall();
                let part = origin(exchange, &mut bound).await;
                let times = Times { asked, answered: clock::wall() };
                let part = match said(exchange, &mut bound, part, times.answered).await {
                    Continue(part) => part,
                    Break(answer) => return Continue(answer),
                };
                let case = Case { times, ..case };
                match exchange.record.failure {
                    Some(_) => case.pass(exchange, part, None),
                    None => case.keep(exchange, part, None),
                }
            }
        },
        question => {
            if let (Question::Whether(entry) | Question::Rest(entry), true) = (&question, client.method == Method::HEAD)
            {
                case.see(entry, &answer.head);
            }
            case.keep(exchange, answer, leader)
        }
    })
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
    let client = exchange.facts.request.clone();
    let case = Case { cache, plan, key, client: &client, times: Times { asked: now, answered: now }, why };
    let entry = question.entry().filter(|entry| case.may_stand_in(entry));
    if let Some(stale) = entry.and_then(|entry| case.stand_in(exchange, entry, None)) {
        return Some(stale);
    }
    let failure = failure?;
    count(&cache.store.tally.collapsed);
    let answer = Answer::of(exchange, &failure);
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
            Self::Whole | Self::Fill => false,
            Self::Whether(entry) => head.status == Status::NOT_MODIFIED && !validate::is_meant(entry.stored(), head),
            Self::Rest(entry) => match head.status {
                Status::PARTIAL_CONTENT => !join::fits(entry, &head.fields),
                Status::RANGE_NOT_SATISFIABLE | Status::NOT_MODIFIED => true,
                _ => false,
            },
        }
    }

    fn entry(&self) -> Option<&Entry> {
        match self {
            Self::Whole | Self::Fill => None,
            Self::Whether(entry) | Self::Rest(entry) => Some(entry),
        }
    }
}

impl Case<'_> {
    /// Forgets what an answer to an unsafe request makes obsolete.
    fn obey(&self, answer: &Answer) {
        let knobs = &self.cache.knobs;
        let targets = invalidate::targets(self.client, answer.head.status, &answer.head.fields, &knobs.key);
        let key = &self.plan.key;
        let has_extras = !(key.fields.is_empty() && key.cookies.is_empty() && key.variables.is_empty()) || knobs.query;
        purge::invalidate(&self.cache.store.shelf, &targets, has_extras);
    }

    fn may_stand_in(&self, entry: &Entry) -> bool {
        let wishes = if self.plan.ignore_request {
            RequestDirectives::default()
        } else {
            RequestDirectives::of(&self.client.fields)
        };
        entry.stored().policy.may_stand_in(&wishes, self.times.answered, &self.cache.knobs)
    }

    /// What is stored, in the place of a failure (RFC 5861, section 4).
    fn stand_in(&self, exchange: &mut Exchange, entry: &Entry, status: Option<Status>) -> Option<Answer> {
        let (mut head, body) = entry.answer(self.client, self.times.answered)?;
        count(&self.cache.store.tally.stale);
        let ttl = Some(entry.stored().policy.ttl(self.times.answered));
        let done = Done { status, is_stale: true, is_collapsed: status.is_none(), ttl, ..Done::forwarded(self.why) };
        tell::tell(exchange, self.plan, &mut head.fields, done);
        Some(Answer { head, body, upstream: None, said: None })
    }

    /// It still holds: what is new is put to what is stored, and the client gets that.
    fn confirm(&self, exchange: &mut Exchange, entry: &Entry, answer: Answer, leader: Option<Leader>) -> Answer {
        count(&self.cache.store.tally.validations);
        passage::give_up(answer.body);
        let now = self.times.answered;
        let freshened = validate::freshen(entry.stored(), self.client, &answer.head, self.times, &self.cache.knobs);
        let is_stored = self.freshen(entry, &freshened);
        let fresh = freshened.stored;
        let ttl = Some(fresh.policy.ttl(now));
        let fresh = entry.with(fresh);
        match is_stored {
            true => leader.into_iter().for_each(Leader::stored),
            false => let_go(leader),
        }
        let Some((mut head, body)) = fresh.answer(self.client, now) else {
            return Answer::of(exchange, &Kind::Internal.into());
        };
        let done = Done { status: Some(Status::NOT_MODIFIED), is_stored, ttl, ..Done::forwarded(self.why) };
        tell::tell(exchange, self.plan, &mut head.fields, done);
        Answer { head, body, upstream: answer.upstream, said: None }
    }

    /// Puts a confirmed head in the place of the stored one; whether it may stay.
    fn freshen(&self, entry: &Entry, freshened: &Freshened) -> bool {
        let shelf = &self.cache.store.shelf;
        let Freshened { stored, refusal } = freshened;
        if refusal.is_some() || stored.selection != entry.stored().selection {
            shelf.purge(&Target::Key(self.key.clone()), Purge::Hard);
            return false;
        }
        let tags = &entry.object.label().tags;
        shelf.relabel(&entry.object, entry::label(self.key, stored, tags, &self.cache.knobs));
        true
    }

    /// What a `HEAD` says of what is stored (RFC 9111, section 4.3.5).
    fn see(&self, entry: &Entry, head: &ResponseHead) {
        match validate::see(entry.stored(), self.client, head, self.times, &self.cache.knobs) {
            Some(Seen::Update(freshened)) => {
                self.freshen(entry, &freshened);
            }
            Some(Seen::Outdated) => {
                self.cache.store.shelf.purge(&Target::Key(self.key.clone()), Purge::Hard);
            }
            None => {}
        }
    }

    /// Two parts that became one, or the answer as it came.
    fn complete(&self, exchange: &mut Exchange, joined: join::Joined, leader: Option<Leader>) -> Answer {
        match joined {
            join::Joined::No(answer) => self.keep(exchange, answer, leader),
            join::Joined::Yes { stored, content, head, body, upstream } => {
                let label = entry::label(self.key, &stored, &[], &self.cache.knobs);
                let ttl = Some(stored.policy.ttl(self.times.answered));
                let writing = self.cache.store.shelf.write(label, Some(content.len() as u64), leader);
                let is_stored = writing.is_ok_and(|mut writing| {
                    writing.push(content);
                    writing.finish()
                });
                let done = Done { is_stored, ttl, ..Done::forwarded(self.why) };
                let answer = Answer { head, body, upstream, said: None };
                self.tell(exchange, answer, done)
            }
        }
    }

    /// Tells those who wait of a failure, if it would be theirs as well; what may have been about the one who asked is not
    /// believed at once, or a client could have others refused.
    fn spread(&self, kind: Kind, took: Duration, leader: Option<Leader>) {
        let Some(leader) = leader else { return };
        let failure = || Failure::of(kind, "another exchange asked for the same");
        match kind {
            Kind::ConnectRefused | Kind::ConnectTimeout | Kind::TlsFailed | Kind::NoMember | Kind::PoolFull => {
                leader.failed(&failure(), 1, clock::now());
            }
            Kind::ResponseTimeout | Kind::UpstreamStalled => leader.failed(&failure(), 1, clock::now()),
            // Of an exchange that has waited for others before, only a part of its time was for this.
            Kind::ExchangeTimeout if took >= self.plan.lock_timeout => leader.failed(&failure(), 1, clock::now()),
            Kind::UpstreamReset | Kind::BadResponse => leader.failed(&failure(), MOST_RESETS, clock::now()),
            _ => leader.hand_on(clock::now()),
        }
    }

    /// Passes an answer on, and stores it on its way if that may be.
    fn keep(&self, exchange: &mut Exchange, answer: Answer, leader: Option<Leader>) -> Answer {
        match self.try_keep(exchange, answer, leader) {
            Ok(answer) => answer,
            Err((answer, detail)) => self.pass(exchange, answer, Some(detail)),
        }
    }

    /// What is stored, on its way; or the answer as it was, and why it is not stored.
    fn try_keep(
        &self,
        exchange: &mut Exchange,
        mut answer: Answer,
        leader: Option<Leader>,
    ) -> Result<Answer, (Answer, &'static str)> {
        for name in &self.plan.ignore_fields {
            answer.head.fields.remove(name);
        }
        if let Some(ttl) = exchange.facts.variables.get(TTL) {
            let value = Value::from_str(&format!("max-age={ttl}")).unwrap_or(Value::from_static("no-store"));
            answer.head.fields.set(WEIR_CACHE_CONTROL, value);
        }
        let stored = match self.storable(&answer) {
            Ok(stored) => stored,
            Err(detail) => {
                // What one client is told now is not what the next one will be.
                let is_passing = answer.head.status.is_server_error()
                    || answer.head.status == Status::TOO_MANY_REQUESTS
                    || detail == MIN_USES;
                if is_passing {
                    leader.into_iter().for_each(|leader| leader.hand_on(clock::now()));
                } else {
                    let_go(leader);
                }
                return Err((answer, detail));
            }
        };
        let tags = exchange.facts.variables.get(TAGS).map(tags).unwrap_or_default();
        let label = entry::label(self.key, &stored, &tags, &self.cache.knobs);
        let expected = http_body::Body::size_hint(&answer.body).exact();
        match self.cache.store.shelf.write(label, expected, leader) {
            Ok(writing) => {
                let done = Done {
                    is_stored: true,
                    ttl: Some(stored.policy.ttl(self.times.answered)),
                    ..Done::forwarded(self.why)
                };
                Ok(self.store(exchange, answer, writing, stored, done))
            }
            Err(leader) => {
                let_go(leader);
                Err((answer, "too-large"))
            }
        }
    }

    /// Stores an answer on its way; who wants a part of it gets that.
    fn store(
        &self,
        exchange: &mut Exchange,
        mut answer: Answer,
        writing: Writing,
        stored: Stored,
        done: Done,
    ) -> Answer {
        let wants_part = self.client.fields.contains(header::RANGE) && answer.head.status == Status::OK;
        let mut whole = wants_part.then(|| stored.clone());
        let part = whole.as_mut().and_then(|whole| {
            let follow = writing.own();
            whole.finish(follow.expected()?).ok()?;
            flight::along(whole, follow, self.client, self.times.answered)
        });
        match part {
            None => {
                answer.body = tee::store(answer.body, writing, stored);
                self.tell(exchange, answer, done)
            }
            Some((head, body)) => {
                tee::fill(answer.body, writing, stored);
                let done = Done { status: Some(Status::OK), ..done };
                self.tell(exchange, Answer { head, body, upstream: answer.upstream, said: None }, done)
            }
        }
    }

    fn storable(&self, answer: &Answer) -> Result<Stored, &'static str> {
        let knobs: &Knobs = &self.cache.knobs;
        let length = http_body::Body::size_hint(&answer.body).lower();
        if length > self.plan.max_object {
            return Err("too-large");
        }
        let stored =
            storable::storable(self.client, &answer.head, self.times, knobs).map_err(|refusal| refusal.word())?;
        if self.cache.store.is_used(self.key, self.plan.min_uses) { Ok(stored) } else { Err(MIN_USES) }
    }

    /// Passes an answer on that is not stored.
    fn pass(&self, exchange: &mut Exchange, answer: Answer, detail: Option<&'static str>) -> Answer {
        self.tell(exchange, answer, Done { detail, ..Done::forwarded(self.why) })
    }

    fn tell(&self, exchange: &mut Exchange, mut answer: Answer, done: Done) -> Answer {
        reply::hide(&mut answer.head.fields);
        tell::tell(exchange, self.plan, &mut answer.head.fields, done);
        answer
    }
}

/// So many resets in a row, or broken answers, are the origin's and not one client's.
const MOST_RESETS: u32 = 3;

/// Why nothing is stored yet.
const MIN_USES: &str = "min-uses";

/// What was fetched is for nobody else.
fn let_go(leader: Option<Leader>) {
    if let Some(leader) = leader {
        leader.uncacheable(clock::now());
    }
}

/// A filter's tags.
fn tags(text: &str) -> Vec<Box<str>> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    words.map(|word| invalidate::Tag::key(word).as_str().into()).collect()
}
