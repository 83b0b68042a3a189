//! When a rule applies: everything that is said must hold, of a list one entry.

use serde::Deserialize;

use crate::{Pattern, View, Wanted, field_name};

/// As written in the settings.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct When {
    method: Vec<String>,
    /// Exact, or `*.example.org` for every name below.
    host: Vec<String>,
    scheme: Option<String>,
    path: Option<String>,
    query: Option<String>,
    /// `404`, `"4xx"` or `"500-504"`.
    status: Vec<Status>,
    /// Fields of the side that the rule is for.
    header: Vec<Test>,
    /// Fields of the request, for rules of the response side.
    request_header: Vec<Test>,
    variable: Vec<Test>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Status {
    One(u16),
    Many(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Test {
    name: String,
    /// Without it the test is whether there is a value at all.
    #[serde(rename = "match")]
    pattern: Option<String>,
    #[serde(default)]
    not: bool,
}

/// Compiled.
#[derive(Debug, Default)]
pub struct Conditions(Vec<Condition>);

#[derive(Debug)]
enum Condition {
    Method(Vec<String>),
    Host(Vec<String>),
    Status(Vec<(u16, u16)>),
    Text(Source, Option<Pattern>, bool),
}

#[derive(Debug)]
enum Source {
    Wanted(usize),
    RequestField(String),
    Variable(String),
}

impl When {
    /// `wanted` collects the fields of the rule's side. The error says which condition is at fault.
    pub fn compile(self, response_side: bool, wanted: &mut Wanted) -> Result<Conditions, String> {
        let mut all = Vec::new();
        if !self.method.is_empty() {
            all.push(Condition::Method(self.method));
        }
        if !self.host.is_empty() {
            all.push(Condition::Host(self.host.iter().map(|host| host.to_ascii_lowercase()).collect()));
        }
        if !self.status.is_empty() {
            if !response_side {
                return Err("when.status: there is no status before there is a response".to_owned());
            }
            let ranges: Result<_, String> = self.status.into_iter().map(range).collect();
            all.push(Condition::Status(ranges?));
        }
        for (name, text) in
            [("scheme", self.scheme.map(|scheme| format!("^{scheme}$"))), ("path", self.path), ("query", self.query)]
        {
            if let Some(text) = text {
                let pattern = Pattern::compile(&text, false).map_err(|why| format!("when.{name}: {why}"))?;
                all.push(Condition::Text(Source::Variable(format!("request.{name}")), Some(pattern), false));
            }
        }
        for test in self.header {
            let name = field_name(&test.name).map_err(|why| format!("when.header: {why}"))?;
            all.push(test.compile(Source::Wanted(wanted.index(&name)), "header")?);
        }
        for test in self.request_header {
            let name = field_name(&test.name).map_err(|why| format!("when.request-header: {why}"))?;
            let source = if response_side { Source::RequestField(name) } else { Source::Wanted(wanted.index(&name)) };
            all.push(test.compile(source, "request-header")?);
        }
        for test in self.variable {
            let name = test.name.clone();
            all.push(test.compile(Source::Variable(name), "variable")?);
        }
        Ok(Conditions(all))
    }
}

impl Test {
    fn compile(self, source: Source, what: &str) -> Result<Condition, String> {
        let compile = |text: String| Pattern::compile(&text, false).map_err(|why| format!("when.{what}: {why}"));
        Ok(Condition::Text(source, self.pattern.map(compile).transpose()?, self.not))
    }
}

impl Conditions {
    pub fn hold(&self, view: View<'_>) -> bool {
        self.0.iter().all(|condition| condition.holds(view))
    }
}

impl Condition {
    fn holds(&self, view: View<'_>) -> bool {
        match self {
            Condition::Method(methods) => {
                let method = view.variable("request.method").unwrap_or_default();
                methods.iter().any(|allowed| *allowed == method)
            }
            Condition::Host(hosts) => {
                let host = view.host();
                hosts.iter().any(|allowed| is_host(allowed, &host))
            }
            Condition::Status(ranges) => {
                view.status().is_some_and(|status| ranges.iter().any(|(low, high)| (*low..=*high).contains(&status)))
            }
            Condition::Text(source, pattern, not) => source.test(view, pattern.as_ref()) != *not,
        }
    }
}

impl Source {
    fn test(&self, view: View<'_>, pattern: Option<&Pattern>) -> bool {
        match self {
            Source::Wanted(index) => view.wanted(*index).is_some_and(|value| fits(value, pattern)),
            Source::RequestField(name) => view.request_field(name).is_some_and(|value| fits(&value, pattern)),
            Source::Variable(name) => view.variable(name).is_some_and(|value| fits(value.as_bytes(), pattern)),
        }
    }
}

fn fits(value: &[u8], pattern: Option<&Pattern>) -> bool {
    pattern.is_none_or(|pattern| match std::str::from_utf8(value) {
        Ok(text) => pattern.is_match(text),
        Err(_) => pattern.is_match(&String::from_utf8_lossy(value)),
    })
}

fn is_host(allowed: &str, host: &str) -> bool {
    match allowed.strip_prefix("*.") {
        Some(domain) => {
            let below = host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at));
            below.is_some_and(|(name, end)| name.len() > 1 && name.ends_with('.') && end.eq_ignore_ascii_case(domain))
        }
        None => allowed.eq_ignore_ascii_case(host),
    }
}

fn range(status: Status) -> Result<(u16, u16), String> {
    let text = match status {
        Status::One(one) => return Ok((one, one)),
        Status::Many(text) => text,
    };
    let parsed = match text.strip_suffix("xx") {
        Some(class) => {
            class.parse().ok().filter(|class| (1..=5).contains(class)).map(|class: u16| (class * 100, class * 100 + 99))
        }
        None if !text.contains('-') => text.parse().ok().map(|one| (one, one)),
        None => text.split_once('-').and_then(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?))),
    };
    parsed.ok_or_else(|| format!("when.status: {text:?} is neither a status nor \"4xx\" nor \"500-504\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_without_case_and_below_a_star() {
        for (allowed, host, fits) in [
            ("shop.example", "Shop.Example", true),
            ("shop.example", "shop.example.org", false),
            ("*.example", "a.example", true),
            ("*.example", "a.b.EXAMPLE", true),
            ("*.example", "example", false),
            ("*.example", ".example", false),
            ("*.example", "badexample", false),
            ("*.example", "é", false),
        ] {
            assert_eq!(is_host(allowed, host), fits, "{allowed} {host}");
        }
    }

    #[test]
    fn statuses_are_numbers_classes_and_ranges() {
        assert_eq!(range(Status::One(404)), Ok((404, 404)));
        assert_eq!(range(Status::Many("4xx".to_owned())), Ok((400, 499)));
        assert_eq!(range(Status::Many("500-504".to_owned())), Ok((500, 504)));
        for wrong in ["x", "9xx", "99999", "", "-", "éxx"] {
            assert!(range(Status::Many(wrong.to_owned())).is_err(), "{wrong}");
        }
    }
}
