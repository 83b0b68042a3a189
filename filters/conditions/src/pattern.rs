//! A regular expression, or something quicker where its text allows: most rules of most configs are prefixes.

use regex_lite::Regex;

/// A compiled pattern.
#[derive(Debug)]
pub enum Pattern {
    /// `^/literal`
    Prefix(String),
    /// `^/literal(.*)$` and `^/literal(.*)`
    PrefixAndRest(String),
    /// `^/literal$`
    Exact(String),
    Regex(Regex),
}

/// What a pattern has found: the whole match is number 0.
#[derive(Debug)]
pub enum Captures<'t> {
    /// Whole match and, where the pattern has one, the rest.
    Plain(&'t str, Option<&'t str>),
    Regex(regex_lite::Captures<'t>),
}

impl Pattern {
    pub fn compile(text: &str, ignore_case: bool) -> Result<Self, String> {
        if !ignore_case {
            if let Some(plain) = plain(text) {
                return Ok(plain);
            }
        }
        let compiled = regex_lite::RegexBuilder::new(text).case_insensitive(ignore_case).build();
        compiled.map(Pattern::Regex).map_err(|fault| format!("{text:?} is not a regular expression: {fault}"))
    }

    pub fn is_match(&self, text: &str) -> bool {
        match self {
            Pattern::Prefix(prefix) | Pattern::PrefixAndRest(prefix) => text.starts_with(prefix.as_str()),
            Pattern::Exact(exact) => text == exact,
            Pattern::Regex(regex) => regex.is_match(text),
        }
    }

    pub fn captures<'t>(&self, text: &'t str) -> Option<Captures<'t>> {
        match self {
            Pattern::Prefix(prefix) => text.starts_with(prefix.as_str()).then(|| {
                let whole = text.get(..prefix.len()).unwrap_or(text);
                Captures::Plain(whole, None)
            }),
            Pattern::PrefixAndRest(prefix) => {
                text.strip_prefix(prefix.as_str()).map(|rest| Captures::Plain(text, Some(rest)))
            }
            Pattern::Exact(exact) => (text == exact).then_some(Captures::Plain(text, None)),
            Pattern::Regex(regex) => regex.captures(text).map(Captures::Regex),
        }
    }

    /// The regular expression, where the pattern needs one.
    pub fn regex(text: &str, ignore_case: bool) -> Result<Regex, String> {
        let compiled = regex_lite::RegexBuilder::new(text).case_insensitive(ignore_case).build();
        compiled.map_err(|fault| format!("{text:?} is not a regular expression: {fault}"))
    }
}

impl<'t> Captures<'t> {
    /// A group that did not take part is empty.
    pub fn number(&self, index: usize) -> &'t str {
        match self {
            Captures::Plain(whole, rest) => match index {
                0 => whole,
                1 => rest.unwrap_or_default(),
                _ => "",
            },
            Captures::Regex(found) => found.get(index).map_or("", |group| group.as_str()),
        }
    }

    pub fn name(&self, name: &str) -> &'t str {
        match self {
            Captures::Plain(..) => "",
            Captures::Regex(found) => found.name(name).map_or("", |group| group.as_str()),
        }
    }
}

fn plain(text: &str) -> Option<Pattern> {
    let anchored = text.strip_prefix('^')?;
    let literal = |text: &str| !text.bytes().any(|byte| b"\\.+*?()|[]{}^$\n".contains(&byte));
    if literal(anchored) {
        return Some(Pattern::Prefix(anchored.to_owned()));
    }
    let body = anchored.strip_suffix('$').unwrap_or(anchored);
    if let Some(prefix) = body.strip_suffix("(.*)") {
        return literal(prefix).then(|| Pattern::PrefixAndRest(prefix.to_owned()));
    }
    (body.len() < anchored.len() && literal(body)).then(|| Pattern::Exact(body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_ways_agree_with_the_regular_expression() {
        for pattern in ["^/old/(.*)$", "^/old/(.*)", "^/old", "^/old$", "^", "^$", "^(.*)$", "^/o.d/(.*)$", "old(.*)$"]
        {
            let regex = Regex::new(pattern).unwrap();
            let quick = Pattern::compile(pattern, false).unwrap();
            for text in ["/old", "/old/", "/old/a/b?c=d", "/new", "", "/older", "x/old/1", "/old/é"] {
                let expected = regex.captures(text).map(|found| {
                    let group = |index: usize| found.get(index).map_or("", |group| group.as_str()).to_owned();
                    (group(0), group(1))
                });
                let found = quick.captures(text).map(|found| (found.number(0).to_owned(), found.number(1).to_owned()));
                assert_eq!(found, expected, "{pattern} on {text}");
                assert_eq!(quick.is_match(text), expected.is_some(), "{pattern} on {text}");
            }
        }
        assert!(matches!(Pattern::compile("^/old/(.*)$", false), Ok(Pattern::PrefixAndRest(_))));
        assert!(matches!(Pattern::compile("^/old/(.*)$", true), Ok(Pattern::Regex(_))));
        assert!(matches!(Pattern::compile("^/a\\.b$", false), Ok(Pattern::Regex(_))));
    }
}
