//! Conditions of a route on header fields and query parameters; all of them must hold.

use std::borrow::Cow;

use http::header;

use crate::config::{FieldMatch, QueryMatch, Route, Test};
use crate::message::{RequestHead, query};

/// The conditions of one route.
#[derive(Debug)]
pub(super) struct Conditions {
    fields: Vec<FieldMatch>,
    query: Vec<QueryMatch>,
}

impl Conditions {
    pub(super) fn of(route: &Route) -> Self {
        Self { fields: route.fields.clone(), query: route.query.clone() }
    }

    pub(super) fn hold(&self, head: &RequestHead) -> bool {
        self.fields.iter().all(|condition| field_holds(condition, head))
            && self.query.iter().all(|condition| query_holds(condition, head.query().unwrap_or_default()))
    }
}

/// A line that is not UTF-8 is there, but equal to nothing. `Host` is asked of the authority.
fn field_holds(condition: &FieldMatch, head: &RequestHead) -> bool {
    if condition.name == header::HOST {
        return holds(&condition.test, std::iter::once(Cow::Borrowed(head.authority.as_str())));
    }
    let lines = head.fields.lines(&condition.name);
    holds(&condition.test, lines.map(|line| Cow::Borrowed(str::from_utf8(line.as_bytes()).unwrap_or("\u{fffd}"))))
}

fn query_holds(condition: &QueryMatch, text: &str) -> bool {
    holds(&condition.test, query::values(text, &condition.name))
}

fn holds<'a>(test: &Test, mut values: impl Iterator<Item = Cow<'a, str>>) -> bool {
    match test {
        Test::Present(wanted) => values.next().is_some() == *wanted,
        Test::Equal(text) => values.any(|value| value == text.as_str()),
        Test::Regex(regex) => values.any(|value| regex.is_match(&value)),
    }
}
