//! setsockopt(2) of `SO_BINDTODEVICE`, which rustix does not have (socket(7)).
//!
//! # Safety
//!
//! The kernel reads as many bytes as the name has, from the name.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};
use std::io;

/// Only what arrives on, and leaves by, this interface. An empty name takes the restriction away.
pub(crate) fn bind_to_device(socket: impl AsFd, name: &str) -> io::Result<()> {
    let length =
        libc::socklen_t::try_from(name.len()).map_err(|_| io::Error::from(rustix::io::Errno::INVAL))?;
    // SAFETY: `name` lives through the call, and `length` is its length.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            length,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
