//! Socket options that rustix does not have, by their number.
//!
//! # Safety
//!
//! setsockopt(2) reads exactly the bytes of the slice that is passed, for the length that is passed;
//! getsockopt(2) writes no more than the length that is passed.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// Sets an option that is an `int`.
pub(crate) fn set_int(fd: impl AsFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_bytes(fd, level, name, &value.to_ne_bytes())
}

/// Reads an option that is an `int`.
pub(crate) fn get_int(fd: impl AsFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value: i32 = 0;
    let mut length = size_of::<i32>() as libc::socklen_t;
    let into = (&raw mut value).cast();
    // SAFETY: the kernel writes at most `length` bytes to `value`, which is that long, and both live.
    let done = unsafe { libc::getsockopt(fd.as_fd().as_raw_fd(), level, name, into, &raw mut length) };
    if done == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// `SO_BINDTODEVICE`.
pub(crate) fn bind_to_device(fd: impl AsFd, device: &str) -> io::Result<()> {
    set_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, device.as_bytes())
}

fn set_bytes(fd: impl AsFd, level: i32, name: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the pointer and the length are those of one live slice.
    let done =
        unsafe { libc::setsockopt(fd.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), length) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
