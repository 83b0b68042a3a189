//! The rules of the request side, in order.

use conditions::{Conditions, Pattern, Template, View, Wanted, When};
use serde::Deserialize;
use weir_filter::Request;

use crate::target;

/// As written in the settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Written {
    #[serde(rename = "match")]
    pattern: String,
    #[serde(default)]
    ignore_case: bool,
    /// Applies where the pattern does not match.
    #[serde(default)]
    not: bool,
    #[serde(default)]
    against: Against,
    to: Option<String>,
    #[serde(default)]
    query: Query,
    redirect: Option<u16>,
    answer: Option<Word>,
    flow: Option<Flow>,
    #[serde(default)]
    when: When,
}

/// What the pattern sees.
#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Against {
    #[default]
    Path,
    /// Path and query, as one text.
    Target,
}

/// What becomes of the query that came.
#[derive(Deserialize, Clone, Copy, Default, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Query {
    /// Kept, unless `to` has a query: that one replaces it.
    #[default]
    Keep,
    /// Appended to the query of `to`.
    Append,
    Drop,
}

#[derive(Deserialize, Clone, Copy)]
#[serde(rename_all = "kebab-case")]
enum Word {
    Gone,
    Forbidden,
}

/// Where to go on after a rule applied.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Flow {
    /// Nowhere: done.
    Last,
    /// With the next rule.
    Continue,
    /// With the next rule; where this one does not apply, the rest of its chain is passed over.
    Chain,
    /// From the first rule again.
    Again,
}

/// Compiled.
pub(crate) struct Rules(Vec<Rule>);

struct Rule {
    pattern: Pattern,
    not: bool,
    against: Against,
    action: Action,
    flow: Flow,
    conditions: Conditions,
}

enum Action {
    /// Nothing by itself: for chains.
    Keep,
    Rewrite(Template, Query),
    Redirect(u16, Template, Query),
    Answer(u16),
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Unchanged,
    Rewritten(String),
    Redirected(u16, Vec<u8>),
    Answered(u16),
    Endless,
}

/// How often `again` may start over: rules that need more do not come to an end in practice.
const ROUNDS: u32 = 16;
/// What a rewritten target may grow to, the longest that the gateway takes from a filter. A rule that doubles a
/// target in every round meets this first.
const LONGEST: usize = 16 << 10;

impl Rules {
    pub(crate) fn compile(written: Vec<Written>, wanted: &mut Wanted) -> Result<Self, String> {
        let compile =
            |(index, rule): (usize, Written)| rule.compile(wanted).map_err(|why| format!("rule[{index}]: {why}"));
        Ok(Self(written.into_iter().enumerate().map(compile).collect::<Result<_, _>>()?))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn run(&self, request: &Request) -> Verdict {
        let mut current: Option<String> = None;
        let mut rounds = 0;
        let mut index = 0;
        while let Some(rule) = self.0.get(index) {
            index += 1;
            let now = current.as_deref().unwrap_or(request.target());
            let Some(applied) = rule.apply(now, request) else {
                index = self.after_chain(index);
                continue;
            };
            match applied {
                Verdict::Unchanged => {}
                Verdict::Rewritten(target) if target.len() > LONGEST => return Verdict::Endless,
                Verdict::Rewritten(target) => current = Some(target),
                end => return end,
            }
            match rule.flow {
                Flow::Last => break,
                Flow::Continue | Flow::Chain => {}
                Flow::Again => {
                    rounds += 1;
                    if rounds > ROUNDS {
                        return Verdict::Endless;
                    }
                    index = 0;
                }
            }
        }
        match current {
            Some(target) if target != request.target() => Verdict::Rewritten(target),
            _ => Verdict::Unchanged,
        }
    }

    /// Where to go on when the rule before `index` did not apply.
    fn after_chain(&self, index: usize) -> usize {
        let mut index = index;
        while index > 0 && self.0.get(index - 1).is_some_and(|rule| rule.flow == Flow::Chain) {
            index += 1;
        }
        index
    }
}

impl Written {
    fn compile(self, wanted: &mut Wanted) -> Result<Rule, String> {
        let pattern = Pattern::compile(&self.pattern, self.ignore_case).map_err(|why| format!("match: {why}"))?;
        let template = self.to.map(|to| Template::compile(&to, false, wanted).map_err(|why| format!("to: {why}")));
        let template = template.transpose()?;
        if self.not && template.as_ref().is_some_and(Template::has_captures) {
            return Err("to: with `not` there is nothing captured".to_owned());
        }
        let action = match (template, self.redirect, self.answer) {
            (None, None, Some(Word::Gone)) => Action::Answer(410),
            (None, None, Some(Word::Forbidden)) => Action::Answer(403),
            (Some(to), Some(status @ (301 | 302 | 303 | 307 | 308)), None) => Action::Redirect(status, to, self.query),
            (_, Some(status), None) if !matches!(status, 301 | 302 | 303 | 307 | 308) => {
                return Err(format!("redirect: {status} is none of 301, 302, 303, 307, 308"));
            }
            (None, Some(_), None) => return Err("`redirect` needs `to`".to_owned()),
            (Some(to), None, None) => {
                if has_scheme(to.beginning()) {
                    return Err("to: another server needs `redirect`; a rewrite stays on the route's pool".to_owned());
                }
                Action::Rewrite(to, self.query)
            }
            (None, None, None) if self.flow.is_some_and(|flow| flow != Flow::Again) => Action::Keep,
            (None, None, None) => return Err("there is nothing to do: give `to` or `answer`".to_owned()),
            (_, _, Some(_)) => return Err("`answer` goes with neither `to` nor `redirect`".to_owned()),
            (Some(_), Some(_), None) => return Err("`redirect` cannot be used here".to_owned()),
        };
        Ok(Rule {
            pattern,
            not: self.not,
            against: self.against,
            action,
            flow: self.flow.unwrap_or(Flow::Last),
            conditions: self.when.compile(false, wanted)?,
        })
    }
}

impl Rule {
    fn apply(&self, now: &str, request: &Request) -> Option<Verdict> {
        let (path, query) = now.split_once('?').map_or((now, None), |(path, query)| (path, Some(query)));
        let text = if self.against == Against::Path { path } else { now };
        let captures = self.pattern.captures(text);
        if captures.is_some() == self.not || !self.conditions.hold(View::Request(request)) {
            return None;
        }
        let whole = self.against == Against::Target;
        let build = |to: &Template, mode: Query| {
            let mut built = Vec::with_capacity(now.len() + 32);
            to.fill(captures.as_ref(), View::Request(request), &mut built, |out, piece, outside| {
                if outside && !whole { target::push_outside(out, piece) } else { out.extend_from_slice(piece) }
            });
            // A pattern on the whole target says itself what becomes of the query.
            let mode = if whole && mode == Query::Keep && query.is_some() { None } else { Some(mode) };
            join_query(&mut built, query, mode);
            built
        };
        Some(match &self.action {
            Action::Keep => Verdict::Unchanged,
            Action::Answer(status) => Verdict::Answered(*status),
            Action::Rewrite(to, mode) => Verdict::Rewritten(target::valid(&build(to, *mode))),
            Action::Redirect(status, to, mode) => {
                Verdict::Redirected(*status, target::location(&build(to, *mode), has_scheme(to.beginning())))
            }
        })
    }
}

fn join_query(built: &mut Vec<u8>, query: Option<&str>, mode: Option<Query>) {
    let fragment = built.iter().position(|byte| *byte == b'#').map(|at| built.split_off(at)).unwrap_or_default();
    let own = built.contains(&b'?');
    match (mode, query) {
        (Some(Query::Keep), Some(query)) if !own => push_query(built, b'?', query),
        (Some(Query::Append), Some(query)) => push_query(built, if own { b'&' } else { b'?' }, query),
        _ => {}
    }
    // mod_rewrite's way to drop a query: a question mark with nothing behind.
    if built.ends_with(b"?") {
        built.pop();
    }
    built.extend_from_slice(&fragment);
}

fn push_query(built: &mut Vec<u8>, mark: u8, query: &str) {
    if !built.ends_with(&[mark]) && !built.ends_with(b"?") {
        built.push(mark);
    }
    built.extend_from_slice(query.as_bytes());
}

/// Whether a text begins like an absolute URL.
fn has_scheme(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}
