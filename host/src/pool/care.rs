//! What is done for pools on the control thread: checks, names, programs, and a look at success rates now and then.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::local::{Program, Programs};
use super::member::Member;
use super::probe::{Judged, Outcome, Probes, Subject, Wanted};
use super::roster::{Enlisted, Roster};
use super::{Pool, clock};
use crate::clock::{Duration, Ticker};
use crate::config::{Health, MemberAddress, State};
use crate::upstream::{Found, Resolver, Watch, Watched};

/// Looks after the pools of the current generation, and no others.
pub struct Caretaker {
    pools: RefCell<Vec<Arc<Pool>>>,
    /// What the pools were made of when they were last attended to.
    attended: RefCell<Vec<Arc<Roster>>>,
    probes: Probes,
    programs: RefCell<Programs>,
    resolver: Resolver,
}

/// A member as its checks see it.
struct Checked {
    member: Arc<Member>,
    health: Option<Arc<Health>>,
    state: State,
}

/// Between two looks at success rates and at who came and went.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Caretaker {
    /// Starts on the calling thread, inside its runtime, with nothing to look after.
    #[must_use]
    pub fn start(ticker: Rc<Ticker>, resolvers: &[SocketAddr]) -> Rc<Self> {
        let caretaker = Rc::new(Self {
            pools: RefCell::default(),
            attended: RefCell::default(),
            probes: Probes::start(ticker),
            programs: RefCell::new(Programs::start()),
            resolver: Resolver::start(resolvers),
        });
        tokio::task::spawn_local(Self::look(Rc::downgrade(&caretaker)));
        caretaker
    }

    /// Looks after these pools from now on.
    pub fn attend(&self, pools: Vec<Arc<Pool>>, resolvers: &[SocketAddr]) {
        self.resolver.reconfigure(resolvers);
        self.resolver.hold(&pools.iter().flat_map(|pool| names(pool)).collect::<Vec<_>>());
        self.resolver.attend(pools.iter().flat_map(watches).collect());
        *self.pools.borrow_mut() = pools;
        self.attend_members();
    }

    /// Stops what was started. Cancellation safe.
    pub async fn stop(&self) {
        let mut programs = self.programs.replace(Programs::start());
        programs.stop_all().await;
    }

    async fn look(caretaker: std::rc::Weak<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let Some(caretaker) = caretaker.upgrade() else { return };
            let now = clock::now();
            caretaker.pools.borrow().iter().for_each(|pool| pool.tend(now));
            if caretaker.has_changed() {
                caretaker.attend_members();
            }
        }
    }

    fn has_changed(&self) -> bool {
        let (pools, attended) = (self.pools.borrow(), self.attended.borrow());
        !pools.iter().zip(&*attended).all(|(pool, roster)| Arc::ptr_eq(&pool.standing.load().roster, roster))
    }

    fn attend_members(&self) {
        let pools = self.pools.borrow();
        let rosters: Vec<_> = pools.iter().map(|pool| pool.standing.load().roster.clone()).collect();
        let of = |(pool, roster): (&Arc<Pool>, &Arc<Roster>)| -> Vec<_> {
            roster.members.iter().map(|enlisted| subject(pool, enlisted)).collect()
        };
        self.probes.attend(pools.iter().zip(&rosters).flat_map(of).collect());
        let programs: Vec<Arc<Program>> =
            rosters.iter().flat_map(|roster| roster.members.iter().filter_map(|it| it.program.clone())).collect();
        self.programs.borrow_mut().attend(programs);
        *self.attended.borrow_mut() = rosters;
    }
}

impl Judged for Checked {
    fn judged(&self, outcome: &Outcome) {
        let now = clock::now();
        match &self.health {
            Some(health) => self.member.checked(outcome.passed, health.passes, health.fails, now),
            None if outcome.passed => self.member.reached(now),
            None => {}
        }
    }

    fn wants(&self) -> Wanted {
        match (self.state, &self.health) {
            (State::Stopped, _) => Wanted::Nothing,
            (_, Some(_)) => Wanted::Check,
            (_, None) if self.member.is_in_error(clock::now()) => Wanted::Reprobe,
            (_, None) => Wanted::Nothing,
        }
    }
}

fn subject(pool: &Pool, enlisted: &Enlisted) -> Subject {
    let plan = &pool.plan;
    if plan.health.is_none() {
        enlisted.member.forget_checks();
    }
    let (member, health) = (enlisted.member.clone(), plan.health.clone());
    Subject {
        pool: plan.name.clone(),
        member: member.name.clone(),
        endpoint: member.endpoint.clone(),
        host: member.host.clone(),
        health: health.clone(),
        reprobe: plan.reprobe,
        connect_timeout: plan.connect_timeout,
        judge: Arc::new(Checked { member, health, state: enlisted.plan.state }),
    }
}

/// The names that members are dialled by, and how long their addresses hold.
fn names(pool: &Pool) -> Vec<(String, Duration)> {
    let name = |member: &crate::config::Member| match &member.address {
        MemberAddress::Name(name, _) => Some((name.clone(), pool.plan.address_ttl)),
        _ => None,
    };
    pool.plan.members.iter().filter_map(name).collect()
}

/// The names of a pool whose addresses are its members.
fn watches(pool: &Arc<Pool>) -> Vec<Watch> {
    let watch = |(position, member): (usize, &crate::config::Member)| {
        let watched = match &member.address {
            MemberAddress::Service(name) => Watched::Services(name.clone()),
            MemberAddress::Name(name, port) if member.each_address => Watched::Addresses(name.clone(), *port),
            _ => return None,
        };
        let weak = Arc::downgrade(pool);
        let tell = move |found: &[Found]| {
            if let Some(pool) = weak.upgrade() {
                pool.found(position, found, clock::now());
            }
        };
        Some(Watch { watched, ttl: pool.plan.address_ttl, tell: Arc::new(tell) })
    };
    pool.plan.members.iter().enumerate().filter_map(watch).collect()
}
