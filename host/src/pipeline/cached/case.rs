//! What an answer of the origin's changes: what is stored of it, what it confirms or forgets, and what becomes of those who
//! wait for it.

use bytes::Bytes;
use http::header;

use super::super::{Answer, Exchange, passage};
use super::entry::{self, Entry};
use super::tell::{self, Done};
use super::words::Words;
use super::{flight, join, purge, tee};
use crate::cache::fresh::Times;
use crate::cache::status::Forward;
use crate::cache::storable::{self, Refusal};
use crate::cache::validate::{self, Freshened, Seen};
use crate::cache::{Knobs, RequestDirectives, Stored, invalidate, reply};
use crate::clock::{self, Duration};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::generation::Cache;
use crate::message::{RequestHead, ResponseHead, Status};
use crate::shelf::{Leader, Purge, Target, Writing};

/// What belongs to one question.
pub(super) struct Case<'a> {
    pub(super) cache: &'a Cache,
    pub(super) plan: &'a config::Cache,
    pub(super) key: &'a Bytes,
    /// What the client asked.
    pub(super) client: &'a RequestHead,
    pub(super) times: Times,
    pub(super) why: Forward,
    /// What filters said.
    pub(super) words: Words,
    /// Whether anything of the answer may be kept.
    pub(super) keeps: Keeps,
}

/// Whether anything of an answer may be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
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

/// What became of an answer.
pub(super) enum Kept {
    /// It is being stored; this goes to the client.
    Yes(Answer),
    /// It is as it was; why it is not stored, as far as there is a word for that.
    No(Answer, Option<&'static str>),
}

/// So many resets in a row, or broken answers, are the origin's and not one client's.
const MOST_RESETS: u32 = 3;

impl Keeps {
    pub(super) fn of(may: bool, exchange: &Exchange, words: &Words) -> Self {
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
    pub(super) fn ignore(&self, answer: &mut Answer) {
        for name in &self.plan.ignore_fields {
            answer.head.fields.remove(name);
        }
    }

    /// Forgets what an answer to an unsafe request makes obsolete.
    pub(super) async fn obey(&self, answer: &Answer) {
        let recipe = &self.cache.knobs.key;
        let targets = invalidate::targets(self.client, answer.head.status, &answer.head.fields, recipe);
        purge::invalidate(&self.cache.store.shelf, &targets).await;
    }

    pub(super) fn may_stand_in(&self, entry: &Entry) -> bool {
        let wishes = if self.plan.ignore_request {
            RequestDirectives::default()
        } else {
            RequestDirectives::of(&self.client.fields)
        };
        entry.stored().policy.may_stand_in(&wishes, self.times.answered, &self.cache.knobs)
    }

    /// What is stored, in the place of a failure (RFC 5861, section 4).
    pub(super) fn stand_in(&self, exchange: &mut Exchange, entry: &Entry, status: Option<Status>) -> Option<Answer> {
        let (mut head, body) = entry.answer(self.client, self.times.answered)?;
        let ttl = Some(entry.stored().policy.ttl(self.times.answered));
        let done = Done { status, is_stale: true, ttl, ..Done::forwarded(self.why) };
        tell::tell(exchange, self.plan, &mut head.fields, done);
        Some(Answer { head, body, upstream: None, said: None })
    }

    /// It still holds: what is new is put to what is stored, and the client gets that.
    pub(super) fn confirm(
        &self,
        exchange: &mut Exchange,
        entry: &Entry,
        answer: Answer,
        leader: Option<Leader>,
    ) -> Answer {
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

    /// One of the variants is for this request, too: it gets that, which is stored for the likes of it beside the others.
    pub(super) fn choose(
        &self,
        exchange: &mut Exchange,
        entries: &[Entry],
        answer: Answer,
        leader: Option<Leader>,
    ) -> Answer {
        passage::give_up(answer.body);
        let (now, knobs) = (self.times.answered, &self.cache.knobs);
        let meant = validate::meant(entries, &answer.head);
        let mut fresh = meant.iter().filter_map(|at| entries.get(*at)).map(|entry| {
            let freshened = validate::freshen(entry.stored(), self.client, &answer.head, self.times, knobs);
            let may_stay = self.keeps == Keeps::Perhaps && self.freshen(entry, &freshened);
            (entry.with(freshened.stored), may_stay)
        });
        let Some((entry, may_stay)) = fresh.next() else { return Answer::of(exchange, &Kind::Internal.into()) };
        fresh.for_each(drop);
        let Some((mut head, body)) = entry.answer(self.client, now) else {
            return Answer::of(exchange, &Kind::Internal.into());
        };
        let ttl = Some(entry.stored().policy.ttl(now));
        let also = entry.stored().also_for(&self.client.fields).filter(|_| may_stay);
        let is_stored = match also {
            None => {
                self.forget(leader);
                false
            }
            Some(stored) => {
                let label = entry::label(self.key, &stored, &entry.object.label().tags, knobs);
                let writing = self.cache.store.shelf.write(label, Some(entry.object.length()), leader);
                writing.map(|writing| tee::fill(entry.object.body(), writing, stored)).map_err(let_go).is_ok()
            }
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
    pub(super) fn see(&self, entry: &Entry, head: &ResponseHead) {
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
    pub(super) fn complete(&self, exchange: &mut Exchange, joined: join::Joined, leader: Option<Leader>) -> Answer {
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

    /// Tells those who wait of a failure, if it would be theirs as well; what may have been about the one who asked is not
    /// believed at once, or a client could have others refused.
    pub(super) fn spread(&self, kind: Kind, took: Duration, leader: Option<Leader>) {
        let Some(leader) = leader else { return };
        let failure = || Failure::of(kind, "another exchange asked for the same");
        match kind {
            Kind::ConnectRefused
            | Kind::ConnectTimeout
            | Kind::TlsFailed
            | Kind::NoMember
            | Kind::PoolFull
            | Kind::OutOfDescriptors => {
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
    pub(super) fn keep(&self, exchange: &mut Exchange, answer: Answer, leader: Option<Leader>) -> Answer {
        match self.try_keep(exchange, answer, leader) {
            Kept::Yes(answer) => answer,
            Kept::No(answer, detail) => self.pass(exchange, answer, detail),
        }
    }

    /// What is stored, on its way; or the answer as it was, and why it is not stored.
    pub(super) fn try_keep(&self, exchange: &mut Exchange, answer: Answer, leader: Option<Leader>) -> Kept {
        if self.keeps != Keeps::Perhaps {
            self.forget(leader);
            return Kept::No(answer, self.keeps.detail());
        }
        let stored = match self.storable(&answer) {
            Ok(stored) => stored,
            Err(detail) => {
                // What one client is told now is not what the next one will be.
                let is_passing = answer.head.status.is_server_error()
                    || answer.head.status == Status::TOO_MANY_REQUESTS
                    || detail == MIN_USES;
                match is_passing {
                    true => leader.into_iter().for_each(|leader| leader.hand_on(clock::now())),
                    false => let_go(leader),
                }
                return Kept::No(answer, Some(detail));
            }
        };
        let tags = self.words.tags.as_deref().unwrap_or_default();
        let label = entry::label(self.key, &stored, tags, &self.cache.knobs);
        let expected = http_body::Body::size_hint(&answer.body).exact();
        match self.cache.store.shelf.write(label, expected, leader) {
            Ok(writing) => Kept::Yes(self.store(exchange, answer, writing, stored)),
            Err(leader) => {
                let_go(leader);
                Kept::No(answer, Some("too-large"))
            }
        }
    }

    /// Stores an answer on its way; who wants a part of it gets that.
    fn store(&self, exchange: &mut Exchange, mut answer: Answer, writing: Writing, stored: Stored) -> Answer {
        let ttl = Some(stored.policy.ttl(self.times.answered));
        let done = Done { is_stored: true, ttl, ..Done::forwarded(self.why) };
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

    /// Those who wait for an answer that is not kept ask for themselves. It is remembered where that will not change soon.
    pub(super) fn forget(&self, leader: Option<Leader>) {
        match self.keeps {
            Keeps::Nothing | Keeps::Own => let_go(leader),
            Keeps::Perhaps | Keeps::NotThis | Keeps::Unfiltered => leader.into_iter().for_each(Leader::alone),
        }
    }

    /// Passes an answer on that is not stored.
    pub(super) fn pass(&self, exchange: &mut Exchange, answer: Answer, detail: Option<&'static str>) -> Answer {
        self.tell(exchange, answer, Done { detail, ..Done::forwarded(self.why) })
    }

    pub(super) fn tell(&self, exchange: &mut Exchange, mut answer: Answer, done: Done) -> Answer {
        reply::hide(&mut answer.head.fields);
        tell::tell(exchange, self.plan, &mut answer.head.fields, done);
        answer
    }
}

/// Why nothing is stored yet.
const MIN_USES: &str = "min-uses";

/// What was fetched is for nobody else.
pub(super) fn let_go(leader: Option<Leader>) {
    if let Some(leader) = leader {
        leader.uncacheable(clock::now());
    }
}
