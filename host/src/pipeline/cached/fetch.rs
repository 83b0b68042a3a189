//! Asking the origin for what is not stored, or whether what is stored still holds, and what its answer changes.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header;

use super::super::route::{self, Bound, Goal, Routed};
use super::super::{Answer, Exchange, files, passage};
use super::entry::{self, Entry};
use super::tee::Tee;
use super::tell::{self, Done};
use super::words::Words;
use super::{Desk, join, purge};
use crate::cache::fresh::Times;
use crate::cache::status::Forward;
use crate::cache::storable::{self, Refusal};
use crate::cache::validate::{self, Freshened, Seen};
use crate::cache::{Knobs, RequestDirectives, Stored, invalidate, partial, reply};
use crate::clock;
use crate::config;
use crate::failure::{Failure, Kind};
use crate::generation::Cache;
use crate::message::accel::Expires;
use crate::message::{Method, Name, RequestHead, ResponseHead, Status, Value};
use crate::shelf::{Leader, Purge, Target};

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
    /// What filters said.
    words: Words,
    /// Whether anything of the answer may be kept.
    keeps: Keeps,
}

/// Whether anything of an answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    /// As far as the rules let it.
    Perhaps,
    /// Not this one; what is stored stays.
    NotThis,
    /// A filter failed and was passed over. Who knows what it would have changed, or said of the cache.
    Unfiltered,
    /// The gateway has put a cookie of its own into it. Fields say so too, but others may go before these.
    Own,
    /// A filter says that nothing of it is to be stored.
    Nothing,
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
    let asked = clock::wall();
    let heard = exchange.facts.variables.len();
    let is_ours = question.put(&mut exchange.facts.request);
    let mut bound = match route::act(exchange, routed)? {
        Goal::Pool(bound) => bound,
        Goal::Files(_) => return Answer::broken(exchange, Kind::Internal),
    };
    let mut answer = super::super::origin(exchange, &mut bound).await;
    if is_ours && question.is_unanswered(&answer.head) && exchange.record.failure.is_none() {
        passage::give_up(answer.body);
        files::forget_conditions(&mut exchange.facts.request.fields);
        answer = match bound.body.is_whole() {
            true => super::super::origin(exchange, &mut bound).await,
            // The content of a `QUERY` that is not kept cannot be sent once more.
            false => Answer::of(exchange, &Failure::of(Kind::BadResponse, "a 304 about something else")),
        };
    }
    let times = Times { asked, answered: clock::wall() };
    answer = match said(exchange, bound, answer, times.answered).await {
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
    let failed = exchange.record.failure.is_some() || validate::is_failure(answer.head.status);
    if failed
        && let Some(entry) = question.entry().filter(|entry| case.may_stand_in(entry))
        && let Some(stale) = case.stand_in(exchange, entry, answer.upstream.map(|_| answer.head.status))
    {
        leader.into_iter().for_each(Leader::alone);
        passage::give_up(answer.body);
        return Continue(stale);
    }
    Continue(match question {
        Question::Whether(entry) if answer.head.status == Status::NOT_MODIFIED && is_ours => {
            case.confirm(exchange, &entry, answer, leader)
        }
        Question::Rest(entry) if answer.head.status == Status::PARTIAL_CONTENT => {
            let joined = join::join(&case.cache.knobs, client, &entry, answer, times).await;
            case.complete(exchange, joined, leader)
        }
        question => {
            let is_head = client.method == Method::HEAD && case.keeps == Keeps::Perhaps;
            if let (Question::Whether(entry) | Question::Rest(entry), true) = (&question, is_head) {
                case.see(entry, &answer.head);
            }
            case.keep(exchange, answer, leader)
        }
    })
}

/// What the upstream said beside its answer. It breaks off where that leads elsewhere.
async fn said(
    exchange: &mut Exchange,
    bound: Bound,
    mut answer: Answer,
    now: SystemTime,
) -> ControlFlow<Answer, Answer> {
    let Some(said) = answer.said.take() else { return Continue(answer) };
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
            Self::Whole => false,
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
            Self::Whole => None,
            Self::Whether(entry) | Self::Rest(entry) => Some(entry),
        }
    }
}

impl Keeps {
    fn of(may: bool, exchange: &Exchange, words: &Words) -> Self {
        match (may, exchange.spent.failures) {
            (false, _) => Self::NotThis,
            (true, _) if exchange.begins_session => Self::Own,
            (true, 1..) => Self::Unfiltered,
            (true, 0) if words.is_bypass => Self::Nothing,
            (true, 0) => Self::Perhaps,
        }
    }

    /// As `Cache-Status` has it.
    const fn detail(self) -> Option<&'static str> {
        match self {
            Self::Perhaps | Self::NotThis => None,
            Self::Own => Some(Refusal::Private.word()),
            Self::Unfiltered => Some("filter-failed"),
            Self::Nothing => Some("filter"),
        }
    }
}

impl Case<'_> {
    /// Takes off what nobody is to read.
    fn ignore(&self, answer: &mut Answer) {
        for name in &self.plan.ignore_fields {
            answer.head.fields.remove(name);
        }
    }

    /// Forgets what an answer to an unsafe request makes obsolete.
    async fn obey(&self, answer: &Answer) {
        let recipe = &self.cache.knobs.key;
        let targets = invalidate::targets(self.client, answer.head.status, &answer.head.fields, recipe);
        purge::invalidate(&self.cache.store.shelf, &targets).await;
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
        let ttl = Some(entry.stored().policy.ttl(self.times.answered));
        let done = Done { status, is_stale: true, ttl, ..Done::forwarded(self.why) };
        tell::tell(exchange, self.plan, &mut head.fields, done);
        Some(Answer { head, body, upstream: None, said: None })
    }

    /// It still holds: what is new is put to what is stored, and the client gets that.
    fn confirm(&self, exchange: &mut Exchange, entry: &Entry, answer: Answer, leader: Option<Leader>) -> Answer {
        passage::give_up(answer.body);
        let now = self.times.answered;
        let freshened = validate::freshen(entry.stored(), self.client, &answer.head, self.times, &self.cache.knobs);
        let is_stored = match self.keeps {
            Keeps::Perhaps => self.freshen(entry, &freshened),
            Keeps::NotThis | Keeps::Unfiltered | Keeps::Own => false,
            Keeps::Nothing => {
                self.cache.store.shelf.purge(&Target::Key(self.key.clone()), Purge::Hard);
                false
            }
        };
        let fresh = freshened.stored;
        let ttl = Some(fresh.policy.ttl(now));
        let fresh = entry.with(fresh);
        match (is_stored, self.keeps) {
            (true, _) => leader.into_iter().for_each(Leader::stored),
            (false, Keeps::NotThis | Keeps::Unfiltered) => leader.into_iter().for_each(Leader::alone),
            (false, _) => let_go(leader),
        }
        let Some((mut head, body)) = fresh.answer(self.client, now) else {
            return Answer::of(exchange, &Kind::Internal.into());
        };
        let detail = self.keeps.detail();
        let done = Done { status: Some(Status::NOT_MODIFIED), is_stored, ttl, detail, ..Done::forwarded(self.why) };
        tell::tell(exchange, self.plan, &mut head.fields, done);
        Answer { head, body, upstream: answer.upstream, said: None }
    }

    /// Puts a confirmed head in the place of the stored one; whether it may stay.
    fn freshen(&self, entry: &Entry, freshened: &Freshened) -> bool {
        let shelf = &self.cache.store.shelf;
        let Freshened { stored, refusal } = freshened;
        // What this client says of itself is no reason to forget what others have.
        if matches!(refusal, Some(Refusal::Authorization | Refusal::RequestNoStore)) {
            return false;
        }
        if refusal.is_some() || stored.selection != entry.stored().selection {
            shelf.purge(&Target::Key(self.key.clone()), Purge::Hard);
            return false;
        }
        let tags = self.words.tags.as_deref().unwrap_or(&entry.object.label().tags);
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
            join::Joined::Yes { head, body, upstream, .. } if self.keeps != Keeps::Perhaps => {
                self.forget(leader);
                self.pass(exchange, Answer { head, body, upstream, said: None }, self.keeps.detail())
            }
            join::Joined::Yes { stored, content, head, body, upstream } => {
                let tags = self.words.tags.as_deref().unwrap_or_default();
                let label = entry::label(self.key, &stored, tags, &self.cache.knobs);
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

    /// Passes an answer on, and stores it on its way if that may be.
    fn keep(&self, exchange: &mut Exchange, mut answer: Answer, leader: Option<Leader>) -> Answer {
        if self.keeps != Keeps::Perhaps {
            self.forget(leader);
            return self.pass(exchange, answer, self.keeps.detail());
        }
        let stored = match self.storable(&answer) {
            Ok(stored) => stored,
            Err(detail) => {
                let is_passing = answer.head.status.is_server_error() || detail == MIN_USES;
                if is_passing {
                    leader.into_iter().for_each(Leader::alone)
                } else {
                    let_go(leader)
                }
                return self.pass(exchange, answer, Some(detail));
            }
        };
        let tags = self.words.tags.as_deref().unwrap_or_default();
        let label = entry::label(self.key, &stored, tags, &self.cache.knobs);
        let expected = http_body::Body::size_hint(&answer.body).exact();
        let ttl = Some(stored.policy.ttl(self.times.answered));
        match self.cache.store.shelf.write(label, expected, leader) {
            Ok(writing) => {
                answer.body = Tee::of(answer.body, writing, stored);
                self.tell(exchange, answer, Done { is_stored: true, ttl, ..Done::forwarded(self.why) })
            }
            Err(leader) => {
                let_go(leader);
                self.pass(exchange, answer, Some("too-large"))
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

    /// Those who wait for an answer that is not kept ask for themselves. It is remembered where that will not change soon.
    fn forget(&self, leader: Option<Leader>) {
        match self.keeps {
            Keeps::Nothing | Keeps::Own => let_go(leader),
            Keeps::Perhaps | Keeps::NotThis | Keeps::Unfiltered => leader.into_iter().for_each(Leader::alone),
        }
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

/// Why nothing is stored yet.
const MIN_USES: &str = "min-uses";

/// What was fetched is for nobody else.
fn let_go(leader: Option<Leader>) {
    if let Some(leader) = leader {
        leader.uncacheable(clock::now());
    }
}
