//! Roots as a thread has them open.
//!
//! Who deploys by making a link point elsewhere, or by putting a directory in another's place, expects the next request
//! to see it. So a root is opened by its path again and again, as seldom as everything else that is known of files.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::jail::{Jail, Trouble, Wait};
use super::roots::Root;
use super::{Roots, blocking};
use crate::clock::{self, Instant};

/// A root that is open.
#[derive(Debug)]
pub(super) struct Door {
    /// Its index.
    pub(super) index: usize,
    /// What the config says of it.
    pub(super) root: Arc<Root>,
    /// Its directory.
    pub(super) jail: Arc<Jail>,
    /// Since when it is this directory: what was known before is of another one.
    pub(super) since: Instant,
    looked: Instant,
}

/// A thread's open roots.
#[derive(Debug)]
pub(super) struct Doors {
    open: RefCell<Vec<Option<Rc<Door>>>>,
    fresh: Duration,
}

impl Doors {
    pub(super) fn start(fresh: Duration) -> Self {
        Self { open: RefCell::default(), fresh }
    }

    /// Has every root looked at when it is entered next.
    #[cfg(test)]
    pub(super) fn forget_when(&mut self) {
        self.fresh = Duration::ZERO;
    }

    /// Goes in by one.
    pub(super) async fn enter(&self, roots: &Roots, index: usize) -> Result<Rc<Door>, Trouble> {
        let now = clock::now();
        let known = self.open.borrow().get(index).cloned().flatten();
        if let Some(door) = known.clone().filter(|door| now.saturating_duration_since(door.looked) < self.fresh) {
            return Ok(door);
        }
        let root = roots.get(index).ok_or(Trouble::Moved)?;
        let jail = Arc::new(open(root).await?);
        let since = match known {
            Some(door) if door.jail.stand.is_same(&jail.stand) => door.since,
            Some(_) => {
                let root = root.clone();
                blocking::give(move || root.resolve());
                now
            }
            None => now,
        };
        let door = Rc::new(Door { index, root: root.clone(), jail, since, looked: now });
        let mut doors = self.open.borrow_mut();
        if doors.len() <= index {
            doors.resize(index + 1, None);
        }
        // Somebody may have looked later and waited less.
        if let Some(place) = doors.get_mut(index)
            && place.as_ref().is_none_or(|there| there.looked <= now)
        {
            *place = Some(door.clone());
        }
        Ok(door)
    }
}

async fn open(root: &Arc<Root>) -> Result<Jail, Trouble> {
    let at = |root: &Root, wait| Jail::at(&root.plan.path, root.plan.symlinks, wait);
    match at(root, Wait::Never) {
        Err(Trouble::Cold) => {
            let root = root.clone();
            blocking::run(move || at(&root, Wait::May)).await.unwrap_or(Err(Trouble::Moved))
        }
        opened => opened,
    }
}
