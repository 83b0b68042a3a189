//! The right to make an attempt on a member.

use std::sync::Arc;

use super::Pool;
use super::member::Member;
use super::roster::{Enlisted, Roster};
use super::session::Session;
use crate::clock::{self, Instant};
use crate::config;
use crate::message::{Fields, ResponseHead};
use crate::upstream::{Endpoint, Guard};

/// The right to make an attempt on a member; counted as in flight until it is dropped.
pub struct Lease {
    pool: Arc<Pool>,
    roster: Arc<Roster>,
    position: usize,
    member: Arc<Member>,
    session: Option<Session>,
    is_over: bool,
}

/// What an attempt came to, as far as the member's fitness goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It answered, and not with a status that counts as a failure.
    Served,
    /// It failed, as may happen; many times in a row eject it.
    Failed,
    /// It cannot be used: it is in error now.
    Broken,
}

impl Lease {
    /// A lease, unless the member is full.
    pub(super) fn take(
        pool: &Arc<Pool>,
        roster: &Arc<Roster>,
        position: usize,
        session: Option<&Session>,
    ) -> Option<Self> {
        let enlisted = roster.members.get(position)?;
        enlisted.member.enter(enlisted.most).then(|| Self {
            pool: pool.clone(),
            roster: roster.clone(),
            position,
            member: enlisted.member.clone(),
            session: session.cloned(),
            is_over: false,
        })
    }

    /// The member.
    #[must_use]
    pub const fn member(&self) -> &Arc<Member> {
        &self.member
    }

    /// Connections to the member that may be open at once.
    #[must_use]
    pub fn most_connections(&self) -> Option<usize> {
        self.enlisted().and_then(|enlisted| enlisted.plan.max_connections)
    }

    /// Makes sure that the program which serves at the member's address listens, if it is ours to start.
    ///
    /// # Errors
    /// Why it does not; `None` when there is no such program.
    pub async fn rouse(&self) -> Result<(), Option<String>> {
        match self.enlisted().and_then(|enlisted| enlisted.program.as_ref()) {
            Some(program) => program.listen().await.map_err(Some),
            None => Err(None),
        }
    }

    /// Says that the attempt was answered well.
    pub fn served(&self) {
        self.member.succeeded();
    }

    /// Says what the attempt came to.
    pub fn note(&self, effect: Effect, now: Instant) {
        if let Some(enlisted) = self.enlisted() {
            self.pool.note(enlisted, effect, now);
        }
    }

    /// Takes what is ours out of the request's fields: nobody behind the gateway needs it.
    pub fn hide(&self, fields: &mut Fields) {
        if let Some(sessions) = &self.roster.sessions {
            sessions.hide(fields);
        }
    }

    /// Puts into an answer what keeps the client with this member, if there is one, and learns from it. Whether the answer is
    /// this client's alone by that.
    pub fn settle(&self, head: &mut ResponseHead, is_for_client: bool) -> bool {
        let sessions = self.roster.sessions.as_ref().filter(|_| is_for_client);
        let is_own = sessions.is_some_and(|sessions| sessions.settle(self.session.as_ref(), self.position, head));
        if self.pool.plan.balance == config::Balance::ByLoad {
            self.member.reports_in(&mut head.fields);
        }
        is_own
    }

    /// So many bytes of bodies went to the member or came from it.
    pub fn carried(&self, bytes: u64) {
        if self.pool.plan.balance == config::Balance::ByTraffic {
            self.member.carry(bytes);
        }
    }

    /// Where an exchange goes that may change its protocol, which HTTP/2 has no way for: the member, spoken to in HTTP/1.1
    /// where it leaves the choice to us.
    #[must_use]
    pub fn simple_endpoint(&self) -> Arc<Endpoint> {
        self.member.simple_endpoint()
    }

    /// The member has done its part; what goes on does not count against its limits.
    pub fn release(&mut self) {
        if !std::mem::replace(&mut self.is_over, true) {
            self.member.leave();
        }
    }

    fn enlisted(&self) -> Option<&Enlisted> {
        self.roster.members.get(self.position)
    }
}

impl Guard for Lease {
    fn received(&self, bytes: usize) {
        self.carried(bytes as u64);
    }

    /// An answer that breaks off is as bad as none.
    fn cut(&self) {
        self.note(Effect::Failed, clock::now());
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.release();
    }
}
