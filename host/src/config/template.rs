//! The access log's format: one of three words, or a template whose variables are all known.

use super::table::Item;
use super::{ACCESS_VARIABLES, AccessFormat, similar};
use crate::message::Name;

/// Variables that are named after something, and whether that is a field's name.
const FAMILIES: [(&str, bool); 3] = [("request.header.", true), ("response.header.", true), ("variable.", false)];

/// The word or template that a value is.
pub(super) fn read(item: &Item<'_>) -> Option<AccessFormat> {
    let text = item.string()?;
    match text {
        "off" => return Some(AccessFormat::Off),
        "combined" => return Some(AccessFormat::Combined),
        "json" => return Some(AccessFormat::Json),
        _ => {}
    }
    if !text.contains("${") {
        let hint = similar::hint(text, ["combined", "json", "off"]);
        let expected = r#"expected "combined", "json", "off" or a template with ${...}"#;
        item.problem(format!("{expected}, found {text:?}{hint}"));
        return None;
    }
    check(item, text);
    Some(AccessFormat::Custom(text.to_owned()))
}

fn check(item: &Item<'_>, template: &str) {
    let mut rest = template;
    while let Some((_, after)) = rest.split_once("${") {
        let Some((name, after)) = after.split_once('}') else {
            item.problem(format!("\"${{{after}\" has no closing brace"));
            return;
        };
        check_variable(item, name);
        rest = after;
    }
    if template.contains(['\r', '\n']) {
        item.problem("a template is one line");
    }
}

fn check_variable(item: &Item<'_>, name: &str) {
    if ACCESS_VARIABLES.contains(&name) {
        return;
    }
    let family = FAMILIES.into_iter().find_map(|(family, field)| Some((name.strip_prefix(family)?, field)));
    match family {
        Some((field, true)) if field.parse::<Name>().is_err() => {
            item.problem(format!("${{{name}}}: {field:?} is not a field name"));
        }
        Some(("", _)) => item.problem(format!("${{{name}}}: the name of the variable is missing")),
        Some(_) => {}
        None => {
            let hint = similar::hint(name, ACCESS_VARIABLES.iter().copied());
            let known = ACCESS_VARIABLES.join(", ");
            item.problem(format!(
                "${{{name}}} is not known; known variables: {known}, request.header.NAME, response.header.NAME, \
                 variable.NAME{hint}"
            ));
        }
    }
}
