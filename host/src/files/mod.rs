//! Files beneath their roots, as answers.
//!
//! A path never leaves its root, whatever it says and whatever happens to directories meanwhile. What HTTP asks of a file
//! (conditions, ranges, codings) is decided in `message/`; here it is found, opened, and put together.

use crate::body::Body;
use crate::config::{self, Problem};
use crate::failure::{Failure, Kind};
use crate::message::{Fields, RequestHead, ResponseHead};

/// A plan's roots, opened.
#[derive(Debug, Default)]
pub struct Roots(Vec<config::Root>);

/// What a thread knows of files.
#[derive(Debug)]
pub struct Files;

/// A file that is asked for.
pub struct Asked<'a> {
    /// Index of its root.
    pub root: usize,
    /// Its path beneath the root, percent-decoded, without a slash at its beginning.
    pub path: &'a [u8],
    /// Who asks, and how.
    pub request: &'a RequestHead,
    /// The path by which a client knows a directory, when it is to be told of the slash that is missing at its end.
    pub known_as: Option<&'a str>,
    /// What the answer says whatever the file is: it stands in the place of the file's own fields, and of its validators
    /// too if there are some among it.
    pub given: Fields,
    /// The file is deleted when it was sent, if its root lets it be.
    pub temporary: bool,
}

impl Roots {
    /// Opens roots.
    ///
    /// # Errors
    /// Every one that cannot be opened.
    pub fn open(plan: &[config::Root]) -> Result<Self, Vec<Problem>> {
        Ok(Self(plan.to_vec()))
    }

    /// Which root's file an absolute path would be, among those that upstreams may name: its index and the rest of the path.
    #[must_use]
    pub fn find<'p>(&self, path: &'p [u8], among: Option<&[usize]>) -> Option<(usize, &'p [u8])> {
        let _ = (path, among);
        None
    }
}

impl Files {
    /// A thread's.
    #[must_use]
    pub fn start(_plan: &config::Files) -> Self {
        Self
    }

    /// The answer to a request for a file.
    ///
    /// # Errors
    /// `NoFile`, `FileForbidden`, `MethodNotAllowed`, `Internal`.
    pub async fn answer(&self, roots: &Roots, asked: Asked<'_>) -> Result<(ResponseHead, Body), Failure> {
        let _ = (roots, asked.root);
        Err(Kind::NoFile.into())
    }
}
