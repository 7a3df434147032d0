//! Threads that sleep in a socket call on a descriptor that their process has closed meanwhile: the call
//! keeps the socket open until it returns, and no table shows it. A server whose main thread closes the
//! listener while another waits in accept(2) leaves its port taken in this way.
//!
//! Which socket the call works on cannot be seen, only that it is one without a descriptor, so what is
//! found here is a suspicion. Not here: poll(2) and select(2), which keep files open in the same way but
//! name them in the process's memory only.

use super::walk::Until;
use crate::process::syscall;
use crate::procfs;
use inuse_rules::BlindSpot;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;

/// Socket calls whose first argument is the descriptor that they may wait on.
const CALLS: [libc::c_long; 6] = [
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_connect,
];

/// Suspicions that are told one by one.
const MOST_TOLD: usize = 8;

/// Finds the threads of these processes that sleep on a closed descriptor.
pub(super) fn on_closed_descriptors(root: impl AsFd, pids: &[u32], until: Until) -> Vec<BlindSpot> {
    let root = root.as_fd();
    let mut buf = procfs::dir_buf();
    let mut found = Vec::new();
    for &pid in pids.iter().take_while(|_| !until.is_over()) {
        let Ok(tasks) = procfs::open_dir(root, format!("{pid}/task")) else { continue };
        let mut tids = Vec::new();
        let _ = procfs::numbers(&tasks, &mut buf, |_, tid| tids.push(tid));
        for tid in tids {
            if found.len() < MOST_TOLD
                && let Some(fd) = closed_descriptor(tasks.as_fd(), tid)
            {
                found.push(BlindSpot {
                    what: format!(
                        "what thread {tid} of process {pid} waits for: its call is on descriptor {fd}, which that \
                         process has closed, and keeps some socket open"
                    ),
                    remedy: format!("stop process {pid}, or connect to the address once so that the call returns"),
                });
            }
        }
    }
    found
}

/// The closed descriptor on which a thread sleeps in a socket call.
fn closed_descriptor(tasks: BorrowedFd<'_>, tid: u32) -> Option<u64> {
    let (call, fd) = syscall::sleeping_in(&procfs::read(tasks, format!("{tid}/syscall"), 256).ok()?)?;
    if !CALLS.iter().any(|&known| u64::try_from(known) == Ok(call)) {
        return None;
    }
    match procfs::link(tasks, format!("{tid}/fd/{fd}")) {
        // Closed, or the number has since been given to something that is no socket.
        Err(Errno::NOENT) => Some(fd),
        Ok(link) if procfs::socket_inode(&link).is_none() => Some(fd),
        _ => None,
    }
}
