//! Trees of files that are asked for things.

mod answers;
mod beneath;
mod changes;
mod listings;
mod temporaries;

use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};
use std::{fs, process};

use http_body::Body as _;
use tokio::runtime::LocalOptions;

use super::{Asked, Files, Roots};
use crate::body::Body;
use crate::config::{self, Root};
use crate::failure::{Failure, Kind};
use crate::message::{Fields, Method, Name, RequestHead, ResponseHead, Scheme, Value, host};

/// Long enough that nothing is looked at twice within a test.
const ALWAYS: Duration = Duration::from_secs(3600);

/// A root with the usual settings.
pub(super) fn root(path: &Path) -> Root {
    Root {
        name: "it".into(),
        path: path.to_owned(),
        symlinks: config::Symlinks::Beneath,
        hidden: false,
        index: vec!["index.html".to_owned()],
        listing: false,
        precompressed: Vec::new(),
        content_types: Vec::new(),
        default_type: Value::from_static("application/octet-stream"),
        charset: None,
        cache_control: None,
        accel: true,
        temporary: false,
        place: config::Place { file: "weir.toml".into(), line: 3, column: 1 },
    }
}

/// A directory of a test's own, with a root `srv` in it.
struct Tree(PathBuf);

impl Tree {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("weir-files-{}-{number}", process::id()));
        fs::create_dir_all(path.join("srv")).unwrap();
        Self(path.canonicalize().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file beneath the root, with the directories that it needs, long ago.
    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path("srv").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        date(&path, 784_111_777);
    }

    fn root(&self) -> Root {
        root(&self.path("srv"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Says that a file was written so many seconds after 1970.
fn date(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::options().read(true).open(path).unwrap().set_modified(time).unwrap();
}

/// Roots that are served on one thread.
struct Served {
    roots: Roots,
    files: Files,
}

impl Served {
    fn of(roots: &[Root], plan: &config::Files) -> Self {
        Self { roots: Roots::open(roots).unwrap(), files: Files::start(plan, 1) }
    }

    /// With everything looked at for every request.
    fn anew(root: Root) -> Self {
        Self::of(&[root], &config::Files { fresh: Duration::ZERO, ..config::Files::default() })
    }

    /// With everything looked at once.
    fn once(root: Root) -> Self {
        Self::of(&[root], &config::Files { fresh: ALWAYS, ..config::Files::default() })
    }

    /// The status of an answer, or why there is none.
    async fn kind(&self, path: impl AsRef<[u8]>) -> Result<u16, Kind> {
        let answer = self.ask(Request::get(), path.as_ref()).await;
        answer.map(|(head, _)| head.status.as_u16()).map_err(|failure| failure.kind)
    }

    /// The body of an answer.
    async fn text(&self, path: impl AsRef<[u8]>) -> Result<String, Kind> {
        match self.ask(Request::get(), path.as_ref()).await {
            Ok((_, body)) => Ok(read(body).await.unwrap()),
            Err(failure) => Err(failure.kind),
        }
    }

    async fn ask(&self, request: Request, path: &[u8]) -> Result<(ResponseHead, Body), Failure> {
        let asked = Asked {
            root: 0,
            path,
            request: &request.head,
            known_as: request.known_as,
            given: request.given,
            temporary: request.temporary,
        };
        self.files.answer(&self.roots, asked).await
    }
}

/// A request for a file.
struct Request {
    head: RequestHead,
    known_as: Option<&'static str>,
    given: Fields,
    temporary: bool,
}

impl Request {
    fn get() -> Self {
        Self::of(Method::GET)
    }

    fn of(method: Method) -> Self {
        let authority = host::parse(b"shop.example").unwrap();
        let head = RequestHead::of(method, Scheme::Http, authority, "/path?query".parse().unwrap());
        Self { head, known_as: None, given: Fields::default(), temporary: false }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.head.fields.append(Name::from_static(name), Value::from_str(value).unwrap());
        self
    }

    fn given(mut self, name: &'static str, value: &'static str) -> Self {
        self.given.append(Name::from_static(name), Value::from_static(value));
        self
    }

    fn known_as(self, path: &'static str) -> Self {
        Self { known_as: Some(path), ..self }
    }

    fn temporary(self) -> Self {
        Self { temporary: true, ..self }
    }
}

/// Runs a test as a thread of the gateway runs.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(LocalOptions::default()).unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), test).await.expect("it ends") })
}

async fn read(mut body: Body) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame?.into_data().unwrap());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn field<'h>(head: &'h ResponseHead, name: &str) -> Option<&'h str> {
    head.fields.get(name).map(|value| value.to_str().unwrap())
}

/// Waits until something is so.
async fn eventually(what: impl Fn() -> bool) {
    while !what() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
