//! From what a filter said to what may be applied: everything is checked here, before anything changes.
//!
//! What a filter hands over is as hostile as what a client sends. A verdict is taken whole or refused whole.

use std::fmt;

use bytes::Bytes;
use http::uri::PathAndQuery;

use super::bindings::types;
use super::sending::Named;
use crate::message::{self, Authority, Facts, Fields, Method, Name, Scheme, Status, Value};

/// What a filter said, checked.
#[derive(Debug)]
pub enum Verdict {
    /// Go on, nothing changed.
    Next,
    /// Go on with these changes, in order.
    Edits(Vec<Edit>),
    /// Answer with this.
    Respond {
        /// 200 to 599.
        status: Status,
        /// Without framing and connection fields: those are the gateway's.
        fields: Fields,
        /// The body.
        content: Content,
    },
}

/// What an answer's body is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// All of it.
    Bytes(Bytes),
    /// A file, which may be there or not.
    File {
        /// Index of its root in the plan; the filter was granted it.
        root: usize,
        /// Its path beneath the root: no slash at its beginning, no NUL, no `..`.
        path: String,
    },
}

/// One change, checked.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Of the request's method.
    Method(Method),
    /// Of the request's scheme.
    Scheme(Scheme),
    /// Of the request's authority.
    Authority(Authority),
    /// Of the request's path and query.
    Target(PathAndQuery),
    /// Of the response's status.
    Status(Status),
    /// Replaces every line of a field.
    Set(Name, Value),
    /// Adds a line of a field.
    Append(Name, Value),
    /// Removes every line of a field.
    Remove(Name),
    /// Sets a variable of the exchange.
    Variable(String, String),
}

/// Which head a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The request's.
    Request,
    /// The response's.
    Response,
}

/// Why a verdict was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused(String);

/// Edits of one verdict. Four times the header lines that a head may have by default.
pub(super) const MAX_EDITS: usize = 512;
/// Bytes of a field's name. The longest registered name has 50.
pub(super) const MAX_NAME: usize = 256;
/// Bytes of a field's value. Servers commonly take 8 KiB a line; some cookies and tokens need more.
pub(super) const MAX_VALUE: usize = 32 << 10;
/// Bytes of all names and values of one verdict. Twice the head that this gateway takes from a client by default.
pub(super) const MAX_HEAD: usize = 128 << 10;
/// Bytes of a path with its query: what the gateway takes at most from a client.
pub(super) const MAX_TARGET: usize = 16 << 10;
/// Bytes of a method. The longest registered one has 17.
pub(super) const MAX_METHOD: usize = 32;
/// Bytes of an answer's body. Answers of filters are error pages and small documents; what is larger is a file's job.
pub(super) const MAX_BODY: usize = 8 << 20;
/// Bytes of a variable's value, as it may end in one line of the access log.
pub(super) const MAX_VARIABLE: usize = 4 << 10;
/// Variables of an exchange, over all its filters.
pub(super) const MAX_VARIABLES: usize = 64;

/// Lines of a head after a verdict: far from where the map underneath would have to give up.
pub(super) const MAX_LINES: usize = 2000;

/// Fields that say where a message ends and what holds for one connection only (RFC 9110, section 7.6.1; RFC 9112,
/// section 6): a filter that could set them could smuggle requests.
const GATEWAYS_OWN: &[&str] = &[
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Answers that have no content (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5), and the one whose content is a part that
/// only the gateway can cut (section 15.3.7).
const WITHOUT_FILE: [Status; 4] =
    [Status::NO_CONTENT, Status::RESET_CONTENT, Status::NOT_MODIFIED, Status::PARTIAL_CONTENT];

/// Checks what a filter said.
pub(super) fn check(
    action: types::Action,
    named: Option<Named>,
    side: Side,
    facts: &Facts,
) -> Result<Verdict, Refused> {
    match action {
        types::Action::Respond(response) => check_response(response, named),
        _ if named.is_some() => Err(refused(format_args!("it names a file and does not answer"))),
        types::Action::Next => Ok(Verdict::Next),
        types::Action::Edits(edits) if edits.is_empty() => Ok(Verdict::Next),
        types::Action::Edits(edits) => check_edits(edits, side, facts).map(Verdict::Edits),
    }
}

fn check_edits(edits: Vec<types::Edit>, side: Side, facts: &Facts) -> Result<Vec<Edit>, Refused> {
    if edits.len() > MAX_EDITS {
        return Err(refused(format_args!("{} edits; {MAX_EDITS} is the most", edits.len())));
    }
    let fields = match side {
        Side::Request => Some(&facts.request.fields),
        Side::Response => facts.response.as_ref().map(|response| &response.fields),
    };
    let mut room = Room { bytes: MAX_HEAD, lines: MAX_LINES.saturating_sub(fields.map_or(0, Fields::len)) };
    let mut variables = MAX_VARIABLES.saturating_sub(facts.variables.len());
    let mut checked = Vec::with_capacity(edits.len());
    for edit in edits {
        checked.push(match edit {
            types::Edit::SetHeader((name, value)) => {
                let (name, value) = field(&name, value, side, &mut room)?;
                Edit::Set(name, value)
            }
            types::Edit::AppendHeader((name, value)) => {
                let (name, value) = field(&name, value, side, &mut room)?;
                Edit::Append(name, value)
            }
            types::Edit::RemoveHeader(name) => Edit::Remove(allowed_name(&name, side)?),
            types::Edit::SetVariable((name, value)) => {
                variables = variables
                    .checked_sub(usize::from(facts.variables.get(&name).is_none()))
                    .ok_or_else(|| refused(format_args!("variables: {MAX_VARIABLES} of an exchange is the most")))?;
                variable(name, value)?
            }
            other => checked_line(other, side)?,
        });
    }
    Ok(checked)
}

/// The edits of a request or status line.
fn checked_line(edit: types::Edit, side: Side) -> Result<Edit, Refused> {
    match (edit, side) {
        (types::Edit::SetMethod(method), Side::Request) => self::method(&method).map(Edit::Method),
        (types::Edit::SetScheme(scheme), Side::Request) => self::scheme(&scheme).map(Edit::Scheme),
        (types::Edit::SetAuthority(text), Side::Request) => authority(&text).map(Edit::Authority),
        (types::Edit::SetPath(path), Side::Request) => target(&path).map(Edit::Target),
        (types::Edit::SetStatus(status), Side::Response) => self::status(status).map(Edit::Status),
        (edit, side) => Err(refused(format_args!("`{}` is not for the {} side", word(&edit), side.word()))),
    }
}

fn check_response(response: types::Response, named: Option<Named>) -> Result<Verdict, Refused> {
    let status = status(response.status)?;
    let content = content(status, response.body, named)?;
    let mut room = Room { bytes: MAX_HEAD, lines: MAX_LINES };
    let mut fields = Fields::default();
    for (name, value) in response.headers {
        let (name, value) = field(&name, value, Side::Response, &mut room)?;
        if name == message::name::DATE {
            return Err(refused(format_args!("field `date`: the gateway adds it")));
        }
        fields.append(name, value);
    }
    Ok(Verdict::Respond { status, fields, content })
}

fn content(status: Status, body: Vec<u8>, named: Option<Named>) -> Result<Content, Refused> {
    if body.len() > MAX_BODY {
        return Err(refused(format_args!("a body of {} bytes; {MAX_BODY} is the most", body.len())));
    }
    let Some(Named { root, path }) = named else { return Ok(Content::Bytes(body.into())) };
    if !body.is_empty() {
        return Err(refused(format_args!("it names a file and answers with a body of its own")));
    }
    if WITHOUT_FILE.contains(&status) {
        return Err(refused(format_args!("status {}: it cannot have a file", status.as_u16())));
    }
    Ok(Content::File { root, path })
}

/// What a verdict may still add to a head.
struct Room {
    bytes: usize,
    lines: usize,
}

fn field(name: &str, value: Vec<u8>, side: Side, room: &mut Room) -> Result<(Name, Value), Refused> {
    let checked = allowed_name(name, side)?;
    if value.len() > MAX_VALUE {
        return Err(refused(format_args!(
            "field `{checked}`: a value of {} bytes; {MAX_VALUE} is the most",
            value.len()
        )));
    }
    room.bytes = room
        .bytes
        .checked_sub(name.len() + value.len())
        .ok_or_else(|| refused(format_args!("fields of more than {MAX_HEAD} bytes in one verdict")))?;
    room.lines =
        room.lines.checked_sub(1).ok_or_else(|| refused(format_args!("a head of more than {MAX_LINES} lines")))?;
    // RFC 9110, section 5.5: space around a value is not part of it. `Value` refuses control characters.
    let value = match value.trim_ascii().len() == value.len() {
        true => Value::from_maybe_shared(Bytes::from(value)),
        false => Value::from_bytes(value.trim_ascii()),
    };
    let value = value.map_err(|_| refused(format_args!("field `{checked}`: its value holds a control character")))?;
    Ok((checked, value))
}

fn allowed_name(name: &str, side: Side) -> Result<Name, Refused> {
    if name.len() > MAX_NAME {
        return Err(refused(format_args!("a field name of {} bytes; {MAX_NAME} is the most", name.len())));
    }
    let checked = Name::from_bytes(name.as_bytes())
        .map_err(|_| refused(format_args!("`{}` is not a field name", shown(name))))?;
    if GATEWAYS_OWN.contains(&checked.as_str()) {
        return Err(refused(format_args!("field `{checked}`: it is the gateway's own")));
    }
    if side == Side::Request && checked == message::name::HOST {
        return Err(refused(format_args!("field `host`: `set-authority` changes it")));
    }
    Ok(checked)
}

fn method(text: &str) -> Result<Method, Refused> {
    // RFC 9110, section 9.3.6: CONNECT asks for a tunnel, which no filter may open.
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if text.len() <= MAX_METHOD && method != Method::CONNECT => Ok(method),
        _ => Err(refused(format_args!("`{}` is not a method that a filter may set", shown(text)))),
    }
}

fn scheme(text: &str) -> Result<Scheme, Refused> {
    match text {
        "http" => Ok(Scheme::Http),
        "https" => Ok(Scheme::Https),
        _ => Err(refused(format_args!("`{}` is not a scheme; `http` and `https` are", shown(text)))),
    }
}

fn status(status: u16) -> Result<Status, Refused> {
    match Status::from_u16(status) {
        Ok(known) if (200..=599).contains(&status) => Ok(known),
        _ => Err(refused(format_args!("status {status}; 200 to 599 can be"))),
    }
}

fn variable(name: String, value: String) -> Result<Edit, Refused> {
    let space = match name.split_once('.') {
        Some((space, _)) if name.len() <= MAX_NAME && message::is_variable_name(&name) => space,
        _ => return Err(refused(format_args!("`{}` is not a variable's name; `namespace.name` is", shown(&name)))),
    };
    if message::OWN_SPACES.contains(&space) {
        return Err(refused(format_args!("variable `{name}`: only the gateway sets those of `{space}`")));
    }
    if value.len() > MAX_VARIABLE {
        return Err(refused(format_args!("variable `{name}`: {} bytes; {MAX_VARIABLE} is the most", value.len())));
    }
    Ok(Edit::Variable(name, value))
}

/// The same rule as for a client's target.
fn target(text: &str) -> Result<PathAndQuery, Refused> {
    let refusal = || refused(format_args!("`{}` is not a path", shown(text)));
    if text.len() > MAX_TARGET || !text.starts_with('/') {
        return Err(refusal());
    }
    message::target::parse(text).map_err(|_| refusal())
}

/// The same rule as for a client's `Host`.
fn authority(text: &str) -> Result<Authority, Refused> {
    let refusal = || refused(format_args!("`{}` is not an authority", shown(text)));
    if text.len() > MAX_NAME {
        return Err(refusal());
    }
    message::host::parse(text.as_bytes()).map_err(|_| refusal())
}

fn word(edit: &types::Edit) -> &'static str {
    match edit {
        types::Edit::SetMethod(_) => "set-method",
        types::Edit::SetScheme(_) => "set-scheme",
        types::Edit::SetAuthority(_) => "set-authority",
        types::Edit::SetPath(_) => "set-path",
        types::Edit::SetStatus(_) => "set-status",
        types::Edit::SetHeader(_) => "set-header",
        types::Edit::AppendHeader(_) => "append-header",
        types::Edit::RemoveHeader(_) => "remove-header",
        types::Edit::SetVariable(_) => "set-variable",
    }
}

impl Side {
    const fn word(self) -> &'static str {
        match self {
            Side::Request => "request",
            Side::Response => "response",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn refused(text: fmt::Arguments<'_>) -> Refused {
    Refused(text.to_string())
}

/// A hostile text as it may stand in a log line: its beginning, without control characters.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
