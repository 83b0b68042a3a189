//! Routes that no request can get to, because one before them takes everything that they would match. Nobody means that:
//! it is an order gone wrong.
//!
//! Clients and the gateway's own redirects go through the same routes in the same order, and an internal one that a client's
//! request matches ends the search as any other does. So an internal route stands in the way of those behind it, and others in
//! its way. But a redirect to `@name` goes straight to the route of that name: an internal one with a name is always reached.

use std::collections::{HashMap, HashSet};

use super::source::Source;
use super::table::Table;
use super::{PathMatch, Route};
use crate::message::Method;

/// What a redirect within the gateway asks with.
const REDIRECTED: [Method; 2] = [Method::GET, Method::HEAD];

/// Reports every route of a site that is never reached, or not by its name.
pub(super) fn check(source: &Source<'_>, routes: &[Route]) {
    let (mut before, mut names) = (Before::default(), HashSet::new());
    for (index, route) in routes.iter().enumerate() {
        let is_first = names.insert(&*route.name);
        if is_named(route) && route.internal {
            if !is_first {
                let text =
                    format!("route {:?}: another route before it has the name that @{} means", route.name, route.name);
                source.report(&route.place, text);
            }
        } else if let Some(earlier) = before.first_that_takes_all_of(route, routes) {
            let text = format!(
                "route {:?}: is never reached: route {:?} before it takes the same requests",
                route.name, earlier.name
            );
            source.report(&route.place, text);
        }
        before.add(index, route);
    }
}

/// Reports what keeps redirects within the gateway from an internal route.
pub(super) fn check_internal(table: &Table<'_>, methods: &[Method]) {
    if let Some(item) = table.item("method").filter(|_| !methods.is_empty())
        && !REDIRECTED.iter().any(|method| methods.contains(method))
    {
        item.problem("an internal route is only asked with GET and HEAD");
    }
    for item in ["upgrade", "max-body"].iter().filter_map(|key| table.item(key)) {
        item.say(format!(
            "{} does nothing on an internal route: what is redirected has no body and asks for no change",
            item.key
        ));
    }
    if let Some(item) = table.item("name")
        && let Some(name) = item.as_str().and_then(|name| name.strip_prefix('@'))
    {
        item.problem(format!("a redirect to @{name} means the route {name:?}: its name goes without the @"));
    }
}

/// Whether it was given a name: without one it is called by its path.
fn is_named(route: &Route) -> bool {
    let path = match &route.path {
        PathMatch::Any => "*",
        PathMatch::Prefix(path) | PathMatch::Exact(path) => path,
        PathMatch::Regex(regex) => regex.as_str(),
    };
    *route.name != *path
}

/// Routes so far that may stand in the way of others, by their paths, so that not every pair has to be looked at.
#[derive(Default)]
struct Before<'r> {
    any: Vec<usize>,
    prefix: HashMap<&'r str, Vec<usize>>,
    exact: HashMap<&'r str, Vec<usize>>,
    regex: HashMap<&'r str, Vec<usize>>,
}

impl<'r> Before<'r> {
    fn add(&mut self, index: usize, route: &'r Route) {
        // Conditions that may not hold leave the rest to others.
        if !route.fields.is_empty() || !route.query.is_empty() {
            return;
        }
        let same = match &route.path {
            PathMatch::Any => &mut self.any,
            PathMatch::Prefix(path) => self.prefix.entry(path).or_default(),
            PathMatch::Exact(path) => self.exact.entry(path).or_default(),
            PathMatch::Regex(regex) => self.regex.entry(regex.as_str()).or_default(),
        };
        same.push(index);
    }

    fn first_that_takes_all_of(&self, route: &Route, routes: &'r [Route]) -> Option<&'r Route> {
        let root = self.prefix.get("/");
        let others: Vec<_> = match &route.path {
            PathMatch::Any => root.into_iter().collect(),
            PathMatch::Regex(regex) => root.into_iter().chain(self.regex.get(regex.as_str())).collect(),
            PathMatch::Prefix(path) => self.above(path).collect(),
            PathMatch::Exact(path) => self.above(path).chain(self.exact.get(path.as_str())).collect(),
        };
        let first = |same: &Vec<usize>| {
            let mut same = same.iter().filter_map(|index| Some((*index, routes.get(*index)?)));
            same.find(|(_, earlier)| takes_methods_of(earlier, route))
        };
        let found = others.into_iter().chain([&self.any]).filter_map(first);
        found.min_by_key(|(index, _)| *index).map(|(_, earlier)| earlier)
    }

    /// Those whose prefix a path is, or is below (`target::under`): such a prefix ends where one of its segments does, with the
    /// slash or without.
    fn above(&self, path: &str) -> impl Iterator<Item = &Vec<usize>> {
        let slashes = path.match_indices('/').flat_map(|(at, _)| [at, at + 1]);
        let mut ends: Vec<usize> = slashes.chain([path.len()]).collect();
        ends.dedup();
        ends.into_iter().filter_map(|end| self.prefix.get(path.get(..end)?))
    }
}

fn takes_methods_of(earlier: &Route, route: &Route) -> bool {
    // HEAD is taken wherever GET is (RFC 9110, section 9.3.2).
    let takes = |method: &Method| {
        earlier.methods.contains(method) || (*method == Method::HEAD && earlier.methods.contains(&Method::GET))
    };
    let wanted = if route.internal && route.methods.is_empty() { &REDIRECTED[..] } else { &route.methods };
    earlier.methods.is_empty() || (!wanted.is_empty() && wanted.iter().all(takes))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Plan, Problem, parse};
    use crate::message::target;

    /// Whether nothing is said of two routes, one after the other.
    fn is_sound(first: &str, second: &str) -> bool {
        match sound(&[first.to_owned(), second.to_owned()]) {
            Ok(_) => true,
            Err(problems) => {
                assert!(problems.iter().all(|it| it.text.contains("is never reached")), "{problems:?}");
                false
            }
        }
    }

    fn sound(routes: &[String]) -> Result<Plan, Vec<Problem>> {
        let routes: String = routes.iter().map(|route| format!("{{ {route}, pool = \"app\" }},\n")).collect();
        let text = format!(
            "[listener.web]\nbind = \":80\"\n[pool.app]\nmember = [\"http://127.0.0.1:9001\"]\n[site.main]\nroute = [\n{routes}]\n"
        );
        parse(&text, "weir.toml", Path::new("/"))
    }

    #[test]
    fn internal_routes_are_reached_in_their_order_or_by_their_name() {
        for (first, second, sound) in [
            // Clients get to neither, so order counts as everywhere.
            (r#"path = "/a", internal = true"#, r#"path = "/a/b""#, false),
            (r#"path = "/a", internal = true"#, r#"path = "/a/b", internal = true"#, false),
            (r#"path = "/a""#, r#"path = "/a/b", internal = true"#, false),
            (r#"path = "/a/b", internal = true"#, r#"path = "/a""#, true),
            (r#"internal = true, name = "x""#, r#"path = "/""#, false),
            // A name is another way to it, but only to where no client would be let in anyway.
            (r#"path = "/""#, r#"internal = true, name = "x""#, true),
            (r#"path = "/""#, r#"path = "/a", internal = true, name = "x""#, true),
            (r#"path = "/""#, r#"path = "/a", name = "x""#, false),
            (r#"path = "/""#, r#"path = "/a", internal = true, name = "/a""#, false),
            // What is redirected asks with GET or HEAD.
            (r#"path = "/a", method = ["GET"]"#, r#"path = "/a", internal = true"#, false),
            (r#"path = "/a", method = ["GET"]"#, r#"path = "/a""#, true),
            (r#"path = "/a", method = ["HEAD"]"#, r#"path = "/a", internal = true"#, true),
            (r#"path = "/a", method = ["POST"]"#, r#"path = "/a", internal = true"#, true),
            // Conditions that may not hold leave the rest to others.
            (r#"path = "/a", query = [{ name = "q", present = true }]"#, r#"path = "/a", internal = true"#, true),
        ] {
            assert_eq!(is_sound(first, second), sound, "{first} | {second}");
        }
    }

    /// Every kind of path, and some that are beneath others.
    const PATHS: [&str; 14] = [
        r#"path = "/""#,
        r#"path = "/a""#,
        r#"path = "/a/""#,
        r#"path = "/a/b""#,
        r#"path = "/a/b/""#,
        r#"path = "/ab""#,
        r#"path = "/a/bc/d""#,
        r#"exact = "/""#,
        r#"exact = "/a""#,
        r#"exact = "/a/""#,
        r#"exact = "/a/b/c""#,
        r#"regex = "^/a""#,
        r#"regex = "b$""#,
        r#"name = "any""#,
    ];

    #[test]
    fn a_route_is_in_the_way_of_those_whose_paths_are_all_its_own() {
        let naive = |one: &PathMatch, other: &PathMatch| match (one, other) {
            (PathMatch::Any, _) => true,
            (PathMatch::Prefix(root), PathMatch::Regex(_) | PathMatch::Any) => root == "/",
            (PathMatch::Prefix(one), PathMatch::Prefix(other) | PathMatch::Exact(other)) => target::under(other, one),
            (PathMatch::Exact(one), PathMatch::Exact(other)) => one == other,
            (PathMatch::Regex(one), PathMatch::Regex(other)) => one.as_str() == other.as_str(),
            (PathMatch::Exact(_) | PathMatch::Regex(_), _) => false,
        };
        let path = |written: &str| sound(&[written.to_owned()]).unwrap().sites[0].routes[0].path.clone();
        let paths = PATHS.map(|written| (written, path(written)));
        for (first, one) in &paths {
            for (second, other) in &paths {
                assert_eq!(is_sound(first, second), !naive(one, other), "{first} | {second}");
            }
        }
    }

    /// Each with its own path, which none of those before it takes.
    #[test]
    fn many_routes_are_looked_at_by_their_paths_and_not_each_beside_each() {
        let routes: Vec<_> = (0..5_000).map(|number| format!("path = \"/{}/x{number}\"", number % 10)).collect();
        let plan = sound(&routes).unwrap();
        let mut before = Before::default();
        for (index, route) in plan.sites[0].routes.iter().enumerate() {
            before.add(index, route);
        }
        let last = plan.sites[0].routes.last().unwrap();
        let PathMatch::Prefix(path) = &last.path else { panic!("{last:?}") };
        assert_eq!(before.above(path).flatten().collect::<Vec<_>>(), [&4_999]);
    }
}
