//! One rule: what it does to which field, and when.

use conditions::{Captures, Conditions, Pattern, Template, View, Wanted, When, field_name, variable_name};
use serde::Deserialize;
use weir_filter::Edit;

/// As written in the settings.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Written {
    action: Verb,
    name: String,
    value: Option<String>,
    /// What `edit` and `edit-all` look for.
    #[serde(rename = "match")]
    pattern: Option<String>,
    #[serde(default)]
    ignore_case: bool,
    #[serde(default)]
    when: When,
}

#[derive(Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Verb {
    Add,
    Append,
    Set,
    SetIfEmpty,
    Merge,
    Edit,
    EditAll,
    SetVariable,
    #[serde(alias = "hide", alias = "unset")]
    Remove,
}

/// Compiled.
pub(crate) struct Rule {
    verb: Verb,
    name: String,
    value: Template,
    /// For verbs that look at the present value: its index in the plan.
    present: Option<usize>,
    pattern: Option<regex_lite::Regex>,
    conditions: Conditions,
}

/// Fields that the gateway lets no filter touch, and why.
const REFUSED: [(&str, &str); 9] = [
    ("connection", "it belongs to one connection and the gateway writes it"),
    ("content-length", "the gateway frames messages"),
    ("keep-alive", "it belongs to one connection"),
    ("proxy-connection", "it belongs to one connection"),
    ("te", "it belongs to one connection"),
    ("trailer", "the gateway frames messages"),
    ("transfer-encoding", "the gateway frames messages"),
    ("upgrade", "it belongs to one connection"),
    ("host", "it is part of the request's target: see the pool's `preserve-host`"),
];

impl Written {
    pub(crate) fn compile(self, response_side: bool, wanted: &mut Wanted) -> Result<Rule, String> {
        let name = match self.action {
            Verb::SetVariable => variable_name(&self.name)?,
            _ => field_name(&self.name)?,
        };
        if let Some((_, why)) = REFUSED.iter().find(|(refused, _)| *refused == name) {
            return Err(format!("`{name}` cannot be changed: {why}"));
        }
        let edits = matches!(self.action, Verb::Edit | Verb::EditAll);
        let pattern = match (edits, self.pattern) {
            (true, Some(text)) => Some(Pattern::regex(&text, self.ignore_case).map_err(|why| format!("match: {why}"))?),
            (true, None) => return Err("`match` is missing: what is to be edited".to_owned()),
            (false, Some(_)) => {
                return Err("`match` is for `edit` and `edit-all`; conditions go into `when`".to_owned());
            }
            (false, None) => None,
        };
        let value = match (self.action, self.value) {
            (Verb::Remove, Some(_)) => return Err("`value` is not for `remove`".to_owned()),
            (Verb::Remove, None) => String::new(),
            (_, Some(value)) => value,
            (_, None) => return Err("`value` is missing".to_owned()),
        };
        if value.bytes().any(|byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
            return Err("`value` has a control character".to_owned());
        }
        let value = Template::compile(&value, response_side, wanted).map_err(|why| format!("value: {why}"))?;
        if self.action == Verb::SetVariable {
            word_to_the_cache(&name, value.literal(), response_side)?;
        }
        if !edits && value.has_captures() {
            return Err(
                "value: `$1` and `${name}` are for `edit` and `edit-all`; write `$$` for a dollar sign".to_owned()
            );
        }
        let looks = matches!(self.action, Verb::Append | Verb::SetIfEmpty | Verb::Merge) || edits;
        Ok(Rule {
            verb: self.action,
            present: looks.then(|| wanted.index(&name)),
            value,
            pattern,
            conditions: self.when.compile(response_side, wanted)?,
            name,
        })
    }
}

impl Rule {
    /// Adds to `done`, which holds what the rules before this one want.
    pub(crate) fn apply(&self, view: View<'_>, done: &mut Vec<Edit>) {
        if !self.conditions.hold(view) {
            return;
        }
        match self.verb {
            Verb::Remove => done.push(Edit::RemoveHeader(self.name.clone())),
            Verb::SetVariable => {
                // Unlike a field's value it may hold anything, and two that differ must not become one.
                let mut value = Vec::with_capacity(32);
                self.value.fill(None, view, &mut value, |out, piece, _| out.extend_from_slice(piece));
                let value = String::from_utf8_lossy(&value).into_owned();
                done.push(Edit::SetVariable(self.name.clone(), value));
            }
            Verb::Set => done.push(Edit::SetHeader(self.name.clone(), self.fill(None, view))),
            Verb::Add => done.push(Edit::AppendHeader(self.name.clone(), self.fill(None, view))),
            Verb::SetIfEmpty => {
                if self.lines(view, done).iter().all(|line| line.trim_ascii().is_empty()) {
                    done.push(Edit::SetHeader(self.name.clone(), self.fill(None, view)));
                }
            }
            Verb::Append | Verb::Merge => self.add_to_list(view, done),
            Verb::Edit | Verb::EditAll => self.edit(view, done),
        }
    }

    fn add_to_list(&self, view: View<'_>, done: &mut Vec<Edit>) {
        let value = self.fill(None, view);
        let mut lines = self.lines(view, done);
        let listed = |line: &Vec<u8>| elements(line).any(|element| element == value.trim_ascii());
        if self.verb == Verb::Merge && lines.iter().any(listed) {
            return;
        }
        lines.retain(|line| !line.trim_ascii().is_empty());
        lines.push(value);
        done.push(Edit::SetHeader(self.name.clone(), lines.join(b", ".as_slice())));
    }

    fn edit(&self, view: View<'_>, done: &mut Vec<Edit>) {
        let lines = self.lines(view, done);
        let edited: Vec<Vec<u8>> = lines.iter().map(|line| self.edit_line(line, view)).collect();
        if edited == lines {
            return;
        }
        for (index, line) in edited.into_iter().enumerate() {
            let name = self.name.clone();
            done.push(if index == 0 { Edit::SetHeader(name, line) } else { Edit::AppendHeader(name, line) });
        }
    }

    /// A line that is not UTF-8 stays as it is.
    fn edit_line(&self, line: &[u8], view: View<'_>) -> Vec<u8> {
        let (Ok(text), Some(pattern)) = (std::str::from_utf8(line), &self.pattern) else {
            return line.to_vec();
        };
        let all = if self.verb == Verb::EditAll { usize::MAX } else { 1 };
        let mut edited = Vec::with_capacity(line.len());
        let mut end = 0;
        for found in pattern.captures_iter(text).take(all) {
            let Some(whole) = found.get(0) else { continue };
            edited.extend_from_slice(text.get(end..whole.start()).unwrap_or_default().as_bytes());
            end = whole.end();
            edited.extend_from_slice(&self.fill(Some(&Captures::Regex(found)), view));
        }
        edited.extend_from_slice(text.get(end..).unwrap_or_default().as_bytes());
        edited
    }

    fn fill(&self, captures: Option<&Captures<'_>>, view: View<'_>) -> Vec<u8> {
        let mut value = Vec::with_capacity(32);
        self.value.fill(captures, view, &mut value, |out, piece, outside| {
            out.extend_from_slice(piece);
            if outside {
                let start = out.len() - piece.len();
                // A variable may hold anything; a field value may not (RFC 9110, section 5.5).
                for byte in out.iter_mut().skip(start).filter(|byte| byte.is_ascii_control()) {
                    *byte = b' ';
                }
            }
        });
        value
    }

    /// The field's lines as the rules before this one leave them.
    fn lines(&self, view: View<'_>, done: &[Edit]) -> Vec<Vec<u8>> {
        let mut lines = self.lines_before(view);
        for edit in done {
            match edit {
                Edit::SetHeader(name, value) if *name == self.name => lines = vec![value.clone()],
                Edit::AppendHeader(name, value) if *name == self.name => lines.push(value.clone()),
                Edit::RemoveHeader(name) if *name == self.name => lines.clear(),
                _ => {}
            }
        }
        lines
    }

    /// The gateway is asked for the single lines only where there may be several: joined ones have a comma.
    fn lines_before(&self, view: View<'_>) -> Vec<Vec<u8>> {
        match self.present.and_then(|index| view.wanted(index)) {
            None => Vec::new(),
            Some(joined) if !joined.contains(&b',') => vec![joined.to_vec()],
            Some(_) => view.lines(&self.name),
        }
    }
}

/// What the gateway's cache would not understand, as far as that can be seen here.
fn word_to_the_cache(name: &str, literal: Option<&str>, response_side: bool) -> Result<(), String> {
    let Some(word) = name.strip_prefix("cache.") else { return Ok(()) };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match word {
        "bypass" | "tags" => Ok(()),
        "ttl" if literal.is_none_or(is_number) => Ok(()),
        "ttl" => Err("value: `cache.ttl` is whole seconds".to_owned()),
        key if key.starts_with("key.") && !response_side => Ok(()),
        key if key.starts_with("key.") => Err(format!("`{name}`: keys are made before there is a response")),
        _ => {
            Err(format!("`{name}` is no word to the cache; known: cache.bypass, cache.ttl, cache.tags, cache.key.NAME"))
        }
    }
}

/// The elements of a list (RFC 9110, section 5.6.1); a comma in a quoted string does not part them.
fn elements(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(move |byte| {
        let part = *byte == b',' && !quoted;
        if escaped {
            escaped = false;
        } else if quoted && *byte == b'\\' {
            escaped = true;
        } else if *byte == b'"' {
            quoted = !quoted;
        }
        part
    })
    .map(|element| element.trim_ascii())
}
