//! Applying what was checked.

use crate::message::{Facts, Fields};
use crate::wasm::{Edit, Side};

/// Applies checked changes in order. Cannot fail: whatever could was refused when they were checked.
pub(super) fn apply(edits: Vec<Edit>, side: Side, facts: &mut Facts) {
    for edit in edits {
        match edit {
            Edit::Method(method) => facts.request.method = method,
            Edit::Scheme(scheme) => facts.request.scheme = scheme,
            Edit::Authority(authority) => facts.request.authority = authority,
            Edit::Target(target) => facts.request.set_target(target),
            Edit::Variable(name, value) => facts.variables.set(name, value),
            Edit::Status(status) => {
                if let Some(response) = &mut facts.response {
                    response.status = status;
                }
            }
            Edit::Set(name, value) => with_fields(side, facts, |fields| fields.set(name, value)),
            Edit::Append(name, value) => with_fields(side, facts, |fields| fields.append(name, value)),
            Edit::Remove(name) => with_fields(side, facts, |fields| {
                fields.remove(name);
            }),
        }
    }
}

fn with_fields(side: Side, facts: &mut Facts, change: impl FnOnce(&mut Fields)) {
    match side {
        Side::Request => change(&mut facts.request.fields),
        Side::Response => {
            if let Some(response) = &mut facts.response {
                change(&mut response.fields);
            }
        }
    }
}
