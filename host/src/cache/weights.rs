//! Lists with weights (RFC 9110, section 12.4.2): `Accept-Encoding`, `Accept-Language`, `Accept-Charset`, in one form.

/// The same list, in the order of liking and then of letters, in lower case, without blanks; weights in thousandths, and
/// only where they are not 1. `None` if it is no such list.
#[must_use]
pub(super) fn normal(value: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(value.len());
    for (word, weight) in sorted(value)? {
        if !out.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(word.as_bytes());
        if weight != WHOLE {
            out.extend_from_slice(format!(";{weight}").as_bytes());
        }
    }
    Some(out)
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
    let mut wanted = wanted.split(|&byte| byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty());
    wanted.all(|wanted| {
        let is_liked = |(word, weight): &(String, u16)| *weight > 0 && word.as_bytes().eq_ignore_ascii_case(wanted);
        wanted.eq_ignore_ascii_case(b"identity") || liked.iter().any(is_liked)
    })
}

/// A weight of 1.
const WHOLE: u16 = 1000;

/// Words that one list may have and still be put in order; browsers send fewer than ten.
const MOST: usize = 64;

fn sorted(value: &[u8]) -> Option<Vec<(String, u16)>> {
    let text = str::from_utf8(value).ok()?;
    let mut words = Vec::new();
    for member in text.split(',').map(str::trim).filter(|member| !member.is_empty()) {
        let (word, parameter) =
            member.split_once(';').map_or((member, None), |(word, rest)| (word.trim_end(), Some(rest)));
        let weight = parameter.map_or(Some(WHOLE), weight)?;
        let is_word = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'=');
        if !is_word || words.len() == MOST {
            return None;
        }
        words.push((alias(word.to_ascii_lowercase()), weight));
    }
    words.sort_by(|(one, first), (other, second)| second.cmp(first).then_with(|| one.cmp(other)));
    words.dedup();
    Some(words)
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
fn alias(word: String) -> String {
    match word.as_str() {
        "x-gzip" => "gzip".to_owned(),
        "x-compress" => "compress".to_owned(),
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
