//! The response side: URLs and cookies that name the upstream are made to name what the client knows.

use std::borrow::Cow;

use conditions::{Pattern, Template, View, Wanted};
use serde::Deserialize;
use weir_filter::Edit;

use crate::{cookie, target};

/// From what the upstream says to what the client knows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    pub(crate) from: String,
    pub(crate) to: String,
}

/// A rule on `Location`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Substitution {
    #[serde(rename = "match")]
    pattern: String,
    to: String,
    #[serde(default)]
    ignore_case: bool,
}

/// Compiled.
#[derive(Default)]
pub(crate) struct Reverse {
    substitutions: Vec<(Pattern, Template)>,
    urls: Vec<Mapping>,
    domains: Vec<Mapping>,
    paths: Vec<Mapping>,
}

/// Fields that are one URL, in the plan's order; `refresh` and `link` hold URLs among other things.
const URLS: [&str; 4] = ["location", "content-location", "destination", "uri"];
const REFRESH: usize = 4;
const LINK: usize = 5;

impl Reverse {
    pub(crate) fn compile(
        substitutions: Vec<Substitution>,
        urls: Vec<Mapping>,
        domains: Vec<Mapping>,
        paths: Vec<Mapping>,
    ) -> Result<Self, String> {
        let mut compiled = Vec::new();
        for (index, written) in substitutions.into_iter().enumerate() {
            let why = |why| format!("location[{index}]: {why}");
            let pattern = Pattern::compile(&written.pattern, written.ignore_case).map_err(why)?;
            compiled.push((pattern, Template::compile(&written.to, true, &mut Wanted::default()).map_err(why)?));
        }
        for (name, list) in [("reverse", &urls), ("cookie-domain", &domains), ("cookie-path", &paths)] {
            for (index, mapping) in list.iter().enumerate() {
                mapping.check(name).map_err(|why| format!("{name}[{index}]: {why}"))?;
            }
        }
        Ok(Self { substitutions: compiled, urls, domains, paths })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.fields().is_empty()
    }

    /// The response fields of the plan.
    pub(crate) fn fields(&self) -> Vec<&'static str> {
        let mut fields = Vec::new();
        if !self.urls.is_empty() {
            fields.extend(URLS);
            fields.extend(["refresh", "link"]);
        } else if !self.substitutions.is_empty() {
            fields.push("location");
        }
        if !self.domains.is_empty() || !self.paths.is_empty() {
            fields.push("set-cookie");
        }
        fields
    }

    pub(crate) fn run(&self, view: View<'_>) -> Vec<Edit> {
        let mut edits = Vec::new();
        let mut cookies = 0;
        if !self.urls.is_empty() {
            self.map_urls(view, &mut edits);
            cookies = LINK + 1;
        } else if !self.substitutions.is_empty() {
            if let Some(location) = text(view, 0).and_then(|location| self.substitute(location, view)) {
                edits.push(Edit::SetHeader("location".to_owned(), location.into_bytes()));
            }
            cookies = 1;
        }
        if view.wanted(cookies).is_some() && !(self.domains.is_empty() && self.paths.is_empty()) {
            self.map_cookies(view, &mut edits);
        }
        edits
    }

    fn map_urls(&self, view: View<'_>, edits: &mut Vec<Edit>) {
        for (index, name) in URLS.into_iter().enumerate() {
            let Some(value) = text(view, index) else { continue };
            let substituted = if index == 0 { self.substitute(value, view) } else { None };
            if let Some(value) = substituted.or_else(|| self.url(value, view)) {
                edits.push(Edit::SetHeader(name.to_owned(), value.into_bytes()));
            }
        }
        if let Some(value) = text(view, REFRESH).and_then(|value| self.refresh(value, view)) {
            edits.push(Edit::SetHeader("refresh".to_owned(), value.into_bytes()));
        }
        if let Some(value) = text(view, LINK).and_then(|value| self.link(value, view)) {
            edits.push(Edit::SetHeader("link".to_owned(), value.into_bytes()));
        }
    }

    fn map_cookies(&self, view: View<'_>, edits: &mut Vec<Edit>) {
        let lines = view.lines("set-cookie");
        let mapped: Vec<_> = lines.iter().map(|line| cookie::mapped(line, &self.domains, &self.paths)).collect();
        if mapped.iter().all(Option::is_none) {
            return;
        }
        for (index, (line, mapped)) in lines.into_iter().zip(mapped).enumerate() {
            let (name, line) = ("set-cookie".to_owned(), mapped.unwrap_or(line));
            edits.push(if index == 0 { Edit::SetHeader(name, line) } else { Edit::AppendHeader(name, line) });
        }
    }

    fn substitute(&self, location: &str, view: View<'_>) -> Option<String> {
        let (captures, to) =
            self.substitutions.iter().find_map(|(pattern, to)| Some((pattern.captures(location)?, to)))?;
        let mut built = Vec::with_capacity(location.len() + 16);
        to.fill(Some(&captures), view, &mut built, |out, piece, _| out.extend_from_slice(piece));
        let absolute = built.starts_with(b"http://") || built.starts_with(b"https://");
        String::from_utf8(target::location(&built, absolute)).ok()
    }

    fn url(&self, url: &str, view: View<'_>) -> Option<String> {
        self.urls.iter().find_map(|mapping| mapping.url(url, view))
    }

    /// `5; url=http://...`, the URL bare or in quotes.
    fn refresh(&self, value: &str, view: View<'_>) -> Option<String> {
        let (delay, rest) = value.split_once([';', ','])?;
        let (name, url) = rest.split_once('=')?;
        if !name.trim().eq_ignore_ascii_case("url") {
            return None;
        }
        let separator = value.get(delay.len()..=delay.len())?;
        let bare = url.trim();
        let quote = bare.chars().next().filter(|mark| matches!(mark, '"' | '\''));
        let quote = quote.map(String::from).unwrap_or_default();
        let inner = bare.strip_prefix(&*quote)?.strip_suffix(&*quote)?;
        let mapped = self.url(inner, view)?;
        Some(format!("{delay}{separator}{name}={quote}{mapped}{quote}"))
    }

    /// RFC 8288: every `<URL>`; what stands in quotes between them is no URL.
    fn link(&self, value: &str, view: View<'_>) -> Option<String> {
        let mut out = String::with_capacity(value.len());
        let mut changed = false;
        let mut rest = value;
        while let Some(at) = rest.find(['<', '"']) {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let quoted = from.starts_with('"');
            let inside = from.get(1..)?;
            let end = if quoted { end_of_quote(inside)? } else { inside.find('>')? };
            let (inner, after) = inside.split_at(end);
            let mapped = if quoted { None } else { self.url(inner, view) };
            changed |= mapped.is_some();
            out.push_str(from.get(..1)?);
            out.push_str(mapped.as_deref().unwrap_or(inner));
            out.push_str(after.get(..1)?);
            rest = after.get(1..)?;
        }
        out.push_str(rest);
        changed.then_some(out)
    }
}

impl Mapping {
    fn check(&self, list: &str) -> Result<(), String> {
        let is_url = |text: &str| text.starts_with('/') || server_of(text).is_some();
        if [&self.from, &self.to]
            .iter()
            .any(|text| text.bytes().any(|b| !b.is_ascii_graphic() || b == b';' || b == b'"'))
        {
            return Err("only visible ASCII without `;` and `\"` can stand here".to_owned());
        }
        match list {
            "reverse" if !is_url(&self.from) || !is_url(&self.to) => {
                Err("`from` and `to` are URLs (http:// or https://) or paths".to_owned())
            }
            "cookie-path" if !self.from.starts_with('/') || !self.to.starts_with('/') => {
                Err("`from` and `to` are paths".to_owned())
            }
            "cookie-domain" if self.from.trim_matches('.').is_empty() => Err("`from` is empty".to_owned()),
            _ => Ok(()),
        }
    }

    /// The mapped URL. A `from` that is a path fits paths, and URLs of the host that was asked for.
    fn url(&self, url: &str, view: View<'_>) -> Option<String> {
        if self.from.starts_with('/') {
            let path = match server_of(url) {
                Some(server) => {
                    let (_, authority) = server.split_once("://")?;
                    let asked = view.variable("request.host").unwrap_or_default();
                    (authority.eq_ignore_ascii_case(&asked) || authority.eq_ignore_ascii_case(&view.host()))
                        .then_some(())?;
                    let path = url.get(server.len()..)?;
                    if path.is_empty() { "/" } else { path }
                }
                None if url.starts_with('/') && !url.starts_with("//") => url,
                None => return None,
            };
            return self.path(path);
        }
        let (from, server) = (server_of(&self.from)?, server_of(url)?);
        if !from.eq_ignore_ascii_case(server) {
            return None;
        }
        let path = url.get(server.len()..).unwrap_or_default();
        let path = if path.starts_with('/') { Cow::Borrowed(path) } else { Cow::Owned(format!("/{path}")) };
        let prefix = self.from.get(from.len()..).unwrap_or_default();
        join(prefix, &self.to, &path)
    }

    /// The mapped path.
    pub(crate) fn path(&self, path: &str) -> Option<String> {
        join(&self.from, &self.to, path)
    }
}

/// Replaces the beginning of a path, at segment boundaries only.
fn join(from: &str, to: &str, path: &str) -> Option<String> {
    let rest = path.strip_prefix(from)?;
    if !from.ends_with('/') && !rest.is_empty() && !rest.starts_with(['/', '?', '#']) {
        return None;
    }
    let rest = if to.ends_with('/') && !from.ends_with('/') { rest.strip_prefix('/').unwrap_or(rest) } else { rest };
    let gap = from.ends_with('/') && !to.ends_with('/') && !rest.is_empty() && !rest.starts_with(['?', '#']);
    let joined = format!("{to}{}{rest}", if gap { "/" } else { "" });
    // `//name` would be another server.
    let leading = joined.bytes().take_while(|byte| *byte == b'/').count();
    joined.get(leading.saturating_sub(1)..).map(str::to_owned)
}

/// `http://host:port` of a URL.
fn server_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    (authority > 0).then_some(())?;
    url.get(..scheme.len() + 3 + authority)
}

fn end_of_quote(inside: &str) -> Option<usize> {
    let mut escaped = false;
    inside.bytes().position(|byte| {
        let end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        end
    })
}

fn text(view: View<'_>, index: usize) -> Option<&str> {
    std::str::from_utf8(view.wanted(index)?).ok()
}
