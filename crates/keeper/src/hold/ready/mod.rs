//! When a generation is ready.
//!
//! Without help from the program three things can be seen: that it says so (sd_notify(3)), that one of its
//! threads waits for what comes in on a socket that it was given (`look`), and that it is still alive.
//!
//! Not here: programs that bind for themselves; those are seen at their listen(2).

pub(super) mod look;
mod waits;

use std::time::Duration;

/// How long a program must live where nothing else can be seen.
pub(super) const ALIVE: Duration = Duration::from_secs(1);

/// How long a program must live to count as ready after all that was given sockets and does not wait on one, or that
/// could not bind what it asked for.
pub(super) const ALIVE_UNSEEN: Duration = Duration::from_secs(10);

/// What makes a generation ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ready {
    /// Whatever comes first: its word, its waiting on a socket, its living on.
    #[default]
    Auto,
    /// `READY=1` on `NOTIFY_SOCKET`, and nothing else.
    Notify,
    /// A line, or at least its end, written to this descriptor.
    Descriptor(i32),
    /// It waits on a socket that it was given, or listens on one of its own.
    Listen,
    /// It lived so long.
    Alive(Duration),
}
