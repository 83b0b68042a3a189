//! Which of the responses stored for one key belongs to a request: `Vary` (RFC 9111, section 4.1).
//!
//! Fields are compared in a normal form that means the same: blanks around commas, lines of one name, the order and case
//! of codings and languages do not make a difference where their definitions say so. Codings that nobody knows make none
//! either, as long as what is stored can be read without them.

use http::header;

use super::weights;
use crate::message::{Fields, Name, Value};

/// The fields that chose a response, as the request had them, sorted by name. It is the second half of the key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Selection(Vec<(Name, Option<Box<[u8]>>)>);

/// Fields that one `Vary` may name; each costs a comparison for every request.
const MOST: usize = 32;

/// Fields whose commas are not a list's, or whose blanks mean something.
const TEXTS: [Name; 9] = [
    header::COOKIE,
    header::AUTHORIZATION,
    header::USER_AGENT,
    header::REFERER,
    header::FROM,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::DATE,
];

impl Selection {
    /// What chose this response to that request. `None` if nothing can choose it again: `*`, or what is no list of names.
    #[must_use]
    pub fn of(response: &Fields, request: &Fields) -> Option<Self> {
        Self::in_codings(response, request, &response.joined(header::CONTENT_ENCODING).unwrap_or_default())
    }

    /// The same for another response that varies as this one does, whose coding nobody knows yet.
    #[must_use]
    pub fn like(response: &Fields, request: &Fields) -> Option<Self> {
        Self::in_codings(response, request, b"")
    }

    fn in_codings(response: &Fields, request: &Fields, coded: &[u8]) -> Option<Self> {
        if !response.contains(header::VARY) {
            return Some(Self::default());
        }
        let value = |name: &Name| match codings(name, request, coded) {
            Some(codings) => Some(codings),
            None => normal(name, request),
        };
        let mut chosen: Vec<_> = named(response)?.into_iter().map(|name| (value(&name), name)).collect();
        chosen.sort_by(|one, other| one.1.as_str().cmp(other.1.as_str()));
        Some(Self(chosen.into_iter().map(|(value, name)| (name, value)).collect()))
    }

    /// Whether a request has the same in every field that counts.
    #[must_use]
    pub fn matches(&self, request: &Fields) -> bool {
        self.0.iter().all(|(name, value)| is_same(name, value.as_deref(), request))
    }

    /// Whether a request has the same but for `Accept-Language`, and likes best the language that the response is in.
    #[must_use]
    pub fn speaks(&self, response: &Fields, request: &Fields) -> bool {
        let (languages, rest): (Vec<_>, Vec<_>) = self.0.iter().partition(|(name, _)| *name == header::ACCEPT_LANGUAGE);
        let is_best = || {
            let mut spoken = response.lines(header::CONTENT_LANGUAGE);
            let (one, more) = (spoken.next(), spoken.next());
            let wanted = request.joined(header::ACCEPT_LANGUAGE);
            let best = wanted.as_deref().and_then(weights::best);
            more.is_none() && one.is_some_and(|one| best.is_some_and(|best| is_language(one, &best)))
        };
        !languages.is_empty() && is_best() && rest.iter().all(|(name, value)| is_same(name, value.as_deref(), request))
    }

    /// Whether a response's `Vary` names these fields.
    #[must_use]
    pub fn is_of(&self, response: &Fields) -> bool {
        let Some(mut names) = named(response) else { return false };
        names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        self.0.iter().map(|(name, _)| name).eq(&names)
    }

    /// Whether it tells apart who asks. Origins that do so rarely think of it in their tags.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        self.0.iter().any(|(name, _)| [header::COOKIE, header::AUTHORIZATION].contains(name))
    }

    /// Whether nothing but the key chooses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Names and values, for who writes them to a disk.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, Option<&[u8]>)> {
        self.0.iter().map(|(name, value)| (name, value.as_deref()))
    }

    /// From names and values that came from `iter`.
    #[must_use]
    pub fn read(parts: Vec<(Name, Option<Box<[u8]>>)>) -> Self {
        Self(parts)
    }
}

/// The names in `Vary`, each once; `None` for `*`, for what is no name, and for too many.
#[must_use]
pub fn named(response: &Fields) -> Option<Vec<Name>> {
    let mut names: Vec<Name> = Vec::new();
    for line in response.lines(header::VARY) {
        for word in line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
        {
            let name = Name::from_bytes(word).ok().filter(|_| word != b"*")?;
            if !names.contains(&name) {
                // At once: a long list would be compared with itself.
                if names.len() == MOST {
                    return None;
                }
                names.push(name);
            }
        }
    }
    Some(names)
}

/// Whether a request has a value.
fn is_same(name: &Name, value: Option<&[u8]>, request: &Fields) -> bool {
    // What is in no coding can be read by everybody, and this is asked of what is stored.
    if codings(name, request, b"").is_some_and(|codings| Some(&*codings) == value) {
        return true;
    }
    // Then another form of the same says nothing else.
    let is_known = *name == header::ACCEPT_ENCODING && value.is_some_and(weights::are_known);
    !is_known && normal(name, request).as_deref() == value
}

/// Of `Accept-Encoding`, what is said of known codings, if that is enough to read what is in these.
fn codings(name: &Name, request: &Fields, coded: &[u8]) -> Option<Box<[u8]>> {
    let value = (*name == header::ACCEPT_ENCODING).then(|| request.joined(name)).flatten()?;
    (coded.is_empty() || weights::suits(&value, coded)).then(|| weights::codings(&value).into())
}

/// The value that is compared; `None` where the field is absent, which is not the same as empty.
fn normal(name: &Name, request: &Fields) -> Option<Box<[u8]>> {
    let value = request.joined(name)?;
    if TEXTS.contains(name) {
        return Some(value.trim_ascii().into());
    }
    let is_weighted = [header::ACCEPT_ENCODING, header::ACCEPT_LANGUAGE, header::ACCEPT_CHARSET].contains(name);
    let weighted = if is_weighted { weights::normal(&value) } else { None };
    Some(weighted.unwrap_or_else(|| tight(&value)).into())
}

/// Without blanks around commas, save in quoted strings.
fn tight(value: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(value.len());
    let (mut is_quoted, mut is_escaped) = (false, false);
    for &byte in value.trim_ascii() {
        if is_quoted {
            is_quoted = byte != b'"' || is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
        } else if byte == b'"' {
            is_quoted = true;
        } else if byte == b',' {
            out.truncate(out.trim_ascii_end().len());
        } else if matches!(byte, b' ' | b'\t') && out.last() == Some(&b',') {
            continue;
        }
        out.push(byte);
    }
    out
}

/// Whether a response's one language is that of a range (RFC 4647, section 3.4: ranges match their subtags' prefixes).
fn is_language(spoken: &Value, range: &str) -> bool {
    let spoken = spoken.as_bytes().trim_ascii().to_ascii_lowercase();
    let rest = spoken.strip_prefix(range.as_bytes());
    range != "*" && !spoken.contains(&b',') && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"-"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::testing::fields;

    #[test]
    fn requests_match_as_their_fields_mean_the_same() {
        for (vary, stored, presented, expected) in [
            ("Foo", &[("foo", "1")][..], &[("foo", "1")][..], true),
            ("Foo", &[("foo", "1")], &[("foo", "2")], false),
            ("Foo", &[], &[("foo", "1")], false),
            ("Foo", &[("foo", "1")], &[], false),
            ("Foo", &[], &[("foo", "")], false),
            ("Foo", &[], &[], true),
            ("foo", &[("foo", "1"), ("other", "2")], &[("foo", "1"), ("other", "3")], true),
            ("Foo, Bar", &[("foo", "1"), ("bar", "abc")], &[("bar", "abc"), ("foo", "1")], true),
            ("Foo, Bar", &[("foo", "1"), ("bar", "abc")], &[("bar", "abc"), ("foo", "2")], false),
            ("Foo, Bar", &[("foo", "1"), ("bar", "abc")], &[], false),
            ("Foo, Bar, Baz", &[("foo", "1"), ("baz", "7")], &[("foo", "1"), ("baz", "7")], true),
            ("Foo, Bar, Baz", &[("foo", "1"), ("baz", "7")], &[("foo", "1"), ("baz", "7"), ("bar", "x")], false),
            ("Foo", &[("foo", "1, 2")], &[("foo", "1"), ("foo", "2")], true),
            ("Foo", &[("foo", "1,2")], &[("foo", " 1, 2 ")], true),
            ("Foo", &[("foo", "1 2")], &[("foo", "1  2")], false),
            ("Foo", &[("foo", "1, 2")], &[("foo", "2, 1")], false),
            ("Foo", &[("foo", "a")], &[("foo", "A")], false),
            ("Foo", &[("foo", "\"a , b\"")], &[("foo", "\"a,b\"")], false),
            ("Foo", &[("foo", "\"a\\\" , b\"")], &[("foo", "\"a\\\",b\"")], false),
            ("User-Agent", &[("user-agent", "a, b")], &[("user-agent", "a,b")], false),
            ("Cookie", &[("cookie", "a=1")], &[("cookie", "a=1")], true),
            ("Accept-Language", &[("accept-language", "en, de")], &[("accept-language", "de, en")], true),
            ("Accept-Language", &[("accept-language", "en, de")], &[("accept-language", "eN, De")], true),
            ("Accept-Language", &[("accept-language", "en, de")], &[("accept-language", " en ,   de")], true),
            ("Accept-Language", &[("accept-language", "en, de")], &[("accept-language", "en;q=0.5, de")], false),
            ("Accept-Language", &[("accept-language", "en;q=0.50")], &[("accept-language", "en ; Q=0.5")], true),
            ("Accept-Encoding", &[("accept-encoding", "gzip, br")], &[("accept-encoding", "br;q=1.0,GZIP")], true),
            ("Accept-Encoding", &[("accept-encoding", "gzip, br")], &[("accept-encoding", "gzip")], false),
            ("Accept-Encoding", &[], &[("accept-encoding", "")], false),
            ("Accept-Encoding", &[], &[], true),
            ("Accept-Encoding", &[("accept-encoding", "gzip")], &[("accept-encoding", "x-1, gzip, x-2;q=0.1")], true),
            ("Accept-Encoding", &[("accept-encoding", "x-1")], &[("accept-encoding", "x-2, no coding")], true),
            ("Accept-Encoding", &[("accept-encoding", "x-1")], &[], false),
            ("Accept-Encoding", &[("accept-encoding", "x-1, br")], &[("accept-encoding", "br;q=0.9")], false),
        ] {
            let selection = Selection::of(&fields(&[("vary", vary)]), &fields(stored)).unwrap();
            assert_eq!(selection.matches(&fields(presented)), expected, "{vary}: {stored:?} {presented:?}");
            let read = Selection::read(selection.iter().map(|(n, v)| (n.clone(), v.map(Into::into))).collect());
            assert_eq!(read, selection);
        }
    }

    #[test]
    fn what_is_in_a_coding_that_nobody_knows_is_for_who_names_it() {
        for (coded, stored, presented, expected) in [
            ("x-own", "x-own, gzip", "x-own, gzip", true),
            ("x-own", "x-own, gzip", "gzip", false),
            ("x-own", "x-own, gzip", "x-1, gzip", false),
            ("x-own", "x-own", "x-1", false),
            ("gzip", "x-own, gzip", "x-1, gzip", true),
            // An origin may be kinder than this.
            ("gzip", "gzip;q=2, br", "br", false),
            ("gzip", "gzip;q=2, br", "gzip;q=2,br", true),
            ("gzip, x-own", "gzip, x-own", "gzip", false),
            ("gzip", "*, x-1", "*, x-2", true),
        ] {
            let response = fields(&[("vary", "Accept-Encoding"), ("content-encoding", coded)]);
            let selection = Selection::of(&response, &fields(&[("accept-encoding", stored)])).unwrap();
            assert_eq!(
                selection.matches(&fields(&[("accept-encoding", presented)])),
                expected,
                "{stored}: {presented}"
            );
        }
    }

    #[test]
    fn nothing_chooses_a_star() {
        for lines in
            [&["*"][..], &["*, *"], &["*", "*"], &[", *"], &["", "*"], &["*, Foo"], &["Foo, *"], &["a b"], &["\u{e9}"]]
        {
            let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
            assert_eq!(Selection::of(&fields(&lines), &fields(&[("foo", "1")])), None, "{lines:?}");
        }
        let many: String = (0..=MOST).map(|number| format!("f{number},")).collect();
        assert_eq!(Selection::of(&fields(&[("vary", many.leak())]), &Fields::default()), None);
        assert!(Selection::of(&fields(&[("vary", "")]), &Fields::default()).unwrap().is_empty());
        let (one, other) = (fields(&[("vary", "B, a, b")]), fields(&[("vary", "A"), ("vary", "b")]));
        let selection = Selection::of(&one, &one).unwrap();
        assert_eq!(Some(&selection), Selection::of(&other, &one).as_ref());
        for (vary, expected) in [("b, A", true), ("a", false), ("a, b, c", false), ("*", false)] {
            assert_eq!(selection.is_of(&fields(&[("vary", vary)])), expected, "{vary}");
        }
    }

    #[test]
    fn the_language_that_is_liked_best() {
        for (stored, spoken, presented, expected) in [
            ("en, de", &["de"][..], Some("fr;q=0.5, de;q=1.0"), true),
            ("en, de", &["de-CH"], Some("DE"), true),
            ("en, de", &["de"], Some("de-CH"), false),
            ("en, de", &["den"], Some("de"), false),
            ("en, de", &["de"], Some("fr, de"), false),
            ("en, de", &["de"], Some("fr, de;q=0.9"), false),
            ("en, de", &["de"], Some("*"), false),
            ("en, de", &["de"], Some("de;q=0"), false),
            ("en, de", &["de"], Some("de;q=x"), false),
            ("en, de", &["de, en"], Some("de"), false),
            ("en, de", &["de", "en"], Some("de"), false),
            ("en, de", &[], Some("de"), false),
            ("en, de", &["de"], None, false),
        ] {
            let mut response = fields(&[("vary", "Accept-Language, Foo")]);
            spoken.iter().for_each(|tag| response.append(header::CONTENT_LANGUAGE, Value::from_static(tag)));
            let selection = Selection::of(&response, &fields(&[("accept-language", stored), ("foo", "1")])).unwrap();
            let mut lines = vec![("foo", "1")];
            lines.extend(presented.map(|value| ("accept-language", value)));
            assert_eq!(selection.speaks(&response, &fields(&lines)), expected, "{spoken:?} {presented:?}");
            lines[0].1 = "2";
            assert!(!selection.speaks(&response, &fields(&lines)));
        }
    }
}
