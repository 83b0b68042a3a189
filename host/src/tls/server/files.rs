//! Files that TLS of one listener is made from, and whether they still hold what they held.
//!
//! A file is read again when what the system says of it has changed, and matters when its content has. A response to staple may be
//! missing; everything else that cannot be read is a content like any other, so that it is told once.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::Error;
use crate::config::{Certificate, ClientAuth, Listener, ListenerTls, Site};
use crate::kernel;

/// What of a plan TLS of one listener is made from.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) listener: Listener,
    pub(super) tls: ListenerTls,
    pub(super) sites: Vec<Shown>,
}

/// A site's hosts, and what they show.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) hosts: Vec<String>,
    pub(super) certificates: Vec<Certificate>,
}

/// What was last seen of each file.
#[derive(Debug)]
pub(super) struct Seen(BTreeMap<PathBuf, Entry>);

#[derive(Debug)]
struct Entry {
    may_miss: bool,
    stamp: Option<Stamp>,
    content: Content,
}

/// What a file holds, or why nobody knows.
type Content = Result<Arc<[u8]>, String>;

/// What the system says of a file: its number, its length, when it was written, and when its entry was changed.
type Stamp = (u64, u64, (i64, i64), (i64, i64));

/// As much as is read with a config: a bundle of every authority there is has a quarter of that.
const LARGEST: u64 = 1 << 20;

impl Source {
    /// None when the listener speaks cleartext.
    pub(super) fn of(listener: &Listener, sites: &[Site]) -> Option<Self> {
        let sites = sites.iter().filter(|site| !site.certificates.is_empty());
        let shown = |site: &Site| Shown { hosts: site.hosts.clone(), certificates: site.certificates.clone() };
        let tls = listener.tls.clone()?;
        Some(Self { listener: listener.clone(), tls, sites: sites.map(shown).collect() })
    }

    /// Every file: its path, what it holds, and whether it may miss.
    fn files(&mut self) -> Vec<(&Path, &mut Arc<[u8]>, bool)> {
        let mut files: Vec<(&Path, &mut Arc<[u8]>, bool)> = Vec::new();
        let sites = self.sites.iter_mut().flat_map(|site| &mut site.certificates);
        for certificate in self.tls.certificates.iter_mut().chain(sites) {
            for pem in [&mut certificate.chain, &mut certificate.key] {
                files.push((&pem.path, &mut pem.text, false));
            }
            if let Some(staple) = &mut certificate.staple {
                files.push((&staple.path, &mut staple.der, true));
            }
        }
        match &mut self.tls.client {
            ClientAuth::None => {}
            ClientAuth::Optional(authorities) | ClientAuth::Required(authorities) => {
                let pems = std::iter::once(&mut authorities.ca).chain(&mut authorities.revoked);
                files.extend(pems.map(|pem| (&*pem.path, &mut pem.text, false)));
            }
        }
        files
    }
}

impl Seen {
    /// What the config found. How old that is nobody knows, so the first look reads everything.
    pub(super) fn of(source: &mut Source) -> Self {
        let entry = |(path, content, may_miss): (&Path, &mut Arc<[u8]>, bool)| {
            (path.to_owned(), Entry { may_miss, stamp: None, content: Ok(content.clone()) })
        };
        Self(source.files().into_iter().map(entry).collect())
    }

    /// Looks at all of them; those that hold something else now. Waits for the disk.
    pub(super) fn look(&mut self) -> Vec<PathBuf> {
        self.0.iter_mut().filter_map(|(path, entry)| entry.look(path).then(|| path.clone())).collect()
    }

    /// A source with what was seen.
    ///
    /// # Errors
    /// When something could not be read.
    pub(super) fn fill(&self, mut source: Source) -> Result<Source, Error> {
        for (path, held, _) in source.files() {
            match self.0.get(path).map(|entry| &entry.content) {
                Some(Ok(content)) => *held = content.clone(),
                Some(Err(why)) => return Err(Error::Pem { path: path.to_owned(), why: why.clone() }),
                None => {}
            }
        }
        Ok(source)
    }
}

impl Entry {
    fn look(&mut self, path: &Path) -> bool {
        let stamp = fs::metadata(path).ok().as_ref().map(stamp);
        if stamp.is_some() && stamp == self.stamp {
            return false;
        }
        // The stamp is the older one of the two: what is written meanwhile is found by the next look.
        self.stamp = stamp;
        let content = read(path, self.may_miss);
        let is_other = content != self.content;
        self.content = content;
        is_other
    }
}

fn stamp(file: &Metadata) -> Stamp {
    (file.ino(), file.len(), (file.mtime(), file.mtime_nsec()), (file.ctime(), file.ctime_nsec()))
}

fn read(path: &Path, may_miss: bool) -> Content {
    match kernel::read_whole(path, LARGEST) {
        Ok(content) => Ok(content.into()),
        Err(error) if may_miss && error.is_missing() => Ok(Vec::new().into()),
        Err(error) => Err(error.to_string()),
    }
}
