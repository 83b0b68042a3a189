//! The roots of a plan: whether they are there, and which of them an absolute path lies beneath.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::jail::{Jail, Trouble};
use crate::config::{self, Problem};
use crate::failure::{Failure, Kind};

/// A plan's roots.
#[derive(Debug, Default)]
pub struct Roots(Vec<Arc<Root>>);

/// A root.
#[derive(Debug)]
pub(super) struct Root {
    pub(super) plan: config::Root,
    /// Its path without links, as it was when a thread last saw the directory change.
    real: ArcSwap<Vec<u8>>,
    /// The operator was told that upstreams want files of it deleted.
    told: AtomicBool,
}

impl Roots {
    /// Opens roots, so that one that is not there is found before anything is served. Threads open them again, by their
    /// paths, and see it when a path comes to lead elsewhere.
    ///
    /// # Errors
    /// Every one that cannot be opened.
    pub fn open(plan: &[config::Root]) -> Result<Self, Vec<Problem>> {
        let (mut roots, mut problems) = (Vec::new(), Vec::new());
        for root in plan {
            match Jail::probe(&root.path) {
                Ok(()) => roots.push(Arc::new(Root::of(root))),
                Err(text) => problems.push(Problem::at(&root.place, root.told(&text))),
            }
        }
        if problems.is_empty() { Ok(Self(roots)) } else { Err(problems) }
    }

    /// Which root's file an absolute path would be, among those that upstreams may name: its index and the rest of the path.
    ///
    /// A root is known by its path as the config has it, and by its path without links: programs that ask where they are
    /// are told that one. Of several the longest counts. The rest is not checked.
    #[must_use]
    pub fn find<'p>(&self, path: &'p [u8], among: Option<&[usize]>) -> Option<(usize, &'p [u8])> {
        let named = |index: &usize| among.is_none_or(|among| among.contains(index));
        let roots = self.0.iter().enumerate().filter(|(index, root)| root.plan.accel && named(index));
        let beneath = roots.filter_map(|(index, root)| Some((index, root.rest(path)?)));
        beneath.min_by_key(|(_, rest)| rest.len()).map(|(index, rest)| (index, without_slashes(rest)))
    }

    /// Why a root cannot be entered.
    pub(super) fn failure(&self, index: usize, trouble: Trouble) -> Failure {
        match self.get(index) {
            Some(root) => trouble.into_failure(&root.plan.name, b"."),
            None => Failure::of(Kind::Internal, "there is no such root"),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&Arc<Root>> {
        self.0.get(index)
    }
}

impl Root {
    fn of(plan: &config::Root) -> Self {
        let root = Self { plan: plan.clone(), real: ArcSwap::default(), told: AtomicBool::new(false) };
        root.resolve();
        root
    }

    /// Looks up where its path leads; may wait for a disk.
    pub(super) fn resolve(&self) {
        if let Ok(real) = self.plan.path.canonicalize() {
            self.real.store(Arc::new(bytes(&real).to_vec()));
        }
    }

    /// Whether upstreams may have its files deleted; if not, the operator is told once.
    pub(super) fn may_delete(&self) -> bool {
        if !self.plan.temporary && !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                root = %self.plan.name,
                "an upstream wants a file deleted when it was sent; `temporary` of this root does not allow it"
            );
        }
        self.plan.temporary
    }

    fn rest<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        let written = below(path, bytes(&self.plan.path));
        let real = below(path, &self.real.load());
        match (written, real) {
            (Some(written), Some(real)) => Some(if real.len() < written.len() { real } else { written }),
            (written, real) => written.or(real),
        }
    }
}

impl config::Root {
    /// A sentence about it. A route's own root has its path for a name, which needs no saying twice.
    fn told(&self, text: &str) -> String {
        let path = self.path.display();
        if *self.name == *path.to_string() {
            return format!("root \"{path}\": {text}");
        }
        format!("root \"{}\": {path}: {text}", self.name)
    }
}

/// What stands behind a directory's path.
fn below<'p>(path: &'p [u8], directory: &[u8]) -> Option<&'p [u8]> {
    if directory.is_empty() {
        return None;
    }
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    let rest = path.strip_prefix(directory)?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

fn without_slashes(rest: &[u8]) -> &[u8] {
    let slashes = rest.iter().take_while(|&&byte| byte == b'/').count();
    rest.get(slashes..).unwrap_or_default()
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
