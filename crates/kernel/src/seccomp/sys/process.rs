//! What a small process does to its own descriptors before it starts: closing those that it was not meant to have.
//!
//! # Safety
//!
//! close_range(2) takes descriptors away from whoever owns them in this process. The callers own everything from
//! that number on, which they promise by having opened nothing yet.
#![allow(unsafe_code)]

use rustix::io::Errno;

/// Closes every descriptor from `first` on (close_range(2), Linux 5.9). For the first lines of a `main`, before
/// anything was opened: what is inherited is closed, and nothing that Rust owns. Needs a single thread
/// ([`alone`]), and refuses otherwise.
pub fn close_from(first: u32) -> Result<(), Errno> {
    if !alone() {
        return Err(Errno::BUSY);
    }
    // SAFETY: no other thread is there that could use one of them, and the caller has opened none.
    match unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Whether this process has a single thread, as far as /proc tells.
pub fn alone() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
