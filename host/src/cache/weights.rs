//! Lists with weights (RFC 9110, section 12.4.2): `Accept-Encoding`, `Accept-Language`, `Accept-Charset`, in one form.

/// The same list, in the order of liking and then of letters, in lower case, without blanks; weights in thousandths, and
/// only where they are not 1. `None` if it is no such list.
#[must_use]
pub(super) fn normal(value: &[u8]) -> Option<Vec<u8>> {
    sorted(value).map(|words| written(&words))
}

/// The same of `Accept-Encoding`, without what is no coding that is known (in IANA's registry): a word that anybody can make up
/// chooses nothing among answers that are in no such coding. What is said twice counts as it was said first.
#[must_use]
pub(super) fn codings(value: &[u8]) -> Vec<u8> {
    let mut known = known(value);
    known.sort_by(|(one, first), (other, second)| second.cmp(first).then_with(|| one.cmp(other)));
    written(&known)
}

/// Whether nothing but known codings is in what `codings` or `normal` has made.
#[must_use]
pub(super) fn are_known(written: &[u8]) -> bool {
    words(written).all(|word| {
        let (word, weight) = word.split_at(word.iter().position(|&byte| byte == b';').unwrap_or(word.len()));
        let is_weight = weight.iter().skip(1).all(u8::is_ascii_digit);
        is_weight && CODINGS.iter().any(|coding| coding.as_bytes() == word)
    })
}

/// Whether a content in these codings is understood for what a list says of known codings.
#[must_use]
pub(super) fn suits(value: &[u8], codings: &[u8]) -> bool {
    let known = known(value);
    let weight = |wanted: &str| known.iter().find(|(word, _)| *word == wanted).map(|(_, weight)| *weight);
    words(codings).all(|coding| {
        let coding = str::from_utf8(coding).unwrap_or_default().to_ascii_lowercase();
        let coding = alias(&coding);
        coding == "identity" || weight(coding).or_else(|| weight("*")).is_some_and(|weight| weight > 0)
    })
}

/// The one word that is liked more than all others.
#[must_use]
pub(super) fn best(value: &[u8]) -> Option<String> {
    let mut words = sorted(value)?.into_iter();
    let (word, weight) = words.next()?;
    (weight > 0 && words.next().is_none_or(|(_, next)| next < weight)).then_some(word)
}

/// Whether a list of weighted words likes all words of another list, each by its name.
#[must_use]
pub fn knows_all(liked: &[u8], wanted: &[u8]) -> bool {
    let liked = sorted(liked).unwrap_or_default();
    words(wanted).all(|wanted| {
        let is_liked = |(word, weight): &(String, u16)| *weight > 0 && word.as_bytes().eq_ignore_ascii_case(wanted);
        wanted.eq_ignore_ascii_case(b"identity") || liked.iter().any(is_liked)
    })
}

/// A weight of 1.
const WHOLE: u16 = 1000;

/// Words that one list may have and still be put in order; browsers send fewer than ten.
const MOST: usize = 64;

/// What content can be in, and `*`.
const CODINGS: [&str; 12] =
    ["*", "aes128gcm", "br", "compress", "dcb", "dcz", "deflate", "exi", "gzip", "identity", "pack200-gzip", "zstd"];

fn sorted(value: &[u8]) -> Option<Vec<(String, u16)>> {
    let mut sorted = Vec::new();
    for found in words(value) {
        let (word, weight) = member(found).filter(|_| sorted.len() < MOST)?;
        let word = word.to_ascii_lowercase();
        sorted.push((alias(&word).to_owned(), weight));
    }
    sorted.sort_by(|(one, first), (other, second)| second.cmp(first).then_with(|| one.cmp(other)));
    sorted.dedup();
    Some(sorted)
}

/// Known codings, each once, as they stand.
fn known(value: &[u8]) -> Vec<(&'static str, u16)> {
    let mut known: Vec<(&'static str, u16)> = Vec::new();
    for (word, weight) in words(value).filter_map(member) {
        let is_word = |coding: &&&str| alias(word).eq_ignore_ascii_case(coding);
        let coding = CODINGS.iter().find(is_word).filter(|coding| known.iter().all(|(other, _)| other != *coding));
        known.extend(coding.map(|coding| (*coding, weight)));
    }
    known
}

/// What stands between commas.
fn words(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

/// A word and its weight.
fn member(member: &[u8]) -> Option<(&str, u16)> {
    let member = str::from_utf8(member).ok()?;
    let (word, parameter) = member.split_once(';').map_or((member, None), |(word, rest)| (word.trim_end(), Some(rest)));
    let weight = parameter.map_or(Some(WHOLE), weight)?;
    let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
    is_word.then_some((word, weight))
}

fn written(words: &[(impl AsRef<str>, u16)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (word, weight) in words {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(word.as_ref().as_bytes());
        if *weight != WHOLE {
            out.extend_from_slice(format!(";{weight}").as_bytes());
        }
    }
    out
}

/// `q=0.5`, up to three digits.
fn weight(parameter: &str) -> Option<u16> {
    let digits = parameter.trim().strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let is_part = part.len() <= 3 && part.bytes().all(|byte| byte.is_ascii_digit());
    let part: u16 = if is_part { format!("{part:0<3}").parse().ok()? } else { return None };
    match (whole, part) {
        ("0", part) => Some(part),
        ("1", 0) => Some(WHOLE),
        _ => None,
    }
}

/// RFC 9110, section 8.4.1: the `x-` names are the same codings.
fn alias(word: &str) -> &str {
    match word {
        _ if word.eq_ignore_ascii_case("x-gzip") => "gzip",
        _ if word.eq_ignore_ascii_case("x-compress") => "compress",
        _ => word,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_one_form() {
        for (value, expected) in [
            ("", Some("")),
            ("gzip, deflate, br", Some("br,deflate,gzip")),
            ("BR , x-gzip;q=1.0,, deflate;q=1", Some("br,deflate,gzip")),
            ("en;q=0.8, de, *;q=0.1", Some("de,en;800,*;100")),
            ("en;q=0.80,de;q=1.000,*; q=0.1", Some("de,en;800,*;100")),
            ("identity;q=0, gzip", Some("gzip,identity;0")),
            ("a, a", Some("a")),
            ("a;q=2", None),
            ("a;q=1.1", None),
            ("a;q=0.1234", None),
            ("a;q=-1", None),
            ("a;x=1", None),
            ("a b", None),
            (";q=1", None),
        ] {
            assert_eq!(normal(value.as_bytes()), expected.map(|text| text.as_bytes().to_vec()), "{value}");
        }
        assert_eq!(normal(b"\xff"), None);
        assert_eq!(normal("a,".repeat(MOST + 1).as_bytes()), None);
    }

    #[test]
    fn codings_that_are_known() {
        for (value, expected) in [
            ("gzip, deflate, br", "br,deflate,gzip"),
            ("x-1, GZIP;q=0.5,x-2;q=0, x-gzip, br", "br,gzip;500"),
            ("x-1", ""),
            ("gzip;q=2, a b, br;x=1, zstd", "zstd"),
            ("*;q=0, identity", "identity,*;0"),
            ("gzip, gzip;q=0, gzip;q=0.1", "gzip"),
        ] {
            assert_eq!(String::from_utf8(codings(value.as_bytes())).unwrap(), expected, "{value}");
        }
        assert_eq!(codings(b"\xff, br"), b"br");
        for (written, expected) in
            [("br,gzip;500", true), ("", true), ("br,x-1", false), ("br,x;1", false), ("br;q=2", false), ("B R", false)]
        {
            assert_eq!(are_known(written.as_bytes()), expected, "{written}");
        }
        assert_eq!(codings(&b"gzip;q=0.1,x,br,".repeat(10_000)), b"br,gzip;100");
        for (value, coded, expected) in [
            ("gzip", "", true),
            ("gzip", "identity", true),
            ("gzip", "X-Gzip", true),
            ("x-1, gzip", "gzip, br", false),
            ("x-1", "x-1", false),
            ("gzip;q=0, *", "gzip", false),
            ("*", "x-1", true),
            ("gzip;q=2", "gzip", false),
        ] {
            assert_eq!(suits(value.as_bytes(), coded.as_bytes()), expected, "{value}: {coded}");
        }
    }

    #[test]
    fn the_best_of_a_list() {
        for (value, expected) in [
            ("en", Some("en")),
            ("fr;q=0.5, De", Some("de")),
            ("en, de", None),
            ("en;q=0", None),
            ("", None),
            ("a;q", None),
        ] {
            assert_eq!(best(value.as_bytes()).as_deref(), expected, "{value}");
        }
    }
}
