//! What the gateway checks before it obeys (`wit/README.md`). The sizes are the gateway's to choose and not checked.

use crate::{Answer, Edit, Hook, Plan, Refusal};

/// Fields that belong to the connection or say where a message ends (RFC 9110, section 7.6.1; RFC 9112, section 6).
const FRAMING: [&str; 8] =
    ["connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"];

/// First words of variables that only the gateway sets.
const RESERVED: [&str; 8] = ["client", "member", "pool", "request", "response", "route", "site", "time"];

pub(super) fn plan(plan: &Plan) -> Result<(), String> {
    for names in [&plan.request_headers, &plan.response_headers] {
        for (index, name) in names.iter().enumerate() {
            token(name, "field name")?;
            if names[..index].iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
                return Err(format!("the plan names the field `{name}` twice"));
            }
        }
    }
    Ok(())
}

pub(super) fn answer(answer: &Answer) -> Result<(), String> {
    status(answer.status)?;
    answer.headers.iter().try_for_each(|(name, value)| {
        if name.eq_ignore_ascii_case("date") {
            return Err("an answer may not name `date`: the gateway writes it".to_owned());
        }
        field(name, value, Hook::Response)
    })
}

/// An answer's file. RFC 9110, sections 15.3.5 to 15.3.7 and 15.4.5: what has no content, and what only the gateway cuts.
pub(super) fn file(answer: &Answer) -> Result<(), String> {
    match answer.status {
        _ if !answer.body.is_empty() => Err("an answer with a file has a body of its own".to_owned()),
        204..=206 | 304 => Err(format!("an answer with the status {} cannot have a file", answer.status)),
        _ => Ok(()),
    }
}

pub(super) fn file_path(path: &str) -> Result<(), Refusal> {
    let segments = path.strip_suffix('/').unwrap_or(path);
    let plain = |segment: &str| !matches!(segment, "" | "." | "..") && !segment.contains('\0');
    let fine = path.len() <= 4096 && (path.is_empty() || segments.split('/').all(plain));
    if fine { Ok(()) } else { Err(Refusal::BadPath) }
}

pub(super) fn edits(edits: &[Edit], side: Hook) -> Result<(), String> {
    edits.iter().try_for_each(|edit| match edit {
        Edit::SetMethod(method) => only(side, Hook::Request, "set-method").and_then(|()| self::method(method)),
        Edit::SetScheme(scheme) => only(side, Hook::Request, "set-scheme").and_then(|()| self::scheme(scheme)),
        Edit::SetAuthority(name) => only(side, Hook::Request, "set-authority").and_then(|()| authority(name)),
        Edit::SetPath(path) => only(side, Hook::Request, "set-path").and_then(|()| self::path(path)),
        Edit::SetStatus(code) => only(side, Hook::Response, "set-status").and_then(|()| status(*code)),
        Edit::SetHeader(name, value) | Edit::AppendHeader(name, value) => field(name, value, side),
        Edit::RemoveHeader(name) => field_name(name, side),
        Edit::SetVariable(name, _) => variable(name),
    })
}

fn only(side: Hook, allowed: Hook, edit: &str) -> Result<(), String> {
    if side == allowed { Ok(()) } else { Err(format!("`{edit}` is not for this side")) }
}

fn field(name: &str, value: &[u8], side: Hook) -> Result<(), String> {
    field_name(name, side)?;
    // RFC 9110, section 5.5: visible characters, space, tab, and bytes above ASCII.
    let allowed = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if value.iter().all(allowed) { Ok(()) } else { Err(format!("the value of `{name}` has a control character")) }
}

fn field_name(name: &str, side: Hook) -> Result<(), String> {
    token(name, "field name")?;
    if FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)) {
        return Err(format!("`{name}` belongs to the gateway"));
    }
    if side == Hook::Request && name.eq_ignore_ascii_case("host") {
        return Err("`host` is changed with `set-authority`".to_owned());
    }
    Ok(())
}

/// RFC 9110, section 5.6.2.
fn token(text: &str, what: &str) -> Result<(), String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !text.is_empty() && text.bytes().all(fine) { Ok(()) } else { Err(format!("{text:?} is no {what}")) }
}

/// RFC 9110, section 9.3.6: CONNECT asks for a tunnel, which no filter may open.
fn method(method: &str) -> Result<(), String> {
    token(method, "method")?;
    if method == "CONNECT" { Err("no filter may make a request a CONNECT".to_owned()) } else { Ok(()) }
}

fn scheme(scheme: &str) -> Result<(), String> {
    if matches!(scheme, "http" | "https") { Ok(()) } else { Err(format!("{scheme:?} is no scheme")) }
}

fn authority(authority: &str) -> Result<(), String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte);
    if !authority.is_empty() && authority.bytes().all(fine) {
        Ok(())
    } else {
        Err(format!("{authority:?} is no authority"))
    }
}

fn path(path: &str) -> Result<(), String> {
    let fine = path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if fine { Ok(()) } else { Err(format!("{path:?} is no path")) }
}

fn status(status: u16) -> Result<(), String> {
    if (200..=599).contains(&status) { Ok(()) } else { Err(format!("{status} is no final status")) }
}

fn variable(name: &str) -> Result<(), String> {
    let fine = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let part = |part: &str| !part.is_empty() && part.bytes().all(fine);
    match name.split_once('.') {
        Some((space, _)) if RESERVED.contains(&space) => Err(format!("only the gateway sets variables of `{space}`")),
        Some((space, rest)) if part(space) && rest.split('.').all(part) => Ok(()),
        _ => Err(format!("{name:?} is no variable: `namespace.name`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_breaks_the_contract_is_refused() {
        let header = |name: &str, value: &[u8]| Edit::SetHeader(name.to_owned(), value.to_vec());
        for (edit, side, fine) in [
            (header("x-a", b"v"), Hook::Request, true),
            (header("x-a", b"caf\xc3\xa9\tx"), Hook::Response, true),
            (header("", b"v"), Hook::Request, false),
            (header(":path", b"v"), Hook::Request, false),
            (header("x a", b"v"), Hook::Request, false),
            (header("x-a", b"v\r\nx-b: 1"), Hook::Request, false),
            (header("x-a", b"\0"), Hook::Request, false),
            (header("Transfer-Encoding", b"chunked"), Hook::Request, false),
            (header("host", b"a"), Hook::Request, false),
            (Edit::RemoveHeader("content-length".to_owned()), Hook::Response, false),
            (Edit::SetPath("/a?b".to_owned()), Hook::Request, true),
            (Edit::SetPath("/a?b".to_owned()), Hook::Response, false),
            (Edit::SetPath("a".to_owned()), Hook::Request, false),
            (Edit::SetPath("/a b".to_owned()), Hook::Request, false),
            (Edit::SetPath("/é".to_owned()), Hook::Request, false),
            (Edit::SetPath("/a#b".to_owned()), Hook::Request, false),
            (Edit::SetAuthority("[::1]:80".to_owned()), Hook::Request, true),
            (Edit::SetAuthority("a@b".to_owned()), Hook::Request, false),
            (Edit::SetScheme("ftp".to_owned()), Hook::Request, false),
            (Edit::SetMethod("M-SEARCH".to_owned()), Hook::Request, true),
            (Edit::SetMethod("GET /".to_owned()), Hook::Request, false),
            (Edit::SetStatus(204), Hook::Response, true),
            (Edit::SetStatus(204), Hook::Request, false),
            (Edit::SetStatus(199), Hook::Response, false),
            (Edit::SetStatus(1000), Hook::Response, false),
            (Edit::SetVariable("a.b".to_owned(), "any".to_owned()), Hook::Request, true),
            (Edit::SetVariable("request.id".to_owned(), "any".to_owned()), Hook::Request, false),
            (Edit::SetVariable("a.B".to_owned(), "any".to_owned()), Hook::Request, false),
            (Edit::SetMethod("CONNECT".to_owned()), Hook::Request, false),
            (Edit::SetVariable("ab".to_owned(), "any".to_owned()), Hook::Request, false),
        ] {
            assert_eq!(edits(std::slice::from_ref(&edit), side).is_ok(), fine, "{edit:?}");
        }
    }

    #[test]
    fn answers_leave_date_and_framing_to_the_gateway() {
        assert!(answer(&Answer::text(418, "tea")).is_ok());
        assert!(answer(&Answer::new(200).header("Date", "now")).is_err());
        assert!(answer(&Answer::new(200).header("content-length", "4")).is_err());
        assert!(answer(&Answer::new(101)).is_err());
    }

    #[test]
    fn a_plan_names_fields_once() {
        assert!(plan(&Plan::new().request_header("a").response_header("a")).is_ok());
        assert!(plan(&Plan::new().request_header("a").request_header("A")).is_err());
        assert!(plan(&Plan::new().request_header("a b")).is_err());
    }
}
