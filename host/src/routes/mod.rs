//! Which site and route a request belongs to.
//!
//! A table is built once from a plan and never changes. It reads a head whose host was checked and whose path has its one
//! spelling, and answers with indices into the plan; what a route then does is not its business.

mod conditions;

use std::collections::HashMap;

use crate::config::{Action, PathMatch, Plan, Route, Site};
use crate::message::{Method, RequestHead, host, target};

use self::conditions::Conditions;

/// The sites and routes of a plan, ready to be searched.
#[derive(Debug)]
pub struct Table {
    /// By host, in lower case.
    exact: HashMap<String, usize>,
    /// By what follows the star of `*.shop.example`, its dot included.
    wildcard: HashMap<String, usize>,
    default: Option<usize>,
    /// The routes of each site, in order.
    routes: Vec<Vec<Rule>>,
}

/// Where a request belongs: indices into `Plan::sites` and the site's routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The site, whose error pages hold even when no route matches.
    pub site: usize,
    /// The first route that matches; `None` where there is none, or where it says `exclude`, or is not for clients.
    pub route: Option<usize>,
}

/// What one route asks for.
#[derive(Debug)]
struct Rule {
    path: PathMatch,
    methods: Vec<Method>,
    conditions: Conditions,
    excludes: bool,
    is_internal: bool,
}

impl Table {
    /// The table of a plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Self {
        let (mut exact, mut wildcard) = (HashMap::new(), HashMap::new());
        for (index, site) in plan.sites.iter().enumerate() {
            for name in &site.hosts {
                match name.strip_prefix('*') {
                    Some(suffix) => wildcard.entry(host::key(suffix).into_owned()).or_insert(index),
                    None => exact.entry(host::key(name).into_owned()).or_insert(index),
                };
            }
        }
        let routes = plan.sites.iter().map(|Site { routes, .. }| routes.iter().map(Rule::of).collect()).collect();
        Self { exact, wildcard, default: plan.default_site, routes }
    }

    /// Where a request belongs; `None` when no site answers for its host.
    #[must_use]
    pub fn find(&self, head: &RequestHead) -> Option<Found> {
        let site = self.site(head.authority.host())?;
        let found = self.first(site, head).filter(|(_, rule)| !rule.is_internal);
        Some(Found { site, route: found.map(|(route, _)| route) })
    }

    /// The route of a site for a request that the gateway redirects itself.
    #[must_use]
    pub fn find_within(&self, site: usize, head: &RequestHead) -> Option<usize> {
        self.first(site, head).map(|(route, _)| route)
    }

    /// The first route that matches, unless it says `exclude`.
    fn first(&self, site: usize, head: &RequestHead) -> Option<(usize, &Rule)> {
        let mut rules = self.routes.get(site)?.iter().enumerate();
        rules.find(|(_, rule)| rule.matches(head)).filter(|(_, rule)| !rule.excludes)
    }

    /// The site of a host: the one that names it, else the one with the longest wildcard above it, else the default.
    fn site(&self, name: &str) -> Option<usize> {
        let name = host::key(name);
        if let Some(site) = self.exact.get(name.as_ref()) {
            return Some(*site);
        }
        if !self.wildcard.is_empty() {
            // A wildcard stands for one label or more, never for none.
            let dots = name.char_indices().filter(|(at, sign)| *sign == '.' && *at > 0);
            let mut suffixes = dots.filter_map(|(at, _)| name.get(at..));
            if let Some(site) = suffixes.find_map(|suffix| self.wildcard.get(suffix)) {
                return Some(*site);
            }
        }
        self.default
    }
}

impl Rule {
    fn of(route: &Route) -> Self {
        Self {
            path: route.path.clone(),
            methods: route.methods.clone(),
            conditions: Conditions::of(route),
            excludes: matches!(route.action, Action::Exclude),
            is_internal: route.internal,
        }
    }

    fn matches(&self, head: &RequestHead) -> bool {
        self.is_on(head.path()) && self.takes(&head.method) && self.conditions.hold(head)
    }

    fn is_on(&self, path: &str) -> bool {
        match &self.path {
            PathMatch::Any => true,
            PathMatch::Prefix(prefix) => target::under(path, prefix),
            PathMatch::Exact(exact) => path == exact,
            PathMatch::Regex(regex) => regex.is_match(path),
        }
    }

    /// `HEAD` is taken wherever `GET` is (RFC 9110, section 9.3.2).
    fn takes(&self, method: &Method) -> bool {
        self.methods.is_empty()
            || self.methods.contains(method)
            || (*method == Method::HEAD && self.methods.contains(&Method::GET))
    }
}

#[cfg(test)]
mod tests;
