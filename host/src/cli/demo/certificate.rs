//! The demo's certificate: files of this process alone, gone with it.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::tls;

/// The names that stand in `demo.toml`.
const CHAIN: &str = "demo-certificate.pem";
const KEY: &str = "demo-key.pem";

/// A directory with the files; it is removed when this is dropped.
pub(super) struct Certificate(PathBuf);

impl Certificate {
    /// Makes one for this machine.
    pub(super) fn make() -> io::Result<Self> {
        let name = format!("weir-demo-{}-{:016x}", std::process::id(), fastrand::u64(..));
        let made = Self(std::env::temp_dir().join(name));
        DirBuilder::new().mode(0o700).create(&made.0)?;
        let (chain, key) = tls::self_signed(&["localhost", "127.0.0.1"]).map_err(io::Error::other)?;
        made.write(CHAIN, &chain)?;
        made.write(KEY, &key)?;
        Ok(made)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.0
    }

    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(self.0.join(name))?;
        file.write_all(text.as_bytes())
    }
}

impl Drop for Certificate {
    fn drop(&mut self) {
        // In a directory for such things, what is left behind harms nobody.
        let _ = fs::remove_dir_all(&self.0);
    }
}
