//! `weir cache`: a running gateway's caches, looked at and told to forget, over its admin socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use http::Method;
use serde_json::Value;

use super::args::{AdminSocket, Meant, Only, Purge};
use super::{WRONG, failed, wrong};
use crate::admin::client::{self, Response};
use crate::config;

mod table;

/// `weir cache status`
pub(super) fn status(at: &AdminSocket, name: Option<&str>) -> u8 {
    let target = name.map_or_else(|| "/caches".to_owned(), |name| format!("/caches/{}", escaped(name)));
    match ask(at, Method::GET, &target, String::new()) {
        Ok(answer) => {
            print!("{}", name.map_or_else(|| table::all(&answer), |_| table::one(&answer)));
            0
        }
        Err(code) => code,
    }
}

/// `weir cache purge`
pub(super) fn purge(purge: &Purge) -> u8 {
    let name = purge.name.as_deref();
    let target = name.map_or_else(|| "/caches/purge".to_owned(), |name| format!("/caches/{}/purge", escaped(name)));
    match ask(&purge.at, Method::POST, &target, form(&purge.meant, &purge.only, purge.soft)) {
        Ok(answer) => {
            let what = if purge.soft { "stale from now on" } else { "forgotten" };
            for cache in answer["caches"].as_array().into_iter().flatten() {
                println!(
                    "{}: {} {what}",
                    cache["name"].as_str().unwrap_or_default(),
                    table::objects(&cache["objects"])
                );
            }
            0
        }
        Err(code) => code,
    }
}

/// What the gateway said, or the exit code after a complaint.
fn ask(at: &AdminSocket, method: Method, target: &str, form: String) -> Result<Value, u8> {
    let socket = socket(at)?;
    let response = client::ask(&socket, method, target, form).map_err(|error| {
        let hint = match error.kind() {
            ErrorKind::NotFound => "; no gateway with this socket runs",
            ErrorKind::ConnectionRefused => "; the gateway that made it does not run any more",
            ErrorKind::PermissionDenied => "; its mode and its group say who may ask",
            _ => "",
        };
        failed(format_args!("cannot ask {}: {error}{hint}", socket.display()))
    })?;
    read(&socket, &response)
}

fn read(socket: &Path, response: &Response) -> Result<Value, u8> {
    let content = serde_json::from_slice::<Value>(&response.body).ok();
    match (response.status, content) {
        (200, Some(value)) => Ok(value),
        (400 | 404, Some(value)) if value["error"].is_string() => {
            Err(wrong([format_args!("weir: {}", value["error"].as_str().unwrap_or_default())]))
        }
        (status, content) => {
            let said =
                content.as_ref().and_then(|value| value["error"].as_str()).unwrap_or("nothing that a gateway says");
            Err(failed(format_args!("{} answers {status}: {said}", socket.display())))
        }
    }
}

fn socket(at: &AdminSocket) -> Result<PathBuf, u8> {
    if let Some(socket) = &at.socket {
        return Ok(socket.clone());
    }
    let plan = config::load(&at.config).map_err(wrong)?;
    plan.admin.map(|admin| admin.socket).ok_or_else(|| {
        eprintln!(
            "{}: there is no [admin], so a gateway with this config cannot be asked; it would be such as\n\n\
             [admin]\nsocket = \"/run/weir/admin.sock\"\n",
            at.config.display()
        );
        WRONG
    })
}

/// The order, as the admin socket reads it.
fn form(meant: &Meant, only: &Only, is_soft: bool) -> String {
    let Meant { url, prefix, tag, pattern, all } = meant;
    let Only { host, status, kind, older_than } = only;
    let mut words: Vec<String> = Vec::new();
    let mut with = |name: &str, value: &str| words.push(format!("{name}={}", escaped(value)));
    url.iter().chain(prefix).for_each(|url| with("url", url));
    for (name, values) in [("tag", tag), ("match", pattern), ("status", status), ("type", kind)] {
        values.iter().for_each(|value| with(name, value));
    }
    for (name, value) in [("host", host), ("older-than", older_than)] {
        value.iter().for_each(|value| with(name, value));
    }
    let bare = [("prefix", prefix.is_some()), ("all", *all), ("soft", is_soft)];
    words.extend(bare.into_iter().filter(|(_, is_said)| *is_said).map(|(name, _)| name.to_owned()));
    words.join("&")
}

/// As forms and paths take any text.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_becomes_a_form() {
        let nothing = || Meant { url: None, prefix: None, tag: Vec::new(), pattern: Vec::new(), all: false };
        let any = || Only { host: None, status: Vec::new(), kind: Vec::new(), older_than: None };
        let (url, prefix) = (Some("http://a/b?c=d&e".into()), Some("//a/".into()));
        for (meant, is_soft, expected) in [
            (Meant { url, ..nothing() }, false, "url=http%3A%2F%2Fa%2Fb%3Fc%3Dd%26e"),
            (Meant { prefix, ..nothing() }, true, "url=%2F%2Fa%2F&prefix&soft"),
            (Meant { tag: vec!["a b".into(), "caf\u{e9}".into()], ..nothing() }, false, "tag=a%20b&tag=caf%C3%A9"),
            (Meant { pattern: vec![r"\.png$".into()], all: true, ..nothing() }, false, "match=%5C.png%24&all"),
        ] {
            assert_eq!(form(&meant, &any(), is_soft), expected);
        }
        let only =
            Only { host: Some("*.a".into()), kind: vec!["image/*".into()], older_than: Some("1h".into()), ..any() };
        let expected = "type=image%2F%2A&host=%2A.a&older-than=1h&all";
        assert_eq!(form(&Meant { all: true, ..nothing() }, &only, false), expected);
    }
}
