//! getsockopt(2) of any option, by level and number.
//!
//! # Safety
//!
//! The kernel writes at most the stated length into a live buffer.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// An option of level `SOL_SOCKET` that is one `int`.
pub(crate) fn socket_int(socket: impl AsFd, option: libc::c_int) -> Result<i32, Errno> {
    let mut value = [0; size_of::<libc::c_int>()];
    bytes(socket, libc::SOL_SOCKET, option, &mut value)?;
    Ok(libc::c_int::from_ne_bytes(value))
}

/// Any option, into the buffer; gives the length that the kernel says, which for `SO_ATTACH_FILTER` is no count
/// of bytes.
pub(crate) fn bytes(socket: impl AsFd, level: i32, option: i32, into: &mut [u8]) -> Result<usize, Errno> {
    let mut length = libc::socklen_t::try_from(into.len()).map_err(|_| Errno::INVAL)?;
    // SAFETY: `into` and `length` live through the call, and `length` is the size of `into`.
    let answer = unsafe {
        libc::getsockopt(socket.as_fd().as_raw_fd(), level, option, into.as_mut_ptr().cast(), &raw mut length)
    };
    match answer {
        0 => Ok(usize::try_from(length).unwrap_or(0)),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
