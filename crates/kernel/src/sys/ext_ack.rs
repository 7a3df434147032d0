//! `NETLINK_EXT_ACK`: the kernel adds words to a refusal (netlink(7), Linux 4.12).
//!
//! # Safety
//!
//! The kernel reads one `int` that lives through the call.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};

/// Asks for words. A kernel that has none to give refuses without them.
pub(crate) fn enable(socket: impl AsFd) {
    let on: libc::c_int = 1;
    // SAFETY: `on` lives through the call, and the length is its size.
    unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_NETLINK,
            libc::NETLINK_EXT_ACK,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        );
    }
}
