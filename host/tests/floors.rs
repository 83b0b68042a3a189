//! The house's statics, read from its source: rooms use only rooms below them, walls hold, files stay readable.
//!
//! It reads text, not syntax: comments are cut off, then `crate::room` and names of crates are looked for. Tests inside of
//! rooms count like everything else. What is allowed is listed here and nowhere else, and a list that allows more than is
//! needed fails too.

#![allow(clippy::string_slice, reason = "places come from `match_indices` and `char_indices`")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from the ground up. A room uses rooms on floors below its own, never a neighbour.
const FLOORS: &[&[&str]] = &[
    &["clock", "failure", "kernel", "message"],
    &["body", "config"],
    &["balance", "cache", "files", "fitness", "log", "routes", "shelf", "tls", "wasm"],
    &["upstream"],
    &["chain", "pool"],
    &["generation"],
    &["pipeline"],
    &["admin", "front"],
    &["gateway"],
    &["cli"],
    &["main"],
];

/// What stays behind a wall, and where it may stand: rooms (`wasm/`) or files (`wasm/cache.rs`).
const WALLS: &[(&str, &[&str])] = &[
    ("wasmtime", &["wasm/"]),
    ("wasmtime_wasi", &["wasm/"]),
    ("wit_component", &["wasm/"]),
    ("wit_parser", &["wasm/"]),
    ("serde", &[]),
    ("toml", &["config/"]),
    // JSON is also what lines of logs and answers to clients and operators are written in, and what filters get their settings in.
    ("serde_json", &["admin/", "cli/cache.rs", "cli/cache/", "config/", "files/", "log/", "message/answer.rs"]),
    ("hickory_resolver", &["upstream/"]),
    ("hyper", &["admin/", "front/", "upstream/"]),
    ("hyper_util", &["admin/", "front/", "upstream/"]),
    ("h2", &["front/h2/", "upstream/"]),
    ("clap", &["cli/"]),
    ("socket2", &["gateway/bind.rs", "gateway/bind/", "upstream/reach.rs"]),
    ("libc", &["clock/thread_time.rs", "gateway/", "kernel/", "wasm/cache.rs"]),
    ("regex", &["cache/order.rs", "cache/order/", "config/", "routes/"]),
    ("rustls", &["tls/"]),
    ("tokio_rustls", &["tls/", "upstream/"]),
    ("x509_parser", &["tls/"]),
    ("mime_guess", &["files/"]),
    ("moka", &["pool/", "shelf/"]),
    ("rustix", &["files/", "kernel/", "pool/local/process.rs", "shelf/directory.rs"]),
    ("quinn", &["front/h3/"]),
    ("h3", &["front/h3/"]),
    ("unsafe", &["clock/thread_time.rs", "gateway/system.rs", "kernel/", "wasm/cache.rs"]),
    ("Instant::now", &["clock/mod.rs"]),
    ("SystemTime::now", &["clock/mod.rs"]),
    (".elapsed()", &[]),
];

/// Lines beyond which a file needs a reason to be as long as it is.
const LONG: usize = 450;

/// Files that are longer, and why.
const LONGER: &[(&str, &str)] = &[("front/gate/tests.rs", "tables of what passes the gate and what does not")];

/// A file of the source: its path below `src` and its text.
type File = (String, String);

#[test]
fn rooms_use_only_rooms_below_them() {
    let found = upward(&source());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_room_is_on_exactly_one_floor() {
    let rooms: BTreeSet<String> = source().iter().map(|(path, _)| room(path).to_owned()).collect();
    let mut floors: BTreeMap<&str, usize> = BTreeMap::new();
    FLOORS.iter().flat_map(|floor| floor.iter()).for_each(|room| *floors.entry(room).or_default() += 1);
    for room in rooms.iter().filter(|room| *room != "lib") {
        assert_eq!(floors.get(room.as_str()), Some(&1), "room {room}/ must be on one floor of FLOORS");
    }
    for room in floors.keys() {
        assert!(rooms.contains(*room), "FLOORS has a room {room}/ that does not exist");
    }
}

#[test]
fn walls_hold() {
    let found = breaches(&source());
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn no_wall_has_a_hole_that_nobody_uses() {
    let files = source();
    for (name, allowed) in WALLS {
        for place in *allowed {
            let used = files.iter().any(|(path, text)| stands_in(path, place) && mentions(text, name));
            assert!(used, "`{name}` is allowed in {place} and not used there");
        }
    }
}

#[test]
fn long_files_have_a_reason() {
    let files = source();
    for (path, text) in &files {
        let lines = text.lines().count();
        let listed = LONGER.iter().any(|(listed, reason)| listed == path && !reason.is_empty());
        assert!(lines <= LONG || listed, "{path} has {lines} lines: split it, or give LONGER a reason");
        assert!(lines > LONG || !listed, "{path} has {lines} lines again: take it out of LONGER");
    }
    for (path, _) in LONGER {
        assert!(files.iter().any(|(known, _)| known == path), "LONGER names {path}, which does not exist");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (path, text) in source() {
        assert!(text.starts_with("//! "), "{path} does not begin with `//! ` and what it owns");
    }
}

/// The checks themselves, on a house with everything wrong.
#[test]
fn violations_are_seen() {
    let file = |path: &str, text: &str| vec![(path.to_owned(), text.to_owned())];
    for (path, text, said) in [
        ("message/head.rs", "use crate::config::Plan;\n", "message/head.rs:1: message/ uses config/"),
        ("pool/mod.rs", "\nfn f() -> crate::chain::Chain {}\n", "pool/mod.rs:2: pool/ uses chain/"),
        ("wasm/load.rs", "use crate::{clock, generation::Current};\n", "wasm/load.rs:1: wasm/ uses generation/"),
        ("wasm/load.rs", "use crate::{\n    clock,\n    front,\n};\n", "wasm/load.rs:3: wasm/ uses front/"),
        ("body/mod.rs", "#[cfg(test)]\nmod tests {\n    use crate::wasm;\n}\n", "body/mod.rs:3: body/ uses wasm/"),
        ("cli/run.rs", "use crate::attic::Trunk;\n", "cli/run.rs:1: cli/ uses attic/"),
        ("main.rs", "use weir::attic;\n", "main.rs:1: main/ uses attic/"),
    ] {
        let found = upward(&file(path, text));
        assert!(found.len() == 1 && found[0].starts_with(said), "{path}: {found:?}");
    }
    for (path, text, said) in [
        ("chain/mod.rs", "use wasmtime::Store;\n", "chain/mod.rs:1: `wasmtime`"),
        ("log/format.rs", "#[derive(serde::Serialize)]\n", "log/format.rs:1: `serde`"),
        ("pool/mod.rs", "\nlet now = Instant::now();\n", "pool/mod.rs:2: `Instant::now`"),
        ("pool/mod.rs", "since\n    .elapsed()\n", "pool/mod.rs:2: `.elapsed()`"),
        ("front/h1.rs", "unsafe { sendfile() }\n", "front/h1.rs:1: `unsafe`"),
    ] {
        let found = breaches(&file(path, text));
        assert!(found.len() == 1 && found[0].starts_with(said), "{path}: {found:?}");
    }
    for (path, text) in [
        (
            "config/mod.rs",
            "use crate::message::Fields; // crate::gateway\n//! crate::front is above\nuse toml::Value;\n",
        ),
        ("config/mod.rs", "use crate::config::Plan;\nlet unsafe_word = serde_json::json!({});\n"),
        ("chain/mod.rs", "use crate::{clock::now, message::{config, Fields}};\n"),
    ] {
        let found = [upward(&file(path, text)), breaches(&file(path, text))].concat();
        assert!(found.is_empty(), "{path}: {found:?}");
    }
}

/// Uses of a room by one that is not above it.
fn upward(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let from = room(path);
        let root = if from == "main" { "weir::" } else { "crate::" };
        for (line, to) in uses(&code(text), root) {
            let is_below = matches!((floor(from), floor(&to)), (Some(from), Some(to)) if to < from);
            if to != from && !is_below && from != "lib" {
                let why = match floor(&to) {
                    Some(floor) => format!("which is on floor {floor}, not below"),
                    None => "which is on no floor".to_owned(),
                };
                found.push(format!("{path}:{line}: {from}/ uses {to}/, {why}"));
            }
        }
    }
    found
}

/// Names on the wrong side of their wall.
fn breaches(files: &[File]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in files {
        let text = code(text);
        for (name, allowed) in WALLS {
            if allowed.iter().any(|place| stands_in(path, place)) {
                continue;
            }
            let lines = text.lines().enumerate().filter(|(_, line)| mentions(line, name));
            found.extend(lines.map(|(index, _)| {
                let rule = if allowed.is_empty() { "has no place here" } else { "stays behind its wall: " };
                format!("{path}:{}: `{name}` {rule}{}", index + 1, allowed.join(", "))
            }));
        }
    }
    found
}

/// Rooms that a text names, with the line: `crate::room`, and each entry of `crate::{..}`.
fn uses(text: &str, root: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(root).filter(|(at, _)| !text[..*at].ends_with(is_word)) {
        let rest = &text[at + root.len()..];
        match rest.strip_prefix('{') {
            Some(list) => entries(list).for_each(|(offset, name)| {
                found.push((line_of(text, at + root.len() + 1 + offset), name));
            }),
            None => found.push((line_of(text, at), word(rest))),
        }
    }
    found.retain(|(_, name)| name.starts_with(|first: char| first.is_ascii_lowercase()));
    found
}

/// The first words of a list in braces, and where they stand; inner lists are passed over.
fn entries(list: &str) -> impl Iterator<Item = (usize, String)> {
    let (mut depth, mut is_start, mut found) = (0, true, Vec::new());
    for (at, letter) in list.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => is_start = true,
            _ if is_start && is_word(letter) => {
                found.push((at, word(&list[at..])));
                is_start = false;
            }
            _ => {}
        }
    }
    found.into_iter()
}

/// Whether a line of code has this name as a word (or as it stands, if it does not begin with a letter).
fn mentions(text: &str, name: &str) -> bool {
    text.lines().any(|line| {
        let line = without_comment(line);
        let is_crate = !name.contains(['.', ':']) && name != "unsafe";
        line.match_indices(name).any(|(at, _)| {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_whole = !before.ends_with(is_word) && !after.starts_with(is_word);
            // A crate is named in a path; a path of ours may end in a module of that name.
            let is_path = after.starts_with("::") || before.trim_end().ends_with("use") && after.starts_with(';');
            name.starts_with('.') || is_whole && (!is_crate || is_path && !before.ends_with("::"))
        })
    })
}

fn stands_in(path: &str, place: &str) -> bool {
    if place.ends_with('/') { path.starts_with(place) } else { path == place }
}

fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&room))
}

/// The room of a file: its folder, or its own name at the top.
fn room(path: &str) -> &str {
    path.split_once('/').map_or(path.trim_end_matches(".rs"), |(room, _)| room)
}

/// A text without its comments, its lines in their places.
fn code(text: &str) -> String {
    text.lines().map(without_comment).collect::<Vec<_>>().join("\n")
}

/// A line up to its comment. A `//` in a text (`"http://.."`) is none.
fn without_comment(line: &str) -> &str {
    let comment = line.match_indices("//").find(|(at, _)| !line[..*at].ends_with(':'));
    comment.map_or(line, |(at, _)| &line[..at])
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

fn word(text: &str) -> String {
    text.chars().take_while(|letter| is_word(*letter)).collect()
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn source() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).expect("it was found there").display().to_string();
    files.into_iter().map(|path| (name(&path), fs::read_to_string(&path).expect("source is readable"))).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the source is there") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}
