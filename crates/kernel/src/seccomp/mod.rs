//! User notification of seccomp(2): a filter that asks another process about three calls, and what that
//! process needs to answer: the notification, the caller's memory, descriptors and threads.
//!
//! The filter asks about bind, listen and the shutdowns that end a listener, and about nothing else. **This is no
//! security boundary**: a call that is let through is read again by the kernel, and the caller may have
//! changed its memory meanwhile (seccomp_unotify(2)). It is for convenience only.
//!
//! Tasks of another architecture (32 bit programs, x32) are never asked about: their calls pass untouched.
//!
//! Not here: what is answered (the keeper's `hold::keep`). See seccomp(2), seccomp_unotify(2),
//! `kernel/seccomp.c`.

mod filter;
mod install;
mod notify;
mod socket;
mod sys;
mod target;
mod waiters;

pub use filter::Call;
pub use install::{Refused, install};
pub use notify::{Answer, Notification, Notifications};
pub use socket::{Queue, bound_device, netns_cookie, protocol, queue};
pub use sys::process::{alone, close_from};
pub use sys::ptrace::{CAN_TURN, Turned, interrupt, release, turn};
pub use target::{Target, socket_inode};
pub use waiters::{Waiter, Waits, holders, waiters};
