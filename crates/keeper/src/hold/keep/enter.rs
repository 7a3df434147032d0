//! What the stub does last, before it becomes the program: it puts the filter on itself and gives the handler the
//! descriptor where the filter's questions arrive.
//!
//! sendmsg(2) is not filtered, so that the descriptor can leave. Only when the handler has said that it has it
//! does the program start: from then on somebody answers.
//!
//! Set-uid programs: with `CAP_SYS_ADMIN` the filter needs nothing more, and they get their rights as ever. Without
//! it no_new_privs must be set, and everything that the program starts runs without the rights that a set-uid bit
//! or file capabilities would give (sudo, ping, a server that may bind port 80 by `setcap`).

use super::channel;
use super::wire::Order;
use inuse_kernel::seccomp;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags};
use rustix::thread::{CapabilitySet, capabilities};
use std::io;
use std::path::Path;
use std::time::Duration;

/// How long the handler may take to say that it will answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the handler says then.
pub(super) const WELCOME: &[u8] = b"welcome";

/// Puts the filter on the calling process, for the given generation, and gives the handler at the other end of
/// `channel` what it needs to answer. To be called by a process with one thread, right before it executes the
/// program; `channel` closes on exec from here on.
///
/// # Errors
/// The sentence says what stands in the way and what to do. After an error the process may have the filter, and
/// nobody to answer: it must not execute the program.
pub fn enter(channel: BorrowedFd<'_>, generation: super::Generation) -> io::Result<()> {
    rustix::io::fcntl_setfd(channel, FdFlags::CLOEXEC)?;
    let (here, there) = channel::pair()?;
    let (questions, no_new_privs) = seccomp::install().map_err(|refused| {
        io::Error::new(io::ErrorKind::Unsupported, format!("its listeners cannot be kept: {refused}"))
    })?;
    let order = Order::Enter { generation, no_new_privs }.to_bytes();
    channel::send_patiently(channel, &order, &[questions.as_fd(), there.as_fd()], PATIENCE).map_err(lost)?;
    // The handler alone may hold these: an end of ours would hide its death.
    drop((questions, there));
    match channel::receive_patiently(&here, PATIENCE).map_err(lost)?.bytes == WELCOME {
        true => Ok(()),
        false => Err(lost(Errno::PROTO)),
    }
}

fn lost(errno: Errno) -> io::Error {
    io::Error::new(
        io::ErrorKind::BrokenPipe,
        format!("its listeners cannot be kept: what keeps them does not answer ({errno})"),
    )
}

/// Why a program would run without rights that it has from its file, if it would: it is set-uid, set-gid or has
/// capabilities, and the caller lacks `CAP_SYS_ADMIN`, so that [`enter`] must set no_new_privs.
pub fn set_uid_obstacle(program: &Path) -> Option<String> {
    let admin = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if admin {
        return None;
    }
    let stat = rustix::fs::stat(program).ok()?;
    let mode = Mode::from_raw_mode(stat.st_mode);
    let own = rustix::process::geteuid().as_raw();
    let what = if mode.contains(Mode::SUID) && stat.st_uid != own {
        "set-uid"
    } else if mode.contains(Mode::SGID) && mode.contains(Mode::XGRP) {
        "set-gid"
    } else if rustix::fs::getxattr(program, c"security.capability", &mut [0u8; 64]).is_ok() {
        "a file with capabilities"
    } else {
        return None;
    };
    let name = inuse_rules::address::escape(program.as_os_str().as_encoded_bytes());
    Some(format!(
        "{name} is {what}, and would run without those rights under the filter that keeps its listeners: start \
         inuse with CAP_SYS_ADMIN, or have its sockets bound for it with -l ADDR"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_program_has_no_obstacle() {
        assert_eq!(set_uid_obstacle(Path::new("/proc/self/exe")), None);
        assert_eq!(set_uid_obstacle(Path::new("/nowhere")), None);
    }
}
