//! What earlier runs left: read by a thread of its own, one file after the other, while the shelf is used already.
//!
//! A file that is whole is taken in. What has a name of ours and is not whole goes, and so does what was not finished, what
//! may not have reached the disk before the machine went down, and what was purged before it was read. What has another
//! name is none of ours and stays.

use std::io;
use std::sync::{Arc, Weak};
use std::thread;

use super::bans::Moment;
use super::disk::{Disk, Shelved};
use super::format::{self, Found};

/// Begins to read.
pub(super) fn begin(disk: &Arc<Disk>) -> io::Result<()> {
    let weak = Arc::downgrade(disk);
    thread::Builder::new().name("shelf-sweep".to_owned()).spawn(move || sweep(&weak)).map(drop)
}

/// Ends early when nobody has the shelf any more.
fn sweep(disk: &Weak<Disk>) {
    match disk.upgrade() {
        Some(disk) => disk.directory.clear_written(),
        None => return,
    }
    for folder in 0..=255 {
        // Names of one folder at a time are in memory.
        let Some(numbers) = disk.upgrade().map(|disk| disk.directory.objects(folder)) else { return };
        for number in numbers {
            let Some(disk) = disk.upgrade() else { return };
            take_in(&disk, number);
        }
    }
    if let Some(disk) = disk.upgrade() {
        disk.swept();
    }
}

fn take_in(disk: &Disk, number: u64) {
    let read = disk.directory.open(number).and_then(|file| format::read(&file, number));
    match read {
        Ok(Some(found)) if found.is_synced || disk.directory.is_same_boot => shelve(disk, number, &found),
        Ok(_) => disk.discard(number),
        // A disk that cannot be read now may be read the next time.
        Err(_) => {}
    }
}

fn shelve(disk: &Disk, number: u64, found: &Found) {
    // Room for it, and with it for the index; a smaller shelf than before keeps as much as it can hold.
    if !disk.reserve(found.size) {
        return disk.discard(number);
    }
    let Found { label, size, .. } = found;
    let file = Shelved { label, sequence: number, size: *size, used: Some(label.stored), reserved: *size };
    disk.shelve(&file, found.is_stale, Moment::default());
}
