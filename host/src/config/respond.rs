//! `respond`: an answer that stands in the config.

use super::table::{Item, Table};
use super::{Respond, page};
use crate::message::{Name, Status, Value, accel, name};

/// The redirects that RFC 9110, section 15.4, defines with a `Location` to go to.
const REDIRECTS: [u32; 5] = [301, 302, 303, 307, 308];
/// Those that the gateway writes itself, as the framing and the connection demand.
const OURS: [Name; 6] =
    [name::CONTENT_LENGTH, name::TRANSFER_ENCODING, name::CONNECTION, name::UPGRADE, name::TRAILER, name::DATE];

pub(super) fn read(item: &Item<'_>) -> Option<Respond> {
    let table = item.inner_table()?;
    let redirect = table.item("redirect");
    let default = if redirect.is_some() { 302 } else { 200 };
    let status = table.count("status", default, 200..=599);
    if let Some(redirect) = redirect.as_ref().filter(|_| !REDIRECTS.contains(&status)) {
        redirect.problem(format!("a redirect has the status 301, 302, 303, 307 or 308, not {status}"));
    }
    let (body, body_type) = body(&table);
    let mut fields = Vec::new();
    let explicit = table.item("content-type").and_then(|item| page::value(&item));
    let location = redirect.and_then(|item| page::value(&item));
    let written = table.item("fields").map(|item| fields_of(&item)).unwrap_or_default();
    for (name, _) in written.iter().filter(|(name, _)| accel::is_for_gateway(name.as_str().as_bytes())) {
        table.problem(format!("fields: {name} is for upstreams to say, and never reaches a client"));
    }
    let is_written = |wanted: &Name| written.iter().any(|(name, _)| name == wanted);
    for (field, value) in [(name::CONTENT_TYPE, &explicit), (name::LOCATION, &location)] {
        if value.is_some() && is_written(&field) {
            table.problem(format!("{field} is given twice, by its own key and in fields"));
        }
    }
    if let Some(value) = explicit.or(body_type).filter(|_| !is_written(&name::CONTENT_TYPE)) {
        fields.push((name::CONTENT_TYPE, value));
    }
    fields.extend(location.map(|value| (name::LOCATION, value)));
    fields.extend(written);
    // No content is possible with these (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5).
    if matches!(status, 204 | 205 | 304) && !body.is_empty() {
        table.problem(format!("an answer with the status {status} has no body"));
    }
    table.finish();
    let status = Status::from_u16(u16::try_from(status).ok()?).ok()?;
    Some(Respond { status, fields, body: body.into() })
}

/// The body, and the type that it has when nobody says.
fn body(table: &Table<'_>) -> (String, Option<Value>) {
    match (table.item("body"), table.item("file")) {
        (Some(_), Some(file)) => {
            file.say("has either body or file, not both");
            (String::new(), None)
        }
        (None, Some(file)) => {
            let kind = file.as_str().and_then(page::type_of).unwrap_or(page::TEXT);
            (page::contents(&file).unwrap_or_default(), Some(Value::from_static(kind)))
        }
        (Some(body), None) => {
            let body = body.string().unwrap_or_default();
            (body.to_owned(), (!body.is_empty()).then(|| Value::from_static(page::TEXT)))
        }
        (None, None) => (String::new(), None),
    }
}

/// Fields by name, one line or a list of them.
pub(super) fn fields_of(item: &Item<'_>) -> Vec<(Name, Value)> {
    let mut fields: Vec<(Name, Value)> = Vec::new();
    for item in item.inner_table().iter().flat_map(Table::items) {
        let Ok(name) = item.key.parse::<Name>() else {
            item.say(format!("{:?} is not a field name", item.key));
            continue;
        };
        if OURS.contains(&name) {
            item.say(format!("{name} is written by the gateway itself"));
        } else if fields.iter().any(|(other, _)| *other == name) {
            item.say(format!("{name} is given twice; several lines are written as a list"));
        } else {
            let values = item.at_least_one();
            fields.extend(values.iter().filter_map(|item| Some((name.clone(), page::value(item)?))));
        }
    }
    fields
}
