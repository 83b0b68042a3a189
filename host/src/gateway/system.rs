//! The system calls that have no safe wrapper. SIGPIPE needs none: the standard library ignores it before `main`.
#![allow(unsafe_code)]

/// Raises the limit of open files to what the administrator allows, and says what it is: every connection is one, and
/// the usual soft limit of 1024 exists for programs that still use `select`.
pub(super) fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write the struct they are given, which outlives them.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 0;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            return raised.rlim_cur;
        }
    }
    limit.rlim_cur
}
