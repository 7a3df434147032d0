//! Taking over descriptors that the parent left open at known numbers (sd_listen_fds(3)).
//!
//! # Safety
//!
//! A number becomes an owned descriptor only when it is open, and the caller, who holds the lock of `inherit`,
//! does so once in the life of the process. That nothing else in the process owns it is what `LISTEN_PID` says:
//! the parent left these numbers for this process.
#![allow(unsafe_code)]

use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
use std::ops::Range;

/// Takes these numbers over, with close-on-exec set.
///
/// # Errors
/// The first number that is not open; nothing is taken over then.
pub(crate) fn adopt(numbers: Range<RawFd>) -> Result<Vec<OwnedFd>, RawFd> {
    for number in numbers.clone() {
        // SAFETY: borrowed for these calls only; the kernel answers EBADF for a number that is not open.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        let set = fcntl_getfd(descriptor).and_then(|flags| fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC));
        set.map_err(|_| number)?;
    }
    // SAFETY: each is open, as was just seen, and is taken over once (see above).
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}
