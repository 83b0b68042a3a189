//! What earlier runs left: read by a thread of its own, one file after the other, while the shelf is used already.
//!
//! A file that is whole is taken in, as stale if it does not bear its seal. What has a name of ours and is not whole goes, and
//! so does what was not finished, and what was purged before it was read. What has another name is none of ours and stays.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;

use super::bans::Moment;
use super::disk::{Disk, Shelved};
use super::format::{self, Found};
use super::seal::Seal;
use super::trouble::Doing;

/// Begins to read.
pub(super) fn begin(disk: &Arc<Disk>) -> io::Result<()> {
    // Before this run can note anything of the kind itself.
    let (weak, is_doubted) = (Arc::downgrade(disk), disk.directory.is_doubted());
    thread::Builder::new().name("shelf-sweep".to_owned()).spawn(move || sweep(&weak, is_doubted)).map(drop)
}

/// Ends early when nobody has the shelf any more.
fn sweep(disk: &Weak<Disk>, is_doubted: bool) {
    match disk.upgrade() {
        Some(disk) => disk.directory.clear_written(),
        None => return,
    }
    for folder in 0..=255 {
        // Names of one folder at a time are in memory.
        let Some(numbers) = disk.upgrade().map(|disk| disk.directory.objects(folder)) else { return };
        for number in numbers {
            let Some(disk) = disk.upgrade() else { return };
            take_in(&disk, number, is_doubted);
        }
    }
    if let Some(disk) = disk.upgrade() {
        disk.swept();
        let objects = disk.count().objects;
        tracing::info!(directory = %disk.directory.root().display(), objects, "the directory of a cache was read");
    }
}

/// What is doubted loses its seal: it may have been forgotten, so somebody has to confirm it, also after the next start.
fn take_in(disk: &Disk, number: u64, is_doubted: bool) {
    let read = disk.directory.open(number).and_then(|file| {
        let Some(found) = format::read(&file, number)? else { return Ok(None) };
        let is_sealed = disk.seal(number, &found).is_on(&file)?;
        if is_sealed && is_doubted {
            Seal::break_on(&file)?;
        }
        Ok(Some((is_sealed && !is_doubted, found)))
    });
    match read {
        Ok(Some((is_sealed, found))) => shelve(disk, number, &found, is_sealed),
        Ok(None) => disk.discard(number),
        // It is ours, and was made useless.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => disk.discard(number),
        // A disk that cannot be read now may be read the next time.
        Err(error) => {
            disk.happened.unread.add(1);
            disk.troubled(Doing::Read, &error);
        }
    }
}

fn shelve(disk: &Disk, number: u64, found: &Found, is_sealed: bool) {
    // Room for it, and with it for the index; a smaller shelf than before keeps as much as it can hold.
    if !disk.reserve(found.size) {
        return disk.discard(number);
    }
    let Found { label, size, .. } = found;
    let file = Shelved { label, sequence: number, size: *size, used: Some(label.stored), reserved: *size };
    disk.shelve(&file, found.is_stale || !is_sealed, Moment::default());
}
