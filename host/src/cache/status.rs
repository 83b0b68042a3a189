//! `Cache-Status` (RFC 9211): what this cache did with a request, as a structured field in its canonical form.

use std::fmt;

use super::{spelled, structured};
use crate::message::{Fields, Name, Status, Value};

/// One member of the list.
#[derive(Debug, Clone, Copy)]
pub struct CacheStatus<'a> {
    /// What this cache is called.
    pub cache: &'a str,
    /// What it did.
    pub outcome: Outcome,
    /// Seconds of freshness left; below zero when it was stale (section 2.4).
    pub ttl: Option<i64>,
    /// What the response is stored under (section 2.7).
    pub key: Option<&'a str>,
    /// What else there is to say (section 2.8).
    pub detail: Option<&'a str>,
}

/// Answered from the store, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// `hit`: the origin was not asked for this request (section 2.1).
    Hit,
    /// The origin was asked.
    Forwarded {
        /// `fwd`
        why: Forward,
        /// `fwd-status`, where the origin's is not the answer's (section 2.3).
        status: Option<Status>,
        /// `stored`: its answer is kept (section 2.5).
        stored: bool,
        /// `collapsed`: another request's question was waited for, and its answer was of use or was not (section 2.6).
        collapsed: Option<bool>,
    },
}

/// Why the origin is asked (section 2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The cache is not to handle this request.
    Bypass,
    /// The method says so.
    Method,
    /// Nothing is stored for this URL.
    UriMiss,
    /// Something is, but for other requests.
    VaryMiss,
    /// Nothing usable is stored.
    Miss,
    /// What is stored is fresh, but the request wants more.
    Request,
    /// What is stored is stale.
    Stale,
    /// Not all of it is stored.
    Partial,
}

const NAME: Name = Name::from_static("cache-status");

/// What this cache is called.
pub const WEIR: &str = "weir";

/// Makes room in a head that is kept, for a member that is to be put to each copy of it.
pub fn make_room(fields: &mut Fields) {
    if !fields.contains(NAME) {
        fields.set(NAME, Value::from_static(""));
    }
}

/// Takes the room off where there is to be no member.
pub fn leave_no_room(fields: &mut Fields) {
    if fields.get(NAME).is_some_and(Value::is_empty) {
        fields.remove(NAME);
    }
}

impl Forward {
    /// Its token.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bypass => "bypass",
            Self::Method => "method",
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Miss => "miss",
            Self::Request => "request",
            Self::Stale => "stale",
            Self::Partial => "partial",
        }
    }
}

impl CacheStatus<'_> {
    /// Adds the member behind those of caches that are nearer to the origin (section 2).
    pub fn append(&self, fields: &mut Fields) {
        fields.fill(NAME, self.value());
    }

    fn value(&self) -> Value {
        let made = || Value::from_str(&self.to_string()).expect("a structured field is visible ASCII and blanks");
        match self {
            Self { cache: WEIR, outcome: Outcome::Hit, ttl: Some(ttl), key: None, detail: None } => {
                spelled::hit(*ttl, made)
            }
            _ => made(),
        }
    }
}

impl fmt::Display for CacheStatus<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        word(f, self.cache)?;
        match self.outcome {
            Outcome::Hit => f.write_str(";hit")?,
            Outcome::Forwarded { why, status, stored, collapsed } => {
                write!(f, ";fwd={}", why.word())?;
                if let Some(status) = status {
                    write!(f, ";fwd-status={}", status.as_u16())?;
                }
                if stored {
                    f.write_str(";stored")?;
                }
                match collapsed {
                    Some(true) => f.write_str(";collapsed")?,
                    Some(false) => f.write_str(";collapsed=?0")?,
                    None => {}
                }
            }
        }
        if let Some(ttl) = self.ttl {
            // 15 digits are the most that an integer has.
            write!(f, ";ttl={}", ttl.clamp(-999_999_999_999_999, 999_999_999_999_999))?;
        }
        if let Some(key) = self.key {
            write!(f, ";key={}", structured::string(key))?;
        }
        if let Some(detail) = self.detail {
            f.write_str(";detail=")?;
            word(f, detail)?;
        }
        Ok(())
    }
}

/// A token where that is possible, else a string.
fn word(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if structured::is_token(text) { f.write_str(text) } else { f.write_str(&structured::string(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members() {
        let hit = CacheStatus { cache: "weir", outcome: Outcome::Hit, ttl: None, key: None, detail: None };
        let forwarded = |why, status: Option<u16>, stored, collapsed| Outcome::Forwarded {
            why,
            status: status.map(|status| Status::from_u16(status).unwrap()),
            stored,
            collapsed,
        };
        for (status, expected) in [
            (hit, "weir;hit"),
            (CacheStatus { ttl: Some(376), ..hit }, "weir;hit;ttl=376"),
            (CacheStatus { ttl: Some(-412), cache: "My cache", ..hit }, "\"My cache\";hit;ttl=-412"),
            (CacheStatus { outcome: forwarded(Forward::UriMiss, None, false, None), ..hit }, "weir;fwd=uri-miss"),
            (
                CacheStatus { outcome: forwarded(Forward::Stale, Some(304), true, Some(true)), ttl: Some(0), ..hit },
                "weir;fwd=stale;fwd-status=304;stored;collapsed;ttl=0",
            ),
            (
                CacheStatus { outcome: forwarded(Forward::Miss, None, false, Some(false)), ..hit },
                "weir;fwd=miss;collapsed=?0",
            ),
            (CacheStatus { key: Some("http://a/ x=\"1\""), ..hit }, "weir;hit;key=\"http://a/ x=\\\"1\\\"\""),
            (CacheStatus { detail: Some("no-store"), ..hit }, "weir;hit;detail=no-store"),
            (CacheStatus { detail: Some("two words"), ..hit }, "weir;hit;detail=\"two words\""),
            (CacheStatus { ttl: Some(i64::MAX), ..hit }, "weir;hit;ttl=999999999999999"),
        ] {
            assert_eq!(status.to_string(), expected);
            assert!(structured::list(expected.as_bytes()).is_some_and(|list| list.len() == 1), "{expected}");
        }
        for why in
            [Forward::Bypass, Forward::Method, Forward::VaryMiss, Forward::Miss, Forward::Request, Forward::Partial]
        {
            assert!(structured::is_token(why.word()));
        }
    }

    #[test]
    fn the_nearest_to_the_client_comes_last() {
        let mut fields = Fields::default();
        fields.set(NAME, Value::from_static("origin-cache; hit"));
        CacheStatus { cache: "w\u{e9}ir\n", outcome: Outcome::Hit, ttl: None, key: None, detail: None }
            .append(&mut fields);
        assert_eq!(fields.joined(NAME).unwrap(), b"origin-cache; hit, \"w?ir?\";hit");
    }
}
