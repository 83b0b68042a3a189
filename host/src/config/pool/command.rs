//! `command`: the program that serves at a member's address.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::table::{Item, Table};
use crate::config::{Command, MemberAddress};

pub(super) fn read(member: &Table<'_>, address: Option<&MemberAddress>) -> Option<Arc<Command>> {
    let item = member.item("command")?;
    if address.is_some_and(|address| !is_local(address)) {
        item.problem("only a member on this machine (loopback or a Unix socket) can be started");
    }
    let table = item.inner_table()?;
    let argv = table.required("argv", r#"["python3", "app.py"]"#).map(|item| (argv(&item), item));
    let environment = table.item("environment").and_then(|item| item.inner_table());
    let user = table.item("user").and_then(|item| id(&item, "/etc/passwd", "user"));
    let group = table.item("group").and_then(|item| id(&item, "/etc/group", "group"));
    let directory = table.item("directory").and_then(|item| directory(&item));
    let command = Command {
        argv: argv.as_ref().map(|(argv, _)| argv.clone()).unwrap_or_default(),
        environment: environment.iter().flat_map(variables).collect(),
        inherit_environment: table.boolean("inherit-environment", true),
        user: user.map(|(id, _)| id),
        group: group.map(|(id, _)| id).or(user.and_then(|(_, group)| group)),
        directory,
        start_timeout: table.duration("start-timeout", Duration::from_secs(10)),
        stop_timeout: table.duration("stop-timeout", Duration::from_secs(5)),
    };
    table.finish();
    if let Some((argv, item)) = &argv {
        check_program(item, argv.first()?);
    }
    Some(Arc::new(command))
}

fn is_local(address: &MemberAddress) -> bool {
    match address {
        MemberAddress::Tcp(address) => address.ip().to_canonical().is_loopback(),
        MemberAddress::Name(name, _) => name == "localhost" || name.ends_with(".localhost"),
        MemberAddress::Unix(_) | MemberAddress::Abstract(_) => true,
        MemberAddress::Service(_) => false,
    }
}

fn argv(item: &Item<'_>) -> Vec<String> {
    let words = item.at_least_one();
    let words: Vec<_> = words.iter().filter_map(|word| Some((word, word.string()?))).collect();
    for (word, _) in words.iter().filter(|(_, text)| text.contains('\0')) {
        word.problem("has a zero byte");
    }
    words.iter().map(|(_, text)| (*text).to_owned()).collect()
}

fn variables(table: &Table<'_>) -> Vec<(String, String)> {
    let variable = |item: Item<'_>| {
        let value = item.string()?;
        if item.key.is_empty() || item.key.contains(['=', '\0']) || value.contains('\0') {
            item.say(format!("{:?} cannot be set as a variable", item.key));
        }
        Some((item.key.clone(), value.to_owned()))
    };
    table.items().filter_map(variable).collect()
}

/// A program is a path, or is looked for where the shell would look.
fn check_program(item: &Item<'_>, program: &str) {
    let is_there = |path: PathBuf| fs::metadata(path).is_ok_and(|found| found.is_file());
    let found = match program.contains('/') {
        true => is_there(Path::new(program).to_owned()),
        false => {
            env::var_os("PATH").is_some_and(|paths| env::split_paths(&paths).any(|path| is_there(path.join(program))))
        }
    };
    if !found {
        let place = if program.contains('/') { "does not exist" } else { "is not in any directory of PATH" };
        item.problem(format!("the program {program:?} {place}"));
    }
}

fn directory(item: &Item<'_>) -> Option<PathBuf> {
    let path = item.source.resolve(item.string()?);
    if !path.is_dir() {
        item.problem(format!("{} is not a directory", path.display()));
    }
    Some(path)
}

/// A number, or a name that `file` knows; for a user, its group too.
fn id(item: &Item<'_>, file: &str, what: &str) -> Option<(u32, Option<u32>)> {
    if let Some(number) = item.as_integer() {
        let id = u32::try_from(number).ok();
        if id.is_none() {
            item.wrong(format!("a {what}'s name or number"));
        }
        return id.map(|id| (id, None));
    }
    let name = item.string()?;
    let known = fs::read_to_string(file).unwrap_or_default();
    let found = known.lines().find_map(|line| {
        let mut columns = line.split(':');
        (columns.next()? == name).then_some(())?;
        let id = columns.nth(1)?.parse().ok()?;
        Some((id, if what == "user" { columns.next()?.parse().ok() } else { None }))
    });
    if found.is_none() {
        item.problem(format!("{what} {name:?} is not in {file}"));
    }
    found
}
