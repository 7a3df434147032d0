#![allow(unsafe_code)]
//! Who the other end of a unix socket is (`SO_PEERCRED`, unix(7)).
//!
//! rustix has it too, in a type whose pid cannot be 0; yet the kernel says 0 for a process of an outer pid
//! namespace, as whoever asks from outside a container is for the supervisor in it.
//!
//! # Safety
//! The kernel writes at most as many bytes as it is told, into a structure of integers that is valid for any bytes.

use rustix::fd::{AsFd, AsRawFd as _};
use std::io;

/// The user who connected, or who listens.
pub(in crate::hold) fn uid(socket: impl AsFd) -> io::Result<u32> {
    credentials(socket).map(|credentials| credentials.uid)
}

/// The process; `None` for one that has no number here.
pub(in crate::hold) fn pid(socket: impl AsFd) -> io::Result<Option<u32>> {
    credentials(socket).map(|credentials| super::number::known(credentials.pid))
}

fn credentials(socket: impl AsFd) -> io::Result<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: both pointers are to values of this function, and the length is that of the first.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    match done {
        0 if length as usize == size_of::<libc::ucred>() => Ok(credentials),
        0 => Err(io::ErrorKind::InvalidData.into()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_is_ours() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().expect("a pair");
        assert_eq!(uid(&one).expect("its user"), rustix::process::geteuid().as_raw());
        assert_eq!(pid(&one).expect("its process"), Some(std::process::id()));
        assert!(uid(std::fs::File::open("/dev/null").expect("a file")).is_err());
    }
}
