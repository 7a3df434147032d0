//! What a thread does to itself alone: leaving namespaces and tables, and ending without its process.
//!
//! # Safety
//! unshare(2) with `CLONE_FILES` gives the calling thread a copy of the table of open files, so a
//! descriptor that this thread opens later means nothing to the others. exit(2) as a system call ends a
//! thread without running anything that the thread still has on its stack.
#![allow(unsafe_code)]

use rustix::thread::UnshareFlags;
use std::io;

/// unshare(2). With `FILES` the caller must not hand descriptors that it opens afterwards to other
/// threads, nor take theirs.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: only FILES bears on memory safety of descriptors; the one caller that passes it is a
    // thread that opens and closes nothing from then on. The others unshare namespaces.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

/// Ends the calling thread, and not its process as long as another thread lives (exit(2), the system
/// call, not the C function).
pub(crate) fn exit_thread() -> ! {
    // SAFETY: the system call does not return. The caller has moved everything it owned into another
    // thread, so that nothing on this stack is referred to any more.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    std::process::abort()
}
