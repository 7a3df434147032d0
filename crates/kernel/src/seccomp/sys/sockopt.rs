//! getsockopt(2) of options that are no `int`: `SO_NETNS_COOKIE`, `TCP_INFO`.
//!
//! # Safety
//!
//! The kernel writes at most the stated length into a local array.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// `SO_NETNS_COOKIE` of include/uapi/asm-generic/socket.h, Linux 5.14.
const NETNS_COOKIE: libc::c_int = 71;

/// The number of the socket's network namespace, which is never given to another one.
pub(in super::super) fn netns_cookie(socket: impl AsFd) -> Result<u64, Errno> {
    let (bytes, length) = read::<8>(socket, libc::SOL_SOCKET, NETNS_COOKIE)?;
    if length == 8 { Ok(u64::from_ne_bytes(bytes)) } else { Err(Errno::INVAL) }
}

/// The first bytes of `struct tcp_info`, and how many the kernel has written.
pub(in super::super) fn tcp_info(socket: impl AsFd) -> Result<([u8; 32], usize), Errno> {
    read(socket, libc::SOL_TCP, libc::TCP_INFO)
}

fn read<const N: usize>(
    socket: impl AsFd,
    level: libc::c_int,
    option: libc::c_int,
) -> Result<([u8; N], usize), Errno> {
    let mut value = [0u8; N];
    let mut length = N as libc::socklen_t;
    // SAFETY: `value` and `length` live through the call, and `length` is the size of `value`.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    match answer {
        0 => Ok((value, usize::try_from(length).unwrap_or(0).min(N))),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
