#![allow(unsafe_code)]
//! What a new program inherits: descriptors, and the signal mask.
//!
//! # Safety
//! What runs between fork and exec is fcntl(2), on descriptors that the command itself owns, and
//! sigprocmask(2); both are async-signal-safe, and nothing is allocated.

use super::signals;
use rustix::fd::OwnedFd;
use rustix::io::{FdFlags, fcntl_setfd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The child inherits these under the numbers that they have here. They close with the command.
pub(in crate::hold) fn inherit(command: &mut Command, fds: Vec<OwnedFd>) {
    let keep_open = move || {
        for fd in &fds {
            fcntl_setfd(fd, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: it makes one async-signal-safe call a descriptor and allocates nothing.
    unsafe { command.pre_exec(keep_open) };
}

/// The program starts with exactly these signals blocked: bit `n - 1` for signal `n`. (By itself the standard
/// library lets a program start with none.)
pub(in crate::hold) fn mask(command: &mut Command, mask: u64) {
    let block = move || {
        signals::block_only(mask);
        Ok(())
    };
    // SAFETY: sigprocmask(2) is async-signal-safe, and its set lives on the stack.
    unsafe { command.pre_exec(block) };
}

/// This process is not ended by what a terminal sends to everybody in front of it, nor by a closed pipe.
pub(in crate::hold) fn ignore_stops() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGPIPE, libc::SIGTERM] {
        // SAFETY: it names no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
