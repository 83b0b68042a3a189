//! What a path asks for, before anything is looked for.

/// A path that may be looked for beneath a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted<'p> {
    /// Without a slash at either end; empty for the root itself.
    pub(super) path: &'p [u8],
    /// It ends in a slash, or is the root itself: a directory is meant, and a file would be something else.
    pub(super) is_directory: bool,
}

/// Longer paths are no file's: `PATH_MAX`.
const LONGEST: usize = 4096;

/// The one directory with a dot that everybody may see: it is there to be seen (RFC 8615).
const WELL_KNOWN: &[u8] = b".well-known";

/// Reads a decoded path. `None` where there can be nothing: a NUL, an empty segment, `.`, `..`, and names that begin with a
/// dot unless these are shown; `.well-known` at the very beginning always is.
pub(super) fn read(path: &[u8], hidden: bool) -> Option<Wanted<'_>> {
    if path.len() >= LONGEST || path.contains(&0) {
        return None;
    }
    if path.is_empty() {
        return Some(Wanted { path, is_directory: true });
    }
    let stripped = path.strip_suffix(b"/");
    let (path, is_directory) = (stripped.unwrap_or(path), stripped.is_some());
    let may_be = |(place, segment): (usize, &[u8])| match segment {
        b"" | b"." | b".." => false,
        WELL_KNOWN if place == 0 => true,
        segment => hidden || !is_hidden(segment),
    };
    let all_may = path.split(|&byte| byte == b'/').enumerate().all(may_be);
    all_may.then_some(Wanted { path, is_directory })
}

/// Whether a name is one that is not shown.
pub(super) fn is_hidden(name: &[u8]) -> bool {
    name.starts_with(b".")
}

/// What stands behind the last dot of a path's last name, in lower case; nothing for `.profile` and `README`.
pub(super) fn extension(path: &[u8]) -> Option<String> {
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    let dot = name.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
    let extension = str::from_utf8(name.get(dot + 1..)?).ok()?;
    Some(extension.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_may_be() {
        for (path, wanted, is_directory) in [
            (&b""[..], &b""[..], true),
            (b"a", b"a", false),
            (b"a/b", b"a/b", false),
            (b"a/b/", b"a/b", true),
            (b"...", b"...", false),
            (b"..a", b"..a", false),
            (b"a..", b"a..", false),
            (b".well-known/acme-challenge/x", b".well-known/acme-challenge/x", false),
            (b".well-known/", b".well-known", true),
            (b"a\\..\\b\xff\n", b"a\\..\\b\xff\n", false),
            (b"%2e%2e", b"%2e%2e", false),
        ] {
            assert_eq!(read(path, true), Some(Wanted { path: wanted, is_directory }), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn paths_that_are_none() {
        for path in [
            &b"/"[..],
            b"//",
            b"/a",
            b"a//b",
            b"a//",
            b".",
            b"..",
            b"./a",
            b"../a",
            b"a/..",
            b"a/../",
            b"a/./b",
            b"a/.",
            b"a\0",
            b"a/../../b",
        ] {
            assert_eq!(read(path, true), None, "{}", path.escape_ascii());
        }
        assert_eq!(read(&b"a/".repeat(2048), true), None);
        for path in
            [&b".git/config"[..], b"a/.htaccess", b"a/.well-known/x", b".well-known/.x", b".well-knowny", b"..a"]
        {
            assert_eq!(read(path, false), None, "{}", path.escape_ascii());
        }
        assert!(read(b".well-known/x", false).is_some());
    }

    #[test]
    fn extensions() {
        for (path, expected) in [
            (&b"a.TXT"[..], Some("txt")),
            (b"a.tar.gz", Some("gz")),
            (b"a.d/b", None),
            (b".profile", None),
            (b"d/.profile", None),
            (b"a.", Some("")),
            (b"a.\xff", None),
            (b"", None),
        ] {
            assert_eq!(extension(path).as_deref(), expected, "{}", path.escape_ascii());
        }
    }
}
