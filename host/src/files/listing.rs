//! What is in a directory, as a page or as JSON.
//!
//! Shown is what would be answered if it were asked for: regular files and directories that the root lets anybody see.

use std::fmt::Write as _;
use std::sync::Arc;

use rustix::fs::{Dir, OFlags};
use time::OffsetDateTime;

use super::door::Door;
use super::jail::{Jail, Trouble, Wait};
use super::{Asked, beneath, blocking, failure, path};
use crate::body::Body;
use crate::failure::Failure;
use crate::message::answer::{self, Form, form};
use crate::message::{Method, ResponseHead, Status, Value, name};

/// Entries that are shown at most: a page of a megabyte and a half.
const MOST: usize = 10_000;

/// A directory's listing.
pub(super) async fn answer(door: &Door, path: &[u8], asked: Asked<'_>) -> Result<(ResponseHead, Body), Failure> {
    let search = Search { jail: door.jail.clone(), path: path.to_vec(), hidden: door.root.plan.hidden, most: MOST };
    let is_json = form(&asked.request.fields) == Form::Json;
    let title = asked.known_as.map_or_else(|| asked.request.path().to_owned(), str::to_owned);
    let written = blocking::run(move || {
        let listing = search.read()?;
        Ok(if is_json { listing.json() } else { listing.html(&title) })
    });
    let text: Result<String, Trouble> = written.await.unwrap_or(Err(Trouble::Moved));
    let text = text.map_err(|trouble| failure(door, path, trouble))?;
    let kind = if is_json { "application/json" } else { "text/html; charset=utf-8" };
    let mut head = ResponseHead { status: Status::OK, fields: asked.given };
    for (name, value) in [
        (name::CONTENT_TYPE, Value::from_static(kind)),
        (name::CONTENT_LENGTH, Value::from(text.len())),
        (name::VARY, Value::from_static("Accept")),
        // It changes with every file, and nothing says when.
        (name::CACHE_CONTROL, Value::from_static("no-cache")),
        (name::CONTENT_SECURITY_POLICY, Value::from_static("default-src 'none'")),
        (name::X_CONTENT_TYPE_OPTIONS, Value::from_static("nosniff")),
    ] {
        head.fields.set(name, value);
    }
    for of_a_file in [name::ETAG, name::LAST_MODIFIED, name::CONTENT_RANGE, name::ACCEPT_RANGES] {
        head.fields.remove(of_a_file);
    }
    let has_body = asked.request.method != Method::HEAD;
    Ok((head, if has_body { Body::from(bytes::Bytes::from(text)) } else { Body::Empty }))
}

struct Search {
    jail: Arc<Jail>,
    path: Vec<u8>,
    hidden: bool,
    most: usize,
}

struct Listing {
    /// Directories first, then by name.
    entries: Vec<Entry>,
    /// It is not the root itself.
    has_parent: bool,
    /// There is more than is shown.
    is_cut: bool,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    is_file: bool,
    name: Vec<u8>,
    size: u64,
    modified: i64,
}

impl Search {
    fn read(&self) -> Result<Listing, Trouble> {
        let directory = self.jail.directory(&self.path, OFlags::RDONLY)?;
        let (mut entries, mut is_cut) = (Vec::new(), false);
        for found in Dir::new(directory)? {
            let found = found?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") || !self.hidden && path::is_hidden(name) {
                continue;
            }
            if entries.len() == self.most {
                is_cut = true;
                break;
            }
            if let Ok(stand) = self.jail.look(&beneath(&self.path, name), Wait::May) {
                let (size, modified) = (stand.size, stand.modified.0);
                entries.push(Entry { is_file: !stand.is_directory, name: name.to_vec(), size, modified });
            }
        }
        entries.sort_unstable();
        Ok(Listing { entries, has_parent: !self.path.is_empty(), is_cut })
    }
}

impl Listing {
    fn html(&self, title: &str) -> String {
        let mut out = String::with_capacity(512 + self.entries.len() * 160);
        let title = escaped(title);
        let _ = write!(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>");
        let _ = write!(out, "</head>\n<body><h1>{title}</h1>\n<table cellpadding=\"4\">\n");
        if self.has_parent {
            out.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
        }
        for entry in &self.entries {
            let (href, name) = (entry.href(), escaped(&entry.shown()));
            let size = if entry.is_file { entry.size.to_string() } else { String::new() };
            let _ =
                writeln!(out, "<tr><td><a href=\"{href}\">{name}</a><td align=\"right\">{size}<td>{}", entry.date(' '));
        }
        out.push_str("</table>\n");
        if self.is_cut {
            let _ = writeln!(out, "<p>There is more; {} entries are shown.</p>", self.entries.len());
        }
        out.push_str("</body></html>\n");
        out
    }

    fn json(&self) -> String {
        let entries = self.entries.iter().map(|entry| {
            serde_json::json!({
                "name": String::from_utf8_lossy(&entry.name),
                "href": entry.href(),
                "type": if entry.is_file { "file" } else { "directory" },
                "size": entry.is_file.then_some(entry.size),
                "modified": entry.date('T') + "Z",
            })
        });
        let entries: Vec<_> = entries.collect();
        format!("{}\n", serde_json::json!({ "entries": entries, "complete": !self.is_cut }))
    }
}

impl Entry {
    /// As a relative reference. Everything that could mean something else in one is escaped, a colon too.
    fn href(&self) -> String {
        let mut href = String::with_capacity(self.name.len() + 1);
        for &byte in &self.name {
            match byte {
                b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => href.push(char::from(byte)),
                byte => drop(write!(href, "%{byte:02X}")),
            }
        }
        href.push_str(if self.is_file { "" } else { "/" });
        href
    }

    fn shown(&self) -> String {
        let slash = if self.is_file { "" } else { "/" };
        format!("{}{slash}", String::from_utf8_lossy(&self.name))
    }

    /// In UTC, to the second.
    fn date(&self, between: char) -> String {
        let at = OffsetDateTime::from_unix_timestamp(self.modified).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (month, [hour, minute, second]) = (u8::from(at.month()), [at.hour(), at.minute(), at.second()]);
        format!("{:04}-{month:02}-{:02}{between}{hour:02}:{minute:02}:{second:02}", at.year(), at.day())
    }
}

/// As text of a page, where a sign that cannot be shown is seen all the same.
fn escaped(text: &str) -> String {
    answer::html(&text.replace(char::is_control, "\u{fffd}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::Symlinks;

    #[test]
    fn listings_are_bounded() {
        let path = std::env::temp_dir().join(format!("weir-listing-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        (0..5).for_each(|number| fs::write(path.join(number.to_string()), "x").unwrap());
        let jail = Arc::new(Jail::at(&path, Symlinks::Deny, Wait::May).unwrap());
        for (most, shown, is_cut) in [(0, 0, true), (3, 3, true), (4, 4, true), (5, 5, false), (6, 5, false)] {
            let search = Search { jail: jail.clone(), path: Vec::new(), hidden: false, most };
            let listing = search.read().unwrap();
            assert_eq!((listing.entries.len(), listing.is_cut), (shown, is_cut), "{most}");
            assert_eq!(listing.html("/").contains("There is more"), is_cut);
            assert_eq!(listing.json().contains("\"complete\":false"), is_cut);
        }
        fs::remove_dir_all(&path).unwrap();
    }
}
