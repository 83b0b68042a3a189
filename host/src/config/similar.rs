//! Did you mean? The nearest of the words that would have been right.

/// ` (did you mean "x"?)`, or nothing when no known word is near.
#[must_use]
pub fn hint<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(found, known).map_or_else(String::new, |word| format!(" (did you mean {word:?}?)"))
}

/// The known word that takes the fewest typing slips to become the found one; at most a third of its letters.
pub(super) fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    known
        .into_iter()
        .map(|word| (slips(&found, &word.to_lowercase()), word))
        .filter(|(slips, word)| *slips <= word.chars().count().max(3) / 3)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, word)| word)
}

/// Letters to add, drop, change or swap with their neighbour (optimal string alignment).
fn slips(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.chars().collect();
    let other: Vec<char> = other.chars().collect();
    let width = other.len() + 1;
    let mut before: Vec<usize> = vec![0; width];
    let mut last: Vec<usize> = (0..width).collect();
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1; width];
        for (j, b) in other.iter().enumerate() {
            let change = last[j] + usize::from(a != b);
            row[j + 1] = change.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && one[i - 1] == *b && *a == other[j - 1] {
                row[j + 1] = row[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[width - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_and_strangers_are_not() {
        let known = ["api", "files", "connect-timeout", "head-timeout"];
        for (found, expected) in [
            ("apj", Some("api")),
            ("fiels", Some("files")),
            ("conect-timeout", Some("connect-timeout")),
            ("connect_timeout", Some("connect-timeout")),
            ("Files", Some("files")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(found, known), expected, "{found}");
        }
    }
}
