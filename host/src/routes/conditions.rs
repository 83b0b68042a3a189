//! Conditions of a route on header fields and query parameters; all of them must hold.

use std::borrow::Cow;

use http::header;

use crate::config::{FieldMatch, QueryMatch, Route};
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

/// `Host` is asked of the authority.
fn field_holds(condition: &FieldMatch, head: &RequestHead) -> bool {
    if condition.name == header::HOST {
        return condition.test.holds(std::iter::once(Cow::Borrowed(head.authority.as_str())));
    }
    condition.test.holds_for(head.fields.lines(&condition.name))
}

fn query_holds(condition: &QueryMatch, text: &str) -> bool {
    condition.test.holds(query::values(text, &condition.name))
}
