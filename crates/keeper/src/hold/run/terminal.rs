//! The terminal that we were started from, and its end.
//!
//! The kernel tells its end to the session's leader and to the group in the foreground (`__tty_hangup`,
//! `disassociate_ctty`), and a shell passes it on to its jobs with kill(2). It is not held open here: whoever waits
//! for its last user to go would wait for us.

use crate::hold::sys::number;
use rustix::fs::{Mode, OFlags, open};

/// What is known of it.
#[derive(Debug)]
pub(super) struct Terminal {
    was_there: bool,
}

impl Terminal {
    /// As it is now.
    pub(super) fn now() -> Terminal {
        Terminal { was_there: is_there() }
    }

    /// Whether a SIGHUP of this process is a shell's word that the terminal is gone. While it is there, a shell that
    /// sends one was told to by somebody who types. A shell outside of our pid namespace is `None` in both places.
    pub(super) fn is_gone_says(&self, sender: Option<u32>) -> bool {
        self.was_there && sender == number::session() && !is_there()
    }
}

/// tty(4): ENXIO for who has no controlling terminal.
fn is_there() -> bool {
    open("/dev/tty", OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        .is_ok()
}
