//! Sticky sessions: which members a request asks for, and what an answer tells the client and us.
//!
//! Text and tables only: whether the members that are asked for can serve is the pool's to know. What a client says is
//! looked up and nothing else; a session that names nobody is as good as none.

mod answer;
mod chains;
pub(super) mod cookies;
mod insert;
mod learn;
mod route;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub(super) use self::learn::Learned;

use self::chains::Chains;
use self::insert::Insert;
use self::learn::{Digest, Learn};
use self::route::Route;
use crate::config::{Sticky, StickyBy};
use crate::message::{Fields, RequestHead, ResponseHead};

/// What sessions know a member by. A member's position is its place in the list that `Sessions::of` is given.
#[derive(Debug, Clone)]
pub(super) struct SeatName {
    /// Its name; addresses of one name may share it, and then share sessions.
    pub name: Arc<str>,
    /// The route that session values name it by.
    pub route: Option<Arc<str>>,
    /// The route of those who take its sessions when it cannot.
    pub redirect: Option<Arc<str>>,
}

/// The sessions of a pool.
#[derive(Debug)]
pub(super) struct Sessions(By);

#[derive(Debug)]
enum By {
    Route(Route),
    Insert(Insert),
    Learn(Learn),
}

/// The session that a request brings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Session {
    positions: Vec<usize>,
    /// The member that the session itself names, before any redirect.
    named: Option<usize>,
    /// Where the session stands in the table of those learned.
    learned: Option<Digest>,
}

impl Sessions {
    /// Prepares tables for the members of a pool. `learned` outlives this and is used only by sessions that are learned.
    #[must_use]
    pub(super) fn of(plan: &Sticky, pool: &str, seats: &[SeatName], learned: Arc<Learned>) -> Self {
        let chains = Chains::of(seats);
        Self(match &plan.by {
            StickyBy::Route(plan) => By::Route(Route::of(plan, chains)),
            StickyBy::Insert(plan) => By::Insert(Insert::of(plan, pool, seats, &chains)),
            StickyBy::Learn(plan) => By::Learn(Learn::of(plan, seats, chains, learned)),
        })
    }

    /// What the request says; `None` when it carries no session. When several values are there (a cookie twice, a
    /// parameter and a cookie), the first that names a member of this pool counts.
    #[must_use]
    pub(super) fn read(&self, request: &RequestHead) -> Option<Session> {
        match &self.0 {
            By::Route(route) => route.read(request),
            By::Insert(insert) => insert.read(&request.fields),
            By::Learn(learn) => learn.read(request),
        }
    }

    /// After an answer from `position`: adds our cookie when the client has none that names this member, or remembers the
    /// session that the member began. Whether the answer is this client's alone by that.
    pub(super) fn settle(&self, session: Option<&Session>, position: usize, response: &mut ResponseHead) -> bool {
        match &self.0 {
            // The members put their routes into session values themselves.
            By::Route(_) => false,
            By::Insert(insert) => insert.settle(session, position, &mut response.fields),
            By::Learn(learn) => {
                learn.settle(session, position, &response.fields);
                false
            }
        }
    }

    /// Takes our own cookie out of a request before a member sees it: it says nothing to members, and one that logged or
    /// echoed it would give a client's place away (as haproxy's `indirect`). Members' own cookies stay.
    pub(super) fn hide(&self, request_fields: &mut Fields) {
        if let By::Insert(insert) = &self.0 {
            insert.hide(request_fields);
        }
    }
}

impl Session {
    /// Positions in order of preference: those that are named, each followed by those that it redirects to. Empty when
    /// nobody known is named; the request is balanced as any other then, whatever the fallback.
    #[must_use]
    pub(super) fn positions(&self) -> &[usize] {
        &self.positions
    }
}
