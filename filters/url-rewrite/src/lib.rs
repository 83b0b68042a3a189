//! URLs, rewritten on the way in, and mapped back in what answers say about them on the way out.
//!
//! Every target that leaves is a valid path with query, whatever a rule and a client make of it together.

mod cookie;
mod reverse;
mod rule;
mod target;

use conditions::{View, Wanted};
use reverse::Reverse;
use rule::{Rules, Verdict};
use weir_filter::{Action, Answer, Edit, Filter, Level, Plan, Request, Response};

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Settings {
    rule: Vec<rule::Written>,
    /// Regular expressions on `Location`, first match wins.
    location: Vec<reverse::Substitution>,
    /// Prefixes of URLs, as ProxyPassReverse has them.
    reverse: Vec<reverse::Mapping>,
    cookie_domain: Vec<reverse::Mapping>,
    cookie_path: Vec<reverse::Mapping>,
}

pub struct UrlRewrite {
    rules: Rules,
    wanted: Wanted,
    reverse: Reverse,
}

impl Filter for UrlRewrite {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let mut wanted = Wanted::default();
        let rules = Rules::compile(settings.rule, &mut wanted)?;
        let reverse =
            Reverse::compile(settings.location, settings.reverse, settings.cookie_domain, settings.cookie_path)?;
        if rules.is_empty() && reverse.is_empty() {
            return Err("there is nothing to do: give `rule`, `reverse`, `location`, `cookie-domain` or `cookie-path`"
                .to_owned());
        }
        Ok(Self { rules, wanted, reverse })
    }

    fn plan(&self) -> Plan {
        let plan = if self.rules.is_empty() { Plan::new() } else { Plan::new().on_request() };
        let plan = self.wanted.names().iter().fold(plan, Plan::request_header);
        self.reverse.fields().iter().fold(plan, |plan, name| plan.response_header(*name))
    }

    fn on_request(&mut self, request: &Request) -> Action {
        match self.rules.run(request) {
            Verdict::Unchanged => Action::Next,
            Verdict::Rewritten(target) => Action::Edit(vec![Edit::SetPath(target)]),
            Verdict::Redirected(status, location) => Answer::new(status).header("location", location).into(),
            Verdict::Answered(status) => Answer::text(status, words(status)).into(),
            Verdict::Endless => {
                weir_filter::log(Level::Error, "the rules start again and again for this request");
                Answer::text(500, words(500)).into()
            }
        }
    }

    fn on_response(&mut self, response: &Response) -> Action {
        let edits = self.reverse.run(View::Response(response));
        if edits.is_empty() { Action::Next } else { Action::Edit(edits) }
    }
}

weir_filter::export!(UrlRewrite);

fn words(status: u16) -> &'static str {
    match status {
        403 => "Forbidden\n",
        410 => "Gone\n",
        _ => "Internal Server Error\n",
    }
}

#[cfg(test)]
mod tests;
