//! What the standard filters share: patterns, templates, and the conditions under which a rule applies.
//!
//! All is compiled once, at `configure`; every fault is a text that the operator can act on. Patterns match in time
//! linear in the text.

mod pattern;
mod template;
mod view;
mod when;

pub use pattern::{Captures, Pattern};
pub use template::Template;
pub use view::View;
pub use when::{Conditions, When};

/// The names of fields that a plan will ask for, each once.
#[derive(Debug, Default)]
pub struct Wanted(Vec<String>);

impl Wanted {
    /// The index under which the field's value will be handed over.
    pub fn index(&mut self, name: &str) -> usize {
        let known = self.0.iter().position(|known| known.eq_ignore_ascii_case(name));
        known.unwrap_or_else(|| {
            self.0.push(name.to_ascii_lowercase());
            self.0.len() - 1
        })
    }

    pub fn names(&self) -> &[String] {
        &self.0
    }
}

/// The name of a variable that a filter may set: `namespace.name`, and not in a namespace of the gateway.
pub fn variable_name(name: &str) -> Result<String, String> {
    let lawful = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let part = |part: &str| !part.is_empty() && part.bytes().all(lawful);
    match name.split_once('.') {
        Some((space, _)) if template::SPACES.contains(&space) => {
            Err(format!("variable {name:?}: only the gateway sets those of {space:?}"))
        }
        Some((space, rest)) if part(space) && rest.split('.').all(part) => Ok(name.to_owned()),
        _ => Err(format!("{name:?} is not a variable's name; `namespace.name` is")),
    }
}

/// A field name (RFC 9110, section 5.6.2), in lower case.
pub fn field_name(name: &str) -> Result<String, String> {
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(fine) {
        return Err(format!("{name:?} is not a field name"));
    }
    Ok(name.to_ascii_lowercase())
}
