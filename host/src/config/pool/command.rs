//! `command` of a member: the program that serves there. Found, with its user and group, when the plan is made.

use std::env;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::table::{Item, Table};
use crate::config::{Command, MemberAddress};

/// Where users and groups are looked up: a line a name, parts between colons (passwd(5), group(5)).
const USERS: &str = "/etc/passwd";
const GROUPS: &str = "/etc/group";

/// Reads a table, or a list that is its `argv`.
pub(super) fn read(item: &Item<'_>, address: Option<&MemberAddress>) -> Option<Command> {
    if address.is_some_and(|address| !is_local(address)) {
        item.problem("the member is on another machine; a program can only be started on this one");
    }
    let table = if item.is_table() { item.inner_table()? } else { Table::empty(item) };
    let argv = if item.is_table() { table.required("argv", r#"["python3", "app.py"]"#) } else { Some(item.clone()) };
    let argv = argv.as_ref();
    let words: Vec<String> = argv.map(|argv| argv.at_least_one()).iter().flatten().filter_map(word).collect();
    let environment = table.item("environment").map(|item| environment(&item)).unwrap_or_default();
    let inherit_environment = table.boolean("inherit-environment", true);
    let (user, group) = identity(&table);
    let directory = table.item("directory").and_then(|item| directory(&item));
    let start_timeout = table.duration("start-timeout", Duration::from_secs(10));
    let stop_timeout = table.duration("stop-timeout", Duration::from_secs(5));
    table.finish();
    let path = environment.iter().find(|(name, _)| name == "PATH").map(|(_, value)| value.clone());
    let path = path.or_else(|| env::var("PATH").ok()).unwrap_or_default();
    let (first, rest) = words.split_first()?;
    let program = program(argv?, first, &path)?;
    let argv = [program].into_iter().chain(rest.iter().cloned()).collect();
    Some(Command { argv, environment, inherit_environment, user, group, directory, start_timeout, stop_timeout })
}

/// Whether only this machine can be meant.
fn is_local(address: &MemberAddress) -> bool {
    match address {
        MemberAddress::Tcp(address) => match address.ip() {
            IpAddr::V4(address) => address.is_loopback(),
            IpAddr::V6(address) => address.is_loopback(),
        },
        // RFC 6761, section 6.3.
        MemberAddress::Name(name, _) => name == "localhost" || name.ends_with(".localhost"),
        MemberAddress::Service(_) => false,
        MemberAddress::Unix(_) | MemberAddress::Abstract(_) => true,
    }
}

fn word(item: &Item<'_>) -> Option<String> {
    let text = item.string()?;
    if text.contains('\0') {
        item.problem("a program's argument cannot hold a zero byte");
    }
    Some(text.to_owned())
}

/// A program's path: as written when it has a slash, otherwise the first of that name in `PATH`.
fn program(item: &Item<'_>, name: &str, path: &str) -> Option<String> {
    if name.contains('/') {
        let program = item.source.resolve(name);
        if !is_program(&program) {
            item.problem(format!("{} is not a program (a file that may be executed)", program.display()));
        }
        return Some(program.to_string_lossy().into_owned());
    }
    let found = env::split_paths(path).map(|directory| directory.join(name)).find(|program| is_program(program));
    match found {
        Some(program) if !name.is_empty() => Some(program.to_string_lossy().into_owned()),
        Some(_) | None => {
            item.problem(format!("there is no program {name:?} in PATH; write its whole path"));
            None
        }
    }
}

fn is_program(path: &Path) -> bool {
    path.is_absolute()
        && fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn environment(item: &Item<'_>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    for item in item.inner_table().iter().flat_map(Table::items) {
        if item.key.is_empty() || item.key.contains(['=', '\0']) {
            item.say(format!("{:?} is not a name for a variable", item.key));
        }
        if let Some(value) = word(&item) {
            variables.push((item.key.clone(), value));
        }
    }
    variables
}

fn directory(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.source.resolve(item.string()?);
    if !path.is_dir() {
        item.problem(format!("{} is not a directory", path.display()));
    }
    Some(path)
}

/// User and group. A user without a group would keep the gateway's own group, which is more than was given.
fn identity(table: &Table<'_>) -> (Option<u32>, Option<u32>) {
    let user = table.item("user").and_then(|item| Some((id(&item, USERS, "user")?, item)));
    let group = match (table.item("group"), &user) {
        (Some(item), _) => group(&item),
        (None, Some(((_, Some(group)), _))) => Some(*group),
        (None, Some((_, item))) => {
            item.problem("is not in /etc/passwd, so its group must be given as well");
            None
        }
        (None, None) => None,
    };
    (user.map(|((user, _), _)| user), group)
}

/// A group, by its number or its name.
pub(in crate::config) fn group(item: &Item<'_>) -> Option<u32> {
    id(item, GROUPS, "group").map(|(group, _)| group)
}

/// A number, or what a name stands for; with the group that a user's line tells.
fn id(item: &Item<'_>, file: &str, what: &str) -> Option<(u32, Option<u32>)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let lines = || text.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let number = |line: &[&str], index: usize| line.get(index).and_then(|part| part.parse::<u32>().ok());
    if let Some(integer) = item.as_integer() {
        let id = item.count(0..=u32::MAX - 1).filter(|id| i64::from(*id) == integer)?;
        let group = lines().find(|line| number(line, 2) == Some(id)).and_then(|line| number(&line, 3));
        return Some((id, group));
    }
    let name = item.string()?;
    let line = lines().find(|line| line.first() == Some(&name) && !name.is_empty());
    let found = line.and_then(|line| Some((number(&line, 2)?, number(&line, 3))));
    if found.is_none() {
        item.problem(format!("there is no {what} {name:?} in {file}"));
    }
    found
}
