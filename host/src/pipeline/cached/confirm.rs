//! What an answer says of what is stored: that it still holds, that another variant is the one, or that it is of the past.

use super::super::{Answer, Exchange, passage};
use super::case::{Case, Keeps, let_go};
use super::entry::{self, Entry};
use super::question::Question;
use super::tee;
use super::tell::{self, Done};
use crate::cache::lookup;
use crate::cache::status::Forward;
use crate::cache::storable::Refusal;
use crate::cache::validate::{self, Freshened, Seen};
use crate::failure::Kind;
use crate::message::{Method, ResponseHead, Status};
use crate::shelf::{Leader, Purge, Target};

impl Case<'_> {
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

    /// What a `HEAD` says of what is stored (RFC 9111, section 4.3.5). What is of another version is stale from now on; that
    /// others of its key are, it does not say.
    pub(super) fn see(&self, entry: &Entry, head: &ResponseHead) {
        match validate::see(entry.stored(), self.client, head, self.times, &self.cache.knobs) {
            Some(Seen::Update(freshened)) => {
                self.freshen(entry, &freshened);
            }
            Some(Seen::Outdated) => self.cache.store.shelf.set_aside(&entry.object, Purge::Soft),
            None => {}
        }
    }

    /// An answer that is not stored takes the place of what is stored for the same request, if it is one to everybody: what the
    /// origin has taken back, or does not want to be stored any more, stands in for no failure later (RFC 9111, section 4.3.3).
    pub(super) async fn supersede(&self, question: &Question, head: &ResponseHead, detail: Option<&'static str>) {
        if !self.is_for_everybody(head, detail) {
            return;
        }
        let shelf = &self.cache.store.shelf;
        let found = match (question.entry(), self.why) {
            (Some(entry), _) => vec![entry.clone()],
            // Nobody looked, or what was found was not asked about.
            (None, Forward::Bypass | Forward::Partial | Forward::Request | Forward::Stale) => {
                entry::find(shelf, self.key, self.times.answered, &self.cache.knobs).await
            }
            (None, _) => return,
        };
        let at = lookup::select(&found, self.client, &self.cache.knobs);
        // What came since then knows better.
        let old = at.and_then(|at| found.get(at)).filter(|old| old.stored().times.answered <= self.times.asked);
        old.into_iter().for_each(|old| shelf.set_aside(&old.object, Purge::Hard));
    }

    fn is_for_everybody(&self, head: &ResponseHead, detail: Option<&'static str>) -> bool {
        let is_gone = matches!(head.status, Status::NOT_FOUND | Status::GONE);
        // What `HEAD` says of it is seen elsewhere.
        let is_whole = self.client.method != Method::HEAD && OF_ALL.contains(&head.status.as_u16());
        // That something is gone is no less true for a cookie beside it.
        let of_one = if is_gone { &OF_ONE[..3] } else { &OF_ONE[..] };
        matches!(self.keeps, Keeps::Perhaps | Keeps::Nothing)
            && (is_gone || is_whole)
            && of_one.iter().all(|refusal| Some(refusal.word()) != detail)
    }
}

/// Reasons not to store an answer that lie with the one who asked: what others have may still be theirs.
const OF_ONE: [Refusal; 4] = [Refusal::Private, Refusal::Authorization, Refusal::RequestNoStore, Refusal::Cookie];

/// Statuses of answers that say what there is, and not what the one who asked may do or has to do next.
const OF_ALL: [u16; 6] = [200, 203, 204, 300, 301, 308];
