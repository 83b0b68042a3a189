//! Whether two configs of a check ask for the same thing, so that a reload does not begin it anew.
//!
//! Every field is named here, so that a further one cannot be forgotten.

use crate::config::{Check, FieldMatch, Health, HttpCheck};

/// Whether the same is checked, the same way and as often.
pub(super) fn health(a: &Health, b: &Health) -> bool {
    let Health { check: what, interval, timeout, passes, fails, port, tls, gate } = a;
    check(what, &b.check)
        && (interval, timeout, passes, fails) == (&b.interval, &b.timeout, &b.passes, &b.fails)
        && (port, tls, gate) == (&b.port, &b.tls, &b.gate)
}

fn check(a: &Check, b: &Check) -> bool {
    match (a, b) {
        (Check::Tcp, Check::Tcp) => true,
        (Check::Http(a), Check::Http(b)) => http(a, b),
        (Check::Grpc(a), Check::Grpc(b)) => a == b,
        (Check::Tcp | Check::Http(_) | Check::Grpc(_), _) => false,
    }
}

fn http(a: &HttpCheck, b: &HttpCheck) -> bool {
    let HttpCheck { method, path, host, fields, protocol, expect, expect_fields, expect_body, reject_body } = a;
    let alike = |(a, b): (&FieldMatch, &FieldMatch)| a.name == b.name && a.test.is_like(&b.test);
    (method, path, host, fields) == (&b.method, &b.path, &b.host, &b.fields)
        && (protocol, expect) == (&b.protocol, &b.expect)
        && expect_fields.len() == b.expect_fields.len()
        && expect_fields.iter().zip(&b.expect_fields).all(alike)
        && expect_body.as_ref().map(|regex| regex.as_str()) == b.expect_body.as_ref().map(|regex| regex.as_str())
        && reject_body.as_ref().map(|regex| regex.as_str()) == b.reject_body.as_ref().map(|regex| regex.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{every_second, get};
    use super::*;
    use crate::clock::Duration;
    use crate::config::{Protocol, StatusSet};
    use crate::message::{Method, Value};

    #[test]
    fn what_was_read_again_is_the_same() {
        for check in [Check::Tcp, Check::Grpc("shop".into()), Check::Http(get("/up"))] {
            assert!(health(&every_second(check.clone()), &every_second(check)));
        }
        let with = || HttpCheck { expect_body: Some("a+".parse().unwrap()), ..get("/") };
        assert!(http(&with(), &with()));
    }

    #[test]
    fn every_change_counts() {
        let one = || every_second(Check::Tcp);
        for other in [
            Health { check: Check::Grpc(String::new()), ..one() },
            Health { interval: Duration::from_secs(2), ..one() },
            Health { timeout: Duration::from_secs(9), ..one() },
            Health { passes: 2, ..one() },
            Health { fails: 2, ..one() },
            Health { port: Some(1), ..one() },
            Health { tls: Some(None), ..one() },
            Health { gate: true, ..one() },
        ] {
            assert!(!health(&one(), &other), "{other:?}");
        }
        assert!(!check(&Check::Grpc("a".into()), &Check::Grpc("b".into())));
        for other in [
            HttpCheck { method: Method::HEAD, ..get("/") },
            get("/up"),
            HttpCheck { host: Some(Value::from_static("up")), ..get("/") },
            HttpCheck { fields: vec![(crate::message::name::ACCEPT, Value::from_static("*/*"))], ..get("/") },
            HttpCheck { protocol: Some(Protocol::Http2), ..get("/") },
            HttpCheck { expect: StatusSet::default(), ..get("/") },
            HttpCheck { expect_body: Some("a".parse().unwrap()), ..get("/") },
            HttpCheck { reject_body: Some("a".parse().unwrap()), ..get("/") },
        ] {
            assert!(!http(&get("/"), &other), "{other:?}");
        }
    }
}
