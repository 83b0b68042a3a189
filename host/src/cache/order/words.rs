//! An order's words: `prefix, tag=news, match="^/img/[0-9]{1,3}\.png$"`.
//!
//! Commas stand between words; what is between quotation marks is taken as it is, save that `\"` is a quotation mark. Every
//! other backslash stays, so that a pattern is written as anywhere else.

use super::BadOrder;

/// `name` or `name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) name: String,
    pub(super) value: Option<String>,
}

/// Words of one order: each is work for everything that is stored.
pub(super) const MOST: usize = 64;

/// All words; a text without any is none.
pub(super) fn read(text: &str) -> Result<Vec<Word>, BadOrder> {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, left) = one(rest)?;
        words.extend(word);
        rest = left;
        if words.len() > MOST {
            return Err(BadOrder::TooMany(MOST, "words"));
        }
    }
    Ok(words)
}

/// The first word, if there is one before the first comma, and what is behind that.
fn one(text: &str) -> Result<(Option<Word>, &str), BadOrder> {
    let end = text.find([',', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    let name = name.trim().to_owned();
    let Some(rest) = rest.strip_prefix('=') else {
        let left = rest.strip_prefix(',').unwrap_or(rest);
        return Ok(((!name.is_empty()).then_some(Word { name, value: None }), left));
    };
    let rest = rest.trim_start();
    let (value, left) = match rest.strip_prefix('"') {
        Some(quoted) => unquote(quoted).ok_or_else(|| BadOrder::Open(name.clone()))?,
        None => {
            let end = rest.find(',').unwrap_or(rest.len());
            let (value, left) = rest.split_at_checked(end).unwrap_or((rest, ""));
            (value.trim().to_owned(), left)
        }
    };
    let left = left.trim_start();
    match (left.strip_prefix(','), left.is_empty()) {
        (None, false) => Err(BadOrder::Behind(name)),
        (left, _) => Ok((Some(Word { name, value: Some(value) }), left.unwrap_or_default())),
    }
}

/// What is before the closing quotation mark, and what is behind it.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((value, text.get(at + 1..).unwrap_or_default())),
            '\\' => match letters.next()? {
                (_, '"') => value.push('"'),
                (_, other) => value.extend(['\\', other]),
            },
            letter => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        for (text, words) in [
            ("", &[][..]),
            (" , ,", &[]),
            ("soft", &[("soft", None)]),
            (" prefix , soft ", &[("prefix", None), ("soft", None)]),
            ("tag=a b,tag = c ,all", &[("tag", Some("a b")), ("tag", Some("c")), ("all", None)]),
            ("tag=", &[("tag", Some(""))]),
            ("tag=a=b", &[("tag", Some("a=b"))]),
            (r#"match="a{1,2}\.png\"" , soft"#, &[("match", Some(r#"a{1,2}\.png""#)), ("soft", None)]),
            (r#"match="\\""#, &[("match", Some(r"\\"))]),
            (r#"tag="""#, &[("tag", Some(""))]),
        ] {
            let read = read(text).unwrap();
            let read: Vec<_> = read.iter().map(|word| (&*word.name, word.value.as_deref())).collect();
            assert_eq!(read, words, "{text}");
        }
    }

    #[test]
    fn what_is_not_closed_is_no_word() {
        for (text, why) in [
            (r#"match="abc"#, BadOrder::Open("match".to_owned())),
            (r#"match="abc\""#, BadOrder::Open("match".to_owned())),
            (r#"match="a" b"#, BadOrder::Behind("match".to_owned())),
        ] {
            assert_eq!(read(text), Err(why), "{text}");
        }
        assert_eq!(read(&"a,".repeat(MOST + 1)), Err(BadOrder::TooMany(MOST, "words")));
    }
}
