//! Answers with files that it never sees: a cookie says which edition of a site somebody reads, and when the server behind
//! fails, a page says sorry under the status of the failure.

use weir_filter::{Action, Answer, Filter, Level, Plan, Refusal, Request, Response};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Editions {
    /// A root of the config, which has to be among this filter's `roots`.
    root: String,
    cookie: String,
    /// Directories beneath the root. Whoever has none of them in the cookie is left to the server.
    editions: Vec<String>,
    /// A page beneath the root.
    sorry: Option<String>,
}

impl Filter for Editions {
    type Settings = Editions;

    fn configure(settings: Editions) -> Result<Self, String> {
        Ok(settings)
    }

    fn plan(&self) -> Plan {
        let plan = Plan::new().request_header("cookie");
        if self.sorry.is_some() { plan.on_response() } else { plan }
    }

    fn on_request(&mut self, request: &Request) -> Action {
        if !matches!(request.method(), "GET" | "HEAD") {
            return Action::Next;
        }
        let asked = request.wanted(0).and_then(|cookies| cookie(cookies, &self.cookie));
        let edition = self.editions.iter().find(|edition| asked == Some(edition.as_bytes()));
        match (edition, request.decoded_path()) {
            (Some(edition), Some(path)) => self.file(&format!("{edition}{path}"), 200),
            (Some(_), None) => Answer::text(404, "There is nothing here.\n").into(),
            (None, _) => Action::Next,
        }
    }

    fn on_response(&mut self, response: &Response) -> Action {
        match &self.sorry {
            Some(page) if (500..600).contains(&response.status()) => self.file(page, response.status()),
            _ => Action::Next,
        }
    }
}

impl Editions {
    fn file(&self, path: &str, status: u16) -> Action {
        match Answer::file(&self.root, path) {
            Ok(answer) if status == 200 => answer.header("vary", "cookie").into(),
            Ok(answer) => answer.status(status).header("cache-control", "no-store").into(),
            Err(Refusal::BadPath) => Answer::text(404, "There is nothing here.\n").into(),
            Err(Refusal::NotGranted) => {
                weir_filter::log(Level::Error, &format!("the root {:?} is not among my `roots`", self.root));
                Answer::text(500, "There is a mistake in the configuration.\n").into()
            }
        }
    }
}

/// The value of a cookie (RFC 6265, section 4.2.1).
fn cookie<'a>(cookies: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let pairs = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).next()
}

weir_filter::export!(Editions);

#[cfg(test)]
mod tests {
    use weir_filter::test::{Exchange, Gateway, Outcome};

    use super::*;

    fn gateway() -> Gateway<Editions> {
        let settings = r#"{ "root": "pages", "cookie": "edition", "editions": ["spring"], "sorry": "sorry.html" }"#;
        Gateway::start(settings).unwrap()
    }

    #[test]
    fn the_cookie_chooses_the_edition() {
        let mut gateway = gateway().granting(&["pages"]);
        for (path, cookies, file) in [
            ("/", "edition=spring", Some("spring/")),
            ("/a%20b/c?d", "x=y; edition=spring", Some("spring/a b/c")),
            ("/", "edition=winter", None),
            ("/", "my-edition=spring", None),
        ] {
            let mut exchange = Exchange::get(path).field("cookie", cookies);
            let outcome = if file.is_some() { Outcome::Answered } else { Outcome::Next };
            assert_eq!(gateway.request(&mut exchange), outcome, "{path} {cookies}");
            assert_eq!(exchange.file(), file.map(|file| ("pages", file)), "{path} {cookies}");
        }
        let mut posted = Exchange::of("POST", "/").field("cookie", "edition=spring");
        assert_eq!(gateway.request(&mut posted), Outcome::Next);
        for path in ["/%2e%2e/secret", "/a%2f..%2f..%2fb", "/%00", "/%ff"] {
            let mut exchange = Exchange::get(path).field("cookie", "edition=spring");
            assert_eq!(gateway.request(&mut exchange), Outcome::Answered);
            assert_eq!((exchange.status(), exchange.file()), (Some(404), None), "{path}");
        }
    }

    #[test]
    fn a_failing_server_is_excused_under_its_own_status() {
        let mut gateway = gateway().granting(&["pages"]);
        let mut exchange = Exchange::get("/").response(502);
        assert_eq!(gateway.response(&mut exchange), Outcome::Answered);
        assert_eq!((exchange.status(), exchange.file()), (Some(502), Some(("pages", "sorry.html"))));
        assert_eq!(gateway.response(&mut Exchange::get("/").response(404)), Outcome::Next);
    }

    #[test]
    fn a_root_that_is_not_granted_is_told_to_the_operator() {
        let mut gateway = gateway();
        let mut exchange = Exchange::get("/").field("cookie", "edition=spring");
        assert_eq!(gateway.request(&mut exchange), Outcome::Answered);
        assert_eq!(exchange.status(), Some(500));
        assert_eq!(gateway.log().len(), 1);
    }
}
