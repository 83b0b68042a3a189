//! Structured fields (RFC 9651) as far as caches speak them: dictionaries and lists are read, strings are written.
//!
//! Reading is as strict as the RFC: one wrong byte and there is no field. Types that no cache directive has are checked
//! and then forgotten.

/// A member: of a dictionary or of a list. Parameters are checked and dropped (RFC 9213, section 2.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// `?1`, or a key alone.
    Boolean(bool),
    /// A whole number of at most 15 digits.
    Integer(i64),
    /// `"text"`.
    String(String),
    /// A word.
    Token(String),
    /// Decimals, dates, bytes, display strings, inner lists: valid, and of no use here.
    Other,
}

/// What is left to be read.
struct Parser<'a>(&'a [u8]);

/// Keys that a dictionary may have: as many as everybody has to take (RFC 9651, section 3.2). Each is compared with those
/// before it.
const MOST: usize = 1024;

/// Reads a dictionary (RFC 9651, section 4.2.2): keys in order, of a key that comes twice the later value.
#[must_use]
pub(super) fn dictionary(text: &[u8]) -> Option<Vec<(String, Item)>> {
    let mut members: Vec<(String, Item)> = Vec::new();
    let mut parser = Parser(text);
    parser.members(|parser| {
        let key = parser.key()?;
        let item =
            if parser.take(b'=') { parser.member()? } else { parser.parameters().map(|()| Item::Boolean(true))? };
        let is_full = members.len() == MOST;
        match members.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => *known = item,
            None if is_full => return None,
            None => members.push((key, item)),
        }
        Some(())
    })?;
    Some(members)
}

/// Reads a list (RFC 9651, section 4.2.1).
#[must_use]
pub(super) fn list(text: &[u8]) -> Option<Vec<Item>> {
    let mut items = Vec::new();
    Parser(text).members(|parser| {
        items.push(parser.member()?);
        Some(())
    })?;
    Some(items)
}

/// Writes a string (RFC 9651, section 4.1.6); what it cannot hold becomes `?`.
#[must_use]
pub(super) fn string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            ' '..='~' => out.push(letter),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

/// Whether a text can stand as a token (RFC 9651, section 3.3.4).
#[must_use]
pub(super) fn is_token(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '*') && text.bytes().all(is_token_byte)
}

impl Parser<'_> {
    /// Members with commas between them, up to the end of the text.
    fn members(&mut self, mut member: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.skip(|byte| byte == b' ');
        while !self.0.is_empty() {
            member(self)?;
            let before = self.0;
            self.skip(is_blank);
            if self.0.is_empty() {
                // Only spaces may stand at the very end, no tabs.
                return before.iter().all(|&byte| byte == b' ').then_some(());
            }
            if !self.take(b',') {
                return None;
            }
            self.skip(is_blank);
            if self.0.is_empty() {
                return None;
            }
        }
        Some(())
    }

    fn member(&mut self) -> Option<Item> {
        let item = if self.0.first() == Some(&b'(') { self.inner_list()? } else { self.bare()? };
        self.parameters()?;
        Some(item)
    }

    fn inner_list(&mut self) -> Option<Item> {
        self.next()?;
        loop {
            self.skip(|byte| byte == b' ');
            if self.take(b')') {
                return Some(Item::Other);
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.0.first(), Some(b' ' | b')')) {
                return None;
            }
        }
    }

    fn parameters(&mut self) -> Option<()> {
        while self.take(b';') {
            self.skip(|byte| byte == b' ');
            self.key()?;
            if self.take(b'=') {
                self.bare()?;
            }
        }
        Some(())
    }

    fn key(&mut self) -> Option<String> {
        let is_key = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte);
        let starts = self.0.first().is_some_and(|&first| first.is_ascii_lowercase() || first == b'*');
        if starts { Some(self.word(is_key)) } else { None }
    }

    fn bare(&mut self) -> Option<Item> {
        match *self.0.first()? {
            b'-' | b'0'..=b'9' => self.number(),
            b'"' => self.string().map(Item::String),
            b'?' => self.boolean(),
            b'*' | b'a'..=b'z' | b'A'..=b'Z' => Some(Item::Token(self.word(is_token_byte))),
            b':' => self.bytes(),
            b'@' => {
                self.next();
                matches!(self.number()?, Item::Integer(_)).then_some(Item::Other)
            }
            b'%' => self.display(),
            _ => None,
        }
    }

    /// Section 4.2.4: 15 digits, or 12 before a point and 3 behind it.
    fn number(&mut self) -> Option<Item> {
        let sign = if self.take(b'-') { -1 } else { 1 };
        let whole = self.word(|byte| byte.is_ascii_digit());
        if !self.take(b'.') {
            return if (1..=15).contains(&whole.len()) {
                Some(Item::Integer(sign * whole.parse::<i64>().ok()?))
            } else {
                None
            };
        }
        let part = self.word(|byte| byte.is_ascii_digit());
        ((1..=12).contains(&whole.len()) && (1..=3).contains(&part.len())).then_some(Item::Other)
    }

    fn string(&mut self) -> Option<String> {
        self.next()?;
        let mut out = String::new();
        loop {
            match self.next()? {
                b'"' => return Some(out),
                b'\\' => match self.next()? {
                    byte @ (b'"' | b'\\') => out.push(char::from(byte)),
                    _ => return None,
                },
                byte @ b' '..=b'~' => out.push(char::from(byte)),
                _ => return None,
            }
        }
    }

    fn boolean(&mut self) -> Option<Item> {
        self.next()?;
        match self.next()? {
            b'0' => Some(Item::Boolean(false)),
            b'1' => Some(Item::Boolean(true)),
            _ => None,
        }
    }

    fn bytes(&mut self) -> Option<Item> {
        self.next()?;
        self.skip(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
        self.take(b':').then_some(Item::Other)
    }

    fn display(&mut self) -> Option<Item> {
        self.next()?;
        if !self.take(b'"') {
            return None;
        }
        self.skip(|byte| matches!(byte, b' '..=b'~') && byte != b'"');
        self.take(b'"').then_some(Item::Other)
    }

    fn word(&mut self, is_part: impl Fn(u8) -> bool) -> String {
        let mut out = String::new();
        while let Some(&byte) = self.0.first().filter(|byte| is_part(**byte)) {
            out.push(char::from(byte));
            self.next();
        }
        out
    }

    fn skip(&mut self, is_skipped: impl Fn(u8) -> bool) {
        while self.0.first().is_some_and(|&byte| is_skipped(byte)) {
            self.next();
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.0.first() == Some(&byte);
        if is_there {
            self.next();
        }
        is_there
    }

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `tchar` of RFC 9110, section 5.6.2, with `:` and `/`.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dictionaries() {
        let int = Item::Integer;
        type Members<'a> = Option<&'a [(&'a str, Item)]>;
        let cases: &[(&str, Members<'_>)] = &[
            ("", Some(&[])),
            ("max-age=3600", Some(&[("max-age", int(3600))])),
            ("foobar, max-age=3600", Some(&[("foobar", Item::Boolean(true)), ("max-age", int(3600))])),
            ("  a=1 ,\t b;q=?0;x=2 ", Some(&[("a", int(1)), ("b", Item::Boolean(true))])),
            ("a=1, b=2, a=-3", Some(&[("a", int(-3)), ("b", int(2))])),
            ("a=\"x \\\" y\"", Some(&[("a", Item::String("x \" y".to_owned()))])),
            ("a=tok/en:1", Some(&[("a", Item::Token("tok/en:1".to_owned()))])),
            ("a=?0", Some(&[("a", Item::Boolean(false))])),
            ("a=1.5, b=:YWI=:, c=@12, d=(1 \"x\";p tok), e=%\"f%c3%bc\"", None),
            ("a=1.5", Some(&[("a", Item::Other)])),
            ("a=(1 \"x\";p tok)", Some(&[("a", Item::Other)])),
            ("a=()", Some(&[("a", Item::Other)])),
            ("max-age=10000, &&&&&", None),
            ("max-age =100", None),
            ("max-age= 100", None),
            ("MaX-aGe=3600", None),
            ("a=1,", None),
            (",a=1", None),
            ("a=1 b=2", None),
            ("a=1\t", None),
            ("a=1234567890123456", None),
            ("a=1.2345", None),
            ("a=-", None),
            ("a=\"x", None),
            ("a=\"\\x\"", None),
            ("a=\"\u{e9}\"", None),
            ("a=(1", None),
            ("a=(1\"x\")", None),
            ("a=?2", None),
            ("a=:??:", None),
            ("a=@1.5", None),
            ("a;=1", None),
        ];
        for (text, expected) in cases {
            let expected =
                expected.map(|list| list.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect::<Vec<_>>());
            // The one case with every type at once is there to be read, not to be compared.
            if text.contains("%c3") {
                assert_eq!(dictionary(text.as_bytes()).unwrap().len(), 5);
                continue;
            }
            assert_eq!(dictionary(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn lists() {
        let text = |text: &str| Item::String(text.to_owned());
        assert_eq!(list(br#""a", "b";x=1"#), Some(vec![text("a"), text("b")]));
        assert_eq!(list(b"a, 1"), Some(vec![Item::Token("a".to_owned()), Item::Integer(1)]));
        assert_eq!(list(b""), Some(vec![]));
        assert_eq!(list(br#""a" "b""#), None);
    }

    #[test]
    fn texts_are_written() {
        for (text, written) in [("", "\"\""), ("a\"b\\c", "\"a\\\"b\\\\c\""), ("a\nb\u{e9}", "\"a?b?\"")] {
            assert_eq!(string(text), written);
        }
        for (text, expected) in
            [("weir", true), ("*a", true), ("a:b/c", true), ("", false), ("1a", false), ("a b", false)]
        {
            assert_eq!(is_token(text), expected, "{text}");
        }
    }
}
