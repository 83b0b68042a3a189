//! A filter made for the first version of the contract, which lies beside it as it was then: whatever is added since, this
//! goes on working. It never changes.
#![cfg(target_arch = "wasm32")]

wit_bindgen::generate!({ path: "wit", world: "filter" });

use weir::filter::exchange;
use weir::filter::log::{Level, write};
use weir::filter::types::{Edit, Hook, Response};

struct First;

impl Guest for First {
    fn configure(settings: String) -> Result<Plan, String> {
        if settings != "{}" {
            return Err("there is nothing to set".to_owned());
        }
        Ok(Plan {
            hooks: vec![Hook::Request, Hook::Response, Hook::Done],
            request_headers: vec!["x-who".to_owned()],
            response_headers: vec!["content-type".to_owned()],
        })
    }

    fn on_request(head: RequestHead) -> Action {
        if head.path == "/answered" {
            let headers = exchange::request_header_lines("x-who").into_iter().map(|who| ("x-you".to_owned(), who));
            return Action::Respond(Response { status: 418, headers: headers.collect(), body: b"first".to_vec() });
        }
        let who = head.wanted.into_iter().flatten().next().unwrap_or_default();
        Action::Edits(vec![
            Edit::SetHeader(("x-first".to_owned(), who)),
            Edit::SetPath(format!("/first{}", head.path)),
            Edit::SetVariable(("first.id".to_owned(), head.id.to_string())),
        ])
    }

    fn on_response(head: ResponseHead) -> Action {
        let route = exchange::variable("route.name").unwrap_or_default().into_bytes();
        Action::Edits(vec![Edit::SetStatus(head.status + 1), Edit::AppendHeader(("x-route".to_owned(), route))])
    }

    fn on_done(id: u64) {
        let same = exchange::variable("first.id") == Some(id.to_string());
        write(Level::Info, if same { "the first is done" } else { "the first is lost" });
    }
}

export!(First);
