//! Waking a thread out of a system call without a signal: ptrace(2), `PTRACE_SEIZE` and `PTRACE_INTERRUPT`.
//!
//! The thread stops for a moment and goes on. A call such as accept(2) or poll(2) is then made again from its
//! beginning, and looks its descriptor up anew. Nobody but the tracer sees the stop.
//!
//! # Safety
//!
//! The requests take numbers only, but for one that fills a structure which lives through the call.
#![allow(unsafe_code)]

use super::super::target::Target;
use crate::process::stat::Stat;
use rustix::io::Errno;
use std::mem::MaybeUninit;

/// `PTRACE_EVENT_STOP` of include/uapi/linux/ptrace.h: stopped by us, and not to deliver a signal.
const EVENT_STOP: libc::c_int = 128;

/// Begins to wake a thread; to be followed by [`release`] until that says `true`. Needs the right of ptrace(2);
/// EPERM also when the thread is traced already.
pub fn interrupt(tid: u32) -> Result<(), Errno> {
    request(libc::PTRACE_SEIZE, tid, 0)?;
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a thread go that has stopped for [`interrupt`]. `false`: it has not stopped yet. Never waits.
///
/// That it has stopped is asked of ptrace(2) and not of waitpid(2): another thread of ours that waits for all
/// children may have heard of it already.
pub fn release(tid: u32) -> bool {
    match stopped_by(tid) {
        Ok((number, code)) => {
            // A signal that arrived at the same moment is delivered after all.
            let signal = if code >> 8 == EVENT_STOP { 0 } else { number };
            let _ = request(libc::PTRACE_DETACH, tid, signal);
            true
        }
        Err(_) => is_over(tid),
    }
}

/// The signal and the code of its stop. ESRCH: it has not stopped, or there is no such thread any more.
fn stopped_by(tid: u32) -> Result<(libc::c_int, libc::c_int), Errno> {
    let pid = libc::pid_t::try_from(tid).map_err(|_| Errno::SRCH)?;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: the kernel writes one structure, which lives through the call.
    match unsafe { libc::ptrace(libc::PTRACE_GETSIGINFO, pid, 0usize, info.as_mut_ptr()) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        // SAFETY: it was zeroed, which is a value of it, and then filled.
        _ => Ok(unsafe { (info.assume_init_ref().si_signo, info.assume_init_ref().si_code) }),
    }
}

/// Whether the thread has ended. Its end is heard of here, so that its process and their parent go on; but not that
/// of a child of ours, whose status somebody else waits for.
fn is_over(tid: u32) -> bool {
    let Ok(stat) = std::fs::read(format!("/proc/{tid}/stat")) else { return true };
    let Some(stat) = Stat::parse(&stat).filter(Stat::main_thread_ended) else { return false };
    let leads = Target::new(tid).and_then(|target| target.tgid()).is_ok_and(|tgid| tgid == tid);
    if !(leads && stat.ppid == std::process::id())
        && let Ok(pid) = libc::pid_t::try_from(tid)
    {
        // SAFETY: without a place for the status nothing is written.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL) };
    }
    true
}

/// The C libraries do not agree on its sign.
#[cfg(target_env = "musl")]
type Request = libc::c_int;
#[cfg(not(target_env = "musl"))]
type Request = libc::c_uint;

fn request(request: Request, tid: u32, data: libc::c_int) -> Result<(), Errno> {
    let pid = libc::pid_t::try_from(tid).map_err(|_| Errno::SRCH)?;
    // SAFETY: for these requests the address is unused and the data is a number.
    match unsafe { libc::ptrace(request, pid, 0usize, data as libc::c_long) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
        _ => Ok(()),
    }
}
