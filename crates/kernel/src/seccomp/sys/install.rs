//! seccomp(2) with `SECCOMP_SET_MODE_FILTER` and a listener.
//!
//! # Safety
//!
//! The kernel copies the program during the call and keeps no pointer.
#![allow(unsafe_code)]

use crate::sys::classic_bpf::{Given, Instruction};
use rustix::fd::{FromRawFd as _, OwnedFd, RawFd};
use rustix::io::Errno;

/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`, Linux 5.19: a question that was received is only given up for a
/// fatal signal. Without it, Go's preemption signals would repeat a call for ever.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// Installs the program; the descriptor is CLOEXEC (`init_listener`).
pub(in super::super) fn with_listener(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    match set(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | WAIT_KILLABLE_RECV) {
        Err(Errno::INVAL) => set(program, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER),
        done => done,
    }
}

fn set(program: &[Instruction], flags: libc::c_ulong) -> Result<OwnedFd, Errno> {
    let mut program = Given::new(program);
    let given = program.fprog()?;
    // SAFETY: `given` and the `len` instructions that it points to, in `program`, live through the call.
    let answer =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const given) };
    match RawFd::try_from(answer) {
        // SAFETY: the kernel just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
