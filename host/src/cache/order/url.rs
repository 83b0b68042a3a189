//! The URL of an order, in the spelling of requests: what an operator writes finds what a client asked for.

use super::super::invalidate;
use super::super::key::Recipe;
use super::BadOrder;
use super::search::Origins;
use crate::message::{Authority, RequestHead, Scheme, host, target};

/// What an order is about: one URL, or the same one under both schemes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    pub(super) schemes: Schemes,
    pub(super) hosts: Hosts,
    pub(super) path: String,
    pub(super) query: Option<String>,
}

/// One scheme, or both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Schemes(Option<Scheme>);

/// Whose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hosts {
    /// Everybody's.
    Any,
    /// Of all whose names end so: `.shop.example`.
    Under(String),
    /// One host's, with its port.
    One(Authority),
}

impl Url {
    /// What a request asks for.
    #[must_use]
    pub fn of(request: &RequestHead) -> Self {
        Self {
            schemes: Schemes(Some(request.scheme)),
            hosts: Hosts::One(request.authority.clone()),
            path: request.path().to_owned(),
            query: request.query().map(str::to_owned),
        }
    }

    /// What a person writes: `https://shop.example/a?b`, or `//shop.example/a` for both schemes. Escapes, dot segments, the
    /// host's case and a port that goes without saying may be spelled in any way.
    pub fn parse(text: &str) -> Result<Self, BadOrder> {
        let bad = |why| BadOrder::Url(text.to_owned(), why);
        let (scheme, rest) = text.split_once("//").ok_or_else(|| bad(BEGIN))?;
        let schemes = match scheme.to_ascii_lowercase().as_str() {
            "http:" => Schemes(Some(Scheme::Http)),
            "https:" => Schemes(Some(Scheme::Https)),
            "" => Schemes(None),
            _ => return Err(bad(BEGIN)),
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
        Ok(Self { schemes, hosts: Hosts::One(authority), path, query })
    }

    /// As keys have it: once, or once for each scheme. `None` where it is of more than one host.
    pub(super) fn keys(&self, recipe: &Recipe) -> Option<Vec<String>> {
        let Hosts::One(authority) = &self.hosts else { return None };
        let of = |scheme| recipe.url(scheme, authority, &self.path, self.query.as_deref());
        let mut keys: Vec<String> = self.schemes.each().map(of).collect();
        keys.dedup();
        Some(keys)
    }

    /// The same host's first page.
    pub(super) fn root(&self) -> Self {
        Self { path: "/".to_owned(), query: None, ..self.clone() }
    }

    /// What groups belong to.
    pub(super) fn origins(&self) -> Vec<Box<str>> {
        let Hosts::One(authority) = &self.hosts else { return Vec::new() };
        self.schemes.each().map(|scheme| invalidate::origin(scheme, authority)).collect()
    }
}

impl Schemes {
    /// `http`, `https`, or `*`.
    pub(super) fn read(text: &str) -> Option<Self> {
        match text {
            "*" => Some(Self(None)),
            "http" => Some(Self(Some(Scheme::Http))),
            "https" => Some(Self(Some(Scheme::Https))),
            _ => None,
        }
    }

    fn each(self) -> impl Iterator<Item = Scheme> {
        let Self(one) = self;
        [Scheme::Http, Scheme::Https].into_iter().filter(move |scheme| one.is_none_or(|one| one == *scheme))
    }
}

impl Hosts {
    /// A host, perhaps with a port; `*.shop.example`; or `*`.
    pub(super) fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let authority = host::parse(text.strip_prefix("*.").unwrap_or(text).as_bytes()).ok()?;
        match text.starts_with("*.") {
            true => {
                let port = authority.port().map_or_else(String::new, |port| format!(":{port}"));
                Some(Self::Under(format!(".{}{port}", host::key(authority.host()))))
            }
            false => Some(Self::One(authority)),
        }
    }
}

/// A test of what stands before paths. Where keys have no host, all hosts are one, and so it is with schemes.
pub(super) fn origins(hosts: &Hosts, schemes: Schemes, recipe: &Recipe) -> Origins {
    let Schemes(scheme) = schemes;
    let scheme = scheme.filter(|_| !recipe.any_scheme);
    match hosts {
        _ if recipe.any_host && scheme.is_none() => Origins::Any,
        Hosts::Any if scheme.is_none() => Origins::Any,
        Hosts::Under(end) if !recipe.any_host => Origins::Under(scheme, end.clone()),
        Hosts::Any | Hosts::Under(_) => Origins::Under(scheme, String::new()),
        Hosts::One(authority) => {
            Origins::OneOf(schemes.each().map(|scheme| recipe.url(scheme, authority, "", None)).collect())
        }
    }
}

const BEGIN: &str = "it does not begin with http://, https:// or //";

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
            assert_eq!(Url::parse(written).unwrap().keys(&recipe).unwrap(), keys, "{written}");
        }
        let one = Recipe { any_scheme: true, ..Recipe::default() };
        assert_eq!(Url::parse("//shop.example/a").unwrap().keys(&one).unwrap(), ["//shop.example/a"]);
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
