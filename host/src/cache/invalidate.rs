//! What a request makes obsolete (RFC 9111, section 4.4), and by which names stored responses are forgotten together:
//! `Cache-Groups` (RFC 9875), `Surrogate-Key`, `Cache-Tag`.

use http::header;

use super::key::Recipe;
use super::structured::{self, Item};
use crate::message::{Authority, Fields, Name, RequestHead, Scheme, Status, host, semantics, target};

/// A name that stored responses can be forgotten by. Groups belong to their origin, keys to the whole cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(Box<str>);

/// What is to be invalidated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Targets {
    /// URLs, as keys have them (`Key::url`), each with all that is stored under it.
    pub urls: Vec<Box<str>>,
    /// Everything with one of these tags.
    pub tags: Vec<Tag>,
}

/// Tags that one response may have. RFC 9875, section 2.1, asks for 32 of 32 characters at least; content management systems
/// say some hundreds.
pub const MOST_TAGS: usize = 1024;

/// Bytes of one tag; what CDNs allow.
pub const LONGEST_TAG: usize = 1024;

const CACHE_GROUPS: Name = Name::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: Name = Name::from_static("cache-group-invalidation");
const SURROGATE_KEY: Name = Name::from_static("surrogate-key");
const CACHE_TAG: Name = Name::from_static("cache-tag");

impl Tag {
    /// A member of `Surrogate-Key` or `Cache-Tag`.
    #[must_use]
    pub fn key(name: &str) -> Self {
        Self(format!("key {name}").into())
    }

    /// A group of an origin (`http://shop.example`).
    #[must_use]
    pub fn group(origin: &str, name: &str) -> Self {
        Self(format!("group {origin} {name}").into())
    }

    /// As a store's index has it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What an answer to a request makes obsolete; nothing unless the method is unsafe and the answer is no error.
#[must_use]
pub fn targets(request: &RequestHead, status: Status, fields: &Fields, recipe: &Recipe) -> Targets {
    let is_done = status.is_success() || status.is_redirection();
    if semantics::is_safe(&request.method) || !is_done {
        return Targets::default();
    }
    let mut urls = vec![recipe.url(request.scheme, &request.authority, request.path(), request.query()).into()];
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let url: Option<Box<str>> = here(request, fields, &name)
            .map(|(path, query)| recipe.url(request.scheme, &request.authority, &path, query.as_deref()).into());
        urls.extend(url.filter(|url| !urls.contains(url)));
    }
    let origin = origin(request.scheme, &request.authority);
    let groups = groups(fields, &CACHE_GROUP_INVALIDATION);
    Targets { urls, tags: groups.iter().map(|name| Tag::group(&origin, name)).collect() }
}

/// The tags of a response of this origin. `None` if there are more than are kept, or longer ones: it could not be forgotten
/// by all its names.
#[must_use]
pub fn tags(fields: &Fields, origin: &str) -> Option<Vec<Tag>> {
    let mut tags: Vec<Tag> = groups(fields, &CACHE_GROUPS).iter().map(|name| Tag::group(origin, name)).collect();
    for (name, separator) in [(SURROGATE_KEY, " "), (CACHE_TAG, ",")] {
        for line in fields.lines(name) {
            let line = String::from_utf8_lossy(line.as_bytes());
            for word in line.split(separator).map(str::trim).filter(|word| !word.is_empty()) {
                tags.push(Some(Tag::key(word)).filter(|_| word.len() <= LONGEST_TAG)?);
            }
        }
    }
    tags.sort();
    tags.dedup();
    Some(tags).filter(|tags| tags.len() <= MOST_TAGS)
}

/// Scheme, host and port (RFC 9110, section 4.3.1), in one spelling.
#[must_use]
pub fn origin(scheme: Scheme, authority: &Authority) -> Box<str> {
    let url = Recipe::default().url(scheme, authority, "", None);
    url.into()
}

/// Whether `Content-Location` says that this is what `GET` would bring (RFC 9110, section 9.3.3).
#[must_use]
pub(super) fn is_itself(request: &RequestHead, fields: &Fields) -> bool {
    let found = here(request, fields, &header::CONTENT_LOCATION);
    found.is_some_and(|(path, query)| path == request.path() && query.as_deref() == request.query())
}

/// Path and query that a reference names, if it names something of the request's own origin.
fn here(request: &RequestHead, fields: &Fields, name: &Name) -> Option<(String, Option<String>)> {
    let mut lines = fields.lines(name);
    let line = lines.next().filter(|_| lines.next().is_none())?;
    let reference = line.to_str().ok()?.trim();
    let reference = reference.split_once('#').map_or(reference, |(reference, _)| reference);
    let local = local(request, reference)?;
    let resolved = resolve(request, local);
    let target = target::parse(&resolved).ok()?;
    Some((target.path().to_owned(), target.query().map(str::to_owned)))
}

/// A reference without scheme and authority, if those are the request's.
fn local<'a>(request: &RequestHead, reference: &'a str) -> Option<&'a str> {
    let (scheme, rest) = match reference.split_once("://") {
        Some((scheme, rest)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => (Some(scheme), rest),
        _ => match reference.strip_prefix("//") {
            Some(rest) => (None, rest),
            // `mailto:x` is no path of ours: a colon in the first segment makes a scheme (RFC 3986, section 4.2).
            None => {
                let first = reference.split(['/', '?']).next().unwrap_or_default();
                return (!first.contains(':')).then_some(reference);
            }
        },
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let authority = host::parse(authority.as_bytes()).ok()?;
    let is_scheme = scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case(request.scheme.as_str()));
    let is_ours = is_scheme && host::same(&authority, &request.authority, request.scheme.default_port());
    is_ours.then_some(if path.is_empty() { "/" } else { path })
}

/// RFC 3986, section 5.2.2, for a reference without authority; dot segments go when the result is normalised.
fn resolve(request: &RequestHead, reference: &str) -> String {
    let path = request.path();
    match reference.bytes().next() {
        None => request.target().as_str().to_owned(),
        Some(b'/') => reference.to_owned(),
        Some(b'?') => format!("{path}{reference}"),
        Some(_) => {
            let folder = path.rfind('/').and_then(|at| path.get(..=at)).unwrap_or("/");
            format!("{folder}{reference}")
        }
    }
}

/// A list of strings; one member of another type voids the field (RFC 9875, section 2).
fn groups(fields: &Fields, name: &Name) -> Vec<String> {
    let items = fields.joined(name).and_then(|text| structured::list(&text)).unwrap_or_default();
    let names: Option<Vec<String>> = items
        .into_iter()
        .map(|item| match item {
            Item::String(text) => Some(text),
            _ => None,
        })
        .collect();
    let mut names = names.unwrap_or_default();
    names.retain(|name| name.len() <= LONGEST_TAG);
    names.truncate(MOST_TAGS);
    names
}

#[cfg(test)]
mod tests;
