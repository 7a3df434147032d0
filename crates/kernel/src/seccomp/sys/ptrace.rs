//! Waking a thread out of a system call without a signal: ptrace(2), `PTRACE_SEIZE` and `PTRACE_INTERRUPT`.
//!
//! The thread stops for a moment and goes on. A call such as accept(2) or poll(2) is then made again from its
//! beginning, and looks its descriptor up anew. Nobody but the tracer sees the stop.
//!
//! # Safety
//!
//! The requests used take numbers only, and write nothing into this process.
#![allow(unsafe_code)]

use rustix::io::Errno;

/// `PTRACE_EVENT_STOP` of include/uapi/linux/ptrace.h: stopped by us, and not to deliver a signal.
const EVENT_STOP: libc::c_int = 128;

/// Begins to wake a thread; to be followed by [`release`] until that says `true`. Needs the right of ptrace(2);
/// EPERM also when the thread is traced already.
pub fn interrupt(tid: u32) -> Result<(), Errno> {
    request(libc::PTRACE_SEIZE, tid, 0)?;
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a thread go that has stopped for [`interrupt`]. `false`: it has not stopped yet. Never waits.
pub fn release(tid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(tid) else { return true };
    let mut status: libc::c_int = 0;
    // SAFETY: `status` is one int that lives through the call.
    let answer = unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG | libc::__WALL) };
    if answer == 0 {
        return false;
    }
    if answer == pid && libc::WIFSTOPPED(status) {
        // A signal that arrived at the same moment is delivered after all.
        let signal = if status >> 16 == EVENT_STOP { 0 } else { libc::WSTOPSIG(status) };
        let _ = request(libc::PTRACE_DETACH, tid, signal);
    }
    true
}

fn request(request: libc::c_uint, tid: u32, data: libc::c_int) -> Result<(), Errno> {
    let pid = libc::pid_t::try_from(tid).map_err(|_| Errno::SRCH)?;
    // SAFETY: for these requests the address is unused and the data is a number.
    match unsafe { libc::ptrace(request, pid, 0usize, data as libc::c_long) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        _ => Ok(()),
    }
}
