//! Whose turn it is to ask the origin, among those who want the same, and what the others get meanwhile.
//!
//! A flight has a name: the key, and whatever is known to tell answers apart beside it (a part of the content, the fields
//! that it varies by, credentials). Nobody waits for what is known to be for somebody else.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::sync::LazyLock;
use std::time::SystemTime;

use bytes::Bytes;
use http::header;

use super::entry::Entry;
use super::question::{CONDITIONS, Question};
use super::tell::{self, Done};
use super::{Answer, Desk, Exchange, card};
use crate::body::Body;
use crate::cache::lookup::{self, Found};
use crate::cache::reply::{self, Reply};
use crate::cache::status::Forward;
use crate::cache::vary::Selection;
use crate::cache::{Knobs, Stored};
use crate::clock;
use crate::failure::Failure;
use crate::generation::Cache;
use crate::message::ranges::{self, Piece};
use crate::message::{Method, RequestHead, ResponseHead, Status, Value};
use crate::shelf::{Boarding, Follow, Landing, Leader};

/// Who asks the origin, if anybody has to.
pub(super) enum Turn {
    /// Nobody: this came of somebody else's asking.
    Answer(Answer),
    /// Look at the shelves again: somebody fetched it.
    Again,
    /// This one, for all who wait; if said so, for everybody, whatever part its own client wants or has already.
    Lead(Leader, bool),
    /// This one, for itself.
    Alone,
    /// Nobody: who asked could not have it, for this reason or (`None`) by the origin's word. What is stored stands in for
    /// it, where that may be.
    Failed(Option<Failure>),
}

/// The flights that an exchange may board, one after the other, and whether who leads one asks for everybody.
#[derive(Default)]
pub(super) struct Hope(VecDeque<(Bytes, bool)>);

/// A range that begins so far from what has come, or from the beginning, waits for nobody: at a hundred megabits in a second
/// these come in a third of one.
const NEAR: u64 = 4 << 20;

/// An answer may turn out to vary by something else than what was known when its flight was boarded.
const MOST_FLIGHTS: usize = 4;

impl Hope {
    /// What others may be fetching that is for this request, too.
    pub(super) fn of(
        desk: &Desk,
        key: &Bytes,
        request: &RequestHead,
        question: &Question,
        why: Forward,
        entries: &[Entry],
    ) -> Self {
        let Some((cache, plan)) = desk.cache() else { return Self::default() };
        let fields = &request.fields;
        // Who wants nothing stored waits for nothing that is.
        if request.method != Method::GET || lookup::is_for_itself(request, &cache.knobs) {
            return Self::default();
        }
        let is_conditional = CONDITIONS.iter().any(|name| fields.contains(name));
        let takes_place = matches!(question, Question::Whether(entry) if entry.can_be_asked_about());
        let waits = !plan.lock_timeout.is_zero();
        let whole = || name(key, request, entries.first().filter(|_| why == Forward::VaryMiss).map(Entry::stored));
        let may_fill = plan.ranges_whole && plan.min_uses <= 1 && matches!(question, Question::Whole);
        Self(match fields.contains(header::RANGE) {
            // Our own condition takes the place of the client's.
            _ if takes_place && waits => [(whole(), false)].into(),
            _ if takes_place => [].into(),
            // What is not stored yet whatever comes is the client's affair alone.
            _ if is_conditional && !(plan.conditions_whole && cache.store.will_be_used(key, plan.min_uses)) => {
                [].into()
            }
            false if is_conditional || waits => [(whole(), is_conditional)].into(),
            true if waits && may_fill && is_near(request) && is_conditional => [(whole(), true)].into(),
            true if waits && may_fill && is_near(request) => [(whole(), true), (part(key, request), false)].into(),
            true if waits && !is_conditional => [(part(key, request), false)].into(),
            _ => [].into(),
        })
    }
}

/// Whose turn it is.
pub(super) async fn turn(exchange: &mut Exchange, desk: &Desk, hope: Hope, why: Forward) -> Turn {
    let Some((cache, plan)) = desk.cache() else { return Turn::Alone };
    let Hope(mut flights) = hope;
    let since = clock::wall();
    for _ in 0..MOST_FLIGHTS {
        let Some((flight, is_for_all)) = flights.pop_front() else { break };
        match board(exchange, cache, &flight, (plan.lock_timeout, since)).await {
            None | Some(Landing::Uncacheable) => {}
            Some(Landing::Stored) => return Turn::Again,
            Some(Landing::Leader(leader)) => return Turn::Lead(leader, is_for_all),
            Some(Landing::Failed(failure)) => return Turn::Failed(Some(failure)),
            Some(Landing::StandIn) => return Turn::Failed(None),
            Some(Landing::Follow(follow)) => match follow_up(exchange, desk, follow, why, since) {
                Ok(answer) => return Turn::Answer(answer),
                Err(other) => flights.extend(other.filter(|other| *other != flight).map(|other| (other, is_for_all))),
            },
        }
    }
    Turn::Alone
}

/// `None`: nobody else's answer would be for this one.
async fn board(
    exchange: &mut Exchange,
    cache: &Cache,
    flight: &Bytes,
    (patience, since): (clock::Duration, SystemTime),
) -> Option<Landing> {
    let flights = cache.store.shelf.flights();
    if patience.is_zero() {
        return flights.aside(flight, clock::now()).map(Landing::Leader);
    }
    let landing = land(exchange, flights.board(flight, clock::now()), patience).await;
    match landing {
        Some(Landing::Follow(old)) if is_over(&old, &cache.knobs, since) => {
            land(exchange, flights.board_after(&old, flight, clock::now()), patience).await
        }
        landing => landing,
    }
}

async fn land(exchange: &mut Exchange, boarding: Boarding, patience: clock::Duration) -> Option<Landing> {
    match boarding {
        Boarding::Alone => None,
        Boarding::Leader(leader) => Some(Landing::Leader(leader)),
        Boarding::Waiter(waiter) => {
            exchange.has_waited = true;
            Some(waiter.wait(patience).await)
        }
    }
}

/// Whether what is being written was fresh when it came, and is not for who asks since then.
fn is_over(follow: &Follow, knobs: &Knobs, since: SystemTime) -> bool {
    let policy = card::read(&follow.label().head, None, knobs).map(|stored| stored.policy);
    policy.is_some_and(|policy| policy.answered < since && policy.came_fresh() && !policy.is_fresh(since))
}

/// What is stored, as who has waited for it sees it: it was not there when that one asked.
pub(super) fn as_it_came(
    found: Found,
    entries: &mut [Entry],
    request: &RequestHead,
    knobs: &Knobs,
    since: SystemTime,
) -> Found {
    let Found::Validate { at, why: Forward::Stale } = found else { return found };
    let Some(entry) = entries.get_mut(at) else { return found };
    let policy = entry.stored().policy.clone();
    if policy.answered < since || !policy.came_fresh() {
        return found;
    }
    let seen = Stored { policy: policy.as_it_came(), ..entry.stored().clone() };
    let now = clock::wall();
    match lookup::look(&[&seen], request, now, knobs) {
        Found::Use { is_stale, revalidate, .. } => {
            *entry = entry.with(seen);
            Found::Use { at, is_stale, revalidate }
        }
        _ => found,
    }
}

/// An answer from what another exchange is fetching, if it is for this request, too; or another flight that may be.
fn follow_up(
    exchange: &mut Exchange,
    desk: &Desk,
    follow: Follow,
    why: Forward,
    since: SystemTime,
) -> Result<Answer, Option<Bytes>> {
    let (cache, plan) = desk.cache().ok_or(None)?;
    let now = clock::wall();
    let mut stored = stored(&follow, &cache.knobs).ok_or(None)?;
    if since <= stored.policy.answered {
        stored.policy = stored.policy.as_it_came();
    }
    let request = &exchange.facts.request;
    match lookup::look(&[&stored], request, now, &cache.knobs) {
        Found::Use { revalidate: false, .. } => {}
        Found::Nothing(Forward::VaryMiss) => {
            return Err(Some(name(&follow.label().key, request, Some(&stored))));
        }
        _ => return Err(None),
    }
    let (mut head, body) = along(&stored, follow, request, now).ok_or(None)?;
    let ttl = Some(stored.policy.ttl(now));
    let done = Done { is_collapsed: true, ttl, ..Done::forwarded(why) };
    tell::tell(exchange, plan, &mut head.fields, done);
    Ok(Answer { head, body, upstream: stored.version, said: None })
}

/// What is being written, as if it were whole. Without a length, its length only counts for what is said of it.
fn stored(follow: &Follow, knobs: &Knobs) -> Option<Stored> {
    let mut stored = card::read(&follow.label().head, None, knobs)?;
    stored.finish(follow.expected().unwrap_or(0)).ok()?;
    Some(stored)
}

/// The answer to a request from what is being written; `None` if that is not soon here. Where nobody knows yet how long it
/// becomes, nobody can say which part of it is wanted, and all of it is sent.
pub(super) fn along(
    stored: &Stored,
    follow: Follow,
    request: &RequestHead,
    now: SystemTime,
) -> Option<(ResponseHead, Body)> {
    if follow.expected().is_none() {
        let mut request = request.clone();
        request.fields.remove(header::RANGE);
        let mut head = reply::reply(stored, &request, now, 0)?.head;
        head.fields.remove(header::CONTENT_LENGTH);
        let body = if head.status == Status::NOT_MODIFIED { Body::Empty } else { follow.body() };
        return Some((head, body));
    }
    let Reply { head, pieces } = reply::reply(stored, request, now, 0)?;
    let body = match pieces.as_slice() {
        [] => Body::Empty,
        [Piece::Range(range)] => {
            let offset = range.first.checked_sub(stored.held.ranges().first()?.first)?;
            if offset > follow.come().saturating_add(NEAR) {
                return None;
            }
            if Some(range.length()) == follow.expected() {
                follow.body()
            } else {
                follow.part(offset, range.length())?.body()
            }
        }
        // Several, in any order.
        _ => return None,
    };
    Some((head, body))
}

/// Whether all of it can be fetched for the range that is asked for without making it wait for long.
fn is_near(request: &RequestHead) -> bool {
    ranges::beginning(&request.fields).is_some_and(|first| first <= NEAR)
}

/// The flight of a key, among those who have credentials, and for those who say the same where an answer varies.
fn name(key: &Bytes, request: &RequestHead, answer: Option<&Stored>) -> Bytes {
    let has_credentials = request.fields.contains(header::AUTHORIZATION);
    let selection = answer.and_then(|answer| Selection::like(&answer.head.fields, &request.fields));
    match selection.filter(|selection| !selection.is_empty()) {
        None if !has_credentials => key.clone(),
        selection => beside(key, (has_credentials, selection)),
    }
}

/// The flight of those who ask for the same part.
fn part(key: &Bytes, request: &RequestHead) -> Bytes {
    let lines = |name| request.fields.lines(&name).map(Value::as_bytes).collect::<Vec<_>>();
    beside(&name(key, request, None), (lines(header::RANGE), lines(header::IF_RANGE)))
}

/// Another flight of a key. Its name is short, whatever clients say; those that meet in one see that and part again.
fn beside(key: &Bytes, what: impl Hash) -> Bytes {
    static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    [key, &HASHER.hash_one(what).to_be_bytes()[..]].concat().into()
}
