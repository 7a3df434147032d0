//! What the children of this process took: memory and processor time.
//!
//! # Safety
//! getrusage(2) writes one struct rusage, for which all zeroes is a valid value.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

/// The largest resident set that a child ever had among those that were waited for, in KiB.
pub(crate) fn peak_of_children() -> io::Result<u64> {
    Ok(u64::try_from(of_children()?.ru_maxrss).unwrap_or(0))
}

/// The processor time of all children that were waited for, in user and kernel mode together.
pub(crate) fn time_of_children() -> io::Result<Duration> {
    let usage = of_children()?;
    let duration = |time: libc::timeval| {
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
            + Duration::from_micros(u64::try_from(time.tv_usec).unwrap_or(0))
    };
    Ok(duration(usage.ru_utime) + duration(usage.ru_stime))
}

/// getrusage(2), `RUSAGE_CHILDREN`.
fn of_children() -> io::Result<libc::rusage> {
    // SAFETY: a struct rusage of zeroes is valid, and the kernel writes nothing beyond it.
    let (done, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage), usage)
    };
    if done == 0 { Ok(usage) } else { Err(io::Error::last_os_error()) }
}
