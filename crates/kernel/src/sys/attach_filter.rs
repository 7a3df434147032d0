//! `SO_ATTACH_FILTER`: a classic BPF program that decides which messages a socket receives (socket(7)).
//!
//! # Safety
//!
//! The kernel copies the program during the call and keeps no pointer.
#![allow(unsafe_code)]

use crate::events::Instruction;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// Attaches the program. Needs no privilege: the filter is the socket's own.
pub(crate) fn attach(socket: impl AsFd, program: &[Instruction]) -> Result<(), Errno> {
    let mut program: Vec<libc::sock_filter> = program
        .iter()
        .map(|one| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k })
        .collect();
    let length = u16::try_from(program.len()).map_err(|_| Errno::INVAL)?;
    let given = libc::sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: `given` and the `len` instructions that it points to live through the call, and the length
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
