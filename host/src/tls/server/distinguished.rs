//! Distinguished names as text (RFC 4514), in one form whatever they hold: ASCII, one line, everything else escaped.
//!
//! Names in certificates are as hostile as whoever vouched for them lets them be. Names that say different things never give the
//! same text, unless both are longer than any that is honest.

use std::fmt::Write as _;

use super::der::{self, Element, Elements};

/// Names that are longer are cut and end in `...`, which no whole one does: a dot at the end of a value is escaped.
const LONGEST: usize = 4096;

/// Descriptors of RFC 4514, section 3, and of RFC 4519, and the one that everybody uses for mailboxes; by the object
/// identifier's octets.
const DESCRIPTORS: &[(&[u8], &str)] = &[
    (&[0x55, 4, 3], "CN"),
    (&[0x55, 4, 7], "L"),
    (&[0x55, 4, 8], "ST"),
    (&[0x55, 4, 10], "O"),
    (&[0x55, 4, 11], "OU"),
    (&[0x55, 4, 6], "C"),
    (&[0x55, 4, 9], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1], "UID"),
    (&[0x55, 4, 4], "SN"),
    (&[0x55, 4, 42], "givenName"),
    (&[0x55, 4, 5], "serialNumber"),
    (&[0x55, 4, 12], "title"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1], "emailAddress"),
];

/// A `Name` (RFC 5280, section 4.1.2.4), DER, as text: the last part first, as RFC 4514 has it.
pub(super) fn text(name: &[u8]) -> String {
    let parts = Elements(Elements(name).expect(der::SEQUENCE).unwrap_or_default());
    let mut parts: Vec<String> = parts.map(relative).collect();
    parts.reverse();
    bounded(parts.join(","))
}

fn bounded(mut text: String) -> String {
    if text.len() > LONGEST {
        // All of it is ASCII.
        text.truncate(LONGEST);
        text.push_str("...");
    }
    text
}

fn relative(set: Element<'_>) -> String {
    let pairs: Vec<String> = Elements(set.content).filter_map(pair).collect();
    pairs.join("+")
}

fn pair(pair: Element<'_>) -> Option<String> {
    let mut parts = Elements(pair.content);
    let (kind, value) = (parts.next().filter(|kind| kind.tag == der::OID)?, parts.next()?);
    let descriptor = DESCRIPTORS.iter().find(|(oid, _)| *oid == kind.content).map(|(_, name)| *name);
    Some(match (descriptor, string(value)) {
        (Some(name), Some(value)) => format!("{name}={}", escaped(&value)),
        (Some(name), None) => format!("{name}={}", hex(value)),
        // Of an attribute that goes by its number nobody knows how its value is written (RFC 4514, section 2.4).
        (None, _) => format!("{}={}", dotted(kind.content).unwrap_or_else(|| hex(kind)), hex(value)),
    })
}

/// What a value says, if it is of a type that is text.
fn string(value: Element<'_>) -> Option<String> {
    const UTF8: u8 = 0x0c;
    const NUMERIC: u8 = 0x12;
    const PRINTABLE: u8 = 0x13;
    const IA5: u8 = 0x16;
    const VISIBLE: u8 = 0x1a;
    const BMP: u8 = 0x1e;
    match value.tag {
        UTF8 | NUMERIC | PRINTABLE | IA5 | VISIBLE => String::from_utf8(value.content.to_vec()).ok(),
        BMP => {
            let (units, rest) = value.content.as_chunks();
            let units: Vec<u16> = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect();
            String::from_utf16(&units).ok().filter(|_| rest.is_empty())
        }
        _ => None,
    }
}

/// RFC 4514, section 2.4; beyond what it asks for, control characters and all that is not ASCII are written as octets.
fn escaped(value: &str) -> String {
    let (mut text, last) = (String::new(), value.len().saturating_sub(1));
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => text.extend(['\\', char::from(byte)]),
            b' ' | b'#' if at == 0 => text.extend(['\\', char::from(byte)]),
            b' ' if at == last => text.push_str("\\ "),
            b'.' if at == last => text.push_str("\\2E"),
            b' '..=b'~' => text.push(char::from(byte)),
            byte => octet(&mut text, byte),
        }
    }
    text
}

fn octet(text: &mut String, byte: u8) {
    let _ = write!(text, "\\{byte:02X}");
}

fn hex(value: Element<'_>) -> String {
    value.whole.iter().fold(String::from("#"), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// An object identifier in numbers (X.690, section 8.19); none for one that is cut short, or has a number beyond 128 bits.
fn dotted(octets: &[u8]) -> Option<String> {
    let (mut numbers, mut held) = (Vec::new(), 0_u128);
    for octet in octets {
        held = held.checked_mul(128)? | u128::from(octet & 0x7f);
        if octet & 0x80 == 0 {
            numbers.push(std::mem::take(&mut held));
        }
    }
    let first = numbers.first().copied().filter(|_| held == 0)?;
    let root = (first / 40).min(2);
    numbers.splice(..1, [root, first - root * 40]);
    Some(numbers.iter().map(u128::to_string).collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pairs of an identifier's octets and a value with its tag.
    type Pairs<'a> = &'a [(&'a [u8], (u8, &'a [u8]))];

    fn name(parts: &[Pairs<'_>]) -> Vec<u8> {
        let parts = parts.iter().map(|pairs| {
            let pairs = pairs
                .iter()
                .map(|(kind, (tag, value))| wrap(der::SEQUENCE, &[wrap(der::OID, kind), wrap(*tag, value)].concat()));
            wrap(0x31, &pairs.collect::<Vec<_>>().concat())
        });
        wrap(der::SEQUENCE, &parts.collect::<Vec<_>>().concat())
    }

    fn wrap(tag: u8, content: &[u8]) -> Vec<u8> {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[tag, 0x82], &length[..], content].concat()
    }

    const CN: &[u8] = &[0x55, 4, 3];
    const O: &[u8] = &[0x55, 4, 10];

    #[test]
    fn names_are_written_in_one_way() {
        let utf8 = |text: &'static str| (0x0c_u8, text.as_bytes());
        let long = "x".repeat(5000);
        let table: &[(&[Pairs<'_>], &str)] = &[
            (&[], ""),
            (&[&[(O, utf8("Shop"))], &[(CN, utf8("anna"))]], "CN=anna,O=Shop"),
            (&[&[(O, utf8("Shop")), (CN, utf8("anna"))]], "O=Shop+CN=anna"),
            (&[&[(CN, utf8("a,O=b"))]], r"CN=a\,O\=b"),
            (&[&[(CN, utf8(" #a "))]], r"CN=\ #a\ "),
            (&[&[(CN, utf8("#1"))]], r"CN=\#1"),
            (&[&[(CN, utf8(" "))]], r"CN=\ "),
            (&[&[(CN, utf8("a\"+;<>\\"))]], r#"CN=a\"\+\;\<\>\\"#),
            (&[&[(CN, utf8("a\r\n\0\u{7f}"))]], r"CN=a\0D\0A\00\7F"),
            (&[&[(CN, utf8("Gör\u{202e}"))]], r"CN=G\C3\B6r\E2\80\AE"),
            (&[&[(CN, utf8("a..."))]], r"CN=a..\2E"),
            (&[&[(CN, (0x1e, b"\0a\0b"))]], "CN=ab"),
            (&[&[(CN, (0x1e, b"\0a\0"))]], "CN=#1E820003006100"),
            (&[&[(CN, (0x0c, &[0xff]))]], "CN=#0C820001FF"),
            (&[&[(CN, (0x14, b"t"))]], "CN=#1482000174"),
            (&[&[(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2], utf8("a"))]], "1.2.840.113549.1.9.2=#0C82000161"),
            (&[&[(&[0x88, 0x37], utf8("a"))]], "2.999=#0C82000161"),
            (&[&[(&[0x88], utf8("a"))]], "#0682000188=#0C82000161"),
            (&[&[(&[0xff; 20], (5, b""))]], "#06820014FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF=#05820000"),
            (&[&[(CN, (0x0c, long.as_bytes()))]], &format!("CN={}...", "x".repeat(LONGEST - 3))),
        ];
        for (parts, expected) in table {
            assert_eq!(text(&name(parts)), *expected);
        }
    }

    #[test]
    fn what_is_no_name_says_nothing() {
        for bytes in [&[][..], &[0x30], &[0x30, 5, 1], &[0x31, 0], &[0x30, 2, 0x31, 9]] {
            assert_eq!(text(bytes), "");
        }
    }
}
