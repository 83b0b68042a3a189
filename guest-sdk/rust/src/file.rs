//! Answers with files: a filter names one, and the gateway sends it. The filter never sees it.

use std::fmt;

use crate::{Answer, host};

/// Why the gateway does not take a file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The config does not list the root in this filter's `roots`.
    NotGranted,
    /// The path is longer than 4 KiB, or has a NUL, a slash at its beginning, or an empty segment, `.` or `..` in it.
    BadPath,
}

impl Answer {
    /// With a file as its body: the one at `path`, not percent-encoded, beneath a root of the config. As it stands, with
    /// the status 200, the gateway makes of it what it makes of any file: type, length and validators, a part, 304 or
    /// 404, as the client asks and the file is. [`header`](Answer::header) puts a field in the place of the file's own;
    /// under another [`status`](Answer::status) the file is sent whole.
    ///
    /// The gateway remembers the file for the call that is running, so this answer has to be what the call returns, and
    /// may not be given another body. There is nothing to answer in `configure` and `on_done`: asking there ends them.
    pub fn file(root: &str, path: &str) -> Result<Self, Refusal> {
        host::send(root, path).map(|()| Self::new(200))
    }

    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotGranted => "the config does not grant this root to the filter",
            Self::BadPath => "this is no path beneath a root",
        })
    }
}

impl std::error::Error for Refusal {}
