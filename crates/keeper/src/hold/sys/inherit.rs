#![allow(unsafe_code)]
//! What a new program inherits: descriptors, and which signals are blocked and ignored.
//!
//! # Safety
//! What runs between fork and exec is fcntl(2), on descriptors that the command itself owns, sigprocmask(2) and signal(2);
//! they are async-signal-safe, and nothing is allocated.

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

/// With which signals a program starts: bit `n - 1` for signal `n`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::hold) struct AtStart {
    /// Exactly these are blocked.
    pub(in crate::hold) blocked: u64,
    /// These are ignored, besides those that are here.
    pub(in crate::hold) ignored: u64,
}

/// By itself the standard library lets a program start with none blocked, and SIGPIPE not ignored.
pub(in crate::hold) fn signals(command: &mut Command, at_start: AtStart) {
    let set = move || {
        signals::ignore(at_start.ignored);
        signals::block_only(at_start.blocked);
        Ok(())
    };
    // SAFETY: sigprocmask(2), whose set lives on the stack, and signal(2) are async-signal-safe.
    unsafe { command.pre_exec(set) };
}

/// This process is not ended by what a terminal sends to everybody in front of it, nor by a closed pipe.
pub(in crate::hold) fn ignore_stops() {
    for signal in [libc::SIGINT, libc::SIGQUIT, libc::SIGHUP, libc::SIGPIPE, libc::SIGTERM] {
        // SAFETY: it names no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}
