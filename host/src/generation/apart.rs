//! What tells a route's stored answers from those that other routes may have for the same URLs. Known by it also after a
//! reload that changes the route's place, and to what lies on a disk: it stays written as it is.

use super::{Generation, RouteKey};
use crate::config::{Plan, Route};

/// By site, by route; nothing for most.
pub(super) type Apart = Vec<Vec<Option<Box<str>>>>;

impl Generation {
    /// What a cache's keys of a route have beside the URL, if its URLs may be another route's as well.
    #[must_use]
    pub fn apart(&self, key: RouteKey) -> Option<&str> {
        self.apart.get(key.site)?.get(key.route)?.as_deref()
    }
}

pub(super) fn of(plan: &Plan) -> Apart {
    plan.sites.iter().map(|site| site.routes.iter().map(of_route).collect()).collect()
}

fn of_route(route: &Route) -> Option<Box<str>> {
    is_one_of_several(route).then(|| {
        let internal = if route.internal { &*route.name } else { "" };
        format!("{:?}{:?}{internal}", route.fields, route.query).into()
    })
}

/// Whether a route is for some of the requests for its URLs: beside it, another one may answer the rest. One that upstreams
/// lead to has answers that clients get by their word alone.
fn is_one_of_several(route: &Route) -> bool {
    route.internal || !route.fields.is_empty() || !route.query.is_empty()
}
