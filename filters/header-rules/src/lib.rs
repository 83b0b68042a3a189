//! Header fields of requests and responses, changed by rules in order.
//!
//! A rule sees what the rules before it did. Fields that frame messages are the gateway's and refused at `configure`.

mod rule;

use conditions::{View, Wanted};
use rule::{Rule, Written};
use weir_filter::{Action, Edit, Filter, Plan, Request, Response};

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    request: Vec<Written>,
    response: Vec<Written>,
}

pub struct HeaderRules {
    request: Side,
    response: Side,
}

#[derive(Default)]
struct Side {
    rules: Vec<Rule>,
    wanted: Wanted,
}

impl Filter for HeaderRules {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        if settings.request.is_empty() && settings.response.is_empty() {
            return Err("there are no rules: give `request` or `response`".to_owned());
        }
        Ok(Self {
            request: Side::compile(settings.request, "request", false)?,
            response: Side::compile(settings.response, "response", true)?,
        })
    }

    fn plan(&self) -> Plan {
        let mut plan = Plan::new();
        if !self.request.rules.is_empty() {
            plan = plan.on_request();
        }
        if !self.response.rules.is_empty() {
            plan = plan.on_response();
        }
        plan = self.request.wanted.names().iter().fold(plan, Plan::request_header);
        self.response.wanted.names().iter().fold(plan, Plan::response_header)
    }

    fn on_request(&mut self, request: &Request) -> Action {
        self.request.run(View::Request(request))
    }

    fn on_response(&mut self, response: &Response) -> Action {
        self.response.run(View::Response(response))
    }
}

weir_filter::export!(HeaderRules);

impl Side {
    fn compile(written: Vec<Written>, side: &str, response_side: bool) -> Result<Self, String> {
        let mut wanted = Wanted::default();
        let rules: Result<_, String> = written
            .into_iter()
            .enumerate()
            .map(|(index, rule)| {
                rule.compile(response_side, &mut wanted).map_err(|why| format!("{side}[{index}]: {why}"))
            })
            .collect();
        Ok(Self { rules: rules?, wanted })
    }

    fn run(&self, view: View<'_>) -> Action {
        let mut done: Vec<Edit> = Vec::new();
        for rule in &self.rules {
            rule.apply(view, &mut done);
        }
        if done.is_empty() { Action::Next } else { Action::Edit(done) }
    }
}

#[cfg(test)]
mod tests;
