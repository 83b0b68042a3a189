//! `Set-Cookie` (RFC 6265, section 4.1): only `Domain` and `Path` are touched, the rest stays byte by byte.

use crate::reverse::Mapping;

/// The line with its domain and path mapped; `None` where nothing changes. The first mapping that fits counts.
pub(crate) fn mapped(line: &[u8], domains: &[Mapping], paths: &[Mapping]) -> Option<Vec<u8>> {
    let mut changed = false;
    let mut out = Vec::with_capacity(line.len() + 16);
    for (index, part) in line.split(|byte| *byte == b';').enumerate() {
        let new = if index == 0 { None } else { attribute(part, domains, paths) };
        changed |= new.is_some();
        let part = match &new {
            Some(None) => continue,
            Some(Some(part)) => part.as_slice(),
            None => part,
        };
        if index > 0 {
            out.push(b';');
        }
        out.extend_from_slice(part);
    }
    changed.then_some(out)
}

/// `Some(None)`: the attribute goes.
fn attribute(part: &[u8], domains: &[Mapping], paths: &[Mapping]) -> Option<Option<Vec<u8>>> {
    let part = std::str::from_utf8(part).ok()?;
    let (name, value) = part.split_once('=')?;
    let (word, value) = (name.trim(), value.trim());
    if word.eq_ignore_ascii_case("domain") {
        let bare = value.strip_prefix('.').unwrap_or(value);
        let fits = |mapping: &&Mapping| bare.eq_ignore_ascii_case(mapping.from.trim_start_matches('.'));
        let mapping = domains.iter().find(fits)?;
        return Some((!mapping.to.is_empty()).then(|| format!("{name}={}", mapping.to).into_bytes()));
    }
    if word.eq_ignore_ascii_case("path") {
        let path = paths.iter().find_map(|mapping| mapping.path(value))?;
        return Some(Some(format!("{name}={path}").into_bytes()));
    }
    None
}
