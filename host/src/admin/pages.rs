//! What there is, and what answers it.

use http::Method;
use serde_json::json;

use super::question::Question;
use super::reply::Reply;
use super::{Desk, caches, metrics};

/// Something that can be asked for.
struct Page {
    what: What,
    method: Method,
    /// `{..}` stands for one segment.
    path: &'static str,
    about: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Pages,
    Caches,
    Cache,
    PurgeCache,
    PurgeCaches,
    Metrics,
}

/// What a path and a method mean.
#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    /// A page, and the segment that its path leaves open.
    Page(What, Option<&'a str>),
    /// Only these methods mean something.
    Methods(Vec<Method>),
    Nothing,
}

const PAGES: &[Page] = &[
    Page { what: What::Pages, method: Method::GET, path: "/", about: "what there is" },
    Page { what: What::Caches, method: Method::GET, path: "/caches", about: "all caches: what they hold and did" },
    Page { what: What::Cache, method: Method::GET, path: "/caches/{cache}", about: "one cache" },
    Page {
        what: What::PurgeCache,
        method: Method::POST,
        path: "/caches/{cache}/purge",
        about: "forget what url=.., tag=.., match=.. or all mean; with prefix: all URLs that begin so, with soft: it stays",
    },
    Page { what: What::PurgeCaches, method: Method::POST, path: "/caches/purge", about: "the same in every cache" },
    Page { what: What::Metrics, method: Method::GET, path: "/metrics", about: "counters, as Prometheus reads them" },
];

/// The answer to a question.
pub(super) async fn answer(desk: &Desk, question: &Question) -> Reply {
    let path = question.path.as_str();
    match find(&question.method, path) {
        Found::Page(What::Pages, _) => pages(desk),
        Found::Page(What::Caches, _) => caches::all(desk).await,
        Found::Page(What::Cache, name) => caches::one(desk, name.unwrap_or_default()).await,
        Found::Page(What::PurgeCache, name) => caches::purge(desk, question, name).await,
        Found::Page(What::PurgeCaches, _) => caches::purge(desk, question, None).await,
        Found::Page(What::Metrics, _) => metrics::page(desk).await,
        Found::Methods(methods) => Reply::not_so(path, &methods),
        Found::Nothing => Reply::nowhere(format!("there is nothing at {path:?}; / lists what there is")),
    }
}

fn pages(desk: &Desk) -> Reply {
    let pages =
        PAGES.iter().map(|page| json!({ "path": page.path, "method": page.method.as_str(), "about": page.about }));
    Reply::json(&json!({
        "version": env!("CARGO_PKG_VERSION"),
        "generation": desk.current.number(),
        "pages": pages.collect::<Vec<_>>(),
    }))
}

/// A `HEAD` is a `GET` whose answer has no body, which the codec sees to.
fn find<'a>(method: &Method, path: &'a str) -> Found<'a> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut methods = Vec::new();
    for (page, open) in PAGES.iter().filter_map(|page| Some((page, open(page.path, path)?))) {
        if page.method == *wanted {
            return Found::Page(page.what, open);
        }
        methods.push(page.method.clone());
        if page.method == Method::GET {
            methods.push(Method::HEAD);
        }
    }
    if methods.is_empty() { Found::Nothing } else { Found::Methods(methods) }
}

/// Whether a path is a page's, and the segment that stands in its open place.
fn open<'a>(page: &str, path: &'a str) -> Option<Option<&'a str>> {
    let (mut open, mut wanted, mut found) = (None, page.split('/'), path.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(open),
            (Some(wanted), Some(found)) if wanted.starts_with('{') && !found.is_empty() => open = Some(found),
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The manual lists them all.
    const MANUAL: &str = include_str!("../../ADMIN.md");

    #[test]
    fn every_page_is_in_the_manual() {
        for page in PAGES {
            let line = format!("| `{}` | `{}` |", page.method, page.path);
            assert!(MANUAL.contains(&line), "{line}");
        }
    }

    #[test]
    fn paths_and_methods_lead_to_pages() {
        let allowed = |methods: &[Method]| Found::Methods(methods.to_vec());
        for (method, path, expected) in [
            (Method::GET, "/", Found::Page(What::Pages, None)),
            (Method::HEAD, "/metrics", Found::Page(What::Metrics, None)),
            (Method::GET, "/caches", Found::Page(What::Caches, None)),
            (Method::GET, "/caches/pages", Found::Page(What::Cache, Some("pages"))),
            (Method::GET, "/caches/purge", Found::Page(What::Cache, Some("purge"))),
            (Method::POST, "/caches/purge", Found::Page(What::PurgeCaches, None)),
            (Method::POST, "/caches/a.b/purge", Found::Page(What::PurgeCache, Some("a.b"))),
            (Method::GET, "/caches/pages/purge", allowed(&[Method::POST])),
            (Method::PUT, "/caches/purge", allowed(&[Method::GET, Method::HEAD, Method::POST])),
            (Method::OPTIONS, "/", allowed(&[Method::GET, Method::HEAD])),
            (Method::GET, "/caches/", Found::Nothing),
            (Method::GET, "//", Found::Nothing),
            (Method::POST, "/caches//purge", Found::Nothing),
            (Method::GET, "", Found::Nothing),
            (Method::GET, "*", Found::Nothing),
        ] {
            assert_eq!(find(&method, path), expected, "{method} {path}");
        }
    }
}
