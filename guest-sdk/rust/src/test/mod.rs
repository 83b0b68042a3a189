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

use crate::{Action, Answer, Edit, Filter, Hook, Level, Plan, Request, Response, settings};

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
    roots: Vec<String>,
    lines: Vec<(Level, String)>,
}

impl<F: Filter> Gateway<F> {
    /// Configures the filter with settings in JSON, as the gateway does. The error is what the operator would read.
    pub fn start(settings: &str) -> Result<Self, String> {
        let filter = F::configure(settings::parse(settings)?)?;
        let plan = filter.plan();
        rules::plan(&plan)?;
        if host::is_misused() {
            return Err(MISUSED.to_owned());
        }
        Ok(Self { filter, plan, roots: Vec::new(), lines: host::lines() })
    }

    /// Grants the filter roots by name, as `roots` in its config does.
    pub fn granting(mut self, roots: &[&str]) -> Self {
        self.roots.extend(roots.iter().map(|&root| root.to_owned()));
        self
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
        let (action, file) = host::asking(exchange, &self.roots, || self.filter.on_request(&request));
        self.lines.extend(host::lines());
        settle(exchange, action, file, Hook::Request)
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
        let (action, file) = host::asking(exchange, &self.roots, || self.filter.on_response(&response));
        self.lines.extend(host::lines());
        settle(exchange, action, file, Hook::Response)
    }

    /// Calls `on_done`.
    pub fn done(&mut self, exchange: &Exchange) -> Outcome {
        if !self.plan.hooks.contains(&Hook::Done) {
            return Outcome::NotCalled;
        }
        host::during(exchange, || self.filter.on_done(exchange.id));
        self.lines.extend(host::lines());
        if host::is_misused() { Outcome::Refused(MISUSED.to_owned()) } else { Outcome::Next }
    }
}

const MISUSED: &str = "a file was named where there is nothing to answer";

fn settle(exchange: &mut Exchange, action: Action, file: Option<host::File>, side: Hook) -> Outcome {
    let edits = match action {
        Action::Respond(answer) => return respond(exchange, answer, file),
        _ if file.is_some() => return Outcome::Refused("a file was named and the call did not answer".to_owned()),
        Action::Next => return Outcome::Next,
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

fn respond(exchange: &mut Exchange, answer: Answer, file: Option<host::File>) -> Outcome {
    let with_file = if file.is_some() { rules::file(&answer) } else { Ok(()) };
    match rules::answer(&answer).and(with_file) {
        Ok(()) => {
            exchange.answer(answer, file);
            Outcome::Answered
        }
        Err(why) => Outcome::Refused(why),
    }
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
    use crate::{Edits, Refusal};

    /// Does what its settings say, so that the double can be watched.
    struct Script(String);

    impl Filter for Script {
        type Settings = String;

        fn configure(settings: String) -> Result<Self, String> {
            match settings.as_str() {
                "refuse" => Err("as asked".to_owned()),
                "early file" => Answer::file("pages", "a").map(|_| Self(settings)).or(Ok(Self(String::new()))),
                _ => Ok(Self(settings)),
            }
        }

        fn plan(&self) -> Plan {
            let plan = Plan::new().request_header("x-a").response_header("x-b");
            if matches!(self.0.as_str(), "done" | "late file") { plan.on_done() } else { plan }
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
                "file" => match Answer::file("pages", request.path().trim_start_matches("/pages/")) {
                    Ok(answer) => answer.header("content-type", "text/plain").into(),
                    Err(Refusal::NotGranted) => Answer::new(403).into(),
                    Err(Refusal::BadPath) => Answer::new(400).into(),
                },
                "file and body" => Answer::file("pages", "a").map(|answer| answer.body("b")).unwrap_or_default().into(),
                "file without content" => Answer::file("pages", "a").unwrap_or_default().status(204).into(),
                "file and next" => Answer::file("pages", "a").map_or(Action::Next, |_| Action::Next),
                _ => Action::Next,
            }
        }

        fn on_response(&mut self, response: &Response) -> Action {
            match self.0.as_str() {
                "edit" => Edits::new().set_status(404).set_header("x-b", response.wanted(0).unwrap_or(b"none")).into(),
                "half" => Edits::new().set_path("/two").into(),
                "answer" => Answer::new(502).body("replaced").into(),
                "file" => Answer::file("pages", "sorry.html").unwrap_or_default().status(503).into(),
                _ => Action::Next,
            }
        }

        fn on_done(&mut self, id: u64) {
            crate::log(Level::Debug, &format!("done {id}"));
            if self.0 == "late file" {
                let _ = Answer::file("pages", "a");
            }
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
    fn an_answer_may_be_a_file_of_a_granted_root() {
        let mut exchange = Exchange::get("/pages/a/b");
        assert_eq!(gateway("file").request(&mut exchange), Outcome::Answered);
        assert_eq!((exchange.status(), exchange.file()), (Some(403), None), "without any root");
        let mut gateway = gateway("file").granting(&["other", "pages"]);
        for (path, status, file) in [
            ("/pages/a/b", 200, Some(("pages", "a/b"))),
            ("/pages/a/../b", 400, None),
            ("/pages//b", 400, None),
            ("/pages/", 200, Some(("pages", ""))),
        ] {
            let mut exchange = Exchange::get(path);
            assert_eq!(gateway.request(&mut exchange), Outcome::Answered, "{path}");
            assert_eq!((exchange.status(), exchange.file()), (Some(status), file), "{path}");
        }
        let mut exchange = Exchange::get("/").response(200);
        assert_eq!(gateway.response(&mut exchange), Outcome::Answered);
        assert_eq!((exchange.status(), exchange.file()), (Some(503), Some(("pages", "sorry.html"))));
    }

    #[test]
    fn a_file_that_is_not_the_answer_is_refused() {
        for (script, why) in [
            ("file and body", "a body of its own"),
            ("file without content", "the status 204"),
            ("file and next", "did not answer"),
        ] {
            let outcome = gateway(script).granting(&["pages"]).request(&mut Exchange::get("/"));
            assert!(matches!(&outcome, Outcome::Refused(said) if said.contains(why)), "{script}: {outcome:?}");
        }
        assert_eq!(gateway("late file").done(&Exchange::get("/")), Outcome::Refused(MISUSED.to_owned()));
        assert_eq!(Gateway::<Script>::start("\"early file\"").err().as_deref(), Some(MISUSED));
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
