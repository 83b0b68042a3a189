//! Files that are deleted when they were sent, because whoever named them made them for one answer.
//!
//! Deleted is exactly the file that was opened, beneath its root, and by its own name: a link to it stays, and so does what
//! came in its place. (Between the last look at the name and its removal there is a moment that the kernel lets nobody
//! close; who can rename files there can delete them as well.) It happens when the body is gone, sent or not. Answers that
//! have no byte of it (`HEAD`, 304, 412, 416) delete nothing: the client is yet to ask for it. A range is an answer.

use std::sync::Arc;

use super::blocking;
use super::door::Door;
use super::jail::{Jail, Stand};
use super::open::Opened;
use super::roots::Root;

/// Deletes a file when it is dropped.
pub(super) struct Temporary(Option<File>);

struct File {
    root: Arc<Root>,
    jail: Arc<Jail>,
    path: Box<[u8]>,
    stand: Stand,
}

impl Temporary {
    /// Of the file at a path.
    pub(super) fn of(door: &Door, path: &[u8], opened: &Opened) -> Self {
        let (root, jail) = (door.root.clone(), door.jail.clone());
        Self(Some(File { root, jail, path: path.into(), stand: opened.stand }))
    }

    /// Lets the file be.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(file) = self.0.take() {
            blocking::give(move || file.delete());
        }
    }
}

impl File {
    fn delete(self) {
        if let Err(trouble) = self.jail.delete(&self.path, &self.stand) {
            let failure = trouble.into_failure(&self.root.plan.name, &self.path);
            tracing::warn!("a temporary file was sent and could not be deleted: {failure}");
        }
    }
}
