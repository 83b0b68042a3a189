//! Text with holes: `$1` and `${name}` are captures, `${namespace.name}` is a variable, `$$` is a dollar sign.

use crate::{Captures, View, Wanted, field_name};

/// Variables of the gateway's own namespaces: a slip in one of these is a fault, others may be set by filters.
const KNOWN: [&str; 27] = [
    "request.id",
    "request.method",
    "request.host",
    "request.path",
    "request.query",
    "request.scheme",
    "request.version",
    "client.address",
    "response.status",
    "site.name",
    "route.name",
    "pool.name",
    "member.name",
    "time.http",
    "time.unix",
    "time.iso",
    "tls.version",
    "tls.cipher",
    "tls.sni",
    "tls.alpn",
    "tls.resumed",
    "tls.client.sha256",
    "tls.client.subject",
    "tls.client.issuer",
    "tls.client.serial",
    "tls.client.not-after",
    "tls.client.names",
];
pub(crate) const SPACES: [&str; 9] =
    ["client", "member", "pool", "request", "response", "route", "site", "time", "tls"];

/// Compiled text.
#[derive(Debug)]
pub struct Template(Vec<Part>);

#[derive(Debug)]
enum Part {
    Text(String),
    Number(usize),
    Name(String),
    Variable(String),
    RequestField(String),
    WantedField(usize),
    ResponseField(String),
}

impl Template {
    /// `wanted` collects the request fields that are better handed over with the call, on the request side.
    pub fn compile(text: &str, response_side: bool, wanted: &mut Wanted) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            let (part, after) = hole(after, response_side, wanted).map_err(|why| format!("{text:?}: {why}"))?;
            rest = after;
            match part {
                Part::Text(text) => literal.push_str(&text),
                part => {
                    if !literal.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut literal)));
                    }
                    parts.push(part);
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self(parts))
    }

    /// The text as it is when it has no holes.
    pub fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// What the text begins with, whatever is captured.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether a capture is used, which only a pattern can give.
    pub fn has_captures(&self) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Number(_) | Part::Name(_)))
    }

    /// Fills the holes. `add` is given what is written so far, the piece, and whether it comes from outside.
    pub fn fill(
        &self,
        captures: Option<&Captures<'_>>,
        view: View<'_>,
        out: &mut Vec<u8>,
        add: impl Fn(&mut Vec<u8>, &[u8], bool),
    ) {
        for part in &self.0 {
            match part {
                Part::Text(text) => add(out, text.as_bytes(), false),
                Part::Number(index) => add(out, captures.map_or("", |c| c.number(*index)).as_bytes(), true),
                Part::Name(name) => add(out, captures.map_or("", |c| c.name(name)).as_bytes(), true),
                Part::Variable(name) => add(out, view.variable(name).as_deref().unwrap_or_default().as_bytes(), true),
                Part::RequestField(name) => add(out, &view.request_field(name).unwrap_or_default(), true),
                Part::WantedField(index) => add(out, view.wanted(*index).unwrap_or_default(), true),
                Part::ResponseField(name) => add(out, &view.response_field(name).unwrap_or_default(), true),
            }
        }
    }
}

fn hole<'t>(after: &'t str, response_side: bool, wanted: &mut Wanted) -> Result<(Part, &'t str), String> {
    if let Some(rest) = after.strip_prefix('$') {
        return Ok((Part::Text("$".to_owned()), rest));
    }
    if let Some(inner) = after.strip_prefix('{') {
        let Some((name, rest)) = inner.split_once('}') else {
            return Err("`${` without `}`".to_owned());
        };
        return Ok((named(name, response_side, wanted)?, rest));
    }
    let digits = after.bytes().take_while(u8::is_ascii_digit).count().min(2);
    match after.get(..digits).and_then(|number| number.parse().ok()) {
        Some(number) => Ok((Part::Number(number), after.get(digits..).unwrap_or_default())),
        None => Ok((Part::Text("$".to_owned()), after)),
    }
}

fn named(name: &str, response_side: bool, wanted: &mut Wanted) -> Result<Part, String> {
    if let Ok(number) = name.parse() {
        return Ok(Part::Number(number));
    }
    if let Some(field) = name.strip_prefix("request.header.") {
        let field = field_name(field)?;
        return Ok(if response_side { Part::RequestField(field) } else { Part::WantedField(wanted.index(&field)) });
    }
    if let Some(field) = name.strip_prefix("response.header.") {
        return match response_side {
            true => Ok(Part::ResponseField(field_name(field)?)),
            false => Err(format!("`${{{name}}}` is not known before there is a response")),
        };
    }
    let Some((space, _)) = name.split_once('.') else {
        return Ok(Part::Name(name.to_owned()));
    };
    if SPACES.contains(&space) && !KNOWN.contains(&name) {
        return Err(format!("`${{{name}}}` is not a variable; known: {}", KNOWN.join(", ")));
    }
    if name == "response.status" && !response_side {
        return Err("`${response.status}` is not known before there is a response".to_owned());
    }
    Ok(Part::Variable(name.to_owned()))
}
