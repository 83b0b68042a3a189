//! A directory of files to be served, and of all that lies in directories and is no file: links, pipes, sockets, devices.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{FileExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};

use crate::place::Place;

pub struct Tree(Place);

impl Tree {
    pub fn fresh() -> Tree {
        Tree(Place::fresh())
    }

    /// Its path, or that of something in it.
    pub fn path(&self, name: &str) -> String {
        self.at(name).components().collect::<PathBuf>().display().to_string()
    }

    /// A file, with the directories that it lies in.
    #[track_caller]
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &Tree {
        self.0.write(name, content);
        self
    }

    /// A file of so many bytes that can be told apart by their place, see `byte_at`.
    #[track_caller]
    pub fn counted(&self, name: &str, length: u64) -> &Tree {
        self.room_for(name);
        let mut out = BufWriter::with_capacity(1 << 20, File::create(self.at(name)).expect("the tree is writable"));
        let block: Vec<u8> = (0..BLOCK).map(byte_at).collect();
        let mut left = length;
        while left > 0 {
            let piece = left.min(BLOCK);
            out.write_all(&block[..usize::try_from(piece).expect("a block fits")]).expect("the tree is writable");
            left -= piece;
        }
        out.flush().expect("the tree is writable");
        self
    }

    /// A file of so many bytes that takes no room on the disk.
    #[track_caller]
    pub fn sparse(&self, name: &str, length: u64) -> &Tree {
        self.room_for(name);
        self.cut(name, length)
    }

    /// Gives a file this length; it is made if it is not there.
    #[track_caller]
    pub fn cut(&self, name: &str, length: u64) -> &Tree {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(self.at(name));
        file.and_then(|file| file.set_len(length)).expect("the tree is writable");
        self
    }

    /// Writes into a file where it is, whatever was there.
    #[track_caller]
    pub fn overwrite(&self, name: &str, offset: u64, bytes: &[u8]) -> &Tree {
        let file = OpenOptions::new().write(true).open(self.at(name));
        file.and_then(|file| file.write_all_at(bytes, offset)).expect("the tree is writable");
        self
    }

    /// Puts another file in a file's place, in one step.
    #[track_caller]
    pub fn replace(&self, name: &str, content: impl AsRef<[u8]>) -> &Tree {
        let beside = format!("{name}.being-written");
        self.file(&beside, content).rename(&beside, name)
    }

    /// When a file was modified, in seconds since 1970.
    #[track_caller]
    pub fn dated(&self, name: &str, seconds: u64) -> &Tree {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let file = File::open(self.at(name));
        file.and_then(|file| file.set_modified(time)).expect("the owner may say so");
        self
    }

    #[track_caller]
    pub fn directory(&self, name: &str) -> &Tree {
        fs::create_dir_all(self.at(name)).expect("the tree is writable");
        self
    }

    /// A symbolic link with exactly this text.
    #[track_caller]
    pub fn link(&self, name: &str, to: &str) -> &Tree {
        self.room_for(name);
        symlink(to, self.at(name)).expect("the tree is writable");
        self
    }

    /// Another name of a file.
    #[track_caller]
    pub fn hard_link(&self, name: &str, of: &str) -> &Tree {
        self.room_for(name);
        fs::hard_link(self.at(of), self.at(name)).expect("both are in one file system");
        self
    }

    /// A FIFO.
    #[track_caller]
    pub fn pipe(&self, name: &str) -> &Tree {
        self.room_for(name);
        mknodat(CWD, self.at(name), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe can be made");
        self
    }

    /// A Unix socket that nobody listens at any more.
    #[track_caller]
    pub fn socket(&self, name: &str) -> &Tree {
        self.room_for(name);
        drop(UnixListener::bind(self.at(name)).expect("a socket can be made"));
        self
    }

    /// The device of endless zeros. Only root may make one: false for anybody else.
    #[must_use]
    pub fn device(&self, name: &str) -> bool {
        self.room_for(name);
        let made = mknodat(CWD, self.at(name), FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 5));
        made.is_ok() && File::open(self.at(name)).is_ok()
    }

    #[track_caller]
    pub fn rename(&self, from: &str, to: &str) -> &Tree {
        fs::rename(self.at(from), self.at(to)).expect("the tree is writable");
        self
    }

    /// Two names change places in one step.
    #[track_caller]
    pub fn exchange(&self, one: &str, other: &str) -> &Tree {
        renameat_with(CWD, self.at(one), CWD, self.at(other), RenameFlags::EXCHANGE).expect("both are there");
        self
    }

    /// Removes a file, a link, or a directory with all that is in it.
    #[track_caller]
    pub fn remove(&self, name: &str) -> &Tree {
        let path = self.at(name);
        let is_directory = fs::symlink_metadata(&path).is_ok_and(|found| found.is_dir());
        let removed = if is_directory { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        removed.expect("it was there");
        self
    }

    pub fn is_there(&self, name: &str) -> bool {
        fs::symlink_metadata(self.at(name)).is_ok()
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn room_for(&self, name: &str) {
        let path = self.at(name);
        let parent = path.parent().expect("it lies in the tree");
        fs::create_dir_all(parent).expect("the tree is writable");
    }
}

/// No power of two and no multiple of a page, so that no chunk of a usual size looks like its neighbour.
const BLOCK: u64 = 65_521;

/// What stands at a place of a file that is `counted`.
#[must_use]
pub fn byte_at(offset: u64) -> u8 {
    let at = offset % BLOCK;
    u8::try_from((at ^ (at >> 8)) & 0xff).expect("it is one byte")
}
