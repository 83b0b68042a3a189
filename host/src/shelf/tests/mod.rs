//! Tests of the whole room, and what they have in common.

mod bounds;
mod kill;
mod model;
mod resizes;
mod stampede;
mod streams;
mod variants;
mod walks;

use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, process, thread};

use bytes::Bytes;
use http_body::Body as _;

use super::*;
use crate::body::Body;
use crate::failure::Kind;

/// A directory that goes with its test.
struct Place(PathBuf);

impl Place {
    fn make() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("weir-shelf-{}-{}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        // What a process with our number left when it was killed.
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn objects(&self) -> Vec<PathBuf> {
        files(&self.0.join("objects"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Every file below a directory.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let mut all: Vec<PathBuf> =
        entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect();
    all.sort();
    all
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
}

fn label(key: &str, variant: &str, tags: &[&str]) -> Label {
    let label = Label::of(key.as_bytes(), variant.as_bytes(), format!("head of {key}").as_bytes(), at(0), at(3600));
    label.tagged(tags.iter().map(|tag| (*tag).into()))
}

fn in_memory(capacity: u64, most: u64) -> Sizes {
    Sizes { memory: Some(MemorySizes { capacity, most }), ..Sizes::default() }
}

fn on_disk(place: &Place, capacity: u64, most: u64) -> Sizes {
    let directory = place.0.clone();
    let disk = DiskSizes { directory, capacity, most, index: 1 << 30, open: 16, threads: 2, sync: false };
    Sizes { disk: Some(disk), ..Sizes::default() }
}

fn open(sizes: &Sizes) -> Shelf {
    Shelf::open(sizes.clone(), at(0)).unwrap()
}

/// Opens, and waits until everything was read.
fn reopen(sizes: &Sizes) -> Shelf {
    let shelf = open(sizes);
    eventually(|| shelf.is_complete());
    shelf
}

/// Drops the shelf, and waits until its directory is free. Threads may have it a moment longer, and whoever is the last one
/// gives the directory back only after nobody has the shelf.
fn close(shelf: Shelf) {
    let root = shelf.disk.as_ref().map(|disk| disk.directory.root().to_owned());
    let disk = shelf.disk.as_ref().map(Arc::downgrade);
    drop(shelf);
    eventually(|| disk.as_ref().is_none_or(|disk| disk.strong_count() == 0));
    eventually(|| root.as_ref().is_none_or(|root| is_free(root)));
}

fn is_free(root: &Path) -> bool {
    let Ok(lock) = fs::File::open(root.join("lock")) else { return true };
    // A program that is being started has the file too, for a moment: closing it would not be enough.
    lock.try_lock().is_ok() && lock.unlock().is_ok()
}

fn eventually(is_so: impl Fn() -> bool) {
    // As long as it is in the suites over the wire.
    let end = crate::clock::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(crate::clock::now() < end, "it did not happen within thirty seconds");
        thread::sleep(Duration::from_micros(100));
    }
}

fn store(shelf: &Shelf, label: Label, pieces: &[&[u8]]) {
    let mut writing = shelf.write(label, None, None).unwrap();
    pieces.iter().for_each(|piece| writing.push(Bytes::copy_from_slice(piece)));
    assert!(writing.finish());
    settle(shelf);
}

/// Waits until nothing is being written.
fn settle(shelf: &Shelf) {
    let Some(disk) = &shelf.disk else { return };
    // Everything that is given to the threads holds the disk; what was opened and swept does not.
    eventually(|| disk.is_swept() && Arc::strong_count(disk) == 1);
}

async fn collect(body: Body) -> Result<Vec<u8>, Kind> {
    let (mut body, mut bytes) = (pin!(body), Vec::new());
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        bytes.extend_from_slice(&frame.map_err(|failure| failure.kind)?.into_data().unwrap_or_default());
    }
    Ok(bytes)
}

async fn step(body: &mut Pin<Box<Follow>>) -> Option<Result<Bytes, Kind>> {
    let frame = poll_fn(|context| body.as_mut().poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()).map_err(|failure| failure.kind))
}

async fn found(shelf: &Shelf, key: &str) -> Vec<(String, Vec<u8>, bool)> {
    let mut all = Vec::new();
    for object in shelf.find(key.as_bytes(), at(1)).await {
        let variant = String::from_utf8(object.label().variant.to_vec()).unwrap();
        all.push((variant, collect(object.body()).await.unwrap(), object.is_stale()));
    }
    all.sort();
    all
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
