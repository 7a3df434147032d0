//! What SIGINT does to the calling process: its default, or a handler as careful servers have one.
//!
//! # Safety
//! sigaction(2) installs a function that may run between any two instructions. The one here makes only
//! system calls that signal-safety(7) allows, touches no memory but its own stack, and never returns.
#![allow(unsafe_code)]

use std::io;
use std::ops::Range;

/// Descriptors that a scene's sockets may have; the control pipe is beyond.
const OF_THE_SCENE: Range<i32> = 3..100;

/// SIGINT ends the process, even where who started us ignores it (`sh -c 'command &'`).
pub(crate) fn ends_the_process() -> io::Result<()> {
    on_interrupt(libc::SIG_DFL)
}

/// SIGINT closes every socket of the scene, and ends the process with status 0.
pub(crate) fn closes_and_exits() -> io::Result<()> {
    on_interrupt(close_all_and_exit as extern "C" fn(i32) as libc::sighandler_t)
}

extern "C" fn close_all_and_exit(_signal: i32) {
    for fd in OF_THE_SCENE {
        // SAFETY: close(2) on a number is sound here because no code of this process runs afterwards.
        unsafe { libc::close(fd) };
    }
    // SAFETY: _exit(2) does not return and runs nothing of this process.
    unsafe { libc::_exit(0) }
}

fn on_interrupt(handler: libc::sighandler_t) -> io::Result<()> {
    // SAFETY: a sigaction of zeroes is a valid one: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    // SAFETY: `action` lives during the call, and its handler is SIG_DFL or the function above.
    let done = unsafe { libc::sigaction(libc::SIGINT, &raw const action, std::ptr::null_mut()) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
