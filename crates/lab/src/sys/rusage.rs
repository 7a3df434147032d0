//! The largest resident set that a child of this process ever had.
//!
//! # Safety
//! getrusage(2) writes one struct rusage, for which all zeroes is a valid value.
#![allow(unsafe_code)]

use std::io;

/// The peak among all children that were waited for, in KiB (getrusage(2), `RUSAGE_CHILDREN`).
pub(crate) fn peak_of_children() -> io::Result<u64> {
    // SAFETY: a struct rusage of zeroes is valid, and the kernel writes nothing beyond it.
    let (done, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), usage)
    };
    if done == 0 { Ok(u64::try_from(usage.ru_maxrss).unwrap_or(0)) } else { Err(io::Error::last_os_error()) }
}
