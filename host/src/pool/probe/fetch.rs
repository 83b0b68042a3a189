//! An HTTP check: the request it makes and its verdict over the answer. Pure.

use http::uri::PathAndQuery;

use super::check::{Answer, Finding};
use crate::body::Body;
use crate::config::{FieldMatch, HttpCheck, StatusSet};
use crate::message::{Value, name};

/// Who asks, unless the check says otherwise.
pub(super) const USER_AGENT: Value = Value::from_static(concat!("weir/", env!("CARGO_PKG_VERSION"), " (health check)"));

/// The request of a check. `closes` says that the connection ends after it (RFC 9112, section 9.6), which HTTP/2 has other
/// ways to say.
pub(super) fn request(check: &HttpCheck, host: &Value, closes: bool) -> Result<http::Request<Body>, String> {
    let mut request = http::Request::new(Body::Empty);
    *request.method_mut() = check.method.clone();
    *request.uri_mut() = uri(&check.path).ok_or_else(|| format!("{:?} is not a request target", check.path))?;
    let fields = request.headers_mut();
    fields.insert(name::HOST, check.host.as_ref().unwrap_or(host).clone());
    for (name, value) in &check.fields {
        fields.append(name, value.clone());
    }
    if !fields.contains_key(name::USER_AGENT) {
        fields.insert(name::USER_AGENT, USER_AGENT);
    }
    if closes {
        fields.insert(name::CONNECTION, Value::from_static("close"));
    }
    Ok(request)
}

/// Whether the verdict needs the body at all.
pub(super) fn looks_at_body(check: &HttpCheck) -> bool {
    check.expect_body.is_some() || check.reject_body.is_some()
}

/// Whether an answer passes.
pub(super) fn verdict(check: &HttpCheck, answer: &Answer) -> Finding {
    let status = answer.status.as_u16();
    if !check.expect.contains(status) {
        return Err(format!("status {status}, expected {}", listed(&check.expect)));
    }
    let fails = |condition: &&FieldMatch| !condition.test.holds_for(answer.fields.lines(&condition.name));
    if let Some(condition) = check.expect_fields.iter().find(fails) {
        return Err(format!("status {status}, but {} is not what is expected", condition.name));
    }
    if let Some(expected) = &check.expect_body
        && !expected.is_match(&answer.body)
    {
        return Err(format!("status {status}, but the body does not match {:?}", expected.as_str()));
    }
    if let Some(rejected) = &check.reject_body
        && rejected.is_match(&answer.body)
    {
        return Err(format!("status {status}, but the body matches {:?}", rejected.as_str()));
    }
    Ok(format!("status {status}"))
}

/// A target in origin form, or `*`.
fn uri(target: &str) -> Option<http::Uri> {
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    http::Uri::from_parts(parts).ok()
}

fn listed(set: &StatusSet) -> String {
    let classes = set.classes.iter().map(|class| format!("{class}xx"));
    let words: Vec<_> = classes.chain(set.exact.iter().map(u16::to_string)).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::get;
    use super::*;
    use crate::config::Test;
    use crate::message::{Method, Name, Status};

    const HOST: Value = Value::from_static("member.example");

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status: Status::from_u16(status).unwrap(), body: body.into(), ..Answer::default() }
    }

    #[test]
    fn fields_are_looked_at() {
        let name = || Name::from_static("x-ready");
        let ready = |test| FieldMatch { name: name(), test };
        let with = |value: &'static str| {
            let mut answer = answer(200, "");
            answer.fields.append(name(), Value::from_static(value));
            answer
        };
        let check = |test| HttpCheck { expect_fields: vec![ready(test)], ..get("/") };
        for (test, answer, passes) in [
            (Test::Equal("yes".into()), with("yes"), true),
            (Test::Equal("yes".into()), with("no"), false),
            (Test::Equal("yes".into()), answer(200, ""), false),
            (Test::Present(false), answer(200, ""), true),
            (Test::Present(false), with("yes"), false),
            (Test::Regex("^[0-9]+$".parse().unwrap()), with("17"), true),
            (Test::Regex("^[0-9]+$".parse().unwrap()), with("x17"), false),
        ] {
            assert_eq!(verdict(&check(test.clone()), &answer).is_ok(), passes, "{test:?}");
        }
        let finding = verdict(&check(Test::Present(true)), &answer(200, ""));
        assert_eq!(finding.unwrap_err(), "status 200, but x-ready is not what is expected");
    }

    #[test]
    fn the_status_decides_and_then_the_body() {
        let check = HttpCheck {
            expect: StatusSet { classes: vec![2, 3], exact: vec![404] },
            expect_body: Some("(?i)up|fine".parse().unwrap()),
            reject_body: Some("maintenance$".parse().unwrap()),
            ..get("/")
        };
        for (status, body, expected) in [
            (200, "I am UP", Ok("status 200")),
            (302, "fine", Ok("status 302")),
            (404, "up", Ok("status 404")),
            (503, "up", Err("status 503, expected 2xx 3xx 404")),
            (405, "up", Err("status 405, expected 2xx 3xx 404")),
            (200, "", Err("status 200, but the body does not match \"(?i)up|fine\"")),
            (200, "up after maintenance", Err("status 200, but the body matches \"maintenance$\"")),
            (200, "up, maintenance over", Ok("status 200")),
        ] {
            let finding = verdict(&check, &answer(status, body));
            assert_eq!(finding, expected.map(str::to_owned).map_err(str::to_owned), "{status} {body}");
        }
        assert_eq!(verdict(&get("/"), &answer(200, "\0")).unwrap(), "status 200");
        assert!(looks_at_body(&check) && !looks_at_body(&get("/")));
    }

    #[test]
    fn the_request_says_what_the_check_says() {
        let lines = |request: &http::Request<Body>| -> Vec<String> {
            request.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
        };
        let plain = request(&get("/up?deep=1"), &HOST, true).unwrap();
        assert_eq!((plain.method(), plain.uri().to_string().as_str()), (&Method::GET, "/up?deep=1"));
        let agent = format!("user-agent: weir/{} (health check)", env!("CARGO_PKG_VERSION"));
        assert_eq!(lines(&plain), ["host: member.example", &agent, "connection: close"]);
        let check = HttpCheck {
            method: Method::OPTIONS,
            host: Some(Value::from_static("other.example")),
            fields: vec![
                (name::USER_AGENT, Value::from_static("mine")),
                (name::ACCEPT, Value::from_static("a")),
                (name::ACCEPT, Value::from_static("b")),
            ],
            ..get("*")
        };
        let full = request(&check, &HOST, false).unwrap();
        assert_eq!((full.method(), full.uri().to_string().as_str()), (&Method::OPTIONS, "*"));
        assert_eq!(lines(&full), ["host: other.example", "user-agent: mine", "accept: a", "accept: b"]);
        assert!(request(&get("no target"), &HOST, true).is_err());
    }
}
