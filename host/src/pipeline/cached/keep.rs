//! What is stored of an answer, and what the client gets of it meanwhile.

use http::header;

use super::super::{Answer, Exchange};
use super::case::{Case, Keeps, Kept, let_go};
use super::tell::Done;
use super::{entry, flight, join, tee};
use crate::body::Body;
use crate::cache::storable;
use crate::cache::{Stored, reply};
use crate::clock;
use crate::message::Status;
use crate::shelf::{Leader, Writing};

impl Case<'_> {
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

    /// Stores an answer on its way; who wants a part of it gets that, and who has it already gets to know that.
    fn store(&self, exchange: &mut Exchange, mut answer: Answer, writing: Writing, stored: Stored) -> Answer {
        let (client, now) = (self.client, self.times.answered);
        let done = Done { is_stored: true, ttl: Some(stored.policy.ttl(now)), ..Done::forwarded(self.why) };
        if self.judges
            && answer.head.status == Status::OK
            && reply::is_unmodified(&stored, client)
            && let Some(known) = reply::reply(&stored, client, now, 0)
        {
            tee::fill(answer.body, writing, stored);
            let answer = Answer { head: known.head, body: Body::Empty, upstream: answer.upstream, said: None };
            return self.tell(exchange, answer, Done { status: Some(Status::OK), ..done });
        }
        let wants_part = client.fields.contains(header::RANGE) && answer.head.status == Status::OK;
        let mut whole = wants_part.then(|| stored.clone());
        let part = whole.as_mut().and_then(|whole| {
            let follow = writing.own();
            whole.finish(follow.expected()?).ok()?;
            flight::along(whole, follow, client, now)
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
        let length = http_body::Body::size_hint(&answer.body).lower();
        if length > self.plan.max_object {
            return Err("too-large");
        }
        let stored = storable::storable(self.client, &answer.head, self.times, &self.cache.knobs);
        // Who asks whether it has it still has used it.
        let counts = stored.is_ok() || answer.head.status == Status::NOT_MODIFIED;
        let is_used = counts && self.cache.store.is_used(self.key, self.plan.min_uses);
        let stored = stored.map_err(|refusal| refusal.word())?;
        if is_used { Ok(Stored { version: answer.upstream, ..stored }) } else { Err(MIN_USES) }
    }
}

/// Why nothing is stored yet.
const MIN_USES: &str = "min-uses";
