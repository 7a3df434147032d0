#![allow(unsafe_code)]
//! The signals that whoever started us had ignored, which execve(2) passes on.
//!
//! Two of them are looked at before Rust's own start, in ELF's `.init_array`. SIGPIPE is ignored by that start, so that
//! nobody can tell later; systemd has it ignored for every service. And where SIGCHLD is ignored, children end without
//! a word and wait(2) says ECHILD (`do_notify_parent`): that is not for us, who wait for each of them.
//!
//! # Safety
//! Before `main` there is one thread, and the C library is ready. The two calls touch a structure on the stack, and name
//! no handler.

use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bit `n - 1` for signal `n`.
static AT_THE_START: AtomicU64 = AtomicU64::new(0);

#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

/// SIGPIPE and SIGCHLD, as far as they were ignored at the start of this process: bit `n - 1` for signal `n`.
pub(crate) fn at_the_start() -> u64 {
    AT_THE_START.load(Ordering::Relaxed)
}

extern "C" fn look() {
    let ignored = [libc::SIGPIPE, libc::SIGCHLD].into_iter().filter(|number| is_ignored(*number));
    AT_THE_START.store(ignored.fold(0, |mask, number| mask | 1 << (number - 1)), Ordering::Relaxed);
    // SAFETY: it names no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn is_ignored(number: i32) -> bool {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action the call only fills `now`, which is read when it succeeded.
    unsafe {
        libc::sigaction(number, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
