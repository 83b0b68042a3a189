//! What an answer of the origin's changes for others: what it forgets, and what becomes of those who wait for it; and what the
//! client gets of one that is not stored. What it confirms is in `confirm.rs`, what is stored of it in `keep.rs`.

use bytes::Bytes;

use super::super::{Answer, Exchange, passage};
use super::entry::{self, Entry};
use super::purge;
use super::tell::{self, Done};
use super::words::Words;
use crate::body::Body;
use crate::cache::fresh::Times;
use crate::cache::status::Forward;
use crate::cache::storable::{self, Refusal};
use crate::cache::{RequestDirectives, invalidate, reply};
use crate::clock::{self, Duration};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::generation::Cache;
use crate::message::conditional::{self, Outcome, Validators};
use crate::message::{RequestHead, Status};
use crate::shelf::Leader;

/// What belongs to one question.
pub(super) struct Case<'a> {
    pub(super) cache: &'a Cache,
    pub(super) plan: &'a config::Cache,
    pub(super) key: &'a Bytes,
    /// What the client asked.
    pub(super) client: &'a RequestHead,
    pub(super) times: Times,
    pub(super) why: Forward,
    /// The origin was not told what the client has: whether it gets a 304 is decided here.
    pub(super) judges: bool,
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
    pub(super) const fn detail(self) -> Option<&'static str> {
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

    /// Forgets what an answer to an unsafe request makes obsolete. What may be stored of the answer itself is not.
    pub(super) async fn obey(&self, answer: &Answer, leader: Option<&mut Leader>) {
        let knobs = &self.cache.knobs;
        let targets = invalidate::targets(self.client, answer.head.status, &answer.head.fields, &knobs.key);
        if targets.urls.is_empty() && targets.tags.is_empty() {
            return;
        }
        let own = leader.zip(storable::storable(self.client, &answer.head, self.times, knobs).ok());
        let tags = self.words.tags.as_deref().unwrap_or_default();
        let own = own.map(|(leader, stored)| (leader, entry::label(self.key, &stored, tags, knobs)));
        purge::invalidate(&self.cache.store.shelf, &targets, own).await;
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
    pub(super) fn stand_in(&self, exchange: &mut Exchange, entry: &Entry, done: Done) -> Option<Answer> {
        let (mut head, body) = entry.answer(self.client, self.times.answered)?;
        let ttl = Some(entry.stored().policy.ttl(self.times.answered));
        tell::tell(exchange, self.plan, &mut head.fields, Done { is_stale: true, ttl, ..done });
        Some(Answer { head, body, upstream: entry.stored().version, said: None })
    }

    /// Tells those who wait of a failure, if it would be theirs as well; what may have been about the one who asked is not
    /// believed at once, or a client could have others refused.
    pub(super) fn spread(&self, kind: Kind, took: Duration, leader: Option<Leader>) {
        let Some(leader) = leader else { return };
        let (failure, now) = (|| Failure::of(kind, "another exchange asked for the same"), clock::now());
        // Who has waited for half of that time would wait for half as long again.
        let since = now.checked_sub(took / 2).unwrap_or(now);
        match kind {
            Kind::ConnectRefused
            | Kind::ConnectTimeout
            | Kind::TlsFailed
            | Kind::NoMember
            | Kind::PoolFull
            | Kind::OutOfDescriptors => {
                leader.failed(&failure(), 1, now);
            }
            Kind::ResponseTimeout | Kind::UpstreamStalled => leader.overdue(&failure(), since, now),
            // Of an exchange that has waited for others before, only a part of its time was for this.
            Kind::ExchangeTimeout if took >= self.plan.lock_timeout => leader.overdue(&failure(), since, now),
            Kind::UpstreamReset | Kind::BadResponse => leader.failed(&failure(), MOST_RESETS, now),
            _ => leader.hand_on(now),
        }
    }

    /// Those who wait for an answer that is not kept ask for themselves. It is remembered where that will not change soon.
    pub(super) fn forget(&self, leader: Option<Leader>) {
        match self.keeps {
            Keeps::Nothing | Keeps::Own => let_go(leader),
            Keeps::Perhaps | Keeps::NotThis | Keeps::Unfiltered => leader.into_iter().for_each(Leader::alone),
        }
    }

    /// Passes an answer on that is not stored. Who has it already is told so (RFC 9110, section 13.2.2), where the origin
    /// could not know.
    pub(super) fn pass(&self, exchange: &mut Exchange, answer: Answer, detail: Option<&'static str>) -> Answer {
        let done = Done { detail, ..Done::forwarded(self.why) };
        if !self.judges || answer.head.status != Status::OK || !self.has(&answer) {
            return self.tell(exchange, answer, done);
        }
        passage::give_up(answer.body);
        let answer = Answer { head: Outcome::NotModified.head(answer.head), body: Body::Empty, ..answer };
        self.tell(exchange, answer, Done { status: Some(Status::OK), ..done })
    }

    fn has(&self, answer: &Answer) -> bool {
        let (client, validators) = (self.client, Validators::stated(&answer.head.fields));
        conditional::evaluate_stored(&client.method, &client.fields, &validators) == Outcome::NotModified
    }

    pub(super) fn tell(&self, exchange: &mut Exchange, mut answer: Answer, done: Done) -> Answer {
        reply::hide(&mut answer.head.fields);
        tell::tell(exchange, self.plan, &mut answer.head.fields, done);
        answer
    }
}

/// What was fetched is for nobody else.
pub(super) fn let_go(leader: Option<Leader>) {
    if let Some(leader) = leader {
        leader.uncacheable(clock::now());
    }
}
