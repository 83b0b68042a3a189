//! The operator's door, written out.

use super::{Writer, path_text};
use crate::config::Admin;

pub(super) fn write(out: &mut Writer, admin: &Admin) {
    out.section("[admin]");
    out.key("socket", path_text(&admin.socket));
    out.text("mode", &format!("{:04o}", admin.mode));
    if let Some(group) = admin.group {
        out.key("group", group);
    }
}
