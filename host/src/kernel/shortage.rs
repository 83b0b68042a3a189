//! What the machine, and not the other side, lacks.

use std::io;

/// Whether an error says that there are no descriptors left, for this process or for all: nobody else is to blame for it.
#[must_use]
pub fn lacks_descriptors(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|errno| [libc::EMFILE, libc::ENFILE].contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_errors_are_somebody_elses() {
        for (errno, lacks) in [(libc::EMFILE, true), (libc::ENFILE, true), (libc::ECONNREFUSED, false)] {
            assert_eq!(lacks_descriptors(&io::Error::from_raw_os_error(errno)), lacks);
        }
        assert!(!lacks_descriptors(&io::Error::other("no more")));
    }
}
