//! The response cache on a disk, over the wire: what a killed gateway leaves, how objects leave the disk, and what becomes of
//! requests when the disk is full, slow, broken or somebody else's.

mod broken;
mod kill;
mod ledger;
mod moved;
mod sizes;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use weir_tests::{Config, Gateway, Origin, Place, Response, eventually};

const CONFIG: &str = r#"
[listener.web]
bind = "127.0.0.1:0"
{listener}
[pool.app]
member = ["{app}"]
[cache.pages]
disk = { path = "{store}", size = "{size}"{more} }
purge = ["127.0.0.1"]
{cache}
[site.all]
route = [
  { path = "/end", respond = { body = "end of it" } },
  { path = "/past/", pool = "app" },
  { pool = "app", cache = "pages" },
]
"#;

/// A cache's directory, which outlives the gateways that use it.
struct Store(Place);

impl Store {
    fn fresh() -> Store {
        Store(Place::fresh())
    }

    fn path(&self) -> PathBuf {
        self.0.join("store")
    }

    /// A gateway that uses it, and nothing but the disk.
    fn config(&self, app: &Origin) -> Config {
        self.config_with(app, "memory = \"off\"")
    }

    /// With this said of the cache.
    fn config_with(&self, app: &Origin, cache: &str) -> Config {
        self.config_of(app, cache, "", "")
    }

    /// With this said of the cache, of its disk, and of the listener.
    fn config_of(&self, app: &Origin, cache: &str, disk: &str, listener: &str) -> Config {
        let config = Config::text(CONFIG).fill("app", &app.url()).fill("store", &self.path().display().to_string());
        config.fill("cache", cache).fill("listener", listener).fill("size", "16MiB").fill("more", disk)
    }

    fn objects(&self) -> Vec<PathBuf> {
        files(&self.path().join("objects"))
    }

    fn unfinished(&self) -> Vec<PathBuf> {
        files(&self.path().join("written"))
    }

    /// Bytes that its files take, as the file system counts them.
    fn bytes(&self) -> u64 {
        let all = self.objects().into_iter().chain(self.unfinished());
        all.filter_map(|path| fs::metadata(path).ok()).map(|found| found.blocks() * 512).sum()
    }

    /// Waits until so many objects have their files.
    #[track_caller]
    fn holds(&self, count: usize) {
        eventually(&format!("{count} objects on the disk"), || {
            (self.objects().len() == count && self.unfinished().is_empty()).then_some(())
        });
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// What `Cache-Status` says first: `hit`, or why the upstream was asked.
fn said(response: &Response) -> String {
    let status = response.fields.get("cache-status").unwrap_or_default();
    status.split(';').nth(1).unwrap_or_default().to_owned()
}

/// Asks for what is there already, and never the upstream.
#[track_caller]
fn only_stored(gateway: &Gateway, target: &str) -> Response {
    gateway.client().ask(target, &[("Cache-Control", "only-if-cached")])
}
