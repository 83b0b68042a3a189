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
            let Some(routes) = self.routes(&value) else { continue };
            let positions = self.positions(routes);
            if !positions.is_empty() {
                return Some(Session { named: positions.first().copied(), positions, learned: None });
            }
            session = Some(Session::default());
        }
        session
    }

    /// What stands behind the first separator, as httpd cuts; a value without one is not sticky.
    fn routes<'a>(&self, value: &'a str) -> Option<&'a str> {
        let routes = match self.plan.separator {
            Some(separator) => value.split_once(separator)?.1,
            None => value,
        };
        (!routes.is_empty()).then_some(routes)
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
