//! The part of the plan that is about files: directories they come from, and what an upstream may say of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Place;
use crate::message::{Coding, Name, Value};

/// What holds for all files: `[files]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Open files that a thread keeps at most; zero means none.
    pub open: usize,
    /// How long what is known of an open file holds before it is looked at again.
    pub fresh: Duration,
    /// Files up to so many bytes are kept in memory while they are open, and leave with their head in one write.
    pub small: u64,
    /// Threads that wait for disks, over all workers.
    pub threads: usize,
}

/// A directory that files come from: `[root.NAME]`, or a route's own, by its path.
#[derive(Debug, Clone)]
pub struct Root {
    /// Its name; its path, for a route's own.
    pub name: Arc<str>,
    /// Where it is; absolute.
    pub path: PathBuf,
    /// What symbolic links may do.
    pub symlinks: Symlinks,
    /// Serve names that begin with a dot.
    pub hidden: bool,
    /// Names that stand for a directory, tried in order.
    pub index: Vec<String>,
    /// List directories that have none of these.
    pub listing: bool,
    /// Codings that files may lie beside in (`app.js.br`), most wanted first.
    pub precompressed: Vec<Coding>,
    /// By extension, in lower case and without the dot; goes before the table that comes with the gateway.
    pub content_types: Vec<(String, Value)>,
    /// Of files whose extension says nothing.
    pub default_type: Value,
    /// Said of texts; `None` means that nothing is.
    pub charset: Option<String>,
    /// `Cache-Control` of its files.
    pub cache_control: Option<Value>,
    /// Upstreams may name its files.
    pub accel: bool,
    /// Upstreams may have its files deleted when they were sent.
    pub temporary: bool,
    /// Where it was written.
    pub place: Place,
}

/// What symbolic links may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Symlinks {
    /// None is followed.
    Deny,
    /// Followed as long as they stay beneath the root.
    Beneath,
}

/// What an upstream's `X-Sendfile` and `X-Accel-*` may do. They never reach a client, whatever this says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accel {
    /// They are followed.
    pub follow: bool,
    /// Indices of roots whose files may be named; `None` means every root that lets upstreams.
    pub roots: Option<Vec<usize>>,
    /// Fields of the upstream's answer that are kept, beside those that always are.
    pub keep_fields: Vec<Name>,
    /// The upstream's own `ETag` and `Last-Modified` stand for the file's.
    pub upstream_validators: bool,
}

impl Default for Files {
    fn default() -> Self {
        // A thousand small files are 16 MiB at most on each thread. A second is what Last-Modified can tell apart.
        Self { open: 1024, fresh: Duration::from_secs(1), small: 16 << 10, threads: 16 }
    }
}

impl Default for Accel {
    fn default() -> Self {
        Self { follow: true, roots: None, keep_fields: Vec::new(), upstream_validators: false }
    }
}
