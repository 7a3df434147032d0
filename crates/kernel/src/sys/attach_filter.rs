//! `SO_ATTACH_FILTER`: a classic BPF program that decides which messages a socket receives (socket(7)).
//!
//! # Safety
//!
//! The kernel copies the program during the call and keeps no pointer.
#![allow(unsafe_code)]

use super::classic_bpf::{Given, Instruction};
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// Attaches the program. Needs no privilege: the filter is the socket's own.
pub(crate) fn attach(socket: impl AsFd, program: &[Instruction]) -> Result<(), Errno> {
    let mut program = Given::new(program);
    let given = program.fprog()?;
    // SAFETY: `given` and the `len` instructions that it points to, in `program`, live through the call, and the length
    // is the size of `given`.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            (&raw const given).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    match answer {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
