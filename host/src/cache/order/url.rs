//! The URL of an order, in the spelling of requests: what an operator writes finds what a client asked for.

use super::super::key::Recipe;
use super::BadOrder;
use crate::message::{Authority, RequestHead, Scheme, host, target};

/// What an order is about: one URL, or the same one under both schemes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    scheme: Option<Scheme>,
    authority: Authority,
    path: String,
    query: Option<String>,
}

impl Url {
    /// What a request asks for.
    #[must_use]
    pub fn of(request: &RequestHead) -> Self {
        Self {
            scheme: Some(request.scheme),
            authority: request.authority.clone(),
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
        }
    }

    /// What a person writes: `https://shop.example/a?b`, or `//shop.example/a` for both schemes. Escapes, dot segments, the
    /// host's case and a port that goes without saying may be spelled in any way.
    pub fn parse(text: &str) -> Result<Self, BadOrder> {
        let bad = |why| BadOrder::Url(text.to_owned(), why);
        let (scheme, rest) =
            text.split_once("//").ok_or_else(|| bad("it does not begin with http://, https:// or //"))?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http:" => Some(Scheme::Http),
            "https:" => Some(Scheme::Https),
            "" => None,
            _ => return Err(bad("it does not begin with http://, https:// or //")),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let authority = host::parse(authority.as_bytes()).map_err(|_| bad("its host is not a host"))?;
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let target = target::parse(&path).map_err(|refused| match refused {
            target::BadTarget::Path(why) => bad(why),
            target::BadTarget::Host | target::BadTarget::Connect => bad("it is not a URL"),
        })?;
        let (path, query) = (target.path().to_owned(), target.query().map(str::to_owned));
        Ok(Self { scheme, authority, path, query })
    }

    /// The same under both schemes.
    #[must_use]
    pub(super) fn of_any_scheme(self) -> Self {
        Self { scheme: None, ..self }
    }

    /// As keys have it: once, or once for each scheme.
    #[must_use]
    pub fn keys(&self, recipe: &Recipe) -> Vec<String> {
        let of = |scheme| recipe.url(scheme, &self.authority, &self.path, self.query.as_deref());
        let mut keys: Vec<String> = self.schemes().into_iter().map(of).collect();
        keys.dedup();
        keys
    }

    pub(super) fn origins(&self) -> Vec<Box<str>> {
        let of = |scheme| super::super::invalidate::origin(scheme, &self.authority);
        self.schemes().into_iter().map(of).collect()
    }

    fn schemes(&self) -> Vec<Scheme> {
        self.scheme.map_or_else(|| vec![Scheme::Http, Scheme::Https], |scheme| vec![scheme])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_finds_what_was_asked_for() {
        let recipe = Recipe::default();
        for (written, keys) in [
            ("https://Shop.example:443/a/../b", &["https://shop.example/b"][..]),
            ("HTTP://shop.example.:80", &["http://shop.example/"]),
            ("http://shop.example:443/%7ea%2fb", &["http://shop.example:443/~a%2Fb"]),
            ("http://shop.example?q=%2f", &["http://shop.example/?q=%2f"]),
            ("//shop.example/a", &["http://shop.example/a", "https://shop.example/a"]),
            ("//shop.example:443/a", &["http://shop.example:443/a", "https://shop.example/a"]),
            ("//[::1]:8080/a//b", &["http://[::1]:8080/a/b", "https://[::1]:8080/a/b"]),
        ] {
            assert_eq!(Url::parse(written).unwrap().keys(&recipe), keys, "{written}");
        }
        let one = Recipe { any_scheme: true, ..Recipe::default() };
        assert_eq!(Url::parse("//shop.example/a").unwrap().keys(&one), ["//shop.example/a"]);
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (written, why) in [
            ("", "it does not begin with"),
            ("/a", "it does not begin with"),
            ("shop.example/a", "it does not begin with"),
            ("ftp://shop.example/a", "it does not begin with"),
            ("https:///a", "its host is not a host"),
            ("https://me@shop.example/a", "its host is not a host"),
            ("https://shop.example/..", "the path climbs above its root"),
            ("https://shop.example/a#b", "the target holds a fragment"),
            ("https://shop.example/caf\u{e9}", "the path holds a byte that must be escaped"),
        ] {
            let error = Url::parse(written).unwrap_err().to_string();
            assert!(error.contains(why), "{written}: {error}");
        }
    }
}
