//! Files that an operator names, read whole up to a bound.
//!
//! A length that was asked for before is no promise: devices have none and no end either, files grow, and a pipe tells
//! nothing. So what counts is what comes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Why there is no content; reads on from the file's name.
#[derive(Debug)]
pub enum Unread {
    /// It has more bytes than it may.
    Larger(u64),
    /// The system says no.
    Failed(io::Error),
    /// It is to be a text, and its bytes from here on are none.
    NotText(usize),
}

/// The content of a file of at most so many bytes, or of a pipe up to its end.
///
/// # Errors
/// When there is more, or it cannot be read.
pub fn read_whole(path: &Path, largest: u64) -> Result<Vec<u8>, Unread> {
    let file = File::open(path).map_err(Unread::Failed)?;
    // Of an ordinary file that is far too long nothing needs to be read.
    if file.metadata().is_ok_and(|known| known.is_file() && known.len() > largest) {
        return Err(Unread::Larger(largest));
    }
    let mut content = Vec::new();
    match file.take(largest.saturating_add(1)).read_to_end(&mut content) {
        Ok(length) if length as u64 > largest => Err(Unread::Larger(largest)),
        Ok(_) => Ok(content),
        Err(error) => Err(Unread::Failed(error)),
    }
}

/// The same of what has to be UTF-8.
///
/// # Errors
/// As `read_whole`, and when it is not.
pub fn read_text(path: &Path, largest: u64) -> Result<String, Unread> {
    let content = read_whole(path, largest)?;
    String::from_utf8(content).map_err(|error| Unread::NotText(error.utf8_error().valid_up_to()))
}

impl Unread {
    /// Nothing is there by that name.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Failed(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Larger(largest) if largest % (1 << 20) == 0 => write!(f, "is larger than {}MiB", largest >> 20),
            Self::Larger(largest) => write!(f, "is larger than {largest}B"),
            Self::Failed(error) => write!(f, "cannot be read: {error}"),
            Self::NotText(at) => write!(f, "cannot be read: it is not UTF-8 from byte {at} on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn what_comes_is_counted_whatever_the_system_says_of_its_length() {
        let said = |path: &str, largest| read_whole(Path::new(path), largest).unwrap_err().to_string();
        assert_eq!(said("/dev/zero", 1 << 20), "is larger than 1MiB");
        assert_eq!(said("/proc/self/status", 10), "is larger than 10B");
        assert!(said("/", 10).starts_with("cannot be read: Is a directory"));
        assert!(read_whole(Path::new("/nowhere"), 10).unwrap_err().is_missing());
        assert!(!read_whole(Path::new("/"), 10).unwrap_err().is_missing());
    }

    #[test]
    fn a_bound_is_the_last_length_that_is_read() {
        let path = std::env::temp_dir().join(format!("weir-whole-{}", std::process::id()));
        fs::write(&path, "0123456789").unwrap();
        let exact = read_text(&path, 10).unwrap();
        let larger = read_text(&path, 9).is_err();
        fs::write(&path, b"caf\xe9").unwrap();
        let bytes = read_whole(&path, 10).unwrap();
        let text = read_text(&path, 10).unwrap_err().to_string();
        fs::remove_file(&path).unwrap();
        assert_eq!((exact.as_str(), larger, bytes.len()), ("0123456789", true, 4));
        assert_eq!(text, "cannot be read: it is not UTF-8 from byte 3 on");
    }

    #[test]
    fn a_pipe_is_read_to_its_end() {
        let (reader, mut writer) = io::pipe().unwrap();
        writer.write_all(b"said").unwrap();
        drop(writer);
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        assert_eq!(read_text(Path::new(&path), 4).unwrap(), "said");
    }
}
