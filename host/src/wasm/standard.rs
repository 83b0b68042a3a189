//! The filters that come with the gateway, embedded when they were built before it.

include!(concat!(env!("OUT_DIR"), "/standard.rs"));

/// A standard filter's code, by its name (`url-rewrite`, without `std:`).
#[must_use]
pub fn find(name: &str) -> Option<&'static [u8]> {
    STANDARD.iter().find(|(known, _)| *known == name).map(|(_, code)| *code)
}

/// The names there are.
pub fn names() -> impl Iterator<Item = &'static str> {
    STANDARD.iter().map(|(name, _)| *name)
}
