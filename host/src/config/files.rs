//! `[files]`, `[root.NAME]`, and the roots that routes name by their path.
//!
//! Whether a root is there is found when it is opened, not here.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::table::{Item, Table};
use super::{Files, Root, Symlinks, page, pool, whole};
use crate::message::{Coding, Value};

pub(super) const SYMLINKS: [(&str, Symlinks); 2] = [("deny", Symlinks::Deny), ("beneath", Symlinks::Beneath)];

/// Each open file takes a descriptor and a few hundred bytes, on every thread; more is a slip.
const MOST_OPEN: u32 = 1_000_000;
/// A small file is read as a whole and kept; what is larger gains nothing from that.
const LARGEST_SMALL: u64 = 1 << 20;
/// What a file is when nobody knows (RFC 9110, section 8.3).
const UNKNOWN: &str = "application/octet-stream";
const UTF8: &str = "utf-8";

/// The roots of a config.
pub(super) struct Roots {
    named: Vec<Root>,
    names: Vec<Arc<str>>,
    /// Those of routes that name a path, each path once.
    own: RefCell<Vec<Root>>,
}

/// `[files]`.
pub(super) fn read(top: &Table<'_>) -> Files {
    let mut files = Files::default();
    if let Some(table) = top.item("files").and_then(|item| item.inner_table()) {
        let open = table.item("open").and_then(|item| item.count(0..=MOST_OPEN));
        files.open = open.map_or(files.open, |open| open as usize);
        files.fresh = table.duration_or_none("revalidate", files.fresh);
        files.small = table.item("small").and_then(|item| item.size(&(0..=LARGEST_SMALL))).unwrap_or(files.small);
        let threads = table.item("threads").and_then(|item| item.count(1..=whole::MOST_THREADS));
        files.threads = threads.map_or(files.threads, |threads| threads as usize);
        table.finish();
    }
    files
}

impl Roots {
    /// Those with names.
    pub(super) fn read(top: &Table<'_>) -> Self {
        let named: Vec<_> = top.named("root").iter().map(|(name, table)| root(name, table)).collect();
        let names = named.iter().map(|root| root.name.clone()).collect();
        Self { named, names, own: RefCell::default() }
    }

    /// Those with names, and behind them those of routes.
    pub(super) fn into_all(mut self) -> Vec<Root> {
        self.named.append(&mut self.own.into_inner());
        self.named
    }

    /// Index of the root that a route names, or makes by naming a path.
    pub(super) fn of_route(&self, item: &Item<'_>) -> Option<usize> {
        let text = item.string()?;
        if ["/", "./", "../"].iter().any(|start| text.starts_with(start)) {
            return Some(self.own(item, directory(item, text)));
        }
        if text.contains('/') || matches!(text, "." | "..") {
            let meant = if text.starts_with('.') { format!("{text}/") } else { format!("./{text}") };
            item.problem(format!("a path begins with \"/\", \"./\" or \"../\" (did you mean {meant:?}?)"));
            return None;
        }
        whole::find(item, "root", &self.names)
    }

    /// Indices of the roots that a list names.
    pub(super) fn list(&self, item: &Item<'_>) -> Vec<usize> {
        let mut found = Vec::new();
        for item in item.list().unwrap_or_default() {
            let Some(index) = whole::find(&item, "root", &self.names) else { continue };
            if found.contains(&index) {
                item.problem(format!("{:?} is in the list already", item.as_str().unwrap_or_default()));
            } else {
                found.push(index);
            }
        }
        found
    }

    /// As `list`, for those that upstreams may name.
    pub(super) fn list_for_upstreams(&self, item: &Item<'_>) -> Vec<usize> {
        let found = self.list(item);
        for root in found.iter().filter_map(|index| self.named.get(*index)).filter(|root| !root.accel) {
            item.problem(format!("no upstream may name files of root {:?}: it has accel = false", root.name));
        }
        found
    }

    fn own(&self, item: &Item<'_>, path: PathBuf) -> usize {
        let mut own = self.own.borrow_mut();
        let position = own.iter().position(|root| root.path == path).unwrap_or_else(|| {
            own.push(Root {
                name: path.to_string_lossy().into(),
                path,
                symlinks: Symlinks::Beneath,
                hidden: false,
                index: index(None),
                listing: false,
                precompressed: Vec::new(),
                content_types: Vec::new(),
                default_type: Value::from_static(UNKNOWN),
                charset: Some(UTF8.to_owned()),
                cache_control: None,
                accel: false,
                temporary: false,
                place: item.place.clone(),
            });
            own.len() - 1
        });
        self.named.len() + position
    }
}

fn root(name: &str, table: &Table<'_>) -> Root {
    let path = table.required("path", "\"/srv/www\"").and_then(|item| match item.string()? {
        "" => {
            item.problem("the path is empty; the config's own directory is \"./\"");
            None
        }
        path => Some(directory(&item, path)),
    });
    let root = Root {
        name: name.into(),
        path: path.unwrap_or_default(),
        symlinks: table.choice("symlinks", Symlinks::Beneath, &SYMLINKS),
        hidden: table.boolean("hidden", false),
        index: index(table.item("index").as_ref()),
        listing: table.boolean("listing", false),
        precompressed: table.item("precompressed").map(|item| precompressed(&item)).unwrap_or_default(),
        content_types: table.item("content-types").map(|item| content_types(&item)).unwrap_or_default(),
        default_type: table
            .item("default-type")
            .and_then(|item| media_type(&item))
            .unwrap_or(Value::from_static(UNKNOWN)),
        charset: charset(table),
        cache_control: table.item("cache-control").and_then(|item| page::value(&item)),
        accel: table.boolean("accel", true),
        temporary: table.boolean("temporary", false),
        place: table.place.clone(),
    };
    if let Some(item) = table.item("temporary").filter(|_| root.temporary && !root.accel) {
        item.problem("does nothing with accel = false: only upstreams have files deleted");
    }
    if let Some(item) = table.item("path").filter(|_| root.accel && root.path == Path::new("/")) {
        item.problem("upstreams could name every file there is, and redirect to nothing else; say accel = false");
    }
    table.finish();
    root
}

/// The path of a root, without a slash at its end.
fn directory(item: &Item<'_>, written: &str) -> PathBuf {
    item.source.resolve(written).components().collect()
}

/// Names within a directory.
fn index(item: Option<&Item<'_>>) -> Vec<String> {
    let Some(item) = item else { return vec!["index.html".to_owned()] };
    let mut names: Vec<String> = Vec::new();
    for item in item.list().unwrap_or_default() {
        match item.string() {
            None => {}
            Some(name) if matches!(name, "" | "." | "..") || name.contains(['/', '\0']) => {
                item.wrong("the name of a file, without a path");
            }
            Some(name) if names.iter().any(|known| known == name) => {
                item.problem(format!("{name:?} is in the list already"));
            }
            Some(name) => names.push(name.to_owned()),
        }
    }
    names
}

fn precompressed(item: &Item<'_>) -> Vec<Coding> {
    let words = Coding::ALL.map(|coding| (coding.name(), coding));
    let mut codings = Vec::new();
    for item in item.list().unwrap_or_default() {
        match item.choice(&words) {
            Some(coding) if codings.contains(&coding) => {
                item.problem(format!("{:?} is in the list already", coding.name()));
            }
            coding => codings.extend(coding),
        }
    }
    codings
}

/// Types by extension.
fn content_types(item: &Item<'_>) -> Vec<(String, Value)> {
    let mut types: Vec<(String, Value)> = Vec::new();
    for item in item.inner_table().iter().flat_map(Table::items) {
        let extension = item.key.to_ascii_lowercase();
        if extension.is_empty() || extension.contains(['.', '/']) {
            let bare = extension.rsplit(['.', '/']).next().filter(|bare| !bare.is_empty());
            let hint = bare.map_or_else(String::new, |bare| format!(" (did you mean {bare:?}?)"));
            item.say(format!("{:?} is not an extension: what follows a name's last dot{hint}", item.key));
        } else if types.iter().any(|(known, _)| *known == extension) {
            item.say(format!("{extension:?} is given twice; case does not matter"));
        } else {
            types.extend(media_type(&item).map(|value| (extension, value)));
        }
    }
    types
}

/// A media type (RFC 9110, section 8.3.1), with parameters or without.
fn media_type(item: &Item<'_>) -> Option<Value> {
    let value = page::value(item)?;
    let essence = item.as_str().unwrap_or_default().split(';').next().unwrap_or_default();
    let is_type =
        essence.trim_end().split_once('/').is_some_and(|(kind, sub)| pool::is_token(kind) && pool::is_token(sub));
    if !is_type {
        item.wrong("a media type such as \"text/markdown\"");
    }
    is_type.then_some(value)
}

fn charset(table: &Table<'_>) -> Option<String> {
    let Some(item) = table.item("charset") else { return Some(UTF8.to_owned()) };
    match item.string()? {
        whole::OFF => None,
        text if pool::is_token(text) => Some(text.to_owned()),
        _ => {
            item.wrong("a charset such as \"utf-8\", or \"off\"");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use crate::config::{Accel, Action, Plan, Symlinks, parse};
    use crate::message::Coding;

    const BASE: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
[pool.app]
member = ["http://127.0.0.1:9001"]
"#;

    fn plan(text: &str) -> Plan {
        parse(&format!("{BASE}{text}"), "weir.toml", Path::new("/etc/weir")).unwrap()
    }

    #[test]
    fn what_nobody_says_has_a_default() {
        let plan = plan("[root.www]\npath = \"../www/\"\n[site.main]\nroute = [{ root = \"www\" }]");
        let (files, root) = (&plan.files, &plan.roots[0]);
        assert_eq!((files.open, files.fresh), (1024, Duration::from_secs(1)));
        assert_eq!((files.small, files.threads), (16 << 10, 16));
        assert_eq!((&*root.name, root.path.to_str().unwrap()), ("www", "/etc/weir/../www"));
        assert_eq!((root.symlinks, root.hidden, root.listing), (Symlinks::Beneath, false, false));
        assert_eq!((root.index.as_slice(), root.precompressed.len()), (&["index.html".to_owned()][..], 0));
        assert_eq!(root.default_type, "application/octet-stream");
        assert_eq!((root.charset.as_deref(), &root.cache_control), (Some("utf-8"), &None));
        assert_eq!((root.accel, root.temporary), (true, false));
        assert_eq!(plan.pools[0].accel, Accel::default());
        assert!(!plan.sites[0].routes[0].internal && plan.sites[0].routes[0].accel.is_none());
    }

    #[test]
    fn what_is_said_of_a_root_is_kept_in_its_order() {
        let plan = plan(
            "[root.www]\npath = \"/srv\"\nindex = [\"b\", \"a\"]\nprecompressed = [\"gzip\", \"br\"]\ncharset = \"off\"\n\
             content-types = { TXT = \"text/x\", a = \"b/c; d=e\" }\nsymlinks = \"deny\"\n[site.main]\nroute = [{ root = \"www\" }]",
        );
        let root = &plan.roots[0];
        assert_eq!(
            (&root.index[..], &root.precompressed[..]),
            (&["b", "a"].map(str::to_owned)[..], &[Coding::Gzip, Coding::Brotli][..])
        );
        let types: Vec<_> = root.content_types.iter().map(|(ext, it)| (&**ext, it.to_str().unwrap())).collect();
        assert_eq!(types, [("txt", "text/x"), ("a", "b/c; d=e")]);
        assert_eq!((root.charset.as_deref(), root.symlinks), (None, Symlinks::Deny));
    }

    #[test]
    fn a_routes_own_root_stands_behind_the_named_ones_once() {
        let plan = plan(
            "[root.a]\npath = \"/srv/a\"\n[root.b]\npath = \"/srv/b\"\n[site.main]\nroute = [\n\
             { path = \"/1\", root = \"./own\" }, { path = \"/2\", root = \"b\" },\n\
             { path = \"/3\", root = \"/etc/weir/own/\" }, { path = \"/4\", root = \"/srv/a\" }, { path = \"/5\", root = \"/\" },\n]",
        );
        let indices = plan.sites[0].routes.iter().map(|route| match route.action {
            Action::Files(root) => root,
            _ => usize::MAX,
        });
        assert_eq!(indices.collect::<Vec<_>>(), [2, 1, 2, 3, 4]);
        let names: Vec<_> = plan.roots.iter().map(|root| &*root.name).collect();
        assert_eq!(names, ["a", "b", "/etc/weir/own", "/srv/a", "/"]);
        assert_eq!(plan.roots.iter().map(|root| root.accel).collect::<Vec<_>>(), [true, true, false, false, false]);
    }

    #[test]
    fn pools_routes_and_filters_say_whose_files_may_be_named() {
        let plan = plan(
            "[root.a]\npath = \"/a\"\naccel = false\n[root.b]\npath = \"/b\"\n[filter.f]\nmodule = \"std:x\"\nroots = [\"b\", \"a\"]\n\
             [pool.more]\nmember = [\"http://127.0.0.1:9002\"]\naccel = { roots = [\"b\"], keep-fields = [\"Link\"] }\n\
             [site.main]\nroute = [{ path = \"/1\", pool = \"more\", accel = false }, { path = \"/2\", pool = \"app\", accel = { roots = [] } }]",
        );
        let more = &plan.pools[1].accel;
        assert_eq!((more.follow, &more.roots, more.keep_fields[0].as_str()), (true, &Some(vec![1]), "link"));
        let own: Vec<_> = plan.sites[0].routes.iter().filter_map(|route| route.accel.clone()).collect();
        assert_eq!((own[0].follow, own[1].follow, &own[1].roots), (false, true, &Some(vec![])));
        assert_eq!(plan.filters[0].roots, [1, 0]);
    }
}
