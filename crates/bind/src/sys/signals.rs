//! A signal handler that only writes the signal's number into a socket (sigaction(2), signal-safety(7)).
//!
//! # Safety
//!
//! The handler calls write(2), which is async-signal-safe, on a descriptor that is never closed once it is
//! announced, and puts errno back as it was.
#![allow(unsafe_code)]

use rustix::fd::{IntoRawFd, OwnedFd};
use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

/// Where the handler writes; -1 until there is such a place.
static WRITER: AtomicI32 = AtomicI32::new(-1);

extern "C" fn tell(signal: libc::c_int) {
    let number = signal.to_ne_bytes();
    let byte = if cfg!(target_endian = "little") { number[0] } else { number[3] };
    // SAFETY: errno belongs to this thread; `byte` lives through the call, and one byte is written.
    unsafe {
        let errno = errno();
        let before = *errno;
        libc::write(WRITER.load(Ordering::Relaxed), (&raw const byte).cast(), 1);
        *errno = before;
    }
}

/// # Safety
/// The pointer is this thread's and valid as long as the thread.
unsafe fn errno() -> *mut libc::c_int {
    #[cfg(target_os = "linux")]
    // SAFETY: takes nothing and always answers.
    return unsafe { libc::__errno_location() };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: takes nothing and always answers.
    return unsafe { libc::__error() };
}

/// What a signal does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It ends the process.
    Default,
    /// It is ignored, as under nohup(1).
    Ignored,
    /// Something in this process handles it.
    Handled,
}

/// What this signal does now.
pub(crate) fn disposition(signal: i32) -> io::Result<Disposition> {
    let mut now = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is changed, and `now` is filled in where the call succeeds.
    let now = unsafe {
        if libc::sigaction(signal, ptr::null(), now.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        now.assume_init()
    };
    Ok(match now.sa_sigaction {
        libc::SIG_DFL => Disposition::Default,
        libc::SIG_IGN => Disposition::Ignored,
        _ => Disposition::Handled,
    })
}

/// From now on the handler writes there. Called once, before the first [`handle`].
pub(crate) fn write_to(writer: OwnedFd) {
    WRITER.store(writer.into_raw_fd(), Ordering::Relaxed);
}

/// Lets the handler take this signal. Calls that it interrupts go on afterwards (`SA_RESTART`).
pub(crate) fn handle(signal: i32) -> io::Result<()> {
    // SAFETY: a zeroed sigaction is a valid one; the handler has the signature of one without SA_SIGINFO.
    let answer = unsafe {
        let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = tell as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigemptyset(&raw mut action.sa_mask);
        libc::sigaction(signal, &raw const action, ptr::null_mut())
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
