//! Files, their roots, and what upstreams may say of them, written out.

use super::keys::Keys;
use super::{Writer, key, list, path_text, text, value_text};
use crate::config::files::SYMLINKS;
use crate::config::value::write_size;
use crate::config::{Accel, Files, Plan, Root, whole};

pub(super) fn write(out: &mut Writer, files: &Files) {
    out.section("[files]");
    out.key("open", files.open);
    out.duration("revalidate", files.fresh);
    out.text("small", &write_size(files.small));
    out.key("threads", files.threads);
}

/// Whether it has a section: a route's own is called by its path.
pub(super) fn is_named(root: &Root) -> bool {
    !root.name.contains('/')
}

pub(super) fn write_root(out: &mut Writer, root: &Root) {
    out.section(&format!("[root.{}]", key(&root.name)));
    out.key("path", path_text(&root.path));
    out.word("symlinks", &SYMLINKS, root.symlinks);
    out.key("hidden", root.hidden);
    out.key("index", list(root.index.iter().map(|name| text(name))));
    out.key("listing", root.listing);
    out.key("precompressed", list(root.precompressed.iter().map(|coding| text(coding.name()))));
    let mut types = Keys::default();
    for (extension, value) in &root.content_types {
        types.key(&text(extension), value_text(value));
    }
    out.key("content-types", types.table());
    out.key("default-type", value_text(&root.default_type));
    out.text("charset", root.charset.as_deref().unwrap_or(whole::OFF));
    if let Some(value) = &root.cache_control {
        out.key("cache-control", value_text(value));
    }
    out.key("accel", root.accel);
    out.key("temporary", root.temporary);
}

/// `accel`, of a pool or a route.
pub(super) fn accel_value(plan: &Plan, accel: &Accel) -> String {
    if !accel.follow {
        return "false".to_owned();
    }
    let mut keys = Keys::default();
    keys.some("roots", accel.roots.as_ref().map(|roots| list(roots.iter().map(|root| text(plan.root_name(*root))))));
    keys.key("keep-fields", list(accel.keep_fields.iter().map(|name| text(name.as_str()))));
    keys.key("upstream-validators", accel.upstream_validators);
    keys.table()
}
