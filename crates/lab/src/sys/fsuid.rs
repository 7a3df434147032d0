//! The user that a new socket belongs to: setfsuid(2) around one call.
//!
//! `sock_alloc` stamps a socket with the file-system uid, which otherwise follows the effective uid. To
//! change only that one leaves every capability that a bind may need.
//!
//! # Safety
//!
//! setfsuid(2) takes a number, touches no memory of ours, and concerns the calling thread alone.
#![allow(unsafe_code)]

/// Runs `act` with the calling thread's file-system uid set to `uid`, and puts back the effective uid.
pub(crate) fn with_fsuid<T>(uid: u32, act: impl FnOnce() -> T) -> T {
    let own = rustix::process::geteuid().as_raw();
    if uid == own {
        return act();
    }
    // SAFETY: see above.
    unsafe { libc::setfsuid(uid) };
    let result = act();
    // SAFETY: see above.
    unsafe { libc::setfsuid(own) };
    result
}
