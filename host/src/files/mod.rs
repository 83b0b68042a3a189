//! Files beneath their roots, as answers.
//!
//! A path never leaves its root, whatever it says and whatever happens to directories meanwhile. What HTTP asks of a file
//! (conditions, ranges, codings) is decided in `message/`; here it is found, opened, and put together.

mod answer;
mod door;
mod jail;
mod kept;
mod listing;
mod open;
mod path;
mod roots;
mod said;
mod temporary;
#[cfg(test)]
mod tests;
mod types;

use std::borrow::Cow;

use rustix::process::{Resource, getrlimit};

use self::answer::Chosen;
use self::door::{Door, Doors};
use self::jail::Trouble;
use self::open::{Found, Open, Opened};
pub use self::roots::Roots;
use self::temporary::Temporary;
use crate::body::{Body, Part, Parts};
use crate::config;
use crate::failure::{Failure, Kind};
use crate::kernel::blocking;
use crate::message::{Coding, Fields, Method, RequestHead, ResponseHead, Status, Value, name};

/// What a thread knows of files.
#[derive(Debug)]
pub struct Files {
    doors: Doors,
    open: Open,
}

/// A file that is asked for.
pub struct Asked<'a> {
    /// Index of its root.
    pub root: usize,
    /// Its path beneath the root, percent-decoded, without a slash at its beginning.
    pub path: &'a [u8],
    /// Who asks, and how.
    pub request: &'a RequestHead,
    /// The path by which a client knows a directory, when it is to be told of the slash that is missing at the end of this
    /// path, or of the other one.
    pub known_as: Option<&'a str>,
    /// What the answer says whatever the file is: it stands in the place of the file's own fields, and of its validators
    /// too if there are some among it.
    pub given: Fields,
    /// The file is deleted when it was sent, if its root lets it be.
    pub temporary: bool,
}

impl Files {
    /// A thread's, one of so many that serve.
    #[must_use]
    pub fn start(plan: &config::Files, threads: usize) -> Self {
        blocking::bound(plan.threads);
        let open = plan.open.min(affordable(threads));
        Self { doors: Doors::start(plan.fresh), open: Open::start(&config::Files { open, ..plan.clone() }) }
    }

    /// The answer to a request for a file.
    ///
    /// A path that ends in a slash, or is empty, is a directory's: the first of the root's index files that there is, else
    /// a listing, if the root has its directories listed. Dropping the future is safe at any time.
    ///
    /// # Errors
    /// `NoFile`, `FileForbidden`, `MethodNotAllowed`, `Internal`.
    pub async fn answer(&self, roots: &Roots, asked: Asked<'_>) -> Result<(ResponseHead, Body), Failure> {
        if !matches!(asked.request.method, Method::GET | Method::HEAD) {
            return Err(Kind::MethodNotAllowed.into());
        }
        let door = match self.doors.enter(roots, asked.root).await {
            Ok(door) => door,
            Err(trouble) => return Err(roots.failure(asked.root, trouble)),
        };
        let wanted = path::read(asked.path, door.root.plan.hidden).ok_or(Kind::NoFile)?;
        let is_temporary = asked.temporary && door.root.may_delete();
        let found = match is_temporary {
            true => self.open.once(&door, wanted.path).await,
            false => self.open.find(&door, wanted.path).await,
        };
        match found.map_err(|trouble| failure(&door, wanted.path, trouble))? {
            Found::File(opened) if is_temporary && !wanted.is_directory => {
                let guard = Temporary::of(&door, wanted.path, &opened);
                let chosen = Chosen { root: &door.root.plan, opened: &opened, plain: None, varies: false };
                Ok(whole(&chosen, asked, Some(guard)))
            }
            Found::File(opened) if !wanted.is_directory => self.file(&door, wanted.path, &opened, asked).await,
            Found::File(_) => Err(Failure::of(Kind::NoFile, "a file is no directory")),
            // A prefix that was exchanged may have brought a slash that the client does not know of.
            Found::Directory if wanted.is_directory && asked.known_as.is_none_or(|known| known.ends_with('/')) => {
                self.directory(&door, wanted.path, asked).await
            }
            Found::Directory => with_slash(asked),
        }
    }

    /// A file, or one beside it that is the same in a coding the client likes better.
    async fn file(
        &self,
        door: &Door,
        path: &[u8],
        opened: &Opened,
        asked: Asked<'_>,
    ) -> Result<(ResponseHead, Body), Failure> {
        let mut beside = codings(door, &asked).to_vec();
        let varies = !beside.is_empty();
        let accepted = varies.then(|| Coding::accepted(&asked.request.fields));
        while let Some(coding) = accepted.and_then(|accepted| accepted.choose(&beside)) {
            let path = [path, b".", coding.extension().as_bytes()].concat();
            if let Ok(Found::File(coded)) = self.open.find(door, &path).await {
                let chosen = Chosen { root: &door.root.plan, opened: &coded, plain: Some((opened, coding)), varies };
                return Ok(whole(&chosen, asked, None));
            }
            beside.retain(|other| *other != coding);
        }
        Ok(whole(&Chosen { root: &door.root.plan, opened, plain: None, varies }, asked, None))
    }

    async fn directory(&self, door: &Door, path: &[u8], asked: Asked<'_>) -> Result<(ResponseHead, Body), Failure> {
        for index in &door.root.plan.index {
            let path = beneath(path, index.as_bytes());
            match self.open.find(door, &path).await {
                Ok(Found::File(opened)) => return self.file(door, &path, &opened, asked).await,
                Ok(Found::Directory) => {}
                Err(trouble) => match failure(door, &path, trouble) {
                    Failure { kind: Kind::NoFile, .. } => {}
                    failure => return Err(failure),
                },
            }
        }
        if !door.root.plan.listing {
            return Err(Failure::of(Kind::FileForbidden, "a directory without an index, which is not listed"));
        }
        listing::answer(door, path, asked).await
    }
}

/// How many files each of so many threads may keep open: all of them together no more than a quarter of the process's
/// descriptors, for clients and upstreams come first.
fn affordable(threads: usize) -> usize {
    let most = getrlimit(Resource::Nofile).current.and_then(|most| usize::try_from(most).ok());
    most.map_or(usize::MAX, |most| most / 4 / threads.max(1))
}

/// The redirect to a directory's path with its slash, where a client knows one (RFC 9110, section 15.4.2).
fn with_slash(asked: Asked<'_>) -> Result<(ResponseHead, Body), Failure> {
    let path = asked.known_as.ok_or(Failure { kind: Kind::NoFile, detail: Cow::Borrowed("a directory is no file") })?;
    // Two slashes at the beginning would name a host (RFC 3986, section 4.2).
    let path = path.trim_start_matches('/');
    let location = match asked.request.query() {
        Some(query) => format!("/{path}/?{query}"),
        None => format!("/{path}/"),
    };
    let mut head = ResponseHead::of(Status::MOVED_PERMANENTLY);
    head.fields.set(name::LOCATION, Value::from_str(&location).map_err(|_| Kind::NoFile)?);
    head.fields.set(name::CONTENT_LENGTH, Value::from_static("0"));
    Ok((head, Body::Empty))
}

/// Codings that a file may lie beside in. None where what is given speaks of one version of its bytes: a coding, or a tag
/// that is strong.
fn codings<'d>(door: &'d Door, asked: &Asked<'_>) -> &'d [Coding] {
    let is_strong = |tag: &Value| !tag.as_bytes().starts_with(b"W/");
    match asked.given.contains(name::CONTENT_ENCODING) || asked.given.get(name::ETAG).is_some_and(is_strong) {
        true => &[],
        false => &door.root.plan.precompressed,
    }
}

fn whole(chosen: &Chosen<'_>, asked: Asked<'_>, guard: Option<Temporary>) -> (ResponseHead, Body) {
    let (head, parts) = chosen.answer(asked.request, asked.given);
    let body = match (parts, guard) {
        (Some(parts), Some(guard)) => Body::Parts(Parts::of(parts).guarded(guard)),
        (Some(parts), None) => match <[Part; 1]>::try_from(parts) {
            Ok([Part::Bytes(bytes)]) => Body::from(bytes),
            Ok(part) => Body::Parts(Parts::of(part)),
            Err(parts) => Body::Parts(Parts::of(parts)),
        },
        (None, guard) => {
            // Nothing was sent of it.
            guard.into_iter().for_each(Temporary::keep);
            Body::Empty
        }
    };
    (head, body)
}

fn beneath(directory: &[u8], name: &[u8]) -> Vec<u8> {
    if directory.is_empty() { name.to_vec() } else { [directory, b"/", name].concat() }
}

fn failure(door: &Door, path: &[u8], trouble: Trouble) -> Failure {
    trouble.into_failure(&door.root.plan.name, path)
}
