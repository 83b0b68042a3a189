//! A filter that misbehaves on demand. What it does stands in its settings (`{"do": "trap"}`) or in the request's
//! `x-hostile` field; `hook` in the settings says where (`request`, the default, `response` or `done`), and
//! `configure` has misdeeds of its own (`{"configure": "refuse" | "trap" | "panic" | "loop" | "plan-names" |
//! "plan-twice" | "plan-many" | "file"}`). Without a misdeed it only counts its calls: `x-calls`, `x-retained`.

use std::cell::Cell;
use std::hint::black_box;

use weir_filter::{Action, Answer, Edits, Filter, Level, Plan, Request, Response};

#[derive(serde::Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    #[serde(rename = "do")]
    misdeed: Option<String>,
    hook: Option<String>,
    configure: Option<String>,
}

pub struct Hostile {
    settings: Settings,
    calls: u64,
    retained: Vec<Vec<u8>>,
}

impl Filter for Hostile {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        match settings.configure.as_deref() {
            Some("refuse") => return Err("these settings are refused on purpose".to_owned()),
            Some("trap") => trap(),
            Some("panic") => panic!("configure panicked on purpose"),
            Some("loop") => endless(),
            Some("file") => drop(Answer::file("pages", "a.txt")),
            _ => {}
        }
        Ok(Self { settings, calls: 0, retained: Vec::new() })
    }

    fn plan(&self) -> Plan {
        let plan = Plan::new().request_header("x-hostile").on_response().on_done();
        match self.settings.configure.as_deref() {
            Some("plan-names") => plan.request_header("not a name").request_header("").response_header(":status"),
            Some("plan-twice") => plan.request_header("x-hostile").request_header("X-Hostile"),
            Some("plan-many") => (0..100_000).fold(plan, |plan, n| plan.request_header(format!("x-{n}"))),
            _ => plan,
        }
    }

    fn on_request(&mut self, request: &Request) -> Action {
        self.calls += 1;
        let asked = request.wanted(0).and_then(|value| std::str::from_utf8(value).ok());
        // `response:trap` in the field is a misdeed of that hook.
        let here = asked.filter(|asked| !asked.contains(':'));
        let misdeed = here.or_else(|| self.configured("request")).unwrap_or_default().to_owned();
        self.commit(&misdeed, &|| {
            request.headers().iter().for_each(|(name, _)| drop(black_box(request.header_lines(name))));
            request.headers().len()
        })
    }

    fn on_response(&mut self, response: &Response) -> Action {
        let asked = response.request_header("x-hostile").unwrap_or_default();
        let asked = String::from_utf8_lossy(&asked).into_owned();
        let misdeed = asked.strip_prefix("response:").or_else(|| self.configured("response")).unwrap_or_default();
        if misdeed.is_empty() {
            return Edits::new().set_header("x-calls", self.calls.to_string()).into();
        }
        let misdeed = misdeed.to_owned();
        self.commit(&misdeed, &|| response.headers().len())
    }

    fn on_done(&mut self, _: u64) {
        if let Some(misdeed) = self.configured("done").map(str::to_owned) {
            let _ = self.commit(&misdeed, &|| 0);
        }
    }
}

weir_filter::export!(Hostile);

impl Hostile {
    fn configured(&self, hook: &str) -> Option<&str> {
        let chosen = self.settings.hook.as_deref().unwrap_or("request");
        self.settings.misdeed.as_deref().filter(|_| chosen == hook)
    }

    fn commit(&mut self, misdeed: &str, read_all: &dyn Fn() -> usize) -> Action {
        let edits = Edits::new();
        match misdeed {
            "trap" => trap(),
            "panic" => panic!("panicked on purpose, call {}", self.calls),
            "loop" => endless(),
            "allocate" => allocate(),
            "recurse" => {
                let depth = recurse(0);
                edits.set_header("x-depth", depth.to_string()).into()
            }
            "leak" => {
                self.retained.push(vec![black_box(1); 64 * 1024]);
                edits.set_header("x-retained", self.retained.len().to_string()).into()
            }
            "huge-value" => edits.set_header("x-huge", huge()).into(),
            "huge-name" => edits.set_header("x".repeat(1 << 20), "v").into(),
            // These reach the gateway; a million do not fit into the memory that a filter has by default.
            "many-edits" => (0..100_000).fold(edits, |edits, _| edits.append_header("x", "y")).into(),
            "million-edits" => (0..1_000_000).fold(edits, |edits, _| edits.append_header("x", "y")).into(),
            "huge-body" => Answer::new(200).body(huge()).into(),
            "huge-path" => edits.set_path(format!("/{}", "a".repeat(1 << 20))).into(),
            "name-empty" => edits.set_header("", "v").into(),
            "name-space" => edits.set_header("x y", "v").into(),
            "name-crlf" => edits.set_header("x\r\ny", "v").into(),
            "name-pseudo" => edits.set_header(":path", "/").into(),
            "name-content-length" => edits.set_header("content-length", "5").into(),
            "name-transfer-encoding" => edits.set_header("Transfer-Encoding", "chunked").into(),
            "name-connection" => edits.append_header("connection", "close").into(),
            "name-host" => edits.set_header("host", "evil.example").into(),
            "remove-content-length" => edits.remove_header("content-length").into(),
            "value-crlf" => edits.set_header("x-evil", "a\r\nx-injected: 1").into(),
            "value-nul" => edits.set_header("x-evil", "a\0b").into(),
            // A good change before a bad one: neither may be seen.
            "half" => edits.set_header("x-half", "1").set_header("x-evil", "a\nb").into(),
            "path-empty" => edits.set_path("").into(),
            "path-relative" => edits.set_path("evil").into(),
            "path-space" => edits.set_path("/a b").into(),
            "path-control" => edits.set_path("/a\r\nHost: evil").into(),
            "path-nul" => edits.set_path("/a\0").into(),
            "path-absolute" => edits.set_path("http://evil.example/").into(),
            "authority" => edits.set_authority("evil.example/\r\n").into(),
            "method" => edits.set_method("GET / HTTP/1.1\r\n").into(),
            "method-connect" => edits.set_method("CONNECT").into(),
            "scheme" => edits.set_scheme("file").into(),
            "variable-reserved" => edits.set_variable("request.id", "forged").into(),
            "variable-huge" => edits.set_variable("cache.key.a", "\0 =%".repeat(1 << 18)).into(),
            "variable-name" => edits.set_variable("no namespace", "v").into(),
            "respond" => Answer::text(418, "answered by the hostile filter\n").header("x-hostile-answer", "1").into(),
            "respond-0" => Answer::new(0).into(),
            "respond-99" => Answer::new(99).into(),
            "respond-101" => Answer::new(101).into(),
            "respond-1000" => Answer::new(1000).into(),
            "respond-framing" => Answer::new(200).header("content-length", "1000").body("short").into(),
            "respond-crlf" => Answer::new(200).header("x", "a\r\nb").into(),
            "status-0" => edits.set_status(0).into(),
            "status-99" => edits.set_status(99).into(),
            "status-1000" => edits.set_status(1000).into(),
            // Right on the response side only.
            "status-404" => edits.set_status(404).into(),
            "log-flood" => {
                (0..10_000).for_each(|n| weir_filter::log(Level::Info, &format!("flood {n}")));
                edits.set_header("x-flooded", "1").into()
            }
            "log-long" => {
                weir_filter::log(Level::Warn, &"long ".repeat(100_000));
                weir_filter::log(Level::Warn, "forged\n2026 ERROR line \x1b[31m\0");
                edits.set_header("x-flooded", "1").into()
            }
            "file-next" => Answer::file("pages", "a.txt").map_or(Action::Next, |_| Action::Next),
            "file-edits" => Answer::file("pages", "a.txt").map_or(Action::Next, |_| edits.set_header("x", "y").into()),
            "file-body" => Answer::file("pages", "a.txt").map_or(Action::Next, |answer| answer.body("x").into()),
            "file-204" => Answer::file("pages", "a.txt").map_or(Action::Next, |answer| answer.status(204).into()),
            "read-all" => edits.set_header("x-read", read_all().to_string()).into(),
            // `say NAME VALUE`: that variable. `file ROOT PATH`: that file, or why it may not be named.
            say if say.starts_with("say ") => {
                let mut words = say.splitn(3, ' ').skip(1).map(str::to_owned);
                edits.set_variable(words.next().unwrap_or_default(), words.next().unwrap_or_default()).into()
            }
            other => match other.strip_prefix("file ").and_then(|file| file.split_once(' ')) {
                Some((root, path)) => match Answer::file(root, path) {
                    Ok(answer) => answer.into(),
                    Err(refusal) => Answer::text(418, refusal.to_string()).into(),
                },
                None => edits.set_header("x-calls", self.calls.to_string()).into(),
            },
        }
    }
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    std::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    panic!("a trap");
}

fn endless() -> ! {
    let turns = Cell::new(0_u64);
    loop {
        black_box(&turns).set(turns.get().wrapping_add(1));
    }
}

/// Until memory is refused; then the allocation error aborts.
fn allocate() -> ! {
    let mut held: Vec<Vec<u8>> = Vec::new();
    loop {
        held.push(vec![black_box(1); 1 << 20]);
        black_box(&held);
    }
}

#[expect(unconditional_recursion, reason = "that is the misdeed")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(frame[0] + 1) + black_box(frame)[1]
}

/// As much as fits beside itself into the memory that a filter has by default, and more than any header may be.
fn huge() -> Vec<u8> {
    vec![b'a'; 12 << 20]
}

#[cfg(test)]
mod tests {
    use weir_filter::test::{Exchange, Gateway, Outcome};

    use super::*;

    #[test]
    fn misdeeds_are_what_they_say() {
        for (misdeed, refused) in [
            ("name-empty", true),
            ("name-crlf", true),
            ("name-transfer-encoding", true),
            ("name-host", true),
            ("value-nul", true),
            ("half", true),
            ("path-relative", true),
            ("method", true),
            ("respond-99", true),
            ("respond-framing", true),
            ("status-404", true),
            ("leak", false),
            ("respond", false),
            ("read-all", false),
            ("log-flood", false),
            ("", false),
        ] {
            let mut exchange = Exchange::get("/").field("x-hostile", misdeed);
            let outcome = Gateway::<Hostile>::start("{}").unwrap().request(&mut exchange);
            assert_eq!(matches!(outcome, Outcome::Refused(_)), refused, "{misdeed}: {outcome:?}");
        }
    }

    #[test]
    fn files_are_misused_on_demand() {
        let mut gateway = Gateway::<Hostile>::start("{}").unwrap().granting(&["pages"]);
        for misdeed in ["file-next", "file-edits", "file-body", "file-204"] {
            let mut exchange = Exchange::get("/").field("x-hostile", misdeed);
            let outcome = gateway.request(&mut exchange);
            assert!(matches!(outcome, Outcome::Refused(_)), "{misdeed}: {outcome:?}");
        }
        let mut exchange = Exchange::get("/").field("x-hostile", "file pages a b");
        assert_eq!(gateway.request(&mut exchange), Outcome::Answered);
        assert_eq!(exchange.file(), Some(("pages", "a b")));
        assert!(Gateway::<Hostile>::start(r#"{"configure":"file"}"#).is_err());
    }

    #[test]
    fn calls_are_counted() {
        let mut gateway = Gateway::<Hostile>::start("{}").unwrap();
        for calls in ["1", "2", "3"] {
            let mut exchange = Exchange::get("/");
            assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
            assert_eq!(exchange.request_field("x-calls").as_deref(), Some(calls));
        }
    }

    #[test]
    fn the_response_side_is_asked_for_by_prefix_or_settings() {
        let mut exchange = Exchange::get("/").field("x-hostile", "response:status-404").response(200);
        let mut gateway = Gateway::<Hostile>::start("{}").unwrap();
        assert_eq!(gateway.request(&mut exchange), Outcome::Edited);
        assert_eq!(gateway.response(&mut exchange), Outcome::Edited);
        assert_eq!(exchange.status(), Some(404));
        let mut gateway = Gateway::<Hostile>::start(r#"{"do":"status-99","hook":"response"}"#).unwrap();
        let mut exchange = Exchange::get("/").response(200);
        assert!(matches!(gateway.response(&mut exchange), Outcome::Refused(_)));
    }

    #[test]
    fn plans_can_be_wrong() {
        assert!(Gateway::<Hostile>::start(r#"{"configure":"plan-names"}"#).is_err());
        assert!(Gateway::<Hostile>::start(r#"{"configure":"plan-twice"}"#).is_err());
        assert!(Gateway::<Hostile>::start(r#"{"configure":"refuse"}"#).is_err());
    }
}
