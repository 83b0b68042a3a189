//! `accel`, of a pool or a route: what an upstream may say of files and redirects.

use super::Accel;
use super::files::Roots;
use super::table::Item;
use crate::message::{Name, accel, name};

/// Kept from an upstream's answer whatever the config says.
const ALWAYS: [Name; 6] = [
    name::CONTENT_TYPE,
    name::CONTENT_DISPOSITION,
    name::SET_COOKIE,
    name::CACHE_CONTROL,
    name::EXPIRES,
    name::ACCEPT_RANGES,
];

/// What an upstream says of its own body or its own connection. Said of a file it would be wrong, and a client would read
/// the file's bytes for something else.
const NEVER: [Name; 14] = [
    name::CONTENT_LENGTH,
    name::CONTENT_ENCODING,
    name::CONTENT_RANGE,
    name::TRANSFER_ENCODING,
    name::TRAILER,
    name::TE,
    name::CONNECTION,
    name::UPGRADE,
    name::PROXY_AUTHENTICATE,
    name::PROXY_AUTHORIZATION,
    name::DATE,
    Name::from_static("keep-alive"),
    Name::from_static("proxy-connection"),
    Name::from_static("content-md5"),
];

const VALIDATORS: [Name; 2] = [name::ETAG, name::LAST_MODIFIED];

/// `true`, `false`, or what is followed and kept.
pub(super) fn read(item: &Item<'_>, roots: &Roots) -> Option<Accel> {
    if let Some(follow) = item.as_bool() {
        return Some(Accel { follow, ..Accel::default() });
    }
    if !item.is_table() {
        item.wrong("true, false or a table");
        return None;
    }
    let table = item.inner_table()?;
    let accel = Accel {
        follow: true,
        roots: table.item("roots").map(|item| roots.list_for_upstreams(&item)),
        keep_fields: table.item("keep-fields").map(|item| keep_fields(&item)).unwrap_or_default(),
        upstream_validators: table.boolean("upstream-validators", false),
    };
    table.finish();
    Some(accel)
}

fn keep_fields(item: &Item<'_>) -> Vec<Name> {
    let mut names = Vec::new();
    for item in item.list().unwrap_or_default() {
        let Some(text) = item.string() else { continue };
        match text.parse::<Name>() {
            Err(_) => item.wrong("a field name"),
            Ok(name) => match refused(&name, &names) {
                Some(why) => item.problem(format!("{name} {why}")),
                None => names.push(name),
            },
        }
    }
    names
}

/// Why a field is not kept, or need not be listed.
fn refused(name: &Name, listed: &[Name]) -> Option<String> {
    if listed.contains(name) {
        return Some("is in the list already".to_owned());
    }
    if ALWAYS.contains(name) {
        return Some("is always kept".to_owned());
    }
    if VALIDATORS.contains(name) {
        return Some("is kept by upstream-validators = true".to_owned());
    }
    if NEVER.contains(name) {
        return Some("is about the upstream's own body or connection, and would be wrong of a file".to_owned());
    }
    accel::is_for_gateway(name.as_str().as_bytes()).then(|| "never reaches a client".to_owned())
}
