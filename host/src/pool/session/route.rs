//! Sessions whose value ends in a member's route, which the member itself put there: `JSESSIONID=abc.node1`.

use std::borrow::Cow;

use super::chains::Chains;
use super::{Session, cookies};
use crate::config::StickyRoute;
use crate::message::{RequestHead, query};

/// Ranked routes that are looked at; a cluster keeps a session on two or three.
const RANKS: usize = 16;

/// Values that are looked at in one request. A browser sends a cookie once for each path it was set for.
const VALUES: usize = 16;

/// Separators at which a value is cut; a signed token has two, a host name three or four.
const CUTS: usize = 16;

/// Positions that are kept of one request.
const POSITIONS: usize = 64;

/// Sessions by route.
#[derive(Debug)]
pub(super) struct Route {
    plan: StickyRoute,
    chains: Chains,
}

impl Route {
    pub(super) fn of(plan: &StickyRoute, chains: Chains) -> Self {
        Self { plan: plan.clone(), chains }
    }

    pub(super) fn read(&self, request: &RequestHead) -> Option<Session> {
        let parameter = self.plan.parameter.as_deref().into_iter().flat_map(|name| parameters(request, name));
        let cookies = self.plan.cookies.iter().flat_map(|name| cookies::values(&request.fields, name));
        let values = parameter.chain(cookies.filter_map(|value| str::from_utf8(value).ok()).map(Cow::Borrowed));
        let mut session = None;
        for value in values.take(VALUES) {
            let Some(positions) = self.named_by(&value) else { continue };
            if !positions.is_empty() {
                return Some(Session { named: positions.first().copied(), positions, learned: None });
            }
            session = Some(Session::default());
        }
        session
    }

    /// The members that a value's end names; a value without a separator, or with nothing behind it, is not sticky. A
    /// session's own part may hold separators too, and so may a route: the longest end that is somebody's counts.
    fn named_by(&self, value: &str) -> Option<Vec<usize>> {
        let Some(separator) = self.plan.separator else {
            return (!value.is_empty()).then(|| self.positions(value));
        };
        let mut ends = value.split(separator);
        let mut at = ends.next().map_or(0, str::len) + separator.len_utf8();
        let mut is_sticky = false;
        for part in ends.take(CUTS) {
            let end = value.get(at..).filter(|end| !end.is_empty())?;
            is_sticky = true;
            let positions = self.positions(end);
            if !positions.is_empty() {
                return Some(positions);
            }
            at += part.len() + separator.len_utf8();
        }
        is_sticky.then(Vec::new)
    }

    fn positions(&self, routes: &str) -> Vec<usize> {
        let mut positions = Vec::new();
        let mut follow = |route: &str| {
            for position in self.chains.by_route(route) {
                if positions.len() < POSITIONS && !positions.contains(position) {
                    positions.push(*position);
                }
            }
        };
        match self.plan.ranked {
            Some(between) => routes.split(between).take(RANKS).for_each(&mut follow),
            None => follow(routes),
        }
        positions
    }
}

/// The values of a parameter of the path (`/a;name=value/b`, as written), then of the query (decoded).
pub(super) fn parameters<'a>(request: &'a RequestHead, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
    let of_path = request.path().split('/').flat_map(|segment| segment.split(';').skip(1));
    let of_path = of_path.filter_map(move |parameter| parameter.strip_prefix(name)?.strip_prefix('='));
    of_path.map(Cow::Borrowed).chain(query::values(request.query().unwrap_or_default(), name))
}
