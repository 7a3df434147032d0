//! `NS_GET_USERNS` of ioctl_ns(2): the user namespace that owns a namespace, as far as the caller may know.
//!
//! # Safety
//!
//! The request takes no argument, and answers with a new descriptor that nobody else has.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

/// `NS_GET_USERNS` of `include/uapi/linux/nsfs.h`: `_IO(0xb7, 1)`.
const NS_GET_USERNS: rustix::ioctl::Opcode = rustix::ioctl::opcode::none(0xb7, 1);

/// The owner of a namespace. EPERM where that is neither the caller's user namespace nor a descendant of
/// it; ENOTTY before 4.9. The descriptor is CLOEXEC (`open_related_ns`).
pub(crate) fn owner(namespace: impl AsFd) -> Result<OwnedFd, Errno> {
    // SAFETY: no pointer is passed, and the descriptor is checked before it is owned.
    match unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), NS_GET_USERNS as _) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        // SAFETY: the kernel has just made it for this call.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}
