//! The gateway's part, played natively: a filter is configured, called and obeyed as the gateway does it, without Wasm.
//!
//! Edits are checked by the contract's rules and applied all or none. What the real gateway adds besides (limits of
//! time and memory, fields of its own) is not played.
//!
//! ```
//! use weir_filter::test::{Exchange, Gateway, Outcome};
//! # use weir_filter::{Action, Answer, Filter, Plan, Request};
//! # struct Teapot;
//! # impl Filter for Teapot {
//! #     type Settings = ();
//! #     fn configure(_: ()) -> Result<Self, String> { Ok(Teapot) }
//! #     fn plan(&self) -> Plan { Plan::new().on_request() }
//! #     fn on_request(&mut self, request: &Request) -> Action {
//! #         if request.path() == "/coffee" { Answer::text(418, "short and stout").into() } else { Action::Next }
//! #     }
//! # }
//! let mut gateway = Gateway::<Teapot>::start("{}").unwrap();
//! let mut exchange = Exchange::get("/coffee?strong").client("192.0.2.7");
//! assert_eq!(gateway.request(&mut exchange), Outcome::Answered);
//! assert_eq!(exchange.status(), Some(418));
//! ```

mod exchange;
pub(crate) mod host;
mod rules;

use crate::{Action, Edit, Filter, Hook, Level, Plan, Request, Response, settings};

pub use exchange::Exchange;

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The plan does not name the hook: the filter was not called.
    NotCalled,
    Next,
    Edited,
    Answered,
    /// The verdict breaks a rule of the contract: nothing was applied, and a client would get an error.
    Refused(String),
}

/// A gateway with one filter.
pub struct Gateway<F> {
    filter: F,
    plan: Plan,
    lines: Vec<(Level, String)>,
}

impl<F: Filter> Gateway<F> {
    /// Configures the filter with settings in JSON, as the gateway does. The error is what the operator would read.
    pub fn start(settings: &str) -> Result<Self, String> {
        let filter = F::configure(settings::parse(settings)?)?;
        let plan = filter.plan();
        rules::plan(&plan)?;
        Ok(Self { filter, plan, lines: host::lines() })
    }

    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What the filter wrote into the log so far.
    pub fn log(&self) -> &[(Level, String)] {
        &self.lines
    }

    /// Calls `on_request` and applies the verdict; an answer becomes the exchange's response.
    pub fn request(&mut self, exchange: &mut Exchange) -> Outcome {
        if !self.plan.hooks.contains(&Hook::Request) {
            return Outcome::NotCalled;
        }
        let request = Request {
            id: exchange.id,
            method: exchange.method.clone(),
            scheme: exchange.scheme.clone(),
            authority: exchange.authority.clone(),
            target: exchange.target.clone(),
            client: exchange.client.clone(),
            wanted: self.plan.request_headers.iter().map(|name| exchange.request.joined(name)).collect(),
        };
        let action = host::during(exchange, || self.filter.on_request(&request));
        self.lines.extend(host::lines());
        settle(exchange, action, Hook::Request)
    }

    /// Calls `on_response` and applies the verdict. The exchange must have a response.
    pub fn response(&mut self, exchange: &mut Exchange) -> Outcome {
        if !self.plan.hooks.contains(&Hook::Response) {
            return Outcome::NotCalled;
        }
        let head = exchange.response.as_ref().expect("the test gives the exchange a response first");
        let response = Response {
            id: exchange.id,
            status: head.status,
            wanted: self.plan.response_headers.iter().map(|name| head.fields.joined(name)).collect(),
        };
        let action = host::during(exchange, || self.filter.on_response(&response));
        self.lines.extend(host::lines());
        settle(exchange, action, Hook::Response)
    }

    /// Calls `on_done`.
    pub fn done(&mut self, exchange: &Exchange) -> Outcome {
        if !self.plan.hooks.contains(&Hook::Done) {
            return Outcome::NotCalled;
        }
        host::during(exchange, || self.filter.on_done(exchange.id));
        self.lines.extend(host::lines());
        Outcome::Next
    }
}

fn settle(exchange: &mut Exchange, action: Action, side: Hook) -> Outcome {
    let edits = match action {
        Action::Next => return Outcome::Next,
        Action::Respond(answer) => {
            return match rules::answer(&answer) {
                Ok(()) => {
                    exchange.answer(answer);
                    Outcome::Answered
                }
                Err(why) => Outcome::Refused(why),
            };
        }
        Action::Edit(edits) => edits,
    };
    let mut edited = exchange.clone();
    if let Err(why) = rules::edits(&edits, side) {
        return Outcome::Refused(why);
    }
    for edit in edits {
        apply(&mut edited, edit, side);
    }
    *exchange = edited;
    Outcome::Edited
}

fn apply(exchange: &mut Exchange, edit: Edit, side: Hook) {
    let fields = match (&mut exchange.response, side) {
        (Some(response), Hook::Response) => &mut response.fields,
        _ => &mut exchange.request,
    };
    match edit {
        Edit::SetHeader(name, value) => fields.set(&name, value),
        Edit::AppendHeader(name, value) => fields.append(&name, value),
        Edit::RemoveHeader(name) => fields.remove(&name),
        Edit::SetMethod(method) => exchange.method = method,
        Edit::SetScheme(scheme) => exchange.scheme = scheme,
        Edit::SetAuthority(authority) => exchange.authority = authority,
        Edit::SetPath(target) => exchange.target = target,
        Edit::SetStatus(status) => {
            if let Some(response) = &mut exchange.response {
                response.status = status;
            }
        }
        Edit::SetVariable(name, value) => exchange.set_variable(name, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Answer, Edits};

    /// Does what its settings say, so that the double can be watched.
    struct Script(String);

    impl Filter for Script {
        type Settings = String;

        fn configure(settings: String) -> Result<Self, String> {
            if settings == "refuse" { Err("as asked".to_owned()) } else { Ok(Self(settings)) }
        }

        fn plan(&self) -> Plan {
            let plan = Plan::new().request_header("x-a").response_header("x-b");
            if self.0 == "done" { plan.on_done() } else { plan }
        }

        fn on_request(&mut self, request: &Request) -> Action {
            match self.0.as_str() {
                "edit" => Edits::new()
                    .set_path("/two")
                    .set_header("X-A", "new")
                    .append_header("x-a", "newer")
                    .remove_header("x-gone")
                    .set_variable("script.ran", "yes")
                    .into(),
                "half" => Edits::new().set_path("/two").set_header("bad name", "v").into(),
                "answer" => Answer::text(403, "no").header("x-why", "because").into(),
                "read" => {
                    crate::log(Level::Info, &format!("{:?}", request.header_lines("x-a")));
                    crate::log(Level::Info, &format!("{:?}", request.variable("route.name")));
                    crate::log(Level::Info, &format!("{:?}", request.wanted(0)));
                    Action::Next
                }
                _ => Action::Next,
            }
        }

        fn on_response(&mut self, response: &Response) -> Action {
            match self.0.as_str() {
                "edit" => Edits::new().set_status(404).set_header("x-b", response.wanted(0).unwrap_or(b"none")).into(),
                "half" => Edits::new().set_path("/two").into(),
                "answer" => Answer::new(502).body("replaced").into(),
                _ => Action::Next,
            }
        }

        fn on_done(&mut self, id: u64) {
            crate::log(Level::Debug, &format!("done {id}"));
        }
    }

    fn gateway(script: &str) -> Gateway<Script> {
        Gateway::start(&format!("{script:?}")).unwrap()
    }

    #[test]
    fn edits_are_applied_in_order() {
        let mut exchange = Exchange::get("/one").field("x-a", "old").field("x-a", "older").field("x-gone", "1");
        assert_eq!(gateway("edit").request(&mut exchange), Outcome::Edited);
        assert_eq!(exchange.target(), "/two");
        assert_eq!(exchange.request_lines("x-a"), ["new", "newer"]);
        assert_eq!(exchange.request_field("x-gone"), None);
        assert_eq!(exchange.variable_named("script.ran").as_deref(), Some("yes"));
    }

    #[test]
    fn one_bad_edit_spoils_them_all() {
        let mut exchange = Exchange::get("/one").response(200);
        let mut gateway = gateway("half");
        assert!(matches!(gateway.request(&mut exchange), Outcome::Refused(why) if why.contains("bad name")));
        assert_eq!(exchange.target(), "/one");
        assert!(matches!(gateway.response(&mut exchange), Outcome::Refused(why) if why.contains("set-path")));
    }

    #[test]
    fn an_answer_becomes_the_response() {
        let mut exchange = Exchange::get("/one");
        let mut gateway = gateway("answer");
        assert_eq!(gateway.request(&mut exchange), Outcome::Answered);
        assert_eq!(exchange.status(), Some(403));
        assert_eq!(exchange.response_field("x-why").as_deref(), Some("because"));
        assert_eq!(exchange.body(), b"no");
        assert_eq!(gateway.response(&mut exchange), Outcome::Answered);
        assert_eq!((exchange.status(), exchange.body()), (Some(502), b"replaced".as_slice()));
    }

    #[test]
    fn the_response_side_changes_the_response() {
        let mut exchange = Exchange::get("/").field("x-b", "request's").response(200).response_field_line("x-b", "1");
        assert_eq!(gateway("edit").response(&mut exchange), Outcome::Edited);
        assert_eq!(exchange.status(), Some(404));
        assert_eq!(exchange.response_lines("x-b"), ["1"]);
        assert_eq!(exchange.request_field("x-b").as_deref(), Some("request's"));
    }

    #[test]
    fn a_filter_reads_what_it_is_called_for() {
        let mut exchange = Exchange::get("/").field("x-a", "1").field("X-A", "2").variable("route.name", "images");
        let mut gateway = gateway("read");
        assert_eq!(gateway.request(&mut exchange), Outcome::Next);
        let lines: Vec<_> = gateway.log().iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(lines, ["[[49], [50]]", "Some(\"images\")", "Some([49, 44, 32, 50])"]);
    }

    #[test]
    fn hooks_outside_of_the_plan_are_not_called() {
        let exchange = Exchange::get("/").id(7);
        assert_eq!(gateway("edit").done(&exchange), Outcome::NotCalled);
        let mut done = gateway("done");
        assert_eq!(done.done(&exchange), Outcome::Next);
        assert_eq!(done.log(), [(Level::Debug, "done 7".to_owned())]);
    }

    #[test]
    fn a_refusal_is_heard() {
        assert_eq!(Gateway::<Script>::start("\"refuse\"").err().as_deref(), Some("as asked"));
        assert!(Gateway::<Script>::start("7").err().is_some_and(|why| why.contains("expected a string")));
    }
}
