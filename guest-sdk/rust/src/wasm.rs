//! The border to the gateway: the generated bindings, and the filter behind the exports.
//!
//! A module has one filter, put in its slot by `configure`. The gateway calls an instance once at a time, so the slot
//! is never borrowed twice.

use std::cell::RefCell;
use std::thread::LocalKey;

use crate::{Action, Edit, Filter, Hook, Request, Response, settings};
use bindings::weir::filter::types;

pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "filter",
        pub_export_macro: true,
        export_macro_name: "export_filter",
    });
}

/// What `export!` implements: where the module's filter is kept.
pub trait Exported {
    type Filter: Filter + 'static;
    fn slot() -> &'static LocalKey<RefCell<Option<Self::Filter>>>;
}

impl<T: Exported> bindings::Guest for T {
    fn configure(json: String) -> Result<types::Plan, String> {
        std::panic::set_hook(Box::new(|panic| host::log(crate::Level::Error, &panic.to_string())));
        let filter = T::Filter::configure(settings::parse(&json)?)?;
        let plan = filter.plan();
        T::slot().set(Some(filter));
        Ok(types::Plan {
            hooks: plan.hooks.into_iter().map(types::Hook::from).collect(),
            request_headers: plan.request_headers,
            response_headers: plan.response_headers,
        })
    }

    fn on_request(head: types::RequestHead) -> types::Action {
        let request = Request {
            id: head.id,
            method: head.method,
            scheme: head.scheme,
            authority: head.authority,
            target: head.path,
            client: head.client,
            wanted: head.wanted,
        };
        T::slot().with_borrow_mut(|filter| match filter {
            Some(filter) => filter.on_request(&request).into(),
            None => types::Action::Next,
        })
    }

    fn on_response(head: types::ResponseHead) -> types::Action {
        let response = Response { id: head.id, status: head.status, wanted: head.wanted };
        T::slot().with_borrow_mut(|filter| match filter {
            Some(filter) => filter.on_response(&response).into(),
            None => types::Action::Next,
        })
    }

    fn on_done(id: u64) {
        T::slot().with_borrow_mut(|filter| {
            if let Some(filter) = filter {
                filter.on_done(id);
            }
        });
    }
}

impl From<Hook> for types::Hook {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Request => types::Hook::Request,
            Hook::Response => types::Hook::Response,
            Hook::Done => types::Hook::Done,
        }
    }
}

impl From<Action> for types::Action {
    fn from(action: Action) -> Self {
        match action {
            Action::Next => types::Action::Next,
            Action::Edit(edits) => types::Action::Edits(edits.into_iter().map(types::Edit::from).collect()),
            Action::Respond(answer) => types::Action::Respond(types::Response {
                status: answer.status,
                headers: answer.headers,
                body: answer.body,
            }),
        }
    }
}

impl From<Edit> for types::Edit {
    fn from(edit: Edit) -> Self {
        match edit {
            Edit::SetMethod(method) => types::Edit::SetMethod(method),
            Edit::SetScheme(scheme) => types::Edit::SetScheme(scheme),
            Edit::SetAuthority(authority) => types::Edit::SetAuthority(authority),
            Edit::SetPath(path) => types::Edit::SetPath(path),
            Edit::SetStatus(status) => types::Edit::SetStatus(status),
            Edit::SetHeader(name, value) => types::Edit::SetHeader((name, value)),
            Edit::AppendHeader(name, value) => types::Edit::AppendHeader((name, value)),
            Edit::RemoveHeader(name) => types::Edit::RemoveHeader(name),
            Edit::SetVariable(name, value) => types::Edit::SetVariable((name, value)),
        }
    }
}

pub(crate) mod host {
    pub(crate) use super::bindings::weir::filter::exchange::{
        request_header, request_header_lines, request_headers, response_header, response_header_lines,
        response_headers, variable,
    };
    use super::bindings::weir::filter::files;
    use super::bindings::weir::filter::log::{Level as Wire, write};
    use crate::{Level, Refusal};

    pub(crate) fn send(root: &str, path: &str) -> Result<(), Refusal> {
        files::send(root, path).map_err(|refusal| match refusal {
            files::Refusal::NotGranted => Refusal::NotGranted,
            files::Refusal::BadPath => Refusal::BadPath,
        })
    }

    pub(crate) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Debug => Wire::Debug,
            Level::Info => Wire::Info,
            Level::Warn => Wire::Warn,
            Level::Error => Wire::Error,
        };
        write(level, message);
    }
}
