//! What a site says to browsers about TLS: where to go without it (`https-redirect`), and to stay with it (`hsts`).

use std::time::Duration;

use super::table::{Item, Table};
use super::{HttpsRedirect, value};
use crate::message::{Status, Value};

/// Browsers keep the method with 308 alone, and remember it (RFC 9110, section 15.4.9).
const REDIRECT: HttpsRedirect = HttpsRedirect { port: 443, status: Status::PERMANENT_REDIRECT };
const REDIRECTS: [Status; 4] =
    [Status::MOVED_PERMANENTLY, Status::FOUND, Status::TEMPORARY_REDIRECT, Status::PERMANENT_REDIRECT];

/// What `true` means, and the least that browsers take into the lists they are shipped with (hstspreload.org).
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
/// Any more is a slip.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// `Strict-Transport-Security` in its parts (RFC 6797, section 6.1).
struct Hsts {
    max_age: Duration,
    include_subdomains: bool,
    preload: bool,
}

/// `https-redirect`: `true`, or a table; `secured` when some listener has TLS.
pub(super) fn redirect(site: &Table<'_>, secured: bool) -> Option<HttpsRedirect> {
    let item = site.item("https-redirect")?;
    let table = settings(&item, secured, "{ port = 8443, status = 307 }")?;
    let mut redirect = REDIRECT;
    if let Some(port) = table.item("port").and_then(|item| item.count(1..=u32::from(u16::MAX))) {
        redirect.port = u16::try_from(port).unwrap_or(redirect.port);
    }
    if let Some(item) = table.item("status") {
        match REDIRECTS.iter().find(|status| item.as_integer() == Some(i64::from(status.as_u16()))) {
            Some(status) => redirect.status = *status,
            None => item.wrong("301, 302, 307 or 308"),
        }
    }
    table.finish();
    Some(redirect)
}

/// `hsts`: `true`, or a table; `secured` when some listener has TLS.
pub(super) fn hsts(site: &Table<'_>, secured: bool) -> Option<Value> {
    let item = site.item("hsts")?;
    let table = settings(&item, secured, "{ max-age = \"730d\", include-subdomains = true }")?;
    let max_age = table.item("max-age").and_then(|item| item.seconds(&(Duration::ZERO..=LONGEST)));
    let hsts = Hsts {
        max_age: max_age.unwrap_or(YEAR),
        include_subdomains: table.boolean("include-subdomains", false),
        preload: table.boolean("preload", false),
    };
    if hsts.preload && !(hsts.include_subdomains && hsts.max_age >= YEAR) {
        item.problem("preload needs include-subdomains = true and a max-age of 365d or more (hstspreload.org)");
    }
    table.finish();
    Value::from_str(&hsts.to_text()).ok()
}

/// A ready value of the field as it would be written.
pub(super) fn write_hsts(value: &Value) -> String {
    let hsts = Hsts::of(value.to_str().unwrap_or_default());
    let (age, subdomains, preload) = (value::write_duration(hsts.max_age), hsts.include_subdomains, hsts.preload);
    format!("{{ max-age = \"{age}\", include-subdomains = {subdomains}, preload = {preload} }}")
}

/// The table that a key has or, with `true`, could have; `None` when the key says no.
fn settings<'d>(item: &Item<'d>, secured: bool, example: &str) -> Option<Table<'d>> {
    if item.as_bool() == Some(false) {
        return None;
    }
    if !secured {
        item.problem("does nothing: no listener has tls");
    }
    if item.as_bool().is_some() {
        return Some(Table::empty(item));
    }
    if !item.is_table() {
        item.wrong(format!("true, false or a table such as {example}"));
        return None;
    }
    item.inner_table()
}

impl Hsts {
    fn to_text(&self) -> String {
        let subdomains = if self.include_subdomains { "; includeSubDomains" } else { "" };
        let preload = if self.preload { "; preload" } else { "" };
        format!("max-age={}{subdomains}{preload}", self.max_age.as_secs())
    }

    fn of(text: &str) -> Self {
        let mut hsts = Self { max_age: YEAR, include_subdomains: false, preload: false };
        for part in text.split("; ") {
            match part.strip_prefix("max-age=").and_then(|age| age.parse().ok()) {
                Some(seconds) => hsts.max_age = Duration::from_secs(seconds),
                None if part == "preload" => hsts.preload = true,
                None => hsts.include_subdomains |= part == "includeSubDomains",
            }
        }
        hsts
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Site, parse};

    fn site(keys: &str) -> Site {
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/golden");
        let tls = "tls = { certificate = { chain = \"both.pem\" } }";
        let route = "route = [{ respond = {} }]";
        let text = format!("[listener.web]\nbind = \":443\"\n{tls}\n[site.main]\n{keys}\n{route}");
        parse(&text, "weir.toml", Path::new(golden)).unwrap_or_else(|problems| panic!("{problems:#?}")).sites.remove(0)
    }

    #[test]
    fn hsts_is_a_ready_value() {
        for (written, value) in [
            ("true", Some("max-age=31536000")),
            ("{}", Some("max-age=31536000")),
            ("{ max-age = \"0s\" }", Some("max-age=0")),
            ("{ max-age = \"2h\", include-subdomains = true }", Some("max-age=7200; includeSubDomains")),
            ("{ include-subdomains = true, preload = true }", Some("max-age=31536000; includeSubDomains; preload")),
            ("false", None),
        ] {
            let hsts = site(&format!("hsts = {written}")).hsts;
            assert_eq!(hsts.as_ref().map(|value| value.to_str().unwrap()), value, "{written}");
        }
    }

    #[test]
    fn a_redirect_goes_to_the_port_and_with_the_status_that_are_said() {
        for (written, expected) in [
            ("true", Some((443, 308))),
            ("{}", Some((443, 308))),
            ("{ port = 8443 }", Some((8443, 308))),
            ("{ status = 301 }", Some((443, 301))),
            ("false", None),
        ] {
            let redirect = site(&format!("https-redirect = {written}")).https_redirect;
            assert_eq!(redirect.map(|it| (it.port, it.status.as_u16())), expected, "{written}");
        }
    }
}
