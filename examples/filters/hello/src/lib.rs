//! A first filter: greets by a header field, in the words that the config chooses.

use weir_filter::{Action, Edits, Filter, Plan, Request};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Hello {
    greeting: String,
}

impl Filter for Hello {
    type Settings = Hello;

    fn configure(settings: Hello) -> Result<Self, String> {
        Ok(settings)
    }

    fn plan(&self) -> Plan {
        Plan::new().on_request()
    }

    fn on_request(&mut self, request: &Request) -> Action {
        let greeting = format!("{}, {}", self.greeting, request.client());
        Edits::new().set_header("x-greeting", greeting).into()
    }
}

weir_filter::export!(Hello);

#[cfg(test)]
mod tests {
    use weir_filter::test::{Exchange, Gateway, Outcome};

    use super::*;

    #[test]
    fn greets_the_client_by_its_address() {
        let mut gateway = Gateway::<Hello>::start(r#"{ "greeting": "Good day" }"#).unwrap();
        let mut exchange = Exchange::get("/").client("192.0.2.7");
        assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
        assert_eq!(exchange.request_field("x-greeting").as_deref(), Some("Good day, 192.0.2.7"));
    }

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        assert!(Gateway::<Hello>::start(r#"{ "greetings": "Good day" }"#).is_err());
    }
}
