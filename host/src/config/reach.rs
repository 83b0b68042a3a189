//! Routes that no request can get to, because one before them takes everything that they would match. Nobody means that:
//! it is an order gone wrong.
//!
//! Clients and the gateway's own redirects go through the same routes in the same order, and an internal one that a client's
//! request matches ends the search as any other does. So an internal route stands in the way of those behind it, and others in
//! its way. But a redirect to `@name` goes straight to the route of that name: an internal one with a name is always reached.

use super::source::Source;
use super::table::Table;
use super::{PathMatch, Route};
use crate::message::{Method, target};

/// What a redirect within the gateway asks with.
const REDIRECTED: [Method; 2] = [Method::GET, Method::HEAD];

/// Reports every route of a site that is never reached, or not by its name.
pub(super) fn check(source: &Source<'_>, routes: &[Route]) {
    for (index, route) in routes.iter().enumerate() {
        let before = routes.get(..index).unwrap_or_default();
        if is_named(route) && route.internal {
            if before.iter().any(|earlier| earlier.name == route.name) {
                let text =
                    format!("route {:?}: another route before it has the name that @{} means", route.name, route.name);
                source.report(&route.place, text);
            }
        } else if let Some(earlier) = before.iter().find(|earlier| takes_all_of(earlier, route)) {
            let text = format!(
                "route {:?}: is never reached: route {:?} before it takes the same requests",
                route.name, earlier.name
            );
            source.report(&route.place, text);
        }
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

fn takes_all_of(earlier: &Route, route: &Route) -> bool {
    let unconditional = earlier.fields.is_empty() && earlier.query.is_empty();
    // HEAD is taken wherever GET is (RFC 9110, section 9.3.2).
    let takes = |method: &Method| {
        earlier.methods.contains(method) || (*method == Method::HEAD && earlier.methods.contains(&Method::GET))
    };
    let wanted = if route.internal && route.methods.is_empty() { &REDIRECTED[..] } else { &route.methods };
    let methods = earlier.methods.is_empty() || (!wanted.is_empty() && wanted.iter().all(takes));
    let path = match (&earlier.path, &route.path) {
        (PathMatch::Any, _) => true,
        (PathMatch::Prefix(root), PathMatch::Regex(_) | PathMatch::Any) => root == "/",
        (PathMatch::Prefix(one), PathMatch::Prefix(other) | PathMatch::Exact(other)) => target::under(other, one),
        (PathMatch::Exact(one), PathMatch::Exact(other)) => one == other,
        (PathMatch::Regex(one), PathMatch::Regex(other)) => one.as_str() == other.as_str(),
        (PathMatch::Exact(_) | PathMatch::Regex(_), _) => false,
    };
    unconditional && methods && path
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::parse;

    /// Whether nothing is said of two routes, one after the other.
    fn is_sound(first: &str, second: &str) -> bool {
        let text = format!(
            "[listener.web]\nbind = \":80\"\n[pool.app]\nmember = [\"http://127.0.0.1:9001\"]\n[site.main]\nroute = [\n\
             {{ {first}, pool = \"app\" }},\n{{ {second}, pool = \"app\" }},\n]\n"
        );
        match parse(&text, "weir.toml", Path::new("/")) {
            Ok(_) => true,
            Err(problems) => {
                assert!(problems.iter().all(|it| it.text.contains("is never reached")), "{problems:?}");
                false
            }
        }
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
}
