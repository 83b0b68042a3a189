//! `[admin]`: the socket by which the operator looks at the gateway and tells it what to do.

use std::path::PathBuf;

use super::listener::{self, bind};
use super::pool::command;
use super::table::{Item, Table};
use super::{Admin, Bind};

/// For the gateway's own user alone.
const OWN: u32 = 0o600;
/// With a group named, for whoever is in it, too.
const SHARED: u32 = 0o660;
/// Bits that a mode has beside those of special meaning, which a socket has none for.
const MOST: u32 = 0o777;

/// The section, if there is one; its socket is nobody else's.
pub(super) fn read(top: &Table<'_>, listeners: &[listener::Found<'_>]) -> Option<Admin> {
    let table = top.item("admin")?.inner_table()?;
    let socket = table.required("socket", r#""/run/weir/admin.sock""#).and_then(|item| socket(&item, listeners));
    let mode = table.item("mode").map(|item| mode(&item));
    let group = table.item("group").map(|item| command::group(&item));
    table.finish();
    let default = if group.is_some() { SHARED } else { OWN };
    Some(Admin { socket: socket?, mode: mode.unwrap_or(Some(default))?, group: group.flatten(), place: table.place })
}

fn socket(item: &Item<'_>, listeners: &[listener::Found<'_>]) -> Option<PathBuf> {
    let text = item.string()?;
    if text.is_empty() {
        item.problem(r#"the path is empty; to have no such socket leave [admin] out"#);
        return None;
    }
    if let Some(path) = text.strip_prefix("unix:") {
        item.problem(format!("expected a path, found {text:?} (did you mean {path:?}?)"));
        return None;
    }
    let path = bind::socket_path(item, text)?;
    let wanted = Bind::Unix(path.clone());
    if let Some(other) = listeners.iter().find(|found| found.listener.bind.contains(&wanted)) {
        let bind = bind::write(&wanted);
        item.problem(format!("{bind} is bound by listener {:?} already", &*other.listener.name));
    }
    Some(path)
}

/// As chmod(1) takes it.
fn mode(item: &Item<'_>) -> Option<u32> {
    let digits = item.as_str().filter(|text| matches!(text.len(), 3 | 4) && text.bytes().all(|b| b.is_ascii_digit()));
    let mode = digits.and_then(|digits| u32::from_str_radix(digits, 8).ok()).filter(|mode| *mode <= MOST);
    if mode.is_none() {
        item.wrong(r#"a mode in octal digits such as "0600" or "0660""#);
    }
    mode
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::config::{Admin, parse};

    fn admin(text: &str) -> Option<Admin> {
        let base = "[listener.web]\nbind = \"127.0.0.1:0\"\n[site.main]\nroute = [{ respond = {} }]";
        parse(&format!("{text}\n{base}"), "weir.toml", Path::new("/etc/weir")).unwrap().admin
    }

    #[test]
    fn a_socket_is_the_gateways_own_unless_it_is_shared() {
        assert_eq!(admin(""), None);
        for (keys, mode, group) in [
            ("", 0o600, None),
            ("mode = \"0666\"", 0o666, None),
            ("mode = \"640\"", 0o640, None),
            ("group = 0", 0o660, Some(0)),
            ("group = \"root\"\nmode = \"0620\"", 0o620, Some(0)),
        ] {
            let found = admin(&format!("[admin]\nsocket = \"run/admin.sock\"\n{keys}")).unwrap();
            assert_eq!((found.mode, found.group), (mode, group), "{keys}");
            assert_eq!(found.socket, Path::new("/etc/weir/run/admin.sock"));
        }
    }
}
