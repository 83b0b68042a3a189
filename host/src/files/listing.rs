//! What is in a directory, as a page or as JSON.
//!
//! Shown is what would be answered if it were asked for: regular files and directories that the root lets anybody see.

use std::fmt::Write as _;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::fs::{Dir, OFlags};
use time::OffsetDateTime;

use super::door::Door;
use super::jail::{self, Trouble, Wait};
use super::{Asked, beneath, blocking, failure, path};
use crate::body::Body;
use crate::config::Symlinks;
use crate::failure::{Failure, Kind};
use crate::message::answer::{Form, form};
use crate::message::{Method, ResponseHead, Status, Value, name};

/// Entries that are shown at most: a page of a megabyte and a half.
const MOST: usize = 10_000;

/// A directory's listing.
pub(super) async fn answer(door: &Door, path: &[u8], asked: Asked<'_>) -> Result<(ResponseHead, Body), Failure> {
    let search = Search {
        directory: door.directory.try_clone().map_err(|error| Failure::of(Kind::Internal, error.to_string()))?,
        path: path.to_vec(),
        links: door.root.plan.symlinks,
        hidden: door.root.plan.hidden,
    };
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
        (name::CONTENT_SECURITY_POLICY, Value::from_static("default-src 'none'; style-src 'unsafe-inline'")),
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
    directory: OwnedFd,
    path: Vec<u8>,
    links: Symlinks,
    hidden: bool,
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
        let root = self.directory.as_fd();
        jail::look(root, &self.path, self.links, Wait::May)?.real()?;
        let directory = jail::directory(root, &self.path, self.links, OFlags::RDONLY)?;
        let (mut entries, mut is_cut) = (Vec::new(), false);
        for found in Dir::new(directory)? {
            let found = found?;
            let name = found.file_name().to_bytes();
            if matches!(name, b"." | b"..") || !self.hidden && path::is_hidden(name) {
                continue;
            }
            if entries.len() == MOST {
                is_cut = true;
                break;
            }
            if let Ok(seen) = jail::look(root, &beneath(&self.path, name), self.links, Wait::May) {
                let (size, modified) = (seen.stand.size, seen.stand.modified.0);
                entries.push(Entry { is_file: !seen.stand.is_directory, name: name.to_vec(), size, modified });
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
        let _ = write!(
            out,
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n{STYLE}"
        );
        let _ = write!(out, "</head>\n<body><h1>{title}</h1>\n<table>\n");
        if self.has_parent {
            out.push_str("<tr><td><a href=\"../\">../</a><td><td>\n");
        }
        for entry in &self.entries {
            let (href, name) = (entry.href(), escaped(&entry.shown()));
            let size = if entry.is_file { entry.size.to_string() } else { String::new() };
            let _ = writeln!(out, "<tr><td><a href=\"{href}\">{name}</a><td>{size}<td>{}", entry.date(' '));
        }
        out.push_str("</table>\n");
        if self.is_cut {
            let _ = writeln!(out, "<p>There is more; {MOST} entries are shown.</p>");
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

const STYLE: &str = "<style>body{font-family:sans-serif}td{padding:0 1em 0 0}td+td{text-align:right}</style>";

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

/// As text of a page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            sign if sign.is_control() => out.push(char::REPLACEMENT_CHARACTER),
            sign => out.push(sign),
        }
    }
    out
}
