//! Speaks with the cache of a route. On the route it says for whom an answer is: phones and other devices get pages of their
//! own, and whoever has a session goes past the cache. On the pool it says how long answers stay, and by which names they
//! can be forgotten.

use std::time::Duration;

use weir_filter::{Action, Edits, Filter, Plan, Request, Response, cache};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Audience {
    /// On a route: the cookie of a session.
    session: Option<String>,
    /// On a pool: the first that fits counts.
    #[serde(default)]
    keep: Vec<Keep>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Keep {
    /// What the path begins with.
    #[serde(default)]
    path: String,
    /// What the content type begins with.
    #[serde(default)]
    content: String,
    seconds: u64,
    #[serde(default)]
    tags: Vec<String>,
}

impl Filter for Audience {
    type Settings = Audience;

    fn configure(settings: Audience) -> Result<Self, String> {
        if settings.session.is_some() == settings.keep.is_empty() {
            return Ok(settings);
        }
        Err("give `session` on a route, or `keep` on a pool".to_owned())
    }

    fn plan(&self) -> Plan {
        match self.session {
            Some(_) => {
                Plan::new().request_header("cookie").request_header("sec-ch-ua-mobile").request_header("user-agent")
            }
            None => Plan::new().response_header("content-type"),
        }
    }

    fn on_request(&mut self, request: &Request) -> Action {
        let session = self.session.as_deref().unwrap_or_default();
        if request.wanted(0).is_some_and(|cookies| has_cookie(cookies, session)) {
            return Edits::new().with(cache::bypass()).into();
        }
        let is_phone = match (request.wanted(1), request.wanted(2)) {
            (Some(hint), _) => hint == b"?1",
            (None, Some(agent)) => agent.windows(6).any(|word| word == b"Mobile"),
            (None, None) => false,
        };
        Edits::new().with(cache::key_part("device", if is_phone { "phone" } else { "other" })).into()
    }

    fn on_response(&mut self, response: &Response) -> Action {
        let path = response.variable("request.path").unwrap_or_default();
        let content = response.wanted(0).unwrap_or_default();
        let fits = |keep: &&Keep| path.starts_with(&keep.path) && content.starts_with(keep.content.as_bytes());
        match self.keep.iter().find(fits) {
            Some(keep) => {
                let ttl = cache::ttl(Duration::from_secs(keep.seconds));
                Edits::new().with(ttl).with(cache::tags(&keep.tags)).into()
            }
            None => Action::Next,
        }
    }
}

/// Whether a cookie of this name is there (RFC 6265, section 4.2.1).
fn has_cookie(cookies: &[u8], name: &str) -> bool {
    let mut pairs = cookies.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.any(|pair| pair.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"=")))
}

weir_filter::export!(Audience);

#[cfg(test)]
mod tests {
    use weir_filter::test::{Exchange, Gateway, Outcome};

    use super::*;

    #[test]
    fn phones_have_pages_of_their_own_and_sessions_go_past_the_cache() {
        let mut gateway = Gateway::<Audience>::start(r#"{ "session": "sid" }"#).unwrap();
        for (fields, device, bypass) in [
            (&[][..], Some("other"), None),
            (&[("sec-ch-ua-mobile", "?1")], Some("phone"), None),
            (&[("sec-ch-ua-mobile", "?0"), ("user-agent", "Mobile")], Some("other"), None),
            (&[("user-agent", "Mozilla/5.0 (Linux; Android 14) Mobile Safari/537.36")], Some("phone"), None),
            (&[("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")], Some("other"), None),
            (&[("cookie", "a=b; sid=1"), ("sec-ch-ua-mobile", "?1")], None, Some("1")),
            (&[("cookie", "my-sid=1; sidecar=2")], Some("other"), None),
        ] {
            let exchange = Exchange::get("/");
            let mut exchange = fields.iter().fold(exchange, |exchange, (name, value)| exchange.field(name, *value));
            assert_eq!(gateway.request(&mut exchange), Outcome::Edited, "{fields:?}");
            assert_eq!(exchange.variable_named("cache.key.device").as_deref(), device, "{fields:?}");
            assert_eq!(exchange.variable_named("cache.bypass").as_deref(), bypass, "{fields:?}");
        }
        assert_eq!(gateway.response(&mut Exchange::get("/").response(200)), Outcome::NotCalled);
    }

    #[test]
    fn the_first_rule_that_fits_says_how_long() {
        let keep = r#"{ "keep": [
            { "path": "/news/", "seconds": 5, "tags": ["news", "front"] },
            { "content": "image/", "seconds": 3600 } ] }"#;
        let mut gateway = Gateway::<Audience>::start(keep).unwrap();
        for (path, content, said) in [
            ("/news/today", "text/html", Some(("5", "news,front"))),
            ("/logo", "image/png", Some(("3600", ""))),
            ("/", "text/html", None),
        ] {
            let mut exchange = Exchange::get(path).response(200).response_field_line("content-type", content);
            gateway.response(&mut exchange);
            let word = |name| exchange.variable_named(name);
            assert_eq!(word("cache.ttl").zip(word("cache.tags")), said.map(|(ttl, tags)| (ttl.into(), tags.into())));
        }
        assert_eq!(gateway.request(&mut Exchange::get("/")), Outcome::NotCalled);
    }

    #[test]
    fn settings_are_for_one_side() {
        for settings in ["{}", r#"{ "session": "sid", "keep": [{ "seconds": 1 }] }"#] {
            assert!(Gateway::<Audience>::start(settings).is_err(), "{settings}");
        }
    }
}
