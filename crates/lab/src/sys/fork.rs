//! fork(2).
//!
//! # Safety
//! After fork() the child has only the calling thread, while locks that other threads held stay locked
//! for ever. The functions here are therefore called only by helper processes that have one thread.
#![allow(unsafe_code)]

use rustix::process::Pid;
use std::io;

/// What fork(2) returned.
pub(crate) enum Forked {
    /// This is the new process.
    Child,
    /// This is the old one; the child's pid.
    Parent(Pid),
}

/// fork(2). Only for a process with a single thread; the child inherits every descriptor.
pub(crate) fn fork() -> io::Result<Forked> {
    // SAFETY: the callers (the stage's helper, and actors that have started no thread) are
    // single-threaded, so that the child finds no lock held by a thread that is not there.
    let pid = unsafe { libc::fork() };
    match pid {
        0 => Ok(Forked::Child),
        pid => {
            Pid::from_raw(pid).filter(|_| pid > 0).map(Forked::Parent).ok_or_else(io::Error::last_os_error)
        }
    }
}
