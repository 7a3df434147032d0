//! Waking a thread out of a system call without a signal: ptrace(2), `PTRACE_SEIZE` and `PTRACE_INTERRUPT`.
//!
//! The thread stops for a moment and goes on. A call such as accept(2) or poll(2) is then made again from its
//! beginning, and looks its descriptor up anew. Nobody but the tracer sees the stop.
//!
//! Or it is turned: in the place of that call it makes bind(2), with the same arguments. That one is asked about, and
//! whoever answers can change the descriptors of the thread's process and says what the thread sees as the result of
//! the call that it made itself. Should nobody answer any more, the kernel's own bind(2) fails too: accept(2) has no
//! arguments that could be a name for a listener, which has one already.
//!
//! # Safety
//!
//! The requests take numbers only, but for two that fill a structure which lives through the call.
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

/// What became of a thread that is to be turned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turned {
    /// It has not stopped yet.
    NotYet,
    /// It goes on as before, or has ended: it did not sleep in a call that may wait for the socket.
    Not,
    /// It asks next, by a bind(2) with these first arguments.
    Asks {
        /// Those of the call in which it slept.
        arguments: [u64; 3],
        /// That was accept(2), and none that waits for several descriptors.
        accepts: bool,
    },
}

/// Whether threads can be turned on this architecture.
pub const CAN_TURN: bool = cfg!(target_arch = "x86_64");

/// Lets a thread go that has stopped for [`interrupt`], and turns it if it slept in accept on the socket with this
/// inode, or in poll or select. Never waits.
pub fn turn(tid: u32, inode: u64) -> Turned {
    let turned = match stopped_by(tid) {
        Err(_) if !is_over(tid) => return Turned::NotYet,
        // Only one that stopped for us and for no signal.
        Ok((_, code)) if code >> 8 == EVENT_STOP => turn_stopped(tid, inode),
        _ => None,
    };
    release(tid);
    turned.unwrap_or(Turned::Not)
}

/// The call in which a stopped thread slept becomes bind(2): when it goes on, the kernel makes the call again whose
/// number stands in `orig_rax`, since the result so far says so (`arch_do_signal_or_restart`).
#[cfg(target_arch = "x86_64")]
fn turn_stopped(tid: u32, inode: u64) -> Option<Turned> {
    /// `__USER_CS`: a program of 64 bits.
    const USER_CS: u64 = 0x33;
    /// `-ERESTARTSYS` of include/linux/errno.h; it and its three relations, or EINTR, are what an interrupted call has.
    const RESTART: i64 = -512;
    let pid = libc::pid_t::try_from(tid).ok()?;
    let mut registers = MaybeUninit::<libc::user_regs_struct>::zeroed();
    // SAFETY: the kernel writes one structure, which lives through the call.
    if unsafe { libc::ptrace(libc::PTRACE_GETREGS, pid, 0usize, registers.as_mut_ptr()) } == -1 {
        return None;
    }
    // SAFETY: it was zeroed, which is a value of it, and then filled.
    let registers = unsafe { registers.assume_init() };
    let call = i64::try_from(registers.orig_rax).ok()?;
    let accepts = matches!(call, libc::SYS_accept | libc::SYS_accept4);
    let waits =
        matches!(call, libc::SYS_poll | libc::SYS_ppoll | libc::SYS_select | libc::SYS_pselect6) || accepts;
    let interrupted = matches!(registers.rax as i64, -516 | -514..=RESTART) || registers.rax as i64 == -4;
    if !(waits && interrupted && registers.cs == USER_CS) {
        return None;
    }
    // It may have come to another socket since it was seen.
    if accepts && Target::new(tid).ok()?.socket(registers.rdi as u32) != Some(inode) {
        return None;
    }
    let put = |at: usize, value: i64| {
        // SAFETY: the address is an offset into the saved registers, and the data is a number.
        let put = unsafe { libc::ptrace(libc::PTRACE_POKEUSER, pid, at, value) };
        (put != -1).then_some(())
    };
    put(std::mem::offset_of!(libc::user_regs_struct, orig_rax), libc::SYS_bind)?;
    put(std::mem::offset_of!(libc::user_regs_struct, rax), RESTART)?;
    Some(Turned::Asks { arguments: [registers.rdi, registers.rsi, registers.rdx], accepts })
}

/// Elsewhere it goes on as before.
#[cfg(not(target_arch = "x86_64"))]
fn turn_stopped(_: u32, _: u64) -> Option<Turned> {
    None
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
