//! What a thread knows of paths: open files with all that is said of them, directories, and what is not there.
//!
//! What is known holds for a while (`fresh`); then the path is walked again, and a file that is still the same one stays
//! open. A worker never waits for a disk: what cannot be told from memory is found out on a thread that may wait.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::IoSliceMut;
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::blocking;
use super::door::Door;
use super::jail::{self, Jail, Stand, Trouble, Wait};
use super::kept::Kept;
use super::said::Said;
use crate::clock::{self, Instant};
use crate::config;

/// What lies at a path.
#[derive(Debug, Clone)]
pub(super) enum Found {
    /// A directory.
    Directory,
    /// A file.
    File(Rc<Opened>),
}

/// An open file.
#[derive(Debug)]
pub(super) struct Opened {
    /// Which version.
    pub(super) stand: Stand,
    /// Its bytes.
    pub(super) content: Content,
    /// What answers say of it.
    pub(super) said: Said,
}

/// What a file's bytes come from.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// Here they are, the file being small; it need not stay open.
    Bytes(Bytes),
    /// To be read from.
    File(Arc<File>),
}

/// A thread's open files.
#[derive(Debug)]
pub(super) struct Open(Rc<Shelves>);

#[derive(Debug)]
struct Shelves {
    files: RefCell<Kept<(Instant, Rc<Opened>)>>,
    /// Directories, and why there is nothing. On shelves of their own: who asks for what is not there, however often and
    /// whatever its name, costs no file its place.
    others: RefCell<Kept<(Instant, Option<Trouble>)>>,
    fresh: Duration,
    small: u64,
    is_turning: Cell<bool>,
}

/// How long something that nobody asks for stays open, at least; twice that at most. Until then a file that was deleted
/// keeps its place on the disk.
const TURN: Duration = Duration::from_secs(30);

/// How often something that moves is looked at again. The last time a file is not read, so that one that is written all
/// the time can be served.
const LOOKS: usize = 8;

impl Open {
    pub(super) fn start(plan: &config::Files) -> Self {
        Self(Rc::new(Shelves {
            files: RefCell::new(Kept::up_to(plan.open)),
            others: RefCell::new(Kept::up_to(plan.open)),
            fresh: plan.fresh,
            small: plan.small,
            is_turning: Cell::new(false),
        }))
    }

    /// How many files are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.files.borrow().len()
    }

    #[cfg(test)]
    pub(super) fn kept(&self, root: usize, path: &[u8]) -> Option<Rc<Opened>> {
        self.0.files.borrow_mut().get(root, path).map(|(_, opened)| opened)
    }

    /// What lies at a path beneath a root.
    pub(super) async fn find(&self, door: &Door, path: &[u8]) -> Result<Found, Trouble> {
        let now = clock::now();
        let known = match self.0.known(door, path, now) {
            Known::Fresh(found) => return found,
            Known::Stale(opened) => Some(opened),
            Known::Nothing => None,
        };
        let search = Search { small: Some(self.0.small), known: known.as_ref().map(|opened| opened.stand) };
        let fetched = fetch(&door.jail, path, search).await;
        let found = match (fetched, known) {
            (Ok(Fetched::Same), Some(opened)) => Ok(Found::File(opened)),
            (Ok(Fetched::Same), None) => Err(Trouble::Moved),
            (Ok(Fetched::Directory), _) => Ok(Found::Directory),
            (Ok(Fetched::File(stand, content)), _) => Ok(match self.0.same(door, path, &stand) {
                Some(opened) => Found::File(opened),
                None => Found::file(door, path, stand, content),
            }),
            (Err(trouble), _) => Err(trouble),
        };
        self.0.keep(door, path, now, &found);
        if self.0.files.borrow().len() > 0 && !self.0.is_turning.replace(true) {
            tokio::task::spawn_local(turn(Rc::downgrade(&self.0)));
        }
        found
    }

    /// The file at a path, opened for this once.
    pub(super) async fn once(&self, door: &Door, path: &[u8]) -> Result<Found, Trouble> {
        match fetch(&door.jail, path, Search { small: None, known: None }).await? {
            Fetched::Same => Err(Trouble::Moved),
            Fetched::Directory => Ok(Found::Directory),
            Fetched::File(stand, content) => Ok(Found::file(door, path, stand, content)),
        }
    }
}

impl Found {
    fn file(door: &Door, path: &[u8], stand: Stand, content: Content) -> Self {
        let said = Said::of(&door.root.plan, path, &stand, clock::wall());
        Self::File(Rc::new(Opened { stand, content, said }))
    }
}

enum Known {
    Fresh(Result<Found, Trouble>),
    /// To be looked at again: it may still be that.
    Stale(Rc<Opened>),
    Nothing,
}

impl Shelves {
    fn known(&self, door: &Door, path: &[u8], now: Instant) -> Known {
        let is_fresh = |at: Instant| at >= door.since && now.saturating_duration_since(at) < self.fresh;
        if let Some((at, opened)) = self.files.borrow_mut().get(door.index, path) {
            return match is_fresh(at) {
                true => Known::Fresh(Ok(Found::File(opened))),
                // What changed a moment ago may have changed since without a clock that shows it.
                false if opened.said.is_settled => Known::Stale(opened),
                false => Known::Nothing,
            };
        }
        match self.others.borrow_mut().get(door.index, path) {
            Some((at, trouble)) if is_fresh(at) => Known::Fresh(trouble.map_or(Ok(Found::Directory), Err)),
            _ => Known::Nothing,
        }
    }

    /// The file as somebody opened it who asked at the same time: one open file is enough for all of them.
    fn same(&self, door: &Door, path: &[u8], stand: &Stand) -> Option<Rc<Opened>> {
        let (_, opened) = self.files.borrow_mut().get(door.index, path)?;
        (opened.stand == *stand && opened.said.is_settled).then_some(opened)
    }

    fn keep(&self, door: &Door, path: &[u8], now: Instant, found: &Result<Found, Trouble>) {
        let (mut files, mut others) = (self.files.borrow_mut(), self.others.borrow_mut());
        match found {
            Ok(Found::File(opened)) => {
                others.forget(door.index, path);
                files.set(door.index, path, (now, opened.clone()));
            }
            Ok(Found::Directory) => {
                files.forget(door.index, path);
                others.set(door.index, path, (now, None));
            }
            Err(trouble) => {
                files.forget(door.index, path);
                if trouble.is_absence() {
                    others.set(door.index, path, (now, Some(*trouble)));
                }
            }
        }
    }
}

/// Turns the shelves as long as there is anything on them.
async fn turn(shelves: std::rc::Weak<Shelves>) {
    loop {
        tokio::time::sleep(TURN).await;
        let Some(shelves) = shelves.upgrade() else { return };
        shelves.others.borrow_mut().turn();
        if !shelves.files.borrow_mut().turn() {
            shelves.is_turning.set(false);
            return;
        }
    }
}

/// How to look.
#[derive(Debug, Clone, Copy)]
struct Search {
    /// Files up to so many bytes are read; `None` reads none.
    small: Option<u64>,
    /// What need not be opened again, being that still.
    known: Option<Stand>,
}

enum Fetched {
    Same,
    Directory,
    File(Stand, Content),
}

async fn fetch(jail: &Arc<Jail>, path: &[u8], search: Search) -> Result<Fetched, Trouble> {
    match search.at(jail, path, Wait::Never) {
        Err(Trouble::Cold | Trouble::Moved) => {
            let (jail, path) = (jail.clone(), path.to_vec());
            blocking::run(move || search.patiently(&jail, &path)).await.unwrap_or(Err(Trouble::Moved))
        }
        fetched => fetched,
    }
}

impl Search {
    fn patiently(self, jail: &Jail, path: &[u8]) -> Result<Fetched, Trouble> {
        for _ in 1..LOOKS {
            match self.at(jail, path, Wait::May) {
                Err(Trouble::Moved) => {}
                fetched => return fetched,
            }
        }
        Self { small: None, ..self }.at(jail, path, Wait::May)
    }

    fn at(self, jail: &Jail, path: &[u8], wait: Wait) -> Result<Fetched, Trouble> {
        let seen = jail.look(path, wait)?;
        if self.known == Some(seen) {
            return Ok(Fetched::Same);
        }
        if seen.is_directory {
            return Ok(Fetched::Directory);
        }
        let (file, stand) = jail.open(path, &seen, wait)?;
        let content = match self.small {
            Some(small) if stand.size <= small => Content::Bytes(read(&file, &stand, wait)?),
            _ => Content::File(Arc::new(file)),
        };
        Ok(Fetched::File(stand, content))
    }
}

/// All bytes of a file, if it is the same before and after they were read.
fn read(file: &File, before: &Stand, wait: Wait) -> Result<Bytes, Trouble> {
    let mut bytes = vec![0; usize::try_from(before.size).map_err(|_| Trouble::Moved)?];
    match wait {
        Wait::Never if bytes.is_empty() => {}
        Wait::Never => match preadv2(file, &mut [IoSliceMut::new(&mut bytes)], 0, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == bytes.len() => {}
            // Not all of it is in memory, or this file system cannot tell.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS | Errno::INTR) => {
                return Err(Trouble::Cold);
            }
            Err(errno) => return Err(Trouble::Refused(errno)),
        },
        Wait::May => file
            .read_exact_at(&mut bytes, 0)
            .map_err(|error| Errno::from_io_error(&error).map_or(Trouble::Moved, Trouble::Refused))?,
    }
    if jail::stand(file, wait)? != *before {
        return Err(Trouble::Moved);
    }
    Ok(Bytes::from(bytes))
}
